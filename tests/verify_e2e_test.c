// Proves verify/verify.h on the committed checkpoint: each artifact against what Transformers said of it.
#include "verify_files.h"
#include "formats/json.h"
#include "formats/version.h"
#include "verify/derivation.h"
#include <math.h>

static const char *f32, *bf16, *q4;

static void setup(void)
{
    static char paths[3][256];
    files_begin("verify_e2e");
    snprintf(paths[0], sizeof paths[0], "%s", convert_tiny("tiny-F32.gguf", FT_F32));
    snprintf(paths[1], sizeof paths[1], "%s", convert_tiny("tiny-BF16.gguf", FT_BF16));
    snprintf(paths[2], sizeof paths[2], "%s", convert_tiny("tiny-Q4_K_M.gguf", FT_Q4_K_M));
    f32  = paths[0];
    bf16 = paths[1];
    q4   = paths[2];
}

static void all_equal(const verify_report *r, const char *name)
{
    const verify_fixture_result *f = &r->fixtures[0];
    ck_assert_msg(r->passed, "%s: %s", name, f->n_failures ? f->failures[0].text : "?");
    ck_assert_int_eq(r->n_notes, 0);
    ck_assert_int_eq(f->failures_total, 0);
    ck_assert_int_eq(f->cases, FIXTURE_CASES);
    ck_assert_int_eq(f->steps, f->cases * 64);
    ck_assert_int_eq(f->teacher_forced_equal + f->ties_differing, f->steps);
    ck_assert_int_eq(f->free_run_equal + f->free_run_ties, f->cases);
}

START_TEST(float32_is_equal_to_the_last_token)
{
    verify_opts o = { .tokens = 64 };
    verify_report r = verify_with(f32, fixture_path("float32"), &o);
    all_equal(&r, "F32");
    ck_assert_int_eq(r.fixtures[0].free_run_tokens_equal, r.fixtures[0].cases * 64);
    ck_assert_int_eq(r.fixtures[0].teacher_forced_equal, r.fixtures[0].steps);
    ck_assert_int_eq(r.fixtures[0].kind, CHECK_EXACT);
    ck_assert_str_eq(r.kv, "f32");
    ck_assert_str_eq(r.arith, "f32");
    ck_assert(r.attention_scale == 1);
    ck_assert_str_eq(r.gate, "built-in");
    verify_report_free(&r);
}
END_TEST

START_TEST(bfloat16_is_equal_outside_ties)
{
    verify_opts o = { .tokens = 64 };
    verify_report r = verify_with(bf16, fixture_path("bfloat16"), &o);
    all_equal(&r, "BF16");
    ck_assert_str_eq(r.kv, "bf16");
    ck_assert_str_eq(r.arith, "bf16");
    verify_report_free(&r);
}
END_TEST

START_TEST(quantized_weights_are_equal_to_themselves_and_drift_from_the_source)
{
    verify_opts o = { .tokens = 64 };
    verify_report r;
    err e = { 0 };
    const char *both[] = { fixture_path("q4_k_m"), fixture_path("float32") };
    ck_assert_msg(verify_artifact(&r, q4, both, 2, &o, &e), "%s", e.msg);
    all_equal(&r, "Q4_K_M");
    ck_assert_int_eq(r.fixtures[0].kind, CHECK_EXACT);
    ck_assert_int_eq(r.fixtures[0].free_run_tokens_equal, r.fixtures[0].cases * 64);
    ck_assert_int_eq(r.fixtures[1].kind, CHECK_DRIFT);
    ck_assert_str_eq(r.fixtures[1].budget, "Q4_K_M");
    ck_assert(r.fixtures[1].passed && r.fixtures[1].kl_mean > r.fixtures[0].kl_mean);
    ck_assert(r.fixtures[1].teacher_forced_equal < r.fixtures[1].steps);        // it does drift, and that is reported
    const double rounding = r.fixtures[1].rounding_kl_mean;                     // about as much as it must
    ck_assert_msg(rounding > r.fixtures[1].kl_mean / 2 && rounding < r.fixtures[1].kl_mean * 3, "%g, %g", rounding,
                  r.fixtures[1].kl_mean);
    ck_assert(r.fixtures[1].kl_limit == 3 * rounding && r.fixtures[1].kl_limit < 0.01);
    ck_assert(isnan(r.fixtures[0].rounding_kl_mean));                           // not asked for where equality is
    verify_report_free(&r);
}
END_TEST

