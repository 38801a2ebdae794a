// field_folder: makes the checkpoint folder that a case of tests/field/ describes: a base, JSON patches, files, links,
// edited tensors. The form of a case is in tests/field/README.md.
#ifndef HALLMARK_TESTS_FIELD_FOLDER_H
#define HALLMARK_TESTS_FIELD_FOLDER_H

#include "formats/safetensors.h"
#include "mini_checkpoint.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

// The text with {dir}, {hf} and {source} in their places; malloc'd.
static inline char *field_fill(const char *text, const char *dir)
{
    const struct { const char *name, *before, *after; } known[] = {
        { "{dir}", dir, "" }, { "{hf}", dir, "/hf" }, { "{source}", SOURCE_DIR, "" },
    };
    buffer out = { 0 };
    while (*text) {
        size_t k = 0;
        while (k < 3 && strncmp(text, known[k].name, strlen(known[k].name)) != 0) k++;
        if (k == 3) {
            put_u8(&out, (uint8_t)*text++);
            continue;
        }
        put_text(&out, known[k].before);
        put_text(&out, known[k].after);
        text += strlen(known[k].name);
    }
    put_u8(&out, 0);
    return (char *)out.p;
}

// Makes the folders that lead to a path.
static inline void field_folders(const char *path)
{
    char part[4200];
    snprintf(part, sizeof part, "%s", path);
    for (char *c = part + 1; *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        mkdir(part, 0777);
        *c = '/';
    }
}

// The whole of a file with a NUL after it; malloc'd. NULL if it is not there.
static inline char *field_read(const char *path, int64_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    buffer  b = { 0 };
    uint8_t part[65536];
    size_t  got;
    while ((got = fread(part, 1, sizeof part, f)) > 0) put(&b, part, (int64_t)got);
    fclose(f);
    if (n) *n = b.n;
    put_u8(&b, 0);
    return (char *)b.p;
}

static inline cJSON *field_read_json(const char *path)
{
    char *text = field_read(path, NULL);
    if (!text) return NULL;
    cJSON *v = cJSON_Parse(text);
    ck_assert_msg(v != NULL, "%s is not JSON", path);
    free(text);
    return v;
}

// ---- JSON Patch (RFC 6902): add, replace, remove --------------------------------------------------------------------

// One step of a JSON pointer, "~1" and "~0" decoded; returns what follows it.
static inline const char *field_pointer_step(const char *p, char *name, size_t cap)
{
    size_t n = 0;
    ck_assert_msg(*p == '/', "a JSON pointer begins with '/': %s", p);
    for (p++; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~') c = *++p == '1' ? '/' : '~';
        ck_assert_uint_lt(n + 1, cap);
        name[n++] = c;
    }
    name[n] = 0;
    return p;
}

static inline void field_patch_one(cJSON *doc, const cJSON *op)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(op, "op"));
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(op, "path"));
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(op, "value");
    ck_assert_msg(kind && path, "an operation has op and path");
    char name[1000];
    const char *rest = field_pointer_step(path, name, sizeof name);
    while (*rest) {
        doc = cJSON_IsArray(doc) ? cJSON_GetArrayItem(doc, atoi(name)) : cJSON_GetObjectItemCaseSensitive(doc, name);
        ck_assert_msg(doc != NULL, "%s: there is no '%s'", path, name);
        rest = field_pointer_step(rest, name, sizeof name);
    }
    const bool remove = strcmp(kind, "remove") == 0, replace = strcmp(kind, "replace") == 0;
    ck_assert_msg(remove || replace || strcmp(kind, "add") == 0, "unknown operation '%s'", kind);
    ck_assert_msg(remove || value, "%s: no value", path);
    if (cJSON_IsArray(doc)) {
        const bool last = strcmp(name, "-") == 0;
        ck_assert_msg(last || atoi(name) < cJSON_GetArraySize(doc) || (!remove && !replace), "%s: beyond the array",
                      path);
        if (remove || replace) cJSON_DeleteItemFromArray(doc, atoi(name));
        if (!remove && last) cJSON_AddItemToArray(doc, cJSON_Duplicate(value, true));
        if (!remove && !last) cJSON_InsertItemInArray(doc, atoi(name), cJSON_Duplicate(value, true));
        return;
    }
    ck_assert_msg(cJSON_IsObject(doc), "%s: not in an object or array", path);
    const bool there = cJSON_HasObjectItem(doc, name) && cJSON_GetObjectItemCaseSensitive(doc, name);
    ck_assert_msg(there || (!remove && !replace), "%s: it is not there", path);
    if (there) cJSON_DeleteItemFromObjectCaseSensitive(doc, name);
    if (!remove) cJSON_AddItemToObject(doc, name, cJSON_Duplicate(value, true));
}

