// Proves that a release can be added to (release/release_add.c, release/release_old.h), what is published beside
// artifacts, and that a finished file becomes an artifact (release/release_take.h): on a copy of the committed
// checkpoint, with short fixtures.
#include "forger.h"
#include "keys.h"
#include "texts.h"
#include "verify_files.h"
#include "formats/json.h"
#include "formats/file_map.h"
#include "verify/steps.h"
#include "quant/quantize.h"
#include "release/release.h"
#include "release/release_outline.h"
#include "release/release_recipe.h"

static const file_type BF16[] = { FT_BF16 }, F32[] = { FT_F32 }, BOTH[] = { FT_BF16, FT_F32 };
static char source[256], gate_path[SCRATCH_PATH];

static release_opts options(const file_type *types, int n)
{
    return (release_opts){ .name = "tiny", .types = types, .n_types = n, .tokens = 4, .device = "cpu",
                           .gate_path = gate_path };
}

static release_result released(const char *out, const release_opts *o)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(release_checkpoint(&r, source, out, o, &e), "%s", e.msg);
    return r;
}

static void publish(const char *out, const file_type *types, int n)
{
    const release_opts o = options(types, n);
    release_result r = released(out, &o);
    ck_assert(r.published);
    release_result_free(&r);
}

static void holds(const char *dir)
{
    err e = { 0 };
    const check_opts o = { .device = "cpu" };
    ck_assert_msg(check_artifact(dir, &o, &e), "%s", e.msg);
}

static void refused(const char *out, const release_opts *o, err_kind kind, const char *says)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(!release_checkpoint(&r, source, out, o, &e), "expected: %s", says);
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d: %s", e.kind, e.msg);
}

static void digest_of(const char *dir, const char *name, char hex[SHA256_HEX + 1])
{
    err   e = { 0 };
    char *path = path_join(dir, name);
    ck_assert_msg(sha256_file(path, hex, &e), "%s", e.msg);
    free(path);
}

static void put(const char *dir, const char *name, const char *text)
{
    err e = { 0 };
    ck_assert_msg(outfile_write_text(dir, name, text, &e), "%s", e.msg);
}

static bool is_there(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    const bool yes = access(path, F_OK) == 0;
    free(path);
    return yes;
}

