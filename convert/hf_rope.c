// Rotary embeddings of a config.json: see hf_rope.h.
#include "hf_rope.h"

#include "../formats/json.h"
#include "config_read.h"
#include "family.h"

#include <stdio.h>
#include <string.h>

const char *const hf_kind_names[N_KINDS] = { "sliding_attention", "full_attention" };

// ---- the parameters of one kind ------------------------------------------------------------------------------------

typedef struct {            // Transformers' dictionary for one kind of layer, without building it
    const cJSON *over;      // Gemma 3's rope_scaling, which replaces what `own` says; or NULL
    const cJSON *own;       // rope_parameters' object for the kind; NULL: {"rope_type": "default"}
    const cJSON *theta;     // the base at the top of the config, for a dictionary without one; or NULL
    double       def_theta; // the base if that is NULL too; 0: there is none
    double       original;  // of families with rope_type 'llama3': the context it was trained for; 0: of the others
    bool         original_first;    // and it stands at the top of the config, so that the dictionary's does not count
    const char  *where;     // of the object, for messages
} rope_dict;

static const cJSON *member(const cJSON *obj, const char *key) { return cJSON_GetObjectItemCaseSensitive(obj, key); }

// The member, JSON null too (Transformers then computes with None, and fails); NULL if there is none.
static const cJSON *rope_member(const rope_dict *d, const char *key)
{
    const cJSON *v = member(d->over, key);
    return v ? v : member(d->own, key);
}

static bool read_number(const rope_dict *d, const char *key, double lo, double hi, double *out, err *e)
{
    const cJSON *v = rope_member(d, key);
    if (!cJSON_IsNumber(v))
        return err_set(e, ERR_INPUT, "%s: %s: found %s, expected a number", d->where, key, json_kind(v));
    if (v->valuedouble >= lo && v->valuedouble <= hi) {
        *out = v->valuedouble;
        return true;
    }
    return err_set(e, ERR_INPUT, "%s: %s: found %g, expected %s", d->where, key, v->valuedouble,
                   hi == 1 ? "a number from 0 to 1" : "a positive number");
}

static const double TINY = 1e-30, HUGE_NUMBER = 1e30;

static bool read_theta(hf_kind *k, const rope_dict *d, err *e)
{
    if (rope_member(d, "rope_theta")) return read_number(d, "rope_theta", TINY, HUGE_NUMBER, &k->rope_base, e);
    if (d->theta) {
        const cJSON *v = d->theta;
        k->rope_base = cJSON_IsNumber(v) ? v->valuedouble : 0;
        if (k->rope_base >= TINY && k->rope_base <= HUGE_NUMBER) return true;
        if (!cJSON_IsNumber(v))
            return err_set(e, ERR_INPUT, "%s: %s: found %s, expected a number", d->where, v->string, json_kind(v));
        return err_set(e, ERR_INPUT, "%s: %s: found %g, expected a positive number", d->where, v->string,
                       v->valuedouble);
    }
    k->rope_base = d->def_theta;
    return d->def_theta > 0 || err_set(e, ERR_INPUT, "%s: rope_theta is missing", d->where);
}

// "type" is the older name. Transformers puts its own "rope_type": "default" into a dictionary that it makes itself, so
// that an old-style rope_scaling without rope_type scales nothing there.
static bool read_type(const rope_dict *d, const char **type, err *e)
{
    const cJSON *v = rope_member(d, "rope_type");
    *type = "default";
    if (!v && !d->own) return true;
    if (!v) v = rope_member(d, "type");
    if (!v) return true;
    *type = cJSON_GetStringValue(v);
    if (*type) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %s, expected a string", d->where, v->string, json_kind(v));
}

// _compute_linear_scaling_rope_parameters: every frequency divided by the factor.
static bool read_linear(hf_kind *k, const rope_dict *d, err *e)
{
    double part = 1;
    if (!rope_member(d, "factor")) return err_set(e, ERR_INPUT, "%s: factor is missing", d->where);
    if (!read_number(d, "factor", TINY, HUGE_NUMBER, &k->rope_factor, e)) return false;
    if (rope_member(d, "partial_rotary_factor")
        && !read_number(d, "partial_rotary_factor", 0, HUGE_NUMBER, &part, e)) return false;
    if (part == 1) return true;
    return err_set(e, ERR_INPUT, "%s: partial_rotary_factor: found %g, expected 1 with rope_type 'linear'", d->where,
                   part);
}

