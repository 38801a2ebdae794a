// Proves convert/hf_config.h, convert/hparams.h and the config half of convert/convert.h: old and new ways to write the
// same model, configs that are refused, and metadata that does not agree with its config.
#include "convert/config_keys.h"
#include "convert/convert.h"
#include "convert/family.h"
#include "doubling.h"
#include "mini_checkpoint.h"

// E2B's shape, as Transformers 4 wrote it.
static const char *const E2B =
    "{\"architectures\":[\"Gemma4ForConditionalGeneration\"],\"model_type\":\"gemma4\",\"vision_config\":{},"
    "\"audio_config\":{},\"text_config\":{"
    "\"model_type\":\"gemma4_text\",\"vocab_size\":262144,\"vocab_size_per_layer_input\":262144,\"hidden_size\":1536,"
    "\"intermediate_size\":6144,"
    "\"num_hidden_layers\":35,\"num_attention_heads\":8,\"num_key_value_heads\":1,\"head_dim\":256,"
    "\"global_head_dim\":512,"
    "\"num_global_key_value_heads\":null,\"sliding_window\":512,\"max_position_embeddings\":131072,"
    "\"hidden_size_per_layer_input\":256,"
    "\"num_kv_shared_layers\":20,\"use_double_wide_mlp\":true,\"final_logit_softcapping\":30.0,"
    "\"attention_k_eq_v\":false,"
    "\"enable_moe_block\":false,\"num_experts\":null,\"use_bidirectional_attention\":null,\"rms_norm_eps\":1e-06,"
    "\"hidden_activation\":\"gelu_pytorch_tanh\",\"tie_word_embeddings\":true}}";

static const char *const G4 =
    "{\"architectures\":[\"Gemma4ForCausalLM\"],\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":6,"
    "\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"head_dim\":32,\"global_head_dim\":64,\"num_kv_shared_layers\":2,\"vocab_size\":300,"
    "\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\","
    "\"sliding_attention\",\"full_attention\"]}";

static const char *const G3 =
    "{\"architectures\":[\"Gemma3ForCausalLM\"],\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":7,"
    "\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"head_dim\":32,\"vocab_size\":300}";

typedef struct { uint8_t *p; int64_t n; } header;

static header header_of_plan(gguf_plan *p)
{
    err e = { 0 };
    int64_t a, b;
    header h = { 0 };
    ck_assert_msg(gguf_plan_layout(p, &a, &b, &e) && gguf_plan_header(p, &h.p, &h.n, &e), "%s", e.msg);
    gguf_plan_free(p);
    return h;
}

static gguf_plan *plan_of(const cJSON *config)
{
    err e = { 0 };
    gguf_plan *p = convert_plan_of_config(config, "config.json", &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    return p;
}

static header header_of(const char *text, const char *const *changes)      // path, value, path, value, ..., NULL
{
    cJSON *c = mini_json(text);
    for (; changes && *changes; changes += 2) mini_set(c, changes[0], changes[1]);
    header h = header_of_plan(plan_of(c));
    cJSON_Delete(c);
    return h;
}

#define CHANGES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void check_same(header a, header b)
{
    ck_assert_int_eq(a.n, b.n);
    ck_assert_mem_eq(a.p, b.p, (size_t)a.n);
    free(a.p);
    free(b.p);
}

static void check_other(header a, header b)
{
    ck_assert(a.n != b.n || memcmp(a.p, b.p, (size_t)a.n) != 0);
    free(a.p);
    free(b.p);
}

static const gguf_kv *kv_of(const gguf_plan *p, const char *key)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    ck_assert_msg(kv != NULL, "no %s", key);
    return kv;
}

static int64_t int_at(const gguf_plan *p, const char *key, int64_t i)
{
    int64_t v = -1;
    ck_assert_msg(gguf_arr_i64(kv_of(p, key), i, &v), "%s", key);
    return v;
}

static float f32_at(const gguf_plan *p, const char *key)
{
    float v = -1;
    ck_assert_msg(gguf_arr_f32(kv_of(p, key), 0, &v), "%s", key);
    return v;
}

// ---- what a config means --------------------------------------------------------------------------------------------

