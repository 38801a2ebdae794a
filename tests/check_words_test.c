// Proves cli/check_words.h: a check's last lines say what was looked at and nothing more, in every combination of what
// was given and what lies there; what is not proved names the command that could.
#define _GNU_SOURCE
#include "cli/check_words.h"
#include "formats/json.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

static char *reports[] = { "report.json", "report.md", "junit.xml", "README.md", ".gitattributes" };

// ---- what is said --------------------------------------------------------------------------------------------------

static void append_list(text_buf *t, const cJSON *doc, const char *key, const char *label, const char *join)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, json_get(doc, key)) {
        const cJSON *by = json_get(x, "by");
        text_printf(t, "%s: %s", label, json_get(x, "what")->valuestring);
        text_printf(t, "%s%s\n", by ? join : "", by ? by->valuestring : "");
    }
}

// The lines as they are printed, from the JSON that says the same; freed by the caller.
static char *lines_of(const check_proof *p, const char *path, bool holds)
{
    char    *json;
    size_t   n;
    err      e = { 0 };
    json_out j;
    text_buf t = { 0 };
    FILE    *f = open_memstream(&json, &n);
    json_begin(&j, f);
    json_open(&j, '{');
    check_words_json(&j, p, path, holds);
    json_close(&j, '}');
    ck_assert(fclose(f) == 0);
    cJSON *doc = json_parse(json, (int64_t)n, "the words", &e);
    ck_assert_msg(doc != NULL, "%s: %s", e.msg, json);
    append_list(&t, doc, "proved", "proved", ", by ");
    append_list(&t, doc, "not_proved", "not proved", ", could be by: ");
    cJSON_Delete(doc);
    free(json);
    return text_take(&t);
}

static void says(const check_proof *p, const char *path, const char *expected)
{
    char *found = lines_of(p, path, true);
    ck_assert_msg(strcmp(found, expected) == 0, "found:\n%s\nexpected:\n%s", found, expected);
    free(found);
}

#define DIGESTS "tensors, metadata and verification record belong together, by their SHA-256 digests\n"
#define REPORTS "proved: report.json, report.md and junit.xml say what the records say, by writing them again\n"
#define ANYBODY "not proved: who made this: the digests agree with each other, and anybody could have computed them"
#define SOURCE  "not proved: the tensors, and the metadata with tokenizer and chat template, are what the source " \
                "gives, could be by: hallmark check "
#define WHOSE   "not proved: whose key that is, could be by: comparing its digest with one that its owner tells: " \
                "openssl pkey -pubin -in PUBLIC.pem | sha256sum\n"
#define NOT_RUN "not proved: it computes what Transformers said, could be by: hallmark check "
#define MAKE    "not proved: that Transformers said what is in the fixtures, could be by: making them again: " \
                "python3 hf_fixture.py HF -o FIX.json.gz\n"
#define UNREAD(what) "not proved: what " what " not looked at, could be by: hallmark check "
#define KEY     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(a_file_alone)
{
    check_file_proof one[] = { { .name = "a.gguf" } };
    check_proof p = { .v = one, .n_artifacts = 1 };
    says(&p, "in here/a.gguf",
         "proved: 1 GGUF file: " DIGESTS
         ANYBODY "; there is no signature, could be by: hallmark release HF -o DIR --sign PRIVATE.pem, by who made it\n"
         SOURCE "'in here/a.gguf' --from HF\n"
         NOT_RUN "'in here/a.gguf' --fixture FIX.json.gz\n");
    p.signature_there = true;
    one[0].calibrated = true;
    says(&p, "a.gguf",
         "proved: 1 GGUF file: " DIGESTS
         ANYBODY ", could be by: hallmark check a.gguf --key PUBLIC.pem\n"
         UNREAD("model.sig says: it is there, and was") "a.gguf --key PUBLIC.pem\n"
         SOURCE "a.gguf --from HF --calibrate TEXT\n"
         NOT_RUN "a.gguf --fixture FIX.json.gz\n");
    strcpy(p.held_key, KEY);
    strcpy(p.curve, "P-384");
    strcpy(p.signed_as, "b.gguf");
    p.n_signed = 4;
    p.from = "/hub/model";
    says(&p, "a.gguf",
         "proved: 1 GGUF file: " DIGESTS
         "proved: this file is 'b.gguf', one of 4 that were signed; only this one was checked, by the signature with "
         "the "
         "key 0123456789abcdef... (P-384)\n"
         "proved: each tensor is what this source gives: /hub/model, by encoding it again\n"
         "proved: the metadata, with tokenizer and chat template, is what convert writes from: /hub/model, by "
         "comparing it "
         "key by key\n"
         WHOSE
         "not proved: the other signed files, could be by: hallmark check DIR --key PUBLIC.pem\n"
         NOT_RUN "a.gguf --fixture FIX.json.gz\n");
}
END_TEST