// From here on not about how many cases are equal: a sample of them.

// The drift's budget alone is half a proof: the report says which half is missing.
START_TEST(drift_alone_is_noted)
{
    verify_report r = verify_plain(q4, sampled_path("float32"));
    ck_assert(r.passed && r.fixtures[0].kind == CHECK_DRIFT);
    ck_assert_int_eq(r.n_notes, 2);
    ck_assert_ptr_nonnull(strstr(r.notes[0], "drift alone cannot see a single damaged tensor: 'hallmark derive' or "
                                             "'hallmark verify --from SOURCE'"));
    ck_assert_ptr_nonnull(strstr(r.notes[1], "the exact comparison, with a fixture made from the artifact's own "
                                             "weights, was not made"));
    verify_report_free(&r);
}
END_TEST

// With the source at hand every tensor is compared, and that is in the report; what does not derive fails, whatever the
// drift is.
START_TEST(with_the_source_every_tensor_is_compared)
{
    const derivation_opts from = { .from = TINY_DIR };
    verify_opts   o = { .tokens = 4, .derive = &from };
    verify_report r = verify_with(q4, sampled_path("float32"), &o);
    ck_assert(r.passed && r.derivation.made && r.derivation.passed && r.derivation.tensors > 100 &&
              r.derivation.encoded > 50);
    ck_assert_int_eq(r.n_notes, 1);                                 // the exact comparison was still not made
    ck_assert_ptr_null(strstr(r.notes[0], "damaged"));
    verify_report_free(&r);
    const char *path = copy_file(q4, "swapped.gguf");
    swap_tensors(path, "blk.0.attn_norm.weight", "blk.1.attn_norm.weight");
    redigest(path);
    r = verify_with(path, sampled_path("float32"), &o);
    ck_assert(!r.passed && r.derivation.made && !r.derivation.passed);
    ck_assert_msg(strstr(r.derivation.reason, "swapped.gguf: tensor 'blk.0.attn_norm.weight': row 0, block"), "%s",
                  r.derivation.reason);
    ck_assert_ptr_null(strstr(r.derivation.reason, TINY_DIR));      // the source is named by its file alone
    ck_assert_str_eq(verify_verdict(&r), "fail");
    char *md = verify_report_md(&(const verify_report *){ &r }, 1);
    ck_assert_ptr_nonnull(strstr(md, "- Failure, swapped.gguf, derivation: "));
    free(md);
    cJSON *j = verify_report_json(&r);
    const cJSON *d = json_get(j, "derivation");
    ck_assert_str_eq(json_get(d, "verdict")->valuestring, "fail");
    ck_assert_str_eq(json_get(d, "reason")->valuestring, r.derivation.reason);
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(d, "error_max")) && cJSON_IsNull(cJSON_GetObjectItem(d, "error_"
                                                                                                       "tensor")));
    cJSON_Delete(j);
    verify_report_free(&r);
}
END_TEST

START_TEST(the_default_free_run_is_30_tokens)
{
    verify_report r = verify_plain(f32, sampled_path("float32"));
    ck_assert_int_eq(r.fixtures[0].free_run_tokens, 30 * r.fixtures[0].cases);
    verify_report_free(&r);
    verify_opts o = { .tokens = 1000 };    // more than the fixture has: all of it is run, and it is not enough
    r = verify_with(f32, sampled_path("float32"), &o);
    ck_assert_int_eq(r.fixtures[0].free_run_tokens, 64 * r.fixtures[0].cases);
    ck_assert(!r.passed && r.fixtures[0].n_failures == 0 && r.fixtures[0].n_why == 1);
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");
    ck_assert_str_eq(r.fixtures[0].why[0].what, "tokens");
    ck_assert_ptr_nonnull(strstr(r.fixtures[0].why[0].text, "holds 64 tokens a case, 1000 are asked for"));
    verify_report_free(&r);
}
END_TEST

