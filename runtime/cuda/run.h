// run: what the files that launch operations share (run.c, run_experts.c). Private to runtime/cuda.
#ifndef HALLMARK_RUNTIME_CUDA_RUN_H
#define HALLMARK_RUNTIME_CUDA_RUN_H

#include "backend_cuda.h"

// What one operation runs on.
typedef struct {
    cuda_backend    *c;
    const op        *o;
    const op_memory *m;
    const op_args   *a;
} call;

static inline const weight *weight_of(const call *k, int i)
{
    return k->o->w[i] < 0 ? NULL : &k->m->weights[k->o->w[i]];
}
static inline float *at(const call *k, view v) { return op_at(k->m, k->a, v); }

static inline gpu_matrix matrix_of(const weight *w)
{
    return (gpu_matrix){ .type = w->type, .data = w->data, .rows = w->rows, .cols = w->cols };
}

// The values of a weight of one row; NULL: there is none.
static inline const float *values_of(const call *k, int i) { return weight_of(k, i) ? weight_of(k, i)->data : NULL; }

// An operand with `rows` rows a token.
static inline gpu_rows rows_at(const call *k, view v)
{
    return (gpu_rows){ .p = at(k, v), .row = v.row, .head = v.one ? 1 : v.head ? v.head : k->o->dim };
}

bool cuda_run_gate(const call *k, err *e);
bool cuda_run_route(const call *k, err *e);
bool cuda_run_linear_id(const call *k, err *e);
bool cuda_run_join(const call *k, err *e);
bool cuda_run_conv(const call *k, err *e);
bool cuda_run_decay(const call *k, err *e);
bool cuda_run_delta(const call *k, err *e);

// Can the matrices of an OP_LINEAR_ID with two go to one launch?
bool cuda_experts_alike(const op *o, const op_memory *m);

#endif
