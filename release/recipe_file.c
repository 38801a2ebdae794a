// A file of recipes: see release_recipe.h.
#include "release_recipe.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RECIPES = 64, MOST_BYTES = 1 << 20, MOST_VALUES = 1 << 14 };

// Does it name more than what lies in the folder of the file, or below?
static bool is_outside(const char *path)
{
    if (path[0] == '/') return true;
    for (const char *at = strstr(path, ".."); at; at = strstr(at + 1, ".."))
        if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0')) return true;
    return false;
}

// A path of the file, from the folder that the file is in; malloc'd. NULL: out of memory.
static char *take_path(recipe *r, const char *file, const char *path)
{
    if (!r->outside && is_outside(path)) {
        r->outside = strdup(path);
        if (!r->outside) return NULL;
    }
    char *dir = path[0] == '/' ? NULL : path_dir(file);
    char *at = path[0] == '/' ? strdup(path) : dir ? path_join(dir, path) : NULL;
    free(dir);
    return at;
}

static bool set_text(recipe *r, const char *file, const char *key, const char *value, err *e)
{
    if (!recipe_key_is_path(key) || !value[0]) return recipe_set(r, key, value, e);
    char *at = take_path(r, file, value);
    const bool ok = at ? recipe_set(r, key, at, e) : err_nomem(e, "a path", strlen(value));
    free(at);
    return ok;
}

// A text, a whole number, true, or a list of texts: what recipe_set takes key by key.
static bool set_value(recipe *r, const char *file, const cJSON *v, err *e)
{
    char    number[32];
    int64_t n;
    const cJSON *x;
    if (cJSON_IsString(v)) return set_text(r, file, v->string, v->valuestring, e);
    if (cJSON_IsTrue(v)) return recipe_set(r, v->string, NULL, e);
    if (recipe_key_is_number(v->string) && json_as_i64(v, 0, INT64_C(1) << 40, &n)) {
        snprintf(number, sizeof number, "%lld", (long long)n);
        return recipe_set(r, v->string, number, e);
    }
    if (!cJSON_IsArray(v))
        return err_set(e, ERR_USAGE, "%s: found %s, expected a text, a whole number, true, or an array of texts",
                       v->string, json_kind(v));
    cJSON_ArrayForEach(x, v) {
        if (!cJSON_IsString(x))
            return err_set(e, ERR_USAGE, "%s: found %s in the array, expected texts", v->string, json_kind(x));
        if (!set_text(r, file, v->string, x->valuestring, e)) return false;
    }
    return true;
}

// What the recipe makes: "type", "mix" or "artifact".
static bool set_kind(recipe *r, const char *file, const cJSON *o, err *e)
{
    const cJSON *type = json_get(o, "type"), *mix = json_get(o, "mix"), *art = json_get(o, "artifact");
    if ((type != NULL) + (mix != NULL) + (art != NULL) != 1)
        return err_set(e, ERR_USAGE, "expected one of the keys 'type', 'mix' and 'artifact'");
    if (mix) {
        r->kind = RECIPE_MIX;
        return cJSON_IsTrue(mix) || err_set(e, ERR_USAGE, "mix: found %s, expected true", json_kind(mix));
    }
    const cJSON *text = type ? type : art;
    if (!cJSON_IsString(text) || !text->valuestring[0])
        return err_set(e, ERR_USAGE, "%s: found %s, expected a text", text->string, json_kind(text));
    if (art) {
        r->kind = RECIPE_ARTIFACT;
        r->artifact = take_path(r, file, art->valuestring);
        return r->artifact || err_nomem(e, "a path", strlen(file));
    }
    const file_type_info *t = file_type_find(type->valuestring);
    if (!t) return err_set(e, ERR_USAGE, "type: unknown type '%s'", type->valuestring);
    r->type = t->id;
    return true;
}

static bool read_recipe(recipe *r, const char *file, const cJSON *o, err *e)
{
    const cJSON *v;
    if (!cJSON_IsObject(o)) return err_set(e, ERR_USAGE, "found %s, expected an object", json_kind(o));
    r->file = strdup(file);
    if (!r->file) return err_nomem(e, "a path", strlen(file));
    if (!set_kind(r, file, o, e)) return false;
    cJSON_ArrayForEach(v, o) {
        const bool kind = strcmp(v->string, "type") == 0 || strcmp(v->string, "mix") == 0
            || strcmp(v->string, "artifact") == 0;
        if (!kind && !set_value(r, file, v, e)) return false;
    }
    return recipe_check(r, e);
}

static bool check_head(const cJSON *doc, const char *path, err *e)
{
    const cJSON *v, *list = json_get(doc, "recipes");
    int64_t version;
    if (!json_i64(doc, "hallmark_recipe", 1, 1, &version, path, e)) return false;
    cJSON_ArrayForEach(v, doc)
        if (strcmp(v->string, "hallmark_recipe") != 0 && strcmp(v->string, "recipes") != 0)
            return err_set(e, ERR_INPUT, "%s: key '%s': expected 'hallmark_recipe' and 'recipes' alone", path,
                           v->string);
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n >= 1 && n <= MOST_RECIPES) return true;
    return err_set(e, ERR_INPUT, "%s: key 'recipes': found %s of %d, expected an array of 1 to %d", path,
                   json_kind(list), n, (int)MOST_RECIPES);
}

static bool read_recipes(recipe *to, int *n, const cJSON *list, const char *path, err *e)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, list) {
        err bad = { 0 };
        recipe *r = &to[(*n)++];
        *r = (recipe){ .type = FT_INVALID };
        if (read_recipe(r, path, o, &bad)) continue;
        return err_set(e, bad.kind == ERR_USAGE ? ERR_INPUT : bad.kind, "%s: recipes[%d]: %s", path, *n - 1, bad.msg);
    }
    return true;
}

static bool append(recipe **list, int *n, recipe *more, int n_more, err *e)
{
    recipe *grown = realloc(*list, ((size_t)*n + (size_t)n_more) * sizeof *grown);
    if (!grown) return err_nomem(e, "recipes", (size_t)n_more * sizeof *grown);
    memcpy(grown + *n, more, (size_t)n_more * sizeof *more);
    *list = grown;
    *n += n_more;
    return true;
}

bool recipe_file_read(recipe **list, int *n, const char *path, err *e)
{
    char   *text = NULL;
    int64_t bytes;
    int     found = 0;
    if (!file_read_text(&text, &bytes, path, MOST_BYTES, e)) return false;
    cJSON  *doc = json_parse_limited(text, bytes, MOST_VALUES, path, e);
    recipe *more = NULL;
    bool    ok = doc && check_head(doc, path, e);
    free(text);
    ok = ok && ((more = calloc(MOST_RECIPES, sizeof *more)) || err_nomem(e, "recipes", sizeof *more));
    ok = ok && read_recipes(more, &found, json_get(doc, "recipes"), path, e) && append(list, n, more, found, e);
    if (ok) free(more);                 // its texts are the list's
    else    recipes_free(more, found);
    cJSON_Delete(doc);
    return ok;
}
