// keys: see keys.h.
#include "keys.h"

#include "../formats/checked.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEMMAS "gemma3 gemma4"
#define EXPERTS "qwen3moe qwen35moe"
#define ANY_CONTEXT ((double)((int64_t)1 << 40))
#define ANY_FLOAT   3.0e38

// Rows of an architecture stand before those of all others. A divisor or a base so small that quotients leave the
// range of F32 is refused: no model is near.
static const arch_key KEYS[] = {
    { NULL,     "block_count",                      1, LIMIT_LAYERS, false, ABSENT_REFUSED, 0, false },
    { NULL,     "context_length",                   1, ANY_CONTEXT,  false, ABSENT_REFUSED, 0, false },
    { NULL,     "embedding_length",                 1, 1 << 20,      false, ABSENT_REFUSED, 0, false },
    { EXPERTS,  "feed_forward_length",              0, 1 << 24,      false, ABSENT_VALUE,   0, false },   // of no layer
    { NULL,     "feed_forward_length",              1, 1 << 24,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "attention.head_count",             1, 1 << 12,      false, ABSENT_REFUSED, 0, false },
    { GEMMAS,   "attention.head_count_kv",          1, 1 << 12,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "attention.head_count_kv",          1, 1 << 12,      false, ABSENT_FORMULA, 0, true },  // head_count
    { GEMMAS,   "attention.key_length",             2, 4096,         false, ABSENT_REFUSED, 0, false },
    // an equal share
    { NULL,     "attention.key_length",             2, 4096,         false, ABSENT_FORMULA, 0, false },
    { NULL,     "attention.key_length_swa",         2, 4096,         false, ABSENT_FORMULA, 0, false }, // key_length
    { NULL,     "attention.sliding_window",         0, ANY_CONTEXT,  false, ABSENT_VALUE,   0, false },
    // every sixth is full
    { "gemma3", "attention.sliding_window_pattern", 1, LIMIT_LAYERS, false, ABSENT_VALUE,   6, true },
    { "gemma4", "attention.sliding_window_pattern", 1, LIMIT_LAYERS, false, ABSENT_REFUSED, 0, false },
    { NULL,     "attention.sliding_window_pattern", 1, LIMIT_LAYERS, false, ABSENT_VALUE,   1, false },
    { NULL,     "attention.shared_kv_layers",       0, LIMIT_LAYERS, false, ABSENT_VALUE,   0, false },
    { NULL,     "attention.layer_norm_rms_epsilon", 0, ANY_FLOAT,    true,  ABSENT_REFUSED, 0, false },
    { "gemma4", "attention.scale",                  0, ANY_FLOAT,    true,  ABSENT_VALUE,   1, true },
    // of the head size
    { NULL,     "attention.scale",                  0, ANY_FLOAT,    true,  ABSENT_FORMULA, 0, true },
    { "gemma4", "final_logit_softcapping",          0, ANY_FLOAT,    false, ABSENT_VALUE,   30, true },
    { NULL,     "final_logit_softcapping",          0, ANY_FLOAT,    false, ABSENT_VALUE,   0, false },
    { NULL,     "rope.freq_base",                   1e-30, ANY_FLOAT, false, ABSENT_VALUE,  10000, true },
    { NULL,     "rope.freq_base_swa",               1e-30, ANY_FLOAT, false, ABSENT_VALUE,  10000, false },
    { NULL,     "rope.scaling.factor",              0.001, ANY_FLOAT, false, ABSENT_VALUE,  1, false },
    { NULL,     "rope.dimension_count",             1, 4096,         false, ABSENT_FORMULA, 0, false }, // key_length
    { NULL,     "embedding_length_per_layer_input", 0, 1 << 20,      false, ABSENT_VALUE,   0, false },
    { EXPERTS,  "expert_count",                     1, 1 << 16,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "expert_count",                     0, 1 << 16,      false, ABSENT_VALUE,   0, false },
    { NULL,     "expert_used_count",                1, LIMIT_EXPERTS_USED,           false, ABSENT_REFUSED, 0, false },
    { NULL,     "expert_feed_forward_length",       1, 1 << 22,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "expert_shared_feed_forward_length", 1, 1 << 24,     false, ABSENT_REFUSED, 0, false },
    { NULL,     "nextn_predict_layers",             0, LIMIT_LAYERS, false, ABSENT_VALUE,   0, false },
    { NULL,     "full_attention_interval",          1, LIMIT_LAYERS, false, ABSENT_VALUE,   4, true },
    // by the interval
    { NULL,     "attention.recurrent_layers",       0, 1,            false, ABSENT_FORMULA, 0, false },
    { NULL,     "ssm.conv_kernel",                  2, LIMIT_TAPS,           false, ABSENT_REFUSED, 0, false },
    { NULL,     "ssm.state_size",                   1, 4096,         false, ABSENT_REFUSED, 0, false },
    { NULL,     "ssm.group_count",                  1, 1 << 12,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "ssm.time_step_rank",               1, 1 << 12,      false, ABSENT_REFUSED, 0, false },
    { NULL,     "ssm.inner_size",                   1, 1 << 24,      false, ABSENT_REFUSED, 0, false },
};

