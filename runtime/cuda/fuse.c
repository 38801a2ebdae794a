// fuse: launches the operations that wait in a cuda_backend's list; neighbours that have a kernel in common become one launch.
//
// A fused kernel leaves in memory exactly what its operations would: no family file has to say which buffers are temporary.
// An operation moves ahead of others only when none of them touches what it touches.
#include "backend_cuda.h"
#include <string.h>

// ---- what an operation touches ---------------------------------------------------------------------------------------

typedef struct { const char *p; int64_t n_bytes; bool write; } span;
enum { MAX_SPANS = 5 };

static void put(span *s, int *n, const void *p, int64_t n_bytes, bool write)
{
    if (p) s[(*n)++] = (span){ .p = p, .n_bytes = n_bytes, .write = write };
}

// Weights, norms and tables are never written: they are left out.
static int spans_of(span s[MAX_SPANS], const cuda_op *o)
{
    const int64_t f = sizeof(float), head = (int64_t)o->attention.n * o->attention.n_head * o->attention.kv.head_dim;
    const int64_t cache = o->kv.capacity * o->kv.row_bytes, seen = o->attention.kv.capacity * o->attention.kv.row_bytes;
    int n = 0;
    switch (o->kind) {
    case OP_EMBED:   put(s, &n, o->dst, o->n * o->w.cols * f, true); break;
    case OP_NORM:    put(s, &n, o->dst, o->n * o->dim * f, true); put(s, &n, o->a, o->n * o->dim * f, false); break;
    case OP_MATMUL:  put(s, &n, o->dst, o->n * o->w.rows * f, true); put(s, &n, o->a, o->n * o->w.cols * f, false); break;
    case OP_ADD: case OP_SCALE: case OP_GELU: case OP_GEGLU: case OP_SOFTCAP:
        put(s, &n, o->dst, o->n * f, true); put(s, &n, o->a, o->n * f, false); put(s, &n, o->b, o->n * f, false); break;
    case OP_MUL_ROWS:
        put(s, &n, o->dst, o->n * o->dim * f, true); put(s, &n, o->a, o->n * o->dim * f, false);
        put(s, &n, o->b, ((o->n - 1) * o->stride + o->dim) * f, false); break;
    case OP_ROTATE:  put(s, &n, o->dst, o->n * o->n_head * o->dim * f, true); break;
    case OP_KV_STORE:
        put(s, &n, o->a, o->n * o->kv.n_kv_head * o->kv.head_dim * f, false); put(s, &n, o->b, o->n * o->kv.n_kv_head * o->kv.head_dim * f, false);
        put(s, &n, o->kv.k, cache, true); put(s, &n, o->kv.v, cache, true); break;
    case OP_ATTENTION:
        put(s, &n, o->attention.out, head * f, true); put(s, &n, o->attention.q, head * f, false); put(s, &n, o->attention.kv.k, seen, false);
        put(s, &n, o->attention.kv.v, seen, false); put(s, &n, o->attention.scores, f, true); break;
    case OP_ARGMAX:  put(s, &n, o->a, o->n * f, false); break;
    }
    return n;
}

static bool conflict(const cuda_op *a, const cuda_op *b)
{
    span sa[MAX_SPANS], sb[MAX_SPANS];
    const int na = spans_of(sa, a), nb = spans_of(sb, b);
    for (int i = 0; i < na; i++)
        for (int j = 0; j < nb; j++)
            if ((sa[i].write || sb[j].write) && sa[i].p < sb[j].p + sb[j].n_bytes && sb[j].p < sa[i].p + sa[i].n_bytes) return true;
    return false;
}

// Activations that products share as pieces (pieces.cu), once o writes to them.
static void forget_cut(cuda_backend *c, const cuda_op *o)
{
    gpu_products *p = &c->products;
    if (p->cut && conflict(o, &(cuda_op){ .kind = OP_ADD, .a = p->cut, .n = p->cut_n })) p->cut = NULL;
}

// ---- one operation ---------------------------------------------------------------------------------------------------

static bool launch_one(cuda_backend *c, const cuda_op *o, err *e)
{
    const gpu_ctx *x = &c->ctx;
    const int n = (int)o->n;
    forget_cut(c, o);
    switch (o->kind) {
    case OP_EMBED:     return cuda_embed(x, o->dst, &o->w, o->ids, n, o->f, e);
    case OP_NORM:      return cuda_rms_norm(x, o->dst, o->a, o->b, o->n, o->dim, o->f, e);
    case OP_MATMUL:    return cuda_matmul(x, o->dst, &o->w, o->a, n, e);
    case OP_ADD:       return cuda_add(x, o->dst, o->a, o->b, o->n, e);
    case OP_SCALE:     return cuda_scale(x, o->dst, o->f, o->n, e);
    case OP_MUL_ROWS:  return cuda_mul_rows(x, o->dst, o->a, o->b, o->stride, n, o->dim, e);
    case OP_GELU:      return cuda_gelu(x, o->dst, o->n, e);
    case OP_GEGLU:     return cuda_geglu(x, o->dst, o->b, o->n, e);
    case OP_SOFTCAP:   return cuda_softcap(x, o->dst, o->f, o->n, e);
    case OP_ROTATE:    return cuda_rotate(x, o->dst, o->b, o->dim, n, o->n_head, o->pos0, e);
    case OP_KV_STORE:  return cuda_kv_store(x, &o->kv, o->a, o->b, n, o->pos0, e);
    case OP_ATTENTION: return cuda_attention(x, &o->attention, e);
    case OP_ARGMAX:    return cuda_argmax(x, c->chosen, o->a, o->n, (char *)c->chosen + 256, e);
    }
    return false;
}

