// gemma_config: the config.json of Gemma 3, Gemma 4 and Gemma 4 Unified: sliding and full-attention layers that differ,
// and what Gemma 4 adds.
#include "gemma_config.h"

#include "../formats/json.h"
#include "config_read.h"
#include "family.h"
#include "hf_rope.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- plain numbers -------------------------------------------------------------------------------------------------

typedef struct {
    const char *key;
    size_t      field;              // offset of an int64_t in hf_config
    int64_t     lo, hi;
    int64_t     gemma3, gemma4, unified;    // Transformers' defaults
} int_row;

enum { NO_KEY = CONFIG_NO_KEY };
#define FIELD(f) offsetof(hf_config, f)
static const int_row int_rows[] = {
    { "vocab_size",                  FIELD(n_vocab),                   1, LIMIT_VOCAB,  262208, 262144, 262144 },
    { "hidden_size",                 FIELD(n_embd),                    1, 1 << 20,      2304,   2304,   2304 },
    { "intermediate_size",           FIELD(n_ff),                      1, 1 << 22,      9216,   9216,   9216 },
    { "num_hidden_layers",           FIELD(n_layer),                   1, LIMIT_LAYERS, 26,     30,     30 },
    { "num_attention_heads",         FIELD(n_head),                    1, 1 << 12,      8,      8,      8 },
    { "num_key_value_heads",         FIELD(kind[KIND_SLIDING].n_head_kv), 1, 1 << 12,   4,      4,      4 },
    { "head_dim",                    FIELD(kind[KIND_SLIDING].head_dim),  2, 1 << 16,   256,    256,    256 },
    { "max_position_embeddings",     FIELD(n_ctx),                     1, INT32_MAX,    131072, 131072, 262144 },
    { "sliding_window",              FIELD(window),                    1, INT32_MAX,    4096,   512,    1024 },
    { "num_kv_shared_layers",        FIELD(n_shared),                  0, LIMIT_LAYERS, NO_KEY, 0,      0 },
    { "hidden_size_per_layer_input", FIELD(ple),                       0, 1 << 16,      NO_KEY, 256,    NO_KEY },
    { "vocab_size_per_layer_input",  FIELD(n_vocab_ple),               1, LIMIT_VOCAB,  NO_KEY, 262144, NO_KEY },
};

// A sliding window of null is Gemma 3's way to say that there is none.
static bool may_be_null(const hf_config *c, const char *key)
{
    return c->arch->family == &family_gemma3 && strcmp(key, "sliding_window") == 0;
}

static bool read_ints(hf_config *c, const cJSON *t, const char *where, err *e)
{
    bool gemma3 = c->arch->family == &family_gemma3;
    for (size_t i = 0; i < sizeof int_rows / sizeof int_rows[0]; i++) {
        const int_row *r = &int_rows[i];
        const int64_t  def = gemma3 ? r->gemma3 : c->arch->class == CLASS_GEMMA4_UNIFIED ? r->unified : r->gemma4;
        const config_int row = { r->key, r->field, r->lo, r->hi, def };
        if (def != NO_KEY && !may_be_null(c, r->key) && !config_not_null(t, r->key, where, e)) return false;
        if (!config_int_read(c, &row, t, where, e)) return false;
    }
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(t, "sliding_window"))) c->window = 0;
    return true;
}

// Rows of the two embeddings: Transformers fails at a token that has one and not the other, so a file could not be run
// with it.
static bool check_rows(const hf_config *c, const cJSON *t, const char *where, err *e)
{
    if (c->ple > 0 && c->n_vocab_ple < c->n_vocab)
        return err_set(e, ERR_INPUT, "%s: vocab_size_per_layer_input: found %lld, expected at least the %lld tokens of "
                       "vocab_size", where, (long long)c->n_vocab_ple, (long long)c->n_vocab);
    return config_pad_check(c->n_vocab, t, where, e);
}

// The whole model's config ties, so in a multimodal one the key at the top counts, and text_config's does not.
// Gemma3Config takes null there.
static bool read_tied(hf_config *c, const cJSON *root, const char *where, err *e)
{
    const cJSON *tie = cJSON_GetObjectItemCaseSensitive(root, "tie_word_embeddings");
    if (cJSON_IsNull(tie) && c->arch->family == &family_gemma3 && c->arch->has_towers) {
        c->tied = false;
        return true;
    }
    return config_not_null(root, "tie_word_embeddings", where, e)
        && json_bool_or(root, "tie_word_embeddings", true, &c->tied, where, e);
}