static inline void field_patch(const char *path, const cJSON *ops)
{
    cJSON *doc = field_read_json(path), *op;
    if (!doc) doc = cJSON_CreateObject();
    cJSON_ArrayForEach(op, ops) field_patch_one(doc, op);
    char *text = cJSON_PrintUnformatted(doc);
    unlink(path);       // it may be another name of the base's own file
    field_folders(path);
    write_file(path, text, (int64_t)strlen(text));
    free(text);
    cJSON_Delete(doc);
}

// ---- tensors --------------------------------------------------------------------------------------------------------

typedef struct {
    char     name[300], dtype[20];
    int      n_dims;
    int64_t  shape[8];
    uint8_t *data;
    int64_t  n_bytes;
} field_tensor;

typedef struct { field_tensor t[400]; int n; } field_tensors;

static inline field_tensor *field_find(field_tensors *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (strcmp(all->t[i].name, name) == 0) return &all->t[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static inline int64_t field_elems(const field_tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->n_dims; d++) n *= t->shape[d];
    return n;
}

static inline int field_width(const char *type)
{
    static const struct { const char *name; int bytes; } widths[] = {
        { "F64", 8 }, { "I64", 8 }, { "F32", 4 },  { "I32", 4 },     { "BF16", 2 },    { "F16", 2 },
        { "I8", 1 },  { "U8", 1 },  { "BOOL", 1 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 },
    };
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (strcmp(widths[i].name, type) == 0) return widths[i].bytes;
    ck_abort_msg("dtype %s", type);
    return 0;
}

// The 8-bit float nearest to v.
static inline uint8_t field_f8(const char *type, double v)
{
    const dtype_info *e4m3 = dtype_of(DT_F8_E4M3), *d = strcmp(type, e4m3->name) == 0 ? e4m3 : dtype_of(DT_F8_E5M2);
    uint8_t best = 0;
    double  least = INFINITY;
    for (int k = 0; k < 256; k++) {
        const uint8_t code = (uint8_t)k;
        float x;
        f32_from_float_run(d->id, &x, &code, 1);
        if (!(fabs((double)x - v) < least)) continue;
        least = fabs((double)x - v);
        best  = code;
    }
    return best;
}

static inline double field_get(const field_tensor *t, int64_t i)
{
    const uint8_t *p = t->data + i * field_width(t->dtype);
    if (strcmp(t->dtype, "F64") == 0) { double v; memcpy(&v, p, 8); return v; }
    if (strcmp(t->dtype, "F32") == 0) { float v; memcpy(&v, p, 4); return v; }
    uint16_t h;
    memcpy(&h, p, 2);
    return strcmp(t->dtype, "F16") == 0 ? f32_from_f16(h) : f32_from_bf16(h);
}

static inline void field_put(field_tensor *t, int64_t i, double v)
{
    const int width = field_width(t->dtype);
    uint8_t  *p = t->data + i * width;
    float     f = (float)v;
    uint16_t  h = strcmp(t->dtype, "F16") == 0 ? f16_from_f32(f) : bf16_from_f32(f);
    int64_t   n = isfinite(v) ? (int64_t)v : 0;
    if (strncmp(t->dtype, "F8", 2) == 0) *p = isnan(v) ? 0x7f : field_f8(t->dtype, v);
    else if (strcmp(t->dtype, "F64") == 0) memcpy(p, &v, 8);
    else if (strcmp(t->dtype, "F32") == 0) memcpy(p, &f, 4);
    else if (strcmp(t->dtype, "F16") == 0 || strcmp(t->dtype, "BF16") == 0) memcpy(p, &h, 2);
    else memcpy(p, &n, (size_t)width);
}

static inline const char *field_arg(const cJSON *args, int i)
{
    const char *s = cJSON_GetStringValue(cJSON_IsArray(args) ? cJSON_GetArrayItem(args, i) : args);
    ck_assert_ptr_nonnull(s);
    return s;
}

static inline double field_number(const cJSON *v)
{
    const char *s = cJSON_GetStringValue(v);
    return s ? strtod(s, NULL) : cJSON_GetNumberValue(v);
}

static inline void field_resize(field_tensor *t, int64_t n_bytes)
{
    t->data = realloc(t->data, n_bytes > 0 ? (size_t)n_bytes : 1);
    ck_assert_ptr_nonnull(t->data);
    if (n_bytes > t->n_bytes) memset(t->data + t->n_bytes, 0, (size_t)(n_bytes - t->n_bytes));
    t->n_bytes = n_bytes;
}

static inline void field_cast(field_tensor *t, const char *to)
{
    field_tensor from = *t;
    snprintf(t->dtype, sizeof t->dtype, "%s", to);
    t->data = NULL;
    t->n_bytes = 0;
    field_resize(t, field_elems(t) * field_width(t->dtype));
    for (int64_t i = 0; i < field_elems(t); i++) field_put(t, i, field_get(&from, i));
    free(from.data);
}

static inline void field_edit_tensor(field_tensors *all, const cJSON *edit)
{
    const char   *kind = edit->string;
    const char   *name = field_arg(edit, 0);
    if (strcmp(kind, "prefix") == 0) {
        const char *to = field_arg(edit, 1);
        for (int i = 0; i < all->n; i++) {
            char old[300];
            snprintf(old, sizeof old, "%s", all->t[i].name);
            if (strncmp(old, name, strlen(name)) != 0) continue;
            snprintf(all->t[i].name, sizeof all->t[i].name, "%s%s", to, old + strlen(name));
        }
        return;
    }
    if (strcmp(kind, "cast") == 0 && strcmp(name, "*") == 0) {
        for (int i = 0; i < all->n; i++) field_cast(&all->t[i], field_arg(edit, 1));
        return;
    }
    if (strcmp(kind, "add") == 0) {     // [name, dtype, [shape], value]
        field_tensor *t = &all->t[all->n++];
        ck_assert_int_lt(all->n, 400);
        snprintf(t->name, sizeof t->name, "%s", name);
        snprintf(t->dtype, sizeof t->dtype, "%s", field_arg(edit, 1));
        const cJSON *d;
        cJSON_ArrayForEach(d, cJSON_GetArrayItem(edit, 2)) t->shape[t->n_dims++] = (int64_t)d->valuedouble;
        field_resize(t, field_elems(t) * field_width(t->dtype));
        for (int64_t i = 0; i < field_elems(t); i++) field_put(t, i, field_number(cJSON_GetArrayItem(edit, 3)));
        return;
    }
    field_tensor *t = field_find(all, name);
    if (strcmp(kind, "drop") == 0) {
        free(t->data);
        memmove(t, t + 1, (size_t)(&all->t[all->n] - (t + 1)) * sizeof *t);
        memset(&all->t[--all->n], 0, sizeof *t);
    } else if (strcmp(kind, "rename") == 0) {
        snprintf(t->name, sizeof t->name, "%s", field_arg(edit, 1));
    } else if (strcmp(kind, "copy") == 0) {
        field_tensor *c = &all->t[all->n++];
        ck_assert_int_lt(all->n, 400);
        *c = *t;
        c->data = exact(t->data, t->n_bytes);
        snprintf(c->name, sizeof c->name, "%s", field_arg(edit, 1));
    } else if (strcmp(kind, "cast") == 0) {
        field_cast(t, field_arg(edit, 1));
    } else if (strcmp(kind, "set") == 0) {
        const int64_t i = (int64_t)cJSON_GetArrayItem(edit, 1)->valuedouble;
        ck_assert_int_lt(i, field_elems(t));
        field_put(t, i, field_number(cJSON_GetArrayItem(edit, 2)));
    } else if (strcmp(kind, "scale") == 0) {
        const double by = cJSON_GetArrayItem(edit, 1)->valuedouble;
        for (int64_t i = 0; i < field_elems(t); i++) field_put(t, i, field_get(t, i) * by);
    } else if (strcmp(kind, "rows") == 0) {
        t->shape[0] = (int64_t)cJSON_GetArrayItem(edit, 1)->valuedouble;
        field_resize(t, field_elems(t) * field_width(t->dtype));
    } else if (strcmp(kind, "shape") == 0) {
        const cJSON *d;
        t->n_dims = 0;
        cJSON_ArrayForEach(d, cJSON_GetArrayItem(edit, 1)) t->shape[t->n_dims++] = (int64_t)d->valuedouble;
        field_resize(t, field_elems(t) * field_width(t->dtype));
    } else {
        ck_abort_msg("unknown edit '%s'", kind);
    }
}

static inline void field_write_tensors(const field_tensors *all, const char *path)
{
    buffer head = { 0 }, out = { 0 };
    cJSON *header = cJSON_CreateObject();
    int64_t at = 0;
    for (int i = 0; i < all->n; i++) {
        const field_tensor *t = &all->t[i];
        cJSON *row = cJSON_CreateObject(), *shape = cJSON_CreateArray(), *off = cJSON_CreateArray();
        for (int d = 0; d < t->n_dims; d++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[d]));
        cJSON_AddItemToArray(off, cJSON_CreateNumber((double)at));
        cJSON_AddItemToArray(off, cJSON_CreateNumber((double)(at + t->n_bytes)));
        cJSON_AddStringToObject(row, "dtype", t->dtype);
        cJSON_AddItemToObject(row, "shape", shape);
        cJSON_AddItemToObject(row, "data_offsets", off);
        cJSON_AddItemToObject(header, t->name, row);
        at += t->n_bytes;
    }
    char *text = cJSON_PrintUnformatted(header);
    put_text(&head, text);
    while (head.n % 8) put_u8(&head, ' ');
    put_u64(&out, (uint64_t)head.n);
    put(&out, head.p, head.n);
    for (int i = 0; i < all->n; i++) put(&out, all->t[i].data, all->t[i].n_bytes);
    unlink(path);
    write_file(path, out.p, out.n);
    free(text);
    cJSON_Delete(header);
    bytes_free(&head);
    bytes_free(&out);
}

