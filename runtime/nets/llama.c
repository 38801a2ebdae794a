// llama: the forward pass of Llama, Mistral, Qwen 2 and Qwen 3 as a program, in the order of LlamaModel.forward and
// LlamaDecoderLayer.forward in Transformers; Qwen 3 norms the heads of Q and K, Qwen 2 has biases on Q, K and V. Qwen 3
// with experts has them in the place of the MLP (Qwen3MoeSparseMoeBlock.forward).
#include "parts.h"

// t -> att -> t
static void attention(program *p, const hparams *h, const part_buffers *b, int i, int rope)
{
    const layer_shape *l = &h->layers[i];
    const int64_t q_dim = (int64_t)h->n_head * l->head_dim, kv_dim = (int64_t)l->n_kv_head * l->head_dim;
    const view q = part_rows(b->q, q_dim), k = part_rows(b->k, kv_dim), v = part_rows(b->v, kv_dim);
    const int cache = part_cache_of(p, h, i);

    op linear = op_new(OP_LINEAR, i);
    const struct {
        const char *name;
        view out;
        int64_t rows;
    } parts[] = { { "attn_q", q, q_dim }, { "attn_k", k, kv_dim }, { "attn_v", v, kv_dim } };
    linear.in[0] = part_rows(b->t, h->n_embd);
    for (int j = 0; j < 3; j++) {
        linear.out[j] = parts[j].out;
        linear.w[j] = program_layer_weight(p, i, parts[j].name, false, parts[j].rows, h->n_embd);
        if (l->qkv_bias) linear.bias[j] = program_layer_bias(p, i, parts[j].name, parts[j].rows);
    }
    *program_add(p, OP_LINEAR, i) = linear;

    op heads = op_new(OP_HEADS, i);
    heads.out[0] = q;
    heads.out[1] = k;
    heads.out[2] = heads.in[0] = v;
    heads.rope = rope;
    heads.rows = h->n_head;
    heads.kv_rows = l->n_kv_head;
    heads.dim = l->head_dim;
    heads.eps = h->rms_eps;
    heads.round_first = h->norm_rounds_first;
    heads.cache = cache;
    heads.neighbours = h->rope_neighbours;
    if (h->qk_norm) {
        heads.w[0] = program_layer_weight(p, i, "attn_q_norm", true, 1, l->head_dim);
        heads.w[1] = program_layer_weight(p, i, "attn_k_norm", true, 1, l->head_dim);
    }
    *program_add(p, OP_HEADS, i) = heads;

    op *attend = program_add(p, OP_ATTEND, i);
    attend->in[0] = q;
    attend->out[0] = part_rows(b->att, q_dim);
    attend->rows = h->n_head;
    attend->dim = l->head_dim;
    attend->cache = cache;
    attend->scale = h->attention_scale;
    attend->window = l->sliding ? h->window : 0;
    const int output = program_layer_weight(p, i, "attn_output", false, h->n_embd, q_dim);
    const int bias = l->o_bias ? program_layer_bias(p, i, "attn_output", h->n_embd) : -1;
    part_linear(p, i, part_rows(b->t, h->n_embd), part_rows(b->att, q_dim), output, bias);
}

// t -> t: what the residual adds.
static void experts(program *p, const hparams *h, const part_buffers *b, const expert_buffers *x, int i)
{
    const view t = part_rows(b->t, h->n_embd);
    part_route(p, h, x, i, t, -1, true);
    part_experts(p, h, x, i, t, t, ACT_SILU);
}

void llama_build(program *p, const hparams *h)
{
    const part_buffers b = part_add_buffers(p, h);
    const expert_buffers x = part_add_expert_buffers(p, h);
    const int embeddings = program_add_weight(p, "token_embd", false, h->n_vocab, h->n_embd);
    const int output_norm = program_add_weight(p, "output_norm", true, 1, h->n_embd);
    // of Llama 3.1 and later
    const int factors = program_add_weight(p, "rope_freqs", true, 1, h->layers[0].head_dim / 2);
    if (factors >= 0) p->weights[factors].unread = p->weights[factors].optional = true;
    const int rope = program_add_rope(p, h->layers[0].head_dim, h->rope_base, h->rope_scale, h->rope_freq_factors);
    for (int i = 0; i < h->n_layer; i++) program_add_cache(p, i);

    part_embed(p, b.x, h->n_embd, embeddings, 1.0);
    part_mark(p, h, &b);
    const int first = program_layer_weight(p, 0, "attn_norm", true, 1, h->n_embd);
    part_norm(p, h, 0, part_rows(b.t, h->n_embd), part_rows(b.x, h->n_embd), first, 1, h->n_embd);
    for (int i = 0; i < h->n_layer; i++) {
        const bool last = i + 1 == h->n_layer;
        const int next = last ? output_norm : program_layer_weight(p, i + 1, "attn_norm", true, 1, h->n_embd);
        attention(p, h, &b, i, rope);
        part_residual(p, h, &b, i, -1, program_layer_weight(p, i, "ffn_norm", true, 1, h->n_embd));
        if (h->n_expert > 0) experts(p, h, &b, &x, i);
        else                 part_mlp(p, h, &b, i, ACT_SILU);
        part_residual(p, h, &b, i, -1, next);
        part_mark(p, h, &b);
    }
    part_head(p, h, &b, embeddings, 0.0f);
}
