// ops: the operations of op.h on the CPU, one function each; the twin of every other backend's. Each is one parallel
// loop over rows, heads or runs, none of which shares a sum with another. Coarse operations are left to their
// expansions.
#include "ops.h"
#include "../argmax.h"
#include <assert.h>
#include <omp.h>
#include <stdlib.h>

enum { RUN_FLOATS = 1 << 12 };

static bool run_embed(const call *k, err *e)
{
    const weight *w = weight_of(k, 0);
    float *dst = at(k, k->o->out[0]);
    int64_t row_bytes;
    if (!dtype_row_bytes(w->type, w->cols, &row_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows do not divide into blocks", w->name);
    // Gemma*TextScaledWordEmbedding casts its scale to the weight's dtype: sqrt(3072) = 55.4256 becomes 55.5 in BF16.
    const float s = k->round ? f32_from_bf16(bf16_from_f32(k->o->scale)) : k->o->scale;
    const int n = k->a->n;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (n * w->cols > PARALLEL_FLOATS)
    for (int t = 0; t < n; t++) {
        k->c->k->decode_row(dst + t * w->cols, (const uint8_t *)w->data + k->a->ids[t] * row_bytes, w->cols, w->type);
        k->c->k->scale(dst + t * w->cols, s, w->cols, k->round);
    }
    return true;
}

static bool run_norm(const call *k, err *e)
{
    const weight *w = weight_of(k, 0);
    const float *x = at(k, k->o->in[0]);
    float *dst = at(k, k->o->out[0]);
    const int dim = k->o->dim;
    const int64_t rows = (int64_t)k->a->n * k->o->rows;
    if (w && (w->type != DT_F32 || w->cols != dim))
        return err_set(e, ERR_INPUT, "tensor '%s': expected a norm of %d F32, found %lld %s", w->name, dim,
                       (long long)w->cols, dtype_name(w->type));
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (rows * dim > PARALLEL_FLOATS)
    for (int64_t r = 0; r < rows; r++)
        k->c->k->rms_norm(dst + row_at(k, k->o->out[0], r), x + row_at(k, k->o->in[0], r),
                          w ? (const float *)w->data : NULL, dim, k->o->eps,
                          k->round, k->o->round_first);
    return true;
}

static bool run_linear(const call *k, err *e)
{
    const weight *w = weight_of(k, 0);
    const float *x = at(k, k->o->in[0]);
    float *dst = at(k, k->o->out[0]);
    const int n = k->a->n;
    const float *bias = k->o->bias[0] < 0 ? NULL : k->m->weights[k->o->bias[0]].data;
    const bool round = k->round && !bias;       // with a bias the sum of both is rounded
    // Rows go to threads in chunks of whole tiles; small enough to balance, large enough to stream.
    const int64_t chunk = 48;
    const int64_t n_chunks = (w->rows + chunk - 1) / chunk;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (w->rows * w->cols * n > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n_chunks; i++) {
        const int64_t r0 = i * chunk, r1 = r0 + chunk < w->rows ? r0 + chunk : w->rows;
        k->c->k->matmul(dst, w->rows, w, r0, r1, x, n, round, k->c->scratch[omp_get_thread_num()]);
        for (int t = 0; bias && t < n; t++)
            k->c->k->add(dst + t * w->rows + r0, dst + t * w->rows + r0, bias + r0, r1 - r0, k->round);
    }
    return true;
}

// One call of a run kernel over the operation's floats, cut into runs for the threads.
#define RUNS(call)                                                                                      \
    const int64_t n = (int64_t)k->a->n * k->o->rows * k->o->dim;                                        \
    _Pragma("omp parallel for num_threads(k->c->n_threads) schedule(static) if (n > PARALLEL_FLOATS)")  \
    for (int64_t i = 0; i < n; i += RUN_FLOATS) {                                                       \
        const int64_t len = n - i < RUN_FLOATS ? n - i : RUN_FLOATS;                                    \
        call;                                                                                           \
    }                                                                                                   \
    return true

static bool run_add(const call *k, err *e)
{
    float *dst = at(k, k->o->out[0]);
    const float *x = at(k, k->o->in[0]), *y = at(k, k->o->in[1]);
    RUNS(k->c->k->add(dst + i, x + i, y + i, len, k->round));
}

static bool run_scale(const call *k, err *e)
{
    float *x = at(k, k->o->out[0]);
    RUNS(k->c->k->scale(x + i, k->o->scale, len, k->round));
}

static bool run_act(const call *k, err *e)
{
    const cpu_kernels *c = k->c->k;
    void (*const act)(float *, int64_t, bool) = k->o->act == ACT_SILU ? c->silu : k->o->act == ACT_SIGMOID
        ? c->sigmoid : c->gelu;
    float *x = at(k, k->o->out[0]);
    RUNS(act(x + i, len, k->round));
}

typedef void (*act_mul_fn)(float *gate, const float *up, int64_t n, bool round);

static act_mul_fn act_mul_of(const call *k)
{
    if (k->o->whole) return k->c->k->swiglu_whole;
    return k->o->act == ACT_SILU ? k->c->k->swiglu : k->c->k->geglu;
}

// Rows that lie apart, one by one.
static bool act_mul_rows(const call *k, act_mul_fn act)
{
    float *gate = at(k, k->o->out[0]);
    const float *up = at(k, k->o->in[0]);
    const int64_t rows = (int64_t)k->a->n * k->o->rows, dim = k->o->dim;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (rows * dim > PARALLEL_FLOATS)
    for (int64_t r = 0; r < rows; r++)
        act(gate + row_at(k, k->o->out[0], r), up + row_at(k, k->o->in[0], r), dim, k->round);
    return true;
}

static bool run_act_mul(const call *k, err *e)
{
    const act_mul_fn act = act_mul_of(k);
    assert(k->o->act != ACT_SIGMOID && (!k->o->whole || k->o->act == ACT_SILU));
    if (k->o->out[0].head || k->o->in[0].head) return act_mul_rows(k, act);
    float *gate = at(k, k->o->out[0]);
    const float *up = at(k, k->o->in[0]);
    RUNS(act(gate + i, up + i, len, k->round));
}

static bool run_softcap(const call *k, err *e)
{
    float *x = at(k, k->o->out[0]);
    RUNS(k->c->k->softcap(x + i, k->o->cap, len, k->round));
}

static bool run_mul(const call *k, err *e)
{
    float *dst = at(k, k->o->out[0]);
    const float *x = at(k, k->o->in[0]), *y = k->o->w[0] >= 0 ? weight_of(k, 0)->data : at(k, k->o->in[1]);
    const int64_t dim = k->o->dim, stride = k->o->w[0] >= 0 ? 0 : k->o->in[1].row;
    for (int t = 0; t < k->a->n; t++) k->c->k->mul(dst + t * dim, x + t * dim, y + t * stride, dim, k->round);
    return true;
}

static bool run_rotate(const call *k, err *e)
{
    const rope *r = &k->m->ropes[k->o->rope];
    float *x = at(k, k->o->out[0]);
    const int half = r->head_dim / 2, n_head = k->o->rows, dim = k->o->dim;
    const float *table = r->dev;
    void (*const turn)(float *, const float *, const float *, int, bool) = k->o->neighbours ? k->c->k->rotate_pairs
                                                                                            : k->c->k->rotate;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) \
    if ((int64_t)k->a->n * n_head * dim > PARALLEL_FLOATS)
    for (int64_t i = 0; i < (int64_t)k->a->n * n_head; i++) {
        const float *cs = table + (k->a->pos0 + i / n_head) * 2 * half;
        turn(x + i * dim, cs, cs + half, r->head_dim, k->round);
    }
    return true;
}

static bool run_argmax(const call *k, err *e)
{
    *k->a->chosen = argmax_f32(at(k, k->o->in[0]), k->o->dim);
    return true;
}

static bool run_mark(const call *k, err *e) { return true; }

static const run_fn runs[N_OP_KINDS] = {
    [OP_EMBED] = run_embed,
    [OP_NORM] = run_norm,
    [OP_LINEAR] = run_linear,
    [OP_ADD] = run_add,
    [OP_MUL] = run_mul,
    [OP_SCALE] = run_scale,
    [OP_ACT] = run_act,
    [OP_ACT_MUL] = run_act_mul,
    [OP_SOFTCAP] = run_softcap,
    [OP_ROTATE] = run_rotate,
    [OP_STORE] = cpu_run_store,
    [OP_ATTEND] = cpu_run_attend,
    [OP_HADAMARD] = cpu_run_hadamard,
    [OP_MARK] = run_mark,
    [OP_ARGMAX] = run_argmax,
    [OP_GATE] = cpu_run_gate,
    [OP_ROUTE] = cpu_run_route,
    [OP_LINEAR_ID] = cpu_run_linear_id,
    [OP_JOIN] = cpu_run_join,
    [OP_L2NORM] = cpu_run_l2norm,
    [OP_CONV] = cpu_run_conv,
    [OP_DECAY] = cpu_run_decay,
    [OP_DELTA] = cpu_run_delta,
};

bool cpu_has(const backend *b, const op *o, const op_memory *m, bool one_token)
{
    const bool many = (o->kind == OP_LINEAR || o->kind == OP_LINEAR_ID) && o->w[1] >= 0;
    return runs[o->kind] != NULL && !many;
}

bool cpu_run(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e)
{
    call k = { .c = (cpu_backend *)b, .m = m, .a = a, .round = b->arith == ARITH_BF16 };
    for (int i = 0; i < n_ops; i++) {
        k.o = &list[i];
        assert(cpu_has(b, k.o, m, a->n == 1));
        if (!runs[k.o->kind](&k, e)) return false;
    }
    return true;
}