// Gemma 4's experts, beside the MLP of every layer. The three keys have no defaults but null.
static bool read_experts(hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const struct { const char *key; size_t field; int64_t hi; } rows[] = {
        { "num_experts", FIELD(n_expert), LIMIT_EXPERTS }, { "top_k_experts", FIELD(n_expert_used), LIMIT_EXPERTS },
        { "moe_intermediate_size", FIELD(n_ff_expert), 1 << 22 },
    };
    bool on = false;
    if (c->arch->class != CLASS_GEMMA4) return true;        // the others have none
    if (!config_flag(t, "enable_moe_block", &on, where, e)) return false;
    if (!on) return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t *out = (int64_t *)(void *)((char *)c + rows[i].field);
        if (!json_i64(t, rows[i].key, 1, rows[i].hi, out, where, e)) return false;
    }
    return config_experts_check(c->n_expert, c->n_expert_used, "top_k_experts", where, e);
}

static bool read_scalars(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    double scalar = 1;
    bool   gemma3 = c->arch->family == &family_gemma3;
    if (!read_ints(c, t, where, e) || !read_tied(c, root, where, e) || !check_rows(c, t, where, e)) return false;
    if (!config_not_null(t, "rms_norm_eps", where, e)) return false;
    if (!config_positive(t, "rms_norm_eps", 1e-6, &c->eps, where, e)) return false;
    if (!config_positive(t, "final_logit_softcapping", 0, &c->softcap, where, e)) return false;
    if (gemma3 && !config_not_null(t, "query_pre_attn_scalar", where, e)) return false;
    if (gemma3 && !config_positive(t, "query_pre_attn_scalar", 256, &scalar, where, e)) return false;
    c->attn_scale = pow(scalar, -0.5);          // Gemma 4 normalises Q and K instead: 1
    if (gemma3) return config_state_check(c->n_embd, c->n_head, where, e);  // Gemma3TextConfig.validate_architecture
    return config_flag(t, "use_double_wide_mlp", &c->double_wide, where, e)
        && config_flag(t, "attention_k_eq_v", &c->k_eq_v, where, e) && read_experts(c, t, where, e);
}

// ---- layer kinds ---------------------------------------------------------------------------------------------------

static bool read_layer_types(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *types = json_get(t, "layer_types");
    bool    gemma3 = c->arch->family == &family_gemma3;
    int64_t period = 6;
    // Gemma 4 gives full-attention layers their head size by the new name only, unless per_layer_config has it.
    bool old_names = gemma3 || json_get(t, "per_layer_config");
    if (types && !config_layer_types(c->sliding, "sliding_attention", c->n_layer, types, old_names, where, e))
        return false;
    if (!types && gemma3) {     // older Transformers: every period-th layer is a full-attention layer
        if (!config_not_null(t, "sliding_window_pattern", where, e)) return false;
        if (!json_i64_or(t, "sliding_window_pattern", 1, LIMIT_LAYERS, 6, &period, where, e)) return false;
    }
    for (int64_t i = 0; !types && i < c->n_layer; i++) c->sliding[i] = (i + 1) % period != 0;
    if (!gemma3) c->sliding[c->n_layer - 1] = 0;    // Gemma4TextConfig makes the last layer full whatever the list says
    for (int64_t i = 0; i < c->n_layer; i++) c->kind[hf_layer_kind(c, i)].n_layers++;
    if (c->kind[KIND_SLIDING].n_layers && c->window == 0)
        return err_set(e, ERR_INPUT, "%s: sliding_window: found null, expected a window for %lld sliding layers", where,
                       (long long)c->kind[KIND_SLIDING].n_layers);
    return true;
}

// The keys that a layer of its own may repeat, as long as they say there what they say for all layers.
static const char *const repeatable[] = {
    "head_dim", "num_key_value_heads", "intermediate_size", "hidden_size", "num_attention_heads", "sliding_window",
    "rms_norm_eps", "attention_bias", "attention_dropout", "hidden_activation", "attention_k_eq_v",
    "use_double_wide_mlp", "enable_moe_block", "hidden_size_per_layer_input", "final_logit_softcapping",
    "query_pre_attn_scalar", "max_position_embeddings", "moe_intermediate_size", "num_experts", "top_k_experts",
};
enum { N_REPEATABLE = sizeof repeatable / sizeof repeatable[0] };

