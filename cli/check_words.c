#include "check_words.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 5 };

#define CARD "README.md"

typedef struct { bool proved; char *what, *by; } line;      // by "": by nothing
typedef struct { line *v; int n; bool failed; } lines;

// Takes both texts over.
static void add(lines *l, bool proved, text_buf *what, text_buf *by)
{
    line *grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
    line  x = { proved, text_take(what), text_take(by) };
    if (grown) l->v = grown;
    if (!grown || !x.what || !x.by) {
        free(x.what);
        free(x.by);
        l->failed = true;
        return;
    }
    l->v[l->n++] = x;
}

static void lines_free(lines *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].what);
        free(l->v[i].by);
    }
    free(l->v);
}

static void add_words(lines *l, bool proved, const char *what, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, what);
    text_words(&b, by);
    add(l, proved, &w, &b);
}

// Text from outside as it stands: it is made safe where the line is written.
static void put(text_buf *t, const char *s) { text_raw(t, s, strlen(s)); }

static void put_s(text_buf *t, int n) { text_words(t, n == 1 ? "" : "s"); }

// "hallmark check PATH"
static text_buf check_again(const char *path)
{
    text_buf t = { 0 };
    text_words(&t, "hallmark check ");
    text_puts(&t, TEXT_SHELL, path);
    return t;
}

// ---- lists of artifacts --------------------------------------------------------------------------------------------

typedef bool (*is_one)(const check_file_proof *x);

static int count(const check_proof *p, is_one is)
{
    int n = 0;
    for (int i = 0; i < p->n_artifacts; i++) n += is(&p->v[i]);
    return n;
}

// "a, b and 3 more"; n of them.
static void put_one(text_buf *t, const char *name, int at, int n)
{
    if (at == MOST_NAMES) text_printf(t, " and %d more", n - at);
    if (at >= MOST_NAMES) return;
    if (at > 0) text_words(t, ", ");
    put(t, name);
}

static void put_those(text_buf *t, const check_proof *p, is_one is)
{
    const int n = count(p, is);
    int at = 0;
    for (int i = 0; i < p->n_artifacts; i++)
        if (is(&p->v[i])) put_one(t, p->v[i].name, at++, n);
}

static bool gives_tokens(const check_file_proof *x) { return x->n_exact > 0; }
static bool drifts_little(const check_file_proof *x) { return x->n_drift > 0; }
static bool is_not_run(const check_file_proof *x) { return x->n_exact == 0 || (x->lossy && x->n_drift == 0); }
static bool has_own_gate(const check_file_proof *x) { return x->gate[0] != '\0'; }
static bool is_calibrated(const check_file_proof *x) { return x->calibrated; }
static bool is_measured(const check_file_proof *x) { return x->measured; }
static bool has_open_keys(const check_file_proof *x) { return x->open_keys[0] != '\0'; }
static bool is_held_to_older(const check_file_proof *x) { return x->older_gate; }
static bool is_mixed(const check_file_proof *x) { return x->mixed; }

// ---- what is proved ------------------------------------------------------------------------------------------------

static void add_signed(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->folder) {
        text_printf(&w, "all %d files are those that were signed, and there is no other", p->n_signed);
        if (p->left_out.n > 0) text_words(&w, " but what the signature leaves out");
    } else {
        text_words(&w, "this file is '");
        put(&w, p->signed_as);
        text_printf(&w, "', one of %d that were signed; only this one was checked", p->n_signed);
    }
    text_printf(&b, "the signature with the key %.16s... (%s)", p->held_key, p->curve);
    add(l, true, &w, &b);
}

static void add_digests(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->bare) return;
    text_printf(&w, "%d GGUF file", p->n_artifacts);
    put_s(&w, p->n_artifacts);
    text_words(&w, ": tensors, metadata and verification record belong together");
    text_words(&b, "their SHA-256 digests");
    add(l, true, &w, &b);
}

static bool is_written(const check_proof *p, const char *name)
{
    for (int i = 0; i < p->written.n; i++)
        if (strcmp(p->written.v[i], name) == 0) return true;
    return false;
}

