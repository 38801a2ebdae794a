// backend_cuda: the table of operations on a GPU.
//
// Operations are not launched one by one: they wait in a list until somebody needs a result, and run_pending (fuse.c) launches
// them, several as one kernel where neighbours allow it. What is in memory afterwards is the same, bit for bit.
#include "products.h"
#include "../../quant/codec.h"
#include "../rope_table.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(FAULT_SCORES_BF16 == 2 && FAULT_HEAD512_ZERO == 3 && FAULT_FUSED_SUM_KV_DTYPE == 8, "attention.cu counts them so");
static_assert((int)GPU_KEY_SPAN == (int)KEY_SPAN && (int)GPU_COLUMN_SPAN == (int)COLUMN_SPAN && (int)GPU_STEP_IDS == (int)REPLAY_MAX, "kernels.h counts them so");

static cuda_backend *self(backend *b) { return (cuda_backend *)b; }

// ---- memory ----------------------------------------------------------------------------------------------------------

static bool op_alloc(backend *b, void **p, int64_t n_bytes, const char *what, err *e) { return gpu_alloc(self(b)->g, p, n_bytes, what, e); }
static void op_release(backend *b, void *p)                                           { gpu_release(self(b)->g, p); }

static bool op_upload(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    return run_pending(self(b), e) && gpu_upload(self(b)->g, dst, src, n_bytes, e);
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
    return err_set(e, ERR_SYSTEM, "KV cache: position %llu does not fit %s", bad, dtype_name(c->kv_type));
}

static bool op_download(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    cuda_backend *c = self(b);
    return run_pending(c, e) && gpu_download(c->g, dst, src, n_bytes, e) && check_state(c, e);
}

static bool op_sync(backend *b, err *e)
{
    cuda_backend *c = self(b);
    return run_pending(c, e) && gpu_sync(c->g, e) && check_state(c, e);
}

