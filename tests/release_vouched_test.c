// Proves what a key is put under, and that each figure which a run does not give is told (release/release_kept.c,
// release/check_file.h).
#include "made_release.h"
#include "forger.h"
#include "formats/json.h"
#include "formats/file_map.h"
#include "verify/steps.h"

// ---- signed --------------------------------------------------------------------------------------------------------

START_TEST(a_signed_release_is_signed_again_as_it_was_or_not_at_all)
{
    const char *out = in_scratch("signed");
    char mine[SCRATCH_PATH], theirs[SCRATCH_PATH];
    scratch_path(mine, "mine.pem");
    scratch_path(theirs, "theirs.pem");
    write_key(mine);
    write_key(theirs);
    release_opts o = options(BF16, 1);
    o.sign_key = mine;
    release_result r = released(out, &o);
    ck_assert(r.published && r.signed_by[0]);
    release_result_free(&r);
    o = options(F32, 1);
    o.sign_key = theirs;
    refused(out, &o, ERR_VERDICT, "--replace");
    o.sign_key = mine;
    put(out, "evil.py", "mine");                        // nobody signed it
    refused(out, &o, ERR_VERDICT, "evil.py");
    ck_assert_int_eq(unlink(in_scratch("signed/evil.py")), 0);
    put(out, "report.md", "changed");
    refused(out, &o, ERR_VERDICT, "report.md");
    o.replace = true;
    r = released(out, &o);
    ck_assert(r.published && r.n == 1);
    release_result_free(&r);
    o = options(BF16, 1);
    o.sign_key = mine;
    r = released(out, &o);
    ck_assert(r.published && r.n == 2 && r.made[0].kept);
    release_result_free(&r);
    holds(out);
    ck_assert_int_eq(unlink(in_scratch("signed/model.sig")), 0);
    refused(out, &o, ERR_INPUT, "model.sig");
}
END_TEST

// ---- signed for the first time --------------------------------------------------------------------------------------

static void scale(cJSON *rec, double by)
{
    cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(rec, "fixtures"), 0);
    set_number(first, "kl_mean", by * cJSON_GetObjectItemCaseSensitive(first, "kl_mean")->valuedouble);
}

static void better(cJSON *rec)       { scale(rec, 0.5); }

static void add_token(cJSON *rec, int n)
{
    cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(rec, "fixtures"), 0);
    set_number(first, "free_run_tokens_equal",
               cJSON_GetObjectItemCaseSensitive(first, "free_run_tokens_equal")->valuedouble + n);
}

static void one_token_less(cJSON *rec) { add_token(rec, -1); }

static char other_steps[SHA256_HEX + 1];

static void name_other_steps(cJSON *rec)
{
    cJSON *f;
    cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(rec, "release"), "files"))
        if (strcmp(json_get(f, "name")->valuestring, STEPS_FILE) == 0) set_text(f, "sha256", other_steps);
}

// The distances of a case, each at the step before its own: counts, mean and largest are what they were.
static void move_steps(const char *out, const char *artifact)
{
    err    e = { 0 };
    char  *path = path_join(out, STEPS_FILE);
    cJSON *doc = steps_read_file(path, NULL, &e);
    ck_assert_msg(doc != NULL, "%s", e.msg);
    cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(doc, "artifacts"), 0);
    first = cJSON_GetArrayItem(cJSON_GetObjectItem(first, "fixtures"), 0);
    cJSON *kl = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(first, "cases"), 0), "kl");
    cJSON_AddItemToArray(kl, cJSON_DetachItemFromArray(kl, 0));
    char *text = json_print_short(doc), *report = path_join(out, "report.json"), before[SHA256_HEX + 1];
    digest_of(out, STEPS_FILE, before);
    put(out, STEPS_FILE, text);
    digest_of(out, STEPS_FILE, other_steps);
    paste(report, before, other_steps);
    free(report);
    rerecord(artifact, name_other_steps);
    free(text);
    cJSON_Delete(doc);
    free(path);
}

// A release of shorter free runs than usual is run again as it was: each of their figures can be compared.
START_TEST(a_check_runs_as_long_as_the_record_says)
{
    const char *out = in_scratch("as-long");
    char art[300], fix[400];
    err  e = { 0 };
    publish(out, BF16, 1);
    snprintf(art, sizeof art, "%s/tiny-BF16.gguf", out);
    snprintf(fix, sizeof fix, "%s/fixtures/bfloat16.json.gz", source);
    const char *const given[] = { fix };
    const check_opts  o = { .device = "cpu", .fixtures = given, .n_fixtures = 1, .gate_path = gate_path };
    ck_assert_msg(check_artifact(out, &o, &e), "%s", e.msg);
    rerecord(art, one_token_less);
    ck_assert(!check_artifact(art, &o, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "'free_run_tokens_equal' against fixture 'bfloat16.json.gz' is 7, but running it "
                                "again gives 8"), "%s", e.msg);
}
END_TEST

