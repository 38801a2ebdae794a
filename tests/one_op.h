// one_op: single operations on plain pointers, for tests of a backend: each makes a list of one and the memory that it
// names.
#ifndef HALLMARK_TESTS_ONE_OP_H
#define HALLMARK_TESTS_ONE_OP_H

#include "runtime/backend.h"

typedef struct {
    op        o;
    float    *buffers[4];
    weight    w[OP_WEIGHTS];
    kv_layer  cache;
    rope      r;
    int       n_buffers;
} one_op;

static inline one_op one_new(op_kind kind) { return (one_op){ .o = op_new(kind, 0) }; }

// Contiguous rows of `row` floats at p.
static inline view one_view(one_op *x, const float *p, int64_t row)
{
    if (!p) return (view){ .buf = -1 };
    x->buffers[x->n_buffers] = (float *)(uintptr_t)p;
    return (view){ .buf = x->n_buffers++, .row = (int32_t)row };
}

static inline bool one_run(one_op *x, backend *b, op_args a, err *e)
{
    float *buffers[4];
    for (int i = 0; i < 4; i++) buffers[i] = x->buffers[i];
    const op_memory m = { .buffers = buffers, .weights = x->w, .caches = &x->cache, .ropes = &x->r };
    return b->ops->run(b, &x->o, 1, &m, &a, e);
}

static inline bool one_embed(backend *b, float *dst, const weight *w, const int32_t *ids, int n, float scale, err *e)
{
    one_op x = one_new(OP_EMBED);
    x.w[x.o.w[0] = 0] = *w;
    x.o.out[0] = one_view(&x, dst, w->cols);
    x.o.scale = scale;
    return one_run(&x, b, (op_args){ .ids = ids, .n = n }, e);
}

// round_first: see op.h
static inline bool one_norm_rounded(backend *b, float *dst, const float *in, const weight *w, int64_t rows, int dim,
                                    float eps, bool round_first, err *e)
{
    one_op x = one_new(OP_NORM);
    if (w) x.w[x.o.w[0] = 0] = *w;
    x.o.out[0] = one_view(&x, dst, dim);
    x.o.in[0] = one_view(&x, in, dim);
    x.o.dim = dim;
    x.o.eps = eps;
    x.o.round_first = round_first;
    return one_run(&x, b, (op_args){ .n = (int)rows }, e);
}

static inline bool one_norm(backend *b, float *dst, const float *in, const weight *w, int64_t rows, int dim, float eps,
                            err *e)
{
    return one_norm_rounded(b, dst, in, w, rows, dim, eps, false, e);
}

static inline bool one_matmul(backend *b, float *dst, const weight *w, const float *in, int n, err *e)
{
    one_op x = one_new(OP_LINEAR);
    x.w[x.o.w[0] = 0] = *w;
    x.o.out[0] = one_view(&x, dst, w->rows);
    x.o.in[0] = one_view(&x, in, w->cols);
    return one_run(&x, b, (op_args){ .n = n }, e);
}

// The product with a bias [rows] in the place that a weight has.
static inline bool one_biased(backend *b, float *dst, const weight *w, const weight *bias, const float *in, int n,
                              err *e)
{
    one_op x = one_new(OP_LINEAR);
    x.w[x.o.w[0] = 0] = *w;
    x.w[x.o.bias[0] = 1] = *bias;
    x.o.out[0] = one_view(&x, dst, w->rows);
    x.o.in[0] = one_view(&x, in, w->cols);
    return one_run(&x, b, (op_args){ .n = n }, e);
}

// dst = act(dst) (up NULL), or act(dst) * up.
static inline bool one_act(backend *b, activation act, float *dst, const float *up, int64_t n, err *e)
{
    one_op x = one_new(up ? OP_ACT_MUL : OP_ACT);
    x.o.out[0] = one_view(&x, dst, n);
    x.o.in[0] = one_view(&x, up, n);
    x.o.act = act;
    x.o.dim = (int)n;
    return one_run(&x, b, (op_args){ .n = 1 }, e);
}

