// gemma_twin: the forward pass of Gemma written directly, one operation after another, with names looked up where they
// are needed: what the program of runtime/nets/gemma.c is compared with, bit for bit. Slow and plain on purpose.
#ifndef HALLMARK_TESTS_GEMMA_TWIN_H
#define HALLMARK_TESTS_GEMMA_TWIN_H

#include "one_op.h"
#include "kv_case.h"
#include "runtime/model.h"

#include "suite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    backend       *b;
    const gguf    *g;
    const hparams *h;
    kv_layer      *kv;                  // [n_layer]
    rope           full, sliding;
    float         *inv[2];
    float         *x, *t, *q, *k, *v, *att, *gate, *up, *ple, *tok, *gated;
    int            n_batch;
    err            e;
} gemma_twin;

static inline void twin_must(gemma_twin *m, bool ok) { ck_assert_msg(ok, "%s", m->e.msg); }

// A tensor of the file as a weight of the CPU, whose data is the mapping; data NULL: the file has none.
static inline weight twin_weight(gemma_twin *m, int layer, const char *name)
{
    char full[64];
    weight w = { 0 };
    if (layer >= 0) snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    else            snprintf(full, sizeof full, "%s.weight", name);
    const gguf_tensor *t = gguf_find_tensor(m->g, full);
    if (t) twin_must(m, m->b->ops->load_weight(m->b, t, &w, &m->e));
    return w;
}

static inline void twin_linear(gemma_twin *m, float *dst, int layer, const char *name, const float *x, int n)
{
    const weight w = twin_weight(m, layer, name);
    twin_must(m, one_matmul(m->b, dst, &w, x, n, &m->e));
}

static inline void twin_norm(gemma_twin *m, float *dst, const float *x, int layer, const char *name, int64_t rows,
                             int dim)
{
    const weight w = name ? twin_weight(m, layer, name) : (weight){ 0 };
    twin_must(m, one_norm(m->b, dst, x, name ? &w : NULL, rows, dim, m->h->rms_eps, &m->e));
}

static inline void twin_add(gemma_twin *m, float *x, const float *y, int64_t n)
{
    twin_must(m, one_each(m->b, OP_ADD, x, x, y, 0, n, &m->e));
}
static inline void twin_scale(gemma_twin *m, float *x, double by, int64_t n)
{
    twin_must(m, one_each(m->b, OP_SCALE, x, NULL, NULL, (float)by, n, &m->e));
}

static inline float *twin_rope(gemma_twin *m, rope *r, int head_dim, float base, float linear, const float *factors,
                               int64_t n_ctx)
{
    float *inv = calloc((size_t)head_dim / 2 + 1, sizeof *inv);
    for (int i = 0; i < head_dim / 2; i++) {
        inv[i] = 1.0f / (float)pow((double)base, (double)((float)(2 * i) / (float)head_dim)) / linear;
        if (factors) inv[i] = factors[i] >= 1e29f ? 0.0f : inv[i] / factors[i];
    }
    *r = (rope){ .head_dim = head_dim, .inv_freq = inv };
    twin_must(m, m->b->ops->load_rope(m->b, r, n_ctx, &m->e));
    return inv;
}

