#include "hf_config.h"

#include "../formats/json.h"
#include "family.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hf_arch archs[] = {
    { "Gemma3ForCausalLM",                      "gemma3_text",    &family_gemma3, false, false },
    { "Gemma3ForConditionalGeneration",         "gemma3",         &family_gemma3, true,  false },
    { "Gemma4ForCausalLM",                      "gemma4_text",    &family_gemma4, false, false },
    { "Gemma4ForConditionalGeneration",         "gemma4",         &family_gemma4, true,  false },
    { "Gemma4UnifiedForConditionalGeneration",  "gemma4_unified", &family_gemma4, true,  true  },
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

const hf_arch *hf_arch_table(int *n)
{
    *n = N_ARCHS;
    return archs;
}

const cJSON *hf_text_config(const cJSON *root)
{
    const cJSON *text = json_get(root, "text_config");
    return text ? text : root;
}

// ---- which model ---------------------------------------------------------------------------------------------------

static bool unknown_arch(const char *key, const char *found, const char *where, err *e)
{
    char known[512] = "";
    for (int i = 0; i < N_ARCHS; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", archs[i].name);
    }
    return err_set(e, ERR_INPUT, "%s: %s: found '%.80s', expected one of %s", where, key, found, known);
}

static bool find_arch(hf_config *c, const cJSON *root, const char *where, err *e)
{
    const cJSON *list = json_get(root, "architectures");
    const char  *name = cJSON_GetStringValue(cJSON_GetArrayItem(list, 0)), *type;
    if (list && (!name || cJSON_GetArraySize(list) != 1))
        return err_set(e, ERR_INPUT, "%s: architectures: expected an array with one name", where);
    if (!json_str_or(root, "model_type", "", &type, where, e)) return false;
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(name ? name : type, name ? archs[i].name : archs[i].model_type) == 0) c->arch = &archs[i];
    if (!c->arch) return name ? unknown_arch("architectures", name, where, e) : unknown_arch("model_type", type, where, e);
    const cJSON *text = json_get(root, "text_config");
    if (text && !cJSON_IsObject(text)) return err_set(e, ERR_INPUT, "%s: text_config: expected an object", where);
    return true;
}

// ---- what is not supported -----------------------------------------------------------------------------------------

static bool refuse_true(const cJSON *t, const char *key, const char *why, const char *where, err *e)
{
    bool on;
    if (!json_bool_or(t, key, false, &on, where, e)) return false;
    return !on || err_set(e, ERR_INPUT, "%s: %s: %s", where, key, why);
}

// false, null and "vision" (bidirectional among the tokens of an image only) leave text causal; true and "all" do not.
static bool check_causal(const cJSON *t, const char *where, err *e)
{
    const cJSON *b = json_get(t, "use_bidirectional_attention");
    const char  *s = cJSON_GetStringValue(b);
    if (!b || cJSON_IsFalse(b) || (s && strcmp(s, "vision") == 0)) return true;
    return err_set(e, ERR_INPUT, "%s: use_bidirectional_attention: only causal attention is supported", where);
}

static bool check_supported(const hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    const char *act;
    if (json_get(root, "quantization_config"))
        return err_set(e, ERR_INPUT, "%s: quantization_config: the checkpoint is quantized; expected BF16, F16 or F32 weights", where);
    if (!json_str_or(t, "hidden_activation", "gelu_pytorch_tanh", &act, where, e)) return false;
    if (strcmp(act, "gelu_pytorch_tanh") != 0)
        return err_set(e, ERR_INPUT, "%s: hidden_activation: found '%.80s', expected 'gelu_pytorch_tanh'", where, act);
    if (json_get(t, "attn_logit_softcapping"))
        return err_set(e, ERR_INPUT, "%s: attn_logit_softcapping: soft-capping of scores is not supported", where);
    return refuse_true(t, "attention_bias", "biases are not supported", where, e)
        && refuse_true(t, "enable_moe_block", "experts are not supported yet", where, e)
        && check_causal(t, where, e);
}

