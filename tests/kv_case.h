// kv_case: caches for tests of operations: planned, and their memory on a backend.
#ifndef HALLMARK_TESTS_KV_CASE_H
#define HALLMARK_TESTS_KV_CASE_H

#include "runtime/backend.h"
#include "runtime/model.h"
#include "suite.h"

static inline kv_type kv_case_type(dtype t)
{
    kv_type found = KV_F32;
    ck_assert(kv_type_of(t, &found));
    return found;
}

// Keys and values that are rows of a dtype, with room for `capacity` positions, all of which a query may see.
static inline kv_layer kv_case(dtype k, dtype v, int n_kv_head, int head_dim, int64_t capacity)
{
    const kv_choice c = { .k = { .type = kv_case_type(k) }, .v = { .type = kv_case_type(v) } };
    const kv_room room = { .n_ctx = capacity, .capacity = capacity, .n_batch = 1 };
    kv_layer kv;
    err e = { 0 };
    ck_assert_msg(kv_layer_plan(&kv, &c, n_kv_head, head_dim, &room, 0, &e), "%s", e.msg);
    return kv;
}

// Room in a model with that window (0: none).
static inline kv_room kv_case_room(int64_t n_ctx, int64_t window, int n_batch, bool bf16)
{
    layer_shape layer = { .sliding = window > 0 };
    const hparams h = { .n_layer = 1, .window = window, .layers = &layer };
    return (kv_room){ .n_ctx = n_ctx, .capacity = kv_capacity(&h, 0, n_ctx, n_batch), .n_batch = n_batch,
                      .bf16 = bf16 };
}

static inline void kv_case_alloc(backend *b, void **to, int64_t n_bytes)
{
    err e = { 0 };
    if (n_bytes > 0) ck_assert_msg(b->ops->alloc(b, to, n_bytes, "cache", &e), "%s", e.msg);
}

static inline void kv_case_open(backend *b, kv_layer *kv)
{
    kv_part *const parts[] = { &kv->k, &kv->v };
    for (int i = 0; i < 2; i++) {
        kv_part *p = parts[i];
        kv_case_alloc(b, &p->data, p->unit * p->units);
        kv_case_alloc(b, &p->newest_data, p->whole_row * p->ring);
        kv_case_alloc(b, &p->sink_data, p->whole_row * p->sinks);
    }
}

static inline void kv_case_close(backend *b, const kv_layer *kv)
{
    void *const mine[] = { kv->k.data, kv->k.newest_data, kv->k.sink_data,
                           kv->v.data, kv->v.newest_data, kv->v.sink_data };
    for (int i = 0; i < 6; i++) b->ops->release(b, mine[i]);
}

#endif
