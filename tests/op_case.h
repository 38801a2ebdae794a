// op_case: one operation, or a short list, on both backends with the same operands, for tests that hold CUDA against
// the CPU. Everything in memory is compared afterwards, what must stay as it was included.
#ifndef HALLMARK_TESTS_OP_CASE_H
#define HALLMARK_TESTS_OP_CASE_H

#include "cuda_both.h"

enum { CASE_OPS = 4, CASE_BUFFERS = 10, CASE_WEIGHTS = 3 };
typedef struct {
    op          list[CASE_OPS];
    int         n_ops, n_buffers, n_weights;
    float      *buffers[N_BACKENDS][CASE_BUFFERS];
    int64_t     floats[CASE_BUFFERS];
    weight      weights[N_BACKENDS][CASE_WEIGHTS];
    state_layer state[N_BACKENDS];
    rope        r[N_BACKENDS];
    kv_layer    cache[N_BACKENDS];
    bool        has_rope;
} op_case;

static inline op *case_op(op_case *c, op_kind kind)
{
    c->list[c->n_ops] = op_new(kind, 0);
    return &c->list[c->n_ops++];
}

// A buffer of n_floats with x (NULL: poison), rows of `row` a token.
static inline view case_buffer(op_case *c, const float *x, int64_t n_floats, int64_t row)
{
    const int b = c->n_buffers++;
    ck_assert_int_lt(b, CASE_BUFFERS);
    for (int i = 0; i < N_BACKENDS; i++) c->buffers[i][b] = put(i, x, n_floats);
    c->floats[b] = n_floats;
    return (view){ .buf = b, .row = (int32_t)row };
}

static inline view case_random(op_case *c, int64_t n_floats, int64_t row)
{
    float *x = random_floats(n_floats);
    const view v = case_buffer(c, x, n_floats, row);
    free(x);
    return v;
}

static inline int case_weight(op_case *c, const gguf_tensor *t)
{
    ck_assert_int_lt(c->n_weights, CASE_WEIGHTS);
    for (int i = 0; i < N_BACKENDS; i++) must(on[i]->ops->load_weight(on[i], t, &c->weights[i][c->n_weights], &e));
    return c->n_weights++;
}

// F32, of rows [n] or [rows][n]. The CPU reads x itself: it stays until case_end.
static inline int case_floats(op_case *c, const float *x, int64_t rows, int64_t n)
{
    const gguf_tensor t = { .name = "test.floats", .type = DT_F32, .n_dims = rows > 1 ? 2 : 1,
                            .shape = { rows > 1 ? rows : n, n, 1,
                                       1 }, .n_elems = rows * n, .n_bytes = rows * n * 4, .data = (const uint8_t *)x };
    return case_weight(c, &t);
}

static inline void case_state(op_case *c, int64_t conv_floats, int64_t s_floats)
{
    for (int i = 0; i < N_BACKENDS; i++)
        c->state[i] = (state_layer){ .conv = put(i, NULL, conv_floats + 1), .s = put(i, NULL, s_floats + 1),
                                     .conv_floats = conv_floats, .s_floats = s_floats };
}

static inline void case_rope(op_case *c, int head_dim, const float *inv_freq, int64_t n_ctx)
{
    c->has_rope = true;
    for (int i = 0; i < N_BACKENDS; i++) {
        c->r[i] = (rope){ .head_dim = head_dim, .inv_freq = inv_freq };
        must(on[i]->ops->load_rope(on[i], &c->r[i], n_ctx, &e));
    }
}

// The list as the backend has it, in one run: so that what operations share is shared.
static inline void case_on(op_case *c, int i, const op_args *a)
{
    const op_memory m = { .buffers = c->buffers[i], .weights = c->weights[i], .caches = &c->cache[i], .ropes = &c->r[i],
                          .states = &c->state[i] };
    op  all[CASE_OPS * OP_EXPANSION];
    int n = 0;
    for (int j = 0; j < c->n_ops; j++) {
        const op *o = &c->list[j];
        const int finer = on[i]->ops->has(on[i], o, &m, a->n == 1) ? 0 : op_expand(o, all + n);
        if (finer == 0) all[n] = *o;
        n += finer ? finer : 1;
    }
    must(on[i]->ops->run(on[i], all, n, &m, a, &e));
}

// step: the device finds the position in its memory, as in a recorded step, and is told a wrong one.
static inline void case_run(op_case *c, int n, int64_t pos, bool step)
{
    enum { WRONG = 3 };
    gpu_ctx *ctx = &((cuda_backend *)on[GPU])->ctx;
    case_on(c, CPU, &(op_args){ .n = n, .pos0 = pos });
    if (step) {
        const gpu_step s = { .pos = pos, .bad_kv = ~0ull };
        must(on[GPU]->ops->upload(on[GPU], ctx->state, &s, sizeof s, &e));
        ctx->step = ctx->state;
    }
    case_on(c, GPU, &(op_args){ .n = n, .pos0 = step ? (pos == 0 ? WRONG : 0) : pos });
    must(on[GPU]->ops->sync(on[GPU], &e));
    ctx->step = NULL;
}

static inline void case_compare(float *const p[N_BACKENDS], int64_t n, const char *what)
{
    float *x[N_BACKENDS];
    for (int i = 0; i < N_BACKENDS; i++) {
        x[i] = malloc((size_t)n * sizeof **x + 1);
        must(on[i]->ops->download(on[i], x[i], p[i], n * (int64_t)sizeof **x, &e));
    }
    same(x[CPU], x[GPU], n, what);
    free(x[CPU]);
    free(x[GPU]);
}

static inline void case_same(op_case *c, const char *what)
{
    char text[160];
    for (int b = 0; b < c->n_buffers; b++) {
        snprintf(text, sizeof text, "%s, buffer %d", what, b);
        case_compare((float *const[]){ c->buffers[CPU][b], c->buffers[GPU][b] }, c->floats[b], text);
    }
    if (!c->state[CPU].s) return;
    snprintf(text, sizeof text, "%s, state", what);
    case_compare((float *const[]){ c->state[CPU].conv, c->state[GPU].conv }, c->state[CPU].conv_floats + 1, text);
    case_compare((float *const[]){ c->state[CPU].s, c->state[GPU].s }, c->state[CPU].s_floats + 1, text);
}

static inline void case_end(op_case *c)
{
    for (int i = 0; i < N_BACKENDS; i++) {
        const backend_ops *o = on[i]->ops;
        for (int b = 0; b < c->n_buffers; b++) o->release(on[i], c->buffers[i][b]);
        for (int w = 0; w < c->n_weights; w++) o->free_weight(on[i], &c->weights[i][w]);
        o->release(on[i], c->state[i].conv);
        o->release(on[i], c->state[i].s);
        o->release(on[i], c->cache[i].k.data);
        o->release(on[i], c->cache[i].v.data);
        if (c->has_rope) o->free_rope(on[i], &c->r[i]);
    }
    *c = (op_case){ 0 };
}

#endif