static void add_written(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->written.n == 0) return;
    for (int i = 0; i < p->written.n; i++) {
        text_words(&w, i == 0 ? "" : i + 1 < p->written.n ? ", " : " and ");
        put(&w, p->written.v[i]);
    }
    text_words(&w, p->written.n == 1 ? " says what the records say" : " say what the records say");
    text_words(&b, "writing them again");
    add(l, true, &w, &b);
}

static void add_files(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->n_files == 0) return;
    text_printf(&w, "%d other file%s what the records name", p->n_files, p->n_files == 1 ? " is" : "s are");
    text_words(&b, "their SHA-256 digests");
    add(l, true, &w, &b);
}

static void add_derived(lines *l, const check_proof *p)
{
    static const char *const WHAT[] = {
        "each tensor is what this source gives: ",
        "the metadata, with tokenizer and chat template, is what convert writes from: ",
    };
    const char *const BY[] = { "encoding it again", count(p, has_open_keys) == 0 ? "comparing it key by key"
                               : "comparing it key by key, but those that are named below" };
    for (int i = 0; i < 2; i++) {
        text_buf w = { 0 }, b = { 0 };
        text_words(&w, WHAT[i]);
        put(&w, p->from);
        text_words(&b, BY[i]);
        add(l, true, &w, &b);
    }
}

static void put_runs(text_buf *t, const check_proof *p)
{
    text_printf(t, "running %d fixture", p->n_fixtures);
    put_s(t, p->n_fixtures);
    text_words(t, " again");
    if (p->own_gate) text_words(t, ", held to the gate that was given");
}

static void add_run(lines *l, const check_proof *p, is_one is, const char *verb)
{
    text_buf w = { 0 }, b = { 0 };
    if (count(p, is) == 0) return;
    text_words(&w, verb);
    put_those(&w, p, is);
    put_runs(&b, p);
    add(l, true, &w, &b);
}

static void add_proved(lines *l, const check_proof *p)
{
    add_digests(l, p);
    add_written(l, p);
    add_files(l, p);
    if (p->held_key[0]) add_signed(l, p);
    if (p->provenance)
        add_words(l, true, "provenance.intoto.json tells source, fixtures and results as the reports do",
                  "the same key, and the reports");
    if (p->from) add_derived(l, p);
    if (p->from && is_written(p, CARD))
        add_words(l, true, "what README.md and Modelfile say of the source is what it says, and licenses are its own",
                  "comparing them with it");
    add_run(l, p, gives_tokens, "gives the tokens that a fixture of its weights says: ");
    add_run(l, p, drifts_little, "drifts from what the source's fixture says by no more than the gate allows: ");
}

// ---- what is not ---------------------------------------------------------------------------------------------------

// The command with fixtures that lie there, or with one that the user has to name.
static text_buf with_fixtures(const check_proof *p, const char *path)
{
    text_buf t = check_again(path);
    for (int i = 0; i < p->published.n; i++) {
        text_words(&t, " --fixture ");
        text_puts(&t, TEXT_SHELL, p->published.v[i]);
    }
    if (p->published.n == 0) text_words(&t, " --fixture FIX.json.gz");
    return t;
}

// Who made it: without a key, nobody knows; with one, whose key it is must be known from elsewhere.
static void add_maker(lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->held_key[0]) {
        add_words(l, false, "whose key that is", "comparing its digest with one that its owner tells: "
                  "openssl pkey -pubin -in PUBLIC.pem | sha256sum");
        return;
    }
    text_words(&w, "who made this: the digests agree with each other, and anybody could have computed them");
    if (p->signature_there) {
        b = check_again(path);
        text_words(&b, " --key PUBLIC.pem");
    } else {
        text_words(&w, "; there is no signature");
        text_words(&b, "hallmark release HF -o ");
        text_puts(&b, TEXT_SHELL, p->folder ? path : "DIR");
        text_words(&b, " --sign PRIVATE.pem, by who made it");
    }
    add(l, false, &w, &b);
}

