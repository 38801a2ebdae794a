// net_load: what a program names, brought to a backend: tensors, rotary tables, caches and buffers: see net.h.
#include "net_internal.h"
#include "../quant/exp_log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- weights --------------------------------------------------------------------------------------------------------

static float round_bf16(float x) { return f32_from_bf16(bf16_from_f32(x)); }

// x = -e^A, of the A that bfloat16 holds. Where A was held in it to begin with, x is right, and e^A in F32 is the
// file's.
static float cast_log(float x)
{
    const double nearly_equal = 5e-7;
    if (!(x < 0.0f) || !isfinite(x)) return x;
    const double a = log_f64(-(double)x), rounded = (double)round_bf16((float)a);
    return fabs(a - rounded) < nearly_equal ? x : (float)-exp_f64(rounded);
}

static float cast_value(weight_cast how, float x)
{
    switch (how) {
    case CAST_ROUND:     return round_bf16(x);
    case CAST_ROUND_LOG: return cast_log(x);
    case CAST_ADD_ONE:   return x + 1.0f;
    case CAST_NONE:      break;
    }
    return x;
}

static bool is_cast(const net *m, const program_weight *want, const gguf_tensor *t)
{
    if (t->type != DT_F32 || ((uintptr_t)t->data & 3) != 0) return false;
    return want->cast == CAST_ADD_ONE || (want->cast != CAST_NONE && m->b->arith == ARITH_BF16);
}

// The tensor with values of its own, which m owns.
static bool cast_tensor(net *m, int i, const gguf_tensor *t, gguf_tensor *own, err *e)
{
    const float *from = (const float *)(const void *)t->data;
    float *to = malloc((size_t)t->n_elems * sizeof *to);
    if (!to) return err_nomem(e, t->name, (size_t)t->n_elems * sizeof *to);
    for (int64_t k = 0; k < t->n_elems; k++) to[k] = cast_value(m->p.weights[i].cast, from[k]);
    m->cast[i] = to;
    *own = *t;
    own->data = (const uint8_t *)(const void *)to;
    return true;
}

