// recipe: see recipe.h.
#include "recipe.h"
#include "../formats/claims.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INPUTS = 64 };

static const struct { const char *kind, *words; } KINDS[] = {
    { "imatrix", "importance matrix" }, { "calibration", "calibration text" }, { "text", "text" },
    { "artifact", "finished file" }, { "recipe", "recipe file" },
};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS };

static const char *words_of(const char *kind)
{
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(KINDS[i].kind, kind) == 0) return KINDS[i].words;
    return NULL;
}

bool verify_recipe_input(verify_recipe *r, const char *kind, const char *name, const char *hex, err *e)
{
    if (r->n == MOST_INPUTS) return err_set(e, ERR_USAGE, "a recipe of more than %d files", (int)MOST_INPUTS);
    verify_input *grown = realloc(r->v, ((size_t)r->n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "a recipe", ((size_t)r->n + 1) * sizeof *grown);
    r->v = grown;
    verify_input *x = &grown[r->n++];
    *x = (verify_input){ .kind = "" };
    snprintf(x->kind, sizeof x->kind, "%s", kind);
    text_fit(x->name, sizeof x->name, name, strlen(name), 0);
    snprintf(x->sha256, sizeof x->sha256, "%s", hex);
    return true;
}

void verify_recipe_free(verify_recipe *r)
{
    free(r->v);
    *r = (verify_recipe){ .n = 0 };
}

bool verify_recipe_copy(verify_recipe *to, const verify_recipe *from, err *e)
{
    memcpy(to->words, from->words, sizeof to->words);
    for (int64_t i = 0; i < from->n; i++)
        if (!verify_recipe_input(to, from->v[i].kind, from->v[i].name, from->v[i].sha256, e)) return false;
    return true;
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

bool verify_recipe_add(cJSON *o, const verify_recipe *r)
{
    if (!r->words[0]) return true;
    cJSON *at = cJSON_AddObjectToObject(o, "recipe");
    if (!at || !cJSON_AddStringToObject(at, "words", r->words)) return false;
    cJSON *list = cJSON_AddArrayToObject(at, "inputs");
    for (int64_t i = 0; i < r->n; i++) {
        cJSON *one = json_add_object(list);
        if (!one || !cJSON_AddStringToObject(one, "kind", r->v[i].kind)) return false;
        if (!cJSON_AddStringToObject(one, "name", r->v[i].name)) return false;
        if (!cJSON_AddStringToObject(one, "sha256", r->v[i].sha256)) return false;
    }
    return list != NULL;
}

static bool read_input(verify_recipe *r, const cJSON *o, const char *where, err *e)
{
    const char *kind, *name, *hex;
    if (!json_str(o, "kind", &kind, where, e) || !json_str(o, "name", &name, where, e)
        || !json_str(o, "sha256", &hex, where, e)) return false;
    if (!words_of(kind)) return err_set(e, ERR_VERDICT, "%s: key 'kind': found '%.32s', which is none", where, kind);
    if (strlen(name) >= sizeof r->v->name)
        return err_set(e, ERR_VERDICT, "%s: key 'name': found a text that is too long", where);
    if (!sha256_is_hex(hex))
        return err_set(e, ERR_VERDICT, "%s: key 'sha256': found '%.80s', expected a SHA-256 in hex", where, hex);
    return verify_recipe_input(r, kind, name, hex, e);
}

static bool read_all(verify_recipe *r, const cJSON *o, const char *where, err *e)
{
    const char  *words;
    const cJSON *list = json_get(o, "inputs"), *one;
    if (!json_str(o, "words", &words, where, e)) return false;
    if (!words[0] || strlen(words) >= sizeof r->words)
        return err_set(e, ERR_VERDICT, "%s: key 'words': found no text, or too long a one", where);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > MOST_INPUTS)
        return err_set(e, ERR_VERDICT, "%s: key 'inputs': found no array of at most %d", where, (int)MOST_INPUTS);
    strcpy(r->words, words);
    cJSON_ArrayForEach(one, list)
        if (!read_input(r, one, where, e)) return false;
    return true;
}

bool verify_recipe_read(verify_recipe *r, const cJSON *o, const char *where, err *e)
{
    char at[600];
    err  bad = { 0 };
    if (!o) return true;
    snprintf(at, sizeof at, "%.500s: key 'recipe'", where);
    if (read_all(r, o, at, &bad)) return true;
    return err_as_verdict(e, &bad);
}

// ---- Markdown ------------------------------------------------------------------------------------------------------

void verify_recipe_put(text_buf *t, const char *artifact, const verify_recipe *r)
{
    if (!r->words[0]) return;
    text_words(t, "- ");
    text_puts(t, TEXT_MD, artifact);
    text_words(t, " was made by the recipe: ");
    text_puts(t, TEXT_MD, r->words);
    for (int64_t i = 0; i < r->n; i++) {
        text_printf(t, "; %s ", words_of(r->v[i].kind));
        text_puts(t, TEXT_MD, r->v[i].name);
        text_words(t, ", SHA-256 ");
        text_puts(t, TEXT_MD_CODE, r->v[i].sha256);
    }
    text_words(t, ".\n");
}

// ---- against the file ----------------------------------------------------------------------------------------------

// The digests of the texts in the order of their use, as hallmark.quantize.calibration has them. NULL: no memory.
static char *calibration_of(const verify_recipe *r)
{
    text_buf t = { 0 };
    for (int64_t i = 0; i < r->n; i++) {
        if (strcmp(r->v[i].kind, "calibration") != 0) continue;
        text_printf(&t, "%s%s", t.n > 0 ? "," : "", r->v[i].sha256);
    }
    return text_take(&t);
}

static bool same_calibration(const verify_recipe *r, const gguf *g, err *e)
{
    char    *named = calibration_of(r);
    gguf_str said = { "", 0 };
    err      absent = { 0 };
    if (!named) return err_nomem(e, "a recipe", 0);
    gguf_get_str(g, KEY_HM_CALIBRATION, &said, &absent);
    const bool same = said.n == (int64_t)strlen(named) && memcmp(said.s, named, (size_t)said.n) == 0;
    if (!same)
        err_set(e, ERR_VERDICT, "%s: key '%s': found '%.*s', expected '%.200s', as the recipe of its record says",
                gguf_path(g), KEY_HM_CALIBRATION, said.n < 200 ? (int)said.n : 200, said.s, named);
    free(named);
    return same;
}

bool verify_recipe_fits(const verify_recipe *r, const gguf *g, err *e)
{
    static const char KEY[] = "quantize.imatrix.file";
    bool named = false;
    if (!r->words[0]) return true;
    for (int64_t i = 0; i < r->n; i++) named |= strcmp(r->v[i].kind, "imatrix") == 0;
    if (named != (gguf_find_kv(g, KEY) != NULL))
        return err_set(e, ERR_VERDICT, "%s: key '%s': %s, but the recipe of its record names %s", gguf_path(g), KEY,
                       named ? "absent" : "is there", named ? "an importance matrix" : "none");
    return same_calibration(r, g, e);
}
