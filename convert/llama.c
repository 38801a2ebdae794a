// llama: LlamaForCausalLM and MistralForCausalLM as GGUF architecture "llama", Qwen2ForCausalLM as "qwen2",
// Qwen3ForCausalLM as "qwen3", Qwen3MoeForCausalLM as "qwen3moe". Names, keys and values are those of llama.cpp's
// converter (conversion/llama.py, LlamaModel; conversion/qwen.py, Qwen2Model, Qwen3Model and Qwen3MoeModel); see
// README.md here for what differs.
#include "family.h"
#include "llama_config.h"
#include "qwen_experts.h"

#include <math.h>

static const tensor_rule model_rules[] = {
    { "embed_tokens.weight", "token_embd.weight",  KEEP },
    { "norm.weight",         "output_norm.weight", KEEP },
    { "lm_head.weight",      "output.weight",      KEEP },
    { 0 },
};

// What the layers of all four have.
#define ATTENTION \
    { "input_layernorm.weight",          "attn_norm.weight",   KEEP }, \
    { "self_attn.v_proj.weight",         "attn_v.weight",      KEEP }, \
    { "self_attn.v_proj.bias",           "attn_v.bias",        KEEP }, \
    { "self_attn.o_proj.weight",         "attn_output.weight", KEEP }, \
    { "self_attn.o_proj.bias",           "attn_output.bias",   KEEP }, \
    { "post_attention_layernorm.weight", "ffn_norm.weight",    KEEP }

#define COMMON \
    ATTENTION, \
    { "mlp.gate_proj.weight",            "ffn_gate.weight",    KEEP }, \
    { "mlp.up_proj.weight",              "ffn_up.weight",      KEEP }, \
    { "mlp.down_proj.weight",            "ffn_down.weight",    KEEP }

#define QUERY_KEY \
    { "self_attn.q_proj.weight",         "attn_q.weight",      KEEP }, \
    { "self_attn.q_proj.bias",           "attn_q.bias",        KEEP }, \
    { "self_attn.k_proj.weight",         "attn_k.weight",      KEEP }, \
    { "self_attn.k_proj.bias",           "attn_k.bias",        KEEP }

#define QUERY_KEY_NORMS \
    { "self_attn.q_norm.weight",         "attn_q_norm.weight", KEEP }, \
    { "self_attn.k_norm.weight",         "attn_k_norm.weight", KEEP }

// llama.cpp rotates neighbouring elements of a llama head, Transformers the two halves.
static const tensor_rule llama_rules[] = {
    COMMON,
    { "self_attn.q_proj.weight", "attn_q.weight", PERMUTE },
    { "self_attn.q_proj.bias",   "attn_q.bias",   PERMUTE },
    { "self_attn.k_proj.weight", "attn_k.weight", PERMUTE },
    { "self_attn.k_proj.bias",   "attn_k.bias",   PERMUTE },
    { "mlp.gate_proj.bias",      "ffn_gate.bias", KEEP },
    { "mlp.up_proj.bias",        "ffn_up.bias",   KEEP },
    { "mlp.down_proj.bias",      "ffn_down.bias", KEEP },
    { 0 },
};

static const tensor_rule qwen2_rules[] = { COMMON, QUERY_KEY, { 0 } };
static const tensor_rule qwen3_rules[] = { COMMON, QUERY_KEY, QUERY_KEY_NORMS, { 0 } };
static const tensor_rule qwen3moe_rules[] = { ATTENTION, QUERY_KEY, QUERY_KEY_NORMS, QWEN_EXPERT_RULES, { 0 } };

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
    family_plan_experts(c, l);
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

const family family_qwen3moe = {
    .arch = "qwen3moe", .tokenizer = TOK_BY_FILE, .model = model_rules, .layer = qwen3moe_rules,
    .config = llama_config_read, .hparams = plan_hparams,
};