// No verdict, but an input that cannot be used: what is said of it has all these words.
static void unusable(const char *artifact, const char *const *fixtures, int n, const char *const *words)
{
    verify_report r;
    verify_opts   o = { 0 };
    err e = { 0 };
    ck_assert(!verify_artifact(&r, artifact, fixtures, n, &o, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert(r.n_fixtures == 0 && !r.fixtures);
    for (; *words; words++) ck_assert_msg(strstr(e.msg, *words), "'%s' is not in: %s", *words, e.msg);
}

static void unusable_one(const char *artifact, const char *fixture_file, const char *const *words)
{
    unusable(artifact, &fixture_file, 1, words);
}

START_TEST(another_dtype_needs_the_arithmetic_to_be_asked_for)
{
    unusable_one(bf16, sampled_path("float32"), (const char *const[]){ "float32.json.gz", "--arith f32", NULL });
    // the second is found before the first is run
    const char *both[] = { sampled_path("bfloat16"), sampled_path("float32") };
    unusable(bf16, both, 2, (const char *const[]){ "float32.json.gz: was made in float32", "is bf16", NULL });
    verify_opts o = { .run.arith = "f32" };
    verify_report r = verify_with(bf16, sampled_path("float32"), &o);
    ck_assert_msg(r.passed, "%s", r.fixtures[0].n_failures ? r.fixtures[0].failures[0].text : "");
    ck_assert_str_eq(r.kv, "f32");
    ck_assert_int_eq(r.n_notes, 1);
    ck_assert_ptr_nonnull(strstr(r.notes[0], "computed in f32, which was asked for"));
    verify_report_free(&r);
    r = verify_with(bf16, sampled_path("bfloat16"), &o);  // asked for, and not the fixture's: measured, and no
    ck_assert(!r.passed && r.fixtures[0].ran && r.fixtures[0].steps > 0);
    ck_assert_ptr_nonnull(failure_of(&r, "arith"));
    verify_report_free(&r);
    verify_opts b = { .run.arith = "bf16" };
    r = verify_with(f32, sampled_path("bfloat16"), &b);             // the same weights in another container
    ck_assert_msg(r.passed, "%s", r.fixtures[0].n_failures ? r.fixtures[0].failures[0].text : "");
    verify_report_free(&r);
}
END_TEST

START_TEST(a_fixture_of_other_weights_is_unusable)
{
    char  hex[SHA256_HEX + 1];
    err   e = { 0 };
    gguf *g = open_gguf(f32);
    fixture *f = fixture_open(fixture_path("q4_k_m"), &e);
    ck_assert(f && claims_weights_digest(g, hex, &e));
    unusable_one(f32, fixture_path("q4_k_m"), (const char *const[]){ "weights of", hex, f->weights_digest, NULL });
    gguf_close(g);
    fixture_close(f);
}
END_TEST

// Another model's prompts say nothing of this one: no verdict, whatever else differs.
START_TEST(a_fixture_of_another_source_is_unusable)
{
    const char *path = copy_file(f32, "foreign.gguf");
    patch(path, value_off(path, KEY_HM_SOURCE_DIGEST) + 8, "0123456789abcdef", 16);
    patch_f32(path, "gemma4.attention.scale", 0.5f);            // a difference that would be named otherwise
    err e = { 0 };
    fixture *f = fixture_open(fixture_path("float32"), &e);
    ck_assert_ptr_nonnull(f);
    const char *const words[] = { "float32.json.gz: not a fixture of foreign.gguf", "belongs to another source",
                                  "0123456789abcdef", f->source_digest, NULL };
    unusable_one(path, fixture_path("float32"), words);
    fixture_close(f);
    // of other weights, because of another source
    unusable_one(path, fixture_path("q4_k_m"), (const char *const[]){ "belongs to another source", NULL });
}
END_TEST

// A file that does not say its source is told by its architecture; a config of that architecture that differs is a
// verdict.
START_TEST(a_file_without_a_source_is_told_by_its_architecture)
{
    const char *path = copy_file(f32, "unbound.gguf");
    gguf *g = open_gguf(path);
    const int64_t name = gguf_find_kv(g, KEY_HM_SOURCE_DIGEST)->off + 8;
    gguf_close(g);
    patch(path, name + (int64_t)strlen(KEY_HM_SOURCE_DIGEST) - 1, "T", 1);      // a key that nobody knows
    unusable_one(path, SOURCE_DIR "/fixtures/tiny-llama/fixtures/float32.json.gz",
                 (const char *const[]){ "belongs to another model", "architecture llama", "gemma4", NULL });
    patch_f32(path, "gemma4.attention.scale", 0.5f);
    verify_report r = verify_plain(path, sampled_path("float32"));
    ck_assert_str_eq(verify_verdict(&r), "fail");
    ck_assert(!r.fixtures[0].ran && failure_of(&r, "metadata"));
    verify_report_free(&r);
}
END_TEST

// What a file says of itself and does not hold is its own fault, whosever fixture it is asked by; and so is a source
// that is no digest.
START_TEST(a_file_that_contradicts_itself_fails_before_its_fixture_is_blamed)
{
    const char *path = copy_file(f32, "both.gguf");
    patch(path, value_off(path, KEY_HM_SOURCE_DIGEST) + 8, "0123456789abcdef", 16);
    flip_bit(path, "blk.0.attn_q.weight", 10, 3);
    verify_report r = verify_plain(path, fixture_path("float32"));
    ck_assert_str_eq(verify_verdict(&r), "fail");
    ck_assert(!r.fixtures[0].ran && r.fixtures[0].n_failures == 1 && failure_of(&r, "digest"));
    verify_report_free(&r);
    path = copy_file(f32, "no-digest.gguf");
    patch(path, value_off(path, KEY_HM_SOURCE_DIGEST) + 8, "none", 4);
    r = verify_plain(path, fixture_path("float32"));
    ck_assert_str_eq(verify_verdict(&r), "fail");
    ck_assert(!r.fixtures[0].ran && failure_of(&r, "source"));
    verify_report_free(&r);
}
END_TEST

// A fixture that is too short passes nothing and fails nothing; a wrong cache beside it is wrong, and so is the whole.
START_TEST(a_short_fixture_is_inconclusive_and_a_wrong_cache_fails_on_it)
{
    const char *two = in_scratch("two.json.gz");
    shorten_fixture(fixture_path("float32"), two, 2);
    verify_opts   o = { .tokens = 4 };
    verify_report r = verify_with(f32, two, &o);
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");
    ck_assert(r.fixtures[0].ran && r.fixtures[0].n_failures == 0);
    ck_assert(r.fixtures[0].why[0].prompts == 4 && r.fixtures[0].why[0].steps == 256);
    cJSON *j = verify_report_json(&r);
    const cJSON *f = cJSON_GetArrayItem(json_get(j, "fixtures"), 0), *why = cJSON_GetArrayItem(json_get(j, "why"), 0);
    ck_assert_str_eq(json_get(j, "verdict")->valuestring, "inconclusive");
    ck_assert_str_eq(json_get(f, "verdict")->valuestring, "inconclusive");
    ck_assert_str_eq(json_get(why, "fixture")->valuestring, "two.json.gz");
    ck_assert_str_eq(json_get(why, "what")->valuestring, "minimum");
    ck_assert(json_get(why, "prompts_needed")->valuedouble == 4 && json_get(why, "steps_needed")->valuedouble == 256);
    ck_assert_str_eq(json_get(why, "text")->valuestring, r.fixtures[0].why[0].text);
    ck_assert(cJSON_GetArraySize(json_get(f, "failures")) == 0 && cJSON_GetArraySize(json_get(f, "why")) == 1);
    cJSON_Delete(j);
    const verify_report *one[] = { &r };
    char *md = verify_report_md(one, 1);
    ck_assert_ptr_nonnull(strstr(md, "| inconclusive |"));
    ck_assert_ptr_nonnull(strstr(md, "- Inconclusive, "));
    free(md);
    verify_report_free(&r);
    o.run.kv = "q4_0";
    r = verify_with(f32, two, &o);
    ck_assert_str_eq(verify_verdict(&r), "fail");
    ck_assert(failure_of(&r, "kv") && failure_of(&r, "distance") && r.fixtures[0].n_why == 1);
    verify_report_free(&r);
    // One fixture that decides and one that cannot: a failure by either is a failure, and nothing passes by the one
    // alone.
    err e = { 0 };
    const char *both[] = { two, sampled_path("float32") };
    o.run.kv = NULL;
    ck_assert_msg(verify_artifact(&r, f32, both, 2, &o, &e), "%s", e.msg);
    ck_assert(!r.passed && r.fixtures[1].passed);
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");
    verify_report_free(&r);
}
END_TEST

START_TEST(a_report_names_what_it_was_made_by)
{
    verify_opts   o = { .tokens = 4 };
    const char   *two = in_scratch("named.json.gz");
    shorten_fixture(fixture_path("float32"), two, 1);
    verify_report r = verify_with(f32, two, &o);
    char hex[SHA256_HEX + 1];
    err  e = { 0 };
    ck_assert(strcmp(r.processor, "portable") == 0 || strcmp(r.processor, "avx2") == 0 ||
              strcmp(r.processor, "avx512") == 0);
    ck_assert_str_eq(r.program.version, hallmark_version());
    ck_assert(strcmp(r.program.commit, hallmark_commit()) == 0 && strlen(r.program.commit) >= 7);
    ck_assert(gate_digest(gate_builtin(), hex, &e));
    ck_assert_str_eq(r.judged_by.name, "built-in");
    ck_assert_str_eq(r.judged_by.sha256, hex);
    ck_assert_int_eq(r.source.digest[64], 0);
    ck_assert_int_eq(strlen(r.source.digest), 64);
    const verify_reference *x = &r.fixtures[0].reference;
    ck_assert_str_eq(x->model, "tiny-gemma4");
    ck_assert_str_eq(x->transformers, "5.23.0");
    ck_assert_str_eq(x->torch, "2.13.0+cpu");
    ck_assert_str_eq(x->device, "cpu");
    ck_assert_str_eq(x->attention, "eager");
    ck_assert(x->tokens == 64 && strlen(x->prompts) == 64);
    cJSON *j = verify_report_json(&r);
    const cJSON *ref = json_get(cJSON_GetArrayItem(json_get(j, "fixtures"), 0), "reference");
    ck_assert_str_eq(json_get(ref, "transformers")->valuestring, "5.23.0");
    ck_assert_str_eq(json_get(ref, "prompts_sha256")->valuestring, x->prompts);
    ck_assert_str_eq(json_get(json_get(j, "hallmark"), "commit")->valuestring, hallmark_commit());
    ck_assert_str_eq(json_get(json_get(j, "judged_by"), "sha256")->valuestring, hex);
    ck_assert(json_get(json_get(json_get(json_get(j, "judged_by"), "limits"), "minimum"), "cases")->valuedouble == 4);
    ck_assert_str_eq(json_get(json_get(j, "source"), "digest")->valuestring, r.source.digest);
    cJSON_Delete(j);
    const verify_report *one[] = { &r };
    char *md = verify_report_md(one, 1);
    ck_assert_ptr_nonnull(strstr(md, "Its reference: tiny-gemma4, by Transformers 5.23.0 and torch 2.13.0+cpu in "
                                     "float32 on cpu, attention eager; 1 prompts, 64 tokens of each"));
    ck_assert(strstr(md, ", on cpu (") && strstr(md, "); gate built-in, SHA-256 `"));
    free(md);
    verify_report_free(&r);
}
END_TEST

// general.file_type chooses no budget: the tensors do, and what it says besides is a failure.
START_TEST(a_file_type_that_the_tensors_contradict_fails)
{
    const char *path = copy_file(q4, "renamed.gguf");
    patch_u32(path, "general.file_type", FT_Q2_K);
    verify_report r = verify_plain(path, fixture_path("float32"));
    ck_assert(!r.passed && !r.fixtures[0].ran);
    const verify_failure *f = failure_of(&r, "type");
    ck_assert_msg(f && strstr(f->text, "found Q2_K, expected Q4_K_M"), "%s", f ? f->text : "not said");
    verify_report_free(&r);
}
END_TEST

// The same report for any number of threads and SIMD level, but for the level itself, which it names. Of one case: the
// portable level takes fifty times as long as the fastest. tests/e2e/same_bytes.sh compares the figures of four cases
// of a BF16 file, and what a Q4_K_M file generates.
START_TEST(reports_are_the_same_bytes_every_time)
{
#if defined(__SANITIZE_ADDRESS__)
    static const int WHICH[] = { 0 };
    printf("SMALLER under sanitizers: the reports that are compared are of a short prompt\n");
#else
    static const int WHICH[] = { 2 };       // a long one
#endif
    const char *simd[] = { "portable", NULL }, *file = in_scratch("one.json.gz");
    char *text[2];
    pick_cases(sampled_path("q4_k_m"), file, WHICH, 1);
    for (int i = 0; i < 2; i++) {
        verify_opts o = { .tokens = 8, .run = { .n_threads = i + 1, .simd = simd[i] } };
        verify_report r = verify_with(q4, file, &o);
        cJSON *j = verify_report_json(&r);
        if (simd[i]) ck_assert_str_eq(json_get(j, "processor")->valuestring, simd[i]);
        cJSON_DeleteItemFromObjectCaseSensitive(j, "processor");
        text[i] = cJSON_Print(j);
        cJSON_Delete(j);
        verify_report_free(&r);
    }
    ck_assert_str_eq(text[0], text[1]);
    ck_assert_ptr_null(strstr(text[0], scratch));       // no path of this machine
    free(text[0]);
    free(text[1]);
}
END_TEST

START_TEST(a_gate_of_ones_own)
{
    const char *path = in_scratch("gate.json");
    const char *text = "{\"hallmark_gate\":1,\"exact\":{\"float32\":{\"kl_factor\":0,\"kl_floor\":0,\"logprob_factor\":"
                       "0,\"logprob_floor\":0,\"probe_tolerance\":0,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_"
                       "margin_max\":9},"
                       "\"bfloat16\":{\"kl_factor\":0,\"kl_floor\":0,\"logprob_factor\":0,\"logprob_floor\":0,"
                       "\"probe_tolerance\":0,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_margin_max\":9}},"
                       "\"ties\":{\"rate\":0,\"self_factor\":0,\"self_rate_max\":1},\"minimum\":{\"cases\":1,"
                       "\"steps\":1,\"top_k\":1},\"drift\":[{\"type\":\"*\",\"top1_min\":1,\"kl_max\":0}]}";
    err e = { 0 };
    ck_assert(outfile_write_whole(path, text, (int64_t)strlen(text), &e));
    verify_opts o = { .tokens = 4, .gate_path = path };
    verify_report r = verify_with(f32, sampled_path("float32"), &o);
    ck_assert(!r.passed && failure_of(&r, "distance") && failure_of(&r, "logprob"));
    char hex[SHA256_HEX + 1];
    ck_assert(sha256_file(path, hex, &e));
    ck_assert_str_eq(r.gate, hex);                      // a report says whose limits it went by
    ck_assert_int_eq(r.fixtures[0].teacher_forced_equal, r.fixtures[0].steps);
    verify_report_free(&r);
}
END_TEST

START_TEST(what_cannot_be_run_is_an_error)
{
    verify_report r;
    const char *fix[] = { fixture_path("float32") }, *none[] = { in_scratch("none.json.gz") };
    verify_opts o = { 0 }, bad_kv = { .run.kv = "f8" }, bad_gate = { .gate_path = in_scratch("no-gate.json") };
    err e = { 0 };
    ck_assert(!verify_artifact(&r, f32, fix, 0, &o, &e) && e.kind == ERR_USAGE);
    e = (err){ 0 };
    ck_assert(!verify_artifact(&r, f32, none, 1, &o, &e) && e.kind == ERR_INPUT);
    e = (err){ 0 };
    ck_assert(!verify_artifact(&r, in_scratch("none.gguf"), fix, 1, &o, &e) && e.kind == ERR_INPUT);
    e = (err){ 0 };
    ck_assert(!verify_artifact(&r, f32, fix, 1, &bad_kv, &e) && e.kind == ERR_USAGE);
    e = (err){ 0 };
    ck_assert(!verify_artifact(&r, f32, fix, 1, &bad_gate, &e) && e.kind == ERR_INPUT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verify_e2e");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_test(t, float32_is_equal_to_the_last_token);
    tcase_add_test(t, bfloat16_is_equal_outside_ties);
    tcase_add_test(t, quantized_weights_are_equal_to_themselves_and_drift_from_the_source);
    tcase_add_test(t, drift_alone_is_noted);
    tcase_add_test(t, with_the_source_every_tensor_is_compared);
    tcase_add_test(t, the_default_free_run_is_30_tokens);
    tcase_add_test(t, another_dtype_needs_the_arithmetic_to_be_asked_for);
    tcase_add_test(t, a_fixture_of_other_weights_is_unusable);
    tcase_add_test(t, a_fixture_of_another_source_is_unusable);
    tcase_add_test(t, a_file_without_a_source_is_told_by_its_architecture);
    tcase_add_test(t, a_file_that_contradicts_itself_fails_before_its_fixture_is_blamed);
    tcase_add_test(t, a_short_fixture_is_inconclusive_and_a_wrong_cache_fails_on_it);
    tcase_add_test(t, a_report_names_what_it_was_made_by);
    tcase_add_test(t, a_file_type_that_the_tensors_contradict_fails);
    tcase_add_test(t, reports_are_the_same_bytes_every_time);
    tcase_add_test(t, a_gate_of_ones_own);
    tcase_add_test(t, what_cannot_be_run_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
