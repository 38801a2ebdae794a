#define _GNU_SOURCE
#include "safetensors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file_kind.h"
#include "hub_cache.h"
#include "json.h"

// The layout: u64 header length (little-endian), a JSON object of that many bytes, then the data section.
//   {"__metadata__": {text: text}, "<name>": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...}
// with offsets from the start of the data section.

struct st {
    int        n_files;
    file_map  *files;
    bool       borrowed;        // the one file's bytes are the caller's
    int64_t    n, cap;
    st_tensor *tensors;         // sorted by name once open; names owned
    int64_t    n_absent;        // tensors that the index lists and no file has
    char     **absent;          // [n_absent][2], owned: name, and the file that the index names
    int64_t    n_misplaced;     // tensors that the index does not list, or lists for another file than theirs
    int64_t    misplaced;       // the first of them
    bool       index_unread;
};

// Every dtype that the format knows (safetensors' Dtype), because shapes and offsets are checked whether we read it or
// not.
static const struct { const char *name; int bits; dtype type;
} DTYPES[] = {
    { "BF16", 16, DT_BF16 },
    { "F16", 16, DT_F16 },
    { "F32", 32, DT_F32 },
    { "BOOL", 8, DT_INVALID },
    { "U8", 8, DT_INVALID },
    { "I8", 8, DT_INVALID },
    { "U16", 16, DT_INVALID },
    { "I16", 16, DT_INVALID },
    { "U32", 32, DT_INVALID },
    { "I32", 32, DT_INVALID },
    { "U64", 64, DT_INVALID },
    { "I64", 64, DT_INVALID },
    { "F64", 64, DT_F64 },
    { "C64", 64, DT_INVALID },
    { "F8_E4M3", 8, DT_F8_E4M3 },
    { "F8_E5M2", 8, DT_F8_E5M2 },
    { "F8_E8M0", 8, DT_INVALID },
    { "F8_E4M3FNUZ", 8, DT_INVALID },
    { "F8_E5M2FNUZ", 8, DT_INVALID },
    { "F6_E2M3", 6, DT_INVALID },
    { "F6_E3M2", 6, DT_INVALID },
    { "F4", 4, DT_INVALID },
};
enum { N_DTYPES = sizeof DTYPES / sizeof DTYPES[0] };

typedef struct {
    st             *s;
    int             file;
    const file_map *m;
    int64_t         data_off;       // of the data section
    err            *e;
} reader;

static bool fail(const reader *r, const char *tensor, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool fail(const reader *r, const char *tensor, const char *fmt, ...)
{
    char    what[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (tensor) return err_set(r->e, ERR_INPUT, "%s: tensor '%.200s': %s", r->m->path, tensor, what);
    return err_set(r->e, ERR_INPUT, "%s: %s", r->m->path, what);
}

// ---- one tensor of the header --------------------------------------------------------------------------------------

static bool read_shape(const reader *r, const cJSON *item, st_tensor *t)
{
    enum { MAX = sizeof t->shape / sizeof t->shape[0] };
    const cJSON *shape = json_get(item, "shape");
    if (!cJSON_IsArray(shape)) return fail(r, t->name, "found no 'shape', expected an array");
    t->n_elems = 1;
    for (int i = 0; i < MAX; i++) t->shape[i] = 1;
    for (const cJSON *c = shape->child; c; c = c->next) {
        int64_t v;
        if (t->n_dims == MAX) return fail(r, t->name, "found a shape of more than %d dimensions", MAX);
        if (!json_as_i64(c, 0, INT64_MAX, &v))
            return fail(r, t->name, "shape: found %.17g, expected an integer from 0 to 2^53",
                        cJSON_IsNumber(c) ? c->valuedouble : -1.0);
        if (!mul_i64(t->n_elems, v, &t->n_elems))
            return fail(r, t->name, "shape: found a number of elements that wraps at %lld", (long long)v);
        t->shape[t->n_dims++] = v;
    }
    return true;
}

static bool read_dtype(const reader *r, const cJSON *item, st_tensor *t, int *bits)
{
    const cJSON *text = json_get(item, "dtype");
    if (!cJSON_IsString(text)) return fail(r, t->name, "found no 'dtype', expected a string");
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(DTYPES[i].name, text->valuestring) != 0) continue;
        t->type       = DTYPES[i].type;
        t->dtype_text = DTYPES[i].name;
        *bits         = DTYPES[i].bits;
        return true;
    }
    return fail(r, t->name, "found dtype '%.40s', which is unknown", text->valuestring);
}

