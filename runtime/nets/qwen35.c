// qwen35: the forward pass of Qwen 3.5 and later as a program, in the order of Qwen3_5TextModel.forward and
// Qwen3_5DecoderLayer.forward in Transformers (qwen3_5_moe with experts): most layers are gated delta nets, every
// fourth attends, with a gate on what it sees.
#include "parts.h"
#include <math.h>

typedef struct { int mixed, convolved, z, beta, alpha, decay, core; } delta_buffers;
typedef struct { part_buffers part; expert_buffers experts; delta_buffers delta; int queries; } buffers;

static buffers add_buffers(program *p, const hparams *h)
{
    const delta_shape *d = &h->delta;
    const int64_t channels = delta_channels(d), values = (int64_t)d->value_heads * d->value_dim;
    return (buffers){
        .part = part_add_buffers(p, h), .experts = part_add_expert_buffers(p, h),
        .queries = program_add_buffer(p, "queries and gate", 2 * (int64_t)h->n_head * h->layers[0].head_dim),
        .delta = { .mixed = program_add_buffer(p, "q, k and v", channels),
                   .convolved = program_add_buffer(p, "convolved", channels),
                   .z = program_add_buffer(p, "z", values),
                   .core = program_add_buffer(p, "delta net's answer", values),
                   .beta = program_add_buffer(p, "beta", d->value_heads),
                   .alpha = program_add_buffer(p, "alpha", d->value_heads),
                   .decay = program_add_buffer(p, "decay", d->value_heads) },
    };
}

// ---- full attention -------------------------------------------------------------------------------------------------

// Each head of Q is followed by its gate: what attention sees is multiplied by the gate's sigmoid.
static view gate_view(const hparams *h, int queries, int head_dim, bool second)
{
    view v = part_rows(queries, 2 * (int64_t)h->n_head * head_dim);
    v.head = 2 * head_dim;
    v.off = second ? head_dim : 0;
    return v;
}

static void project(program *p, const hparams *h, const buffers *b, int i)
{
    const layer_shape *l = &h->layers[i];
    const int64_t q_dim = 2 * (int64_t)h->n_head * l->head_dim, kv_dim = (int64_t)l->n_kv_head * l->head_dim;
    op o = op_new(OP_LINEAR, i);
    o.in[0] = part_rows(b->part.t, h->n_embd);
    o.out[0] = part_rows(b->queries, q_dim);
    o.out[1] = part_rows(b->part.k, kv_dim);
    o.out[2] = part_rows(b->part.v, kv_dim);
    o.w[0] = program_layer_weight(p, i, "attn_q", false, q_dim, h->n_embd);
    o.w[1] = program_layer_weight(p, i, "attn_k", false, kv_dim, h->n_embd);
    o.w[2] = program_layer_weight(p, i, "attn_v", false, kv_dim, h->n_embd);
    *program_add(p, OP_LINEAR, i) = o;
}

static void heads(program *p, const hparams *h, const buffers *b, int i, int rope)
{
    const layer_shape *l = &h->layers[i];
    const int64_t q_dim = (int64_t)h->n_head * l->head_dim, kv_dim = (int64_t)l->n_kv_head * l->head_dim;
    const view q = part_rows(b->part.q, q_dim);
    const int q_norm = program_layer_weight(p, i, "attn_q_norm", true, 1, l->head_dim);
    part_norm(p, h, i, q, gate_view(h, b->queries, l->head_dim, false), q_norm, h->n_head, l->head_dim);
    op o = op_new(OP_HEADS, i);
    o.out[0] = q;
    o.out[1] = part_rows(b->part.k, kv_dim);
    o.out[2] = o.in[0] = part_rows(b->part.v, kv_dim);
    o.w[1] = program_layer_weight(p, i, "attn_k_norm", true, 1, l->head_dim);
    o.rope = rope;
    o.rows = h->n_head;
    o.kv_rows = l->n_kv_head;
    o.dim = l->head_dim;
    o.eps = h->rms_eps;
    o.round_first = h->norm_rounds_first;
    o.cache = part_cache_of(p, h, i);
    *program_add(p, OP_HEADS, i) = o;
}

