// Any bytes as what each step of a release gave (report-steps.json), given to the reports of one: refused in one line,
// or they can be written, and what is written is the same again.
#include "formats/json.h"
#include "fuzz.h"
#include "release/json_diff.h"
#include "tests/report_sample.h"
#include "verify/report_html.h"
#include "verify/steps.h"

static const report_opts opts = { SAMPLE_PASS, 2, 2, 8, 2, false, NULL };       // those of the seeds

// As many cases as the document has: what stands in each is then looked at whatever their number is.
static void ask_for_cases(verify_report *r, const cJSON *doc)
{
    for (int64_t k = 0; k < r->n_fixtures; k++) {
        const cJSON *there = steps_find(doc, r->artifact, r->fixtures[k].file_digest);
        if (there) r->fixtures[k].cases = cJSON_GetArraySize(json_get(there, "cases"));
    }
}

static bool attach(report_sample **s, const cJSON *doc)
{
    err e = { 0 };
    *s = report_sample_new(&opts);
    ask_for_cases(&(*s)->report, doc);
    if (steps_attach(&(*s)->report, 1, doc, "steps", &e)) return true;
    must_be_verdict(&e);
    report_sample_free(*s);
    return false;
}

static cJSON *written(const verify_report *r)
{
    err    e = { 0 };
    cJSON *doc = steps_json(r, 1), *again = NULL;
    char  *text = doc ? json_print_short(doc) : NULL;
    MUST(text != NULL);
    MUST_DO((again = steps_read(text, (int64_t)strlen(text), "again", &e)) != NULL, &e);
    MUST_DO(json_same(again, doc, "again", &e), &e);
    free(text);
    cJSON_Delete(doc);
    return again;
}

// The first may have more digits than are kept: the second is compared with the third.
static void write_again(const verify_report *r)
{
    err e = { 0 };
    report_sample *s;
    cJSON *once = written(r);
    if (attach(&s, once)) {
        cJSON *twice = written(&s->report);
        MUST_DO(json_same(twice, once, "twice", &e), &e);
        cJSON_Delete(twice);
        report_sample_free(s);
    }
    cJSON_Delete(once);
}

static void show(const verify_report *r)
{
    char *page = verify_report_html(&r, 1);
    MUST(page != NULL);
    use(strlen(page));
    free(page);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err e = { 0 };
    report_sample *s;
    cJSON *doc = steps_read((const char *)data, (int64_t)size, "steps", &e);
    if (!doc) { must_be_verdict(&e); return 0; }
    if (attach(&s, doc)) {
        show(&s->report);
        if (steps_there(&s->report, 1)) write_again(&s->report);
        report_sample_free(s);
    }
    cJSON_Delete(doc);
    return 0;
}