static inline gemma_twin *twin_open(backend *b, const gguf *g, const hparams *h, dtype kv, int64_t n_ctx, int n_batch)
{
    gemma_twin *m = calloc(1, sizeof *m);
    *m = (gemma_twin){ .b = b, .g = g, .h = h, .n_batch = n_batch, .kv = calloc((size_t)h->n_layer, sizeof *m->kv) };
    int full = 0, sliding = 0, q = 0, kv_dim = 0, ff = 0;
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        *(l->sliding ? &sliding : &full) = l->head_dim;
        q = h->n_head * l->head_dim > q ? h->n_head * l->head_dim : q;
        kv_dim = l->n_kv_head * l->head_dim > kv_dim ? l->n_kv_head * l->head_dim : kv_dim;
        ff = l->n_ff > ff ? l->n_ff : ff;
        if (!l->has_kv) continue;
        kv_layer *own = &m->kv[i];
        *own = kv_case(kv, kv, l->n_kv_head, l->head_dim, kv_capacity(h, i, n_ctx, n_batch));
        kv_case_open(b, own);
    }
    if (full) m->inv[0] = twin_rope(m, &m->full, full, h->rope_base, h->rope_scale, h->rope_freq_factors, n_ctx);
    if (sliding) m->inv[1] = twin_rope(m, &m->sliding, sliding, h->rope_base_swa, 1.0f, NULL, n_ctx);
    const int64_t all = (int64_t)h->n_layer * h->n_embd_per_layer;
    struct { float **p; int64_t n; } buffers[] = {
        { &m->x, h->n_embd },
        { &m->t, h->n_embd },
        { &m->q, q },
        { &m->att, q },
        { &m->k, kv_dim },
        { &m->v, kv_dim },
        { &m->gate, ff },
        { &m->up, ff },
        { &m->ple, all },
        { &m->tok, all },
        { &m->gated, h->n_embd_per_layer },
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        *buffers[i].p = calloc((size_t)(buffers[i].n * n_batch) + 1, sizeof(float));
    return m;
}

static inline void twin_close(gemma_twin *m)
{
    for (int i = 0; i < m->h->n_layer; i++) kv_case_close(m->b, &m->kv[i]);
    m->b->ops->free_rope(m->b, &m->full);
    m->b->ops->free_rope(m->b, &m->sliding);
    float *mine[] = { m->x,  m->t,   m->q,   m->att,   m->k,      m->v,     m->gate,
                      m->up, m->ple, m->tok, m->gated, m->inv[0], m->inv[1] };
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) free(mine[i]);
    free(m->kv);
    free(m);
}

static inline void twin_embed(gemma_twin *m, float *dst, const char *name, const int32_t *ids, int n, double scale)
{
    const weight w = twin_weight(m, -1, name);
    twin_must(m, one_embed(m->b, dst, &w, ids, n, (float)scale, &m->e));
}

static inline void twin_per_layer_inputs(gemma_twin *m, const int32_t *ids, int n)
{
    const int ple = m->h->n_embd_per_layer;
    const int64_t all = (int64_t)n * m->h->n_layer * ple;
    twin_embed(m, m->tok, "per_layer_token_embd", ids, n, sqrt((double)ple));
    twin_linear(m, m->ple, -1, "per_layer_model_proj", m->x, n);
    twin_scale(m, m->ple, 1.0 / sqrt((double)m->h->n_embd), all);
    twin_norm(m, m->ple, m->ple, -1, "per_layer_proj_norm", (int64_t)n * m->h->n_layer, ple);
    twin_add(m, m->ple, m->tok, all);
    twin_scale(m, m->ple, 0.70710678118654752440, all);
}

static inline void twin_attention(gemma_twin *m, int i, int n, int64_t pos0)
{
    const hparams *h = m->h;
    const layer_shape *l = &h->layers[i];
    const rope *r = l->sliding ? &m->sliding : &m->full;
    const int hd = l->head_dim, nkv = l->n_kv_head;
    kv_layer *kv = &m->kv[l->kv_source];
    twin_linear(m, m->q, i, "attn_q", m->t, n);
    twin_norm(m, m->q, m->q, i, "attn_q_norm", (int64_t)n * h->n_head, hd);
    twin_must(m, one_rotate(m->b, m->q, r, n, h->n_head, false, pos0, &m->e));
    if (l->has_kv) {
        const bool k_is_v = twin_weight(m, i, "attn_v").data == NULL;
        twin_linear(m, m->k, i, "attn_k", m->t, n);
        if (!k_is_v) twin_linear(m, m->v, i, "attn_v", m->t, n);
        if (h->family == ARCH_GEMMA4) twin_norm(m, m->v, k_is_v ? m->k : m->v, i, NULL, (int64_t)n * nkv, hd);
        twin_norm(m, m->k, m->k, i, "attn_k_norm", (int64_t)n * nkv, hd);
        twin_must(m, one_rotate(m->b, m->k, r, n, nkv, false, pos0, &m->e) &&
                         one_store(m->b, kv, m->k, m->v, n, pos0, &m->e));
    }
    const attention_args a = { .q = m->q,
                               .out = m->att,
                               .kv = kv,
                               .n = n,
                               .n_head = h->n_head,
                               .pos0 = pos0,
                               .window = l->sliding ? h->window : 0,
                               .scale = h->attention_scale };
    twin_must(m, one_attend(m->b, &a, &m->e));
    twin_linear(m, m->t, i, "attn_output", m->att, n);
}

