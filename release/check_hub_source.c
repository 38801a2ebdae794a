#include "check_hub_source.h"
#include "check_hub.h"
#include "hub_files.h"
#include "hub_publish.h"
#include "../formats/file_map.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char           *dir, *hf_dir;
    const release_result *r;
    check_proof          *told;         // or NULL
    hub_source            source;
} comparison;

static const record_file *listed(const comparison *c, const char *name)
{
    return record_files_find(c->r->files, c->r->n_files, name);
}

// The text of a file that release wrote. *text NULL: there is none, or it is somebody's own.
static bool read_ours(char **text, int64_t *n, const comparison *c, const char *name, err *e)
{
    const record_file *x = listed(c, name);
    *text = NULL;
    if (!x || x->kept) return true;
    char *path = path_join(c->dir, name);
    if (!path) return err_nomem(e, "a path", strlen(c->dir));
    const bool ok = check_text_read(text, n, path, e);
    free(path);
    return ok;
}

// ---- README.md -----------------------------------------------------------------------------------------------------

static char *front_text(const hub_front *f)
{
    text_buf t = { 0 };
    hub_front_put(&t, f);
    return text_take(&t);
}

// Takes *from over where *to says nothing, and tells it.
static void inherit(char **to, char **from, char *told, size_t size)
{
    if (*to || !*from) return;
    if (told) text_fit(told, size, *from, strlen(*from), 0);
    *to = *from;
    *from = NULL;
}

static void inherit_both(comparison *c, hub_front *found)
{
    check_proof *t = c->told;
    inherit(&c->source.front.base_model, &found->base_model, t ? t->card_base : NULL, sizeof t->card_base);
    inherit(&c->source.front.quantized_by, &found->quantized_by, t ? t->card_by : NULL, sizeof t->card_by);
}

// The same card's front matter twice: found, and with all that the source says of it.
static bool same_front(comparison *c, const char *card, int64_t n, err *e)
{
    hub_front found = { 0 };
    char *a = NULL, *b = NULL;
    bool  ok = hub_front_of_card(&found, card, n, e);
    if (ok) a = front_text(&found);
    inherit_both(c, &found);
    if (ok) b = front_text(&c->source.front);
    ok = ok && ((a && b) || err_nomem(e, HUB_CARD, (size_t)n));
    if (ok && strcmp(a, b) != 0) {
        size_t at = strspn(a, "-\n"), same = 0;
        for (same = 0; a[same] && a[same] == b[same]; same++)
            if (a[same] == '\n') at = same + 1;
        ok = err_set(e, ERR_VERDICT, "%s/%s: front matter: found '%.*s', expected '%.*s', as %s says", c->dir, HUB_CARD,
                     (int)strcspn(a + at, "\n"), a + at, (int)strcspn(b + at, "\n"), b + at, c->hf_dir);
    }
    free(a);
    free(b);
    hub_front_free(&found);
    return ok;
}

static bool check_card(comparison *c, err *e)
{
    char   *card;
    int64_t n;
    const bool ok = read_ours(&card, &n, c, HUB_CARD, e) && (!card || same_front(c, card, n, e));
    free(card);
    return ok;
}

// ---- Modelfile, licenses -------------------------------------------------------------------------------------------

static bool check_modelfile(const comparison *c, err *e)
{
    const record_file *x = listed(c, HUB_MODELFILE);
    if (!x || x->kept) return true;
    char *expected = hub_modelfile_of(c->dir, c->r->reports, c->r->n, &c->source.generation, e);
    const bool ok = expected && check_text_same(c->dir, HUB_MODELFILE, expected, e);
    free(expected);
    return ok;
}

static bool is_the_sources(const comparison *c, const char *name)
{
    return dir_list_has(&c->source.licenses, name);
}

// The record's digest was compared with the file.
static bool same_license(const comparison *c, const record_file *x, err *e)
{
    char  hex[SHA256_HEX + 1], *path = path_join(c->hf_dir, x->name);
    bool  ok = path || err_nomem(e, "a path", strlen(c->hf_dir));
    ok = ok && sha256_file(path, hex, e);
    if (ok && strcmp(hex, x->sha256) != 0)
        ok = err_set(e, ERR_VERDICT, "%s/%s: found SHA-256 %s, expected %s, that of %s", c->dir, x->name, x->sha256,
                     hex, path);
    free(path);
    return ok;
}

static bool check_licenses(const comparison *c, err *e)
{
    for (int i = 0; i < c->r->n_files; i++) {
        const record_file *x = &c->r->files[i];
        if (x->kept || !hub_is_license(x->name)) continue;
        if (!is_the_sources(c, x->name))
            return err_set(e, ERR_VERDICT, "%s/%s: is there, and %s has none", c->dir, x->name, c->hf_dir);
        if (!same_license(c, x, e)) return false;
    }
    for (int i = 0; i < c->source.licenses.n; i++)
        if (!listed(c, c->source.licenses.v[i]))
            return err_set(e, ERR_VERDICT, "%s/%s: is not there, and %s has one", c->dir, c->source.licenses.v[i],
                           c->hf_dir);
    return true;
}

// A release of before there were such files says nothing for the Hub.
bool check_hub_source(const char *dir, const char *hf_dir, const release_head *h, const release_result *r,
                      check_proof *told, err *e)
{
    comparison c = { .dir = dir, .hf_dir = hf_dir, .r = r, .told = told };
    if (!h->chat_template) return true;
    const bool ok = hub_source_read(&c.source, hf_dir, NULL, NULL, NULL, e) && check_card(&c, e)
        && check_modelfile(&c, e) && check_licenses(&c, e);
    hub_source_free(&c.source);
    return ok;
}
