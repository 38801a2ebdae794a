// cuda_where: where the tests of the CUDA backend run: on the processor (device/host), or, built with ON_GPU, on the
// device at hand.
#ifndef HALLMARK_TESTS_CUDA_WHERE_H
#define HALLMARK_TESTS_CUDA_WHERE_H

#include "runtime/cuda/backend_cuda.h"
#include <stdio.h>
#include <stdlib.h>

#ifdef ON_GPU
static inline void    host_calls_order(unsigned order) { (void)order; }     // the device's own
static inline int64_t host_calls_live(void)            { return 0; }        // the device does not count
#else
#include "device/host/calls_host.h"
#endif

// Says SKIP and why where no device answers. From here on products of many tokens are the exact ones: most tests hold
// the device to the CPU's bits. Who wants others says so (tests/cuda_tensor_test.c).
static inline void exact_products(void) { setenv("HALLMARK_CUDA_PRODUCTS", "exact", 1); }
static inline bool cuda_is_there(void)
{
    exact_products();
    err why = { 0 };
    backend *b = backend_cuda(ARITH_F32, false, &why);
    if (b) b->ops->close(b);
    else   fprintf(stderr, "SKIP: %s\n", why.msg);
    return b != NULL;
}

#endif
