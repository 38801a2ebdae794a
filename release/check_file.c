// check_file: see check_file.h.
#include "check_beside.h"
#include "check_file.h"
#include "json_diff.h"
#include "../verify/gate.h"
#include "../verify/measured.h"
#include "../verify/preflight.h"
#include "../verify/steps.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- claims --------------------------------------------------------------------------------------------------------

// A release may have been held to limits of its maker's own: whoever is told that every claim holds is told that, too.
static void note_gate(check_gate *to, const cJSON *rec)
{
    const cJSON *sha = json_get(rec, "gate"), *name = json_get(json_get(rec, "release"), "gate");
    if (!to || to->sha256[0] || !cJSON_IsString(sha) || strcmp(sha->valuestring, "built-in") == 0) return;
    snprintf(to->sha256, sizeof to->sha256, "%s", sha->valuestring);
    if (cJSON_IsString(name)) snprintf(to->name, sizeof to->name, "%s", name->valuestring);
}

void check_told_free(check_told *c)
{
    for (int i = 0; i < c->n; i++) {
        free(c->v[i].artifact);
        free(c->v[i].claim);
    }
    free(c->v);
    *c = (check_told){ 0 };
}

// Takes the claim over.
static bool tell(check_told *to, const char *artifact, char *claim, err *e)
{
    check_claim *grown = realloc(to->v, ((size_t)to->n + 1) * sizeof *grown);
    char *name = strdup(artifact);
    if (grown) to->v = grown;
    if (!grown || !name) {
        free(name);
        free(claim);
        return err_nomem(e, "a claim", 0);
    }
    to->v[to->n++] = (check_claim){ name, claim };
    return true;
}

// What is measured of caches is the file's own, or a verdict; what it says is told, as nothing here proves it.
static bool note_measured(check_told *to, check_file_proof *p, const gguf *g, int n_threads, err *e)
{
    char *claim;
    if (!measured_check(g, n_threads, &claim, e)) return false;
    p->measured = claim[0] != '\0';
    if (to && claim[0]) return tell(to, path_base(gguf_path(g)), claim, e);
    free(claim);
    return true;
}

// Limits that a record names as built in, and that are no longer: record_check knows that they were.
static bool holds_older_gate(const cJSON *rec)
{
    const cJSON *held = json_get(rec, "gate"), *sha = json_get(json_get(rec, "judged_by"), "sha256");
    if (!cJSON_IsString(held) || strcmp(held->valuestring, "built-in") != 0 || !cJSON_IsString(sha)) return false;
    return strcmp(sha->valuestring, GATE_SHIPPED[GATE_N_SHIPPED - 1]) != 0;
}

// What else is told of a file whose record fits it.
static void note_file(check_file_proof *p, const gguf *g, const cJSON *rec)
{
    const cJSON *held = json_get(rec, "gate");
    p->lossy      = !gguf_keeps_source(g);
    p->mixed      = gguf_find_kv(g, KEY_HM_QUANTIZE_MIX) != NULL;
    p->matrix     = gguf_find_kv(g, "quantize.imatrix.file") != NULL;
    p->calibrated = gguf_find_kv(g, KEY_HM_CALIBRATION) != NULL;
    p->lacks      = record_lacks(rec);
    p->older_gate = holds_older_gate(rec);
    if (cJSON_IsString(held) && strcmp(held->valuestring, "built-in") != 0)
        text_fit(p->gate, sizeof p->gate, held->valuestring, strlen(held->valuestring), 0);
}

static bool begin_file(check_run *x, const char *path, err *e)
{
    x->none = (check_file_proof){ .lacks = NULL };
    x->now  = x->o->proof ? check_proof_add(x->o->proof, path_base(path)) : &x->none;
    return x->now || err_nomem(e, "what is proved", sizeof *x->now);
}

static bool read_claims(check_run *x, const gguf *g, cJSON **rec, err *e)
{
    const check_opts *o = x->o;
    const char       *path = gguf_path(g);
    check_file_proof *p = x->now;
    bool ok = gguf_find_kv(g, KEY_HM_TENSOR_SHA)
           || err_set(e, ERR_VERDICT, "%s: key '%s': absent: the file makes no claims that could be checked", path,
                      KEY_HM_TENSOR_SHA);
    ok = ok && claims_check_gaps(g, e) && claims_check_tensors(g, o->n_threads, o->progress, e)
        && note_measured(o->claims, p, g, o->n_threads, e) && record_read(g, rec, e);
    if (ok && !*rec)
        ok = err_set(e, ERR_VERDICT, "%s: key '%s': the record is empty: this file was never released", path,
                     KEY_HM_VERIFICATION);
    ok = ok && record_check(g, *rec, e);
    if (ok) note_gate(o->gate, *rec);
    if (ok) note_file(p, g, *rec);
    if (ok && p->lacks) progress_logf(o->progress, "%s: its verification record is older than %s", path, p->lacks);
    return ok;
}

