// mini_families: small checkpoints (mini_checkpoint.h) of the families with experts or delta nets. Every number that
// can differ from another does.
#ifndef HALLMARK_TESTS_MINI_FAMILIES_H
#define HALLMARK_TESTS_MINI_FAMILIES_H

#include "mini_checkpoint.h"

typedef struct { const char *name; int n; int64_t a, b, c; } mini_row;

static inline mini_tensor *mini_add_row(mini *m, const char *prefix, const mini_row *r)
{
    char name[160];
    snprintf(name, sizeof name, "%s%s", prefix, r->name);
    mini_tensor *t = mini_add(m, name, r->n, r->a, r->b);
    t->shape[2] = r->c ? r->c : 1;
    return t;
}

static inline void mini_add_rows(mini *m, const char *prefix, const mini_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) mini_add_row(m, prefix, &rows[i]);
}

#define MINI_ADD(m, prefix, rows) mini_add_rows(m, prefix, rows, sizeof rows / sizeof rows[0])

// Gemma's tokens, which a byte-level tokenizer may have, too.
static inline mini *mini_new_qwen(const char *config)
{
    mini *m = mini_new();
    m->config = mini_json(config);
    mini_set(m->tokenizer_config, "tokenizer_class", "\"Qwen2Tokenizer\"");
    return m;
}

// Norms that are trained from 0, so that they stay near it.
static inline void mini_near_zero(mini *m)
{
    for (int i = 0; i < m->n; i++) {
        mini_tensor *t = &m->t[i];
        const bool norm = strstr(t->name, "norm") && t->n_dims == 1 && !strstr(t->name, "linear_attn.norm");
        if (norm) t->fill = 0.0625f * (float)(i % 5);
    }
}

// ---- Gemma 4 with experts: sliding, full (K is V, one KV head, heads twice as large); 3 experts of 16 ---------------

static inline mini *mini_gemma4_moe(void)
{
    mini *m = mini_new();
    m->config = mini_json(
        "{\"architectures\":[\"Gemma4ForCausalLM\"],\"model_type\":\"gemma4_text\",\"vocab_size\":280,"
        "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"num_global_key_value_heads\":1,\"head_dim\":32,\"global_head_dim\":64,"
        "\"sliding_window\":16,\"hidden_size_per_layer_input\":0,\"attention_k_eq_v\":true,\"enable_moe_block\":true,"
        "\"num_experts\":3,\"top_k_experts\":2,\"moe_intermediate_size\":16,"
        "\"layer_types\":[\"sliding_attention\",\"full_attention\"]}");
    mini_add(m, "model.embed_tokens.weight", 2, MINI_VOCAB, MINI_EMBD);
    mini_add(m, "model.norm.weight", 1, MINI_EMBD, 1);
    for (int i = 0; i < 2; i++) {
        const int64_t head = i ? 64 : 32, kv = i ? 64 : 2 * 32;
        char prefix[40];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        const mini_row rows[] = {
            { "input_layernorm.weight", 1, 64, 1, 0 }, { "self_attn.q_proj.weight", 2, 4 * head, 64, 0 },
            { "self_attn.k_proj.weight", 2, kv, 64, 0 }, { "self_attn.o_proj.weight", 2, 64, 4 * head, 0 },
            { "self_attn.q_norm.weight", 1, head, 1, 0 }, { "self_attn.k_norm.weight", 1, head, 1, 0 },
            { "post_attention_layernorm.weight", 1, 64, 1, 0 }, { "pre_feedforward_layernorm.weight", 1, 64, 1, 0 },
            { "mlp.gate_proj.weight", 2, 96, 64, 0 }, { "mlp.up_proj.weight", 2, 96, 64, 0 },
            { "mlp.down_proj.weight", 2, 64, 96, 0 }, { "post_feedforward_layernorm.weight", 1, 64, 1, 0 },
            { "layer_scalar", 1, 1, 1, 0 }, { "router.proj.weight", 2, 3, 64, 0 }, { "router.scale", 1, 64, 1, 0 },
            { "router.per_expert_scale", 1, 3, 1, 0 }, { "experts.gate_up_proj", 3, 3, 32, 64 },
            { "experts.down_proj", 3, 3, 64, 16 }, { "pre_feedforward_layernorm_2.weight", 1, 64, 1, 0 },
            { "post_feedforward_layernorm_1.weight", 1, 64, 1, 0 },
            { "post_feedforward_layernorm_2.weight", 1, 64, 1, 0 },
        };
        MINI_ADD(m, prefix, rows);
        if (i == 0) mini_add(m, "model.layers.0.self_attn.v_proj.weight", 2, kv, 64);
    }
    return m;
}

