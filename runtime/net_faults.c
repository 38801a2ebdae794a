// net_faults: the mistakes that tests plant in a program (backend.h): edits of its operations. Nothing in the program
// that people run.
#include "net_internal.h"

#ifdef HALLMARK_FAULTS
#include <math.h>
#include <stdlib.h>
#include <string.h>

// An earlier cache of the same shape than the one a sharing layer should read, where there is one.
static int wrong_cache(const net *m, const op *o)
{
    const layer_shape *own = &m->h->layers[m->p.caches[o->cache].layer];
    if (m->p.caches[o->cache].layer == o->layer) return o->cache;
    for (int c = o->cache - 1; c >= 0; c--) {
        const layer_shape *other = &m->h->layers[m->p.caches[c].layer];
        if (other->head_dim == own->head_dim && other->n_kv_head == own->n_kv_head) return c;
    }
    return o->cache;
}

// The last operation of a layer that a head of 512 was lost in leaves zeros.
static bool loses_layer(const net *m, int i)
{
    const op *o = &m->p.ops[i], *next = i + 1 < m->p.n_ops ? o + 1 : NULL;
    return o->kind == OP_RESIDUAL && (!next || next->kind == OP_MARK) && m->h->layers[o->layer].head_dim == 512;
}

// The norms that the first two sums lead to change places: those before the first layer's MLP and before the second
// layer.
static void swap_norms(net *m)
{
    op *first = NULL;
    for (int i = 0; i < m->p.n_ops; i++) {
        op *o = &m->p.ops[i];
        if (o->kind != OP_RESIDUAL) continue;
        if (first) {
            const int w = o->w[1];
            o->w[1] = first->w[1];
            first->w[1] = w;
            return;
        }
        first = o;
    }
}

// The output matrix is taken for the embedding.
static void tie_head(net *m)
{
    int i = 0;
    while (m->p.ops[i].kind != OP_EMBED) i++;
    m->p.head[0].w[0] = m->p.ops[i].w[0];
}

// ---- experts and delta nets -----------------------------------------------------------------------------------------

// An operation that is left out: what it changed stays as it is.
static void lose(op *o)
{
    o->kind = OP_SCALE;
    o->in[0] = o->in[1] = (view){ .buf = -1 };
    o->scale = 1.0f;
}

// Experts are chosen by what the router multiplied, not by its scores.
static void judge_by_input(net *m, int i)
{
    op *route = &m->p.ops[i];
    const op *product = route - 1;
    if (product->kind == OP_LINEAR) route->in[0] = product->in[0];
}

// Room for one more operation at i; false where memory is gone.
static bool insert(net *m, int i, op o)
{
    op *more = realloc(m->p.ops, ((size_t)m->p.n_ops + 1) * sizeof *more);
    if (!more) return false;
    m->p.ops = more;
    memmove(more + i + 1, more + i, (size_t)(m->p.n_ops - i) * sizeof *more);
    more[i] = o;
    m->p.n_ops++;
    return true;
}

// V that is K's projection is taken after K's norm. The operations that were put in.
static int norm_k_first(net *m, int i)
{
    const op heads = m->p.ops[i];
    if (heads.cache < 0 || !heads.v_norm || heads.in[0].buf != heads.out[1].buf) return 0;
    op norm = op_new(OP_NORM, heads.layer);
    norm.out[0] = norm.in[0] = heads.out[1];
    norm.w[0] = heads.w[1];
    norm.rows = heads.kv_rows;
    norm.dim = heads.dim;
    norm.eps = heads.eps;
    norm.round_first = heads.round_first;
    if (!insert(m, i, norm)) return 0;
    m->p.ops[i + 1].w[1] = -1;
    return 1;
}

// Norms whose weights a file holds with 1 added get another.
static void shift_norms(net *m, const op *o)
{
    const bool norms = o->kind == OP_NORM || o->kind == OP_RESIDUAL || o->kind == OP_HEADS;
    for (int k = 0; norms && !o->round_first && k < OP_WEIGHTS; k++)
        if (o->w[k] >= 0) m->p.weights[o->w[k]].cast = CAST_ADD_ONE;
}