START_TEST(test_e2b)
{
    cJSON *c = mini_json(E2B);
    gguf_plan *p = plan_of(c);
    ck_assert_int_eq(int_at(p, "gemma4.block_count", 0), 35);
    ck_assert_int_eq(int_at(p, "gemma4.attention.key_length", 0), 512);
    ck_assert_int_eq(int_at(p, "gemma4.attention.key_length_swa", 0), 256);
    ck_assert_int_eq(int_at(p, "gemma4.rope.dimension_count", 0), 512);
    ck_assert_int_eq(int_at(p, "gemma4.rope.dimension_count_swa", 0), 256);
    ck_assert_int_eq(int_at(p, "gemma4.attention.shared_kv_layers", 0), 20);
    ck_assert_int_eq(int_at(p, "gemma4.embedding_length_per_layer_input", 0), 256);
    ck_assert_int_eq(int_at(p, "gemma4.attention.head_count_kv", 0), 1);
    ck_assert_float_eq(f32_at(p, "gemma4.attention.scale"), 1.0f);
    ck_assert_float_eq(f32_at(p, "gemma4.final_logit_softcapping"), 30.0f);
    ck_assert_float_eq(f32_at(p, "gemma4.rope.freq_base"), 1e6f);
    ck_assert_float_eq(f32_at(p, "gemma4.rope.freq_base_swa"), 1e4f);
    for (int64_t i = 0; i < 35; i++) {
        ck_assert_int_eq(int_at(p, "gemma4.feed_forward_length", i), i < 15 ? 6144 : 12288);
        // the last one is always full
        ck_assert_int_eq(int_at(p, "gemma4.attention.sliding_window_pattern", i), (i + 1) % 6 != 0 && i != 34);
    }
    gguf_plan_free(p);
    cJSON_Delete(c);
}
END_TEST

START_TEST(test_gemma4_forms)
{
    static const char per_layer[] = "{\"2\":{\"head_dim\":64},\"5\":{\"head_dim\":64}}",
                      sorted[] = "{\"02\":{\"head_dim\":64},\"05\":{\"head_dim\":64}}";
    static const char rope[] = "{\"full_attention\":{\"rope_type\":\"proportional\",\"partial_rotary_factor\":0.25,"
                               "\"rope_theta\":1000000.0},"
                               "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}}";
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("global_head_dim", NULL, "per_layer_config", per_layer)));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("global_head_dim", NULL, "per_layer_config", sorted)));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("rope_parameters", rope)));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("architectures", NULL, "model_type", "\"gemma4_text\"")));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("use_bidirectional_attention", "\"vision\"")));
    // model_type alone says which model it is.
    check_same(header_of(G4, NULL),
               header_of(G4, CHANGES("architectures", "[\"FSDPGemma4ForCausalLM\"]", "model_type", "\"gemma4_text\"")));
    check_same(header_of(G4, NULL),
               header_of(G4, CHANGES("architectures", "\"LlamaForCausalLM\"", "model_type", "\"gemma4_text\"")));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("text_config", "null", "model_type", "\"gemma4_text\"")));
    // rope_scaling is another name of rope_parameters, and wins.
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("rope_scaling", rope, "rope_parameters",
               "{\"full_attention\":{\"rope_theta\":1.0},\"sliding_attention\":{\"rope_theta\":1.0}}")));
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("rope_scaling", "null")));
    // What would change the computation, and does not.
    check_same(header_of(G4, NULL),
               header_of(G4, CHANGES("is_causal", "true", "configuration_files", "[]", "transformers_weights",
                                     "\"model.safetensors\"", "attribute_map", "{}", "default_rope_type", "\"default\"",
                                     "quantization_config", "null", "attn_logit_softcapping", "null", "attention_bias",
                                     "false", "enable_moe_block", "false")));
    check_same(header_of(G4, NULL),
               header_of(G4, CHANGES("rope_theta", "5", "partial_rotary_factor", "0.5", "rope_local_base_freq", "7")));
    // Transformers reads global_head_dim only where there is no per_layer_config.
    check_same(header_of(G4, NULL), header_of(G4, CHANGES("global_head_dim", "128", "per_layer_config", per_layer)));
    check_other(header_of(G4, NULL), header_of(G4, CHANGES("global_head_dim", NULL, "per_layer_config", "null")));
    // ... and num_global_key_value_heads only with attention_k_eq_v.
    cJSON *c = mini_json(G4);
    mini_set(c, "num_global_key_value_heads", "1");
    gguf_plan *p = plan_of(c);
    ck_assert_int_eq(int_at(p, "gemma4.attention.head_count_kv", 2), 2);
    gguf_plan_free(p);
    mini_set(c, "attention_k_eq_v", "true");
    p = plan_of(c);
    ck_assert_int_eq(int_at(p, "gemma4.attention.head_count_kv", 2), 1);
    ck_assert_int_eq(int_at(p, "gemma4.attention.head_count_kv", 3), 2);
    gguf_plan_free(p);
    mini_set(c, "attention_k_eq_v", NULL);
    mini_set(c, "num_global_key_value_heads", NULL);
    mini_set(c, "per_layer_config",
             "{\"2\":{\"head_dim\":64,\"num_key_value_heads\":1,\"skip\":[],\"intermediate_size\":96},"
             "\"5\":{\"head_dim\":64,\"num_key_value_heads\":1}}");
    p = plan_of(c);
    ck_assert_int_eq(int_at(p, "gemma4.attention.head_count_kv", 5), 1);
    gguf_plan_free(p);
    cJSON_Delete(c);
}
END_TEST

