// op: see op.h.
#include "op.h"
#include "../arch/keys.h"

_Static_assert((int)OP_SLOTS == LIMIT_EXPERTS_USED && (int)OP_TAPS == LIMIT_TAPS, "files and operations hold as much");

static const char *const names[N_OP_KINDS] = {
    [OP_EMBED] = "embed",     [OP_NORM] = "norm",         [OP_LINEAR] = "linear", [OP_ADD] = "add",
    [OP_MUL] = "mul",         [OP_SCALE] = "scale",       [OP_ACT] = "act",       [OP_ACT_MUL] = "act_mul",
    [OP_SOFTCAP] = "softcap", [OP_ROTATE] = "rotate",     [OP_STORE] = "store",   [OP_ATTEND] = "attend",
    [OP_MARK] = "mark",       [OP_GATE] = "gate",         [OP_ROUTE] = "route",   [OP_LINEAR_ID] = "linear_id",
    [OP_JOIN] = "join",       [OP_HADAMARD] = "hadamard", [OP_L2NORM] = "l2norm", [OP_CONV] = "conv",
    [OP_DECAY] = "decay",     [OP_DELTA] = "delta",       [OP_ARGMAX] = "argmax", [OP_RESIDUAL] = "residual",
    [OP_GLU] = "glu",         [OP_GATED] = "gated",       [OP_HEADS] = "heads",
};

const char *op_name(op_kind k) { return names[k]; }

static const view no_view = { .buf = -1 };

op op_new(op_kind kind, int layer)
{
    op o = { .kind = kind, .layer = layer, .cache = -1, .rope = -1, .state = -1, .scale_from = -1, .scale = 1.0f,
             .rows = 1 };
    for (int i = 0; i < OP_VIEWS; i++) o.out[i] = o.in[i] = no_view;
    for (int i = 0; i < OP_WEIGHTS; i++) o.w[i] = o.bias[i] = -1;
    return o;
}

// ---- expansions -----------------------------------------------------------------------------------------------------

typedef struct { op *out; int n; } expansion;

static op *more(expansion *x, op_kind kind, const op *from)
{
    op *o = &x->out[x->n++];
    *o = op_new(kind, from->layer);
    return o;
}

static void norm(expansion *x, const op *from, view out, view in, int w, int rows, int dim)
{
    op *o = more(x, OP_NORM, from);
    o->out[0] = out;
    o->in[0] = in;
    o->w[0] = w;
    o->rows = rows;
    o->dim = dim;
    o->eps = from->eps;
    o->round_first = from->round_first;
}

static void linear(expansion *x, const op *from, view out, view in, int w, int bias)
{
    op *o = more(x, OP_LINEAR, from);
    o->out[0] = out;
    o->in[0] = in;
    o->w[0] = w;
    o->bias[0] = bias;
}

static void rotate(expansion *x, const op *from, view out, int rows)
{
    op *o = more(x, OP_ROTATE, from);
    o->out[0] = out;
    o->rope = from->rope;
    o->rows = rows;
    o->dim = from->dim;
    o->neighbours = from->neighbours;
}

static void expand_residual(expansion *x, const op *c)
{
    const view state = c->out[0], t = c->out[1];
    if (c->w[0] >= 0) norm(x, c, t, t, c->w[0], 1, c->dim);
    op *add = more(x, OP_ADD, c);
    add->out[0] = add->in[0] = state;
    add->in[1] = t;
    add->dim = c->dim;
    if (c->scale != 1.0f) {
        op *scale = more(x, OP_SCALE, c);
        scale->out[0] = state;
        scale->scale = c->scale;
        scale->dim = c->dim;
    }
    if (c->w[1] >= 0) norm(x, c, t, state, c->w[1], 1, c->dim);
}

static void expand_glu(expansion *x, const op *c)
{
    linear(x, c, c->out[0], c->in[0], c->w[0], -1);
    linear(x, c, c->out[1], c->in[0], c->w[1], -1);
    op *o = more(x, OP_ACT_MUL, c);
    o->out[0] = c->out[0];
    o->in[0] = c->out[1];
    o->act = c->act;
    o->dim = c->dim;
}