bool check_claims(check_run *x, const char *path, gguf **g, cJSON **rec, err *e)
{
    *rec = NULL;
    *g = begin_file(x, path, e) ? gguf_open(path, e) : NULL;
    if (*g && read_claims(x, *g, rec, e)) return true;
    cJSON_Delete(*rec);
    gguf_close(*g);
    *rec = NULL;
    *g = NULL;
    return false;
}

// ---- fixtures ------------------------------------------------------------------------------------------------------

static bool first_failure(const verify_report *r, const char *path, err *e)
{
    for (int64_t i = 0; i < r->n_fixtures; i++)
        if (r->fixtures[i].n_failures > 0)
            return err_set(e, ERR_VERDICT, "%s: against %s: %s", path, r->fixtures[i].name,
                           r->fixtures[i].failures[0].text);
    return err_set(e, ERR_VERDICT, "%s: does not pass", path);
}

static void note_undecided(check_run *x, const verify_report *r, const char *path)
{
    for (int64_t i = 0; i < r->n_fixtures && !x->undecided[0]; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (f->n_why == 0) continue;
        snprintf(x->undecided, sizeof x->undecided, "%.200s: against %.127s: inconclusive: %s", path, f->name,
                 f->why[0].text);
        x->why = f->why[0];
        snprintf(x->why_of, sizeof x->why_of, "%s", f->name);
    }
}

// What is inconclusive holds nothing.
static void note_runs(check_file_proof *p, const verify_report *r)
{
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        if (r->fixtures[i].n_why > 0) continue;
        if (r->fixtures[i].kind == CHECK_EXACT) p->n_exact++;
        else                                    p->n_drift++;
    }
}

// As written and read back: JSON may cost the last bit.
static bool same_number(double a, double b) { return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * fabs(b); }

static bool same_figure(const char *path, const char *against, const char *key, double found, double run, err *e)
{
    if (same_number(found, run)) return true;
    return err_set(e, ERR_VERDICT, "%s: the verification record's '%s' against fixture '%.127s' is %.9g, but running "
                   "it again gives %.9g", path, key, against, found, run);
}

// What a run gives is the same each time, on each machine: the record's figures are those, or are not of such a run.
static bool same_figures(const char *path, const verify_fixture_result *found, const verify_fixture_result *run,
                         err *e)
{
    const struct { const char *key; double found, run; } rows[] = {
        { "cases", (double)found->cases, (double)run->cases },
        { "free_run_tokens", (double)found->free_run_tokens, (double)run->free_run_tokens },
        { "steps", (double)found->steps, (double)run->steps },
        { "teacher_forced_equal", (double)found->teacher_forced_equal, (double)run->teacher_forced_equal },
        { "kl_mean", found->kl_mean, run->kl_mean },
        { "kl_max", found->kl_max, run->kl_max },
        { "logprob_diff_max", found->logprob_diff_max, run->logprob_diff_max },
        { "ties", (double)found->ties, (double)run->ties },
        { "ties_differing", (double)found->ties_differing, (double)run->ties_differing },
        { "free_run_equal", (double)found->free_run_equal, (double)run->free_run_equal },
        { "free_run_ties", (double)found->free_run_ties, (double)run->free_run_ties },
        { "free_run_tokens_equal", (double)found->free_run_tokens_equal, (double)run->free_run_tokens_equal },
        { "probe_worst", found->probe_worst, run->probe_worst },
        { "self_kl_mean", found->self_kl_mean, run->self_kl_mean },
        { "self_logprob_diff_max", found->self_logprob_diff_max, run->self_logprob_diff_max },
        { "rounding_kl_mean", found->rounding_kl_mean, run->rounding_kl_mean },
        { "kl_limit", found->kl_limit, run->kl_limit },
        { "logprob_limit", found->logprob_limit, run->logprob_limit },
        { "ties_limit", found->ties_limit, run->ties_limit },
        { "free_run_ties_limit", found->free_run_ties_limit, run->free_run_ties_limit },
        { "top1_limit", found->top1_limit, run->top1_limit },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!same_figure(path, found->name, rows[i].key, rows[i].found, rows[i].run, e)) return false;
    return true;
}