START_TEST(a_folder_with_and_without_its_key)
{
    check_file_proof two[] = { { .name = "a-BF16.gguf" }, { .name = "a-Q4_K_M.gguf", .lossy = true } };
    char *others[] = { "a.exe", "b\x1b[2J" }, *fixtures[] = { "out/bf16.json.gz", "out/it's.json.gz" };
    check_proof p = { .folder = true, .written = { reports, 3 }, .v = two, .n_artifacts = 2, .n_files = 1,
                      .signature_there = true, .provenance_there = true,
                      .others = { others, 2 }, .published = { fixtures, 2 }, .ignored = { false, true, false, false } };
    says(&p, "out",
         "proved: 2 GGUF files: " DIGESTS REPORTS
         "proved: 1 other file is what the records name, by their SHA-256 digests\n"
         ANYBODY ", could be by: hallmark check out --key PUBLIC.pem\n"
         UNREAD("model.sig and provenance.intoto.json say: they are there, and were") "out --key PUBLIC.pem\n"
         SOURCE "out --from HF\n"
         NOT_RUN "out --fixture out/bf16.json.gz --fixture 'out/it'\\''s.json.gz'\n"
         "not proved: what lies there too, and no record knows: a.exe, b\x1b[2J, could be by: hallmark check out --key "
         "PUBLIC.pem\n"
         "not proved: .gitattributes: such signatures leave this out, could be by: looking at it\n");
    p.signature_there = p.provenance_there = false;
    p.n_files = 3;
    says(&p, "out",
         "proved: 2 GGUF files: " DIGESTS REPORTS
         "proved: 3 other files are what the records name, by their SHA-256 digests\n"
         ANYBODY "; there is no signature, could be by: hallmark release HF -o out --sign PRIVATE.pem, by who made it\n"
         SOURCE "out --from HF\n"
         NOT_RUN "out --fixture out/bf16.json.gz --fixture 'out/it'\\''s.json.gz'\n"
         "not proved: what lies there too, and no record knows: a.exe, b\x1b[2J, could be by: looking at it\n"
         "not proved: .gitattributes: such signatures leave this out, could be by: looking at it\n");
    strcpy(p.held_key, KEY);
    strcpy(p.curve, "P-256");
    p.n_signed = 9;
    p.provenance = true;
    p.n_files = 0;
    says(&p, "out",
         "proved: 2 GGUF files: " DIGESTS REPORTS
         "proved: all 9 files are those that were signed, and there is no other, by the signature with the key "
         "0123456789abcdef... (P-256)\n"
         "proved: provenance.intoto.json tells source, fixtures and results as the reports do, by the same key, and "
         "the "
         "reports\n"
         WHOSE
         "not proved: the command in provenance.intoto.json, which is the word of the key's owner, could be by: "
         "running it: "
         "artifacts that are not listed there as kept are the same bytes each time\n"
         SOURCE "out --from HF\n"
         NOT_RUN "out --fixture out/bf16.json.gz --fixture 'out/it'\\''s.json.gz'\n"
         "not proved: .gitattributes: such signatures leave this out, could be by: looking at it\n");
    p.written.n = 5;
    p.ignored[0] = true;
    char *found = lines_of(&p, "out", true);
    ck_assert(strstr(found, "\nproved: report.json, report.md, junit.xml, README.md and .gitattributes say") != NULL);
    ck_assert(strstr(found, "\nnot proved: what README.md and Modelfile say of the source, and that licenses are its "
                            "own, "
                     "could be by: hallmark check out --from HF\n") != NULL);
    ck_assert(strstr(found, "\nnot proved: .git: such signatures leave this out, could be by: looking at "
                            "it\n") != NULL);
    free(found);
}
END_TEST

