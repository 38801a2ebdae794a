// mixed_nets: small models with experts or delta nets, whose weights are random numbers: what the runtime does with
// them is compared with itself, and with plain code. The sizes are odd on purpose: heads that are no multiple of
// sixteen, several heads of v for one of k.
#ifndef HALLMARK_TESTS_MIXED_NETS_H
#define HALLMARK_TESTS_MIXED_NETS_H

#include "runtime/net_internal.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { MIXED_QWEN35MOE, MIXED_QWEN35, MIXED_GEMMA4, MIXED_QWEN3MOE, N_MIXED } mixed_kind;

typedef struct { uint8_t *bytes; gguf *g; hparams h; } mixed;

enum { MIXED_VOCAB = 61 };

static err mixed_err;
static inline void mixed_must(bool ok) { ck_assert_msg(ok, "%s", mixed_err.msg); }

static const char *const mixed_archs[] = { "qwen35moe", "qwen35", "gemma4", "qwen3moe" };

static inline void mixed_u32(gguf_plan *p, const char *arch, const char *name, uint32_t v)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    mixed_must(gguf_plan_u32(p, key, v, &mixed_err));
}

static inline gguf_plan *mixed_keys(mixed_kind kind)
{
    static const struct { const char *name; uint32_t v; unsigned kinds; } keys[] = {
        { "block_count", 4, 15 }, { "context_length", 1024, 15 }, { "embedding_length", 64, 15 },
        { "feed_forward_length", 96, 15 },
        { "attention.head_count", 4, 15 }, { "attention.head_count_kv", 2, 15 }, { "attention.key_length", 24, 15 },
        { "expert_count", 7, 13 }, { "expert_used_count", 3, 13 }, { "expert_feed_forward_length", 40, 13 },
        { "expert_shared_feed_forward_length", 32, 1 },
        { "ssm.conv_kernel", 4, 3 }, { "ssm.state_size", 20, 3 }, { "ssm.group_count", 2, 3 },
        { "ssm.time_step_rank", 6, 3 },
        { "ssm.inner_size", 144, 3 }, { "full_attention_interval", 4, 3 }, { "rope.dimension_count", 8, 3 },
        { "attention.sliding_window", 16, 4 },
        { "attention.sliding_window_pattern", 2, 4 },
    };
    char key[128];
    gguf_plan *p = gguf_plan_new(32, &mixed_err);
    mixed_must(p && gguf_plan_str(p, "general.architecture", mixed_archs[kind], &mixed_err));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].kinds >> kind & 1u) mixed_u32(p, mixed_archs[kind], keys[i].name, keys[i].v);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", mixed_archs[kind]);
    mixed_must(gguf_plan_f32(p, key, 1e-6f, &mixed_err));
    return p;
}

static inline gguf *mixed_layout(gguf_plan *p, uint8_t **bytes)
{
    int64_t header, all, n;
    uint8_t *head;
    mixed_must(gguf_plan_layout(p, &header, &all, &mixed_err) && gguf_plan_header(p, &head, &n, &mixed_err));
    *bytes = calloc(1, (size_t)(all > n ? all : n));
    memcpy(*bytes, head, (size_t)n);
    free(head);
    gguf *g = gguf_open_mem(*bytes, all > n ? all : n, "mixed.gguf", &mixed_err);
    mixed_must(g != NULL);
    return g;
}

static uint64_t mixed_seed;
static inline float mixed_random(void)     // xorshift64*, [-1, 1)
{
    mixed_seed ^= mixed_seed >> 12;
    mixed_seed ^= mixed_seed << 25;
    mixed_seed ^= mixed_seed >> 27;
    return (float)((double)((mixed_seed * 2685821657736338717ull) >> 11) / 4503599627370496.0 - 1.0);
}

// Norms near 1, decays below 0, everything else around 0; what bfloat16 holds, so that both arithmetics have the same
// weights.
static inline float mixed_value(const char *name)
{
    const size_t n = strlen(name);
    float x = mixed_random();
    if (strstr(name, "rope_freqs")) return 1.0f;
    if (n > 6 && strcmp(name + n - 6, ".ssm_a") == 0) x = -0.5f - 0.4f * fabsf(x);
    else if (strstr(name, "norm") || strstr(name, "scale")) x = 1.0f + 0.3f * x;
    else if (strstr(name, "token_embd")) x = 2.0f * x;
    else x = 0.25f * x;
    return f32_from_bf16(bf16_from_f32(x));
}

