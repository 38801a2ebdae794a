// steps, as they are written: see steps.h.
#include "steps.h"
#include "../formats/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 1 << 18 };

static int64_t n_steps_of(const verify_fixture_result *f)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_traced; i++) n += f->traced[i].n_steps;
    return n;
}

bool steps_there(const verify_report *r, int n)
{
    int64_t all = 0;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < r[i].n_fixtures; k++) all += n_steps_of(&r[i].fixtures[k]);
    return all > 0 && all <= MOST_STEPS;
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
    int64_t all = 0;
    for (int64_t k = 0; k < r->n_fixtures; k++) all += r->fixtures[k].n_traced;
    if (all == 0) return true;
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
