// llama: LlamaForCausalLM and MistralForCausalLM as GGUF architecture "llama", Qwen2ForCausalLM as "qwen2",
// Qwen3ForCausalLM as "qwen3". Names, keys and values are those of llama.cpp's converter (conversion/llama.py,
// LlamaModel; conversion/qwen.py, Qwen2Model and Qwen3Model); see README.md here for what differs.
#include "family.h"
#include "llama_config.h"

#include <math.h>

static const tensor_rule model_rules[] = {
    { "embed_tokens.weight", "token_embd.weight",  NEED_ALWAYS, { DIM_VOCAB, DIM_EMBD }, KEEP },
    { "norm.weight",         "output_norm.weight", NEED_ALWAYS, { DIM_EMBD },            KEEP },
    { "lm_head.weight",      "output.weight",      NEED_UNTIED, { DIM_VOCAB, DIM_EMBD }, KEEP },
    { 0 },
};

// What the layers of all three have.
#define COMMON \
    { "input_layernorm.weight",          "attn_norm.weight",   NEED_ALWAYS,   { DIM_EMBD },         KEEP }, \
    { "self_attn.v_proj.weight",         "attn_v.weight",      NEED_ALWAYS,   { DIM_KV, DIM_EMBD }, KEEP }, \
    { "self_attn.v_proj.bias",           "attn_v.bias",        NEED_QKV_BIAS, { DIM_KV },           KEEP }, \
    { "self_attn.o_proj.weight",         "attn_output.weight", NEED_ALWAYS,   { DIM_EMBD, DIM_Q },  KEEP }, \
    { "self_attn.o_proj.bias",           "attn_output.bias",   NEED_O_BIAS,   { DIM_EMBD },         KEEP }, \
    { "post_attention_layernorm.weight", "ffn_norm.weight",    NEED_ALWAYS,   { DIM_EMBD },         KEEP }, \
    { "mlp.gate_proj.weight",            "ffn_gate.weight",    NEED_ALWAYS,   { DIM_FF, DIM_EMBD }, KEEP }, \
    { "mlp.up_proj.weight",              "ffn_up.weight",      NEED_ALWAYS,   { DIM_FF, DIM_EMBD }, KEEP }, \
    { "mlp.down_proj.weight",            "ffn_down.weight",    NEED_ALWAYS,   { DIM_EMBD, DIM_FF }, KEEP }

// llama.cpp rotates neighbouring elements of a llama head, Transformers the two halves.
static const tensor_rule llama_rules[] = {
    COMMON,
    { "self_attn.q_proj.weight", "attn_q.weight", NEED_ALWAYS,   { DIM_Q, DIM_EMBD },  PERMUTE },
    { "self_attn.q_proj.bias",   "attn_q.bias",   NEED_QKV_BIAS, { DIM_Q },            PERMUTE },
    { "self_attn.k_proj.weight", "attn_k.weight", NEED_ALWAYS,   { DIM_KV, DIM_EMBD }, PERMUTE },
    { "self_attn.k_proj.bias",   "attn_k.bias",   NEED_QKV_BIAS, { DIM_KV },           PERMUTE },
    { "mlp.gate_proj.bias",      "ffn_gate.bias", NEED_MLP_BIAS, { DIM_FF },           KEEP },
    { "mlp.up_proj.bias",        "ffn_up.bias",   NEED_MLP_BIAS, { DIM_FF },           KEEP },
    { "mlp.down_proj.bias",      "ffn_down.bias", NEED_MLP_BIAS, { DIM_EMBD },         KEEP },
    { 0 },
};

static const tensor_rule qwen2_rules[] = {
    COMMON,
    { "self_attn.q_proj.weight", "attn_q.weight", NEED_ALWAYS,   { DIM_Q, DIM_EMBD },  KEEP },
    { "self_attn.q_proj.bias",   "attn_q.bias",   NEED_QKV_BIAS, { DIM_Q },            KEEP },
    { "self_attn.k_proj.weight", "attn_k.weight", NEED_ALWAYS,   { DIM_KV, DIM_EMBD }, KEEP },
    { "self_attn.k_proj.bias",   "attn_k.bias",   NEED_QKV_BIAS, { DIM_KV },           KEEP },
    { 0 },
};

static const tensor_rule qwen3_rules[] = {
    COMMON,
    { "self_attn.q_proj.weight", "attn_q.weight",      NEED_ALWAYS,   { DIM_Q, DIM_EMBD },  KEEP },
    { "self_attn.q_proj.bias",   "attn_q.bias",        NEED_QKV_BIAS, { DIM_Q },            KEEP },
    { "self_attn.k_proj.weight", "attn_k.weight",      NEED_ALWAYS,   { DIM_KV, DIM_EMBD }, KEEP },
    { "self_attn.k_proj.bias",   "attn_k.bias",        NEED_QKV_BIAS, { DIM_KV },           KEEP },
    { "self_attn.q_norm.weight", "attn_q_norm.weight", NEED_ALWAYS,   { DIM_HEAD },         KEEP },
    { "self_attn.k_norm.weight", "attn_k_norm.weight", NEED_ALWAYS,   { DIM_HEAD },         KEEP },
    { 0 },
};

// llama.cpp does not look at a window of these architectures. Layers that have one are listed where not all do.
static void plan_window(const hf_config *c, hparam_list *l)
{
    const int64_t n_sliding = c->kind[KIND_SLIDING].n_layers;
    hparam *window = hp_u32(l, "attention.sliding_window", n_sliding ? c->window : 0);
    window->write = n_sliding > 0;
    hp_arch_default(l, window);
    if (n_sliding > 0 && n_sliding < c->n_layer)
        hp_bools(l, "attention.sliding_window_pattern", c->sliding, c->n_layer);
}

static void plan_hparams(const hf_config *c, hparam_list *l)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    family_plan_dense(c, l);
    if (c->arch->family == &family_llama) {
        hp_default(hp_u32(l, "vocab_size", c->n_vocab), (double)c->n_vocab);
        hp_default(hp_u32(l, "rope.dimension_count", k->head_dim), (double)k->head_dim);
    }
    plan_window(c, l);
    hp_default(hp_f32(l, "attention.scale", c->attn_scale), 1 / sqrt((double)k->head_dim));
    hparam *experts = hp_u32(l, "expert_count", 0);
    experts->write = false;
    hp_arch_default(l, experts);
}

const family family_llama = {
    .arch = "llama", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = llama_rules, .config = llama_config_read,
    .hparams = plan_hparams,
};

const family family_qwen2 = {
    .arch = "qwen2", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = qwen2_rules, .config = llama_config_read,
    .hparams = plan_hparams,
};

const family family_qwen3 = {
    .arch = "qwen3", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = qwen3_rules, .config = llama_config_read,
    .hparams = plan_hparams,
};
