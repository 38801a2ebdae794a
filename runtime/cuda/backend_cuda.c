// backend_cuda: memory, recorded steps and opening of the backend on a GPU. Its operations are run.c's.
#include "products.h"
#include "../../quant/codec.h"
#include "../rope_table.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(FAULT_SCORES_BF16 == 2 && FAULT_HEAD512_ZERO == 3 && FAULT_FUSED_SUM_KV_DTYPE == 8, "attention.cu counts "
                                                                                                  "them so");
static_assert(FAULT_GROUP_OF_ALL_HEADS == 23 && FAULT_WHOLE_OFF_BY_ONE == 24, "kv_mixed.cuh counts them so");
static_assert(FAULT_SINK_FORGOTTEN == 25, "kv_mixed.cuh counts it so");
static_assert((int)GPU_MOST_TAPS == (int)OP_TAPS, "kernels.h counts them so");
static_assert((int)GPU_KEY_SPAN == (int)KEY_SPAN && (int)GPU_COLUMN_SPAN == (int)COLUMN_SPAN &&
                  (int)GPU_STEP_IDS == (int)REPLAY_MAX,
              "kernels.h counts them so");

static cuda_backend *self(backend *b) { return (cuda_backend *)b; }

// ---- memory ---------------------------------------------------------------------------------------------------------

static bool op_alloc(backend *b, void **p, int64_t n_bytes, const char *what, err *e)
{
    return gpu_alloc(self(b)->g, p, n_bytes, what, e);
}
static void op_release(backend *b, void *p)                                           { gpu_release(self(b)->g, p); }

static bool op_upload(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    return gpu_upload(self(b)->g, dst, src, n_bytes, e);
}

// What kernels could not say themselves: a value that the cache cannot hold.
static bool check_state(cuda_backend *c, err *e)
{
    unsigned long long bad = ~0ull;
    if (!c->kv_stored) return true;
    c->kv_stored = false;
    if (!gpu_download(c->g, &bad, &c->state->bad_kv, sizeof bad, e)) return false;
    if (bad == ~0ull) return true;
    const unsigned long long none = ~0ull;
    gpu_upload(c->g, &c->state->bad_kv, &none, sizeof none, e);
    return err_set(e, ERR_SYSTEM, "KV cache: position %llu does not fit %s", bad, c->kv_types);
}

static bool op_download(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    cuda_backend *c = self(b);
    return gpu_download(c->g, dst, src, n_bytes, e) && check_state(c, e);
}

static bool op_sync(backend *b, err *e)
{
    cuda_backend *c = self(b);
    return gpu_sync(c->g, e) && check_state(c, e);
}

