// Proves release/release_lab.h and release/release_card.h on a copy of the committed checkpoint with short fixtures:
// what caches cost is measured, written into the files and beside them, covered by their records and by check; a text
// that is too short stops the release before any conversion.
#include "texts.h"
#include "verify_files.h"
#include "formats/json.h"
#include "measure/lab_record.h"
#include "release/release.h"
#include "release/release_dir.h"
#include "release/release_lab.h"

static const file_type ONLY_BF16[] = { FT_BF16 };
static const char *const KV[] = { "q8_0", "q4_0" };
static char source[400], text_path[SCRATCH_PATH], text_arg[SCRATCH_PATH + 8];
static char gate_path[SCRATCH_PATH], out[SCRATCH_PATH];
static const char *TEXTS[] = { text_arg };

static release_opts options(void)
{
    return (release_opts){ .name = "tiny", .types = ONLY_BF16, .n_types = 1, .tokens = 8, .device = "cpu",
                           .gate_path = gate_path, .n_threads = 1, .lab = TEXTS, .n_lab = 1, .lab_kv = KV,
                           .n_lab_kv = 2, .lab_chunk = 24 };
}

static void publish(const char *to, const release_opts *o)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(release_checkpoint(&r, source, to, o, &e), "%s", e.msg);
    ck_assert(r.published);
    // caches, a fixture, LICENSE, .gitattributes, Modelfile, README.md
    ck_assert_int_ge(r.n_files, o->n_lab > 0 ? 8 : 5);
    release_result_free(&r);
}

static void setup(void)
{
    char sub[450], path[480];
    files_begin("release-lab");
    snprintf(source, sizeof source, "%s", copy_checkpoint("hf"));
    snprintf(sub, sizeof sub, "%s/LICENSE", source);
    write_license(sub, 0);
    snprintf(sub, sizeof sub, "%s/fixtures", source);
    ck_assert(mkdir(sub, 0777) == 0);
    snprintf(path, sizeof path, "%s/bfloat16.json.gz", sub);
    shorten_fixture(fixture_path("bfloat16"), path, 2);
    scratch_path(gate_path, "gate.json");
    gate_for_cases(gate_path, 2);
    scratch_path(text_path, "text.txt");
    write_license(text_path, 300);
    snprintf(text_arg, sizeof text_arg, "chat=%s", text_path);
    scratch_path(out, "out");
    const release_opts o = options();
    publish(out, &o);
}

static void teardown(void) { files_end(); }

// A copy of the release, and the path of a file in it.
static const char *copied(const char *name, const char *file, char path[SCRATCH_PATH])
{
    static char dir[SCRATCH_PATH];
    char command[3 * SCRATCH_PATH];
    scratch_path(dir, name);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", out, dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_lt(snprintf(path, SCRATCH_PATH, "%.*s/%s", SCRATCH_PATH - 64, dir, file), SCRATCH_PATH);
    return dir;
}

static bool checks(const char *path, err *e)
{
    check_opts o = { .device = "cpu" };
    *e = (err){ 0 };
    return check_artifact(path, &o, e);
}

static void refuses(const char *path, const char *says)
{
    err e;
    ck_assert_msg(!checks(path, &e), "expected: %s", says);
    ck_assert_int_eq(e.kind, ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, says) != NULL, "%s: %s", says, e.msg);
}

static void replace_in(const char *path, const char *from, const char *to)
{
    char       *text = read_text(path);
    const char *at = strstr(text, from);
    ck_assert(at && strlen(from) == strlen(to));
    patch(path, at - text, to, (int64_t)strlen(to));
    free(text);
}

static void read_record(lab_record *rec, const char *path)
{
    bool found;
    err  e = { 0 };
    gguf *g = open_gguf(path);
    ck_assert_msg(lab_record_find(rec, g, &found, &e) && found, "%s", e.msg);
    ck_assert_msg(lab_record_fits(rec, g, 1, &e), "%s", e.msg);
    gguf_close(g);
}

