// Reports as JSON: the keys are a contract (verify.h names them; the tests prove it); what does not apply is null. No time stamps, no machine's paths.
#include "verify.h"
#include "../formats/outfile.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// cJSON's adders give NULL when memory fails: `ok` collects that, and the whole document is then dropped.
static void num(bool *ok, cJSON *o, const char *key, double v)
{
    *ok &= (isfinite(v) ? cJSON_AddNumberToObject(o, key, v) : cJSON_AddNullToObject(o, key)) != NULL;
}
static void count(bool *ok, cJSON *o, const char *key, int64_t v)   { num(ok, o, key, (double)v); }
static void text(bool *ok, cJSON *o, const char *key, const char *s) { *ok &= cJSON_AddStringToObject(o, key, s) != NULL; }
static void verdict(bool *ok, cJSON *o, bool passed)                 { text(ok, o, "verdict", passed ? "pass" : "fail"); }

const char *verify_verdict(const verify_report *r)
{
    if (r->passed && !r->incomplete && r->n_fixtures > 0) return "pass";
    for (int64_t i = 0; i < r->n_fixtures; i++)
        if (!r->fixtures[i].passed) return "fail";
    return "unverified";
}

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

static cJSON *fixture_json(const verify_fixture_result *r)
{
    cJSON *o = cJSON_CreateObject(), *list;
    bool   ok = o != NULL;
    if (!ok) return NULL;
    text(&ok, o, "name", r->name);
    text(&ok, o, "sha256", r->file_digest);
    text(&ok, o, "dtype", r->dtype);
    text(&ok, o, "check", r->kind == CHECK_EXACT ? "exact" : "drift");
    ok &= cJSON_AddBoolToObject(o, "ran", r->ran) != NULL;
    count(&ok, o, "cases", r->cases);
    count(&ok, o, "free_run_equal", r->free_run_equal);
    count(&ok, o, "free_run_ties", r->free_run_ties);
    count(&ok, o, "free_run_tokens", r->free_run_tokens);
    count(&ok, o, "free_run_tokens_equal", r->free_run_tokens_equal);
    count(&ok, o, "steps", r->steps);
    count(&ok, o, "teacher_forced_equal", r->teacher_forced_equal);
    count(&ok, o, "ties", r->ties);
    count(&ok, o, "ties_differing", r->ties_differing);
    num(&ok, o, "kl_mean", r->kl_mean);
    num(&ok, o, "kl_max", r->kl_max);
    num(&ok, o, "logprob_diff_max", r->logprob_diff_max);
    num(&ok, o, "probe_worst", r->probe_worst);
    num(&ok, o, "probe_layer", r->probe_layer >= LAYER_EMBEDDING ? r->probe_layer : NAN);
    num(&ok, o, "self_kl_mean", r->self_kl_mean);
    num(&ok, o, "self_logprob_diff_max", r->self_logprob_diff_max);
    num(&ok, o, "kl_limit", r->kl_limit);
    num(&ok, o, "logprob_limit", r->logprob_limit);
    num(&ok, o, "ties_limit", r->ties_limit);
    num(&ok, o, "top1_limit", r->top1_limit);
    verdict(&ok, o, r->passed);
    count(&ok, o, "failures_total", r->failures_total);
    ok &= (list = cJSON_AddArrayToObject(o, "failures")) != NULL;
    for (int64_t i = 0; ok && i < r->n_failures; i++) {
        cJSON *f = failure_json(&r->failures[i]);
        ok = f && cJSON_AddItemToArray(list, f);
    }
    if (ok) return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *verify_report_json(const verify_report *r)
{
    cJSON *o = cJSON_CreateObject(), *list, *notes;
    bool   ok = o != NULL;
    if (!ok) return NULL;
    text(&ok, o, "artifact", r->artifact);
    text(&ok, o, "type", r->type);
    count(&ok, o, "file_bytes", r->file_bytes);
    text(&ok, o, "arith", r->arith);
    text(&ok, o, "kv", r->kv);
    text(&ok, o, "kv_required", r->kv_required);
    num(&ok, o, "attention_scale", (double)r->attention_scale);
    text(&ok, o, "device", r->device);
    text(&ok, o, "gate", r->gate);
    ok &= (list = cJSON_AddArrayToObject(o, "fixtures")) != NULL;
    for (int64_t i = 0; ok && i < r->n_fixtures; i++) {
        cJSON *f = fixture_json(&r->fixtures[i]);
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
    char  *s   = doc ? cJSON_Print(doc) : NULL;
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
