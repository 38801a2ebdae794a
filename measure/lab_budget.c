// lab_budget: see lab_budget.h.
#include "lab_budget.h"
#include "lab_internal.h"
#include "mix_solve.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- words ----------------------------------------------------------------------------------------------------------

static double unit_of(const char *name, size_t n)
{
    static const struct { const char *name; double bytes; } units[] = {
        { "", 1 }, { "B", 1 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 },
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == n && strncmp(units[i].name, name, n) == 0) return units[i].bytes;
    return 0;
}

static bool parse_context(const char *at, int64_t *context)
{
    char *end;
    if (*at == '\0') return true;
    if (strspn(at + 1, "0123456789") != strlen(at + 1) || strlen(at + 1) > 12) return false;
    *context = strtoll(at + 1, &end, 10);
    return *end == '\0' && end > at + 1 && *context > 0;
}

bool lab_budget_parse(lab_budget *b, int64_t *context, const char *text, err *e)
{
    char *end;
    const bool number = text[0] >= '0' && text[0] <= '9' && strspn(text, "0123456789.") < 20;
    const double v = number ? strtod(text, &end) : 0;
    *b = (lab_budget){ 0 };
    if (number && strcmp(end, "%") == 0 && v > 0 && v <= 100) {
        b->percent = v;
        return true;
    }
    const size_t n = number ? strcspn(end, "@") : 0;
    const double bytes = number ? floor(v * unit_of(end, n)) : 0;
    if (number && bytes >= 1 && bytes < 1e18 && parse_context(end + n, context)) {
        b->bytes = (int64_t)bytes;
        return true;
    }
    return err_set(e, ERR_USAGE,
                   "option --kv-budget: found '%s', expected a share of the base's cache, as 40%%, or bytes, "
                   "as 1.5GiB@32768",
                   text);
}

int64_t lab_budget_bytes(const lab_budget *b, const lab_plan *p)
{
    return b->percent > 0 ? (int64_t)floor((double)p->base_context_bytes * b->percent / 100) : b->bytes;
}

// ---- choosing -------------------------------------------------------------------------------------------------------

typedef struct {                // one layer's keys, or values: the base's own, then what was run
    int         layer;
    bool        values;
    mix_choice *choices;        // [n]
    kv_side    *sides;          // [n]
    int         n;
} part;

typedef struct {
    const lab_result *r;
    const hparams    *h;
    arith             a;
    part             *parts;
    int               n;
} budget;

static bool side_bytes(const budget *b, const kv_spec *s, const part *p, int64_t *bytes, kv_side *side, err *e)
{
    kv_layer kv;
    if (!kv_spec_plan(s, b->h, p->layer, b->a, b->r->plan->context, 1, &kv, e)) return false;
    *bytes = kv_part_bytes(p->values ? &kv.v : &kv.k);
    *side = p->values ? kv.v.how : kv.k.how;
    return true;
}

static bool add_choice(const budget *b, part *p, const char *kv, double cost, err *e)
{
    kv_spec s;
    if (!kv_spec_parse(&s, kv, e)) return false;
    p->choices[p->n].cost = cost;
    if (!side_bytes(b, &s, p, &p->choices[p->n].bytes, &p->sides[p->n], e)) return false;
    p->n++;
    return true;
}

static part *part_of(budget *b, int layer, bool values)
{
    int i = 0;
    while (i < b->n && (b->parts[i].layer != layer || b->parts[i].values != values)) i++;
    return &b->parts[i];
}

static bool add_parts(budget *b, err *e)
{
    const lab_plan *plan = b->r->plan;
    const size_t n = (size_t)plan->n_candidates + 1;
    b->parts = calloc(n, sizeof *b->parts);
    if (!b->parts) return err_nomem(e, "layers", n * sizeof *b->parts);
    for (int i = 0; i < plan->n_candidates; i++) {
        const lab_candidate *c = &plan->candidates[i];
        if (c->layer < 0) continue;
        part *p = part_of(b, c->layer, c->values);
        if (!p->choices) {
            *p = (part){ .layer = c->layer, .values = c->values, .choices = calloc(n, sizeof *p->choices),
                         .sides = calloc(n, sizeof *p->sides) };
            b->n++;
            if (!p->choices || !p->sides) return err_nomem(e, "layers", n * sizeof *p->sides);
            if (!add_choice(b, p, plan->base_kv, 0, e)) return false;
        }
        if (!add_choice(b, p, c->kv, b->r->measured[i].all.kl_mean.v, e)) return false;
    }
    return true;
}

