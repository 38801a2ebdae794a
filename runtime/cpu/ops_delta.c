// ops_delta: what layers with a state do between products, on the CPU. See op.h.
#include "ops.h"
#include <assert.h>
#include <omp.h>
#include <stdlib.h>

// Is the state zeros, whatever lies there?
static bool is_anew(const call *k) { return k->a->pos0 == 0 && !k->o->keeps_state; }

bool cpu_run_l2norm(const call *k, err *e)
{
    const op *o = k->o;
    const float *x = at(k, o->in[0]);
    float *dst = at(k, o->out[0]);
    const int64_t rows = (int64_t)k->a->n * o->rows;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (rows * o->dim > PARALLEL_FLOATS)
    for (int64_t r = 0; r < rows; r++)
        k->c->k->l2norm(dst + row_at(k, o->out[0], r), x + row_at(k, o->in[0], r), o->dim, o->eps);
    return true;
}

bool cpu_run_conv(const call *k, err *e)
{
    const op *o = k->o;
    const weight *w = weight_of(k, 0);
    if (w->type != DT_F32 || w->rows != o->dim || w->cols < 2 || w->cols > OP_TAPS)
        return err_set(e, ERR_INPUT,
                       "tensor '%s': expected a convolution of %d channels in F32, found [%lld][%lld] %s", w->name,
                       o->dim,
                       (long long)w->rows, (long long)w->cols, dtype_name(w->type));
    const conv_args a = { .x = at(k, o->in[0]), .w = w->data, .y = at(k, o->out[0]),
                          .state = k->m->states[o->state].conv, .x_row = o->in[0].row,
                          .y_row = o->out[0].row, .channels = o->dim, .n = k->a->n, .taps = (int)w->cols,
                          .anew = is_anew(k), .late = o->late };
    const int64_t chunk = 64, n_chunks = (o->dim + chunk - 1) / chunk;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) if (a.n * a.channels > PARALLEL_FLOATS)
    for (int64_t i = 0; i < n_chunks; i++)
        k->c->k->conv(&a, i * chunk, (i + 1) * chunk < a.channels ? (i + 1) * chunk : a.channels, k->round);
    return true;
}

bool cpu_run_decay(const call *k, err *e)
{
    const op *o = k->o;
    const float *x = at(k, o->in[0]), *a = weight_of(k, 0)->data, *bias = weight_of(k, 1)->data;
    float *dst = at(k, o->out[0]);
    for (int t = 0; t < k->a->n; t++)
        k->c->k->decay(dst + (int64_t)t * o->out[0].row, x + (int64_t)t * o->in[0].row, a, bias, o->scale, o->dim);
    return true;
}

// Block b of sixteen columns of head h.
static delta_args delta_block(const call *k, int h, int b)
{
    const op *o = k->o;
    const int64_t column = (int64_t)h * o->dim + b * 16, keys = (int64_t)o->kv_rows * o->key_dim;
    const int from = o->grouped ? h / (o->rows / o->kv_rows) : h % o->kv_rows;
    const float *in = at(k, o->in[0]);
    return (delta_args){
        .q = in + (int64_t)from * o->key_dim, .k = in + keys + (int64_t)from * o->key_dim, .v = in + 2 * keys + column,
        .beta = at(k, o->in[1]) + h, .decay = at(k, o->in[2]) + h, .out = at(k, o->out[0]) + column,
        .s = k->m->states[o->state].s + (int64_t)h * o->key_dim * o->dim + b * 16, .in_row = o->in[0].row,
        .beta_row = o->in[1].row,
        .decay_row = o->in[2].row, .out_row = o->out[0].row, .dim = o->dim, .n = k->a->n, .key_dim = o->key_dim,
        .width = o->dim - b * 16 < 16 ? o->dim - b * 16 : 16, .scale = o->scale, .anew = is_anew(k),
    };
}

bool cpu_run_delta(const call *k, err *e)
{
    const op *o = k->o;
    const int n_blocks = (o->dim + 15) / 16;
    if (!cpu_need_scratch(k->c, (int64_t)o->key_dim * 16, e)) return false;
#pragma omp parallel for num_threads(k->c->n_threads) schedule(static) \
    if ((int64_t)k->a->n * o->rows * o->dim * o->key_dim > PARALLEL_FLOATS)
    for (int i = 0; i < o->rows * n_blocks; i++) {
        delta_args a = delta_block(k, i / n_blocks, i % n_blocks);
        a.kept = k->c->scratch[omp_get_thread_num()];
        k->c->k->delta(&a, k->round);
    }
    return true;
}