// _compute_proportional_rope_parameters: the first part of the pairs, each divided by the factor; the rest stands
// still.
static bool read_proportional(hf_kind *k, const rope_dict *d, err *e)
{
    if (rope_member(d, "partial_rotary_factor")
        && !read_number(d, "partial_rotary_factor", 0, 1, &k->rope_partial, e)) return false;
    return !rope_member(d, "factor") || read_number(d, "factor", TINY, HUGE_NUMBER, &k->rope_factor, e);
}

// _compute_llama3_parameters: slow frequencies divided by the factor, fast ones not, those between in part.
static bool read_llama3(hf_kind *k, const rope_dict *d, err *e)
{
    static const char *const needed[] = { "factor", "low_freq_factor", "high_freq_factor" };
    double *const out[] = { &k->rope_factor, &k->rope_low, &k->rope_high };
    for (int i = 0; i < 3; i++) {
        if (!rope_member(d, needed[i])) return err_set(e, ERR_INPUT, "%s: %s is missing", d->where, needed[i]);
        if (!read_number(d, needed[i], TINY, HUGE_NUMBER, out[i], e)) return false;
    }
    k->rope_llama3 = true;
    k->rope_original = d->original;
    const char *key = "original_max_position_embeddings";
    if (!d->original_first && rope_member(d, key) && !read_number(d, key, 1, HUGE_NUMBER, &k->rope_original, e))
        return false;
    if (k->rope_low < k->rope_high) return true;
    return err_set(e, ERR_INPUT, "%s: low_freq_factor: found %g, expected less than high_freq_factor, which is %g",
                   d->where, k->rope_low, k->rope_high);
}

static bool read_rope(hf_kind *k, const rope_dict *d, err *e)
{
    const char *type;
    k->rope_factor = k->rope_partial = 1;
    if (!read_type(d, &type, e) || !read_theta(k, d, e)) return false;
    k->rope_unscaled = strcmp(type, "default") == 0;
    if (k->rope_unscaled) return true;
    if (strcmp(type, "linear") == 0) return read_linear(k, d, e);
    const char *third = d->original > 0 ? "llama3" : "proportional";
    if (strcmp(type, third) == 0) return d->original > 0 ? read_llama3(k, d, e) : read_proportional(k, d, e);
    return err_set(e, ERR_INPUT, "%s: rope_type: found '%.40s', expected 'default', 'linear' or '%s'", d->where, type,
                   third);
}

// ---- what GGUF can say ---------------------------------------------------------------------------------------------

// Gemma 4's full-attention layers have a factor for each frequency (rope_freqs.weight), Gemma 3's one for all, and
// sliding layers none.
static bool can_be_said(const hf_config *c, layer_kind kind, const char *where, err *e)
{
    const hf_kind *k = &c->kind[kind];
    if (!hf_is_gemma(c)) return true;       // one rotation for all layers
    bool part_ok = kind == KIND_FULL && c->arch->family->rope_freqs;
    if (k->rope_partial != 1 && !part_ok)
        return err_set(e, ERR_INPUT, "%s: partial_rotary_factor: found %g, expected 1: GGUF cannot say it of the %s "
                       "layers of %s", where, k->rope_partial, hf_kind_names[kind], c->arch->family->arch);
    if (k->rope_factor != 1 && kind == KIND_SLIDING)
        return err_set(e, ERR_INPUT, "%s: factor: found %g, expected 1: GGUF cannot say it of the %s layers of %s",
                       where, k->rope_factor,
                       hf_kind_names[kind], c->arch->family->arch);
    return true;
}

static bool read_kind(hf_config *c, layer_kind kind, const rope_dict *d, err *e)
{
    return read_rope(&c->kind[kind], d, e) && can_be_said(c, kind, d->where, e);
}

// ---- where a config says it ----------------------------------------------------------------------------------------

static bool object_or_null(const cJSON *v, const char *key, const char *where, err *e)
{
    if (!v || cJSON_IsNull(v) || cJSON_IsObject(v)) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %s, expected an object", where, key, json_kind(v));
}

