// cuda_where: where the tests of the CUDA backend run: on the processor (quant/cuda/host), or, built with ON_GPU, on the device at hand.
#ifndef HALLMARK_TESTS_CUDA_WHERE_H
#define HALLMARK_TESTS_CUDA_WHERE_H

#include "runtime/cuda/backend_cuda.h"
#include <stdio.h>

#ifdef ON_GPU
static inline void    host_calls_order(unsigned order) { (void)order; }     // the device's own
static inline int64_t host_calls_live(void)            { return 0; }        // the device does not count
#else
#include "quant/cuda/host/calls_host.h"
#endif

// Says SKIP and why where no device answers.
static inline bool cuda_is_there(void)
{
    err why = { 0 };
    backend *b = backend_cuda(ARITH_F32, &why);
    if (b) b->ops->close(b);
    else   fprintf(stderr, "SKIP: %s\n", why.msg);
    return b != NULL;
}

#endif
