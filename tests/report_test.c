// Proves the reports of verify/verify.h (their keys are a contract) and verify/record.h (what a published file says of
// its own proof).
#include "formats/claims.h"
#include "formats/json.h"
#include "release/json_diff.h"
#include "verify/gate.h"
#include "verify/record.h"
#include "release/release.h"
#include "doubling.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t made_bytes;      // of the file that make_gguf made last
static verify_failure failures[] = {
    { "code-1", "teacher_forced", 12, 345, 99, 0.25, 3, "a | b" },
    { "", "metadata", -1, -1, -1, NAN, LAYER_NONE, "key 'gemma4.attention.scale': found 0.0625, expected 1" },
};
static verify_fixture_result results[] = {
    { .name = "tiny.float32.json.gz",
      .file_digest = "abababababababababababababababababababababababababababababababab",
      .dtype = "float32",
      .kind = CHECK_EXACT,
      .ran = true,
      .cases = 12,
      .top_k = 64,
      .free_run_equal = 12,
      .free_run_tokens = 360,
      .free_run_tokens_equal = 360,
      .steps = 768,
      .teacher_forced_equal = 768,
      .ties = 1,
      .kl_mean = 1.25e-13,
      .kl_max = 0.1,
      .logprob_diff_max = 5e-5,
      .kl_limit = 1e-11,
      .logprob_limit = 1e-4,
      .free_run_ties_limit = 1,
      .probe_layer = LAYER_NONE,
      .ties_limit = 3.84,
      .top1_limit = NAN,
      .rounding_kl_mean = NAN,
      .passed = true },
    { .name = "q.json.gz",
      .file_digest = "cd",
      .dtype = "float32",
      .kind = CHECK_DRIFT,
      .ran = true,
      .cases = 12,
      .top_k = 64,
      .steps = 768,
      .kl_mean = NAN,
      .kl_max = NAN,
      .logprob_diff_max = NAN,
      .kl_limit = 1,
      .logprob_limit = NAN,
      .ties_limit = NAN,
      .top1_limit = 0.5,
      .rounding_kl_mean = NAN,
      .n_failures = 2,
      .failures_total = 7,
      .failures = failures },
};
static char notes[][256] = { "computed in bf16, which was asked for" };

static verify_report made(int n_fixtures)
{
    verify_report r = { .artifact = "tiny-F32.gguf",
                        .type = "F32",
                        .arith = "f32",
                        .kv = "f32",
                        .kv_required = "f32",
                        .device = "cpu",
                        .gate = "built-in",
                        .file_bytes = made_bytes ? made_bytes : 12345678,
                        .attention_scale = 1,
                        .passed = n_fixtures == 1,
                        .n_fixtures = n_fixtures,
                        .fixtures = results,
                        .n_notes = 1,
                        .notes = notes };
    return r;
}

START_TEST(json_has_the_keys_of_the_contract)
{
    static const char *const TOP[] = { "artifact", "type", "arith", "kv", "device", "fixtures", "verdict" };
    static const char *const EACH[] = {
        "name", "dtype",   "cases",  "free_run_equal",   "steps",   "teacher_forced_equal",
        "ties", "kl_mean", "kl_max", "logprob_diff_max", "verdict", "failures"
    };
    static const char *const FAILURE[] = { "case", "step", "expected", "got", "margin", "layer" };
    verify_report r = made(2);
    cJSON *j = verify_report_json(&r);
    for (size_t i = 0; i < sizeof TOP / sizeof *TOP; i++)
        ck_assert_msg(cJSON_GetObjectItemCaseSensitive(j, TOP[i]) != NULL, "%s", TOP[i]);
    cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "fixtures"), 1);
    for (size_t i = 0; i < sizeof EACH / sizeof *EACH; i++)
        ck_assert_msg(cJSON_GetObjectItemCaseSensitive(f, EACH[i]) != NULL, "%s", EACH[i]);
    cJSON *x = cJSON_GetArrayItem(cJSON_GetObjectItem(f, "failures"), 0),
          *whole = cJSON_GetArrayItem(cJSON_GetObjectItem(f, "failures"), 1);
    for (size_t i = 0; i < sizeof FAILURE / sizeof *FAILURE; i++)
        ck_assert_msg(cJSON_GetObjectItemCaseSensitive(x, FAILURE[i]) != NULL, "%s", FAILURE[i]);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(x, "case")), "code-1");
    ck_assert(cJSON_GetNumberValue(cJSON_GetObjectItem(x, "step")) == 12 &&
              cJSON_GetNumberValue(cJSON_GetObjectItem(x, "layer")) == 3);
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
    verify_fixture_result f[2] = { results[0], results[0] };
    r = made(2);
    r.fixtures = f;
    f[1].passed = false;
    f[1].n_why = 1;
    ck_assert_str_eq(verify_fixture_verdict(&f[1]), "inconclusive");
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");   // one that passed does not decide for the other
    r.incomplete = true;
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");
    f[0].passed = false;
    f[0].failures_total = 1;
    ck_assert_str_eq(verify_verdict(&r), "fail");
    f[1].failures_total = 1;
    ck_assert_str_eq(verify_fixture_verdict(&f[1]), "fail");
    f[0] = f[1] = results[0];
    r.derivation = (verify_derivation){ .made = true };
    ck_assert_str_eq(verify_verdict(&r), "fail");    // nor does any fixture for tensors that are not the source's
    ck_assert_str_eq(verify_worse("pass", "unverified"), "unverified");
    ck_assert_str_eq(verify_worse("inconclusive", "unverified"), "inconclusive");
    ck_assert_str_eq(verify_worse("inconclusive", "fail"), "fail");
}
END_TEST