// Reads all tensors of the folder, edits them, and writes them as one model.safetensors.
static inline void field_tensors_of(const char *hf, const cJSON *edits)
{
    err e = { 0 };
    st *s = st_open_dir(hf, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    field_tensors *all = calloc(1, sizeof *all);
    for (int64_t i = 0; i < st_n_tensors(s); i++) {
        const st_tensor *from = st_at(s, i);
        field_tensor    *t = &all->t[all->n++];
        ck_assert_int_lt(all->n, 400);
        snprintf(t->name, sizeof t->name, "%s", from->name);
        snprintf(t->dtype, sizeof t->dtype, "%s", from->dtype_text);
        t->n_dims = from->n_dims;
        memcpy(t->shape, from->shape, sizeof t->shape);
        t->data = exact(from->data, from->n_bytes);
        t->n_bytes = from->n_bytes;
    }
    st_close(s);
    DIR *d = opendir(hf);
    for (struct dirent *f; (f = readdir(d)) != NULL;)
        if (strstr(f->d_name, ".safetensors")) unlink(in_dir(hf, f->d_name));
    closedir(d);
    const cJSON *edit;
    cJSON_ArrayForEach(edit, edits) field_edit_tensor(all, edit->child);
    field_write_tensors(all, in_dir(hf, "model.safetensors"));
    for (int i = 0; i < all->n; i++) free(all->t[i].data);
    free(all);
}

// ---- the folder -----------------------------------------------------------------------------------------------------

// hf/ below dir: the base, then patches, files, removals, links, tensors and copies of it all, in this order.
static inline void field_folder(const cJSON *c, const char *dir)
{
    char hf[2000], cmd[9000];
    const cJSON *v;
    const char  *base = cJSON_GetStringValue(cJSON_GetObjectItem(c, "base"));
    ck_assert_ptr_nonnull(base);
    snprintf(hf, sizeof hf, "%s/hf", dir);
    if (strncmp(base, "mini-", 5) == 0) {
        mini *m = strcmp(base, "mini-gemma3") == 0 ? mini_gemma3() : mini_gemma4();
        mini_write(m, false);
        ck_assert_int_eq(rename(m->dir, hf), 0);
        ck_assert_int_eq(mkdir(m->dir, 0700), 0);
        mini_free(m);
    } else {
        snprintf(cmd, sizeof cmd, "mkdir '%s' && cp %s/fixtures/%s/*.* '%s'/", hf, SOURCE_DIR, base, hf);
        ck_assert_int_eq(system(cmd), 0);
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "patch")) field_patch(in_dir(hf, v->string), v);
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "write")) {
        unlink(in_dir(hf, v->string));
        field_folders(in_dir(hf, v->string));
        write_file(in_dir(hf, v->string), v->valuestring, (int64_t)strlen(v->valuestring));
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "write_hex")) {
        buffer b = { 0 };
        for (const char *x = v->valuestring; x[0] && x[1]; x += 2) {
            const char byte[3] = { x[0], x[1], 0 };
            put_u8(&b, (uint8_t)strtoul(byte, NULL, 16));
        }
        unlink(in_dir(hf, v->string));
        field_folders(in_dir(hf, v->string));
        write_file(in_dir(hf, v->string), b.p, b.n);
        bytes_free(&b);
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "remove"))
        ck_assert_msg(unlink(in_dir(hf, v->valuestring)) == 0, "cannot remove %s", v->valuestring);
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "link")) {
        char *target = field_fill(v->valuestring, dir);
        unlink(in_dir(hf, v->string));
        field_folders(in_dir(hf, v->string));
        ck_assert_int_eq(symlink(target, in_dir(hf, v->string)), 0);
        free(target);
    }
    if (cJSON_GetObjectItem(c, "tensors")) field_tensors_of(hf, cJSON_GetObjectItem(c, "tensors"));
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "copies")) {
        field_folders(in_dir(dir, v->valuestring));
        snprintf(cmd, sizeof cmd, "cp -a '%s' '%s/%s'", hf, dir, v->valuestring);
        ck_assert_int_eq(system(cmd), 0);
    }
}

#endif
