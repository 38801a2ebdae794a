// The typed values of GGUF metadata (declared in gguf.h).
#include "gguf.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- elements ------------------------------------------------------------------------------------------------------

// One stored element, which is not aligned.
typedef union {
    uint8_t u8;
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;
    float f32;
    double f64;
} element;

static bool load(const gguf_kv *kv, int64_t i, element *v)
{
    int bytes = kv ? gguf_type_bytes(kv->elem) : 0;
    if (bytes == 0 || i < 0 || i >= kv->n) return false;
    memcpy(v, kv->data + i * bytes, (size_t)bytes);
    return true;
}

bool gguf_arr_i64(const gguf_kv *kv, int64_t i, int64_t *out)
{
    element v;
    if (!load(kv, i, &v)) return false;
    switch (kv->elem) {
    case GGUF_U8: case GGUF_BOOL: *out = v.u8; return true;
    case GGUF_I8:  *out = v.i8; return true;
    case GGUF_U16: *out = v.u16; return true;
    case GGUF_I16: *out = v.i16; return true;
    case GGUF_U32: *out = v.u32; return true;
    case GGUF_I32: *out = v.i32; return true;
    case GGUF_I64: *out = v.i64; return true;
    case GGUF_U64:
        if (v.u64 > INT64_MAX) return false;
        *out = (int64_t)v.u64;
        return true;
    default: return false;
    }
}

static bool arr_f64(const gguf_kv *kv, int64_t i, double *out)
{
    element v;
    if (!load(kv, i, &v)) return false;
    if (kv->elem != GGUF_F32 && kv->elem != GGUF_F64) return false;
    *out = kv->elem == GGUF_F32 ? (double)v.f32 : v.f64;
    return true;
}

bool gguf_arr_f32(const gguf_kv *kv, int64_t i, float *out)
{
    double d;
    if (!arr_f64(kv, i, &d)) return false;
    *out = (float)d;
    return true;
}

gguf_str_iter gguf_strs(const gguf_kv *kv)
{
    if (!kv || kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING) return (gguf_str_iter){ NULL, NULL };
    return (gguf_str_iter){ kv->data, kv->data + kv->n_bytes };
}

// Lengths were checked when the file was opened, or written by the plan.
bool gguf_next_str(gguf_str_iter *it, gguf_str *out)
{
    if (it->p == it->end) return false;
    memcpy(&out->n, it->p, 8);
    out->s = (const char *)it->p + 8;
    it->p += 8 + out->n;
    return true;
}

bool gguf_kv_str(const gguf_kv *kv, gguf_str *out)
{
    if (!kv || kv->type != GGUF_STRING) return false;
    *out = (gguf_str){ .s = (const char *)kv->data + 8, .n = kv->n_bytes - 8 };
    return true;
}

bool gguf_kv_same(const gguf_kv *a, const gguf_kv *b)
{
    return a->type == b->type && a->elem == b->elem && a->n == b->n && a->n_bytes == b->n_bytes
        && (a->n_bytes == 0 || memcmp(a->data, b->data, (size_t)a->n_bytes) == 0);
}

// ---- by key --------------------------------------------------------------------------------------------------------

static bool wrong(const gguf *g, const char *key, const gguf_kv *kv, const char *expected, err *e)
{
    if (!kv) return err_set(e, ERR_INPUT, "%s: key '%s': found nothing, expected %s", gguf_path(g), key, expected);
    return err_set(e, ERR_INPUT, "%s: key '%s': offset %lld: found %s%s, expected %s", gguf_path(g), key,
                   (long long)kv->off, kv->type == GGUF_ARRAY ? "an array of "
                       : "", gguf_type_name(kv->elem), expected);
}

bool gguf_get_i64(const gguf *g, const char *key, int64_t *out, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, key);
    if (!kv || kv->type == GGUF_ARRAY || kv->type == GGUF_BOOL) return wrong(g, key, kv, "an integer", e);
    return gguf_arr_i64(kv, 0, out) || wrong(g, key, kv, "an integer within 63 bits", e);
}

