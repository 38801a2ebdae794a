// ops_cache: what is kept of keys and values, and what queries see of it, on the CPU. See op.h and kv_layer.h.
#include "ops.h"
#include "../../quant/codec.h"
#include "../../quant/kivi.h"
#include <omp.h>

bool cpu_run_hadamard(const call *k, err *e)
{
    float *x = at(k, k->o->out[0]);
    const int dim = k->o->dim;
    const int64_t heads = (int64_t)k->a->n * k->o->rows;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (heads * dim > PARALLEL_FLOATS)
    for (int64_t i = 0; i < heads; i++) k->c->k->hadamard(x + i * dim, dim, k->o->block, k->round && !k->o->unrounded);
    return true;
}

// ---- storing --------------------------------------------------------------------------------------------------------

typedef struct {                // one side of a batch
    const call     *k;
    const kv_layer *kv;
    const kv_part  *part;
    const float    *x;          // [n][n_kv_head * head_dim]
} side;

static bool unfit(const char *type, int64_t pos, const char *why, err *e)
{
    return err_set(e, ERR_SYSTEM, "KV cache: position %lld does not fit %s: %s", (long long)pos, type, why);
}

static bool unfit_kivi(const kv_part *part, int64_t pos, err *e)
{
    return unfit(kv_trait_of(part->how.type)->name, pos, "a value, or a group's range, is beyond F16", e);
}

static bool store_row(void *dst, const float *x, int64_t dim, dtype type, int64_t pos, err *e)
{
    err why = { 0 };
    return codec_of_cache(type)->encode_row(dst, x, dim, NULL, &why) || unfit(dtype_name(type), pos, why.msg, e);
}

// A position's unit in the store.
static bool store_unit(const side *s, const float *x, int64_t pos, err *e)
{
    const kv_trait *t = kv_trait_of(s->part->how.type);
    const int dim = s->kv->head_dim, heads = s->kv->n_kv_head;
    uint8_t *unit = (uint8_t *)s->part->data + pos % s->part->units * s->part->unit;
    if (t->bits == 0) return store_row(unit, x, (int64_t)heads * dim, t->type, pos, e);
    for (int h = 0; h < heads; h++)
        if (!kivi_encode_values(unit + h * (s->part->unit / heads), x + h * dim, dim, s->part->how.group, t->bits))
            return unfit_kivi(s->part, pos, e);
    return true;
}

static bool store_whole(const side *s, const float *x, int64_t pos, err *e)
{
    const kv_part *p = s->part;
    const int64_t dim = (int64_t)s->kv->n_kv_head * s->kv->head_dim;
    uint8_t *newest = p->newest_data, *first = p->sink_data;
    if (p->ring > 0 && !store_row(newest + pos % p->ring * p->whole_row, x, dim, p->whole, pos, e)) return false;
    return pos >= p->sinks || store_row(first + pos * p->whole_row, x, dim, p->whole, pos, e);
}

// One head of a group's positions, from the ring: [g][head_dim] F32.
static void gather_group(const side *s, int64_t group, int head, float *to)
{
    const kv_part *p = s->part;
    const int dim = s->kv->head_dim, g = p->how.group;
    const int64_t off = head * (p->whole_row / s->kv->n_kv_head);
    for (int t = 0; t < g; t++) {
        const int64_t pos = group * g + t;
        const uint8_t *from = (const uint8_t *)p->newest_data + pos % p->ring * p->whole_row + off;
        s->k->c->k->decode_row(to + (int64_t)t * dim, from, dim, p->whole);
    }
}

#ifdef HALLMARK_FAULTS
// Codes by the scales and zeros of another head. x: [g][head_dim], scratch.
static void code_as_first_head(const side *s, int64_t group, int head, uint8_t *to, float *x)
{
    const kv_side *how = &s->part->how;
    const int dim = s->kv->head_dim, bits = kv_trait_of(how->type)->bits;
    gather_group(s, group, 0, x);
    kivi_encode_keys(to, x, dim, how->group, bits);
    gather_group(s, group, head, x);
    kivi_code_keys(to, x, dim, how->group, bits);
}
#endif

