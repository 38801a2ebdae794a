// Writing GGUF (declared in gguf.h): version 3, little-endian.
#include "gguf.h"

#include "name_index.h"

#include <stdlib.h>
#include <string.h>

#define WHERE "GGUF plan"       // there is no file yet when a plan is refused

struct gguf_plan {
    int64_t      alignment;
    bool         laid_out;
    int64_t      header_bytes, file_bytes;      // of the layout
    int64_t      n_kv, cap_kv;
    gguf_kv     *kv;            // key and data owned
    name_index   keys;
    int64_t      n_tensors, cap_tensors;
    gguf_tensor *tensors;       // name owned
    name_index   names;         // of tensors
};

static const int64_t FIXED_BYTES = 4 + 4 + 8 + 8;      // magic, version, tensor count, metadata count

gguf_plan *gguf_plan_new(int64_t alignment, err *e)
{
    if (alignment < 8 || alignment > LIMIT_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
        err_set(e, ERR_SYSTEM, WHERE ": found alignment %lld, expected a power of two from 8 to 2^30",
                (long long)alignment);
        return NULL;
    }
    gguf_plan *p = calloc(1, sizeof *p);
    if (!p) { err_nomem(e, "a GGUF plan", sizeof *p); return NULL; }
    p->alignment = alignment;
    if (alignment != 32 && !gguf_plan_u32(p, "general.alignment", (uint32_t)alignment, e)) {
        gguf_plan_free(p);
        return NULL;
    }
    return p;
}

void gguf_plan_free(gguf_plan *p)
{
    if (!p) return;
    for (int64_t i = 0; i < p->n_kv; i++) {
        free((char *)(uintptr_t)p->kv[i].key);
        free((uint8_t *)(uintptr_t)p->kv[i].data);
    }
    for (int64_t i = 0; i < p->n_tensors; i++) free((char *)(uintptr_t)p->tensors[i].name);
    name_index_free(&p->keys);
    name_index_free(&p->names);
    free(p->kv);
    free(p->tensors);
    free(p);
}

// Makes room for one more row of `size` bytes.
static bool grow(void **rows, int64_t n, int64_t *cap, size_t size, const char *what, err *e)
{
    if (n < *cap) return true;
    int64_t want = *cap ? *cap * 2 : 64;
    void   *v    = realloc(*rows, (size_t)want * size);
    if (!v) return err_nomem(e, what, (size_t)want * size);
    *rows = v;
    *cap  = want;
    return true;
}

// ---- metadata ------------------------------------------------------------------------------------------------------

static gguf_kv *find_kv(const gguf_plan *p, const char *key)
{
    const int64_t i = name_index_find(&p->keys, key);
    return i < 0 ? NULL : &p->kv[i];
}

const gguf_kv *gguf_plan_find(const gguf_plan *p, const char *key)
{
    return find_kv(p, key);
}

int64_t        gguf_plan_n_kv(const gguf_plan *p)              { return p->n_kv; }
const gguf_kv *gguf_plan_kv_at(const gguf_plan *p, int64_t i) { return &p->kv[i]; }

// A row for a key that is not there yet.
static gguf_kv *new_kv(gguf_plan *p, const char *key, err *e)
{
    size_t len = strlen(key);
    if (len < 1 || len > LIMIT_NAME_BYTES || p->n_kv >= LIMIT_KV_PAIRS) {
        err_set(e, ERR_INPUT,
                WHERE ": key '%.100s': found key %lld of %zu bytes, expected at most %d keys of 1 to %d bytes", key,
                (long long)p->n_kv + 1, len, LIMIT_KV_PAIRS, LIMIT_NAME_BYTES);
        return NULL;
    }
    void *rows = p->kv;
    if (!grow(&rows, p->n_kv, &p->cap_kv, sizeof *p->kv, "metadata", e)) return NULL;
    p->kv = rows;
    char *copy = strdup(key);
    if (!copy) { err_nomem(e, key, len + 1); return NULL; }
    if (!name_index_add(&p->keys, copy, p->n_kv, e)) { free(copy); return NULL; }
    gguf_kv *kv = &p->kv[p->n_kv++];
    *kv = (gguf_kv){ .key = copy };
    return kv;
}

// Sets a key to a value whose bytes are `data`, which becomes the plan's, in case of failure too.
static bool set_owned(gguf_plan *p, const char *key, gguf_type type, gguf_type elem, int64_t n, uint8_t *data,
                      int64_t n_bytes, err *e)
{
    gguf_kv *kv = find_kv(p, key);
    if (p->laid_out && (!kv || kv->type != type || kv->n_bytes != n_bytes)) {
        err_set(e, ERR_SYSTEM, WHERE ": key '%s': found %lld bytes, expected the %lld of the layout", key,
                (long long)n_bytes, (long long)(kv ? kv->n_bytes : 0));
        goto fail;
    }
    if (!kv && !(kv = new_kv(p, key, e))) goto fail;
    free((uint8_t *)(uintptr_t)kv->data);
    kv->type    = type;
    kv->elem    = elem;
    kv->n       = n;
    kv->data    = data;
    kv->n_bytes = n_bytes;
    return true;
fail:
    free(data);
    return false;
}