static bool op_load_weight(backend *b, const gguf_tensor *t, weight *w, err *e)
{
    int64_t row_bytes;
    void *p = NULL;
    if (t->n_dims < 1 || t->n_dims > 2) return err_set(e, ERR_INPUT, "tensor '%s': expected 1 or 2 dimensions, found %d", t->name, t->n_dims);
    if (!codec_find(t->type)) return err_set(e, ERR_INPUT, "tensor '%s': type %s cannot be run (no decoder)", t->name, dtype_name(t->type));
    const int64_t rows = t->n_dims == 2 ? t->shape[0] : 1, cols = t->n_dims == 2 ? t->shape[1] : t->shape[0];
    if (!dtype_row_bytes(t->type, cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld do not divide into blocks of %s", t->name, (long long)cols, dtype_name(t->type));
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
    const bool ok = gpu_alloc(self(b)->g, &r->dev, bytes, "rotary table", e) && gpu_upload_large(self(b)->g, r->dev, table, bytes, e);
    free(table);
    return ok;
}

static void op_free_rope(backend *b, rope *r)
{
    gpu_release(self(b)->g, r->dev);
    r->dev = NULL;
}

static int64_t op_memory_bytes(const backend *b) { return gpu_allocated(((const cuda_backend *)b)->g); }
// Without what is allocated only when a model runs: attention's scores, products' pieces, what scoring takes, and what rounding each allocation up takes.
static bool op_room(backend *b, int64_t *bytes, err *e)
{
    const int64_t later = SCORES_BYTES + KEPT_BYTES + SUMS_BYTES + ROUNDING_BYTES + products_later(self(b));
    if (!gpu_free_memory(self(b)->g, bytes, e)) return false;
    *bytes = *bytes > later ? *bytes - later : 0;
    return true;
}
static bool op_copy_rate(backend *b, double *bytes_per_s, err *e) { return gpu_copy_rate(self(b)->g, bytes_per_s, e); }

// ---- arithmetic: into the list ---------------------------------------------------------------------------------------

static bool add_op(cuda_backend *c, const cuda_op *op, err *e)
{
    if (c->n_pending == c->room_pending) {
        const int room = c->room_pending ? 2 * c->room_pending : 256;
        cuda_op *p = realloc(c->pending, (size_t)room * sizeof *p);
        if (!p) return err_nomem(e, "list of operations", (size_t)room * sizeof *p);
        c->pending = p;
        c->room_pending = room;
    }
    c->pending[c->n_pending++] = *op;
    return true;
}

static gpu_matrix matrix_of(const weight *w) { return (gpu_matrix){ .type = w->type, .data = w->data, .rows = w->rows, .cols = w->cols }; }

static gpu_kv kv_of(const kv_layer *kv)
{
    return (gpu_kv){ .type = kv->type, .n_kv_head = kv->n_kv_head, .head_dim = kv->head_dim, .capacity = kv->capacity,
                     .row_bytes = kv->row_bytes, .k = kv->k, .v = kv->v };
}

// The ids on the device; uploaded only when they are not those that are there already (two embeddings share them).
static bool need_ids(cuda_backend *c, const int32_t *ids, int n, err *e)
{
    const size_t bytes = (size_t)n * sizeof *ids;
    if (n == c->n_ids && memcmp(ids, c->ids, bytes) == 0) return true;
    if (!run_pending(c, e)) return false;       // operations that still want the old ones
    if (n > c->room_ids) {
        int32_t *host = realloc(c->ids, bytes);
        if (!host) return err_nomem(e, "token ids", bytes);
        c->ids = host;
        gpu_release(c->g, c->ids_dev);
        c->ids_dev = NULL;
        c->n_ids = c->room_ids = 0;
        void *p = NULL;
        if (!gpu_alloc(c->g, &p, (int64_t)bytes, "token ids", e)) return false;
        c->ids_dev = p;
        c->room_ids = n;
    }
    memcpy(c->ids, ids, bytes);
    c->n_ids = n;
    return gpu_upload(c->g, c->ids_dev, ids, (int64_t)bytes, e);
}

static bool op_embed(backend *b, float *dst, const weight *w, const int32_t *ids, int n, float scale, err *e)
{
    cuda_backend *c = self(b);
    if (ids && !need_ids(c, ids, n, e)) return false;
    // Gemma*TextScaledWordEmbedding casts its scale to the weight's dtype.
    const float s = c->ctx.round ? f32_from_bf16(bf16_from_f32(scale)) : scale;
    return add_op(c, &(cuda_op){ .kind = OP_EMBED, .dst = dst, .w = matrix_of(w), .ids = ids ? c->ids_dev : NULL, .n = n, .f = s }, e);
}

static bool op_rms_norm(backend *b, float *dst, const float *x, const weight *w, int64_t rows, int dim, float eps, err *e)
{
    if (w && (w->type != DT_F32 || w->cols != dim))
        return err_set(e, ERR_INPUT, "tensor '%s': expected a norm of %d F32, found %lld %s", w->name, dim, (long long)w->cols, dtype_name(w->type));
    return add_op(self(b), &(cuda_op){ .kind = OP_NORM, .dst = dst, .a = x, .b = w ? w->data : NULL, .n = rows, .dim = dim, .f = eps }, e);
}

static bool op_matmul(backend *b, float *dst, const weight *w, const float *x, int n, err *e)
{
    const gpu_matrix m = matrix_of(w);
    return products_reserve(self(b), &m, n, e) && add_op(self(b), &(cuda_op){ .kind = OP_MATMUL, .dst = dst, .w = m, .a = x, .n = n }, e);
}

static bool op_reserve_matmul(backend *b, const weight *w, int n, err *e)
{
    const gpu_matrix m = matrix_of(w);
    return products_reserve(self(b), &m, n, e);
}

static bool op_add(backend *b, float *dst, const float *x, const float *y, int64_t n, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_ADD, .dst = dst, .a = x, .b = y, .n = n }, e);
}

static bool op_scale(backend *b, float *x, float s, int64_t n, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_SCALE, .dst = x, .a = x, .n = n, .f = s }, e);
}

