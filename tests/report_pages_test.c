// Proves verify/checks.h, verify/report_html.h and the JUnit report of verify/verify.h on made-up reports
// (report_sample.h): both forms are well-formed, have a row for each check, count what they say, tell a failure from
// what cannot be decided, and are the same again from what a record keeps; pages stay of a bounded size and can be read
// in both colours. Hostile texts are in tests/shown_report_test.c.
#include "contrast.h"
#include "formats/file_map.h"
#include "junit_xml.h"
#include "page.h"
#include "report_sample.h"
#include "verify/report_html.h"
#include "formats/json.h"
#include <unistd.h>

static const report_opts pass      = { SAMPLE_PASS, 2, 14, 64, 35, true, NULL },
                         fail      = { SAMPLE_FAIL, 2, 14, 64, 35, true, NULL },
                         undecided = { SAMPLE_INCONCLUSIVE, 1, 3, 40, 6, true, NULL },
                         lacking   = { SAMPLE_UNVERIFIED, 2, 14, 64, 35, true, NULL },
                         not_run   = { SAMPLE_NOT_RUN, 1, 14, 64, 35, true, NULL },
                         dead      = { SAMPLE_DEAD, 1, 4, 32, 12, true, NULL },
                         record    = { SAMPLE_PASS, 2, 14, 64, 35, false, NULL },
                         none      = { SAMPLE_UNVERIFIED, 1, 1, 1, 1, true, NULL };
static const report_opts *const all_samples[] = { &pass, &fail, &undecided, &lacking, &not_run, &dead, &record, &none };
enum { N_SAMPLES = sizeof all_samples / sizeof all_samples[0] };

typedef char *report_form(const verify_report *const *r, int n);

static char *form_of(const report_sample *s, report_form *form)
{
    const verify_report *list[] = { &s->report };
    char *text = form(list, 1);
    ck_assert_ptr_nonnull(text);
    return text;
}

// libcheck's own would print both, and a page is too long for it.
static void same_text(const char *found, const char *expected, const char *what)
{
    size_t at = 0;
    while (found[at] && found[at] == expected[at]) at++;
    ck_assert_msg(found[at] == expected[at], "%s: byte %zu: found '%.60s', expected '%.60s'", what, at, found + at,
                  expected + at);
}

static int occurrences(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) n++;
    return n;
}

// ---- checks ---------------------------------------------------------------------------------------------------------

static const look *find(const looks *l, const char *what, const char *case_id)
{
    for (int64_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].what, what) == 0 && strcmp(l->v[i].case_id, case_id) == 0) return &l->v[i];
    ck_abort_msg("no row '%s' of case '%s'", what, case_id);
    return NULL;
}

static looks looks_of(const report_sample *s)
{
    looks l = { 0 };
    looks_add_artifact(&l, &s->report);
    for (int64_t i = 0; i < s->report.n_fixtures; i++) looks_add_fixture(&l, &s->report, &s->report.fixtures[i]);
    ck_assert(!l.failed);
    return l;
}

static int in_state(const looks *l, look_state state)
{
    int n = 0;
    for (int64_t i = 0; i < l->n; i++) n += l->v[i].state == state;
    return n;
}

START_TEST(each_check_has_a_row)
{
    report_sample *s = report_sample_new(&pass);
    looks l = looks_of(s);
    // of the artifact 2; exact: 14 prompts, free runs, best ids, and 12 of the whole; drift: 14 prompts and 10
    ck_assert_int_eq((int)l.n, 2 + 3 * 14 + 12 + 14 + 10);
    ck_assert_int_eq(in_state(&l, LOOK_HELD), (int)l.n);
    ck_assert_str_eq(find(&l, "kv", "")->text, "the KV cache is f32, which the artifact requires");
    ck_assert_str_eq(find(&l, "tokenizer", "coding-python-3")->text, "the tokenizer gives Transformers' ids");
    looks_free(&l);
    report_sample_free(s);

    s = report_sample_new(&record);             // the same without cases: a row for all of them
    l = looks_of(s);
    ck_assert_int_eq((int)l.n, 2 + 3 + 12 + 1 + 10);
    ck_assert_int_eq(in_state(&l, LOOK_HELD), (int)l.n);
    looks_free(&l);
    report_sample_free(s);
}
END_TEST

