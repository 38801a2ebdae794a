#include "check_hub.h"
#include "chat_source.h"
#include "hub_files.h"
#include "hub_publish.h"
#include "release_sign.h"
#include "../formats/dsse.h"
#include "../formats/file_map.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 24 };      // of a report, a card

// ---- texts ---------------------------------------------------------------------------------------------------------

bool check_text_read(char **text, int64_t *n, const char *path, err *e)
{
    err bad = { 0 };
    return file_read_text(text, n, path, MOST_BYTES, &bad) || err_as_verdict(e, &bad);
}

// A line as a message shows it; where there is none, or nothing in it, that is said.
static void put_line(char *out, size_t size, const char *s, size_t n, bool at_end)
{
    const int most = n < 300 ? (int)n : 300;
    if (n > 0)  snprintf(out, size, "'%.*s'", most, s);
    else        snprintf(out, size, "%s", at_end ? "the end of the file" : "an empty line");
}

// Both from the beginning of their first line that differs.
static bool name_line(const char *path, const char *found, int64_t n, const char *expected, err *e)
{
    const char *a = found, *b = expected, *end = found + n;
    int line = 1;
    while (a < end && *b && *a == *b) {
        if (*a == '\n') line++;
        a++;
        b++;
    }
    while (a > found && a[-1] != '\n') { a--; b--; }
    const char *stop = memchr(a, '\n', (size_t)(end - a));
    const size_t la = (size_t)((stop ? stop : end) - a), lb = strcspn(b, "\n");
    const bool same = la == lb && memcmp(a, b, la) == 0;        // then one of them does not end
    char words[2][304];
    put_line(words[0], sizeof words[0], a, la, a == end);
    put_line(words[1], sizeof words[1], b, lb, *b == '\0');
    return err_set(e, ERR_VERDICT, "%s: line %d: found %s%s, expected %s%s, as the artifacts' verification records say",
                   path, line, words[0], same && la > 0 && !stop ? " without the end of its line" : "", words[1],
                   same && la > 0 && stop ? " without the end of its line" : "");
}

static bool same_text(const char *path, const char *found, int64_t n, const char *expected, err *e)
{
    const bool same = n == (int64_t)strlen(expected) && memcmp(found, expected, (size_t)n) == 0;
    return same || name_line(path, found, n, expected, e);
}

bool check_text_same(const char *dir, const char *name, const char *expected, err *e)
{
    char   *path = path_join(dir, name), *found = NULL;
    int64_t n;
    if (!path) return err_nomem(e, "a path", strlen(dir));
    const bool ok = check_text_read(&found, &n, path, e) && same_text(path, found, n, expected, e);
    free(found);
    free(path);
    return ok;
}

// ---- card and Modelfile ---------------------------------------------------------------------------------------------

// Of the key that the folder's signature names. *hint "": it names none.
static bool read_hint(char hint[SHA256_HEX + 1], const char *dir, err *e)
{
    char   *path = path_join(dir, SIGNATURE_NAME), *text = NULL;
    int64_t n;
    dsse    d = { 0 };
    bool    ok = path || err_nomem(e, "a path", strlen(dir));
    ok = ok && file_read_text(&text, &n, path, BUNDLE_MOST_BYTES, e) && dsse_read(&d, text, n, path, e);
    if (ok) strcpy(hint, d.hint);
    dsse_free(&d);
    free(text);
    free(path);
    return ok;
}

static char *card_again(const char *dir, const char *found, int64_t n, const release_head *h, const release_result *r,
                        err *e)
{
    char      hint[SHA256_HEX + 1], *text = NULL;
    hub_front front = { 0 };
    const hub_card c = { .front = &front, .key_hint = h->is_signed ? hint : NULL };
    if (h->is_signed && !read_hint(hint, dir, e)) return NULL;
    if (hub_front_of_card(&front, found, n, e)) hub_card_md(&text, dir, h, r, &c, e);
    hub_front_free(&front);
    return text;
}

static bool check_card(const char *dir, const release_head *h, const release_result *r, err *e)
{
    char   *path = path_join(dir, HUB_CARD), *found = NULL, *expected = NULL;
    int64_t n;
    bool    ok = path || err_nomem(e, "a path", strlen(dir));
    ok = ok && check_text_read(&found, &n, path, e) && (expected = card_again(dir, found, n, h, r, e)) != NULL
        && same_text(path, found, n, expected, e);
    free(expected);
    free(found);
    free(path);
    return ok;
}

static bool check_modelfile(const char *dir, const release_result *r, err *e)
{
    char   *path = path_join(dir, HUB_MODELFILE), *found = NULL, *expected = NULL;
    int64_t n;
    hub_generation gen = { 0 };
    bool    ok = path || err_nomem(e, "a path", strlen(dir));
    ok = ok && check_text_read(&found, &n, path, e);
    if (ok) hub_generation_of_text(&gen, found);
    ok = ok && (expected = hub_modelfile_of(dir, r->reports, r->n, &gen, e)) != NULL
        && same_text(path, found, n, expected, e);
    free(expected);
    free(found);
    free(path);
    return ok;
}

static bool check_attributes(const char *dir, err *e)
{
    char *text = hub_attributes();
    const bool ok = text ? check_text_same(dir, HUB_ATTRIBUTES, text, e) : err_nomem(e, HUB_ATTRIBUTES, 0);
    free(text);
    return ok;
}

// ---- chat templates -------------------------------------------------------------------------------------------------

static bool same_template(const char *path, const record_template *a, const record_template *b, err *e)
{
    if (a->there == b->there && (!a->there || (a->bytes == b->bytes && strcmp(a->sha256, b->sha256) == 0))) return true;
    return err_set(e, ERR_VERDICT,
                   "%s: key 'tokenizer.chat_template': found %s, expected %s, as the verification records say", path,
                   a->there ? a->sha256 : "none", b->there ? b->sha256 : "none");
}

// The records speak of the first artifact, and of all where all are the source's.
static bool check_templates(const char *dir, const record_template *t, const release_result *r, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < (t->same_as_source ? r->n : 1); i++) {
        record_template found = { 0 };
        gguf *g = gguf_open_in(dir, r->reports[i].artifact, e);
        ok = g && chat_of_artifact(&found, g, e) && same_template(gguf_path(g), &found, t, e);
        gguf_close(g);
    }
    return ok;
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static bool check_one(const char *dir, const char *name, const release_head *h, const release_result *r, err *e)
{
    if (strcmp(name, HUB_CARD) == 0) return check_card(dir, h, r, e);
    if (strcmp(name, HUB_MODELFILE) == 0) return check_modelfile(dir, r, e);
    return strcmp(name, HUB_ATTRIBUTES) != 0 || check_attributes(dir, e);
}

// A release of before these files were written has no chat template in its records, and none of them.
bool check_hub(const char *dir, const release_head *h, const release_result *r, err *e)
{
    if (!h->chat_template) return true;
    if (!check_templates(dir, h->chat_template, r, e)) return false;
    for (int i = 0; i < r->n_files; i++)
        if (!r->files[i].kept && !check_one(dir, r->files[i].name, h, r, e)) return false;
    return true;
}

bool check_hub_sums(const char *dir, const release_head *h, const release_result *r, int n_threads, err *e)
{
    err bad = { 0 };
    if (!h->chat_template) return true;
    char *sums = hub_sums_of(dir, r, n_threads, NULL, &bad);
    const bool ok = sums ? check_text_same(dir, HUB_SUMS, sums, e) : err_as_verdict(e, &bad);
    free(sums);
    return ok;
}
