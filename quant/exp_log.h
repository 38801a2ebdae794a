// exp_log: e^x and log x in double, of additions, multiplications and one division, each rounded once: the same bits in
// C, in C++ and on a GPU, at every SIMD level, whatever the C library. No fused step: the plain x86-64 baseline has
// none, and there fma() is a slow call. Compiled with -ffp-contract=off (nvcc: --fmad=false), so that the compiler
// fuses none either. No branches: compilers make vectors of loops. Proved by tests/exp_log_test.c.
#ifndef HALLMARK_QUANT_EXP_LOG_H
#define HALLMARK_QUANT_EXP_LOG_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define EXP_LOG_FN static __host__ __device__ __forceinline__
#else
#define EXP_LOG_FN static inline
#endif

// 2^n, n an integer in [-1022, 1023], given as its low bits in a word whose high ones are anything.
EXP_LOG_FN double exp2_of_low_bits(uint64_t n)
{
    const uint64_t bits = (n + 1023u) << 52;
    double r;
    memcpy(&r, &bits, sizeof r);
    return r;
}

// e^x within 1 ulp for x in [-708, 709]; 0 below, where results would lose digits, and for NaN; e^709 above.
// x = n ln 2 + r with |r| <= ln(2)/2: ln 2 in two parts, the first of 32 bits, so that n times it is exact. e^r = 1 + r
// + r^2 p(r), p of degree 10: the Chebyshev fit of (e^r - 1 - r) / r^2, rounded to double, which is 2^-61 off. Its
// powers are joined in pairs: a chain of five, not of ten.
EXP_LOG_FN double exp_f64(double x)
{
    // 1.5 * 2^52: what is added to it is rounded to an integer
    const double least = -708.0, most = 709.0, magic = 6755399441055744.0;
    double c = x > least ? x : least;
    c = c < most ? c : most;
    const double shifted = c * 1.44269504088896340736 + magic, n = shifted - magic;
    const double r = (c - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
    const double r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    const double p0 = 0.5 + r * 0x1.5555555555557p-3, p2 = 0x1.5555555555556p-5 + r * 0x1.11111111100dcp-7;
    const double p4 = 0x1.6c16c16c162d4p-10 + r * 0x1.a01a01abe7fe1p-13,
                 p6 = 0x1.a01a01a6d889cp-16 + r * 0x1.71de0231960ebp-19;
    const double p8 = 0x1.27e4db646b17ep-22 + r * 0x1.af4de97ca4194p-26;
    const double p = (p0 + r2 * p2) + (r4 * (p4 + r2 * p6) + r8 * (p8 + r2 * 0x1.1f730349868cep-29));
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const double y = (1.0 + (r + r2 * p)) * exp2_of_low_bits(bits);
    return x > least ? y : 0.0;
}

// The same, but NaN stays NaN: for values that nobody has checked.
EXP_LOG_FN double exp_or_nan_f64(double x) { return x == x ? exp_f64(x) : x; }

// log x within 1 ulp, for finite x >= 2^-1022.
// x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f): log m = 2 artanh s = f - s (f - t), where t = 2
// s^2 (1/3 + s^2/5 + s^4/7 + ..). f is exact and s (f - t) small beside it, so that the rounding of s hardly counts.
EXP_LOG_FN double log_f64(double x)
{
    uint64_t bits;
    double m;
    memcpy(&bits, &x, sizeof bits);
    // The mantissa's bits from sqrt(1/2) on: what lies below takes one more power of two.
    const uint64_t above = bits - 0x3fe6a09e667f3bcdu;
    const int k = (int)((int64_t)above >> 52);
    bits = bits - ((uint64_t)(int64_t)k << 52);
    memcpy(&m, &bits, sizeof m);
    const double f = m - 1.0, s = f / (2.0 + f), z = s * s;
    double t = 1.0 / 23.0;                  // the next term is below 2^-61 of the first
    t = t * z + 1.0 / 21.0;
    t = t * z + 1.0 / 19.0;
    t = t * z + 1.0 / 17.0;
    t = t * z + 1.0 / 15.0;
    t = t * z + 1.0 / 13.0;
    t = t * z + 1.0 / 11.0;
    t = t * z + 1.0 / 9.0;
    t = t * z + 1.0 / 7.0;
    t = t * z + 1.0 / 5.0;
    t = t * z + 1.0 / 3.0;
    t = 2.0 * (t * z);
    return k * 0x1.62e42feep-1 + (f + (k * 0x1.a39ef35793c76p-33 - s * (f - t)));
}

#endif