// rope_parameters by kind (new), or rope_theta, rope_local_base_freq and rope_scaling (old). rope_scaling speaks of the
// full-attention layers, and where both are given it is merged into their parameters.
static bool read_gemma3(hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const char *const bases[N_KINDS] = { "rope_local_base_freq", "rope_theta" };
    static const double      defaults[N_KINDS] = { 1e4, 1e6 };
    const cJSON *params = json_get(t, "rope_parameters"), *scaling = json_get(t, "rope_scaling");
    if (!object_or_null(params, "rope_parameters", where, e)) return false;
    if (!object_or_null(scaling, "rope_scaling", where, e)) return false;
    if (params && scaling && !json_get(params, hf_kind_names[KIND_FULL]))
        return err_set(e, ERR_INPUT, "%s: rope_scaling: found beside rope_parameters without 'full_attention', which "
                       "it would change", where);
    for (int k = 0; k < N_KINDS; k++) {
        char at[1200];
        c->kind[k].rope_base = defaults[k];
        c->kind[k].rope_factor = c->kind[k].rope_partial = 1;
        if (!c->kind[k].n_layers) continue;     // what is said of them is not read
        rope_dict d = {
            .over = k == KIND_FULL ? scaling : NULL, .own = json_get(params, hf_kind_names[k]),
            .theta = member(t, bases[k]), .def_theta = defaults[k], .where = at,
        };
        snprintf(at, sizeof at, d.over ? "%s: rope_scaling" : d.own ? "%s: rope_parameters: %s" : "%s", where,
                 hf_kind_names[k]);
        if (d.own && !cJSON_IsObject(d.own)) return err_set(e, ERR_INPUT, "%s: expected an object", at);
        if (!read_kind(c, (layer_kind)k, &d, e)) return false;
    }
    return true;
}

// Gemma4TextConfig's own parameters, where a config gives none.
static void default_gemma4(hf_config *c)
{
    static const hf_kind full = { .rope_base = 1e6, .rope_factor = 1, .rope_partial = 0.25 };
    static const hf_kind sliding = { .rope_base = 1e4, .rope_factor = 1, .rope_partial = 1, .rope_unscaled = true };
    for (int k = 0; k < N_KINDS; k++) {
        const hf_kind *from = k == KIND_FULL ? &full : &sliding;
        c->kind[k].rope_base     = from->rope_base;
        c->kind[k].rope_factor   = from->rope_factor;
        c->kind[k].rope_partial  = from->rope_partial;
        c->kind[k].rope_unscaled = from->rope_unscaled;
    }
}

const cJSON *hf_rope_by_kind(const hf_config *c, const cJSON *t)
{
    const cJSON *scaling = c->arch->family != &family_gemma3 ? json_get(t, "rope_scaling") : NULL;
    const bool   is_empty = !hf_is_gemma(c) && cJSON_IsObject(scaling) && !scaling->child;
    return scaling && !is_empty ? scaling : json_get(t, "rope_parameters");
}

// By kind or not at all. rope_scaling is another name of rope_parameters, and takes its place: a flat one, as other
// families have it, says nothing about either kind, and Transformers fails.
static bool read_gemma4(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *params = hf_rope_by_kind(c, t);
    if (!params) {
        default_gemma4(c);
        return true;
    }
    if (!object_or_null(params, params->string, where, e)) return false;
    default_gemma4(c);
    for (int k = 0; k < N_KINDS; k++) {
        char at[1200];
        if (!c->kind[k].n_layers) continue;
        rope_dict d = { .own = json_get(params, hf_kind_names[k]), .where = at };
        snprintf(at, sizeof at, "%s: %s: %s", where, params->string, hf_kind_names[k]);
        if (!d.own)
            return err_set(e, ERR_INPUT, "%s: found nothing, expected the parameters of %lld layers", at,
                           (long long)c->kind[k].n_layers);
        if (!cJSON_IsObject(d.own)) return err_set(e, ERR_INPUT, "%s: expected an object", at);
        if (!read_kind(c, (layer_kind)k, &d, e)) return false;
    }
    return true;
}

// partial_rotary_factor, at the top or else in the dictionary: the whole head rotates.
static bool whole_head(const rope_dict *d, const cJSON *t, const char *where, err *e)
{
    const char *key = "partial_rotary_factor";
    double      value = 1;
    if (json_get(t, key)) {
        if (!json_f64_or(t, key, 1, &value, where, e)) return false;
    } else if (member(d->own, key)) {
        if (!read_number(d, key, 0, 1, &value, e)) return false;
    }
    return value == 1 || err_set(e, ERR_INPUT, "%s: %s: found %g, expected 1", where, key, value);
}

enum { AT_BYTES = 1200 };

// Of a model with one dictionary: is it one, and where messages say that it is. at: the text, [AT_BYTES].
static bool name_dict(rope_dict *d, char *at, const cJSON *t, err *e)
{
    const char *where = d->where;
    if (!object_or_null(json_get(t, "rope_parameters"), "rope_parameters", where, e)) return false;
    if (!object_or_null(json_get(t, "rope_scaling"), "rope_scaling", where, e)) return false;
    if (!d->own) return true;
    snprintf(at, AT_BYTES, "%s: %s", where, d->own->string);
    d->where = at;
    return true;
}

