#define _GNU_SOURCE
#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char           *name, *path;
    const file_map *map;        // its bytes, or NULL: read them
} source_file;

struct source_files {
    source_file  *v;
    int64_t       n, cap;
    digest_queue *queue;
};

// ---- which files -----------------------------------------------------------------------------------------------------------

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static bool is_source_file(const char *name)
{
    static const char *const NAMES[] = {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(name, NAMES[i]) == 0) return true;
    return ends_with(name, ".safetensors") || ends_with(name, ".safetensors.index.json");
}

static bool add_file(source_files *l, const char *dir, const char *name, err *e)
{
    // sha256sum escapes such names, and a line break in one could pass for another line.
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == '\\')
            return err_set(e, ERR_INPUT, "%s: file '%s': found a control character or backslash in its name", dir, name);
    if (l->n == l->cap) {
        int64_t      cap = l->cap ? l->cap * 2 : 16;
        source_file *v   = realloc(l->v, (size_t)cap * sizeof *v);
        if (!v) return err_nomem(e, "the list of files", (size_t)cap * sizeof *v);
        l->v   = v;
        l->cap = cap;
    }
    source_file *f = &l->v[l->n];
    *f = (source_file){ .name = strdup(name), .path = path_join(dir, name) };
    l->n++;
    return (f->name && f->path) || err_nomem(e, "a path", strlen(dir) + strlen(name) + 2);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const source_file *)a)->name, ((const source_file *)b)->name);
}

static bool list_files(source_files *l, const char *dir, err *e)
{
    DIR *d = opendir(dir);
    if (!d) return err_errno(e, true, dir, "open the folder");
    bool ok = true;
    for (struct dirent *ent; ok && (errno = 0, ent = readdir(d));)
        if (is_source_file(ent->d_name)) ok = add_file(l, dir, ent->d_name, e);
    if (ok && errno != 0) ok = err_errno(e, true, dir, "read the folder");
    closedir(d);
    if (!ok) return false;
    if (l->n == 0) return err_set(e, ERR_INPUT, "%s: found none of the files of a checkpoint", dir);
    qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return true;
}

// ---- their digest ----------------------------------------------------------------------------------------------------------

source_files *source_files_list(const char *hf_dir, err *e)
{
    source_files *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "the list of files", sizeof *s); return NULL; }
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
    for (int64_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].path, m->path) == 0) s->v[i].map = m;
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

bool source_files_digest(source_files *s, int n_threads, char hex[SHA256_HEX + 1], err *e)
{
    char    one[SHA256_HEX + 1];
    sha256 *all = sha256_new(e);
    bool    ok  = all != NULL;
    digest_queue_run(s->queue, n_threads);
    for (int64_t i = 0; ok && i < s->n; i++)        // the first by name, whichever failed first
        ok = digest_queue_get(s->queue, i, one, e) && sha256_add(all, one, SHA256_HEX, e) && sha256_add(all, "  ", 2, e) &&
             sha256_add(all, s->v[i].name, (int64_t)strlen(s->v[i].name), e) && sha256_add(all, "\n", 1, e);
    if (ok) return sha256_end(all, hex, e);
    sha256_free(all);
    return false;
}

bool source_digest(const char *hf_dir, int n_threads, progress *p, char hex[SHA256_HEX + 1], err *e)
{
    source_files *s  = source_files_list(hf_dir, e);
    bool          ok = s && source_files_queue(s, p, e);
    if (ok) progress_stage(p, "digest", digest_queue_bytes(s->queue));
    if (ok) ok = source_files_digest(s, n_threads, hex, e);
    source_files_free(s);
    return ok;
}

// ---- the commit ------------------------------------------------------------------------------------------------------------

static bool revision_in(const char *path, char rev[41])
{
    static const char MARK[] = "snapshots/";
    for (const char *p = path; (p = strstr(p, MARK)); p++) {
        const char *r = p + sizeof MARK - 1;
        if ((p > path && p[-1] != '/') || strspn(r, "0123456789abcdef") != 40 || (r[40] != '\0' && r[40] != '/')) continue;
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