START_TEST(figures_are_in_the_file_and_beside_it)
{
    char path[SCRATCH_PATH];
    err  e;
    lab_record rec;
    check_told told;
    const char *dir = copied("same", "tiny-BF16.gguf", path);
    read_record(&rec, path);
    ck_assert_int_eq(rec.n_caches, 2);
    ck_assert_str_eq(rec.base_kv, "bf16");
    ck_assert_str_eq(rec.caches[1].kv, "q4_0");
    ck_assert(rec.caches[1].kl_mean > rec.caches[0].kl_mean);
    lab_record_free(&rec);
    ck_assert_msg(checks(dir, &e), "%s", e.msg);
    const check_opts o = { .device = "cpu", .claims = &told };
    ck_assert(check_artifact(dir, &o, &e));
    ck_assert_int_eq(told.n, 1);
    ck_assert_str_eq(told.v[0].artifact, "tiny-BF16.gguf");
    ck_assert(strstr(told.v[0].claim, "2 caches measured by hallmark") != NULL);
    check_told_free(&told);
}
END_TEST

START_TEST(what_is_changed_is_found)
{
    static const struct { const char *file, *from, *to, *says; } cases[] = {
        { "README.md", "top-1", "top-9", "README.md: line" },
        { "tiny-BF16-lab.json", "hallmark_lab", "hallmark_lib", "tiny-BF16-lab.json: found SHA-256" },
        { "tiny-BF16-lab.md", "KL", "KM", "tiny-BF16-lab.md: found SHA-256" },
        { "tiny-BF16-lab.html", "<html", "<HTML", "tiny-BF16-lab.html: found SHA-256" },
        { "report.json", "README.md", "REDAME.md", "report.json" },
        { "report.md", "- File", "- Fire", "report.md: line" },
        { "report.json", "same_as_source", "same_as_sourcf", "report.json" },
        { "Modelfile", "PARAMETER stop", "PARAMETER stoq", "Modelfile: line" },
        { ".gitattributes", "*.gguf", "*.ggug", ".gitattributes: line" },
        { "LICENSE", "Apache", "apache", "LICENSE: found SHA-256" },
        { "SHA256SUMS", "  README.md", "  README.dm", "SHA256SUMS: line" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16], path[SCRATCH_PATH];
        snprintf(name, sizeof name, "edit%d", (int)i);
        const char *dir = copied(name, cases[i].file, path);
        replace_in(path, cases[i].from, cases[i].to);
        refuses(dir, cases[i].says);
    }
    static const char *const gone[] = { "tiny-BF16-lab.html", "LICENSE", "README.md", "Modelfile", "SHA256SUMS",
                                        ".gitattributes", "report.html" };
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        char name[16], path[SCRATCH_PATH], renamed[SCRATCH_PATH + 4];
        snprintf(name, sizeof name, "gone%d", (int)i);
        const char *dir = copied(name, gone[i], path);
        snprintf(renamed, sizeof renamed, "%s.1", path);
        ck_assert_int_eq(rename(path, renamed), 0);
        refuses(dir, gone[i]);
    }
}
END_TEST

// The value of hallmark.kv.measured begins where its length ends.
static int64_t record_off(const char *path) { return value_off(path, KEY_HM_KV_MEASURED) + 8; }

