// gguf_spec: a GGUF file in parts that a test can change one by one, well formed or not, and write again.
#ifndef HALLMARK_TESTS_GGUF_SPEC_H
#define HALLMARK_TESTS_GGUF_SPEC_H

#include "bytes.h"
#include "formats/gguf.h"

typedef struct {
    char      name[128];
    gguf_type type, elem;
    int64_t   n;
    uint8_t  *data;             // as stored; owned
    int64_t   n_bytes;
    bool      absent;
} spec_pair;

typedef struct {
    char      name[128];
    int       n_dims;
    int64_t   dims[8];          // Hugging Face order
    uint32_t  type;
    uint8_t  *data;             // owned
    int64_t   n_bytes;
    bool      absent;
} spec_tensor;

typedef struct {
    spec_pair   *pair;
    spec_tensor *tensor;
    int64_t      n_pairs, n_tensors;
} spec;

static inline uint8_t *spec_bytes(const void *p, int64_t n)
{
    uint8_t *copy = malloc(n > 0 ? (size_t)n : 1);
    ck_assert_ptr_nonnull(copy);
    if (n > 0) memcpy(copy, p, (size_t)n);
    return copy;
}

// Room is left for one more tensor.
static inline spec spec_read(const char *path)
{
    err   e = { 0 };
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    spec s = { .n_pairs = gguf_n_kv(g), .n_tensors = gguf_n_tensors(g) };
    s.pair   = calloc((size_t)s.n_pairs, sizeof *s.pair);
    s.tensor = calloc((size_t)s.n_tensors + 1, sizeof *s.tensor);
    for (int64_t i = 0; i < s.n_pairs; i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        s.pair[i] = (spec_pair){ .type = kv->type, .elem = kv->elem, .n = kv->n,
                                 .data = spec_bytes(kv->data, kv->n_bytes), .n_bytes = kv->n_bytes };
        snprintf(s.pair[i].name, sizeof s.pair[i].name, "%s", kv->key);
    }
    for (int64_t i = 0; i < s.n_tensors; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        s.tensor[i] = (spec_tensor){ .n_dims = t->n_dims, .type = (uint32_t)t->type,
                                     .data = spec_bytes(t->data, t->n_bytes), .n_bytes = t->n_bytes };
        memcpy(s.tensor[i].dims, t->shape, sizeof t->shape);
        snprintf(s.tensor[i].name, sizeof s.tensor[i].name, "%s", t->name);
    }
    gguf_close(g);
    return s;
}

static inline void spec_free(spec *s)
{
    for (int64_t i = 0; i < s->n_pairs; i++) free(s->pair[i].data);
    for (int64_t i = 0; i < s->n_tensors; i++) free(s->tensor[i].data);
    free(s->pair);
    free(s->tensor);
    *s = (spec){ 0 };
}

static inline void spec_write(const spec *s, const char *path)
{
    buffer   b = { 0 };
    uint64_t n_pairs = 0, n_tensors = 0, at = 0;
    for (int64_t i = 0; i < s->n_pairs; i++) n_pairs += !s->pair[i].absent;
    for (int64_t i = 0; i < s->n_tensors; i++) n_tensors += !s->tensor[i].absent;
    put_text(&b, "GGUF");
    put_u32(&b, 3);
    put_u64(&b, n_tensors);
    put_u64(&b, n_pairs);
    for (int64_t i = 0; i < s->n_pairs; i++) {
        const spec_pair *p = &s->pair[i];
        if (p->absent) continue;
        put_str(&b, p->name);
        put_u32(&b, p->type);
        if (p->type == GGUF_ARRAY) {
            put_u32(&b, p->elem);
            put_u64(&b, (uint64_t)p->n);
        }
        put(&b, p->data, p->n_bytes);
    }
    for (int64_t i = 0; i < s->n_tensors; i++) {
        const spec_tensor *t = &s->tensor[i];
        if (t->absent) continue;
        put_str(&b, t->name);
        put_u32(&b, (uint32_t)t->n_dims);
        for (int d = t->n_dims - 1; d >= 0; d--) put_u64(&b, (uint64_t)t->dims[d]);
        put_u32(&b, t->type);
        put_u64(&b, at);
        at += (uint64_t)(t->n_bytes + 31) / 32 * 32;
    }
    put_pad(&b, 32);
    for (int64_t i = 0; i < s->n_tensors; i++) {
        if (s->tensor[i].absent) continue;
        put(&b, s->tensor[i].data, s->tensor[i].n_bytes);
        put_pad(&b, 32);
    }
    write_file(path, b.p, b.n);
    bytes_free(&b);
}

#endif