static bool op_mul_rows(backend *b, float *dst, const float *x, const float *y, int64_t y_stride, int n, int dim, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_MUL_ROWS, .dst = dst, .a = x, .b = y, .stride = y_stride, .n = n, .dim = dim }, e);
}

static bool op_gelu(backend *b, float *x, int64_t n, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_GELU, .dst = x, .a = x, .n = n }, e);
}

static bool op_geglu(backend *b, float *gate, const float *up, int64_t n, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_GEGLU, .dst = gate, .a = gate, .b = up, .n = n }, e);
}

static bool op_softcap(backend *b, float *x, float cap, int64_t n, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_SOFTCAP, .dst = x, .a = x, .n = n, .f = cap }, e);
}

static bool op_rotate(backend *b, float *x, const rope *r, int n, int n_head, int64_t pos0, err *e)
{
    return add_op(self(b), &(cuda_op){ .kind = OP_ROTATE, .dst = x, .a = x, .b = r->dev, .dim = r->head_dim, .n = n, .n_head = n_head, .pos0 = pos0 }, e);
}

static bool op_kv_store(backend *b, kv_layer *kv, const float *k, const float *v, int n, int64_t pos0, err *e)
{
    cuda_backend *c = self(b);
    c->kv_stored = true;
    c->kv_type = kv->type;
    return add_op(c, &(cuda_op){ .kind = OP_KV_STORE, .kv = kv_of(kv), .a = k, .b = v, .n = n, .pos0 = pos0 }, e);
}

// Scores of as many tokens at once as SCORES_BYTES hold, one at least. Grows outside recordings only; decode never does: its
// need depends on the cache's capacity, not on the position.
static bool need_scores(cuda_backend *c, const attention_args *a, const gpu_kv *kv, int *tokens, err *e)
{
    const int64_t per_token = cuda_attention_scratch(kv, a->n_head, a->window);
    int64_t n = SCORES_BYTES / (int64_t)sizeof(float) / per_token;
    n = n < 1 ? 1 : n > a->n ? a->n : n;
    *tokens = (int)n;
    if (per_token * n <= c->room_scores) return true;
    if (!run_pending(c, e)) return false;
    gpu_graph_release(c->g, c->graph);          // it was recorded with the old address
    c->graph = NULL;
    gpu_release(c->g, c->scores);
    c->scores = NULL;
    c->room_scores = 0;
    void *p = NULL;
    if (!gpu_alloc(c->g, &p, per_token * n * (int64_t)sizeof(float), "attention scores", e)) return false;
    c->scores = p;
    c->room_scores = per_token * n;
    return true;
}

static bool op_attention(backend *b, const attention_args *a, err *e)
{
    cuda_backend *c = self(b);
    const gpu_kv kv = kv_of(a->kv);
    int tokens = 0;
    if (!need_scores(c, a, &kv, &tokens, e)) return false;
    const int64_t row = (int64_t)a->n_head * kv.head_dim;
    for (int t = 0; t < a->n; t += tokens) {
        const int n = a->n - t < tokens ? a->n - t : tokens;
        const gpu_attention at = { .q = a->q + t * row, .out = a->out + t * row, .scores = c->scores, .kv = kv, .n = n, .n_head = a->n_head,
                                   .pos0 = a->pos0 + t, .window = a->window, .scale = a->scale, .softcap = a->softcap };
        if (!add_op(c, &(cuda_op){ .kind = OP_ATTENTION, .attention = at }, e)) return false;
    }
    return true;
}

static bool op_argmax(backend *b, int32_t *id, const float *x, int64_t n, err *e)
{
    cuda_backend *c = self(b);
    if (!add_op(c, &(cuda_op){ .kind = OP_ARGMAX, .a = x, .n = n }, e)) return false;
    return gpu_recording(c->g) || op_download(b, id, c->chosen, sizeof *id, e);
}

// ---- a recorded decode step ------------------------------------------------------------------------------------------

