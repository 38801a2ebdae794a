// importance: see importance.h.
#include "importance.h"
#include "../formats/outfile.h"
#include "texts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CHUNK = 512 };

typedef struct {
    char   *tensor;
    int64_t cols;
    double *sum;                // [cols] of squares: in double, so that millions of tokens lose nothing
    double  count;              // tokens
} entry;

typedef struct {
    entry  *v;                  // sorted by name
    int64_t n, room;
    int64_t chunks, chunk_size;
    char  **datasets;           // texts, in the order of their use
    int64_t n_datasets;
    err    *e;                  // first failure inside the observer, which cannot return one
} sums;

static void sums_free(sums *s)
{
    for (int64_t i = 0; i < s->n; i++) { free(s->v[i].tensor); free(s->v[i].sum); }
    for (int64_t i = 0; i < s->n_datasets; i++) free(s->datasets[i]);
    free(s->v);
    free(s->datasets);
}

// The entry of a tensor, made when it is new. NULL: no memory, or the width differs from what the entry has (e says which).
static entry *entry_of(sums *s, const char *tensor, int64_t cols, const char *where, err *e)
{
    int64_t lo = 0, hi = s->n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(tensor, s->v[mid].tensor);
        if (order == 0) {
            if (s->v[mid].cols == cols) return &s->v[mid];
            err_set(e, ERR_INPUT, "%s: entry '%s': found %lld values, expected %lld", where, tensor, (long long)cols, (long long)s->v[mid].cols);
            return NULL;
        }
        if (order < 0) hi = mid; else lo = mid + 1;
    }
    if (s->n == s->room) {
        const int64_t room = s->room ? 2 * s->room : 256;
        entry *grown = realloc(s->v, (size_t)room * sizeof *grown);
        if (!grown) { err_nomem(e, "importance entries", (size_t)room * sizeof *grown); return NULL; }
        s->v = grown;
        s->room = room;
    }
    entry fresh = { .tensor = strdup(tensor), .cols = cols, .sum = calloc((size_t)cols, sizeof(double)) };
    if (!fresh.tensor || !fresh.sum) {
        free(fresh.tensor);
        free(fresh.sum);
        err_nomem(e, "an importance entry", (size_t)cols * sizeof(double));
        return NULL;
    }
    memmove(&s->v[lo + 1], &s->v[lo], (size_t)(s->n - lo) * sizeof *s->v);
    s->v[lo] = fresh;
    s->n++;
    return &s->v[lo];
}

static void observe(void *ctx, const product_input *seen)
{
    const float *x = seen->x;
    const int     n = seen->n;
    const int64_t cols = seen->cols;
    sums *s = ctx;
    if (s->e->kind != ERR_NONE) return;
    entry *t = entry_of(s, seen->tensor, cols, "this run", s->e);
    if (!t) return;
    for (int i = 0; i < n; i++)
        for (int64_t c = 0; c < cols; c++) {
            const double v = x[i * cols + c];
            if (!isfinite(v)) {
                err_set(s->e, ERR_INPUT, "tensor '%s': its input is not finite in column %lld", seen->tensor,
                        (long long)c);
                return;
            }
            t->sum[c] += v * v;
        }
    t->count += n;
}

// The file's own name: where it lay on a disk is nobody's business, nor that of a matrix made from ours.
static bool add_dataset(sums *s, const char *text, int64_t n, err *e)
{
    for (int64_t i = n; i-- > 0;)
        if (text[i] == '/') {
            text += i + 1;
            n    -= i + 1;
            break;
        }
    char **grown = realloc(s->datasets, (size_t)(s->n_datasets + 1) * sizeof *grown);
    if (grown) s->datasets = grown;
    char *copy = grown ? strndup(text, (size_t)n) : NULL;
    if (!copy) return err_nomem(e, "names of texts", (size_t)n);
    s->datasets[s->n_datasets++] = copy;
    return true;
}

// ---- computing -------------------------------------------------------------------------------------------------------

static bool run_chunks(sums *s, session *run, const model *m, const token_list *ids, const char *path, progress *p, err *e)
{
    const int64_t n_chunks = ids->n / s->chunk_size;
    if (n_chunks < 1)
        return err_set(e, ERR_INPUT, "%s: found %lld token%s, a chunk needs %lld", path, (long long)ids->n, ids->n == 1 ? "" : "s", (long long)s->chunk_size);
    for (int64_t i = 0; i < n_chunks; i++) {
        if (!texts_run(run, ids->v + i * s->chunk_size, s->chunk_size, true, texts_bos(m), NULL, e) || e->kind != ERR_NONE) return false;
        s->chunks++;
        progress_add(p, path, 1);
    }
    return true;
}

