#include "chat_template.h"

#include "../formats/checked.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/source.h"
#include "../formats/text_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_CHAT   "tokenizer.chat_template"
#define CONFIG     "tokenizer_config.json"
#define LEGACY     "chat_template.json"
#define PROCESSOR  "processor_config.json"
enum { MAX_TEMPLATES = 64, MAX_NAME_BYTES = 200, MAX_SUFFIX = 16 };

typedef struct {
    char *name, *text;                              // owned
    char  key[MAX_NAME_BYTES + MAX_SUFFIX];         // of a named one: what its name becomes; "" until it is chosen
} chat_template;

typedef struct {
    const char   *dir;
    progress     *log;
    chat_template v[MAX_TEMPLATES];
    int           n;
} templates;

static chat_template *find(templates *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->v[i].name, name) == 0) return &t->v[i];
    return NULL;
}

// A name that is there already gets the new text, as in the dict that Transformers makes. Takes text, also when it
// fails.
static bool add(templates *t, const char *name, char *text, const char *where, err *e)
{
    chat_template *old = find(t, name);
    if (!text) return err_nomem(e, "a chat template", 0);
    if (old) {
        progress_logf(t->log, "chat template '%.80s' stands twice: that of %s is taken, as in Transformers", name,
                      where);
        free(old->text);
        old->text = text;
        return true;
    }
    bool ok = true;
    if (t->n == MAX_TEMPLATES)
        ok = err_set(e, ERR_INPUT, "%s: chat_template: found more than %d templates", where, MAX_TEMPLATES);
    else if (strlen(name) > MAX_NAME_BYTES)
        ok = err_set(e, ERR_INPUT, "%s: chat_template: found a name of %zu bytes, expected at most %d", where,
                     strlen(name), MAX_NAME_BYTES);
    char *copy = ok ? strdup(name) : NULL;
    if (ok && !copy) ok = err_nomem(e, "a name", strlen(name));
    if (!ok) {
        free(text);
        return false;
    }
    t->v[t->n++] = (chat_template){ .name = copy, .text = text };
    return true;
}

static void clear(templates *t)
{
    for (int i = 0; i < t->n; i++) {
        free(t->v[i].name);
        free(t->v[i].text);
    }
    t->n = 0;
}

// ---- files ----------------------------------------------------------------------------------------------------------

static bool add_file(templates *t, const char *folder, const char *file, const char *name, err *e)
{
    char   *path = path_join(folder, file), *text = NULL;
    int64_t n;
    if (!path) return err_nomem(e, "a path", strlen(folder));
    bool ok = text_file_read(&text, &n, path, LIMIT_JSON_BYTES, e);
    if (ok && strncmp(text, "\xef\xbb\xbf", 3) == 0)
        progress_logf(t->log, "%s: begins with a byte order mark: it is part of the template, as in Transformers, and "
                      "of each prompt", path);
    if (ok && strcmp(name, "file") == 0)
        progress_logf(t->log, "%s: is written as the template 'file'; Transformers 5.24 takes a template of this name "
                      "for the default one", path);
    ok = ok && add(t, name, text, path, e);
    free(path);
    return ok;
}

static bool add_files(templates *t, err *e)
{
    dir_list names = { 0 };
    char    *one = path_join(t->dir, "chat_template.jinja"), *folder = path_join(t->dir, SOURCE_TEMPLATES);
    bool     ok  = one && folder ? true : err_nomem(e, "a path", strlen(t->dir));
    if (ok && file_exists(one)) ok = add_file(t, t->dir, "chat_template.jinja", "default", e);
    ok = ok && dir_list_read(&names, folder, ".jinja", true, e);
    for (int i = 0; ok && i < names.n; i++) {
        char *path = path_join(folder, names.v[i]), *name = strndup(names.v[i], strlen(names.v[i]) - strlen(".jinja"));
        if (!path || !name) ok = err_nomem(e, "a name", strlen(names.v[i]));
        else if (file_exists(path)) ok = add_file(t, folder, names.v[i], name, e);
        free(path);
        free(name);
    }
    dir_list_free(&names);
    free(one);
    free(folder);
    return ok;
}

// ---- the member chat_template of a JSON file ------------------------------------------------------------------------

static bool add_list(templates *t, const cJSON *list, const char *where, err *e)
{
    const char *name, *text;
    for (const cJSON *it = list->child; it; it = it->next) {
        if (!cJSON_IsObject(it))
            return err_set(e, ERR_INPUT, "%s: chat_template: expected objects with name and template", where);
        if (!json_str(it, "name", &name, where, e) || !json_str(it, "template", &text, where, e)) return false;
        if (!add(t, name, strdup(text), where, e)) return false;
    }
    return true;
}

static bool add_object(templates *t, const cJSON *object, const char *where, err *e)
{
    for (const cJSON *it = object->child; it; it = it->next) {
        if (!cJSON_IsString(it))
            return err_set(e, ERR_INPUT, "%s: chat_template: '%.80s': expected a string", where, it->string);
        if (!add(t, it->string, strdup(it->valuestring), where, e)) return false;
    }
    return true;
}

static bool add_value(templates *t, const cJSON *v, const char *where, err *e)
{
    if (cJSON_IsString(v)) return add(t, "default", strdup(v->valuestring), where, e);
    if (cJSON_IsArray(v)) return add_list(t, v, where, e);
    if (cJSON_IsObject(v)) return add_object(t, v, where, e);
    return err_set(e, ERR_INPUT, "%s: chat_template: expected a string, an array or an object", where);
}

// Is what a value says the same as what is taken already?
static bool says_the_same(templates *t, const cJSON *v)
{
    const chat_template *def = find(t, "default");
    return cJSON_IsString(v) && t->n == 1 && def && strcmp(def->text, v->valuestring) == 0;
}

