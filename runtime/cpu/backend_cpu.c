// backend_cpu: memory, opening and closing of the CPU backend, which is the twin of every other. Its operations are in
// ops.c.
#include "backend_cpu.h"
#include "../argmax.h"
#include "../rope_table.h"
#include "score.h"
#include "../../quant/codec.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static cpu_backend *self(backend *b) { return (cpu_backend *)b; }

// ---- memory ---------------------------------------------------------------------------------------------------------

static bool cpu_alloc(backend *b, void **p, int64_t n_bytes, const char *what, err *e)
{
    // 64-byte header: keeps the size for release and the data aligned to a cache line.
    if (n_bytes < 0 || n_bytes > INT64_MAX - 128) return err_set(e, ERR_SYSTEM, "%s: impossible size", what);
    uint8_t *m = aligned_alloc(64, ((size_t)n_bytes + 127) / 64 * 64);
    if (!m) return err_nomem(e, what, (size_t)n_bytes);
    memset(m, 0, (size_t)n_bytes + 64);
    memcpy(m, &n_bytes, sizeof n_bytes);
    self(b)->allocated += n_bytes;
    *p = m + 64;
    return true;
}

static void cpu_release(backend *b, void *p)
{
    if (!p) return;
    uint8_t *m = (uint8_t *)p - 64;
    int64_t n_bytes;
    memcpy(&n_bytes, m, sizeof n_bytes);
    self(b)->allocated -= n_bytes;
    free(m);
}

static bool cpu_copy(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    memcpy(dst, src, (size_t)n_bytes);
    return true;
}

bool cpu_need_scratch(cpu_backend *c, int64_t n, err *e)
{
    if (n <= c->scratch_floats) return true;
    for (int i = 0; i < c->n_threads; i++) {
        float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) / 64 * 64);
        if (!p) return err_nomem(e, "scratch of a thread", (size_t)n * sizeof *p);
        free(c->scratch[i]);
        c->scratch[i] = p;
    }
    c->allocated += (n - c->scratch_floats) * c->n_threads * (int64_t)sizeof(float);
    c->scratch_floats = n;
    return true;
}

bool cpu_need_shared(cpu_backend *c, int64_t n, err *e)
{
    if (n <= c->shared_floats) return true;
    float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) / 64 * 64);
    if (!p) return err_nomem(e, "scratch of all threads", (size_t)n * sizeof *p);
    free(c->shared);
    c->shared = p;
    c->allocated += (n - c->shared_floats) * (int64_t)sizeof(float);
    c->shared_floats = n;
    return true;
}

static bool cpu_load_weight(backend *b, const gguf_tensor *t, weight *w, err *e)
{
    if (t->n_dims < 1 || t->n_dims > 3)
        return err_set(e, ERR_INPUT, "tensor '%s': expected 1 to 3 dimensions, found %d", t->name, t->n_dims);
    if (!codec_find(t->type))
        return err_set(e, ERR_INPUT, "tensor '%s': type %s cannot be run (no decoder)", t->name, dtype_name(t->type));
    w->type = t->type;
    w->rows = gguf_tensor_rows(t);
    w->cols = gguf_tensor_cols(t);
    w->data = t->data;
    w->name = t->name;
    int64_t row_bytes;
    if (!dtype_row_bytes(w->type, w->cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld do not divide into blocks of %s", t->name,
                       (long long)w->cols, dtype_name(w->type));
    // F32 rows are read through float pointers. Offsets are multiples of the file's alignment, which may be smaller.
    if (((uintptr_t)w->data & 3) != 0)
        return err_set(e, ERR_INPUT, "tensor '%s': data is not aligned to 4 bytes in the file", t->name);
    return cpu_need_scratch(self(b), KERNEL_TILE_ROWS * matmul_stride(w->cols), e);
}

static void cpu_free_weight(backend *b, weight *w) { memset(w, 0, sizeof *w); }

// Table of cosines and sines: [n_ctx][2][head_dim / 2].
static bool cpu_load_rope(backend *b, rope *r, int64_t n_ctx, err *e)
{
    const int half = r->head_dim / 2;
    float *table;
    if (!cpu_alloc(b, &r->dev, n_ctx * 2 * half * (int64_t)sizeof *table, "rotary table", e)) return false;
    table = r->dev;
    const bool round = b->arith == ARITH_BF16;
#pragma omp parallel for num_threads(self(b)->n_threads) schedule(static)
    for (int64_t p = 0; p < n_ctx; p++) rope_table_row(table + p * 2 * half, r, p, round);
    return true;
}

static void cpu_free_rope(backend *b, rope *r)
{
    cpu_release(b, r->dev);
    r->dev = NULL;
}

// ---- scoring --------------------------------------------------------------------------------------------------------

static bool cpu_row_stats(backend *b, row_stats *out, const float *x, int n_rows, int64_t n, const int32_t *next,
                          err *e)
{
    return score_row_stats(self(b)->k, self(b)->n_threads, out, x, n_rows, n, next, e);
}

static bool cpu_row_kl(backend *b, double *kl, const float *x, const row_stats *stats, int n_rows, int64_t n,
                       const row_reference *ref, err *e)
{
    return score_row_kl(self(b)->k, self(b)->n_threads, kl, x, stats, n_rows, n, ref, e);
}

static bool cpu_row_top(backend *b, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k,
                        err *e)
{
    score_row_top(self(b)->n_threads, ids, logits, x, n_rows, n, k);
    return true;
}

static bool cpu_sync(backend *b, err *e) { return true; }
static int64_t cpu_memory_bytes(const backend *b) { return ((const cpu_backend *)b)->allocated; }

static void cpu_close(backend *b)
{
    cpu_backend *c = self(b);
    for (int i = 0; c->scratch && i < c->n_threads; i++) free(c->scratch[i]);
    free(c->scratch);
    free(c->shared);
    free(c);
}

static const backend_ops cpu_ops = {
    .name = "cpu", .batch = 128, .logits_rows = 32,
    .alloc = cpu_alloc, .release = cpu_release, .upload = cpu_copy, .download = cpu_copy,
    .load_weight = cpu_load_weight, .free_weight = cpu_free_weight, .load_rope = cpu_load_rope,
    .free_rope = cpu_free_rope,
    .has = cpu_has, .run = cpu_run,
    .row_stats = cpu_row_stats, .row_kl = cpu_row_kl, .row_top = cpu_row_top, .sync = cpu_sync,
    .memory_bytes = cpu_memory_bytes, .close = cpu_close, .copy = cpu_copy,
};

backend *backend_cpu(arith a, int n_threads, const char *simd, err *e)
{
    if (!simd || !*simd) simd = getenv("HALLMARK_SIMD");
    const cpu_kernels *k = cpu_kernels_pick(simd, e);
    if (!k) return NULL;
    cpu_backend *c = calloc(1, sizeof *c);
    if (!c) { err_nomem(e, "backend", sizeof *c); return NULL; }
    c->base.ops = &cpu_ops;
    c->base.arith = a;
    c->base.processor = cpu_kernels_name(k);
    c->k = k;
    c->n_threads = n_threads > 0 ? n_threads : omp_get_max_threads();
    c->scratch = calloc((size_t)c->n_threads, sizeof *c->scratch);
    if (!c->scratch) { err_nomem(e, "backend", sizeof *c->scratch); cpu_close(&c->base); return NULL; }
    return &c->base;
}