static bool read_offsets(const reader *r, const cJSON *item, st_tensor *t, int bits)
{
    const cJSON *v = json_get(item, "data_offsets");
    int64_t begin, end, want, data = r->m->size - r->data_off;
    if (!cJSON_IsArray(v) || !v->child || !v->child->next || v->child->next->next
        || !json_as_i64(v->child, 0, INT64_MAX, &begin) ||
        !json_as_i64(v->child->next, 0, INT64_MAX, &end))
        return fail(r, t->name, "found no 'data_offsets' of two integers from 0 to 2^53");
    if (begin > end || end > data)
        return fail(r, t->name,
                    "found data_offsets [%lld, %lld], expected them ascending and within the %lld bytes of data",
                    (long long)begin, (long long)end, (long long)data);
    if (!mul_i64(t->n_elems, bits, &want) || want % 8 != 0 || want / 8 != end - begin)
        return fail(r, t->name, "found %lld bytes at data offset %lld, expected %lld elements of %s",
                    (long long)(end - begin), (long long)begin, (long long)t->n_elems, t->dtype_text);
    t->n_bytes = end - begin;
    t->off     = r->data_off + begin;
    t->data    = r->m->data + t->off;
    return true;
}

static bool read_tensor(reader *r, const cJSON *item)
{
    st        *s = r->s;
    st_tensor *t = &s->tensors[s->n];
    int        bits = 0;
    size_t     len = strlen(item->string);
    *t = (st_tensor){ .file = r->file, .name = item->string };      // borrowed until the checks are through
    if (len < 1 || len > LIMIT_NAME_BYTES)
        return fail(r, t->name, "found a name of %zu bytes, expected 1 to %d", len, LIMIT_NAME_BYTES);
    if (!cJSON_IsObject(item)) return fail(r, t->name, "found no object, expected dtype, shape and data_offsets");
    if (!read_dtype(r, item, t, &bits) || !read_shape(r, item, t) || !read_offsets(r, item, t, bits)) return false;
    t->name = strdup(item->string);
    if (!t->name) return err_nomem(r->e, item->string, len + 1);
    s->n++;
    return true;
}

// ---- one file ------------------------------------------------------------------------------------------------------

static int by_offset(const void *a, const void *b)
{
    const st_tensor *x = a, *y = b;
    if (x->off != y->off) return x->off < y->off ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;      // empty ones come before what begins there
}

// The tensors from index `from` on are one file's: they must fill the data section, each beginning where another ends.
static bool check_cover(const reader *r, int64_t from)
{
    st     *s  = r->s;
    int64_t at = r->data_off;
    qsort(s->tensors + from, (size_t)(s->n - from), sizeof *s->tensors, by_offset);
    for (int64_t i = from; i < s->n; i++) {
        const st_tensor *t = &s->tensors[i];
        if (t->off != at)
            return fail(r, t->name, "offset %lld: found %s, expected it to begin at %lld", (long long)t->off,
                        t->off > at ? "a hole before it" : "an overlap with another tensor", (long long)at);
        at += t->n_bytes;
    }
    if (at != r->m->size)
        return fail(r, NULL, "offset %lld: found %lld bytes after the last tensor, expected none", (long long)at,
                    (long long)(r->m->size - at));
    return true;
}

// For n tensors in all. By doubling: with thousands of files, moving the table for each would be work by the square.
static bool make_room(st *s, int64_t n, err *e)
{
    if (n < s->cap) return true;
    const int64_t cap = n + 1 > 2 * s->cap ? n + 1 : 2 * s->cap;
    st_tensor *v = realloc(s->tensors, (size_t)cap * sizeof *v);
    if (!v) return err_nomem(e, "the tensor table", (size_t)cap * sizeof *v);
    s->tensors = v;
    s->cap     = cap;
    return true;
}

