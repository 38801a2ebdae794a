// kv_spec: see kv_spec.h.
#include "kv_spec.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const kv_format formats[] = {
    { "f32", DT_F32 },   { "bf16", DT_BF16 }, { "f16", DT_F16 },   { "q8_0", DT_Q8_0 },     { "q5_1", DT_Q5_1 },
    { "q5_0", DT_Q5_0 }, { "q4_1", DT_Q4_1 }, { "q4_0", DT_Q4_0 }, { "iq4_nl", DT_IQ4_NL }, { NULL, DT_INVALID },
};

const kv_format *kv_formats(void) { return formats; }

static const char *name_of(dtype t)
{
    int i = 0;
    while (formats[i].name && formats[i].type != t) i++;
    return formats[i].name ? formats[i].name : "?";
}

// ---- reading -----------------------------------------------------------------------------------------------------------

typedef struct {
    const char *whole, *at;
    err        *e;
} spec_reader;

static bool wrong(const spec_reader *r, const char *expected)
{
    return err_set(r->e, ERR_USAGE, "KV cache '%s': at '%s': expected %s", r->whole, r->at, expected);
}

static bool eat(spec_reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

static bool read_type(spec_reader *r, dtype *t)
{
    size_t n = strcspn(r->at, ",;:+");
    for (int i = 0; formats[i].name; i++)
        if (strlen(formats[i].name) == n && strncmp(r->at, formats[i].name, n) == 0) {
            r->at += n;
            *t = formats[i].type;
            return true;
        }
    return wrong(r, "f32, bf16, f16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl");
}

static bool read_choice(spec_reader *r, kv_choice *c)
{
    if (!eat(r, "k=")) {
        if (!read_type(r, &c->k)) return false;
        c->v = c->k;
        return true;
    }
    if (!read_type(r, &c->k)) return false;
    if (!eat(r, ",v=")) return wrong(r, "',v=' and a type");
    return read_type(r, &c->v);
}

static bool read_number(spec_reader *r, int *n)
{
    if (*r->at < '0' || *r->at > '9') return wrong(r, "the number of a layer");
    for (*n = 0; *r->at >= '0' && *r->at <= '9'; r->at++) {
        *n = 10 * *n + (*r->at - '0');
        if (*n > LIMIT_LAYERS) return wrong(r, "the number of a layer");
    }
    return true;
}

static bool read_ranges(spec_reader *r, kv_rule *rule)
{
    do {
        const int i = rule->n_ranges++;
        if (i == KV_RANGES) return wrong(r, "fewer ranges of layers");
        if (!read_number(r, &rule->lo[i])) return false;
        rule->hi[i] = rule->lo[i];
        if (eat(r, "-") && !read_number(r, &rule->hi[i])) return false;
        if (rule->hi[i] < rule->lo[i]) return wrong(r, "a range that goes up");
    } while (eat(r, ","));
    return true;
}

static bool read_rule(spec_reader *r, kv_rule *rule)
{
    bool selects = true;
    if (eat(r, "sliding")) rule->which = KV_SLIDING;
    else if (eat(r, "full")) rule->which = KV_FULL;
    else if (eat(r, "*")) rule->which = KV_EVERY;
    else if (eat(r, "layers ")) {
        rule->which = KV_LAYERS;
        if (!read_ranges(r, rule)) return false;
    } else {
        selects = false;
    }
    if (selects && !eat(r, ":")) return wrong(r, "':' and a type");
    return read_choice(r, &rule->choice);
}

bool kv_spec_parse(kv_spec *s, const char *text, err *e)
{
    spec_reader r = { .whole = text, .at = text, .e = e };
    *s = (kv_spec){ 0 };
    do {
        if (s->n == KV_RULES) return wrong(&r, "fewer rules");
        if (!read_rule(&r, &s->rules[s->n++])) return false;
    } while (eat(&r, ";"));
    return *r.at == 0 || wrong(&r, "';' and another rule, or the end");
}

kv_spec kv_spec_of(dtype type) { return (kv_spec){ .n = 1, .rules = { { .choice = { type, type } } } }; }

// ---- printing ----------------------------------------------------------------------------------------------------------

static void put(char text[KV_TEXT], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(char text[KV_TEXT], const char *fmt, ...)
{
    const size_t n = strlen(text);
    va_list a;
    va_start(a, fmt);
    vsnprintf(text + n, KV_TEXT - n, fmt, a);
    va_end(a);
}

static void put_rule(char text[KV_TEXT], const kv_rule *r, bool alone)
{
    if (r->which == KV_SLIDING) put(text, "sliding:");
    if (r->which == KV_FULL) put(text, "full:");
    if (r->which == KV_EVERY && !alone) put(text, "*:");
    if (r->which == KV_LAYERS) {
        for (int i = 0; i < r->n_ranges; i++) {
            put(text, "%s%d", i ? "," : "layers ", r->lo[i]);
            if (r->hi[i] > r->lo[i]) put(text, "-%d", r->hi[i]);
        }
        put(text, ":");
    }
    if (r->choice.k == r->choice.v) put(text, "%s", name_of(r->choice.k));
    else                            put(text, "k=%s,v=%s", name_of(r->choice.k), name_of(r->choice.v));
}

void kv_spec_text(const kv_spec *s, char text[KV_TEXT])
{
    text[0] = 0;
    for (int i = 0; i < s->n; i++) {
        put(text, "%s", i ? ";" : "");
        put_rule(text, &s->rules[i], s->n == 1);
    }
}

// ---- choosing ----------------------------------------------------------------------------------------------------------

static bool fits(const kv_rule *r, const hparams *h, int layer)
{
    switch (r->which) {
    case KV_EVERY:   return true;
    case KV_SLIDING: return h->layers[layer].sliding;
    case KV_FULL:    return !h->layers[layer].sliding;
    case KV_LAYERS:
        for (int i = 0; i < r->n_ranges; i++)
            if (layer >= r->lo[i] && layer <= r->hi[i]) return true;
        return false;
    }
    return false;
}

static bool divides(dtype t, int head_dim, int layer, err *e)
{
    int64_t bytes;
    if (dtype_row_bytes(t, head_dim, &bytes)) return true;
    return err_set(e, ERR_USAGE, "KV dtype %s: its blocks do not divide a head of %d (layer %d)", dtype_name(t), head_dim, layer);
}

bool kv_spec_choose(const kv_spec *s, const hparams *h, int layer, kv_choice *c, err *e)
{
    int i = 0;
    while (i < s->n && !fits(&s->rules[i], h, layer)) i++;
    if (i == s->n) return err_set(e, ERR_USAGE, "KV cache: no rule fits layer %d (%s)", layer, h->layers[layer].sliding ? "sliding" : "full");
    *c = s->rules[i].choice;
    return divides(c->k, h->layers[layer].head_dim, layer, e) && divides(c->v, h->layers[layer].head_dim, layer, e);
}

bool kv_spec_check(const kv_spec *s, const hparams *h, err *e)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->rules[i].n_ranges; j++)
            if (s->rules[i].hi[j] >= h->n_layer)
                return err_set(e, ERR_USAGE, "KV cache: found layer %d, expected at most %d", s->rules[i].hi[j], h->n_layer - 1);
    for (int i = 0; i < h->n_layer; i++) {
        kv_choice c;
        if (h->layers[i].has_kv && !kv_spec_choose(s, h, i, &c, e)) return false;
    }
    return true;
}