static bool set_copy(gguf_plan *p, const char *key, gguf_type type, gguf_type elem, int64_t n, const void *v,
                     int64_t n_bytes, err *e)
{
    uint8_t *data = malloc(n_bytes > 0 ? (size_t)n_bytes : 1);
    if (!data) return err_nomem(e, key, (size_t)n_bytes);
    if (n_bytes > 0) memcpy(data, v, (size_t)n_bytes);
    return set_owned(p, key, type, elem, n, data, n_bytes, e);
}

bool gguf_plan_u32(gguf_plan *p, const char *key, uint32_t v, err *e)
{
    return set_copy(p, key, GGUF_U32, GGUF_U32, 1, &v, 4, e);
}
bool gguf_plan_i32(gguf_plan *p, const char *key, int32_t v, err *e)
{
    return set_copy(p, key, GGUF_I32, GGUF_I32, 1, &v, 4, e);
}
bool gguf_plan_u64(gguf_plan *p, const char *key, uint64_t v, err *e)
{
    return set_copy(p, key, GGUF_U64, GGUF_U64, 1, &v, 8, e);
}
bool gguf_plan_f32(gguf_plan *p, const char *key, float v, err *e)
{
    return set_copy(p, key, GGUF_F32, GGUF_F32, 1, &v, 4, e);
}

bool gguf_plan_bool(gguf_plan *p, const char *key, bool v, err *e)
{
    uint8_t b = v;
    return set_copy(p, key, GGUF_BOOL, GGUF_BOOL, 1, &b, 1, e);
}

// Strings as stored: a u64 length, then the bytes.
static bool set_strings(gguf_plan *p, const char *key, gguf_type type, const gguf_str *v, int64_t n, err *e)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        if (!add_i64(total, 8, &total) || !add_i64(total, v[i].n, &total))
            return err_set(e, ERR_INPUT, WHERE ": key '%s': found strings whose lengths wrap", key);
    uint8_t *data = malloc(total > 0 ? (size_t)total : 1), *w = data;
    if (!data) return err_nomem(e, key, (size_t)total);
    for (int64_t i = 0; i < n; i++) {
        memcpy(w, &v[i].n, 8);
        if (v[i].n > 0) memcpy(w + 8, v[i].s, (size_t)v[i].n);
        w += 8 + v[i].n;
    }
    return set_owned(p, key, type, GGUF_STRING, n, data, total, e);
}

bool gguf_plan_strn(gguf_plan *p, const char *key, const char *s, int64_t n, err *e)
{
    gguf_str v = { .s = s, .n = n };
    return set_strings(p, key, GGUF_STRING, &v, 1, e);
}

bool gguf_plan_str(gguf_plan *p, const char *key, const char *s, err *e)
{
    return gguf_plan_strn(p, key, s, (int64_t)strlen(s), e);
}

bool gguf_plan_arr_str(gguf_plan *p, const char *key, const gguf_str *v, int64_t n, err *e)
{
    return set_strings(p, key, GGUF_ARRAY, v, n, e);
}

bool gguf_plan_arr(gguf_plan *p, const char *key, gguf_type elem, const void *v, int64_t n, err *e)
{
    int64_t bytes;
    if (gguf_type_bytes(elem) == 0)
        return err_set(e, ERR_SYSTEM, WHERE ": key '%s': found elements of %s, expected plain ones", key,
                       gguf_type_name(elem));
    if (!mul_i64(n, gguf_type_bytes(elem), &bytes))
        return err_set(e, ERR_INPUT, WHERE ": key '%s': found a count of %lld elements, which wraps", key,
                       (long long)n);
    return set_copy(p, key, GGUF_ARRAY, elem, n, v, bytes, e);
}

bool gguf_plan_arr_own(gguf_plan *p, const char *key, gguf_type elem, int64_t n, uint8_t *data, int64_t n_bytes, err *e)
{
    return set_owned(p, key, GGUF_ARRAY, elem, n, data, n_bytes, e);
}

bool gguf_plan_copy_kv(gguf_plan *p, const gguf_kv *kv, err *e)
{
    return set_copy(p, kv->key, kv->type, kv->elem, kv->n, kv->data, kv->n_bytes, e);
}