// Binds one tensor. One that may be absent and is leaves w zeroed.
static bool bind(net *m, const gguf *g, int i, err *e)
{
    const program_weight *want = &m->p.weights[i];
    const gguf_tensor    *t;
    gguf_tensor           own;
    weight               *w = &m->mem.weights[i];
    if (want->unread) return true;
    if (!program_find_tensor(g, want, &t, e)) return false;
    if (!t) return true;
    if (is_cast(m, want, t)) {
        if (!cast_tensor(m, i, t, &own, e)) return false;
        t = &own;
    }
    if (!m->b->ops->load_weight(m->b, t, w, e)) return false;
    if (w->cols > m->widest) m->widest = w->cols;
    return true;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Another weight's place where a file leaves one out: a tied output is the embedding.
static void tie(net *m)
{
    for (int i = 0; i < m->p.n_weights; i++)
        if (!m->mem.weights[i].data && m->p.weights[i].instead >= 0)
            m->mem.weights[i] = m->mem.weights[m->p.weights[i].instead];
}

static bool is_tied(const net *m, int i)
{
    const int to = m->p.weights[i].instead;
    return to >= 0 && m->mem.weights[i].data == m->mem.weights[to].data;
}

// Another net's weights, which stay that net's.
static void borrow_weights(net *m)
{
    const net *from = m->loan.weights;
    memcpy(m->mem.weights, from->mem.weights, (size_t)m->p.n_weights * sizeof *m->mem.weights);
    m->widest = from->widest;
}

static bool load_weights(net *m, const gguf *g, err *e)
{
    const double began = seconds();
    if (m->loan.weights) {
        borrow_weights(m);
        return true;
    }
    for (int i = 0; i < m->p.n_weights; i++)
        if (!bind(m, g, i, e)) return false;
    tie(m);
    if (!m->b->ops->copies_weights) return true;
    if (!m->b->ops->sync(m->b, e)) return false;        // the last ones may still travel
    m->load_seconds = seconds() - began;
    return true;
}

// Factors that the file holds as tensors of one float.
static bool read_scales(net *m, err *e)
{
    for (int i = 0; i < m->p.n_ops; i++) {
        op *o = &m->p.ops[i];
        const weight *w = o->scale_from < 0 ? NULL : &m->mem.weights[o->scale_from];
        if (w && w->data && !m->b->ops->download(m->b, &o->scale, w->data, sizeof o->scale, e)) return false;
    }
    return true;
}

// A product's weight, bound, of that name.
static bool is_matrix_named(const net *m, int i, const char *name)
{
    const program_weight *w = &m->p.weights[i];
    return !w->vector && !w->plain && m->mem.weights[i].data && strcmp(w->name, name) == 0;
}

bool net_replace(net *m, const gguf_tensor *t, bool *used, err *e)
{
    const backend_ops *o = m->b->ops;
    int i = 0;
    while (i < m->p.n_weights && !is_matrix_named(m, i, t->name)) i++;
    *used = i < m->p.n_weights && !is_tied(m, i);
    if (!*used) return true;
    weight *w = &m->mem.weights[i], fresh = { 0 };
    if (gguf_tensor_rows(t) != w->rows || gguf_tensor_cols(t) != w->cols)
        return err_set(e, ERR_USAGE, "tensor '%s': found [%lld][%lld], expected [%lld][%lld]", t->name,
                       (long long)gguf_tensor_rows(t), (long long)gguf_tensor_cols(t), (long long)w->rows,
                       (long long)w->cols);
    if (m->loan.weights) return err_set(e, ERR_USAGE, "tensor '%s': the weights are another session's", t->name);
    if (o->recorded && o->recorded(m->b))
        return err_set(e, ERR_USAGE, "tensor '%s': a decode step is recorded with the weights it has", t->name);
    if (!o->load_weight(m->b, t, &fresh, e)) return false;
    for (int j = 0; j < m->p.n_weights; j++)
        if (m->p.weights[j].instead == i && is_tied(m, j)) m->mem.weights[j] = fresh;
    o->free_weight(m->b, w);
    *w = fresh;
    return net_lower(m, e);         // what runs as one kernel may depend on the types
}

// ---- rotary tables --------------------------------------------------------------------------------------------------

// As compute_default_rope_parameters forms them in F32: 1 / base^(2i / d), then the linear factor, then (full layers of
// Gemma 4) the file's
// factors: 1 for dimensions that rotate, 1e30 for those that do not, which Transformers holds as 0.
static float *inverse_frequencies(const program_rope *r)
{
    const int half = r->head_dim / 2;
    float *inv = malloc((size_t)half * sizeof *inv);
    for (int i = 0; inv && i < half; i++) {
        const float power = (float)(2 * i) / (float)r->head_dim;
        inv[i] = 1.0f / (float)pow((double)r->base, (double)power) / r->linear;
        if (r->factors) inv[i] = r->factors[i] >= 1e29f ? 0.0f : inv[i] / r->factors[i];
    }
    return inv;
}

static bool open_ropes(net *m, int64_t n_ctx, err *e)
{
    for (int i = 0; i < m->p.n_ropes; i++) {
        m->inv_freq[i] = inverse_frequencies(&m->p.ropes[i]);
        if (!m->inv_freq[i]) return err_nomem(e, "rotary frequencies", 0);
        m->mem.ropes[i] = (rope){ .head_dim = m->p.ropes[i].head_dim, .inv_freq = m->inv_freq[i] };
        if (!m->b->ops->load_rope(m->b, &m->mem.ropes[i], n_ctx, e)) return false;
    }
    return true;
}

// ---- caches ---------------------------------------------------------------------------------------------------------

static bool alloc_part(backend *b, kv_part *p, err *e)
{
    if (!b->ops->alloc(b, &p->data, p->unit * p->units, "KV cache", e)) return false;
    if (p->ring > 0 && !b->ops->alloc(b, &p->newest_data, p->whole_row * p->ring, "KV cache, the newest positions",
                                      e)) return false;
    return p->sinks == 0 || b->ops->alloc(b, &p->sink_data, p->whole_row * p->sinks, "KV cache, the first positions",
                                          e);
}

static bool open_caches(net *m, const kv_spec *spec, int64_t n_ctx, err *e)
{
    if (!kv_spec_check(spec, m->h, e)) return false;
    for (int i = 0; i < m->p.n_caches; i++) {
        kv_layer *kv = &m->mem.caches[i];
        if (!kv_spec_plan(spec, m->h, m->p.caches[i].layer, m->b->arith, n_ctx, m->n_batch, kv, e)) return false;
        net_plant_cache(m, kv, m->p.caches[i].layer, n_ctx);
        if (!alloc_part(m->b, &kv->k, e) || !alloc_part(m->b, &kv->v, e)) return false;
    }
    return true;
}

static void close_part(backend *b, const kv_part *p)
{
    b->ops->release(b, p->data);
    b->ops->release(b, p->newest_data);
    b->ops->release(b, p->sink_data);
}

bool net_kv_choice(const net *m, int layer, kv_choice *c)
{
    for (int i = 0; i < m->p.n_caches; i++) {
        if (m->p.caches[i].layer != layer) continue;
        *c = kv_layer_choice(&m->mem.caches[i]);
        return true;
    }
    return false;
}

int64_t net_kv_bytes(const net *m)
{
    int64_t sum = 0;
    for (int i = 0; i < m->p.n_caches; i++) sum += kv_layer_bytes(&m->mem.caches[i]);
    return sum;
}

// ---- states ---------------------------------------------------------------------------------------------------------

static bool open_state(net *m, const program_state *p, state_layer *s, err *e)
{
    const backend_ops *o = m->b->ops;
    *s = (state_layer){ .conv_floats = p->conv_floats, .s_floats = p->s_floats };
    void *conv = NULL, *rule = NULL;
    const bool ok = o->alloc(m->b, &conv, p->conv_floats * (int64_t)sizeof(float), "state of a convolution", e)
        && o->alloc(m->b, &rule, p->s_floats * (int64_t)sizeof(float), "state of a delta net", e);
    s->conv = conv;
    s->s = rule;
    return ok;
}

// What states are, and a copy of each where steps are replayed: those beyond an end of text have to be taken back.
static bool open_states(net *m, err *e)
{
    for (int i = 0; i < m->p.n_states; i++) {
        if (!open_state(m, &m->p.states[i], &m->mem.states[i], e)) return false;
        if (m->b->ops->replay && !open_state(m, &m->p.states[i], &m->kept[i], e)) return false;
    }
    return true;
}

static bool copy_state(net *m, const state_layer *to, const state_layer *from, err *e)
{
    const backend_ops *o = m->b->ops;
    return o->copy(m->b, to->conv, from->conv, from->conv_floats * (int64_t)sizeof(float), e)
        && o->copy(m->b, to->s, from->s, from->s_floats * (int64_t)sizeof(float), e);
}

bool net_keep_states(net *m, err *e)
{
    for (int i = 0; i < m->p.n_states; i++)
        if (!copy_state(m, &m->kept[i], &m->mem.states[i], e)) return false;
    return true;
}

bool net_restore_states(net *m, err *e)
{
    for (int i = 0; i < m->p.n_states; i++)
        if (!copy_state(m, &m->mem.states[i], &m->kept[i], e)) return false;
    return true;
}

bool net_has_states(const net *m) { return m->p.n_states > 0; }

static void close_state(net *m, state_layer *s)
{
    m->b->ops->release(m->b, s->conv);
    m->b->ops->release(m->b, s->s);
}

// ---- buffers --------------------------------------------------------------------------------------------------------

// Bytes of a buffer. false: more than 64 bits hold.
static bool buffer_bytes(const program_buffer *b, int n_batch, int logits_rows, int64_t *bytes)
{
    const int rows = b->of_logits && logits_rows < n_batch ? logits_rows : n_batch;
    return mul_i64(b->floats, rows, bytes) && mul_i64(*bytes, (int64_t)sizeof(float), bytes);
}

static bool buffers_bytes(const program *p, int n_batch, int logits_rows, int64_t *sum)
{
    int64_t bytes;
    *sum = 0;
    for (int i = 0; i < p->n_buffers; i++)
        if (!buffer_bytes(&p->buffers[i], n_batch, logits_rows, &bytes) || !add_i64(*sum, bytes, sum)) return false;
    return true;
}

// The buffer that the head's products read: it outlives a step of another net.
static bool is_read_by_head(const net *m, int buffer)
{
    for (int i = 0; i < m->p.n_head; i++)
        for (int j = 0; j < OP_VIEWS; j++)
            if (m->p.head[i].in[j].buf == buffer && m->p.head[i].in[j].from_first) return true;
    return false;
}

// The place of a buffer that another net lends; NULL: this one is the net's own.
static float *borrowed_buffer(const net *m, int i)
{
    const net *from = m->loan.scratch;
    if (!from || i >= from->p.n_buffers || is_read_by_head(m, i)) return NULL;
    const program_buffer *own = &m->p.buffers[i], *theirs = &from->p.buffers[i];
    if (own->floats != theirs->floats || own->of_logits != theirs->of_logits) return NULL;
    if (own->of_logits && !m->loan.logits) return NULL;
    return m->n_batch == from->n_batch && m->logits_rows == from->logits_rows ? from->mem.buffers[i] : NULL;
}

static bool open_buffers(net *m, err *e)
{
    if (!buffers_bytes(&m->p, m->n_batch, m->logits_rows, &m->scratch_bytes))
        return err_set(e, ERR_SYSTEM, "a batch of %d tokens is too large", m->n_batch);
    for (int i = 0; i < m->p.n_buffers; i++) {
        int64_t bytes = 0;
        void   *p = NULL;
        m->mem.buffers[i] = borrowed_buffer(m, i);
        if (m->mem.buffers[i]) continue;
        buffer_bytes(&m->p.buffers[i], m->n_batch, m->logits_rows, &bytes);
        if (!m->b->ops->alloc(m->b, &p, bytes, m->p.buffers[i].name, e)) return false;
        m->mem.buffers[i] = p;
    }
    return true;
}

bool net_scratch_need(const hparams *h, int64_t n_ctx, int n_batch, int logits_rows, int64_t *sum, err *e)
{
    program p;
    int64_t table;
    if (!program_build(&p, h, e)) {
        program_free(&p);
        return false;
    }
    bool fits = buffers_bytes(&p, n_batch, logits_rows, sum);
    for (int i = 0; fits && i < p.n_ropes; i++)
        fits = mul_i64(n_ctx, p.ropes[i].head_dim * (int64_t)sizeof(float), &table) && add_i64(*sum, table, sum);
    program_free(&p);
    return fits ||
           err_set(e, ERR_SYSTEM, "a batch of %d tokens and %lld positions are too large", n_batch, (long long)n_ctx);
}

// The backend's own scratch for the largest products that will be asked for.
static bool reserve_products(net *m, const op *list, int n, int tokens, err *e)
{
    const backend_ops *o = m->b->ops;
    for (int i = 0; o->reserve_matmul && i < n; i++)
        for (int j = 0; j < OP_WEIGHTS; j++) {
            const bool product = list[i].kind == OP_LINEAR || list[i].kind == OP_GLU || list[i].kind == OP_GATED;
            const weight *w = product && list[i].w[j] >= 0 ? &m->mem.weights[list[i].w[j]] : NULL;
            if (w && !o->reserve_matmul(m->b, w, tokens, e)) return false;
        }
    return true;
}

// ---- all of it ------------------------------------------------------------------------------------------------------

static bool alloc_tables(net *m, err *e)
{
    const program *p = &m->p;
    m->mem.buffers = calloc((size_t)p->n_buffers + 1, sizeof *m->mem.buffers);
    m->mem.weights = calloc((size_t)p->n_weights + 1, sizeof *m->mem.weights);
    m->mem.caches = calloc((size_t)p->n_caches + 1, sizeof *m->mem.caches);
    m->mem.ropes = calloc((size_t)p->n_ropes + 1, sizeof *m->mem.ropes);
    m->cast = calloc((size_t)p->n_weights + 1, sizeof *m->cast);
    m->mem.states = calloc((size_t)p->n_states + 1, sizeof *m->mem.states);
    m->kept = calloc((size_t)p->n_states + 1, sizeof *m->kept);
    m->inv_freq = calloc((size_t)p->n_ropes + 1, sizeof *m->inv_freq);
    const bool ok = m->mem.buffers && m->mem.weights && m->mem.caches && m->mem.states && m->kept && m->mem.ropes
        && m->inv_freq && m->cast;
    return ok || err_nomem(e, "layer tables", (size_t)p->n_weights * sizeof *m->mem.weights);
}

bool net_load(net *m, const gguf *g, const kv_spec *kv, int64_t n_ctx, err *e)
{
    if (!alloc_tables(m, e)) return false;
    if (!load_weights(m, g, e)) return false;
    if (!read_scales(m, e)) return false;
    if (!open_ropes(m, n_ctx, e)) return false;
    if (!open_caches(m, kv, n_ctx, e)) return false;
    if (!open_states(m, e)) return false;
    if (!open_buffers(m, e)) return false;
    return reserve_products(m, m->p.ops, m->p.n_ops, m->n_batch, e) &&
           reserve_products(m, m->p.head, m->p.n_head, m->logits_rows, e);
}

void net_unload(net *m)
{
    const backend_ops *o = m->b->ops;
    for (int i = 0; m->mem.buffers && i < m->p.n_buffers; i++)
        if (!borrowed_buffer(m, i)) o->release(m->b, m->mem.buffers[i]);
    for (int i = 0; m->mem.ropes && i < m->p.n_ropes; i++) o->free_rope(m->b, &m->mem.ropes[i]);
    for (int i = 0; m->mem.caches && i < m->p.n_caches; i++) {
        close_part(m->b, &m->mem.caches[i].k);
        close_part(m->b, &m->mem.caches[i].v);
    }
    for (int i = 0; m->mem.states && m->kept && i < m->p.n_states; i++) {
        close_state(m, &m->mem.states[i]);
        close_state(m, &m->kept[i]);
    }
    for (int i = 0; m->mem.weights && i < m->p.n_weights; i++)
        if (is_tied(m, i) || m->loan.weights) memset(&m->mem.weights[i], 0, sizeof m->mem.weights[i]);
    for (int i = 0; m->mem.weights && i < m->p.n_weights; i++) o->free_weight(m->b, &m->mem.weights[i]);
    for (int i = 0; m->inv_freq && i < m->p.n_ropes; i++) free(m->inv_freq[i]);
    for (int i = 0; m->cast && i < m->p.n_weights; i++) free(m->cast[i]);
    free(m->mem.buffers);
    free(m->mem.weights);
    free(m->mem.caches);
    free(m->mem.states);
    free(m->kept);
    free(m->cast);
    free(m->mem.ropes);
    free(m->inv_freq);
}

// ---- counting -------------------------------------------------------------------------------------------------------

static int64_t bytes_of(const weight *w)
{
    int64_t row;
    return w->data && dtype_row_bytes(w->type, w->cols, &row) ? row * w->rows : 0;
}

int64_t net_step_weight_bytes(const net *m)
{
    // Of the embedding tables a step reads one row each; a tied output product reads the whole of token_embd, as
    // `output`. Of experts it reads those that the token goes to.
    int64_t sum = 0;
    for (int i = 0; i < m->p.n_weights; i++) {
        const program_weight *w = &m->p.weights[i];
        const int64_t bytes = bytes_of(&m->mem.weights[i]);
        sum += w->by_rows ? bytes / w->rows : w->experts ? bytes / w->experts * w->used : bytes;
    }
    return sum;
}

int64_t net_weight_bytes(const net *m)
{
    int64_t sum = 0;
    for (int i = 0; i < m->p.n_weights; i++)
        if (!is_tied(m, i)) sum += bytes_of(&m->mem.weights[i]);
    return sum;
}

int64_t net_state_bytes(const net *m)
{
    int64_t floats = 0;
    for (int i = 0; i < m->p.n_states; i++) floats += m->p.states[i].conv_floats + m->p.states[i].s_floats;
    return floats * (int64_t)sizeof(float);
}

int64_t net_scratch_bytes(const net *m) { return m->scratch_bytes; }
double net_load_seconds(const net *m) { return m->load_seconds; }
