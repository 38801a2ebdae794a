// steps, as they are read: see steps.h. Every length and number is a stranger's until it is checked.
#include "steps.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/sha256.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// An object of a text and a list, and of nothing else: what is looked for in it is found at once.
static bool is_text_and_list(const cJSON *o, const char *text, const char *list)
{
    return cJSON_IsObject(o) && cJSON_GetArraySize(o) == 2 && cJSON_IsString(json_get(o, text))
        && cJSON_IsArray(json_get(o, list));
}

// @return how many comparisons there are; -1: more than there may be, or what is none
static int n_comparisons(const cJSON *doc)
{
    int n = 0, n_artifacts = 0;
    const cJSON *a, *f;
    if (cJSON_GetArraySize(doc) != 2 || !cJSON_IsNumber(json_get(doc, "hallmark_steps"))
        || !cJSON_IsArray(json_get(doc, "artifacts"))) return -1;
    cJSON_ArrayForEach(a, json_get(doc, "artifacts")) {
        if (++n_artifacts > STEPS_MOST_COMPARISONS || !is_text_and_list(a, "artifact", "fixtures")) return -1;
        cJSON_ArrayForEach(f, json_get(a, "fixtures"))
            if (++n > STEPS_MOST_COMPARISONS || !is_text_and_list(f, "sha256", "cases")) return -1;
    }
    return n;
}

cJSON *steps_read(const char *text, int64_t n, const char *where, err *e)
{
    err    bad = { 0 };
    cJSON *doc = json_parse_limited(text, n, STEPS_MOST_VALUES, where, &bad);
    if (!doc) err_as_verdict(e, &bad);
    if (!doc) return NULL;
    if (n_comparisons(doc) >= 0) return doc;
    cJSON_Delete(doc);
    err_set(e, ERR_VERDICT, "%s: found no steps of a release", where);
    return NULL;
}

static bool is_the_file(const char *text, int64_t n, const char *path, const char *expected, err *e)
{
    char hex[SHA256_HEX + 1];
    return sha256_bytes(text, n, hex, e)
        && (strcmp(hex, expected) == 0
            || err_set(e, ERR_VERDICT, "%s: found SHA-256 %s, expected %s", path, hex, expected));
}

cJSON *steps_read_file(const char *path, const char *expected, err *e)
{
    char   *text = NULL;
    int64_t n;
    err     bad = { 0 };
    cJSON  *doc = NULL;
    if (!file_read_text(&text, &n, path, STEPS_MOST_BYTES, &bad)) err_as_verdict(e, &bad);
    else if (!expected || is_the_file(text, n, path, expected, e)) doc = steps_read(text, n, path, e);
    free(text);
    return doc;
}

static const char *text_of(const cJSON *o, const char *key)
{
    const cJSON *s = json_get(o, key);
    return cJSON_IsString(s) ? s->valuestring : "";
}

static const cJSON *find(const cJSON *list, const char *key, const char *text)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, list)
        if (strcmp(text_of(o, key), text) == 0) return o;
    return NULL;
}

const cJSON *steps_find(const cJSON *doc, const char *artifact, const char *digest)
{
    return find(json_get(find(json_get(doc, "artifacts"), "artifact", artifact), "fixtures"), "sha256", digest);
}

// ---- one case ------------------------------------------------------------------------------------------------------

// A finite number of at least lo, or null, which is `none`.
static bool read_number(double *to, const cJSON *v, double lo, double none)
{
    *to = cJSON_IsNumber(v) ? v->valuedouble : none;
    return cJSON_IsNull(v) || (cJSON_IsNumber(v) && isfinite(*to) && *to >= lo);
}

static bool read_id(int32_t *to, const cJSON *v, int64_t lo)
{
    int64_t id;
    if (!json_as_i64(v, lo, INT32_MAX, &id)) return false;
    *to = (int32_t)id;
    return true;
}

static bool read_kl(verify_case *c, const cJSON *list)
{
    int64_t s = 0;
    const cJSON *v;
    cJSON_ArrayForEach(v, list)
        if (!read_number(&c->steps[s++].kl, v, -1e-9, NAN)) return false;
    return true;
}

static bool read_margins(verify_case *c, const cJSON *list)
{
    int64_t s = 0;
    const cJSON *v;
    cJSON_ArrayForEach(v, list)
        if (!read_number(&c->steps[s++].margin, v, 0, NAN)) return false;
    return true;
}

