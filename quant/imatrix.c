#include "imatrix.h"
#include "../formats/checked.h"
#include "../formats/file_map.h"
#include "../formats/text_file.h"
#include "../formats/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char   *name;       // owned
    float  *v;          // owned, [n]
    float  *counts;     // owned, [n_counts]: tokens of each expert; NULL where the form does not say
    int64_t n, n_counts;
} entry;

struct imatrix {
    char   *path, *dataset;     // owned
    int64_t n_chunks, n, room;
    entry  *entries;            // sorted by name once read
};

// ---- entries -----------------------------------------------------------------------------------------------------

// A new entry with room for n values, or NULL.
static entry *add_entry(imatrix *m, const char *name, int64_t name_bytes, int64_t n, err *e)
{
    if (m->n == m->room) {
        const int64_t room = m->room ? 2 * m->room : 64;
        entry *more = realloc(m->entries, (size_t)room * sizeof *more);
        if (!more) { err_nomem(e, "the importance matrix", (size_t)room * sizeof *more); return NULL; }
        m->entries = more;
        m->room    = room;
    }
    entry *x = &m->entries[m->n];
    *x = (entry){ .n = n };
    x->name = strndup(name, (size_t)name_bytes);
    x->v    = malloc((size_t)n * sizeof *x->v);
    if (!x->name || !x->v) {
        err_nomem(e, "the importance matrix", (size_t)n * sizeof *x->v);
        free(x->name);
        free(x->v);
        return NULL;
    }
    m->n++;
    return x;
}

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

// Sorts, and refuses what would make a search meaningless.
static bool finish(imatrix *m, err *e)
{
    if (m->n == 0) return err_set(e, ERR_INPUT, "%s: found no entries, expected an importance matrix", m->path);
    qsort(m->entries, (size_t)m->n, sizeof *m->entries, by_name);
    for (int64_t i = 0; i < m->n; i++) {
        const entry *x = &m->entries[i];
        if (i > 0 && strcmp(x->name, x[-1].name) == 0)
            return err_set(e, ERR_INPUT, "%s: entry '%s' stands there twice", m->path, x->name);
        for (int64_t c = 0; c < x->n; c++)
            if (!(x->v[c] >= 0 && isfinite(x->v[c])))
                return err_set(e, ERR_INPUT,
                               "%s: entry '%s': value %lld: found %g, expected a finite number, not negative", m->path,
                               x->name, (long long)c, (double)x->v[c]);
    }
    return true;
}

// ---- the GGUF form -----------------------------------------------------------------------------------------------

static bool has_suffix(const char *s, const char *suffix, int64_t *stem_bytes)
{
    const size_t n = strlen(s), ns = strlen(suffix);
    if (n <= ns || strcmp(s + n - ns, suffix) != 0) return false;
    *stem_bytes = (int64_t)(n - ns);
    return true;
}

static float f32_at(const gguf_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, t->data + i * (int64_t)sizeof v, sizeof v);      // alignment is the file's choice
    return v;
}

// Tokens of each expert. What is no count would become the weight of a whole expert.
static bool read_counts(const imatrix *m, entry *x, const gguf_tensor *counts, err *e)
{
    if (!(x->counts = malloc((size_t)counts->n_elems * sizeof *x->counts)))
        return err_nomem(e, "the importance matrix", (size_t)counts->n_elems * sizeof *x->counts);
    x->n_counts = counts->n_elems;
    for (int64_t i = 0; i < x->n_counts; i++) {
        const float found = f32_at(counts, i);
        if (!isfinite(found) || found < 0)
            return err_set(e, ERR_INPUT, "%s: tensor '%s': count %lld: found %g, expected a finite number, not "
                           "negative", m->path, counts->name, (long long)i, (double)found);
        x->counts[i] = roundf(found);
    }
    return true;
}