static inline void twin_layer(gemma_twin *m, int i, int n, int64_t pos0)
{
    const hparams *h = m->h;
    const int dim = h->n_embd, ple = h->n_embd_per_layer;
    const int64_t all = (int64_t)n * dim, n_ff = (int64_t)n * h->layers[i].n_ff;
    twin_norm(m, m->t, m->x, i, "attn_norm", n, dim);
    twin_attention(m, i, n, pos0);
    twin_norm(m, m->t, m->t, i, "post_attention_norm", n, dim);
    twin_add(m, m->x, m->t, all);
    twin_norm(m, m->t, m->x, i, "ffn_norm", n, dim);
    twin_linear(m, m->gate, i, "ffn_gate", m->t, n);
    twin_linear(m, m->up, i, "ffn_up", m->t, n);
    twin_must(m, one_act(m->b, ACT_GELU_TANH, m->gate, m->up, n_ff, &m->e));
    twin_linear(m, m->t, i, "ffn_down", m->gate, n);
    twin_norm(m, m->t, m->t, i, "post_ffw_norm", n, dim);
    twin_add(m, m->x, m->t, all);
    if (ple > 0) {
        twin_linear(m, m->gated, i, "inp_gate", m->x, n);
        twin_must(m, one_act(m->b, ACT_GELU_TANH, m->gated, NULL, (int64_t)n * ple, &m->e));
        twin_must(m, one_mul(m->b, m->gated, m->gated, m->ple + (int64_t)i * ple, (int64_t)h->n_layer * ple, n, ple,
                             &m->e));
        twin_linear(m, m->t, i, "proj", m->gated, n);
        twin_norm(m, m->t, m->t, i, "post_norm", n, dim);
        twin_add(m, m->x, m->t, all);
    }
    const weight scalar = twin_weight(m, i, "layer_output_scale");
    if (scalar.data && *(const float *)scalar.data != 1.0f) twin_scale(m, m->x, *(const float *)scalar.data, all);
}

// hidden: [n_layer + 1][n_embd] of the last token.
static inline void twin_forward(gemma_twin *m, const int32_t *ids, int n, int64_t pos0, float *hidden)
{
    const int dim = m->h->n_embd;
    twin_embed(m, m->x, "token_embd", ids, n, sqrt((double)dim));
    memcpy(hidden, m->x + (int64_t)(n - 1) * dim, (size_t)dim * sizeof *hidden);
    if (m->h->n_embd_per_layer > 0) twin_per_layer_inputs(m, ids, n);
    for (int i = 0; i < m->h->n_layer; i++) {
        twin_layer(m, i, n, pos0);
        memcpy(hidden + (int64_t)(i + 1) * dim, m->x + (int64_t)(n - 1) * dim, (size_t)dim * sizeof *hidden);
    }
}

// logits: [n][n_vocab] of the last forward.
static inline void twin_logits(gemma_twin *m, int n, float *logits)
{
    const hparams *h = m->h;
    twin_norm(m, m->t, m->x, -1, "output_norm", n, h->n_embd);
    twin_linear(m, logits, -1, twin_weight(m, -1, "output").data ? "output" : "token_embd", m->t, n);
    if (h->final_softcap != 0.0f)
        twin_must(m, one_each(m->b, OP_SOFTCAP, logits, NULL, NULL, h->final_softcap, n * h->n_vocab, &m->e));
}

#endif
