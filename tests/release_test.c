// Proves verify/release.h: a folder is published whole or not at all, and only when every artifact passes; check proves it again.
#include "verify_files.h"
#include "formats/json.h"
#include "verify/record.h"
#include "verify/release.h"
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static const file_type BF16_AND_F32[] = { FT_BF16, FT_F32 }, ONLY_BF16[] = { FT_BF16 }, ONLY_Q4[] = { FT_Q4_K_M };

// A checkpoint's folder in scratch with links to the committed files, and the fixtures named.
static const char *source(const char *name, const char *const *fixtures)
{
    const char *dir = in_scratch(name);
    char path[800], sub[600];
    ck_assert(mkdir(dir, 0777) == 0);
    DIR *d = opendir(TINY_DIR);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        if (x->d_name[0] == '.' || strcmp(x->d_name, "fixtures") == 0) continue;
        char target[800];
        snprintf(path, sizeof path, "%s/%s", dir, x->d_name);
        snprintf(target, sizeof target, "%s/%s", TINY_DIR, x->d_name);
        ck_assert(symlink(target, path) == 0);
    }
    closedir(d);
    snprintf(sub, sizeof sub, "%s/fixtures", dir);
    ck_assert(mkdir(sub, 0777) == 0);
    for (; fixtures && *fixtures; fixtures++) {
        snprintf(path, sizeof path, "%s/%s.json.gz", sub, *fixtures);
        shorten_fixture(fixture_path(*fixtures), path, 2);
    }
    return dir;
}

static release_opts options(const file_type *types, int n)
{
    return (release_opts){ .name = "tiny", .types = types, .n_types = n, .tokens = 8, .device = "cpu" };
}

static release_result released(const char *hf_dir, const char *out, const release_opts *o)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(release_checkpoint(&r, hf_dir, out, o, &e), "%s", e.msg);
    return r;
}

static bool checks(const char *path, err *e)
{
    check_opts o = { .device = "cpu" };
    *e = (err){ 0 };
    return check_artifact(path, &o, e);
}

static int entries(const char *dir)
{
    int  n = 0;
    DIR *d = opendir(dir);
    if (!d) return -1;
    for (struct dirent *x; (x = readdir(d)) != NULL;) n += x->d_name[0] != '.';
    closedir(d);
    return n;
}

// Names in scratch that begin as `name` does and go on: leftovers.
static int leftovers(const char *name)
{
    int  n = 0;
    DIR *d = opendir(scratch);
    for (struct dirent *x; (x = readdir(d)) != NULL;) n += strncmp(x->d_name, name, strlen(name)) == 0 && strcmp(x->d_name, name) != 0;
    closedir(d);
    return n;
}

static char *text_of(const char *dir, const char *name)
{
    char   *path = path_join(dir, name), *text = NULL;
    int64_t n;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 24, &e), "%s", e.msg);
    free(path);
    char *copy = strdup(text);
    free(text);
    return copy;
}

static const char *FIXTURES[] = { "float32", "bfloat16", NULL };
static const char *ALL_FIXTURES[] = { "float32", "bfloat16", "q4_k_m", NULL };

static void setup(void)
{
    files_begin("release");
    source("hf", FIXTURES);
    source("all", ALL_FIXTURES);
    source("none", NULL);
}

// ---- killed --------------------------------------------------------------------------------------------------------

// Starts a release in a child and kills it after some milliseconds. true: it had finished before.
static bool kill_after(int milliseconds, const char *hf_dir, const char *out, const release_opts *o)
{
    pid_t child = fork();
    ck_assert(child >= 0);
    if (child == 0) {
        release_result r;
        err e = { 0 };
        _exit(release_checkpoint(&r, hf_dir, out, o, &e) && r.published ? 0 : 9);
    }
    nanosleep(&(struct timespec){ .tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L }, NULL);
    kill(child, SIGKILL);
    int status;
    ck_assert(waitpid(child, &status, 0) == child);
    return WIFEXITED(status);
}

// First of all tests, because a process that has used OpenMP cannot fork one that does.
START_TEST(killed_at_any_instant_nothing_half_is_published)
{
    const char  *out = in_scratch("killed"), *hf_dir = in_scratch("hf");
    release_opts o = options(BF16_AND_F32, 2);
    int  killed = 0;
    bool finished = false;
    err  e = { 0 };
    o.n_threads = 1;
    for (int i = 0, ms = 1; i < 14 && !finished; i++, ms += ms / 2 + 5) {
        finished = kill_after(ms, hf_dir, out, &o);
        killed += !finished;
        if (dir_exists(out)) ck_assert_msg(checks(out, &e), "after %d ms: %s", ms, e.msg);
        ck_assert_int_le(leftovers("killed"), 1);               // the next run has removed what the last one left
    }
    ck_assert_int_ge(killed, 3);
    pid_t child = fork();                                       // now without a kill
    if (child == 0) {
        release_result r;
        _exit(release_checkpoint(&r, hf_dir, out, &o, &e) && r.published ? 0 : 9);
    }
    int status;
    ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_msg(checks(out, &e), "%s", e.msg);
    ck_assert_int_eq(entries(out), 4);
    ck_assert_int_eq(leftovers("killed"), 0);
}
END_TEST

