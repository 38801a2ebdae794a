// converted: small checkpoints (mini_checkpoint.h) through convert, and what is in the file, for the tests of convert/.
#ifndef HALLMARK_TESTS_CONVERTED_H
#define HALLMARK_TESTS_CONVERTED_H

#include "convert/convert.h"
#include "formats/file_map.h"
#include "mini_checkpoint.h"

typedef struct { progress p; char text[8192]; } log_of;     // what convert said

static inline void keep_line(progress *p, const char *line)
{
    log_of *l = (log_of *)p;
    size_t  n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s\n", line);
}

static inline bool convert_to(const mini *m, const char *type, int n_threads, log_of *l, err *e)
{
    const file_type_info *t = file_type_find(type);
    ck_assert_ptr_nonnull(t);
    if (l) *l = (log_of){ .p = { .log = keep_line } };
    convert_opts o = { .type = t->id, .n_threads = n_threads, .progress = l ? &l->p : NULL };
    return convert_checkpoint(m->dir, in_dir(m->dir, "out.gguf"), &o, e);
}

static inline gguf *converted(const mini *m, const char *type, log_of *l)
{
    err e = { 0 };
    ck_assert_msg(convert_to(m, type, 0, l, &e), "%s", e.msg);
    gguf *g = gguf_open(in_dir(m->dir, "out.gguf"), &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

static inline void check_fails(mini *m, const char *type, const char *says)
{
    err e = { 0 };
    mini_write(m, false);
    unlink(in_dir(m->dir, "out.gguf"));
    ck_assert_msg(!convert_to(m, type, 0, NULL, &e), "accepted, expected: %s", says);
    check_refused(&e, ERR_INPUT, NULL, says);
    ck_assert_msg(!file_exists(in_dir(m->dir, "out.gguf")), "a file was left behind");
}

static inline float value_at(const gguf_tensor *t, int64_t i)
{
    const uint8_t *p = t->data + i * (t->type == DT_F32 ? 4 : 2);
    float f;
    uint16_t h;
    memcpy(&h, p, 2);
    if (t->type == DT_F16) return f32_from_f16(h);
    if (t->type == DT_BF16) return f32_from_bf16(h);
    memcpy(&f, p, 4);
    return f;
}

static inline const gguf_tensor *tensor_of(const gguf *g, const char *name)
{
    const gguf_tensor *t = gguf_find_tensor(g, name);
    ck_assert_msg(t != NULL, "no tensor %s", name);
    return t;
}

static inline int64_t int_of(const gguf *g, const char *key)
{
    err e = { 0 };
    int64_t v = -1;
    ck_assert_msg(gguf_get_i64(g, key, &v, &e), "%s", e.msg);
    return v;
}

static inline float f32_of(const gguf *g, const char *key)
{
    err e = { 0 };
    float v = -1;
    ck_assert_msg(gguf_get_f32(g, key, &v, &e), "%s", e.msg);
    return v;
}

static inline bool text_is(const gguf *g, const char *key, const char *want)
{
    err e = { 0 };
    gguf_str s;
    ck_assert_msg(gguf_get_str(g, key, &s, &e), "%s", e.msg);
    return s.n == (int64_t)strlen(want) && memcmp(s.s, want, (size_t)s.n) == 0;
}

#endif
