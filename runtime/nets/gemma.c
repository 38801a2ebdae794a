// gemma: the forward pass of Gemma 3 and Gemma 4 as a program, in the order of Gemma4TextModel.forward and
// Gemma4TextDecoderLayer.forward in Transformers; Gemma 3 is the same path with the optional steps left out.
#include "parts.h"
#include <math.h>

typedef struct { int all, tok, gated; } ple_buffers;        // per-layer embeddings: Gemma 4's small models

static ple_buffers add_ple_buffers(program *p, const hparams *h)
{
    const int64_t all = (int64_t)h->n_embd_per_layer * h->n_layer;
    if (all == 0) return (ple_buffers){ -1, -1, -1 };
    return (ple_buffers){ .all = program_add_buffer(p, "per-layer inputs", all),
                          .tok = program_add_buffer(p, "per-layer embeddings", all),
                          .gated = program_add_buffer(p, "per-layer gate", h->n_embd_per_layer) };
}

// Per-layer inputs of all layers at once: [n_layer][n_embd_per_layer] a token (project_per_layer_inputs).
static void per_layer_inputs(program *p, const hparams *h, const part_buffers *b, const ple_buffers *l)
{
    const int64_t ple = h->n_embd_per_layer, all = ple * h->n_layer;
    const view rows = part_rows(l->all, all);
    part_embed(p, l->tok, all, program_add_weight(p, "per_layer_token_embd", false, h->n_vocab, all),
               sqrt((double)ple));
    const int project = program_add_weight(p, "per_layer_model_proj", false, all, h->n_embd);
    part_linear(p, -1, rows, part_rows(b->x, h->n_embd), project, -1);
    part_scale(p, l->all, all, 1.0 / sqrt((double)h->n_embd));
    part_norm(p, h, -1, rows, rows, program_add_weight(p, "per_layer_proj_norm", true, 1, ple), h->n_layer, ple);
    op *add = program_add(p, OP_ADD, -1);
    add->out[0] = add->in[0] = rows;
    add->in[1] = part_rows(l->tok, all);
    add->dim = (int)all;
    part_scale(p, l->all, all, 0.70710678118654752440);
}

// A layer that shares another's keys and values may have weights for its own, as published files do.
static void unread_keys(program *p, const hparams *h, const layer_shape *l, int i)
{
    const int64_t kv_dim = (int64_t)l->n_kv_head * l->head_dim;
    program_unread(p, program_layer_weight(p, i, "attn_k", false, kv_dim, h->n_embd));
    program_unread(p, program_layer_weight(p, i, "attn_v", false, kv_dim, h->n_embd));
    program_unread(p, program_layer_weight(p, i, "attn_k_norm", true, 1, l->head_dim));
}

// t -> att -> t: attention's output, before its post-norm.
static void attention(program *p, const hparams *h, const part_buffers *b, int i, int rope)
{
    const layer_shape *l = &h->layers[i];
    const int64_t q_dim = (int64_t)h->n_head * l->head_dim, kv_dim = (int64_t)l->n_kv_head * l->head_dim;
    const view q = part_rows(b->q, q_dim), k = part_rows(b->k, kv_dim), v = part_rows(b->v, kv_dim);
    const int cache = part_cache_of(p, h, i);

    op linear = op_new(OP_LINEAR, i);
    linear.in[0] = part_rows(b->t, h->n_embd);
    linear.out[0] = q;
    linear.w[0] = program_layer_weight(p, i, "attn_q", false, q_dim, h->n_embd);
    op heads = op_new(OP_HEADS, i);
    heads.out[0] = q;
    heads.rope = rope;
    heads.rows = h->n_head;
    heads.dim = l->head_dim;
    heads.eps = h->rms_eps;
    heads.w[0] = program_layer_weight(p, i, "attn_q_norm", true, 1, l->head_dim);
    if (l->has_kv) {
        linear.out[1] = k;
        linear.w[1] = program_layer_weight(p, i, "attn_k", false, kv_dim, h->n_embd);
        heads.w[1] = program_layer_weight(p, i, "attn_k_norm", true, 1, l->head_dim);
        heads.out[1] = k;
        heads.out[2] = v;
        heads.kv_rows = l->n_kv_head;
        heads.cache = cache;
        // Where the file has no V, it is K's projection before K's norm and rotation. Gemma 4 norms V too, without a
        // weight.
        heads.in[0] = l->k_is_v ? k : v;
        heads.v_norm = h->family == ARCH_GEMMA4;
        if (!l->k_is_v) {
            linear.out[2] = v;
            linear.w[2] = program_layer_weight(p, i, "attn_v", false, kv_dim, h->n_embd);
        }
    }
    *program_add(p, OP_LINEAR, i) = linear;
    *program_add(p, OP_HEADS, i) = heads;
    if (!l->has_kv) unread_keys(p, h, l, i);

    op *attend = program_add(p, OP_ATTEND, i);
    attend->in[0] = q;
    attend->out[0] = part_rows(b->att, q_dim);
    attend->rows = h->n_head;
    attend->dim = l->head_dim;
    attend->cache = cache;
    attend->scale = h->attention_scale;
    attend->window = l->sliding ? h->window : 0;
    const int output = program_layer_weight(p, i, "attn_output", false, h->n_embd, q_dim);
    part_linear(p, i, part_rows(b->t, h->n_embd), part_rows(b->att, q_dim), output, -1);
}

