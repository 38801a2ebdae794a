// gemma: the forward pass: see gemma.h. Weights and memory are gemma_load.c's.
#include "gemma_internal.h"
#include <math.h>
#include <stdlib.h>

// Per-layer inputs of all layers at once: [n][n_layer][n_embd_per_layer] (project_per_layer_inputs).
static bool per_layer_inputs(gemma *m, const int32_t *ids, int n, err *e)
{
    backend *b = m->b;
    const backend_ops *o = b->ops;
    const hparams *h = m->h;
    const int64_t all = (int64_t)n * h->n_layer * h->n_embd_per_layer;
    return o->embed(b, m->ple_tok, &m->ple_embd, ids, n, (float)sqrt((double)h->n_embd_per_layer), e) &&
           o->matmul(b, m->ple, &m->ple_model_proj, m->x, n, e) &&
           o->scale(b, m->ple, (float)(1.0 / sqrt((double)h->n_embd)), all, e) &&
           o->rms_norm(b, m->ple, m->ple, &m->ple_proj_norm, (int64_t)n * h->n_layer, h->n_embd_per_layer, h->rms_eps, e) &&
           o->add(b, m->ple, m->ple, m->ple_tok, all, e) &&
           o->scale(b, m->ple, 0.70710678118654752440f, all, e);
}

// Which cache layer i reads: its own or the one it shares.
static kv_layer *cache_of(gemma *m, int i)
{
    int source = m->h->layers[i].kv_source;
#ifdef HALLMARK_FAULTS
    if (m->b->fault == FAULT_KV_WRONG_LAYER && source != i)     // an earlier layer of the same shape, where there is one
        for (int j = source - 1; j >= 0; j--)
            if (m->kv[j].k && m->kv[j].head_dim == m->kv[source].head_dim && m->kv[j].n_kv_head == m->kv[source].n_kv_head) { source = j; break; }
#endif
    return &m->kv[source];
}

static float scale_of(const gemma *m, int head_dim)
{
#ifdef HALLMARK_FAULTS
    if (m->b->fault == FAULT_SCALE_RSQRT_D) return 1.0f / sqrtf((float)head_dim);
#else
    (void)head_dim;
#endif
    return m->h->attention_scale;
}

static int64_t window_of(const gemma *m, const layer_shape *l)
{
    if (!l->sliding) return 0;
#ifdef HALLMARK_FAULTS
    if (m->b->fault == FAULT_WINDOW_OFF_BY_ONE) return m->h->window - 1;
#endif
    return m->h->window;
}

// A layer's product, shown to the observer first.
static bool product(gemma *m, float *dst, const weight *w, const float *x, int n, err *e)
{
    if (m->observer) {
        if (!m->b->ops->download(m->b, m->observed, x, n * w->cols * (int64_t)sizeof *x, e)) return false;
        m->observer(m->observer_ctx, w->name, m->observed, n, w->cols);
    }
    return m->b->ops->matmul(m->b, dst, w, x, n, e);
}

bool gemma_observe(gemma *m, product_observer fn, void *ctx, err *e)
{
    if (fn && !m->observed) {
        const size_t bytes = (size_t)m->n_batch * (size_t)m->widest * sizeof *m->observed;
        m->observed = malloc(bytes);
        if (!m->observed) return err_nomem(e, "copies of a product's input", bytes);
    }
    m->observer = fn;
    m->observer_ctx = ctx;
    return true;
}

// x -> m->t: attention's output, before its post-norm.
static bool attention(gemma *m, int i, int n, int64_t pos0, err *e)
{
    backend *b = m->b;
    const backend_ops *o = b->ops;
    const hparams *h = m->h;
    const layer_shape *l = &h->layers[i];
    const layer_weights *w = &m->layers[i];
    const rope *r = l->sliding ? &m->sliding : &m->full;
    const int hd = l->head_dim, nkv = l->n_kv_head;
    kv_layer *kv = cache_of(m, i);

    if (!product(m, m->q, &w->q, m->t, n, e) ||
        !o->rms_norm(b, m->q, m->q, &w->q_norm, (int64_t)n * h->n_head, hd, h->rms_eps, e) ||
        !o->rotate(b, m->q, r, n, h->n_head, pos0, e))
        return false;
    if (l->has_kv) {
        // V is K's projection before K's norm and rotation where the file has no V. Gemma 4 norms V too, without a weight.
        const bool k_is_v = w->v.data == NULL;
        if (!product(m, m->k, &w->k, m->t, n, e) || (!k_is_v && !product(m, m->v, &w->v, m->t, n, e))) return false;
        if (h->family == FAMILY_GEMMA4 && !o->rms_norm(b, m->v, k_is_v ? m->k : m->v, NULL, (int64_t)n * nkv, hd, h->rms_eps, e)) return false;
        if (!o->rms_norm(b, m->k, m->k, &w->k_norm, (int64_t)n * nkv, hd, h->rms_eps, e) || !o->rotate(b, m->k, r, n, nkv, pos0, e) ||
            !o->kv_store(b, kv, m->k, m->v, n, pos0, e))
            return false;
    }
    const attention_args a = { .q = m->q, .out = m->att, .kv = kv, .n = n, .n_head = h->n_head, .pos0 = pos0,
                               .window = window_of(m, l), .scale = scale_of(m, hd), .softcap = 0.0f };
    return o->attention(b, &a, e) && product(m, m->t, &w->o, m->att, n, e);
}

