// backend_cpu: what backend_cpu.c (memory, opening) and ops.c (the operations) share.
#ifndef HALLMARK_RUNTIME_CPU_BACKEND_CPU_H
#define HALLMARK_RUNTIME_CPU_BACKEND_CPU_H

#include "../backend.h"
#include "kernels.h"

typedef struct {
    backend            base;
    const cpu_kernels *k;
    int                n_threads;
    int64_t            allocated;       // bytes
    float            **scratch;         // [n_threads], each scratch_floats long
    int64_t            scratch_floats;
    float             *shared;          // [shared_floats], of all threads: products of experts
    int64_t            shared_floats;
} cpu_backend;

// Every thread's scratch holds at least n floats. Grows outside parallel regions only.
bool cpu_need_scratch(cpu_backend *c, int64_t n, err *e);
// So does c->shared.
bool cpu_need_shared(cpu_backend *c, int64_t n, err *e);

// As in backend_ops.
bool cpu_has(const backend *b, const op *o, const op_memory *m, bool one_token);
bool cpu_run(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e);

#endif
