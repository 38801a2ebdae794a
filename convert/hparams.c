#include "hparams.h"
#include "../arch/keys.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- planning ------------------------------------------------------------------------------------------------------

static hparam *append(hparam_list *l, const char *name, hparam_type type)
{
    assert(l->n < HPARAMS_MAX);
    hparam *h = &l->hp[l->n++];
    memset(h, 0, sizeof *h);
    snprintf(h->key, sizeof h->key, "%s.%s", l->arch, name);
    h->type  = type;
    h->write = true;
    return h;
}

hparam *hp_u32(hparam_list *l, const char *name, int64_t value)
{
    hparam *h = append(l, name, HP_U32);
    h->value  = (double)value;
    return h;
}

hparam *hp_f32(hparam_list *l, const char *name, double value)
{
    hparam *h = append(l, name, HP_F32);
    h->value  = value;
    return h;
}

hparam *hp_str(hparam_list *l, const char *name, const char *text)
{
    hparam *h = append(l, name, HP_STR);
    h->text   = text;
    return h;
}

hparam *hp_i32s(hparam_list *l, const char *name, const int32_t *v, int64_t n)
{
    hparam *h = append(l, name, HP_I32S);
    h->v = v;
    h->n = n;
    return h;
}

hparam *hp_bools(hparam_list *l, const char *name, const int32_t *v, int64_t n)
{
    hparam *h = hp_i32s(l, name, v, n);
    h->type = HP_BOOLS;
    return h;
}

hparam *hp_arch_default(const hparam_list *l, hparam *h)
{
    bool known = key_default(l->arch, h->key + strlen(l->arch) + 1, &h->def);
    assert(known);
    h->def_kind = !known ? DEF_NONE : h->type == HP_BOOLS ? DEF_PERIOD : DEF_VALUE;
    h->n_period = h->n;
    return h;
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool write_bools(const hparam *h, gguf_plan *p, err *e)
{
    uint8_t b[LIMIT_LAYERS];
    assert(h->n <= LIMIT_LAYERS);
    for (int64_t i = 0; i < h->n; i++) b[i] = h->v[i] != 0;
    return gguf_plan_arr(p, h->key, GGUF_BOOL, b, h->n, e);
}

bool hparams_write(const hparam_list *l, gguf_plan *p, err *e)
{
    for (int i = 0; i < l->n; i++) {
        const hparam *h = &l->hp[i];
        bool ok = true;
        if (!h->write) continue;
        switch (h->type) {
        case HP_U32:   ok = gguf_plan_u32(p, h->key, (uint32_t)h->value, e); break;
        case HP_F32:   ok = gguf_plan_f32(p, h->key, (float)h->value, e); break;
        case HP_STR:   ok = gguf_plan_str(p, h->key, h->text, e); break;
        case HP_I32S:  ok = gguf_plan_arr(p, h->key, GGUF_I32, h->v, h->n, e); break;
        case HP_BOOLS: ok = write_bools(h, p, e); break;
        }
        if (!ok) return false;
    }
    return true;
}

// ---- comparing -----------------------------------------------------------------------------------------------------

static double expected_at(const hparam *h, int64_t i)
{
    return h->v ? (double)h->v[i] : h->type == HP_F32 ? (double)(float)h->value : h->value;
}

static double default_at(const hparam *h, int64_t i)
{
    if (h->def_kind == DEF_PERIOD) return i < h->n_period && i % (int64_t)h->def < (int64_t)h->def - 1;
    return h->def;
}

// Others may have rounded once more on the way to F32 (1/sqrt(d) in float, say); a wrong value is far further away.
static bool same_number(double found, double expected)
{
    return found == expected || fabs(found - expected) <= 1e-6 * fabs(expected);
}

// Element i of a value as a number; a scalar stands for every element, and a scalar layer pattern is a period.
static bool found_at(const hparam *h, const gguf_kv *kv, int64_t i, double *out)
{
    int64_t n;
    float   f;
    int64_t at = kv->type == GGUF_ARRAY ? i : 0;
    if (at >= kv->n) return false;
    if (gguf_arr_i64(kv, at, &n)) *out = (double)n;
    else if (gguf_arr_f32(kv, at, &f)) *out = f;
    else return false;
    if (h->type == HP_BOOLS && kv->type != GGUF_ARRAY && kv->type != GGUF_BOOL)
        *out = n <= 0 || i % n < n - 1;
    return true;
}

static bool agree_str(const hparam *h, const gguf *g, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, h->key);
    gguf_str s = { DEFAULT_ROPE_SCALING_TYPE, sizeof DEFAULT_ROPE_SCALING_TYPE - 1 };     // of the only string key
    if (kv && !gguf_get_str(g, h->key, &s, e)) return false;
    if (s.n == (int64_t)strlen(h->text) && memcmp(s.s, h->text, (size_t)s.n) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: %s: found '%.*s', expected '%s'", gguf_path(g), h->key,
                   (int)(s.n < 80 ? s.n : 80), s.s, h->text);
}