// t -> att -> t
static void attention(program *p, const hparams *h, const buffers *b, int i, int rope)
{
    const layer_shape *l = &h->layers[i];
    const int64_t q_dim = (int64_t)h->n_head * l->head_dim;
    const view att = part_rows(b->part.att, q_dim);
    project(p, h, b, i);
    heads(p, h, b, i, rope);
    op *o = program_add(p, OP_ATTEND, i);
    o->in[0] = part_rows(b->part.q, q_dim);
    o->out[0] = att;
    o->rows = h->n_head;
    o->dim = l->head_dim;
    o->cache = part_cache_of(p, h, i);
    o->scale = h->attention_scale;
    o = program_add(p, OP_GATE, i);
    o->out[0] = o->in[0] = att;
    o->in[1] = gate_view(h, b->queries, l->head_dim, true);
    o->rows = h->n_head;
    o->dim = l->head_dim;
    part_linear(p, i, part_rows(b->part.t, h->n_embd), att,
                program_layer_weight(p, i, "attn_output", false, h->n_embd, q_dim), -1);
}

// ---- gated delta net ------------------------------------------------------------------------------------------------

// Two products of t.
static void two_products(program *p, const hparams *h, const buffers *b, int i, const char *const names[2],
                         const view out[2])
{
    op o = op_new(OP_LINEAR, i);
    o.in[0] = part_rows(b->part.t, h->n_embd);
    for (int j = 0; j < 2; j++) {
        o.out[j] = out[j];
        o.w[j] = program_layer_weight(p, i, names[j], false, out[j].row, h->n_embd);
    }
    *program_add(p, OP_LINEAR, i) = o;
}

static int cast(program *p, int w, weight_cast how)
{
    if (w >= 0) p->weights[w].cast = how;
    return w;
}

// beta = sigmoid(beta); decay = exp(a * softplus(alpha + dt))
static void rates(program *p, const hparams *h, const delta_buffers *d, int i)
{
    const int n = h->delta.value_heads;
    op *o = program_add(p, OP_ACT, i);
    o->out[0] = part_rows(d->beta, n);
    o->act = ACT_SIGMOID;
    o->dim = n;
    o = program_add(p, OP_DECAY, i);
    o->out[0] = part_rows(d->decay, n);
    o->in[0] = part_rows(d->alpha, n);
    o->w[0] = cast(p, program_layer_vector(p, i, "ssm_a", n), CAST_ROUND_LOG);
    o->w[1] = cast(p, program_layer_vector(p, i, "ssm_dt.bias", n), CAST_ROUND);
    o->dim = n;
}

// q, k and v pass a convolution; q and k are made of length 1.
static void convolve(program *p, const hparams *h, const delta_buffers *d, int i, int state)
{
    const delta_shape *s = &h->delta;
    const int64_t channels = delta_channels(s);
    const int w = cast(p, program_layer_weight(p, i, "ssm_conv1d", false, channels, s->taps), CAST_ROUND);
    if (w >= 0) p->weights[w].plain = true;
    op *o = program_add(p, OP_CONV, i);
    o->out[0] = part_rows(d->convolved, channels);
    o->in[0] = part_rows(d->mixed, channels);
    o->w[0] = w;
    o->state = state;
    o->dim = (int)channels;
    o = program_add(p, OP_L2NORM, i);
    o->out[0] = o->in[0] = part_rows(d->convolved, channels);
    o->rows = 2 * s->key_heads;
    o->dim = s->key_dim;
    o->eps = 1e-6f;         // of l2norm in the reference, whatever the norms have
}

static void delta_rule(program *p, const hparams *h, const delta_buffers *d, int i, int state)
{
    const delta_shape *s = &h->delta;
    op *o = program_add(p, OP_DELTA, i);
    o->out[0] = part_rows(d->core, (int64_t)s->value_heads * s->value_dim);
    o->in[0] = part_rows(d->convolved, delta_channels(s));
    o->in[1] = part_rows(d->beta, s->value_heads);
    o->in[2] = part_rows(d->decay, s->value_heads);
    o->state = state;
    o->rows = s->value_heads;
    o->dim = s->value_dim;
    o->kv_rows = s->key_heads;
    o->key_dim = s->key_dim;
    o->scale = (float)(1.0 / sqrt((double)s->key_dim));
}

// z = norm(core) * silu(z), in F32 from the weight's rounding on (Qwen3_5RMSNormGated)
static void gated_norm(program *p, const hparams *h, const delta_buffers *d, int i)
{
    const delta_shape *s = &h->delta;
    const int64_t values = (int64_t)s->value_heads * s->value_dim;
    const view core = part_rows(d->core, values);
    op *o = program_add(p, OP_NORM, i);
    o->out[0] = o->in[0] = core;
    o->w[0] = cast(p, program_layer_weight(p, i, "ssm_norm", true, 1, s->value_dim), CAST_ROUND);
    o->rows = s->value_heads;
    o->dim = s->value_dim;
    o->eps = h->rms_eps;
    o->round_first = true;
    o = program_add(p, OP_ACT_MUL, i);
    o->out[0] = part_rows(d->z, values);
    o->in[0] = core;
    o->act = ACT_SILU;
    o->whole = true;
    o->dim = (int)values;
}