START_TEST(what_does_not_hold_is_named_where_it_is)
{
    report_sample *s = report_sample_new(&fail);
    looks l = looks_of(s);
    for (int c = 0; c < 14; c++) {
        const look *row = find(&l, "teacher_forced", s->report.fixtures[0].traced[c].id);
        ck_assert_int_eq(row->state, c % 5 == 1 ? LOOK_BROKE : LOOK_HELD);
        ck_assert_int_eq(strncmp(row->text, "case 'c', step 21", 17) == 0, c % 5 == 1);
    }
    ck_assert_int_eq(find(&l, "distance", "")->state, LOOK_BROKE);
    ck_assert_int_eq(find(&l, "metadata", "")->state, LOOK_HELD);
    looks_free(&l);
    report_sample_free(s);

    // What no row was made for is told all the same, and so is a verdict that nothing bears out.
    s = report_sample_new(&record);
    made_fail(&s->report.fixtures[0], s, "novelty", "coding-python-1", 3);
    s->report.fixtures[0].passed = s->report.fixtures[1].passed = s->report.passed = false;
    l = looks_of(s);
    ck_assert_int_eq(find(&l, "novelty", "coding-python-1")->state, LOOK_BROKE);
    ck_assert_int_eq(find(&l, "verdict", "")->state, LOOK_BROKE);
    ck_assert_int_eq(in_state(&l, LOOK_BROKE), 2);
    looks_free(&l);
    report_sample_free(s);

    // A case of which no failure was kept, as so many others failed, is no case that held.
    s = report_sample_new(&fail);
    s->report.fixtures[0].n_failures = 0;
    l = looks_of(s);
    ck_assert_int_eq(find(&l, "teacher_forced", "coding-python-1")->state, LOOK_BROKE);
    ck_assert_int_eq(find(&l, "free_run", "coding-python-1")->state, LOOK_BROKE);
    looks_free(&l);
    report_sample_free(s);
}
END_TEST

START_TEST(what_was_not_made_is_no_success)
{
    report_sample *s = report_sample_new(&not_run);
    looks l = looks_of(s);
    ck_assert_int_eq(find(&l, "metadata", "")->state, LOOK_BROKE);
    ck_assert_int_eq(in_state(&l, LOOK_NOT_MADE), 1);
    for (int64_t i = 0; i < l.n; i++)
        ck_assert_msg(strcmp(l.v[i].what, "free_run") != 0 && strcmp(l.v[i].what, "tokenizer") != 0, "%s", l.v[i].what);
    looks_free(&l);
    report_sample_free(s);

    s = report_sample_new(&dead);
    l = looks_of(s);
    ck_assert_int_eq(find(&l, "finite", "")->state, LOOK_BROKE);
    ck_assert_int_eq(find(&l, "distance", "")->state, LOOK_BROKE);     // NaN is within no limit
    looks_free(&l);
    report_sample_free(s);
}
END_TEST

// ---- JUnit ----------------------------------------------------------------------------------------------------------

START_TEST(junit_is_what_its_readers_take)
{
    for (int k = 0; k < N_SAMPLES; k++) {
        report_sample *s = report_sample_new(all_samples[k]);
        looks  l = looks_of(s);
        char  *text = form_of(s, verify_report_junit), *again = form_of(s, verify_report_junit);
        junit_doc d = { .what = "junit" };
        junit_read(&d, text);
        same_text(text, again, "junit");
        ck_assert_int_eq(d.suites, 1 + (int)s->report.n_fixtures);
        ck_assert_int_eq(d.tests, (int)l.n);
        ck_assert_int_eq(d.failures, in_state(&l, LOOK_BROKE));
        ck_assert_int_eq(d.errors, in_state(&l, LOOK_OPEN));
        ck_assert_int_eq(d.skipped, in_state(&l, LOOK_NOT_MADE));
        // No verdict but a pass makes a pipeline green, and a pass does.
        ck_assert_int_eq(d.failures + d.errors == 0, strcmp(verify_verdict(&s->report), "pass") == 0);
        ck_assert(!strstr(text, "timestamp") && !strstr(text, "nan\"") && !strstr(text, "hostname"));
        free(text);
        free(again);
        looks_free(&l);
        report_sample_free(s);
    }
}
END_TEST

