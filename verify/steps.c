// steps, as they are written: see steps.h.
#include "steps.h"
#include "../formats/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what a file has room for --------------------------------------------------------------------------------------

// A number takes at most 24 bytes, as cJSON prints it, and a comma. Where a value is none, as many are more than its
// key, quotes and brackets take.
enum { BYTES_A_VALUE = 26, BYTES_A_CHARACTER = 6 };

typedef struct {
    int64_t steps, comparisons;
    int64_t values;         // as the reader counts them
    int64_t bytes;          // of texts, at most
    bool    too_deep;       // a case has more layers than it may
} room;

static void take_case(room *to, const verify_case *c)
{
    int64_t others = 0;
    for (int64_t s = 0; s < c->n_steps; s++) others += c->steps[s].got != c->steps[s].expected;
    // itself, id, states and their three, free_equal, and the six lists, of which marks are one text
    to->values   += 13 + 3 * c->n_steps + 2 * others + 3 * (int64_t)c->n_layers;
    to->bytes    += c->n_steps + BYTES_A_CHARACTER * (int64_t)strlen(c->id);
    to->steps    += c->n_steps;
    to->too_deep |= c->n_layers > STEPS_MOST_LAYERS;
}

static void take_fixture(room *to, const verify_fixture_result *f)
{
    to->comparisons++;
    to->values += 3;        // itself, sha256, cases
    to->bytes  += BYTES_A_CHARACTER * (int64_t)strlen(f->file_digest);
    for (int64_t i = 0; i < f->n_traced; i++) take_case(to, &f->traced[i]);
}

static bool has_cases(const verify_report *r)
{
    for (int64_t k = 0; k < r->n_fixtures; k++)
        if (r->fixtures[k].n_traced > 0) return true;
    return false;
}

static void take_artifact(room *to, const verify_report *r)
{
    if (!has_cases(r)) return;
    to->values += 3;        // itself, artifact, fixtures
    to->bytes  += BYTES_A_CHARACTER * (int64_t)strlen(r->artifact);
    for (int64_t k = 0; k < r->n_fixtures; k++)
        if (r->fixtures[k].n_traced > 0) take_fixture(to, &r->fixtures[k]);
}

bool steps_there(const verify_report *r, int n)
{
    room all = { .values = 3 };     // the document, hallmark_steps, artifacts
    for (int i = 0; i < n; i++) take_artifact(&all, &r[i]);
    return all.steps > 0 && !all.too_deep && all.comparisons <= STEPS_MOST_COMPARISONS
        && all.values <= STEPS_MOST_VALUES && all.bytes + BYTES_A_VALUE * all.values <= STEPS_MOST_BYTES;
}

// ---- numbers -------------------------------------------------------------------------------------------------------

static cJSON *rounded(double v, const char *format)
{
    char text[32];
    if (!isfinite(v)) return cJSON_CreateNull();
    snprintf(text, sizeof text, format, v);
    return cJSON_CreateNumber(strtod(text, NULL));
}

static bool push(cJSON *list, cJSON *item)
{
    if (item && list && cJSON_AddItemToArray(list, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool push_int(cJSON *list, int64_t v) { return push(list, cJSON_CreateNumber((double)v)); }

// ---- one case ------------------------------------------------------------------------------------------------------

static bool add_distances(cJSON *o, const verify_case *c)
{
    cJSON *kl = cJSON_AddArrayToObject(o, "kl"), *margin = cJSON_AddArrayToObject(o, "margin");
    bool ok = kl && margin;
    for (int64_t s = 0; ok && s < c->n_steps; s++)
        ok = push(kl, rounded(c->steps[s].kl, "%.3g")) && push(margin, rounded(c->steps[s].margin, "%.3g"));
    return ok;
}

static bool add_ids(cJSON *o, const verify_case *c)
{
    cJSON *ids = cJSON_AddArrayToObject(o, "ids"), *other = cJSON_AddArrayToObject(o, "other");
    bool ok = ids && other;
    for (int64_t s = 0; ok && s < c->n_steps; s++) {
        const verify_step *x = &c->steps[s];
        ok = push_int(ids, x->expected) && (x->got == x->expected || (push_int(other, s) && push_int(other, x->got)));
    }
    return ok;
}

static bool add_marks(cJSON *o, const verify_case *c)
{
    char *marks = malloc((size_t)c->n_steps + 1);
    for (int64_t s = 0; marks && s < c->n_steps; s++) {
        const verify_step *x = &c->steps[s];
        marks[s] = (char)('a' + (int)x->state + 4 * x->open + 8 * x->left_out);
    }
    if (marks) marks[c->n_steps] = '\0';
    const bool ok = marks && cJSON_AddStringToObject(o, "marks", marks);
    free(marks);
    return ok;
}

static bool add_layers(cJSON *o, const verify_case *c)
{
    cJSON *list = cJSON_AddArrayToObject(o, "layers");
    bool ok = list != NULL;
    for (int i = 0; ok && i < c->n_layers; i++) {
        const verify_layer *l = &c->layers[i];
        ok = push_int(list, l->layer) && push(list, rounded(l->departure, "%.6g"))
            && push(list, rounded(l->limit, "%.6g"));
    }
    return ok;
}

static bool add_case(cJSON *o, const verify_case *c)
{
    cJSON *states = NULL;
    return cJSON_AddStringToObject(o, "id", c->id) && (states = cJSON_AddArrayToObject(o, "states"))
        && push_int(states, c->prompt_ids) && push_int(states, c->free_run) && push_int(states, c->forced)
        && cJSON_AddNumberToObject(o, "free_equal", (double)c->free_equal) && add_distances(o, c) && add_ids(o, c)
        && add_marks(o, c) && add_layers(o, c);
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static bool add_fixture(cJSON *o, const verify_fixture_result *f)
{
    cJSON *list = NULL;
    bool ok = cJSON_AddStringToObject(o, "sha256", f->file_digest) && (list = cJSON_AddArrayToObject(o, "cases"));
    for (int64_t i = 0; ok && i < f->n_traced; i++) {
        cJSON *one = json_add_object(list);
        ok = one && add_case(one, &f->traced[i]);
    }
    return ok;
}

cJSON *steps_fixture_json(const verify_fixture_result *f)
{
    cJSON *o = cJSON_CreateObject();
    if (o && add_fixture(o, f)) return o;
    cJSON_Delete(o);
    return NULL;
}

static bool add_artifact(cJSON *list, const verify_report *r)
{
    if (!has_cases(r)) return true;
    cJSON *one = json_add_object(list), *fixtures = NULL;
    bool ok = one && cJSON_AddStringToObject(one, "artifact", r->artifact)
        && (fixtures = cJSON_AddArrayToObject(one, "fixtures"));
    for (int64_t k = 0; ok && k < r->n_fixtures; k++)
        if (r->fixtures[k].n_traced > 0) ok = push(fixtures, steps_fixture_json(&r->fixtures[k]));
    return ok;
}

cJSON *steps_json(const verify_report *r, int n)
{
    cJSON *doc = cJSON_CreateObject(), *list = NULL;
    bool ok = doc && cJSON_AddNumberToObject(doc, "hallmark_steps", 1)
        && (list = cJSON_AddArrayToObject(doc, "artifacts"));
    for (int i = 0; ok && i < n; i++) ok = add_artifact(list, &r[i]);
    if (ok) return doc;
    cJSON_Delete(doc);
    return NULL;
}