// A fixture is for the files that answer to it, and says nothing of the others.
START_TEST(fixtures_prove_something_of_what_they_were_run_on)
{
    check_file_proof two[] = { { .name = "a-BF16.gguf", .n_exact = 1 }, { .name = "a-Q4_K_M.gguf", .lossy = true } };
    check_proof p = { .folder = true, .written = { reports, 3 }, .v = two, .n_artifacts = 2, .n_fixtures = 1,
                      .signature_there = true };
    static const char head[] = "proved: 2 GGUF files: " DIGESTS REPORTS,
                      tail[] = ANYBODY ", could be by: hallmark check out --key PUBLIC.pem\n"
                               UNREAD("model.sig says: it is there, and was") "out --key PUBLIC.pem\n"
                               SOURCE "out --from HF\n";
    char text[4096];
    snprintf(text, sizeof text, "%s%s%s%s", head,
             "proved: gives the tokens that a fixture of its weights says: a-BF16.gguf, by running 1 fixture "
             "again\n", tail,
             "not proved: it computes what Transformers said, where not each of its fixtures was run and decided: "
             "a-Q4_K_M.gguf, could be "
             "by: hallmark check out --fixture FIX.json.gz\n" MAKE);
    says(&p, "out", text);
    two[1].n_drift = 1;
    p.n_fixtures = 2;
    snprintf(text, sizeof text, "%s%s%s%s", head,
             "proved: gives the tokens that a fixture of its weights says: a-BF16.gguf, by running 2 fixtures again\n"
             "proved: drifts from what the source's fixture says by no more than the gate allows: a-Q4_K_M.gguf, by "
             "running "
             "2 fixtures again\n", tail,
             "not proved: it computes what Transformers said, where not each of its fixtures was run and decided: "
             "a-Q4_K_M.gguf, could be "
             "by: hallmark check out --fixture FIX.json.gz\n" MAKE);
    says(&p, "out", text);
    two[1].n_exact = 1;
    p.n_fixtures = 3;
    p.own_gate = true;
    snprintf(text, sizeof text, "%s%s%s%s", head,
             "proved: gives the tokens that a fixture of its weights says: a-BF16.gguf, a-Q4_K_M.gguf, by running 3 "
             "fixtures again, held to the gate that was given\n"
             "proved: drifts from what the source's fixture says by no more than the gate allows: a-Q4_K_M.gguf, by "
             "running "
             "3 fixtures again, held to the gate that was given\n", tail, MAKE);
    says(&p, "out", text);
}
END_TEST

START_TEST(what_only_the_maker_says)
{
    check_file_proof one[] = { { .name = "a.gguf", .lossy = true, .measured = true, .mixed = true, .gate = KEY,
                                 .lacks = "'derivation' in records: of old", .revision = "0123", .title = "Gemma",
                                 .own_type = "blk.0.ffn_up.weight", .n_own_types = 7 } };
    check_proof p = { .v = one, .n_artifacts = 1, .from = "HF", .card_base = "a/b", .card_by = "c" };
    says(&p, "a.gguf",
         "proved: 1 GGUF file: " DIGESTS
         "proved: each tensor is what this source gives: HF, by encoding it again\n"
         "proved: the metadata, with tokenizer and chat template, is what convert writes from: HF, by comparing it "
         "key by "
         "key\n"
         ANYBODY "; there is no signature, could be by: hallmark release HF -o DIR --sign PRIVATE.pem, by who made it\n"
         "not proved: the source's id, 'a/b', as README.md says, could be by: hallmark check --from ID, an id in the "
         "Hub cache\n"
         "not proved: who quantized it, 'c', as README.md says, could be by: what its maker says elsewhere\n"
         "not proved: the source's commit, '0123' as a.gguf says: the source's folder does not tell its own, could be "
         "by: "
         "hallmark check a.gguf --from ID --revision 0123, an id in the Hub cache\n"
         "not proved: the model's name, 'Gemma' as a.gguf says: the source's folder has another, could be by: "
         "hallmark check "
         "a.gguf --from ID, an id in the Hub cache\n"
         "not proved: the types of 7 tensors of a.gguf, which its mix would give others, from 'blk.0.ffn_up.weight' "
         "on, "
         "could be by: comparing them with its maker's recipe\n"
         NOT_RUN "a.gguf --fixture FIX.json.gz\n"
         "not proved: it keeps the built-in limits, where its maker held it to others: a.gguf, could be by: hallmark "
         "check "
         "a.gguf --fixture FIX.json.gz\n"
         "not proved: what caches cost, as the file says: a.gguf, could be by: hallmark lab FILE.gguf --kv SPEC --text "
         "CATEGORY=TEXT, on the same texts\n"
         "not proved: how the mix was found, as the file says: a.gguf, could be by: hallmark quantize --budget, on "
         "the same "
         "texts\n"
         "not proved: what a record of today says; that of a.gguf is older than 'derivation' in records: of old, "
         "could be "
         "by: releasing it again, by who made it\n");
}
END_TEST

