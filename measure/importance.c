// importance: see importance.h.
#include "importance.h"
#include "../formats/checked.h"
#include "../formats/outfile.h"
#include "texts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CHUNK = 512 };

typedef struct {
    char   *tensor;
    int64_t n_mat, cols;        // n_mat: experts; 1 for a product that every token takes
    double *sum;                // [n_mat][cols] of squares: in double, so that millions of tokens lose nothing
    double *count;              // [n_mat] tokens
} entry;

typedef struct {
    entry  *v;                  // sorted by name
    int64_t n, room;
    int64_t chunks, chunk_size;
    char  **datasets;           // texts, in the order of their use
    int64_t n_datasets;
    err    *e;                  // first failure inside the observer, which cannot return one
} sums;

static void entry_free(entry *x)
{
    free(x->tensor);
    free(x->sum);
    free(x->count);
}

static void sums_free(sums *s)
{
    for (int64_t i = 0; i < s->n; i++) entry_free(&s->v[i]);
    for (int64_t i = 0; i < s->n_datasets; i++) free(s->datasets[i]);
    free(s->v);
    free(s->datasets);
}

// Where the entry of a tensor is, or would be.
static int64_t place_of(const sums *s, const char *tensor, bool *found)
{
    int64_t lo = 0, hi = s->n;
    *found = false;
    while (lo < hi && !*found) {
        const int64_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(tensor, s->v[mid].tensor);
        *found = order == 0;
        if (order > 0) lo = mid + 1;
        else           hi = mid;
        if (*found)    lo = mid;
    }
    return lo;
}

static bool make_room(sums *s, err *e)
{
    if (s->n < s->room) return true;
    const int64_t room = s->room ? 2 * s->room : 256;
    entry *grown = realloc(s->v, (size_t)room * sizeof *grown);
    if (!grown) return err_nomem(e, "importance entries", (size_t)room * sizeof *grown);
    s->v = grown;
    s->room = room;
    return true;
}

static bool entry_new(entry *x, const char *tensor, int64_t n_mat, int64_t cols, err *e)
{
    int64_t n;
    *x = (entry){ .n_mat = n_mat, .cols = cols };
    if (!mul_i64(n_mat, cols, &n) || n > INT64_MAX / (int64_t)sizeof(double))
        return err_set(e, ERR_INPUT, "entry '%s': %lld rows of %lld do not fit 63 bits", tensor, (long long)n_mat,
                       (long long)cols);
    x->tensor = strdup(tensor);
    x->sum    = calloc((size_t)n, sizeof *x->sum);
    x->count  = calloc((size_t)n_mat, sizeof *x->count);
    if (x->tensor && x->sum && x->count) return true;
    entry_free(x);
    return err_nomem(e, "an importance entry", (size_t)n * sizeof *x->sum);
}

// The entry of a tensor, made when it is new. NULL: no memory, or the shape differs from what the entry has (e says
// which).
static entry *entry_of(sums *s, const char *tensor, int64_t n_mat, int64_t cols, const char *where, err *e)
{
    bool          found;
    const int64_t at = place_of(s, tensor, &found);
    entry        *x = found ? &s->v[at] : NULL, fresh;
    if (found && x->cols == cols && x->n_mat == n_mat) return x;
    if (found && (x->n_mat > 1 || n_mat > 1)) {
        err_set(e, ERR_INPUT, "%s: entry '%s': found %lld values for %lld counts, expected %lld for %lld", where,
                tensor, (long long)(n_mat * cols), (long long)n_mat, (long long)(x->n_mat * x->cols),
                (long long)x->n_mat);
        return NULL;
    }
    if (found) {
        err_set(e, ERR_INPUT, "%s: entry '%s': found %lld values, expected %lld", where, tensor, (long long)cols,
                (long long)x->cols);
        return NULL;
    }
    if (!make_room(s, e) || !entry_new(&fresh, tensor, n_mat, cols, e)) return NULL;
    memmove(&s->v[at + 1], &s->v[at], (size_t)(s->n - at) * sizeof *s->v);
    s->v[at] = fresh;
    s->n++;
    return &s->v[at];
}

