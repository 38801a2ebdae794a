// gemma_load: a file's tensors bound to a backend, with rotary tables, cache and scratch memory, and what all that takes: see gemma.h.
#include "gemma_internal.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- binding ---------------------------------------------------------------------------------------------------------

static weight *weight_at(void *base, size_t at) { return (weight *)(void *)((char *)base + at); }

// Binds the tensors of the list for a layer (-1: of the whole model) that the forward pass reads; base: the struct that holds their weights. One that
// is absent leaves its weight zeroed.
static bool bind_list(gemma *m, const gguf *g, int layer, void *base, err *e)
{
    for (int i = 0; i < gemma_n_tensors(layer); i++) {
        gemma_tensor want;
        const gguf_tensor *t;
        if (!gemma_tensor_of(m->h, layer, i, &want)) continue;
        if (!gemma_tensor_find(g, &want, &t, e)) return false;
        if (!t || !want.read || want.at == NOT_A_WEIGHT) continue;
        weight *w = weight_at(base, want.at);
        if (!m->b->ops->load_weight(m->b, t, w, e)) return false;
        if (w->cols > m->widest) m->widest = w->cols;
    }
    return true;
}

static bool bind_layer(gemma *m, const gguf *g, int i, err *e)
{
    layer_weights *w = &m->layers[i];
    if (!bind_list(m, g, i, w, e)) return false;
    w->scalar = 1.0f;
    if (w->out_scale.data) return m->b->ops->download(m->b, &w->scalar, w->out_scale.data, sizeof w->scalar, e);
    return true;
}

