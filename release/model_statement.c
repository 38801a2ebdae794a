#include "model_statement.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STATEMENT_VALUES = 1 << 20 };

// Over the digests themselves, not their hex.
static bool root_add(sha256 *s, const char *hex, err *e)
{
    uint8_t raw[SHA256_HEX / 2];
    for (int i = 0; i < SHA256_HEX; i++) {
        const int v = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
        raw[i / 2] = (uint8_t)(i % 2 ? raw[i / 2] | v : v << 4);
    }
    return sha256_add(s, raw, sizeof raw, e);
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool add_serialization(cJSON *predicate, const char *sig)
{
    const char *names[FOLDER_N_IGNORED + 1];
    cJSON *s = cJSON_AddObjectToObject(predicate, "serialization");
    memcpy(names, FOLDER_IGNORED, sizeof FOLDER_IGNORED);
    names[FOLDER_N_IGNORED] = sig;
    return cJSON_AddStringToObject(s, "method", "files") && cJSON_AddStringToObject(s, "hash_type", "sha256")
        && cJSON_AddBoolToObject(s, "allow_symlinks", false)
        && json_add_strings(s, "ignore_paths", names, FOLDER_N_IGNORED + 1);
}

static bool add_resources(cJSON *predicate, const folder_digest *f)
{
    cJSON *list = cJSON_AddArrayToObject(predicate, "resources");
    bool   ok = list != NULL;
    for (int i = 0; ok && i < f->n; i++) {
        cJSON *r = json_add_object(list);
        ok = cJSON_AddStringToObject(r, "name", f->v[i].name) && cJSON_AddStringToObject(r, "algorithm", "sha256")
          && cJSON_AddStringToObject(r, "digest", f->v[i].sha256);
    }
    return ok;
}

static bool add_subject(cJSON *doc, const char *name, const char *root)
{
    cJSON *one = json_add_object(cJSON_AddArrayToObject(doc, "subject"));
    return cJSON_AddStringToObject(one, "name", name)
        && cJSON_AddStringToObject(cJSON_AddObjectToObject(one, "digest"), "sha256", root);
}

static bool root_of(const folder_digest *f, char hex[SHA256_HEX + 1])
{
    err     e = { 0 };
    sha256 *s = sha256_new(&e);
    bool    ok = s != NULL;
    for (int i = 0; ok && i < f->n; i++) ok = root_add(s, f->v[i].sha256, &e);
    return sha256_end_if(s, ok, hex, &e);
}

char *model_statement_text(const folder_digest *f, const char *subject, const char *sig)
{
    char   root[SHA256_HEX + 1], *text = NULL;
    cJSON *doc = cJSON_CreateObject(), *predicate = NULL;
    bool   ok = doc && root_of(f, root) && cJSON_AddStringToObject(doc, "_type", STATEMENT_TYPE)
        && add_subject(doc, subject, root) && cJSON_AddStringToObject(doc, "predicateType", MODEL_PREDICATE)
        && (predicate = cJSON_AddObjectToObject(doc, "predicate")) && add_serialization(predicate, sig)
        && add_resources(predicate, f);
    if (ok) text = json_print(doc);
    cJSON_Delete(doc);
    return text;
}

// ---- reading -------------------------------------------------------------------------------------------------------

const char *descriptor_sha256(const cJSON *descriptor)
{
    const cJSON *hex = json_get(json_get(descriptor, "digest"), "sha256");
    return cJSON_IsString(hex) && sha256_is_hex(hex->valuestring) ? hex->valuestring : NULL;
}

// Below the folder: no part is empty, "." or "..".
static bool stays_below(const char *name)
{
    for (const char *part = name;; part++) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) return false;
        part += n;
        if (!*part) return true;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const model_resource *)a)->name, ((const model_resource *)b)->name);
}

// Of the methods and digests that the format allows, one is computed here.
static bool is_computed(model_statement *s, const cJSON *from, const char *key, const char *ours, const char *where,
                        err *e)
{
    const char *found;
    if (!json_str(from, key, &found, where, e)) return false;
    if (strcmp(found, ours) == 0) return true;
    snprintf(s->not_ours, sizeof s->not_ours, "key '%s': '%.40s'", key, found);
    return err_set(e, ERR_INPUT, "%s: key '%s': found '%.100s', expected '%s'%s", where, key, found, ours,
                   strcmp(key, "method") == 0 ? " (a digest a file)" : "");
}

