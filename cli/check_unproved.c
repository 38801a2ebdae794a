// What a check does not prove, line by line, and by which command it could be.
#include "check_lines.h"
#include <stdlib.h>
#include <string.h>

static bool is_not_run(const check_file_proof *x) { return x->n_exact == 0 || (x->lossy && x->n_drift == 0); }
static bool has_own_gate(const check_file_proof *x) { return x->gate[0] != '\0'; }
static bool is_calibrated(const check_file_proof *x) { return x->calibrated; }
static bool is_measured(const check_file_proof *x) { return x->measured; }
static bool is_held_to_older(const check_file_proof *x) { return x->older_gate; }
static bool is_mixed(const check_file_proof *x) { return x->mixed; }

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

// The command that needs the maker's key. Where the signature's digests are others than hallmark's, it is that of the
// format's own tool.
static text_buf with_key(const check_proof *p, const char *path)
{
    text_buf t = { 0 };
    if (!p->not_ours[0]) {
        t = check_again(path);
        text_words(&t, " --key PUBLIC.pem");
        return t;
    }
    text_words(&t, "model_signing verify key ");
    text_puts(&t, TEXT_SHELL, path);
    text_words(&t, " --signature ");
    text_puts(&t, TEXT_SHELL, path);
    text_words(&t, "/model.sig --public_key PUBLIC.pem");
    return t;
}

// Who made it: without a key, nobody knows; with one, whose key it is must be known from elsewhere.
static void add_maker(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->held_key[0]) {
        check_add_words(l, false, "whose key that is", "comparing its digest with one that its owner tells: "
                        "openssl pkey -pubin -in PUBLIC.pem | sha256sum");
        return;
    }
    text_words(&w, "who made this: the digests agree with each other, and anybody could have computed them");
    if (p->signature_there) {
        b = with_key(p, path);
    } else {
        text_words(&w, "; there is no signature");
        text_words(&b, "hallmark release HF -o ");
        text_puts(&b, TEXT_SHELL, p->folder ? path : "DIR");
        text_words(&b, " --sign PRIVATE.pem, by who made it");
    }
    check_add(l, false, &w, &b);
}

// What only the key tells of, and it was not given: whether the signature holds, and what else was signed with it says.
static void put_unread(text_buf *w, const check_proof *p)
{
    const bool read = p->n_named > 0 || p->not_ours[0], says = p->signature_there && !read;
    const bool both = says && p->provenance_there;
    if (p->n_named > 0) text_words(w, "that the signature in model.sig holds: no key was given");
    if (p->not_ours[0]) {
        text_words(w, "that model.sig names these files: it has ");
        check_put(w, p->not_ours);
        text_words(w, ", which is not computed here");
    }
    if (p->not_ours[0]) return;             // provenance has a line of its own
    if (read && p->provenance_there) text_words(w, "; ");
    if (says || p->provenance_there) text_words(w, "what ");
    if (says) text_words(w, "model.sig");
    if (both) text_words(w, " and ");
    if (p->provenance_there) text_words(w, "provenance.intoto.json");
    if (both) text_words(w, " say: they are there, and were not looked at");
    else if (says || p->provenance_there) text_words(w, " says: it is there, and was not looked at");
}

// It is read under a key that hallmark can check model.sig with, and this model.sig it cannot.
static void add_lone_provenance(check_lines *l, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, "what provenance.intoto.json says: it is there, and was not looked at");
    text_words(&b, "a model.sig over SHA-256 of whole files, and ");
    text_buf again = check_again(path);
    text_words(&again, " --key PUBLIC.pem");
    char *command = text_take(&again);
    if (command) text_words(&b, command);
    free(command);
    check_add(l, false, &w, &b);
}

static void add_unread(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->held_key[0] || !(p->signature_there || p->provenance_there)) return;
    put_unread(&w, p);
    b = with_key(p, path);
    check_add(l, false, &w, &b);
    if (p->not_ours[0] && p->provenance_there) add_lone_provenance(l, path);
}