START_TEST(junit_names_group_well)
{
    report_sample *s = report_sample_new(&fail);
    char *text = form_of(s, verify_report_junit);
    ck_assert_ptr_nonnull(strstr(text, "<testsuite name=\"hallmark.gemma-4-E2B-it-Q4_K_M\" tests=\"2\""));
    ck_assert_ptr_nonnull(strstr(text, "<testcase classname=\"hallmark.gemma-4-E2B-it-Q4_K_M.q4_k_m\" name=\"free run, "
                                       "coding-python-1\" time=\"0\">\n<failure type=\"free_run\" "
                                       "message=\"case &#39;c&#39;, step 21"));
    ck_assert_ptr_nonnull(strstr(text, "case: coding-python-1\nstep: 21\nexpected: 1009\ngot: 1014\nmargin: 0.125\n"
                                       "layer: 17\n"));
    ck_assert_ptr_nonnull(strstr(text, "<property name=\"reference.transformers\" value=\"5.24.0\"/>"));
    ck_assert_ptr_nonnull(strstr(text, "<property name=\"type\" value=\"Q4_K_M\"/>"));
    free(text);
    report_sample_free(s);

    // Two of one name, and dots within names, which readers take for ends of groups.
    report_sample *a = report_sample_new(&record), *b = report_sample_new(&record);
    strcpy(a->report.artifact, "Qwen2.5-0.5B-Q8_0.gguf");
    strcpy(b->report.artifact, a->report.artifact);
    strcpy(a->report.fixtures[1].name, a->report.fixtures[0].name);
    const verify_report *list[] = { &a->report, &b->report };
    text = verify_report_junit(list, 2);
    ck_assert_int_eq(occurrences(text, "<testsuite name=\"hallmark.Qwen2_5-0_5B-Q8_0\""), 1);
    ck_assert_int_eq(occurrences(text, "<testsuite name=\"hallmark.Qwen2_5-0_5B-Q8_0_2\""), 1);
    ck_assert_int_eq(occurrences(text, "<testsuite name=\"hallmark.Qwen2_5-0_5B-Q8_0.q4_k_m_2\""), 1);
    ck_assert_int_eq(occurrences(text, "<property name=\"artifact\" value=\"Qwen2.5-0.5B-Q8_0.gguf\"/>"), 6);
    free(text);
    report_sample_free(a);
    report_sample_free(b);
}
END_TEST

START_TEST(junit_does_not_call_open_what_failed_or_held)
{
    report_sample *s = report_sample_new(&undecided);
    char *text = form_of(s, verify_report_junit);
    ck_assert_int_eq(occurrences(text, "<error type=\"inconclusive\" message=\"the fixture is too short"), 1);
    ck_assert_int_eq(occurrences(text, "<failure"), 0);
    free(text);
    report_sample_free(s);
    s = report_sample_new(&lacking);
    text = form_of(s, verify_report_junit);
    ck_assert_int_eq(occurrences(text, "<error type=\"unverified\" message=\"a fixture that this type answers to"), 1);
    ck_assert_int_eq(occurrences(text, "<failure"), 0);
    free(text);
    report_sample_free(s);
}
END_TEST

// ---- HTML -----------------------------------------------------------------------------------------------------------

START_TEST(pages_are_well_formed_and_say_what_they_show)
{
    static const int plots[N_SAMPLES] = { 2 + 2 * 3, 2 + 2 * (2 + 3), 2 + 3, 2 + 3, 0, 2 + 2 + 4, 2, 0 };
    for (int k = 0; k < N_SAMPLES; k++) {
        report_sample *s = report_sample_new(all_samples[k]);
        char *text = form_of(s, verify_report_html), *again = form_of(s, verify_report_html);
        page  p = { .what = "page" };
        page_read(&p, text);
        same_text(text, again, "page");
        ck_assert_msg(p.n_plots == plots[k], "sample %d: %d plots, expected %d", k, p.n_plots, plots[k]);
        ck_assert(!strstr(text, ">nan") && !strstr(text, "inf%") && !strstr(text, "nan%") && !strstr(text, "http://"));
        ck_assert_int_eq(occurrences(text, "<p class=\"verdict"), 1);
        char box[64];
        snprintf(box, sizeof box, "<p class=\"verdict %s\">", verify_verdict(&s->report));
        ck_assert_int_eq(occurrences(text, box), 1);
        free(text);
        free(again);
        report_sample_free(s);
    }
}
END_TEST

// What these pages add to the colours of all reports, on the pages and boxes of those.
START_TEST(colours_can_be_read)
{
    static const char *const marks[] = { "dark)", "@media print" }, *const names[] = { "good", "bad", "open" };
    for (int i = 0; i < 3; i++) {
        const char *base = i == 0 ? HTML_CSS : strstr(HTML_CSS, marks[i - 1]);
        const char *own  = i == 0 ? REPORT_CSS : strstr(REPORT_CSS, marks[i - 1]);
        ck_assert(base && own);
        for (int k = 0; k < 3; k++) {
            char sheet[512];
            snprintf(sheet, sizeof sheet, "%.120s", own);
            strncat(sheet, base, 300);
            contrast(sheet, names[k], "page", 4.5);
            contrast(sheet, names[k], "box", 4.5);
        }
    }
}
END_TEST

// Each step that is drawn is a row of its table; each of the heat strip's columns a cell.
START_TEST(plots_have_their_tables)
{
    report_sample *s = report_sample_new(&pass);
    s->report.n_fixtures = 1;       // the other one has a table of its own
    char *text = form_of(s, verify_report_html);
    ck_assert_int_eq(occurrences(text, "<tr><td class=\"l\">coding-python-1</td><th scope=\"row\">"), 64 + 36 * 0);
    const char *heat = strstr(text, "KL by case and step as a table");
    ck_assert_ptr_nonnull(heat);
    const char *row = strstr(heat, "<th scope=\"row\"><span>coding-python-1</span></th>");
    ck_assert_ptr_nonnull(row);
    char *cells = strndup(row, (size_t)(strstr(row, "</tr>") - row));
    ck_assert_int_eq(occurrences(cells, "<td>"), 64);
    free(cells);
    free(text);
    s->report.n_fixtures = 2;
    report_sample_free(s);
}
END_TEST