static bool read_gguf_entry(imatrix *m, const gguf *g, const gguf_tensor *sums, int64_t stem, err *e)
{
    char counts_name[LIMIT_NAME_BYTES + 16];
    snprintf(counts_name, sizeof counts_name, "%.*s.counts", (int)stem, sums->name);
    const gguf_tensor *counts = gguf_find_tensor(g, counts_name);
    if (!counts)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found no '%s' beside it", m->path, sums->name, counts_name);
    if (sums->type != DT_F32 || counts->type != DT_F32)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s with %s counts, expected F32", m->path, sums->name,
                       dtype_name(sums->type), dtype_name(counts->type));
    if (counts->n_elems < 1 || sums->n_elems < 1 || sums->n_elems % counts->n_elems != 0)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %lld values for %lld counts, expected a multiple", m->path,
                       sums->name, (long long)sums->n_elems, (long long)counts->n_elems);
    entry *x = add_entry(m, sums->name, stem, sums->n_elems, e);
    if (!x) return false;
    const int64_t cols = sums->n_elems / counts->n_elems;
    if (!read_counts(m, x, counts, e)) return false;
    for (int64_t i = 0; i < sums->n_elems; i++) {
        const float count = x->counts[i / cols];
        x->v[i] = count > 0 ? f32_at(sums, i) / count : 1;
    }
    return true;
}

static bool read_gguf(imatrix *m, const gguf *g, err *e)
{
    gguf_str s;
    const gguf_kv *datasets = gguf_find_kv(g, "imatrix.datasets");
    gguf_str_iter it;
    if (datasets && (it = gguf_strs(datasets), gguf_next_str(&it, &s))) {
        free(m->dataset);
        if (!(m->dataset = strndup(s.s, (size_t)s.n))) return err_nomem(e, "a name", (size_t)s.n);
    }
    if (!gguf_get_i64_or(g, "imatrix.chunk_count", 0, &m->n_chunks, e)) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        int64_t stem;
        if (has_suffix(t->name, ".counts", &stem)) continue;
        if (!has_suffix(t->name, ".in_sum2", &stem))
            return err_set(e, ERR_INPUT, "%s: tensor '%s': found a name that an importance matrix does not have",
                           m->path, t->name);
        if (!read_gguf_entry(m, g, t, stem, e)) return false;
    }
    return finish(m, e);
}

// ---- the .dat form: i32 count of entries; each: i32 length, name, i32 calls, i32 values, F32 values; then i32 chunks,
// i32 length, dataset 

typedef struct { const uint8_t *p; int64_t left; } reader;

static bool take_bytes(reader *r, int64_t n, const uint8_t **p)
{
    if (n < 0 || n > r->left) return false;
    *p = r->p;
    r->p += n;
    r->left -= n;
    return true;
}

static bool take_i32(reader *r, int32_t *v)
{
    const uint8_t *p;
    if (!take_bytes(r, sizeof *v, &p)) return false;
    memcpy(v, p, sizeof *v);
    return true;
}

static bool read_dat_entry(imatrix *m, reader *r, int64_t index, err *e)
{
    int32_t name_bytes, calls, n;
    const uint8_t *name, *values;
    const int64_t left = r->left;
    if (!take_i32(r, &name_bytes) || name_bytes < 1 || name_bytes > LIMIT_NAME_BYTES ||
        !take_bytes(r, name_bytes, &name) || !take_i32(r, &calls) || !take_i32(r, &n) || n < 1 ||
        !take_bytes(r, (int64_t)n * (int64_t)sizeof(float), &values))
        return err_set(e, ERR_INPUT, "%s: entry %lld, %lld bytes before the end: found no whole entry", m->path,
                       (long long)index, (long long)left);
    entry *x = add_entry(m, (const char *)name, name_bytes, n, e);
    if (!x) return false;
    memcpy(x->v, values, (size_t)n * sizeof *x->v);
    for (int32_t i = 0; calls > 0 && i < n; i++) x->v[i] /= (float)calls;
    return true;
}