START_TEST(test_gemma3_forms)
{
    static const char layers[] = "[\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_"
                                 "attention\",\"sliding_attention\","
                                 "\"full_attention\",\"sliding_attention\"]";
    static const char rope[] = "{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8.0,\"rope_theta\":500000.0},"
                               "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":5000.0}}";
    check_same(header_of(G3, CHANGES("layer_types", layers)), header_of(G3, CHANGES("sliding_window_pattern", "3")));
    // Transformers writes it, and does not read it
    check_same(header_of(G3, NULL), header_of(G3, CHANGES("_sliding_window_pattern", "3")));
    check_same(header_of(G3, CHANGES("layer_types", layers)),
               header_of(G3, CHANGES("layer_types", layers, "sliding_window_pattern", "6")));
    check_same(header_of(G3, NULL), header_of(G3, CHANGES("sliding_window_pattern", "6")));
    check_other(header_of(G3, NULL), header_of(G3, CHANGES("sliding_window_pattern", "3")));
    check_same(header_of(G3, CHANGES("rope_parameters", rope)),
               header_of(G3, CHANGES("rope_theta", "500000", "rope_local_base_freq", "5000", "rope_scaling",
                                     "{\"rope_type\":\"linear\",\"factor\":8}")));
    // Transformers has put "rope_type": "default" there before it looks at the old name.
    check_same(header_of(G3, CHANGES("rope_scaling", "{\"type\":\"linear\",\"factor\":8}")), header_of(G3, NULL));
    check_same(header_of(G3, CHANGES("rope_parameters", "{\"full_attention\":{\"type\":\"linear\",\"factor\":8}}")),
               header_of(G3, CHANGES("rope_scaling", "{\"rope_type\":\"linear\",\"factor\":8}")));
    // Both: rope_scaling is merged into the parameters of the full-attention layers.
    check_same(header_of(G3, CHANGES("rope_parameters", rope)),
               header_of(G3, CHANGES("rope_parameters", "{\"full_attention\":{\"rope_theta\":500000.0,\"factor\":2},"
                                     "\"sliding_attention\":{\"rope_theta\":5000.0}}",
                                     "rope_scaling", "{\"rope_type\":\"linear\",\"factor\":8}")));
    // Flat parameters are nobody's; the bases come from the top or are the class's.
    check_same(header_of(G3, CHANGES("rope_parameters", "{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":5000."
                                                        "0}")),
               header_of(G3, NULL));
    check_same(header_of(G3, CHANGES("rope_parameters", "{\"rope_theta\":5000.0}", "rope_theta", "7000")),
               header_of(G3, CHANGES("rope_theta", "7000")));
    check_same(header_of(G3, CHANGES("rope_parameters", rope, "rope_theta", "7000", "rope_local_base_freq", "70")),
               header_of(G3, CHANGES("rope_parameters", rope)));
    // All of the head, divided by a factor, is the linear type under another name.
    check_same(header_of(G3, CHANGES("rope_parameters", "{\"full_attention\":{\"rope_type\":\"proportional\","
                                                        "\"factor\":8}}")),
               header_of(G3, CHANGES("rope_scaling", "{\"rope_type\":\"linear\",\"factor\":8}")));
    check_same(header_of(G3, CHANGES("layer_types", layers)),
               header_of(G3, CHANGES("layer_types", "[\"sliding_attention\",\"sliding_attention\",\"attention\","
                                                    "\"sliding_attention\","
                                                    "\"sliding_attention\",\"attention\",\"sliding_attention\"]")));
    // 4B and larger write only what differs from the defaults.
    header a = header_of("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"text_config\":{\"hidden_size\":"
                         "2560,\"intermediate_size\":10240,"
                         "\"num_hidden_layers\":34,\"sliding_window\":1024,\"rope_scaling\":{\"factor\":8.0,"
                         "\"rope_type\":\"linear\"}}}",
                         NULL);
    header b = header_of(G3,
                         CHANGES("hidden_size", "2560", "intermediate_size", "10240", "num_hidden_layers", "34",
                                 "num_attention_heads", "8", "num_key_value_heads", "4", "head_dim", "256",
                                 "sliding_window", "1024", "max_position_embeddings", "131072", "query_pre_attn_scalar",
                                 "256", "rope_scaling", "{\"factor\":8.0,\"rope_type\":\"linear\"}"));
    check_same(a, b);
    // No window at all: llama.cpp is told so by the absence of the key.
    cJSON *c = mini_json(G3);
    mini_set(c, "sliding_window_pattern", "1");
    gguf_plan *p = plan_of(c);
    ck_assert_ptr_null(gguf_plan_find(p, "gemma3.attention.sliding_window"));
    ck_assert_ptr_null(gguf_plan_find(p, "gemma3.rope.freq_base_swa"));
    gguf_plan_free(p);
    cJSON_Delete(c);
}
END_TEST

// ---- what is refused ------------------------------------------------------------------------------------------------

typedef struct { const char *base, *path, *value, *says; } bad_row;