// ---- what it costs -----------------------------------------------------------------------------------------------------

static bool add_product(int64_t *sum, int64_t a, int64_t b)
{
    int64_t p;
    return mul_i64(a, b, &p) && add_i64(*sum, p, sum);
}

bool memory_plan_of(memory_plan *p, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch, err *e)
{
    memset(p, 0, sizeof *p);
    if (!kv_spec_check(kv, h, e)) return false;
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        if (l->recurrent) {
            p->state_bytes += delta_state_bytes(&h->delta);
            p->n_state_layers++;
            continue;
        }
        const int64_t dim = (int64_t)l->n_kv_head * l->head_dim, cap = kv_capacity(h, i, n_ctx, n_batch);
        int64_t k, v;
        kv_choice c;
        if (!kv_spec_choose(kv, h, l->kv_source, &c, e)) return false;      // a layer that shares would keep what its source keeps
        bool fit = dtype_row_bytes(c.k, dim, &k) && dtype_row_bytes(c.v, dim, &v);
        fit = fit && add_product(&p->kv_bytes_unshared, k + v, cap) && add_product(&p->kv_bytes_plain, k + v, n_ctx);
        if (fit && l->has_kv) fit = add_product(&p->kv_bytes, k + v, cap);
        if (!fit) return err_set(e, ERR_USAGE, "a context of %lld tokens does not fit in 64-bit memory", (long long)n_ctx);
        p->n_kv_layers += l->has_kv;
    }
    return true;
}