// x -> t: what this layer's own slice of the token's embedding adds (the block after the MLP in
// Gemma4TextDecoderLayer).
static void per_layer_block(program *p, const hparams *h, const part_buffers *b, const ple_buffers *l, int i)
{
    const int64_t ple = h->n_embd_per_layer;
    op gated = op_new(OP_GATED, i);
    gated.in[0] = part_rows(b->x, h->n_embd);
    gated.in[1] = (view){ .buf = l->all, .row = (int32_t)(h->n_layer * ple), .off = i * ple };
    gated.out[0] = part_rows(l->gated, ple);
    gated.w[0] = program_layer_weight(p, i, "inp_gate", false, ple, h->n_embd);
    gated.dim = (int)ple;
    *program_add(p, OP_GATED, i) = gated;
    const int project = program_layer_weight(p, i, "proj", false, h->n_embd, ple);
    part_linear(p, i, part_rows(b->t, h->n_embd), part_rows(l->gated, ple), project, -1);
}

// What the router judges by: the state, normed without a weight, times a scale of its own and 1 / sqrt(n_embd), each
// step rounded (Gemma4TextRouter.forward).
static void router_input(program *p, const hparams *h, const part_buffers *b, int i, view r)
{
    const int64_t dim = h->n_embd;
    part_norm(p, h, i, r, part_rows(b->x, dim), -1, 1, dim);
    op *mul = program_add(p, OP_MUL, i);
    mul->out[0] = mul->in[0] = r;
    mul->w[0] = program_layer_vector(p, i, "ffn_gate_inp.scale", dim);
    mul->dim = (int)dim;
    op *scale = program_add(p, OP_SCALE, i);
    scale->out[0] = r;
    scale->dim = (int)dim;
    scale->scale = (float)(1.0 / sqrt((double)dim));
}

// Experts beside the dense MLP: t, the MLP's answer, becomes the sum of both, each normed (26B-A4B).
static void experts(program *p, const hparams *h, const part_buffers *b, const expert_buffers *x, int i)
{
    const int64_t dim = h->n_embd;
    const view t = part_rows(b->t, dim), r = part_rows(x->in, dim), sum = part_rows(x->sum, dim);
    part_norm(p, h, i, t, t, program_layer_weight(p, i, "post_ffw_norm_1", true, 1, dim), 1, dim);
    router_input(p, h, b, i, r);
    part_route(p, h, x, i, r, program_layer_vector(p, i, "ffn_down_exps.scale", h->n_expert), false);
    part_norm(p, h, i, r, part_rows(b->x, dim), program_layer_weight(p, i, "pre_ffw_norm_2", true, 1, dim), 1, dim);
    part_experts(p, h, x, i, sum, r, ACT_GELU_TANH);
    part_norm(p, h, i, sum, sum, program_layer_weight(p, i, "post_ffw_norm_2", true, 1, dim), 1, dim);
    op *add = program_add(p, OP_ADD, i);
    add->out[0] = add->in[0] = t;
    add->in[1] = sum;
    add->dim = (int)dim;
}

