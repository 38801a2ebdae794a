// What a comparison found: room for it, and the failures in it.
#include "compare.h"
#include "recipe.h"
#include "reference.h"
#include "../formats/file_map.h"
#include "../formats/text.h"
#include "../formats/version.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool result_begin(verify_fixture_result *r, const fixture *f, check_kind kind, err *e)
{
    memset(r, 0, sizeof *r);
    if (!reference_describe(&r->reference, f, e)) return false;
    r->failures = calloc(VERIFY_MAX_FAILURES, sizeof *r->failures);
    if (!r->failures) return err_nomem(e, "failures", VERIFY_MAX_FAILURES * sizeof *r->failures);
    // The file's own name: a report names no machine's folders.
    snprintf(r->name, sizeof r->name, "%s", path_base(f->path));
    snprintf(r->file_digest, sizeof r->file_digest, "%s", f->file_digest);
    snprintf(r->dtype, sizeof r->dtype, "%s", f->dtype);
    r->kind    = kind;
    r->cases   = f->n_cases;
    r->cases_held = f->n_held;
    r->top_k   = f->top_k;
    r->probe_layer = LAYER_NONE;
    r->kl_mean = r->kl_max = r->logprob_diff_max = NAN;
    r->kl_limit = r->logprob_limit = r->ties_limit = r->free_run_ties_limit = r->top1_limit = r->rounding_kl_mean = NAN;
    return true;
}

bool result_keep_cases(verify_fixture_result *r, const fixture *f, err *e)
{
    r->traced = trace_new(f);
    if (!r->traced)
        return err_nomem(e, "what each step gave", (size_t)(f->n_cases * f->tokens) * sizeof(verify_step));
    r->n_traced = f->n_cases;
    return true;
}

const verify_failure *result_failure(const verify_fixture_result *r, const char *what)
{
    for (int64_t i = 0; i < r->n_failures; i++)
        if (strcmp(r->failures[i].what, what) == 0) return &r->failures[i];
    return NULL;
}

bool verify_distance_was_left_out(const verify_fixture_result *f)
{
    const bool all_are_kept = f->failures_total == f->n_failures;       // one that is not may be that of the distance
    return f->ran && f->cases_held > 0 && isnan(f->kl_mean) && all_are_kept && !result_failure(f, "distance");
}

// What says that it is another model, or that another run was asked for: all others may follow from that.
static bool explains_others(const char *what)
{
    static const char *const WHATS[] = { "digest", "type", "record", "source", "metadata", "tokenizer", "arith", "kv",
                                         "vocabulary" };
    for (size_t i = 0; i < sizeof WHATS / sizeof *WHATS; i++)
        if (strcmp(WHATS[i], what) == 0) return true;
    return false;
}

// Where a failure goes: behind the others, or before those that it explains, however late it comes: where there is no
// more room, the last of them makes it. NULL: there is none.
static verify_failure *room_for(verify_fixture_result *r, const char *what)
{
    const bool full = r->n_failures >= VERIFY_MAX_FAILURES;
    int64_t    at = r->n_failures;
    if (explains_others(what))
        for (at = 0; at < r->n_failures && explains_others(r->failures[at].what);) at++;
    if (at >= VERIFY_MAX_FAILURES) return NULL;
    if (!full) r->n_failures++;
    memmove(&r->failures[at + 1], &r->failures[at], (size_t)(r->n_failures - 1 - at) * sizeof *r->failures);
    return &r->failures[at];
}

void result_fail(verify_fixture_result *r, const verify_failure *place, const char *fmt, ...)
{
    r->failures_total++;
    r->passed = false;
    verify_failure *f = room_for(r, place->what);
    if (!f) return;
    va_list ap;
    *f = *place;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

void result_fail_whole(verify_fixture_result *r, const char *what, const char *text)
{
    verify_failure f = { .what = what, .step = -1, .expected = -1, .got = -1, .margin = NAN, .layer = LAYER_NONE };
    result_fail(r, &f, "%s", text);
}

void report_take_program(verify_report *r)
{
    snprintf(r->program.version, sizeof r->program.version, "%s", hallmark_version());
    snprintf(r->program.commit, sizeof r->program.commit, "%s", hallmark_commit());
}

bool report_limits(verify_report *r, gate *limits, const char *path, err *e)
{
    *limits = *gate_builtin();
    strcpy(r->gate, "built-in");
    if (path && !(gate_read(limits, path, e) && sha256_file(path, r->gate, e))) return false;
    if (!path && !gate_digest(limits, r->judged_by.sha256, e)) return false;
    if (path) strcpy(r->judged_by.sha256, r->gate);
    const char *name = path ? path_base(path) : "built-in";
    text_fit(r->judged_by.name, sizeof r->judged_by.name, name, strlen(name), 0);
    r->judged_by.limits = *limits;
    return true;
}

bool report_note(verify_report *r, err *e, const char *fmt, ...)
{
    char    text[sizeof *r->notes];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (int64_t i = 0; i < r->n_notes; i++)
        if (strcmp(r->notes[i], text) == 0) return true;        // the same of two fixtures is said once
    void *grown = realloc(r->notes, (size_t)(r->n_notes + 1) * sizeof *r->notes);
    if (!grown) return err_nomem(e, "a note", sizeof *r->notes);
    r->notes = grown;
    memcpy(r->notes[r->n_notes++], text, sizeof text);
    return true;
}

void verify_report_forget_cases(verify_report *r)
{
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        trace_free(r->fixtures[i].traced, r->fixtures[i].n_traced);
        r->fixtures[i].traced   = NULL;
        r->fixtures[i].n_traced = 0;
    }
}

void verify_report_free(verify_report *r)
{
    if (!r) return;
    verify_report_forget_cases(r);
    for (int64_t i = 0; i < r->n_fixtures; i++) free(r->fixtures[i].failures);
    free(r->fixtures);
    free(r->notes);
    verify_recipe_free(&r->recipe);
    memset(r, 0, sizeof *r);
}