// Adds one token's input of matrix `mat`.
static bool add_token(entry *t, int64_t mat, const float *x, err *e)
{
    double *sum = t->sum + mat * t->cols;
    for (int64_t c = 0; c < t->cols; c++) {
        const double v = x[c];
        if (!isfinite(v))
            return err_set(e, ERR_INPUT, "tensor '%s': its input is not finite in column %lld", t->tensor,
                           (long long)c);
        sum[c] += v * v;
    }
    t->count[mat]++;
    return true;
}

static void observe(void *ctx, const product_input *seen)
{
    const float *x = seen->x;
    const int     n = seen->n;
    const int64_t cols = seen->cols;
    sums *s = ctx;
    if (s->e->kind != ERR_NONE) return;
    const int64_t n_mat = seen->experts > 0 ? seen->experts : 1;
    entry *t = entry_of(s, seen->tensor, n_mat, cols, "this run", s->e);
    for (int i = 0; t && i < n; i++)
        if (!add_token(t, seen->expert, x + i * cols, s->e)) return;
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

// ---- computing ------------------------------------------------------------------------------------------------------

static bool run_chunks(sums *s, session *run, const model *m, const token_list *ids, const char *path, progress *p,
                       err *e)
{
    const int64_t n_chunks = ids->n / s->chunk_size;
    if (n_chunks < 1)
        return err_set(e, ERR_INPUT, "%s: found %lld token%s, a chunk needs %lld", path, (long long)ids->n,
                       ids->n == 1 ? "" : "s", (long long)s->chunk_size);
    for (int64_t i = 0; i < n_chunks; i++) {
        if (!texts_run(run, ids->v + i * s->chunk_size, s->chunk_size, true, texts_bos(m), NULL, e) ||
            e->kind != ERR_NONE)
            return false;
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

// ---- merging --------------------------------------------------------------------------------------------------------

static const char sum_suffix[] = ".in_sum2", count_suffix[] = ".counts";

static bool float_rows(const gguf *g, const gguf_tensor *t, err *e)
{
    if (t->type == DT_F32 && t->n_elems >= 1 && ((uintptr_t)t->data & 3) == 0) return true;
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found %lld values of %s, expected F32 values, one at least",
                   gguf_path(g), t->name, (long long)t->n_elems, dtype_name(t->type));
}

// Sums are added as they are: finite, and not negative.
static bool add_values(double *to, const gguf *g, const gguf_tensor *t, const char *what, err *e)
{
    const float *v = (const float *)(const void *)t->data;
    for (int64_t i = 0; i < t->n_elems; i++) {
        if (!(v[i] >= 0) || !isfinite(v[i]))
            return err_set(e, ERR_INPUT, "%s: tensor '%s': %s %lld is negative or not finite", gguf_path(g), t->name,
                           what, (long long)i);
        to[i] += v[i];
    }
    return true;
}

static bool merge_entry(sums *s, const gguf *g, const gguf_tensor *t, err *e)
{
    char name[LIMIT_NAME_BYTES], counts[LIMIT_NAME_BYTES + sizeof count_suffix];
    const int n = (int)(strlen(t->name) - strlen(sum_suffix));
    snprintf(name, sizeof name, "%.*s", n, t->name);
    snprintf(counts, sizeof counts, "%s%s", name, count_suffix);
    const gguf_tensor *c = gguf_find_tensor(g, counts);
    if (!c) return err_set(e, ERR_INPUT, "%s: entry '%s': found no '%s'", gguf_path(g), name, counts);
    if (!float_rows(g, c, e) || !float_rows(g, t, e)) return false;
    if (t->n_elems % c->n_elems != 0)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %lld values for %lld counts, expected a multiple",
                       gguf_path(g), t->name, (long long)t->n_elems, (long long)c->n_elems);
    entry *to = entry_of(s, name, c->n_elems, t->n_elems / c->n_elems, gguf_path(g), e);
    return to && add_values(to->count, g, c, "count", e) && add_values(to->sum, g, t, "value", e);
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
        ok = err_set(e, ERR_INPUT, "%s: key 'imatrix.chunk_size': found %lld, expected %lld as in the others", path,
                     (long long)size, (long long)s->chunk_size);
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const size_t n = strlen(t->name), suffix = strlen(sum_suffix);
        if (n <= suffix || strcmp(t->name + n - suffix, sum_suffix) != 0) continue;
        ok = merge_entry(s, g, t, e);
        found++;
    }
    if (ok && found == 0)
        ok = err_set(e, ERR_INPUT, "%s: not an importance matrix: no tensor is named *%s", path, sum_suffix);
    if (ok && (chunks < 0 || !add_i64(s->chunks, chunks, &s->chunks)))
        ok = err_set(e, ERR_INPUT, "%s: key 'imatrix.chunk_count': found %lld", path, (long long)chunks);
    const gguf_kv *kv = ok ? gguf_find_kv(g, "imatrix.datasets") : NULL;
    gguf_str text;
    if (kv)
        for (gguf_str_iter it = gguf_strs(kv); ok && gguf_next_str(&it, &text);) ok = add_dataset(s, text.s, text.n, e);
    gguf_close(g);
    return ok;
}