static bool bind_all(gemma *m, const gguf *g, err *e)
{
    if (!bind_list(m, g, -1, m, e)) return false;
    if (!m->output.data) m->output = m->token_embd;
    for (int i = 0; i < m->h->n_layer; i++)
        if (!bind_layer(m, g, i, e)) return false;
    return true;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool load_weights(gemma *m, const gguf *g, err *e)
{
    const double began = seconds();
    if (!bind_all(m, g, e)) return false;
    if (!m->b->ops->copies_weights) return true;
    if (!m->b->ops->sync(m->b, e)) return false;        // the last ones may still travel
    m->load_seconds = seconds() - began;
    return true;
}

// The bound matrix of that name, or NULL.
static weight *find_matrix(gemma *m, const char *name)
{
    weight *global[] = { &m->token_embd, &m->output, &m->ple_embd, &m->ple_model_proj };
    for (size_t i = 0; i < sizeof global / sizeof *global; i++)
        if (global[i]->data && strcmp(global[i]->name, name) == 0) return global[i];
    for (int i = 0; i < m->h->n_layer; i++)
        for (int j = 0; j < gemma_n_tensors(i); j++) {
            bool is_matrix;
            weight *w = gemma_layer_weight(&m->layers[i], j, &is_matrix);
            if (is_matrix && w->data && strcmp(w->name, name) == 0) return w;
        }
    return NULL;
}

bool gemma_replace(gemma *m, const gguf_tensor *t, bool *used, err *e)
{
    const backend_ops *o = m->b->ops;
    weight *w = find_matrix(m, t->name), fresh = { 0 };
    *used = w != NULL;
    if (!w) return true;
    if (t->n_dims > 2 || gguf_tensor_rows(t) != w->rows || gguf_tensor_cols(t) != w->cols)
        return err_set(e, ERR_USAGE, "tensor '%s': found [%lld][%lld], expected [%lld][%lld]", t->name, (long long)gguf_tensor_rows(t),
                       (long long)gguf_tensor_cols(t), (long long)w->rows, (long long)w->cols);
    if (o->recorded && o->recorded(m->b)) return err_set(e, ERR_USAGE, "tensor '%s': a decode step is recorded with the weights it has", t->name);
    const bool tied = w == &m->token_embd && m->output.data == w->data;
    if (!o->load_weight(m->b, t, &fresh, e)) return false;
    o->free_weight(m->b, w);
    *w = fresh;
    if (tied) m->output = fresh;
    return true;
}

// Inverse frequencies of one kind, as compute_default_rope_parameters forms them in F32: 1 / base^(2i / d), then the linear factor, then
// (full layers of Gemma 4) the file's factors: 1 for dimensions that rotate, 1e30 for those that do not, which Transformers holds as 0.
static float *inverse_frequencies(int head_dim, float base, float linear, const float *factors)
{
    const int half = head_dim / 2;
    float *inv = malloc((size_t)half * sizeof *inv);
    for (int i = 0; inv && i < half; i++) {
        const float power = (float)(2 * i) / (float)head_dim;
        inv[i] = 1.0f / (float)pow((double)base, (double)power) / linear;
        if (factors) inv[i] = factors[i] >= 1e29f ? 0.0f : inv[i] / factors[i];
    }
    return inv;
}

static bool open_ropes(gemma *m, int64_t n_ctx, err *e)
{
    const hparams *h = m->h;
    for (int i = 0; i < h->n_layer; i++) {
        rope *r = h->layers[i].sliding ? &m->sliding : &m->full;
        r->head_dim = h->layers[i].head_dim;
    }
    float base_swa = h->rope_base_swa;
#ifdef HALLMARK_FAULTS
    if (m->b->fault == FAULT_ROPE_BASE_SWAP) base_swa = h->rope_base;
#endif
    if (m->full.head_dim) {
        m->full.inv_freq = m->inv_full = inverse_frequencies(m->full.head_dim, h->rope_base, h->rope_scale, h->rope_freq_factors);
        if (!m->inv_full) return err_nomem(e, "rotary frequencies", 0);
        if (!m->b->ops->load_rope(m->b, &m->full, n_ctx, e)) return false;
    }
    if (m->sliding.head_dim) {
        m->sliding.inv_freq = m->inv_sliding = inverse_frequencies(m->sliding.head_dim, base_swa, 1.0f, NULL);
        if (!m->inv_sliding) return err_nomem(e, "rotary frequencies", 0);
        if (!m->b->ops->load_rope(m->b, &m->sliding, n_ctx, e)) return false;
    }
    return true;
}

static bool open_cache(gemma *m, dtype type, int64_t n_ctx, err *e)
{
    const hparams *h = m->h;
    for (int i = 0; i < h->n_layer; i++) {
        if (!h->layers[i].has_kv) continue;
        kv_layer *kv = &m->kv[i];
        kv->type = type;
        kv->n_kv_head = h->layers[i].n_kv_head;
        kv->head_dim = h->layers[i].head_dim;
        kv->capacity = kv_capacity(h, i, n_ctx, m->n_batch);
        int64_t head_bytes, bytes;
        if (!dtype_row_bytes(type, kv->head_dim, &head_bytes))
            return err_set(e, ERR_USAGE, "KV dtype %s: its blocks do not divide a head of %d", dtype_name(type), kv->head_dim);
        kv->row_bytes = head_bytes * kv->n_kv_head;
        if (!mul_i64(kv->row_bytes, kv->capacity, &bytes)) return err_set(e, ERR_USAGE, "a context of %lld tokens does not fit in 64-bit memory", (long long)n_ctx);
        if (!m->b->ops->alloc(m->b, &kv->k, bytes, "KV cache", e) || !m->b->ops->alloc(m->b, &kv->v, bytes, "KV cache", e)) return false;
    }
    return true;
}

// Activations: one row a buffer, floats of one token. The order is that of scratch_floats.
static const struct { size_t at; const char *name; } scratch_table[] = {
    { offsetof(gemma, x), "hidden state" }, { offsetof(gemma, t), "normed state" }, { offsetof(gemma, q), "queries" },
    { offsetof(gemma, att), "attention output" }, { offsetof(gemma, k), "keys" }, { offsetof(gemma, v), "values" }, { offsetof(gemma, gate), "gate" },
    { offsetof(gemma, up), "up" }, { offsetof(gemma, ple), "per-layer inputs" }, { offsetof(gemma, ple_tok), "per-layer embeddings" },
    { offsetof(gemma, ple_gated), "per-layer gate" }, { offsetof(gemma, logits), "logits" },
};
enum { N_SCRATCH = sizeof scratch_table / sizeof *scratch_table };

static int at_most(int n, int most) { return n < most ? n : most; }

// Bytes of each buffer for n_batch tokens, logits for logits_rows of them, and their sum. false: more than 64 bits hold.
static bool scratch_bytes(const hparams *h, int n_batch, int logits_rows, int64_t bytes[N_SCRATCH], int64_t *sum)
{
    int64_t q = 0, kv = 0, ff = 0;
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        const int64_t lq = (int64_t)h->n_head * l->head_dim, lkv = (int64_t)l->n_kv_head * l->head_dim;
        if (lq > q) q = lq;
        if (lkv > kv) kv = lkv;
        if (l->n_ff > ff) ff = l->n_ff;
    }
    const int64_t dim = h->n_embd, ple = h->n_embd_per_layer, all_ple = ple * h->n_layer;
    const int64_t floats[N_SCRATCH] = { dim, dim, q, q, kv, kv, ff, ff, all_ple, all_ple, ple, h->n_vocab };
    *sum = 0;
    for (int i = 0; i < N_SCRATCH; i++) {
        const bool is_logits = scratch_table[i].at == offsetof(gemma, logits);
        if (!mul_i64(floats[i], is_logits ? at_most(n_batch, logits_rows) : n_batch, &bytes[i]) ||
            !mul_i64(bytes[i], (int64_t)sizeof(float), &bytes[i]) || !add_i64(*sum, bytes[i], sum))
            return false;
    }
    return true;
}

