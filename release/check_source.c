#include "check_source.h"
#include "../verify/derivation.h"
#include "../verify/source_keys.h"
#include "../formats/claims.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/sha256.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_IMATRIX "quantize.imatrix.file"
enum { MOST_TEXTS = 256, MOST_INPUTS = 4096, MOST_TEXT_BYTES = 64 << 20 };

typedef struct {                // a file that an artifact may have been made with
    char *path;
    char  sha256[SHA256_HEX + 1];   // "" until it is asked for
    bool  given, used;
} input;

struct check_source {
    const check_opts *o;
    char     *dir;
    source_id source;
    input    *v;                // [n] those that are given first
    int       n, n_matrices;    // the first of those are matrices
};

// ---- what there is -------------------------------------------------------------------------------------------------

static bool add_input(check_source *s, char *path, bool given, err *e)
{
    input *grown = path ? realloc(s->v, ((size_t)s->n + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(path);
        return err_nomem(e, "names of files", 0);
    }
    s->v = grown;
    s->v[s->n++] = (input){ .path = path, .given = given };
    return true;
}

static bool add_given(check_source *s, const char *const *paths, int n, err *e)
{
    for (int i = 0; i < n; i++)
        if (!add_input(s, strdup(paths[i]), true, e)) return false;
    return true;
}

// Files beside the artifacts, which may be what they were made with.
static bool add_folder(check_source *s, err *e)
{
    dir_list l = { 0 };
    bool ok = dir_list_read(&l, s->dir, NULL, false, e);
    for (int i = 0; ok && i < l.n && s->n < MOST_INPUTS; i++) {
        char *path = path_join(s->dir, l.v[i]);
        if (path && !file_exists(path)) free(path);
        else ok = add_input(s, path, false, e);
    }
    dir_list_free(&l);
    return ok;
}

check_source *check_source_open(const char *dir, const source_id *source, const check_opts *o, err *e)
{
    check_source *s = calloc(1, sizeof *s);
    if (!s) {
        err_nomem(e, "a source", sizeof *s);
        return NULL;
    }
    s->o   = o;
    s->dir = strdup(dir);
    bool ok = s->dir || err_nomem(e, "a path", strlen(dir));
    if (source) s->source = *source;
    ok = ok && (source || source_digest(o->from, o->n_threads, o->progress, &s->source, e))
        && add_given(s, o->imatrix, o->n_imatrix, e);
    s->n_matrices = s->n;
    ok = ok && add_given(s, o->calibrate, o->n_calibrate, e) && add_folder(s, e);
    if (ok) return s;
    check_source_free(s);
    return NULL;
}

void check_source_free(check_source *s)
{
    for (int i = 0; s && i < s->n; i++) free(s->v[i].path);
    if (s) free(s->v);
    if (s) free(s->dir);
    free(s);
}

// ---- by digest -----------------------------------------------------------------------------------------------------

// What nobody gave and is larger than such files are is none, unless it has the name; nor is what cannot be read.
static bool digest(input *x, const char *name, err *e)
{
    struct stat st;
    err  bad = { 0 };
    const bool likely = x->given || strcmp(path_base(x->path), name) == 0;
    if (x->sha256[0] || (!likely && (stat(x->path, &st) != 0 || st.st_size > MOST_TEXT_BYTES))) return true;
    if (sha256_file(x->path, x->sha256, &bad) || !x->given) return true;
    return err_set(e, bad.kind, "%s", bad.msg);
}

// *found: NULL where there is none of that digest. name: what it is called, or "".
static bool of_digest(check_source *s, int from, const char *hex, const char *name, input **found, err *e)
{
    *found = NULL;
    for (int i = from; i < s->n && !*found; i++) {
        if (!digest(&s->v[i], name, e)) return false;
        if (strcmp(s->v[i].sha256, hex) == 0) *found = &s->v[i];
    }
    return true;
}

// ---- the importance matrix -----------------------------------------------------------------------------------------

// Of a record that tells it (verify/recipe.h); NULL.
static const char *recorded_matrix(const cJSON *rec)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, json_get(json_get(rec, "recipe"), "inputs")) {
        const cJSON *kind = json_get(x, "kind"), *sha = json_get(x, "sha256");
        if (!cJSON_IsString(kind) || strcmp(kind->valuestring, "imatrix") != 0) continue;
        if (cJSON_IsString(sha) && sha256_is_hex(sha->valuestring)) return sha->valuestring;
    }
    return NULL;
}

// By its name; one that is given alone may have another.
static input *of_name(check_source *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(path_base(s->v[i].path), name) == 0) return &s->v[i];
    return s->n_matrices == 1 ? &s->v[0] : NULL;
}

