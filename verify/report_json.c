// Reports as JSON: the keys are a contract (verify.h names them; the tests prove it); what does not apply is null. No
// time stamps, no machine's paths.
#include "verify.h"
#include "recipe.h"
#include "../formats/json.h"
#include "../formats/outfile.h"
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// cJSON's adders give NULL when memory fails: `ok` collects that, and the whole document is then dropped.
static void num(bool *ok, cJSON *o, const char *key, double v)
{
    *ok &= (isfinite(v) ? cJSON_AddNumberToObject(o, key, v) : cJSON_AddNullToObject(o, key)) != NULL;
}
static void text(bool *ok, cJSON *o, const char *key, const char *s)
{
    *ok &= cJSON_AddStringToObject(o, key, s) != NULL;
}
static void verdict(bool *ok, cJSON *o, bool passed)                 { text(ok, o, "verdict", passed ? "pass" : "fail"); }

static cJSON *failure_json(const verify_failure *f)
{
    cJSON *o = cJSON_CreateObject();
    bool   ok = o != NULL;
    if (!ok) return NULL;
    text(&ok, o, "what", f->what);
    if (f->case_id[0]) text(&ok, o, "case", f->case_id);
    else               ok &= cJSON_AddNullToObject(o, "case") != NULL;
    num(&ok, o, "step", f->step >= 0 ? (double)f->step : NAN);
    num(&ok, o, "expected", f->expected >= 0 ? f->expected : NAN);
    num(&ok, o, "got", f->got >= 0 ? f->got : NAN);
    num(&ok, o, "margin", f->margin);
    num(&ok, o, "layer", f->layer >= LAYER_EMBEDDING ? f->layer : NAN);     // -1: the embeddings; null: no layer
    text(&ok, o, "text", f->text);
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

// ---- the numbers of a report, in the order in which they are written; read back from a record by the same rows ------

typedef enum { TEXT, COUNT, LATER_COUNT, NUMBER, LATER_NUMBER, SINGLE, LAYER, FLAG, PASSED, KIND } field_kind;
typedef struct { const char *key; field_kind kind; size_t off, size; } field;
// LATER_NUMBER, where it is one, and LATER_COUNT, above 0: records written before there was such a key have none; it is
// then NAN or 0, and not written again either.

#define FIELD(type, key, kind, member) { key, kind, offsetof(type, member), sizeof(((type *)0)->member) }
#define F(key, kind, member) FIELD(verify_fixture_result, key, kind, member)
#define D(key, kind, member) FIELD(verify_derivation, key, kind, member)
#define R(key, kind, member) FIELD(verify_report, key, kind, member)

static const field FIXTURE_FIELDS[] = {
    F("name", TEXT, name), F("sha256", TEXT, file_digest), F("dtype", TEXT, dtype), F("check", KIND, kind), F("ran", FLAG, ran),
    F("cases", COUNT, cases), F("top_k", LATER_COUNT, top_k), F("free_run_equal", COUNT, free_run_equal),
    F("free_run_ties", COUNT, free_run_ties),
    F("free_run_tokens", COUNT, free_run_tokens), F("free_run_tokens_equal", COUNT, free_run_tokens_equal),
    F("steps", COUNT, steps), F("teacher_forced_equal", COUNT, teacher_forced_equal), F("ties", COUNT, ties),
    F("ties_differing", COUNT, ties_differing),
    F("kl_mean", NUMBER, kl_mean), F("kl_max", NUMBER, kl_max), F("logprob_diff_max", NUMBER, logprob_diff_max),
    F("probe_worst", NUMBER, probe_worst), F("probe_layer", LAYER, probe_layer),
    F("self_kl_mean", NUMBER, self_kl_mean),
    F("self_logprob_diff_max", NUMBER, self_logprob_diff_max), F("kl_limit", NUMBER, kl_limit),
    F("logprob_limit", NUMBER, logprob_limit),
    F("ties_limit", NUMBER, ties_limit), F("free_run_ties_limit", NUMBER, free_run_ties_limit),
    F("top1_limit", NUMBER, top1_limit),
    F("rounding_kl_mean", LATER_NUMBER, rounding_kl_mean), F("rounding_top1_equal", LATER_COUNT, rounding_top1_equal),
    F("budget", TEXT, budget), F("verdict", PASSED, passed), { NULL, 0, 0, 0 },
};
static const field DERIVATION_FIELDS[] = {
    D("tensors", COUNT, tensors), D("encoded", COUNT, encoded), D("error_max", NUMBER, error_max), D("error_tensor", TEXT, error_tensor),
    D("reason", TEXT, reason), D("verdict", PASSED, passed), { NULL, 0, 0, 0 },
};
static const field REPORT_FIELDS[] = {
    R("artifact", TEXT, artifact), R("type", TEXT, type), R("file_bytes", COUNT, file_bytes), R("arith", TEXT, arith), R("kv", TEXT, kv),
    R("kv_required", TEXT, kv_required), R("attention_scale", SINGLE, attention_scale), R("device", TEXT, device),
    R("gate", TEXT, gate), { NULL, 0, 0, 0 },
};

static void write_field(bool *ok, cJSON *o, const field *f, const void *row)
{
    const char *at = (const char *)row + f->off;
    switch (f->kind) {
    case TEXT:   *ok &= (*at ? cJSON_AddStringToObject(o, f->key, at) : cJSON_AddNullToObject(o, f->key)) != NULL; break;
    case COUNT:  num(ok, o, f->key, (double)*(const int64_t *)(const void *)at); break;
    case LATER_COUNT: if (*(const int64_t *)(const void *)at > 0) num(ok, o, f->key, (double)*(const int64_t *)(const void *)at); break;
    case NUMBER: num(ok, o, f->key, *(const double *)(const void *)at); break;
    case LATER_NUMBER: if (isfinite(*(const double *)(const void *)at)) num(ok, o, f->key,
                                                                            *(const double *)(const void *)at); break;
    case SINGLE: num(ok, o, f->key, (double)*(const float *)(const void *)at); break;
    case LAYER:  num(ok, o, f->key,
                     *(const int *)(const void *)at >= LAYER_EMBEDDING ? *(const int *)(const void *)at : NAN); break;
    case FLAG:   *ok &= cJSON_AddBoolToObject(o, f->key, *(const bool *)at) != NULL; break;
    case PASSED: verdict(ok, o, *(const bool *)at); break;
    case KIND:   text(ok, o, f->key, *(const check_kind *)(const void *)at == CHECK_EXACT ? "exact" : "drift"); break;
    }
}

static bool read_word(const cJSON *v, const char *yes, const char *no, bool *out)
{
    if (!cJSON_IsString(v) || (strcmp(v->valuestring, yes) != 0 && strcmp(v->valuestring, no) != 0)) return false;
    *out = strcmp(v->valuestring, yes) == 0;
    return true;
}

static bool read_field(const cJSON *o, const field *f, void *row)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, f->key);
    char   *at = (char *)row + f->off;
    int64_t n = LAYER_NONE;
    bool    yes, null = cJSON_IsNull(v);
    if (!v && f->kind == LATER_NUMBER) *(double *)(void *)at = NAN;
    if (!v) return f->kind == LATER_COUNT || f->kind == LATER_NUMBER;
    switch (f->kind) {
    case TEXT:
        if (null) { *at = '\0'; return true; }
        if (!cJSON_IsString(v) || strlen(v->valuestring) >= f->size) return false;
        strcpy(at, v->valuestring);
        return true;
    case COUNT:
        return json_as_i64(v, 0, INT64_MAX, (int64_t *)(void *)at);
    case LATER_COUNT:
        return json_as_i64(v, 1, INT64_MAX, (int64_t *)(void *)at);
    case NUMBER:
        *(double *)(void *)at = null ? NAN : v->valuedouble;
        return null || cJSON_IsNumber(v);
    case LATER_NUMBER:
        *(double *)(void *)at = v->valuedouble;
        return cJSON_IsNumber(v);
    case SINGLE:
        *(float *)(void *)at = null ? NAN : (float)v->valuedouble;
        return null || (cJSON_IsNumber(v) && (double)(float)v->valuedouble == v->valuedouble);
    case LAYER:
        if (!null && !json_as_i64(v, LAYER_EMBEDDING, 1 << 20, &n)) return false;
        *(int *)(void *)at = (int)n;
        return true;
    case FLAG:
        *(bool *)at = cJSON_IsTrue(v);
        return cJSON_IsBool(v);
    case PASSED:
        return read_word(v, "pass", "fail", (bool *)at);
    case KIND:
        if (!read_word(v, "exact", "drift", &yes)) return false;
        *(check_kind *)(void *)at = yes ? CHECK_EXACT : CHECK_DRIFT;
        return true;
    }
    return false;
}

