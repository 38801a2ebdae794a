// cublas: see cublas.h.
#include "cublas.h"
#include "cublas_calls.h"
#include <limits.h>
#include <stdlib.h>

#define WORKSPACE_BYTES ((int64_t)32 << 20)     // what the library takes for itself on compute capability 9.0

struct cublas_lib {
    cublas_calls calls;
    gpu         *g;
    void        *handle, *workspace;
};

static bool failed(const cublas_lib *l, int status, const char *what, err *e)
{
    return err_set(e, ERR_SYSTEM, "device cuda (%s): cuBLAS: %s: %s", gpu_properties(l->g)->name, what,
                   l->calls.status_text(status));
}

#define TRY(call, what)                                                                                                \
    do {                                                                                                               \
        const int status_ = (call);                                                                                    \
        if (status_ != 0) return failed(l, status_, what, e);                                                          \
    } while (0)

static bool prepare(cublas_lib *l, err *e)
{
    if (!cublas_load(&l->calls, e) || !gpu_alloc(l->g, &l->workspace, WORKSPACE_BYTES, "workspace of cuBLAS", e))
        return false;
    TRY(l->calls.create(&l->handle), "opening it");
    TRY(l->calls.set_stream(l->handle, gpu_stream(l->g)), "choosing a stream");
    TRY(l->calls.set_workspace(l->handle, l->workspace, (size_t)WORKSPACE_BYTES), "giving it a workspace");
    return true;
}

cublas_lib *cublas_open(gpu *g, err *e)
{
    cublas_lib *l = calloc(1, sizeof *l);
    if (!l) { err_nomem(e, "cuBLAS", sizeof *l); return NULL; }
    l->g = g;
    if (prepare(l, e)) return l;
    cublas_close(l);
    return NULL;
}

void cublas_close(cublas_lib *l)
{
    if (!l) return;
    if (l->handle) l->calls.destroy(l->handle);
    gpu_release(l->g, l->workspace);
    cublas_unload(&l->calls);
    free(l);
}

// dst (+)= pieces of W times pieces of x; add false: what is there is overwritten. Rows of ours are columns of the
// library's.
static bool one_pair(const cublas_lib *l, float *dst, const pieces_slice *s, int64_t cols, int64_t stride,
                     const uint16_t *w, const uint16_t *x, bool add, err *e)
{
    const float one = 1.0f, beta = add ? 1.0f : 0.0f;
    TRY(l->calls.gemm(l->handle, GEMM_TRANSPOSED, GEMM_AS_IT_IS, (int)s->rows, s->n, (int)cols, &one, w, GEMM_BF16,
                      (int)cols, x, GEMM_BF16, (int)cols, &beta, dst, GEMM_F32, (int)stride, GEMM_SUMS_F32,
                      GEMM_ANY_ALGORITHM),
        "a product");
    return true;
}

static bool all_pairs(const gpu_ctx *c, float *dst, const pieces_slice *s, const gpu_matrix *w, err *e)
{
    const gpu_products *p = c->products;
    const int w_pieces = s->w_plane ? PRODUCT_PIECES : 1, most = w_pieces > p->x_pieces ? w_pieces : p->x_pieces;
    bool add = false;
    for (int level = most - 1; level >= 0; level--)
        for (int wp = 0; wp < w_pieces; wp++) {
            const int xp = level - wp;
            if (xp < 0 || xp >= p->x_pieces) continue;
            if (!one_pair(p->blas, dst, s, w->cols, w->rows, s->w + wp * s->w_plane, p->x + xp * s->x_plane, add, e))
                return false;
            add = true;
        }
    return true;
}

bool cuda_cublas_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    pieces_slice s = { 0 };
    if (w->rows > INT_MAX || w->cols > INT_MAX)
        return err_set(e, ERR_SYSTEM, "a matrix of %lld x %lld is larger than cuBLAS takes", (long long)w->rows,
                       (long long)w->cols);
    for (bool more = true; more;)
        if (!cuda_next_pieces(c, w, x, n, 1, &s, &more, e) || !all_pairs(c, dst + s.token * w->rows + s.row, &s, w, e))
            return false;
    return !c->round || cuda_scale(c, dst, 1.0f, n * w->rows, e);           // rounds
}
