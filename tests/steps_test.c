// Proves verify/steps.h on made-up reports (report_sample.h): what is written is read, up to the most that a file may
// hold; from it and a record the reports are the same again; what is of something else, or hostile, is refused by name.
#include "formats/json.h"
#include "formats/text.h"
#include "report_sample.h"
#include "suite.h"
#include "verify/report_html.h"
#include "verify/steps.h"

static const report_opts pass = { SAMPLE_PASS, 2, 14, 64, 35, true, NULL };

// libcheck's own would print both, and a page is too long for it.
static void same_text(const char *found, const char *expected, const char *what)
{
    size_t at = 0;
    while (found[at] && found[at] == expected[at]) at++;
    ck_assert_msg(found[at] == expected[at], "%s: byte %zu: found '%.60s', expected '%.60s'", what, at, found + at,
                  expected + at);
}

// ---- from a record and its steps -----------------------------------------------------------------------------------

// What the record keeps, with the steps of a file that says text.
static bool record_with(verify_report *back, const report_sample *s, const char *text, err *e)
{
    cJSON *brief = verify_report_brief(&s->report);
    cJSON *doc = steps_read(text, (int64_t)strlen(text), "steps", e);
    const bool ok = doc && verify_report_read(back, brief, "record", e) && steps_attach(back, 1, doc, "steps", e);
    cJSON_Delete(doc);
    cJSON_Delete(brief);
    return ok;
}

static char *steps_text(const verify_report *r)
{
    cJSON *doc = steps_json(r, 1);
    char  *text = doc ? json_print_short(doc) : NULL;
    ck_assert_ptr_nonnull(text);
    cJSON_Delete(doc);
    return text;
}

START_TEST(a_record_and_its_steps_give_the_plots)
{
    static const char *const SHOWS[] = { "KL by case and step", "Margins and ties", "Departure of each layer" };
    report_sample *s = report_sample_new(&pass);
    verify_report  back, again;
    err   e = { 0 };
    char *text = steps_text(&s->report);
    ck_assert(steps_there(&s->report, 1));
    ck_assert_msg(record_with(&back, s, text, &e), "%s", e.msg);
    char *twice = steps_text(&back);
    same_text(twice, text, "the steps again");
    ck_assert_msg(record_with(&again, s, twice, &e), "%s", e.msg);
    const verify_report *one[] = { &back }, *two[] = { &again };
    char *(*const forms[])(const verify_report *const *, int) = { verify_report_html, verify_report_junit };
    for (int i = 0; i < 2; i++) {
        char *a = forms[i](one, 1), *b = forms[i](two, 1);
        same_text(b, a, "from a record and its steps");
        for (int k = 0; i == 0 && k < 3; k++) ck_assert_msg(strstr(a, SHOWS[k]) != NULL, "%s", SHOWS[k]);
        free(a);
        free(b);
    }
    verify_report_forget_cases(&s->report);
    ck_assert(!steps_there(&s->report, 1));
    verify_report_free(&again);
    verify_report_free(&back);
    free(twice);
    free(text);
    report_sample_free(s);
}
END_TEST