START_TEST(figures_that_are_edited_or_moved_are_found)
{
    char path[SCRATCH_PATH];
    gguf_str s;
    err  e = { 0 };
    copied("figures", "tiny-BF16.gguf", path);
    gguf *g = open_gguf(path);
    ck_assert(gguf_get_str(g, KEY_HM_KV_MEASURED, &s, &e));
    char *json = strndup(s.s, (size_t)s.n), *digest = strstr(json, "\"tensors\":\"") + 11;
    gguf_close(g);
    const int64_t at = record_off(path);
    const char other = digest[0] == '0' ? '1' : '0';
    char *texts = strstr(json, "\"texts\":\"") + 9;
    const char claim = *texts == '0' ? '1' : '0';
    patch(path, at + (texts - json), &claim, 1);                // another claim of the same form: the record binds it
    refuses(path, "it was changed after it was verified");
    copied("digest", "tiny-BF16.gguf", path);
    patch(path, at + (digest - json), &other, 1);               // as if it came from another file
    refuses(path, "it was measured on tensors and keys with digest");
    copied("broken", "tiny-BF16.gguf", path);
    patch(path, at, "[", 1);
    refuses(path, "hallmark.kv.measured");
    free(json);
}
END_TEST

// A claim and the report beside it, both with digests made anew, still have to say the same.
START_TEST(the_report_and_the_file_say_the_same)
{
    char path[SCRATCH_PATH];
    err  e = { 0 };
    gguf_str s;
    const char *dir = copied("agree", "tiny-BF16.gguf", path);
    ck_assert_msg(release_lab_agrees(dir, "tiny-BF16-lab.json", &e), "%s", e.msg);
    gguf *g = open_gguf(path);
    ck_assert(gguf_get_str(g, KEY_HM_KV_MEASURED, &s, &e));
    char *json = strndup(s.s, (size_t)s.n), *at = strstr(json, "\"kl_p99\":");
    ck_assert(at != NULL);
    char *last = strchr(at, ',') - 1;           // its last digit: another figure of the same form
    const int64_t off = record_off(path) + (last - json);
    const char other = *last == '1' ? '2' : '1';
    gguf_close(g);
    free(json);
    patch(path, off, &other, 1);
    ck_assert(!release_lab_agrees(dir, "tiny-BF16-lab.json", &e));
    ck_assert_int_eq(e.kind, ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "kl_p99: found") != NULL, "%s", e.msg);
}
END_TEST

// Changed weights with all digests made anew: what was measured was not measured of them.
START_TEST(figures_of_other_tensors_are_found)
{
    char path[SCRATCH_PATH];
    copied("weights", "tiny-BF16.gguf", path);
    flip_bit(path, "output_norm.weight", 2, 3);
    redigest(path);
    refuses(path, "it was measured on tensors and keys with digest");
}
END_TEST

START_TEST(the_same_bytes_again_in_its_place)
{
    char again[SCRATCH_PATH], command[3 * SCRATCH_PATH];
    scratch_path(again, "again");
    release_opts o = options();
    o.n_threads = 2;
    publish(again, &o);
    snprintf(command, sizeof command, "diff -r '%s' '%s'", out, again);
    ck_assert_int_eq(system(command), 0);
    o.n_lab = 0;                // what was there is the release's own, and is replaced; without texts nothing is beside
    o.n_lab_kv = 0;
    release_result r;
    err e = { 0 };
    ck_assert_msg(release_checkpoint(&r, source, again, &o, &e), "%s", e.msg);
    ck_assert(r.published && r.replaced && !r.left);
    release_result_free(&r);
    snprintf(command, sizeof command, "test \"$(ls '%s' | wc -l)\" = 11", again);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(checks(again, &e), "%s", e.msg);
    char card[SCRATCH_PATH + 16];       // a file that no release wrote is nobody's to remove
    snprintf(card, sizeof card, "%s/notes.md", again);
    ck_assert_msg(release_dir_free_to_use(out, &e) && release_dir_free_to_use(again, &e), "%s", e.msg);
    write_license(card, 10);
    publish(again, &o);
    ck_assert(file_exists(card));
}
END_TEST