// The groups that end in this batch. A group that began before it is whole in the ring.
static bool store_groups(const side *s, err *e)
{
    const kv_part *p = s->part;
    const int g = p->how.group, heads = s->kv->n_kv_head, dim = s->kv->head_dim, bits = kv_trait_of(p->how.type)->bits;
    const int64_t first = s->k->a->pos0 / g, n = ((s->k->a->pos0 + s->k->a->n) / g - first) * heads;
    int64_t bad = INT64_MAX;
    if (!cpu_need_scratch(s->k->c, (int64_t)g * dim, e)) return false;
#pragma omp parallel for num_threads(s->k->c->n_threads) schedule(static) reduction(min : bad) \
    if (n * g * dim > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i++) {
        const int64_t group = first + i / heads, head = i % heads;
        float *x = s->k->c->scratch[omp_get_thread_num()];
        uint8_t *to = (uint8_t *)p->data + group % p->units * p->unit + head * (p->unit / heads);
        gather_group(s, group, (int)head, x);
        if (!kivi_encode_keys(to, x, dim, g, bits) && group < bad) bad = group;
#ifdef HALLMARK_FAULTS
        if (s->k->c->base.fault == FAULT_GROUP_OF_ALL_HEADS) code_as_first_head(s, group, (int)head, to, x);
#endif
    }
    return bad == INT64_MAX || unfit_kivi(p, (bad + 1) * g - 1, e);
}

static bool store_position(const side *s, int token, err *e)
{
    const float *x = s->x + (int64_t)token * s->kv->n_kv_head * s->kv->head_dim;
    const int64_t pos = s->k->a->pos0 + token;
    if (!s->part->by_tokens && !store_unit(s, x, pos, e)) return false;
    return store_whole(s, x, pos, e);
}

bool cpu_run_store(const call *k, err *e)
{
    const kv_layer *kv = &k->m->caches[k->o->cache];
    const side keys = { .k = k, .kv = kv, .part = &kv->k, .x = at(k, k->o->in[0]) };
    const side values = { .k = k, .kv = kv, .part = &kv->v, .x = at(k, k->o->in[1]) };
    for (int t = 0; t < k->a->n; t++) {
        if (!store_position(&keys, t, e)) return false;
        if (!store_position(&values, t, e)) return false;
    }
    if (kv->k.by_tokens && !store_groups(&keys, e)) return false;
    return !kv->v.by_tokens || store_groups(&values, e);
}

// ---- attention ------------------------------------------------------------------------------------------------------

// A fault is planted into the plain version alone.
static bool attend_one_by_one(const call *k, const attention_args *a, int64_t visible, int64_t n_scores, err *e)
{
    cpu_backend *c = k->c;
    const int hd = a->kv->head_dim, group = a->n_head / a->kv->n_kv_head, row_floats = (1 + REDUCE_LANES) * hd;
    if (!cpu_need_scratch(c, n_scores + row_floats, e)) return false;
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1) \
    if ((int64_t)a->n * a->n_head * visible * hd > PARALLEL_FLOATS)
    for (int64_t i = 0; i < (int64_t)a->n * a->n_head; i++) {
        const int64_t hi = a->pos0 + i / a->n_head;
        const int64_t lo = a->window > 0 && hi - a->window + 1 > 0 ? hi - a->window + 1 : 0;
        float *row = c->scratch[omp_get_thread_num()], *scores = row + row_floats;
        c->k->attend(a->out + i * hd, a->q + i * hd, a, (int)(i % a->n_head) / group, lo, hi, k->round, scores, row,
                     c->base.fault);
    }
    return true;
}

// How a batch's queries are cut into panels: heads of one K/V head, tokens; so that every thread has one where it can.
typedef struct {
    int heads, tokens;              // of a panel, at most
    int by_head, by_token;          // panels of one K/V head's queries of one token; of the tokens
} panel_cut;