START_TEST(keys_that_the_source_does_not_decide_are_named)
{
    check_file_proof one[] = { { .name = "a.gguf", .open_keys = "quantize.imatrix.file", .older_gate = true } };
    check_proof p = { .v = one, .n_artifacts = 1, .from = "HF" };
    char *found = lines_of(&p, "a.gguf", true);
    ck_assert(strstr(found, "is what convert writes from: HF, by comparing it key by key, but those that are named "
                            "below\n") != NULL);
    ck_assert(strstr(found, "\nnot proved: what these keys of a.gguf say, which the source does not decide: "
                            "quantize.imatrix.file, could be by: ") != NULL);
    ck_assert(strstr(found, "\nnot proved: it keeps the built-in limits of today, where its record holds earlier ones: "
                            "a.gguf, could be by: hallmark check --fixture FIX.json.gz\n") != NULL);
    free(found);
}
END_TEST

START_TEST(a_signed_file_without_claims)
{
    check_proof p = { .bare = true, .n_signed = 4, .signature_there = true, .held_key = KEY, .curve = "P-384",
                      .signed_as = "README.md" };
    says(&p, "out/README.md",
         "proved: this file is 'README.md', one of 4 that were signed; only this one was checked, by the signature "
         "with the key 0123456789abcdef... (P-384)\n"
         WHOSE
         "not proved: what is in it: it makes no claims of its own, and that it was signed as 'README.md' is all, "
         "could be by: hallmark check DIR --key PUBLIC.pem, which compares it with the records beside it\n");
}
END_TEST

START_TEST(what_a_signature_leaves_out)
{
    char *left[] = { "model.sig", "notes/a" };
    check_file_proof one[] = { { .name = "a.gguf" } };
    check_proof p = { .folder = true, .v = one, .n_artifacts = 1, .n_signed = 4, .held_key = KEY,
                      .ignored = { true }, .left_out = { left, 2 } };
    char *found = lines_of(&p, "out", true);
    ck_assert(strstr(found, "\nproved: all 4 files are those that were signed, and there is no other but what the "
                            "signature leaves out, by") != NULL);
    ck_assert(strstr(found, "\nnot proved: .git, model.sig, notes/a: such signatures leave this out, could") != NULL);
    free(found);
}
END_TEST

START_TEST(nothing_is_proved_where_one_claim_does_not_hold)
{
    check_file_proof one[] = { { .name = "a.gguf", .n_exact = 1 } };
    check_proof p = { .folder = true, .written = { reports, 3 }, .v = one, .n_artifacts = 1, .n_fixtures = 1,
                      .from = "HF", .provenance = true,
                      .held_key = KEY };
    char *found = lines_of(&p, "out", false);
    ck_assert_str_eq(found, "not proved: anything: one claim does not hold, and nothing here is to be relied on\n");
    free(found);
    p.unusable = true;
    found = lines_of(&p, "out", false);
    ck_assert_str_eq(found, "not proved: anything: something cannot be read, or not be used for this\n");
    free(found);
}
END_TEST

