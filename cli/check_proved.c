// What a check proves, line by line.
#include "check_lines.h"
#include <string.h>

static bool gives_tokens(const check_file_proof *x) { return x->n_exact > 0; }
static bool drifts_little(const check_file_proof *x) { return x->n_drift > 0; }
static bool has_open_keys(const check_file_proof *x) { return x->open_keys[0] != '\0'; }

static void add_signed(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->folder) {
        text_printf(&w, "all %d files are those that were signed, and there is no other", p->n_signed);
        if (p->left_out.n > 0) text_words(&w, " but what the signature leaves out");
    } else {
        text_words(&w, "this file is '");
        check_put(&w, p->signed_as);
        text_printf(&w, "', one of %d that were signed; only this one was checked", p->n_signed);
    }
    text_printf(&b, "the signature with the key %.16s... (%s)", p->held_key, p->curve);
    check_add(l, true, &w, &b);
}

static void add_named(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    text_printf(&w, "the %d file%s that model.sig names %s here, as it says", p->n_named, p->n_named == 1 ? "" : "s",
                p->n_named == 1 ? "is" : "are");
    text_words(&b, "their SHA-256 digests");
    check_add(l, true, &w, &b);
}

static void add_digests(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->bare) return;
    text_printf(&w, "%d GGUF file", p->n_artifacts);
    check_put_s(&w, p->n_artifacts);
    text_words(&w, ": tensors, metadata and verification record belong together");
    text_words(&b, "their SHA-256 digests");
    check_add(l, true, &w, &b);
}

static void add_written(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->written.n == 0) return;
    for (int i = 0; i < p->written.n; i++) {
        text_words(&w, i == 0 ? "" : i + 1 < p->written.n ? ", " : " and ");
        check_put(&w, p->written.v[i]);
    }
    text_words(&w, p->written.n == 1 ? " says what the records say" : " say what the records say");
    text_words(&b, "writing them again");
    check_add(l, true, &w, &b);
}

static void add_files(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->n_files == 0) return;
    text_printf(&w, "%d other file%s what the records name", p->n_files, p->n_files == 1 ? " is" : "s are");
    text_words(&b, "their SHA-256 digests");
    check_add(l, true, &w, &b);
}

static void add_derived(check_lines *l, const check_proof *p)
{
    static const char *const WHAT[] = {
        "each tensor is what this source gives: ",
        "the metadata, with tokenizer and chat template, is what convert writes from: ",
    };
    const char *const BY[] = { "encoding it again", check_count(p, has_open_keys) == 0 ? "comparing it key by key"
                               : "comparing it key by key, but those that are named below" };
    for (int i = 0; i < 2; i++) {
        text_buf w = { 0 }, b = { 0 };
        text_words(&w, WHAT[i]);
        check_put(&w, p->from);
        text_words(&b, BY[i]);
        check_add(l, true, &w, &b);
    }
}

static void put_runs(text_buf *t, const check_proof *p)
{
    text_printf(t, "running %d fixture", p->n_fixtures);
    check_put_s(t, p->n_fixtures);
    text_words(t, " again");
    if (p->own_gate) text_words(t, ", held to the gate that was given");
}

static void add_run(check_lines *l, const check_proof *p, check_is is, const char *verb)
{
    text_buf w = { 0 }, b = { 0 };
    if (check_count(p, is) == 0) return;
    text_words(&w, verb);
    check_put_those(&w, p, is);
    put_runs(&b, p);
    check_add(l, true, &w, &b);
}

void check_add_proved(check_lines *l, const check_proof *p)
{
    add_digests(l, p);
    add_written(l, p);
    add_files(l, p);
    if (p->held_key[0]) add_signed(l, p);
    else if (p->n_named > 0) add_named(l, p);
    if (p->provenance)
        check_add_words(l, true, "provenance.intoto.json tells source, fixtures and results as the reports do",
                        "the same key, and the reports");
    if (p->from) add_derived(l, p);
    if (p->from && check_is_written(p, CHECK_CARD))
        check_add_words(l, true,
                        "what README.md and Modelfile say of the source is what it says, and licenses are its own",
                        "comparing them with it");
    add_run(l, p, gives_tokens, "gives the tokens that a fixture of its weights says: ");
    add_run(l, p, drifts_little, "drifts from what the source's fixture says by no more than the gate allows: ");
}
