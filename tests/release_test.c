// Proves release/release.h: a folder is published whole or not at all, and only when every artifact passes; check
// proves it again.
#include "texts.h"
#include "verify_files.h"
#include "formats/json.h"
#include "formats/version.h"
#include "verify/record.h"
#include "release/release.h"
#include "release/release_dir.h"
#include "release/release_outline.h"
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static const file_type BF16_AND_F32[] = { FT_BF16, FT_F32 }, ONLY_BF16[] = { FT_BF16 }, ONLY_Q4[] = { FT_Q4_K_M };

// A copy of the committed checkpoint in scratch, with the fixtures named.
static const char *source_of(const char *name, const char *const *fixtures, int n_cases)
{
    const char *dir = copy_checkpoint(name);
    char path[800], sub[600];
    snprintf(sub, sizeof sub, "%s/fixtures", dir);
    ck_assert(mkdir(sub, 0777) == 0);
    for (; fixtures && *fixtures; fixtures++) {
        snprintf(path, sizeof path, "%s/%s.json.gz", sub, *fixtures);
        shorten_fixture(fixture_path(*fixtures), path, n_cases);
    }
    return dir;
}

// Two cases of each fixture are quick, and fewer than the built-in gate asks for: options() lets them pass.
static const char *source(const char *name, const char *const *fixtures) { return source_of(name, fixtures, 2); }

static release_opts options(const file_type *types, int n)
{
    static char gate_path[300];
    snprintf(gate_path, sizeof gate_path, "%s/gate.json", scratch);
    return (release_opts){
        .name = "tiny", .types = types, .n_types = n, .tokens = 8, .device = "cpu", .gate_path = gate_path
    };
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

enum { REPORTS = 4 };       // report.json, report.md, report.html, junit.xml
enum { STEPS = 1 };         // report-steps.json, where it is published
enum { HUB = 3 };    // README.md, Modelfile and SHA256SUMS beside artifacts and reports; .gitattributes is not counted

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
    for (struct dirent *x; (x = readdir(d)) != NULL;)
        n += strncmp(x->d_name, name, strlen(name)) == 0 && strcmp(x->d_name, name) != 0;
    closedir(d);
    return n;
}

static char *text_of(const char *dir, const char *name)
{
    char *path = path_join(dir, name), *text = read_text(path);
    free(path);
    return text;
}

static const char *FIXTURES[] = { "float32", "bfloat16", NULL };
static const char *ALL_FIXTURES[] = { "float32", "bfloat16", "q4_k_m", NULL };

