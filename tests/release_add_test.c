// Proves that a release can be added to (release/release_add.c, release/release_old.h), and what is published beside
// artifacts.
#include "made_release.h"
#include "forger.h"
#include "release/release_recipe.h"

// ---- adding --------------------------------------------------------------------------------------------------------

// A type that is added: the folder is the one that a single release of both gives, byte for byte.
START_TEST(a_type_is_added_and_all_records_name_all)
{
    static const char *const NAMES[] = { "tiny-BF16.gguf", "tiny-F32.gguf", "report.json", "report.md", "README.md",
                                         "bfloat16.json.gz", "float32.json.gz", "SHA256SUMS" };
    const char *out = in_scratch("add"), *once = in_scratch("once");
    publish(out, BF16, 1);
    publish(once, BOTH, 2);
    const release_opts o = options(F32, 1);
    release_result r = released(out, &o);
    ck_assert(r.published && r.replaced && r.n == 2 && r.made[0].kept && !r.made[1].kept);
    ck_assert_str_eq(r.reports[0].artifact, "tiny-BF16.gguf");
    release_result_free(&r);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char a[SHA256_HEX + 1], b[SHA256_HEX + 1];
        digest_of(out, NAMES[i], a);
        digest_of(once, NAMES[i], b);
        ck_assert_msg(strcmp(a, b) == 0, "%s is not as if both were made at once", NAMES[i]);
    }
    holds(out);
    const release_opts again = options(BF16, 1);        // in its place, not behind
    r = released(out, &again);
    ck_assert(r.published && r.n == 2 && !r.made[0].kept && r.made[1].kept);
    ck_assert_str_eq(r.reports[0].artifact, "tiny-BF16.gguf");
    release_result_free(&r);
    holds(out);
    release_opts anew = options(BF16, 1);
    anew.replace = true;
    r = released(out, &anew);
    ck_assert(r.published && r.n == 1);
    ck_assert(!is_there(out, "tiny-F32.gguf") && !is_there(out, "float32.json.gz"));
    release_result_free(&r);
}
END_TEST

