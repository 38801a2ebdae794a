// llama_config: the config.json of Llama, Mistral, Qwen 2 and Qwen 3, dense and with experts: layers that are all
// alike, but for a window that some of them may have.
//
// Defaults and what is refused: LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config and Qwen3MoeConfig of Transformers
// 5.24.
#include "llama_config.h"

#include "../formats/json.h"
#include "config_read.h"
#include "hf_rope.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

// ---- plain numbers -------------------------------------------------------------------------------------------------

enum { LLAMA, MISTRAL, QWEN2, QWEN3, QWEN3_MOE, N_CLASSES };

static int class_of(const hf_config *c)
{
    switch (c->arch->class) {
    case CLASS_MISTRAL:   return MISTRAL;
    case CLASS_QWEN2:     return QWEN2;
    case CLASS_QWEN3:     return QWEN3;
    case CLASS_QWEN3_MOE: return QWEN3_MOE;
    default:              return LLAMA;
    }
}

// What null stands for. NOTHING: a class that takes no null; Transformers refuses it too.
typedef enum { NOTHING, AS_HEADS, AS_SHARE, AS_ZERO } null_means;

typedef struct {
    const char *key;
    size_t      field;              // offset of an int64_t in hf_config
    int64_t     lo, hi;
    int64_t     def[N_CLASSES];     // Transformers' defaults; NULL_DEFAULT: null
    null_means  null[N_CLASSES];
} int_row;

// No key is the same as null there.
enum { NULL_DEFAULT = -2 };

#define FIELD(f) offsetof(hf_config, f)
static const int_row int_rows[] = {
    { "vocab_size", FIELD(n_vocab), 1, LIMIT_VOCAB, { 32000, 32000, 151936, 151936, 151936 }, { NOTHING } },
    { "hidden_size", FIELD(n_embd), 1, 1 << 20, { 4096, 4096, 4096, 4096, 2048 }, { NOTHING } },
    { "intermediate_size", FIELD(n_ff), 1, 1 << 22, { 11008, 14336, 22016, 22016, 6144 }, { NOTHING } },
    { "num_hidden_layers", FIELD(n_layer), 1, LIMIT_LAYERS, { 32, 32, 32, 32, 24 }, { NOTHING } },
    { "num_attention_heads", FIELD(n_head), 1, 1 << 12, { 32, 32, 32, 32, 32 }, { NOTHING } },
    { "max_position_embeddings", FIELD(n_ctx), 1, INT32_MAX, { 2048, 131072, 32768, 32768, 32768 }, { NOTHING } },
    { "num_key_value_heads", FIELD(kind[KIND_FULL].n_head_kv), 1, 1 << 12, { NULL_DEFAULT, 8, 32, 32, 4 },
      { AS_HEADS, NOTHING, AS_HEADS, AS_HEADS, NOTHING } },
    { "head_dim", FIELD(kind[KIND_FULL].head_dim), 2, 1 << 16,
      { NULL_DEFAULT, NULL_DEFAULT, NULL_DEFAULT, 128, NULL_DEFAULT },
      { AS_SHARE, AS_SHARE, AS_SHARE, NOTHING, AS_SHARE } },
    { "sliding_window", FIELD(window), 1, INT32_MAX, { NULL_DEFAULT, 4096, 4096, 4096, 4096 },
      { AS_ZERO, AS_ZERO, AS_ZERO, AS_ZERO, AS_ZERO } },
};

static int64_t null_value(const hf_config *c, null_means means)
{
    if (means == AS_HEADS) return c->n_head;
    if (means == AS_SHARE) return c->n_embd / c->n_head;
    return 0;
}

static bool read_int(hf_config *c, const int_row *r, const cJSON *t, const char *where, err *e)
{
    const int         class = class_of(c);
    const cJSON      *v = cJSON_GetObjectItemCaseSensitive(t, r->key);
    const null_means  means = r->null[class];
    const config_int  row = { r->key, r->field, r->lo, r->hi, r->def[class] };
    const bool        is_null = v ? cJSON_IsNull(v) : r->def[class] == NULL_DEFAULT;
    if (is_null && means == NOTHING) return config_not_null(t, r->key, where, e);
    if (!is_null) return config_int_read(c, &row, t, where, e);
    *(int64_t *)(void *)((char *)c + r->field) = null_value(c, means);
    return true;
}