static bool read_resource(model_statement *s, model_resource *r, const cJSON *from, const char *where, err *e)
{
    const char *name, *hex;
    if (!json_str(from, "name", &name, where, e) || !is_computed(s, from, "algorithm", "sha256", where, e)
        || !json_str(from, "digest", &hex, where, e)) return false;
    if (!stays_below(name))
        return err_set(e, ERR_INPUT, "%s: resource '%.200s': the name leads out of the folder", where, name);
    if (!sha256_is_hex(hex))
        return err_set(e, ERR_INPUT, "%s: resource '%.200s': found '%.100s', expected a SHA-256 in hex", where, name,
                       hex);
    strcpy(r->sha256, hex);
    return (r->name = strdup(name)) != NULL || err_nomem(e, "a name", strlen(name));
}

static bool read_resources(model_statement *s, sha256 *root, const cJSON *list, const char *where, err *e)
{
    const cJSON *x;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        return err_set(e, ERR_INPUT, "%s: key 'resources': found %s, expected an array of files", where,
                       json_kind(list));
    s->v = calloc((size_t)cJSON_GetArraySize(list), sizeof *s->v);
    if (!s->v) return err_nomem(e, "files of a signature", 0);
    cJSON_ArrayForEach(x, list) {
        if (!read_resource(s, &s->v[s->n], x, where, e)) return false;
        if (!root_add(root, s->v[s->n++].sha256, e)) return false;
    }
    qsort(s->v, (size_t)s->n, sizeof *s->v, by_name);
    for (int i = 1; i < s->n; i++)
        if (strcmp(s->v[i - 1].name, s->v[i].name) == 0)
            return err_set(e, ERR_INPUT, "%s: resource '%.200s': is named twice", where, s->v[i].name);
    return true;
}

// Older ones may have none.
static bool read_ignored(model_statement *s, const cJSON *list, const char *where, err *e)
{
    const cJSON *x;
    if (!list || cJSON_IsNull(list)) return true;
    if (!cJSON_IsArray(list))
        return err_set(e, ERR_INPUT, "%s: key 'ignore_paths': found %s, expected an array of names", where,
                       json_kind(list));
    s->ignored = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *s->ignored);
    if (!s->ignored) return err_nomem(e, "names of a signature", 0);
    cJSON_ArrayForEach(x, list) {
        if (!cJSON_IsString(x))
            return err_set(e, ERR_INPUT, "%s: key 'ignore_paths': found %s, expected a name", where, json_kind(x));
        if (!(s->ignored[s->n_ignored] = strdup(x->valuestring)))
            return err_nomem(e, "a name", strlen(x->valuestring));
        s->n_ignored++;
    }
    return true;
}

static bool read_serialization(model_statement *s, const cJSON *from, const char *where, err *e)
{
    return is_computed(s, from, "method", "files", where, e) && is_computed(s, from, "hash_type", "sha256", where, e)
        && read_ignored(s, json_get(from, "ignore_paths"), where, e);
}

static bool read_subject(model_statement *s, const cJSON *list, const char **hex, const char *where, err *e)
{
    const cJSON *one = cJSON_GetArrayItem(list, 0);
    const char  *name;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1)
        return err_set(e, ERR_INPUT, "%s: key 'subject': found %s of %d, expected an array of one", where,
                       json_kind(list), cJSON_GetArraySize(list));
    if (!json_str(one, "name", &name, where, e)) return false;
    if (!(*hex = descriptor_sha256(one)))
        return err_set(e, ERR_INPUT, "%s: key 'subject': found no SHA-256 in its digest", where);
    return (s->subject = strdup(name)) != NULL || err_nomem(e, "a name", strlen(name));
}

static bool read_statement(model_statement *s, sha256 **root, const cJSON *doc, const char *where, err *e)
{
    const cJSON *predicate = json_get(doc, "predicate");
    const char  *expected = "";
    char found[SHA256_HEX + 1];
    if (!json_str_is(doc, "_type", STATEMENT_TYPE, where, e)
        || !json_str_is(doc, "predicateType", MODEL_PREDICATE, where, e)
        || !read_subject(s, json_get(doc, "subject"), &expected, where, e)
        || !read_serialization(s, json_get(predicate, "serialization"), where, e)
        || !read_resources(s, *root, json_get(predicate, "resources"), where, e)) return false;
    const bool ended = sha256_end(*root, found, e);
    *root = NULL;
    return ended && (strcmp(found, expected) == 0
        || err_set(e, ERR_INPUT, "%s: key 'subject': found digest %.16s..., expected %.16s..., that of its resources",
                   where, expected, found));
}

