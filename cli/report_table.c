#include "report_table.h"
#include "text_out.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FAILURES = 10 };     // lines a fixture; the report has them all

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

// A fixture's file name without ".json.gz": two fixtures of one dtype are told apart by it.
static int stem_bytes(const char *name)
{
    const char *end = strstr(name, ".json");
    return (int)(end && end != name ? end - name : (ptrdiff_t)strlen(name));
}

static const char *verdict_word(const verify_report *r, const verify_fixture_result *f)
{
    const char *v = verify_fixture_verdict(f);
    if (strcmp(v, "fail") == 0) return "FAIL";
    return strcmp(v, "pass") == 0 && !r->passed ? "pass, but see below" : v;
}

// A part of a fixture's cases is said with the verdict.
static void put_verdict(table *t, const verify_report *r, const verify_fixture_result *f)
{
    char part[VERIFY_PART];
    table_cell(t, "%s%s", verdict_word(r, f), verify_part_words(f, part));
}

static void add_row(table *t, const verify_report *r, int64_t file_bytes, const verify_fixture_result *f)
{
    char size[32];
    table_cell(t, "%s", base_name(r->artifact));
    table_cell(t, "%s", r->type);
    table_cell(t, "%s", r->remote.api[0] ? "-" : human_bytes(file_bytes, size));
    table_cell(t, "%s%s", r->kv, strcmp(r->kv, r->kv_required) == 0 ? "" : " (not required)");
    if (isnan(r->attention_scale)) table_cell(t, "-");
    else                           table_cell(t, "%g", (double)r->attention_scale);
    if (!f) {
        for (int i = 0; i < 4; i++) table_cell(t, "-");
        table_cell(t, r->derivation.made && !r->derivation.passed ? "FAIL" : "not verified");
        return;
    }
    const char *name = base_name(f->name);
    table_cell(t, "%.*s%s", stem_bytes(name), name, f->kind == CHECK_DRIFT ? ", drift" : "");
    if (!f->ran) {
        for (int i = 0; i < 3; i++) table_cell(t, "-");
        put_verdict(t, r, f);
        return;
    }
    table_cell(t, "%lld/%lld%s", (long long)f->free_run_equal, (long long)f->cases, f->free_run_ties ? "*" : "");
    table_cell(t, "%lld/%lld%s", (long long)f->teacher_forced_equal, (long long)f->steps, f->ties_differing ? "*" : "");
    const bool none = (r->remote.api[0] && isnan(f->kl_mean)) || verify_distance_was_left_out(f);
    if (none) table_cell(t, "-");
    else      table_cell(t, "%.2g", f->kl_mean);
    put_verdict(t, r, f);
}

static void print_failure(const verify_failure *x)
{
    print_line(stdout, "  %s: %s", x->what ? x->what : "failure", x->text);
}

// Why a fixture cannot decide, one line each.
static void print_why(const verify_report *r, const verify_fixture_result *f)
{
    for (int64_t k = 0; k < f->n_why; k++)
        print_line(stdout, "%s, fixture %s: inconclusive: %s", base_name(r->artifact), base_name(f->name),
                   f->why[k].text);
}

static void print_derivation(const verify_report *r)
{
    const verify_derivation *d = &r->derivation;
    if (d->made && !d->passed)
        print_line(stdout, "%s: does not derive from its source: %s", base_name(r->artifact), d->reason);
    if (!d->made || !d->passed) return;
    if (d->encoded == 0)
        print_line(stdout, "%s: each of its %lld tensors is what the source gives", base_name(r->artifact),
                   (long long)d->tensors);
    else
        print_line(stdout,
                   "%s: each of its %lld tensors is what the source gives; the %lld of blocks are within %.2g of it",
                   base_name(r->artifact), (long long)d->tensors, (long long)d->encoded, d->error_max);
}

static void print_remote(const verify_report *r)
{
    const verify_remote_info *m = &r->remote;
    if (m->api[0])
        print_line(stdout, "%s: asked %lld questions by the API of %s; it says of itself: version %s, model %s",
                   base_name(r->artifact), (long long)m->questions, m->api, m->server[0] ? m->server : "unsaid",
                   m->model[0] ? m->model : "unsaid");
}

static void print_details(const verify_report *r)
{
    print_remote(r);
    print_derivation(r);
    for (int64_t i = 0; i < r->n_notes; i++) print_line(stdout, "note: %s: %s", base_name(r->artifact), r->notes[i]);
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (f->free_run_ties)
            print_line(stdout, "* %s, %.*s: the free run of %lld of %lld cases ended at a tie, which does not fail it",
                       base_name(r->artifact),
                       stem_bytes(base_name(f->name)), base_name(f->name), (long long)f->free_run_ties,
                       (long long)f->cases);
        if (f->ties_differing)
            print_line(stdout, "* %s, %.*s: %lld of %lld steps are ties; at %lld of them we chose the other id",
                       base_name(r->artifact),
                       stem_bytes(base_name(f->name)), base_name(f->name), (long long)f->ties, (long long)f->steps,
                       (long long)f->ties_differing);
        print_why(r, f);
        if (f->n_failures) print_line(stdout, "%s, fixture %s:", base_name(r->artifact), base_name(f->name));
        for (int64_t k = 0; k < f->n_failures && k < MAX_FAILURES; k++) print_failure(&f->failures[k]);
        if (f->n_failures > MAX_FAILURES) printf("  ... and %lld more\n", (long long)f->n_failures - MAX_FAILURES);
    }
}

bool report_table_print(const verify_report *reports, const int64_t *file_bytes, int n)
{
    static const char *const header[] = { "artifact", "type", ">size", "KV dtype", ">attention scale", "fixture",
                                          ">free run equal", ">teacher-forced", ">mean KL", "verdict", NULL };
    table t;
    table_begin(&t, header);
    for (int i = 0; i < n; i++) {
        if (reports[i].n_fixtures == 0) add_row(&t, &reports[i], file_bytes[i], NULL);
        for (int64_t k = 0; k < reports[i].n_fixtures; k++)
            add_row(&t, &reports[i], file_bytes[i], &reports[i].fixtures[k]);
    }
    if (!table_print(&t, stdout)) return false;
    for (int i = 0; i < n; i++) print_details(&reports[i]);
    return true;
}