static bool read_ints(hf_config *c, const cJSON *t, const char *where, err *e)
{
    for (size_t i = 0; i < sizeof int_rows / sizeof *int_rows; i++)
        if (!read_int(c, &int_rows[i], t, where, e)) return false;
    return true;
}

static bool check_heads(const hf_config *c, const char *where, err *e)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    const bool     fixed = c->arch->class == CLASS_LLAMA;       // LlamaConfig.validate_architecture
    if (fixed && !config_state_check(c->n_embd, c->n_head, where, e)) return false;
    return config_head_dim_check(k->head_dim, where, e) && config_kv_heads_check(c->n_head, k->n_head_kv, where, e);
}

static bool read_biases(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const hf_class class = c->arch->class;
    bool           attention = false;
    c->qkv_bias = class == CLASS_QWEN2;
    if (class == CLASS_LLAMA && !config_flag(t, "mlp_bias", &c->mlp_bias, where, e)) return false;
    // The others do not read the key.
    if (class != CLASS_LLAMA && class != CLASS_QWEN3 && class != CLASS_QWEN3_MOE) return true;
    if (!config_flag(t, "attention_bias", &attention, where, e)) return false;
    c->qkv_bias = c->o_bias = attention;
    return true;
}

// ---- experts -------------------------------------------------------------------------------------------------------

// num_local_experts is the same as num_experts (Qwen3MoeConfig.attribute_map), and what Transformers 5 writes.
static bool read_expert_count(hf_config *c, const cJSON *t, const char *where, err *e)
{
    int64_t other;
    if (!config_not_null(t, "num_experts", where, e)) return false;
    if (!config_not_null(t, "num_local_experts", where, e)) return false;
    if (!json_i64_or(t, "num_experts", 1, LIMIT_EXPERTS, 128, &c->n_expert, where, e)) return false;
    if (!json_i64_or(t, "num_local_experts", 1, LIMIT_EXPERTS, c->n_expert, &other, where, e)) return false;
    if (json_get(t, "num_experts") && other != c->n_expert)
        return err_set(e, ERR_INPUT, "%s: num_local_experts: found %lld, expected %lld as num_experts", where,
                       (long long)other, (long long)c->n_expert);
    c->n_expert = other;
    return true;
}

// Every layer has experts, and their weights are renormalised: readers of qwen3moe take both for granted.
static bool check_expert_layers(const cJSON *t, const char *where, err *e)
{
    const cJSON *dense = json_get(t, "mlp_only_layers");
    int64_t      step;
    bool         norm;
    if (!config_flag(t, "norm_topk_prob", &norm, where, e)) return false;
    if (!norm)
        return err_set(e, ERR_INPUT, "%s: norm_topk_prob: found false, expected true: GGUF cannot say it of qwen3moe",
                       where);
    if (!config_not_null(t, "decoder_sparse_step", where, e)) return false;
    if (!json_i64_or(t, "decoder_sparse_step", 1, LIMIT_LAYERS, 1, &step, where, e)) return false;
    if (step != 1 || (dense && !(cJSON_IsArray(dense) && !dense->child)))
        return err_set(e, ERR_INPUT, "%s: %s: expected experts in every layer", where,
                       step != 1 ? "decoder_sparse_step" : "mlp_only_layers");
    return true;
}

static bool read_experts(hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const config_int rows[] = {
        { "num_experts_per_tok", FIELD(n_expert_used), 1, LIMIT_EXPERTS, 8 },
        { "moe_intermediate_size", FIELD(n_ff_expert), 1, 1 << 22, 768 },
    };
    if (c->arch->class != CLASS_QWEN3_MOE) return true;
    if (!config_not_null(t, "head_dim", where, e)) return false;
    if (!read_expert_count(c, t, where, e) || !check_expert_layers(t, where, e)) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!config_not_null(t, rows[i].key, where, e) || !config_int_read(c, &rows[i], t, where, e)) return false;
    return config_experts_check(c->n_expert, c->n_expert_used, "num_experts_per_tok", where, e);
}

static bool read_scalars(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    if (!read_ints(c, t, where, e) || !check_heads(c, where, e)) return false;
    if (!config_not_null(root, "tie_word_embeddings", where, e)) return false;
    if (!json_bool_or(root, "tie_word_embeddings", false, &c->tied, where, e)) return false;
    if (!config_pad_check(c->n_vocab, t, where, e) || !config_not_null(t, "rms_norm_eps", where, e)) return false;
    if (!config_positive(t, "rms_norm_eps", 1e-6, &c->eps, where, e)) return false;
    c->attn_scale = pow((double)c->kind[KIND_FULL].head_dim, -0.5);
    return read_biases(c, t, where, e) && read_experts(c, t, where, e);
}