// Of what the fixture's header says.
static const char *fixture_command(const char *path)
{
    static char line[400];
    err e = { 0 };
    fixture *f = fixture_open(path, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    snprintf(line, sizeof line,
             "python3 hf_fixture.py SOURCE -o bfloat16.json.gz --dtype bfloat16 --tokens %d --top %d "
             "--limit %d --name %s with Transformers %s",
             f->tokens, f->top_k, (int)f->n_cases, f->model_name, f->transformers);
    fixture_close(f);
    return line;
}

// From the folder alone: the fixtures that it was held to are in it.
START_TEST(fixtures_are_published_or_named)
{
    const char *out = in_scratch("fixtures");
    const char *list[] = { in_scratch("fixtures/bfloat16.json.gz") };
    const check_opts again = { .fixtures = list, .n_fixtures = 1, .device = "cpu", .gate_path = gate_path };
    err e = { 0 };
    publish(out, BF16, 1);
    ck_assert_msg(check_artifact(out, &again, &e), "%s", e.msg);
    ck_assert(!is_there(out, "float32.json.gz"));               // nothing answered to it
    const char *command = fixture_command(list[0]);
    release_opts o = options(BF16, 1);
    o.no_fixtures = true;
    release_result r = released(out, &o);
    ck_assert(r.published && !is_there(out, "bfloat16.json.gz"));
    ck_assert_int_eq(r.n_notes, 3);
    const char *note = r.notes[2];
    ck_assert_msg(strstr(note, command)
                  && strstr(note, r.reports[0].fixtures[0].file_digest), "%s", note);
    ck_assert(!strstr(note, scratch));
    release_result_free(&r);
    holds(out);
}
END_TEST

START_TEST(what_cannot_be_added_to_is_said_before_the_work)
{
    const char  *out = in_scratch("not");
    release_opts o = options(F32, 1);
    char hex[2][SHA256_HEX + 1];
    publish(out, BF16, 1);
    digest_of(out, "report.json", hex[0]);
    o.name = "other";
    refused(out, &o, ERR_USAGE, "its files are called tiny-");
    o = options(F32, 1);
    o.gate_path = NULL;
    refused(out, &o, ERR_USAGE, "--replace");
    o = options(F32, 1);
    o.name = NULL;                                      // the name that is there
    release_result r = released(out, &o);
    ck_assert(r.published && strcmp(r.reports[1].artifact, "tiny-F32.gguf") == 0);
    release_result_free(&r);
    char art[300];
    snprintf(art, sizeof art, "%s/tiny-BF16.gguf", out);
    flip_bit(art, "blk.0.attn_q.weight", 10, 3);
    o = options(F32, 1);
    refused(out, &o, ERR_VERDICT, "blk.0.attn_q.weight");
    redigest(art);
    refused(out, &o, ERR_VERDICT, "nothing can be added");
    digest_of(out, "report.json", hex[1]);
    ck_assert_str_ne(hex[0], hex[1]);
}
END_TEST

START_TEST(a_release_of_another_source_is_not_added_to)
{
    const char *out = in_scratch("theirs");
    publish(out, BF16, 1);
    put(source, "vocab.json", "{}");                    // a file that only its digest knows
    refused(out,
            &(release_opts){ .name = "tiny", .types = BF16, .n_types = 1, .device = "cpu", .gate_path = gate_path },
            ERR_USAGE, "was made from another source");
}
END_TEST

// ---- what stays is proved ------------------------------------------------------------------------------------------

// Of its tensors and of its metadata, as its record has them.
static void digests_of(const char *path, char hex[2][SHA256_HEX + 1])
{
    err   e = { 0 };
    gguf *g = open_gguf(path);
    ck_assert_msg(claims_weights_digest(g, hex[0], &e) && claims_metadata_digest(g, hex[1], &e), "%s", e.msg);
    gguf_close(g);
}

// A weight is another, and every digest in the file agrees with it.
static void forge_weight(const char *path)
{
    char before[2][SHA256_HEX + 1], after[2][SHA256_HEX + 1];
    digests_of(path, before);
    flip_bit(path, "blk.0.attn_q.weight", 10, 3);
    redigest(path);
    digests_of(path, after);
    for (int i = 0; i < 2; i++) paste(path, before[i], after[i]);
}

START_TEST(a_forged_artifact_is_not_kept)
{
    const char *out = in_scratch("forged");
    char art[300], hex[2][SHA256_HEX + 1];
    publish(out, BF16, 1);
    snprintf(art, sizeof art, "%s/tiny-BF16.gguf", out);
    forge_weight(art);
    err e = { 0 };
    const check_opts alone = { .device = "cpu" };
    ck_assert_msg(check_artifact(art, &alone, &e), "%s", e.msg);    // the file alone cannot tell
    digest_of(out, "report.json", hex[0]);
    const release_opts o = options(F32, 1);
    refused(out, &o, ERR_VERDICT, "blk.0.attn_q.weight");
    digest_of(out, "report.json", hex[1]);
    ck_assert_str_eq(hex[0], hex[1]);
    const release_opts again = options(BF16, 1);        // what is made again need not hold
    release_result r = released(out, &again);
    ck_assert(r.published);
    release_result_free(&r);
    holds(out);
}
END_TEST

// ---- what is the user's --------------------------------------------------------------------------------------------

START_TEST(files_of_the_users_own_stay)
{
    const char *out = in_scratch("own");
    char hex[2][SHA256_HEX + 1];
    publish(out, BF16, 1);
    put(out, "README.md", "mine");                      // ours, changed
    put(out, "notes.txt", "mine");
    put(out, ".hidden", "mine");
    char *sub = path_join(out, "images");
    ck_assert(mkdir(sub, 0777) == 0);
    put(sub, "a.png", "mine");
    free(sub);
    digest_of(out, "README.md", hex[0]);
    const release_opts o = options(F32, 1);
    release_result r = released(out, &o);
    ck_assert(r.published && !r.left && r.n_told == 4);
    digest_of(out, "README.md", hex[1]);
    ck_assert_str_eq(hex[0], hex[1]);
    ck_assert(is_there(out, "notes.txt") && is_there(out, ".hidden") && is_there(out, "images/a.png"));
    int kept = 0;
    for (int i = 0; i < r.n_files; i++) kept += r.files[i].kept;
    ck_assert_int_eq(kept, 2);                          // README.md and notes.txt
    bool said = false;
    for (int i = 0; i < r.n_notes; i++) said |= strstr(r.notes[i], "README.md is not as a release wrote it") != NULL;
    ck_assert(said);
    release_result_free(&r);
    holds(out);
    put(out, "bfloat16.json.gz", "mine");               // a name that a release needs
    refused(out, &o, ERR_USAGE, "'bfloat16.json.gz'");
}
END_TEST

// What passed is not thrown: the folder that is there stays as it is, and the next release removes what did not pass.
START_TEST(a_release_that_fails_leaves_what_is_published)
{
    const char *out = in_scratch("partly");
    char hex[2][SHA256_HEX + 1];
    static const file_type TWO[] = { FT_F32, FT_Q8_0 };
    publish(out, BF16, 1);
    digest_of(out, "SHA256SUMS", hex[0]);
    const release_opts o = options(TWO, 2);             // Q8_0 has no fixture of its own weights
    release_result r = released(out, &o);
    ck_assert(!r.published && r.n == 2);
    ck_assert_str_eq(verify_verdict(&r.reports[0]), "pass");
    ck_assert_str_eq(r.made[0].text, "f32");
    ck_assert(is_there(r.where, "tiny-Q8_0.gguf") && !is_there(r.where, "tiny-BF16.gguf"));
    release_result_free(&r);
    digest_of(out, "SHA256SUMS", hex[1]);
    ck_assert_str_eq(hex[0], hex[1]);
    const release_opts alone = options(F32, 1);
    r = released(out, &alone);
    ck_assert(r.published && r.n_told == 1);            // Q8_0 is not published: its fixture is made from that file
    ck_assert(is_there(in_scratch("partly.unverified"), "tiny-Q8_0.gguf"));
    ck_assert_msg(strstr(r.told[0], "partly.unverified stays, with ") && strstr(r.told[0], "tiny-Q8_0.gguf"), "%s",
                  r.told[0]);
    release_result_free(&r);
}
END_TEST

// Of what is published now, with the same weights, nothing needs to stay elsewhere.
START_TEST(what_is_published_after_all_is_removed_elsewhere)
{
    const char *out = in_scratch("later");
    char fix[400], aside[400];
    snprintf(fix, sizeof fix, "%s/fixtures/float32.json.gz", source);
    snprintf(aside, sizeof aside, "%s/aside.json.gz", scratch);
    ck_assert_int_eq(rename(fix, aside), 0);
    release_opts o = options(BOTH, 2);
    release_result r = released(out, &o);
    ck_assert(!r.published && is_there(in_scratch("later.unverified"), "tiny-F32.gguf"));
    release_result_free(&r);
    ck_assert_int_eq(rename(aside, fix), 0);
    r = released(out, &o);
    ck_assert(r.published && !dir_exists(in_scratch("later.unverified")) && r.n_told == 1);
    release_result_free(&r);
}
END_TEST

// ---- what the release had ------------------------------------------------------------------------------------------

static void has_text(const char *dir, const char *name, const char *part)
{
    char *path = path_join(dir, name), *text = read_text(path);
    ck_assert_msg(strstr(text, part) != NULL, "%s has no '%s'", name, part);
    free(text);
    free(path);
}

static bool has_line(char *const *v, int n, const char *part)
{
    for (int i = 0; i < n; i++)
        if (strstr(v[i], part)) return true;
    return false;
}

static void drop(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    ck_assert_int_eq(unlink(path), 0);
    free(path);
}

START_TEST(what_the_first_release_said_is_not_lost)
{
    static const char *const SAYS[] = { "base_model: org/tiny", "quantized_by: somebody", "license: mit", "- my-tag" };
    const char *out = in_scratch("carried");
    put(source, "README.md", "---\nlicense: mit\ntags:\n- my-tag\n---\n");
    put(source, "LICENSE", "the terms");
    release_opts o = options(BF16, 1);
    o.base_model = "org/tiny";
    o.quantized_by = "somebody";
    o.no_fixtures = true;
    release_result r = released(out, &o);
    ck_assert(r.published && !is_there(out, "bfloat16.json.gz"));
    release_result_free(&r);
    drop(source, "LICENSE");
    drop(source, "fixtures/bfloat16.json.gz");          // with it here, it would be published now
    o = options(F32, 1);
    r = released(out, &o);
    ck_assert(r.published && r.n == 2);
    for (size_t i = 0; i < sizeof SAYS / sizeof *SAYS; i++) has_text(out, "README.md", SAYS[i]);
    has_text(out, "LICENSE", "the terms");
    ck_assert(has_line(r.notes, r.n_notes, "fixture bfloat16.json.gz, SHA-256 "));
    ck_assert(!has_line(r.notes, r.n_notes, "fixture float32.json.gz, SHA-256 "));
    ck_assert(has_line(r.told, r.n_told, "LICENSE stays"));
    release_result_free(&r);
    holds(out);
    o.base_model = "other/tiny";                        // what is said again is what holds
    r = released(out, &o);
    has_text(out, "README.md", "base_model: other/tiny");
    has_text(out, "README.md", "quantized_by: somebody");
    release_result_free(&r);
    drop(out, "LICENSE");
    refused(out, &o, ERR_VERDICT, "LICENSE: is gone");
    drop(source, "README.md");                          // the metadata of what stays came from it
    refused(out, &o, ERR_VERDICT, "key 'general.license': found 'mit', which its source's card (README.md) said, "
            "expected that card (put the source's own there again) in ");
    put(source, "README.md", "---\nlicense: mit\n---\n");      // there, and says less
    refused(out, &o, ERR_VERDICT, "key 'general.tags': found [");
}
END_TEST

START_TEST(a_file_that_stays_is_looked_for_before_the_work)
{
    const char *out = in_scratch("gone");
    publish(out, BF16, 1);
    char fix[400];
    snprintf(fix, sizeof fix, "%s/fixtures/bfloat16.json.gz", source);
    drop(out, "bfloat16.json.gz");
    const release_opts o = options(F32, 1);
    release_result r = released(out, &o);               // the same one is beside the source
    ck_assert(r.published && is_there(out, "bfloat16.json.gz"));
    release_result_free(&r);
    holds(out);
    drop(out, "bfloat16.json.gz");
    ck_assert_int_eq(unlink(fix), 0);
    refused(out, &o, ERR_VERDICT, "bfloat16.json.gz: is gone");
}
END_TEST

// ---- two at a time -------------------------------------------------------------------------------------------------

static const char *other_out;

// While one release works, another adds to the same place.
static void add_another(progress *p, const char *stage, int64_t total)
{
    (void)total;
    if (!other_out || strcmp(stage, "convert") != 0) return;
    recipe again = { .type = FT_BF16, .name = (char *)"again" };
    release_opts o = options(NULL, 0);
    o.recipes = &again;
    o.n_recipes = 1;
    const char *out = other_out;
    other_out = NULL;
    release_result r = released(out, &o);
    ck_assert(p && r.published && r.n == 2);
    release_result_free(&r);
}

START_TEST(of_two_that_add_at_a_time_none_is_lost)
{
    progress p = { .stage = add_another };
    const char *out = in_scratch("both");
    publish(out, BF16, 1);
    release_opts o = options(F32, 1);
    o.progress = &p;
    other_out = out;
    refused(out, &o, ERR_SYSTEM, "is no longer the release that this one began to add to");
    ck_assert(!other_out && is_there(out, "tiny-again.gguf") && !is_there(out, "tiny-F32.gguf"));
    release_result r = released(out, &o);
    ck_assert(r.published && r.n == 3);
    release_result_free(&r);
    holds(out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release_add");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, files_end);
    tcase_add_test(t, what_the_first_release_said_is_not_lost);
    tcase_add_test(t, a_type_is_added_and_all_records_name_all);
    tcase_add_test(t, fixtures_are_published_or_named);
    tcase_add_test(t, what_cannot_be_added_to_is_said_before_the_work);
    tcase_add_test(t, a_release_of_another_source_is_not_added_to);
    tcase_add_test(t, a_forged_artifact_is_not_kept);
    tcase_add_test(t, files_of_the_users_own_stay);
    tcase_add_test(t, a_release_that_fails_leaves_what_is_published);
    tcase_add_test(t, what_is_published_after_all_is_removed_elsewhere);
    tcase_add_test(t, a_file_that_stays_is_looked_for_before_the_work);
    tcase_add_test(t, of_two_that_add_at_a_time_none_is_lost);
    suite_add_tcase(s, t);
    return run_suite(s);
}