// ---- experts of Qwen: 3 of 16, a matrix each or all in one ----------------------------------------------------------

static inline void mini_qwen_experts(mini *m, const char *prefix, bool fused)
{
    const mini_row both[] = { { "mlp.gate.weight", 2, 3, 64, 0 }, { "mlp.experts.gate_up_proj", 3, 3, 32, 64 },
                              { "mlp.experts.down_proj", 3, 3, 64, 16 } };
    mini_add_rows(m, prefix, both, fused ? 3 : 1);
    for (int i = 0; !fused && i < 3; i++) {
        char one[120];
        const mini_row rows[] = { { "gate_proj.weight", 2, 16, 64, 0 }, { "up_proj.weight", 2, 16, 64, 0 },
                                  { "down_proj.weight", 2, 64, 16, 0 } };
        snprintf(one, sizeof one, "%smlp.experts.%d.", prefix, i);
        MINI_ADD(m, one, rows);
    }
}

static inline mini *mini_qwen3moe(bool fused)
{
    mini *m = mini_new_qwen(
        "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"model_type\":\"qwen3_moe\",\"vocab_size\":280,"
        "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"head_dim\":24,\"num_experts\":3,\"num_experts_per_tok\":2,"
        "\"moe_intermediate_size\":16,\"norm_topk_prob\":true,\"tie_word_embeddings\":true}");
    mini_add(m, "model.embed_tokens.weight", 2, MINI_VOCAB, MINI_EMBD);
    mini_add(m, "model.norm.weight", 1, MINI_EMBD, 1);
    for (int i = 0; i < 2; i++) {
        char prefix[40];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        const mini_row rows[] = {
            { "input_layernorm.weight", 1, 64, 1, 0 }, { "self_attn.q_proj.weight", 2, 4 * 24, 64, 0 },
            { "self_attn.k_proj.weight", 2, 2 * 24, 64, 0 }, { "self_attn.v_proj.weight", 2, 2 * 24, 64, 0 },
            { "self_attn.o_proj.weight", 2, 64, 4 * 24, 0 }, { "self_attn.q_norm.weight", 1, 24, 1, 0 },
            { "self_attn.k_norm.weight", 1, 24, 1, 0 }, { "post_attention_layernorm.weight", 1, 64, 1, 0 },
        };
        MINI_ADD(m, prefix, rows);
        mini_qwen_experts(m, prefix, fused);
    }
    return m;
}

// ---- Qwen 3.5: a delta net (2 key heads, 6 value heads of 16), attention (4 heads of 16, 2 KV), one block more ------

static inline void mini_qwen35_mlp(mini *m, const char *prefix, bool experts, bool fused)
{
    static const mini_row dense[] = { { "mlp.gate_proj.weight", 2, 96, 64, 0 }, { "mlp.up_proj.weight", 2, 96, 64, 0 },
                                      { "mlp.down_proj.weight", 2, 64, 96, 0 } };
    static const mini_row shared[] = {
        { "mlp.shared_expert.gate_proj.weight", 2, 40, 64, 0 }, { "mlp.shared_expert.up_proj.weight", 2, 40, 64, 0 },
        { "mlp.shared_expert.down_proj.weight", 2, 64, 40, 0 }, { "mlp.shared_expert_gate.weight", 2, 1, 64, 0 },
    };
    if (!experts) MINI_ADD(m, prefix, dense);
    if (experts)  MINI_ADD(m, prefix, shared);
    if (experts)  mini_qwen_experts(m, prefix, fused);
}