static bool op_record_begin(backend *b, err *e)
{
    cuda_backend *c = self(b);
    if (!run_pending(c, e)) return false;
    gpu_graph_release(c->g, c->graph);
    c->graph = NULL;
    if (!gpu_record_begin(c->g, e)) return false;
    c->ctx.step = c->state;
    return true;
}

static bool op_record_end(backend *b, bool keep, err *e)
{
    cuda_backend *c = self(b);
    bool ok = true;
    if (keep) ok = run_pending(c, e);
    c->n_pending = 0;
    c->ctx.step = NULL;
    return gpu_record_end(c->g, keep && ok ? &c->graph : NULL, e) && ok;
}

static bool op_recorded(const backend *b) { return ((const cuda_backend *)b)->graph != NULL; }

static bool op_replay(backend *b, int32_t id, int64_t pos, int n, int32_t *ids, err *e)
{
    cuda_backend *c = self(b);
    gpu_step s = { .pos = pos, .id = id, .bad_kv = ~0ull };
    if (!c->graph || n < 1 || n > GPU_STEP_IDS) return err_set(e, ERR_SYSTEM, "device cuda: no decode step is recorded, or %d steps at once", n);
    if (!run_pending(c, e) || !gpu_upload(c->g, c->state, &s, sizeof s, e)) return false;
    for (int i = 0; i < n; i++)
        if (!gpu_graph_run(c->g, c->graph, e)) return false;
    if (!gpu_download(c->g, &s, c->state, sizeof s, e)) return false;
    if (s.bad_kv != ~0ull) return err_set(e, ERR_SYSTEM, "KV cache: position %llu does not fit %s", s.bad_kv, dtype_name(c->kv_type));
    if (s.n_out != n) return err_set(e, ERR_SYSTEM, "device cuda: %d decode steps gave %d ids", n, s.n_out);
    memcpy(ids, s.out, (size_t)n * sizeof *ids);
    return true;
}

// ---- opening ---------------------------------------------------------------------------------------------------------

static void op_close(backend *b)
{
    cuda_backend *c = self(b);
    gpu_graph_release(c->g, c->graph);
    products_close(c);
    gpu_close(c->g);
    free(c->pending);
    free(c->ids);
    free(c);
}

static const backend_ops cuda_ops = {
    .name = "cuda", .copies_weights = true, .batch = 512, .logits_rows = 128, .alloc = op_alloc, .release = op_release, .upload = op_upload, .download = op_download,
    .load_weight = op_load_weight, .free_weight = op_free_weight, .load_rope = op_load_rope, .free_rope = op_free_rope,
    .embed = op_embed, .rms_norm = op_rms_norm, .matmul = op_matmul, .add = op_add, .scale = op_scale, .mul_rows = op_mul_rows,
    .gelu = op_gelu, .geglu = op_geglu, .softcap = op_softcap, .rotate = op_rotate, .kv_store = op_kv_store, .attention = op_attention,
    .argmax = op_argmax, .row_stats = op_row_stats, .row_kl = op_row_kl, .row_top = op_row_top, .sync = op_sync, .reserve_matmul = op_reserve_matmul, .memory_bytes = op_memory_bytes, .room = op_room, .copy_rate = op_copy_rate,
    .record_begin = op_record_begin, .record_end = op_record_end, .recorded = op_recorded, .replay = op_replay, .close = op_close,
};

bool backend_cuda_built(void) { return true; }

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
    c->state = state;
    c->chosen = chosen;
    c->ctx = (gpu_ctx){ .g = c->g, .round = a == ARITH_BF16, .state = c->state };
    if (!cuda_kernels_are_there(&c->ctx, e) || !gpu_upload(c->g, &c->state->bad_kv, &none, sizeof none, e) || !products_open(c, reproducible, e)) goto fail;
    return &c->base;
fail:
    op_close(&c->base);
    return NULL;
}

void backend_cuda_fuse(backend *b, bool on) { self(b)->fuse = on; }
