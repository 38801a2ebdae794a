// gemma3: Gemma3ForCausalLM and the text half of Gemma3ForConditionalGeneration, as GGUF architecture "gemma3".
// Names, keys and values are those of llama.cpp's converter (conversion/gemma.py, Gemma3Model); see README.md here for
// what differs.
#include "family.h"
#include "gemma_config.h"

#include <math.h>

// Gemma3RMSNorm multiplies by (1 + w); GGUF holds 1 + w, added in F32.
static const tensor_rule model_rules[] = {
    { "embed_tokens.weight", "token_embd.weight",  KEEP },
    { "norm.weight",         "output_norm.weight", ADD_ONE },
    { "lm_head.weight",      "output.weight",      KEEP },
    { 0 },
};

static const tensor_rule layer_rules[] = {
    { "input_layernorm.weight",            "attn_norm.weight",           ADD_ONE },
    { "self_attn.q_proj.weight",           "attn_q.weight",              KEEP },
    { "self_attn.k_proj.weight",           "attn_k.weight",              KEEP },
    { "self_attn.v_proj.weight",           "attn_v.weight",              KEEP },
    { "self_attn.o_proj.weight",           "attn_output.weight",         KEEP },
    { "self_attn.q_norm.weight",           "attn_q_norm.weight",         ADD_ONE },
    { "self_attn.k_norm.weight",           "attn_k_norm.weight",         ADD_ONE },
    { "post_attention_layernorm.weight",   "post_attention_norm.weight", ADD_ONE },
    { "pre_feedforward_layernorm.weight",  "ffn_norm.weight",            ADD_ONE },
    { "mlp.gate_proj.weight",              "ffn_gate.weight",            KEEP },
    { "mlp.up_proj.weight",                "ffn_up.weight",              KEEP },
    { "mlp.down_proj.weight",              "ffn_down.weight",            KEEP },
    { "post_feedforward_layernorm.weight", "post_ffw_norm.weight",       ADD_ONE },
    { 0 },
};

// llama.cpp computes the scale instead of reading it: from the head size, or, for the 62 layers of 27B, from the
// embedding.
static double implied_scale(const hf_config *c)
{
    int64_t d = c->n_layer == 62 ? c->n_embd / c->n_head : c->kind[KIND_FULL].head_dim;
    return 1 / sqrt((double)d);
}

// llama.cpp takes every sixth layer for a full-attention one unless sliding_window_pattern says otherwise.
static bool has_usual_pattern(const hf_config *c)
{
    for (int64_t i = 0; i < c->n_layer; i++)
        if (c->sliding[i] != (i % 6 < 5)) return false;
    return true;
}

static void plan_window(const hf_config *c, hparam_list *l)
{
    hparam *h = hp_u32(l, "attention.sliding_window", c->kind[KIND_SLIDING].n_layers ? c->window : 0);
    h->write = c->kind[KIND_SLIDING].n_layers > 0;
    hp_arch_default(l, h);
    if (!h->write) return;
    h = hp_bools(l, "attention.sliding_window_pattern", c->sliding, c->n_layer);
    h->write = !has_usual_pattern(c);
    hp_arch_default(l, h);
    hp_arch_default(l, hp_f32(l, "rope.freq_base_swa", c->kind[KIND_SLIDING].rope_base));
}

static void plan_hparams(const hf_config *c, hparam_list *l)
{
    family_plan_dense(c, l);
    hparam *cap = hp_f32(l, "final_logit_softcapping", c->softcap);
    cap->write = c->softcap != 0;
    hp_arch_default(l, cap);
    plan_window(c, l);
    hp_default(hp_f32(l, "attention.scale", c->attn_scale), implied_scale(c));
}

const family family_gemma3 = {
    .arch = "gemma3", .tokenizer = TOK_LLAMA, .model = model_rules, .layer = layer_rules, .rope_freqs = false,
    .config = gemma_config_read, .hparams = plan_hparams,
};