// ---- plain numbers -------------------------------------------------------------------------------------------------

typedef struct {
    const char *key;
    size_t      field;              // offset of an int64_t in hf_config
    int64_t     lo, hi;
    int64_t     gemma3, gemma4, unified;    // Transformers' defaults
} int_row;

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
    { "sliding_window",              FIELD(window),                    1, INT32_MAX,    4096,   512,    512 },
    { "num_kv_shared_layers",        FIELD(n_shared),                  0, LIMIT_LAYERS, 0,      0,      0 },
    { "hidden_size_per_layer_input", FIELD(ple),                       0, 1 << 16,      0,      256,    0 },
    { "vocab_size_per_layer_input",  FIELD(n_vocab_ple),               1, LIMIT_VOCAB,  262144, 262144, 262144 },
};

static bool read_ints(hf_config *c, const cJSON *t, const char *where, err *e)
{
    bool gemma3 = c->arch->family == &family_gemma3;
    for (size_t i = 0; i < sizeof int_rows / sizeof int_rows[0]; i++) {
        const int_row *r = &int_rows[i];
        int64_t def = gemma3 ? r->gemma3 : c->arch->unified ? r->unified : r->gemma4;
        if (!json_i64_or(t, r->key, r->lo, r->hi, def, (int64_t *)((char *)c + r->field), where, e)) return false;
    }
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(t, "sliding_window"))) c->window = 0;
    if (gemma3) c->n_shared = c->ple = 0;       // not keys of that family
    return true;
}

static bool positive(const cJSON *t, const char *key, double def, double *out, const char *where, err *e)
{
    if (!json_f64_or(t, key, def, out, where, e)) return false;
    if (!json_get(t, key) || (*out > 0 && *out < 1e30)) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %g, expected a positive number", where, key, *out);
}

// Multimodal configs may say it at the top or for the text half: the embedding is an output matrix only if neither denies it.
static bool read_tied(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    bool top, text;
    if (!json_bool_or(root, "tie_word_embeddings", true, &top, where, e)) return false;
    if (!json_bool_or(t, "tie_word_embeddings", true, &text, where, e)) return false;
    c->tied = top && text;
    return true;
}

static bool read_scalars(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    double scalar = 1;
    if (!read_ints(c, t, where, e) || !read_tied(c, root, t, where, e)) return false;
    if (!positive(t, "rms_norm_eps", 1e-6, &c->eps, where, e)) return false;
    if (!positive(t, "final_logit_softcapping", 0, &c->softcap, where, e)) return false;
    if (c->arch->family == &family_gemma3 && !positive(t, "query_pre_attn_scalar", 256, &scalar, where, e)) return false;
    c->attn_scale = pow(scalar, -0.5);          // Gemma 4 normalises Q and K instead: 1
    if (c->arch->family == &family_gemma3) return true;
    return json_bool_or(t, "use_double_wide_mlp", false, &c->double_wide, where, e)
        && json_bool_or(t, "attention_k_eq_v", false, &c->k_eq_v, where, e);
}

// ---- layer kinds ---------------------------------------------------------------------------------------------------

static bool read_layer_list(hf_config *c, const cJSON *types, const char *where, err *e)
{
    int64_t i = 0;
    if (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != c->n_layer)
        return err_set(e, ERR_INPUT, "%s: layer_types: expected an array of %lld names", where, (long long)c->n_layer);
    for (const cJSON *it = types->child; it; it = it->next, i++) {
        const char *s = cJSON_GetStringValue(it);
        bool sliding = s && strcmp(s, "sliding_attention") == 0;
        if (!sliding && !(s && strcmp(s, "full_attention") == 0))
            return err_set(e, ERR_INPUT, "%s: layer_types: layer %lld: found '%.40s', expected 'sliding_attention' or 'full_attention'",
                           where, (long long)i, s ? s : "no string");
        c->sliding[i] = sliding;
    }
    return true;
}

