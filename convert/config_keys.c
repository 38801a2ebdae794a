// The keys of a config.json: see config_keys.h.
#include "config_keys.h"

#include "../formats/json.h"
#include "config_read.h"
#include "family.h"
#include "hf_rope.h"

#include <stdio.h>
#include <string.h>

// ---- what is refused -----------------------------------------------------------------------------------------------

// "fp8", "bitsandbytes", "gptq", ...; the checkpoint's tensors are then codes, with scales beside them.
static bool refuse_quantized(const cJSON *obj, const char *key, const char *where, err *e)
{
    const cJSON *q = json_get(obj, key);
    const char  *method = cJSON_GetStringValue(json_get(q, "quant_method"));
    if (!method) method = cJSON_GetStringValue(json_get(q, "quant_algo"));
    if (!q) return true;
    return err_set(e, ERR_INPUT, "%s: %s: the checkpoint is quantized (%.40s); expected BF16, F16 or F32 weights",
                   where, key, method ? method : "no quant_method is given");
}

static bool refuse_true(const cJSON *t, const char *key, const char *why, const char *where, err *e)
{
    bool on;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(t, key)))
        return err_set(e, ERR_INPUT, "%s: %s: found null, expected true or false", where, key);
    if (!json_bool_or(t, key, false, &on, where, e)) return false;
    return !on || err_set(e, ERR_INPUT, "%s: %s: %s", where, key, why);
}

// Keys by which a config turns Transformers itself to another file or another name. Empty ones say nothing.
static bool refuse_detours(const cJSON *obj, const char *where, err *e)
{
    static const struct { const char *key, *why, *neutral[2]; } rows[] = {
        { "configuration_files",  "names another file to read instead of config.json", { NULL, NULL } },
        { "transformers_weights", "names other files for the weights",
          { "model.safetensors", "model.safetensors.index.json" } },
        { "attribute_map",        "gives keys other meanings", { NULL, NULL } },
        { "default_rope_type",    "gives rotary embeddings another meaning", { "default", NULL } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const cJSON *v = json_get(obj, rows[i].key);
        const char  *s = cJSON_GetStringValue(v);
        bool neutral = !v || (!s && !v->child && (cJSON_IsArray(v) || cJSON_IsObject(v)));
        for (int k = 0; s && k < 2; k++) neutral |= rows[i].neutral[k] && strcmp(s, rows[i].neutral[k]) == 0;
        if (neutral) continue;
        return err_set(e, ERR_INPUT, "%s: %s: %s, which is not supported", where, rows[i].key, rows[i].why);
    }
    return true;
}

// false, null and Gemma 4's "vision" (bidirectional among the tokens of an image only) leave text causal; true and
// "all" do not.
static bool check_causal(const hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *b = json_get(t, "use_bidirectional_attention");
    const char  *s = cJSON_GetStringValue(b);
    bool vision = s && strcmp(s, "vision") == 0 && c->arch->family == &family_gemma4;
    const cJSON *causal = cJSON_GetObjectItemCaseSensitive(t, "is_causal");     // read by masking_utils.py
    if (causal && !cJSON_IsTrue(causal))
        return err_set(e, ERR_INPUT, "%s: is_causal: found %s, expected true: only causal attention is supported",
                       where, cJSON_IsFalse(causal) ? "false" : json_kind(causal));
    if (!b || cJSON_IsFalse(b) || vision) return true;
    return err_set(e, ERR_INPUT, "%s: use_bidirectional_attention: only causal attention is supported", where);
}

static bool check_activation(const hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const char *const gelu[] = { "gelu_pytorch_tanh", NULL }, *const silu[] = { "silu", "swish" };
    const char  *key = hf_is_gemma(c) ? "hidden_activation" : "hidden_act";
    const char *const *known = hf_is_gemma(c) ? gelu : silu;        // swish is another name of silu
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(t, key);
    const char  *s = cJSON_GetStringValue(v);
    if (!v) return true;
    for (int i = 0; s && i < 2; i++)
        if (known[i] && strcmp(s, known[i]) == 0) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %s%.80s%s, expected '%s'", where, key, s ? "'" : "",
                   s ? s : json_kind(v), s ? "'" : "", known[0]);
}

