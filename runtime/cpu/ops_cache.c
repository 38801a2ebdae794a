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

bool cpu_run_attend(const call *k, err *e)
{
    cpu_backend *c = k->c;
    const kv_layer *kv = &k->m->caches[k->o->cache];
    const attention_args a = { .q = at(k, k->o->in[0]), .out = at(k, k->o->out[0]), .kv = kv, .n = k->a->n,
                               .n_head = k->o->rows, .pos0 = k->a->pos0, .window = k->o->window,
                               .scale = k->o->scale, .softcap = k->o->cap, .unrounded = k->o->unrounded };
    const int hd = kv->head_dim, group = a.n_head / kv->n_kv_head;
    int64_t visible = a.pos0 + a.n;
    if (a.window > 0 && a.window < visible) visible = a.window;
    // Rounded up, so that a growing context does not reallocate at every token.
    const int row_floats = (1 + REDUCE_LANES) * hd;
    if (!cpu_need_scratch(c, (visible + 1024) / 1024 * 1024 + 16 + row_floats, e)) return false;
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1) \
    if ((int64_t)a.n * a.n_head * visible * hd > PARALLEL_FLOATS)
    for (int64_t i = 0; i < (int64_t)a.n * a.n_head; i++) {
        const int64_t hi = a.pos0 + i / a.n_head;
        const int64_t lo = a.window > 0 && hi - a.window + 1 > 0 ? hi - a.window + 1 : 0;
        float *row = c->scratch[omp_get_thread_num()], *scores = row + row_floats;
        c->k->attend(a.out + i * hd, a.q + i * hd, &a, (int)(i % a.n_head) / group, lo, hi, k->round, scores, row,
                     c->base.fault);
    }
    return true;
}