static void setup(void)
{
    files_begin("release");
    gate_for_cases(in_scratch("gate.json"), 2);
    source("hf", FIXTURES);
    source_of("all", ALL_FIXTURES, 4);
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
    ck_assert_int_eq(entries(out), 4 + REPORTS + STEPS + HUB);          // two of them fixtures
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
    ck_assert_int_eq(entries(out), 6 + REPORTS + STEPS + HUB);          // three of them fixtures
    ck_assert_int_eq(leftovers("out"), 0);
    err e = { 0 };
    ck_assert_msg(checks(out, &e), "%s", e.msg);
    ck_assert_msg(checks(in_scratch("out/all-Q4_K_M.gguf"), &e), "%s", e.msg);
    char *md = text_of(out, "report.md");
    ck_assert_ptr_nonnull(strstr(md, "# all: pass"));
    ck_assert_ptr_null(strstr(md, "held to gate"));
    check_gate held;
    check_opts told = { .device = "cpu", .gate = &held };
    ck_assert(check_artifact(out, &told, &e) && !held.sha256[0] && !held.name[0]);
    ck_assert_ptr_nonnull(strstr(md, "| all-F32.gguf | F32 |"));
    free(md);
    release_result_free(&r);
    check_opts again = { .fixtures = (const char *[]){ in_scratch("all/fixtures/float32.json.gz"),
                                                       in_scratch("all/fixtures/bfloat16.json.gz"),
                                                       in_scratch("all/fixtures/q4_k_m.json.gz") },
                         .n_fixtures = 3,
                         .device = "cpu" };
    e = (err){ 0 };
    ck_assert_msg(check_artifact(out, &again, &e), "%s", e.msg);
    e = (err){ 0 };
    // float32 and q4_k_m were not made for it
    ck_assert(!check_artifact(in_scratch("out/all-BF16.gguf"), &again, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

START_TEST(a_release_replaces_a_release_and_nothing_else)
{
    const char  *out = in_scratch("again"), *hf_dir = in_scratch("hf");
    release_opts o = options(BF16_AND_F32, 2);
    err e = { 0 };
    o.replace = true;
    release_result r = released(hf_dir, out, &o);
    ck_assert(r.published && !r.replaced);
    release_result_free(&r);
    char *first = text_of(out, "report.json");
    ck_assert(outfile_write_whole(in_scratch("again/notes.md"), "mine", 4, &e));
    ck_assert(outfile_write_whole(in_scratch("again/mmproj-BF16.gguf"), "mine", 4, &e));
    o.types = ONLY_BF16;
    o.n_types = 1;
    r = released(hf_dir, out, &o);
    ck_assert(r.published && r.replaced && !r.left);
    ck_assert_int_eq(r.n_told, 2);
    ck_assert(strstr(r.told[0], "mmproj-BF16.gguf") && strstr(r.told[1], "notes.md"));
    release_result_free(&r);
    ck_assert_int_eq(entries(out), 4 + REPORTS + STEPS + HUB);          // a fixture, and what is somebody's own
    char *second = text_of(out, "report.json");
    ck_assert_str_ne(first, second);
    free(first);
    free(second);
    ck_assert_int_eq(leftovers("again"), 0);
    ck_assert_msg(checks(out, &e), "%s", e.msg);
    const char *other = in_scratch("other");
    ck_assert(mkdir(other, 0777) == 0 && outfile_write_whole(in_scratch("other/a.gguf"), "mine", 4, &e));
    ck_assert(!release_checkpoint(&r, hf_dir, other, &o, &e) && e.kind == ERR_USAGE);
    ck_assert_int_eq(entries(other), 1);
}
END_TEST

// A staging folder with a report that says who made it.
static void stage(release_dir *d, const char *dest, const char *name)
{
    char path[400], text[64];
    err  e = { 0 };
    ck_assert_msg(release_dir_begin(d, dest, &(release_names){ 0 }, &e), "%s", e.msg);
    snprintf(path, sizeof path, "%s/report.json", d->path);
    const int n = snprintf(text, sizeof text, "{\"hallmark_release\":1,\"name\":\"%s\",\"artifacts\":[]}", name);
    ck_assert_msg(outfile_write_whole(path, text, n, &e), "%s", e.msg);
}

// Two releases to one place at the same time: the last is there, and knows that it is not the only one.
START_TEST(a_release_published_in_the_meantime_is_replaced_and_told)
{
    const char *dest = in_scratch("meantime");
    release_dir mine;
    release_before before;
    int  status;
    err  e = { 0 };
    stage(&mine, dest, "mine");
    const pid_t child = fork();
    if (child == 0) {
        release_dir theirs;
        stage(&theirs, dest, "theirs");
        _exit(release_dir_publish(&theirs, dest, &before, &e) && !before.replaced ? 0 : 9);
    }
    ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_msg(release_dir_publish(&mine, dest, &before, &e), "%s", e.msg);
    ck_assert(before.replaced && !before.left);
    char *report = text_of(dest, "report.json");
    ck_assert_ptr_nonnull(strstr(report, "mine"));
    free(report);
    ck_assert_int_eq(leftovers("meantime"), 0);
}
END_TEST

START_TEST(the_same_release_has_the_same_bytes)
{
    release_opts o = options(BF16_AND_F32, 2);
    static const char *const NAMES[] = { "report.json", "report.md",      "report.html",
                                         "junit.xml",   "tiny-BF16.gguf", "tiny-F32.gguf" };
    for (int i = 0; i < 2; i++) {
        o.n_threads = i + 1;
        release_result r = released(in_scratch("hf"), in_scratch(i ? "same-2" : "same-1"), &o);
        ck_assert(r.published);
        release_result_free(&r);
    }
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
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
    const char *text = "{\"hallmark_gate\":1,\"exact\":{\"float32\":{\"kl_factor\":3,\"kl_floor\":1,\"logprob_factor\":"
                       "3,\"logprob_floor\":9,\"probe_tolerance\":1,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_"
                       "margin_max\":9},"
                       "\"bfloat16\":{\"kl_factor\":0,\"kl_floor\":0,\"logprob_factor\":3,\"logprob_floor\":9,"
                       "\"probe_tolerance\":1,\"self_kl_max\":9,\"self_logprob_max\":9,\"self_margin_max\":9}},"
                       "\"ties\":{\"rate\":0.005,\"self_factor\":2,\"self_rate_max\":1},\"minimum\":{\"cases\":1,"
                       "\"steps\":1,\"top_k\":1},\"drift\":[{\"type\":\"*\",\"top1_min\":0,\"kl_max\":9}]}";
    err e = { 0 };
    ck_assert(outfile_write_whole(gate_path, text, (int64_t)strlen(text), &e));
    release_opts o = options(BF16_AND_F32, 2);
    o.gate_path = gate_path;
    release_result r = released(in_scratch("hf"), out, &o);
    ck_assert(!r.published);
    ck_assert_str_eq(r.where, in_scratch("strict.failed"));
    ck_assert(!dir_exists(out));
    ck_assert_int_eq(entries(r.where), 2 + REPORTS);
    ck_assert(!r.reports[0].passed && r.reports[1].passed);
    char *report = text_of(r.where, "report.json");
    ck_assert_ptr_nonnull(strstr(report, "\"gate\":\t\"strict.json\""));
    free(report);
    // it passed, but was not published: it claims nothing
    ck_assert(!checks(in_scratch("strict.failed/tiny-F32.gguf"), &e));
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

START_TEST(a_fixture_under_two_names_is_one)
{
    char from[300];
    const char *hf_dir = source("twice", FIXTURES);
    snprintf(from, sizeof from, "%s/fixtures/bfloat16.json.gz", hf_dir);
    copy_file(from, "twice/fixtures/again.json.gz");
    release_opts o = options(ONLY_BF16, 1);
    release_result r = released(hf_dir, in_scratch("twice-out"), &o);
    ck_assert(r.published);
    ck_assert_int_eq(r.reports[0].n_fixtures, 1);
    err e = { 0 };
    ck_assert_msg(checks(in_scratch("twice-out"), &e), "%s", e.msg);
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
    ck_assert_int_eq(e.kind, ERR_INPUT);                        // the wrong fixture, no bad artifact
    fixture *f = fixture_open(list[0], &(err){ 0 });
    source_id id;
    ck_assert(f && source_digest(hf_dir, 1, NULL, &id, &(err){ 0 }));
    ck_assert_msg(strstr(e.msg, "belongs to another source") && strstr(e.msg, f->source_digest) && strstr(e.msg, id.v1),
                  "%s", e.msg);
    fixture_close(f);
    ck_assert(!dir_exists(out));
    ck_assert_int_eq(leftovers("changed-out"), 0);
}
END_TEST

// What is refused without any work is refused by the outline, which does none, in the same words.
static void unfit(const release_opts *o, const char *says)
{
    err before = { 0 }, e = { 0 };
    release_outline to;
    release_result r;
    const char *out = in_scratch("unfit");
    ck_assert(!release_outline_make(&to, in_scratch("hf"), out, o, &before));
    ck_assert(!release_checkpoint(&r, in_scratch("hf"), out, o, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_str_eq(e.msg, before.msg);
    ck_assert_msg(strstr(e.msg, says), "%s", e.msg);
}

// Of the same source, and of no use to anything that is made: known from types and dtypes before any work.
START_TEST(a_named_fixture_that_fits_nothing_is_refused_before_any_work)
{
    static const file_type TWO[] = { FT_BF16, FT_Q8_0 };
    const char  *list[] = { fixture_path("float32") };
    release_opts o = options(ONLY_BF16, 1);
    o.fixtures = list;
    o.n_fixtures = 1;
    unfit(&o, "float32.json.gz: the fixture fits no artifact of this release: found float32 from the source, "
              "expected bfloat16 from the source, for tiny-BF16.gguf");
    list[0] = fixture_path("q4_k_m");
    unfit(&o, "found float32 from the weights of a Q4_K_M file (digest ");
    o.types = TWO;
    o.n_types = 2;
    unfit(&o, "expected bfloat16 from the source, for tiny-BF16.gguf; "
              "float32 from the source, or from its own weights, for tiny-Q8_0.gguf");
    // What fits many is said once, and nothing of the message is cut out.
    static const file_type MANY[] = { FT_Q8_0, FT_BF16, FT_Q4_0, FT_Q4_1, FT_Q5_0, FT_Q5_1, FT_Q2_K, FT_Q3_K_M,
                                      FT_Q4_K_S, FT_Q5_K_M, FT_Q5_K_S, FT_Q6_K, FT_F16, FT_F32 };
    o.types = MANY;
    o.n_types = (int)(sizeof MANY / sizeof *MANY);
    unfit(&o, "expected float32 from the source, or from their own weights, for tiny-Q8_0.gguf, tiny-Q4_0.gguf, "
              "tiny-Q4_1.gguf, tiny-Q5_0.gguf, tiny-Q5_1.gguf, tiny-Q2_K.gguf, tiny-Q3_K_M.gguf, tiny-Q4_K_S.gguf, "
              "tiny-Q5_K_M.gguf, tiny-Q5_K_S.gguf, tiny-Q6_K.gguf, tiny-F16.gguf; bfloat16 from the source, for "
              "tiny-BF16.gguf; float32 from the source, for tiny-F32.gguf");
    ck_assert(!dir_exists(in_scratch("unfit")) && !dir_exists(in_scratch("unfit.unverified")));
    ck_assert_int_eq(leftovers("unfit"), 0);
}
END_TEST

// A type says nothing of weights that an effort changed: that they are others is known once they are made.
START_TEST(a_named_fixture_of_other_weights_is_refused_once_they_are_known)
{
    err e = { 0 };
    recipe q4 = { .type = FT_Q4_K_M };
    ck_assert_msg(recipe_set(&q4, "effort", "1", &e), "%s", e.msg);
    const char *list[] = { fixture_path("q4_k_m") };
    release_opts o = options(NULL, 0);
    o.recipes = &q4;
    o.n_recipes = 1;
    o.fixtures = list;
    o.n_fixtures = 1;
    release_result r;
    ck_assert(!release_checkpoint(&r, in_scratch("hf"), in_scratch("unfit"), &o, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_msg(strstr(e.msg, "no artifact of this release has the weights that it was made from: its weights' "
                                "digest is"),
                  "%s", e.msg);
    ck_assert(!dir_exists(in_scratch("unfit")) && !dir_exists(in_scratch("unfit.unverified")));
    ck_assert_int_eq(leftovers("unfit"), 0);
    recipe_free(&q4);
}
END_TEST

// Two cases are no proof by the built-in limits, of nothing good and nothing bad: they are run, nothing is published,
// and nothing is called a failure.
START_TEST(a_fixture_that_is_too_short_publishes_nothing)
{
    release_opts o = options(ONLY_BF16, 1);
    o.gate_path = NULL;
    release_result r = released(in_scratch("hf"), in_scratch("brief"), &o);
    ck_assert(!r.published);
    ck_assert_str_eq(r.where, in_scratch("brief.unverified"));
    ck_assert(!dir_exists(in_scratch("brief.failed")) && !dir_exists(in_scratch("brief")));
    ck_assert_str_eq(verify_verdict(&r.reports[0]), "inconclusive");
    ck_assert_str_eq(r.reports[0].fixtures[0].why[0].what, "minimum");
    ck_assert_int_eq(r.reports[0].fixtures[0].n_failures, 0);
    ck_assert_int_eq(r.n_missing, 0);
    err e = { 0 };
    char path[sizeof r.where + 32];
    snprintf(path, sizeof path, "%s/report.json", r.where);
    cJSON *j = json_parse_file(path, &e);
    ck_assert_str_eq(json_get(j, "verdict")->valuestring, "inconclusive");
    ck_assert_str_eq(json_get(cJSON_GetArrayItem(json_get(j, "artifacts"), 0), "verdict")->valuestring, "inconclusive");
    cJSON_Delete(j);
    char *md = text_of(r.where, "report.md");
    ck_assert_ptr_nonnull(strstr(md, "# tiny: inconclusive"));
    free(md);
    snprintf(path, sizeof path, "%s/tiny-BF16.gguf", r.where);
    ck_assert(!checks(path, &e) && strstr(e.msg, "never released"));       // no record
    release_result_free(&r);
}
END_TEST

// The other half of the two: equal to its own weights, and nobody knows how far those are from the source's.
START_TEST(quantized_without_a_fixture_of_the_source_is_not_verified)
{
    static const char *const OWN[] = { "q4_k_m", NULL };
    release_opts o = options(ONLY_Q4, 1);
    release_result r = released(source("own", OWN), in_scratch("own-out"), &o);
    ck_assert(!r.published);
    ck_assert_str_eq(r.where, in_scratch("own-out.unverified"));
    ck_assert_int_eq(r.n_missing, 1);
    ck_assert_ptr_nonnull(strstr(r.missing[0], "--dtype float32"));
    ck_assert_ptr_null(strstr(r.missing[0], "--weights"));
    ck_assert(r.reports[0].fixtures[0].passed && r.reports[0].fixtures[0].kind == CHECK_EXACT && !r.reports[0].passed);
    err  e = { 0 };                                             // and a record of that one alone is no proof to check
    char art[sizeof r.where + 32];
    snprintf(art, sizeof art, "%s/tiny-Q4_K_M.gguf", r.where);
    r.reports[0].passed = true;
    r.reports[0].incomplete = false;
    ck_assert_msg(record_write(art, &r.reports[0], NULL, &e), "%s", e.msg);
    ck_assert(!checks(art, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "no fixture made from the source's weights"), "%s", e.msg);
    release_result_free(&r);
}
END_TEST

// Room for the record is a question of how many fixtures there are, and is answered before any work.
START_TEST(more_fixtures_than_a_record_holds_are_refused_before_any_work)
{
    err e = { 0 };
    char from[340], name[64], hf_dir[300], out[300];
    snprintf(hf_dir, sizeof hf_dir, "%s", source("crowd", FIXTURES));
    snprintf(out, sizeof out, "%s", in_scratch("crowd-out"));
    snprintf(from, sizeof from, "%s/fixtures/bfloat16.json.gz", hf_dir);
    for (uint32_t i = 0; i < 90; i++) {
        const uint32_t time = 1000 + i;                         // gzip's, so that no two have the same bytes
        snprintf(name, sizeof name, "crowd/fixtures/more-%02u.json.gz", (unsigned)i);
        patch(copy_file(from, name), 4, &time, sizeof time);
    }
    release_opts o = options(ONLY_BF16, 1);
    release_result r;
    ck_assert(!release_checkpoint(&r, hf_dir, out, &o, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    ck_assert_msg(strstr(e.msg, "92 fixtures") && strstr(e.msg, "use fewer"), "%s", e.msg);
    ck_assert(!dir_exists(out));
    ck_assert_int_eq(leftovers("crowd-out"), 0);
}
END_TEST

START_TEST(a_publish_that_fails_says_where_the_work_is)
{
    err  e = { 0 };
    char dest[300], staged[400], inside[500];
    release_dir d;
    snprintf(dest, sizeof dest, "%s", in_scratch("blocked"));
    ck_assert_msg(release_dir_begin(&d, dest, &(release_names){ 0 }, &e), "%s", e.msg);
    snprintf(staged, sizeof staged, "%s", d.path);
    snprintf(inside, sizeof inside, "%s/report.md", staged);
    ck_assert(outfile_write_whole(inside, "x", 1, &e));
    FILE *f = fopen(dest, "w");                                     // it came while the release was at work
    ck_assert(f && fclose(f) == 0);
    ck_assert(!release_dir_publish(&d, dest, &(release_before){ .replaced = false }, &e));
    ck_assert_msg(strstr(e.msg, "not a folder") && strstr(e.msg, staged), "%s", e.msg);
    ck_assert(file_exists(inside));
    unlink(dest);
    // the next release there takes it away
    ck_assert(release_dir_begin(&d, dest, &(release_names){ 0 }, &(err){ 0 }));
    ck_assert(!file_exists(inside));
    release_dir_abort(&d);
    ck_assert_int_eq(leftovers("blocked"), 0);
}
END_TEST

// ---- check ---------------------------------------------------------------------------------------------------------

// A published folder that a test damages, with a whole copy of its one artifact beside it.
typedef struct { char out[256], art[300], spare[300], report[300], md[300]; } published;

static published publish_one(const char *name)
{
    published p;
    release_opts o = options(ONLY_BF16, 1);
    snprintf(p.out, sizeof p.out, "%s", in_scratch(name));
    release_result r = released(in_scratch("hf"), p.out, &o);
    ck_assert(r.published);
    release_result_free(&r);
    snprintf(p.art, sizeof p.art, "%s/tiny-BF16.gguf", p.out);
    snprintf(p.report, sizeof p.report, "%s/report.json", p.out);
    snprintf(p.md, sizeof p.md, "%s/report.md", p.out);
    snprintf(p.spare, sizeof p.spare, "%s", copy_file(p.art, "spare.gguf"));
    return p;
}

static void restore(const published *p) { rename(copy_file(p->spare, "copy.gguf"), p->art); }

static void write_text(const char *path, const char *text, size_t n)
{
    ck_assert(outfile_write_whole(path, text, (int64_t)n, &(err){ 0 }));
}

// The folder holds, and says that it was held to a gate of its maker's own.
static void check_gate_is_told(const published *p)
{
    err         e = { 0 };
    char        sha[SHA256_HEX + 1], line[256];
    check_gate  held;
    check_opts  told = { .device = "cpu", .gate = &held };
    ck_assert(sha256_file(in_scratch("gate.json"), sha, &e) && check_artifact(p->out, &told, &e));
    ck_assert_str_eq(held.sha256, sha);
    ck_assert_str_eq(held.name, "gate.json");
    char *said = text_of(p->out, "report.md");
    snprintf(line, sizeof line, "- Note: held to gate gate.json (sha256 `%s`), not the built-in one", sha);
    ck_assert_ptr_nonnull(strstr(said, line));
    free(said);
}

// Tensors and metadata that are no longer those of the record.
static void change_the_artifact(const published *p)
{
    err e = { 0 };
    flip_bit(p->art, "blk.0.attn_q.weight", 10, 3);
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "blk.0.attn_q.weight"));
    redigest(p->art);    // digests made true again: the record was made for others
    ck_assert(!checks(p->out, &e) && strstr(e.msg, "tensors"));
    restore(p);
    patch_f32(p->art, "gemma4.rope.freq_base", 10000);
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "metadata"));
    restore(p);
}

// Whatever else may be said there, nobody but the records says it.
static void edit_report_json(const published *p)
{
    static const struct { const char *from, *to, *named; } EDITS[] = {
        { "\"name\":\t\"tiny\"", "\"name\":\t\"huge\"", "key 'name': found \"huge\", expected \"tiny\"" },
        { "\"source_digest\":\t\"", "\"source_digest\":\t\"0", "key 'source_digest'" },
        { "\"source_revision\":\tnull", "\"source_revision\":\t\"main\"",
          "key 'source_revision': found \"main\", expected null" },
        { "\"gate\":\t\"gate.json\"", "\"gate\":\t\"built-in\"",
          "key 'gate': found \"built-in\", expected \"gate.json\"" },
        { "\"attention_scale\":\t1", "\"attention_scale\":\t2",
          "key 'artifacts[0].attention_scale': found 2, expected 1" },
        { "\"kv_required\":\t\"bf16\"", "\"kv_required\":\t\"f16\"", "key 'artifacts[0].kv_required'" },
        { "\"kl_limit\":\t", "\"kl_limit\":\t1", "key 'artifacts[0].fixtures[0].kl_limit'" },
        { "\"failures_total\":\t0", "\"failures_total\":\t1",
          "key 'artifacts[0].fixtures[0].failures_total': found 1, expected 0" },
        { "\"notes\":\t[]", "\"notes\":\t[\"all fine\"]", "notes[0]': found \"all fine\", expected nothing" },
        { "\"hallmark_release\":\t1", "\"hallmark_release\":\t1, \"award\":1",
          "key 'award': found 1, expected nothing" },
        { "\"sha256\":\t\"", "\"sha256\":\t\"0", "key 'artifacts[0].sha256'" },
        { "\"processor\":\t\"", "\"processor\":\t\"z", "key 'artifacts[0].processor'" },
        { "\"commit\":\t\"", "\"commit\":\t\"0", "key 'artifacts[0].hallmark.commit'" },
        { "\"steps\":\t1,", "\"steps\":\t2,",
          "key 'artifacts[0].judged_by.limits.minimum.steps': found 2, expected 1" },
        { "\"transformers\":\t\"5", "\"transformers\":\t\"6", "key 'artifacts[0].fixtures[0].reference.transformers'" },
    };
    err e = { 0 };
    for (size_t i = 0; i < sizeof EDITS / sizeof *EDITS; i++) {
        char *was = text_of(p->out, "report.json"), *cut = strstr(was, EDITS[i].from), *now = NULL;
        ck_assert_msg(cut != NULL, "%s is not in the report", EDITS[i].from);
        size_t room = strlen(was) + 64;
        now = malloc(room);
        snprintf(now, room, "%.*s%s%s", (int)(cut - was), was, EDITS[i].to, cut + strlen(EDITS[i].from));
        write_text(p->report, now, strlen(now));
        bool holds = checks(p->out, &e);
        ck_assert_msg(!holds && e.kind == ERR_VERDICT && strstr(e.msg, EDITS[i].named), "%s: %s", EDITS[i].named,
                      holds ? "holds" : e.msg);
        write_text(p->report, was, strlen(was));
        free(now);
        free(was);
    }
}

// One byte of a report for people or pipelines, and the report gone: it is not what the records say.
static void edit_page(const published *p, const char *name, const char *word)
{
    char  path[400];
    err   e = { 0 };
    char *text = text_of(p->out, name), *at = strstr(text, word);
    ck_assert_msg(at != NULL, "%s: no %s", name, word);
    snprintf(path, sizeof path, "%s/%s", p->out, name);
    at[0]++;
    write_text(path, text, strlen(text));
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, name) && strstr(e.msg, ": found"), "%s", e.msg);
    at[0]--;
    unlink(path);
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, name), "%s", e.msg);
    write_text(path, text, strlen(text));
    free(text);
    e = (err){ 0 };
    ck_assert_msg(checks(p->out, &e), "%s", e.msg);
}

static void edit_report_md(const published *p)
{
    err   e = { 0 };
    char *md = text_of(p->out, "report.md"), *pass = strstr(md, "| bf16 |");
    ck_assert_ptr_nonnull(pass);
    pass[2] = 'f';
    write_text(p->md, md, strlen(md));
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "report.md: line 7: found") && strstr(e.msg, "| ff16 |") && strstr(e.msg, "| bf16 |"),
                  "%s", e.msg);
    pass[2] = 'b';
    write_text(p->md, md, strlen(md) - 1);
    ck_assert(!checks(p->out, &e) && strstr(e.msg, "report.md"));
    unlink(p->md);
    ck_assert(!checks(p->out, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "report.md"));
    write_text(p->md, md, strlen(md));
    free(md);
    ck_assert_msg(checks(p->out, &e), "%s", e.msg);
}