static bool read_fields(const cJSON *o, const field *f, void *row, const char *where, err *e)
{
    for (; f->key; f++)
        if (!read_field(o, f, row))
            return err_set(e, ERR_VERDICT, "%s: key '%s': found nothing of use, expected what a report holds", where,
                           f->key);
    return true;
}

static cJSON *fixture_json(const verify_fixture_result *r, bool reasons)
{
    cJSON *o = cJSON_CreateObject(), *list = NULL;
    bool   ok = o != NULL;
    if (!ok) return NULL;
    for (const field *f = FIXTURE_FIELDS; f->key; f++) write_field(&ok, o, f, r);
    if (!reasons && ok) return o;
    num(&ok, o, "failures_total", (double)r->failures_total);
    ok = ok && (list = cJSON_AddArrayToObject(o, "failures")) != NULL;
    for (int64_t i = 0; ok && i < r->n_failures; i++) {
        cJSON *f = failure_json(&r->failures[i]);
        ok = f && cJSON_AddItemToArray(list, f);
    }
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

// Reports made before there was such a check, and those for which it was not asked, have no such key.
static bool add_derivation(cJSON *o, const verify_derivation *d)
{
    cJSON *at = d->made ? cJSON_AddObjectToObject(o, "derivation") : NULL;
    bool   ok = !d->made || at;
    for (const field *f = DERIVATION_FIELDS; d->made && ok && f->key; f++) write_field(&ok, at, f, d);
    return ok;
}

static cJSON *report_json(const verify_report *r, bool reasons)
{
    cJSON *o = cJSON_CreateObject(), *list = NULL, *notes = NULL;
    bool   ok = o != NULL;
    if (!ok) return NULL;
    for (const field *f = REPORT_FIELDS; f->key; f++) write_field(&ok, o, f, r);
    ok = ok && verify_recipe_add(o, &r->recipe) && add_derivation(o, &r->derivation) && (list = cJSON_AddArrayToObject(o, "fixtures")) != NULL;
    for (int64_t i = 0; ok && i < r->n_fixtures; i++) {
        cJSON *f = fixture_json(&r->fixtures[i], reasons);
        ok = f && cJSON_AddItemToArray(list, f);
    }
    ok = ok && (notes = cJSON_AddArrayToObject(o, "notes")) != NULL;
    for (int64_t i = 0; ok && i < r->n_notes; i++) {
        cJSON *s = cJSON_CreateString(r->notes[i]);
        ok = s && cJSON_AddItemToArray(notes, s);
    }
    text(&ok, o, "verdict", verify_verdict(r));
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *verify_report_json(const verify_report *r)  { return report_json(r, true); }
cJSON *verify_report_brief(const verify_report *r) { return report_json(r, false); }

static bool read_notes(verify_report *r, const cJSON *list, const char *where, err *e)
{
    const cJSON *s;
    if (!cJSON_IsArray(list)) return err_set(e, ERR_VERDICT, "%s: key 'notes': found no array", where);
    r->notes = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *r->notes);
    if (!r->notes) return err_nomem(e, "notes", sizeof *r->notes);
    cJSON_ArrayForEach(s, list) {
        if (!cJSON_IsString(s) || strlen(s->valuestring) >= sizeof *r->notes)
            return err_set(e, ERR_VERDICT, "%s: key 'notes': found no text, or too long a one", where);
        strcpy(r->notes[r->n_notes++], s->valuestring);
    }
    return true;
}

static bool read_derivation(verify_derivation *d, const cJSON *o, const char *where, err *e)
{
    if (!o) return true;
    if (!cJSON_IsObject(o)) return err_set(e, ERR_VERDICT, "%s: key 'derivation': found no object", where);
    d->made = true;
    return read_fields(o, DERIVATION_FIELDS, d, where, e);
}

static bool read_brief(verify_report *r, const cJSON *o, const char *where, err *e)
{
    const cJSON *list = json_get(o, "fixtures"), *f;
    bool passed;
    if (!read_fields(o, REPORT_FIELDS, r, where, e) || !read_notes(r, json_get(o, "notes"), where, e)) return false;
    if (!read_derivation(&r->derivation, json_get(o, "derivation"), where, e)) return false;
    if (!verify_recipe_read(&r->recipe, json_get(o, "recipe"), where, e)) return false;
    if (!read_word(json_get(o, "verdict"), "pass", "fail", &passed))
        return err_set(e, ERR_VERDICT, "%s: key 'verdict': found neither pass nor fail", where);
    if (!cJSON_IsArray(list)) return err_set(e, ERR_VERDICT, "%s: key 'fixtures': found no array", where);
    r->passed = passed;
    r->fixtures = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *r->fixtures);
    if (!r->fixtures) return err_nomem(e, "results", sizeof *r->fixtures);
    cJSON_ArrayForEach(f, list)
        if (!read_fields(f, FIXTURE_FIELDS, &r->fixtures[r->n_fixtures++], where, e)) return false;
    return true;
}