static bool pick_matrix(check_source *s, const gguf *art, const char *name, const char *hex, const char **path, err *e)
{
    input *x = NULL;
    if (!hex) x = of_name(s, name);
    else if (!of_digest(s, 0, hex, name, &x, e)) return false;
    if (!x)
        return err_set(e, ERR_USAGE, "%s: key '%s': it was made with '%.200s'%s%s, which is not beside it: give it "
                       "with --imatrix", gguf_path(art), KEY_IMATRIX, name, hex ? " of SHA-256 " : "", hex ? hex : "");
    x->used = true;
    *path = x->path;
    return true;
}

// *path: borrowed from s; NULL where the artifact says that it was made without one.
static bool find_matrix(check_source *s, const gguf *art, const cJSON *rec, const char **path, err *e)
{
    char *name;
    err   bad = { 0 };
    *path = NULL;
    if (!gguf_find_kv(art, KEY_IMATRIX)) return true;
    if (!gguf_get_cstr(art, KEY_IMATRIX, &name, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    const bool ok = pick_matrix(s, art, name, recorded_matrix(rec), path, e);
    free(name);
    return ok;
}

// ---- texts of a calibration ----------------------------------------------------------------------------------------

static bool find_text(check_source *s, const char *hex, const char **path, const gguf *art, err *e)
{
    input *x;
    if (!of_digest(s, s->n_matrices, hex, "", &x, e)) return false;
    if (!x)
        return err_set(e, ERR_USAGE, "%s: key '%s': it was calibrated with a text of SHA-256 %.64s, which is not "
                       "beside it: give it with --calibrate", gguf_path(art), KEY_HM_CALIBRATION, hex);
    x->used = true;
    *path = x->path;
    return true;
}

// SHA-256 in hex, joined by commas, of texts in the order of their use.
static bool find_texts(check_source *s, const gguf *art, const char *paths[MOST_TEXTS], int *n, err *e)
{
    char *list = NULL;
    err   bad = { 0 };
    *n = 0;
    if (!gguf_find_kv(art, KEY_HM_CALIBRATION)) return true;
    if (!gguf_get_cstr(art, KEY_HM_CALIBRATION, &list, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    bool ok = true;
    for (char *at = list; ok; at += SHA256_HEX + 1) {
        const size_t left = strlen(at);
        const char   end = left < SHA256_HEX ? '?' : at[SHA256_HEX];
        if (left >= SHA256_HEX) at[SHA256_HEX] = '\0';
        if ((end != ',' && end != '\0') || !sha256_is_hex(at) || *n == MOST_TEXTS)
            ok = err_set(e, ERR_VERDICT, "%s: key '%s': found '%.100s', expected SHA-256 in hex, joined by commas",
                         gguf_path(art), KEY_HM_CALIBRATION, at);
        ok = ok && find_text(s, at, &paths[*n], art, e);
        if (ok) (*n)++;
        if (end == '\0') break;
    }
    free(list);
    return ok;
}

// ---- one artifact --------------------------------------------------------------------------------------------------

static void note_found(check_file_proof *p, const source_keys_found *f)
{
    memcpy(p->revision, f->revision, sizeof p->revision);
    memcpy(p->title, f->name, sizeof p->title);
    memcpy(p->open_keys, f->open_keys, sizeof p->open_keys);
    p->n_own_types = (long)f->other.n;
    text_fit(p->own_type, sizeof p->own_type, f->other.first, strlen(f->other.first), 0);
}

bool check_source_proves(check_source *s, const gguf *art, const cJSON *rec, check_file_proof *p, err *e)
{
    const check_opts *o = s->o;
    const char *matrix, *texts[MOST_TEXTS];
    int n_texts;
    source_keys_found found;
    if (!find_matrix(s, art, rec, &matrix, e) || !find_texts(s, art, texts, &n_texts, e)) return false;
    const source_keys_opts keys = { .hf_dir = o->from, .imatrix = matrix, .source = &s->source };
    const derivation_opts  d = { .from = o->from, .imatrix = matrix, .calibrate = texts, .n_calibrate = n_texts,
                                 .n_threads = o->n_threads, .progress = o->progress };
    if (!source_keys_prove(&found, art, &keys, e) || !derivation_prove(NULL, gguf_path(art), &d, e)) return false;
    note_found(p, &found);
    return true;
}

bool check_source_used(const check_source *s, err *e)
{
    for (int i = 0; s && i < s->n; i++)
        if (s->v[i].given && !s->v[i].used)
            return err_set(e, ERR_INPUT, "%s: no artifact here says that it was made with it", s->v[i].path);
    return true;
}