static const bad_row *bad_rows(int *n)
{
    static const bad_row rows[] = {
        { NULL, "architectures", "[\"BloomForCausalLM\"]",
          "architectures: found 'BloomForCausalLM', expected one of Gemma3ForCausalLM, " },
        { NULL, "architectures", "[]", "architectures: expected an array with one name, or a model_type" },
        { NULL, "architectures", "[1]", "architectures: expected an array with one name" },
        { NULL, "architectures", "[\"Gemma4ForCausalLM\",\"x\"]", "architectures: expected an array with one name" },
        { NULL, "architectures", "null", "architectures: expected an array with one name, or a model_type" },
        { NULL, "architectures", "\"Gemma4ForCausalLM\"",
          "architectures: expected an array with one name, or a model_type" },
        { NULL, "model_type", "7", "model_type" },
        { NULL, "model_type", "\"bloom\"",
          "model_type: found 'bloom', expected one of gemma3_text, gemma3, gemma4_text, gemma4, " },
        { NULL, "model_type", "\"gemma4\"",
          "text_config is missing: a config of model_type 'gemma4' has the text model's keys there" },
        { "T", "text_config", "{}",
          "text_config: found an object, expected the text model's keys at the top, by model_type 'gemma4_text'" },
        { NULL, "text_config", "[]", "text_config: expected an object" },
        { NULL, "enable_moe_block", "true", "key 'num_experts': found nothing, expected an integer" },
        { NULL, "enable_moe_block", "null", "enable_moe_block: found null, expected a value" },
        { NULL, "attention_bias", "true", "attention_bias: biases are not supported" },
        { NULL, "use_bidirectional_attention", "\"all\"", "use_bidirectional_attention: only causal attention" },
        { NULL, "use_bidirectional_attention", "true", "use_bidirectional_attention: only causal attention" },
        { NULL, "hidden_activation", "\"silu\"", "hidden_activation: found 'silu'" },
        { NULL, "quantization_config", "{\"quant_method\":\"fp8\"}",
          "quantization_config: the checkpoint is quantized (fp8)" },
        { NULL, "quantization_config", "{}",
          "quantization_config: the checkpoint is quantized (no quant_method is given)" },
        { NULL, "compression_config", "{\"quant_method\":\"compressed-tensors\"}",
          "compression_config: the checkpoint is quantized (compressed-tensors)" },
        { "M", "text_config.quantization_config", "{\"quant_method\":\"gptq\"}",
          "quantization_config: the checkpoint is quantized (gptq)" },
        { "3", "is_causal", "false", "is_causal: found false, expected true: only causal attention is supported" },
        { "3", "is_causal", "null", "is_causal: found null, expected true" },
        { NULL, "is_causal", "0", "is_causal: found a number, expected true" },
        { NULL, "configuration_files", "[\"config.4.0.0.json\"]", "configuration_files: names another file to read" },
        { NULL, "transformers_weights", "\"other.safetensors\"", "transformers_weights: names other files" },
        { NULL, "attribute_map", "{\"hidden_size\":\"x\"}", "attribute_map: gives keys other meanings" },
        { "M", "text_config.default_rope_type", "\"axial\"", "default_rope_type: gives rotary embeddings another" },
        { NULL, "attention_chunk_size", "8", "attention_chunk_size: attention in chunks is not supported" },
        { NULL, "attn_logit_softcapping", "50.0", "attn_logit_softcapping: soft-capping of scores is not supported" },
        { NULL, "num_hidden_layers", "0", "num_hidden_layers" },
        { NULL, "num_hidden_layers", "1e9", "num_hidden_layers" },
        { NULL, "num_hidden_layers", "6.5", "num_hidden_layers" },
        { NULL, "num_hidden_layers", "\"6\"", "num_hidden_layers" },
        { NULL, "num_hidden_layers", "7", "layer_types: expected an array of 7 names" },
        { NULL, "hidden_size", "-64", "hidden_size" },
        { NULL, "vocab_size", "99999999999", "vocab_size" },
        { NULL, "head_dim", "31", "head_dim: found 31, expected an even number" },
        { NULL, "num_key_value_heads", "3", "num_attention_heads: found 4, which 3 KV heads do not divide" },
        { NULL, "num_kv_shared_layers", "6", "num_kv_shared_layers: found 6, expected less than the 6 layers" },
        { NULL, "num_kv_shared_layers", "4", "leaves no full_attention layer to share from" },
        { NULL, "rms_norm_eps", "0", "rms_norm_eps: found 0, expected a positive number" },
        { NULL, "rms_norm_eps", "1e999", "rms_norm_eps" },
        { NULL, "final_logit_softcapping", "-30", "final_logit_softcapping: found -30" },
        { NULL, "layer_types", "[1,2,3,4,5,6]", "layer_types: layer 0: found 'no string'" },
        { NULL, "layer_types", "\"full_attention\"", "layer_types: expected an array of 6 names" },
        { NULL, "sliding_window", "null", "sliding_window: found null, expected a value" },
        { "3", "sliding_window", "null", "sliding_window: found null, expected a window for 6 sliding layers" },
        { NULL, "head_dim", "null", "head_dim: found null, expected a value" },
        { NULL, "global_head_dim", "null", "global_head_dim: found null, expected a value" },
        { NULL, "rms_norm_eps", "null", "rms_norm_eps: found null, expected a value" },
        { NULL, "attention_bias", "null", "attention_bias: found null, expected true or false" },
        { NULL, "tie_word_embeddings", "null", "tie_word_embeddings: found null, expected a value" },
        { NULL, "attention_k_eq_v", "null", "attention_k_eq_v: found null, expected a value" },
        { NULL, "hidden_activation", "null", "hidden_activation: found null, expected 'gelu_pytorch_tanh'" },
        { NULL, "use_bidirectional_attention", "\"x\"", "use_bidirectional_attention: only causal attention" },
        { NULL, "pad_token_id", "300", "pad_token_id: found 300, expected a row of the embedding, below 300" },
        { NULL, "pad_token_id", "\"0\"", "pad_token_id" },
        { NULL, "vocab_size_per_layer_input", "299",
          "vocab_size_per_layer_input: found 299, expected at least the 300 tokens of vocab_size" },
        { NULL, "sliding_window", "0", "sliding_window" },
        { NULL, "per_layer_config", "{\"6\":{}}", "per_layer_config: found '6', expected a layer below 6" },
        { NULL, "per_layer_config", "{\"x\":{}}", "per_layer_config: found 'x'" },
        { NULL, "per_layer_config", "{\"-1\":{}}", "per_layer_config: found '-1'" },
        { NULL, "per_layer_config", "{\"2\":{},\"02\":{}}", "per_layer_config: layer 2 is given twice" },
        { NULL, "per_layer_config", "[]", "per_layer_config: expected an object" },
        { NULL, "per_layer_config", "{\"2\":7}", "per_layer_config: layer 2: expected an object" },
        { NULL, "per_layer_config", "{\"2\":{\"head_dim\":64}}", "GGUF cannot say that" },
        { NULL, "per_layer_config", "{\"1\":{\"intermediate_size\":192}}",
          "layer 1: intermediate_size: a layer of its own in this is not supported" },
        { NULL, "per_layer_config", "{\"1\":{\"skip\":[\"mlp\"]}}", "layer 1: skip" },
        { NULL, "rope_parameters", "{\"rope_theta\":10000.0}",
          "rope_parameters: sliding_attention: found nothing, expected the parameters of 4 layers" },
        { NULL, "rope_scaling", "{\"rope_type\":\"linear\",\"factor\":8.0}",
          "rope_scaling: sliding_attention: found nothing" },
        { NULL, "rope_parameters", "7", "rope_parameters: found a number, expected an object" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_type\":\"linear\",\"factor\":2}}",
          "full_attention: rope_theta is missing" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_theta\":1e6,\"rope_type\":null}}",
          "full_attention: rope_type: found null, expected a string" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4,\"rope_type\":\"proportional\",\"partial_rotary_factor\":0.5},"
          "\"full_attention\":{\"rope_theta\":1e6}}",
          "sliding_attention: partial_rotary_factor: found 0.5, expected 1: GGUF cannot say it of the "
          "sliding_attention layers of gemma4" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_theta\":1e6,\"rope_type\":\"yarn\"}}",
          "full_attention: rope_type: found 'yarn', expected 'default', 'linear' or 'proportional'" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4,\"rope_type\":\"linear\",\"factor\":2},\"full_attention\":{"
          "\"rope_theta\":1e6}}",
          "sliding_attention: factor: found 2, expected 1: GGUF cannot say it of the sliding_attention layers of "
          "gemma4" },
        { NULL, "rope_parameters", "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_theta\":0}}",
          "rope_theta: found 0" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_theta\":1e6,\"rope_type\":"
          "\"proportional\","
          "\"partial_rotary_factor\":1.5}}",
          "partial_rotary_factor: found 1.5" },
        { NULL, "rope_parameters",
          "{\"sliding_attention\":{\"rope_theta\":1e4},\"full_attention\":{\"rope_theta\":1e6,\"rope_type\":"
          "\"proportional\","
          "\"factor\":-2}}",
          "factor: found -2, expected a positive number" },
        { "3", "attn_logit_softcapping", "50.0", "attn_logit_softcapping" },
        { "3", "query_pre_attn_scalar", "0", "query_pre_attn_scalar: found 0" },
        { "3", "use_bidirectional_attention", "true", "use_bidirectional_attention" },
        { "3", "sliding_window_pattern", "0", "sliding_window_pattern" },
        { "3", "rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":4}", "rope_scaling: rope_type: found 'yarn'" },
        { "3", "rope_scaling", "{\"rope_type\":\"linear\"}", "rope_scaling: factor is missing" },
        { "3", "rope_theta", "null", "rope_theta: found null, expected a number" },
        { "3", "rope_theta", "\"5\"", "rope_theta: found a string, expected a number" },
        { "3", "sliding_window_pattern", "null", "sliding_window_pattern: found null, expected a value" },
        { "3", "query_pre_attn_scalar", "null", "query_pre_attn_scalar: found null, expected a value" },
        { "3", "use_bidirectional_attention", "\"vision\"", "use_bidirectional_attention" },
        { "3", "num_attention_heads", "3", "hidden_size: found 64, which 3 heads do not divide" },
        { "3", "per_layer_config", "{\"1\":{\"head_dim\":64}}",
          "per_layer_config: layer 1: found 2 KV heads of 64, expected 2 of 32" },
        { "3", "rope_parameters",
          "{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"partial_rotary_factor\":0.5}}",
          "partial_rotary_factor: found 0.5, expected 1 with rope_type 'linear'" },
        { "3", "rope_parameters", "{\"full_attention\":{\"rope_type\":\"proportional\",\"partial_rotary_factor\":0.5}}",
          "partial_rotary_factor: found 0.5, expected 1: GGUF cannot say it of the full_attention layers of gemma3" },
        { "3", "rope_parameters", "{\"full_attention\":5}", "rope_parameters: full_attention: expected an object" },
    };
    *n = (int)(sizeof rows / sizeof rows[0]);
    return rows;
}