static void empty(model_statement *s)
{
    char kept[sizeof s->not_ours];
    memcpy(kept, s->not_ours, sizeof kept);
    model_statement_free(s);
    memcpy(s->not_ours, kept, sizeof kept);
}

bool model_statement_read(model_statement *s, const char *payload, int64_t n, const char *where, err *e)
{
    *s = (model_statement){ 0 };
    cJSON  *doc = json_parse_limited(payload, n, MOST_STATEMENT_VALUES, where, e);
    sha256 *root = doc ? sha256_new(e) : NULL;
    const bool ok = root && read_statement(s, &root, doc, where, e);
    sha256_free(root);
    cJSON_Delete(doc);
    if (!ok) empty(s);
    return ok;
}

void model_statement_free(model_statement *s)
{
    for (int i = 0; i < s->n; i++) free(s->v[i].name);
    for (int i = 0; i < s->n_ignored; i++) free(s->ignored[i]);
    free(s->ignored);
    free(s->v);
    free(s->subject);
    *s = (model_statement){ 0 };
}

// ---- comparing -----------------------------------------------------------------------------------------------------

const model_resource *model_statement_named(const model_statement *s, const char *name)
{
    const model_resource key = { .name = (char *)name };
    return s->n ? bsearch(&key, s->v, (size_t)s->n, sizeof *s->v, by_name) : NULL;
}

bool model_statement_leaves_out(const model_statement *s, const char *name)
{
    for (int i = 0; i < s->n_ignored; i++) {
        const size_t n = strlen(s->ignored[i]);
        const bool same = n > 0 && strncmp(name, s->ignored[i], n) == 0 && (name[n] == '\0' || name[n] == '/');
        if (same) return !model_statement_named(s, name);
    }
    return false;
}

const model_resource *model_statement_find(const model_statement *s, const char *name, const char *hex)
{
    const model_resource *same = model_statement_named(s, name);
    if (same && strcmp(same->sha256, hex) == 0) return same;
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].sha256, hex) == 0) return &s->v[i];
    return NULL;
}

// Another file of the folder with these bytes, where a file is gone: it has another name now.
static const folder_file *of_digest(const folder_digest *f, const char *hex)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->v[i].sha256, hex) == 0) return &f->v[i];
    return NULL;
}

static bool is_of_another_folder(const model_statement *s, const folder_digest *f)
{
    for (int i = 0; i < s->n; i++)
        if (of_digest(f, s->v[i].sha256)) return false;
    return true;
}

// huggingface_hub keeps its own notes in the folder that it downloads to.
static bool refuse_new(const folder_digest *f, const char *name, err *e)
{
    static const char notes[] = ".cache/huggingface/";
    if (strncmp(name, notes, sizeof notes - 1) == 0)
        return err_set(e, ERR_VERDICT, "%s/%s: is there, and was not signed: a download left it; remove %s/.cache",
                       f->dir, name, f->dir);
    return err_set(e, ERR_VERDICT, "%s/%s: is there, and was not signed", f->dir, name);
}

bool model_statement_fits(const model_statement *s, const folder_digest *f, const char *where, err *e)
{
    if (is_of_another_folder(s, f))
        return err_set(e, ERR_VERDICT,
                       "%s: it is the signature of another folder ('%.200s'): %s holds none of its %d files",
                       where, s->subject, f->dir, s->n);
    for (int i = 0; i < s->n; i++) {
        const folder_file *x = folder_digest_find(f, s->v[i].name);
        if (x && strcmp(x->sha256, s->v[i].sha256) != 0)
            return err_set(e, ERR_VERDICT, "%s/%s: is not the file that was signed: found SHA-256 %s, expected %s",
                           f->dir, x->name, x->sha256, s->v[i].sha256);
        if (x) continue;
        x = of_digest(f, s->v[i].sha256);
        if (x && !model_statement_named(s, x->name))
            return err_set(e, ERR_VERDICT, "%s/%s: was signed under another name, '%.200s'", f->dir, x->name,
                           s->v[i].name);
        return err_set(e, ERR_VERDICT, "%s/%s: was signed, and is not there", f->dir, s->v[i].name);
    }
    for (int i = 0; i < f->n; i++) {
        const char *name = f->v[i].name;
        if (!model_statement_named(s, name) && !model_statement_leaves_out(s, name)) return refuse_new(f, name, e);
    }
    return true;
}