// ---- the window ----------------------------------------------------------------------------------------------------

// Qwen: the window counts with use_sliding_window only, and then for layers from max_window_layers on, or those that
// layer_types names.
static bool read_qwen_layers(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *types = json_get(t, "layer_types");
    int64_t      first;
    bool         on;
    if (!config_flag(t, "use_sliding_window", &on, where, e)) return false;
    if (!config_not_null(t, "max_window_layers", where, e)) return false;
    if (!json_i64_or(t, "max_window_layers", 0, INT32_MAX, 28, &first, where, e)) return false;
    if (!on) c->window = 0;
    if (types) return config_layer_types(c->sliding, "sliding_attention", c->n_layer, types, false, where, e);
    for (int64_t i = 0; i < c->n_layer; i++) c->sliding[i] = c->window > 0 && i >= first;
    return true;
}

// Qwen3MoeConfig: a window is for all layers, and without use_sliding_window there is none.
static bool read_window_switch(hf_config *c, const cJSON *t, const char *where, err *e)
{
    bool on;
    if (!config_flag(t, "use_sliding_window", &on, where, e)) return false;
    if (!on) c->window = 0;
    return true;
}

// LlamaModel and MistralModel do not look at layer_types, but their cache does: only a list that repeats what they do
// is one that a file can say.
static bool read_alike_layers(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *types = json_get(t, "layer_types");
    const bool   sliding = c->window > 0;
    if (types && !config_layer_types(c->sliding, "sliding_attention", c->n_layer, types, false, where, e)) return false;
    for (int64_t i = 0; i < c->n_layer; i++) {
        if (types && c->sliding[i] != sliding)
            return err_set(e, ERR_INPUT,
                           "%s: layer_types: layer %lld: expected '%s': this model's layers are all alike",
                           where, (long long)i, sliding ? "sliding_attention" : "full_attention");
        c->sliding[i] = sliding;
    }
    return true;
}

// A window that LlamaModel does not know is dropped from the cache by Transformers while it generates, and seen while
// it reads a prompt: no file can say both. A cache of one position less than a window of 1 is one that keeps all.
static bool read_layers(hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const char *const no_window = "Transformers would forget keys while it generates, and not while it reads a "
                                         "prompt: a window is not supported here";
    const bool is_qwen = c->arch->class == CLASS_QWEN2 || c->arch->class == CLASS_QWEN3;
    if (c->arch->class == CLASS_LLAMA && !config_refuse(t, "sliding_window", no_window, where, e)) return false;
    if (c->arch->class == CLASS_QWEN3_MOE && !read_window_switch(c, t, where, e)) return false;
    if (is_qwen && !read_qwen_layers(c, t, where, e)) return false;
    if (!is_qwen && !read_alike_layers(c, t, where, e)) return false;
    c->kind[KIND_SLIDING] = c->kind[KIND_FULL];
    for (int64_t i = 0; i < c->n_layer; i++) c->kind[hf_layer_kind(c, i)].n_layers++;
    if (c->kind[KIND_SLIDING].n_layers == 0) c->window = 0;
    if (c->window == 1)
        return err_set(e, ERR_INPUT, "%s: sliding_window: found 1, expected at least 2: Transformers' cache would "
                       "forget nothing while it generates", where);
    if (c->kind[KIND_SLIDING].n_layers && c->window == 0)
        return err_set(e, ERR_INPUT, "%s: layer_types: found %lld sliding layers, expected none without "
                       "use_sliding_window and sliding_window", where, (long long)c->kind[KIND_SLIDING].n_layers);
    return true;
}

bool llama_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    if (!config_refuse(t, "per_layer_config", "layers of their own are not supported in this family", where, e))
        return false;
    if (!read_scalars(c, root, t, where, e) || !read_layers(c, t, where, e)) return false;
    if (!hf_rope_read(c, t, where, e)) return false;
    for (int64_t i = 0; i < c->n_layer; i++) {
        c->layer_ff[i] = (int32_t)c->n_ff;
        c->layer_kv[i] = (int32_t)c->kind[KIND_FULL].n_head_kv;
    }
    return true;
}