static void expand_gated(expansion *x, const op *c)
{
    linear(x, c, c->out[0], c->in[0], c->w[0], -1);
    op *act = more(x, OP_ACT, c);
    act->out[0] = c->out[0];
    act->act = c->act;
    act->dim = c->dim;
    op *mul = more(x, OP_MUL, c);
    mul->out[0] = mul->in[0] = c->out[0];
    mul->in[1] = c->in[1];
    mul->dim = c->dim;
}

static void expand_heads(expansion *x, const op *c)
{
    const view q = c->out[0], k = c->out[1], v = c->out[2];
    if (c->w[0] >= 0) norm(x, c, q, q, c->w[0], c->rows, c->dim);
    rotate(x, c, q, c->rows);
    if (c->cache < 0) return;
    // Before K's own norm: V may be made of K's projection.
    if (c->v_norm) norm(x, c, v, c->in[0], -1, c->kv_rows, c->dim);
    if (c->w[1] >= 0) norm(x, c, k, k, c->w[1], c->kv_rows, c->dim);
    rotate(x, c, k, c->kv_rows);
    op *store = more(x, OP_STORE, c);
    store->in[0] = k;
    store->in[1] = v;
    store->cache = c->cache;
    store->rows = c->kv_rows;
    store->dim = c->dim;
}

// One product for each of the matrices.
static void expand_linear(expansion *x, const op *c)
{
    for (int i = 0; i < OP_WEIGHTS; i++)
        if (c->w[i] >= 0) linear(x, c, c->out[i], c->in[0], c->w[i], c->bias[i]);
}

static void expand_linear_id(expansion *x, const op *c)
{
    for (int i = 0; i < OP_WEIGHTS; i++) {
        if (c->w[i] < 0) continue;
        op *o = more(x, OP_LINEAR_ID, c);
        o->out[0] = c->out[i];
        o->in[0] = c->in[0];
        o->in[1] = c->in[1];
        o->w[0] = c->w[i];
        o->experts = c->experts;
        o->slots = c->slots;
    }
}

int op_expand(const op *o, op out[OP_EXPANSION])
{
    expansion x = { .out = out };
    switch (o->kind) {
    case OP_RESIDUAL: expand_residual(&x, o); break;
    case OP_GLU:      expand_glu(&x, o); break;
    case OP_GATED:    expand_gated(&x, o); break;
    case OP_HEADS:    expand_heads(&x, o); break;
    case OP_LINEAR:
        if (o->w[1] >= 0) expand_linear(&x, o);
        break;
    case OP_LINEAR_ID:
        if (o->w[1] >= 0) expand_linear_id(&x, o);
        break;
    default: break;
    }
    return x.n;
}

// ---- what is touched ------------------------------------------------------------------------------------------------

typedef struct { op_span *s; int n; } spans;

static void touch(spans *all, view v, int64_t floats, bool write)
{
    if (v.buf < 0) return;
    all->s[all->n++] = (op_span){ .buf = v.buf, .cache = -1, .state = -1, .off = v.off, .row = v.row, .floats = floats,
                                  .write = write };
}

static void touch_cache(spans *all, int cache, bool write)
{
    all->s[all->n++] = (op_span){ .buf = -1, .cache = cache, .state = -1, .write = write };
}

static void touch_state(spans *all, int state)
{
    all->s[all->n++] = (op_span){ .buf = -1, .cache = -1, .state = state, .write = true };
}

// n rows of dim floats, which may lie apart.
static void touch_rows(spans *all, view v, int64_t n, int64_t dim, bool write)
{
    const int64_t head = v.head ? v.head : dim;
    touch(all, v, v.one ? n : (n - 1) * head + dim, write);
}

static void touch_route(const op *o, spans *all)
{
    touch(all, o->in[0], o->experts, false);
    touch(all, o->out[0], o->slots, true);
    touch(all, o->out[1], o->slots, true);
}

