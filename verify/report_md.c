// Reports as Markdown, for a model card: one table, then what deserves a sentence.
#include "verify.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char *s; size_t n, room; bool ok; } text;

static void put(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (!t->ok || n < 0) { t->ok = false; return; }
    if (t->n + (size_t)n + 1 > t->room) {
        size_t room = 2 * (t->n + (size_t)n + 1) + 1024;
        char  *s    = realloc(t->s, room);
        if (!s) { t->ok = false; return; }
        t->s    = s;
        t->room = room;
    }
    va_start(ap, fmt);
    vsnprintf(t->s + t->n, t->room - t->n, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

// Text from a file, made safe inside a table or a line: no cell, line, code or tag of its own.
static void put_text(text *t, const char *s)
{
    for (; *s; s++) {
        if (strchr("|`<>*[]\\", *s)) put(t, "\\%c", *s);
        else if ((unsigned char)*s < 0x20) put(t, " ");
        else put(t, "%c", *s);
    }
}

static void put_bytes(text *t, int64_t n)
{
    static const char *const UNITS[] = { "B", "kB", "MB", "GB", "TB" };
    double v = (double)n;
    int    u = 0;
    for (; v >= 1000 && u < 4; u++) v /= 1000;
    if (u == 0) put(t, "%lld B", (long long)n);
    else        put(t, "%.2f %s", v, UNITS[u]);
}

static void put_row(text *t, const verify_report *r, const verify_fixture_result *f)
{
    put(t, "| ");
    put_text(t, r->artifact);
    put(t, " | %s | ", r->type);
    put_bytes(t, r->file_bytes);
    put(t, " | %s%s | %.6g | ", r->kv, strcmp(r->kv, r->kv_required) == 0 ? "" : " (not what it requires)", (double)r->attention_scale);
    if (!f) { put(t, "none | - | - | - | not verified |\n"); return; }
    put_text(t, f->name);
    put(t, ", %s, %s | ", f->dtype, f->kind == CHECK_EXACT ? "exact" : "drift");
    if (!f->ran) { put(t, "not run | - | - | fail |\n"); return; }
    put(t, "%lld of %lld (%lld of %lld prompts whole", (long long)f->free_run_tokens_equal, (long long)f->free_run_tokens,
        (long long)f->free_run_equal, (long long)f->cases);
    if (f->free_run_ties > 0) put(t, ", %lld ended at a tie, limit %.1f", (long long)f->free_run_ties, f->free_run_ties_limit);
    put(t, ") | %lld of %lld", (long long)f->teacher_forced_equal, (long long)f->steps);
    if (f->ties_differing > 0) put(t, " (%lld at ties)", (long long)f->ties_differing);
    if (isfinite(f->kl_mean)) put(t, " | %.3g", f->kl_mean);
    else                      put(t, " | not finite");
    put(t, " | %s |\n", f->passed ? "pass" : "fail");
}

static void put_measures(text *t, const verify_report *r)
{
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (!f->ran) continue;
        put(t, "- ");
        put_text(t, r->artifact);
        put(t, " against ");
        put_text(t, f->name);
        put(t, ": mean KL %.3g (limit %.3g), largest %.3g; largest log-probability difference %.3g", f->kl_mean, f->kl_limit, f->kl_max, f->logprob_diff_max);
        if (isfinite(f->logprob_limit)) put(t, " (limit %.3g)", f->logprob_limit);
        if (f->kind == CHECK_EXACT)
            put(t, "; %lld of %lld steps are left open by the reference itself, %lld of them differ (limit %.1f)", (long long)f->ties,
                (long long)f->steps, (long long)f->ties_differing, f->ties_limit);
        else
            put(t, "; agreement asked for: %.1f %% (budget of %s)", 100 * f->top1_limit, f->budget);
        put(t, ". Fixture SHA-256 `%s`.\n", f->file_digest);
    }
}

static void put_findings(text *t, const verify_report *r)
{
    if (r->gate[0] && strcmp(r->gate, "built-in") != 0) {
        put(t, "- Note, ");
        put_text(t, r->artifact);
        put(t, ": judged by limits other than the built-in ones, SHA-256 `%s`.\n", r->gate);
    }
    for (int64_t i = 0; i < r->n_notes; i++) {
        put(t, "- Note, ");
        put_text(t, r->artifact);
        put(t, ": ");
        put_text(t, r->notes[i]);
        put(t, "\n");
    }
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        for (int64_t j = 0; j < f->n_failures; j++) {
            put(t, "- Failure, ");
            put_text(t, r->artifact);
            put(t, ", %s: ", f->failures[j].what);
            put_text(t, f->failures[j].text);
            put(t, "\n");
        }
        if (f->failures_total > f->n_failures)
            put(t, "- ... and %lld more failures\n", (long long)(f->failures_total - f->n_failures));
    }
}

char *verify_report_md(const verify_report *const *r, int n)
{
    text t = { .ok = true };
    put(&t, "| artifact | type | size | KV cache | attention scale | fixture | free-run tokens equal | teacher-forced agreement | mean KL | verdict |\n"
            "|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        if (r[i]->n_fixtures == 0) put_row(&t, r[i], NULL);
        for (int64_t j = 0; j < r[i]->n_fixtures; j++) put_row(&t, r[i], &r[i]->fixtures[j]);
    }
    put(&t, "\n");
    for (int i = 0; i < n; i++) put_measures(&t, r[i]);
    for (int i = 0; i < n; i++) put_findings(&t, r[i]);
    if (t.ok) return t.s;
    free(t.s);
    return NULL;
}