static bool add_config(templates *t, const cJSON *tokenizer_config, err *e)
{
    char where[1100];
    const cJSON *v = json_get(tokenizer_config, "chat_template");
    snprintf(where, sizeof where, "%.1000s/" CONFIG, t->dir);
    if (!v) return true;
    if (t->n == 0) return add_value(t, v, where, e);
    if (!says_the_same(t, v))
        progress_logf(t->log, CONFIG ": its chat_template is not the one in the *.jinja files, which replace it, as in "
                      "Transformers");
    return true;
}

static bool add_legacy(templates *t, err *e)
{
    err    unread = { 0 };
    char  *path = path_join(t->dir, LEGACY);
    cJSON *root = NULL;
    bool   ok = true;
    if (!path) return err_nomem(e, "a path", strlen(t->dir));
    if (!file_exists(path)) goto out;
    const bool wanted = t->n == 0;
    root = json_parse_file(path, wanted ? e : &unread);
    const cJSON *v = json_get(root, "chat_template");
    if (wanted) {
        ok = root && add_value(t, v, path, e);
        if (ok)
            progress_logf(t->log, LEGACY ": its template is taken; Transformers' processors read this file, its "
                          "tokenizer does not");
    } else if (!says_the_same(t, v)) {
        progress_logf(t->log, LEGACY ": its template is another than the one that the tokenizer has, and is left out");
    }
out:
    cJSON_Delete(root);
    free(path);
    return ok;
}

// A processor's own file may hold a template, too. It decides no text of the tokenizer, and no digest covers it; where
// it is the only one, somebody would miss it.
static bool name_unread(templates *t, err *e)
{
    err    unread = { 0 };
    char  *path = path_join(t->dir, PROCESSOR);
    if (!path) return err_nomem(e, "a path", strlen(t->dir));
    cJSON *root = t->n == 0 && file_exists(path) ? json_parse_file(path, &unread) : NULL;
    if (json_get(root, "chat_template"))
        progress_logf(t->log, PROCESSOR ": its chat_template is left out: the tokenizer of Transformers does not read "
                      "it; as chat_template.jinja it would be taken");
    cJSON_Delete(root);
    free(path);
    return true;
}

// ---- keys -----------------------------------------------------------------------------------------------------------

static bool is_plain(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// As gguf-py: each character but ASCII letters and digits becomes '_', however many bytes it has.
static void key_of(char key[MAX_NAME_BYTES + MAX_SUFFIX], const char *name)
{
    size_t n = 0;
    for (const char *c = name; *c; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80) continue;
        key[n++] = is_plain(*c) ? *c : '_';
    }
    if (n == 0) key[n++] = '_';
    key[n] = '\0';
}

static bool is_taken(const templates *t, const char *key)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->v[i].key, key) == 0) return true;
    return false;
}

static void choose_key(templates *t, chat_template *c)
{
    char key[MAX_NAME_BYTES + MAX_SUFFIX];
    key_of(key, c->name);
    const size_t n = strlen(key);
    for (int k = 2; is_taken(t, key); k++) snprintf(key + n, MAX_SUFFIX, "_%d", k);
    memcpy(c->key, key, sizeof key);
    if (strcmp(key, c->name) != 0)
        progress_logf(t->log, "chat template '%.80s' is written as " KEY_CHAT ".%s", c->name, key);
}

// Names that are keys as they stand come first: "tool_use" is looked up by its name, whatever "tool-use" beside it
// becomes.
static void choose_keys(templates *t)
{
    for (int exact = 1; exact >= 0; exact--)
        for (int i = 0; i < t->n; i++) {
            chat_template *c = &t->v[i];
            char key[MAX_NAME_BYTES + MAX_SUFFIX];
            if (strcmp(c->name, "default") == 0 || !c->text[0]) continue;
            key_of(key, c->name);
            if ((strcmp(key, c->name) == 0) == exact) choose_key(t, c);
        }
}

static bool plan_all(gguf_plan *p, templates *t, err *e)
{
    gguf_str names[MAX_TEMPLATES];
    char     key[sizeof KEY_CHAT + MAX_NAME_BYTES + MAX_SUFFIX + 1];
    int      n = 0;
    choose_keys(t);
    for (int i = 0; i < t->n; i++) {
        const chat_template *c = &t->v[i];
        if (!c->text[0]) progress_logf(t->log, "chat template '%.80s' is empty: it is left out", c->name);
        if (!c->key[0]) continue;
        snprintf(key, sizeof key, KEY_CHAT ".%s", c->key);
        if (!gguf_plan_str(p, key, c->text, e)) return false;
        names[n++] = (gguf_str){ c->key, (int64_t)strlen(c->key) };
    }
    if (n && !gguf_plan_arr_str(p, KEY_CHAT "s", names, n, e)) return false;
    const chat_template *def = find(t, "default");
    if (t->n && !def) progress_logf(t->log, "chat templates: none of them is the default one");
    return !def || !def->text[0] || gguf_plan_str(p, KEY_CHAT, def->text, e);
}

bool chat_template_plan(gguf_plan *p, const char *dir, const cJSON *tokenizer_config, progress *log, err *e)
{
    templates *t = calloc(1, sizeof *t);
    if (!t) return err_nomem(e, "chat templates", sizeof *t);
    t->dir = dir;
    t->log = log;
    bool ok = add_files(t, e) && add_config(t, tokenizer_config, e) && add_legacy(t, e) && name_unread(t, e) &&
              plan_all(p, t, e);
    clear(t);
    free(t);
    return ok;
}
