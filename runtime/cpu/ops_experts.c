// ops_experts: choosing experts, products of the chosen, and joining their answers, on the CPU; gates. See op.h.
#include "ops.h"
#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

bool cpu_run_gate(const call *k, err *e)
{
    const op *o = k->o;
    float *dst = at(k, o->out[0]);
    const float *x = at(k, o->in[0]), *g = at(k, o->in[1]);
    const int64_t rows = (int64_t)k->a->n * o->rows, dim = o->dim;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (rows * dim > PARALLEL_FLOATS)
    for (int64_t r = 0; r < rows; r++) {
        float *to = dst + row_at(k, o->out[0], r);
        const float *from = x + row_at(k, o->in[0], r), *by = g + row_at(k, o->in[1], r);
        if (o->in[1].one) k->c->k->gate_one(to, from, *by, dim, k->round);
        else              k->c->k->gate(to, from, by, dim, k->round);
    }
    return true;
}

bool cpu_run_route(const call *k, err *e)
{
    const op *o = k->o;
    const weight *w = weight_of(k, 0);
    const float *scores = at(k, o->in[0]);
    float *weights = at(k, o->out[0]), *ids = at(k, o->out[1]);
    assert(o->slots <= OP_SLOTS && o->slots <= o->experts);
    if (!cpu_need_scratch(k->c, o->experts, e)) return false;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) \
    if ((int64_t)k->a->n * o->experts * o->slots > PARALLEL_FLOATS)
    for (int t = 0; t < k->a->n; t++) {
        float *p = k->c->scratch[omp_get_thread_num()];
        memcpy(p, scores + (int64_t)t * o->in[0].row, (size_t)o->experts * sizeof *p);
        const route_args a = { .weights = weights + (int64_t)t * o->out[0].row,
                               .ids = ids + (int64_t)t * o->out[1].row, .p = p,
                               .scale = w ? w->data : NULL, .experts = o->experts, .slots = o->slots,
                               .renorm = o->renorm, .ties_high = o->ties_high };
        k->c->k->route(&a, k->round && o->round_weights);
    }
    return true;
}

// ---- products of experts --------------------------------------------------------------------------------------------

// (token, slot) pairs in ascending order of expert: those of expert e are pairs first[e] .. first[e + 1] - 1.
typedef struct { int32_t *first, *pair, *hit; int n_hit; } by_expert;

static int expert_of(const call *k, const float *ids, int64_t pair)
{
    const int id = (int)ids[pair / k->o->slots * k->o->in[1].row + pair % k->o->slots];
    assert(id >= 0 && id < k->o->experts);
    return id;
}

// Counted and put down: a row of weights is decoded once for all pairs that it sees.
static void sort_pairs(const call *k, by_expert *s)
{
    const float *ids = at(k, k->o->in[1]);
    const int64_t n = (int64_t)k->a->n * k->o->slots;
    memset(s->first, 0, ((size_t)k->o->experts + 2) * sizeof *s->first);
    // Counts two places on, so that after the sums first[e + 1] is where the next pair of e goes, and in the end where
    // e's pairs end.
    for (int64_t i = 0; i < n; i++) s->first[expert_of(k, ids, i) + 2]++;
    s->n_hit = 0;
    for (int x = 0; x < k->o->experts; x++) {
        if (s->first[x + 2] > 0) s->hit[s->n_hit++] = x;
        s->first[x + 2] += s->first[x + 1];
    }
    for (int64_t i = 0; i < n; i++) s->pair[s->first[expert_of(k, ids, i) + 1]++] = (int32_t)i;
}

// Where the input or the answer of a pair lies, from token 0 of its operand on.
static int64_t pair_at(const call *k, view v, int64_t head, int64_t pair)
{
    return pair / k->o->slots * v.row + pair % k->o->slots * head;
}

typedef struct {
    const call *k;
    by_expert   s;
    float      *in, *out;           // [pairs][cols], [pairs][rows], in the order of s
    weight      w;                  // of one expert: data is the first's
    int64_t     bytes, out_head;    // of one expert; floats between slots
} experts_job;

static void copy_pairs(const experts_job *j, bool back)
{
    const call *k = j->k;
    const int64_t n = (int64_t)k->a->n * k->o->slots;
    float *x = at(k, k->o->in[0]), *y = at(k, k->o->out[0]);
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const int64_t p = j->s.pair[i];
        if (back)
            memcpy(y + pair_at(k, k->o->out[0], j->out_head, p), j->out + i * j->w.rows, (size_t)j->w.rows * sizeof *y);
        else      memcpy(j->in + i * j->w.cols, x + pair_at(k, k->o->in[0], k->o->in[0].head, p),
                         (size_t)j->w.cols * sizeof *x);
    }
}

// Rows of one expert go to threads in chunks, as those of run_linear.
static void multiply(const experts_job *j)
{
    const call *k = j->k;
    const int64_t chunk = 48, n_chunks = (j->w.rows + chunk - 1) / chunk, n = j->s.n_hit * n_chunks;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(dynamic, 1) \
    if (j->w.rows * j->w.cols * k->o->slots > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i++) {
        const int x = j->s.hit[i / n_chunks];
        const int64_t r0 = i % n_chunks * chunk, r1 = r0 + chunk < j->w.rows ? r0 + chunk : j->w.rows,
            from = j->s.first[x];
        weight w = j->w;
        w.data = (const uint8_t *)j->w.data + x * j->bytes;
        k->c->k->matmul(j->out + from * w.rows, w.rows, &w, r0, r1, j->in + from * w.cols,
                        (int)(j->s.first[x + 1] - from), k->round,
                        k->c->scratch[omp_get_thread_num()]);
    }
}

bool cpu_run_linear_id(const call *k, err *e)
{
    const weight *all = weight_of(k, 0);
    const int64_t n = (int64_t)k->a->n * k->o->slots, rows = all->rows / k->o->experts;
    int64_t row_bytes;
    if (!dtype_row_bytes(all->type, all->cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows do not divide into blocks", all->name);
    const int64_t tables = 2 * ((int64_t)k->o->experts + 2) + n;
    if (!cpu_need_shared(k->c, n * (all->cols + rows) + tables, e)) return false;
    experts_job j = { .k = k, .in = k->c->shared, .out = k->c->shared + n * all->cols, .w = *all,
                      .bytes = rows * row_bytes,
                      .out_head = k->o->out[0].head ? k->o->out[0].head : rows };
    j.w.rows = rows;
    j.s.first = (int32_t *)(void *)(j.out + n * rows);
    j.s.hit = j.s.first + k->o->experts + 2;
    j.s.pair = j.s.hit + k->o->experts + 2;
    sort_pairs(k, &j.s);
    copy_pairs(&j, false);
    multiply(&j);
    copy_pairs(&j, true);
    return true;
}

bool cpu_run_join(const call *k, err *e)
{
    const op *o = k->o;
    float *dst = at(k, o->out[0]);
    const float *x = at(k, o->in[0]), *weights = at(k, o->in[1]);
    const int64_t dim = o->dim, head = o->in[0].head ? o->in[0].head : dim;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (k->a->n * dim * o->slots > PARALLEL_FLOATS)
    for (int t = 0; t < k->a->n; t++) {
        float *to = dst + (int64_t)t * o->out[0].row;
        memset(to, 0, (size_t)dim * sizeof *to);
        for (int s = 0; s < o->slots; s++)
            k->c->k->axpy(to, weights[(int64_t)t * o->in[1].row + s], x + (int64_t)t * o->in[0].row + s * head, dim,
                          k->round);
    }
    return true;
}