static void add_unnamed(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->held_key[0] || p->unnamed.n == 0) return;
    text_words(&w, "that model.sig is this release's: it does not name ");
    for (int i = 0; i < p->unnamed.n; i++) check_put_one(&w, p->unnamed.v[i], i, p->unnamed.n);
    b = with_key(p, path);
    check_add(l, false, &w, &b);
}

static void add_bare(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 };
    text_words(&w, "what is in it: it makes no claims of its own, and that it was signed as '");
    check_put(&w, p->signed_as);
    text_words(&w, "' is all");
    text_buf b = { 0 };
    text_words(&b, "hallmark check DIR --key PUBLIC.pem, which compares it with the records beside it");
    check_add(l, false, &w, &b);
}

static void add_source(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = check_again(path);
    text_words(&w, "the tensors, and the metadata with tokenizer and chat template, are what the source gives");
    text_words(&b, " --from HF");
    if (check_count(p, is_calibrated) > 0) text_words(&b, " --calibrate TEXT");
    check_add(l, false, &w, &b);
}

static void add_card(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = check_again(path);
    text_words(&w, "what README.md and Modelfile say of the source, and that licenses are its own");
    text_words(&b, " --from HF");
    check_add(l, false, &w, &b);
}

static void add_card_said(check_lines *l, const char *what, const char *said, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    if (!said[0]) return;
    text_words(&w, what);
    check_put(&w, said);
    text_words(&w, "', as README.md says");
    text_words(&b, by);
    check_add(l, false, &w, &b);
}

static void add_kept(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->kept.n == 0) return;
    text_words(&w, "what the maker wrote himself: ");
    for (int i = 0; i < p->kept.n; i++) check_put_one(&w, p->kept.v[i], i, p->kept.n);
    text_words(&b, "looking at it");
    check_add(l, false, &w, &b);
}

// ---- what a source cannot tell: see verify/source_keys.h -----------------------------------------------------------

// "NAME, 'VALUE' as FILE says: WHY"
static void add_told(check_lines *l, const char *what, const char *value, const char *file, const char *why,
                     text_buf *by)
{
    text_buf w = { 0 };
    text_words(&w, what);
    text_words(&w, ", '");
    check_put(&w, value);
    text_words(&w, "' as ");
    check_put(&w, file);
    text_words(&w, " says: ");
    text_words(&w, why);
    check_add(l, false, &w, by);
}

static void add_commit(check_lines *l, const check_file_proof *x, const char *path)
{
    text_buf b = check_again(path);
    text_words(&b, " --from ID --revision ");
    text_puts(&b, TEXT_SHELL, x->revision);
    text_words(&b, ", an id in the Hub cache");
    add_told(l, "the source's commit", x->revision, x->name, "the source's folder does not tell its own", &b);
}

static void add_title(check_lines *l, const check_file_proof *x, const char *path)
{
    text_buf b = check_again(path);
    text_words(&b, " --from ID, an id in the Hub cache");
    add_told(l, "the model's name", x->title, x->name, "the source's folder has another", &b);
}

static void add_open_keys(check_lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, "what these keys of ");
    check_put(&w, x->name);
    text_words(&w, " say, which the source does not decide: ");
    text_words(&w, x->open_keys);
    text_words(&b, "comparing them with its maker's recipe");
    check_add(l, false, &w, &b);
}

static void add_own_types(check_lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    text_printf(&w, "the types of %ld tensor", x->n_own_types);
    check_put_s(&w, (int)x->n_own_types);
    text_words(&w, " of ");
    check_put(&w, x->name);
    text_words(&w, ", which its mix would give others, from '");
    check_put(&w, x->own_type);
    text_words(&w, "' on");
    text_words(&b, "comparing them with its maker's recipe");
    check_add(l, false, &w, &b);
}

static void add_untold(check_lines *l, const check_file_proof *x, const char *path)
{
    if (x->revision[0])     add_commit(l, x, path);
    if (x->title[0])        add_title(l, x, path);
    if (x->open_keys[0])    add_open_keys(l, x);
    if (x->n_own_types > 0) add_own_types(l, x);
}

// ---- what else is not proved ---------------------------------------------------------------------------------------

