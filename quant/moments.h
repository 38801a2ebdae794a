// moments: H = sum of x x^T over many inputs x of one matrix, and its factors for feedback (effort.h).
//
// Every element is added to in the order of the inputs, without FMA, so that the sums are the same for any number of
// threads and at every SIMD level.
// Proved by tests/effort_test.c.
#ifndef HALLMARK_QUANT_MOMENTS_H
#define HALLMARK_QUANT_MOMENTS_H

#include "../formats/err.h"
#include <stdint.h>

// Adds n inputs to h: [width][width], of which the upper triangle (row <= column) counts; elements below the diagonal
// may get rubbish. x: input t's values begin at x + t * stride. All threads of n_threads (0: all cores) take part.
void moments_add(float *h, int64_t width, const float *x, int64_t stride, int n, int n_threads);

// M and d of (h / count + damping * mean of its diagonal) = M diag(d) M^T, M unit upper triangular: m [width][width],
// zeros below the diagonal; d [width]. m may be h. d is divided by the power of two at or below that mean: inputs of
// any size serve. A matrix of zeros counts as the unit matrix. ERR_SYSTEM without memory (width * width doubles);
// ERR_INPUT where h is not finite.
bool moments_factor(float *m, float *d, const float *h, int64_t width, double count, double damping, int n_threads,
                    err *e);

#endif
