// encode: see encode.h.
#include "encode.h"
#include "encode_kernels.h"
#include "../../formats/checked.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct { void *p; int64_t room; } buffer;       // on the device; p NULL: none

typedef struct {
    block_encoder   base;
    gpu            *g;
    pthread_mutex_t lock;                               // of all below
    bool            failed;                             // the device is no longer used
    buffer          src, dst, importance, mean_square;
    uint32_t       *bad;                                // on the device
    int64_t         weights;
} cuda_encoder;

bool cuda_encoder_absent(const err *why) { return gpu_absent(why); }

static bool need(cuda_encoder *c, buffer *b, int64_t n_bytes, const char *what, err *e)
{
    if (b->room >= n_bytes) return true;
    gpu_release(c->g, b->p);
    *b = (buffer){ 0 };
    if (!gpu_alloc(c->g, &b->p, n_bytes, what, e)) return false;
    b->room = n_bytes;
    return true;
}

// *bad: a value that cannot be encoded; dst is then untouched.
static bool encode_there(cuda_encoder *c, dtype t, void *dst, int64_t dst_bytes, const float *src, int64_t n_rows,
                         int64_t n_cols, const float *importance, uint32_t *bad, err *e)
{
    const int64_t src_bytes = n_rows * n_cols * (int64_t)sizeof *src, row_bytes = n_cols * (int64_t)sizeof *src;
    const bool by_row = importance && cuda_encode_needs_row(t);
    if (!need(c, &c->src, src_bytes, "weights to encode", e) || !need(c, &c->dst, dst_bytes, "encoded blocks", e) ||
        (importance && !need(c, &c->importance, row_bytes, "an importance row", e)) ||
        (by_row && !need(c, &c->mean_square, n_rows * (int64_t)sizeof(float), "row sums", e)))
        return false;
    if (!gpu_zero(c->g, c->bad, sizeof *c->bad, e) || !gpu_upload(c->g, c->src.p, src, src_bytes, e)) return false;
    if (importance && !gpu_upload(c->g, c->importance.p, importance, row_bytes, e)) return false;
    const encode_work w = { .dst = c->dst.p, .src = c->src.p, .n_rows = n_rows, .cols = n_cols,
                            .importance = importance ? c->importance.p : NULL, .mean_square = by_row ? c->mean_square.p
                                : NULL, .bad = c->bad };
    if (!cuda_encode(c->g, t, &w, e) || !gpu_download(c->g, bad, c->bad, sizeof *bad, e)) return false;
    if (*bad) return true;
    c->weights += n_rows * n_cols;
    return gpu_download(c->g, dst, c->dst.p, dst_bytes, e);
}

static encoder_answer encode_rows(block_encoder *b, dtype t, void *dst, const float *src, int64_t n_rows,
                                  int64_t n_cols, const float *importance, err *e)
{
    cuda_encoder *c = (cuda_encoder *)b;
    int64_t row_bytes, dst_bytes, src_bytes;
    uint32_t bad = 0;
    if (!cuda_encode_has(t) || n_rows <= 0 || n_cols <= 0 || !dtype_row_bytes(t, n_cols, &row_bytes)
        || !mul_i64(row_bytes, n_rows, &dst_bytes) ||
        !mul_i64(n_rows, n_cols, &src_bytes) || !mul_i64(src_bytes, sizeof *src, &src_bytes))
        return ENCODER_NOT_HERE;
    if (pthread_mutex_trylock(&c->lock) != 0) return ENCODER_NOT_HERE;
    encoder_answer answer = ENCODER_NOT_HERE;
    if (!c->failed) {
        c->failed = !encode_there(c, t, dst, dst_bytes, src, n_rows, n_cols, t == DT_Q8_0 ? NULL : importance, &bad, e);
        answer = c->failed ? ENCODER_FAILED : bad ? ENCODER_NOT_HERE : ENCODER_DONE;
    }
    pthread_mutex_unlock(&c->lock);
    return answer;
}

static void close_encoder(block_encoder *b)
{
    cuda_encoder *c = (cuda_encoder *)b;
    if (!c) return;
    gpu_close(c->g);                    // frees what is allocated on it
    pthread_mutex_destroy(&c->lock);
    free(c);
}

block_encoder *cuda_encoder_open(err *e)
{
    cuda_encoder *c = calloc(1, sizeof *c);
    if (!c) { err_nomem(e, "device", sizeof *c); return NULL; }
    c->base = (block_encoder){ .encode_rows = encode_rows, .close = close_encoder };
    pthread_mutex_init(&c->lock, NULL);
    void *bad = NULL;
    if (!(c->g = gpu_open(NULL, e)) || !gpu_alloc(c->g, &bad, sizeof *c->bad, "a flag", e)) {
        close_encoder(&c->base);
        return NULL;
    }
    c->bad = bad;
    return &c->base;
}

int64_t cuda_encoder_weights(const block_encoder *b) { return ((const cuda_encoder *)b)->weights; }