bool gguf_plan_remove(gguf_plan *p, const char *key)
{
    gguf_kv *kv = find_kv(p, key);
    if (!kv || p->laid_out) return false;
    name_index_remove(&p->keys, key);
    free((char *)(uintptr_t)kv->key);
    free((uint8_t *)(uintptr_t)kv->data);
    p->n_kv--;
    memmove(kv, kv + 1, (size_t)(&p->kv[p->n_kv] - kv) * sizeof *kv);
    return true;
}

// ---- tensors -------------------------------------------------------------------------------------------------------

static bool fill_tensor(gguf_tensor *t, const char *name, dtype type, int n_dims, const int64_t *shape, err *e)
{
    const dtype_info *d = dtype_find(type);
    size_t            len = strlen(name);
    if (len < 1 || len > GGUF_MAX_TENSOR_NAME)
        return err_set(e, ERR_INPUT, WHERE ": tensor '%.100s': found a name of %zu bytes, expected 1 to %d", name, len,
                       GGUF_MAX_TENSOR_NAME);
    if (!d) return err_set(e, ERR_SYSTEM, WHERE ": tensor '%s': found type %d, which is unknown", name, (int)type);
    if (n_dims < 0 || n_dims > LIMIT_DIMS)
        return err_set(e, ERR_INPUT, WHERE ": tensor '%s': found %d dimensions, expected at most %d", name, n_dims,
                       LIMIT_DIMS);
    *t = (gguf_tensor){ .type = type, .n_elems = 1 };
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 1 || !mul_i64(t->n_elems, shape[i], &t->n_elems))
            return err_set(e, ERR_INPUT,
                           WHERE ": tensor '%s': found dimension %lld, expected 1 or more and a product within 63 bits",
                           name, (long long)shape[i]);
    t->n_dims = t->n_stored = gguf_count_dims(n_dims, shape, t->shape);
    const int64_t cols = gguf_tensor_cols(t);
    if (cols % d->block_weights != 0)
        return err_set(e, ERR_INPUT,
                       WHERE ": tensor '%s': found rows of %lld weights, expected a multiple of %d for %s", name,
                       (long long)cols, d->block_weights, d->name);
    if (!dtype_bytes(type, n_dims, shape, &t->n_bytes))
        return err_set(e, ERR_INPUT, WHERE ": tensor '%s': found %lld elements, expected a size within 63 bits", name,
                       (long long)t->n_elems);
    return true;
}

bool gguf_plan_tensor(gguf_plan *p, const char *name, dtype type, int n_dims, const int64_t *shape, err *e)
{
    gguf_tensor t;
    if (p->laid_out) return err_set(e, ERR_SYSTEM, WHERE ": tensor '%s': added after the layout", name);
    if (!fill_tensor(&t, name, type, n_dims, shape, e)) return false;
    if (p->n_tensors >= LIMIT_TENSORS)
        return err_set(e, ERR_INPUT, WHERE ": tensor '%s': expected at most %d tensors", name, LIMIT_TENSORS);
    void *rows = p->tensors;
    if (!grow(&rows, p->n_tensors, &p->cap_tensors, sizeof *p->tensors, "the tensor table", e)) return false;
    p->tensors = rows;
    if (name_index_find(&p->names, name) >= 0)
        return err_set(e, ERR_INPUT, WHERE ": tensor '%s': found it a second time, expected it once", name);
    t.name = strdup(name);
    if (!t.name) return err_nomem(e, name, strlen(name) + 1);
    if (!name_index_add(&p->names, t.name, p->n_tensors, e)) {
        free((char *)(uintptr_t)t.name);
        return false;
    }
    p->tensors[p->n_tensors++] = t;
    return true;
}

int64_t            gguf_plan_n_tensors(const gguf_plan *p)              { return p->n_tensors; }
const gguf_tensor *gguf_plan_tensor_at(const gguf_plan *p, int64_t i)   { return &p->tensors[i]; }

// ---- layout and bytes ----------------------------------------------------------------------------------------------

static bool pad_to(int64_t *v, int64_t alignment)
{
    return add_i64(*v, (alignment - *v % alignment) % alignment, v);
}

// Bytes of the header before padding; false if they wrap.
static bool header_size(const gguf_plan *p, int64_t *n)
{
    *n = FIXED_BYTES;
    for (int64_t i = 0; i < p->n_kv; i++) {
        const gguf_kv *kv = &p->kv[i];
        int64_t fixed = 8 + (int64_t)strlen(kv->key) + 4 + (kv->type == GGUF_ARRAY ? 4 + 8 : 0);
        if (!add_i64(*n, fixed, n) || !add_i64(*n, kv->n_bytes, n)) return false;
    }
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const gguf_tensor *t = &p->tensors[i];
        if (!add_i64(*n, 8 + (int64_t)strlen(t->name) + 4 + 8 * t->n_dims + 4 + 8, n)) return false;
    }
    return true;
}