// A part of its cases is said with the verdict in every form, and the fixture is the one that the file holds.
START_TEST(a_part_is_said_where_the_verdict_is)
{
    verify_report r = made(1);
    verify_fixture_result f = results[0];
    const verify_report *one[] = { &r };
    char prompts[64];
    r.fixtures = &f;
    r.passed = f.passed = false;
    f.n_why = 1;
    f.why[0] = (verify_why){ .what = "part", .text = "a part" };
    f.cases_held = 4 * f.cases;
    memset(f.reference.prompts, 'c', SHA256_HEX);
    snprintf(prompts, sizeof prompts, "; %lld prompts, ", (long long)f.cases_held);
    char said[128], part[VERIFY_PART];
    snprintf(said, sizeof said, ", %lld of %lld cases", (long long)f.cases, (long long)f.cases_held);
    ck_assert_str_eq(verify_part_words(&f, part), said);
    static const struct { char *(*form)(const verify_report *const *, int); const char *around[2]; } forms[] = {
        { verify_report_md, { "| inconclusive", " |" } },
        { verify_report_html, { "<td class=\"l open\">inconclusive", "</td>" } },
        { verify_report_junit, { "<property name=\"verdict\" value=\"inconclusive", "\"/>" } },
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(said, sizeof said, "%s%s%s", forms[i].around[0], part, forms[i].around[1]);
        char *text = forms[i].form(one, 1);
        ck_assert_msg(text && strstr(text, said), "expected '%s' in %s", said, text);
        if (i == 0) ck_assert_msg(strstr(text, prompts) != NULL, "expected '%s' in %s", prompts, text);
        free(text);
    }
}
END_TEST

