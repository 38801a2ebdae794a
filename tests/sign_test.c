// Proves formats/folder_digest.h and release/provenance.h, release_sign.h, check_signature.h: a folder that was signed
// holds, and each way in which it or its provenance became another is refused by its name.
#include "formats/json.h"
#include "release/check_signature.h"
#include "release/provenance.h"
#include "signed_model.h"
#include <fcntl.h>
#include <unistd.h>

// ---- a folder ------------------------------------------------------------------------------------------------------

// A folder with a report, signed by a as release signs it.
static void make_release(const char *name)
{
    char report[64], lab[64];
    err  e = { 0 };
    make_model(name);
    snprintf(report, sizeof report, "%s/report.json", name);
    snprintf(lab, sizeof lab, "%s/one-lab.json", name);
    write_text(at(lab), "{\"texts\":[{\"name\":\"t.txt\",\"sha256\":\"bead\"}]}");
    write_text(at(report),
               "{\"hallmark_release\":1,\"name\":\"tiny\",\"source_digest\":\"0123\",\"source_revision\":\"4567\","
               "\"source_repository\":\"org/tiny\","
               "\"gate\":\"mine.json\",\"verdict\":\"pass\",\"signed\":true,\"files\":[{\"name\":\"one-lab.json\"}],"
               "\"artifacts\":["
               "{\"artifact\":\"one.txt\",\"hallmark\":{\"version\":\"0.0.1\",\"commit\":\"c0de\"},"
               "\"gate\":\"89ab\",\"verdict\":\"pass\","
               "\"derivation\":{\"tensors\":7,\"verdict\":\"pass\"},"
               "\"fixtures\":[{\"name\":\"f.json.gz\",\"sha256\":\"cdef\",\"check\":\"exact\",\"verdict\":\"pass\"}]},"
               "{\"artifact\":\"sub/two.txt\","
               "\"gate\":\"built-in\",\"judged_by\":{\"name\":\"built-in\",\"sha256\":\"fade\"},\"verdict\":\"pass\","
               "\"derivation\":{\"tensors\":9,\"verdict\":\"pass\"},"
               "\"fixtures\":[{\"name\":\"g.json.gz\",\"sha256\":\"dada\",\"check\":\"exact\",\"verdict\":\"pass\","
               "\"reference\":{\"model\":\"org/tiny\",\"transformers\":\"5.24.0\"}}]}]}");
    signing_key *k = opened("a.pem", KEY_PRIVATE);
    static const char *const command[] = { "hallmark", "release", "HF" }, *const kept[] = { "one.txt" };
    const release_sign_opts o = { .key = k, .subject = name, .n_threads = 1,
                                  .run = { .command = command, .n_command = 3, .kept = kept, .n_kept = 1 } };
    ck_assert_msg(release_sign(at(name), &o, &e), "%s", e.msg);
    signing_key_free(k);
}

static bool check_with(const char *path, const char *key, const char *sig, check_proof *proof, err *e)
{
    check_watch w;
    *e = (err){ 0 };
    *proof = (check_proof){ 0 };
    const check_opts o = { .n_threads = 1, .key_path = key, .sig_path = sig, .proof = proof };
    const bool ok = check_watch_begin(&w, path, &o, e);
    return check_watch_end(&w, ok, e);
}

static void holds(const char *name)
{
    check_proof proof;
    err e;
    ck_assert_msg(check_with(at(name), at("a.pub"), NULL, &proof, &e), "%s", e.msg);
}

static void does_not_hold(const char *name, err_kind kind, const char *said)
{
    check_proof proof;
    err e;
    ck_assert_msg(!check_with(at(name), at("a.pub"), NULL, &proof, &e), "it holds, without '%s'", said);
    refused(&e, kind, said);
    ck_assert_str_eq(proof.held_key, "");
}

