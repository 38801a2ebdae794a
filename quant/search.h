// search: how a block's scale (and min) and its integer codes are chosen. The reference does not simply divide by the
// largest value: it tries a handful of scales near that one and keeps the one whose least-squares fit has the smallest
// weighted error.
//
// Every function here must give the bits that ggml's does (make_qx_quants, make_qkx2_quants, make_qkx3_quants,
// make_q3_quants, make_qp_quants in ggml-quants.c, compiled without FMA), so sums run in index order, every product is
// rounded before it is added, and the order of operands in a product of three is part of the definition. Proved by
// tests/codec_golden_test.c.
#ifndef HALLMARK_QUANT_SEARCH_H
#define HALLMARK_QUANT_SEARCH_H

#include "scalar.h"

#define SEARCH_EPS 1e-15f       // groups with no larger value are stored as zeros; ggml's GROUP_MAX_EPS

// Symmetric: x ~= scale * (code - half), codes 0 .. 2 * half - 1. Tries 19 scales around -half / (value of largest
// magnitude).
//   x, weight: [n]    code: [n], written
// Returns the scale, which may be negative; 0 with all codes 0 for a group of zeros; NaN where weight * x^2 overflows.
QUANT_SHARED float search_symmetric(int n, int half, const float *x, const float *weight, uint8_t *code);

// Affine: x ~= scale * code + min, codes 0 .. top, min <= 0. First the plain fit over [min, max], then steps + 1 scales
// (first + step * i + top) / (max - min), each followed by the weighted least-squares scale and min; min is the best
// one so far.
typedef struct {
    int   top, steps;
    float first, step;
    bool  absolute;             // error is |diff|, not its square
} affine_grid;
// Returns the scale; *minus_min is -min (>= 0). A constant group has scale 0 and codes 0.
QUANT_SHARED float search_affine(int n, const affine_grid *g, const float *x, const float *weight, uint8_t *code,
                                 float *minus_min);

// Symmetric with codes moved one at a time (Q3_K without importance): weights are x^2, up to five sweeps. NaN where
// they overflow.
#ifndef __cplusplus
float search_symmetric_sweep(int n, int half, const float *x, uint8_t *code);
#endif

// Non-negative values (the sub-blocks' scales or mins themselves): x ~= scale * code, codes 0 .. top.
QUANT_SHARED float search_positive(int n, int top, const float *x, const float *weight, uint8_t *code);

#endif