START_TEST(markdown_is_a_table_that_text_cannot_break)
{
    verify_report r = made(2);
    const verify_report *list[] = { &r };
    char *md = verify_report_md(list, 1);
    ck_assert_ptr_nonnull(md);
    ck_assert_ptr_nonnull(strstr(md, "| artifact | type | size | KV cache | attention scale | fixture | free-run "
                                     "tokens equal | teacher-forced agreement | mean KL | verdict |"));
    ck_assert_ptr_nonnull(strstr(md, "| tiny-F32.gguf | F32 | 12.35 MB | f32 | 1 | tiny.float32.json.gz, float32, "
                                     "exact | 360 of 360 (12 of 12 prompts whole) | 768 of 768 | 1.25e-13 | pass |"));
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
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma4", &e) && gguf_plan_u32(p, "general.file_type", 0, &e) &&
              gguf_plan_f32(p, "gemma4.attention.scale", scale, &e));
    ck_assert(gguf_plan_tensor(p, "output_norm.weight", DT_F32, 1, shape, &e) && claims_plan(p, "F32", NULL, &e));
    ck_assert(gguf_plan_layout(p, &header, &total, &e));
    ck_assert(sha256_bytes(data, sizeof data, hex[0], &e) &&
              claims_set_digests(p, (const char(*)[SHA256_HEX + 1]) hex, &e));
    outfile *f = outfile_open(gguf_path_, total, &e);
    ck_assert_msg(f && gguf_plan_write(p, f, &e) &&
                      outfile_write_at(f, gguf_plan_tensor_at(p, 0)->off, data, sizeof data, &e) &&
                      outfile_commit(f, &e),
                  "%s", e.msg);
    gguf_plan_free(p);
    made_bytes = total;
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
    make_gguf(1, 7);
    verify_report r = made(1);
    ck_assert_ptr_null(read_record(&g, &e));                        // a plain convert's record is empty
    ck_assert(claims_metadata_digest(g, before, &e));
    int64_t bytes = gguf_file_bytes(g);
    gguf_close(g);
    ck_assert_msg(record_write(gguf_path_, &r, NULL, &e), "%s", e.msg);
    cJSON *rec = read_record(&g, &e);
    ck_assert_ptr_nonnull(rec);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    ck_assert(claims_metadata_digest(g, after, &e));
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(gguf_file_bytes(g), bytes);
    ck_assert(claims_check_tensors(g, 1, NULL, &e));
    verify_report back;    // the record is the whole report: both texts come out of it again
    ck_assert_msg(record_report(g, rec, &back, &e), "%s", e.msg);
    cJSON *report = verify_report_json(&r), *again = verify_report_json(&back);
    ck_assert_msg(json_same(again, report, "record", &e), "%s", e.msg);
    cJSON_Delete(again);
    cJSON_Delete(report);
    const verify_report *one[] = { &r }, *two[] = { &back };
    char *md = verify_report_md(one, 1), *md_again = verify_report_md(two, 1);
    ck_assert_str_eq(md, md_again);
    free(md);
    free(md_again);
    verify_report_free(&back);
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
    make_gguf(1, 7);
    verify_report r = made(1);
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
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
    make_gguf(1, 7);
    verify_report r = made(2);
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e);
    ck_assert(!record_check(g, rec, &e));
    ck_assert_ptr_nonnull(strstr(e.msg, "does not say that verification passed"));
    gguf_close(g);
    cJSON_Delete(rec);
    remove(gguf_path_);
}
END_TEST

// ---- a record that says pass, and yet not ---------------------------------------------------------------------------

// Writes the report's record over the file's, and expects record_check to name `named`.
static void contradiction(const verify_report *r, const char *named)
{
    gguf *g;
    err   e = { 0 };
    ck_assert_msg(record_write(gguf_path_, r, NULL, &e), "%s", e.msg);
    cJSON *rec = read_record(&g, &e);
    bool   ok = record_check(g, rec, &e);
    ck_assert_msg(!ok && e.kind == ERR_VERDICT && strstr(e.msg, named), "%s: %s", named, ok ? "passes" : e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
}

// A record that says pass of a fixture that says otherwise.
static void says_pass_of_a_fixture_that(const char *verdict, const char *named)
{
    gguf *g;
    err   e = { 0 };
    verify_report r = made(1);
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e);
    cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetArrayItem(json_get(rec, "fixtures"), 0), "verdict",
                                           cJSON_CreateString(verdict));
    ck_assert_msg(!record_check(g, rec, &e) && e.kind == ERR_VERDICT && strstr(e.msg, named), "%s", e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
}