// ---- published -----------------------------------------------------------------------------------------------------

START_TEST(everything_passes_and_is_published)
{
    const char  *out = in_scratch("out");
    release_opts o = { .tokens = 8, .device = "cpu" };          // the default types
    release_result r = released(in_scratch("all"), out, &o);
    ck_assert_msg(r.published, "%s", r.n > 0 && r.reports[0].n_fixtures ? r.where : "?");
    ck_assert_str_eq(r.where, out);
    ck_assert_int_eq(r.n, 3);
    ck_assert_int_eq(r.n_missing, 0);
    ck_assert_int_eq(r.n_notes, 0);
    ck_assert_str_eq(r.reports[0].artifact, "all-BF16.gguf");
    ck_assert_str_eq(r.reports[2].artifact, "all-Q4_K_M.gguf");
    ck_assert_int_eq(r.reports[2].n_fixtures, 2);
    ck_assert_int_eq(entries(out), 5);
    ck_assert_int_eq(leftovers("out"), 0);
    err e = { 0 };
    ck_assert_msg(checks(out, &e), "%s", e.msg);
    ck_assert_msg(checks(in_scratch("out/all-Q4_K_M.gguf"), &e), "%s", e.msg);
    char *md = text_of(out, "report.md");
    ck_assert_ptr_nonnull(strstr(md, "# all: pass"));
    ck_assert_ptr_nonnull(strstr(md, "| all-F32.gguf | F32 |"));
    free(md);
    release_result_free(&r);
    check_opts again = { .fixtures = (const char *[]){ in_scratch("all/fixtures/float32.json.gz"), in_scratch("all/fixtures/bfloat16.json.gz"),
                                                        in_scratch("all/fixtures/q4_k_m.json.gz") }, .n_fixtures = 3, .device = "cpu" };
    e = (err){ 0 };
    ck_assert_msg(check_artifact(out, &again, &e), "%s", e.msg);
    e = (err){ 0 };
    ck_assert(!check_artifact(in_scratch("out/all-BF16.gguf"), &again, &e));        // float32 and q4_k_m were not made for it
    ck_assert_int_eq(e.kind, ERR_VERDICT);
}
END_TEST

