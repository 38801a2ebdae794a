#define _GNU_SOURCE
#include "source.h"
#include "checkpoint.h"
#include "dir_list.h"
#include "file_kind.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char           *name, *path;
    bool            v2_only;    // the list of version 1 does not have it
    const file_map *map;        // its bytes, or NULL: read them
} source_file;

struct source_files {
    source_file  *v;
    int64_t       n, cap;
    digest_queue *queue;
};

// ---- what is said of a source ---------------------------------------------------------------------------------------

void source_id_said(source_id *id, int64_t version, const char *digest, const char *digest_v1)
{
    *id = (source_id){ .v1 = "" };
    const char *v1 = version < 2 || !digest_v1[0] ? digest : digest_v1;
    if (strlen(v1) == SHA256_HEX) memcpy(id->v1, v1, SHA256_HEX + 1);
    if (version >= 2 && strlen(digest) == SHA256_HEX) memcpy(id->v2, digest, SHA256_HEX + 1);
}

bool source_id_same(const source_id *a, const source_id *b)
{
    if (a->v2[0] && b->v2[0]) return strcmp(a->v2, b->v2) == 0;
    return a->v1[0] && strcmp(a->v1, b->v1) == 0;
}

bool source_id_known(const source_id *id) { return id->v1[0] || id->v2[0]; }

// ---- which files ----------------------------------------------------------------------------------------------------

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0) return true;
    return false;
}

// Which list names the file first: 1, 2, or 0 for none.
static int listed_since(const char *name)
{
    static const char *const V1[] = {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", NULL,
    };
    static const char *const V2[] = {
        "chat_template.json", "added_tokens.json", "special_tokens_map.json", "tokenizer.model", "vocab.json",
        "merges.txt", NULL,
    };
    if (is_one_of(name, V1)) return 1;
    if (text_ends_with(name, ".safetensors") || text_ends_with(name, ".safetensors.index.json")) return 1;
    return is_one_of(name, V2) ? 2 : 0;
}

bool source_lists(const char *name) { return listed_since(name) != 0; }

// name: from the checkpoint's folder on.
static bool add_file(source_files *l, const char *dir, const char *name, bool v2_only, err *e)
{
    // sha256sum escapes such names, and a line break in one could pass for another line.
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == '\\')
            return err_set(e, ERR_INPUT, "%s: file '%s': found a control character or backslash in its name", dir,
                           name);
    if (l->n == l->cap) {
        int64_t      cap = l->cap ? l->cap * 2 : 16;
        source_file *v   = realloc(l->v, (size_t)cap * sizeof *v);
        if (!v) return err_nomem(e, "the list of files", (size_t)cap * sizeof *v);
        l->v   = v;
        l->cap = cap;
    }
    source_file *f = &l->v[l->n];
    *f = (source_file){ .name = strdup(name), .path = path_join(dir, name), .v2_only = v2_only };
    l->n++;
    return (f->name && f->path) || err_nomem(e, "a path", strlen(dir) + strlen(name) + 2);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const source_file *)a)->name, ((const source_file *)b)->name);
}

static bool list_templates(source_files *l, const char *dir, err *e)
{
    dir_list names = { 0 };
    char    *sub   = path_join(dir, SOURCE_TEMPLATES);
    bool     ok    = sub ? dir_list_read(&names, sub, ".jinja", true, e) : err_nomem(e, "a path", strlen(dir));
    for (int i = 0; ok && i < names.n; i++) {
        char *name = path_join(SOURCE_TEMPLATES, names.v[i]), *path = path_join(sub, names.v[i]);
        if (!name || !path) ok = err_nomem(e, "a path", strlen(dir));
        else if (!dir_exists(path)) ok = add_file(l, dir, name, true, e);       // a folder is no template
        free(name);
        free(path);
    }
    dir_list_free(&names);
    free(sub);
    return ok;
}

static bool list_files(source_files *l, const char *dir, err *e)
{
    dir_list names;
    bool     ok = dir_list_read(&names, dir, NULL, false, e);
    for (int i = 0; ok && i < names.n; i++) {
        int since = listed_since(names.v[i]);
        if (since) ok = add_file(l, dir, names.v[i], since == 2, e);
    }
    dir_list_free(&names);
    ok = ok && list_templates(l, dir, e);
    for (int64_t i = 0; ok && i < l->n; i++) ok = file_at_is_no_pointer(l->v[i].path, e);
    if (!ok) return false;
    if (l->n == 0) return err_set(e, ERR_INPUT, "%s: found none of the files of a checkpoint", dir);
    qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return true;
}