bool config_keys_check(const hf_config *c, const cJSON *root, const char *where, err *e)
{
    const cJSON *t = hf_text_config(root);
    static const char *const quantized[] = { "quantization_config", "compression_config" };
    for (size_t i = 0; i < sizeof quantized / sizeof quantized[0]; i++) {
        if (!refuse_quantized(root, quantized[i], where, e)) return false;
        if (!refuse_quantized(t, quantized[i], where, e)) return false;
    }
    if (!refuse_detours(root, where, e) || !refuse_detours(t, where, e)) return false;
    if (!check_activation(c, t, where, e) || !check_causal(c, t, where, e)) return false;
    if (hf_is_qwen35(c)) return refuse_true(t, "attention_bias", "biases are not supported", where, e);
    if (!hf_is_gemma(c)) return true;
    if (!config_refuse(t, "attn_logit_softcapping", "soft-capping of scores is not supported", where, e)) return false;
    if (!config_refuse(t, "attention_chunk_size", "attention in chunks is not supported", where, e)) return false;
    return refuse_true(t, "attention_bias", "biases are not supported", where, e);
}

// ---- what is known -------------------------------------------------------------------------------------------------

enum {      // in which object a key is read, or known to change nothing for text
    // the text model's, by class
    IN_GEMMA3 = 1, IN_GEMMA4 = 2, IN_UNIFIED = 4, IN_LLAMA = 8, IN_MISTRAL = 16, IN_QWEN2 = 32, IN_QWEN3 = 64,
    IN_TOP = 128,                                       // of a multimodal config
    IN_QWEN3_MOE = 256, IN_QWEN35 = 512, IN_QWEN35_MOE = 1024,
    IN_GEMMA = IN_GEMMA3 | IN_GEMMA4 | IN_UNIFIED,
    IN_QWEN = IN_QWEN2 | IN_QWEN3,
    IN_DELTA = IN_QWEN35 | IN_QWEN35_MOE,
    IN_QWEN_EXPERTS = IN_QWEN3_MOE | IN_QWEN35_MOE,
    IN_DENSE = IN_LLAMA | IN_MISTRAL | IN_QWEN | IN_QWEN3_MOE,
    IN_TEXT = IN_GEMMA | IN_DENSE | IN_DELTA,
    IN_ALL = IN_TEXT | IN_TOP,
};

static int class_bit(hf_class class)
{
    static const int bits[] = {
        [CLASS_GEMMA3] = IN_GEMMA3, [CLASS_GEMMA4] = IN_GEMMA4, [CLASS_GEMMA4_UNIFIED] = IN_UNIFIED,
        [CLASS_LLAMA] = IN_LLAMA, [CLASS_MISTRAL] = IN_MISTRAL, [CLASS_QWEN2] = IN_QWEN2, [CLASS_QWEN3] = IN_QWEN3,
        [CLASS_QWEN3_MOE] = IN_QWEN3_MOE, [CLASS_QWEN35] = IN_QWEN35, [CLASS_QWEN35_MOE] = IN_QWEN35_MOE,
    };
    return bits[class];
}

typedef struct { const char *key; int in; } known_key;

