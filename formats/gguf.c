#include "gguf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_kind.h"
#include "file_map.h"

// The layout, all little-endian (ggml's docs/gguf.md):
//   "GGUF"  u32 version  u64 n_tensors  u64 n_kv
//   n_kv times:       string key, u32 type, value      (string: u64 length, bytes; array: u32 type, u64 count,
//   elements)
//   n_tensors times:  string name, u32 n_dims, u64 dims[n_dims] (fastest first), u32 type, u64 offset from the data
//   section padding to the alignment, then the data section

struct gguf {
    file_map           map;         // closed for gguf_open_mem
    char              *name;        // path, for messages
    const uint8_t     *data;
    int64_t            size;
    int                version;
    int64_t            alignment, data_off;
    int64_t            n_kv, n_tensors;
    gguf_kv           *kv;
    gguf_tensor       *tensors;
    const gguf_kv    **kv_sorted;       // by key
    const gguf_tensor **tensor_sorted;  // by name
};

static const struct { const char *name; int bytes;
} TYPES[] = {
    [GGUF_U8] = { "u8", 1 },       [GGUF_I8] = { "i8", 1 },     [GGUF_U16] = { "u16", 2 },
    [GGUF_I16] = { "i16", 2 },     [GGUF_U32] = { "u32", 4 },   [GGUF_I32] = { "i32", 4 },
    [GGUF_F32] = { "f32", 4 },     [GGUF_BOOL] = { "bool", 1 }, [GGUF_STRING] = { "string", 0 },
    [GGUF_ARRAY] = { "array", 0 }, [GGUF_U64] = { "u64", 8 },   [GGUF_I64] = { "i64", 8 },
    [GGUF_F64] = { "f64", 8 },
};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0] };

static bool type_known(int64_t t)            { return t >= 0 && t < N_TYPES; }
const char *gguf_type_name(gguf_type t)      { return type_known((int64_t)t) ? TYPES[t].name : "?"; }
int         gguf_type_bytes(gguf_type t)     { return type_known((int64_t)t) ? TYPES[t].bytes : 0; }

// ---- a cursor that checks bounds -----------------------------------------------------------------------------------

typedef struct {
    gguf       *g;
    int64_t     i;          // next byte to read
    const char *item;       // "key" or "tensor" once one is known, with its name; "" before
    const char *item_name;
    err        *e;
} cursor;