static void setup(void)
{
    static const char *const NAMES[] = { "bfloat16", "float32", "q4_k_m" };
    char path[400];
    files_begin("release-add");
    snprintf(source, sizeof source, "%s", copy_checkpoint("hf"));
    snprintf(path, sizeof path, "%s/fixtures", source);
    ck_assert(mkdir(path, 0777) == 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/fixtures/%s.json.gz", source, NAMES[i]);
        shorten_fixture(fixture_path(NAMES[i]), path, 2);
    }
    scratch_path(gate_path, "gate.json");
    gate_for_cases(gate_path, 2);
}

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
    snprintf(line, sizeof line, "python3 hf_fixture.py SOURCE -o bfloat16.json.gz --dtype bfloat16 --tokens %d --top %d "
             "--limit %d --name %s with Transformers %s", f->tokens, f->top_k, (int)f->n_cases, f->model_name,
             f->transformers);
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
    refused(out, &(release_opts){ .name = "tiny", .types = BF16, .n_types = 1, .device = "cpu", .gate_path = gate_path },
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

// Puts one digest in the place of another, wherever the file has it.
static void paste(const char *path, const char *from, const char *to)
{
    err e = { 0 };
    file_map m = { 0 };
    int pasted = 0;
    ck_assert_msg(file_map_open(&m, path, &e), "%s", e.msg);
    char *all = malloc((size_t)m.size);
    memcpy(all, m.data, (size_t)m.size);
    for (int64_t i = 0; i + SHA256_HEX <= m.size; i++)
        if (memcmp(all + i, from, SHA256_HEX) == 0) { patch(path, i, to, SHA256_HEX); pasted++; }
    ck_assert_int_gt(pasted, 0);
    free(all);
    file_map_close(&m);
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

// ---- signed --------------------------------------------------------------------------------------------------------

static void write_key(const char *path)
{
    EVP_PKEY *k = key_new("P-256");
    ck_assert(k && key_write_private(k, path, NULL));
    chmod(path, 0600);
    EVP_PKEY_free(k);
}

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
    ck_assert_msg(strstr(e.msg, "'free_run_tokens_equal' against fixture 'bfloat16.json.gz' is 7, but running it again gives 8"),
                  "%s", e.msg);
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
    ck_assert_msg(strstr(r.told[0], "partly.unverified stays, with ") && strstr(r.told[0], "tiny-Q8_0.gguf"), "%s", r.told[0]);
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

// ---- recipes -------------------------------------------------------------------------------------------------------

static recipe recipe_of(const char *key, const char *value)
{
    recipe r = { .type = FT_Q4_K_M };
    err e = { 0 };
    ck_assert_msg(recipe_set(&r, key, value, &e), "%s", e.msg);
    return r;
}

START_TEST(two_recipes_of_one_type_need_two_names)
{
    const char *out = in_scratch("two");
    recipe two[2] = { { .type = FT_BF16 }, { .type = FT_BF16 } };
    release_opts o = options(NULL, 0);
    o.recipes = two;
    o.n_recipes = 2;
    refused(out, &o, ERR_USAGE, "bf16 and bf16 would both be tiny-BF16.gguf: give one of them a name, as in bf16:name=BF16-2");
    two[1] = recipe_of("name", "again");
    two[1].type = FT_BF16;
    release_result r = released(out, &o);
    ck_assert(r.published && r.n == 2);
    ck_assert_str_eq(r.reports[1].artifact, "tiny-again.gguf");
    ck_assert_str_eq(r.reports[1].type, "BF16");
    ck_assert_str_eq(r.reports[1].recipe.words, "bf16");
    release_result_free(&r);
    holds(out);
    recipe_free(&two[1]);
}
END_TEST

// A file that somebody else's quantizer made: no claims, another chat template, a key of his own.
static void strip(const char *from, const char *to)
{
    err e = { 0 };
    int64_t header, bytes;
    gguf *g = open_gguf(from);
    gguf_plan *p = gguf_plan_new(32, &e);
    for (int64_t i = 0; i < gguf_n_kv(g); i++)
        if (strncmp(gguf_kv_at(g, i)->key, "hallmark.", 9) != 0) ck_assert(gguf_plan_copy_kv(p, gguf_kv_at(g, i), &e));
    ck_assert(gguf_plan_str(p, "tokenizer.chat_template", "{{ evil }}", &e) && gguf_plan_str(p, "general.evil", "x", &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert(gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, &e));
    }
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(to, bytes, &e);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, i)->off, gguf_tensor_at(g, i)->data, gguf_tensor_at(g, i)->n_bytes, &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    gguf_close(g);
}

static release_result take(const char *out, const char *file)
{
    recipe r = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)file };
    release_opts o = options(NULL, 0);
    o.recipes = &r;
    o.n_recipes = 1;
    return released(out, &o);
}

START_TEST(a_finished_file_is_proved_and_published_with_the_sources_metadata)
{
    const char *base = convert_tiny("base.gguf", FT_BF16), *made = in_scratch("made.gguf"), *bare = in_scratch("bare.gguf");
    const quantize_opts q = { .type = FT_Q4_K_M };
    char hex[2][SHA256_HEX + 1];
    err  e = { 0 };
    ck_assert_msg(quantize_file(base, made, &q, &e), "%s", e.msg);
    strip(made, bare);
    for (int i = 0; i < 2; i++) {
        const char *out = in_scratch(i ? "take-bare" : "take-made");
        release_result r = take(out, i ? bare : made);
        ck_assert_msg(r.published, "%s", verify_verdict(&r.reports[0]));
        ck_assert_str_eq(r.reports[0].artifact, "tiny-Q4_K_M.gguf");
        ck_assert(r.made[0].finished && strstr(r.reports[0].recipe.words, "a finished file"));
        ck_assert_str_eq(r.reports[0].recipe.v[0].kind, "artifact");
        release_result_free(&r);
        holds(out);
        gguf *g = open_gguf(in_scratch(i ? "take-bare/tiny-Q4_K_M.gguf" : "take-made/tiny-Q4_K_M.gguf"));
        gguf_str chat;
        ck_assert(gguf_get_str(g, "tokenizer.chat_template", &chat, &e) && chat.n > 20);
        ck_assert(!gguf_find_kv(g, "general.evil"));
        ck_assert(claims_metadata_digest(g, hex[i], &e));
        gguf_close(g);
    }
    ck_assert_str_eq(hex[0], hex[1]);
}
END_TEST