static bool open_scratch(gemma *m, err *e)
{
    int64_t bytes[N_SCRATCH];
    if (!scratch_bytes(m->h, m->n_batch, m->logits_rows, bytes, &m->scratch_bytes)) return err_set(e, ERR_SYSTEM, "a batch of %d tokens is too large", m->n_batch);
    for (int i = 0; i < N_SCRATCH; i++) {
        void *p = NULL;
        if (bytes[i] == 0) continue;
        if (!m->b->ops->alloc(m->b, &p, bytes[i], scratch_table[i].name, e)) return false;
        *(float **)(void *)((char *)m + scratch_table[i].at) = p;
    }
    return true;
}

// The backend's own scratch for the largest products that will be asked for.
static bool reserve_products(gemma *m, err *e)
{
    const backend_ops *o = m->b->ops;
    if (!o->reserve_matmul) return true;
    for (int i = 0; i < m->h->n_layer; i++)
        for (int j = 0; j < gemma_n_tensors(i); j++) {
            const weight *w = gemma_layer_weight(&m->layers[i], j, NULL);
            if (w->data && w->rows > 1 && !o->reserve_matmul(m->b, w, m->n_batch, e)) return false;
        }
    return (!m->ple_model_proj.data || o->reserve_matmul(m->b, &m->ple_model_proj, m->n_batch, e)) && o->reserve_matmul(m->b, &m->output, m->logits_rows, e);
}

bool gemma_scratch_need(const hparams *h, int64_t n_ctx, int n_batch, int logits_rows, int64_t *sum)
{
    int64_t bytes[N_SCRATCH], table;
    int full = 0, sliding = 0;
    for (int i = 0; i < h->n_layer; i++) *(h->layers[i].sliding ? &sliding : &full) = h->layers[i].head_dim;
    return scratch_bytes(h, n_batch, logits_rows, bytes, sum) && mul_i64(n_ctx, ((int64_t)full + sliding) * (int64_t)sizeof(float), &table) && add_i64(*sum, table, sum);
}

