// Proves the reports of verify/verify.h (their keys are a contract) and verify/record.h (what a published file says of its own proof).
#include "formats/claims.h"
#include "formats/json.h"
#include "verify/record.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static verify_failure failures[] = {
    { "code-1", "teacher_forced", 12, 345, 99, 0.25, 3, "a | b" },
    { "", "metadata", -1, -1, -1, NAN, LAYER_NONE, "key 'gemma4.attention.scale': found 0.0625, expected 1" },
};
static verify_fixture_result results[] = {
    { .name = "tiny.float32.json.gz", .file_digest = "abababababababababababababababababababababababababababababababab", .dtype = "float32", .kind = CHECK_EXACT, .ran = true, .cases = 12, .free_run_equal = 12,
      .free_run_tokens = 360, .free_run_tokens_equal = 360, .steps = 768, .teacher_forced_equal = 768, .ties = 1, .kl_mean = 1.25e-13, .kl_max = 0.1,
      .logprob_diff_max = 0.5, .kl_limit = 1e-9, .logprob_limit = 1e-3, .ties_limit = 3.84, .top1_limit = NAN, .passed = true },
    { .name = "q.json.gz", .file_digest = "cd", .dtype = "float32", .kind = CHECK_DRIFT, .ran = true, .cases = 12, .steps = 768, .kl_mean = NAN, .kl_max = NAN,
      .logprob_diff_max = NAN, .kl_limit = 1, .logprob_limit = NAN, .ties_limit = NAN, .top1_limit = 0.5, .n_failures = 2, .failures_total = 7,
      .failures = failures },
};
static char notes[][256] = { "computed in bf16, which was asked for" };

static verify_report made(int n_fixtures)
{
    verify_report r = { .artifact = "tiny-F32.gguf", .type = "F32", .arith = "f32", .kv = "f32", .kv_required = "f32", .device = "cpu", .file_bytes = 12345678,
                        .attention_scale = 1, .passed = n_fixtures == 1, .n_fixtures = n_fixtures, .fixtures = results, .n_notes = 1, .notes = notes };
    return r;
}

START_TEST(json_has_the_keys_of_the_contract)
{
    static const char *const TOP[] = { "artifact", "type", "arith", "kv", "device", "fixtures", "verdict" };
    static const char *const EACH[] = { "name", "dtype", "cases", "free_run_equal", "steps", "teacher_forced_equal", "ties", "kl_mean", "kl_max",
                                        "logprob_diff_max", "verdict", "failures" };
    static const char *const FAILURE[] = { "case", "step", "expected", "got", "margin", "layer" };
    verify_report r = made(2);
    cJSON *j = verify_report_json(&r);
    for (size_t i = 0; i < sizeof TOP / sizeof *TOP; i++) ck_assert_msg(cJSON_GetObjectItemCaseSensitive(j, TOP[i]) != NULL, "%s", TOP[i]);
    cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "fixtures"), 1);
    for (size_t i = 0; i < sizeof EACH / sizeof *EACH; i++) ck_assert_msg(cJSON_GetObjectItemCaseSensitive(f, EACH[i]) != NULL, "%s", EACH[i]);
    cJSON *x = cJSON_GetArrayItem(cJSON_GetObjectItem(f, "failures"), 0), *whole = cJSON_GetArrayItem(cJSON_GetObjectItem(f, "failures"), 1);
    for (size_t i = 0; i < sizeof FAILURE / sizeof *FAILURE; i++) ck_assert_msg(cJSON_GetObjectItemCaseSensitive(x, FAILURE[i]) != NULL, "%s", FAILURE[i]);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(x, "case")), "code-1");
    ck_assert(cJSON_GetNumberValue(cJSON_GetObjectItem(x, "step")) == 12 && cJSON_GetNumberValue(cJSON_GetObjectItem(x, "layer")) == 3);
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(whole, "case")) && cJSON_IsNull(cJSON_GetObjectItem(whole, "layer")));
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(whole, "step")) && cJSON_IsNull(cJSON_GetObjectItem(whole, "margin")));
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(f, "kl_mean")));         // NaN is not JSON
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(f, "verdict")), "fail");
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(j, "verdict")), "fail");
    cJSON_Delete(j);
    r = made(1);
    j = verify_report_json(&r);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(j, "verdict")), "pass");
    cJSON_Delete(j);
}
END_TEST