static void add_fixtures(check_lines *l, const check_proof *p, const char *path)
{
    if (check_count(p, is_not_run) > 0) {
        text_buf w = { 0 }, b = with_fixtures(p, path);
        if (p->n_fixtures == 0) {
            text_words(&w, "it computes what Transformers said");
        } else {
            text_words(&w, "it computes what Transformers said, where not each of its fixtures was run and decided: ");
            check_put_those(&w, p, is_not_run);
        }
        check_add(l, false, &w, &b);
    }
    if (p->n_fixtures > 0)
        check_add_words(l, false, "that Transformers said what is in the fixtures",
                        "making them again: python3 hf_fixture.py HF -o FIX.json.gz");
}

static void add_undecided(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, "what a fixture would decide that cannot: ");
    text_puts(&w, TEXT_PLAIN, p->undecided);
    text_words(&b, "a fixture that can");
    check_add(l, false, &w, &b);
}

static void add_gate(check_lines *l, const check_proof *p, const char *path)
{
    const bool built_in_was_asked = p->n_fixtures > 0 && !p->own_gate && check_count(p, is_not_run) == 0;
    if (check_count(p, has_own_gate) == 0 || built_in_was_asked) return;
    text_buf w = { 0 }, b = with_fixtures(p, path);
    text_words(&w, "it keeps the built-in limits, where its maker held it to others: ");
    check_put_those(&w, p, has_own_gate);
    check_add(l, false, &w, &b);
}

static void add_those(check_lines *l, const check_proof *p, check_is is, const char *what, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    if (check_count(p, is) == 0) return;
    text_words(&w, what);
    check_put_those(&w, p, is);
    text_words(&b, by);
    check_add(l, false, &w, &b);
}

static void add_older(check_lines *l, const check_file_proof *x)
{
    text_buf w = { 0 }, b = { 0 };
    if (!x->lacks) return;
    text_words(&w, "what a record of today says; that of ");
    check_put(&w, x->name);
    text_printf(&w, " is older than %s", x->lacks);
    text_words(&b, "releasing it again, by who made it");
    check_add(l, false, &w, &b);
}

// With a key there is nothing that is not signed.
static void add_others(check_lines *l, const check_proof *p, const char *path)
{
    text_buf w = { 0 }, b = { 0 };
    if (p->others.n == 0 || p->held_key[0]) return;
    text_words(&w, "what lies there too, and no record knows: ");
    for (int i = 0; i < p->others.n; i++) check_put_one(&w, p->others.v[i], i, p->others.n);
    if (p->signature_there) {
        b = with_key(p, path);
    } else {
        text_words(&b, "looking at it");
    }
    check_add(l, false, &w, &b);
}

static void add_ignored(check_lines *l, const check_proof *p)
{
    text_buf w = { 0 }, b = { 0 };
    for (int i = 0, at = 0; i < FOLDER_N_IGNORED; i++)
        if (p->ignored[i] && !check_is_written(p, FOLDER_IGNORED[i]))
            check_put_one(&w, FOLDER_IGNORED[i], at++, FOLDER_N_IGNORED);
    for (int i = 0; i < p->left_out.n; i++) {
        text_words(&w, w.n > 0 ? ", " : "");
        check_put(&w, p->left_out.v[i]);
    }
    if (w.n == 0) return;
    text_words(&w, ": such signatures leave this out");
    text_words(&b, "looking at it");
    check_add(l, false, &w, &b);
}

void check_add_not_proved(check_lines *l, const check_proof *p, const char *path)
{
    add_maker(l, p, path);
    add_unread(l, p, path);
    add_unnamed(l, p, path);
    if (p->bare) {
        add_bare(l, p);
        return;
    }
    if (p->held_key[0] && !p->folder)
        check_add_words(l, false, "the other signed files", "hallmark check DIR --key PUBLIC.pem");
    if (p->provenance)
        check_add_words(l, false, "the command in provenance.intoto.json, which is the word of the key's owner",
                        "running it: artifacts that are not listed there as kept are the same bytes each time");
    if (!p->from) add_source(l, p, path);
    if (!p->from && check_is_written(p, CHECK_CARD)) add_card(l, p, path);
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
