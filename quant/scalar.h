// scalar: what the plain encoders are made of, as one text for the C compiler and for nvcc (cuda/encode.cu): small
// functions on single numbers.
// From blocks.h, pack.h, search.inc and codec_scalar.h the same encoder is built for either; proved by
// tests/cuda_encode_test.c.
#ifndef HALLMARK_QUANT_SCALAR_H
#define HALLMARK_QUANT_SCALAR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// QUANT_INLINE: a function that either may inline. QUANT_SHARED: one that C compiles once, in search.c.
#ifdef __CUDACC__
#define QUANT_INLINE static __device__ inline
#define QUANT_SHARED static __device__
#elif defined(__cplusplus)
#define QUANT_INLINE static inline
#define QUANT_SHARED static
#else
#define QUANT_INLINE static inline
#define QUANT_SHARED
#endif

// Float to the nearest integer, ties to even, for |v| < 2^22: adding 1.5 * 2^23 leaves the integer in the low mantissa
// bits.
// Outside that range (a block whose scale is denormal) and for NaN the result is whatever the bits say; ggml takes the
// same bits, so this, not lrintf, keeps such blocks equal.
QUANT_INLINE int32_t round_by_magic(float v)
{
#ifdef __cplusplus
    if (v != v) return 0;    // what the bits of an x86's NaN say (0xffc00000); a GPU's NaN has others (0x7fffffff)
#endif
    const float shifted = v + 12582912.f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x007fffff) - 0x00400000;
}

// Float to integer by truncation as the x86 instruction does it: out of range and NaN give INT32_MIN, where C leaves it
// undefined.
QUANT_INLINE int32_t truncate_x86(float v)
{
    return v > -2147483648.f && v < 2147483648.f ? (int32_t)v : INT32_MIN;
}

QUANT_INLINE int clamp_int(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

#endif