START_TEST(verdicts)
{
    verify_report r = made(1);
    ck_assert_str_eq(verify_verdict(&r), "pass");
    r.incomplete = true;
    ck_assert_str_eq(verify_verdict(&r), "unverified");
    r = made(2);
    r.incomplete = true;
    ck_assert_str_eq(verify_verdict(&r), "fail");           // a missing fixture does not hide one that failed
    r = made(0);
    r.passed = true;
    ck_assert_str_eq(verify_verdict(&r), "unverified");     // nothing was run: nothing is proved
}
END_TEST

START_TEST(markdown_is_a_table_that_text_cannot_break)
{
    verify_report r = made(2);
    const verify_report *list[] = { &r };
    char *md = verify_report_md(list, 1);
    ck_assert_ptr_nonnull(md);
    ck_assert_ptr_nonnull(strstr(md, "| artifact | type | size | KV cache | attention scale | fixture | free-run tokens equal | teacher-forced agreement | mean KL | verdict |"));
    ck_assert_ptr_nonnull(strstr(md, "| tiny-F32.gguf | F32 | 12.35 MB | f32 | 1 | tiny.float32.json.gz, float32, exact | 360 of 360 (12 of 12 prompts whole) | 768 of 768 | 1.25e-13 | pass |"));
    ck_assert_ptr_nonnull(strstr(md, "teacher_forced: a \\| b\n"));
    ck_assert_ptr_nonnull(strstr(md, "... and 5 more failures"));
    ck_assert_ptr_nonnull(strstr(md, "Note, tiny-F32.gguf: computed in bf16"));
    free(md);
}
END_TEST