static const known_key known[] = {
    // The model, read by hf_config.c and hf_rope.c.
    { "vocab_size", IN_TEXT }, { "hidden_size", IN_TEXT }, { "intermediate_size", IN_TEXT },
    { "num_hidden_layers", IN_TEXT }, { "num_attention_heads", IN_TEXT }, { "num_key_value_heads", IN_TEXT },
    { "head_dim", IN_TEXT }, { "layer_types", IN_TEXT }, { "max_position_embeddings", IN_TEXT },
    { "sliding_window", IN_GEMMA | IN_DENSE }, { "rms_norm_eps", IN_TEXT }, { "final_logit_softcapping", IN_GEMMA },
    { "rope_parameters", IN_TEXT }, { "rope_scaling", IN_TEXT }, { "per_layer_config", IN_TEXT },
    { "hidden_activation", IN_GEMMA }, { "hidden_act", IN_DENSE | IN_DELTA },
    { "attention_bias", IN_GEMMA | IN_LLAMA | IN_QWEN3 | IN_QWEN3_MOE | IN_DELTA },
    { "use_bidirectional_attention", IN_TEXT },
    { "attn_logit_softcapping", IN_GEMMA }, { "attention_chunk_size", IN_GEMMA }, { "tie_word_embeddings", IN_ALL },
    { "mlp_bias", IN_LLAMA }, { "pretraining_tp", IN_LLAMA }, { "use_sliding_window", IN_QWEN | IN_QWEN3_MOE },
    { "max_window_layers", IN_QWEN }, { "partial_rotary_factor", IN_DENSE | IN_DELTA },
    { "original_max_position_embeddings", IN_DENSE },
    { "is_causal", IN_TEXT }, { "configuration_files", IN_ALL }, { "transformers_weights", IN_ALL },
    { "attribute_map", IN_ALL }, { "default_rope_type", IN_ALL }, { "quantization_config", IN_ALL },
    { "compression_config", IN_ALL }, { "text_config", IN_ALL }, { "query_pre_attn_scalar", IN_GEMMA3 },
    { "rope_theta", IN_GEMMA3 | IN_DENSE | IN_DELTA }, { "rope_local_base_freq", IN_GEMMA3 },
    { "sliding_window_pattern", IN_GEMMA3 },
    { "_sliding_window_pattern", IN_GEMMA3 },   // what Transformers writes beside layer_types, and does not read
    { "num_kv_shared_layers", IN_GEMMA4 | IN_UNIFIED }, { "use_double_wide_mlp", IN_GEMMA4 | IN_UNIFIED },
    { "attention_k_eq_v", IN_GEMMA4 | IN_UNIFIED }, { "global_head_dim", IN_GEMMA4 | IN_UNIFIED },
    { "num_global_key_value_heads", IN_GEMMA4 | IN_UNIFIED }, { "hidden_size_per_layer_input", IN_GEMMA4 },
    { "vocab_size_per_layer_input", IN_GEMMA4 }, { "enable_moe_block", IN_GEMMA4 },
    // Experts; Gemma 4 reads them only with enable_moe_block.
    { "num_experts", IN_GEMMA4 | IN_QWEN_EXPERTS }, { "top_k_experts", IN_GEMMA4 },
    { "moe_intermediate_size", IN_GEMMA4 | IN_QWEN_EXPERTS }, { "num_experts_per_tok", IN_QWEN_EXPERTS },
    { "num_local_experts", IN_QWEN3_MOE }, { "norm_topk_prob", IN_QWEN3_MOE }, { "mlp_only_layers", IN_QWEN3_MOE },
    { "decoder_sparse_step", IN_QWEN3_MOE }, { "shared_expert_intermediate_size", IN_QWEN35_MOE },
    { "output_router_logits", IN_QWEN_EXPERTS }, { "router_aux_loss_coef", IN_QWEN_EXPERTS },     // for training
    // Delta nets, and the block that guesses, which Transformers does not build.
    { "linear_conv_kernel_dim", IN_DELTA }, { "linear_key_head_dim", IN_DELTA }, { "linear_value_head_dim", IN_DELTA },
    { "linear_num_key_heads", IN_DELTA }, { "linear_num_value_heads", IN_DELTA },
    { "full_attention_interval", IN_DELTA }, { "mtp_num_hidden_layers", IN_DELTA },
    // Tokens: read by the tokenizer's half, or of images and sound.
    { "bos_token_id", IN_ALL }, { "eos_token_id", IN_ALL }, { "pad_token_id", IN_ALL }, { "unk_token_id", IN_ALL },
    { "sep_token_id", IN_ALL }, { "decoder_start_token_id", IN_ALL }, { "boi_token_id", IN_TOP },
    { "eoi_token_id", IN_TOP }, { "boa_token_id", IN_TOP }, { "eoa_token_id", IN_TOP }, { "image_token_id", IN_TOP },
    { "audio_token_id", IN_TOP }, { "video_token_id", IN_TOP }, { "boi_token_index", IN_TOP },
    { "eoi_token_index", IN_TOP }, { "boa_token_index", IN_TOP }, { "eoa_token_index", IN_TOP },
    { "image_token_index", IN_TOP }, { "mm_tokens_per_image", IN_TOP }, { "vision_soft_tokens_per_image", IN_TOP },
    { "vision_config", IN_TOP }, { "audio_config", IN_TOP }, { "vision_start_token_id", IN_TOP },
    { "vision_end_token_id", IN_TOP },
    // What a checkpoint is called, and what wrote it.
    { "architectures", IN_ALL }, { "model_type", IN_ALL }, { "transformers_version", IN_ALL },
    { "_name_or_path", IN_ALL }, { "name_or_path", IN_ALL }, { "model_name", IN_ALL }, { "_commit_hash", IN_ALL },
    { "dtype", IN_ALL }, { "torch_dtype", IN_ALL }, { "unsloth_version", IN_ALL }, { "unsloth_fixed", IN_ALL },
    { "id2label", IN_ALL }, { "label2id", IN_ALL }, { "num_labels", IN_ALL }, { "problem_type", IN_ALL },
    // Training, other implementations of the same computation, and what a call returns.
    { "initializer_range", IN_ALL }, { "attention_dropout", IN_TEXT }, { "use_cache", IN_ALL },
    { "cache_implementation", IN_ALL }, { "attn_implementation", IN_ALL }, { "_attn_implementation", IN_ALL },
    { "_attn_implementation_autoset", IN_ALL }, { "_attn_implementation_internal", IN_ALL },
    { "experts_implementation", IN_ALL }, { "_experts_implementation", IN_ALL },
    { "_experts_implementation_internal", IN_ALL }, { "output_attentions", IN_ALL },
    { "output_hidden_states", IN_ALL }, { "return_dict", IN_ALL }, { "use_return_dict", IN_ALL },
    { "tie_last_hidden_states", IN_ALL }, { "chunk_size_feed_forward", IN_ALL }, { "is_encoder_decoder", IN_ALL },
    { "is_decoder", IN_ALL }, { "torchscript", IN_ALL }, { "allow_global_per_layer_attribute_access", IN_ALL },
    { "serialize_explicit_per_layer_config", IN_ALL },
    // Defaults of generation, which older versions kept here.
    { "assistant_confidence_threshold", IN_ALL }, { "assistant_lookbehind", IN_ALL }, { "bad_words_ids", IN_ALL },
    { "begin_suppress_tokens", IN_ALL }, { "diversity_penalty", IN_ALL }, { "do_sample", IN_ALL },
    { "early_stopping", IN_ALL }, { "encoder_no_repeat_ngram_size", IN_ALL },
    { "encoder_repetition_penalty", IN_ALL }, { "epsilon_cutoff", IN_ALL }, { "eta_cutoff", IN_ALL },
    { "exponential_decay_length_penalty", IN_ALL }, { "forced_bos_token_id", IN_ALL },
    { "forced_eos_token_id", IN_ALL }, { "length_penalty", IN_ALL }, { "max_length", IN_ALL },
    { "min_length", IN_ALL }, { "no_repeat_ngram_size", IN_ALL }, { "num_assistant_tokens", IN_ALL },
    { "num_assistant_tokens_schedule", IN_ALL }, { "num_beam_groups", IN_ALL }, { "num_beams", IN_ALL },
    { "num_return_sequences", IN_ALL }, { "output_scores", IN_ALL }, { "remove_invalid_values", IN_ALL },
    { "repetition_penalty", IN_ALL }, { "return_dict_in_generate", IN_ALL }, { "suppress_tokens", IN_ALL },
    { "target_lookbehind", IN_ALL }, { "temperature", IN_ALL }, { "top_k", IN_ALL }, { "top_p", IN_ALL },
    { "typical_p", IN_ALL },
};

