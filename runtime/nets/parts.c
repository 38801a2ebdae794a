// parts: see parts.h.
#include "parts.h"
#include "../../formats/checked.h"

part_buffers part_add_buffers(program *p, const hparams *h)
{
    int64_t q = 0, kv = 0, ff = 0;
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        q = max_i64(q, (int64_t)h->n_head * l->head_dim);
        kv = max_i64(kv, (int64_t)l->n_kv_head * l->head_dim);
        ff = max_i64(ff, l->n_ff);
    }
    ff = max_i64(ff, h->n_ff_shared);
    return (part_buffers){
        .x = program_add_buffer(p, "hidden state", h->n_embd),
             .t = program_add_buffer(p, "normed state", h->n_embd),
        .q = program_add_buffer(p, "queries", q),                   .att = program_add_buffer(p, "attention output", q),
        .k = program_add_buffer(p, "keys", kv),                     .v = program_add_buffer(p, "values", kv),
        .gate = program_add_buffer(p, "gate", ff),                  .up = program_add_buffer(p, "up", ff),
    };
}

view part_rows(int buffer, int64_t floats) { return (view){ .buf = buffer, .row = (int32_t)floats }; }

void part_embed(program *p, int buffer, int64_t dim, int table, double scale)
{
    op *o = program_add(p, OP_EMBED, -1);
    o->out[0] = part_rows(buffer, dim);
    o->w[0] = table;
    o->scale = (float)scale;
    if (table >= 0) p->weights[table].by_rows = true;
}

void part_scale(program *p, int buffer, int64_t dim, double by)
{
    op *o = program_add(p, OP_SCALE, -1);
    o->out[0] = part_rows(buffer, dim);
    o->dim = (int)dim;
    o->scale = (float)by;
}

void part_linear(program *p, int layer, view out, view in, int w, int bias)
{
    op *o = program_add(p, OP_LINEAR, layer);
    o->out[0] = out;
    o->in[0] = in;
    o->w[0] = w;
    o->bias[0] = bias;
}

void part_norm(program *p, const hparams *h, int layer, view out, view in, int w, int rows, int64_t dim)
{
    op *o = program_add(p, OP_NORM, layer);
    o->out[0] = out;
    o->in[0] = in;
    o->w[0] = w;
    o->rows = rows;
    o->dim = (int)dim;
    o->eps = h->rms_eps;
    o->round_first = h->norm_rounds_first;
}

void part_mark(program *p, const hparams *h, const part_buffers *b)
{
    op *o = program_add(p, OP_MARK, -1);
    o->in[0] = part_rows(b->x, h->n_embd);
    o->dim = h->n_embd;
    o->mark = p->n_marks++;
    p->mark_dim = h->n_embd;
}

op *part_residual(program *p, const hparams *h, const part_buffers *b, int layer, int post, int next)
{
    op *o = program_add(p, OP_RESIDUAL, layer);
    o->out[0] = part_rows(b->x, h->n_embd);
    o->out[1] = part_rows(b->t, h->n_embd);
    o->w[0] = post;
    o->w[1] = next;
    o->dim = h->n_embd;
    o->eps = h->rms_eps;
    o->round_first = h->norm_rounds_first;
    return o;
}

// gate, up -> act(gate) * up, each product with its bias
static void biased_mlp(program *p, const hparams *h, const part_buffers *b, int layer, activation act)
{
    const int64_t ff = h->layers[layer].n_ff;
    const view    gate = part_rows(b->gate, ff), up = part_rows(b->up, ff);
    op linear = op_new(OP_LINEAR, layer);
    linear.in[0] = part_rows(b->t, h->n_embd);
    linear.out[0] = gate;
    linear.out[1] = up;
    linear.w[0] = program_layer_weight(p, layer, "ffn_gate", false, ff, h->n_embd);
    linear.w[1] = program_layer_weight(p, layer, "ffn_up", false, ff, h->n_embd);
    linear.bias[0] = program_layer_bias(p, layer, "ffn_gate", ff);
    linear.bias[1] = program_layer_bias(p, layer, "ffn_up", ff);
    *program_add(p, OP_LINEAR, layer) = linear;
    op glu = op_new(OP_ACT_MUL, layer);
    glu.out[0] = gate;
    glu.in[0] = up;
    glu.act = act;
    glu.dim = (int)ff;
    *program_add(p, OP_ACT_MUL, layer) = glu;
    const int down = program_layer_weight(p, layer, "ffn_down", false, h->n_embd, ff);
    const int bias = program_layer_bias(p, layer, "ffn_down", h->n_embd);
    part_linear(p, layer, part_rows(b->t, h->n_embd), gate, down, bias);
}