static bool op_load_weight(backend *b, const gguf_tensor *t, weight *w, err *e)
{
    int64_t row_bytes;
    void *p = NULL;
    if (t->n_dims < 1 || t->n_dims > 3)
        return err_set(e, ERR_INPUT, "tensor '%s': expected 1 to 3 dimensions, found %d", t->name, t->n_dims);
    if (!codec_find(t->type))
        return err_set(e, ERR_INPUT, "tensor '%s': type %s cannot be run (no decoder)", t->name, dtype_name(t->type));
    const int64_t rows = gguf_tensor_rows(t), cols = gguf_tensor_cols(t);
    if (!dtype_row_bytes(t->type, cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld do not divide into blocks of %s", t->name,
                       (long long)cols, dtype_name(t->type));
    if (!gpu_alloc(self(b)->g, &p, t->n_bytes + WEIGHT_PADDING, t->name, e)) return false;
    *w = (weight){ .type = t->type, .rows = rows, .cols = cols, .data = p, .name = t->name };
    return gpu_upload_large(self(b)->g, p, t->data, t->n_bytes, e);
}

static void op_free_weight(backend *b, weight *w)
{
    gpu_release(self(b)->g, (void *)(uintptr_t)w->data);
    memset(w, 0, sizeof *w);
}

static bool op_load_rope(backend *b, rope *r, int64_t n_ctx, err *e)
{
    int64_t bytes;
    const int64_t row = r->head_dim / 2 * 2;
    if (!mul_i64(n_ctx, row * (int64_t)sizeof(float), &bytes)) return err_set(e, ERR_SYSTEM, "rotary table: too large");
    float *table = malloc((size_t)bytes + 1);
    if (!table) return err_nomem(e, "rotary table", (size_t)bytes);
    for (int64_t p = 0; p < n_ctx; p++) rope_table_row(table + p * row, r, p, b->arith == ARITH_BF16);
    const bool ok = gpu_alloc(self(b)->g, &r->dev, bytes, "rotary table", e) &&
                    gpu_upload_large(self(b)->g, r->dev, table, bytes, e);
    free(table);
    return ok;
}

static void op_free_rope(backend *b, rope *r)
{
    gpu_release(self(b)->g, r->dev);
    r->dev = NULL;
}

static int64_t op_memory_bytes(const backend *b) { return gpu_allocated(((const cuda_backend *)b)->g); }
// Without what is allocated only when a model runs: attention's scores, products' pieces, what scoring takes, and what
// rounding each allocation up takes.
static bool op_room(backend *b, int64_t *bytes, err *e)
{
    const int64_t fixed = SCORES_BYTES + ORDER_BYTES + KEPT_BYTES + SUMS_BYTES + ROUNDING_BYTES;
    const int64_t later = fixed + products_later(self(b));
    if (!gpu_free_memory(self(b)->g, bytes, e)) return false;
    *bytes = *bytes > later ? *bytes - later : 0;
    return true;
}
static bool op_copy_rate(backend *b, double *bytes_per_s, err *e) { return gpu_copy_rate(self(b)->g, bytes_per_s, e); }

static bool op_reserve_matmul(backend *b, const weight *w, int n, err *e)
{
    const gpu_matrix m = { .type = w->type, .data = w->data, .rows = w->rows, .cols = w->cols };
    return products_reserve(self(b), &m, n, e);
}

static bool op_copy(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    return gpu_copy(self(b)->g, dst, src, n_bytes, e);
}

// ---- a recorded decode step -----------------------------------------------------------------------------------------

static bool op_record_begin(backend *b, err *e)
{
    cuda_backend *c = self(b);
    gpu_graph_release(c->g, c->graph);
    c->graph = NULL;
    if (!gpu_record_begin(c->g, e)) return false;
    c->ctx.step = c->state;
    return true;
}

static bool op_record_end(backend *b, bool keep, err *e)
{
    cuda_backend *c = self(b);
    c->ctx.step = NULL;
    return gpu_record_end(c->g, keep ? &c->graph : NULL, e);
}

static bool op_recorded(const backend *b) { return ((const cuda_backend *)b)->graph != NULL; }

static bool op_replay(backend *b, int32_t id, int64_t pos, int n, int32_t *ids, err *e)
{
    cuda_backend *c = self(b);
    gpu_step s = { .pos = pos, .id = id, .bad_kv = ~0ull };
    if (!c->graph || n < 1 || n > GPU_STEP_IDS)
        return err_set(e, ERR_SYSTEM, "device cuda: no decode step is recorded, or %d steps at once", n);
    if (!gpu_upload(c->g, c->state, &s, sizeof s, e)) return false;
    for (int i = 0; i < n; i++)
        if (!gpu_graph_run(c->g, c->graph, e)) return false;
    if (!gpu_download(c->g, &s, c->state, sizeof s, e)) return false;
    if (s.bad_kv != ~0ull)
        return err_set(e, ERR_SYSTEM, "KV cache: position %llu does not fit %s", s.bad_kv, c->kv_types);
    if (s.n_out != n) return err_set(e, ERR_SYSTEM, "device cuda: %d decode steps gave %d ids", n, s.n_out);
    memcpy(ids, s.out, (size_t)n * sizeof *ids);
    return true;
}

// ---- opening --------------------------------------------------------------------------------------------------------

static void op_close(backend *b)
{
    cuda_backend *c = self(b);
    gpu_graph_release(c->g, c->graph);
    products_close(c);
    gpu_close(c->g);
    free(c->ids);
    free(c);
}

static const backend_ops cuda_ops = {
    .name = "cuda", .copies_weights = true, .batch = 512, .logits_rows = 128, .alloc = op_alloc, .release = op_release,
    .upload = op_upload, .download = op_download,
    .load_weight = op_load_weight, .free_weight = op_free_weight, .load_rope = op_load_rope, .free_rope = op_free_rope,
    .has = cuda_has, .run = cuda_run,
    .row_stats = op_row_stats, .row_kl = op_row_kl, .row_top = op_row_top, .sync = op_sync,
    .reserve_matmul = op_reserve_matmul, .memory_bytes = op_memory_bytes, .room = op_room, .copy_rate = op_copy_rate,
    .record_begin = op_record_begin, .record_end = op_record_end, .recorded = op_recorded, .replay = op_replay,
    .copy = op_copy, .close = op_close,
};

bool backend_cuda_absent(const err *why) { return gpu_absent(why); }

backend *backend_cuda(arith a, bool reproducible, err *e)
{
    if (!products_known(e)) return NULL;
    cuda_backend *c = calloc(1, sizeof *c);
    if (!c) { err_nomem(e, "backend", sizeof *c); return NULL; }
    c->base.ops = &cuda_ops;
    c->base.arith = a;
    c->fuse = true;
    c->g = gpu_open(NULL, e);
    if (!c->g) { free(c); return NULL; }
    void *state = NULL, *chosen = NULL;
    const unsigned long long none = ~0ull;
    if (!gpu_alloc(c->g, &state, sizeof(gpu_step), "decode state", e) ||
        !gpu_alloc(c->g, &chosen, 256 + CUDA_ARGMAX_BLOCKS * 8, "greedy choice", e)) goto fail;
    c->base.processor = gpu_properties(c->g)->name;
    c->state = state;
    c->chosen = chosen;
    c->ctx = (gpu_ctx){ .g = c->g, .round = a == ARITH_BF16, .state = c->state };
    if (!cuda_kernels_are_there(&c->ctx, e) || !gpu_upload(c->g, &c->state->bad_kv, &none, sizeof none, e) ||
        !products_open(c, reproducible, e))
        goto fail;
    return &c->base;
fail:
    op_close(&c->base);
    return NULL;
}

void backend_cuda_fuse(backend *b, bool on) { self(b)->fuse = on; }