static bool is_known(const char *key, int in)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((known[i].in & in) && strcmp(known[i].key, key) == 0) return true;
    return false;
}

// ---- the log -------------------------------------------------------------------------------------------------------

enum { NAMES_BYTES = 600, NAME_SHOWN = 80 };

typedef struct {
    char    text[NAMES_BYTES];      // "'a', 'b.c'": as many as have room
    int64_t n, n_shown;
} names;

static void add_name(names *l, const char *prefix, const char *key)
{
    char one[3 * NAME_SHOWN];
    l->n++;
    if (l->n_shown + 1 < l->n) return;      // full already: only counted
    size_t at = strlen(l->text);
    snprintf(one, sizeof one, "%s'%.*s%.*s'", l->n > 1 ? ", " : "", NAME_SHOWN, prefix, NAME_SHOWN, key);
    if (at + strlen(one) >= sizeof l->text) return;
    memcpy(l->text + at, one, strlen(one) + 1);
    l->n_shown++;
}

static void add_unknown(names *l, const cJSON *obj, const char *prefix, int in)
{
    for (const cJSON *it = obj->child; it; it = it->next)
        if (!is_known(it->string, in)) add_name(l, prefix, it->string);
}

static bool is_among(const char *key, const char *const *keys)
{
    while (*keys && strcmp(key, *keys) != 0) keys++;
    return *keys != NULL;
}