// What only the key tells of, and it was not given.
static void add_unread(lines *l, const check_proof *p, const char *path)
{
    const bool both = p->signature_there && p->provenance_there;
    text_buf w = { 0 }, b = { 0 };
    if (p->held_key[0] || !(p->signature_there || p->provenance_there)) return;
    text_words(&w, "what ");
    if (p->signature_there) text_words(&w, "model.sig");
    if (both) text_words(&w, " and ");
    if (p->provenance_there) text_words(&w, "provenance.intoto.json");
    text_words(&w, both ? " say: they are there, and were not looked at" : " says: it is there, and was not looked at");
    b = check_again(path);
    text_words(&b, " --key PUBLIC.pem");
    add(l, false, &w, &b);
}

static void add_bare(lines *l, const check_proof *p)
{
    text_buf w = { 0 };
    text_words(&w, "what is in it: it makes no claims of its own, and that it was signed as '");
    put(&w, p->signed_as);
    text_words(&w, "' is all");
    text_buf b = { 0 };
    text_words(&b, "hallmark check DIR --key PUBLIC.pem, which compares it with the records beside it");
    add(l, false, &w, &b);
}

static void add_source(lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = check_again(path);
    text_words(&w, "the tensors, and the metadata with tokenizer and chat template, are what the source gives");
    text_words(&b, " --from HF");
    if (count(p, is_calibrated) > 0) text_words(&b, " --calibrate TEXT");
    add(l, false, &w, &b);
}

static void add_card(lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = check_again(path);
    text_words(&w, "what README.md and Modelfile say of the source, and that licenses are its own");
    text_words(&b, " --from HF");
    add(l, false, &w, &b);
}

static void add_card_said(lines *l, const char *what, const char *said, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    if (!said[0]) return;
    text_words(&w, what);
    put(&w, said);
    text_words(&w, "', as README.md says");
    text_words(&b, by);
    add(l, false, &w, &b);
}

static void add_kept(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->kept.n == 0) return;
    text_words(&w, "what the maker wrote himself: ");
    for (int i = 0; i < p->kept.n; i++) put_one(&w, p->kept.v[i], i, p->kept.n);
    text_words(&b, "looking at it");
    add(l, false, &w, &b);
}

// ---- what a source cannot tell: see verify/source_keys.h -----------------------------------------------------------

// "NAME, 'VALUE' as FILE says: WHY"
static void add_told(lines *l, const char *what, const char *value, const char *file, const char *why, text_buf *by)
{
    text_buf w = { 0 };
    text_words(&w, what);
    text_words(&w, ", '");
    put(&w, value);
    text_words(&w, "' as ");
    put(&w, file);
    text_words(&w, " says: ");
    text_words(&w, why);
    add(l, false, &w, by);
}

static void add_commit(lines *l, const check_file_proof *x, const char *path)
{
    text_buf b = check_again(path);
    text_words(&b, " --from ID --revision ");
    text_puts(&b, TEXT_SHELL, x->revision);
    text_words(&b, ", an id in the Hub cache");
    add_told(l, "the source's commit", x->revision, x->name, "the source's folder does not tell its own", &b);
}

static void add_title(lines *l, const check_file_proof *x, const char *path)
{
    text_buf b = check_again(path);
    text_words(&b, " --from ID, an id in the Hub cache");
    add_told(l, "the model's name", x->title, x->name, "the source's folder has another", &b);
}

static void add_open_keys(lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, "what these keys of ");
    put(&w, x->name);
    text_words(&w, " say, which the source does not decide: ");
    text_words(&w, x->open_keys);
    text_words(&b, "comparing them with its maker's recipe");
    add(l, false, &w, &b);
}

static void add_own_types(lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    text_printf(&w, "the types of %ld tensor", x->n_own_types);
    put_s(&w, (int)x->n_own_types);
    text_words(&w, " of ");
    put(&w, x->name);
    text_words(&w, ", which its mix would give others, from '");
    put(&w, x->own_type);
    text_words(&w, "' on");
    text_words(&b, "comparing them with its maker's recipe");
    add(l, false, &w, &b);
}

