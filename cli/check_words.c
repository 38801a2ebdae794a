// check_words: see check_words.h. What is proved is in check_proved.c, what is not in check_unproved.c.
#include "check_lines.h"

static void add_nothing(check_lines *l, const check_proof *p)
{
    check_add_words(l, false, p->unusable ? "anything: something cannot be read, or not be used for this"
                                    : "anything: one claim does not hold, and nothing here is to be relied on", "");
}

static bool all(check_lines *l, const check_proof *p, const char *path, bool holds)
{
    *l = (check_lines){ 0 };
    if (holds) check_add_proved(l, p);
    if (holds) check_add_not_proved(l, p, path);
    else       add_nothing(l, p);
    return !l->failed;
}

// ---- written -------------------------------------------------------------------------------------------------------

// A list with a line missing would say less than is known: then nothing is said to be proved.
static const char LOST[] = "not proved: anything: out of memory for what this proves";

void check_words_print(const check_proof *p, const char *path, bool holds)
{
    check_lines l;
    const bool whole = all(&l, p, path, holds);
    for (int i = 0; whole && i < l.n; i++) {
        const check_line *x = &l.v[i];
        const char *join = x->proved ? ", by " : x->by[0] ? ", could be by: " : "";
        print_line(stdout, "%s: %s%s%s", x->proved ? "proved" : "not proved", x->what, join, x->by);
    }
    if (!whole) print_line(stdout, "%s", LOST);
    check_lines_free(&l);
}

static void list_json(json_out *j, const char *key, const check_lines *l, bool of)
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
    json_key_int(j, "named_files", p->held_key[0] ? p->n_signed : p->n_named);
    json_key_bool(j, "only_this_file", p->held_key[0] && !p->folder);
    json_key_cstr(j, "signed_as", p->signed_as[0] ? p->signed_as : NULL);
    json_key_bool(j, "provenance", p->provenance);
    json_close(j, '}');
}

void check_words_json(json_out *j, const check_proof *p, const char *path, bool holds)
{
    check_lines l;
    all(&l, p, path, holds);
    signature_json(j, p);
    list_json(j, "proved", &l, true);
    list_json(j, "not_proved", &l, false);
    check_lines_free(&l);
}