// Found once, because a config may have many layers and many keys.
typedef struct { const cJSON *value[N_REPEATABLE]; } all_layers;

static int find_repeatable(const char *key)
{
    for (int i = 0; i < N_REPEATABLE; i++)
        if (strcmp(repeatable[i], key) == 0) return i;
    return -1;
}

static bool same_scalar(const cJSON *a, const cJSON *b)
{
    return a && b && !cJSON_IsArray(a) && !cJSON_IsObject(a) && cJSON_Compare(a, b, true);
}

// One layer's overrides in per_layer_config: only head_dim and num_key_value_heads may differ from the global value.
static bool read_override(hf_config *c, const all_layers *all, const cJSON *layer, int64_t i, hf_kind *got,
                          const char *where, err *e)
{
    char at[1200];
    snprintf(at, sizeof at, "%s: per_layer_config: layer %lld", where, (long long)i);
    if (!cJSON_IsObject(layer)) return err_set(e, ERR_INPUT, "%s: expected an object", at);
    for (const cJSON *it = layer->child; it; it = it->next) {
        int  row   = find_repeatable(it->string);
        bool ours  = row == 0 || row == 1;
        bool empty = strcmp(it->string, "skip") == 0 && cJSON_IsArray(it) && !it->child;
        if (!ours && !empty && !(row >= 0 && same_scalar(it, all->value[row])))
            return err_set(e, ERR_INPUT, "%s: %.80s: a layer of its own in this is not supported", at, it->string);
    }
    if (!config_not_null(layer, "head_dim", at, e) || !config_not_null(layer, "num_key_value_heads", at, e))
        return false;
    if (json_get(layer, "num_key_value_heads")) c->kv_by_layer = true;
    return json_i64_or(layer, "head_dim", 2, 1 << 16, got->head_dim, &got->head_dim, at, e)
        && json_i64_or(layer, "num_key_value_heads", 1, 1 << 12, got->n_head_kv, &got->n_head_kv, at, e);
}

// Keys of per_layer_config are layer numbers, written "4" or, to sort well, "04". layers: [n_layer], NULL where nothing
// is said.
static bool index_per_layer(const hf_config *c, const cJSON *per, const cJSON **layers, const char *where, err *e)
{
    if (!cJSON_IsObject(per)) return err_set(e, ERR_INPUT, "%s: per_layer_config: expected an object", where);
    for (const cJSON *it = per->child; it; it = it->next) {
        size_t n = strlen(it->string);
        int64_t i = n > 0 && n <= 8 && strspn(it->string, "0123456789") == n ? strtol(it->string, NULL, 10) : -1;
        if (i < 0 || i >= c->n_layer)
            return err_set(e, ERR_INPUT, "%s: per_layer_config: found '%.40s', expected a layer below %lld", where,
                           it->string, (long long)c->n_layer);
        if (layers[i])
            return err_set(e, ERR_INPUT, "%s: per_layer_config: layer %lld is given twice", where, (long long)i);
        layers[i] = it;
    }
    return true;
}

// Transformers 5: {"2": {"head_dim": 512}, ...}; a layer that is not named has the global values.
static bool read_per_layer(hf_config *c, const cJSON *t, const cJSON *per, const char *where, err *e)
{
    const hf_kind global = c->kind[KIND_SLIDING];
    const bool gemma3 = c->arch->family == &family_gemma3;
    const cJSON *layers[LIMIT_LAYERS] = { NULL };
    all_layers all;
    for (int r = 0; r < N_REPEATABLE; r++) all.value[r] = cJSON_GetObjectItemCaseSensitive(t, repeatable[r]);
    bool seen[N_KINDS] = { false, false };
    if (!index_per_layer(c, per, layers, where, e)) return false;
    for (int64_t i = 0; i < c->n_layer; i++) {
        hf_kind got = global, *kind = &c->kind[hf_layer_kind(c, i)];
        if (layers[i] && !read_override(c, &all, layers[i], i, &got, where, e)) return false;
        if (gemma3 && (got.head_dim != global.head_dim || got.n_head_kv != global.n_head_kv))
            return err_set(e, ERR_INPUT, "%s: per_layer_config: layer %lld: found %lld KV heads of %lld, expected %lld "
                           "of %lld as in all layers", where, (long long)i, (long long)got.n_head_kv,
                           (long long)got.head_dim, (long long)global.n_head_kv, (long long)global.head_dim);
        if (seen[hf_layer_kind(c, i)] && (got.head_dim != kind->head_dim || got.n_head_kv != kind->n_head_kv))
            return err_set(e, ERR_INPUT,
                           "%s: per_layer_config: layer %lld has %lld KV heads of %lld, an earlier layer "
                           "of its kind %lld of %lld: GGUF cannot say that",
                           where, (long long)i, (long long)got.n_head_kv, (long long)got.head_dim,
                           (long long)kind->n_head_kv, (long long)kind->head_dim);
        kind->head_dim  = got.head_dim;
        kind->n_head_kv = got.n_head_kv;
        seen[hf_layer_kind(c, i)] = true;
    }
    return true;
}

