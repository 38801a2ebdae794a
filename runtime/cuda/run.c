// run: a list of operations on a GPU: each becomes one launch, or a few. What is in memory afterwards is what the CPU
// leaves, bit for bit.
#include "products.h"
#include "run.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- caches ---------------------------------------------------------------------------------------------------------

// Rows in one of the types that a device has, and no position whole beside them, have kernels of their own.
static bool has_rows(const kv_part *p) { return kv_trait_of(p->how.type)->bits == 0 && p->ring + p->sinks == 0; }

static gpu_kv_side side_of(const kv_part *p)
{
    const kv_trait *t = kv_trait_of(p->how.type);
    return (gpu_kv_side){ .type = has_rows(p) ? (int)t->type : GPU_KV_MIXED, .row = p->unit, .data = p->data,
                          .stored = t->type, .bits = t->bits, .group = p->how.group, .by_tokens = p->by_tokens,
                          .in_steps = p->in_steps, .units = (int)p->units, .newest = p->newest, .ring = (int)p->ring,
                          .sinks = (int)p->sinks, .whole_bf16 = p->whole == DT_BF16, .whole_row = p->whole_row,
                          .newest_data = p->newest_data, .sink_data = p->sink_data };
}

static bool fits_slots(const kv_part *p) { return has_rows(p) || (p->units <= INT32_MAX && p->ring <= INT32_MAX); }

bool cuda_kv_of(const kv_layer *kv, gpu_kv *to, err *e)
{
    if (!fits_slots(&kv->k) || !fits_slots(&kv->v))
        return err_set(e, ERR_SYSTEM, "device cuda: a KV cache of %lld positions, expected at most %d",
                       (long long)kv->capacity, INT32_MAX);
    *to = (gpu_kv){ .n_kv_head = kv->n_kv_head, .head_dim = kv->head_dim, .capacity = kv->capacity,
                    .k = side_of(&kv->k), .v = side_of(&kv->v) };
    return true;
}

static bool kv_of(const call *k, gpu_kv *to, err *e) { return cuda_kv_of(&k->m->caches[k->o->cache], to, e); }

static const char *stored_name(const kv_part *p)
{
    const kv_trait *t = kv_trait_of(p->how.type);
    return t->bits > 0 ? t->name : dtype_name(t->type);
}

static void note_store(const call *k)
{
    const kv_layer *kv = &k->m->caches[k->o->cache];
    const char *keys = stored_name(&kv->k), *values = stored_name(&kv->v);
    k->c->kv_stored = true;
    snprintf(k->c->kv_types, sizeof k->c->kv_types, strcmp(keys, values) == 0 ? "%s" : "%s and %s", keys, values);
}

// ---- fine operations ------------------------------------------------------------------------------------------------