START_TEST(a_signed_folder_holds_and_says_what_was_proved)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert_msg(check_with(at("m"), at("a.pub"), NULL, &proof, &e), "%s", e.msg);
    signing_key *k = opened("a.pub", KEY_PUBLIC);
    ck_assert_str_eq(proof.held_key, signing_key_hint(k));
    ck_assert_str_eq(proof.curve, "P-256");
    ck_assert_int_eq(proof.n_signed, 5);
    ck_assert(proof.folder && proof.provenance && proof.signature_there);
    for (int i = 0; i < FOLDER_N_IGNORED; i++)
        ck_assert_int_eq(proof.ignored[i], strcmp(FOLDER_IGNORED[i], ".gitattributes") == 0);
    signing_key_free(k);
    ck_assert(check_with(at("m"), NULL, NULL, &proof, &e));     // without a key its list of files alone is compared
    ck_assert(proof.n_named == 5 && proof.n_signed == 0);
    ck_assert(proof.signature_there && proof.provenance_there && !proof.held_key[0] && !proof.provenance);
    ck_assert(!check_with(at("m"), at("b.pub"), NULL, &proof, &e));
    refused(&e, ERR_VERDICT, "signed with another key");
}
END_TEST

START_TEST(a_signature_elsewhere_is_as_good_and_one_of_another_folder_is_not)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert(rename(at("m/model.sig"), at("kept.sig")) == 0);
    does_not_hold("m", ERR_INPUT, "model.sig");
    ck_assert_msg(check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e), "%s", e.msg);
    ck_assert_int_eq(proof.left_out.n, 0);
    write_text(at("m/model.sig"), "another's");     // the signature leaves that name out, and so it is told
    ck_assert_msg(check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e), "%s", e.msg);
    ck_assert_int_eq(proof.left_out.n, 1);
    ck_assert_str_eq(proof.left_out.v[0], "model.sig");
    check_proof_free(&proof);
    write_text(at("m/model.sig.txt"), "no name that is left out");
    ck_assert(!check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "m/model.sig.txt: is there, and was not signed");
    unlink(at("m/model.sig.txt"));
    mkdir(at("n"), 0700);
    write_text(at("n/other.txt"), "other\n");
    ck_assert(!check_with(at("n"), at("a.pub"), at("kept.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "signature of another folder ('m')");
}
END_TEST

// Who changes a file between two looks cannot hide it: the size stays, and the time of writing is put back.
static void change_unseen(const char *path)
{
    struct stat st;
    const struct timespec tick = { .tv_nsec = 20 * 1000 * 1000 };      // a file system's clock has steps
    nanosleep(&tick, NULL);
    ck_assert(stat(path, &st) == 0);
    const int fd = open(path, O_WRONLY);
    ck_assert(fd >= 0 && pwrite(fd, "X", 1, 0) == 1);
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    ck_assert(futimens(fd, times) == 0);
    close(fd);
}

static bool named(const char *name, check_proof *proof, err *e) { return check_with(at(name), NULL, NULL, proof, e); }

static void not_named_by(err_kind kind, const char *said)
{
    check_proof proof;
    err e;
    ck_assert_msg(!named("m", &proof, &e), "it is named, without '%s'", said);
    refused(&e, kind, said);
    ck_assert_int_eq(proof.n_named, 0);
}

static void not_named(const char *said) { not_named_by(ERR_VERDICT, said); }

// Nobody knows without a key whether a signature holds, but that it was copied from another folder its list tells.
START_TEST(without_a_key_a_signature_of_other_files_is_none_of_these)
{
    check_proof proof;
    err e;
    make_release("m");
    char *own = read_text(at("m/model.sig"));
    ck_assert_msg(named("m", &proof, &e), "%s", e.msg);
    ck_assert(proof.n_named == 5 && !proof.held_key[0] && proof.n_signed == 0);
    write_text(at("m/new.txt"), "not named, and no other folder's sign\n");
    ck_assert_msg(named("m", &proof, &e), "%s", e.msg);
    write_text(at("m/sub/two.txt"), "twO\n");
    not_named("m/sub/two.txt: is not the file that ");
    not_named("27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a");
    write_text(at("m/sub/two.txt"), "two\n");
    write_text(at("m/model.sig"), "{");
    not_named_by(ERR_INPUT, "m/model.sig: ");
    make_model("n");
    write_text(at("n/alone.txt"), "alone\n");
    char *statement = statement_of("n"), *other = signed_text(statement);
    write_text(at("m/model.sig"), other);
    not_named("m/alone.txt: ");
    not_named("/m/model.sig names it, and it is not there");
    unlink(at("m/model.sig"));
    ck_assert_msg(named("m", &proof, &e), "%s", e.msg);     // no signature names nothing
    ck_assert_int_eq(proof.n_named, 0);
    char *certified = replaced(own, "\"publicKey\":{", "\"certificate\":{\"rawBytes\":\"\"},\"none\":{");
    write_text(at("m/model.sig"), certified);               // whose it is only a key asks for
    ck_assert_msg(named("m", &proof, &e) && proof.n_named == 5, "%s", e.msg);
    does_not_hold("m", ERR_INPUT, "found a certificate, expected a public key");
    free(certified);
    free(other);
    free(statement);
    free(own);
}
END_TEST

// Digests of another kind are no reason to refuse a folder: they are not compared, and that is told.
START_TEST(without_a_key_digests_that_are_not_computed_are_not_compared)
{
    static const struct { const char *from, *to, *said; } rows[] = {
        { "\"method\":\t\"files\"", "\"method\":\t\"shards\"", "key 'method': 'shards'" },
        { "\"hash_type\":\t\"sha256\"", "\"hash_type\":\t\"blake2b\"", "key 'hash_type': 'blake2b'" },
        { "\"algorithm\":\t\"sha256\"", "\"algorithm\":\t\"blake2b\"", "key 'algorithm': 'blake2b'" },
    };
    make_release("m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_proof proof;
        err e;
        char *statement = statement_of("m"), *other = replaced(statement, rows[i].from, rows[i].to);
        char *over = signed_text(other);
        write_text(at("m/model.sig"), over);
        ck_assert_msg(named("m", &proof, &e), "%s", e.msg);
        ck_assert_int_eq(proof.n_named, 0);
        ck_assert_str_eq(proof.not_ours, rows[i].said);
        does_not_hold("m", ERR_INPUT, ", expected '");
        free(over);
        free(other);
        free(statement);
    }
}
END_TEST

// The folder's list of files, with another name in place of sub/two.txt's.
static void sign_name(const char *statement, const char *name)
{
    char quoted[400];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    char *other = replaced(statement, "\"sub/two.txt\"", quoted), *over = signed_text(other);
    write_text(at("m/model.sig"), over);
    free(over);
    free(other);
}

// Where something is, it is no missing file; and what a link leads to could be named, and read, without end.
START_TEST(without_a_key_what_is_named_is_a_file_of_the_folder_itself)
{
    static const struct { const char *name, *said; } rows[] = {
        { "self/sub/two.txt", "m/self: found a link, expected a folder" },
        { "self/self/sub/two.txt", "m/self: found a link, expected a folder" },
        { "sub/link.txt", "m/sub/link.txt: found a link, expected a regular file" },
        { "dangling", "m/dangling: found a link, expected a regular file" },
        { "pipe", "m/pipe: found a pipe, expected a regular file" },
        { "sub", "m/sub: found a folder, expected a regular file" },
        { "one.txt/two.txt", "m/one.txt: found a regular file, expected a folder" },
        { "sub/none/two.txt", "m/model.sig names it, and it is not there" },
    };
    char longest[301] = "";
    make_release("m");
    char *statement = statement_of("m");
    ck_assert(symlink(".", at("m/self")) == 0 && symlink("two.txt", at("m/sub/link.txt")) == 0);
    ck_assert(symlink("nowhere", at("m/dangling")) == 0 && mkfifo(at("m/pipe"), 0600) == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sign_name(statement, rows[i].name);
        not_named(rows[i].said);
    }
    char deep[64] = "m/sub";
    for (int i = 0; i < 17; i++) ck_assert(strlen(strcat(deep, "/d")) < 60 && mkdir(at(deep), 0700) == 0);
    sign_name(statement, strcat(deep, "/f") + 2);
    not_named("folders deeper than 16");
    memset(longest, 'x', sizeof longest - 1);           // longer than a name can be
    sign_name(statement, longest);
    not_named("it, and it is not there");
    free(statement);
}
END_TEST

// In a Hub cache each file is a link: what the signature names is not looked at, and the folder is no worse for it.
START_TEST(without_a_key_a_signature_of_links_is_not_looked_at)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert(rename(at("m/model.sig"), at("store.sig")) == 0 && symlink("../store.sig", at("m/model.sig")) == 0);
    ck_assert_msg(named("m", &proof, &e), "%s", e.msg);
    ck_assert(proof.n_named == 0 && proof.signature_there);
}
END_TEST

START_TEST(without_a_key_a_signature_that_is_no_file_is_said_to_be_there)
{
    make_release("m");
    unlink(at("m/model.sig"));
    ck_assert(mkfifo(at("m/model.sig"), 0600) == 0);
    not_named_by(ERR_INPUT, "m/model.sig: found a pipe, expected a regular file");
    unlink(at("m/model.sig"));
    ck_assert(symlink("nowhere", at("m/model.sig")) == 0);
    not_named_by(ERR_INPUT, "m/model.sig: found a link, expected a regular file");
    unlink(at("m/model.sig"));
    ck_assert(mkdir(at("m/model.sig"), 0700) == 0);
    not_named_by(ERR_INPUT, "m/model.sig: found a folder, expected a regular file");
}
END_TEST

// What was read, and a file to change once it was.
typedef struct { progress face; int64_t bytes; const char *change; } reading;

static void note_bytes(progress *p, const char *item, int64_t n)
{
    reading *r = (reading *)p;
    r->bytes += n;
    if (r->change && strcmp(item, "sub/two.txt") == 0) change_unseen(at(r->change));
}

static bool named_and_read(reading *r, err *e)
{
    check_watch w;
    *e = (err){ 0 };
    r->face.add = note_bytes;
    const check_opts o = { .n_threads = 1, .progress = &r->face };
    const bool ok = check_watch_begin(&w, at("m"), &o, e);
    return check_watch_end(&w, ok, e);
}

START_TEST(without_a_key_a_file_of_several_names_is_read_once)
{
    reading one = { .bytes = 0 }, three = { .bytes = 0 };
    err e;
    make_release("m");
    ck_assert_msg(named_and_read(&one, &e), "%s", e.msg);
    ck_assert_int_gt(one.bytes, 8);
    ck_assert(link(at("m/sub/two.txt"), at("m/a.txt")) == 0 && link(at("m/sub/two.txt"), at("m/sub/z.txt")) == 0);
    char *statement = statement_of("m"), *over = signed_text(statement);
    write_text(at("m/model.sig"), over);
    ck_assert_msg(named_and_read(&three, &e), "%s", e.msg);
    ck_assert_int_eq(three.bytes, one.bytes);
    holds("m");
    free(over);
    free(statement);
}
END_TEST

START_TEST(without_a_key_what_changes_behind_the_digest_is_noticed)
{
    reading r = { .change = "m/sub/two.txt" };
    err e;
    make_release("m");
    ck_assert(!named_and_read(&r, &e));
    refused(&e, ERR_VERDICT, "m/sub/two.txt: the folder changed while it was read: this is another file now");
}
END_TEST

// The same key has signed another thing: what that says is no list of files.
START_TEST(a_signed_statement_of_another_kind_is_no_signature)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert(!check_with(at("m"), at("a.pub"), at("m/provenance.intoto.json"), &proof, &e));
    refused(&e, ERR_INPUT, "key 'predicateType'");
    write_text(at("large.sig"), "{");
    ck_assert(truncate(at("large.sig"), BUNDLE_MOST_BYTES + 1) == 0);
    ck_assert(!check_with(at("m"), at("a.pub"), at("large.sig"), &proof, &e));
    refused(&e, ERR_INPUT, "large.sig");
    mkfifo(at("pipe.sig"), 0600);
    ck_assert(!check_with(at("m"), at("a.pub"), at("pipe.sig"), &proof, &e));
    refused(&e, ERR_INPUT, "pipe.sig");
    ck_assert(!check_with(at("m"), at("a.pub"), at("m"), &proof, &e));
    refused(&e, ERR_INPUT, "m:");
}
END_TEST

