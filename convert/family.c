// family: what several families plan alike. See family.h.
#include "family.h"

// A frequency's divisor that is not the same for all (rope_llama3) stands in rope_freqs.weight instead.
static void plan_scaling(const hf_kind *k, hparam_list *l)
{
    const bool linear = k->rope_factor != 1 && !k->rope_llama3;
    if (linear) hp_str(l, "rope.scaling.type", "linear");
    hparam *factor = hp_f32(l, "rope.scaling.factor", linear ? k->rope_factor : 1);
    factor->write = linear;
    hp_arch_default(l, factor);
}

void family_plan_dense(const hf_config *c, hparam_list *l)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    const double   share = (double)(c->n_embd / c->n_head);
    hp_u32(l, "block_count", hf_n_blocks(c));
    hp_u32(l, "context_length", c->n_ctx);
    hp_u32(l, "embedding_length", c->n_embd);
    if (c->n_ff > 0) hp_u32(l, "feed_forward_length", c->n_ff);      // 0: every MLP is one of experts, and none said it
    hp_u32(l, "attention.head_count", c->n_head);
    hp_default(hp_u32(l, "attention.head_count_kv", k->n_head_kv), (double)c->n_head);
    plan_scaling(k, l);
    hp_arch_default(l, hp_f32(l, "rope.freq_base", k->rope_base));
    hp_f32(l, "attention.layer_norm_rms_epsilon", c->eps);
    hp_default(hp_u32(l, "attention.key_length", k->head_dim), share);
    hp_default(hp_u32(l, "attention.value_length", k->head_dim), share);
}

void family_plan_experts(const hf_config *c, hparam_list *l)
{
    hparam *count = hp_u32(l, "expert_count", c->n_expert);
    count->write = c->n_expert > 0;
    hp_arch_default(l, count);
    if (c->n_expert == 0) return;
    hp_u32(l, "expert_used_count", c->n_expert_used);
    hp_u32(l, "expert_feed_forward_length", c->n_ff_expert);
}