static bool disagree(const hparam *h, const gguf *g, const char *state, int64_t i, double found, double expected,
                     err *e)
{
    char layer[32] = "";
    if (h->v) snprintf(layer, sizeof layer, " (layer %lld)", (long long)i);
    return err_set(e, ERR_VERDICT, "%s: %s%s: %s %.9g, expected %.9g", gguf_path(g), h->key, layer, state, found,
                   expected);
}

static bool agree_absent(const hparam *h, const gguf *g, int64_t n, err *e)
{
    for (int64_t i = 0; i < n; i++) {
        double want = expected_at(h, i);
        if (h->def_kind == DEF_NONE)
            return err_set(e, ERR_VERDICT, "%s: %s is missing, expected %.9g", gguf_path(g), h->key, want);
        if (!same_number(default_at(h, i), want))
            return disagree(h, g, "is missing, which means", i, default_at(h, i), want, e);
    }
    return true;
}

static bool agree_one(const hparam *h, const gguf *g, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, h->key);
    int64_t n = h->v ? h->n : 1;
    if (h->type == HP_STR) return agree_str(h, g, e);
    if (!kv) return agree_absent(h, g, n, e);
    if (!h->v && kv->type == GGUF_ARRAY) n = kv->n;     // a scalar here, an array there: every element must equal it
    if (kv->type == GGUF_ARRAY && kv->n < n)
        return err_set(e, ERR_VERDICT, "%s: %s: found %lld elements, expected %lld", gguf_path(g), h->key,
                       (long long)kv->n, (long long)n);
    if (n == 0) return err_set(e, ERR_VERDICT, "%s: %s: found an empty array", gguf_path(g), h->key);
    for (int64_t i = 0; i < n; i++) {
        double found, want = expected_at(h, i);
        if (!found_at(h, kv, i, &found))
            return err_set(e, ERR_VERDICT, "%s: %s: found a value that is not a number, expected %.9g", gguf_path(g),
                           h->key, want);
        if (!same_number(found, want)) return disagree(h, g, "found", i, found, want, e);
    }
    return true;
}

bool hparams_agree(const hparam_list *l, const gguf *g, err *e)
{
    gguf_str arch;
    if (!gguf_get_str(g, "general.architecture", &arch, e)) return false;
    if (arch.n != (int64_t)strlen(l->arch) || memcmp(arch.s, l->arch, (size_t)arch.n) != 0)
        return err_set(e, ERR_VERDICT, "%s: general.architecture: found '%.*s', expected '%s'", gguf_path(g),
                       (int)(arch.n < 80 ? arch.n : 80), arch.s, l->arch);
    for (int i = 0; i < l->n; i++)
        if (!agree_one(&l->hp[i], g, e)) return false;
    return true;
}