static bool read_items(reader *r, const cJSON *head)
{
    st     *s = r->s;
    int64_t n = 0, from = s->n;
    for (const cJSON *c = head->child; c; c = c->next) n++;
    if (n > LIMIT_TENSORS - from)
        return fail(r, NULL, "found %lld tensors beside %lld of other files, expected at most %d", (long long)n,
                    (long long)from, LIMIT_TENSORS);
    if (!make_room(s, from + n, r->e)) return false;
    for (const cJSON *c = head->child; c; c = c->next) {
        if (strcmp(c->string, "__metadata__") != 0) {
            if (!read_tensor(r, c)) return false;
            continue;
        }
        if (cJSON_IsNull(c)) continue;
        if (!cJSON_IsObject(c)) return fail(r, NULL, "key '__metadata__': found no object, expected one");
        for (const cJSON *m = c->child; m; m = m->next)
            if (!cJSON_IsString(m))
                return fail(r, NULL, "key '__metadata__': found a value of '%.100s' that is no string", m->string);
    }
    return check_cover(r, from);
}

static bool read_file(st *s, int file, err *e)
{
    const file_map *m = &s->files[file];
    reader   r = { .s = s, .file = file, .m = m, .e = e };
    uint64_t n;
    if (m->size < 8)
        return fail(&r, NULL, "offset 0: found %lld bytes, expected a header length of 8", (long long)m->size);
    memcpy(&n, m->data, 8);
    if (n > (uint64_t)m->size - 8 || n > (uint64_t)LIMIT_SAFETENSORS_HEAD) {
        // one that was cut off is what it should be
        const char *kind = m->size > 8 && m->data[8] == '{' ? NULL : file_kind(m->data, m->size);
        if (kind) return fail(&r, NULL, "offset 0: found %s, expected a safetensors file", kind);
        return fail(&r, NULL,
                    "offset 0: found a header length of %llu, expected at most %lld (and the file has %lld bytes)",
                    (unsigned long long)n, (long long)LIMIT_SAFETENSORS_HEAD, (long long)m->size);
    }
    const char *text = (const char *)m->data + 8;
    if (n < 2 || text[0] != '{') return fail(&r, NULL, "offset 8: found no '{', expected a JSON object");
    r.data_off = 8 + (int64_t)n;
    char *where = NULL;
    if (asprintf(&where, "%s: header (from offset 8)", m->path) < 0)
        return err_nomem(e, "a path", strlen(m->path) + 32);
    cJSON *head = json_parse_limited(text, (int64_t)n, LIMIT_HEAD_VALUES, where, e);
    bool   ok   = head && read_items(&r, head);
    cJSON_Delete(head);
    free(where);
    return ok;
}

// ---- a folder ------------------------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp(((const st_tensor *)a)->name, ((const st_tensor *)b)->name);
}

static bool sort_by_name(st *s, err *e)
{
    qsort(s->tensors, (size_t)s->n, sizeof *s->tensors, by_name);
    for (int64_t i = 1; i < s->n; i++) {
        const st_tensor *a = &s->tensors[i - 1], *b = &s->tensors[i];
        if (strcmp(a->name, b->name) == 0)
            return err_set(e, ERR_INPUT, "%s: tensor '%.200s': found it in %s too, expected it once",
                           s->files[b->file].path, b->name, s->files[a->file].path);
    }
    return true;
}

static bool add_file(st *s, const char *path, err *e)
{
    if ((s->n_files & (s->n_files - 1)) == 0) {         // 0 or a power of two: full
        const size_t cap = s->n_files ? 2 * (size_t)s->n_files : 1;
        file_map *v = realloc(s->files, cap * sizeof *v);
        if (!v) return err_nomem(e, "the list of files", cap * sizeof *v);
        s->files = v;
    }
    if (!file_map_open(&s->files[s->n_files], path, e)) return false;
    file_map *m = &s->files[s->n_files++];
    // read ahead, let go behind
    if (m->size > 0) madvise((void *)(uintptr_t)m->data, (size_t)m->size, MADV_SEQUENTIAL);
    return read_file(s, s->n_files - 1, e);
}

typedef struct { const char *tensor, *file; } entry;       // of the index; both borrowed from its tree

static int by_file(const void *a, const void *b) { return strcmp(((const entry *)a)->file, ((const entry *)b)->file); }
static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->tensor, ((const entry *)b)->tensor);
}

// Only plain names: an index must not make us read files elsewhere. The suffix, because the source digest covers those
// files.
static bool plain_shard_name(const char *name)
{
    static const char SUFFIX[] = ".safetensors";
    size_t n = strlen(name), m = sizeof SUFFIX - 1;
    return n > m && strcmp(name + n - m, SUFFIX) == 0 && !strchr(name, '/') && !strchr(name, '\\') && name[0] != '.';
}