// Element by element over n floats: OP_ADD, OP_SCALE, OP_SOFTCAP (f: scale or cap).
static inline bool one_each(backend *b, op_kind kind, float *dst, const float *a, const float *c, float f, int64_t n,
                            err *e)
{
    one_op x = one_new(kind);
    x.o.out[0] = one_view(&x, dst, n);
    if (kind == OP_ADD) x.o.in[0] = one_view(&x, a, n);
    if (kind == OP_ADD) x.o.in[1] = one_view(&x, c, n);
    x.o.dim = (int)n;
    x.o.scale = x.o.cap = f;
    return one_run(&x, b, (op_args){ .n = 1 }, e);
}

static inline bool one_mul(backend *b, float *dst, const float *a, const float *c, int64_t stride, int n, int dim,
                           err *e)
{
    one_op x = one_new(OP_MUL);
    x.o.out[0] = one_view(&x, dst, dim);
    x.o.in[0] = one_view(&x, a, dim);
    x.o.in[1] = one_view(&x, c, stride);
    x.o.dim = dim;
    return one_run(&x, b, (op_args){ .n = n }, e);
}

static inline bool one_rotate(backend *b, float *y, const rope *r, int n, int n_head, bool neighbours, int64_t pos0,
                              err *e)
{
    one_op x = one_new(OP_ROTATE);
    x.o.out[0] = one_view(&x, y, (int64_t)n_head * r->head_dim);
    x.r = *r;
    x.o.rope = 0;
    x.o.neighbours = neighbours;
    x.o.rows = n_head;
    x.o.dim = r->head_dim;
    return one_run(&x, b, (op_args){ .n = n, .pos0 = pos0 }, e);
}

static inline bool one_hadamard(backend *b, float *y, int n, int rows, int dim, int block, bool unrounded, err *e)
{
    one_op x = one_new(OP_HADAMARD);
    x.o.out[0] = one_view(&x, y, (int64_t)rows * dim);
    x.o.rows = rows;
    x.o.dim = dim;
    x.o.block = block;
    x.o.unrounded = unrounded;
    return one_run(&x, b, (op_args){ .n = n }, e);
}

static inline bool one_store(backend *b, const kv_layer *kv, const float *k, const float *v, int n, int64_t pos0,
                             err *e)
{
    one_op x = one_new(OP_STORE);
    const int64_t row = (int64_t)kv->n_kv_head * kv->head_dim;
    x.cache = *kv;
    x.o.cache = 0;
    x.o.in[0] = one_view(&x, k, row);
    x.o.in[1] = one_view(&x, v, row);
    x.o.rows = kv->n_kv_head;
    x.o.dim = kv->head_dim;
    return one_run(&x, b, (op_args){ .n = n, .pos0 = pos0 }, e);
}

static inline bool one_attend(backend *b, const attention_args *a, err *e)
{
    one_op x = one_new(OP_ATTEND);
    const int64_t row = (int64_t)a->n_head * a->kv->head_dim;
    x.cache = *a->kv;
    x.o.cache = 0;
    x.o.in[0] = one_view(&x, a->q, row);
    x.o.out[0] = one_view(&x, a->out, row);
    x.o.rows = a->n_head;
    x.o.dim = a->kv->head_dim;
    x.o.window = a->window;
    x.o.scale = a->scale;
    x.o.cap = a->softcap;
    x.o.unrounded = a->unrounded;
    return one_run(&x, b, (op_args){ .n = a->n, .pos0 = a->pos0 }, e);
}

static inline bool one_argmax(backend *b, int32_t *id, const float *in, int64_t n, err *e)
{
    one_op x = one_new(OP_ARGMAX);
    x.o.in[0] = one_view(&x, in, n);
    x.o.dim = (int)n;
    return one_run(&x, b, (op_args){ .n = 1, .chosen = id }, e);
}

#endif