bool verify_report_read(verify_report *r, const cJSON *brief, const char *where, err *e)
{
    memset(r, 0, sizeof *r);
    if (read_brief(r, brief, where, e)) return true;
    verify_report_free(r);
    return false;
}

// One report is its own document; several are {"artifacts":[...],"verdict":...}.
static cJSON *document(const verify_report *const *r, int n)
{
    if (n == 1) return verify_report_json(r[0]);
    cJSON *o = cJSON_CreateObject(), *list = o ? cJSON_AddArrayToObject(o, "artifacts") : NULL;
    bool   ok = list != NULL, passed = n > 0;
    for (int i = 0; ok && i < n; i++) {
        cJSON *a = verify_report_json(r[i]);
        ok = a && cJSON_AddItemToArray(list, a);
        passed = passed && r[i]->passed;
    }
    if (ok) verdict(&ok, o, passed);
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

static char *report_text(const verify_report *const *r, int n, const char *suffix)
{
    if (strcmp(suffix, ".md") == 0) return verify_report_md(r, n);
    cJSON *doc = document(r, n);
    char  *s   = doc ? json_print(doc) : NULL;
    cJSON_Delete(doc);
    return s;
}

bool verify_report_write(const verify_report *const *r, int n, const char *path, err *e)
{
    const char *dot = strrchr(path, '.');
    if (!dot || (strcmp(dot, ".json") != 0 && strcmp(dot, ".md") != 0))
        return err_set(e, ERR_USAGE, "%s: a report's name ends in .json or .md", path);
    char *s = report_text(r, n, dot);
    if (!s) return err_nomem(e, "the report", 0);
    bool ok = outfile_write_whole(path, s, (int64_t)strlen(s), e);
    free(s);
    return ok;
}