static bool read_layer_types(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *types = json_get(t, "layer_types");
    bool    gemma3 = c->arch->family == &family_gemma3;
    int64_t period = 6;
    if (types && !read_layer_list(c, types, where, e)) return false;
    if (!types && gemma3) {     // older Transformers: every period-th layer is a full-attention layer
        if (!json_i64_or(t, "_sliding_window_pattern", 1, LIMIT_LAYERS, 6, &period, where, e)) return false;
        if (!json_i64_or(t, "sliding_window_pattern", 1, LIMIT_LAYERS, period, &period, where, e)) return false;
    }
    for (int64_t i = 0; !types && i < c->n_layer; i++) c->sliding[i] = (i + 1) % period != 0;
    if (!gemma3) c->sliding[c->n_layer - 1] = 0;    // Gemma4TextConfig makes the last layer full whatever the list says
    for (int64_t i = 0; i < c->n_layer; i++) c->kind[hf_layer_kind(c, i)].n_layers++;
    if (c->kind[KIND_SLIDING].n_layers && c->window == 0)
        return err_set(e, ERR_INPUT, "%s: sliding_window: found null, expected a window for %lld sliding layers", where,
                       (long long)c->kind[KIND_SLIDING].n_layers);
    return true;
}

// One layer's overrides in per_layer_config: only head_dim and num_key_value_heads may differ from the global value.
static bool read_override(hf_config *c, const cJSON *t, const cJSON *layer, int64_t i, hf_kind *got, const char *where, err *e)
{
    char at[1200];
    snprintf(at, sizeof at, "%s: per_layer_config: layer %lld", where, (long long)i);
    if (!cJSON_IsObject(layer)) return err_set(e, ERR_INPUT, "%s: expected an object", at);
    for (const cJSON *it = layer->child; it; it = it->next) {
        bool known = strcmp(it->string, "head_dim") == 0 || strcmp(it->string, "num_key_value_heads") == 0;
        bool empty = strcmp(it->string, "skip") == 0 && cJSON_IsArray(it) && !it->child;
        const cJSON *global = cJSON_GetObjectItemCaseSensitive(t, it->string);
        if (!known && !empty && !(global && cJSON_Compare(it, global, true)))
            return err_set(e, ERR_INPUT, "%s: %.80s: a layer of its own in this is not supported", at, it->string);
    }
    if (json_get(layer, "num_key_value_heads")) c->kv_by_layer = true;
    return json_i64_or(layer, "head_dim", 2, 1 << 16, got->head_dim, &got->head_dim, at, e)
        && json_i64_or(layer, "num_key_value_heads", 1, 1 << 12, got->n_head_kv, &got->n_head_kv, at, e);
}

// Keys of per_layer_config are layer numbers, written "4" or, to sort well, "04". layers: [n_layer], NULL where nothing is said.
static bool index_per_layer(const hf_config *c, const cJSON *per, const cJSON **layers, const char *where, err *e)
{
    if (!cJSON_IsObject(per)) return err_set(e, ERR_INPUT, "%s: per_layer_config: expected an object", where);
    for (const cJSON *it = per->child; it; it = it->next) {
        size_t n = strlen(it->string);
        int64_t i = n > 0 && n <= 8 && strspn(it->string, "0123456789") == n ? strtol(it->string, NULL, 10) : -1;
        if (i < 0 || i >= c->n_layer)
            return err_set(e, ERR_INPUT, "%s: per_layer_config: found '%.40s', expected a layer below %lld", where, it->string,
                           (long long)c->n_layer);
        if (layers[i]) return err_set(e, ERR_INPUT, "%s: per_layer_config: layer %lld is given twice", where, (long long)i);
        layers[i] = it;
    }
    return true;
}

