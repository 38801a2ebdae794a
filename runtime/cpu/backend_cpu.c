// backend_cpu: the CPU's implementation of the table of operations; the twin of every other backend.
// Each operation is one parallel loop over rows, heads or runs, none of which shares a sum with another.
#include "../argmax.h"
#include "../backend.h"
#include "../rope_table.h"
#include "kernels.h"
#include "score.h"
#include "../../quant/codec.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    backend            base;
    const cpu_kernels *k;
    int                n_threads;
    int64_t            allocated;       // bytes
    float            **scratch;         // [n_threads], each scratch_floats long
    int64_t            scratch_floats;
} cpu_backend;

static cpu_backend *self(backend *b) { return (cpu_backend *)b; }
static bool rounds(const backend *b) { return b->arith == ARITH_BF16; }

// A run this long is worth waking the other threads for.
enum { PARALLEL_FLOATS = 1 << 15, RUN_FLOATS = 1 << 12 };

// ---- memory ----------------------------------------------------------------------------------------------------------

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

// Every thread's scratch holds at least n floats. Grows outside parallel regions only.
static bool need_scratch(cpu_backend *c, int64_t n, err *e)
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

static bool cpu_load_weight(backend *b, const gguf_tensor *t, weight *w, err *e)
{
    if (t->n_dims < 1 || t->n_dims > 2)
        return err_set(e, ERR_INPUT, "tensor '%s': expected 1 or 2 dimensions, found %d", t->name, t->n_dims);
    if (!codec_find(t->type))
        return err_set(e, ERR_INPUT, "tensor '%s': type %s cannot be run (no decoder)", t->name, dtype_name(t->type));
    w->type = t->type;
    w->rows = t->n_dims == 2 ? t->shape[0] : 1;
    w->cols = t->n_dims == 2 ? t->shape[1] : t->shape[0];
    w->data = t->data;
    w->name = t->name;
    int64_t row_bytes;
    if (!dtype_row_bytes(w->type, w->cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld do not divide into blocks of %s", t->name, (long long)w->cols, dtype_name(w->type));
    // F32 rows are read through float pointers. Offsets are multiples of the file's alignment, which may be smaller.
    if (((uintptr_t)w->data & 3) != 0)
        return err_set(e, ERR_INPUT, "tensor '%s': data is not aligned to 4 bytes in the file", t->name);
    return need_scratch(self(b), KERNEL_TILE_ROWS * (w->cols + 16), e);
}

static void cpu_free_weight(backend *b, weight *w) { memset(w, 0, sizeof *w); }

// Table of cosines and sines: [n_ctx][2][head_dim / 2].
static bool cpu_load_rope(backend *b, rope *r, int64_t n_ctx, err *e)
{
    const int half = r->head_dim / 2;
    float *table;
    if (!cpu_alloc(b, &r->dev, n_ctx * 2 * half * (int64_t)sizeof *table, "rotary table", e)) return false;
    table = r->dev;
    const bool round = rounds(b);
#pragma omp parallel for num_threads(self(b)->n_threads) schedule(static)
    for (int64_t p = 0; p < n_ctx; p++) rope_table_row(table + p * 2 * half, r, p, round);
    return true;
}

static void cpu_free_rope(backend *b, rope *r)
{
    cpu_release(b, r->dev);
    r->dev = NULL;
}

// ---- arithmetic ------------------------------------------------------------------------------------------------------

static bool cpu_embed(backend *b, float *dst, const weight *w, const int32_t *ids, int n, float scale, err *e)
{
    const cpu_backend *c = self(b);
    int64_t row_bytes;
    if (!dtype_row_bytes(w->type, w->cols, &row_bytes)) return err_set(e, ERR_INPUT, "tensor '%s': rows do not divide into blocks", w->name);
    // Gemma*TextScaledWordEmbedding casts its scale to the weight's dtype: sqrt(3072) = 55.4256 becomes 55.5 in BF16.
    const float s = rounds(b) ? f32_from_bf16(bf16_from_f32(scale)) : scale;
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (n * w->cols > PARALLEL_FLOATS)
    for (int t = 0; t < n; t++) {
        c->k->decode_row(dst + t * w->cols, (const uint8_t *)w->data + ids[t] * row_bytes, w->cols, w->type);
        c->k->scale(dst + t * w->cols, s, w->cols, rounds(b));
    }
    return true;
}

static bool cpu_rms_norm(backend *b, float *dst, const float *x, const weight *w, int64_t rows, int dim, float eps, err *e)
{
    const cpu_backend *c = self(b);
    if (w && (w->type != DT_F32 || w->cols != dim))
        return err_set(e, ERR_INPUT, "tensor '%s': expected a norm of %d F32, found %lld %s", w->name, dim, (long long)w->cols, dtype_name(w->type));
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (rows * dim > PARALLEL_FLOATS)
    for (int64_t r = 0; r < rows; r++)
        c->k->rms_norm(dst + r * dim, x + r * dim, w ? (const float *)w->data : NULL, dim, eps, rounds(b));
    return true;
}

static bool cpu_matmul(backend *b, float *dst, const weight *w, const float *x, int n, err *e)
{
    const cpu_backend *c = self(b);
    // Rows go to threads in chunks of whole tiles; small enough to balance, large enough to stream.
    const int64_t chunk = 48;
    const int64_t n_chunks = (w->rows + chunk - 1) / chunk;
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (w->rows * w->cols * n > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n_chunks; i++) {
        const int64_t r0 = i * chunk, r1 = r0 + chunk < w->rows ? r0 + chunk : w->rows;
        c->k->matmul(dst, w->rows, w, r0, r1, x, n, rounds(b), c->scratch[omp_get_thread_num()]);
    }
    return true;
}

// One call of a run kernel over n floats, cut into runs for the threads.
#define RUNS(n, call)                                                                                   \
    _Pragma("omp parallel for num_threads(c->n_threads) schedule(static) if (n > PARALLEL_FLOATS)")     \
    for (int64_t i = 0; i < (n); i += RUN_FLOATS) {                                                     \
        const int64_t len = (n) - i < RUN_FLOATS ? (n) - i : RUN_FLOATS;                                \
        call;                                                                                           \
    }                                                                                                   \
    return true

static bool cpu_add(backend *b, float *dst, const float *x, const float *y, int64_t n, err *e)
{
    const cpu_backend *c = self(b);
    RUNS(n, c->k->add(dst + i, x + i, y + i, len, rounds(b)));
}

static bool cpu_scale(backend *b, float *x, float s, int64_t n, err *e)
{
    const cpu_backend *c = self(b);
    RUNS(n, c->k->scale(x + i, s, len, rounds(b)));
}

static bool cpu_gelu(backend *b, float *x, int64_t n, err *e)
{
    const cpu_backend *c = self(b);
    RUNS(n, c->k->gelu(x + i, len, rounds(b)));
}

static bool cpu_geglu(backend *b, float *gate, const float *up, int64_t n, err *e)
{
    const cpu_backend *c = self(b);
    RUNS(n, c->k->geglu(gate + i, up + i, len, rounds(b)));
}

static bool cpu_softcap(backend *b, float *x, float cap, int64_t n, err *e)
{
    const cpu_backend *c = self(b);
    RUNS(n, c->k->softcap(x + i, cap, len, rounds(b)));
}

static bool cpu_mul_rows(backend *b, float *dst, const float *x, const float *y, int64_t y_stride, int n, int dim, err *e)
{
    const cpu_backend *c = self(b);
    for (int t = 0; t < n; t++) c->k->mul(dst + (int64_t)t * dim, x + (int64_t)t * dim, y + t * y_stride, dim, rounds(b));
    return true;
}

static bool cpu_rotate(backend *b, float *x, const rope *r, int n, int n_head, int64_t pos0, err *e)
{
    const cpu_backend *c = self(b);
    const int half = r->head_dim / 2;
    const float *table = r->dev;
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if ((int64_t)n * n_head * r->head_dim > PARALLEL_FLOATS)
    for (int64_t i = 0; i < (int64_t)n * n_head; i++) {
        const float *cs = table + (pos0 + i / n_head) * 2 * half;
        c->k->rotate(x + i * r->head_dim, cs, cs + half, r->head_dim, rounds(b));
    }
    return true;
}

static bool cpu_kv_store(backend *b, kv_layer *kv, const float *k, const float *v, int n, int64_t pos0, err *e)
{
    const int64_t dim = (int64_t)kv->n_kv_head * kv->head_dim;
    const codec *enc = codec_find(kv->type);
    for (int t = 0; t < n; t++) {
        const int64_t off = ((pos0 + t) % kv->capacity) * kv->row_bytes;
        if (!enc->encode_row((uint8_t *)kv->k + off, k + t * dim, dim, NULL, e) ||
            !enc->encode_row((uint8_t *)kv->v + off, v + t * dim, dim, NULL, e))
            return err_set(e, ERR_SYSTEM, "KV cache: position %lld does not fit %s", (long long)(pos0 + t), dtype_name(kv->type));
    }
    return true;
}

static bool cpu_attention(backend *b, const attention_args *a, err *e)
{
    cpu_backend *c = self(b);
    const int hd = a->kv->head_dim, group = a->n_head / a->kv->n_kv_head;
    int64_t visible = a->pos0 + a->n;
    if (a->window > 0 && a->window < visible) visible = a->window;
    // Rounded up, so that a growing context does not reallocate at every token.
    const int row_floats = (1 + REDUCE_LANES) * hd;
    if (!need_scratch(c, (visible + 1024) / 1024 * 1024 + 16 + row_floats, e)) return false;
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1) if ((int64_t)a->n * a->n_head * visible * hd > PARALLEL_FLOATS)
    for (int64_t i = 0; i < (int64_t)a->n * a->n_head; i++) {
        const int64_t hi = a->pos0 + i / a->n_head;
        const int64_t lo = a->window > 0 && hi - a->window + 1 > 0 ? hi - a->window + 1 : 0;
        float *row = c->scratch[omp_get_thread_num()], *scores = row + row_floats;
        c->k->attend(a->out + i * hd, a->q + i * hd, a, (int)(i % a->n_head) / group, lo, hi, rounds(b), scores, row, b->fault);
    }
    return true;
}

static bool cpu_argmax(backend *b, int32_t *id, const float *x, int64_t n, err *e)
{
    *id = argmax_f32(x, n);
    return true;
}

static bool cpu_row_stats(backend *b, row_stats *out, const float *x, int n_rows, int64_t n, const int32_t *next, err *e)
{
    return score_row_stats(self(b)->k, self(b)->n_threads, out, x, n_rows, n, next, e);
}

static bool cpu_row_kl(backend *b, double *kl, const float *x, const row_stats *stats, int n_rows, int64_t n, const row_reference *ref, err *e)
{
    return score_row_kl(self(b)->k, self(b)->n_threads, kl, x, stats, n_rows, n, ref, e);
}

static bool cpu_row_top(backend *b, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k, err *e)
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
    free(c);
}

