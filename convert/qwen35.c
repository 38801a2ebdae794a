// qwen35: Qwen3_5ForCausalLM and the text half of Qwen3_5ForConditionalGeneration as GGUF architecture "qwen35", the
// same with experts (Qwen3_5Moe...) as "qwen35moe". Names, keys and values are those of llama.cpp's converter
// (conversion/qwen.py, Qwen3_5TextModel and Qwen3_5MoeTextModel); see README.md here for what differs.
#include "family.h"
#include "qwen35_config.h"
#include "qwen_experts.h"

#include <math.h>

// Qwen3_5RMSNorm multiplies by 1 + w, except for the norm of a delta net's heads.
static const tensor_rule model_rules[] = {
    { "embed_tokens.weight", "token_embd.weight",  KEEP },
    { "norm.weight",         "output_norm.weight", ZERO_NORM },
    { "lm_head.weight",      "output.weight",      KEEP },
    { 0 },
};

// linear_attn: the delta net. llama.cpp keeps the decay as what it is multiplied with, and value heads in tiles.
#define BLOCK \
    { "input_layernorm.weight",          "attn_norm.weight",           ZERO_NORM }, \
    { "post_attention_layernorm.weight", "post_attention_norm.weight", ZERO_NORM }, \
    { "self_attn.q_proj.weight",         "attn_q.weight",              KEEP }, \
    { "self_attn.k_proj.weight",         "attn_k.weight",              KEEP }, \
    { "self_attn.v_proj.weight",         "attn_v.weight",              KEEP }, \
    { "self_attn.o_proj.weight",         "attn_output.weight",         KEEP }, \
    { "self_attn.q_norm.weight",         "attn_q_norm.weight",         ZERO_NORM }, \
    { "self_attn.k_norm.weight",         "attn_k_norm.weight",         ZERO_NORM }, \
    { "linear_attn.in_proj_qkv.weight",  "attn_qkv.weight",            V_CHANNELS }, \
    { "linear_attn.in_proj_z.weight",    "attn_gate.weight",           V_ROWS }, \
    { "linear_attn.in_proj_a.weight",    "ssm_alpha.weight",           V_HEADS }, \
    { "linear_attn.in_proj_b.weight",    "ssm_beta.weight",            V_HEADS }, \
    { "linear_attn.conv1d.weight",       "ssm_conv1d.weight",          SQUEEZE | V_CHANNELS }, \
    { "linear_attn.A_log",               "ssm_a",                      V_HEADS | NEG_EXP }, \
    { "linear_attn.dt_bias",             "ssm_dt.bias",                V_HEADS }, \
    { "linear_attn.norm.weight",         "ssm_norm.weight",            KEEP }, \
    { "linear_attn.out_proj.weight",     "ssm_out.weight",             V_COLUMNS }

static const tensor_rule dense_rules[] = {
    BLOCK,
    { "mlp.gate_proj.weight", "ffn_gate.weight", KEEP },
    { "mlp.up_proj.weight",   "ffn_up.weight",   KEEP },
    { "mlp.down_proj.weight", "ffn_down.weight", KEEP },
    { 0 },
};

static const tensor_rule expert_rules[] = {
    BLOCK, QWEN_EXPERT_RULES,
    { "mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight",     KEEP },
    { "mlp.shared_expert.up_proj.weight",   "ffn_up_shexp.weight",       KEEP },
    { "mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight",     KEEP },
    { "mlp.shared_expert_gate.weight",      "ffn_gate_inp_shexp.weight", KEEP },
    { 0 },
};

// The block that guesses the token after the next ("mtp."): a layer with attention, and what joins the state with the
// next token's embedding. Transformers does not run it.
static const tensor_rule mtp_rules[] = {
    { "fc.weight",                    "nextn.eh_proj.weight",          KEEP },
    { "pre_fc_norm_embedding.weight", "nextn.enorm.weight",            ZERO_NORM },
    { "pre_fc_norm_hidden.weight",    "nextn.hnorm.weight",            ZERO_NORM },
    { "norm.weight",                  "nextn.shared_head_norm.weight", ZERO_NORM },
    { 0 },
};

// Without the list every full_attention_interval-th layer has attention, for readers.
static void plan_delta(const hf_config *c, hparam_list *l)
{
    const hf_delta *d = &c->delta;
    hp_u32(l, "ssm.conv_kernel", d->conv_kernel);
    hp_u32(l, "ssm.state_size", d->key_dim);
    hp_u32(l, "ssm.group_count", d->n_key_head);
    hp_u32(l, "ssm.time_step_rank", d->n_value_head);
    hp_u32(l, "ssm.inner_size", d->value_dim * d->n_value_head);
    hparam *recurrent = hp_bools(l, "attention.recurrent_layers", c->recurrent, hf_n_blocks(c));
    recurrent->def_kind = DEF_PERIOD;
    recurrent->def = (double)d->full_interval;
    hp_default(hp_u32(l, "full_attention_interval", d->full_interval), 4);
}

static void plan_hparams(const hf_config *c, hparam_list *l)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    family_plan_dense(c, l);
    family_plan_experts(c, l);
    if (c->n_expert > 0) hp_u32(l, "expert_shared_feed_forward_length", c->n_ff_shared);
    hparam *mtp = hp_u32(l, "nextn_predict_layers", c->n_mtp);
    mtp->write = c->n_mtp > 0;
    hp_default(mtp, 0);
    plan_delta(c, l);
    hp_u32(l, "rope.dimension_count", c->rope_dim);
    hp_i32s(l, "rope.dimension_sections", c->rope_sections, 4);
    hp_default(hp_f32(l, "attention.scale", c->attn_scale), 1 / sqrt((double)k->head_dim));
}

const family family_qwen35 = {
    .arch = "qwen35", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = dense_rules, .mtp = mtp_rules,
    .config = qwen35_config_read, .hparams = plan_hparams,
};

const family family_qwen35moe = {
    .arch = "qwen35moe", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = expert_rules, .mtp = mtp_rules,
    .config = qwen35_config_read, .hparams = plan_hparams,
};