static void touch_products(const op *o, const op_shape w[OP_WEIGHTS], spans *all)
{
    touch_rows(all, o->in[0], o->in[0].head ? o->slots : 1, w[0].cols, false);
    touch(all, o->in[1], o->slots, false);
    for (int i = 0; i < OP_WEIGHTS; i++)
        if (o->w[i] >= 0) touch_rows(all, o->out[i], o->slots, w[i].rows / o->experts, true);
}

static void touch_join(const op *o, spans *all)
{
    touch_rows(all, o->in[0], o->slots, o->dim, false);
    touch(all, o->in[1], o->slots, false);
    touch(all, o->out[0], o->dim, true);
}

static void touch_experts(const op *o, const op_shape w[OP_WEIGHTS], spans *all)
{
    if (o->kind == OP_ROUTE)     touch_route(o, all);
    if (o->kind == OP_LINEAR_ID) touch_products(o, w, all);
    if (o->kind == OP_JOIN)      touch_join(o, all);
}

static void touch_delta(const op *o, spans *all)
{
    touch(all, o->in[0], 2 * (int64_t)o->kv_rows * o->key_dim + (int64_t)o->rows * o->dim, false);
    touch(all, o->in[1], o->rows, false);
    touch(all, o->in[2], o->rows, false);
    touch(all, o->out[0], (int64_t)o->rows * o->dim, true);
    touch_state(all, o->state);
}

int op_touches(const op *o, const op_shape w[OP_WEIGHTS], int head_dim, op_span out[OP_SPANS])
{
    spans all = { .s = out };
    const int64_t floats = (int64_t)o->rows * o->dim;
    switch (o->kind) {
    case OP_EMBED:
        touch(&all, o->out[0], w[0].cols, true);
        break;
    case OP_LINEAR: case OP_GLU: case OP_GATED:
        touch(&all, o->in[0], w[0].cols, false);
        for (int i = 0; i < OP_WEIGHTS; i++)
            if (o->w[i] >= 0) touch(&all, o->out[i], w[i].rows, true);
        touch(&all, o->in[1], o->dim, false);
        break;
    case OP_NORM: case OP_L2NORM: case OP_ADD: case OP_MUL: case OP_SCALE: case OP_ACT: case OP_ACT_MUL:
    case OP_SOFTCAP: case OP_ROTATE: case OP_HADAMARD: case OP_GATE: case OP_DECAY:
        for (int i = 0; i < OP_VIEWS; i++) touch_rows(&all, o->in[i], o->rows, o->dim, false);
        touch_rows(&all, o->out[0], o->rows, o->dim, true);
        break;
    case OP_ROUTE: case OP_LINEAR_ID: case OP_JOIN:
        touch_experts(o, w, &all);
        break;
    case OP_CONV:
        touch(&all, o->in[0], o->dim, false);
        touch(&all, o->out[0], o->dim, true);
        touch_state(&all, o->state);
        break;
    case OP_DELTA:
        touch_delta(o, &all);
        break;
    case OP_STORE:
        touch(&all, o->in[0], floats, false);
        touch(&all, o->in[1], floats, false);
        touch_cache(&all, o->cache, true);
        break;
    case OP_ATTEND:
        touch(&all, o->in[0], (int64_t)o->rows * head_dim, false);
        touch(&all, o->out[0], (int64_t)o->rows * head_dim, true);
        touch_cache(&all, o->cache, false);
        break;
    case OP_MARK: case OP_ARGMAX:
        touch(&all, o->in[0], o->dim, false);
        break;
    case OP_RESIDUAL:
        touch(&all, o->out[0], o->dim, true);
        touch(&all, o->out[1], o->dim, true);
        break;
    case OP_HEADS:
        touch(&all, o->out[0], floats, true);
        if (o->cache < 0) break;
        touch(&all, o->in[0], (int64_t)o->kv_rows * o->dim, false);
        touch(&all, o->out[1], (int64_t)o->kv_rows * o->dim, true);
        touch(&all, o->out[2], (int64_t)o->kv_rows * o->dim, true);
        touch_cache(&all, o->cache, true);
        break;
    case N_OP_KINDS: break;
    }
    return all.n;
}