// What can be known of a signature without its key is that it names these files.
START_TEST(a_signature_without_its_key_names_the_files)
{
    check_file_proof one[] = { { .name = "a.gguf" } };
    check_proof p = { .folder = true, .v = one, .n_artifacts = 1, .signature_there = true, .n_named = 9 };
    char *found = lines_of(&p, "out", true);
    const char *both = "\nproved: the 9 files that model.sig names are here, as it says, by their SHA-256 digests\n"
        ANYBODY ", could be by: hallmark check out --key PUBLIC.pem\n"
        "not proved: that the signature in model.sig holds: no key was given, could be by: hallmark check out --key "
        "PUBLIC.pem\n";
    ck_assert_msg(strstr(found, both) != NULL, "%s", found);
    free(found);
    p.provenance_there = true;
    found = lines_of(&p, "out", true);
    ck_assert_msg(strstr(found, "holds: no key was given; what provenance.intoto.json says: it is there, and was not "
                                "looked at, could be by: hallmark check out --key PUBLIC.pem\n") != NULL, "%s", found);
    free(found);
}
END_TEST

START_TEST(a_signature_that_leaves_out_the_releases_own_files)
{
    check_file_proof one[] = { { .name = "a.gguf" } };
    char *unnamed[] = { "a.gguf", "report.json" };
    check_proof p = { .folder = true, .v = one, .n_artifacts = 1, .signature_there = true, .n_named = 9,
                      .unnamed = { unnamed, 2 } };
    char *found = lines_of(&p, "out", true);
    ck_assert_msg(strstr(found, "\nnot proved: that model.sig is this release's: it does not name a.gguf, report.json, "
                                "could be by: hallmark check out --key PUBLIC.pem\n") != NULL, "%s", found);
    free(found);
}
END_TEST

// Digests that are not SHA-256 of whole files are told, with the command of the tool that computes them.
START_TEST(a_signature_whose_digests_are_not_computed_was_not_compared)
{
    check_file_proof one[] = { { .name = "a.gguf" } };
    check_proof p = { .folder = true, .v = one, .n_artifacts = 1, .signature_there = true, .provenance_there = true,
                      .not_ours = "key 'method': 'shards'" };
    char *found = lines_of(&p, "out", true);
    const char *both = ANYBODY ", could be by: model_signing verify key out --signature out/model.sig --public_key "
        "PUBLIC.pem\n"
        "not proved: that model.sig names these files: it has key 'method': 'shards', which is not computed here, "
        "could be by: model_signing verify key out --signature out/model.sig --public_key PUBLIC.pem\n"
        "not proved: what provenance.intoto.json says: it is there, and was not looked at, could be by: a model.sig "
        "over SHA-256 of whole files, and hallmark check out --key PUBLIC.pem\n";
    ck_assert_msg(strstr(found, both) != NULL, "%s", found);
    ck_assert(!strstr(found, "that model.sig names are here") && !strstr(found, "no key was given"));
    free(found);
}
END_TEST

START_TEST(many_names_are_counted)
{
    char *others[] = { "1", "2", "3", "4", "5", "6", "7" };
    check_proof p = { .folder = true, .written = { reports, 3 }, .others = { others, 7 } };
    char *found = lines_of(&p, "out", true);
    ck_assert_msg(strstr(found, "no record knows: 1, 2, 3, 4, 5 and 2 more, could be by: looking at it") != NULL, "%s",
                  found);
    free(found);
}
END_TEST

// ---- every combination ---------------------------------------------------------------------------------------------

enum {
    FOLDER = 1, KEYED = 2, SIGNED = 4, FROM = 8, PUBLISHED = 16, MEASURED = 32, OLD = 64, OWN_GATE = 128, LOSSY = 256,
    RUN_EXACT = 512, RUN_DRIFT = 1024, N_COMBINATIONS = 2048,
};

// `part` stands in the lines if and only if it should.
static void stands(const char *lines, bool should, const char *part, int c)
{
    ck_assert_msg((strstr(lines, part) != NULL) == should, "combination %d: '%s' should %sstand in\n%s", c, part,
                  should ? "" : "not ", lines);
}