// ---- their digest ---------------------------------------------------------------------------------------------------

source_files *source_files_list(const char *hf_dir, err *e)
{
    source_files *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "the list of files", sizeof *s); return NULL; }
    if (dir_exists(hf_dir) && !checkpoint_keeps_to_itself(hf_dir, e)) { source_files_free(s); return NULL; }
    if (list_files(s, hf_dir, e)) return s;
    source_files_free(s);
    return NULL;
}

void source_files_free(source_files *s)
{
    if (!s) return;
    digest_queue_free(s->queue);
    for (int64_t i = 0; i < s->n; i++) {
        free(s->v[i].name);
        free(s->v[i].path);
    }
    free(s->v);
    free(s);
}

const char *source_files_path(const source_files *s, int64_t i) { return i < s->n ? s->v[i].path : NULL; }

void source_files_mapped(source_files *s, const file_map *m)
{
    const char *slash = strrchr(m->path, '/');
    const source_file key = { .name = (char *)(uintptr_t)(slash ? slash + 1 : m->path) };
    source_file *f = s->n > 0 ? bsearch(&key, s->v, (size_t)s->n, sizeof *s->v, by_name) : NULL;
    if (f && strcmp(f->path, m->path) == 0) f->map = m;
}

bool source_files_differ(const source_files *s)
{
    for (int64_t i = 0; i < s->n; i++)
        if (s->v[i].v2_only) return true;
    return false;
}

digest_queue *source_files_queue(source_files *s, progress *p, err *e)
{
    s->queue = digest_queue_new(s->n, p, e);
    for (int64_t i = 0; s->queue && i < s->n; i++) {
        const source_file *f = &s->v[i];
        if (f->map) digest_queue_add_bytes(s->queue, f->map->data, f->map->size, f->name);
        else        digest_queue_add_file(s->queue, f->path, f->name);
    }
    return s->queue;
}

// The digest over the lines of one list's files.
static bool digest_of_list(const source_files *s, bool v2, char hex[SHA256_HEX + 1], err *e)
{
    char    one[SHA256_HEX + 1];
    sha256 *all = sha256_new(e);
    bool    ok  = all != NULL;
    for (int64_t i = 0; ok && i < s->n; i++) {      // the first by name, whichever failed first
        if (s->v[i].v2_only && !v2) continue;
        const char *name = s->v[i].name;
        ok = digest_queue_get(s->queue, i, one, e);
        ok = ok && sha256_add(all, one, SHA256_HEX, e) && sha256_add(all, "  ", 2, e);
        ok = ok && sha256_add(all, name, (int64_t)strlen(name), e) && sha256_add(all, "\n", 1, e);
    }
    return sha256_end_if(all, ok, hex, e);
}

bool source_files_digest(source_files *s, int n_threads, source_id *id, err *e)
{
    digest_queue_run(s->queue, n_threads);
    return digest_of_list(s, true, id->v2, e) && digest_of_list(s, false, id->v1, e);
}

bool source_digest(const char *hf_dir, int n_threads, progress *p, source_id *id, err *e)
{
    source_files *s  = source_files_list(hf_dir, e);
    bool          ok = s && source_files_queue(s, p, e);
    if (ok) progress_stage(p, "digest", digest_queue_bytes(s->queue));
    if (ok) ok = source_files_digest(s, n_threads, id, e);
    source_files_free(s);
    return ok;
}

// ---- the commit -----------------------------------------------------------------------------------------------------

static bool revision_in(const char *path, char rev[41])
{
    static const char MARK[] = "snapshots/";
    for (const char *p = path; (p = strstr(p, MARK)); p++) {
        const char *r = p + sizeof MARK - 1;
        if ((p > path && p[-1] != '/') || strspn(r, "0123456789abcdef") != 40) continue;
        if (r[40] != '\0' && r[40] != '/') continue;
        memcpy(rev, r, 40);
        rev[40] = '\0';
        return true;
    }
    return false;
}

void source_revision(const char *hf_dir, char rev[41])
{
    rev[0] = '\0';
    if (revision_in(hf_dir, rev)) return;
    char *real = realpath(hf_dir, NULL);
    if (real) revision_in(real, rev);
    free(real);
}
