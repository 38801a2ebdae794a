// recipe_args: see recipe_args.h.
#include "recipe_args.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RECIPES = 64 };

// ---- words ---------------------------------------------------------------------------------------------------------

static bool escapes(const char *s) { return s[0] == '\\' && (s[1] == ',' || s[1] == ':' || s[1] == '\\'); }

// Bytes up to the next `separator` that is not escaped, or the end.
static size_t part_length(const char *s, char separator)
{
    size_t n = 0;
    while (s[n] && s[n] != separator) n += escapes(s + n) ? 2 : 1;
    return n;
}

// The part without its escapes; freed by the caller.
static char *part_text(const char *s, size_t n)
{
    char *text = malloc(n + 1), *to = text;
    for (size_t i = 0; text && i < n; i++) {
        if (i + 1 < n && escapes(s + i)) i++;
        *to++ = s[i];
    }
    if (text) *to = '\0';
    return text;
}

static recipe *add_recipe(recipe **list, int *n, const char *option, err *e)
{
    if (*n == MOST_RECIPES) {
        err_set(e, ERR_USAGE, "option %s: more than %d recipes", option, (int)MOST_RECIPES);
        return NULL;
    }
    recipe *grown = realloc(*list, ((size_t)*n + 1) * sizeof *grown);
    if (!grown) {
        err_nomem(e, "recipes", ((size_t)*n + 1) * sizeof *grown);
        return NULL;
    }
    *list = grown;
    grown[*n] = (recipe){ .type = FT_INVALID };
    return &grown[(*n)++];
}

static bool set_word(recipe *r, char *word, err *e)
{
    char *equals = strchr(word, '=');
    if (equals) *equals = '\0';
    return recipe_set(r, word, equals ? equals + 1 : NULL, e);
}

// ":KEY=VALUE:FLAG", n bytes.
static bool set_words(recipe *r, const char *s, size_t n, err *e)
{
    while (n > 0) {
        const size_t len = part_length(s + 1, ':'), most = len < n - 1 ? len : n - 1;
        char *word = part_text(s + 1, most);
        const bool ok = word ? set_word(r, word, e) : err_nomem(e, "a recipe", most);
        free(word);
        if (!ok) return false;
        s += 1 + most;
        n -= 1 + most;
    }
    return recipe_check(r, e);
}

static bool in_option(const char *option, const char *text, size_t n, const err *why, err *e)
{
    return err_set(e, why->kind, "option %s: '%.*s': %s", option, n < 200 ? (int)n : 200, text, why->msg);
}

// ---- --types -------------------------------------------------------------------------------------------------------

static bool set_base(recipe *r, const char *word, err *e)
{
    if (strcmp(word, "mix") == 0) {
        r->kind = RECIPE_MIX;
        return true;
    }
    const file_type_info *t = file_type_arg(word, e);
    if (t) r->type = t->id;
    return t != NULL;
}

static bool parse_one(recipe *r, const char *text, size_t n, err *e)
{
    const size_t len = part_length(text, ':'), base = len < n ? len : n;
    char *word = part_text(text, base);
    err   why = { 0 };
    bool  ok = word ? set_base(r, word, e) : err_nomem(e, "a recipe", n);
    free(word);
    if (!ok || set_words(r, text + base, n - base, &why)) return ok;
    return in_option("--types", text, n, &why, e);
}

// Two files would have one name.
static bool check_twice(const recipe *list, int n, err *e)
{
    const recipe *r = &list[n - 1];
    for (int i = 0; i + 1 < n; i++)
        if (recipe_is_plain(r) && recipe_is_plain(&list[i]) && list[i].type == r->type)
            return err_set(e, ERR_USAGE, "option --types: %s is given twice", file_type_of(r->type)->name);
    return true;
}

bool recipe_args_types(recipe **list, int *n, const char *text, err *e)
{
    while (text) {
        const size_t len = part_length(text, ',');
        if (len == 0)
            return err_set(e, ERR_USAGE, "option --types: found '%s', expected types separated by commas", text);
        recipe *r = add_recipe(list, n, "--types", e);
        if (!r || !parse_one(r, text, len, e) || !check_twice(*list, *n, e)) return false;
        text = text[len] ? text + len + 1 : NULL;
    }
    return true;
}

// ---- --artifact ----------------------------------------------------------------------------------------------------

// The path's bytes; a path that is there is one as it stands.
static size_t artifact_length(const char *text)
{
    return file_exists(text) ? strlen(text) : part_length(text, ':');
}