static bool feed_forward(gemma *m, int i, int n, err *e)
{
    backend *b = m->b;
    const backend_ops *o = b->ops;
    const layer_weights *w = &m->layers[i];
    return product(m, m->gate, &w->gate, m->t, n, e) && product(m, m->up, &w->up, m->t, n, e) &&
           o->geglu(b, m->gate, m->up, (int64_t)n * m->h->layers[i].n_ff, e) && product(m, m->t, &w->down, m->gate, n, e);
}

// One decoder layer: x in, x out.
static bool gemma_layer(gemma *m, int i, int n, int64_t pos0, err *e)
{
    backend *b = m->b;
    const backend_ops *o = b->ops;
    const hparams *h = m->h;
    const layer_weights *w = &m->layers[i];
    const int dim = h->n_embd, ple = h->n_embd_per_layer;
    const int64_t all = (int64_t)n * dim;

    if (!o->rms_norm(b, m->t, m->x, &w->attn_norm, n, dim, h->rms_eps, e) || !attention(m, i, n, pos0, e) ||
        !o->rms_norm(b, m->t, m->t, &w->post_attn_norm, n, dim, h->rms_eps, e) || !o->add(b, m->x, m->x, m->t, all, e))
        return false;
    if (!o->rms_norm(b, m->t, m->x, &w->ffn_norm, n, dim, h->rms_eps, e) || !feed_forward(m, i, n, e) ||
        !o->rms_norm(b, m->t, m->t, &w->post_ffw_norm, n, dim, h->rms_eps, e) || !o->add(b, m->x, m->x, m->t, all, e))
        return false;
    if (ple > 0) {
        const float *input = m->ple + (int64_t)i * ple;     // this layer's slice of each token's row
        if (!product(m, m->ple_gated, &w->ple_gate, m->x, n, e) || !o->gelu(b, m->ple_gated, (int64_t)n * ple, e) ||
            !o->mul_rows(b, m->ple_gated, m->ple_gated, input, (int64_t)h->n_layer * ple, n, ple, e) ||
            !product(m, m->t, &w->ple_proj, m->ple_gated, n, e) || !o->rms_norm(b, m->t, m->t, &w->ple_norm, n, dim, h->rms_eps, e) ||
            !o->add(b, m->x, m->x, m->t, all, e))
            return false;
    }
#ifdef HALLMARK_FAULTS
    // A device that gives up on a head of 512 and leaves zeros in the layer's place.
    if (b->fault == FAULT_HEAD512_LOST && h->layers[i].head_dim == 512) return o->scale(b, m->x, 0.0f, all, e);
#endif
    // Every Gemma 4 layer's output has a scalar of its own.
    return w->scalar == 1.0f || o->scale(b, m->x, w->scalar, all, e);
}

static bool capture(gemma *m, int n, float *hidden, int slot, err *e)
{
    if (!hidden) return true;
    const int dim = m->h->n_embd;
    return m->b->ops->download(m->b, hidden + (int64_t)slot * dim, m->x + (int64_t)(n - 1) * dim, dim * (int64_t)sizeof(float), e);
}

bool gemma_forward(gemma *m, const int32_t *ids, int n, int64_t pos0, float *hidden, err *e)
{
    const hparams *h = m->h;
    // Gemma multiplies embeddings by sqrt(n_embd).
    if (!m->b->ops->embed(m->b, m->x, &m->token_embd, ids, n, (float)sqrt((double)h->n_embd), e) || !capture(m, n, hidden, 0, e)) return false;
    if (h->n_embd_per_layer > 0 && !per_layer_inputs(m, ids, n, e)) return false;
    for (int i = 0; i < h->n_layer; i++)
        if (!gemma_layer(m, i, n, pos0, e) || !capture(m, n, hidden, i + 1, e)) return false;
    return true;
}

// Final norm, product with the (tied) embeddings, soft-capping; into m->logits.
static bool logits_of(gemma *m, int first, int count, err *e)
{
    backend *b = m->b;
    const backend_ops *o = b->ops;
    const hparams *h = m->h;
    return o->rms_norm(b, m->t, m->x + (int64_t)first * h->n_embd, &m->output_norm, count, h->n_embd, h->rms_eps, e) &&
           o->matmul(b, m->logits, &m->output, m->t, count, e) &&
           (h->final_softcap == 0.0f || o->softcap(b, m->logits, h->final_softcap, count * h->n_vocab, e));
}

bool gemma_logits(gemma *m, int first, int count, float *logits, err *e)
{
    for (int i = 0; i < count; i += m->logits_rows) {
        const int n = count - i < m->logits_rows ? count - i : m->logits_rows;
        if (!logits_of(m, first + i, n, e) ||
            !m->b->ops->download(m->b, logits + i * m->h->n_vocab, m->logits, n * m->h->n_vocab * (int64_t)sizeof(float), e))
            return false;
    }
    return true;
}

bool gemma_hold_logits(gemma *m, int first, int count, err *e) { return logits_of(m, first, count, e); }
int gemma_logits_rows(const gemma *m)                           { return m->logits_rows; }
const float *gemma_held(const gemma *m)                         { return m->logits; }

bool gemma_argmax(gemma *m, int i, int32_t *id, err *e)
{
    return logits_of(m, i, 1, e) && m->b->ops->argmax(m->b, id, m->logits, m->h->n_vocab, e);
}

bool gemma_record(gemma *m, err *e)
{
    backend *b = m->b;
    if (!b->ops->record_begin(b, e)) return false;
    const bool ok = gemma_forward(m, NULL, 1, 0, NULL, e) && gemma_argmax(m, 0, NULL, e);
    return b->ops->record_end(b, ok, e) && ok;
}

bool gemma_recorded_logits(gemma *m, float *logits, err *e)
{
    return m->b->ops->download(m->b, logits, m->logits, m->h->n_vocab * (int64_t)sizeof(float), e);
}