static void try_combination(int c)
{
    char *fixture[] = { "out/f.json.gz" };
    check_file_proof one[] = { { .name = "a.gguf", .lossy = c & LOSSY, .measured = c & MEASURED,
                                 .lacks = c & OLD ? "'top_k'" : NULL, .n_exact = (c & RUN_EXACT) != 0,
                                 .n_drift = (c & RUN_DRIFT) != 0, .gate = { c & OWN_GATE ? 'a' : '\0' } } };
    check_proof p = { .folder = c & FOLDER, .written = { reports, c & FOLDER ? 4 : 0 }, .v = one, .n_artifacts = 1,
                      .from = c & FROM ? "HF" : NULL,
                      .signature_there = c & (SIGNED | KEYED), .published = { fixture, (c & PUBLISHED) != 0 },
                      .n_fixtures = ((c & RUN_EXACT) != 0) + ((c & RUN_DRIFT) != 0) };
    if (c & KEYED) strcpy(p.held_key, KEY);
    const bool all_run = c & RUN_EXACT && (!(c & LOSSY) || c & RUN_DRIFT), any_run = p.n_fixtures > 0;
    char *l = lines_of(&p, "out", true);
    stands(l, !(c & KEYED), "\nnot proved: who made this", c);
    stands(l, !(c & (KEYED | SIGNED)), "there is no signature", c);
    stands(l, !(c & KEYED) && c & SIGNED, "\nnot proved: what model.sig says: it is there, and was not looked at", c);
    stands(l, c & KEYED, "\nnot proved: whose key that is", c);
    stands(l, c & KEYED, "by the signature with the key", c);
    stands(l, c & KEYED && !(c & FOLDER), "\nnot proved: the other signed files", c);
    stands(l, c & FOLDER, "\nproved: report.json, report.md, junit.xml and README.md say", c);
    stands(l, c & FOLDER && c & FROM, "\nproved: what README.md and Modelfile say of the source is what it says", c);
    stands(l, c & FOLDER && !(c & FROM), "\nnot proved: what README.md and Modelfile say of the source", c);
    stands(l, c & FROM, "\nproved: each tensor is what this source gives", c);
    stands(l, c & FROM, "\nproved: the metadata, with tokenizer and chat template", c);
    stands(l, !(c & FROM), "\nnot proved: the tensors, and the metadata with tokenizer and chat template", c);
    stands(l, c & RUN_EXACT, "\nproved: gives the tokens that a fixture of its weights says", c);
    stands(l, c & RUN_DRIFT, "\nproved: drifts from what the source's fixture says", c);
    stands(l, !all_run, "\nnot proved: it computes what Transformers said", c);
    stands(l, any_run, "\nnot proved: that Transformers said what is in the fixtures", c);
    stands(l, c & PUBLISHED && (!all_run || (c & OWN_GATE && !any_run)), "--fixture out/f.json.gz", c);
    stands(l, c & OWN_GATE && !all_run, "\nnot proved: it keeps the built-in limits", c);
    stands(l, c & MEASURED, "\nnot proved: what caches cost", c);
    stands(l, c & OLD, "\nnot proved: what a record of today says; that of a.gguf is older than 'top_k'", c);
    ck_assert(strncmp(l, "proved: 1 GGUF file: ", 21) == 0);
    free(l);
}

START_TEST(every_combination_says_what_was_looked_at)
{
    for (int c = 0; c < N_COMBINATIONS; c++) try_combination(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("check_words");
    TCase *t = tcase_create("check_words");
    tcase_add_test(t, a_file_alone);
    tcase_add_test(t, a_folder_with_and_without_its_key);
    tcase_add_test(t, fixtures_prove_something_of_what_they_were_run_on);
    tcase_add_test(t, what_only_the_maker_says);
    tcase_add_test(t, nothing_is_proved_where_one_claim_does_not_hold);
    tcase_add_test(t, keys_that_the_source_does_not_decide_are_named);
    tcase_add_test(t, a_signed_file_without_claims);
    tcase_add_test(t, what_a_signature_leaves_out);
    tcase_add_test(t, a_signature_without_its_key_names_the_files);
    tcase_add_test(t, a_signature_that_leaves_out_the_releases_own_files);
    tcase_add_test(t, a_signature_whose_digests_are_not_computed_was_not_compared);
    tcase_add_test(t, many_names_are_counted);
    tcase_add_test(t, every_combination_says_what_was_looked_at);
    suite_add_tcase(s, t);
    return run_suite(s);
}