// Bytes that no digest covers, and bytes that are gone.
static void append_and_truncate(const published *p)
{
    err  e = { 0 };
    struct stat st;
    ck_assert(stat(p->art, &st) == 0);
    int fd = open(p->art, O_WRONLY | O_APPEND);
    ck_assert(fd >= 0 && write(fd, "payload", 7) == 7 && close(fd) == 0);
    ck_assert(!checks(p->art, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "after the last tensor"), "%s", e.msg);
    ck_assert(truncate(p->art, st.st_size - 100) == 0);
    ck_assert(!checks(p->art, &e) && e.kind == ERR_INPUT);
    ck_assert_msg(strstr(e.msg, "truncated: found a file of") && strstr(e.msg, "that the tensor needs"), "%s", e.msg);
    restore(p);
    // Between two tensors: the first whose end the alignment does not meet.
    gguf *g = open_gguf(p->art);
    int64_t off = -1;
    for (int64_t i = 0; i < gguf_n_tensors(g) && off < 0; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->n_bytes % gguf_alignment(g) != 0) off = t->off + t->n_bytes;
    }
    gguf_close(g);
    ck_assert_int_ge(off, 0);
    patch(p->art, off, "x", 1);
    ck_assert(!checks(p->art, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "expected padding"), "%s", e.msg);
    restore(p);
    // A cache dtype that the type does not require, and one that is none.
    patch(p->art, value_off(p->art, KEY_HM_KV_TYPE) + 8, "f16 ", 4);
    ck_assert(!checks(p->art, &e));
    restore(p);
    ck_assert_msg(checks(p->art, &e), "%s", e.msg);
}