START_TEST(a_finished_file_of_other_tensors_or_another_source_is_not)
{
    err e = { 0 };
    const char *wrong = convert_tiny("wrong.gguf", FT_BF16);
    flip_bit(wrong, "blk.0.attn_q.weight", 10, 3);
    redigest(wrong);
    release_result r = take(in_scratch("wrong-out"), wrong);
    ck_assert(!r.published && strstr(r.where, ".failed"));
    ck_assert(strstr(r.reports[0].derivation.reason, "blk.0.attn_q.weight"));
    release_result_free(&r);
    const char *other = copy_checkpoint("elsewhere"), *made = in_scratch("elsewhere.gguf");
    put(other, "generation_config.json", "{}");
    const convert_opts co = { .type = FT_BF16 };
    ck_assert_msg(convert_checkpoint(other, made, &co, &e), "%s", e.msg);
    recipe rec = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)made };
    release_opts o = options(NULL, 0);
    o.recipes = &rec;
    o.n_recipes = 1;
    refused(in_scratch("other-out"), &o, ERR_INPUT, "it was made from another source");
}
END_TEST

// ---- before any of it -----------------------------------------------------------------------------------------------

static int files_below(const char *dir)
{
    char command[700];
    int n = -1;
    snprintf(command, sizeof command, "find '%s' '%s' | wc -l", dir, source);
    FILE *f = popen(command, "r");
    ck_assert(f && fscanf(f, "%d", &n) == 1);
    pclose(f);
    return n;
}

static release_outline outlined(const char *out, const release_opts *o)
{
    release_outline to;
    err e = { 0 };
    ck_assert_msg(release_outline_make(&to, source, out, o, &e), "%s", e.msg);
    return to;
}

static const release_outline_file *listed(const release_outline *to, const char *name)
{
    for (int i = 0; i < to->n_files; i++)
        if (strcmp(to->files[i].name, name) == 0) return &to->files[i];
    return NULL;
}

static bool makes(const release_outline *to, const char *name)
{
    for (int i = 0; i < to->n; i++)
        if (strcmp(to->v[i].name, name) == 0) return true;
    return false;
}

// Every file that is there was said, and every one that was said without an if is there.
static void is_as_said(const release_outline *to, const char *dir)
{
    dir_list l;
    err e = { 0 };
    ck_assert_msg(dir_list_read(&l, dir, NULL, false, &e), "%s", e.msg);
    for (int i = 0; i < l.n; i++) ck_assert_msg(makes(to, l.v[i]) || listed(to, l.v[i]), "%s was not said", l.v[i]);
    for (int i = 0; i < to->n_files; i++) {
        const release_outline_file *f = &to->files[i];
        ck_assert_msg(f->perhaps || dir_list_has(&l, f->name), "%s is not there", f->name);
    }
    for (int i = 0; i < to->n; i++) ck_assert_msg(dir_list_has(&l, to->v[i].name), "%s is not there", to->v[i].name);
    dir_list_free(&l);
}