// Each step, where the reports show them.
static bool same_steps(const cJSON *steps, const verify_report *said, const verify_fixture_result *found,
                       const verify_fixture_result *run, err *e)
{
    char place[600];
    const cJSON *there = steps_find(steps, said->artifact, run->file_digest);
    if (!there) return true;
    cJSON *expected = steps_fixture_json(run);
    snprintf(place, sizeof place, STEPS_FILE ": %.255s against %.127s: not what running it again gives", said->artifact,
             found->name);
    const bool ok = expected ? json_same(there, expected, place, e) : err_nomem(e, "steps", 0);
    cJSON_Delete(expected);
    return ok;
}

static bool record_agrees(const check_run *x, const char *path, const verify_report *said, const verify_report *run,
                          err *e)
{
    for (int64_t i = 0; i < run->n_fixtures; i++)
        for (int64_t k = 0; k < said->n_fixtures; k++) {
            const verify_fixture_result *found = &said->fixtures[k], *now = &run->fixtures[i];
            if (strcmp(now->file_digest, found->file_digest) != 0) continue;
            if (!same_figures(path, found, now, e) || !same_steps(x->steps, said, found, now, e)) return false;
        }
    return true;
}

// The length of their free runs, as the record tells it; 0, which is the usual one: it does not know this fixture.
static int64_t tokens_said(const verify_report *said, const char *digest)
{
    for (int64_t k = 0; k < said->n_fixtures; k++) {
        const verify_fixture_result *f = &said->fixtures[k];
        if (strcmp(f->file_digest, digest) == 0 && f->cases > 0) return f->free_run_tokens / f->cases;
    }
    return 0;
}

// Of the fixtures that the artifact answers to those that its record knows, or knows nothing of, into paths:
// [x->fixtures.n]. *tokens: the longest free run that the record tells of them, as they ran together; 0: the usual one.
static int choose_fixtures(check_run *x, const artifact_ref *a, const verify_report *said, const char *path,
                           bool known, const char **paths, int64_t *tokens)
{
    int n = 0;
    *tokens = 0;
    for (int i = 0; i < x->fixtures.n; i++) {
        fixture_ref  *f = &x->fixtures.v[i];
        const int64_t told = tokens_said(said, f->digest);
        if ((told > 0) != known) continue;
        if (fixture_match(f, a) == MATCH_NONE) {
            fixture_why_not(f, a, path_base(path));
            continue;
        }
        if (told > *tokens) *tokens = told;
        f->used = true;
        paths[n++] = f->path;
    }
    return n;
}

static bool judge(check_run *x, const verify_report *said, const verify_report *r, const char *path, err *e)
{
    const char *verdict = verify_verdict(r);
    if (strcmp(verdict, "inconclusive") == 0)    note_undecided(x, r, path);
    else if (strcmp(verdict, "pass") != 0)       return first_failure(r, path, e);
    if (!record_agrees(x, path, said, r, e)) return false;
    note_runs(x->now, r);
    return true;
}

static bool run_chosen(check_run *x, const verify_report *said, const char *path, bool known, const char **paths,
                       err *e)
{
    const check_opts *o = x->o;
    artifact_ref  a;
    verify_report r = { 0 };
    verify_opts   vo = { .gate_path = o->gate_path, .progress = o->progress,
                         .run = { .device = o->device, .n_threads = o->n_threads } };
    if (!artifact_ref_read(&a, path, e)) return false;
    const int n = choose_fixtures(x, &a, said, path, known, paths, &vo.tokens);
    const bool ok = n == 0 || (verify_artifact(&r, path, paths, n, &vo, e) && judge(x, said, &r, path, e));
    verify_report_free(&r);
    return ok;
}

static bool run_again(check_run *x, const gguf *g, const cJSON *rec, err *e)
{
    verify_report said = { 0 };
    if (x->fixtures.n == 0) return true;
    const char **paths = calloc((size_t)x->fixtures.n, sizeof *paths);
    bool ok = (paths || err_nomem(e, "fixtures", 0)) && record_report(g, rec, &said, e);
    ok = ok && run_chosen(x, &said, gguf_path(g), true, paths, e)
        && run_chosen(x, &said, gguf_path(g), false, paths, e);
    verify_report_free(&said);
    free(paths);
    return ok;
}

bool check_further(check_run *x, const gguf *g, const cJSON *rec, err *e)
{
    return (!x->source || check_source_proves(x->source, g, rec, x->now, e)) && run_again(x, g, rec, e)
        && (!x->o->proof || check_beside_fixtures(x->o->proof, x->dir, rec, e));
}
