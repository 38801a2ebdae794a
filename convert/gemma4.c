// gemma4: Gemma4ForCausalLM and the text half of Gemma4ForConditionalGeneration and
// Gemma4UnifiedForConditionalGeneration, as GGUF architecture "gemma4". Names, keys and values are those of llama.cpp's
// converter (conversion/gemma.py, Gemma4Model); see README.md here for what differs.
#include "family.h"
#include "gemma_config.h"

// Gemma4RMSNorm multiplies by w itself: nothing is added, unlike Gemma 3.
static const tensor_rule model_rules[] = {
    { "embed_tokens.weight",               "token_embd.weight",           KEEP },
    { "norm.weight",                       "output_norm.weight",          KEEP },
    { "embed_tokens_per_layer.weight",     "per_layer_token_embd.weight", CUT_ROWS },
    { "per_layer_model_projection.weight", "per_layer_model_proj.weight", KEEP },
    { "per_layer_projection_norm.weight",  "per_layer_proj_norm.weight",  KEEP },
    { "lm_head.weight",                    "output.weight",               KEEP },
    { 0 },
};

// V has a norm without weight, so there is no v_norm.
static const tensor_rule layer_rules[] = {
    { "input_layernorm.weight",            "attn_norm.weight",           KEEP },
    { "self_attn.q_proj.weight",           "attn_q.weight",              KEEP },
    { "self_attn.k_proj.weight",           "attn_k.weight",              KEEP },
    { "self_attn.v_proj.weight",           "attn_v.weight",              KEEP },
    { "self_attn.o_proj.weight",           "attn_output.weight",         KEEP },
    { "self_attn.q_norm.weight",           "attn_q_norm.weight",         KEEP },
    { "self_attn.k_norm.weight",           "attn_k_norm.weight",         KEEP },
    { "post_attention_layernorm.weight",   "post_attention_norm.weight", KEEP },
    { "pre_feedforward_layernorm.weight",  "ffn_norm.weight",            KEEP },
    { "mlp.gate_proj.weight",              "ffn_gate.weight",            KEEP },
    { "mlp.up_proj.weight",                "ffn_up.weight",              KEEP },
    { "mlp.down_proj.weight",              "ffn_down.weight",            KEEP },
    { "post_feedforward_layernorm.weight", "post_ffw_norm.weight",       KEEP },
    { "per_layer_input_gate.weight",       "inp_gate.weight",            KEEP },
    { "per_layer_projection.weight",       "proj.weight",                KEEP },
    { "post_per_layer_input_norm.weight",  "post_norm.weight",           KEEP },
    { "layer_scalar",                      "layer_output_scale.weight",  KEEP },
    // Experts beside the MLP, gate and up in one tensor.
    { "router.proj.weight",                  "ffn_gate_inp.weight",     KEEP },
    { "router.scale",                        "ffn_gate_inp.scale",      KEEP },
    { "router.per_expert_scale",             "ffn_down_exps.scale",     KEEP },
    { "experts.gate_up_proj",                "ffn_gate_up_exps.weight", KEEP },
    { "experts.down_proj",                   "ffn_down_exps.weight",    KEEP },
    { "pre_feedforward_layernorm_2.weight",  "pre_ffw_norm_2.weight",   KEEP },
    { "post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight",  KEEP },
    { "post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight",  KEEP },
    { 0 },
};

static void plan_heads(const hf_config *c, hparam_list *l)
{
    const hf_kind *full = &c->kind[KIND_FULL], *swa = &c->kind[KIND_SLIDING];
    double implied_head = (double)(c->n_embd / c->n_head);
    hp_default(hp_u32(l, "attention.key_length", full->head_dim), implied_head);
    hp_default(hp_u32(l, "attention.value_length", full->head_dim), implied_head);
    hp_u32(l, "attention.key_length_swa", swa->head_dim);
    hp_u32(l, "attention.value_length_swa", swa->head_dim);
    // All of the head counts as rotated: rope_freqs.weight stops the dimensions that are not.
    hp_default(hp_u32(l, "rope.dimension_count", full->head_dim), (double)full->head_dim);
    hp_default(hp_u32(l, "rope.dimension_count_swa", swa->head_dim), (double)full->head_dim);
}

static void plan_hparams(const hf_config *c, hparam_list *l)
{
    hp_u32(l, "block_count", c->n_layer);
    hp_u32(l, "context_length", c->n_ctx);
    hp_u32(l, "embedding_length", c->n_embd);
    if (c->double_wide) hp_i32s(l, "feed_forward_length", c->layer_ff, c->n_layer);
    else                hp_u32(l, "feed_forward_length", c->n_ff);
    hp_u32(l, "attention.head_count", c->n_head);
    if (c->kv_by_layer) hp_default(hp_i32s(l, "attention.head_count_kv", c->layer_kv, c->n_layer), (double)c->n_head);
    else                hp_default(hp_u32(l, "attention.head_count_kv", c->layer_kv[0]), (double)c->n_head);
    hp_arch_default(l, hp_f32(l, "rope.freq_base", c->kind[KIND_FULL].rope_base));
    hp_arch_default(l, hp_f32(l, "rope.freq_base_swa", c->kind[KIND_SLIDING].rope_base));
    hp_f32(l, "attention.layer_norm_rms_epsilon", c->eps);
    // Written even when there is none: llama.cpp caps at 30 if the key is absent.
    hp_arch_default(l, hp_f32(l, "final_logit_softcapping", c->softcap));
    hp_u32(l, "attention.sliding_window", c->window);
    hp_arch_default(l, hp_u32(l, "attention.shared_kv_layers", c->n_shared));
    hp_u32(l, "embedding_length_per_layer_input", c->ple);
    hp_bools(l, "attention.sliding_window_pattern", c->sliding, c->n_layer);
    plan_heads(c, l);
    hp_arch_default(l, hp_f32(l, "attention.scale", c->attn_scale));
    hparam *factor = hp_f32(l, "rope.scaling.factor", 1);
    factor->write = false;
    hp_arch_default(l, factor);
    family_plan_experts(c, l);
}

const family family_gemma4 = {
    .arch = "gemma4", .tokenizer = TOK_GEMMA4, .model = model_rules, .layer = layer_rules, .rope_freqs = true,
    .config = gemma_config_read, .hparams = plan_hparams,
};