// The ids on the device; uploaded only when they are not those that are there already (two embeddings share them).
static bool need_ids(cuda_backend *c, const int32_t *ids, int n, err *e)
{
    const size_t bytes = (size_t)n * sizeof *ids;
    if (n == c->n_ids && memcmp(ids, c->ids, bytes) == 0) return true;
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

static bool run_embed(const call *k, err *e)
{
    cuda_backend *c = k->c;
    const gpu_matrix w = matrix_of(weight_of(k, 0));
    if (k->a->ids && !need_ids(c, k->a->ids, k->a->n, e)) return false;
    // Gemma*TextScaledWordEmbedding casts its scale to the weight's dtype.
    const float s = c->ctx.round ? f32_from_bf16(bf16_from_f32(k->o->scale)) : k->o->scale;
    return cuda_embed(&c->ctx, at(k, k->o->out[0]), &w, k->a->ids ? c->ids_dev : NULL, k->a->n, s, e);
}

static bool run_norm(const call *k, err *e)
{
    const weight *w = weight_of(k, 0);
    if (w && (w->type != DT_F32 || w->cols != k->o->dim))
        return err_set(e, ERR_INPUT, "tensor '%s': expected a norm of %d F32, found %lld %s", w->name, k->o->dim,
                       (long long)w->cols, dtype_name(w->type));
    const gpu_norm n = { .dst = rows_at(k, k->o->out[0]), .x = rows_at(k, k->o->in[0]), .w = values_of(k, 0),
                         .rows = (int64_t)k->a->n * k->o->rows, .per = k->o->rows, .dim = k->o->dim, .eps = k->o->eps,
                         .round_first = k->o->round_first, .l2 = k->o->kind == OP_L2NORM };
    return cuda_norm(&k->c->ctx, &n, e);
}

// One product with what a bias adds: the sum of both is rounded.
static bool run_with_bias(const call *k, float *dst, const gpu_matrix *w, const float *x, err *e)
{
    gpu_ctx plain = k->c->ctx;
    plain.round = false;
    if (!cuda_matmul(&plain, dst, w, x, k->a->n, e)) return false;
    return cuda_add_bias(&k->c->ctx, dst, k->m->weights[k->o->bias[0]].data, k->a->n, w->rows, e);
}

// One product; or, of one token, up to three: those of one type and width in one launch.
static bool run_linear(const call *k, err *e)
{
    gpu_matrix w[OP_WEIGHTS];
    float     *dst[OP_WEIGHTS];
    const float *x = at(k, k->o->in[0]);
    int n = 0;
    for (int i = 0; i < OP_WEIGHTS; i++) {
        if (k->o->w[i] < 0) continue;
        w[n] = matrix_of(weight_of(k, i));
        dst[n++] = at(k, k->o->out[i]);
    }
    if (n == 1) {
        if (k->a->n > 1 && !products_reserve(k->c, &w[0], k->a->n, e)) return false;
        return k->o->bias[0] < 0 ? cuda_matmul(&k->c->ctx, dst[0], &w[0], x, k->a->n, e)
                                 : run_with_bias(k, dst[0], &w[0], x, e);
    }
    bool done[OP_WEIGHTS] = { false };
    for (int i = 0; i < n; i++) {
        gpu_matrix alike[OP_WEIGHTS];
        float     *to[OP_WEIGHTS];
        int        many = 0;
        for (int j = i; j < n; j++) {
            if (done[j] || w[j].type != w[i].type || w[j].cols != w[i].cols) continue;
            done[j] = true;
            alike[many] = w[j];
            to[many++] = dst[j];
        }
        if (many > 0 && !cuda_gemv_many(&k->c->ctx, many, to, alike, x, e)) return false;
    }
    return true;
}

static int64_t floats_of(const call *k) { return (int64_t)k->a->n * k->o->rows * k->o->dim; }

static bool run_add(const call *k, err *e)
{
    return cuda_add(&k->c->ctx, at(k, k->o->out[0]), at(k, k->o->in[0]), at(k, k->o->in[1]), floats_of(k), e);
}

static bool run_mul(const call *k, err *e)
{
    const float *by = values_of(k, 0);
    return cuda_mul_rows(&k->c->ctx, at(k, k->o->out[0]), at(k, k->o->in[0]), by ? by : at(k, k->o->in[1]),
                         by ? 0 : k->o->in[1].row, k->a->n, k->o->dim, e);
}

static bool run_scale(const call *k, err *e)
{
    return cuda_scale(&k->c->ctx, at(k, k->o->out[0]), k->o->scale, floats_of(k), e);
}

static bool run_act(const call *k, err *e)
{
    float *x = at(k, k->o->out[0]);
    if (k->o->act == ACT_SIGMOID) return cuda_sigmoid(&k->c->ctx, x, floats_of(k), e);
    return k->o->act == ACT_SILU ? cuda_silu(&k->c->ctx, x, floats_of(k), e)
                                 : cuda_gelu(&k->c->ctx, x, floats_of(k), e);
}

// Rows that lie apart, or rounded once.
static bool act_mul_rows(const call *k, err *e)
{
    const op *o = k->o;
    gpu_gating g = { .op = o->whole ? GPU_SWIGLU_WHOLE : o->act == ACT_SILU ? GPU_SWIGLU : GPU_GEGLU,
                     .dst = rows_at(k, o->out[0]), .by = rows_at(k, o->in[0]), .rows = (int64_t)k->a->n * o->rows,
                     .per = o->rows, .dim = o->dim };
    const bool apart = o->out[0].head || o->in[0].head;
    if (!apart) g.dst.row = g.by.row = (int64_t)o->rows * o->dim;
    g.x = g.dst;
    return cuda_gating(&k->c->ctx, &g, e);
}

static bool run_act_mul(const call *k, err *e)
{
    if (k->o->whole || k->o->out[0].head || k->o->in[0].head) return act_mul_rows(k, e);
    float *gate = at(k, k->o->out[0]);
    const float *up = at(k, k->o->in[0]);
    return k->o->act == ACT_SILU ? cuda_swiglu(&k->c->ctx, gate, up, floats_of(k), e)
                                 : cuda_geglu(&k->c->ctx, gate, up, floats_of(k), e);
}

static bool run_softcap(const call *k, err *e)
{
    return cuda_softcap(&k->c->ctx, at(k, k->o->out[0]), k->o->cap, floats_of(k), e);
}

static bool run_rotate(const call *k, err *e)
{
    const rope *r = &k->m->ropes[k->o->rope];
    return cuda_rotate(&k->c->ctx, at(k, k->o->out[0]), r->dev, r->head_dim, k->o->dim, k->a->n, k->o->rows,
                       k->o->neighbours, k->a->pos0, e);
}

static bool run_hadamard(const call *k, err *e)
{
    return cuda_hadamard(&k->c->ctx, at(k, k->o->out[0]), floats_of(k), k->o->block, k->o->unrounded, e);
}

static bool run_store(const call *k, err *e)
{
    gpu_kv kv;
    if (!kv_of(k, &kv, e)) return false;
    note_store(k);
    return cuda_kv_store(&k->c->ctx, &kv, at(k, k->o->in[0]), at(k, k->o->in[1]), k->a->n, k->a->pos0, e);
}

// Scores of as many tokens at once as SCORES_BYTES hold, one at least. Grows outside recordings only; decode never
// does: its need depends on the cache's capacity, not on the position.
static bool need_scores(const call *k, const gpu_kv *kv, int *tokens, err *e)
{
    cuda_backend *c = k->c;
    const int64_t per_token = cuda_attention_scratch(kv, k->o->rows, k->o->window);
    int64_t n = SCORES_BYTES / (int64_t)sizeof(float) / per_token;
    n = n < 1 ? 1 : n > k->a->n ? k->a->n : n;
    *tokens = (int)n;
    if (per_token * n <= c->room_scores) return true;
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

static bool run_attend(const call *k, err *e)
{
    gpu_kv kv;
    if (!kv_of(k, &kv, e)) return false;
    const int64_t row = (int64_t)k->o->rows * kv.head_dim;
    int tokens = 0;
    if (!need_scores(k, &kv, &tokens, e)) return false;
    for (int t = 0; t < k->a->n; t += tokens) {
        const int n = k->a->n - t < tokens ? k->a->n - t : tokens;
        const gpu_attention a = { .q = at(k, k->o->in[0]) + t * row,
                                  .out = at(k, k->o->out[0]) + t * row,
                                  .scores = k->c->scores,
                                  .kv = kv,
                                  .n = n,
                                  .n_head = k->o->rows,
                                  .pos0 = k->a->pos0 + t,
                                  .window = k->o->window,
                                  .scale = k->o->scale,
                                  .softcap = k->o->cap,
                                  .unrounded = k->o->unrounded };
        if (!cuda_attention(&k->c->ctx, &a, e)) return false;
    }
    return true;
}

static bool run_mark(const call *k, err *e) { return true; }

static bool run_argmax(const call *k, err *e)
{
    cuda_backend *c = k->c;
    if (!cuda_argmax(&c->ctx, c->chosen, at(k, k->o->in[0]), k->o->dim, (char *)c->chosen + 256, e)) return false;
    return gpu_recording(c->g) || c->base.ops->download(&c->base, k->a->chosen, c->chosen, sizeof *k->a->chosen, e);
}

// ---- coarse operations ----------------------------------------------------------------------------------------------

static bool run_residual(const call *k, err *e)
{
    return cuda_norm_add_norm(&k->c->ctx, at(k, k->o->out[0]), at(k, k->o->out[1]), values_of(k, 0), values_of(k, 1),
                              k->o->scale, k->a->n, k->o->dim, k->o->eps, k->o->round_first, e);
}

static bool run_glu(const call *k, err *e)
{
    const gpu_matrix gate = matrix_of(weight_of(k, 0)), up = matrix_of(weight_of(k, 1));
    return cuda_gemv_glu(&k->c->ctx, at(k, k->o->out[0]), at(k, k->o->out[1]), &gate, &up, at(k, k->o->in[0]),
                         k->o->act == ACT_SILU, e);
}

static bool run_gated(const call *k, err *e)
{
    const gpu_matrix w = matrix_of(weight_of(k, 0));
    return cuda_gemv_gelu_mul(&k->c->ctx, at(k, k->o->out[0]), &w, at(k, k->o->in[0]), at(k, k->o->in[1]), e);
}

static bool run_heads(const call *k, err *e)
{
    const op *o = k->o;
    const rope *r = &k->m->ropes[o->rope];
    gpu_heads h = { .q = at(k, o->out[0]), .q_norm = values_of(k, 0), .table = r->dev, .n_head = o->rows,
                    .head_dim = o->dim, .rot = r->head_dim, .eps = o->eps, .neighbours = o->neighbours,
                    .round_first = o->round_first };
    if (o->cache >= 0) {
        h.k = at(k, o->out[1]);
        h.v = at(k, o->out[2]);
        h.v_from = o->v_norm ? at(k, o->in[0]) : h.v;
        h.v_norm = o->v_norm;
        h.k_norm = values_of(k, 1);
        if (!kv_of(k, &h.kv, e)) return false;
        note_store(k);
    }
    return cuda_heads(&k->c->ctx, &h, k->a->n, k->a->pos0, e);
}

// ---- the list -------------------------------------------------------------------------------------------------------

typedef bool (*run_fn)(const call *k, err *e);
static const run_fn runs[N_OP_KINDS] = {
    [OP_EMBED] = run_embed,       [OP_NORM] = run_norm,
    [OP_LINEAR] = run_linear,     [OP_ADD] = run_add,
    [OP_MUL] = run_mul,           [OP_SCALE] = run_scale,
    [OP_ACT] = run_act,           [OP_ACT_MUL] = run_act_mul,
    [OP_SOFTCAP] = run_softcap,   [OP_ROTATE] = run_rotate,
    [OP_STORE] = run_store,       [OP_ATTEND] = run_attend,
    [OP_HADAMARD] = run_hadamard, [OP_MARK] = run_mark,
    [OP_ARGMAX] = run_argmax,     [OP_RESIDUAL] = run_residual,
    [OP_GLU] = run_glu,           [OP_GATED] = run_gated,
    [OP_HEADS] = run_heads,       [OP_GATE] = cuda_run_gate,
    [OP_ROUTE] = cuda_run_route,  [OP_LINEAR_ID] = cuda_run_linear_id,
    [OP_JOIN] = cuda_run_join,    [OP_L2NORM] = run_norm,
    [OP_CONV] = cuda_run_conv,    [OP_DECAY] = cuda_run_decay,
    [OP_DELTA] = cuda_run_delta,
};

// What heads are stored in: one type, or what is stored by launches of its own.
static bool stores_heads(const kv_layer *kv)
{
    return kv->k.how.type == kv->v.how.type || !has_rows(&kv->k) || !has_rows(&kv->v);
}

// Which coarse operations have a kernel. A fine one always has.
bool cuda_has(const backend *b, const op *o, const op_memory *m, bool one_token)
{
    op finer[OP_EXPANSION];
    if (op_expand(o, finer) == 0) return true;
    if (!((const cuda_backend *)b)->fuse) return false;
    switch (o->kind) {
    case OP_LINEAR:   return one_token && o->bias[0] < 0 && o->bias[1] < 0 && o->bias[2] < 0;
    case OP_GATED:    return one_token && o->act == ACT_GELU_TANH;
    case OP_RESIDUAL: return true;
    case OP_HEADS:    return o->cache < 0 || stores_heads(&m->caches[o->cache]);
    case OP_LINEAR_ID: return one_token && cuda_experts_alike(o, m);
    case OP_GLU: {
        const weight *gate = &m->weights[o->w[0]], *up = &m->weights[o->w[1]];
        return one_token && gate->type == up->type && gate->rows == up->rows && gate->cols == up->cols;
    }
    default: return false;
    }
}

// What products share of activations, their pieces (pieces.cu) and the order of their experts, is forgotten once an
// operation writes to them.
static void forget_shared(const call *k)
{
    gpu_products  *p = &k->c->products;
    experts_order *s = &k->c->order;
    op_shape shapes[OP_WEIGHTS] = { { 0 } };
    op_span  spans[OP_SPANS];
    if (!p->cut && !s->of) return;
    for (int i = 0; i < OP_WEIGHTS; i++)
        if (weight_of(k, i)) shapes[i] = (op_shape){ .rows = weight_of(k, i)->rows, .cols = weight_of(k, i)->cols };
    const int n = op_touches(k->o, shapes, k->o->dim, spans);
    for (int i = 0; i < n; i++) {
        if (!spans[i].write || spans[i].buf < 0) continue;
        const float *from = k->m->buffers[spans[i].buf] + spans[i].off;
        const float *to = from + (int64_t)(k->a->first + k->a->n - 1) * spans[i].row + spans[i].floats;
        if (p->cut && from < p->cut + p->cut_n && p->cut < to) p->cut = NULL;
        if (s->of && from < s->of + s->of_floats && s->of < to) s->of = NULL;
    }
}

bool cuda_run(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e)
{
    cuda_backend *c = (cuda_backend *)b;
    call k = { .c = c, .m = m, .a = a };
    c->ctx.fault = (int)c->base.fault;
    c->products.cut = c->order.of = NULL;                   // uploads and the host came in between
    for (int i = 0; i < n_ops; i++) {
        k.o = &list[i];
        if (!runs[k.o->kind]) return err_set(e, ERR_SYSTEM, "device cuda: no kernel for '%s'", op_name(k.o->kind));
        forget_shared(&k);
        if (!runs[k.o->kind](&k, e)) return false;
    }
    return true;
}
