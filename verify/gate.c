#include "gate.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// The values of verify/gate.json, which says how each was measured. Change both.
static const gate BUILTIN = {
    .float32  = { .kl_factor = 3, .kl_floor = 1e-11, .logprob_factor = 3, .logprob_floor = 1e-4,
                  .probe_tolerance = 1e-5, .self_kl_max = 1e-9, .self_logprob_max = 0.01, .self_margin_max = 0.001 },
    .bfloat16 = { .kl_factor = 3, .kl_floor = 2e-5, .logprob_factor = 3, .logprob_floor = 0.25, .probe_tolerance = 0.03,
                  .self_kl_max = 0.01, .self_logprob_max = 4, .self_margin_max = 4 },
    .tie_rate = 0.005, .tie_self_factor = 2, .tie_self_rate_max = 0.03,
    .min_cases = 4, .min_steps = 100, .min_top_k = 16,
    .has_rounding = true,
    .rounding = { .kl_factor = 3, .kl_floor = 1e-6, .top1_factor = 3, .top1_floor = 0.01 },
    .n_drift  = 15,
    .drift    = {
        { "F16",    0.995, 0.001 },
        { "Q8_0",   0.97, 0.01 },
        { "Q6_K",   0.95, 0.02 },
        { "Q5_K_M", 0.92, 0.05 },
        { "Q5_K_S", 0.92, 0.05 },
        { "Q5_1",   0.92, 0.05 },
        { "Q5_0",   0.92, 0.06 },
        { "Q4_K_M", 0.88, 0.12 },
        { "Q4_K_S", 0.87, 0.15 },
        { "Q4_1",   0.85, 0.2 },
        { "Q4_0",   0.85, 0.2 },
        { "Q3_K_L", 0.78, 0.35 },
        { "Q3_K_M", 0.75, 0.4 },
        { "Q3_K_S", 0.7, 0.6 },
        { "Q2_K",   0.6, 0.9 },
    },
};

const gate *gate_builtin(void) { return &BUILTIN; }

// Whoever changes BUILTIN adds the new digest (gate_test tells it) and leaves the old ones: releases name them.
const char *const GATE_SHIPPED[] = {
    "e3dd75d2679edbd868a36c0cfa9633c58d76947397d884d7038d23233231af89",
};
const int GATE_N_SHIPPED = sizeof GATE_SHIPPED / sizeof *GATE_SHIPPED;

typedef struct { const char *name; size_t off; } field;     // a number of a struct, by its key

static const field EXACT_FIELDS[] = {
    { "kl_factor", offsetof(gate_exact, kl_factor) },
    { "kl_floor", offsetof(gate_exact, kl_floor) },
    { "logprob_factor", offsetof(gate_exact, logprob_factor) },
    { "logprob_floor", offsetof(gate_exact, logprob_floor) },
    { "probe_tolerance", offsetof(gate_exact, probe_tolerance) },
    { "self_kl_max", offsetof(gate_exact, self_kl_max) },
    { "self_logprob_max", offsetof(gate_exact, self_logprob_max) },
    { "self_margin_max", offsetof(gate_exact, self_margin_max) },
    { NULL, 0 },
};
static const field TIE_FIELDS[] = {
    { "rate", offsetof(gate, tie_rate) }, { "self_factor", offsetof(gate, tie_self_factor) },
    { "self_rate_max", offsetof(gate, tie_self_rate_max) }, { NULL, 0 },
};
static const field MIN_FIELDS[] = {
    { "cases", offsetof(gate, min_cases) },
    { "steps", offsetof(gate, min_steps) },
    { "top_k", offsetof(gate, min_top_k) },
    { NULL, 0 },
};
static const field ROUNDING_FIELDS[] = {
    { "kl_factor", offsetof(gate_rounding, kl_factor) },
    { "kl_floor", offsetof(gate_rounding, kl_floor) },
    { "top1_factor", offsetof(gate_rounding, top1_factor) },
    { "top1_floor", offsetof(gate_rounding, top1_floor) },
    { NULL, 0 },
};
static const field DRIFT_FIELDS[] = {
    { "top1_min", offsetof(gate_drift, top1_min) }, { "kl_max", offsetof(gate_drift, kl_max) }, { NULL, 0 },
};

static bool is_field(const field *f, const char *name)
{
    for (; f->name; f++)
        if (strcmp(f->name, name) == 0) return true;
    return false;
}

// Members of obj are exactly `names` (a NULL-terminated table) and, where extra is given, extra.
static bool only_known(const cJSON *obj, const field *names, const char *extra, const char *where, err *e)
{
    if (!cJSON_IsObject(obj)) return err_set(e, ERR_INPUT, "%s: found no object, expected one", where);
    for (const cJSON *m = obj->child; m; m = m->next)
        if (!is_field(names, m->string) && !(extra && strcmp(extra, m->string) == 0))
            return err_set(e, ERR_INPUT, "%s: key '%s' is not one a gate has", where, m->string);
    return true;
}