// Each is put in the place of the first of its kind.
START_TEST(steps_of_something_else_are_refused)
{
    static const struct { const char *from, *to, *says; } rows[] = {
        { "\"states\":[1", "\"states\":[4", "case 0: key 'states'" },
        { "\"marks\":\"", "\"marks\":\"b", "case 0: key 'marks'" },
        { "\"marks\":\"b", "\"marks\":\"z", "case 0: key 'marks'" },
        { "\"kl\":[", "\"kl\":[\"x\",", "case 0: key 'marks'" },
        { "\"kl\":[", "\"kl\":[-", "case 0: key 'kl'" },
        { "\"margin\":[", "\"margin\":[-", "case 0: key 'margin'" },
        { "\"ids\":[", "\"ids\":[-", "case 0: key 'ids'" },
        { "\"other\":[", "\"other\":[64,1", "case 0: key 'other'" },
        { "\"other\":[", "\"other\":[0", "case 0: key 'other'" },
        { "\"layers\":[", "\"layers\":[0,", "case 0: key 'layers'" },
        { "\"layers\":[", "\"layers\":[-2,1,1,", "case 0: key 'layers'" },
        { "\"free_equal\":", "\"free_equal\":-1", "case 0: key 'free_equal'" },
        { "\"id\":\"", "\"id\":\"" "0123456789012345678901234567890123456789012345678901234567890123", "key 'id'" },
        { "\"free_equal\":", "\"free_equal\":1", "do not give the record's 'free_run_tokens_equal'" },
        { "\"kl\":[", "\"kl\":[9999", "do not give the record's 'kl_max'" },
        { "\"artifact\":\"", "\"artifact\":\"x",
          "steps: it has 2 comparisons, of which the records know 0 in this order" },
        { "\"fixtures\":[", "\"fixtures\":[{\"sha256\":\"\",\"cases\":[]},",
          "it has 3 comparisons, of which the records know 0" },
        { "\"artifacts\":[", "\"artifacts\":[{\"artifact\":\"\",\"fixtures\":[]},", "of which the records know 0" },
        { "\"artifacts\":[", "\"artifacts\":[{},", "steps: found no steps of a release" },
        { "\"artifact\":\"", "\"more\":0,\"artifact\":\"", "steps: found no steps of a release" },
        { "\"sha256\":\"", "\"more\":0,\"sha256\":\"", "steps: found no steps of a release" },
        { "\"hallmark_steps\":", "\"more\":0,\"hallmark_steps\":", "steps: found no steps of a release" },
        { "\"cases\":[", "\"cases\":[{},", "found 15 cases, expected 14" },
    };
    report_sample *s = report_sample_new(&pass);
    char *text = steps_text(&s->report), *forged = malloc(strlen(text) + 256);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        verify_report back = { 0 };
        err e = { 0 };
        const char *at = strstr(text, rows[i].from);
        ck_assert_msg(at != NULL, "%s", rows[i].from);
        sprintf(forged, "%.*s%s%s", (int)(at - text), text, rows[i].to, at + strlen(rows[i].from));
        ck_assert_msg(!record_with(&back, s, forged, &e), "%s", rows[i].to);
        ck_assert_msg(e.kind == ERR_VERDICT && strstr(e.msg, rows[i].says), "%s: %s", rows[i].to, e.msg);
        verify_report_free(&back);
    }
    free(forged);
    free(text);
    report_sample_free(s);
}
END_TEST

// What is looked for stays little, whatever the file holds.
START_TEST(steps_of_too_many_comparisons_are_refused)
{
    text_buf t = { 0 };
    err e = { 0 };
    text_printf(&t, "{\"hallmark_steps\":1,\"artifacts\":[");
    for (int i = 0; i < STEPS_MOST_COMPARISONS; i++) text_printf(&t, "{\"artifact\":\"%d\",\"fixtures\":[]},", i);
    const size_t n = t.n;
    text_printf(&t, "{\"artifact\":\"\",\"fixtures\":[]}]}");
    char *text = text_take(&t);
    ck_assert(!steps_read(text, (int64_t)strlen(text), "steps", &e) && e.kind == ERR_VERDICT);
    strcpy(text + n - 1, "]}");
    cJSON *doc = steps_read(text, (int64_t)strlen(text), "steps", &e);
    ck_assert_msg(doc != NULL, "%s", e.msg);
    cJSON_Delete(doc);
    free(text);
}
END_TEST

// ---- what is written is read ---------------------------------------------------------------------------------------

static int64_t values_of(const cJSON *v)
{
    int64_t n = 1;
    for (const cJSON *c = v->child; c; c = c->next) n += values_of(c);
    return n;
}

static void add_layers(verify_case *c, int64_t n)
{
    c->layers = realloc(c->layers, (size_t)(c->n_layers + n) * sizeof *c->layers);
    ck_assert_ptr_nonnull(c->layers);
    for (int64_t i = 0; i < n; i++) c->layers[c->n_layers++] = (verify_layer){ 0, 0.001, 0.03 };
}