// Transformers 5: {"2": {"head_dim": 512}, ...}; a layer that is not named has the global values.
static bool read_per_layer(hf_config *c, const cJSON *t, const cJSON *per, const char *where, err *e)
{
    const hf_kind global = c->kind[KIND_SLIDING];
    const cJSON *layers[LIMIT_LAYERS] = { NULL };
    bool seen[N_KINDS] = { false, false };
    if (!index_per_layer(c, per, layers, where, e)) return false;
    for (int64_t i = 0; i < c->n_layer; i++) {
        hf_kind got = global, *kind = &c->kind[hf_layer_kind(c, i)];
        if (layers[i] && !read_override(c, t, layers[i], i, &got, where, e)) return false;
        if (seen[hf_layer_kind(c, i)] && (got.head_dim != kind->head_dim || got.n_head_kv != kind->n_head_kv))
            return err_set(e, ERR_INPUT, "%s: per_layer_config: layer %lld has %lld KV heads of %lld, an earlier layer of its kind %lld of %lld:"
                           " GGUF cannot say that", where, (long long)i, (long long)got.n_head_kv, (long long)got.head_dim,
                           (long long)kind->n_head_kv, (long long)kind->head_dim);
        kind->head_dim  = got.head_dim;
        kind->n_head_kv = got.n_head_kv;
        seen[hf_layer_kind(c, i)] = true;
    }
    return true;
}

// Older: global_head_dim and num_global_key_value_heads beside head_dim and num_key_value_heads. Transformers reads them only in
// the absence of per_layer_config, and the number of heads only with attention_k_eq_v.
static bool read_global_dims(hf_config *c, const cJSON *t, const char *where, err *e)
{
    hf_kind *full = &c->kind[KIND_FULL];
    int64_t  n_kv;
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
        if (kind->head_dim % 2 != 0)
            return err_set(e, ERR_INPUT, "%s: head_dim: found %lld, expected an even number", where, (long long)kind->head_dim);
        if (kind->n_layers && c->n_head % kind->n_head_kv != 0)
            return err_set(e, ERR_INPUT, "%s: num_attention_heads: found %lld, which %lld KV heads do not divide", where,
                           (long long)c->n_head, (long long)kind->n_head_kv);
    }
    return true;
}

// ---- rotary embedding ----------------------------------------------------------------------------------------------

static bool rope_type_is(const cJSON *rope, const char *want, const char *where, err *e, bool *is)
{
    const char *type;
    if (!json_str_or(rope, "type", "default", &type, where, e)) return false;
    if (!json_str_or(rope, "rope_type", type, &type, where, e)) return false;
    *is = strcmp(type, want) == 0;
    if (*is || strcmp(type, "default") == 0) return true;
    return err_set(e, ERR_INPUT, "%s: rope_type: found '%.40s', expected 'default'%s%s%s", where, type,
                   *want ? " or '" : "", want, *want ? "'" : "");
}

static const char *const kind_names[N_KINDS] = { "sliding_attention", "full_attention" };

// rope: the parameters of one kind, or NULL. special: the one type that this kind knows beside "default".
static bool read_rope(hf_kind *k, const cJSON *rope, const char *special, double def_base, const char *where, err *e)
{
    bool is_special = false;
    if (rope && !cJSON_IsObject(rope)) return err_set(e, ERR_INPUT, "%s: expected an object", where);
    k->rope_factor = k->rope_partial = 1;
    if (!rope_type_is(rope, special, where, e, &is_special)) return false;
    if (!positive(rope, "rope_theta", def_base, &k->rope_base, where, e)) return false;
    if (is_special && strcmp(special, "linear") == 0) {
        if (!json_get(rope, "factor")) return err_set(e, ERR_INPUT, "%s: factor is missing", where);
        if (!positive(rope, "factor", 1, &k->rope_factor, where, e)) return false;
    }
    if (is_special && strcmp(special, "proportional") == 0) {
        if (!positive(rope, "partial_rotary_factor", 1, &k->rope_partial, where, e)) return false;
        if (k->rope_partial > 1)
            return err_set(e, ERR_INPUT, "%s: partial_rotary_factor: found %g, expected at most 1", where, k->rope_partial);
        double factor = 1;
        if (!positive(rope, "factor", 1, &factor, where, e)) return false;
        if (factor != 1) return err_set(e, ERR_INPUT, "%s: factor: found %g, expected 1", where, factor);
    }
    return true;
}