START_TEST(a_record_that_contradicts_itself_is_no_proof)
{
    make_gguf(1, 7);
    verify_report r = made(1);
    verify_fixture_result f;
    r.fixtures = &f;
#define WITH(change, named) do { f = results[0]; change; contradiction(&r, named); } while (0)
    says_pass_of_a_fixture_that("fail", "did not pass");
    says_pass_of_a_fixture_that("inconclusive", "'verdict'");
    WITH(f.passed = false, "does not say that verification passed");
    WITH(f.ran = false, "did not pass");
    WITH(f.cases = f.free_run_equal = 0, "nothing was run");
    WITH(f.steps = f.teacher_forced_equal = f.ties = 0, "nothing was run");
    WITH(f.file_digest[5] = 0, "without its digest");
    WITH(f.free_run_equal = 11, "free_run_equal");
    WITH(f.free_run_equal = 13, "free_run_equal");
    WITH(f.free_run_ties = 1, "free_run_equal");
    WITH(f.free_run_equal = 10; f.free_run_ties = 2, "free_run_ties");
    WITH(f.free_run_tokens_equal = 361, "free_run_tokens_equal");
    WITH(f.teacher_forced_equal = 767, "teacher_forced_equal");
    WITH(f.ties_differing = 2, "ties");
    WITH(f.ties = 769, "ties");
    WITH(f.ties = 20; f.ties_differing = 5; f.teacher_forced_equal = 763, "ties_differing");
    WITH(f.kl_mean = 1e-8, "kl_mean");
    WITH(f.kl_mean = NAN, "kl_mean");
    WITH(f.kl_limit = NAN, "kl_mean");
    WITH(f.logprob_diff_max = 2e-3, "logprob_diff_max");
    WITH(f.kind = CHECK_DRIFT; f.top1_limit = 1.5, "teacher_forced_equal");
    WITH(strcpy(f.dtype, "bfloat16"), "'dtype' is 'bfloat16'");
    f = results[0];
    strcpy(r.kv, "f16");
    contradiction(&r, "'kv' is 'f16', the file's is 'f32'");
    strcpy(r.kv, "f32");
    strcpy(r.arith, "bf16");
    contradiction(&r, "'arith'");
    strcpy(r.arith, "f32");
    strcpy(r.type, "Q8_0");
    contradiction(&r, "'type' is 'Q8_0'");
    strcpy(r.type, "F32");
    r.attention_scale = 0.5f;
    contradiction(&r, "attention_scale");
    r.attention_scale = 1;
    r.file_bytes++;
    contradiction(&r, "file_bytes");
    r.file_bytes--;
    const verify_derivation sound = { .made = true, .passed = true, .tensors = 1, .error_max = NAN };
#define DERIVED(change, named) do { r.derivation = sound; change; contradiction(&r, named); } while (0)
    DERIVED(r.derivation.passed = false, "does not say that verification passed");
    DERIVED(r.derivation.tensors = 2, "'derivation' speaks of 2 tensors, the file has 1");
    DERIVED(r.derivation.encoded = 2, "'derivation.encoded'");
    DERIVED(r.derivation.encoded = 1; strcpy(r.derivation.error_tensor, "blk.9.x"), "tensor 'blk.9.x', which the file "
                                                                                    "does not have");
    remove(gguf_path_);
}
END_TEST

