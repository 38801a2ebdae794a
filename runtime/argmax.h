// argmax: the greedy choice, of which there is one definition for the CPU.
#ifndef HALLMARK_RUNTIME_ARGMAX_H
#define HALLMARK_RUNTIME_ARGMAX_H

#include <stdint.h>

// Index of the largest value, the lowest index where equal. NaN never wins; -1 if all are NaN.
static inline int32_t argmax_f32(const float *x, int64_t n)
{
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
        if (x[i] == x[i] && (best < 0 || x[i] > x[best])) best = i;
    return (int32_t)best;
}

#endif