gemma *gemma_open(backend *b, const gguf *g, const hparams *h, dtype kv_type, int64_t n_ctx, int n_batch, err *e)
{
    gemma *m = calloc(1, sizeof *m);
    if (!m) { err_nomem(e, "model", sizeof *m); return NULL; }
    m->b = b;
    m->h = h;
    m->n_batch = n_batch;
    m->logits_rows = at_most(n_batch, b->ops->logits_rows);
    m->layers = calloc((size_t)h->n_layer, sizeof *m->layers);
    m->kv = calloc((size_t)h->n_layer, sizeof *m->kv);
    if (!m->layers || !m->kv) {
        err_nomem(e, "layer tables", (size_t)h->n_layer * sizeof *m->layers);
        gemma_close(m);
        return NULL;
    }
    if (!load_weights(m, g, e) || !open_ropes(m, n_ctx, e) || !open_cache(m, kv_type, n_ctx, e) || !open_scratch(m, e) || !reserve_products(m, e)) {
        gemma_close(m);
        return NULL;
    }
    return m;
}

void gemma_close(gemma *m)
{
    if (!m) return;
    const backend_ops *o = m->b->ops;
    for (int i = 0; i < N_SCRATCH; i++) o->release(m->b, *(float **)(void *)((char *)m + scratch_table[i].at));
    o->free_rope(m->b, &m->full);
    o->free_rope(m->b, &m->sliding);
    for (int i = 0; m->kv && i < m->h->n_layer; i++) { o->release(m->b, m->kv[i].k); o->release(m->b, m->kv[i].v); }
    for (int i = 0; m->layers && i < m->h->n_layer; i++)
        for (int j = 0; j < gemma_n_tensors(i); j++) o->free_weight(m->b, gemma_layer_weight(&m->layers[i], j, NULL));
    if (m->output.data != m->token_embd.data) o->free_weight(m->b, &m->output);
    weight *global[] = { &m->token_embd, &m->output_norm, &m->ple_embd, &m->ple_model_proj, &m->ple_proj_norm };
    for (size_t i = 0; i < sizeof global / sizeof *global; i++) o->free_weight(m->b, global[i]);
    free(m->inv_full);
    free(m->inv_sliding);
    free(m->observed);
    free(m->layers);
    free(m->kv);
    free(m);
}

dtype gemma_kv_type(const gemma *m)
{
    int i = 0;
    while (i + 1 < m->h->n_layer && !m->h->layers[i].has_kv) i++;
    return m->kv[i].type;
}

// ---- counting --------------------------------------------------------------------------------------------------------

static int64_t bytes_of(const weight *w)
{
    int64_t row;
    return w->data && dtype_row_bytes(w->type, w->cols, &row) ? row * w->rows : 0;
}

static int64_t layers_bytes(const gemma *m)
{
    int64_t sum = 0;
    for (int i = 0; i < m->h->n_layer; i++)
        for (int j = 0; j < gemma_n_tensors(i); j++) sum += bytes_of(gemma_layer_weight(&m->layers[i], j, NULL));
    return sum;
}

int64_t gemma_step_weight_bytes(const gemma *m)
{
    // Of the embedding tables a step reads one row each, but the tied output product reads the whole of token_embd.
    const int64_t rows = bytes_of(&m->token_embd) / m->h->n_vocab + bytes_of(&m->ple_embd) / m->h->n_vocab;
    return layers_bytes(m) + bytes_of(&m->output) + bytes_of(&m->output_norm) + bytes_of(&m->ple_model_proj) + bytes_of(&m->ple_proj_norm) + rows;
}

int64_t gemma_weight_bytes(const gemma *m)
{
    const bool tied = m->output.data == m->token_embd.data;
    return layers_bytes(m) + bytes_of(&m->token_embd) + (tied ? 0 : bytes_of(&m->output)) + bytes_of(&m->output_norm) + bytes_of(&m->ple_embd) +
           bytes_of(&m->ple_model_proj) + bytes_of(&m->ple_proj_norm);
}

int64_t gemma_scratch_bytes(const gemma *m) { return m->scratch_bytes; }
double gemma_load_seconds(const gemma *m) { return m->load_seconds; }