START_TEST(pages_stay_of_a_bounded_size)
{
    report_sample *s = report_sample_new(&(report_opts){ SAMPLE_FAIL, 1, 300, 700, 62, true, NULL });
    char *text = form_of(s, verify_report_html);
    page  p = { .what = "a large page" };
    ck_assert_int_lt((int)strlen(text), 2 << 20);
    page_read(&p, text);
    ck_assert_int_eq(p.n_plots, 2 + 2 + MOST_LAYER_PLOTS);
    ck_assert_ptr_nonnull(strstr(text, "Drawn are the 64 cases of the largest KL, of 300."));
    ck_assert_ptr_nonnull(strstr(text, "A column is 8 steps and shows the largest."));
    // Those that failed lie furthest: all 60 of them are among the rows.
    const char *strip = strstr(text, "<div class=\"heat\">");
    ck_assert_ptr_nonnull(strip);
    for (int c = 1; c < 300; c += 5) {
        char name[32];
        snprintf(name, sizeof name, "%s-%d,", c % 2 ? "coding-python" : "non-latin-ru-zh", c);
        ck_assert_msg(strstr(strip, name) != NULL, "%s is not drawn", name);
    }
    free(text);
    report_sample_free(s);
}
END_TEST

// ---- from a record --------------------------------------------------------------------------------------------------

START_TEST(a_record_gives_the_same_pages)
{
    report_sample *s = report_sample_new(&pass);
    err    e = { 0 };
    cJSON *brief = verify_report_brief(&s->report);
    char  *printed = cJSON_PrintUnformatted(brief);
    cJSON *parsed = cJSON_Parse(printed);
    verify_report back;
    ck_assert_msg(verify_report_read(&back, parsed, "record", &e), "%s", e.msg);
    verify_report_forget_cases(&s->report);
    const verify_report *one[] = { &s->report }, *two[] = { &back };
    report_form *const forms[] = { verify_report_html, verify_report_junit };
    for (int i = 0; i < 2; i++) {
        char *a = forms[i](one, 1), *b = forms[i](two, 1);
        same_text(b, a, "from a record");
        free(a);
        free(b);
    }
    verify_report_free(&back);
    cJSON_Delete(parsed);
    cJSON_Delete(brief);
    free(printed);
    report_sample_free(s);
}
END_TEST

START_TEST(a_path_says_which_form)
{
    static const char *const names[] = { "a.json", "b.md", "c.html", "d.xml" };
    report_form *const forms[] = { verify_report_json_text, verify_report_md, verify_report_html, verify_report_junit };
    report_sample *s = report_sample_new(&record);
    const verify_report *list[] = { &s->report };
    char dir[] = "/tmp/hallmark-report-pages-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 4; i++) {
        int64_t n;
        err     e = { 0 };
        char   *expected = form_of(s, forms[i]), *found = NULL;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        ck_assert(verify_report_suffix_ok(path));
        ck_assert_msg(verify_report_write(list, 1, path, &e), "%s", e.msg);
        ck_assert_msg(file_read_text(&found, &n, path, 1 << 24, &e), "%s", e.msg);
        same_text(found, expected, path);
        free(found);
        free(expected);
        unlink(path);
    }
    err e = { 0 };
    ck_assert(!verify_report_suffix_ok("x.htm") && !verify_report_suffix_ok("xml"));
    ck_assert(!verify_report_write(list, 1, "/nowhere/x.txt", &e) && e.kind == ERR_USAGE);
    ck_assert_msg(strstr(e.msg, ".html or .xml") != NULL, "%s", e.msg);
    rmdir(dir);
    report_sample_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report_pages");
    TCase *t = tcase_create("all");
    tcase_add_test(t, each_check_has_a_row);
    tcase_add_test(t, what_does_not_hold_is_named_where_it_is);
    tcase_add_test(t, what_was_not_made_is_no_success);
    tcase_add_test(t, junit_is_what_its_readers_take);
    tcase_add_test(t, junit_names_group_well);
    tcase_add_test(t, junit_does_not_call_open_what_failed_or_held);
    tcase_add_test(t, pages_are_well_formed_and_say_what_they_show);
    tcase_add_test(t, colours_can_be_read);
    tcase_add_test(t, plots_have_their_tables);
    tcase_add_test(t, pages_stay_of_a_bounded_size);
    tcase_add_test(t, a_record_gives_the_same_pages);
    tcase_add_test(t, a_path_says_which_form);
    suite_add_tcase(s, t);
    return run_suite(s);
}
