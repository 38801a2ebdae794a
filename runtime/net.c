// net: running a program's lists: see net.h. Weights and memory are net_load.c's.
#include "net_internal.h"
#include "program_kv.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- lowering -------------------------------------------------------------------------------------------------------

typedef enum { FOR_MANY, FOR_ONE, WHOLLY } lowering;

// Appends o as the backend has it, or what it expands to.
static bool lower_one(net *m, op_list *to, int *room, const op *o, lowering how, err *e)
{
    op finer[OP_EXPANSION];
    const int n = op_expand(o, finer);
    if (n > 0 && (how == WHOLLY || !m->b->ops->has(m->b, o, &m->mem, how == FOR_ONE))) {
        for (int i = 0; i < n; i++)
            if (!lower_one(m, to, room, &finer[i], how, e)) return false;
        return true;
    }
    if (to->n == *room) {
        const int more = *room ? 2 * *room : 64;
        op *ops = realloc(to->ops, (size_t)more * sizeof *ops);
        if (!ops) return err_nomem(e, "list of operations", (size_t)more * sizeof *ops);
        to->ops = ops;
        *room = more;
    }
    to->ops[to->n++] = *o;
    return true;
}

static bool lower(net *m, op_list *to, const op *ops, int n, lowering how, err *e)
{
    int room = 0;
    free(to->ops);
    *to = (op_list){ 0 };
    for (int i = 0; i < n; i++)
        if (!lower_one(m, to, &room, &ops[i], how, e)) return false;
    return true;
}

bool net_lower(net *m, err *e)
{
    const program *p = &m->p;
    if (!lower(m, &m->many, p->ops, p->n_ops, FOR_MANY, e)) return false;
    if (!lower(m, &m->one, p->ops, p->n_ops, FOR_ONE, e)) return false;
    if (!lower(m, &m->fine, p->ops, p->n_ops, WHOLLY, e)) return false;
    if (!lower(m, &m->head_many, p->head, p->n_head, FOR_MANY, e)) return false;
    if (!lower(m, &m->head_one, p->head, p->n_head, FOR_ONE, e)) return false;
    m->argmax = op_new(OP_ARGMAX, -1);
    m->argmax.in[0] = program_view(p, p->logits);
    m->argmax.dim = (int)m->h->n_vocab;
    return true;
}

// ---- running --------------------------------------------------------------------------------------------------------

static bool download_row(net *m, float *to, view v, int token, int64_t dim, const op_args *a, err *e)
{
    const float *from = op_at(&m->mem, a, v) + (int64_t)token * v.row;
    return m->b->ops->download(m->b, to, from, dim * (int64_t)sizeof *to, e);
}

static bool is_observed(const net *m, const op *o)
{
    return m->observer && (o->kind == OP_LINEAR || o->kind == OP_LINEAR_ID) && o->layer >= 0;
}

// An operand of the batch on the host: n rows of v.row floats, the last of which may be shorter.
static bool download_rows(net *m, float *to, view v, int64_t last, const op_args *a, err *e)
{
    return m->b->ops->download(m->b, to, op_at(&m->mem, a, v),
                               ((a->n - 1) * (int64_t)v.row + last) * (int64_t)sizeof *to, e);
}

// Rows of m->observed that expert x sees, moved to the front; how many.
static int rows_of_expert(net *m, const op *o, const float *ids, int x, const op_args *a, int64_t cols, float *rows)
{
    int n = 0;
    for (int64_t i = 0; i < (int64_t)a->n * o->slots; i++) {
        const int64_t t = i / o->slots, s = i % o->slots;
        if ((int)ids[t * o->in[1].row + s] != x) continue;
        memcpy(rows + n++ * cols, m->observed + t * o->in[0].row + s * o->in[0].head, (size_t)cols * sizeof *rows);
    }
    return n;
}

// Shows the rows that each expert sees.
static bool show_experts(net *m, const op *o, const op_args *a, err *e)
{
    const weight *w = &m->mem.weights[o->w[0]];
    float *ids = m->observed_ids, *rows = m->observed_rows;
    if (!download_rows(m, m->observed, o->in[0], o->in[0].head ? (o->slots - 1) * (int64_t)o->in[0].head + w->cols
                       : w->cols, a, e)) return false;
    if (!download_rows(m, ids, o->in[1], o->slots, a, e)) return false;
    for (int x = 0; x < o->experts; x++) {
        const product_input in = { .tensor = w->name, .x = rows, .n = rows_of_expert(m, o, ids, x, a, w->cols, rows),
                                   .cols = w->cols,
                                   .expert = x, .experts = o->experts };
        if (in.n > 0) m->observer(m->observer_ctx, &in);
    }
    return true;
}

// Shows the input of a layer's product to the observer.
static bool show(net *m, const op *o, const op_args *a, err *e)
{
    if (o->kind == OP_LINEAR_ID) return show_experts(m, o, a, e);
    const weight *w = &m->mem.weights[o->w[0]];
    if (!download_rows(m, m->observed, o->in[0], w->cols, a, e)) return false;
    m->observer(m->observer_ctx, &(product_input){ .tensor = w->name, .x = m->observed, .n = a->n, .cols = w->cols });
    return true;
}