START_TEST(a_changed_file_is_named)
{
    make_release("m");
    write_text(at("m/one.txt"), "onE\n");
    does_not_hold("m", ERR_VERDICT, "m/one.txt: is not the file that was signed");
    write_text(at("m/one.txt"), "one\n");
    holds("m");
    write_text(at("m/sub/two.txt"), "");
    does_not_hold("m", ERR_VERDICT, "m/sub/two.txt: is not the file that was signed");
}
END_TEST

START_TEST(an_added_a_missing_and_a_renamed_file_are_named)
{
    make_release("m");
    write_text(at("m/sub/new.txt"), "new\n");
    does_not_hold("m", ERR_VERDICT, "m/sub/new.txt: is there, and was not signed");
    unlink(at("m/sub/new.txt"));
    ck_assert(rename(at("m/one.txt"), at("m/won.txt")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/won.txt: was signed under another name, 'one.txt'");
    unlink(at("m/won.txt"));
    does_not_hold("m", ERR_VERDICT, "m/one.txt: was signed, and is not there");
    write_text(at("m/one.txt"), "one\n");
    write_text(at("m/copy.txt"), "one\n");         // the bytes of another are no excuse
    does_not_hold("m", ERR_VERDICT, "m/copy.txt: is there, and was not signed");
    unlink(at("m/copy.txt"));
    ck_assert(mkdir(at("m/.cache"), 0700) == 0 && mkdir(at("m/.cache/huggingface"), 0700) == 0);
    write_text(at("m/.cache/huggingface/.gitignore"), "*\n");
    does_not_hold("m", ERR_VERDICT, "and was not signed: a download left it; remove ");
    unlink(at("m/.cache/huggingface/.gitignore"));
    mkdir(at("m/.git"), 0700);
    write_text(at("m/.git/config"), "x\n");
    write_text(at("m/.gitattributes"), "another\n");
    holds("m");
}
END_TEST

START_TEST(what_is_no_regular_file_is_named)
{
    make_release("m");
    ck_assert(rename(at("m/one.txt"), at("one.txt")) == 0 && symlink("../one.txt", at("m/one.txt")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/one.txt: found a link");
    unlink(at("m/one.txt"));
    mkfifo(at("m/one.txt"), 0600);
    does_not_hold("m", ERR_VERDICT, "m/one.txt: found a pipe");
    unlink(at("m/one.txt"));
    ck_assert(rename(at("one.txt"), at("m/one.txt")) == 0);
    ck_assert(rename(at("m/sub"), at("sub")) == 0 && symlink("../sub", at("m/sub")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/sub: found a link");
    unlink(at("m/sub"));
    ck_assert(rename(at("sub"), at("m/sub")) == 0);
    holds("m");
    write_text(at("m/\xff.txt"), "x");
    does_not_hold("m", ERR_VERDICT, "the name is no UTF-8");
}
END_TEST

START_TEST(one_file_is_looked_up_by_its_digest)
{
    check_proof proof;
    err e;
    make_release("m");
    write_text(at("alone.txt"), "two\n");
    ck_assert_msg(check_with(at("alone.txt"), at("a.pub"), at("m/model.sig"), &proof, &e), "%s", e.msg);
    ck_assert_str_eq(proof.signed_as, "sub/two.txt");
    ck_assert(!proof.folder && !proof.provenance);
    ck_assert_int_eq(proof.n_signed, 5);
    ck_assert_msg(check_with(at("m/one.txt"), at("a.pub"), NULL, &proof, &e), "%s", e.msg);      // beside it
    write_text(at("alone.txt"), "twO\n");
    ck_assert(!check_with(at("alone.txt"), at("a.pub"), at("m/model.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "is none of the 5 files");
}
END_TEST

START_TEST(one_file_under_the_name_of_another_is_named)
{
    check_proof proof;
    err e;
    make_release("m");
    write_text(at("m/sub/one.txt"), "two\n");
    ck_assert(!check_with(at("m/sub/one.txt"), at("a.pub"), at("m/model.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "this is the signed file 'sub/two.txt' under the name of another signed file: that of "
                             "'one.txt' has");
    ck_assert(!check_with(at("m/absent.txt"), at("a.pub"), NULL, &proof, &e));
    refused(&e, ERR_INPUT, "m/absent.txt");
}
END_TEST

START_TEST(a_folder_that_changes_while_it_is_checked_is_noticed)
{
    for (int key = 0; key < 2; key++)
        for (int how = 0; how < 4; how++) {
            char name[16];
            snprintf(name, sizeof name, "m%d%d", key, how);
            make_release(name);
            char one[64], two[64];
            snprintf(one, sizeof one, "%s/one.txt", name);
            snprintf(two, sizeof two, "%s/two.txt", name);
            check_watch w;
            check_proof proof = { 0 };
            err e = { 0 };
            const check_opts o = { .n_threads = 1, .key_path = key ? at("a.pub") : NULL, .proof = &proof };
            ck_assert_msg(check_watch_begin(&w, at(name), &o, &e), "%s", e.msg);
            if (how == 0) change_unseen(at(one));
            if (how == 1) write_text(at(two), "new\n");
            if (how == 2) unlink(at(one));
            if (how == 3) {                     // the same bytes, another file
                write_text(at("x"), "one\n");
                ck_assert(rename(at("x"), at(one)) == 0);
            }
            ck_assert(!check_watch_end(&w, true, &e));
            refused(&e, ERR_VERDICT, "changed while it was read");
        }
    check_watch w;
    err e = { 0 };
    write_text(at("file"), "one\n");
    const check_opts o = { .n_threads = 1 };
    ck_assert(check_watch_begin(&w, at("file"), &o, &e));
    change_unseen(at("file"));
    ck_assert(!check_watch_end(&w, true, &e));
    refused(&e, ERR_VERDICT, "changed while it was read");
}
END_TEST

// ---- provenance ----------------------------------------------------------------------------------------------------

// Signs the folder again with provenance changed: what only a's owner can do.
static void sign_with_provenance(const char *name, const char *from, const char *to)
{
    char prov[64], sig[64];
    err  e = { 0 };
    dsse d;
    snprintf(prov, sizeof prov, "%s/%s", name, PROVENANCE_NAME);
    snprintf(sig, sizeof sig, "%s/%s", name, SIGNATURE_NAME);
    char *text = read_text(at(prov));
    ck_assert(dsse_read(&d, text, (int64_t)strlen(text), prov, &e));
    char *forged = replaced(d.payload, from, to), *bundle = signed_text(forged);
    write_text(at(prov), bundle);
    char *statement = statement_of(name), *over = signed_text(statement);
    write_text(at(sig), over);
    free(over);
    free(statement);
    free(bundle);
    free(forged);
    free(text);
    dsse_free(&d);
}

START_TEST(provenance_says_source_command_fixtures_and_results)
{
    static const char *const parts[] = {
        "\"https://slsa.dev/provenance/v1\"", "\"one.txt\"",
        "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
        "\"hallmarkSource2\":\t\"0123\"", "\"gitCommit\":\t\"4567\"",
        "\"command\":\t[\"hallmark\", \"release\", \"HF\"]", "\"cdef\"", "\"bead\"", "\"role\":\t\"text\"",
        "\"repository\":\t\"org/tiny\"", "\"fade\"", "\"transformers\":\t\"5.24.0\"",
        "kept from the release before", "\"hallmark\":\t\"0.0.1\"", "\"c0de\"",
        "\"89ab\"", "\"tensors\":\t7", "\"check\":\t\"exact\"", "\"hallmark\":\t\"",
    };
    dsse d;
    err  e = { 0 };
    make_release("m");
    char *text = read_text(at("m/provenance.intoto.json"));
    ck_assert(dsse_read(&d, text, (int64_t)strlen(text), "p", &e));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(d.payload, parts[i]) != NULL, "%s is not in %s", parts[i], d.payload);
    dsse_free(&d);
    free(text);
}
END_TEST

START_TEST(provenance_that_contradicts_the_reports_is_refused)
{
    static const struct { const char *from, *to; err_kind kind; const char *said; } rows[] = {
        { "provenance/v1", "provenance/v2", ERR_INPUT, "key 'predicateType'" },
        { "Statement/v1", "Statement/v0", ERR_INPUT, "key '_type'" },
        { "2c8b08da", "00000000", ERR_VERDICT, "subject" },
        { "\"0123\"", "\"3210\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"4567\"", "\"7654\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"cdef\"", "\"fedc\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"bead\"", "\"deaf\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"fade\"", "\"fada\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"5.24.0\"", "\"5.25.0\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"org/tiny\"", "\"grand/tiny\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"tensors\":\t7", "\"tensors\":\t8", ERR_VERDICT, "hallmark_checks" },
        { "\"0.0.1\"", "\"0.0.2\"", ERR_VERDICT, "kept" },
        { "kept from the release before", "made by this one, too, or not", ERR_VERDICT, "kept" },
        { "\"name\":\t\"one.txt\",\n\t\t\t\t\t\t\"made\"", "\"name\":\t\"two.txt\",\n\t\t\t\t\t\t\"made\"", ERR_VERDICT,
          "kept" },
        { "\"hallmark_checks\"", "\"other\"", ERR_VERDICT, "hallmark_checks" },
    };
    make_release("m");
    char *prov = read_text(at("m/provenance.intoto.json"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text(at("m/provenance.intoto.json"), prov);
        sign_with_provenance("m", rows[i].from, rows[i].to);
        does_not_hold("m", rows[i].kind, rows[i].said);
    }
    write_text(at("m/provenance.intoto.json"), prov);
    sign_with_provenance("m", "\"HF\"", "\"XX\"");          // the command is the maker's word alone
    holds("m");
    write_text(at("m/provenance.intoto.json"), prov);
    write_text(at("m/report.json"), "{}");                         // and so is a folder whose report is none
    sign_with_provenance("m", "\"HF\"", "\"HF\"");
    does_not_hold("m", ERR_VERDICT, "subject");
    free(prov);
}
END_TEST

START_TEST(provenance_by_another_key_is_refused)
{
    err e = { 0 };
    make_release("m");
    signing_key *b = opened("b.pem", KEY_PRIVATE);
    char *prov = read_text(at("m/provenance.intoto.json"));
    dsse  d;
    ck_assert(dsse_read(&d, prov, (int64_t)strlen(prov), "p", &e));
    char *other = dsse_sign(b, d.payload, d.n_payload, &e);
    write_text(at("m/provenance.intoto.json"), other);
    char *statement = statement_of("m"), *over = signed_text(statement);
    write_text(at("m/model.sig"), over);
    does_not_hold("m", ERR_VERDICT, "provenance.intoto.json: signed with another key");
    free(over);
    free(statement);
    free(other);
    free(prov);
    dsse_free(&d);
    signing_key_free(b);
}
END_TEST

START_TEST(a_report_that_says_signed_needs_its_signature)
{
    err e = { 0 };
    make_release("m");
    char  *text = read_text(at("m/report.json"));
    cJSON *report = json_parse(text, (int64_t)strlen(text), "report.json", &e);
    ck_assert_msg(check_signed_files_there(at("m"), report, &e), "%s", e.msg);
    unlink(at("m/provenance.intoto.json"));
    ck_assert(!check_signed_files_there(at("m"), report, &e));
    refused(&e, ERR_VERDICT, "provenance.intoto.json: is not there; the report says that the folder is signed");
    cJSON_Delete(report);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sign");
    TCase *t = tcase_create("sign");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_signed_folder_holds_and_says_what_was_proved);
    tcase_add_test(t, without_a_key_a_signature_of_other_files_is_none_of_these);
    tcase_add_test(t, without_a_key_digests_that_are_not_computed_are_not_compared);
    tcase_add_test(t, without_a_key_what_is_named_is_a_file_of_the_folder_itself);
    tcase_add_test(t, without_a_key_a_signature_of_links_is_not_looked_at);
    tcase_add_test(t, without_a_key_a_signature_that_is_no_file_is_said_to_be_there);
    tcase_add_test(t, without_a_key_a_file_of_several_names_is_read_once);
    tcase_add_test(t, without_a_key_what_changes_behind_the_digest_is_noticed);
    tcase_add_test(t, a_signature_elsewhere_is_as_good_and_one_of_another_folder_is_not);
    tcase_add_test(t, a_signed_statement_of_another_kind_is_no_signature);
    tcase_add_test(t, a_changed_file_is_named);
    tcase_add_test(t, an_added_a_missing_and_a_renamed_file_are_named);
    tcase_add_test(t, what_is_no_regular_file_is_named);
    tcase_add_test(t, one_file_is_looked_up_by_its_digest);
    tcase_add_test(t, one_file_under_the_name_of_another_is_named);
    tcase_add_test(t, a_folder_that_changes_while_it_is_checked_is_noticed);
    tcase_add_test(t, provenance_says_source_command_fixtures_and_results);
    tcase_add_test(t, provenance_that_contradicts_the_reports_is_refused);
    tcase_add_test(t, provenance_by_another_key_is_refused);
    tcase_add_test(t, a_report_that_says_signed_needs_its_signature);
    suite_add_tcase(s, t);
    return run_suite(s);
}
