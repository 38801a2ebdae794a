// Reports as JSON: the keys are a contract (verify.h names them; the tests prove it); what does not apply is null. No
// time stamps, no machine's paths.
#include "verify.h"
#include "recipe.h"
#include "../formats/json.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// cJSON's adders give NULL when memory fails: `ok` collects that, and the whole document is then dropped.
static void num(bool *ok, cJSON *o, const char *key, double v)
{
    *ok &= (isfinite(v) ? cJSON_AddNumberToObject(o, key, v) : cJSON_AddNullToObject(o, key)) != NULL;
}
// Absent where it is not known.
static void later_number(bool *ok, cJSON *o, const char *key, double v)
{
    if (isfinite(v)) num(ok, o, key, v);
}
static void text(bool *ok, cJSON *o, const char *key, const char *s)
{
    *ok &= cJSON_AddStringToObject(o, key, s) != NULL;
}
static void verdict(bool *ok, cJSON *o, bool passed) { text(ok, o, "verdict", passed ? "pass" : "fail"); }

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

typedef enum {
    TEXT, LATER_TEXT, COUNT, LATER_COUNT, NUMBER, LATER_NUMBER, SINGLE, LAYER, FLAG, PASSED, FIXTURE_VERDICT, KIND
} field_kind;
typedef struct { const char *key; field_kind kind; size_t off, size; } field;
// LATER_TEXT, where there is any, LATER_NUMBER, where it is one, and LATER_COUNT, above 0: records written before there
// was such a key have none; it is then "", NAN or 0, and not written again either.

#define FIELD(type, key, kind, member) { key, kind, offsetof(type, member), sizeof(((type *)0)->member) }
#define F(key, kind, member) FIELD(verify_fixture_result, key, kind, member)
#define D(key, kind, member) FIELD(verify_derivation, key, kind, member)
#define REF(key, kind, member) FIELD(verify_reference, key, kind, member)
#define R(key, kind, member) FIELD(verify_report, key, kind, member)

static const field FIXTURE_FIELDS[] = {
    F("name", TEXT, name),
    F("sha256", TEXT, file_digest),
    F("dtype", TEXT, dtype),
    F("check", KIND, kind),
    F("ran", FLAG, ran),
    F("cases", COUNT, cases),
    F("top_k", LATER_COUNT, top_k),
    F("free_run_equal", COUNT, free_run_equal),
    F("free_run_ties", COUNT, free_run_ties),
    F("free_run_tokens", COUNT, free_run_tokens),
    F("free_run_tokens_equal", COUNT, free_run_tokens_equal),
    F("steps", COUNT, steps),
    F("teacher_forced_equal", COUNT, teacher_forced_equal),
    F("ties", COUNT, ties),
    F("ties_differing", COUNT, ties_differing),
    F("kl_mean", NUMBER, kl_mean),
    F("kl_max", NUMBER, kl_max),
    F("logprob_diff_max", NUMBER, logprob_diff_max),
    F("probe_worst", NUMBER, probe_worst),
    F("probe_layer", LAYER, probe_layer),
    F("self_kl_mean", NUMBER, self_kl_mean),
    F("self_logprob_diff_max", NUMBER, self_logprob_diff_max),
    F("kl_limit", NUMBER, kl_limit),
    F("logprob_limit", NUMBER, logprob_limit),
    F("ties_limit", NUMBER, ties_limit),
    F("free_run_ties_limit", NUMBER, free_run_ties_limit),
    F("top1_limit", NUMBER, top1_limit),
    F("rounding_kl_mean", LATER_NUMBER, rounding_kl_mean),
    F("rounding_top1_equal", LATER_COUNT, rounding_top1_equal),
    F("budget", TEXT, budget),
    F("verdict", FIXTURE_VERDICT, passed),
    { NULL, 0, 0, 0 },
};
static const field DERIVATION_FIELDS[] = {
    D("tensors", COUNT, tensors),
    D("encoded", COUNT, encoded),
    D("error_max", NUMBER, error_max),
    D("error_tensor", TEXT, error_tensor),
    D("reason", TEXT, reason),
    D("verdict", PASSED, passed),
    { NULL, 0, 0, 0 },
};
static const field REMOTE_FIELDS[] = {
    FIELD(verify_remote_info, "api", TEXT, api), FIELD(verify_remote_info, "server", TEXT, server),
    FIELD(verify_remote_info, "model", TEXT, model), FIELD(verify_remote_info, "ids_seen", FLAG, ids_seen),
    FIELD(verify_remote_info, "questions", COUNT, questions), { NULL, 0, 0, 0 },
};
static const field REPORT_FIELDS[] = {
    R("artifact", TEXT, artifact),
    R("type", TEXT, type),
    R("file_bytes", COUNT, file_bytes),
    R("arith", TEXT, arith),
    R("kv", TEXT, kv),
    R("kv_required", TEXT, kv_required),
    R("attention_scale", SINGLE, attention_scale),
    R("device", TEXT, device),
    R("gate", TEXT, gate),
    R("processor", LATER_TEXT, processor),
    { NULL, 0, 0, 0 },
};
// Parts of their own, of later records.
static const field REFERENCE_FIELDS[] = {
    REF("model", TEXT, model), REF("revision", TEXT, revision), REF("transformers", TEXT, transformers),
    REF("torch", TEXT, torch), REF("device", TEXT, device), REF("attention", TEXT, attention),
    REF("experts", LATER_TEXT, experts),
    REF("linear_attention", LATER_TEXT, linear_attention), REF("tokens", COUNT, tokens),
    REF("prompts_sha256", TEXT, prompts), { NULL, 0, 0, 0 },
};
static const field PROGRAM_FIELDS[] = {
    FIELD(verify_program, "version", TEXT, version), FIELD(verify_program, "commit", TEXT, commit), { NULL, 0, 0, 0 },
};
static const field SOURCE_FIELDS[] = {
    FIELD(verify_source, "repository", TEXT, repository), FIELD(verify_source, "revision", TEXT, revision),
    FIELD(verify_source, "digest", TEXT, digest), { NULL, 0, 0, 0 },
};
static const field GATE_FIELDS[] = {
    FIELD(verify_gate, "name", TEXT, name), FIELD(verify_gate, "sha256", TEXT, sha256), { NULL, 0, 0, 0 },
};