// Runs a list, stopping where somebody wants to look.
static bool run_list(net *m, const op_list *l, const op_args *a, float *hidden, err *e)
{
    int from = 0;
    for (int i = 0; i < l->n; i++) {
        const op *o = &l->ops[i];
        const bool marked = hidden && o->kind == OP_MARK, observed = is_observed(m, o);
        if (!marked && !observed) continue;
        if (!m->b->ops->run(m->b, l->ops + from, i - from, &m->mem, a, e)) return false;
        from = i;
        if (observed && !show(m, o, a, e)) return false;
        if (marked && !download_row(m, hidden + (int64_t)o->mark * m->p.mark_dim, o->in[0], a->n - 1, o->dim, a, e))
            return false;
    }
    return m->b->ops->run(m->b, l->ops + from, l->n - from, &m->mem, a, e);
}

bool net_forward(net *m, const int32_t *ids, int n, int64_t pos0, float *hidden, err *e)
{
    const op_args a = { .ids = ids, .n = n, .pos0 = pos0 };
    return run_list(m, m->observer ? &m->fine : n == 1 ? &m->one : &m->many, &a, hidden, e);
}

bool net_hold_logits(net *m, int first, int count, err *e)
{
    const op_args a = { .n = count, .first = first };
    const op_list *head = count == 1 ? &m->head_one : &m->head_many;
    return m->b->ops->run(m->b, head->ops, head->n, &m->mem, &a, e);
}

bool net_logits(net *m, int first, int count, float *logits, err *e)
{
    const int64_t n_vocab = m->h->n_vocab;
    for (int i = 0; i < count; i += m->logits_rows) {
        const int n = count - i < m->logits_rows ? count - i : m->logits_rows;
        if (!net_hold_logits(m, first + i, n, e)) return false;
        if (!m->b->ops->download(m->b, logits + i * n_vocab, net_held(m), n * n_vocab * (int64_t)sizeof(float), e))
            return false;
    }
    return true;
}

int net_logits_rows(const net *m)       { return m->logits_rows; }
const float *net_held(const net *m)     { return m->mem.buffers[m->p.logits]; }

bool net_argmax(net *m, int i, int32_t *id, err *e)
{
    const op_args a = { .n = 1, .chosen = id };
    return net_hold_logits(m, i, 1, e) && m->b->ops->run(m->b, &m->argmax, 1, &m->mem, &a, e);
}

bool net_record(net *m, err *e)
{
    backend *b = m->b;
    if (!b->ops->record_begin(b, e)) return false;
    const bool ok = net_forward(m, NULL, 1, 0, NULL, e) && net_argmax(m, 0, NULL, e);
    return b->ops->record_end(b, ok, e) && ok;
}

bool net_recorded_logits(net *m, float *logits, err *e)
{
    return m->b->ops->download(m->b, logits, net_held(m), m->h->n_vocab * (int64_t)sizeof(float), e);
}

// Floats of a token that observers are shown: of the widest input there is, and of what its slots see of it, one behind
// the other.
static void observed_floats(const net *m, int64_t *input, int64_t *rows)
{
    *input = m->widest;
    *rows = 0;
    for (int i = 0; i < m->fine.n; i++) {
        const op *o = &m->fine.ops[i];
        if (o->kind != OP_LINEAR_ID) continue;
        const int64_t row = o->in[0].row, seen = o->slots * m->mem.weights[o->w[0]].cols;
        if (row > *input) *input = row;
        if (seen > *rows) *rows = seen;
    }
}

static bool observed_alloc(net *m, err *e)
{
    int64_t input, rows;
    observed_floats(m, &input, &rows);
    const size_t bytes = (size_t)m->n_batch * (size_t)(input + rows + OP_SLOTS) * sizeof *m->observed;
    m->observed = malloc(bytes);
    if (!m->observed) return err_nomem(e, "copies of a product's input", bytes);
    m->observed_rows = m->observed + m->n_batch * input;
    m->observed_ids = m->observed_rows + m->n_batch * rows;
    return true;
}

bool net_observe(net *m, product_observer fn, void *ctx, err *e)
{
    if (fn && !m->observed && !observed_alloc(m, e)) return false;
    m->observer = fn;
    m->observer_ctx = ctx;
    return true;
}

// ---- opening --------------------------------------------------------------------------------------------------------

net *net_open(backend *b, const gguf *g, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch, err *e)
{
    return net_open_beside(b, g, h, kv, n_ctx, n_batch, &(net_loan){ 0 }, e);
}

net *net_open_beside(backend *b, const gguf *g, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch,
                     const net_loan *loan, err *e)
{
    net *m = calloc(1, sizeof *m);
    if (!m) {
        err_nomem(e, "model", sizeof *m);
        return NULL;
    }
    m->b = b;
    m->h = h;
    m->n_batch = n_batch;
    m->loan = *loan;
    m->logits_rows = n_batch < b->ops->logits_rows ? n_batch : b->ops->logits_rows;
    if (!program_build(&m->p, h, e)) goto fail;
    net_plant(m);
    if (!program_rotate(&m->p, h, kv, e)) goto fail;
    net_plant_rotated(m);
    if (!net_load(m, g, kv, n_ctx, e)) goto fail;
    if (!net_lower(m, e)) goto fail;
    return m;
fail:
    net_close(m);
    return NULL;
}

void net_close(net *m)
{
    if (!m) return;
    net_unload(m);
    free(m->many.ops);
    free(m->one.ops);
    free(m->fine.ops);
    free(m->head_many.ops);
    free(m->head_one.ops);
    free(m->observed);
    program_free(&m->p);
    free(m);
}

const op *net_list(const net *m, bool one_token, bool head, int *n)
{
    const op_list *l = head ? (one_token ? &m->head_one : &m->head_many) : one_token ? &m->one : &m->many;
    *n = l->n;
    return l->ops;
}

const op_memory *net_memory(const net *m) { return &m->mem; }
