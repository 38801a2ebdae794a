// ops: what the files of the CPU's operations share (ops.c, ops_cache.c, ops_experts.c, ops_delta.c).
#ifndef HALLMARK_RUNTIME_CPU_OPS_H
#define HALLMARK_RUNTIME_CPU_OPS_H

#include "backend_cpu.h"

// What one operation runs on.
typedef struct {
    cpu_backend     *c;
    const op        *o;
    const op_memory *m;
    const op_args   *a;
    bool             round;
} call;

// A run this long is worth waking the other threads for.
enum { PARALLEL_FLOATS = 1 << 15 };

static inline const weight *weight_of(const call *k, int i)
{
    return k->o->w[i] < 0 ? NULL : &k->m->weights[k->o->w[i]];
}

// Token 0 of an operand.
static inline float *at(const call *k, view v) { return op_at(k->m, k->a, v); }

// Floats from token 0 to row r, counted through all tokens, of an operand with `rows` rows a token.
static inline int64_t row_at(const call *k, view v, int64_t r)
{
    const int64_t n = k->o->rows, head = v.one ? 1 : v.head ? v.head : k->o->dim;
    return r / n * v.row + r % n * head;
}

typedef bool (*run_fn)(const call *k, err *e);
bool cpu_run_hadamard(const call *k, err *e);
bool cpu_run_store(const call *k, err *e);
bool cpu_run_attend(const call *k, err *e);
bool cpu_run_gate(const call *k, err *e);
bool cpu_run_route(const call *k, err *e);
bool cpu_run_linear_id(const call *k, err *e);
bool cpu_run_join(const call *k, err *e);
bool cpu_run_l2norm(const call *k, err *e);
bool cpu_run_conv(const call *k, err *e);
bool cpu_run_decay(const call *k, err *e);
bool cpu_run_delta(const call *k, err *e);

#endif