START_TEST(weights_that_keep_the_source_are_equal_to_it_once)
{
    make_gguf(1, 7);
    verify_report r = made(1);
    verify_fixture_result f[2] = { results[0], results[0] };
    r.fixtures = f;
    f[0].kind = CHECK_DRIFT;                            // within the widest limits there are, and no proof of anything
    f[0].kl_limit = f[0].top1_limit = 0.9;
    contradiction(&r, "'check' against fixture 'tiny.float32.json.gz' is 'drift'");
    r.n_fixtures = 2;
    contradiction(&r, "'check'");
    f[0] = results[0];
    contradiction(&r, "names one fixture twice");
    memset(f[1].file_digest, 'c', SHA256_HEX);
    gguf *g;
    err   e = { 0 };
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

// A record that names the built-in gate is held to it: the limits that it tells are no limits.
START_TEST(a_record_does_not_choose_its_limits)
{
    make_gguf(1, 7);
    verify_report r = made(1);
    verify_fixture_result f;
    r.fixtures = &f;
    WITH(f.cases = f.free_run_equal = 3, "'cases': found 3, expected at least 4");
    WITH(f.steps = f.teacher_forced_equal = 99, "'steps': found 99, expected at least 100");
    WITH(f.top_k = 15, "'top_k': found 15, expected at least 16");
    WITH(f.kl_limit = 1e-9, "'kl_limit': found 1e-09, expected 1e-11");
    WITH(f.kl_limit = 1e-12, "'kl_limit'");
    WITH(f.logprob_limit = 1e-3, "'logprob_limit': found 0.001, expected 0.0001");
    WITH(f.self_kl_mean = 1e-8; f.kl_limit = 3e-8, "'self_kl_mean'");
    WITH(f.self_logprob_diff_max = 1; f.logprob_limit = 3, "'self_logprob_diff_max'");
    WITH(f.ties_limit = 700, "'ties_limit'");
    WITH(f.free_run_ties_limit = 100, "'free_run_ties_limit'");
    gguf *g;
    err   e = { 0 };
    f = results[0];
    f.self_kl_mean = 5e-10;    // a reference that is that far from itself allows three times as much
    f.kl_limit = 1.5e-9;
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
    f = results[0];
    f.cases = f.free_run_equal = 3;                     // another gate may ask for less; check says that it was another
    memset(r.gate, 'a', SHA256_HEX);
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    rec = read_record(&g, &e);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

// All that a record of today says, besides.
static verify_report made_today(verify_fixture_result *f)
{
    verify_report r = made(1);
    err e = { 0 };
    *f = results[0];
    f->reference = (verify_reference){ .model = "google/gemma",
                                       .revision = "0123",
                                       .transformers = "5.24.0",
                                       .torch = "2.13.0",
                                       .device = "cpu",
                                       .attention = "eager",
                                       .experts = "eager",
                                       .tokens = 64 };
    memset(f->reference.prompts, 'b', SHA256_HEX);
    r.fixtures = f;
    strcpy(r.processor, "avx2");
    strcpy(r.program.version, "0.1.0");
    strcpy(r.program.commit, "89ab");
    strcpy(r.source.repository, "google/gemma");
    strcpy(r.judged_by.name, "built-in");
    ck_assert(gate_digest(gate_builtin(), r.judged_by.sha256, &e));
    r.judged_by.limits = *gate_builtin();
    return r;
}

// 3 times 16 steps of 768 that rounding changes: 93.75 % in a record, and a hair less as it is computed.
START_TEST(numbers_are_those_that_a_record_gives_back)
{
    verify_fixture_result f;
    verify_report r = made_today(&f), back;
    err e = { 0 };
    f.top1_limit = 1 - 3 * (1 - 752.0 / 768);
    f.kl_limit = INFINITY;
    ck_assert(f.top1_limit < 0.9375);
    ck_assert_msg(verify_report_settle(&r, &e), "%s", e.msg);
    cJSON *brief = verify_report_brief(&r);
    char  *text = cJSON_PrintUnformatted(brief);
    cJSON *parsed = cJSON_Parse(text);
    ck_assert_msg(verify_report_read(&back, parsed, "record", &e), "%s", e.msg);
    ck_assert(f.top1_limit == 0.9375 && back.fixtures[0].top1_limit == 0.9375);
    ck_assert(isnan(f.kl_limit) && isnan(back.fixtures[0].kl_limit));
    verify_report_free(&back);
    cJSON_Delete(parsed);
    cJSON_Delete(brief);
    free(text);
}
END_TEST

START_TEST(a_record_keeps_reference_gate_and_program)
{
    verify_fixture_result f;
    make_gguf(1, 7);
    verify_report r = made_today(&f), back;
    gguf *g;
    err   e = { 0 };
    strcpy(r.file_sha256, "of the file that the record is in: it cannot be");
    ck_assert_msg(record_write(gguf_path_, &r, NULL, &e), "%s", e.msg);
    cJSON *rec = read_record(&g, &e);
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    ck_assert_ptr_null(record_lacks(rec));
    ck_assert_ptr_null(json_get(rec, "sha256"));
    ck_assert_msg(record_report(g, rec, &back, &e), "%s", e.msg);
    r.file_sha256[0] = '\0';
    cJSON *report = verify_report_json(&r), *again = verify_report_json(&back);
    ck_assert_msg(json_same(again, report, "record", &e), "%s", e.msg);
    ck_assert_str_eq(json_get(json_get(cJSON_GetArrayItem(json_get(report, "fixtures"), 0), "reference"), "experts")
                         ->valuestring,
                     "eager");
    cJSON_Delete(again);
    cJSON_Delete(report);
    verify_report_free(&back);
    // one that lacks them is older, holds, and is said to be
    static const char *const PARTS[] = { "hallmark", "judged_by" };
    for (int i = 0; i < 2; i++) {
        cJSON *old = cJSON_Duplicate(rec, true);
        cJSON_DeleteItemFromObjectCaseSensitive(old, PARTS[i]);
        ck_assert_msg(record_check(g, old, &e), "%s", e.msg);
        ck_assert(record_lacks(old) && strstr(record_lacks(old), PARTS[i]));
        cJSON_Delete(old);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetArrayItem(json_get(rec, "fixtures"), 0), "reference");
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    ck_assert_ptr_nonnull(strstr(record_lacks(rec), "'reference'"));
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

// The day the built-in limits change, records of before are held to those that they hold; others are none that ever
// were.
START_TEST(limits_that_were_built_in_are_held_as_they_were)
{
    verify_fixture_result f;
    make_gguf(1, 7);
    verify_report r = made_today(&f);
    err   e = { 0 };
    char  hex[SHA256_HEX + 1];
    r.judged_by.limits.min_cases = 3;           // of another day
    ck_assert(gate_digest(&r.judged_by.limits, hex, &e));
    strcpy(r.judged_by.sha256, hex);
    const char *const shipped[] = { hex, GATE_SHIPPED[GATE_N_SHIPPED - 1] };
    gguf *g = gguf_open(gguf_path_, &e);
    ck_assert_msg(g && record_limits_of(g, &r, shipped, 2, &e), "%s", e.msg);
    ck_assert(!record_limits_of(g, &r, shipped + 1, 1, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "names the built-in gate") != NULL, "%s", e.msg);
    e = (err){ 0 };
    ck_assert(!record_limits(g, &r, &e));       // nobody ever shipped it
    e = (err){ 0 };
    f.cases = 2;                                // by its own limits it is judged, and these ask for three
    ck_assert(!record_limits_of(g, &r, shipped, 2, &e));
    ck_assert_msg(strstr(e.msg, "'cases': found 2, expected at least 3") != NULL, "%s", e.msg);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

// Limits by content are those that the record was held to: not others under the built-in ones' name, nor under a
// file's.
START_TEST(a_loose_gate_under_another_name_is_found)
{
    verify_fixture_result f;
    make_gguf(1, 7);
    verify_report r = made_today(&f);
    r.judged_by.limits.float32.kl_floor = 1;
    contradiction(&r, "'judged_by'");
    ck_assert(gate_digest(&r.judged_by.limits, r.judged_by.sha256, &(err){ 0 }));
    contradiction(&r, "'judged_by'");
    r = made_today(&f);
    memset(r.judged_by.sha256, '0', SHA256_HEX);
    contradiction(&r, "'judged_by'");
    r = made_today(&f);                                         // of a gate file
    strcpy(r.judged_by.name, "loose.json");
    memset(r.gate, 'a', SHA256_HEX);
    contradiction(&r, "'judged_by.sha256'");
    memset(r.judged_by.sha256, 'a', SHA256_HEX);
    r.judged_by.limits.min_cases = 13;                          // the record has twelve
    contradiction(&r, "names gate 'loose.json', and against fixture 'tiny.float32.json.gz' not its 'cases': found 12, "
                      "expected at least 13");
    r.judged_by.limits.min_cases = 3;
    f.kl_limit = 1e-9;
    contradiction(&r, "'kl_limit'");
    r.judged_by.limits.float32.kl_floor = 1e-9;
    gguf *g;
    err   e = { 0 };
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e), *limits = cJSON_GetObjectItem(cJSON_GetObjectItem(rec, "judged_by"), "limits");
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    cJSON_ReplaceItemInObjectCaseSensitive(limits, "ties", cJSON_CreateNumber(1));      // hostile until checked
    ck_assert(!record_check(g, rec, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "judged_by.limits"), "%s", e.msg);
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

typedef struct { progress p; char said[1024]; } listener;

static void listen_log(progress *p, const char *line)
{
    listener *l = (listener *)(void *)p;
    snprintf(l->said, sizeof l->said, "%s", line);
}

// Writes the record and has the file checked: that must pass. What was said meanwhile, if anything.
static listener check_said(const verify_report *r)
{
    listener l = { .p = { .log = listen_log } };
    err e = { 0 };
    ck_assert_msg(record_write(gguf_path_, r, NULL, &e), "%s", e.msg);
    ck_assert_msg(check_artifact(gguf_path_, &(check_opts){ .n_threads = 1, .progress = &l.p }, &e), "%s", e.msg);
    return l;
}

// Records of before top_k was kept are read as they are; one that names it is held to it, whatever it says.
START_TEST(a_record_without_top_k_still_holds)
{
    make_gguf(1, 7);
    verify_report r = made(1), back;
    gguf *g;
    err   e = { 0 };
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e), *f = cJSON_GetArrayItem(cJSON_GetObjectItem(rec, "fixtures"), 0);
    ck_assert(record_names_all(rec) && cJSON_GetNumberValue(cJSON_GetObjectItem(f, "top_k")) == 64);
    cJSON_ReplaceItemInObjectCaseSensitive(f, "top_k", cJSON_CreateNumber(0));
    ck_assert(!record_check(g, rec, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "'top_k'"));
    cJSON_DeleteItemFromObjectCaseSensitive(f, "top_k");
    e = (err){ 0 };
    ck_assert_msg(record_check(g, rec, &e), "%s", e.msg);
    ck_assert(!record_names_all(rec));
    ck_assert(record_report(g, rec, &back, &e) && back.fixtures[0].top_k == 0);
    cJSON *brief = verify_report_brief(&back), *first = cJSON_GetArrayItem(cJSON_GetObjectItem(brief, "fixtures"), 0);
    // so that the reports of its release are written again as they were
    ck_assert_ptr_null(cJSON_GetObjectItem(first, "top_k"));
    cJSON_Delete(brief);
    verify_report_free(&back);
    cJSON_Delete(rec);
    gguf_close(g);
    verify_fixture_result f0;
    r = made_today(&f0);
    ck_assert_str_eq(check_said(&r).said, "");
    f0.top_k = 0;
    ck_assert_ptr_nonnull(strstr(check_said(&r).said, "that minimum of the gate is not checked again"));
    remove(gguf_path_);
}
END_TEST

START_TEST(a_record_of_wrong_types_is_refused_by_key)
{
    static const char *const KEYS[] = { "artifact", "file_bytes", "attention_scale", "notes" };
    make_gguf(1, 7);
    verify_report r = made(1);
    gguf *g;
    err   e = { 0 };
    ck_assert(record_write(gguf_path_, &r, NULL, &e));
    cJSON *rec = read_record(&g, &e);
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        cJSON *copy = cJSON_Duplicate(rec, true);
        cJSON_ReplaceItemInObjectCaseSensitive(copy, KEYS[i], cJSON_CreateBool(true));
        e = (err){ 0 };
        ck_assert(!record_check(g, copy, &e) && e.kind == ERR_VERDICT);
        ck_assert_msg(strstr(e.msg, KEYS[i]), "%s", e.msg);
        cJSON_Delete(copy);
    }
    cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(rec, "fixtures"), 0);
    char   huge[200];
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    cJSON_ReplaceItemInObjectCaseSensitive(f, "name", cJSON_CreateString(huge));
    e = (err){ 0 };
    ck_assert(!record_check(g, rec, &e) && strstr(e.msg, "'name'"));
    cJSON_Delete(rec);
    gguf_close(g);
    remove(gguf_path_);
}
END_TEST

START_TEST(the_first_key_that_differs_is_named)
{
    static const struct { const char *found, *named; } CASES[] = {
        { "{\"a\":2,\"b\":[{\"c\":\"x\"},null]}", "key 'a': found 2, expected 1" },
        { "{\"a\":1,\"b\":[{\"c\":\"y\"},null]}", "key 'b[0].c': found \"y\", expected \"x\"" },
        { "{\"a\":1,\"b\":[{\"c\":\"x\"}]}", "key 'b[1]': found nothing, expected null" },
        { "{\"a\":1,\"b\":[{\"c\":\"x\"},null,3]}", "key 'b[2]': found 3, expected nothing" },
        { "{\"a\":1,\"b\":[{\"c\":\"x\",\"d\":0},null]}", "key 'b[0].d': found 0, expected nothing" },
        { "{\"a\":1.0000000000000002,\"b\":[{\"c\":\"x\"},null]}", "key 'a': found 1.0000000000000002, expected 1" },
        { "{\"a\":\"1\",\"b\":[{\"c\":\"x\"},null]}", "key 'a': found \"1\", expected 1" },
        { "{\"b\":[{\"c\":\"x\"},null]}", "key 'a': found nothing, expected 1" },
    };
    cJSON *expected = cJSON_Parse("{\"a\":1,\"b\":[{\"c\":\"x\"},null]}"), *moved = cJSON_Parse("{\"b\":[{\"c\":\"x\"},"
                                                                                                "null],\"a\":1}");
    err e = { 0 };
    ck_assert(json_same(moved, expected, "f", &e));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        cJSON *found = cJSON_Parse(CASES[i].found);
        e = (err){ 0 };
        ck_assert(found && !json_same(found, expected, "f.json", &e) && e.kind == ERR_VERDICT);
        ck_assert_msg(strstr(e.msg, CASES[i].named), "%s, not %s", e.msg, CASES[i].named);
        cJSON_Delete(found);
    }
    cJSON_Delete(expected);
    cJSON_Delete(moved);
}
END_TEST