// A tensor's values are its own, whatever stands beside it.
static inline void mixed_fill(const gguf *g)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        mixed_seed = 88172645463325252ull;
        for (const char *c = t->name; *c; c++) mixed_seed = (mixed_seed ^ (uint8_t)*c) * 1099511628211ull;
        float *to = (float *)(uintptr_t)t->data;
        for (int64_t k = 0; k < t->n_elems; k++) to[k] = mixed_value(t->name);
    }
}

// What a file holds behind its layers, to predict further tokens.
typedef enum { NO_NEXTN, NEXTN_PROMISED, NEXTN_THERE } mixed_nextn;

static inline bool mixed_holds(const program_weight *w, mixed_nextn nextn)
{
    return !w->optional || (nextn == NEXTN_THERE && strstr(w->name, "blk.4."));
}

// A file of that kind: the tensors that its program reads, and those that nothing reads.
static inline gguf_plan *mixed_keys_with(mixed_kind kind, mixed_nextn nextn)
{
    gguf_plan *plan = mixed_keys(kind);
    char key[64];
    if (nextn == NO_NEXTN) return plan;
    snprintf(key, sizeof key, "%s.block_count", mixed_archs[kind]);
    ck_assert(gguf_plan_remove(plan, key));
    mixed_u32(plan, mixed_archs[kind], "block_count", 5);
    mixed_u32(plan, mixed_archs[kind], "nextn_predict_layers", 1);
    return plan;
}

static inline mixed mixed_make_with(mixed_kind kind, mixed_nextn nextn)
{
    mixed m = { 0 };
    program p;
    uint8_t *bytes;
    gguf_plan *only_keys = mixed_keys_with(kind, nextn), *plan = mixed_keys_with(kind, nextn);
    gguf *keys = mixed_layout(only_keys, &bytes);
    mixed_must(hparams_read(&m.h, keys, &mixed_err));
    m.h.n_vocab = MIXED_VOCAB;
    for (int i = 0; i < m.h.n_layer; i++) m.h.layers[i].experts_fused = kind == MIXED_GEMMA4;
    mixed_must(program_build(&p, &m.h, &mixed_err));
    for (int i = 0; i < p.n_weights; i++) {
        const program_weight *w = &p.weights[i];
        const int64_t n = w->experts ? w->experts : 1, shape[] = { n, w->rows / n, w->cols };
        const int n_dims = w->vector ? 1 : w->experts ? 3 : 2;
        if (mixed_holds(w, nextn))
            mixed_must(gguf_plan_tensor(plan, w->name, DT_F32, n_dims, shape + 3 - n_dims, &mixed_err));
    }
    program_free(&p);
    hparams_free(&m.h);
    gguf_close(keys);
    gguf_plan_free(only_keys);
    free(bytes);
    m.g = mixed_layout(plan, &m.bytes);
    mixed_fill(m.g);
    gguf_plan_free(plan);
    mixed_must(hparams_read(&m.h, m.g, &mixed_err) && program_check_tensors(&m.h, m.g, &mixed_err));
    return m;
}

static inline mixed mixed_make(mixed_kind kind) { return mixed_make_with(kind, NO_NEXTN); }

static inline void mixed_free(mixed *m)
{
    hparams_free(&m->h);
    gguf_close(m->g);
    free(m->bytes);
}

static inline net *mixed_net(backend *b, const mixed *m, int64_t n_ctx, int n_batch)
{
    const kv_spec kv = kv_spec_of(b->arith == ARITH_BF16 ? KV_BF16 : KV_F32);
    net *n = net_open(b, m->g, &m->h, &kv, n_ctx, n_batch, &mixed_err);
    mixed_must(n != NULL);
    return n;
}

static inline int32_t mixed_id(int i) { return (i * i * 7 + 3 * i + 5) % MIXED_VOCAB; }

// Runs n ids from position 0 in batches; the logits of each into logits [n][MIXED_VOCAB].
static inline void mixed_run(net *m, int n, int n_batch, int first_id, float *logits)
{
    int32_t ids[1024];
    for (int i = 0; i < n; i++) ids[i] = mixed_id(first_id + i);
    for (int at = 0; at < n; at += n_batch) {
        const int count = n - at < n_batch ? n - at : n_batch;
        mixed_must(net_forward(m, ids + at, count, at, NULL, &mixed_err));
        mixed_must(net_logits(m, 0, count, logits + at * MIXED_VOCAB, &mixed_err));
    }
}

#endif