static bool run_text(sums *s, session *run, const model *m, const char *path, progress *p, err *e)
{
    token_list ids = { 0 };
    bool ok = texts_append(&ids, m, path, true, NULL, e);
    if (ok) progress_stage_of(p, "imatrix", ids.n / s->chunk_size, "chunks");
    ok = ok && run_chunks(s, run, m, &ids, path, p, e) && add_dataset(s, path, (int64_t)strlen(path), e);
    free(ids.v);
    return ok;
}

static bool run_texts(sums *s, const char *artifact, const importance_opts *o, err *e)
{
    model *m = model_open(artifact, e);
    session_opts so = o->run;
    so.n_ctx = s->chunk_size;
    so.reproducible = true;
    session *run = m ? session_new(m, &so, e) : NULL;
    if (run && *session_note(run)) progress_log(o->progress, session_note(run));
    bool ok = run && session_observe(run, observe, s, e);
    for (int i = 0; ok && i < o->n_texts; i++) ok = run_text(s, run, m, o->texts[i], o->progress, e);
    session_free(run);
    model_close(m);
    return ok;
}

// ---- merging ---------------------------------------------------------------------------------------------------------

static const char sum_suffix[] = ".in_sum2", count_suffix[] = ".counts";

static bool float_row(const gguf *g, const gguf_tensor *t, int64_t n, err *e)
{
    if (t && t->type == DT_F32 && t->n_elems == n && ((uintptr_t)t->data & 3) == 0) return true;
    return err_set(e, ERR_INPUT, "%s: tensor '%s': expected %lld F32 values", gguf_path(g), t ? t->name : "?", (long long)n);
}

static bool merge_entry(sums *s, const gguf *g, const gguf_tensor *t, err *e)
{
    char name[LIMIT_NAME_BYTES], counts[LIMIT_NAME_BYTES + sizeof count_suffix];
    const int n = (int)(strlen(t->name) - strlen(sum_suffix));
    snprintf(name, sizeof name, "%.*s", n, t->name);
    snprintf(counts, sizeof counts, "%s%s", name, count_suffix);
    const gguf_tensor *c = gguf_find_tensor(g, counts);
    if (!c) return err_set(e, ERR_INPUT, "%s: entry '%s': found no '%s'", gguf_path(g), name, counts);
    if (!float_row(g, c, 1, e) || !float_row(g, t, t->n_elems, e)) return false;
    entry *to = entry_of(s, name, t->n_elems, gguf_path(g), e);
    if (!to) return false;
    const float *v = (const float *)(const void *)t->data, *count = (const float *)(const void *)c->data;
    if (!(*count >= 0) || !isfinite(*count)) return err_set(e, ERR_INPUT, "%s: tensor '%s': the count is negative or not finite", gguf_path(g), counts);
    for (int64_t i = 0; i < t->n_elems; i++) {
        if (!(v[i] >= 0) || !isfinite(v[i])) return err_set(e, ERR_INPUT, "%s: tensor '%s': value %lld is negative or not finite", gguf_path(g), t->name, (long long)i);
        to->sum[i] += v[i];
    }
    to->count += *count;
    return true;
}

static bool merge_file(sums *s, const char *path, err *e)
{
    gguf *g = gguf_open(path, e);
    if (!g) return false;
    int64_t chunks = 0, size = s->chunk_size, found = 0;
    bool ok = gguf_get_i64_or(g, "imatrix.chunk_count", 0, &chunks, e) &&
              gguf_get_i64_or(g, "imatrix.chunk_size", s->chunk_size ? s->chunk_size : DEFAULT_CHUNK, &size, e);
    if (ok && s->chunk_size == 0) s->chunk_size = size;        // nobody has said otherwise: the first matrix does
    if (ok && size != s->chunk_size)
        ok = err_set(e, ERR_INPUT, "%s: key 'imatrix.chunk_size': found %lld, expected %lld as in the others", path, (long long)size, (long long)s->chunk_size);
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const size_t n = strlen(t->name), suffix = strlen(sum_suffix);
        if (n <= suffix || strcmp(t->name + n - suffix, sum_suffix) != 0) continue;
        ok = merge_entry(s, g, t, e);
        found++;
    }
    if (ok && found == 0) ok = err_set(e, ERR_INPUT, "%s: not an importance matrix: no tensor is named *%s", path, sum_suffix);
    if (ok && (chunks < 0 || !add_i64(s->chunks, chunks, &s->chunks))) ok = err_set(e, ERR_INPUT, "%s: key 'imatrix.chunk_count': found %lld", path, (long long)chunks);
    const gguf_kv *kv = ok ? gguf_find_kv(g, "imatrix.datasets") : NULL;
    gguf_str text;
    if (kv) for (gguf_str_iter it = gguf_strs(kv); ok && gguf_next_str(&it, &text);) ok = add_dataset(s, text.s, text.n, e);
    gguf_close(g);
    return ok;
}

