// Reports as JUnit's XML, for pipelines: a test case for each check that was made (checks.h), those that held too.
//
// <testsuites> holds a <testsuite> for each artifact and for each fixture that it was compared with. The class of a
// case is "hallmark.<artifact>.<fixture>", so that readers which cut names at dots make a tree of them: dots within
// names are underscores there, and the properties have the names as they are. Readers agree on four things only: a case
// passed, failed, could not be decided (error) or was left out (skipped), and count the last one as no failure. So:
//   did not hold   <failure type="...">      open: no verdict is possible   <error type="inconclusive" or "unverified">
//   not made       <skipped>, where another case of the suite says why by its failure
// A time is asked for by Surefire's schema; it is always 0: reports hold no times. Elements, attributes and their order
// are those that Jenkins' and Surefire's readers share (tests/junit.xsd). Proved by tests/report_pages_test.c.
#include "checks.h"
#include "../formats/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int64_t tests, failures, errors, skipped; } counts;

static void put_attribute(text_buf *t, const char *name, const char *value)
{
    text_printf(t, " %s=\"", name);
    text_puts(t, TEXT_XML, value);
    text_words(t, "\"");
}

// ---- names ----------------------------------------------------------------------------------------------------------

// A part of a class's name: without its ending, with underscores in the place of dots.
static void put_part(text_buf *t, const char *name, const char *ending)
{
    char   part[256];
    size_t n = strlen(name), tail = strlen(ending);
    if (n > tail && strcmp(name + n - tail, ending) == 0) n -= tail;
    snprintf(part, sizeof part, "%.*s", (int)(n < sizeof part ? n : sizeof part - 1), name);
    for (char *c = part; *c; c++)
        if (*c == '.') *c = '_';
    text_puts(t, TEXT_XML, part);
}

// Artifacts and fixtures of several folders may be called the same: the later ones are numbered.
static void put_artifact_part(text_buf *t, const verify_report *const *r, int at)
{
    int same = 1;
    for (int i = 0; i < at; i++) same += strcmp(r[i]->artifact, r[at]->artifact) == 0;
    put_part(t, r[at]->artifact, ".gguf");
    if (same > 1) text_printf(t, "_%d", same);
}

static void put_fixture_part(text_buf *t, const verify_report *r, int64_t at)
{
    int same = 1;
    for (int64_t i = 0; i < at; i++) same += strcmp(r->fixtures[i].name, r->fixtures[at].name) == 0;
    put_part(t, r->fixtures[at].name, ".json.gz");
    if (same > 1) text_printf(t, "_%d", same);
}

// "hallmark.<artifact>", and ".<fixture>" where there is one (at >= 0), safe inside an attribute.
static void put_class(text_buf *t, const verify_report *const *r, int artifact, int64_t at)
{
    text_words(t, "hallmark.");
    put_artifact_part(t, r, artifact);
    if (at < 0) return;
    text_words(t, ".");
    put_fixture_part(t, r[artifact], at);
}

// ---- what a suite was run with --------------------------------------------------------------------------------------

// Where it is known.
static void put_property(text_buf *t, const char *name, const char *value)
{
    if (!value[0]) return;
    text_words(t, "<property");
    put_attribute(t, "name", name);
    put_attribute(t, "value", value);
    text_words(t, "/>\n");
}