START_TEST(written_by_suffix)
{
    verify_report r = made(1);
    const verify_report *list[] = { &r, &r };
    char path[64];
    snprintf(path, sizeof path, "/tmp/report_test.%ld.json", (long)getpid());
    err e = { 0 };
    ck_assert_msg(verify_report_write(list, 1, path, &e), "%s", e.msg);
    cJSON *j = json_parse_file(path, &e), *again = verify_report_json(&r);
    ck_assert(j && cJSON_Compare(j, again, true));
    cJSON_Delete(j);
    ck_assert_msg(verify_report_write(list, 2, path, &e), "%s", e.msg);
    j = json_parse_file(path, &e);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(j, "artifacts")), 2);
    cJSON_Delete(j);
    cJSON_Delete(again);
    remove(path);
    ck_assert(!verify_report_write(list, 1, "/tmp/report_test.txt", &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
}
END_TEST

// ---- records -------------------------------------------------------------------------------------------------------

static char gguf_path_[64];

// A file of one tensor with hallmark keys; scale is a metadata value to edit.
static void make_gguf(float scale, uint8_t last_byte)
{
    err e = { 0 };
    const int64_t shape[] = { 4 };
    int64_t header, total;
    uint8_t data[16] = { 1, 2, 3 };
    char    hex[1][SHA256_HEX + 1];
    data[15] = last_byte;
    snprintf(gguf_path_, sizeof gguf_path_, "/tmp/report_test.%ld.gguf", (long)getpid());
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma4", &e) && gguf_plan_u32(p, "general.file_type", 0, &e) && gguf_plan_f32(p, "gemma4.attention.scale", scale, &e));
    ck_assert(gguf_plan_tensor(p, "output_norm.weight", DT_F32, 1, shape, &e) && claims_plan(p, "F32", NULL, NULL, &e));
    ck_assert(gguf_plan_layout(p, &header, &total, &e));
    ck_assert(sha256_bytes(data, sizeof data, hex[0], &e) && claims_set_digests(p, (const char (*)[SHA256_HEX + 1])hex, &e));
    outfile *f = outfile_open(gguf_path_, total, &e);
    ck_assert_msg(f && gguf_plan_write(p, f, &e) && outfile_write_at(f, gguf_plan_tensor_at(p, 0)->off, data, sizeof data, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
}

static cJSON *read_record(gguf **g, err *e)
{
    cJSON *rec = NULL;
    *g = gguf_open(gguf_path_, e);
    ck_assert_msg(*g && record_read(*g, &rec, e), "%s", e->msg);
    return rec;
}

START_TEST(a_record_is_written_in_place_and_holds)
{
    gguf *g;
    err   e = { 0 };
    char  before[SHA256_HEX + 1], after[SHA256_HEX + 1];
    verify_report r = made(1);
    make_gguf(1, 7);
    ck_assert_ptr_null(read_record(&g, &e));                        // a plain convert's record is empty
    ck_assert(claims_metadata_digest(g, before, &e));
    int64_t bytes = gguf_file_bytes(g);
    gguf_close(g);
    ck_assert_msg(record_write(gguf_path_, &r, &e), "%s", e.msg);
    cJSON *rec = read_record(&g, &e);
    ck_assert_ptr_nonnull(rec);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    ck_assert(claims_metadata_digest(g, after, &e));
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(gguf_file_bytes(g), bytes);
    ck_assert(claims_check_tensors(g, 1, NULL, &e));
    cJSON *report = verify_report_json(&r);
    ck_assert_msg(record_agrees(rec, report, "report.json", &e), "%s", e.msg);
    cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(report, "fixtures"), 0);
    cJSON_SetNumberValue(cJSON_GetObjectItem(f, "kl_mean"), 1.25e-13 * (1 + 0x1p-52));
    ck_assert(!record_agrees(rec, report, "report.json", &e));      // a prettier number in the report
    ck_assert_int_eq(e.kind, ERR_VERDICT);
    ck_assert_ptr_nonnull(strstr(e.msg, "kl_mean"));
    cJSON_Delete(report);
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

// Lifts the record of one file into another: what it was made for no longer fits.
static void check_moved(float scale, uint8_t last_byte, const char *named)
{
    gguf *g;
    err   e = { 0 };
    verify_report r = made(1);
    make_gguf(1, 7);
    ck_assert(record_write(gguf_path_, &r, &e));
    cJSON *rec = read_record(&g, &e);
    gguf_close(g);
    make_gguf(scale, last_byte);
    g = gguf_open(gguf_path_, &e);
    ck_assert(!record_check(g, rec, &e));
    ck_assert_int_eq(e.kind, ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, named), "%s", e.msg);
    gguf_close(g);
    cJSON_Delete(rec);
    remove(gguf_path_);
}

START_TEST(a_record_does_not_fit_another_file)
{
    check_moved(0.0625f, 7, "metadata");
    check_moved(1, 8, "tensors");
}
END_TEST

START_TEST(a_record_that_says_no_is_no_proof)
{
    gguf *g;
    err   e = { 0 };
    verify_report r = made(2);
    make_gguf(1, 7);
    ck_assert(record_write(gguf_path_, &r, &e));
    cJSON *rec = read_record(&g, &e);
    ck_assert(!record_check(g, rec, &e));
    ck_assert_ptr_nonnull(strstr(e.msg, "does not say that verification passed"));
    gguf_close(g);
    cJSON_Delete(rec);
    remove(gguf_path_);
}
END_TEST

START_TEST(a_record_that_does_not_fit_its_room_is_refused)
{
    err e = { 0 };
    verify_fixture_result many[40];
    for (int i = 0; i < 40; i++) many[i] = results[0];
    verify_report r = made(1);
    r.n_fixtures = 40;
    r.fixtures = many;
    make_gguf(1, 7);
    ck_assert(!record_write(gguf_path_, &r, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    r.n_fixtures = 12;
    memset(&e, 0, sizeof e);
    ck_assert_msg(record_write(gguf_path_, &r, &e), "%s", e.msg);
    remove(gguf_path_);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("all");
    tcase_add_test(t, json_has_the_keys_of_the_contract);
    tcase_add_test(t, verdicts);
    tcase_add_test(t, markdown_is_a_table_that_text_cannot_break);
    tcase_add_test(t, written_by_suffix);
    tcase_add_test(t, a_record_is_written_in_place_and_holds);
    tcase_add_test(t, a_record_does_not_fit_another_file);
    tcase_add_test(t, a_record_that_says_no_is_no_proof);
    tcase_add_test(t, a_record_that_does_not_fit_its_room_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