static bool fail_at(const cursor *c, int64_t off, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool fail_at(const cursor *c, int64_t off, const char *fmt, ...)
{
    char    what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (c->item)
        return err_set(c->e, ERR_INPUT, "%s: %s '%.200s': offset %lld: %s", c->g->name, c->item, c->item_name,
                       (long long)off, what);
    return err_set(c->e, ERR_INPUT, "%s: offset %lld: %s", c->g->name, (long long)off, what);
}

static inline int64_t left(const cursor *c) { return c->g->size - c->i; }

static bool need(const cursor *c, int64_t n, const char *what)
{
    if (n <= left(c)) return true;
    return fail_at(c, c->i, "truncated: found %lld bytes to the end of the file, expected %lld for %s",
                   (long long)left(c), (long long)n, what);
}

static bool get_u32(cursor *c, uint32_t *v, const char *what)
{
    if (!need(c, 4, what)) return false;
    memcpy(v, c->g->data + c->i, 4);
    c->i += 4;
    return true;
}

// A count, length or offset: anything over INT64_MAX comes out as INT64_MAX, which no check below lets pass.
static bool get_count(cursor *c, int64_t *v, const char *what)
{
    uint64_t u;
    if (!need(c, 8, what)) return false;
    memcpy(&u, c->g->data + c->i, 8);
    c->i += 8;
    *v = u > INT64_MAX ? INT64_MAX : (int64_t)u;
    return true;
}

// A key or tensor name, copied with a NUL; owned by the gguf from here on.
static bool get_name(cursor *c, const char **name, const char *what)
{
    int64_t at = c->i, n;
    if (!get_count(c, &n, what)) return false;
    if (n < 1 || n > LIMIT_NAME_BYTES)
        return fail_at(c, at, "found a length of %lld for %s, expected 1 to %d", (long long)n, what, LIMIT_NAME_BYTES);
    if (!need(c, n, what)) return false;
    const char *p = (const char *)c->g->data + c->i;
    if (memchr(p, 0, (size_t)n)) return fail_at(c, c->i, "found a NUL byte in %s", what);
    *name = strndup(p, (size_t)n);
    if (!*name) return err_nomem(c->e, what, (size_t)n + 1);
    c->i += n;
    return true;
}

// ---- metadata ------------------------------------------------------------------------------------------------------

// n strings: only their lengths are looked at, once.
static bool skip_strings(cursor *c, int64_t n)
{
    if (n > left(c) / 8)
        return fail_at(c, c->i, "found a count of %lld strings, expected at most %lld in the bytes left", (long long)n,
                       (long long)(left(c) / 8));
    for (int64_t k = 0; k < n; k++) {
        int64_t at = c->i, len;
        if (!get_count(c, &len, "a string's length")) return false;
        if (len > left(c))
            return fail_at(c, at, "found a string of %lld bytes, expected at most the %lld left", (long long)len,
                           (long long)left(c));
        c->i += len;
    }
    return true;
}

static bool skip_plain(cursor *c, gguf_type t, int64_t n)
{
    int64_t bytes;
    if (!mul_i64(n, TYPES[t].bytes, &bytes) || bytes > left(c))
        return fail_at(c, c->i, "found a count of %lld elements of %s, expected at most the %lld bytes left",
                       (long long)n, TYPES[t].name, (long long)left(c));
    if (t == GGUF_BOOL)
        for (int64_t k = 0; k < n; k++)
            if (c->g->data[c->i + k] > 1)
                return fail_at(c, c->i + k, "found %d, expected a boolean of 0 or 1", c->g->data[c->i + k]);
    c->i += bytes;
    return true;
}

static bool get_type(cursor *c, gguf_type *t, const char *what)
{
    int64_t  at = c->i;
    uint32_t v;
    if (!get_u32(c, &v, what)) return false;
    if (!type_known(v)) return fail_at(c, at, "found %u, expected %s from 0 to %d", v, what, N_TYPES - 1);
    *t = (gguf_type)v;
    return true;
}

static bool read_pair(cursor *c, gguf_kv *kv)
{
    c->item = NULL;
    kv->off = c->i;
    if (!get_name(c, &kv->key, "a key")) return false;
    c->item      = "key";
    c->item_name = kv->key;
    if (!get_type(c, &kv->type, "a value type")) return false;
    kv->elem = kv->type;
    kv->n    = 1;
    if (kv->type == GGUF_ARRAY) {
        int64_t at = c->i;
        if (!get_type(c, &kv->elem, "an element type") || !get_count(c, &kv->n, "an element count")) return false;
        if (kv->elem == GGUF_ARRAY)
            return fail_at(c, at, "found an array of arrays, expected plain elements or strings");
    }
    int64_t from = c->i;
    kv->data = c->g->data + from;
    if (!(kv->elem == GGUF_STRING ? skip_strings(c, kv->n) : skip_plain(c, kv->elem, kv->n))) return false;
    kv->n_bytes = c->i - from;
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const gguf_kv *const *)a)->key, (*(const gguf_kv *const *)b)->key);
}

static bool read_pairs(cursor *c)
{
    gguf *g = c->g;
    g->kv        = calloc((size_t)g->n_kv + 1, sizeof *g->kv);
    g->kv_sorted = calloc((size_t)g->n_kv + 1, sizeof *g->kv_sorted);
    if (!g->kv || !g->kv_sorted) return err_nomem(c->e, "metadata", (size_t)g->n_kv * sizeof *g->kv);
    for (int64_t i = 0; i < g->n_kv; i++) {
        if (!read_pair(c, &g->kv[i])) return false;
        g->kv_sorted[i] = &g->kv[i];
    }
    // Sorted rather than hashed: whoever writes a file can choose keys that collide.
    qsort(g->kv_sorted, (size_t)g->n_kv, sizeof *g->kv_sorted, by_key);
    for (int64_t i = 1; i < g->n_kv; i++) {
        const gguf_kv *a = g->kv_sorted[i - 1], *b = g->kv_sorted[i];
        if (strcmp(a->key, b->key) != 0) continue;
        c->item      = "key";
        c->item_name = a->key;
        return fail_at(c, a->off > b->off ? a->off : b->off, "found it a second time, expected it once");
    }
    return true;
}