static bool read_fields(void *dst, const field *f, const cJSON *obj, const char *where, err *e)
{
    for (; f->name; f++) {
        double v;
        if (!json_f64(obj, f->name, &v, where, e)) return false;
        if (!isfinite(v) || v < 0)
            return err_set(e, ERR_INPUT, "%s: key '%s': found %g, expected a finite number that is not negative", where,
                           f->name, v);
        memcpy((char *)dst + f->off, &v, sizeof v);
    }
    return true;
}

static bool read_exact(gate_exact *x, const cJSON *exact, const char *dtype, const char *where, err *e)
{
    char place[512];
    snprintf(place, sizeof place, "%s: exact.%s", where, dtype);
    const cJSON *o = json_get(exact, dtype);
    return only_known(o, EXACT_FIELDS, NULL, place, e) && read_fields(x, EXACT_FIELDS, o, place, e);
}

static bool read_drift(gate *g, const cJSON *rows, const char *where, err *e)
{
    if (!cJSON_IsArray(rows)) return err_set(e, ERR_INPUT, "%s: key 'drift': expected an array", where);
    int n = cJSON_GetArraySize(rows);
    if (n < 1 || n > GATE_MAX_DRIFT)
        return err_set(e, ERR_INPUT, "%s: key 'drift': found %d rows, expected 1 to %d", where, n, GATE_MAX_DRIFT);
    for (const cJSON *r = rows->child; r; r = r->next) {
        gate_drift *d = &g->drift[g->n_drift];
        const char *type;
        char        place[512];
        snprintf(place, sizeof place, "%s: drift[%d]", where, g->n_drift);
        if (!only_known(r, DRIFT_FIELDS, "type", place, e) || !json_str(r, "type", &type, place, e)
            || !read_fields(d, DRIFT_FIELDS, r, place, e)) return false;
        if (strlen(type) >= sizeof d->type)
            return err_set(e, ERR_INPUT, "%s: type '%s' is no type's name", place, type);
        if (g->n_drift > 0 && strcmp(d[-1].type, "*") == 0)
            return err_set(e, ERR_INPUT, "%s: type '%s': found it after '*' (any other), expected that row last", place,
                           type);
        for (int i = 0; i < g->n_drift; i++)
            if (strcasecmp(g->drift[i].type, type) == 0)
                return err_set(e, ERR_INPUT, "%s: type '%s' has a row already", place, type);
        strcpy(d->type, type);
        g->n_drift++;
    }
    return true;
}

static const field EXACT_DTYPES[] = { { "float32", 0 }, { "bfloat16", 0 }, { NULL, 0 } };
static const field TOP_1[] = { { "hallmark_gate", 0 }, { "exact", 0 }, { "ties", 0 }, { "minimum", 0 }, { "drift", 0 },
                               { NULL, 0 } };
static const field TOP_2[] = { { "hallmark_gate", 0 }, { "exact", 0 }, { "ties", 0 }, { "minimum", 0 },
                               { "rounding", 0 }, { "drift", 0 }, { NULL, 0 } };

static bool read_rounding(gate *g, const cJSON *rounding, const char *where, err *e)
{
    char place[512];
    snprintf(place, sizeof place, "%s: rounding", where);
    g->has_rounding = true;
    return only_known(rounding, ROUNDING_FIELDS, NULL, place, e)
        && read_fields(&g->rounding, ROUNDING_FIELDS, rounding, place, e);
}

bool gate_of_json(gate *g, const cJSON *j, const char *where, err *e)
{
    int64_t version = 2;
    char    place[512];
    memset(g, 0, sizeof *g);
    if (!cJSON_IsObject(j)) return err_set(e, ERR_INPUT, "%s: found no object, expected one", where);
    if (json_get(j, "hallmark_gate") && !json_i64(j, "hallmark_gate", 1, 2, &version, where, e)) return false;
    if (!only_known(j, version == 1 ? TOP_1 : TOP_2, "comment", where, e)
        || !json_i64(j, "hallmark_gate", 1, 2, &version, where, e)) return false;
    if (version == 2 && !read_rounding(g, json_get(j, "rounding"), where, e)) return false;
    const cJSON *exact = json_get(j, "exact"), *ties = json_get(j, "ties"), *minimum = json_get(j, "minimum");
    snprintf(place, sizeof place, "%s: exact", where);
    if (!only_known(exact, EXACT_DTYPES, NULL, place, e)) return false;
    if (!read_exact(&g->float32, exact, "float32", where, e) || !read_exact(&g->bfloat16, exact, "bfloat16", where, e))
        return false;
    snprintf(place, sizeof place, "%s: ties", where);
    if (!only_known(ties, TIE_FIELDS, NULL, place, e) || !read_fields(g, TIE_FIELDS, ties, place, e)) return false;
    snprintf(place, sizeof place, "%s: minimum", where);
    return only_known(minimum, MIN_FIELDS, NULL, place, e) && read_fields(g, MIN_FIELDS, minimum, place, e)
        && read_drift(g, json_get(j, "drift"), where, e);
}