static void write_field(bool *ok, cJSON *o, const field *f, const void *row)
{
    const char *at = (const char *)row + f->off;
    switch (f->kind) {
    case TEXT: *ok &= (*at ? cJSON_AddStringToObject(o, f->key, at) : cJSON_AddNullToObject(o, f->key)) != NULL; break;
    case LATER_TEXT: if (*at) text(ok, o, f->key, at); break;
    case COUNT:  num(ok, o, f->key, (double)*(const int64_t *)(const void *)at); break;
    case LATER_COUNT:
        if (*(const int64_t *)(const void *)at > 0) num(ok, o, f->key, (double)*(const int64_t *)(const void *)at);
        break;
    case NUMBER: num(ok, o, f->key, *(const double *)(const void *)at); break;
    case LATER_NUMBER: later_number(ok, o, f->key, *(const double *)(const void *)at); break;
    case SINGLE: num(ok, o, f->key, (double)*(const float *)(const void *)at); break;
    case LAYER:  num(ok, o, f->key,
                     *(const int *)(const void *)at >= LAYER_EMBEDDING ? *(const int *)(const void *)at : NAN); break;
    case FLAG:   *ok &= cJSON_AddBoolToObject(o, f->key, *(const bool *)at) != NULL; break;
    case PASSED: verdict(ok, o, *(const bool *)at); break;
    case FIXTURE_VERDICT: text(ok, o, f->key, verify_fixture_verdict(row)); break;
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
    if (!v && f->kind == LATER_TEXT) *at = '\0';
    if (!v) return f->kind == LATER_COUNT || f->kind == LATER_NUMBER || f->kind == LATER_TEXT;
    switch (f->kind) {
    case TEXT:
    case LATER_TEXT:
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
    case FIXTURE_VERDICT:       // of a record, which no inconclusive result has
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

// A part of its own. Reports made before there was one, and those for which it was not asked, have no such key.
static bool add_part(cJSON *o, const char *key, bool there, const field *f, const void *row)
{
    cJSON *at = there ? cJSON_AddObjectToObject(o, key) : NULL;
    bool   ok = !there || at;
    for (; there && ok && f->key; f++) write_field(&ok, at, f, row);
    return ok;
}

// *there: it has one, and row is filled in.
static bool read_part(const cJSON *o, const char *key, bool *there, const field *f, void *row, const char *where,
                      err *e)
{
    const cJSON *at = json_get(o, key);
    *there = at != NULL;
    if (!at) return true;
    if (!cJSON_IsObject(at)) return err_set(e, ERR_VERDICT, "%s: key '%s': found no object", where, key);
    return read_fields(at, f, row, where, e);
}

static bool add_why(cJSON *list, const char *name, const verify_why *w)
{
    cJSON *o = json_add_object(list);
    bool   ok = o != NULL;
    if (ok && name) text(&ok, o, "fixture", name);
    if (ok) {
        text(&ok, o, "what", w->what);
        text(&ok, o, "text", w->text);
        num(&ok, o, "prompts_needed", w->prompts > 0 ? (double)w->prompts : NAN);
        num(&ok, o, "steps_needed", w->steps > 0 ? (double)w->steps : NAN);
    }
    return ok;
}

static bool add_failures(cJSON *o, const verify_fixture_result *r)
{
    bool   ok = true;
    cJSON *why = r->n_why > 0 ? cJSON_AddArrayToObject(o, "why") : NULL, *list;
    for (int64_t i = 0; ok && i < r->n_why; i++) ok = add_why(why, NULL, &r->why[i]);
    num(&ok, o, "failures_total", (double)r->failures_total);
    ok = ok && (list = cJSON_AddArrayToObject(o, "failures")) != NULL;
    for (int64_t i = 0; ok && i < r->n_failures; i++) {
        cJSON *f = failure_json(&r->failures[i]);
        ok = f && cJSON_AddItemToArray(list, f);
    }
    return ok;
}

static cJSON *fixture_json(const verify_fixture_result *r, bool reasons)
{
    cJSON *o = cJSON_CreateObject();
    bool   ok = o != NULL;
    if (!ok) return NULL;
    for (const field *f = FIXTURE_FIELDS; f->key; f++) write_field(&ok, o, f, r);
    if (r->cases_held > 0) num(&ok, o, "cases_held", (double)r->cases_held);
    ok = ok && add_part(o, "reference", r->reference.prompts[0] != '\0', REFERENCE_FIELDS, &r->reference);
    if (ok && (!reasons || add_failures(o, r))) return o;
    cJSON_Delete(o);
    return NULL;
}

static bool add_gate(cJSON *o, const verify_gate *g)
{
    if (!g->name[0]) return true;
    if (!add_part(o, "judged_by", true, GATE_FIELDS, g)) return false;
    cJSON *limits = gate_json(&g->limits);
    return limits && cJSON_AddItemToObject(cJSON_GetObjectItem(o, "judged_by"), "limits", limits);
}

static bool add_parts(cJSON *o, const verify_report *r)
{
    const verify_source *s = &r->source;
    const bool known = s->repository[0] || s->revision[0] || s->digest[0];
    return verify_recipe_add(o, &r->recipe)
        && add_part(o, "derivation", r->derivation.made, DERIVATION_FIELDS, &r->derivation)
        && add_part(o, "hallmark", r->program.version[0] != '\0', PROGRAM_FIELDS, &r->program)
        && add_part(o, "source", known, SOURCE_FIELDS, s)
        && add_part(o, "remote", r->remote.api[0] != '\0', REMOTE_FIELDS, &r->remote) && add_gate(o, &r->judged_by);
}

// Of a verdict that is open, all that leaves it so.
static bool add_open(cJSON *o, const verify_report *r)
{
    if (strcmp(verify_verdict(r), "inconclusive") != 0) return true;
    cJSON *list = cJSON_AddArrayToObject(o, "why");
    bool   ok = list != NULL;
    for (int64_t i = 0; ok && i < r->n_fixtures; i++)
        for (int64_t k = 0; ok && k < r->fixtures[i].n_why; k++)
            ok = add_why(list, r->fixtures[i].name, &r->fixtures[i].why[k]);
    return ok;
}

static cJSON *report_json(const verify_report *r, bool reasons)
{
    cJSON *o = cJSON_CreateObject(), *list = NULL, *notes = NULL;
    bool   ok = o != NULL;
    if (!ok) return NULL;
    for (const field *f = REPORT_FIELDS; f->key; f++) write_field(&ok, o, f, r);
    if (reasons && r->file_sha256[0]) text(&ok, o, "sha256", r->file_sha256);
    ok = ok && add_parts(o, r) && (list = cJSON_AddArrayToObject(o, "fixtures")) != NULL;
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
    if (ok && reasons) ok = add_open(o, r);
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

static bool read_gate(verify_gate *g, const cJSON *o, const char *where, err *e)
{
    bool there;
    err  bad = { 0 };
    char place[600];
    if (!read_part(o, "judged_by", &there, GATE_FIELDS, g, where, e)) return false;
    if (!there) return true;
    snprintf(place, sizeof place, "%.500s: key 'judged_by.limits'", where);
    return gate_of_json(&g->limits, json_get(json_get(o, "judged_by"), "limits"), place, &bad)
        || err_as_verdict(e, &bad);
}

static bool read_parts(verify_report *r, const cJSON *o, const char *where, err *e)
{
    bool there;
    return verify_recipe_read(&r->recipe, json_get(o, "recipe"), where, e)
        && read_part(o, "derivation", &r->derivation.made, DERIVATION_FIELDS, &r->derivation, where, e)
        && read_part(o, "hallmark", &there, PROGRAM_FIELDS, &r->program, where, e)
        && read_part(o, "source", &there, SOURCE_FIELDS, &r->source, where, e) && read_gate(&r->judged_by, o, where, e);
}

static bool read_fixture(verify_fixture_result *r, const cJSON *o, const char *where, err *e)
{
    bool there;
    return read_fields(o, FIXTURE_FIELDS, r, where, e)
        && read_part(o, "reference", &there, REFERENCE_FIELDS, &r->reference, where, e);
}

static bool read_brief(verify_report *r, const cJSON *o, const char *where, err *e)
{
    const cJSON *list = json_get(o, "fixtures"), *f;
    bool passed;
    if (!read_fields(o, REPORT_FIELDS, r, where, e) || !read_notes(r, json_get(o, "notes"), where, e)) return false;
    if (!read_parts(r, o, where, e)) return false;
    if (!read_word(json_get(o, "verdict"), "pass", "fail", &passed))
        return err_set(e, ERR_VERDICT, "%s: key 'verdict': found neither pass nor fail", where);
    if (!cJSON_IsArray(list)) return err_set(e, ERR_VERDICT, "%s: key 'fixtures': found no array", where);
    r->passed = passed;
    r->fixtures = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *r->fixtures);
    if (!r->fixtures) return err_nomem(e, "results", sizeof *r->fixtures);
    cJSON_ArrayForEach(f, list)
        if (!read_fixture(&r->fixtures[r->n_fixtures++], f, where, e)) return false;
    return true;
}

// What the text of a number gives back; null, of what is none.
static bool settle(double *v)
{
    if (!isfinite(*v)) { *v = NAN; return true; }
    cJSON *o = cJSON_CreateNumber(*v);
    char  *written = o ? cJSON_PrintUnformatted(o) : NULL;
    if (written) *v = strtod(written, NULL);
    const bool ok = written != NULL;
    cJSON_free(written);
    cJSON_Delete(o);
    return ok;
}

static bool settle_fields(const field *f, void *row)
{
    bool ok = true;
    for (; ok && f->key; f++)
        if (f->kind == NUMBER || f->kind == LATER_NUMBER) ok = settle((double *)(void *)((char *)row + f->off));
    return ok;
}

bool verify_report_settle(verify_report *r, err *e)
{
    bool ok = settle_fields(DERIVATION_FIELDS, &r->derivation);
    for (int64_t i = 0; ok && i < r->n_fixtures; i++) ok = settle_fields(FIXTURE_FIELDS, &r->fixtures[i]);
    return ok || err_nomem(e, "a number", 0);
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
    bool   ok = list != NULL;
    const char *worst = n > 0 ? "pass" : "fail";
    for (int i = 0; ok && i < n; i++) {
        cJSON *a = verify_report_json(r[i]);
        ok = a && cJSON_AddItemToArray(list, a);
        worst = verify_worse(worst, verify_verdict(r[i]));
    }
    if (ok) text(&ok, o, "verdict", worst);
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

char *verify_report_json_text(const verify_report *const *r, int n)
{
    cJSON *doc = document(r, n);
    char  *s   = doc ? json_print(doc) : NULL;
    cJSON_Delete(doc);
    return s;
}