// ---- several at once -------------------------------------------------------------------------------------------------
// Each of these looks at the operations not yet launched from the front of `list` on, and gives how many of them it launched: 0 if
// the pattern is not there, -1 on failure.

enum { LOOK_AHEAD = 12 };

typedef struct { cuda_op *op[LOOK_AHEAD]; int n; } front;       // the next operations, hoisted ones left out

static bool is_vector_product(const cuda_op *o) { return o->kind == OP_MATMUL && o->n == 1; }

static bool same_shape(const gpu_matrix *a, const gpu_matrix *b) { return a->type == b->type && a->rows == b->rows && a->cols == b->cols; }

// gate and up products, then geglu.
static int try_geglu(cuda_backend *c, const front *f, err *e)
{
    const cuda_op *g = f->op[0], *u = f->op[1], *x = f->op[2];
    if (f->n < 3 || !is_vector_product(g) || !is_vector_product(u) || x->kind != OP_GEGLU) return 0;
    if (!same_shape(&g->w, &u->w) || g->a != u->a || x->dst != g->dst || x->b != u->dst || x->n != g->w.rows || conflict(g, u)) return 0;
    return cuda_gemv_geglu(&c->ctx, g->dst, u->dst, &g->w, &u->w, g->a, e) ? 3 : -1;
}

// product, gelu, product with a row.
static int try_gelu_mul(cuda_backend *c, const front *f, err *e)
{
    const cuda_op *m = f->op[0], *g = f->op[1], *x = f->op[2];
    if (f->n < 3 || !is_vector_product(m) || g->kind != OP_GELU || x->kind != OP_MUL_ROWS || x->n != 1) return 0;
    if (g->dst != m->dst || g->n != m->w.rows || x->dst != m->dst || x->a != m->dst || x->dim != m->w.rows) return 0;
    const cuda_op reads_by = { .kind = OP_ADD, .b = x->b, .n = x->dim };
    if (conflict(m, &reads_by)) return 0;
    return cuda_gemv_gelu_mul(&c->ctx, m->dst, &m->w, m->a, x->b, e) ? 3 : -1;
}

// norm, residual sum, perhaps a scale, perhaps the next norm.
static int try_norm_add(cuda_backend *c, const front *f, err *e)
{
    const cuda_op *norm = f->op[0], *add = f->op[1];
    if (f->n < 2 || norm->kind != OP_NORM || norm->dst != norm->a || !norm->b || add->kind != OP_ADD) return 0;
    if (add->dst != add->a || add->b != norm->dst || add->n != norm->n * norm->dim || conflict(norm, &(cuda_op){ .kind = OP_SCALE, .dst = add->dst, .n = add->n }))
        return 0;
    int used = 2;
    float scale = 1.0f;
    if (used < f->n && f->op[used]->kind == OP_SCALE && f->op[used]->dst == add->dst && f->op[used]->n == add->n) scale = f->op[used++]->f;
    const cuda_op *next = used < f->n ? f->op[used] : NULL;
    const bool again = next && next->kind == OP_NORM && next->dst == norm->dst && next->a == add->dst && next->b && next->n == norm->n &&
                       next->dim == norm->dim && next->f == norm->f;
    if (again) used++;
    return cuda_norm_add_norm(&c->ctx, add->dst, norm->dst, norm->b, again ? next->b : NULL, scale, norm->n, norm->dim, norm->f, e) ? used : -1;
}

static bool norm_then_rotate(const cuda_op *norm, const cuda_op *turn)
{
    return norm->kind == OP_NORM && norm->dst == norm->a && norm->b && turn->kind == OP_ROTATE && turn->dst == norm->dst && turn->dim == norm->dim &&
           norm->n == turn->n * turn->n_head;
}