// out = down(act(gate(t)) * up(t)), of weights with those names
static void plain_mlp(program *p, const hparams *h, const part_buffers *b, int layer, const char *const names[3],
                      view out, int64_t ff, activation act)
{
    op glu = op_new(OP_GLU, layer);
    glu.in[0] = part_rows(b->t, h->n_embd);
    glu.out[0] = part_rows(b->gate, ff);
    glu.out[1] = part_rows(b->up, ff);
    glu.w[0] = program_layer_weight(p, layer, names[0], false, ff, h->n_embd);
    glu.w[1] = program_layer_weight(p, layer, names[1], false, ff, h->n_embd);
    glu.act = act;
    glu.dim = (int)ff;
    *program_add(p, OP_GLU, layer) = glu;
    const int down = program_layer_weight(p, layer, names[2], false, h->n_embd, ff);
    part_linear(p, layer, out, part_rows(b->gate, ff), down, -1);
}

void part_mlp(program *p, const hparams *h, const part_buffers *b, int layer, activation act)
{
    static const char *const names[] = { "ffn_gate", "ffn_up", "ffn_down" };
    if (h->layers[layer].ffn_bias) biased_mlp(p, h, b, layer, act);
    else                           plain_mlp(p, h, b, layer, names, part_rows(b->t, h->n_embd), h->layers[layer].n_ff,
                                             act);
}

// ---- experts --------------------------------------------------------------------------------------------------------

expert_buffers part_add_expert_buffers(program *p, const hparams *h)
{
    const int64_t slots = h->n_expert_used;
    int64_t ff = 0;
    bool fused = false;
    if (h->n_expert == 0) return (expert_buffers){ -1, -1, -1, -1, -1, -1, -1, -1, -1 };
    for (int i = 0; i < h->n_layer; i++) {
        ff = max_i64(ff, h->layers[i].n_ff_exp);
        fused = fused || h->layers[i].experts_fused;
    }
    return (expert_buffers){
        .in = program_add_buffer(p, "router input", h->n_embd),
        .scores = program_add_buffer(p, "router scores", h->n_expert),
        .weights = program_add_buffer(p, "expert weights", slots),  .ids = program_add_buffer(p, "expert ids", slots),
        .gate = program_add_buffer(p, "experts' gate", slots * ff * (fused ? 2 : 1)),
        .up = program_add_buffer(p, "experts' up", slots * ff),
        .down = program_add_buffer(p, "experts' answers", slots * h->n_embd),
        .sum = program_add_buffer(p, "experts' sum", h->n_embd),
        .shared = program_add_buffer(p, "shared expert's factor", 1),
    };
}

void part_route(program *p, const hparams *h, const expert_buffers *b, int layer, view in, int per_expert, bool rounded)
{
    const view scores = part_rows(b->scores, h->n_expert);
    part_linear(p, layer, scores, in, program_layer_weight(p, layer, "ffn_gate_inp", false, h->n_expert, h->n_embd),
                -1);
    op *o = program_add(p, OP_ROUTE, layer);
    o->in[0] = scores;
    o->out[0] = part_rows(b->weights, h->n_expert_used);
    o->out[1] = part_rows(b->ids, h->n_expert_used);
    o->w[0] = per_expert;
    o->experts = h->n_expert;
    o->slots = h->n_expert_used;
    o->renorm = true;
    o->round_weights = rounded;
}

// A product of the chosen experts, of one matrix each, or of two.
static op *add_expert_product(program *p, const hparams *h, const expert_buffers *b, int layer, view in)
{
    op *o = program_add(p, OP_LINEAR_ID, layer);
    o->in[0] = in;
    o->in[1] = part_rows(b->ids, h->n_expert_used);
    o->experts = h->n_expert;
    o->slots = h->n_expert_used;
    return o;
}

static int expert_weight(program *p, const hparams *h, int layer, const char *name, int64_t rows, int64_t cols)
{
    return program_layer_experts(p, layer, name, h->n_expert, h->n_expert_used, rows, cols);
}