// A figure of the report, then the report as a whole; the file itself is as it was.
static void edit_a_figure_and_drop_the_report(const published *p)
{
    err   e = { 0 };
    char *text = text_of(p->out, "report.json"), *at = strstr(text, "\"teacher_forced_equal\":");
    ck_assert_ptr_nonnull(at);
    char *digit = at + strlen("\"teacher_forced_equal\":\t");
    *digit = *digit == '9' ? '8' : '9';
    write_text(p->report, text, strlen(text));
    free(text);
    bool edited_holds = checks(p->out, &e);
    ck_assert_msg(!edited_holds && e.kind == ERR_VERDICT && strstr(e.msg, "teacher_forced_equal"), "%s", e.msg);
    ck_assert_msg(checks(p->art, &e), "%s", e.msg);
    unlink(p->report);
    ck_assert(!checks(p->out, &e) && strstr(e.msg, "report.json"));
}

typedef struct { int n_artifacts; char undecided[768]; } left_open;     // of a check_proof

static bool checks_with(const char *path, const char *fixture_file, left_open *open, err *e)
{
    check_proof proof;
    check_opts  o = { .device = "cpu", .fixtures = &fixture_file, .n_fixtures = 1, .proof = &proof };
    *e = (err){ 0 };
    const bool ok = check_artifact(path, &o, e);
    *open = (left_open){ .n_artifacts = proof.n_artifacts };
    snprintf(open->undecided, sizeof open->undecided, "%s", proof.undecided);
    check_proof_free(&proof);
    return ok;
}

