// What a comparison found: room for it, and the failures in it.
#include "compare.h"
#include "recipe.h"
#include "reference.h"
#include "../formats/file_map.h"
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
    r->top_k   = f->top_k;
    r->probe_layer = LAYER_NONE;
    r->kl_mean = r->kl_max = r->logprob_diff_max = NAN;
    r->kl_limit = r->logprob_limit = r->ties_limit = r->free_run_ties_limit = r->top1_limit = r->rounding_kl_mean = NAN;
    return true;
}

void result_fail(verify_fixture_result *r, const verify_failure *place, const char *fmt, ...)
{
    r->failures_total++;
    r->passed = false;
    if (r->n_failures >= VERIFY_MAX_FAILURES) return;
    verify_failure *f = &r->failures[r->n_failures++];
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