static void put_artifact_properties(text_buf *t, const verify_report *r)
{
    char bytes[32] = "";
    if (!r->remote.api[0]) snprintf(bytes, sizeof bytes, "%lld", (long long)r->file_bytes);
    put_property(t, "artifact", r->artifact);
    put_property(t, "type", r->type);
    put_property(t, "file_bytes", bytes);
    put_property(t, "arith", r->arith);
    put_property(t, "kv", r->kv);
    put_property(t, "kv_required", r->kv_required);
    put_property(t, "device", r->device);
    put_property(t, "processor", r->processor);
    put_property(t, "remote.api", r->remote.api);
    put_property(t, "remote.server", r->remote.server);
    put_property(t, "remote.model", r->remote.model);
    put_property(t, "gate", r->gate);
    put_property(t, "gate.name", r->judged_by.name);
    put_property(t, "gate.sha256", r->judged_by.sha256);
    put_property(t, "sha256", r->file_sha256);
    put_property(t, "source.repository", r->source.repository);
    put_property(t, "source.revision", r->source.revision);
    put_property(t, "source.digest", r->source.digest);
    put_property(t, "hallmark.version", r->program.version);
    put_property(t, "hallmark.commit", r->program.commit);
    put_property(t, "verdict", verify_verdict(r));
    for (int64_t i = 0; i < r->n_notes; i++) put_property(t, "note", r->notes[i]);
}

static void put_fixture_properties(text_buf *t, const verify_report *r, const verify_fixture_result *f)
{
    put_property(t, "artifact", r->artifact);
    put_property(t, "type", r->type);
    put_property(t, "arith", r->arith);
    put_property(t, "kv", r->kv);
    put_property(t, "device", r->device);
    put_property(t, "fixture", f->name);
    put_property(t, "fixture.sha256", f->file_digest);
    put_property(t, "fixture.dtype", f->dtype);
    put_property(t, "check", f->kind == CHECK_EXACT ? "exact" : "drift");
    put_property(t, "budget", f->budget);
    put_property(t, "reference.model", f->reference.model);
    put_property(t, "reference.revision", f->reference.revision);
    put_property(t, "reference.transformers", f->reference.transformers);
    put_property(t, "reference.torch", f->reference.torch);
    put_property(t, "reference.device", f->reference.device);
    put_property(t, "reference.prompts", f->reference.prompts);
    char verdict[VERIFY_PART + 16], part[VERIFY_PART];
    snprintf(verdict, sizeof verdict, "%s%s", verify_fixture_verdict(f), verify_part_words(f, part));
    put_property(t, "verdict", verdict);
}

// ---- cases ----------------------------------------------------------------------------------------------------------

// Where a failure is, a line each.
static void put_place(text_buf *t, const verify_failure *x)
{
    if (x->case_id[0]) {
        text_words(t, "case: ");
        text_puts(t, TEXT_XML, x->case_id);
        text_words(t, "\n");
    }
    if (x->step >= 0) text_printf(t, "step: %lld\n", (long long)x->step);
    if (x->expected >= 0) text_printf(t, "expected: %d\n", x->expected);
    if (x->got >= 0) text_printf(t, "got: %d\n", x->got);
    if (isfinite(x->margin)) text_printf(t, "margin: %.6g\n", x->margin);
    if (x->layer == LAYER_EMBEDDING) text_words(t, "layer: the embeddings\n");
    if (x->layer >= 0) text_printf(t, "layer: %d\n", x->layer);
}

// Every failure of the check that was kept. f may be NULL.
static void put_failures(text_buf *t, const verify_fixture_result *f, const look *row)
{
    for (int64_t i = 0; f && i < f->n_failures; i++) {
        const verify_failure *x = &f->failures[i];
        if (!look_is_of(row, x)) continue;
        text_words(t, "\n");
        put_place(t, x);
        text_puts(t, TEXT_XML, x->text);
        text_words(t, "\n");
    }
}

// All that leaves the check open. f may be NULL.
static void put_why(text_buf *t, const verify_fixture_result *f, const look *row)
{
    for (int64_t i = 0; f && i < f->n_why; i++) {
        if (strcmp(f->why[i].what, row->what) != 0) continue;
        text_words(t, "\n");
        text_puts(t, TEXT_XML, f->why[i].text);
        text_words(t, "\n");
    }
}

static void begin_result(text_buf *t, const char *element, const char *type, const look *row)
{
    text_printf(t, "<%s", element);
    if (type) put_attribute(t, "type", type);
    put_attribute(t, "message", row->text);
}