// Is arch a word of archs?
static bool is_among(const char *archs, const char *arch)
{
    const size_t n = strlen(arch);
    for (const char *at = archs; (at = strstr(at, arch)) != NULL; at += n)
        if ((at == archs || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ')) return true;
    return false;
}

const arch_key *arch_key_find(const char *arch, const char *name)
{
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        if (strcmp(KEYS[i].name, name) != 0) continue;
        if (!KEYS[i].archs || is_among(KEYS[i].archs, arch)) return &KEYS[i];
    }
    return NULL;
}

bool key_default(const char *arch, const char *name, double *value)
{
    const arch_key *k = arch_key_find(arch, name);
    if (!k || k->absent != ABSENT_VALUE) return false;
    *value = k->value;
    return true;
}

// ---- reading -------------------------------------------------------------------------------------------------------

const char *arch_key_of(arch_reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

bool arch_has(arch_reader *r, const char *name) { return gguf_find_kv(r->g, arch_key_of(r, name)) != NULL; }

bool arch_bad(arch_reader *r, const char *name, const char *what)
{
    return err_set(r->e, ERR_INPUT, "%s: key '%s': %s", gguf_path(r->g), arch_key_of(r, name), what);
}

static const arch_key *row_of(const arch_reader *r, const char *name)
{
    const arch_key *k = arch_key_find(r->arch, name);
    assert(k);
    return k;
}

static void assume(arch_reader *r, const arch_key *k, double value)
{
    if (!k->told || !r->assumed || r->assumed->n == MAX_ASSUMED) return;
    r->assumed->k[r->assumed->n++] = (assumed_key){ k->name, value };
}

// What stands for an absent key; false: nothing does. formula NULL: the caller has none.
static bool stand_in(arch_reader *r, const arch_key *k, const double *formula, double *value)
{
    if (k->absent == ABSENT_REFUSED) return arch_bad(r, k->name, "missing");
    assert(k->absent == ABSENT_VALUE || formula);
    *value = k->absent == ABSENT_VALUE ? k->value : *formula;
    assume(r, k, *value);
    return true;
}

static bool read_int(arch_reader *r, const char *name, const double *formula, int64_t *out)
{
    const arch_key *k = row_of(r, name);
    double          value = 0;
    if (!arch_has(r, name)) {
        if (!stand_in(r, k, formula, &value)) return false;
        *out = (int64_t)value;
        return true;
    }
    if (!gguf_get_i64(r->g, r->key, out, r->e)) return false;
    if (*out >= (int64_t)k->lo && *out <= (int64_t)k->hi) return true;
    return err_set(r->e, ERR_INPUT, "%s: key '%s': found %lld, expected %lld to %lld", gguf_path(r->g), r->key,
                   (long long)*out, (long long)k->lo, (long long)k->hi);
}

bool arch_int(arch_reader *r, const char *name, int64_t *out) { return read_int(r, name, NULL, out); }

bool arch_int_or(arch_reader *r, const char *name, int64_t formula, int64_t *out)
{
    const double value = (double)formula;
    return read_int(r, name, &value, out);
}

static bool float_in_range(arch_reader *r, const arch_key *k, float v)
{
    if (!isfinite(v) || (k->above ? !(v > (float)k->lo) : k->lo == 0 && !(v >= 0.0f)))
        return arch_bad(r, k->name,
                        k->above || k->lo > 0 ? "expected a number above 0" : "expected a number of at least 0");
    if (k->lo > 0 && !(v > 0.0f)) return arch_bad(r, k->name, "expected a number above 0");
    if (v >= (float)k->lo) return true;
    return err_set(r->e, ERR_INPUT, "%s: key '%s': found %g, expected at least %g", gguf_path(r->g),
                   arch_key_of(r, k->name), (double)v, k->lo);
}

static bool read_float(arch_reader *r, const char *name, const double *formula, float *out)
{
    const arch_key *k = row_of(r, name);
    double          value = 0;
    if (arch_has(r, name)) return gguf_get_f32_or(r->g, r->key, 0, out, r->e) && float_in_range(r, k, *out);
    if (!stand_in(r, k, formula, &value)) return false;
    *out = (float)value;
    return true;
}

bool arch_float(arch_reader *r, const char *name, float *out) { return read_float(r, name, NULL, out); }

bool arch_float_or(arch_reader *r, const char *name, float formula, float *out)
{
    const double value = (double)formula;
    return read_float(r, name, &value, out);
}

bool arch_layers(arch_reader *r, const char *name, int n_layer, int64_t formula, int64_t *out)
{
    const arch_key *k = row_of(r, name);
    const gguf_kv  *kv = gguf_find_kv(r->g, arch_key_of(r, name));
    const double    value = (double)formula;
    if (!kv || kv->type != GGUF_ARRAY) {
        int64_t v;
        if (!read_int(r, name, &value, &v)) return false;
        for (int i = 0; i < n_layer; i++) out[i] = v;
        return true;
    }
    if (kv->n != n_layer) return arch_bad(r, name, "the array does not have one value for each layer");
    for (int i = 0; i < n_layer; i++)
        if (!gguf_arr_i64(kv, i, &out[i]) || out[i] < (int64_t)k->lo || out[i] > (int64_t)k->hi)
            return arch_bad(r, name, "a value is out of range");
    return true;
}

// ---- what the choice of types looks at -----------------------------------------------------------------------------

// A number, or the first of an array by layer. fallback -1: the key must be there.
static bool read_fact(arch_reader *r, const char *name, int64_t fallback, int64_t *out)
{
    const gguf_kv *kv = gguf_find_kv(r->g, arch_key_of(r, name));
    *out = fallback;
    if (!kv && fallback >= 0) return true;
    if (!kv || kv->type != GGUF_ARRAY) return gguf_get_i64(r->g, r->key, out, r->e);
    return gguf_arr_i64(kv, 0, out) || arch_bad(r, name, "found no integers");
}

bool arch_facts_read(arch_facts *f, const gguf *g, err *e)
{
    char       *arch;
    int64_t     shared, mtp;
    arch_reader r = { .g = g, .e = e };
    if (!gguf_get_cstr(g, "general.architecture", &arch, e)) return false;
    r.arch = arch;
    bool ok = read_fact(&r, "block_count", -1, &f->n_layer) && read_fact(&r, "attention.head_count", -1, &f->n_head);
    ok = ok && read_fact(&r, "attention.head_count_kv", f->n_head, &f->n_head_kv);
    ok = ok && read_fact(&r, "expert_count", 0, &f->n_expert)
        && read_fact(&r, "attention.shared_kv_layers", 0, &shared) && read_fact(&r, "nextn_predict_layers", 0, &mtp);
    if (ok && (f->n_layer < 0 || f->n_layer > LIMIT_LAYERS || shared < 0 || shared > f->n_layer))
        ok = err_set(e, ERR_INPUT, "%s: keys '%s.block_count' and '%s.attention.shared_kv_layers': found %lld and "
                     "%lld, expected at most %d layers, and no more that share", gguf_path(g), arch, arch,
                     (long long)f->n_layer, (long long)shared, LIMIT_LAYERS);
    if (ok && (mtp < 0 || mtp > f->n_layer))
        ok = err_set(e, ERR_INPUT, "%s: key '%s.nextn_predict_layers': found %lld, expected at most the %lld layers "
                     "that there are", gguf_path(g), arch, (long long)mtp, (long long)f->n_layer);
    f->first_shared = ok ? f->n_layer - shared : 0;
    f->first_mtp    = ok ? f->n_layer - mtp : 0;
    free(arch);
    return ok;
}