static void check_refused(const char *path, const char *says)
{
    char fix[400];
    err  e = { 0 };
    snprintf(fix, sizeof fix, "%s/fixtures/bfloat16.json.gz", source);
    const char *const given[] = { fix };
    const check_opts  o = { .device = "cpu", .fixtures = given, .n_fixtures = 1, .gate_path = gate_path };
    ck_assert(!check_artifact(path, &o, &e));
    ck_assert_int_eq(e.kind, ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, says) != NULL, "%s\nexpected: %s", e.msg, says);
}

static void longer(cJSON *rec)
{
    cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(rec, "fixtures"), 0);
    set_number(first, "free_run_tokens",
               cJSON_GetObjectItemCaseSensitive(first, "free_run_tokens")->valuedouble + 1);
}

static void surer(cJSON *rec)
{
    cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(rec, "fixtures"), 0);
    set_number(first, "probe_worst", 1e-9);
}

// A fixture that is run again is compared in each figure, and none of them can be put out of the comparison.
START_TEST(figures_that_a_run_does_not_give_are_told)
{
    static const struct { void (*forge)(cJSON *rec); const char *says; } forged[] = {
        { better,         "the verification record's 'kl_mean' against fixture 'bfloat16.json.gz'" },
        { one_token_less, "the verification record's 'free_run_tokens_equal' against fixture" },
        { longer,         "the verification record's 'free_run_tokens' against fixture" },
        { surer,          "the verification record's 'probe_worst' against fixture" },
    };
    const char *out = in_scratch("forged");
    char art[300];
    publish(out, BF16, 1);
    snprintf(art, sizeof art, "%s/tiny-BF16.gguf", out);
    cJSON *said = record_of(art);
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        rerecord(art, forged[i].forge);
        check_refused(art, forged[i].says);
        write_record(art, said);
    }
    cJSON_Delete(said);
    move_steps(out, art);
    check_refused(out, STEPS_FILE ": tiny-BF16.gguf against bfloat16.json.gz: not what running it again gives: key "
                  "'cases[0].kl[0]'");
}
END_TEST

// Those of another run, which the reports could be written from: it is the file that is named, not a page.
START_TEST(steps_of_another_run_are_named_as_such)
{
    const char *out = in_scratch("foreign-steps");
    const check_opts o = { .device = "cpu" };
    err     e = { 0 };
    int64_t n;
    char   *text, *path = path_join(out, STEPS_FILE);
    publish(out, BF16, 1);
    ck_assert_msg(file_read_text(&text, &n, path, STEPS_MOST_BYTES, &e), "%s", e.msg);
    char *margin = strstr(text, "\"margin\":[") + strlen("\"margin\":[");
    *margin = *margin == '1' ? '2' : '1';
    put(out, STEPS_FILE, text);
    ck_assert(!check_artifact(out, &o, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, STEPS_FILE ": found SHA-256 ") != NULL, "%s", e.msg);
    const release_opts more = options(F32, 1);
    refused(out, &more, ERR_VERDICT, STEPS_FILE ": found SHA-256 ");
    free(text);
    free(path);
}
END_TEST

START_TEST(a_key_is_not_put_under_what_nobody_signed)
{
    const char *out = in_scratch("vouched");
    char mine[SCRATCH_PATH];
    release_opts o = options(F32, 1);
    publish(out, BF16, 1);
    scratch_path(mine, "first.pem");
    write_key(mine);
    o.sign_key = mine;
    refused(out, &o, ERR_USAGE, "nothing can be added and signed");
    o = options(BF16, 1);
    o.sign_key = mine;
    o.replace = true;
    release_result r = released(out, &o);
    ck_assert(r.published && r.signed_by[0] && r.n == 1 && !r.made[0].kept);
    release_result_free(&r);
    holds(out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release_vouched");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, files_end);
    tcase_add_test(t, a_signed_release_is_signed_again_as_it_was_or_not_at_all);
    tcase_add_test(t, a_check_runs_as_long_as_the_record_says);
    tcase_add_test(t, figures_that_a_run_does_not_give_are_told);
    tcase_add_test(t, a_key_is_not_put_under_what_nobody_signed);
    tcase_add_test(t, steps_of_another_run_are_named_as_such);
    suite_add_tcase(s, t);
    return run_suite(s);
}