// ---- writing --------------------------------------------------------------------------------------------------------

static bool plan_entries(gguf_plan *p, const sums *s, err *e)
{
    for (int64_t i = 0; i < s->n; i++) {
        char name[LIMIT_NAME_BYTES];
        const entry *x = &s->v[i];
        const int64_t rows[] = { x->n_mat, x->cols }, counts[] = { x->n_mat, 1 };
        const int one = x->n_mat == 1;          // llama.cpp drops the dimension of experts where there are none
        snprintf(name, sizeof name, "%s%s", x->tensor, sum_suffix);
        if (!gguf_plan_tensor(p, name, DT_F32, 2 - one, rows + one, e)) return false;
        snprintf(name, sizeof name, "%s%s", x->tensor, count_suffix);
        if (!gguf_plan_tensor(p, name, DT_F32, 2 - one, counts + one, e)) return false;
    }
    return true;
}

static bool plan_keys(gguf_plan *p, const sums *s, err *e)
{
    gguf_str *names = calloc((size_t)s->n_datasets + 1, sizeof *names);
    if (!names) return err_nomem(e, "names of texts", (size_t)s->n_datasets * sizeof *names);
    for (int64_t i = 0; i < s->n_datasets; i++)
        names[i] = (gguf_str){ s->datasets[i], (int64_t)strlen(s->datasets[i]) };
    const bool ok = gguf_plan_str(p, "general.type", "imatrix", e) &&
                    gguf_plan_arr_str(p, "imatrix.datasets", names, s->n_datasets, e) &&
                    gguf_plan_u32(p, "imatrix.chunk_count", (uint32_t)s->chunks, e) &&
                    gguf_plan_u32(p, "imatrix.chunk_size", (uint32_t)s->chunk_size, e);
    free(names);
    return ok;
}

// n numbers as F32 at their place in the file.
static bool write_numbers(outfile *f, int64_t off, const double *v, int64_t n, err *e)
{
    float *row = malloc((size_t)n * sizeof *row);
    if (!row) return err_nomem(e, "an importance entry", (size_t)n * sizeof *row);
    for (int64_t c = 0; c < n; c++) row[c] = (float)v[c];
    const bool ok = outfile_write_at(f, off, row, n * (int64_t)sizeof *row, e);
    free(row);
    return ok;
}

static bool write_entries(const gguf_plan *p, outfile *f, const sums *s, err *e)
{
    for (int64_t i = 0; i < s->n; i++) {
        const entry *t = &s->v[i];
        if (!write_numbers(f, gguf_plan_tensor_at(p, 2 * i)->off, t->sum, t->n_mat * t->cols, e)) return false;
        if (!write_numbers(f, gguf_plan_tensor_at(p, 2 * i + 1)->off, t->count, t->n_mat, e)) return false;
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
    if (o->n_texts + o->n_merge < 1)
        return err_set(e, ERR_USAGE, "an importance matrix needs a text, or matrices to merge");
    if (o->n_texts > 0 && !artifact) return err_set(e, ERR_USAGE, "a text needs an artifact to run it");
    sums s = { .chunk_size = o->chunk > 0 ? o->chunk : o->n_texts > 0 ? DEFAULT_CHUNK : 0, .e = e };
    bool ok = true;
    for (int i = 0; ok && i < o->n_merge; i++) ok = merge_file(&s, o->merge[i], e);
    ok = ok && (o->n_texts == 0 || run_texts(&s, artifact, o, e)) && write_sums(&s, out_path, e);
    sums_free(&s);
    return ok;
}
