// parts: see parts.h.
#include "parts.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

part_buffers part_add_buffers(program *p, const hparams *h)
{
    int64_t q = 0, kv = 0, ff = 0;
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        q = larger(q, (int64_t)h->n_head * l->head_dim);
        kv = larger(kv, (int64_t)l->n_kv_head * l->head_dim);
        ff = larger(ff, l->n_ff);
    }
    return (part_buffers){
        .x = program_add_buffer(p, "hidden state", h->n_embd),      .t = program_add_buffer(p, "normed state", h->n_embd),
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

void part_mlp(program *p, const hparams *h, const part_buffers *b, int layer, activation act)
{
    const int64_t ff = h->layers[layer].n_ff;
    if (h->layers[layer].ffn_bias) {
        biased_mlp(p, h, b, layer, act);
        return;
    }
    op glu = op_new(OP_GLU, layer);
    glu.in[0] = part_rows(b->t, h->n_embd);
    glu.out[0] = part_rows(b->gate, ff);
    glu.out[1] = part_rows(b->up, ff);
    glu.w[0] = program_layer_weight(p, layer, "ffn_gate", false, ff, h->n_embd);
    glu.w[1] = program_layer_weight(p, layer, "ffn_up", false, ff, h->n_embd);
    glu.act = act;
    glu.dim = (int)ff;
    *program_add(p, OP_GLU, layer) = glu;
    const int down = program_layer_weight(p, layer, "ffn_down", false, h->n_embd, ff);
    part_linear(p, layer, part_rows(b->t, h->n_embd), part_rows(b->gate, ff), down, -1);
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