// What check says of a fixture that it was given: cannot decide, cannot be used; and a failure hides behind neither.
START_TEST(a_fixture_given_to_check_may_leave_it_open)
{
    const published p = publish_one("open");
    err   e = { 0 };
    left_open open;
    char  brief[300], digest[SHA256_HEX + 1];
    snprintf(brief, sizeof brief, "%s/fixtures/bfloat16.json.gz", in_scratch("hf"));
    for (int i = 0; i < 2; i++) {                               // two cases, and the built-in gate
        const char *path = i ? p.art : p.out;
        ck_assert(!checks_with(path, brief, &open, &e) && e.kind == ERR_VERDICT);
        ck_assert_msg(strstr(e.msg, "inconclusive: the fixture is too short") && strstr(open.undecided, "4 prompts of "
                                                                                                        "64 tokens "
                                                                                                        "would do"),
                      "%s", e.msg);
        ck_assert_int_eq(open.n_artifacts, 1);                 // all else holds
    }
    flip_bit(p.art, "blk.0.attn_q.weight", 10, 3);
    ck_assert(!checks_with(p.out, brief, &open, &e) && e.kind == ERR_VERDICT && strstr(e.msg, "blk.0.attn_q.weight"));
    ck_assert_str_eq(open.undecided, "");
    restore(&p);
    ck_assert(!checks_with(p.out, fixture_path("float32"), &open, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_msg(strstr(e.msg, "float32.json.gz") && strstr(e.msg, "was made in float32, tiny-BF16.gguf computes in "
                                                                    "bf16"),
                  "%s", e.msg);
    ck_assert(!checks_with(p.art, SOURCE_DIR "/fixtures/tiny-llama/fixtures/bfloat16.json.gz", &open, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    fixture *f = fixture_open(SOURCE_DIR "/fixtures/tiny-llama/fixtures/bfloat16.json.gz", &(err){ 0 });
    gguf *g = open_gguf(p.art);
    source_id id;
    claims_read_source(g, &id);
    snprintf(digest, sizeof digest, "%s", f->source.v2[0] && id.v2[0] ? id.v2 : id.v1);
    ck_assert_msg(strstr(e.msg, digest) && strstr(e.msg, f->source_digest), "%s", e.msg);
    gguf_close(g);
    fixture_close(f);
}
END_TEST

// The reports name each whole file by its digest, and what judged it.
START_TEST(reports_name_file_gate_and_reference)
{
    const published p = publish_one("named");
    err   e = { 0 };
    char  hex[SHA256_HEX + 1], line[600];
    cJSON *j = json_parse_file(p.report, &e);
    const cJSON *a = cJSON_GetArrayItem(json_get(j, "artifacts"), 0);
    ck_assert(sha256_file(p.art, hex, &e));
    ck_assert_str_eq(json_get(a, "sha256")->valuestring, hex);
    char *md = text_of(p.out, "report.md");
    snprintf(line, sizeof line, "- tiny-BF16.gguf: judged by hallmark %s, commit `%s`, on cpu (", hallmark_version(),
             hallmark_commit());
    ck_assert_msg(strstr(md, line) && strstr(md, hex), "%s", md);
    ck_assert(sha256_file(in_scratch("gate.json"), hex, &e));
    ck_assert_str_eq(json_get(json_get(a, "judged_by"), "name")->valuestring, "gate.json");
    ck_assert_str_eq(json_get(json_get(a, "judged_by"), "sha256")->valuestring, hex);
    snprintf(line, sizeof line, "gate gate.json, SHA-256 `%s`", hex);
    ck_assert_ptr_nonnull(strstr(md, line));
    ck_assert_ptr_nonnull(strstr(md, "by Transformers 5.23.0 and torch 2.13.0+cpu in bfloat16 on cpu, attention eager; "
                                     "2 prompts, 64 tokens of each"));
    free(md);
    cJSON_Delete(j);
}
END_TEST

START_TEST(whatever_is_changed_later_is_named)
{
    const published p = publish_one("tampered");
    err e = { 0 };
    ck_assert_msg(checks(p.out, &e), "%s", e.msg);
    check_gate_is_told(&p);
    change_the_artifact(&p);
    edit_report_json(&p);
    edit_report_md(&p);
    edit_page(&p, "report.html", "<b>Pass</b>");
    edit_page(&p, "junit.xml", "<testcase ");
    append_and_truncate(&p);
    edit_a_figure_and_drop_the_report(&p);
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
    tcase_add_test(t, a_release_published_in_the_meantime_is_replaced_and_told);
    tcase_add_test(t, the_same_release_has_the_same_bytes);
    tcase_add_test(t, a_gate_that_fails_publishes_nothing);
    tcase_add_test(t, without_a_fixture_nothing_is_verified);
    tcase_add_test(t, a_fixture_under_two_names_is_one);
    tcase_add_test(t, quantized_without_a_fixture_of_its_own_weights_is_not_verified);
    tcase_add_test(t, a_fixture_of_another_source_is_refused_before_any_work);
    tcase_add_test(t, a_named_fixture_that_fits_nothing_is_refused_before_any_work);
    tcase_add_test(t, a_named_fixture_of_other_weights_is_refused_once_they_are_known);
    tcase_add_test(t, a_fixture_that_is_too_short_publishes_nothing);
    tcase_add_test(t, quantized_without_a_fixture_of_the_source_is_not_verified);
    tcase_add_test(t, more_fixtures_than_a_record_holds_are_refused_before_any_work);
    tcase_add_test(t, a_publish_that_fails_says_where_the_work_is);
    tcase_add_test(t, a_fixture_given_to_check_may_leave_it_open);
    tcase_add_test(t, reports_name_file_gate_and_reference);
    tcase_add_test(t, whatever_is_changed_later_is_named);
    tcase_add_test(t, files_that_do_not_belong_to_the_report_are_named);
    suite_add_tcase(s, t);
    return run_suite(s);
}
