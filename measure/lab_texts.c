// lab_texts: the texts of a laboratory run: one for each argument, of one file or of all that a pattern names.
#include "lab_internal.h"
#include "texts.h"
#include "../formats/file_map.h"
#include "../formats/text_file.h"
#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_CATEGORY = 32 };

const char *lab_text_path(const char *arg)
{
    const size_t n = strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && arg[n] == '=' ? arg + n + 1 : arg;
}

static bool category_of(lab_text *t, const char *arg, const char *path, err *e)
{
    const size_t n = path == arg ? 0 : (size_t)(path - arg) - 1;
    if (n > LIMIT_CATEGORY)
        return err_set(e, ERR_USAGE, "text '%s': expected a category of at most %d characters", arg, LIMIT_CATEGORY);
    t->category = n ? strndup(arg, n) : strdup("text");
    return t->category || err_nomem(e, "a category", n);
}

typedef struct { char *s; int64_t n; } bytes;

static bool append_file(void *to, const char *path, err *e)
{
    bytes  *all = to;
    char   *text = NULL;
    int64_t n;
    if (!texts_load(&text, &n, path, e)) return false;
    const int64_t valid = utf8_valid_bytes(text, n);
    if (valid < n) {
        free(text);
        return err_set(e, ERR_INPUT, "%s: offset %lld: found a byte that is no UTF-8, expected text", path,
                       (long long)valid);
    }
    char *grown = realloc(all->s, (size_t)(all->n + n) + 1);
    if (grown) {
        memcpy(grown + all->n, text, (size_t)n);
        all->s = grown;
        all->n += n;
    }
    free(text);
    return grown || err_nomem(e, path, (size_t)(all->n + n));
}

// Calls fn with each file of a pattern, in the order of their names' bytes, while it gives true. A name that is a
// file's is no pattern; nor is one that nothing matches.
static bool each_file(const char *pattern, bool (*fn)(void *ctx, const char *path, err *e), void *ctx, err *e)
{
    glob_t found;
    const int code = file_exists(pattern) ? GLOB_NOMATCH : glob(pattern, 0, NULL, &found);
    if (code == GLOB_NOSPACE) return err_nomem(e, pattern, 0);
    if (code != 0) return fn(ctx, pattern, e);
    bool ok = true;
    for (size_t i = 0; ok && i < found.gl_pathc; i++) ok = fn(ctx, found.gl_pathv[i], e);
    globfree(&found);
    return ok;
}

static bool is_another(void *file, const char *path, err *e) { return !same_file(file, path); }

bool lab_text_names(const char *arg, const char *path)
{
    err ignored = { 0 };
    return !each_file(lab_text_path(arg), is_another, (void *)(uintptr_t)path, &ignored);
}

static bool name_of(lab_text *t, const char *path, err *e)
{
    const char *slash = strrchr(path, '/');
    t->name = strdup(slash ? slash + 1 : path);
    return t->name || err_nomem(e, "a text's name", strlen(path));
}

bool lab_text_read(lab_text *t, const tokenizer *words, const char *arg, err *e)
{
    const char *path = lab_text_path(arg);
    bytes all = { 0 };
    if (!category_of(t, arg, path, e) || !name_of(t, path, e)) return false;
    bool ok = each_file(path, append_file, &all, e);
    if (ok && all.n == 0) ok = err_set(e, ERR_INPUT, "%s: the text is empty", path);
    ok = ok && sha256_bytes(all.s, all.n, t->sha256, e);
    ok = ok && tokenizer_encode(words, all.s, all.n, false, false, &t->ids, &t->tokens, e);
    free(all.s);
    return ok;
}

void lab_text_free(lab_text *t)
{
    free(t->category);
    free(t->name);
    free(t->ids);
    *t = (lab_text){ 0 };
}

bool lab_text_holds(const lab_text *t, int64_t chunk, err *e)
{
    return t->tokens >= chunk
        || err_set(e, ERR_INPUT, "%s: a text of %lld tokens, expected a chunk of %lld at least", t->name,
                   (long long)t->tokens, (long long)chunk);
}

bool lab_texts_check(const tokenizer *words, const char *const *texts, int n, int64_t chunk, err *e)
{
    bool ok = n <= LAB_TEXTS || err_set(e, ERR_USAGE, "found %d texts, expected at most %d", n, LAB_TEXTS);
    for (int i = 0; ok && i < n; i++) {
        lab_text t = { 0 };
        ok = lab_text_read(&t, words, texts[i], e) && lab_text_holds(&t, chunk ? chunk : LAB_CHUNK, e);
        lab_text_free(&t);
    }
    return ok;
}