static void stops(const release_opts *o, err_kind kind, const char *says)
{
    char to[SCRATCH_PATH], command[3 * SCRATCH_PATH];
    release_result r;
    err e = { 0 };
    scratch_path(to, "none");
    ck_assert(!release_checkpoint(&r, source, to, o, &e));
    ck_assert_int_eq(e.kind, kind);
    ck_assert_msg(strstr(e.msg, says) != NULL, "%s: %s", says, e.msg);
    snprintf(command, sizeof command, "! ls -d '%s'* 2>/dev/null", to);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(what_cannot_be_measured_stops_before_the_work)
{
    static const char *const q5[] = { "q8_0", "q5_9" }, *const layers[] = { "layers 900:q8_0" };
    release_opts o = options();
    o.lab_chunk = 4096;
    stops(&o, ERR_INPUT, "text.txt: a text of");
    o = options();
    o.lab_kv = q5;
    stops(&o, ERR_USAGE, "q5_9");
    o.lab_kv = layers;
    o.n_lab_kv = 1;
    stops(&o, ERR_USAGE, "");
    o = options();
    const char *none[] = { "chat=/nonexistent.txt" };
    o.lab = none;
    stops(&o, ERR_INPUT, "/nonexistent.txt");
}
END_TEST

START_TEST(a_record_lists_names_of_the_folder_alone)
{
    static const char *const good[] = { "x-lab.md", "README.md", "LICENSE", "USE_POLICY.md", "Modelfile", "a b",
                                        "\xc3\xa9", ".gitattributes", "importance.gguf" };
    static const char *const bad[] = { "", ".", "..", "../x-lab.md", "a/b", "/a", ".x-lab.md", ".git", "a\nb",
                                       "a\x1b[0m", "\xff", "a\xe2\x80\xae" "b", "x.partial-12", "report.json",
                                       "report.md", "report.html", "junit.xml", "SHA256SUMS", "model.sig",
                                       "provenance.intoto.json" };
    char longest[258];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) ck_assert_msg(record_file_is(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert_msg(!record_file_is(bad[i]), "%s", bad[i]);
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    ck_assert(!record_file_is(longest));
    longest[255] = '\0';
    ck_assert(record_file_is(longest));
}
END_TEST

// What a killed release leaves is known as its own, from the first report on; names of nobody's are not.
START_TEST(an_unfinished_report_lists_what_will_be_there)
{
    static const char *const names[] = { "x-BF16.gguf", "x-BF16-lab.json", "x-BF16-lab.html", "README.md", "../a",
                                         "junit.xml", "SHA256SUMS" };
    char path[SCRATCH_PATH + 16], dir[SCRATCH_PATH], *text = release_list_unfinished(names, 1, names + 1, 4);
    release_list l;
    err e = { 0 };
    scratch_path(dir, "unfinished");
    ck_assert(text && mkdir(dir, 0777) == 0);
    snprintf(path, sizeof path, "%s/report.json", dir);
    ck_assert(outfile_write_whole(path, text, (int64_t)strlen(text), &e));
    const int fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert(fd >= 0 && release_list_read(&l, fd, &e));
    for (int i = 0; i < 7; i++) ck_assert_msg(release_list_has(&l, names[i]) == (i != 4), "%s", names[i]);
    ck_assert(release_list_has(&l, "x-BF16-lab.html.partial-12"));
    ck_assert(!release_list_has(&l, "a.txt") && !release_list_has(&l, "x-F32-lab.json"));
    release_list_free(&l);
    close(fd);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release_lab");
    TCase *t = tcase_create("release_lab");
    tcase_set_timeout(t, 300);
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, figures_are_in_the_file_and_beside_it);
    tcase_add_test(t, what_is_changed_is_found);
    tcase_add_test(t, figures_that_are_edited_or_moved_are_found);
    tcase_add_test(t, the_report_and_the_file_say_the_same);
    tcase_add_test(t, figures_of_other_tensors_are_found);
    tcase_add_test(t, the_same_bytes_again_in_its_place);
    tcase_add_test(t, what_cannot_be_measured_stops_before_the_work);
    tcase_add_test(t, a_record_lists_names_of_the_folder_alone);
    tcase_add_test(t, an_unfinished_report_lists_what_will_be_there);
    suite_add_tcase(s, t);
    return run_suite(s);
}