// One decoder layer: x and its norm t in, x and the norm that follows out.
static void layer(program *p, const hparams *h, const part_buffers *b, const ple_buffers *l, const expert_buffers *x,
                  int i, int rope, int next_norm)
{
    const int64_t dim = h->n_embd;
    const bool ple = h->n_embd_per_layer > 0;
    attention(p, h, b, i, rope);
    const int post_attention = program_layer_weight(p, i, "post_attention_norm", true, 1, dim);
    part_residual(p, h, b, i, post_attention, program_layer_weight(p, i, "ffn_norm", true, 1, dim));
    part_mlp(p, h, b, i, ACT_GELU_TANH);
    if (h->n_expert > 0) experts(p, h, b, x, i);
    op *last = part_residual(p, h, b, i, program_layer_weight(p, i, "post_ffw_norm", true, 1, dim),
                             ple ? -1 : next_norm);
    if (ple) {
        per_layer_block(p, h, b, l, i);
        last = part_residual(p, h, b, i, program_layer_weight(p, i, "post_norm", true, 1, dim), next_norm);
    }
    // Every Gemma 4 layer's output has a scalar of its own.
    const int scalar = program_layer_weight(p, i, "layer_output_scale", true, 1, 1);
    if (scalar < 0) return;
    p->weights[scalar].optional = true;
    last->scale_from = scalar;
}

// The rotary tables: one for each kind of layer that there is.
static void add_ropes(program *p, const hparams *h, int *full, int *sliding)
{
    int full_dim = 0, sliding_dim = 0;
    for (int i = 0; i < h->n_layer; i++) *(h->layers[i].sliding ? &sliding_dim : &full_dim) = h->layers[i].head_dim;
    // The factors of the full-attention layers, which the hyperparameters hold. Gemma 3 turns whole heads: its files
    // need have none.
    const int factors = full_dim ? program_add_weight(p, "rope_freqs", true, 1, full_dim / 2) : -1;
    if (factors >= 0) {
        p->weights[factors].unread = true;
        p->weights[factors].optional = h->family == ARCH_GEMMA3;
    }
    *full = full_dim ? program_add_rope(p, full_dim, h->rope_base, h->rope_scale, h->rope_freq_factors) : -1;
    *sliding = sliding_dim ? program_add_rope(p, sliding_dim, h->rope_base_swa, 1.0f, NULL) : -1;
}

void gemma_build(program *p, const hparams *h)
{
    const part_buffers b = part_add_buffers(p, h);
    const ple_buffers l = add_ple_buffers(p, h);
    const expert_buffers x = part_add_expert_buffers(p, h);
    const int embeddings = program_add_weight(p, "token_embd", false, h->n_vocab, h->n_embd);
    const int output_norm = program_add_weight(p, "output_norm", true, 1, h->n_embd);
    int full, sliding;
    add_ropes(p, h, &full, &sliding);
    for (int i = 0; i < h->n_layer; i++)
        if (h->layers[i].has_kv) program_add_cache(p, i);

    part_embed(p, b.x, h->n_embd, embeddings, sqrt((double)h->n_embd));
    part_mark(p, h, &b);
    if (h->n_embd_per_layer > 0) per_layer_inputs(p, h, &b, &l);
    const int first = program_layer_weight(p, 0, "attn_norm", true, 1, h->n_embd);
    part_norm(p, h, 0, part_rows(b.t, h->n_embd), part_rows(b.x, h->n_embd), first, 1, h->n_embd);
    for (int i = 0; i < h->n_layer; i++) {
        const bool last = i + 1 == h->n_layer;
        const int next = last ? output_norm : program_layer_weight(p, i + 1, "attn_norm", true, 1, h->n_embd);
        layer(p, h, &b, &l, &x, i, h->layers[i].sliding ? sliding : full, next);
        part_mark(p, h, &b);
    }
    part_head(p, h, &b, embeddings, h->final_softcap);
}