// One dictionary for all layers. rope_scaling is the older name of rope_parameters, and takes its place unless it is
// empty (RotaryEmbeddingConfigMixin.convert_rope_params_to_dict).
static bool read_llama(hf_config *c, const cJSON *t, const char *where, err *e)
{
    static const char *const whole = "original_max_position_embeddings";
    const cJSON *params = hf_rope_by_kind(c, t);
    rope_dict    d = { .own = params, .theta = member(t, "rope_theta"), .def_theta = 1e4, .where = where,
                       .original = (double)c->n_ctx };
    char         at[AT_BYTES];
    if (!name_dict(&d, at, t, e)) return false;
    for (int k = 0; k < N_KINDS; k++)
        if (member(params, hf_kind_names[k]))
            return err_set(e, ERR_INPUT, "%s: %s: found the parameters of one kind of layers, expected those of all",
                           d.where, hf_kind_names[k]);
    if (!whole_head(&d, t, where, e)) return false;
    d.original_first = json_get(t, whole) != NULL;
    if (!config_not_null(t, whole, where, e)) return false;     // Transformers computes with None, and fails
    if (d.original_first && !json_f64_or(t, whole, 1, &d.original, where, e)) return false;
    if (!(d.original >= 1))
        return err_set(e, ERR_INPUT, "%s: %s: found %g, expected a positive number", where, whole, d.original);
    if (!read_kind(c, KIND_FULL, &d, e)) return false;
    const int64_t n_layers = c->kind[KIND_SLIDING].n_layers;
    c->kind[KIND_SLIDING] = c->kind[KIND_FULL];
    c->kind[KIND_SLIDING].n_layers = n_layers;
    return true;
}

// mrope_section: pairs for time, height and width, which for text turn alike. Readers demand the key.
static bool read_sections(hf_config *c, const rope_dict *d, err *e)
{
    static const int32_t usual[4] = { 11, 11, 10, 0 };
    const cJSON *list = rope_member(d, "mrope_section");
    int          n = 0;
    memcpy(c->rope_sections, usual, sizeof usual);
    if (!list) return true;
    memset(c->rope_sections, 0, sizeof c->rope_sections);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 3)
        return err_set(e, ERR_INPUT, "%s: mrope_section: expected an array of three numbers", d->where);
    for (const cJSON *it = list->child; it; it = it->next, n++) {
        int64_t v;
        if (!json_as_i64(it, 0, 1 << 12, &v))
            return err_set(e, ERR_INPUT, "%s: mrope_section: found %s, expected a number from 0 to 4096", d->where,
                           json_kind(it));
        c->rope_sections[n] = (int32_t)v;
    }
    return true;
}

// The first part of each head rotates, a quarter where nothing is said (Qwen3_5TextConfig.__post_init__).
static bool read_part(hf_config *c, const rope_dict *d, const cJSON *t, const char *where, err *e)
{
    const char *key = "partial_rotary_factor";
    const int64_t head_dim = c->kind[KIND_FULL].head_dim;
    double part = 0.25;
    if (rope_member(d, key)) {
        if (!read_number(d, key, 0, 1, &part, e)) return false;
    } else if (!config_not_null(t, key, where, e) || !json_f64_or(t, key, part, &part, where, e)) {
        return false;
    }
    c->rope_dim = part >= 0 && part <= 1 ? (int64_t)((double)head_dim * part) : 0;
    if (c->rope_dim >= 2 && c->rope_dim % 2 == 0) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %g, expected an even part of a head of %lld", d->where, key, part,
                   (long long)head_dim);
}

// One dictionary for the layers that have attention.
static bool read_qwen35(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *params = hf_rope_by_kind(c, t);
    hf_kind     *k = &c->kind[KIND_FULL];
    rope_dict    d = { .own = params, .theta = member(t, "rope_theta"), .def_theta = 1e4, .where = where };
    const char  *type;
    char         at[AT_BYTES];
    if (!name_dict(&d, at, t, e)) return false;
    k->rope_factor = k->rope_partial = 1;
    k->rope_unscaled = true;
    if (!read_type(&d, &type, e) || !read_theta(k, &d, e)) return false;
    if (strcmp(type, "default") != 0)
        return err_set(e, ERR_INPUT, "%s: rope_type: found '%.40s', expected 'default'", d.where, type);
    return read_part(c, &d, t, where, e) && read_sections(c, &d, e);
}

bool hf_rope_read(hf_config *c, const cJSON *t, const char *where, err *e)
{
    if (hf_is_qwen35(c)) return read_qwen35(c, t, where, e);
    if (!hf_is_gemma(c)) return read_llama(c, t, where, e);
    return c->arch->family == &family_gemma3 ? read_gemma3(c, t, where, e) : read_gemma4(c, t, where, e);
}
