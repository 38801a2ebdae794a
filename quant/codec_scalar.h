// codec_scalar: the encoders that a GPU has too, as steps on one sub-block (or block) and one super-block: Q8_0, Q4_0,
// Q4_K, Q5_K, Q6_K. The plain codecs call them one after the other; in cuda/encode.cu a thread takes a sub-block. No
// step depends on another sub-block's.
// Private to codec_legacy.c, codec_k.c and cuda/encode.cu.
//   x: weights of a sub-block; code: its codes; importance may be the same memory as weight
#ifndef HALLMARK_QUANT_CODEC_SCALAR_H
#define HALLMARK_QUANT_CODEC_SCALAR_H

#include "pack.h"
#include "search.h"

#include <math.h>

enum { K_SUB32 = QUANT_SUPER / 32, K_SUB16 = QUANT_SUPER / 16 };     // sub-blocks in a super-block

// ---- Q4_0, Q8_0 -----------------------------------------------------------------------------------------------------

// Codes 0 .. 2 * half - 1 around `half`; the extreme value gets code 0, so its side has the extra step. Returns the
// scale.
QUANT_INLINE float symmetric_codes(uint8_t *code, const float *x, int half)
{
    float max = 0, extreme = 0;         // the value of largest magnitude, the first where several are equal
    for (int i = 0; i < QUANT_BLOCK; i++)
        if (max < fabsf(x[i])) { max = fabsf(x[i]); extreme = x[i]; }
    const float scale   = extreme / (float)-half;
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const int8_t q = (int8_t)truncate_x86(x[i] * inverse + ((float)half + 0.5f));
        code[i] = (uint8_t)(q < 2 * half - 1 ? q : 2 * half - 1);
    }
    return scale;
}

QUANT_INLINE float row_mean_square(const float *x, int64_t n_cols)
{
    float sum = 0;
    for (int64_t i = 0; i < n_cols; i++) sum += x[i] * x[i];
    return sum / (float)n_cols;
}

// With importance the search is weighted by importance * sqrt(mean square of the row + x^2).
QUANT_INLINE void block_weights(float *weight, const float *x, const float *importance, float mean_square)
{
    for (int i = 0; i < QUANT_BLOCK; i++) weight[i] = importance[i] * sqrtf(mean_square + x[i] * x[i]);
}

QUANT_INLINE float q8_0_scale(const float *x)
{
    float max = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const float a = fabsf(x[i]);
        max = max > a ? max : a;
    }
    return max / 127.f;
}

// Round half away from zero, as roundf. |v| is at most 127 here, or NaN or infinite where the scale is denormal and its
// inverse overflows: the reference then stores the low byte of an x86 conversion out of range, which is 0.
QUANT_INLINE int8_t round_away(float v)
{
    const bool    in_range = fabsf(v) < 1e6f;
    const int32_t t        = in_range ? (int32_t)v : 0;
    const float   rest     = in_range ? v - (float)t : 0;       // exact
    return (int8_t)(t + (rest >= 0.5f) - (rest <= -0.5f));
}

QUANT_INLINE void q8_0_codes(int8_t *q, const float *x, float scale)
{
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < QUANT_BLOCK; i++) q[i] = round_away(x[i] * inverse);
}

// ---- Q4_K and Q5_K: affine sub-blocks of 32, which differ only in the number of codes and the grid of the search ----

typedef struct {            // a super-block before it is packed
    float   scale, min;             // of the super-block, before they become F16
    uint8_t s[K_SUB32], m[K_SUB32]; // 6-bit scales and mins
    uint8_t code[QUANT_SUPER];
} k4_choice;

// Without importance a weight counts by its magnitude plus the root mean square of its sub-block. Returns the scale.
QUANT_INLINE float k4_sub_plain(uint8_t *code, float *min, const float *x, float *weight, int top)
{
    const affine_grid grid = { top, top == 15 ? 20 : 15, top == 15 ? -1.0f : -0.5f, 0.1f, false };
    float sum = 0;
    for (int i = 0; i < 32; i++) sum += x[i] * x[i];
    const float rms = sqrtf(sum / 32);
    for (int i = 0; i < 32; i++) weight[i] = rms + fabsf(x[i]);
    return search_affine(32, &grid, x, weight, code, min);
}