// Older: global_head_dim and num_global_key_value_heads beside head_dim and num_key_value_heads. Transformers reads
// them only in the absence of per_layer_config, and the number of heads only with attention_k_eq_v.
static bool read_global_dims(hf_config *c, const cJSON *t, const char *where, err *e)
{
    hf_kind *full = &c->kind[KIND_FULL];
    int64_t  n_kv;
    if (!config_not_null(t, "global_head_dim", where, e)) return false;
    if (!json_i64_or(t, "global_head_dim", 2, 1 << 16, 512, &full->head_dim, where, e)) return false;
    if (!json_i64_or(t, "num_global_key_value_heads", 1, 1 << 12, full->n_head_kv, &n_kv, where, e)) return false;
    if (c->k_eq_v) full->n_head_kv = n_kv;
    c->kv_by_layer = json_get(t, "num_global_key_value_heads") != NULL;
    return true;
}

static bool read_kinds(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *per = cJSON_GetObjectItemCaseSensitive(t, "per_layer_config");
    c->kind[KIND_FULL].head_dim  = c->kind[KIND_SLIDING].head_dim;
    c->kind[KIND_FULL].n_head_kv = c->kind[KIND_SLIDING].n_head_kv;
    if (per && !cJSON_IsNull(per)) {
        if (!read_per_layer(c, t, per, where, e)) return false;
    } else if (!per && c->arch->family == &family_gemma4) {
        if (!read_global_dims(c, t, where, e)) return false;
    }
    for (int k = 0; k < N_KINDS; k++) {
        const hf_kind *kind = &c->kind[k];
        if (!config_head_dim_check(kind->head_dim, where, e)) return false;
        if (kind->n_layers && !config_kv_heads_check(c->n_head, kind->n_head_kv, where, e)) return false;
    }
    return true;
}

// ---- all of it -----------------------------------------------------------------------------------------------------

// A layer that shares takes the KV of the last earlier layer of its own kind, so there must be one.
static bool check_sharing(const hf_config *c, const char *where, err *e)
{
    int64_t n_own[N_KINDS] = { 0, 0 };
    if (c->n_shared >= c->n_layer)
        return err_set(e, ERR_INPUT, "%s: num_kv_shared_layers: found %lld, expected less than the %lld layers", where,
                       (long long)c->n_shared, (long long)c->n_layer);
    for (int64_t i = 0; i < c->n_layer - c->n_shared; i++) n_own[hf_layer_kind(c, i)]++;
    for (int k = 0; k < N_KINDS; k++)
        if (c->kind[k].n_layers && !n_own[k])
            return err_set(e, ERR_INPUT, "%s: num_kv_shared_layers: found %lld, which leaves no %s layer to share from",
                           where, (long long)c->n_shared, hf_kind_names[k]);
    return true;
}

static void spread_by_layer(hf_config *c)
{
    for (int64_t i = 0; i < c->n_layer; i++) {
        bool wide = c->double_wide && hf_layer_shares_kv(c, i);
        c->layer_ff[i] = (int32_t)(c->n_ff * (wide ? 2 : 1));
        c->layer_kv[i] = (int32_t)c->kind[hf_layer_kind(c, i)].n_head_kv;
    }
}

bool gemma_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    if (!read_scalars(c, root, t, where, e)) return false;
    if (!read_layer_types(c, t, where, e) || !read_kinds(c, t, where, e)) return false;
    if (!hf_rope_read(c, t, where, e) || !check_sharing(c, where, e)) return false;
    spread_by_layer(c);
    return true;
}
