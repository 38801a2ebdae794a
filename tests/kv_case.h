// kv_case: caches whose keys and values are rows of a dtype, planned for tests of operations; memory is the caller's.
#ifndef HALLMARK_TESTS_KV_CASE_H
#define HALLMARK_TESTS_KV_CASE_H

#include "runtime/kv_layer.h"
#include "suite.h"

static inline kv_type kv_case_type(dtype t)
{
    kv_type found = KV_F32;
    ck_assert(kv_type_of(t, &found));
    return found;
}

// Room for `capacity` positions, all of which a query may see.
static inline kv_layer kv_case(dtype k, dtype v, int n_kv_head, int head_dim, int64_t capacity)
{
    const kv_choice c = { .k = { .type = kv_case_type(k) }, .v = { .type = kv_case_type(v) } };
    const kv_room room = { .n_ctx = capacity, .capacity = capacity, .n_batch = 1 };
    kv_layer kv;
    err e = { 0 };
    ck_assert_msg(kv_layer_plan(&kv, &c, n_kv_head, head_dim, &room, 0, &e), "%s", e.msg);
    return kv;
}

#endif