static bool list_entries(const cJSON *index, const char *where, entry **list, int64_t *n, err *e)
{
    const cJSON *map = json_get(index, "weight_map");
    if (!cJSON_IsObject(map) || !map->child)
        return err_set(e, ERR_INPUT, "%s: key 'weight_map': found no object with tensors", where);
    *n = 0;
    for (const cJSON *c = map->child; c; c = c->next) (*n)++;
    if (*n > LIMIT_TENSORS)
        return err_set(e, ERR_INPUT, "%s: key 'weight_map': found %lld tensors, expected at most %d", where,
                       (long long)*n, LIMIT_TENSORS);
    *list = malloc((size_t)*n * sizeof **list);
    if (!*list) return err_nomem(e, "the index", (size_t)*n * sizeof **list);
    int64_t i = 0;
    for (const cJSON *c = map->child; c; c = c->next) {
        if (!cJSON_IsString(c) || !plain_shard_name(c->valuestring))
            return err_set(e, ERR_INPUT,
                           "%s: tensor '%.200s': found file name '%.200s', expected the plain name of a .safetensors "
                           "file",
                           where, c->string, cJSON_IsString(c) ? c->valuestring : "(no string)");
        (*list)[i++] = (entry){ .tensor = c->string, .file = c->valuestring };
    }
    return true;
}

// Opens each file that the index names, once.
// A download that broke off lacks shards: the index knows their names.
static bool shard_is_there(const char *path, const char *dir, const char *where, const char *file, err *e)
{
    if (access(path, F_OK) == 0 || errno != ENOENT) return true;
    char *hint = hub_download_hint(dir);
    if (hint) err_set(e, ERR_INPUT, "%s: names %.200s, which is not in the folder%s", where, file, hint);
    else err_nomem(e, "a message", 0);
    free(hint);
    return false;
}

static bool open_shards(st *s, const char *dir, const char *where, entry *list, int64_t n, err *e)
{
    qsort(list, (size_t)n, sizeof *list, by_file);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(list[i].file, list[i - 1].file) == 0) continue;
        if (s->n_files == LIMIT_SHARDS)
            return err_set(e, ERR_INPUT, "%s: found more than %d files", where, LIMIT_SHARDS);
        char *path = path_join(dir, list[i].file);
        if (!path) return err_nomem(e, "a path", strlen(dir) + strlen(list[i].file) + 2);
        bool ok = shard_is_there(path, dir, where, list[i].file, e) && add_file(s, path, e);
        free(path);
        if (!ok) return false;
    }
    return true;
}

static bool add_absent(st *s, const entry *x, err *e)
{
    char *name = strdup(x->tensor), *file = strdup(x->file);
    if (!name || !file) {
        free(name);
        free(file);
        return err_nomem(e, "the index", strlen(x->tensor) + strlen(x->file));
    }
    s->absent[2 * s->n_absent] = name;
    s->absent[2 * s->n_absent + 1] = file;
    s->n_absent++;
    return true;
}

static bool is_in_file(const st *s, const st_tensor *t, const char *file)
{
    const char *path = s->files[t->file].path, *slash = strrchr(path, '/');
    return strcmp(file, slash ? slash + 1 : path) == 0;
}

// Both lists sorted by tensor name. Transformers takes from an index which files there are, and from the files which
// tensors are in them; so do we, and count where the two disagree.
static bool compare_index(st *s, entry *list, int64_t n, err *e)
{
    qsort(list, (size_t)n, sizeof *list, by_tensor);
    int64_t i = 0, j = 0;
    s->absent = calloc((size_t)n, 2 * sizeof *s->absent);
    if (!s->absent) return err_nomem(e, "the index", (size_t)n * 2 * sizeof *s->absent);
    while (i < n || j < s->n) {
        int c = i == n ? 1 : j == s->n ? -1 : strcmp(list[i].tensor, s->tensors[j].name);
        if (c < 0 && !add_absent(s, &list[i], e)) return false;
        bool misplaced = c > 0 || (c == 0 && !is_in_file(s, &s->tensors[j], list[i].file));
        if (misplaced && s->n_misplaced++ == 0) s->misplaced = j;
        i += c <= 0;
        j += c >= 0;
    }
    return true;
}