START_TEST(an_outline_says_what_is_made_then_and_writes_nothing)
{
    static const file_type TWO[] = { FT_F32, FT_Q4_K_M };
    const char *out = in_scratch("outline");
    char above[300], before[SHA256_HEX + 1], after[SHA256_HEX + 1];
    release_outline to;
    err e = { 0 };
    publish(out, BF16, 1);
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(out, '/') - out), out);
    const int n = files_below(above);
    digest_of(out, "report.json", before);
    const release_opts o = options(TWO, 2);
    ck_assert_msg(release_outline_make(&to, source, out, &o, &e), "%s", e.msg);
    ck_assert_int_eq(files_below(above), n);
    digest_of(out, "report.json", after);
    ck_assert_str_eq(before, after);
    ck_assert(to.n == 3 && to.v[0].kept && !to.v[1].kept && !to.v[1].lossy && to.v[2].lossy);
    ck_assert(to.v[1].own == 0 && to.v[1].source == 1 && to.v[2].own == 1 && to.v[2].source == 1);
    ck_assert(!to.v[2].own_known && to.fate == OUTLINE_UNKNOWN && to.n_missing == 0 && !to.measures);
    ck_assert(listed(&to, "q4_k_m.json.gz")->perhaps && !listed(&to, "float32.json.gz")->perhaps);
    ck_assert(to.v[1].tokens > 0 && to.v[2].tokens > to.v[1].tokens && to.tokens == to.v[1].tokens + to.v[2].tokens);
    ck_assert(to.seconds > 0 && to.seconds < 600 && to.room > to.bytes && !to.signs);
    release_result r = released(out, &o);
    ck_assert(r.published && r.n == to.n);
    for (int i = 0; i < r.n; i++) {
        ck_assert_str_eq(r.reports[i].artifact, to.v[i].name);
        ck_assert(to.v[i].bytes > 0 && to.v[i].bytes <= r.file_bytes[i]);
    }
    is_as_said(&to, out);
    release_result_free(&r);
    release_outline_free(&to);
    release_opts other = o;
    other.name = "other";
    ck_assert(!release_outline_make(&to, source, out, &other, &e) && e.kind == ERR_USAGE);
    ck_assert_msg(strstr(e.msg, "its files are called tiny-") != NULL, "%s", e.msg);
}
END_TEST

// A fixture that is not there is found missing at once, and what is said then is what the release says.
START_TEST(an_outline_says_what_is_missing)
{
    static const file_type TYPE[] = { FT_Q4_K_M };
    const char *out = in_scratch("lacks");
    const release_opts o = options(TYPE, 1);
    ck_assert_int_eq(unlink(in_scratch("hf/fixtures/q4_k_m.json.gz")), 0);
    release_outline to = outlined(out, &o);
    ck_assert(to.fate == OUTLINE_UNVERIFIED && to.v[0].own == 0 && to.v[0].own_known && to.v[0].source == 1);
    release_result r = released(out, &o);
    ck_assert(!r.published && r.n_missing == 1 && to.n_missing == 1);
    ck_assert_str_eq(to.missing[0], r.missing[0]);
    ck_assert_str_eq(to.where, r.where);
    ck_assert(!listed(&to, "SHA256SUMS") && !listed(&to, "float32.json.gz"));
    is_as_said(&to, r.where);
    release_result_free(&r);
    release_outline_free(&to);
}
END_TEST

// The type's fixture is of the weights that no effort made: the type alone cannot tell.
START_TEST(an_outline_guesses_no_weights)
{
    const char *out = in_scratch("effort"), *text = in_scratch("text.txt");
    recipe r[] = { recipe_of("effort", "1"), { .kind = RECIPE_MIX } };
    err e = { 0 };
    release_opts o = options(NULL, 0);
    o.recipes = r;
    o.n_recipes = 2;
    ck_assert_msg(outfile_write_whole(text, "some words to measure on", 24, &e), "%s", e.msg);
    ck_assert_msg(recipe_set(&r[1], "budget", "6bpw", &e) && recipe_set(&r[1], "text", text, &e), "%s", e.msg);
    release_outline to = outlined(out, &o);
    ck_assert(to.fate == OUTLINE_UNKNOWN && to.n_missing == 0 && to.v[1].searched);
    for (int i = 0; i < 2; i++) ck_assert(to.v[i].own == 1 && !to.v[i].own_known && to.v[i].source == 1);
    release_outline_free(&to);
    o.n_recipes = 1;
    release_result made = released(out, &o);
    ck_assert(!made.published && made.n_missing == 1);
    release_result_free(&made);
    recipe_free(&r[0]);
    recipe_free(&r[1]);
}
END_TEST