static const backend_ops cpu_ops = {
    .name = "cpu", .batch = 128, .logits_rows = 16, .alloc = cpu_alloc, .release = cpu_release, .upload = cpu_copy, .download = cpu_copy,
    .load_weight = cpu_load_weight, .free_weight = cpu_free_weight, .load_rope = cpu_load_rope, .free_rope = cpu_free_rope,
    .embed = cpu_embed, .rms_norm = cpu_rms_norm, .matmul = cpu_matmul, .add = cpu_add, .scale = cpu_scale,
    .mul_rows = cpu_mul_rows, .gelu = cpu_gelu, .geglu = cpu_geglu, .softcap = cpu_softcap, .rotate = cpu_rotate,
    .kv_store = cpu_kv_store, .attention = cpu_attention, .argmax = cpu_argmax,
    .row_stats = cpu_row_stats, .row_kl = cpu_row_kl, .row_top = cpu_row_top, .sync = cpu_sync,
    .memory_bytes = cpu_memory_bytes, .close = cpu_close,
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
    c->k = k;
    c->n_threads = n_threads > 0 ? n_threads : omp_get_max_threads();
    c->scratch = calloc((size_t)c->n_threads, sizeof *c->scratch);
    if (!c->scratch) { err_nomem(e, "backend", sizeof *c->scratch); cpu_close(&c->base); return NULL; }
    return &c->base;
}