// What Transformers reads of a rotary embedding's parameters depends on their type. A Gemma without layers of the kind
// has none that count; elsewhere one dictionary is for all layers, and a part of the head is looked at in every type
// (hf_rope.c).
static bool reads_rope_key(const hf_config *c, const hf_kind *k, const char *key)
{
    static const char *const always[] = { "rope_type", "type", "rope_theta", NULL };
    static const char *const slow[]   = { "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
                                          NULL };
    static const char *const sections[] = { "mrope_section", "mrope_interleaved", NULL };
    const bool gemma = hf_is_gemma(c), scaled = !k->rope_unscaled && (k->n_layers || !gemma);
    if (is_among(key, always)) return true;
    if (strcmp(key, "partial_rotary_factor") == 0) return scaled || !gemma;
    if (strcmp(key, "factor") == 0) return scaled;
    if (hf_is_qwen35(c) && is_among(key, sections)) return true;
    return k->rope_llama3 && is_among(key, slow);
}

static void add_unknown_rope(names *l, const hf_config *c, const hf_kind *k, const cJSON *rope, const char *prefix)
{
    if (!cJSON_IsObject(rope)) return;
    for (const cJSON *it = rope->child; it; it = it->next)
        if (!reads_rope_key(c, k, it->string)) add_name(l, prefix, it->string);
}

static void add_unknown_ropes(names *l, const hf_config *c, const cJSON *t)
{
    char prefix[80];
    const cJSON *params = hf_rope_by_kind(c, t), *scaling = json_get(t, "rope_scaling");
    if (!hf_is_gemma(c)) {
        snprintf(prefix, sizeof prefix, "%s.", params ? params->string : "");
        add_unknown_rope(l, c, &c->kind[KIND_FULL], params, prefix);
        return;
    }
    for (const cJSON *it = params ? params->child : NULL; it; it = it->next) {
        int k = 0;
        while (k < N_KINDS && strcmp(it->string, hf_kind_names[k]) != 0) k++;
        snprintf(prefix, sizeof prefix, "%s.%s%s", params->string, k < N_KINDS ? hf_kind_names[k] : "",
                 k < N_KINDS ? "." : "");
        if (k < N_KINDS) add_unknown_rope(l, c, &c->kind[k], it, prefix);
        else             add_name(l, prefix, it->string);
    }
    if (scaling && scaling != params) add_unknown_rope(l, c, &c->kind[KIND_FULL], scaling, "rope_scaling.");
}

void config_keys_log(const hf_config *c, const cJSON *root, const char *where, progress *log)
{
    const cJSON *t = hf_text_config(root), *by_kind = hf_rope_by_kind(c, t);
    const int text_class = class_bit(c->arch->class);
    names l = { .n = 0 };
    if (t != root) {
        add_unknown(&l, root, "", IN_TOP);
        add_unknown(&l, t, "text_config.", text_class);
    } else {
        add_unknown(&l, t, "", c->arch->has_towers ? text_class | IN_TOP : text_class);
    }
    add_unknown_ropes(&l, c, t);
    if (l.n > l.n_shown)
        progress_logf(log, "%s: keys that neither this program nor Transformers reads: %s and %lld more", where, l.text,
                      (long long)(l.n - l.n_shown));
    else if (l.n)
        progress_logf(log, "%s: keys that neither this program nor Transformers reads: %s", where, l.text);
    if (by_kind && by_kind != json_get(t, "rope_parameters") && json_get(t, "rope_parameters"))
        progress_logf(log, "%s: rope_scaling takes the place of rope_parameters, as in Transformers", where);
}