static const char *base_of(const char *name)
{
    if (!name) return G4;
    if (*name == 'M') return E2B;
    return *name == '3' ? G3 : "{\"model_type\":\"gemma4_text\"}";
}

START_TEST(test_refused)
{
    int n;
    const bad_row *rows = bad_rows(&n);
    for (int i = 0; i < n; i++) {
        err    e = { 0 };
        cJSON *c = mini_json(base_of(rows[i].base));
        mini_set(c, rows[i].path, rows[i].value);
        ck_assert_msg(!convert_plan_of_config(c, "config.json", &e), "accepted %s = %s", rows[i].path, rows[i].value);
        check_refused(&e, ERR_INPUT, "config.json", rows[i].says);
        cJSON_Delete(c);
    }
}
END_TEST

START_TEST(test_table_of_architectures)
{
    int n;
    const hf_arch *a = hf_arch_table(&n);
    ck_assert_int_eq(n, 15);
    for (int i = 0; i < n; i++) {
        char text[200];
        snprintf(text, sizeof text, "[\"%s\"]", a[i].name);
        if (a[i].class <= CLASS_GEMMA4_UNIFIED) {
            header h = header_of(G4, CHANGES("architectures", text, "layer_types", NULL, "num_kv_shared_layers", "0"));
            free(h.p);
        }
        ck_assert_ptr_nonnull(a[i].family->model);
    }
}
END_TEST