// norm and rotation of q; then, where the layer has them: norm of v, norm and rotation of k, storing.
static int try_heads(cuda_backend *c, const front *f, err *e)
{
    if (f->n < 2 || !norm_then_rotate(f->op[0], f->op[1])) return 0;
    const cuda_op *norm = f->op[0], *turn = f->op[1];
    const int n = (int)turn->n;
    gpu_heads h = { .q = norm->dst, .q_norm = norm->b, .table = turn->b, .n_head = turn->n_head, .head_dim = turn->dim, .eps = norm->f };
    int at = 2;
    const cuda_op *v = at < f->n && f->op[at]->kind == OP_NORM && !f->op[at]->b ? f->op[at++] : NULL;
    if (at + 2 < f->n && norm_then_rotate(f->op[at], f->op[at + 1]) && f->op[at + 2]->kind == OP_KV_STORE) {
        const cuda_op *k = f->op[at], *kt = f->op[at + 1], *store = f->op[at + 2];
        const bool fits = store->a == k->dst && kt->n == n && store->n == n && kt->dim == h.head_dim && store->kv.head_dim == h.head_dim &&
                          store->kv.n_kv_head == kt->n_head && kt->b == h.table && kt->pos0 == turn->pos0 && store->pos0 == turn->pos0 && k->f == h.eps &&
                          k->dst != h.q && store->b != h.q && store->b != k->dst &&
                          (!v || (v->dst == store->b && v->n == k->n && v->dim == h.head_dim && v->f == h.eps && v->a != h.q));
        if (fits) {
            h.k = k->dst;
            h.v = (float *)(uintptr_t)store->b;
            h.v_from = v ? v->a : store->b;
            h.v_norm = v != NULL;
            h.k_norm = k->b;
            h.kv = store->kv;
            at += 3;
        }
    }
    if (!h.k) at = 2;
    return cuda_heads(&c->ctx, &h, n, turn->pos0, e) ? at : -1;
}

// ---- the list --------------------------------------------------------------------------------------------------------

static void look(front *f, cuda_op *list, int n, const bool *gone)
{
    f->n = 0;
    for (int i = 0; i < n && f->n < LOOK_AHEAD; i++)
        if (!gone[i]) f->op[f->n++] = &list[i];
    for (int i = f->n; i < LOOK_AHEAD; i++) f->op[i] = list;        // never read as an operation: f->n says so
}

// The vector product in front, and those behind it that multiply the same vector and may be moved up to it, in one launch.
static bool launch_products(cuda_backend *c, const front *f, const cuda_op *taken[], int *n_taken, err *e)
{
    float *dst[GPU_SEGMENTS];
    gpu_matrix w[GPU_SEGMENTS];
    *n_taken = 0;
    for (int i = 0; i < f->n && *n_taken < GPU_SEGMENTS; i++) {
        const cuda_op *o = f->op[i];
        bool movable = is_vector_product(o) && o->a == f->op[0]->a && o->w.type == f->op[0]->w.type && o->w.cols == f->op[0]->w.cols;
        // A hoisted product must not touch what an operation before it touches, launched with it or not.
        for (int j = 0; movable && j < i; j++) movable = !conflict(f->op[j], o);
        // gate and up stay together for try_geglu.
        if (!movable || (i > 0 && i + 2 < f->n && f->op[i + 2]->kind == OP_GEGLU)) continue;
        dst[*n_taken] = o->dst;
        w[*n_taken] = o->w;
        taken[(*n_taken)++] = o;
    }
    return cuda_gemv_many(&c->ctx, *n_taken, dst, w, f->op[0]->a, e);
}

// Launches something from the front of the list and marks it gone.
static bool launch_front(cuda_backend *c, cuda_op *list, int n, bool *gone, err *e)
{
    static int (*const patterns[])(cuda_backend *, const front *, err *) = { try_geglu, try_gelu_mul, try_norm_add, try_heads };
    front f;
    look(&f, list, n, gone);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const int used = patterns[i](c, &f, e);
        if (used < 0) return false;
        for (int j = 0; j < used; j++) {
            forget_cut(c, f.op[j]);
            gone[f.op[j] - list] = true;
        }
        if (used > 0) return true;
    }
    if (is_vector_product(f.op[0])) {
        const cuda_op *taken[GPU_SEGMENTS];
        int n_taken = 0;
        if (!launch_products(c, &f, taken, &n_taken, e)) return false;
        for (int j = 0; j < n_taken; j++) {
            forget_cut(c, taken[j]);
            gone[taken[j] - list] = true;
        }
        return true;
    }
    gone[f.op[0] - list] = true;
    return launch_one(c, f.op[0], e);
}

enum { WINDOW_OPS = 64 };       // operations looked at together

bool run_pending(cuda_backend *c, err *e)
{
    const int total = c->n_pending;
    bool ok = true;
    c->ctx.fault = (int)c->base.fault;
    c->n_pending = 0;
    c->products.cut = NULL;                                 // uploads and the host came in between
    for (int i = 0; ok && !c->fuse && i < total; i++) ok = launch_one(c, &c->pending[i], e);
    if (!c->fuse) return ok;
    // `gone` slides with the first operation that is not launched: what is hoisted is never further than LOOK_AHEAD.
    bool gone[WINDOW_OPS] = { false };
    for (int first = 0; ok && first < total;) {
        const int n = total - first < WINDOW_OPS ? total - first : WINDOW_OPS;
        ok = launch_front(c, c->pending + first, n, gone, e);
        int done = 0;
        while (done < n && gone[done]) done++;
        memmove(gone, gone + done, (size_t)(WINDOW_OPS - done) * sizeof *gone);
        memset(gone + WINDOW_OPS - done, 0, (size_t)done * sizeof *gone);
        first += done;
    }
    return ok;
}
