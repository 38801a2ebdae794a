// sizes: see sizes.h.
#include "sizes.h"

#include "family.h"

int64_t sizes_rope_freqs(const hf_config *c)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    const bool     gemma = c->arch->family->rope_freqs && k->n_layers > 0;
    return gemma || k->rope_llama3 ? k->head_dim / 2 : 0;
}

static block_sizes block_of(const hf_config *c, int64_t layer)
{
    const hf_kind *k = &c->kind[hf_layer_kind(c, layer)];
    const bool     mtp = layer >= c->n_layer;
    return (block_sizes){
        .n_ff = c->layer_ff[layer], .n_head_kv = k->n_head_kv, .head_dim = k->head_dim,
        .recurrent = c->recurrent[layer], .own_kv = !hf_layer_shares_kv(c, layer),
        .k_is_v = c->k_eq_v && !c->sliding[layer], .experts = c->n_expert > 0, .mtp = mtp,
        .qkv_bias = c->qkv_bias, .o_bias = c->o_bias, .ffn_bias = c->mlp_bias,
    };
}

void sizes_of_config(model_sizes *m, block_sizes *block, const hf_config *c)
{
    const hf_delta *d = &c->delta;
    *m = (model_sizes){
        .arch = c->arch->family->arch, .n_block = hf_n_blocks(c), .n_vocab = c->n_vocab, .n_embd = c->n_embd,
        .n_head = c->n_head, .ple = c->ple, .n_expert = c->n_expert, .n_expert_used = c->n_expert_used,
        .n_ff_expert = c->n_ff_expert, .n_ff_shared = c->n_ff_shared, .conv_kernel = d->conv_kernel,
        .n_key_head = d->n_key_head, .n_value_head = d->n_value_head, .key_dim = d->key_dim,
        .value_dim = d->value_dim, .n_rope_freqs = sizes_rope_freqs(c), .tied = c->tied, .block = block,
    };
    for (int64_t i = 0; i < m->n_block; i++) block[i] = block_of(c, i);
}