static bool read_dat(imatrix *m, const uint8_t *data, int64_t n_bytes, err *e)
{
    reader r = { data, n_bytes };
    int32_t n, chunks, length;
    const uint8_t *text;
    if (!take_i32(&r, &n) || n < 1)
        return err_set(e, ERR_INPUT, "%s: found no count of entries, expected an importance matrix", m->path);
    for (int64_t i = 0; i < n; i++)
        if (!read_dat_entry(m, &r, i, e)) return false;
    if (take_i32(&r, &chunks) && chunks > 0) m->n_chunks = chunks;
    if (take_i32(&r, &length) && take_bytes(&r, length, &text) && length > 0) {
        free(m->dataset);
        if (!(m->dataset = strndup((const char *)text, (size_t)length))) return err_nomem(e, "a name", (size_t)length);
    }
    return finish(m, e);
}

// ---- opening -----------------------------------------------------------------------------------------------------

imatrix *imatrix_open_mem(const uint8_t *data, int64_t n, const char *name, err *e)
{
    gguf    *g = NULL;
    bool     ok = false;
    imatrix *m = calloc(1, sizeof *m);
    if (!m || !(m->path = strdup(name)) || !(m->dataset = strdup(""))) {
        err_nomem(e, "the importance matrix", sizeof *m);
        goto out;
    }
    if (n >= 4 && memcmp(data, "GGUF", 4) == 0) {
        if (!(g = gguf_open_mem(data, n, name, e))) goto out;
        ok = read_gguf(m, g, e);
    } else {
        ok = read_dat(m, data, n, e);
    }
out:
    gguf_close(g);
    if (ok) return m;
    imatrix_close(m);
    return NULL;
}

imatrix *imatrix_open(const char *path, err *e)
{
    file_map f = { 0 };
    if (!file_map_open(&f, path, e)) return NULL;
    imatrix *m = imatrix_open_mem(f.data, f.size, path, e);
    file_map_close(&f);
    return m;
}

void imatrix_close(imatrix *m)
{
    if (!m) return;
    for (int64_t i = 0; i < m->n; i++) {
        free(m->entries[i].name);
        free(m->entries[i].v);
        free(m->entries[i].counts);
    }
    free(m->entries);
    free(m->path);
    free(m->dataset);
    free(m);
}

const char *imatrix_path(const imatrix *m)      { return m->path; }
const char *imatrix_dataset(const imatrix *m)   { return m->dataset; }
int64_t     imatrix_n_chunks(const imatrix *m)  { return m->n_chunks; }
int64_t     imatrix_n_entries(const imatrix *m) { return m->n; }

// Names of files: bytes that are no UTF-8 become U+FFFD, because GGUF's strings are UTF-8.
static bool plan_name(gguf_plan *p, const char *key, const char *name, err *e)
{
    int64_t n_bad;
    char   *text = utf8_mended(name, (int64_t)strlen(name), &n_bad);
    const bool ok = text ? gguf_plan_str(p, key, text, e) : err_nomem(e, key, strlen(name));
    free(text);
    return ok;
}

bool imatrix_plan_keys(const imatrix *m, gguf_plan *p, err *e)
{
    const char *slash = strrchr(m->path, '/');
    return plan_name(p, "quantize.imatrix.file", slash ? slash + 1 : m->path, e) &&
           (!*imatrix_dataset(m) || plan_name(p, "quantize.imatrix.dataset", imatrix_dataset(m), e)) &&
           gguf_plan_u32(p, "quantize.imatrix.entries_count", (uint32_t)imatrix_n_entries(m), e) &&
           (!imatrix_n_chunks(m) ||
            gguf_plan_u32(p, "quantize.imatrix.chunks_count", (uint32_t)imatrix_n_chunks(m), e));
}

static const entry *find_entry(const imatrix *m, const char *tensor)
{
    int64_t lo = 0, hi = m->n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(tensor, m->entries[mid].name);
        if (order == 0) return &m->entries[mid];
        if (order < 0) hi = mid;
        else           lo = mid + 1;
    }
    return NULL;
}