// Another id at a step where it was the reference's.
static void change_step(verify_fixture_result *f, int64_t s)
{
    verify_step *x = &f->traced[0].steps[s];
    ck_assert_int_eq(x->got, x->expected);
    x->got++;
    f->teacher_forced_equal--;
}

// As many values as a file may hold: steps take two each, where an id is another, and layers three.
static void fill_up(verify_report *r)
{
    cJSON *doc = steps_json(r, 1);
    int64_t more = STEPS_MOST_VALUES - values_of(doc), s = 0;
    cJSON_Delete(doc);
    ck_assert_int_gt(more, 6);
    for (; more % 3 != 0; more -= 2) {
        while (r->fixtures[0].traced[0].steps[s].got != r->fixtures[0].traced[0].steps[s].expected) s++;
        change_step(&r->fixtures[0], s);
    }
    add_layers(&r->fixtures[0].traced[0], more / 6);
    add_layers(&r->fixtures[1].traced[0], more / 3 - more / 6);
}

START_TEST(steps_that_a_file_has_room_for_are_read_again)
{
    static const report_opts many = { SAMPLE_PASS, 2, 173, 8, 2000, true, NULL };
    report_sample *s = report_sample_new(&many);
    verify_report  back = { 0 };
    err e = { 0 };
    fill_up(&s->report);
    ck_assert(steps_there(&s->report, 1));
    cJSON *doc = steps_json(&s->report, 1);
    ck_assert_int_eq(values_of(doc), STEPS_MOST_VALUES);
    char *text = json_print_short(doc);
    cJSON_Delete(doc);
    ck_assert_msg(record_with(&back, s, text, &e), "%s", e.msg);
    verify_report_free(&back);
    add_layers(&s->report.fixtures[0].traced[1], 1);
    ck_assert(!steps_there(&s->report, 1));
    memcpy(strstr(text, "\"hallmark_steps\":1"), "\"hallmark_ste\":[1]", strlen("\"hallmark_ste\":[1]"));
    ck_assert(!steps_read(text, (int64_t)strlen(text), "steps", &e));
    ck_assert_msg(strstr(e.msg, "found more than 2097152 values") != NULL, "%s", e.msg);
    free(text);
    report_sample_free(s);
}
END_TEST

START_TEST(a_case_has_no_more_layers_than_are_read)
{
    report_sample *s = report_sample_new(&pass);
    verify_case *c = &s->report.fixtures[1].traced[2];
    verify_report back = { 0 };
    err e = { 0 };
    add_layers(c, STEPS_MOST_LAYERS - c->n_layers);
    char *text = steps_text(&s->report);
    ck_assert(steps_there(&s->report, 1));
    ck_assert_msg(record_with(&back, s, text, &e), "%s", e.msg);
    verify_report_free(&back);
    free(text);
    add_layers(c, 1);
    ck_assert(!steps_there(&s->report, 1));
    report_sample_free(s);
}
END_TEST

// Ids of which each byte takes six: more than a file may have bytes, though the values are few enough.
START_TEST(steps_of_too_many_bytes_are_not_written)
{
    static const report_opts many = { SAMPLE_PASS, 2, 45000, 1, 0, true, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
                                      "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1" };
    report_sample *s = report_sample_new(&many);
    ck_assert(!steps_there(&s->report, 1));
    for (int i = 0; i < 2; i++)
        for (int64_t c = 0; c < many.n_cases; c++) strcpy(s->report.fixtures[i].traced[c].id, "c");
    ck_assert(steps_there(&s->report, 1));
    report_sample_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("steps");
    TCase *t = tcase_create("all");
    tcase_add_test(t, a_record_and_its_steps_give_the_plots);
    tcase_add_test(t, steps_of_something_else_are_refused);
    tcase_add_test(t, steps_of_too_many_comparisons_are_refused);
    tcase_add_test(t, steps_that_a_file_has_room_for_are_read_again);
    tcase_add_test(t, a_case_has_no_more_layers_than_are_read);
    tcase_add_test(t, steps_of_too_many_bytes_are_not_written);
    suite_add_tcase(s, t);
    return run_suite(s);
}