// ---- metadata and config --------------------------------------------------------------------------------------------

// Plans from `config`, lets `change` spoil one key, and compares with the config.
static bool agrees_after(const char *text, bool (*change)(gguf_plan *, err *), err *e)
{
    err    none = { 0 };
    cJSON *c = mini_json(text);
    gguf_plan *p = plan_of(c);
    ck_assert_msg(!change || change(p, &none), "%s", none.msg);
    header h = header_of_plan(p);
    gguf *g = gguf_open_mem(h.p, h.n, "artifact.gguf", &none);
    ck_assert_msg(g != NULL, "%s", none.msg);
    bool ok = convert_config_agrees(g, c, e);
    gguf_close(g);
    free(h.p);
    cJSON_Delete(c);
    return ok;
}

#define SPOIL(name, call) static bool name(gguf_plan *p, err *e) { return call; }
static const int32_t swapped_layers[7] = { 1, 0, 1, 1, 1, 1, 0 }, wide[6] = { 96, 96, 96, 96, 96, 192 };
static const uint8_t g4_pattern_bad[6] = { 1, 1, 0, 1, 0, 0 }, short_pattern[3] = { 1, 1, 0 };
SPOIL(scale,       gguf_plan_f32(p, "gemma4.attention.scale", 0.0625f, e))
SPOIL(scale_nan,   gguf_plan_f32(p, "gemma4.attention.scale", 0.0f / 0.0f, e))
SPOIL(base,        gguf_plan_f32(p, "gemma4.rope.freq_base", 10000.0f, e))
SPOIL(base_swa,    gguf_plan_f32(p, "gemma4.rope.freq_base_swa", 1000000.0f, e))
SPOIL(window,      gguf_plan_u32(p, "gemma4.attention.sliding_window", 511, e))
SPOIL(sharing,     gguf_plan_u32(p, "gemma4.attention.shared_kv_layers", 3, e))
SPOIL(no_sharing,  gguf_plan_remove(p, "gemma4.attention.shared_kv_layers"))
SPOIL(head,        gguf_plan_u32(p, "gemma4.attention.key_length", 32, e))
SPOIL(head_swa,    gguf_plan_u32(p, "gemma4.attention.key_length_swa", 64, e))
SPOIL(no_head_swa, gguf_plan_remove(p, "gemma4.attention.key_length_swa"))
SPOIL(no_cap,      gguf_plan_remove(p, "gemma4.final_logit_softcapping"))
SPOIL(cap,         gguf_plan_f32(p, "gemma4.final_logit_softcapping", 30.0f, e))
SPOIL(eps,         gguf_plan_f32(p, "gemma4.attention.layer_norm_rms_epsilon", 1e-5f, e))
SPOIL(pattern,     gguf_plan_arr(p, "gemma4.attention.sliding_window_pattern", GGUF_BOOL, g4_pattern_bad, 6, e))
SPOIL(pattern_cut, gguf_plan_arr(p, "gemma4.attention.sliding_window_pattern", GGUF_BOOL, short_pattern, 3, e))
SPOIL(ff,          gguf_plan_arr(p, "gemma4.feed_forward_length", GGUF_I32, wide, 6, e))
SPOIL(ff_text,     gguf_plan_str(p, "gemma4.feed_forward_length", "96", e))
SPOIL(experts,     gguf_plan_u32(p, "gemma4.expert_count", 8, e))
SPOIL(arch,        gguf_plan_str(p, "general.architecture", "gemma3", e))
SPOIL(g3_scale,    gguf_plan_f32(p, "gemma3.attention.scale", 1.0f, e))
SPOIL(g3_factor,   gguf_plan_f32(p, "gemma3.rope.scaling.factor", 8.0f, e))
SPOIL(g3_pattern,  gguf_plan_arr(p, "gemma3.attention.sliding_window_pattern", GGUF_I32, swapped_layers, 7, e))
SPOIL(g3_period,   gguf_plan_u32(p, "gemma3.attention.sliding_window_pattern", 4, e))

