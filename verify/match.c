#include "match.h"
#include "preflight.h"
#include "reference.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fixture_refs_add(fixture_refs *r, const char *path, bool asked, err *e)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].path, path) == 0) { r->v[i].asked |= asked; return true; }
    fixture_ref *grown = realloc(r->v, ((size_t)r->n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "fixtures", ((size_t)r->n + 1) * sizeof *grown);
    r->v = grown;
    fixture *f = fixture_open(path, e);
    if (!f) return false;
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].digest, f->file_digest) == 0) {      // the same bytes prove nothing more
            r->v[i].asked |= asked;
            fixture_close(f);
            return true;
        }
    fixture_ref *x = &r->v[r->n];
    *x = (fixture_ref){ .path = strdup(path), .asked = asked, .cases = f->n_cases, .top_k = f->top_k };
    snprintf(x->name, sizeof x->name, "%s", path_base(path));
    snprintf(x->digest, sizeof x->digest, "%s", f->file_digest);
    snprintf(x->arith, sizeof x->arith, "%s", strcmp(f->dtype, "bfloat16") == 0 ? "bf16" : "f32");
    x->source = f->source;
    snprintf(x->weights, sizeof x->weights, "%s", f->weights_digest);
    snprintf(x->weights_type, sizeof x->weights_type, "%s", f->weights_type ? f->weights_type : "");
    for (int64_t i = 0; i < f->n_cases; i++) x->prompt_tokens += f->cases[i].n_prompt;
    const bool described = reference_describe(&x->reference, f, e);
    fixture_close(f);
    if (!described) {
        free(x->path);
        return false;
    }
    if (!x->path) return err_nomem(e, "a fixture's name", strlen(path) + 1);
    r->n++;
    return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n > m && strcmp(s + n - m, suffix) == 0;
}

// The names of dir's fixtures, sorted; each is freed by the caller, as is the list.
static bool list_fixtures(const char *dir, char ***names, int *n, err *e)
{
    *names = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT || errno == ENOTDIR ? true : err_errno(e, true, dir, "open");
    bool ok = true;
    for (struct dirent *x; ok && (x = readdir(d)) != NULL;) {
        if (x->d_name[0] == '.' || !has_suffix(x->d_name, ".json.gz")) continue;
        char **grown = realloc(*names, ((size_t)*n + 1) * sizeof *grown);
        if (grown) *names = grown;
        ok = grown && (grown[*n] = strdup(x->d_name)) != NULL;
        if (ok) (*n)++;
        else    err_nomem(e, "names of fixtures", ((size_t)*n + 1) * sizeof *grown);
    }
    closedir(d);
    if (*n > 1) qsort(*names, (size_t)*n, sizeof **names, by_name);
    return ok;
}

bool fixture_refs_add_dir(fixture_refs *r, const char *dir, err *e)
{
    char **names;
    int    n;
    bool   ok = list_fixtures(dir, &names, &n, e);
    for (int i = 0; i < n; i++) {
        char *path = ok ? path_join(dir, names[i]) : NULL;
        if (ok)
            ok = path ? fixture_refs_add(r, path, false, e)
                : err_nomem(e, "a path", strlen(dir) + strlen(names[i]) + 2);
        free(path);
        free(names[i]);
    }
    free(names);
    return ok;
}

void fixture_refs_free(fixture_refs *r)
{
    for (int i = 0; i < r->n; i++) free(r->v[i].path);
    free(r->v);
    *r = (fixture_refs){ 0 };
}

bool artifact_ref_read(artifact_ref *a, const char *path, err *e)
{
    gguf   *g = gguf_open(path, e);
    hparams h;
    if (!g) return false;
    memset(a, 0, sizeof *a);
    bool ok = hparams_read(&h, g, e);
    if (ok) {
        snprintf(a->type, sizeof a->type, "%s", h.type_label);
        snprintf(a->arith, sizeof a->arith, "%s", strcmp(h.kv_required, "bf16") == 0 ? "bf16" : "f32");
        a->lossy = !gguf_keeps_source(g);
        claims_read_source(g, &a->source);
        ok = artifact_weights_digest(g, a->weights, e);
        hparams_free(&h);
    }
    gguf_close(g);
    return ok;
}

match fixture_match(const fixture_ref *f, const artifact_ref *a)
{
    if (strcmp(f->arith, a->arith) != 0) return MATCH_NONE;
    if (f->weights[0]) return strcmp(f->weights, a->weights) == 0 ? MATCH_WEIGHTS : MATCH_NONE;
    return !source_id_known(&a->source) || source_id_same(&f->source, &a->source) ? MATCH_SOURCE : MATCH_NONE;
}

typedef struct { const char *a, *b; } two_digests;      // by the list that both know

static two_digests source_digests(const source_id *a, const source_id *b)
{
    const bool by_v2 = a->v2[0] && b->v2[0];
    return by_v2 ? (two_digests){ a->v2, b->v2 } : (two_digests){ a->v1[0] ? a->v1 : a->v2, b->v1[0] ? b->v1 : b->v2 };
}

const char *fixture_dtype_word(const char *in) { return strcmp(in, "bf16") == 0 ? "bfloat16" : "float32"; }

void fixture_why_not(fixture_ref *f, const artifact_ref *a, const char *artifact)
{
    if (f->why_not[0]) return;
    const two_digests d = f->weights[0] ? (two_digests){ f->weights, a->weights }
                                        : source_digests(&f->source, &a->source);
    if (strcmp(f->arith, a->arith) != 0)
        snprintf(f->why_not, sizeof f->why_not, "it was made in %s, %.200s computes in %s",
                 fixture_dtype_word(f->arith), artifact, a->arith);
    else
        snprintf(f->why_not, sizeof f->why_not, "its %s digest is %s, that of %.200s is %s",
                 f->weights[0] ? "weights'" : "source's", d.a, artifact, d.b);
}

bool fixture_ref_is_of(const fixture_ref *f, const source_id *id, const char *of, err *e)
{
    if (source_id_same(&f->source, id)) return true;
    const two_digests d = source_digests(&f->source, id);
    return err_set(e, ERR_INPUT, "%s: the fixture belongs to another source: its digest is %s, that of %s is %s",
                   f->path, d.a, of, d.b);
}