static void plant_mixed(net *m, int i)
{
    op *o = &m->p.ops[i];
    switch (m->b->fault) {
    case FAULT_EXPERT_SCORE:      if (o->kind == OP_ROUTE) judge_by_input(m, i); break;
    case FAULT_ROUTE_NOT_RENORMED: o->renorm = false; break;
    case FAULT_TIES_HIGH:         if (o->kind == OP_ROUTE) o->ties_high = true; break;
    case FAULT_SHARED_GATE_LOST:  if (o->kind == OP_GATE && o->in[1].one) lose(o); break;
    case FAULT_OUTPUT_GATE_LOST:  if (o->kind == OP_GATE && !o->in[1].one) lose(o); break;
    case FAULT_DECAY_SIGN:        if (o->kind == OP_DECAY) o->scale = -1.0f; break;
    case FAULT_CONV_LATE:         if (o->kind == OP_CONV) o->late = true; break;
    case FAULT_STATE_KEPT:        o->keeps_state = true; break;
    case FAULT_V_HEADS_GROUPED:   if (o->kind == OP_DELTA) o->grouped = true; break;
    case FAULT_NORMS_SHIFTED:     shift_norms(m, o); break;
    default: break;
    }
}

// ---- all of them ----------------------------------------------------------------------------------------------------

void net_plant(net *m)
{
    for (int i = 0; m->b->fault == FAULT_K_NORMED_AS_V && i < m->p.n_ops; i++)
        if (m->p.ops[i].kind == OP_HEADS) i += norm_k_first(m, i);
    for (int i = 0; i < m->p.n_ops; i++) plant_mixed(m, i);
    for (int r = 0; r < m->p.n_ropes; r++) {
        if (m->b->fault == FAULT_ROPE_BASE_SWAP) m->p.ropes[r].base = m->h->rope_base;
        if (m->b->fault == FAULT_ROPE_FACTORS_LOST) m->p.ropes[r].factors = NULL;
    }
    if (m->b->fault == FAULT_NORMS_SWAPPED) swap_norms(m);
    if (m->b->fault == FAULT_HEAD_TIED) tie_head(m);
    for (int i = 0; i < m->p.n_ops; i++) {
        op *o = &m->p.ops[i];
        switch (m->b->fault) {
        case FAULT_SCALE_RSQRT_D:
            if (o->kind == OP_ATTEND) o->scale = 1.0f / sqrtf((float)o->dim);
            break;
        case FAULT_WINDOW_OFF_BY_ONE:
            if (o->kind == OP_ATTEND && o->window > 0) o->window--;
            break;
        case FAULT_KV_WRONG_LAYER:
            if (o->kind == OP_ATTEND) o->cache = wrong_cache(m, o);
            break;
        case FAULT_ROPE_PAIRS:
            if (o->kind == OP_HEADS) o->neighbours = !o->neighbours;
            break;
        case FAULT_BIAS_LOST:
            for (int k = 0; k < OP_WEIGHTS; k++) o->bias[k] = -1;
            break;
        case FAULT_NORM_ROUNDED_ONCE:
            o->round_first = false;
            break;
        case FAULT_HEAD512_LOST:
            if (!loses_layer(m, i)) break;
            o->scale = 0.0f;
            o->scale_from = -1;
            break;
        default: break;
        }
    }
}

// Queries attend as they are, to keys that are rotated.
void net_plant_rotated(net *m)
{
    if (m->b->fault != FAULT_QUERY_NOT_ROTATED) return;
    for (int i = 0; i + 1 < m->p.n_ops; i++)
        if (m->p.ops[i].kind == OP_HADAMARD && m->p.ops[i + 1].kind == OP_ATTEND) lose(&m->p.ops[i]);
}

// Values are taken for keys: their groups lie along tokens.
void net_plant_cache(const net *m, kv_layer *kv, int layer, int64_t n_ctx)
{
    kv_choice c = kv_layer_choice(kv);
    kv_layer  as_keys;
    err       ignored = { 0 };
    if (m->b->fault != FAULT_VALUES_BY_TOKENS || c.v.group == 0) return;
    c.k = c.v;
    const kv_spec spec = kv_spec_of_choice(&c);
    if (!kv_spec_plan(&spec, m->h, layer, m->b->arith, n_ctx, m->n_batch, &as_keys, &ignored)) return;
    const int rot_block = kv->v.rot_block;
    kv->v = as_keys.k;
    kv->v.rot_block = rot_block;
    kv->v.in_steps = false;
}
#else
void net_plant(net *m) { (void)m; }
void net_plant_rotated(net *m) { (void)m; }
void net_plant_cache(const net *m, kv_layer *kv, int layer, int64_t n_ctx)
{
    (void)m; (void)kv; (void)layer; (void)n_ctx;
}
#endif