static bool read_ids(verify_case *c, const cJSON *list)
{
    int64_t s = 0;
    const cJSON *v;
    cJSON_ArrayForEach(v, list) {
        if (!read_id(&c->steps[s].expected, v, 0)) return false;
        c->steps[s].got = c->steps[s].expected;
        s++;
    }
    return true;
}

// Pairs of a step and its id, in the order of steps.
static bool read_other(verify_case *c, const cJSON *list)
{
    int64_t last = -1, s;
    if (!cJSON_IsArray(list)) return false;
    for (const cJSON *v = list->child; v; v = v->next->next) {
        if (!v->next || !json_as_i64(v, last + 1, c->n_steps - 1, &s)) return false;
        if (!read_id(&c->steps[s].got, v->next, -1) || c->steps[s].got == c->steps[s].expected) return false;
        last = s;
    }
    return true;
}

static bool read_marks(verify_case *c, const char *marks)
{
    for (int64_t s = 0; s < c->n_steps; s++) {
        const int bits = marks[s] - 'a';
        if (bits < 0 || bits > 15) return false;
        c->steps[s].state    = (part_state)(bits & 3);
        c->steps[s].open     = bits & 4;
        c->steps[s].left_out = bits & 8;
    }
    return true;
}

static bool read_layers(verify_case *c, const cJSON *list)
{
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    int64_t layer;
    if (n < 0 || n % 3 != 0 || n / 3 > STEPS_MOST_LAYERS) return false;
    c->layers = calloc((size_t)n / 3 + 1, sizeof *c->layers);
    if (!c->layers) return false;
    for (const cJSON *v = list->child; v; v = v->next->next->next) {
        verify_layer *l = &c->layers[c->n_layers++];
        if (!json_as_i64(v, LAYER_EMBEDDING, 1 << 20, &layer)) return false;
        if (!read_number(&l->departure, v->next, 0, INFINITY) || !read_number(&l->limit, v->next->next, 0, NAN)
            || isnan(l->limit)) return false;
        l->layer = (int)layer;
    }
    return true;
}

static bool read_states(verify_case *c, const cJSON *list)
{
    part_state *const to[3] = { &c->prompt_ids, &c->free_run, &c->forced };
    int i = 0;
    int64_t state;
    const cJSON *v;
    if (cJSON_GetArraySize(list) != 3) return false;
    cJSON_ArrayForEach(v, list) {
        if (!json_as_i64(v, PART_NOT_JUDGED, PART_BROKE, &state)) return false;
        *to[i++] = (part_state)state;
    }
    return true;
}

static bool begin_steps(verify_case *c, const cJSON *o)
{
    const cJSON *kl = json_get(o, "kl"), *margin = json_get(o, "margin"), *ids = json_get(o, "ids");
    const int n = cJSON_IsArray(kl) ? cJSON_GetArraySize(kl) : -1;
    if (n < 0 || cJSON_GetArraySize(margin) != n || cJSON_GetArraySize(ids) != n) return false;
    if (!cJSON_IsArray(margin) || !cJSON_IsArray(ids) || strlen(text_of(o, "marks")) != (size_t)n) return false;
    c->n_steps = n;
    c->steps = calloc((size_t)n + 1, sizeof *c->steps);
    return c->steps != NULL;
}

// The key that is of no use, or NULL.
static const char *read_case(verify_case *c, const cJSON *o)
{
    const char *id = text_of(o, "id");
    if (!id[0] || strlen(id) >= sizeof c->id) return "id";
    strcpy(c->id, id);
    if (!read_states(c, json_get(o, "states"))) return "states";
    if (!json_as_i64(json_get(o, "free_equal"), 0, INT32_MAX, &c->free_equal)) return "free_equal";
    if (!begin_steps(c, o) || !read_marks(c, text_of(o, "marks"))) return "marks";
    if (!read_kl(c, json_get(o, "kl"))) return "kl";
    if (!read_margins(c, json_get(o, "margin"))) return "margin";
    if (!read_ids(c, json_get(o, "ids"))) return "ids";
    if (!read_other(c, json_get(o, "other"))) return "other";
    return read_layers(c, json_get(o, "layers")) ? NULL : "layers";
}

// ---- what the figures count ----------------------------------------------------------------------------------------

typedef struct {
    int64_t steps, equal, open, ties, free_equal, free_ties, counted;
    double  kl_sum, kl_size, kl_max;
} sums;