static void put_result(text_buf *t, const verify_fixture_result *f, const look *row)
{
    if (row->state == LOOK_NOT_MADE) {
        begin_result(t, "skipped", NULL, row);
        text_words(t, "/>\n");
    } else if (row->state == LOOK_OPEN) {
        begin_result(t, "error", f ? "inconclusive" : "unverified", row);
        text_words(t, ">");
        put_why(t, f, row);
        text_words(t, "</error>\n");
    } else if (row->state == LOOK_BROKE) {
        begin_result(t, "failure", row->what, row);
        text_words(t, ">");
        put_failures(t, f, row);
        text_words(t, "</failure>\n");
    }
}

static void put_case(text_buf *t, const verify_report *const *r, int artifact, int64_t at, const look *row)
{
    const verify_fixture_result *f = at < 0 ? NULL : &r[artifact]->fixtures[at];
    text_words(t, "<testcase classname=\"");
    put_class(t, r, artifact, at);
    text_printf(t, "\" name=\"%s", row->title);
    if (row->case_id[0]) text_words(t, ", ");
    text_puts(t, TEXT_XML, row->case_id);
    text_words(t, "\" time=\"0\">");
    if (row->state == LOOK_HELD) {
        text_words(t, "<system-out>");
        text_puts(t, TEXT_XML, row->text);
        text_words(t, "</system-out>");
    }
    if (row->state != LOOK_HELD) text_words(t, "\n");
    put_result(t, f, row);
    text_words(t, "</testcase>\n");
}

// ---- suites ---------------------------------------------------------------------------------------------------------

static counts count(const looks *l)
{
    counts c = { .tests = l->n };
    for (int64_t i = 0; i < l->n; i++) {
        c.failures += l->v[i].state == LOOK_BROKE;
        c.errors   += l->v[i].state == LOOK_OPEN;
        c.skipped  += l->v[i].state == LOOK_NOT_MADE;
    }
    return c;
}

static void put_counts(text_buf *t, const counts *c)
{
    text_printf(t, " tests=\"%lld\" failures=\"%lld\" errors=\"%lld\"", (long long)c->tests, (long long)c->failures,
                (long long)c->errors);
}

// One suite, of an artifact (at < 0) or of one of its fixtures; its counts are added to all.
static void put_suite(text_buf *t, const verify_report *const *r, int artifact, int64_t at, counts *all)
{
    looks l = { 0 };
    if (at < 0) looks_add_artifact(&l, r[artifact]);
    else        looks_add_fixture(&l, r[artifact], &r[artifact]->fixtures[at]);
    t->failed |= l.failed;
    const counts c = count(&l);
    text_words(t, "<testsuite name=\"");
    put_class(t, r, artifact, at);
    text_words(t, "\"");
    put_counts(t, &c);
    text_printf(t, " skipped=\"%lld\" time=\"0\">\n<properties>\n", (long long)c.skipped);
    if (at < 0) put_artifact_properties(t, r[artifact]);
    else        put_fixture_properties(t, r[artifact], &r[artifact]->fixtures[at]);
    text_words(t, "</properties>\n");
    for (int64_t i = 0; i < l.n; i++) put_case(t, r, artifact, at, &l.v[i]);
    text_words(t, "</testsuite>\n");
    *all = (counts){ all->tests + c.tests, all->failures + c.failures, all->errors + c.errors,
                     all->skipped + c.skipped };
    looks_free(&l);
}

char *verify_report_junit(const verify_report *const *r, int n)
{
    text_buf suites = { 0 }, t = { 0 };
    counts   all = { 0 };
    for (int i = 0; i < n; i++)
        for (int64_t at = -1; at < r[i]->n_fixtures; at++) put_suite(&suites, r, i, at, &all);
    char *inside = text_take(&suites);
    text_words(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"hallmark\"");
    put_counts(&t, &all);
    text_words(&t, ">\n");
    if (inside) text_words(&t, inside);
    else        t.failed = true;
    text_words(&t, "</testsuites>\n");
    free(inside);
    return text_take(&t);
}