static void add_untold(lines *l, const check_file_proof *x, const char *path)
{
    if (x->revision[0])     add_commit(l, x, path);
    if (x->title[0])        add_title(l, x, path);
    if (x->open_keys[0])    add_open_keys(l, x);
    if (x->n_own_types > 0) add_own_types(l, x);
}

// ---- what else is not proved ---------------------------------------------------------------------------------------

static void add_fixtures(lines *l, const check_proof *p, const char *path)
{
    if (count(p, is_not_run) > 0) {
        text_buf w = { 0 }, b = with_fixtures(p, path);
        if (p->n_fixtures == 0) {
            text_words(&w, "it computes what Transformers said");
        } else {
            text_words(&w, "it computes what Transformers said, where not each of its fixtures was run and decided: ");
            put_those(&w, p, is_not_run);
        }
        add(l, false, &w, &b);
    }
    if (p->n_fixtures > 0)
        add_words(l, false, "that Transformers said what is in the fixtures",
                  "making them again: python3 hf_fixture.py HF -o FIX.json.gz");
}

static void add_undecided(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, "what a fixture would decide that cannot: ");
    text_puts(&w, TEXT_PLAIN, p->undecided);
    text_words(&b, "a fixture that can");
    add(l, false, &w, &b);
}

static void add_gate(lines *l, const check_proof *p, const char *path)
{
    const bool built_in_was_asked = p->n_fixtures > 0 && !p->own_gate && count(p, is_not_run) == 0;
    if (count(p, has_own_gate) == 0 || built_in_was_asked) return;
    text_buf w = { 0 }, b = with_fixtures(p, path);
    text_words(&w, "it keeps the built-in limits, where its maker held it to others: ");
    put_those(&w, p, has_own_gate);
    add(l, false, &w, &b);
}

static void add_those(lines *l, const check_proof *p, is_one is, const char *what, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    if (count(p, is) == 0) return;
    text_words(&w, what);
    put_those(&w, p, is);
    text_words(&b, by);
    add(l, false, &w, &b);
}

static void add_older(lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    if (!x->lacks) return;
    text_words(&w, "what a record of today says; that of ");
    put(&w, x->name);
    text_printf(&w, " is older than %s", x->lacks);
    text_words(&b, "releasing it again, by who made it");
    add(l, false, &w, &b);
}

// With a key there is nothing that is not signed.
static void add_others(lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->others.n == 0 || p->held_key[0]) return;
    text_words(&w, "what lies there too, and no record knows: ");
    for (int i = 0; i < p->others.n; i++) put_one(&w, p->others.v[i], i, p->others.n);
    if (p->signature_there) {
        b = check_again(path);
        text_words(&b, " --key PUBLIC.pem");
    } else {
        text_words(&b, "looking at it");
    }
    add(l, false, &w, &b);
}

static void add_ignored(lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    for (int i = 0, at = 0; i < FOLDER_N_IGNORED; i++)
        if (p->ignored[i] && !is_written(p, FOLDER_IGNORED[i]))
            put_one(&w, FOLDER_IGNORED[i], at++, FOLDER_N_IGNORED);
    for (int i = 0; i < p->left_out.n; i++) {
        text_words(&w, w.n > 0 ? ", " : "");
        put(&w, p->left_out.v[i]);
    }
    if (w.n == 0) return;
    text_words(&w, ": such signatures leave this out");
    text_words(&b, "looking at it");
    add(l, false, &w, &b);
}