static inline void mini_qwen35_attention(mini *m, const char *prefix)
{
    static const mini_row rows[] = {
        { "self_attn.q_proj.weight", 2, 2 * 4 * 16, 64, 0 }, { "self_attn.k_proj.weight", 2, 2 * 16, 64, 0 },
        { "self_attn.v_proj.weight", 2, 2 * 16, 64, 0 }, { "self_attn.o_proj.weight", 2, 64, 4 * 16, 0 },
        { "self_attn.q_norm.weight", 1, 16, 1, 0 }, { "self_attn.k_norm.weight", 1, 16, 1, 0 },
    };
    MINI_ADD(m, prefix, rows);
}

static inline void mini_qwen35_delta(mini *m, const char *prefix)
{
    static const mini_row rows[] = {
        { "linear_attn.in_proj_qkv.weight", 2, 64 + 96, 64, 0 }, { "linear_attn.in_proj_z.weight", 2, 96, 64, 0 },
        { "linear_attn.in_proj_a.weight", 2, 6, 64, 0 }, { "linear_attn.in_proj_b.weight", 2, 6, 64, 0 },
        { "linear_attn.conv1d.weight", 3, 64 + 96, 1, 4 }, { "linear_attn.A_log", 1, 6, 1, 0 },
        { "linear_attn.dt_bias", 1, 6, 1, 0 }, { "linear_attn.norm.weight", 1, 16, 1, 0 },
        { "linear_attn.out_proj.weight", 2, 64, 96, 0 },
    };
    MINI_ADD(m, prefix, rows);
}

static inline void mini_qwen35_norms(mini *m, const char *prefix)
{
    static const mini_row rows[] = { { "input_layernorm.weight", 1, 64, 1, 0 },
                                     { "post_attention_layernorm.weight", 1, 64, 1, 0 } };
    MINI_ADD(m, prefix, rows);
}

// The block that guesses, whose tensors config.json promises.
static inline void mini_qwen35_mtp(mini *m, bool experts, bool fused)
{
    static const mini_row rows[] = { { "fc.weight", 2, 64, 128, 0 }, { "norm.weight", 1, 64, 1, 0 },
                                     { "pre_fc_norm_embedding.weight", 1, 64, 1, 0 },
                                     { "pre_fc_norm_hidden.weight", 1, 64, 1, 0 } };
    MINI_ADD(m, "mtp.", rows);
    mini_qwen35_norms(m, "mtp.layers.0.");
    mini_qwen35_attention(m, "mtp.layers.0.");
    mini_qwen35_mlp(m, "mtp.layers.0.", experts, fused);
}

static inline mini *mini_qwen35(bool experts, bool fused)
{
    mini *m = mini_new_qwen("{\"vocab_size\":280,\"hidden_size\":64,\"num_hidden_layers\":3,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"head_dim\":16,\"linear_conv_kernel_dim\":4,\"linear_key_head_dim\":16,"
        "\"linear_value_head_dim\":16,\"linear_num_key_heads\":2,\"linear_num_value_heads\":6,"
        "\"layer_types\":[\"linear_attention\",\"full_attention\",\"linear_attention\"],\"mtp_num_hidden_layers\":1,"
        "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e7,\"partial_rotary_factor\":0.25,"
        "\"mrope_section\":[1,1,0]}}");
    mini_set(m->config, "model_type", experts ? "\"qwen3_5_moe_text\"" : "\"qwen3_5_text\"");
    if (!experts) mini_set(m->config, "intermediate_size", "96");
    if (experts) {
        mini_set(m->config, "num_experts", "3");
        mini_set(m->config, "num_experts_per_tok", "2");
        mini_set(m->config, "moe_intermediate_size", "16");
        mini_set(m->config, "shared_expert_intermediate_size", "40");
    }
    mini_add(m, "model.embed_tokens.weight", 2, MINI_VOCAB, MINI_EMBD);
    mini_add(m, "model.norm.weight", 1, MINI_EMBD, 1);
    mini_add(m, "lm_head.weight", 2, MINI_VOCAB, MINI_EMBD);
    for (int i = 0; i < 3; i++) {
        char prefix[40];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        mini_qwen35_norms(m, prefix);
        if (i == 1) mini_qwen35_attention(m, prefix);
        else        mini_qwen35_delta(m, prefix);
        mini_qwen35_mlp(m, prefix, experts, fused);
    }
    mini_qwen35_mtp(m, experts, fused);
    mini_near_zero(m);
    return m;
}

#endif