// t -> t
static void delta_net(program *p, const hparams *h, const buffers *b, int i)
{
    static const char *const wide[] = { "attn_qkv", "attn_gate" }, *const narrow[] = { "ssm_beta", "ssm_alpha" };
    const delta_shape   *s = &h->delta;
    const delta_buffers *d = &b->delta;
    const int64_t values = (int64_t)s->value_heads * s->value_dim, channels = delta_channels(s);
    const view z = part_rows(d->z, values);
    const int state = program_add_state(p, i, delta_conv_floats(s), delta_rule_floats(s));
    two_products(p, h, b, i, wide, (view[]){ part_rows(d->mixed, channels), z });
    two_products(p, h, b, i, narrow, (view[]){ part_rows(d->beta, s->value_heads),
                                               part_rows(d->alpha, s->value_heads) });
    rates(p, h, d, i);
    convolve(p, h, d, i, state);
    delta_rule(p, h, d, i, state);
    gated_norm(p, h, d, i);
    part_linear(p, i, part_rows(b->part.t, h->n_embd), z,
                program_layer_weight(p, i, "ssm_out", false, h->n_embd, values), -1);
}

// ---- blocks that predict further tokens -----------------------------------------------------------------------------

// A block of its table's tensors, as wide as the last layer, which attends; Transformers drops them too.
static void unread_block(program *p, const hparams *h, int i)
{
    const layer_shape *l = &h->layers[h->n_layer - 1];
    const block_sizes  b = { .n_ff = l->n_ff, .n_head_kv = l->n_kv_head, .head_dim = l->head_dim, .own_kv = true,
                             .experts = h->n_expert > 0, .mtp = true };
    const model_sizes  m = { .arch = h->arch, .n_block = 1, .n_vocab = h->n_vocab, .n_embd = h->n_embd,
                             .n_head = h->n_head, .n_expert = h->n_expert, .n_expert_used = h->n_expert_used,
                             .n_ff_expert = l->n_ff_exp, .n_ff_shared = h->n_ff_shared, .block = &b };
    for (const tensor_row *r = tensor_table_of(h->arch)->block; r->name; r++)
        if (tensor_row_presence(r, &m, 0) != TENSOR_NOT) program_unread(p, program_row_weight(p, i, r, &m));
}

// ---- all of it ------------------------------------------------------------------------------------------------------

// t -> t
static void mlp(program *p, const hparams *h, const buffers *b, int i)
{
    const view t = part_rows(b->part.t, h->n_embd);
    if (h->n_expert == 0) {
        part_mlp(p, h, &b->part, i, ACT_SILU);
        return;
    }
    part_route(p, h, &b->experts, i, t, -1, true);
    part_experts(p, h, &b->experts, i, part_rows(b->experts.sum, h->n_embd), t, ACT_SILU);
    part_shared_expert(p, h, &b->part, &b->experts, i);
}

void qwen35_build(program *p, const hparams *h)
{
    const buffers b = add_buffers(p, h);
    const int embeddings = program_add_weight(p, "token_embd", false, h->n_vocab, h->n_embd);
    const int output_norm = program_add_weight(p, "output_norm", true, 1, h->n_embd);
    const int rope = program_add_rope(p, h->rope_dim, h->rope_base, h->rope_scale, NULL);
    for (int i = 0; i < h->n_layer; i++)
        if (h->layers[i].has_kv) program_add_cache(p, i);

    part_embed(p, b.part.x, h->n_embd, embeddings, 1.0);
    part_mark(p, h, &b.part);
    const int first = program_layer_weight(p, 0, "attn_norm", true, 1, h->n_embd);
    part_norm(p, h, 0, part_rows(b.part.t, h->n_embd), part_rows(b.part.x, h->n_embd), first, 1, h->n_embd);
    for (int i = 0; i < h->n_layer; i++) {
        const bool last = i + 1 == h->n_layer;
        const int next = last ? output_norm : program_layer_weight(p, i + 1, "attn_norm", true, 1, h->n_embd);
        if (h->layers[i].recurrent) delta_net(p, h, &b, i);
        else                        attention(p, h, &b, i, rope);
        part_residual(p, h, &b.part, i, -1, program_layer_weight(p, i, "post_attention_norm", true, 1, h->n_embd));
        mlp(p, h, &b, i);
        part_residual(p, h, &b.part, i, -1, next);
        part_mark(p, h, &b.part);
    }
    for (int i = h->n_layer; i < h->n_layer + h->n_nextn; i++) unread_block(p, h, i);
    part_head(p, h, &b.part, embeddings, 0.0f);
}