static void add_not_proved(lines *l, const check_proof *p, const char *path)
{
    add_maker(l, p, path);
    add_unread(l, p, path);
    if (p->bare) {
        add_bare(l, p);
        return;
    }
    if (p->held_key[0] && !p->folder)
        add_words(l, false, "the other signed files", "hallmark check DIR --key PUBLIC.pem");
    if (p->provenance)
        add_words(l, false, "the command in provenance.intoto.json, which is the word of the key's owner",
                  "running it: artifacts that are not listed there as kept are the same bytes each time");
    if (!p->from) add_source(l, p, path);
    if (!p->from && is_written(p, CARD)) add_card(l, p, path);
    add_card_said(l, "the source's id, '", p->card_base, "hallmark check --from ID, an id in the Hub cache");
    add_card_said(l, "who quantized it, '", p->card_by, "what its maker says elsewhere");
    add_kept(l, p);
    for (int i = 0; p->from && i < p->n_artifacts; i++) add_untold(l, &p->v[i], path);
    add_fixtures(l, p, path);
    if (p->undecided[0]) add_undecided(l, p);
    add_gate(l, p, path);
    add_those(l, p, is_held_to_older, "it keeps the built-in limits of today, where its record holds earlier ones: ",
              "hallmark check --fixture FIX.json.gz");
    add_those(l, p, is_measured, "what caches cost, as the file says: ",
              "hallmark lab FILE.gguf --kv SPEC --text CATEGORY=TEXT, on the same texts");
    add_those(l, p, is_mixed, "how the mix was found, as the file says: ",
              "hallmark quantize --budget, on the same texts");
    for (int i = 0; i < p->n_artifacts; i++) add_older(l, &p->v[i]);
    add_others(l, p, path);
    add_ignored(l, p);
}

static void add_nothing(lines *l, const check_proof *p)
{
    add_words(l, false, p->unusable ? "anything: something cannot be read, or not be used for this"
                                    : "anything: one claim does not hold, and nothing here is to be relied on", "");
}

static bool all(lines *l, const check_proof *p, const char *path, bool holds)
{
    *l = (lines){ 0 };
    if (holds) add_proved(l, p);
    if (holds) add_not_proved(l, p, path);
    else       add_nothing(l, p);
    return !l->failed;
}

// ---- written -------------------------------------------------------------------------------------------------------

// A list with a line missing would say less than is known: then nothing is said to be proved.
static const char LOST[] = "not proved: anything: out of memory for what this proves";

void check_words_print(const check_proof *p, const char *path, bool holds)
{
    lines l;
    const bool whole = all(&l, p, path, holds);
    for (int i = 0; whole && i < l.n; i++) {
        const line *x = &l.v[i];
        const char *join = x->proved ? ", by " : x->by[0] ? ", could be by: " : "";
        print_line(stdout, "%s: %s%s%s", x->proved ? "proved" : "not proved", x->what, join, x->by);
    }
    if (!whole) print_line(stdout, "%s", LOST);
    lines_free(&l);
}

static void list_json(json_out *j, const char *key, const lines *l, bool of)
{
    json_key_open(j, key, '[');
    for (int i = 0; !l->failed && i < l->n; i++) {
        if (l->v[i].proved != of) continue;
        json_open(j, '{');
        json_key_cstr(j, "what", l->v[i].what);
        json_key_cstr(j, "by", l->v[i].by[0] ? l->v[i].by : NULL);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void signature_json(json_out *j, const check_proof *p)
{
    json_key_open(j, "signature", '{');
    json_key_bool(j, "there", p->signature_there);
    json_key_bool(j, "holds", p->held_key[0] != '\0');
    json_key_cstr(j, "key", p->held_key[0] ? p->held_key : NULL);
    json_key_cstr(j, "curve", p->held_key[0] ? p->curve : NULL);
    json_key_int(j, "files", p->n_signed);
    json_key_bool(j, "only_this_file", p->held_key[0] && !p->folder);
    json_key_cstr(j, "signed_as", p->signed_as[0] ? p->signed_as : NULL);
    json_key_bool(j, "provenance", p->provenance);
    json_close(j, '}');
}

void check_words_json(json_out *j, const check_proof *p, const char *path, bool holds)
{
    lines l;
    all(&l, p, path, holds);
    signature_json(j, p);
    list_json(j, "proved", &l, true);
    list_json(j, "not_proved", &l, false);
    lines_free(&l);
}
