#include "check_words.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 12, MOST_BYTES = 5200 };

typedef struct { bool proved; char what[400], by[MOST_BYTES]; } line;
typedef struct { line v[MOST_LINES]; int n; } lines;

static line *add(lines *l, bool proved, const char *what)
{
    line *x = &l->v[l->n++];
    x->proved = proved;
    snprintf(x->what, sizeof x->what, "%s", what);
    x->by[0] = '\0';
    return x;
}

static void proved(lines *l, const char *what, const char *by)
{
    line *x = add(l, true, what);
    snprintf(x->by, sizeof x->by, "%s", by);
}

// before, the path as a word for a shell (NULL: none), after.
static void not_proved(lines *l, const char *what, const char *before, const char *path, const char *after)
{
    line    *x = add(l, false, what);
    text_buf t = { 0 };
    if (path) text_puts(&t, TEXT_SHELL, path);
    char *word = text_take(&t);
    snprintf(x->by, sizeof x->by, "%s%s%s", before, word ? word : "", after);
    free(word);
}

static void add_signed(lines *l, const check_proof *p)
{
    char what[400], by[400];
    if (p->folder)
        snprintf(what, sizeof what, "all %d files are those that were signed, and there is no other", p->n_signed);
    else
        snprintf(what, sizeof what, "this file is '%.200s', one of %d that were signed; only this one was checked",
                 p->signed_as, p->n_signed);
    snprintf(by, sizeof by, "the signature with the key %.16s... (%s)", p->held_key, p->curve);
    proved(l, what, by);
}

static void add_proved(lines *l, const check_proof *p)
{
    char what[400], by[400];
    snprintf(what, sizeof what, "%d GGUF file%s: tensors, metadata and verification record belong together",
             p->n_artifacts, p->n_artifacts == 1 ? "" : "s");
    proved(l, what, "their SHA-256 digests");
    if (p->folder) proved(l, "report.json and report.md say what the records say", "writing them again");
    if (p->held_key[0]) add_signed(l, p);
    if (p->provenance)
        proved(l, "provenance.intoto.json tells source, fixtures and results as the reports do",
               "the same key, and the reports");
    if (p->n_fixtures == 0 || p->undecided[0]) return;
    snprintf(by, sizeof by, "running %d fixture%s again", p->n_fixtures, p->n_fixtures == 1 ? "" : "s");
    proved(l, "it computes what Transformers said", by);
}

// Who made it: without a key, nobody knows; with one, whose key it is must be known from elsewhere.
static void add_maker(lines *l, const check_proof *p, const char *path)
{
    static const char who[] = "who made this: the digests agree with each other, and anybody could have computed them";
    char unsigned_too[sizeof who + 32];
    snprintf(unsigned_too, sizeof unsigned_too, "%s; there is no signature", who);
    if (p->held_key[0])
        not_proved(l, "whose key that is",
                   "comparing its digest with one that its owner tells: openssl pkey -pubin -in PUBLIC.pem | sha256sum",
                   NULL, "");
    else if (p->signature_there)
        not_proved(l, who, "hallmark check ", path, " --key PUBLIC.pem");
    else
        not_proved(l, unsigned_too, "hallmark release HF -o ", p->folder ? path : "DIR",
                   " --sign PRIVATE.pem, by who made it");
}

static void add_ignored(lines *l, const check_proof *p)
{
    char what[200] = "";
    for (int i = 0; i < FOLDER_N_IGNORED; i++)
        if (p->ignored[i])
            snprintf(what + strlen(what), sizeof what - strlen(what), "%s%s", what[0] ? ", " : "", FOLDER_IGNORED[i]);
    if (what[0]) not_proved(l, strcat(what, ": such signatures leave this out"), "looking at it", NULL, "");
}

static void add_not_proved(lines *l, const check_proof *p, const char *path)
{
    const char *file = p->folder ? "FILE.gguf" : path;
    add_maker(l, p, path);
    if (p->held_key[0] && !p->folder)
        not_proved(l, "the other signed files", "hallmark check DIR --key PUBLIC.pem", NULL, "");
    not_proved(l, "the tensors are what the source gives", "hallmark derive ", file, " --from HF");
    if (p->n_fixtures == 0)
        not_proved(l, "it computes what Transformers said", "hallmark check ", path, " --fixture FIX.json.gz");
    if (p->undecided[0])
        not_proved(l, "it computes what Transformers said", "a fixture that can decide: ", NULL, p->undecided);
    add_ignored(l, p);
}

static lines *all(const check_proof *p, const char *path, bool holds)
{
    lines *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    if (holds) add_proved(l, p);
    if (holds) add_not_proved(l, p, path);
    else       add(l, false, "anything: one claim does not hold, and nothing here is to be relied on");
    return l;
}

void check_words_print(const check_proof *p, const char *path, bool holds)
{
    lines *l = all(p, path, holds);
    for (int i = 0; l && i < l->n; i++) {
        const line *x = &l->v[i];
        const char *join = x->proved ? ", by " : x->by[0] ? ", could be by: " : "";
        print_line(stdout, "%s: %s%s%s", x->proved ? "proved" : "not proved", x->what, join, x->by);
    }
    free(l);
}

static void list_json(json_out *j, const char *key, const lines *l, bool of)
{
    json_key(j, key);
    json_open(j, '[');
    for (int i = 0; l && i < l->n; i++) {
        if (l->v[i].proved != of) continue;
        json_open(j, '{');
        json_key(j, "what");
        json_cstr(j, l->v[i].what);
        json_key(j, "by");
        json_cstr(j, l->v[i].by[0] ? l->v[i].by : NULL);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void signature_json(json_out *j, const check_proof *p)
{
    json_key(j, "signature");
    json_open(j, '{');
    json_key(j, "there");
    json_bool(j, p->signature_there);
    json_key(j, "holds");
    json_bool(j, p->held_key[0] != '\0');
    json_key(j, "key");
    json_cstr(j, p->held_key[0] ? p->held_key : NULL);
    json_key(j, "curve");
    json_cstr(j, p->held_key[0] ? p->curve : NULL);
    json_key(j, "files");
    json_int(j, p->n_signed);
    json_key(j, "only_this_file");
    json_bool(j, p->held_key[0] && !p->folder);
    json_key(j, "signed_as");
    json_cstr(j, p->signed_as[0] ? p->signed_as : NULL);
    json_key(j, "provenance");
    json_bool(j, p->provenance);
    json_close(j, '}');
}

void check_words_json(json_out *j, const check_proof *p, const char *path, bool holds)
{
    lines *l = all(p, path, holds);
    signature_json(j, p);
    list_json(j, "proved", l, true);
    list_json(j, "not_proved", l, false);
    free(l);
}