static bool open_index(st *s, const char *dir, const char *where, err *e)
{
    char   *text = NULL;
    int64_t size = 0, n = 0;
    entry  *list = NULL;
    if (!file_read_text(&text, &size, where, LIMIT_SAFETENSORS_HEAD, e)) return false;
    cJSON *index = json_parse_python(text, size, LIMIT_HEAD_VALUES, where, e);
    free(text);
    bool ok = index && list_entries(index, where, &list, &n, e) && open_shards(s, dir, where, list, n, e) &&
              sort_by_name(s, e) && compare_index(s, list, n, e);
    free(list);
    cJSON_Delete(index);
    return ok;
}

// ---- opening -------------------------------------------------------------------------------------------------------

static st *st_new(err *e)
{
    st *s = calloc(1, sizeof *s);
    if (!s) err_nomem(e, "a checkpoint", sizeof *s);
    return s;
}

st *st_open_dir(const char *dir, err *e)
{
    st   *s     = st_new(e);
    char *index = path_join(dir, "model.safetensors.index.json"), *one = path_join(dir, "model.safetensors");
    bool  ok    = false;
    if (!s) goto out;
    if (!index || !one) err_nomem(e, "a path", strlen(dir) + 32);
    else if (!dir_exists(dir)) err_set(e, ERR_INPUT, "%s: found no folder of this name", dir);
    else if (file_exists(one)) {
        s->index_unread = file_exists(index);
        ok = add_file(s, one, e) && sort_by_name(s, e);
    } else if (file_exists(index)) ok = open_index(s, dir, index, e);
    else
        err_set(e, ERR_INPUT,
                "%s: found neither model.safetensors.index.json nor model.safetensors, expected one of them", dir);
out:
    free(index);
    free(one);
    if (ok) return s;
    st_close(s);
    return NULL;
}

st *st_open_file(const char *path, err *e)
{
    st *s = st_new(e);
    if (s && add_file(s, path, e) && sort_by_name(s, e)) return s;
    st_close(s);
    return NULL;
}

st *st_open_mem(const uint8_t *data, int64_t n, const char *name, err *e)
{
    st *s = st_new(e);
    if (!s) return NULL;
    s->borrowed = true;
    s->files    = calloc(1, sizeof *s->files);
    char *path  = strdup(name);
    if (!s->files || !path) {
        err_nomem(e, "a checkpoint", sizeof *s->files);
        free(path);
        st_close(s);
        return NULL;
    }
    s->files[0] = (file_map){ .path = path, .data = data, .size = n, .fd = -1 };
    s->n_files  = 1;
    if (read_file(s, 0, e) && sort_by_name(s, e)) return s;
    st_close(s);
    return NULL;
}

void st_close(st *s)
{
    if (!s) return;
    for (int64_t i = 0; i < s->n; i++) free((char *)(uintptr_t)s->tensors[i].name);
    for (int i = 0; i < s->n_files; i++) {
        if (s->borrowed) free(s->files[i].path);
        else file_map_close(&s->files[i]);
    }
    for (int64_t i = 0; i < 2 * s->n_absent; i++) free(s->absent[i]);
    free(s->absent);
    free(s->files);
    free(s->tensors);
    free(s);
}

int64_t          st_n_tensors(const st *s)          { return s->n; }
const st_tensor *st_at(const st *s, int64_t i)      { return &s->tensors[i]; }
int              st_n_files(const st *s)            { return s->n_files; }
bool             st_index_unread(const st *s)       { return s->index_unread; }
bool             st_is_borrowed(const st *s)        { return s->borrowed; }
const file_map  *st_file(const st *s, int i)        { return &s->files[i]; }
int64_t          st_n_absent(const st *s)           { return s->n_absent; }

int64_t st_n_misplaced(const st *s, const st_tensor **first)
{
    *first = s->n_misplaced ? &s->tensors[s->misplaced] : NULL;
    return s->n_misplaced;
}

const char *st_absent(const st *s, int64_t i, const char **file)
{
    if (file) *file = s->absent[2 * i + 1];
    return s->absent[2 * i];
}

const st_tensor *st_find(const st *s, const char *name)
{
    const st_tensor probe = { .name = name };
    return s->n > 0 ? bsearch(&probe, s->tensors, (size_t)s->n, sizeof *s->tensors, by_name) : NULL;
}

bool st_require_float(const st *s, const st_tensor *t, err *e)
{
    if (t->type != DT_INVALID) return true;
    return err_set(e, ERR_INPUT,
                   "%s: tensor '%.200s': found dtype %s, expected a float (BF16, F16, F32, F64, F8_E4M3 or F8_E5M2)",
                   s->files[t->file].path, t->name, t->dtype_text);
}