START_TEST(test_disagreements)
{
    static const struct { const char *text; bool (*change)(gguf_plan *, err *); const char *says; } rows[] = {
        { NULL, scale,       "gemma4.attention.scale: found 0.0625, expected 1" },
        { NULL, scale_nan,   "gemma4.attention.scale: found " },
        { NULL, base,        "gemma4.rope.freq_base: found 10000, expected 1000000" },
        { NULL, base_swa,    "gemma4.rope.freq_base_swa: found 1000000, expected 10000" },
        { NULL, window,      "gemma4.attention.sliding_window: found 511, expected 512" },
        { NULL, sharing,     "gemma4.attention.shared_kv_layers: found 3, expected 2" },
        { NULL, no_sharing,  "gemma4.attention.shared_kv_layers: is missing, which means 0, expected 2" },
        { NULL, head,        "gemma4.attention.key_length: found 32, expected 64" },
        { NULL, head_swa,    "gemma4.attention.key_length_swa: found 64, expected 32" },
        { NULL, no_head_swa, "gemma4.attention.key_length_swa is missing, expected 32" },
        { NULL, no_cap,      "gemma4.final_logit_softcapping: is missing, which means 30, expected 0" },
        { NULL, cap,         "gemma4.final_logit_softcapping: found 30, expected 0" },
        { NULL, eps,         "gemma4.attention.layer_norm_rms_epsilon: found " },
        { NULL, pattern,     "gemma4.attention.sliding_window_pattern (layer 4): found 0, expected 1" },
        { NULL, pattern_cut, "gemma4.attention.sliding_window_pattern: found 3 elements, expected 6" },
        { NULL, ff,          "gemma4.feed_forward_length: found 192, expected 96" },
        { NULL, ff_text,     "gemma4.feed_forward_length: found a value that is not a number" },
        { NULL, experts,     "gemma4.expert_count: found 8, expected 0" },
        { NULL, arch,        "general.architecture: found 'gemma3', expected 'gemma4'" },
        { "3",  g3_scale,    "gemma3.attention.scale: found 1, expected 0.0625" },
        { "3",  g3_factor,   "gemma3.rope.scaling.factor: found 8, expected 1" },
        { "3",  g3_pattern,  "gemma3.attention.sliding_window_pattern (layer 1): found 0, expected 1" },
        { "3",  g3_period,   "gemma3.attention.sliding_window_pattern (layer 3): found 0, expected 1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err e = { 0 };
        ck_assert_msg(!agrees_after(rows[i].text ? G3 : G4, rows[i].change, &e), "accepted, expected: %s",
                      rows[i].says);
        check_refused(&e, ERR_VERDICT, "artifact.gguf", rows[i].says);
    }
}
END_TEST

static const int32_t equal_ff[6] = { 96, 96, 96, 96, 96, 96 };
SPOIL(as_it_is,     p != NULL)
SPOIL(ff_array,     gguf_plan_arr(p, "gemma4.feed_forward_length", GGUF_I32, equal_ff, 6, e))
SPOIL(no_scale,     gguf_plan_remove(p, "gemma4.attention.scale"))
SPOIL(no_base_swa,  gguf_plan_remove(p, "gemma4.rope.freq_base_swa"))
SPOIL(wide_window,  gguf_plan_u64(p, "gemma4.attention.sliding_window", 512, e))
SPOIL(g3_plain,     gguf_plan_remove(p, "gemma3.rope.freq_base_swa"))
SPOIL(g3_six,       gguf_plan_u32(p, "gemma3.attention.sliding_window_pattern", 6, e))
SPOIL(one_factor,   gguf_plan_f32(p, "gemma3.rope.scaling.factor", 1.0f, e))

START_TEST(test_agreements)     // the same said otherwise, as other converters do
{
    static const struct { const char *text; bool (*change)(gguf_plan *, err *); } rows[] = {
        { NULL, as_it_is },    { "3", as_it_is }, { NULL, ff_array }, { NULL, no_scale },  { NULL, no_base_swa },
        { NULL, wide_window }, { "3", g3_plain }, { "3", g3_six },    { "3", one_factor },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err e = { 0 };
        ck_assert_msg(agrees_after(rows[i].text ? G3 : G4, rows[i].change, &e), "row %d: %s", (int)i, e.msg);
    }
    err e = { 0 };
    ck_assert_msg(agrees_after(E2B, NULL, &e), "%s", e.msg);
}
END_TEST

// ---- time in proportion to the file --------------------------------------------------------------------------------

static void read_text(const char *text, int64_t n, bool accepted)
{
    err    e = { 0 };
    cJSON *c = json_parse(text, n, "config.json", &e);
    ck_assert_msg(c != NULL, "%s", e.msg);
    hf_config *config = malloc(sizeof *config);
    ck_assert_ptr_nonnull(config);
    bool ok = hf_config_read(config, c, "config.json", &e);
    ck_assert_msg(ok == accepted, "%s", e.msg);
    if (ok) config_keys_log(config, c, "config.json", NULL);
    free(config);
    cJSON_Delete(c);
}

static void put_keys(buffer *b, int64_t n)
{
    char key[40];
    for (int64_t i = 0; i < n; i++) {
        snprintf(key, sizeof key, "\"key_%07lld\":0,", (long long)i);
        put_text(b, key);
    }
}

// Many keys, and layers that repeat those they may repeat.
static void config_of_layers(int64_t n)
{
    static const char layer[] = "{\"intermediate_size\":96,\"hidden_size\":64,\"num_attention_heads\":4,"
                                "\"sliding_window\":512,\"rms_norm_eps\":1e-6,\"attention_bias\":false,"
                                "\"num_experts\":null}";
    buffer b = { 0 };
    char   head[80];
    put_text(&b, "{");
    put_keys(&b, n);
    put_text(&b, "\"model_type\":\"gemma4_text\",\"num_hidden_layers\":1000,");
    put(&b, layer + 1, (int64_t)sizeof layer - 3);      // without its braces
    put_text(&b, ",\"per_layer_config\":{");
    for (int64_t i = 0; i < n / 16 && i < 1000; i++) {
        snprintf(head, sizeof head, "%s\"%lld\":", i ? "," : "", (long long)i);
        put_text(&b, head);
        put_text(&b, layer);
    }
    put_text(&b, "}}");
    read_text((const char *)b.p, b.n, true);
    bytes_free(&b);
}

// The same keys at the top and in one layer: more than a layer may have.
static void config_of_repeated_keys(int64_t n)
{
    buffer b = { 0 };
    put_text(&b, "{");
    put_keys(&b, n);
    put_text(&b, "\"model_type\":\"gemma4_text\",\"per_layer_config\":{\"5\":{");
    put_keys(&b, n);
    put_text(&b, "\"head_dim\":512}}}");
    read_text((const char *)b.p, b.n, false);
    bytes_free(&b);
}

static void config_of_rope_keys(int64_t n)
{
    buffer b = { 0 };
    put_text(&b, "{\"model_type\":\"gemma3_text\",\"rope_parameters\":{");
    put_keys(&b, n);
    put_text(&b, "\"full_attention\":{");
    put_keys(&b, n);
    put_text(&b, "\"rope_theta\":1e6}},\"rope_scaling\":{");
    put_keys(&b, n);
    put_text(&b, "\"rope_type\":\"default\"}}");
    read_text((const char *)b.p, b.n, true);
    bytes_free(&b);
}

START_TEST(test_time)
{
    must_be_linear("config of layers and keys", config_of_layers, 4000);
    must_be_linear("config of repeated keys", config_of_repeated_keys, 10000);
    must_be_linear("config of rotary keys", config_of_rope_keys, 5000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("convert_config");
    TCase *c = tcase_create("convert_config");
    tcase_set_timeout(c, 60);       // a machine may be busy; processor time is what the tests look at
    tcase_add_test(c, test_e2b);
    tcase_add_test(c, test_gemma4_forms);
    tcase_add_test(c, test_gemma3_forms);
    tcase_add_test(c, test_refused);
    tcase_add_test(c, test_table_of_architectures);
    tcase_add_test(c, test_disagreements);
    tcase_add_test(c, test_agreements);
    tcase_add_test(c, test_time);
    suite_add_tcase(s, c);
    return run_suite(s);
}