// A finished file has its weights: nothing is guessed, of the right ones or of others.
START_TEST(an_outline_knows_the_weights_of_a_finished_file)
{
    const char *base = convert_tiny("base.gguf", FT_BF16);
    for (int i = 0; i < 2; i++) {
        const char *file = in_scratch(i ? "other.gguf" : "right.gguf");
        const quantize_opts q = { .type = FT_Q4_K_M, .effort = { .level = i } };
        recipe rec = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)file };
        release_opts o = options(NULL, 0);
        err e = { 0 };
        o.recipes = &rec;
        o.n_recipes = 1;
        ck_assert_msg(quantize_file(base, file, &q, &e), "%s", e.msg);
        release_outline to = outlined(in_scratch(i ? "other" : "right"), &o);
        ck_assert(to.v[0].own_known && to.v[0].own == !i && to.n_missing == i);
        ck_assert(to.fate == (i ? OUTLINE_UNVERIFIED : OUTLINE_PUBLISHED));
        release_result r = take(in_scratch(i ? "other" : "right"), file);
        ck_assert(r.published == !i && r.n_missing == i);
        is_as_said(&to, r.where);
        release_result_free(&r);
        release_outline_free(&to);
    }
}
END_TEST

static void outline_refused(const char *out, const release_opts *o, err_kind kind, const char *says)
{
    release_outline to;
    err e = { 0 };
    ck_assert(!release_outline_make(&to, source, out, o, &e));
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d: %s", e.kind, e.msg);
}

START_TEST(an_outline_of_what_is_signed_asks_for_its_signature)
{
    const char *out = in_scratch("sealed");
    char mine[SCRATCH_PATH], theirs[SCRATCH_PATH];
    scratch_path(mine, "mine.pem");
    scratch_path(theirs, "theirs.pem");
    write_key(mine);
    write_key(theirs);
    release_opts o = options(BF16, 1);
    o.sign_key = mine;
    for (int i = 0; i < 2; i++) {               // made, then added to
        o.types = i ? F32 : BF16;
        release_outline to = outlined(out, &o);
        ck_assert(to.signs && to.fate == OUTLINE_PUBLISHED && listed(&to, "model.sig"));
        release_result r = released(out, &o);
        is_as_said(&to, out);
        release_result_free(&r);
        release_outline_free(&to);
    }
    o.sign_key = theirs;
    outline_refused(out, &o, ERR_VERDICT, "--replace");
    o.sign_key = mine;
    ck_assert_int_eq(unlink(in_scratch("sealed/model.sig")), 0);
    outline_refused(out, &o, ERR_INPUT, "model.sig");
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
    tcase_add_test(t, a_signed_release_is_signed_again_as_it_was_or_not_at_all);
    tcase_add_test(t, a_check_runs_as_long_as_the_record_says);
    tcase_add_test(t, figures_that_a_run_does_not_give_are_told);
    tcase_add_test(t, a_key_is_not_put_under_what_nobody_signed);
    tcase_add_test(t, steps_of_another_run_are_named_as_such);
    tcase_add_test(t, an_outline_says_what_is_made_then_and_writes_nothing);
    tcase_add_test(t, an_outline_says_what_is_missing);
    tcase_add_test(t, an_outline_guesses_no_weights);
    tcase_add_test(t, an_outline_knows_the_weights_of_a_finished_file);
    tcase_add_test(t, an_outline_of_what_is_signed_asks_for_its_signature);
    tcase_add_test(t, files_of_the_users_own_stay);
    tcase_add_test(t, a_release_that_fails_leaves_what_is_published);
    tcase_add_test(t, what_is_published_after_all_is_removed_elsewhere);
    tcase_add_test(t, a_file_that_stays_is_looked_for_before_the_work);
    tcase_add_test(t, of_two_that_add_at_a_time_none_is_lost);
    tcase_add_test(t, two_recipes_of_one_type_need_two_names);
    tcase_add_test(t, a_finished_file_is_proved_and_published_with_the_sources_metadata);
    tcase_add_test(t, a_finished_file_of_other_tensors_or_another_source_is_not);
    suite_add_tcase(s, t);
    return run_suite(s);
}