// ---- writing ---------------------------------------------------------------------------------------------------------

static bool plan_entries(gguf_plan *p, const sums *s, err *e)
{
    for (int64_t i = 0; i < s->n; i++) {
        char name[LIMIT_NAME_BYTES];
        const int64_t row[] = { s->v[i].cols }, one[] = { 1 };         // llama.cpp drops the dimension of experts where there are none
        snprintf(name, sizeof name, "%s%s", s->v[i].tensor, sum_suffix);
        if (!gguf_plan_tensor(p, name, DT_F32, 1, row, e)) return false;
        snprintf(name, sizeof name, "%s%s", s->v[i].tensor, count_suffix);
        if (!gguf_plan_tensor(p, name, DT_F32, 1, one, e)) return false;
    }
    return true;
}

static bool plan_keys(gguf_plan *p, const sums *s, err *e)
{
    gguf_str *names = calloc((size_t)s->n_datasets + 1, sizeof *names);
    if (!names) return err_nomem(e, "names of texts", (size_t)s->n_datasets * sizeof *names);
    for (int64_t i = 0; i < s->n_datasets; i++) names[i] = (gguf_str){ s->datasets[i], (int64_t)strlen(s->datasets[i]) };
    const bool ok = gguf_plan_str(p, "general.type", "imatrix", e) && gguf_plan_arr_str(p, "imatrix.datasets", names, s->n_datasets, e) &&
                    gguf_plan_u32(p, "imatrix.chunk_count", (uint32_t)s->chunks, e) && gguf_plan_u32(p, "imatrix.chunk_size", (uint32_t)s->chunk_size, e);
    free(names);
    return ok;
}

static bool write_entries(const gguf_plan *p, outfile *f, const sums *s, err *e)
{
    for (int64_t i = 0; i < s->n; i++) {
        const entry *t = &s->v[i];
        const float count = (float)t->count;
        float *row = malloc((size_t)t->cols * sizeof *row);
        if (!row) return err_nomem(e, "an importance entry", (size_t)t->cols * sizeof *row);
        for (int64_t c = 0; c < t->cols; c++) row[c] = (float)t->sum[c];
        const bool ok = outfile_write_at(f, gguf_plan_tensor_at(p, 2 * i)->off, row, t->cols * (int64_t)sizeof *row, e) &&
                        outfile_write_at(f, gguf_plan_tensor_at(p, 2 * i + 1)->off, &count, sizeof count, e);
        free(row);
        if (!ok) return false;
    }
    return true;
}

static bool write_sums(const sums *s, const char *path, err *e)
{
    int64_t header, size;
    outfile *f = NULL;
    gguf_plan *p = gguf_plan_new(32, e);
    bool ok = p && plan_keys(p, s, e) && plan_entries(p, s, e) && gguf_plan_layout(p, &header, &size, e) &&
              (f = outfile_open(path, size, e)) != NULL && gguf_plan_write(p, f, e) && write_entries(p, f, s, e);
    if (ok) ok = outfile_commit(f, e);
    else    outfile_abort(f);
    gguf_plan_free(p);
    return ok;
}

bool importance_compute(const char *artifact, const char *out_path, const importance_opts *o, err *e)
{
    if (o->n_texts + o->n_merge < 1) return err_set(e, ERR_USAGE, "an importance matrix needs a text, or matrices to merge");
    if (o->n_texts > 0 && !artifact) return err_set(e, ERR_USAGE, "a text needs an artifact to run it");
    sums s = { .chunk_size = o->chunk > 0 ? o->chunk : o->n_texts > 0 ? DEFAULT_CHUNK : 0, .e = e };
    bool ok = true;
    for (int i = 0; ok && i < o->n_merge; i++) ok = merge_file(&s, o->merge[i], e);
    ok = ok && (o->n_texts == 0 || run_texts(&s, artifact, o, e)) && write_sums(&s, out_path, e);
    sums_free(&s);
    return ok;
}
