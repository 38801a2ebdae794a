// cublas_host: see cublas_host.h.
#include "cublas_host.h"
#include "../../../formats/dtype.h"
#include "../../../device/host/calls_host.h"
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 7, NO_MEMORY = 3 };

typedef struct { void *stream, *workspace; } handle;

static int live;                // as calls_host counts what the device has
static const cublas_calls *chosen;

static int create(void **h)
{
    *h = calloc(1, sizeof(handle));
    live += *h != NULL;
    return *h ? OK : NO_MEMORY;
}

static int destroy(void *h)                                     { live--; free(h); return OK; }
static int set_stream(void *h, void *stream)                    { ((handle *)h)->stream = stream; return OK; }
static int set_workspace(void *h, void *p, size_t n_bytes)
{
    ((handle *)h)->workspace = p;
    return p && n_bytes ? OK : INVALID;
}

static float bf16_at(const void *m, int64_t i) { return f32_from_bf16(((const uint16_t *)m)[i]); }

// The one form that the program asks for: a transposed, b as it is, BF16 times BF16 into F32.
static int gemm(void *h, int a_as, int b_as, int m, int n, int k, const void *alpha, const void *a, int a_type,
                int a_stride, const void *b, int b_type, int b_stride, const void *beta, void *c, int c_type,
                int c_stride, int sums, int algorithm)
{
    float scale, keep;
    memcpy(&scale, alpha, sizeof scale);
    memcpy(&keep, beta, sizeof keep);
    if (!((handle *)h)->stream || !((handle *)h)->workspace || a_as != GEMM_TRANSPOSED || b_as != GEMM_AS_IT_IS ||
        a_type != GEMM_BF16 || b_type != GEMM_BF16 || c_type != GEMM_F32 || sums != GEMM_SUMS_F32 ||
        algorithm != GEMM_ANY_ALGORITHM || a_stride < k || b_stride < k || c_stride < m || m < 1 || n < 1 || k < 1)
        return INVALID;
    if (host_calls()->stream_sync(((handle *)h)->stream) != 0) return INVALID;      // what was enqueued before
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            float *at = (float *)c + j * c_stride + i;
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (double)bf16_at(a, i * a_stride + l) * (double)bf16_at(b, j * b_stride + l);
            *at = scale * (float)sum + (keep != 0.0f ? keep * *at : 0.0f);
        }
    return OK;
}

static const char *status_text(int status)
{
    return status == OK ? "no error" : status == INVALID ? "invalid value" : "failure made by a test";
}

static const cublas_calls on_host = { create, destroy, set_stream, set_workspace, gemm, status_text, NULL };

const cublas_calls *host_cublas(void)           { return &on_host; }
void host_cublas_use(const cublas_calls *c)     { chosen = c; }
int  host_cublas_live(void)                     { return live; }

bool cublas_load(cublas_calls *c, err *e)
{
    *c = chosen ? *chosen : on_host;
    if (!c->gemm) {
        memset(c, 0, sizeof *c);
        return err_set(e, ERR_SYSTEM, "HALLMARK_CUDA_PRODUCTS=cublas: the library is not found");
    }
    c->library = c;             // anything but NULL: one to close
    live++;
    return true;
}

void cublas_unload(cublas_calls *c)
{
    live -= c->library != NULL;
    memset(c, 0, sizeof *c);
}
