// overlap_kernels: kernels for cuda_overlap_test.c, one that keeps the contract of after_previous (device/device.cuh)
// and others that break it.
#ifndef HALLMARK_TESTS_OVERLAP_KERNELS_H
#define HALLMARK_TESTS_OVERLAP_KERNELS_H

#include "device/formats_c.h"
#include "device/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    KEEPS,                      // through a barrier and shared memory before the wait
    READS_EARLY, WRITES_EARLY,
    FORGETS, FORGETS_WHERE_IT_RETURNS, TWICE,
} overlap_form;

enum { OVERLAP_THREADS = 64, OVERLAP_BLOCKS = 3, OVERLAP_N = OVERLAP_THREADS * OVERLAP_BLOCKS };

// y[i] = x[i] + 1, i < OVERLAP_N.
bool overlap_add_one(gpu *g, overlap_form form, float *y, const float *x, err *e);

#ifdef __cplusplus
}
#endif
#endif
