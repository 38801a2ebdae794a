// kivi: KIVI's asymmetric codes of 2 and 4 bits (Liu et al. 2024, arXiv 2402.02750, section 3): of a group of values
// zero is the least and scale (greatest - least) / (2^bits - 1), both kept as F16; a code is (x - zero) / scale rounded
// to the nearest integer, ties to even, 0 to 2^bits - 1, with zero and scale as they are kept; its value is code *
// scale + zero. One text for the C compiler and for nvcc, as scalar.h.
//
// Codes lie one behind the other from the low bits of a byte up: code i in byte i * bits / 8 from bit i * bits % 8 on.
//
// Keys, g positions of one head: [dim] scales, [dim] zeros, F16, then position after position [dim] codes.
// Values, one position of one head: [dim / g] scales, [dim / g] zeros, F16, then [dim] codes.
//
// Proved by tests/kivi_test.c against a reference in NumPy.
#ifndef HALLMARK_QUANT_KIVI_H
#define HALLMARK_QUANT_KIVI_H

#include "scalar.h"

// x: a finite number; scale and zero: as kept, of a group that x belongs to. A scale that vanished gives code 0.
QUANT_INLINE uint32_t kivi_code(float x, float scale, float zero, int bits)
{
    const float top = (float)((1 << bits) - 1), t = scale != 0.0f ? (x - zero) / scale : 0.0f;
    // Cut before it is rounded, which needs a small number; the bounds are integers, so the code is the same.
    return (uint32_t)round_by_magic(t < 0.0f ? 0.0f : t > top ? top : t);
}

QUANT_INLINE uint32_t kivi_code_at(const uint8_t *codes, int64_t i, int bits)
{
    return (uint32_t)(codes[i * bits / 8] >> i * bits % 8) & ((1u << bits) - 1);
}

// The product is rounded, then the sum.
QUANT_INLINE float kivi_value(uint32_t code, float scale, float zero)
{
    const float product = (float)code * scale;
    return product + zero;
}

#ifndef __cplusplus
// x: n values, `stride` floats apart. false: one is no finite number, or scale or zero would be none in F16.
bool kivi_range(const float *x, int n, int64_t stride, int bits, uint16_t *scale, uint16_t *zero);
// The head of a position's values, [dim] F32, g a divisor of dim; 8 divides g * bits. false as kivi_range.
bool kivi_encode_values(uint8_t *to, const float *x, int dim, int g, int bits);
// The head of a group's keys, [g][dim] F32; 8 divides dim * bits. false as kivi_range.
bool kivi_encode_keys(uint8_t *to, const float *x, int dim, int g, int bits);
// The codes of such a head alone, by the scales and zeros that it has.
void kivi_code_keys(uint8_t *to, const float *x, int dim, int g, int bits);
#endif

#endif