// Partial sums of all a panel's queries pass through the second-level cache at each tile of keys: wide heads have
// fewer. And so has a long context, whose scores are each thread's own: four megabytes of them, or one query's.
enum { PANEL_FLOATS = 4096, PANEL_LEAST = 8, PANEL_SCORES = 1 << 20 };

static int panel_queries(int head_dim, int64_t n_scores)
{
    const int n = PANEL_FLOATS / head_dim, wide = n > PANEL_QUERIES ? PANEL_QUERIES : n < PANEL_LEAST ? PANEL_LEAST : n;
    const int64_t room = PANEL_SCORES / n_scores;
    return room < 1 ? 1 : room < wide ? (int)room : wide;
}

static panel_cut cut_panels(const kv_layer *kv, int group, int n, int n_threads, int64_t n_scores)
{
    const int most = panel_queries(kv->head_dim, n_scores), n_kv_head = kv->n_kv_head;
    panel_cut c = { .heads = group < most ? group : most };
    while (n == 1 && c.heads > 1 && n_kv_head * ((group + c.heads - 1) / c.heads) < n_threads)
        c.heads = (c.heads + 1) / 2;
    c.by_head = (group + c.heads - 1) / c.heads;
    const int share = (int)(((int64_t)n * n_kv_head * c.by_head + n_threads - 1) / n_threads);
    c.tokens = most / c.heads;
    if (c.tokens > share) c.tokens = share;
    if (c.tokens > n) c.tokens = n;
    c.by_token = (n + c.tokens - 1) / c.tokens;
    return c;
}

static query_panel panel_at(const panel_cut *c, int group, int n_kv_head, int n, int64_t i)
{
    const int token = (int)(i / ((int64_t)n_kv_head * c->by_head)) * c->tokens;
    const int rest = (int)(i % ((int64_t)n_kv_head * c->by_head));
    const int kv_head = rest / c->by_head, head = rest % c->by_head * c->heads;
    return (query_panel){ .kv_head = kv_head, .head = kv_head * group + head, .token = token,
                          .n_heads = group - head < c->heads ? group - head : c->heads,
                          .n_tokens = n - token < c->tokens ? n - token : c->tokens };
}

bool cpu_run_attend(const call *k, err *e)
{
    cpu_backend *c = k->c;
    const kv_layer *kv = &k->m->caches[k->o->cache];
    const attention_args a = { .q = at(k, k->o->in[0]), .out = at(k, k->o->out[0]), .kv = kv, .n = k->a->n,
                               .n_head = k->o->rows, .pos0 = k->a->pos0, .window = k->o->window,
                               .scale = k->o->scale, .softcap = k->o->cap, .unrounded = k->o->unrounded };
    const int group = a.n_head / kv->n_kv_head;
    int64_t visible = a.pos0 + a.n;
    if (a.window > 0 && a.window < visible) visible = a.window;
    // Rounded up, so that a growing context does not reallocate at every token.
    const int64_t n_scores = (visible + 1023) / 1024 * 1024 + 16;
    if (c->base.fault != FAULT_NONE) return attend_one_by_one(k, &a, visible, n_scores, e);
    const panel_cut cut = cut_panels(kv, group, a.n, c->n_threads, n_scores);
    const int64_t n_panels = (int64_t)cut.by_token * kv->n_kv_head * cut.by_head;
    if (!cpu_need_scratch(c, panel_floats(cut.heads * cut.tokens, n_scores, kv->head_dim), e)) return false;
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1) \
    if ((int64_t)a.n * a.n_head * visible * kv->head_dim > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n_panels; i++) {
        const query_panel p = panel_at(&cut, group, kv->n_kv_head, a.n, i);
        c->k->attend_panel(&a, &p, k->round, c->scratch[omp_get_thread_num()], n_scores);
    }
    return true;
}