// Twice the super-block's mean square; sub-block j begins at x + j * stride.
QUANT_INLINE float k4_sigma2(const float *x, int stride)
{
    float sum = 0;
    for (int j = 0; j < K_SUB32; j++)
        for (int i = 0; i < 32; i++) sum += x[j * stride + i] * x[j * stride + i];
    return 2 * sum / QUANT_SUPER;
}

// With importance: importance * sqrt(sigma2 + x^2), whose sum is what the sub-block counts when the scales are fitted.
QUANT_INLINE float k4_sub_weighted(uint8_t *code, float *min, float *sum_w, const float *x, const float *importance,
                                   float sigma2, float *weight, int top)
{
    const affine_grid grid = { top, 36, -0.9f, 0.05f, false };
    *sum_w = 0;
    for (int i = 0; i < 32; i++) {
        weight[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
        *sum_w += weight[i];
    }
    return search_affine(32, &grid, x, weight, code, min);
}

// The sub-blocks' scales and mins, each to 6 bits of the largest.
QUANT_INLINE void k4_scales_plain(k4_choice *c, const float *scale, const float *min)
{
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < K_SUB32; j++) {
        if (scale[j] > max_scale) max_scale = scale[j];
        if (min[j] > max_min) max_min = min[j];
    }
    const float inv_scale = max_scale > 0 ? 63.f / max_scale : 0.f;
    const float inv_min   = max_min > 0 ? 63.f / max_min : 0.f;
    for (int j = 0; j < K_SUB32; j++) {
        const uint8_t s = (uint8_t)round_by_magic(inv_scale * scale[j]);
        const uint8_t m = (uint8_t)round_by_magic(inv_min * min[j]);
        c->s[j] = s < 63 ? s : 63;
        c->m[j] = m < 63 ? m : 63;
    }
    c->scale = max_scale / 63.f;
    c->min   = max_min / 63.f;
}

// The same fitted by weight. A scale that came out negative is 63 in Q5_K, its low byte in Q4_K.
QUANT_INLINE void k4_scales_weighted(k4_choice *c, const float *scale, const float *min, const float *sum_w, int top)
{
    c->scale = search_positive(K_SUB32, 63, scale, sum_w, c->s);
    c->min   = search_positive(K_SUB32, 63, min, sum_w, c->m);
    for (int j = 0; top == 31 && j < K_SUB32; j++) {
        if (c->s[j] > 63) c->s[j] = 63;
        if (c->m[j] > 63) c->m[j] = 63;
    }
}

// The codes again, for the scale and min of sub-block j as they will be decoded. A sub-block whose scale became 0 keeps
// the codes of its search.
QUANT_INLINE void k4_codes(uint8_t *code, const float *x, int j, const uint8_t *scales, float super_scale,
                           float super_min, int top)
{
    uint8_t s, m;
    k4_scale_min(j, scales, &s, &m);
    const float d = super_scale * (float)s, offset = super_min * (float)m;
    if (d == 0) return;
    for (int i = 0; i < 32; i++) code[i] = (uint8_t)clamp_int(round_by_magic((x[i] + offset) / d), 0, top);
}

// ---- Q6_K: symmetric sub-blocks of 16 with signed 8-bit scales ------------------------------------------------------

// importance: NULL: the squares count. Returns the scale.
QUANT_INLINE float q6_k_sub(uint8_t *code, const float *x, const float *importance, float *weight)
{
    for (int i = 0; !importance && i < 16; i++) weight[i] = x[i] * x[i];
    return search_symmetric(16, 32, x, importance ? importance : weight, code);
}

// The scale of largest magnitude, which becomes -128.
QUANT_INLINE float q6_k_extreme(const float *scale)
{
    float max = 0, extreme = 0;
    for (int j = 0; j < K_SUB16; j++)
        if (fabsf(scale[j]) > max) { max = fabsf(scale[j]); extreme = scale[j]; }
    return extreme;
}

// The sub-block's 8-bit scale, and its codes again for it; a scale of 0 keeps those of the search.
QUANT_INLINE int8_t q6_k_codes(uint8_t *code, const float *x, float scale, float inverse, float super_scale)
{
    const int s = round_by_magic(inverse * scale);
    const int8_t small = (int8_t)(s < 127 ? s : 127);
    const float d = super_scale * (float)small;
    if (d == 0) return small;
    for (int i = 0; i < 16; i++) code[i] = (uint8_t)(clamp_int(round_by_magic(x[i] / d), -32, 31) + 32);
    return small;
}

#endif