// Gemma 3: rope_parameters by kind (new), or rope_theta, rope_local_base_freq and rope_scaling (old).
static bool read_rope_gemma3(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *params = json_get(t, "rope_parameters"), *scaling = json_get(t, "rope_scaling");
    double base[N_KINDS];
    if (!positive(t, "rope_theta", 1e6, &base[KIND_FULL], where, e)) return false;
    if (!positive(t, "rope_local_base_freq", 1e4, &base[KIND_SLIDING], where, e)) return false;
    if (params && !json_get(params, kind_names[KIND_FULL]) && !json_get(params, kind_names[KIND_SLIDING]))
        return err_set(e, ERR_INPUT, "%s: rope_parameters: expected 'full_attention' and 'sliding_attention'", where);
    for (int k = 0; k < N_KINDS; k++) {
        char at[1200];
        const cJSON *rope = json_get(params, kind_names[k]);
        if (k == KIND_FULL && !rope && scaling) {
            rope = scaling;
            snprintf(at, sizeof at, "%s: rope_scaling", where);
        } else {
            snprintf(at, sizeof at, "%s: rope_parameters: %s", where, kind_names[k]);
        }
        if (k == KIND_FULL && rope != scaling && scaling)
            return err_set(e, ERR_INPUT, "%s: both rope_scaling and rope_parameters are given", where);
        if (!read_rope(&c->kind[k], rope, k == KIND_FULL ? "linear" : "", base[k], at, e)) return false;
    }
    return true;
}

// Gemma 4: rope_parameters by kind, or nothing at all (Gemma4TextConfig's defaults).
static bool read_rope_gemma4(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *params = json_get(t, "rope_parameters");
    if (!params) {
        c->kind[KIND_FULL].rope_base    = 1e6;
        c->kind[KIND_SLIDING].rope_base = 1e4;
        c->kind[KIND_FULL].rope_partial = 0.25;
        c->kind[KIND_SLIDING].rope_partial = c->kind[KIND_FULL].rope_factor = c->kind[KIND_SLIDING].rope_factor = 1;
        return true;
    }
    for (int k = 0; k < N_KINDS; k++) {
        char at[1200];
        const cJSON *rope = json_get(params, kind_names[k]);
        snprintf(at, sizeof at, "%s: rope_parameters: %s", where, kind_names[k]);
        if (c->kind[k].n_layers && !json_get(rope, "rope_theta")) return err_set(e, ERR_INPUT, "%s: rope_theta is missing", at);
        if (!read_rope(&c->kind[k], rope, k == KIND_FULL ? "proportional" : "", k == KIND_FULL ? 1e6 : 1e4, at, e)) return false;
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
            return err_set(e, ERR_INPUT, "%s: num_kv_shared_layers: found %lld, which leaves no %s layer to share from", where,
                           (long long)c->n_shared, kind_names[k]);
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

bool hf_config_read(hf_config *c, const cJSON *root, const char *where, err *e)
{
    memset(c, 0, sizeof *c);
    if (!cJSON_IsObject(root)) return err_set(e, ERR_INPUT, "%s: expected an object", where);
    if (!find_arch(c, root, where, e)) return false;
    const cJSON *t = hf_text_config(root);
    if (!check_supported(c, root, t, where, e)) return false;
    if (!read_scalars(c, root, t, where, e) || !read_layer_types(c, t, where, e) || !read_kinds(c, t, where, e)) return false;
    bool gemma3 = c->arch->family == &family_gemma3;
    if (!(gemma3 ? read_rope_gemma3(c, t, where, e) : read_rope_gemma4(c, t, where, e))) return false;
    if (!check_sharing(c, where, e)) return false;
    spread_by_layer(c);
    return true;
}