static void compare_objects(int64_t n)
{
    err e = { 0 };
    cJSON *a = cJSON_CreateObject(), *b = cJSON_CreateObject();
    for (int64_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "key %lld", (long long)i);
        // as members: cJSON's own way to add them looks through all
        cJSON_AddItemToArray(a, cJSON_CreateNumber((double)i));
        a->child->prev->string = strdup(name);
        cJSON_AddItemToArray(b, cJSON_CreateNumber((double)i));
        b->child->prev->string = strdup(name);
    }
    ck_assert_msg(json_same(a, b, "many", &e), "%s", e.msg);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

START_TEST(many_members_are_compared_in_time_in_proportion)
{
    must_be_linear("members of two JSON objects compared", compare_objects, 25000);
}
END_TEST

START_TEST(a_record_that_does_not_fit_its_room_is_refused)
{
    err e = { 0 };
    enum { MANY = 140, FEW = 40 };
    static verify_fixture_result many[MANY];
    static fixture_ref refs[MANY];
    const char *files[] = { "tiny-F32.gguf" };
    make_gguf(1, 7);
    verify_fixture_result f0;
    verify_report r = made_today(&f0);
    for (int i = 0; i < MANY; i++) {
        many[i] = f0;
        strcpy(refs[i].name, f0.name);
        refs[i].reference = f0.reference;
    }
    r.n_fixtures = MANY;
    r.fixtures = many;
    ck_assert(!record_write(gguf_path_, &r, NULL, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    const record_release all = { .name = "tiny", .gate = "built-in", .artifacts = files, .n_artifacts = 1 };
    e = (err){ 0 };
    ck_assert(!record_fits(&all, refs, MANY, &e) && e.kind == ERR_USAGE);      // known before any work
    ck_assert_msg(strstr(e.msg, "140 fixtures"), "%s", e.msg);
    e = (err){ 0 };
    ck_assert_msg(record_fits(&all, refs, FEW, &e), "%s", e.msg);
    int most = FEW;    // as many as are said to fit do fit, whatever their numbers are
    while (most < MANY && record_fits(&all, refs, most + 1, &(err){ 0 })) most++;
    r.n_fixtures = most;
    for (int i = 0; i < most; i++) {
        verify_fixture_result *f = &many[i];
        f->kl_mean = f->kl_max = f->logprob_diff_max = f->probe_worst = f->self_kl_mean = f->self_logprob_diff_max =
            -1.2345678901234567e-300;
        f->kl_limit = f->logprob_limit = f->ties_limit = f->free_run_ties_limit = f->top1_limit =
            -1.2345678901234567e-300;
    }
    ck_assert_msg(record_write(gguf_path_, &r, &all, &e), "%d: %s", most, e.msg);
    remove(gguf_path_);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("all");
    tcase_add_test(t, json_has_the_keys_of_the_contract);
    tcase_add_test(t, verdicts);
    tcase_add_test(t, a_part_is_said_where_the_verdict_is);
    tcase_add_test(t, markdown_is_a_table_that_text_cannot_break);
    tcase_add_test(t, written_by_suffix);
    tcase_add_test(t, a_record_is_written_in_place_and_holds);
    tcase_add_test(t, a_record_does_not_fit_another_file);
    tcase_add_test(t, a_record_that_says_no_is_no_proof);
    tcase_add_test(t, a_record_that_contradicts_itself_is_no_proof);
    tcase_add_test(t, weights_that_keep_the_source_are_equal_to_it_once);
    tcase_add_test(t, a_record_does_not_choose_its_limits);
    tcase_add_test(t, numbers_are_those_that_a_record_gives_back);
    tcase_add_test(t, a_record_keeps_reference_gate_and_program);
    tcase_add_test(t, a_loose_gate_under_another_name_is_found);
    tcase_add_test(t, limits_that_were_built_in_are_held_as_they_were);
    tcase_add_test(t, a_record_without_top_k_still_holds);
    tcase_add_test(t, a_record_of_wrong_types_is_refused_by_key);
    tcase_add_test(t, the_first_key_that_differs_is_named);
    tcase_add_test(t, many_members_are_compared_in_time_in_proportion);
    tcase_add_test(t, a_record_that_does_not_fit_its_room_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