static bool read_alignment(cursor *c)
{
    gguf *g = c->g;
    g->alignment = 32;
    const gguf_kv *kv = gguf_find_kv(g, "general.alignment");
    if (!kv) return true;
    c->item      = "key";
    c->item_name = kv->key;
    if (kv->type != GGUF_U32) return fail_at(c, kv->off, "found type %s, expected u32", TYPES[kv->type].name);
    uint32_t a;
    memcpy(&a, kv->data, 4);
    if (a == 0 || a % 8 != 0 || (a & (a - 1)) != 0 || a > LIMIT_ALIGNMENT)
        return fail_at(c, kv->off, "found %u, expected a power of two and a multiple of 8, at most %d", a,
                       LIMIT_ALIGNMENT);
    g->alignment = a;
    return true;
}

// ---- tensors -------------------------------------------------------------------------------------------------------

int gguf_count_dims(int n_dims, const int64_t *stored, int64_t shape[LIMIT_DIMS])
{
    int ones = 0;
    while (ones < n_dims - 1 && stored[ones] == 1) ones++;
    const int n = n_dims > 0 ? n_dims - ones : 1;
    for (int d = 0; d < LIMIT_DIMS; d++) shape[d] = d < n_dims - ones ? stored[d + ones] : 1;
    return n;
}

// Dimensions are stored fastest first; *n_elems is checked not to wrap.
static bool read_dims(cursor *c, gguf_tensor *t)
{
    int64_t  at = c->i;
    uint32_t n_dims;
    if (!get_u32(c, &n_dims, "a number of dimensions")) return false;
    if (n_dims > LIMIT_DIMS) return fail_at(c, at, "found %u dimensions, expected at most %d", n_dims, LIMIT_DIMS);
    int64_t stored[LIMIT_DIMS];
    t->n_stored = (int)n_dims;
    t->n_elems  = 1;
    for (int d = t->n_stored - 1; d >= 0; d--) {
        at = c->i;
        int64_t v;
        if (!get_count(c, &v, "a dimension")) return false;
        if (v < 1 || v == INT64_MAX)
            return fail_at(c, at, "found a dimension of %lld, expected 1 or more", (long long)v);
        if (!mul_i64(t->n_elems, v, &t->n_elems))
            return fail_at(c, at, "found a dimension of %lld, expected a number of elements within 63 bits",
                           (long long)v);
        stored[d] = v;
    }
    t->n_dims = gguf_count_dims(t->n_stored, stored, t->shape);
    return true;
}

static bool read_layout(cursor *c, gguf_tensor *t)
{
    int64_t  at = c->i;
    uint32_t id;
    if (!get_u32(c, &id, "a tensor type")) return false;
    const dtype_info *d = dtype_find(id);
    if (!d) return fail_at(c, at, "found tensor type %u, which is unknown", id);
    t->type = d->id;
    const int64_t cols = gguf_tensor_cols(t);
    if (cols % d->block_weights != 0)
        return fail_at(c, at, "found rows of %lld weights, expected a multiple of %d for %s", (long long)cols,
                       d->block_weights, d->name);
    if (!dtype_bytes(d->id, t->n_dims, t->shape, &t->n_bytes))
        return fail_at(c, at, "found %lld elements of %s, expected a size within 63 bits", (long long)t->n_elems,
                       d->name);
    at = c->i;
    if (!get_count(c, &t->off, "a tensor offset")) return false;     // still from the data section
    if (t->off % c->g->alignment != 0)
        return fail_at(c, at, "found data offset %lld, expected a multiple of the alignment %lld", (long long)t->off,
                       (long long)c->g->alignment);
    return true;
}

static bool read_tensor_info(cursor *c, gguf_tensor *t)
{
    c->item = NULL;
    if (!get_name(c, &t->name, "a tensor name")) return false;
    c->item      = "tensor";
    c->item_name = t->name;
    return read_dims(c, t) && read_layout(c, t);
}