static void take_step(sums *n, const verify_step *s)
{
    n->steps++;
    n->equal += s->got == s->expected;
    n->open  += s->open;
    n->ties  += s->state == PART_TIE;
    if (s->left_out) return;
    n->counted++;
    n->kl_sum  += s->kl;
    n->kl_size += fabs(s->kl);
    n->kl_max   = !(s->kl <= n->kl_max) ? s->kl : n->kl_max;
}

static sums sum_up(const verify_fixture_result *f)
{
    sums n = { .kl_max = -INFINITY };
    for (int64_t i = 0; i < f->n_traced; i++) {
        const verify_case *c = &f->traced[i];
        for (int64_t s = 0; s < c->n_steps; s++) take_step(&n, &c->steps[s]);
        n.free_equal += c->free_equal;
        n.free_ties  += c->free_run == PART_TIE;
    }
    return n;
}

// Within what three digits can tell.
static bool near(double a, double b, double size) { return fabs(a - b) <= 0.0051 * size + 1e-15; }

// The first figure that is another than these steps give, or NULL.
static const char *figure_that_differs(const verify_fixture_result *f)
{
    const sums n = sum_up(f);
    if (f->n_traced != f->cases) return "cases";
    if (n.steps != f->steps) return "steps";
    if (n.equal != f->teacher_forced_equal) return "teacher_forced_equal";
    if (n.open != f->ties) return "ties";
    if (f->kind == CHECK_EXACT && n.ties != f->ties_differing) return "ties_differing";
    if (n.free_equal != f->free_run_tokens_equal) return "free_run_tokens_equal";
    if (f->kind == CHECK_EXACT && n.free_ties != f->free_run_ties) return "free_run_ties";
    if (n.counted == 0) return NULL;
    if (!near(n.kl_max, f->kl_max, fabs(f->kl_max))) return "kl_max";
    return near(n.kl_sum / (double)n.counted, f->kl_mean, n.kl_size / (double)n.counted) ? NULL : "kl_mean";
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static bool attach_fixture(verify_fixture_result *f, const cJSON *o, const char *where, err *e)
{
    const cJSON *list = json_get(o, "cases"), *c;
    const int n = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || n != f->cases)
        return err_set(e, ERR_VERDICT, "%s: found %d cases, expected %lld", where, n, (long long)f->cases);
    f->traced = calloc((size_t)n + 1, sizeof *f->traced);
    if (!f->traced) return err_nomem(e, "steps", (size_t)n * sizeof *f->traced);
    cJSON_ArrayForEach(c, list) {
        const char *bad = read_case(&f->traced[f->n_traced++], c);
        if (bad)
            return err_set(e, ERR_VERDICT, "%s, case %lld: key '%s': found nothing of use, expected what a run gives",
                           where, (long long)f->n_traced - 1, bad);
    }
    const char *differs = figure_that_differs(f);
    return !differs || err_set(e, ERR_VERDICT, "%s: its steps do not give the record's '%s'", where, differs);
}

// Each fixture is looked for behind the one before it, so that a hostile document costs no more than its size.
// *found: how many more were given.
static bool attach_artifact(verify_report *r, const cJSON *a, const char *where, int *found, err *e)
{
    char    place[900];
    int64_t k = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, json_get(a, "fixtures")) {
        const char *digest = text_of(o, "sha256");
        while (k < r->n_fixtures && strcmp(r->fixtures[k].file_digest, digest) != 0) k++;
        if (k == r->n_fixtures) break;
        verify_fixture_result *f = &r->fixtures[k++];
        snprintf(place, sizeof place, "%.400s: %.255s against %.127s", where, r->artifact, f->name);
        if (!attach_fixture(f, o, place, e)) return false;
        (*found)++;
    }
    return true;
}

bool steps_attach(verify_report *r, int n, const cJSON *doc, const char *where, err *e)
{
    int found = 0, i = 0;
    const int there = n_comparisons(doc);
    const cJSON *a;
    cJSON_ArrayForEach(a, json_get(doc, "artifacts")) {
        const char *name = text_of(a, "artifact");
        while (i < n && strcmp(r[i].artifact, name) != 0) i++;
        if (i == n) break;
        if (!attach_artifact(&r[i++], a, where, &found, e)) return false;
    }
    return found == there
        || err_set(e, ERR_VERDICT, "%s: it has %d comparisons, of which the records know %d in this order", where,
                   there, found);
}
