// kv_spec: see kv_spec.h.
#include "kv_spec.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIVI_GROUP = 32, KIVI_RESIDUAL = 128 };      // where words name none

// ---- reading --------------------------------------------------------------------------------------------------------

typedef struct {
    const char *whole, *at;
    err        *e;
} spec_reader;

static bool wrong(const spec_reader *r, const char *expected)
{
    return err_set(r->e, ERR_USAGE, "KV cache '%.200s': at '%.80s': expected %s", r->whole, r->at, expected);
}

static bool eat(spec_reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

// A number of digits alone, `least` to `most`; `what` says so in words.
static bool read_number(spec_reader *r, int least, int most, const char *what, int *n)
{
    const char *at = r->at;
    int found = 0;
    if (*at < '0' || *at > '9') return wrong(r, what);
    for (; *at >= '0' && *at <= '9'; at++) {
        found = 10 * found + (*at - '0');
        if (found > most) return wrong(r, what);
    }
    if (found < least) return wrong(r, what);
    *n = found;
    r->at = at;
    return true;
}

static bool read_type(spec_reader *r, kv_type *t)
{
    size_t n = strcspn(r->at, ",;:+");
    for (int i = 0; i < N_KV_TYPES; i++) {
        const char *name = kv_trait_of((kv_type)i)->name;
        if (strlen(name) != n || strncmp(r->at, name, n) != 0) continue;
        r->at += n;
        *t = (kv_type)i;
        return true;
    }
    return wrong(r, "f32, bf16, f16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, kivi2 or kivi4");
}

// ":g32:r128", either of which may be left out.
static bool read_groups(spec_reader *r, kv_side *s)
{
    s->group = KIVI_GROUP;
    s->residual = KIVI_RESIDUAL;
    if (eat(r, ":g") && !read_number(r, KV_MIN_GROUP, KV_MAX_GROUP, "a group of 8 to 256", &s->group)) return false;
    const char *residual = r->at;
    if (eat(r, ":r") && *r->at >= '0' && *r->at <= '9') {
        if (!read_number(r, 1, KV_MAX_WHOLE, "1 to 65536 whole positions", &s->residual)) return false;
    } else {
        r->at = residual;           // ":rot" begins like it
    }
    if (s->residual % s->group == 0) return true;
    r->at = residual;
    return wrong(r, "':r' and a multiple of the group");
}

static void read_rotation(spec_reader *r, kv_side *s)
{
    if (eat(r, ":rot64")) s->rot = KV_ROT_64;
    else if (eat(r, ":rot")) s->rot = KV_ROT;
    else eat(r, ":norot");
}

static bool read_side(spec_reader *r, kv_side *s)
{
    *s = (kv_side){ 0 };
    if (!read_type(r, &s->type)) return false;
    if (kv_trait_of(s->type)->bits > 0 && !read_groups(r, s)) return false;
    read_rotation(r, s);
    if (*r->at == 0 || strchr(",;+", *r->at)) return true;
    return wrong(r, kv_trait_of(s->type)->bits > 0 ? "':g32', ':r128', ':rot', ':rot64', ':norot', or the end of a type"
                                                   : "':rot', ':rot64', ':norot', or the end of a type");
}

static bool has_residual(const kv_choice *c) { return c->k.residual > 0 || c->v.residual > 0; }

static bool read_whole(spec_reader *r, kv_choice *c)
{
    if (eat(r, "+sink") && !read_number(r, 1, KV_MAX_WHOLE, "1 to 65536 first positions", &c->sink)) return false;
    if (strncmp(r->at, "+recent", 7) == 0 && has_residual(c))
        return wrong(r, "no recent positions beside those of kivi's ':r'");
    if (eat(r, "+recent") && !read_number(r, 1, KV_MAX_WHOLE, "1 to 65536 newest positions", &c->recent)) return false;
    return *r->at != '+' || wrong(r, "'+sink4', then '+recent64', each once");
}

static bool read_sides(spec_reader *r, kv_choice *c)
{
    if (!eat(r, "k=")) {
        if (!read_side(r, &c->k)) return false;
        c->v = c->k;
        return true;
    }
    if (!read_side(r, &c->k)) return false;
    if (!eat(r, ",v=")) return wrong(r, "',v=' and a type");
    return read_side(r, &c->v);
}

static bool read_layer(spec_reader *r, int *n) { return read_number(r, 0, LIMIT_LAYERS, "the number of a layer", n); }

static bool read_ranges(spec_reader *r, kv_rule *rule)
{
    do {
        const int i = rule->n_ranges++;
        if (i == KV_RANGES) return wrong(r, "fewer ranges of layers");
        if (!read_layer(r, &rule->lo[i])) return false;
        rule->hi[i] = rule->lo[i];
        if (eat(r, "-") && !read_layer(r, &rule->hi[i])) return false;
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
    if (!read_sides(r, &rule->choice)) return false;
    return read_whole(r, &rule->choice);
}

bool kv_spec_parse(kv_spec *s, const char *text, err *e)
{
    spec_reader r = { .whole = text, .at = text, .e = e };
    char canonical[KV_TEXT];
    *s = (kv_spec){ 0 };
    do {
        if (s->n == KV_RULES) return wrong(&r, "fewer rules");
        if (!read_rule(&r, &s->rules[s->n++])) return false;
    } while (eat(&r, ";"));
    if (*r.at != 0) return wrong(&r, "';' and another rule, or the end");
    return kv_spec_text(s, canonical) || wrong(&r, "a text of less than 4096 characters");
}

kv_spec kv_spec_of_choice(const kv_choice *c) { return (kv_spec){ .n = 1, .rules = { { .choice = *c } } }; }

kv_spec kv_spec_of(kv_type type)
{
    const bool kivi = kv_trait_of(type)->bits > 0;
    const kv_side side = { .type = type, .group = kivi ? KIVI_GROUP : 0, .residual = kivi ? KIVI_RESIDUAL : 0 };
    return kv_spec_of_choice(&(kv_choice){ .k = side, .v = side });
}

// ---- printing -------------------------------------------------------------------------------------------------------

typedef struct {
    char  *text;        // [KV_TEXT]
    size_t n;           // characters that there are, also of what is cut
} spec_writer;

static void put(spec_writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(spec_writer *w, const char *fmt, ...)
{
    const size_t at = w->n < KV_TEXT ? w->n : KV_TEXT - 1;
    va_list a;
    va_start(a, fmt);
    w->n += (size_t)vsnprintf(w->text + at, KV_TEXT - at, fmt, a);
    va_end(a);
}

static void put_side(spec_writer *w, const kv_side *s)
{
    static const char *const rotations[] = { [KV_ROT_NONE] = "", [KV_ROT] = ":rot", [KV_ROT_64] = ":rot64" };
    put(w, "%s", kv_trait_of(s->type)->name);
    if (s->group > 0) put(w, ":g%d:r%d", s->group, s->residual);
    put(w, "%s", rotations[s->rot]);
}

static void put_choice(spec_writer *w, const kv_choice *c)
{
    const bool apart = !kv_side_same(&c->k, &c->v);
    if (apart) put(w, "k=");
    put_side(w, &c->k);
    if (apart) {
        put(w, ",v=");
        put_side(w, &c->v);
    }
    if (c->sink > 0) put(w, "+sink%d", c->sink);
    if (c->recent > 0) put(w, "+recent%d", c->recent);
}

static void put_rule(spec_writer *w, const kv_rule *r, bool alone)
{
    if (r->which == KV_SLIDING) put(w, "sliding:");
    if (r->which == KV_FULL) put(w, "full:");
    if (r->which == KV_EVERY && !alone) put(w, "*:");
    if (r->which == KV_LAYERS) {
        for (int i = 0; i < r->n_ranges; i++) {
            put(w, "%s%d", i ? "," : "layers ", r->lo[i]);
            if (r->hi[i] > r->lo[i]) put(w, "-%d", r->hi[i]);
        }
        put(w, ":");
    }
    put_choice(w, &r->choice);
}

bool kv_spec_text(const kv_spec *s, char text[KV_TEXT])
{
    spec_writer w = { .text = text };
    text[0] = 0;
    for (int i = 0; i < s->n; i++) {
        put(&w, "%s", i ? ";" : "");
        put_rule(&w, &s->rules[i], s->n == 1);
    }
    return w.n < KV_TEXT;
}

// ---- choosing -------------------------------------------------------------------------------------------------------

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

// The cache of a layer of that shape, by the rule for layer `by`.
static bool plan_layer(const kv_spec *s, const hparams *h, int layer, int by, const kv_room *room, kv_layer *kv,
                       err *e)
{
    const layer_shape *l = &h->layers[layer];
    int i = 0;
    while (i < s->n && !fits(&s->rules[i], h, by)) i++;
    if (i == s->n)
        return err_set(e, ERR_USAGE, "KV cache: no rule fits layer %d (%s)", by,
                       h->layers[by].sliding ? "sliding" : "full");
    return kv_layer_plan(kv, &s->rules[i].choice, l->n_kv_head, l->head_dim, room, layer, e);
}

bool kv_spec_choose(const kv_spec *s, const hparams *h, int layer, kv_choice *c, err *e)
{
    kv_layer kv;
    if (!plan_layer(s, h, layer, layer, &(kv_room){ .n_ctx = 1, .capacity = 1, .n_batch = 1 }, &kv, e)) return false;
    *c = kv_layer_choice(&kv);
    return true;
}

bool kv_spec_check(const kv_spec *s, const hparams *h, err *e)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->rules[i].n_ranges; j++)
            if (s->rules[i].hi[j] >= h->n_layer)
                return err_set(e, ERR_USAGE, "KV cache: found layer %d, expected at most %d", s->rules[i].hi[j],
                               h->n_layer - 1);
    for (int i = 0; i < h->n_layer; i++) {
        kv_choice c;
        if (h->layers[i].has_kv && !kv_spec_choose(s, h, i, &c, e)) return false;
    }
    return true;
}

arith kv_arith_of(const hparams *h) { return strcmp(h->kv_required, "bf16") == 0 ? ARITH_BF16 : ARITH_F32; }

static kv_room room_of(const hparams *h, int layer, arith a, int64_t n_ctx, int n_batch)
{
    return (kv_room){ .n_ctx = n_ctx, .capacity = kv_capacity(h, layer, n_ctx, n_batch), .n_batch = n_batch,
                      .bf16 = a == ARITH_BF16 };
}

bool kv_spec_plan(const kv_spec *s, const hparams *h, int layer, arith a, int64_t n_ctx, int n_batch, kv_layer *kv,
                  err *e)
{
    const kv_room room = room_of(h, layer, a, n_ctx, n_batch);
    return plan_layer(s, h, layer, layer, &room, kv, e);
}

// ---- what it costs --------------------------------------------------------------------------------------------------

static double bytes_per_position(const kv_part *p) { return (double)p->unit / (p->by_tokens ? p->how.group : 1); }

// Adds layer i's cache; a layer that shares would keep what its source keeps.
static bool add_layer(memory_plan *p, const kv_spec *s, const hparams *h, int i, const kv_room *room, err *e)
{
    const layer_shape *l = &h->layers[i];
    kv_room all = *room;
    kv_layer kv, plain;
    all.capacity = all.n_ctx;
    if (!plan_layer(s, h, i, l->kv_source, room, &kv, e)) return false;
    if (!plan_layer(s, h, i, l->kv_source, &all, &plain, e)) return false;
    bool fit = add_i64(p->kv_bytes_unshared, kv_layer_bytes(&kv), &p->kv_bytes_unshared);
    fit = fit && add_i64(p->kv_bytes_plain, kv_layer_bytes(&plain), &p->kv_bytes_plain);
    if (fit && l->has_kv) fit = add_i64(p->kv_bytes, kv_layer_bytes(&kv), &p->kv_bytes);
    if (l->has_kv) p->position_bytes += bytes_per_position(&kv.k) + bytes_per_position(&kv.v);
    p->n_kv_layers += l->has_kv;
    return fit || err_set(e, ERR_USAGE, "a context of %lld tokens does not fit in 64-bit memory",
                          (long long)room->n_ctx);
}

bool memory_plan_of(memory_plan *p, const hparams *h, const kv_spec *kv, arith a, int64_t n_ctx, int n_batch, err *e)
{
    memset(p, 0, sizeof *p);
    if (!kv_spec_check(kv, h, e)) return false;
    for (int i = 0; i < h->n_layer; i++) {
        if (h->layers[i].recurrent) {
            p->state_bytes += delta_state_bytes(&h->delta);
            p->n_state_layers++;
            continue;
        }
        const kv_room room = room_of(h, i, a, n_ctx, n_batch);
        if (!add_layer(p, kv, h, i, &room, e)) return false;
    }
    return true;
}