START_TEST(a_release_replaces_a_release_and_nothing_else)
{
    const char  *out = in_scratch("again"), *hf_dir = in_scratch("hf");
    release_opts o = options(BF16_AND_F32, 2);
    err e = { 0 };
    release_result r = released(hf_dir, out, &o);
    ck_assert(r.published);
    release_result_free(&r);
    char *first = text_of(out, "report.json");
    o.types = ONLY_BF16;
    o.n_types = 1;
    r = released(hf_dir, out, &o);
    ck_assert(r.published);
    release_result_free(&r);
    ck_assert_int_eq(entries(out), 3);
    char *second = text_of(out, "report.json");
    ck_assert_str_ne(first, second);
    free(first);
    free(second);
    ck_assert_int_eq(leftovers("again"), 0);
    ck_assert(outfile_write_whole(in_scratch("again/README.md"), "mine", 4, &e));
    ck_assert(!release_checkpoint(&r, hf_dir, out, &o, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(e.msg, "README.md"));
    ck_assert_int_eq(entries(out), 4);
    const char *other = in_scratch("other");
    e = (err){ 0 };
    ck_assert(mkdir(other, 0777) == 0 && outfile_write_whole(in_scratch("other/a.gguf"), "mine", 4, &e));
    ck_assert(!release_checkpoint(&r, hf_dir, other, &o, &e) && e.kind == ERR_USAGE);
    ck_assert_int_eq(entries(other), 1);
}
END_TEST

START_TEST(the_same_release_has_the_same_bytes)
{
    release_opts o = options(BF16_AND_F32, 2);
    static const char *const NAMES[] = { "report.json", "report.md", "tiny-BF16.gguf", "tiny-F32.gguf" };
    for (int i = 0; i < 2; i++) {
        o.n_threads = i + 1;
        release_result r = released(in_scratch("hf"), in_scratch(i ? "same-2" : "same-1"), &o);
        ck_assert(r.published);
        release_result_free(&r);
    }
    for (int i = 0; i < 4; i++) {
        char a[SHA256_HEX + 1], b[SHA256_HEX + 1], pa[300], pb[300];
        err  e = { 0 };
        snprintf(pa, sizeof pa, "%s/same-1/%s", scratch, NAMES[i]);
        snprintf(pb, sizeof pb, "%s/same-2/%s", scratch, NAMES[i]);
        ck_assert(sha256_file(pa, a, &e) && sha256_file(pb, b, &e));
        ck_assert_msg(strcmp(a, b) == 0, "%s differs", NAMES[i]);
    }
}
END_TEST

// ---- not published -------------------------------------------------------------------------------------------------

START_TEST(a_gate_that_fails_publishes_nothing)
{
    const char *gate_path = in_scratch("strict.json"), *out = in_scratch("strict");
    // No distance at all is allowed to BF16: its tokens are equal, the numbers are not.
    const char *text = "{\"hallmark_gate\":1,\"exact\":{\"float32\":{\"kl_factor\":3,\"kl_floor\":1,\"logprob_factor\":3,\"logprob_floor\":9,\"probe_tolerance\":1,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_margin_max\":9},"
                       "\"bfloat16\":{\"kl_factor\":0,\"kl_floor\":0,\"logprob_factor\":3,\"logprob_floor\":9,\"probe_tolerance\":1,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_margin_max\":9}},"
                       "\"ties\":{\"rate\":0.005,\"self_factor\":2,\"self_rate_max\":1},\"drift\":[{\"type\":\"*\",\"top1_min\":0,\"kl_max\":9}]}";
    err e = { 0 };
    ck_assert(outfile_write_whole(gate_path, text, (int64_t)strlen(text), &e));
    release_opts o = options(BF16_AND_F32, 2);
    o.gate_path = gate_path;
    release_result r = released(in_scratch("hf"), out, &o);
    ck_assert(!r.published);
    ck_assert_str_eq(r.where, in_scratch("strict.failed"));
    ck_assert(!dir_exists(out));
    ck_assert_int_eq(entries(r.where), 4);
    ck_assert(!r.reports[0].passed && r.reports[1].passed);
    char *report = text_of(r.where, "report.json");
    ck_assert_ptr_nonnull(strstr(report, "\"gate\":\t\"strict.json\""));
    free(report);
    ck_assert(!checks(in_scratch("strict.failed/tiny-F32.gguf"), &e));          // it passed, but was not published: it claims nothing
    ck_assert_ptr_nonnull(strstr(e.msg, "never released"));
    ck_assert(!checks(r.where, &e) && e.kind == ERR_VERDICT);
    release_result_free(&r);
}
END_TEST

START_TEST(without_a_fixture_nothing_is_verified)
{
    release_opts o = options(ONLY_BF16, 1);
    release_result r = released(in_scratch("none"), in_scratch("lost"), &o);
    ck_assert(!r.published && !dir_exists(in_scratch("lost")));
    ck_assert_str_eq(r.where, in_scratch("lost.unverified"));
    ck_assert_int_eq(r.n_missing, 1);
    ck_assert_ptr_nonnull(strstr(r.missing[0], "hf_fixture.py"));
    ck_assert_ptr_nonnull(strstr(r.missing[0], "--dtype bfloat16"));
    ck_assert_ptr_null(strstr(r.missing[0], "--weights"));
    ck_assert_str_eq(verify_verdict(&r.reports[0]), "unverified");
    char *md = text_of(r.where, "report.md");
    ck_assert_ptr_nonnull(strstr(md, r.missing[0]));
    free(md);
    release_result_free(&r);
}
END_TEST

// A quantized artifact answers to two fixtures; one is not enough, and what the one says is still reported.
START_TEST(quantized_without_a_fixture_of_its_own_weights_is_not_verified)
{
    release_opts o = options(ONLY_Q4, 1);
    release_result r = released(in_scratch("hf"), in_scratch("q4"), &o);
    ck_assert(!r.published);
    ck_assert_str_eq(r.where, in_scratch("q4.unverified"));
    ck_assert_int_eq(r.n_missing, 1);
    ck_assert_ptr_nonnull(strstr(r.missing[0], "--weights"));
    ck_assert_ptr_nonnull(strstr(r.missing[0], "q4.unverified/tiny-Q4_K_M.gguf"));
    ck_assert(file_exists(in_scratch("q4.unverified/tiny-Q4_K_M.gguf")));
    ck_assert_int_eq(r.reports[0].n_fixtures, 1);
    ck_assert(r.reports[0].fixtures[0].passed && !r.reports[0].passed);
    ck_assert_int_eq(r.n_notes, 1);                             // bfloat16 is of no use to it
    ck_assert_ptr_nonnull(strstr(r.notes[0], "bfloat16.json.gz was not used"));
    release_result_free(&r);
}
END_TEST

START_TEST(a_fixture_of_another_source_is_refused_before_any_work)
{
    err e = { 0 };
    const char *hf_dir = source("changed", NULL), *out = in_scratch("changed-out");
    char path[300];
    snprintf(path, sizeof path, "%s/generation_config.json", hf_dir);
    ck_assert(unlink(path) == 0 && outfile_write_whole(path, "{}", 2, &e));
    const char  *list[] = { fixture_path("bfloat16") };
    release_opts o = options(ONLY_BF16, 1);
    o.fixtures = list;
    o.n_fixtures = 1;
    release_result r;
    ck_assert(!release_checkpoint(&r, hf_dir, out, &o, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    ck_assert(!dir_exists(out));
    ck_assert_int_eq(leftovers("changed-out"), 0);
}
END_TEST

// ---- check ---------------------------------------------------------------------------------------------------------

START_TEST(whatever_is_changed_later_is_named)
{
    const char  *out = in_scratch("tampered");
    release_opts o = options(ONLY_BF16, 1);
    release_result r = released(in_scratch("hf"), out, &o);
    ck_assert(r.published);
    release_result_free(&r);
    err   e = { 0 };
    char  art[300], spare[300], report[300];
    snprintf(art, sizeof art, "%s/tiny-BF16.gguf", out);
    snprintf(report, sizeof report, "%s/report.json", out);
    snprintf(spare, sizeof spare, "%s", copy_file(art, "spare.gguf"));
    ck_assert_msg(checks(out, &e), "%s", e.msg);

    flip_bit(art, "blk.0.attn_q.weight", 10, 3);
    ck_assert(!checks(out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "blk.0.attn_q.weight"));
    redigest(art);                                              // digests made true again: the record was made for others
    ck_assert(!checks(out, &e) && strstr(e.msg, "tensors"));
    rename(copy_file(spare, "copy.gguf"), art);

    patch_f32(art, "gemma4.rope.freq_base", 10000);
    ck_assert(!checks(out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "metadata"));
    rename(copy_file(spare, "copy.gguf"), art);

    char *text = text_of(out, "report.json"), *at = strstr(text, "\"teacher_forced_equal\":");
    ck_assert_ptr_nonnull(at);
    char *digit = at + strlen("\"teacher_forced_equal\":\t");
    *digit = *digit == '9' ? '8' : '9';
    ck_assert(outfile_write_whole(report, text, (int64_t)strlen(text), &(err){ 0 }));
    free(text);
    bool edited_holds = checks(out, &e);
    ck_assert_msg(!edited_holds && e.kind == ERR_VERDICT && strstr(e.msg, "teacher_forced_equal"), "%s", e.msg);
    ck_assert_msg(checks(art, &e), "%s", e.msg);                // the file itself is as it was

    unlink(report);
    ck_assert(!checks(out, &e) && strstr(e.msg, "report.json"));
    ck_assert(!checks(in_scratch("hf"), &e) && e.kind == ERR_INPUT);
    ck_assert(!checks(in_scratch("nothing.gguf"), &e) && e.kind == ERR_INPUT);
}
END_TEST

START_TEST(files_that_do_not_belong_to_the_report_are_named)
{
    const char  *out = in_scratch("mixed");
    release_opts o = options(BF16_AND_F32, 2);
    release_result r = released(in_scratch("hf"), out, &o);
    ck_assert(r.published);
    release_result_free(&r);
    err  e = { 0 };
    char from[300], to[300];
    snprintf(from, sizeof from, "%s/tiny-F32.gguf", out);
    snprintf(to, sizeof to, "%s/other-F32.gguf", out);
    ck_assert(rename(from, to) == 0);
    ck_assert(!checks(out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "tiny-F32.gguf"));
    ck_assert(rename(to, from) == 0);
    ck_assert_msg(checks(out, &e), "%s", e.msg);
    snprintf(to, sizeof to, "%s/zzz.gguf", out);
    rename(copy_file(from, "copy.gguf"), to);
    ck_assert(!checks(out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "zzz.gguf"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_test(t, killed_at_any_instant_nothing_half_is_published);
    tcase_add_test(t, everything_passes_and_is_published);
    tcase_add_test(t, a_release_replaces_a_release_and_nothing_else);
    tcase_add_test(t, the_same_release_has_the_same_bytes);
    tcase_add_test(t, a_gate_that_fails_publishes_nothing);
    tcase_add_test(t, without_a_fixture_nothing_is_verified);
    tcase_add_test(t, quantized_without_a_fixture_of_its_own_weights_is_not_verified);
    tcase_add_test(t, a_fixture_of_another_source_is_refused_before_any_work);
    tcase_add_test(t, whatever_is_changed_later_is_named);
    tcase_add_test(t, files_that_do_not_belong_to_the_report_are_named);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