const float *imatrix_find(const imatrix *m, const char *tensor, int64_t *n)
{
    const entry *x = find_entry(m, tensor);
    if (!x) return NULL;
    *n = x->n;
    return x->v;
}

// ---- what one tensor needs -----------------------------------------------------------------------------------------

// Tensors that llama-imatrix does not see, because they are looked up, or because no layer of the graph uses them.
static bool may_lack_entry(const char *name, imatrix_reach reach)
{
    static const char *const outside[] = { "token_embd.weight", "per_layer_token_embd.weight", "output.weight" };
    int layer;
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        if (strcmp(name, outside[i]) == 0) return true;
    if (sscanf(name, "blk.%d.", &layer) != 1) return false;
    if (layer >= reach.first_mtp) return true;
    return layer >= reach.first_shared_kv && (strstr(name, ".attn_k.weight") || strstr(name, ".attn_v.weight"));
}

bool imatrix_for_tensor(const imatrix *m, const policy_tensor *t, dtype to, imatrix_reach reach,
                        const float **importance, err *e)
{
    const int64_t cols = t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1;
    int64_t n, expected = cols;
    *importance = NULL;
    if (dtype_find(to)->block_weights == 1 || to == DT_Q8_0) return true;
    for (int i = 0; i < t->n_dims - 2; i++)
        if (!mul_i64(expected, t->shape[i], &expected))
            return err_set(e, ERR_INPUT, "%s: tensor '%s': found a size that does not fit 63 bits", m->path, t->name);
    const float *v = imatrix_find(m, t->name, &n);
    if (!v && may_lack_entry(t->name, reach)) return true;
    if (!v)
        return err_set(e, ERR_INPUT, "%s: found no entry for tensor '%s', which becomes %s", m->path, t->name,
                       dtype_name(to));
    if (n != expected)
        return err_set(e, ERR_INPUT, "%s: entry '%s': found %lld values, expected %lld", m->path, t->name, (long long)n,
                       (long long)expected);
    *importance = v;
    return true;
}

// ---- experts that few tokens reached -------------------------------------------------------------------------------

typedef struct { int64_t n; const char *tensor; int64_t expert; } few_experts;      // how many, and the first

static void count_few(few_experts *f, const char *tensor, int64_t expert)
{
    if (f->n++ > 0) return;
    f->tensor = tensor;
    f->expert = expert;
}

static void look_at_counts(const entry *x, few_experts *none, few_experts *few)
{
    for (int64_t k = 0; k < x->n_counts; k++) {
        if (!(x->counts[k] > 0))              count_few(none, x->name, k);
        else if (x->counts[k] < IMATRIX_FEW) count_few(few, x->name, k);
    }
}

void imatrix_tell_experts(const imatrix *m, const policy_tensor *t, const dtype *types, int64_t n, progress *log)
{
    few_experts none = { 0 }, few = { 0 };
    for (int64_t i = 0; i < n; i++) {
        const bool used = t[i].n_dims > 2 && types[i] != DT_Q8_0 && dtype_find(types[i])->block_weights > 1;
        const entry *x = used ? find_entry(m, t[i].name) : NULL;
        if (x && x->n_counts > 1) look_at_counts(x, &none, &few);
    }
    if (none.n > 0)
        progress_logf(log,
                      "warning: %s: no token reached %lld matri%s of experts, whose columns count alike: the first "
                      "is expert %lld of '%s'",
                      m->path, (long long)none.n, none.n == 1 ? "x" : "ces", (long long)none.expert, none.tensor);
    if (few.n > 0)
        progress_logf(log,
                      "warning: %s: fewer than %d tokens reached %lld matri%s of experts: the first is expert %lld "
                      "of '%s'",
                      m->path, IMATRIX_FEW, (long long)few.n, few.n == 1 ? "x" : "ces", (long long)few.expert,
                      few.tensor);
}