// Puts a layer into the last rule of its choice that has room, or into a new one.
static bool add_layer(kv_spec *s, int layer, const kv_choice *c, err *e)
{
    for (int i = s->n - 1; i >= 0; i--) {
        kv_rule *r = &s->rules[i];
        if (!kv_choice_same(&r->choice, c)) continue;
        if (r->hi[r->n_ranges - 1] == layer - 1) {
            r->hi[r->n_ranges - 1] = layer;
            return true;
        }
        if (r->n_ranges == KV_RANGES) break;
        r->lo[r->n_ranges] = r->hi[r->n_ranges] = layer;
        r->n_ranges++;
        return true;
    }
    if (s->n == KV_RULES) return err_set(e, ERR_USAGE, "the choice has more than %d rules", KV_RULES);
    s->rules[s->n++] = (kv_rule){ .which = KV_LAYERS, .lo = { layer }, .hi = { layer }, .n_ranges = 1, .choice = *c };
    return true;
}

static bool spec_of(kv_spec *s, const budget *b, const int *picks, err *e)
{
    *s = (kv_spec){ 0 };
    for (int i = 0; i + 1 < b->n; i += 2) {         // keys, then values, of each layer
        const kv_choice c = { .k = b->parts[i].sides[picks[i]], .v = b->parts[i + 1].sides[picks[i + 1]] };
        if (!add_layer(s, b->parts[i].layer, &c, e)) return false;
    }
    if (s->n == 1) s->rules[0] = (kv_rule){ .which = KV_EVERY, .choice = s->rules[0].choice };
    return true;
}

static bool solve(kv_spec *spec, double *expected, const budget *b, int64_t bytes, err *e)
{
    mix_item *items = calloc((size_t)b->n + 1, sizeof *items);
    int      *picks = calloc((size_t)b->n + 1, sizeof *picks);
    int64_t   least = 0;
    bool ok = (items && picks) || err_nomem(e, "layers", (size_t)b->n * sizeof *items);
    for (int i = 0; ok && i < b->n; i++) items[i] = (mix_item){ .choices = b->parts[i].choices, .n = b->parts[i].n };
    if (ok && !mix_solve(items, b->n, bytes, picks, &least, e)) {
        ok = false;
        if (e->kind == ERR_NONE)
            err_set(e, ERR_USAGE,
                    "option --kv-budget: found %lld bytes for %lld positions, expected at least %lld: what "
                    "the smallest of these caches take",
                    (long long)bytes, (long long)b->r->plan->context, (long long)least);
    }
    *expected = 0;
    for (int i = 0; ok && i < b->n; i++) *expected += b->parts[i].choices[picks[i]].cost;
    ok = ok && spec_of(spec, b, picks, e);
    free(items);
    free(picks);
    return ok;
}

bool lab_budget_choose(kv_spec *spec, double *expected, const lab_result *r, int64_t bytes, err *e)
{
    const lab_plan *p = r->plan;
    budget b = { .r = r, .h = model_hparams(p->artifacts[0].m), .a = lab_plan_arith(p) };
    const bool ok = add_parts(&b, e) && solve(spec, expected, &b, bytes, e);
    for (int i = 0; b.parts && i < b.n; i++) {
        free(b.parts[i].choices);
        free(b.parts[i].sides);
    }
    free(b.parts);
    return ok;
}

bool lab_budget_check(const lab_plan *p, int64_t bytes, err *e)
{
    const size_t n = (size_t)p->n_candidates + 1;
    lab_result r = { .plan = p, .measured = calloc(n, sizeof *r.measured) };      // nothing loses anything yet
    kv_spec   *spec = malloc(sizeof *spec);
    double     expected;
    bool ok = (spec && r.measured) || err_nomem(e, "layers", n * sizeof *r.measured);
    ok = ok && lab_budget_choose(spec, &expected, &r, bytes, e);
    free(spec);
    free(r.measured);
    return ok;
}

int lab_budget_rival(const lab_result *r)
{
    int best = -1;
    for (int i = 1; i < r->plan->n_candidates; i++) {
        const double kl = r->measured[i].all.kl_mean.v;
        if (r->plan->candidates[i].context_bytes > r->plan->budget) continue;
        if (best < 0 || kl < r->measured[best].all.kl_mean.v) best = i;
    }
    return best;
}