bool recipe_args_artifact(recipe **list, int *n, const char *text, err *e)
{
    const size_t base = artifact_length(text);
    recipe *r = add_recipe(list, n, "--artifact", e);
    err why = { 0 };
    if (!r) return false;
    r->kind = RECIPE_ARTIFACT;
    r->artifact = text[base] || !file_exists(text) ? part_text(text, base) : strdup(text);
    if (!r->artifact) return err_nomem(e, "a recipe", base);
    if (set_words(r, text + base, strlen(text + base), &why)) return true;
    return in_option("--artifact", text, strlen(text), &why, e);
}

// ---- without folders -----------------------------------------------------------------------------------------------

// What follows the last '/' of the n bytes; an escape never holds one.
static void put_base(text_buf *t, const char *s, size_t n)
{
    size_t from = n;
    while (from > 0 && s[from - 1] != '/') from--;
    text_raw(t, s + from, n - from);
}

// "KEY=VALUE" or "FLAG".
static void put_word(text_buf *t, const char *s, size_t n)
{
    const char *equals = memchr(s, '=', n);
    char key[32] = "";
    if (equals && (size_t)(equals - s) < sizeof key) memcpy(key, s, (size_t)(equals - s));
    if (!recipe_key_is_path(key)) {
        text_raw(t, s, n);
        return;
    }
    text_raw(t, s, (size_t)(equals + 1 - s));
    put_base(t, equals + 1, n - (size_t)(equals + 1 - s));
}

// One recipe of n bytes; `path` bytes of it are a path that it begins with.
static void put_recipe(text_buf *t, const char *s, size_t n, size_t path)
{
    put_base(t, s, path);
    for (s += path, n -= path; n > 0;) {
        const size_t len = part_length(s, ':'), most = len < n ? len : n;
        put_word(t, s, most);
        s += most;
        n -= most;
        if (n > 0) text_raw(t, ":", 1);
        s += n > 0;
        n -= n > 0;
    }
}

char *recipe_args_base_names(const char *text, bool artifact)
{
    text_buf t = { 0 };
    if (artifact) {
        put_recipe(&t, text, strlen(text), artifact_length(text));
        return text_take(&t);
    }
    for (;;) {
        const size_t len = part_length(text, ',');
        put_recipe(&t, text, len, 0);
        if (!text[len]) return text_take(&t);
        text_raw(&t, ",", 1);
        text += len + 1;
    }
}

// ---- for all of them -----------------------------------------------------------------------------------------------

// Of a finished file: does it say that it was made so? One that cannot be read is refused later, by name.
static bool says(const recipe *r, const char *key)
{
    err   ignored = { 0 };
    gguf *g = gguf_open(r->artifact, &ignored);
    const bool yes = g && gguf_find_kv(g, key);
    gguf_close(g);
    return yes;
}

static bool takes(const recipe *r, const char *key)
{
    if (!recipe_encodes(r)) return false;
    return r->kind != RECIPE_ARTIFACT || says(r, key);
}

static bool default_imatrix(recipe *r, const char *path, int *used, err *e)
{
    if (!path || r->imatrix || !takes(r, "quantize.imatrix.file")) return true;
    ++*used;
    return recipe_set(r, "imatrix", path, e);
}

static bool default_calibration(recipe *r, const text_list *texts, int *used, err *e)
{
    if (texts->n == 0 || r->calibrate.n || r->kind == RECIPE_MIX || (r->has_effort && r->effort == 0)
        || !takes(r, KEY_HM_CALIBRATION)) return true;
    ++*used;
    for (int i = 0; i < texts->n; i++)
        if (!recipe_set(r, "calibrate", texts->v[i], e)) return false;
    return true;
}

static bool default_effort(recipe *r, const given_int *effort, int *used, err *e)
{
    char number[32];
    if (!effort->given || r->has_effort || r->kind != RECIPE_TYPE || !recipe_encodes(r)) return true;
    ++*used;
    snprintf(number, sizeof number, "%lld", (long long)effort->v);
    return recipe_set(r, "effort", number, e);
}

bool recipe_args_defaults(recipe *list, int n, const recipe_defaults *d, err *e)
{
    int imatrix = 0, calibrate = 0, effort = 0;
    for (int i = 0; i < n; i++) {
        if (!default_imatrix(&list[i], d->imatrix, &imatrix, e) || !default_effort(&list[i], &d->effort, &effort, e)
            || !default_calibration(&list[i], &d->calibrate, &calibrate, e) || !recipe_check(&list[i], e)) return false;
    }
    const char *idle = d->imatrix && !imatrix ? "--imatrix" : d->calibrate.n && !calibrate ? "--calibrate"
                       : d->effort.given && !effort ? "--effort" : NULL;
    return !idle || err_set(e, ERR_USAGE,
                            "option %s does nothing: no artifact of this release takes it, or each has its "
                            "own",
                            idle);
}
