// run_experts: operations of experts and delta nets on a GPU, and gates. See run.h, op.h.
#include "run.h"

bool cuda_run_gate(const call *k, err *e)
{
    const op *o = k->o;
    const gpu_gating g = { .op = GPU_GATE, .dst = rows_at(k, o->out[0]), .x = rows_at(k, o->in[0]),
                           .by = rows_at(k, o->in[1]), .rows = (int64_t)k->a->n * o->rows, .per = o->rows,
                           .dim = o->dim, .one = o->in[1].one };
    return cuda_gating(&k->c->ctx, &g, e);
}

bool cuda_run_route(const call *k, err *e)
{
    const op *o = k->o;
    const gpu_route r = { .scores = at(k, o->in[0]), .scale = values_of(k, 0), .weights = at(k, o->out[0]),
                          .ids = at(k, o->out[1]), .scores_row = o->in[0].row, .weights_row = o->out[0].row,
                          .ids_row = o->out[1].row, .experts = o->experts, .slots = o->slots, .renorm = o->renorm,
                          .ties_high = o->ties_high, .round_weights = o->round_weights };
    return cuda_route(&k->c->ctx, &r, k->a->n, e);
}

// ---- products of experts --------------------------------------------------------------------------------------------

// Floats from one slot's answer to the next.
static int64_t out_head(const op *o, int i, int64_t rows) { return o->out[i].head ? o->out[i].head : rows; }

bool cuda_experts_alike(const op *o, const op_memory *m)
{
    const weight *a = &m->weights[o->w[0]], *b = &m->weights[o->w[1]];
    const int64_t rows = a->rows / o->experts;
    if (o->w[2] >= 0 || a->type != b->type || a->rows != b->rows || a->cols != b->cols) return false;
    return o->out[0].row == o->out[1].row && out_head(o, 0, rows) == out_head(o, 1, rows);
}

// Room for the order of n tokens' pairs. Grows outside recordings only: a recorded step is of one token, which needs
// none.
static bool need_order(const call *k, err *e)
{
    experts_order *s = &k->c->order;
    const int64_t bytes = cuda_experts_scratch(k->o->experts, k->o->slots, k->a->n);
    if (bytes <= s->room) return true;
    gpu_release(k->c->g, s->scratch);
    *s = (experts_order){ 0 };
    if (!gpu_alloc(k->c->g, &s->scratch, bytes, "order of experts", e)) return false;
    s->room = bytes;
    return true;
}

// Products that follow each other with the same ids share their order.
static bool many_experts(const call *k, gpu_experts *x, const gpu_matrix *w, err *e)
{
    experts_order *s = &k->c->order;
    if (!need_order(k, e)) return false;
    const bool sorted = s->of == x->ids && s->experts == x->experts && s->slots == x->slots;
    if (!cuda_sort_experts(&k->c->ctx, x, s->scratch, sorted, k->a->n, e)) return false;
    s->of = x->ids;
    s->of_floats = (k->a->n - 1) * x->ids_row + x->slots;
    s->experts = x->experts;
    s->slots = x->slots;
    return cuda_expert_tiles(&k->c->ctx, x, at(k, k->o->out[0]), w, e);
}

bool cuda_run_linear_id(const call *k, err *e)
{
    const op *o = k->o;
    gpu_matrix w[GPU_EXPERT_MATRICES];
    float     *dst[GPU_EXPERT_MATRICES];
    int n = 0;
    for (; n < GPU_EXPERT_MATRICES && o->w[n] >= 0; n++) {
        w[n] = matrix_of(weight_of(k, n));
        dst[n] = at(k, o->out[n]);
    }
    gpu_experts x = { .x = at(k, o->in[0]), .ids = at(k, o->in[1]), .ids_row = o->in[1].row, .x_row = o->in[0].row,
                      .x_head = o->in[0].head, .dst_row = o->out[0].row, .rows = w[0].rows / o->experts,
                      .experts = o->experts, .slots = o->slots };
    x.dst_head = out_head(o, 0, x.rows);
    if (k->a->n < CUDA_EXPERT_TOKENS) return cuda_expert_gemv(&k->c->ctx, &x, n, dst, w, k->a->n, e);
    return many_experts(k, &x, &w[0], e);
}

bool cuda_run_join(const call *k, err *e)
{
    const op *o = k->o;
    const gpu_join j = { .dst = at(k, o->out[0]), .x = at(k, o->in[0]), .weights = at(k, o->in[1]),
                         .dst_row = o->out[0].row, .x_row = o->in[0].row,
                         .x_head = o->in[0].head ? o->in[0].head : o->dim, .weights_row = o->in[1].row,
                         .slots = o->slots, .dim = o->dim };
    return cuda_join(&k->c->ctx, &j, k->a->n, e);
}

// ---- delta nets -----------------------------------------------------------------------------------------------------

bool cuda_run_conv(const call *k, err *e)
{
    const op *o = k->o;
    const weight *w = weight_of(k, 0);
    if (w->type != DT_F32 || w->rows != o->dim || w->cols < 2 || w->cols > OP_TAPS)
        return err_set(e, ERR_INPUT, "tensor '%s': expected a convolution of %d channels in F32, found [%lld][%lld] %s",
                       w->name, o->dim, (long long)w->rows, (long long)w->cols, dtype_name(w->type));
    const gpu_conv c = { .x = at(k, o->in[0]), .w = w->data, .y = at(k, o->out[0]),
                         .state = k->m->states[o->state].conv, .x_row = o->in[0].row, .y_row = o->out[0].row,
                         .channels = o->dim, .n = k->a->n, .taps = (int)w->cols, .late = o->late };
    return cuda_conv(&k->c->ctx, &c, k->a->pos0, o->keeps_state, e);
}

bool cuda_run_decay(const call *k, err *e)
{
    const op *o = k->o;
    const gpu_decay d = { .x = at(k, o->in[0]), .a = values_of(k, 0), .bias = values_of(k, 1), .y = at(k, o->out[0]),
                          .x_row = o->in[0].row, .y_row = o->out[0].row, .dim = o->dim, .scale = o->scale };
    return cuda_decay(&k->c->ctx, &d, k->a->n, e);
}

bool cuda_run_delta(const call *k, err *e)
{
    const op *o = k->o;
    const gpu_delta d = { .in = at(k, o->in[0]), .beta = at(k, o->in[1]), .decay = at(k, o->in[2]),
                          .out = at(k, o->out[0]), .state = k->m->states[o->state].s, .in_row = o->in[0].row,
                          .beta_row = o->in[1].row, .decay_row = o->in[2].row, .out_row = o->out[0].row, .n = k->a->n,
                          .heads = o->rows, .dim = o->dim, .key_heads = o->kv_rows, .key_dim = o->key_dim,
                          .scale = o->scale, .grouped = o->grouped };
    return cuda_delta(&k->c->ctx, &d, k->a->pos0, o->keeps_state, e);
}