// Turns offsets from the data section into offsets in the file, in bounds.
static bool place_tensor(cursor *c, gguf_tensor *t)
{
    gguf   *g = c->g;
    int64_t end;
    c->item      = "tensor";
    c->item_name = t->name;
    int64_t rel = t->off;
    if (!add_i64(g->data_off, rel, &t->off) || !add_i64(t->off, t->n_bytes, &end))
        return fail_at(c, g->data_off, "found data offset %lld and %lld bytes, expected them to end within 63 bits",
                       (long long)rel, (long long)t->n_bytes);
    if (end > g->size)
        return fail_at(c, t->off,
                       "truncated: found a file of %lld bytes, expected the %lld that the tensor needs (%lld from data "
                       "offset %lld on)",
                       (long long)g->size, (long long)end, (long long)t->n_bytes, (long long)rel);
    t->data = g->data + t->off;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

static int by_offset(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    return x->off < y->off ? -1 : x->off > y->off;
}

static bool check_overlaps(cursor *c)
{
    gguf *g = c->g;
    const gguf_tensor **v = g->tensor_sorted;
    qsort(v, (size_t)g->n_tensors, sizeof *v, by_offset);
    for (int64_t i = 1; i < g->n_tensors; i++) {
        if (v[i]->off >= v[i - 1]->off + v[i - 1]->n_bytes) continue;
        c->item      = "tensor";
        c->item_name = v[i]->name;
        return fail_at(c, v[i]->off, "found it inside tensor '%.200s', expected no overlap", v[i - 1]->name);
    }
    return true;
}

static bool check_tensor_names(cursor *c)
{
    gguf *g = c->g;
    const gguf_tensor **v = g->tensor_sorted;
    qsort(v, (size_t)g->n_tensors, sizeof *v, by_name);
    for (int64_t i = 1; i < g->n_tensors; i++)
        if (strcmp(v[i - 1]->name, v[i]->name) == 0)
            return err_set(c->e, ERR_INPUT, "%s: found tensor '%.200s' twice, expected it once", g->name, v[i]->name);
    return true;
}

static bool read_tensors(cursor *c)
{
    gguf *g = c->g;
    g->tensors       = calloc((size_t)g->n_tensors + 1, sizeof *g->tensors);
    g->tensor_sorted = calloc((size_t)g->n_tensors + 1, sizeof *g->tensor_sorted);
    if (!g->tensors || !g->tensor_sorted)
        return err_nomem(c->e, "the tensor table", (size_t)g->n_tensors * sizeof *g->tensors);
    for (int64_t i = 0; i < g->n_tensors; i++) {
        if (!read_tensor_info(c, &g->tensors[i])) return false;
        g->tensor_sorted[i] = &g->tensors[i];
    }
    c->item = NULL;
    int64_t end;
    if (!add_i64(c->i, g->alignment - 1, &end)) return fail_at(c, c->i, "found a header that wraps");
    g->data_off = end / g->alignment * g->alignment;
    for (int64_t i = 0; i < g->n_tensors; i++)
        if (!place_tensor(c, &g->tensors[i])) return false;
    return check_overlaps(c) && check_tensor_names(c);
}

// ---- opening -------------------------------------------------------------------------------------------------------

static bool read_counts(cursor *c)
{
    enum { MIN_TENSOR = 8 + 1 + 4 + 4 + 8, MIN_PAIR = 8 + 1 + 4 + 1 };    // bytes of the smallest ones
    gguf *g = c->g;
    if (!get_count(c, &g->n_tensors, "the tensor count") || !get_count(c, &g->n_kv, "the metadata count")) return false;
    if (g->n_tensors > LIMIT_TENSORS || g->n_tensors > left(c) / MIN_TENSOR)
        return fail_at(c, 8, "found a count of %lld tensors, expected at most %d, and no more than fit %lld bytes",
                       (long long)g->n_tensors, LIMIT_TENSORS, (long long)left(c));
    if (g->n_kv > LIMIT_KV_PAIRS || g->n_kv > left(c) / MIN_PAIR)
        return fail_at(c, 16,
                       "found a count of %lld metadata pairs, expected at most %d, and no more than fit %lld bytes",
                       (long long)g->n_kv, LIMIT_KV_PAIRS, (long long)left(c));
    return true;
}

static bool read_all(gguf *g, err *e)
{
    cursor   c = { .g = g, .e = e };
    uint32_t version;
    if (!need(&c, 4, "the magic \"GGUF\"")) return false;
    const char *kind = file_kind(g->data, g->size);
    if (memcmp(g->data, "GGUF", 4) != 0 && kind) return fail_at(&c, 0, "found %s, expected a GGUF file", kind);
    if (memcmp(g->data, "GGUF", 4) != 0)
        return fail_at(&c, 0, "found bytes %02x %02x %02x %02x, expected the magic \"GGUF\"", g->data[0], g->data[1],
                       g->data[2], g->data[3]);
    c.i = 4;
    if (!get_u32(&c, &version, "the version")) return false;
    if ((version & 0xffff) == 0 && version != 0)
        return fail_at(&c, 4, "found a big-endian file (version %u), expected a little-endian one",
                       __builtin_bswap32(version));
    if (version != 2 && version != 3) return fail_at(&c, 4, "found version %u, expected 2 or 3", version);
    g->version = (int)version;
    return read_counts(&c) && read_pairs(&c) && read_alignment(&c) && read_tensors(&c);
}

static gguf *open_bytes(gguf *g, const uint8_t *data, int64_t n, const char *name, err *e)
{
    g->data = data;
    g->size = n;
    g->name = strdup(name);
    if (!g->name) err_nomem(e, "a path", strlen(name) + 1);
    else if (read_all(g, e)) return g;
    gguf_close(g);
    return NULL;
}

gguf *gguf_open(const char *path, err *e) { return gguf_open_as(path, path, e); }

gguf *gguf_open_as(const char *path, const char *name, err *e)
{
    if (dir_exists(path)) {
        err_set(e, ERR_INPUT, "%s: found a folder, expected a GGUF file; 'hallmark convert' makes one, of any type, of "
                "a Hugging Face folder", path);
        return NULL;
    }
    gguf *g = calloc(1, sizeof *g);
    if (!g) { err_nomem(e, "a GGUF file", sizeof *g); return NULL; }
    if (!file_map_open(&g->map, path, e)) { free(g); return NULL; }
    return open_bytes(g, g->map.data, g->map.size, name, e);
}

gguf *gguf_open_in(const char *dir, const char *name, err *e)
{
    char *path = path_join(dir, name);
    gguf *g = path ? gguf_open(path, e) : NULL;
    if (!path) err_nomem(e, "a path", strlen(dir));
    free(path);
    return g;
}

gguf *gguf_open_mem(const uint8_t *data, int64_t n, const char *name, err *e)
{
    gguf *g = calloc(1, sizeof *g);
    if (!g) { err_nomem(e, "a GGUF file", sizeof *g); return NULL; }
    return open_bytes(g, data, n, name, e);
}

void gguf_close(gguf *g)
{
    if (!g) return;
    // A count can stand before its table does; the rows that were never reached have no name.
    for (int64_t i = 0; g->kv && i < g->n_kv; i++) free((char *)(uintptr_t)g->kv[i].key);
    for (int64_t i = 0; g->tensors && i < g->n_tensors; i++) free((char *)(uintptr_t)g->tensors[i].name);
    free(g->kv);
    free(g->tensors);
    free(g->kv_sorted);
    free(g->tensor_sorted);
    free(g->name);
    file_map_close(&g->map);
    free(g);
}

const char        *gguf_path(const gguf *g)                     { return g->name; }
int                gguf_version(const gguf *g)                  { return g->version; }
int64_t            gguf_alignment(const gguf *g)                { return g->alignment; }
int64_t            gguf_data_off(const gguf *g)                 { return g->data_off; }
int64_t            gguf_file_bytes(const gguf *g)               { return g->size; }
int                gguf_fd(const gguf *g)                       { return g->map.path ? g->map.fd : -1; }
int64_t            gguf_n_kv(const gguf *g)                     { return g->n_kv; }
const gguf_kv     *gguf_kv_at(const gguf *g, int64_t i)         { return &g->kv[i]; }
int64_t            gguf_n_tensors(const gguf *g)                { return g->n_tensors; }
const gguf_tensor *gguf_tensor_at(const gguf *g, int64_t i)     { return &g->tensors[i]; }

const gguf_kv *gguf_find_kv(const gguf *g, const char *key)
{
    const gguf_kv  probe = { .key = key }, *p = &probe;
    const gguf_kv **hit = bsearch(&p, g->kv_sorted, (size_t)g->n_kv, sizeof *g->kv_sorted, by_key);
    return hit ? *hit : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name)
{
    const gguf_tensor  probe = { .name = name }, *p = &probe;
    const gguf_tensor **hit = bsearch(&p, g->tensor_sorted, (size_t)g->n_tensors, sizeof *g->tensor_sorted, by_name);
    return hit ? *hit : NULL;
}