bool gguf_plan_layout(gguf_plan *p, int64_t *header_bytes, int64_t *file_bytes, err *e)
{
    int64_t at;
    bool    ok = header_size(p, &at) && pad_to(&at, p->alignment);
    p->header_bytes = at;
    for (int64_t i = 0; ok && i < p->n_tensors; i++) {
        p->tensors[i].off = at;
        ok = add_i64(at, p->tensors[i].n_bytes, &at) && pad_to(&at, p->alignment);
    }
    if (!ok) return err_set(e, ERR_INPUT, WHERE ": found a file size over 63 bits");
    p->file_bytes = at;
    p->laid_out   = true;
    *header_bytes = p->header_bytes;
    *file_bytes   = p->file_bytes;
    return true;
}

typedef struct { uint8_t *p; } sink;

static void put(sink *s, const void *v, int64_t n)
{
    if (n > 0) memcpy(s->p, v, (size_t)n);
    s->p += n;
}
static void put_u32(sink *s, uint32_t v) { put(s, &v, 4); }
static void put_u64(sink *s, uint64_t v) { put(s, &v, 8); }
static void put_str(sink *s, const char *v)
{
    put_u64(s, strlen(v));
    put(s, v, (int64_t)strlen(v));
}

static void put_pair(sink *s, const gguf_kv *kv)
{
    put_str(s, kv->key);
    put_u32(s, kv->type);
    if (kv->type == GGUF_ARRAY) {
        put_u32(s, kv->elem);
        put_u64(s, (uint64_t)kv->n);
    }
    put(s, kv->data, kv->n_bytes);
}

static void put_tensor(sink *s, const gguf_tensor *t, int64_t data_off)
{
    put_str(s, t->name);
    put_u32(s, (uint32_t)t->n_dims);
    for (int d = t->n_dims - 1; d >= 0; d--) put_u64(s, (uint64_t)t->shape[d]);     // fastest first
    put_u32(s, (uint32_t)t->type);
    put_u64(s, (uint64_t)(t->off - data_off));
}

bool gguf_plan_header(const gguf_plan *p, uint8_t **bytes, int64_t *n, err *e)
{
    int64_t size;
    if (!p->laid_out) return err_set(e, ERR_SYSTEM, WHERE ": the header was asked for before the layout");
    if (!header_size(p, &size) || !pad_to(&size, p->alignment) || size != p->header_bytes)
        return err_set(e, ERR_SYSTEM, WHERE ": found a header of %lld bytes, expected the %lld of the layout",
                       (long long)size, (long long)p->header_bytes);
    uint8_t *out = calloc(1, (size_t)size);     // zeroed: the padding
    if (!out) return err_nomem(e, "a GGUF header", (size_t)size);
    sink s = { out };
    put(&s, "GGUF", 4);
    put_u32(&s, 3);
    put_u64(&s, (uint64_t)p->n_tensors);
    put_u64(&s, (uint64_t)p->n_kv);
    for (int64_t i = 0; i < p->n_kv; i++) put_pair(&s, &p->kv[i]);
    for (int64_t i = 0; i < p->n_tensors; i++) put_tensor(&s, &p->tensors[i], p->header_bytes);
    *bytes = out;
    *n     = size;
    return true;
}

gguf *gguf_plan_open(gguf_plan *p, uint8_t **bytes, const char *name, err *e)
{
    int64_t header, file, n;
    *bytes = NULL;
    const bool ok = gguf_plan_layout(p, &header, &file, e) && gguf_plan_header(p, bytes, &n, e);
    return ok ? gguf_open_mem(*bytes, n, name, e) : NULL;
}

static bool write_padding(const gguf_plan *p, outfile *f, err *e)
{
    static const uint8_t zeros[4096];
    for (int64_t i = 0; i < p->n_tensors; i++) {
        int64_t at  = p->tensors[i].off + p->tensors[i].n_bytes;
        int64_t end = i + 1 < p->n_tensors ? p->tensors[i + 1].off : p->file_bytes;
        for (; at < end; at += (int64_t)sizeof zeros)
            if (!outfile_write_at(f, at, zeros, end - at < (int64_t)sizeof zeros ? end - at : (int64_t)sizeof zeros, e))
                return false;
    }
    return true;
}

bool gguf_plan_write(const gguf_plan *p, outfile *f, err *e)
{
    uint8_t *header = NULL;
    int64_t  n      = 0;
    if (!gguf_plan_header(p, &header, &n, e)) return false;
    bool ok = outfile_write_at(f, 0, header, n, e) && write_padding(p, f, e);
    free(header);
    return ok;
}