bool gate_parse(gate *g, const char *text, int64_t n, const char *where, err *e)
{
    cJSON *j = json_parse(text, n, where, e);
    if (!j) return false;
    bool ok = gate_of_json(g, j, where, e);
    cJSON_Delete(j);
    return ok;
}

bool gate_read(gate *g, const char *path, err *e)
{
    char   *text;
    int64_t n;
    if (!file_read_text(&text, &n, path, 1 << 20, e)) return false;
    bool ok = gate_parse(g, text, n, path, e);
    free(text);
    return ok;
}

// ---- as a text ----------------------------------------------------------------------------------------------------

// cJSON's adders give NULL when memory fails, and take a NULL object.
static bool add_fields(cJSON *o, const field *f, const void *src)
{
    bool ok = o != NULL;
    for (; ok && f->name; f++) {
        double v;
        memcpy(&v, (const char *)src + f->off, sizeof v);
        ok = cJSON_AddNumberToObject(o, f->name, v) != NULL;
    }
    return ok;
}

static bool add_drift(cJSON *o, const gate *g)
{
    cJSON *rows = cJSON_AddArrayToObject(o, "drift");
    bool ok = rows != NULL;
    for (int i = 0; ok && i < g->n_drift; i++) {
        cJSON *row = json_add_object(rows);
        ok = cJSON_AddStringToObject(row, "type", g->drift[i].type) && add_fields(row, DRIFT_FIELDS, &g->drift[i]);
    }
    return ok;
}

cJSON *gate_json(const gate *g)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(o, "hallmark_gate", g->has_rounding ? 2 : 1) != NULL;
    cJSON *exact = cJSON_AddObjectToObject(o, "exact");
    ok = ok && add_fields(cJSON_AddObjectToObject(exact, "float32"), EXACT_FIELDS, &g->float32)
        && add_fields(cJSON_AddObjectToObject(exact, "bfloat16"), EXACT_FIELDS, &g->bfloat16)
        && add_fields(cJSON_AddObjectToObject(o, "ties"), TIE_FIELDS, g)
        && add_fields(cJSON_AddObjectToObject(o, "minimum"), MIN_FIELDS, g);
    if (ok && g->has_rounding) ok = add_fields(cJSON_AddObjectToObject(o, "rounding"), ROUNDING_FIELDS, &g->rounding);
    if (ok && add_drift(o, g)) return o;
    cJSON_Delete(o);
    return NULL;
}

char *gate_text(const gate *g)
{
    cJSON *o = gate_json(g);
    char *text = o ? json_print_short(o) : NULL;
    cJSON_Delete(o);
    return text;
}

bool gate_digest(const gate *g, char hex[SHA256_HEX + 1], err *e)
{
    char *text = gate_text(g);
    const bool ok = text ? sha256_bytes(text, (int64_t)strlen(text), hex, e) : err_nomem(e, "a gate", 0);
    free(text);
    return ok;
}

// ---- what it allows -----------------------------------------------------------------------------------------------

const gate_exact *gate_exact_for(const gate *g, const char *fixture_dtype)
{
    return strcmp(fixture_dtype, "bfloat16") == 0 ? &g->bfloat16 : &g->float32;
}

const gate_drift *gate_drift_for(const gate *g, const char *type)
{
    for (int i = 0; i < g->n_drift; i++)
        if (strcasecmp(g->drift[i].type, type) == 0 || strcmp(g->drift[i].type, "*") == 0) return &g->drift[i];
    return NULL;
}

gate_limits gate_drift_limits(const gate *g, const gate_drift *d, double rounding_kl, int64_t rounding_equal,
                              int64_t steps)
{
    gate_limits l = { d->kl_max, d->top1_min };
    if (!g->has_rounding) return l;
    if (!isfinite(rounding_kl) || steps < 1) return (gate_limits){ 0, 1 };
    const gate_rounding *x = &g->rounding;
    const double other = 1 - (double)rounding_equal / (double)steps;
    l.kl_max   = fmin(l.kl_max, fmax(x->kl_floor, x->kl_factor * rounding_kl));
    l.top1_min = fmax(l.top1_min, 1 - fmax(x->top1_floor, x->top1_factor * other));
    return l;
}