// gate and up, apart or one behind the other in each slot; then gate = act(gate) * up. Where the gate lies: what down
// reads.
static view expert_glu(program *p, const hparams *h, const expert_buffers *b, int layer, view in, activation act)
{
    const layer_shape *l = &h->layers[layer];
    const int64_t ff = l->n_ff_exp, slots = h->n_expert_used;
    const int64_t wide = l->experts_fused ? 2 * ff : ff;
    view gate = part_rows(b->gate, slots * wide), up = part_rows(b->up, slots * ff);
    op *product = add_expert_product(p, h, b, layer, in);
    product->out[0] = gate;
    if (l->experts_fused) {
        product->w[0] = expert_weight(p, h, layer, "ffn_gate_up_exps", 2 * ff, h->n_embd);
        up = gate;
        up.off = ff;
        up.head = (int32_t)wide;
    } else {
        product->out[1] = up;
        product->w[0] = expert_weight(p, h, layer, "ffn_gate_exps", ff, h->n_embd);
        product->w[1] = expert_weight(p, h, layer, "ffn_up_exps", ff, h->n_embd);
    }
    gate.head = (int32_t)wide;
    op *glu = program_add(p, OP_ACT_MUL, layer);
    glu->out[0] = gate;
    glu->in[0] = up;
    glu->act = act;
    glu->rows = (int)slots;
    glu->dim = (int)ff;
    return gate;
}

void part_experts(program *p, const hparams *h, const expert_buffers *b, int layer, view out, view in, activation act)
{
    const int64_t slots = h->n_expert_used;
    const view answers = part_rows(b->down, slots * h->n_embd);
    const view gate = expert_glu(p, h, b, layer, in, act);
    op *down = add_expert_product(p, h, b, layer, gate);
    down->out[0] = answers;
    down->w[0] = expert_weight(p, h, layer, "ffn_down_exps", h->n_embd, h->layers[layer].n_ff_exp);
    op *join = program_add(p, OP_JOIN, layer);
    join->out[0] = out;
    join->in[0] = answers;
    join->in[1] = part_rows(b->weights, slots);
    join->slots = (int)slots;
    join->dim = h->n_embd;
}

// t and the shared expert's answer to it, by a factor of the token's own, beside the chosen experts' sum
// (Qwen3_5MoeSparseMoeBlock).
void part_shared_expert(program *p, const hparams *h, const part_buffers *b, const expert_buffers *x, int layer)
{
    static const char *const names[] = { "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp" };
    const view t = part_rows(b->t, h->n_embd), factor = part_rows(x->shared, 1), answer = part_rows(x->in, h->n_embd);
    part_linear(p, layer, factor, t, program_layer_weight(p, layer, "ffn_gate_inp_shexp", true, 1, h->n_embd), -1);
    plain_mlp(p, h, b, layer, names, answer, h->n_ff_shared, ACT_SILU);
    op *gate = program_add(p, OP_GATE, layer);
    gate->out[0] = gate->in[0] = answer;
    gate->in[1] = factor;
    gate->in[1].one = true;
    gate->dim = h->n_embd;
    op *add = program_add(p, OP_ADD, layer);
    add->out[0] = t;
    add->in[0] = part_rows(x->sum, h->n_embd);
    add->in[1] = answer;
    add->dim = h->n_embd;
}

void part_head(program *p, const hparams *h, const part_buffers *b, int embeddings, float cap)
{
    const int output = program_add_weight(p, "output", false, h->n_vocab, h->n_embd);
    p->logits = program_add_buffer(p, "logits", h->n_vocab);
    if (p->failed) return;
    p->weights[output].optional = true;
    p->weights[output].instead = embeddings;
    p->buffers[p->logits].of_logits = true;
    p->in_head = true;
    view t = part_rows(b->t, h->n_embd);
    t.from_first = true;
    part_linear(p, -1, part_rows(p->logits, h->n_vocab), t, output, -1);
    if (cap != 0.0f) {
        op *o = program_add(p, OP_SOFTCAP, -1);
        o->out[0] = part_rows(p->logits, h->n_vocab);
        o->dim = (int)h->n_vocab;
        o->cap = cap;
    }
    p->in_head = false;
}

int part_cache_of(const program *p, const hparams *h, int layer)
{
    for (int c = 0; c < p->n_caches; c++)
        if (p->caches[c].layer == h->layers[layer].kv_source) return c;
    return -1;
}