bool gguf_get_i64_or(const gguf *g, const char *key, int64_t def, int64_t *out, err *e)
{
    if (gguf_find_kv(g, key)) return gguf_get_i64(g, key, out, e);
    *out = def;
    return true;
}

bool gguf_get_f32(const gguf *g, const char *key, float *out, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, key);
    return (kv && kv->type != GGUF_ARRAY && gguf_arr_f32(kv, 0, out)) || wrong(g, key, kv, "f32", e);
}

bool gguf_get_f32_or(const gguf *g, const char *key, float def, float *out, err *e)
{
    if (gguf_find_kv(g, key)) return gguf_get_f32(g, key, out, e);
    *out = def;
    return true;
}

bool gguf_get_bool_or(const gguf *g, const char *key, bool def, bool *out, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, key);
    if (kv && kv->type != GGUF_BOOL) return wrong(g, key, kv, "a boolean", e);
    *out = kv ? kv->data[0] != 0 : def;
    return true;
}

bool gguf_get_str(const gguf *g, const char *key, gguf_str *out, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, key);
    return gguf_kv_str(kv, out) || wrong(g, key, kv, "a string", e);
}

bool gguf_get_cstr(const gguf *g, const char *key, char **out, err *e)
{
    gguf_str s = { 0 };
    if (!gguf_get_str(g, key, &s, e)) return false;
    if (memchr(s.s, 0, (size_t)s.n)) return wrong(g, key, gguf_find_kv(g, key), "a string without NUL", e);
    *out = strndup(s.s, (size_t)s.n);
    return *out || err_nomem(e, key, (size_t)s.n + 1);
}

// ---- as text -------------------------------------------------------------------------------------------------------

// The fewest digits that read back as the same value.
static void put_float(text_buf *t, double v, bool is_f32)
{
    char buf[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        double back = strtod(buf, NULL);
        if (!isfinite(v) || (is_f32 ? (float)back == (float)v : back == v)) break;
    }
    text_words(t, buf);
}

static void put_quoted(text_buf *t, gguf_str s)
{
    text_words(t, "\"");
    text_put(t, TEXT_JSON, s.s, (size_t)s.n);
    text_words(t, "\"");
}

static void put_element(text_buf *t, const gguf_kv *kv, int64_t i)
{
    element raw;
    int64_t v;
    double  d;
    if (kv->elem == GGUF_BOOL) text_printf(t, "%s", kv->data[i] ? "true" : "false");
    else if (kv->elem == GGUF_U64 && load(kv, i, &raw)) text_printf(t, "%llu", (unsigned long long)raw.u64);
    else if (gguf_arr_i64(kv, i, &v)) text_printf(t, "%lld", (long long)v);
    else if (arr_f64(kv, i, &d)) put_float(t, d, kv->elem == GGUF_F32);
}

char *gguf_kv_text(const gguf_kv *kv, int64_t max_elems)
{
    text_buf t = { 0 };
    gguf_str s;
    if (gguf_kv_str(kv, &s)) {
        text_put(&t, TEXT_PLAIN, s.s, (size_t)s.n);
    } else if (kv->type != GGUF_ARRAY) {
        put_element(&t, kv, 0);
    } else {
        gguf_str_iter it    = gguf_strs(kv);
        int64_t       shown = max_elems < 0 || max_elems > kv->n ? kv->n : max_elems;
        text_words(&t, "[");
        for (int64_t i = 0; i < shown && !t.failed; i++) {
            if (i > 0) text_words(&t, ", ");
            if (gguf_next_str(&it, &s)) put_quoted(&t, s);
            else put_element(&t, kv, i);
        }
        if (shown < kv->n) text_printf(&t, "%s... (%lld)", shown > 0 ? ", " : "", (long long)kv->n);
        text_words(&t, "]");
    }
    return text_take(&t);
}
