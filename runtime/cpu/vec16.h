// vec16: sixteen F32 lanes, the unit in which every reduction of this runtime is defined.
//
// The same operations at three levels (VEC_LEVEL 0 portable C, 1 AVX2 + FMA + F16C, 2 AVX-512), chosen when a
// kernels_*.c is compiled. Each operation is defined lane by lane with one IEEE rounding, so all levels give the same
// bits: fmaf() is a fused multiply-add on every machine (slow where the processor has none).
#ifndef HALLMARK_RUNTIME_CPU_VEC16_H
#define HALLMARK_RUNTIME_CPU_VEC16_H

#include "../../formats/dtype.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#if VEC_LEVEL > 0
#include <immintrin.h>
#endif

// The portable level leaves inlining to the compiler.
#if VEC_LEVEL > 0
#define VEC_INLINE static inline __attribute__((always_inline, unused))
#else
#define VEC_INLINE static inline __attribute__((unused))
#endif

// For innermost loops that the sanitizers do not look into; the comment there says what is checked in their stead.
#if defined(__SANITIZE_ADDRESS__)
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))
#else
#define UNCHECKED
#endif

#if VEC_LEVEL == 2
// ---- AVX-512 -------------------------------------------------------------------------------------------------------
typedef __m512 v16;
VEC_INLINE v16  v16_load(const float *p)              { return _mm512_loadu_ps(p); }
VEC_INLINE void v16_store(float *p, v16 a)            { _mm512_storeu_ps(p, a); }
VEC_INLINE v16  v16_set1(float a)                     { return _mm512_set1_ps(a); }
VEC_INLINE v16  v16_add(v16 a, v16 b)                 { return _mm512_add_ps(a, b); }
VEC_INLINE v16  v16_sub(v16 a, v16 b)                 { return _mm512_sub_ps(a, b); }
VEC_INLINE v16  v16_mul(v16 a, v16 b)                 { return _mm512_mul_ps(a, b); }
VEC_INLINE v16  v16_div(v16 a, v16 b)                 { return _mm512_div_ps(a, b); }
VEC_INLINE v16  v16_fma(v16 a, v16 b, v16 c)          { return _mm512_fmadd_ps(a, b, c); }
VEC_INLINE v16  v16_max(v16 a, v16 b)                 { return _mm512_max_ps(a, b); }     // b where either is NaN
VEC_INLINE v16  v16_min(v16 a, v16 b)                 { return _mm512_min_ps(a, b); }     // b where either is NaN
VEC_INLINE v16  v16_abs(v16 a)                        { return _mm512_abs_ps(a); }
VEC_INLINE v16  v16_lt_select(v16 a, v16 b, v16 yes, v16 no)    // a < b ? yes : no
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
VEC_INLINE v16  v16_copysign(v16 mag, v16 sign)
{
    __m512i s = _mm512_and_si512(_mm512_castps_si512(sign), _mm512_set1_epi32((int)0x80000000u));
    __m512i m = _mm512_and_si512(_mm512_castps_si512(mag), _mm512_set1_epi32(0x7fffffff));
    return _mm512_castsi512_ps(_mm512_or_si512(m, s));
}
// 2^n for integral n in [-126, 127], given as floats.
VEC_INLINE v16  v16_exp2i(v16 n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
VEC_INLINE v16  v16_from_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
VEC_INLINE v16  v16_from_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
VEC_INLINE v16 v16_from_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
VEC_INLINE v16 v16_from_u8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
// Sixteen codes of 2 or 4 bits, from the low bits of a byte up.
VEC_INLINE v16  v16_from_codes(const uint8_t *p, const int bits)
{
    const __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    uint32_t low, high;
    memcpy(&low, p, 4);
    __m512i word = _mm512_set1_epi32((int)low), shift = _mm512_slli_epi32(place, 1);
    if (bits == 4) {
        memcpy(&high, p + 4, 4);
        word = _mm512_inserti64x4(word, _mm256_set1_epi32((int)high), 1);
        shift = _mm512_slli_epi32(_mm512_and_si512(place, _mm512_set1_epi32(7)), 2);
    }
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srlv_epi32(word, shift), _mm512_set1_epi32((1 << bits) - 1)));
}
// Rounded to BF16 (nearest even), kept in F32. A NaN stays a NaN.
VEC_INLINE v16  v16_round_bf16(v16 a)
{
    __m512i u = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    r = _mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000u));
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), _mm512_castsi512_ps(r), a);
}

#elif VEC_LEVEL == 1
// ---- AVX2 + FMA + F16C: two halves ---------------------------------------------------------------------------------
typedef struct { __m256 a, b; } v16;
#define V2(x, y) ((v16){ (x), (y) })
VEC_INLINE v16  v16_load(const float *p)              { return V2(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
VEC_INLINE void v16_store(float *p, v16 a)            { _mm256_storeu_ps(p, a.a); _mm256_storeu_ps(p + 8, a.b); }
VEC_INLINE v16  v16_set1(float a)                     { __m256 s = _mm256_set1_ps(a); return V2(s, s); }
VEC_INLINE v16  v16_add(v16 x, v16 y)                 { return V2(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
VEC_INLINE v16  v16_sub(v16 x, v16 y)                 { return V2(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
VEC_INLINE v16  v16_mul(v16 x, v16 y)                 { return V2(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
VEC_INLINE v16  v16_div(v16 x, v16 y)                 { return V2(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
VEC_INLINE v16 v16_fma(v16 x, v16 y, v16 z)
{
    return V2(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
VEC_INLINE v16  v16_max(v16 x, v16 y)                 { return V2(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
VEC_INLINE v16  v16_min(v16 x, v16 y)                 { return V2(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
VEC_INLINE __m256 v8_sign_mask(void) { return _mm256_castsi256_ps(_mm256_set1_epi32((int)0x80000000u)); }
VEC_INLINE v16 v16_abs(v16 x)
{
    __m256 s = v8_sign_mask();
    return V2(_mm256_andnot_ps(s, x.a), _mm256_andnot_ps(s, x.b));
}
VEC_INLINE v16  v16_lt_select(v16 x, v16 y, v16 yes, v16 no)
{
    return V2(_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
              _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)));
}
VEC_INLINE v16  v16_copysign(v16 mag, v16 sign)
{
    __m256 s = v8_sign_mask();
    return V2(_mm256_or_ps(_mm256_andnot_ps(s, mag.a), _mm256_and_ps(s, sign.a)),
              _mm256_or_ps(_mm256_andnot_ps(s, mag.b), _mm256_and_ps(s, sign.b)));
}
VEC_INLINE __m256 v8_exp2i(__m256 n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
VEC_INLINE v16  v16_exp2i(v16 n)                      { return V2(v8_exp2i(n.a), v8_exp2i(n.b)); }
VEC_INLINE __m256 v8_from_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
VEC_INLINE v16  v16_from_bf16(const uint16_t *p)      { return V2(v8_from_bf16(p), v8_from_bf16(p + 8)); }
VEC_INLINE v16  v16_from_f16(const uint16_t *p)
{
    return V2(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
              _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
VEC_INLINE v16  v16_from_i8(const int8_t *p)
{
    return V2(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))),
              _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))));
}
VEC_INLINE v16  v16_from_u8(const uint8_t *p)
{
    return V2(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))),
              _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))));
}
VEC_INLINE __m256 v8_from_codes(uint32_t codes, const int bits)
{
    const __m256i shift = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(bits));
    const __m256i all = _mm256_srlv_epi32(_mm256_set1_epi32((int)codes), shift);
    return _mm256_cvtepi32_ps(_mm256_and_si256(all, _mm256_set1_epi32((1 << bits) - 1)));
}
VEC_INLINE v16  v16_from_codes(const uint8_t *p, const int bits)
{
    uint32_t low, high;
    memcpy(&low, p, 4);
    if (bits == 2) return V2(v8_from_codes(low, 2), v8_from_codes(low >> 16, 2));
    memcpy(&high, p + 4, 4);
    return V2(v8_from_codes(low, 4), v8_from_codes(high, 4));
}
VEC_INLINE __m256 v8_round_bf16(__m256 a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    r = _mm256_and_si256(r, _mm256_set1_epi32((int)0xffff0000u));
    return _mm256_blendv_ps(_mm256_castsi256_ps(r), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
VEC_INLINE v16  v16_round_bf16(v16 x)                 { return V2(v8_round_bf16(x.a), v8_round_bf16(x.b)); }
#undef V2

#else
// ---- portable C: the definition ------------------------------------------------------------------------------------
typedef struct { float f[16]; } v16;
// What works on values alone, by constant places: nothing there is for a sanitizer to see.
#define VEC_LANES VEC_INLINE UNCHECKED
#define V16_EACH(expr) do { v16 r_; for (int i = 0; i < 16; i++) r_.f[i] = (expr); return r_; } while (0)
VEC_INLINE v16  v16_load(const float *p)              { v16 r; memcpy(r.f, p, sizeof r.f); return r; }
VEC_INLINE void v16_store(float *p, v16 a)            { memcpy(p, a.f, sizeof a.f); }
VEC_LANES v16  v16_set1(float a)                      { V16_EACH(a); }
VEC_LANES v16  v16_add(v16 a, v16 b)                  { V16_EACH(a.f[i] + b.f[i]); }
VEC_LANES v16  v16_sub(v16 a, v16 b)                  { V16_EACH(a.f[i] - b.f[i]); }
VEC_LANES v16  v16_mul(v16 a, v16 b)                  { V16_EACH(a.f[i] * b.f[i]); }
VEC_LANES v16  v16_div(v16 a, v16 b)                  { V16_EACH(a.f[i] / b.f[i]); }
VEC_LANES v16  v16_fma(v16 a, v16 b, v16 c)           { V16_EACH(fmaf(a.f[i], b.f[i], c.f[i])); }
VEC_LANES v16  v16_max(v16 a, v16 b)                  { V16_EACH(a.f[i] > b.f[i] ? a.f[i] : b.f[i]); }  // b: NaN
VEC_LANES v16  v16_min(v16 a, v16 b)                  { V16_EACH(a.f[i] < b.f[i] ? a.f[i] : b.f[i]); }
VEC_LANES v16  v16_abs(v16 a)                         { V16_EACH(fabsf(a.f[i])); }
VEC_LANES v16  v16_lt_select(v16 a, v16 b, v16 yes, v16 no)  { V16_EACH(a.f[i] < b.f[i] ? yes.f[i] : no.f[i]); }
VEC_LANES v16  v16_copysign(v16 mag, v16 sign)        { V16_EACH(copysignf(mag.f[i], sign.f[i])); }
VEC_INLINE float f32_exp2i(float n)
{
    // The cast is of an integral value in [-126, 127], or of anything when the lane's result is thrown away: then
    // clamp.
    float c = n > -126.0f ? n : -126.0f;
    uint32_t u = (uint32_t)((int32_t)(c < 127.0f ? c : 127.0f) + 127) << 23;
    float r;
    memcpy(&r, &u, 4);
    return r;
}
VEC_INLINE v16  v16_exp2i(v16 n)                      { V16_EACH(f32_exp2i(n.f[i])); }
VEC_INLINE v16  v16_from_bf16(const uint16_t *p)      { V16_EACH(f32_from_bf16(p[i])); }
VEC_INLINE v16  v16_from_f16(const uint16_t *p)       { V16_EACH(f32_from_f16(p[i])); }
VEC_INLINE v16  v16_from_i8(const int8_t *p)          { V16_EACH((float)p[i]); }
VEC_INLINE v16  v16_from_u8(const uint8_t *p)         { V16_EACH((float)p[i]); }
VEC_INLINE v16  v16_from_codes(const uint8_t *p, const int bits)
{
    V16_EACH((float)(p[i * bits / 8] >> i * bits % 8 & ((1 << bits) - 1)));
}
VEC_LANES float f32_round_bf16(float x)
{
    uint32_t u;
    if (x != x) return x;
    memcpy(&u, &x, 4);
    u = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    memcpy(&x, &u, 4);
    return x;
}
VEC_LANES v16  v16_round_bf16(v16 a)                  { V16_EACH(f32_round_bf16(a.f[i])); }
#undef V16_EACH
#endif

// ---- the same text at every level ----------------------------------------------------------------------------------
VEC_INLINE v16 v16_zero(void) { return v16_set1(0.0f); }

// The fixed tree that joins sixteen partial sums: i with i + 8, then + 4, + 2, + 1. Unchecked: an array of its own.
#if VEC_LEVEL > 0
VEC_INLINE float v16_sum(v16 a)
{
#if VEC_LEVEL == 2
    const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
#else
    const __m256 by8 = _mm256_add_ps(a.a, a.b);
#endif
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}
#else
VEC_INLINE UNCHECKED float v16_sum(v16 a)
{
    float f[16];
    v16_store(f, a);
    for (int half = 8; half > 0; half >>= 1)
        for (int i = 0; i < half; i++) f[i] = f[i] + f[i + half];
    return f[0];
}
#endif

// Four such trees at once, each step for all of them. Without arrays: where this is put into a function that is not
// checked, the sanitizer would mark one at its scope's end, and nobody take the mark away.
#if VEC_LEVEL > 0
VEC_INLINE UNCHECKED __m256 v8_by8(const float sums[16])
{
    return _mm256_add_ps(_mm256_loadu_ps(sums), _mm256_loadu_ps(sums + 8));
}
VEC_INLINE UNCHECKED void v16_sum_four(float dst[4], float (*const sums)[16])
{
    const __m256 p = v8_by8(sums[0]), q = v8_by8(sums[1]), r = v8_by8(sums[2]), s = v8_by8(sums[3]);
    const __m256 a = _mm256_add_ps(_mm256_permute2f128_ps(p, q, 0x20), _mm256_permute2f128_ps(p, q, 0x31));
    const __m256 b = _mm256_add_ps(_mm256_permute2f128_ps(r, s, 0x20), _mm256_permute2f128_ps(r, s, 0x31));
    const __m256 by2 = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    const __m256 all = _mm256_add_ps(by2, _mm256_movehdup_ps(by2));     // 0 . 2 . | 1 . 3 .
    const __m128 even = _mm256_castps256_ps128(all), odd = _mm256_extractf128_ps(all, 1);
    _mm_storeu_ps(dst, _mm_movelh_ps(_mm_unpacklo_ps(even, odd), _mm_unpackhi_ps(even, odd)));
}
#else
VEC_INLINE UNCHECKED void v16_sum_four(float dst[4], float (*const sums)[16])
{
    for (int i = 0; i < 4; i++) dst[i] = v16_sum(v16_load(sums[i]));
}
#endif

VEC_INLINE float v16_max_lane(v16 a)
{
    float f[16];
    v16_store(f, a);
    for (int half = 8; half > 0; half >>= 1)
        for (int i = 0; i < half; i++) f[i] = f[i] > f[i + half] ? f[i] : f[i + half];
    return f[0];
}

// The first n (< 16) values, zeros behind: a partial last step of a reduction adds exact zeros.
VEC_INLINE v16 v16_load_part(const float *p, int64_t n)
{
    float f[16] = { 0 };
    memcpy(f, p, (size_t)n * sizeof *f);
    return v16_load(f);
}

VEC_INLINE void v16_store_part(float *p, v16 a, int64_t n)
{
    float f[16];
    v16_store(f, a);
    memcpy(p, f, (size_t)n * sizeof *f);
}

// e^x, at most 1 ulp or so off; 0 below -103.97, inf above 88.72, NaN for NaN.
// x = n ln 2 + r with |r| <= ln(2)/2, the remainder by two fused steps; a degree-6 polynomial (Cephes' expf
// coefficients); 2^n in two factors, so that results in the subnormal range are rounded once, at the end.
VEC_INLINE v16 v16_exp(v16 x)
{
    const v16 lo = v16_set1(-104.0f), hi = v16_set1(89.0f), magic = v16_set1(12582912.0f);     // 1.5 * 2^23
    v16 c = v16_max(v16_min(x, hi), lo);
    v16 n = v16_sub(v16_fma(c, v16_set1(1.44269504088896341f), magic), magic);    // nearest integer, ties to even
    v16 r = v16_fma(n, v16_set1(-0.693359375f), c);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    v16 p = v16_set1(1.9875691500e-4f);
    p = v16_fma(p, r, v16_set1(1.3981999507e-3f));
    p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
    p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
    p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
    p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
    p = v16_add(v16_fma(v16_mul(r, r), p, r), v16_set1(1.0f));
    v16 n1 = v16_sub(v16_fma(n, v16_set1(0.5f), magic), magic);
    v16 y = v16_mul(v16_mul(p, v16_exp2i(n1)), v16_exp2i(v16_sub(n, n1)));
    // min and max above turned a NaN into a bound: put it back.
    return v16_lt_select(v16_abs(x), v16_set1(INFINITY), y, v16_lt_select(x, v16_zero(), v16_zero(), v16_mul(x, x)));
}

// tanh x: near 0 an odd polynomial (Cephes' tanhf), elsewhere 1 - 2 / (e^2|x| + 1).
VEC_INLINE v16 v16_tanh(v16 x)
{
    v16 a = v16_abs(x), z = v16_mul(x, x);
    v16 p = v16_set1(-5.70498872745e-3f);
    p = v16_fma(p, z, v16_set1(2.06390887954e-2f));
    p = v16_fma(p, z, v16_set1(-5.37397155531e-2f));
    p = v16_fma(p, z, v16_set1(1.33314422036e-1f));
    p = v16_fma(p, z, v16_set1(-3.33332819422e-1f));
    v16 small = v16_fma(v16_mul(p, z), x, x);
    v16 e = v16_exp(v16_add(a, a));
    v16 big = v16_sub(v16_set1(1.0f), v16_div(v16_set1(2.0f), v16_add(e, v16_set1(1.0f))));
    big = v16_copysign(big, x);
    return v16_lt_select(a, v16_set1(0.625f), small, big);
}

// gelu_pytorch_tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), each product rounded as ATen's CPU kernel rounds
// it.
VEC_INLINE v16 v16_gelu(v16 x)
{
    v16 x3 = v16_mul(v16_mul(x, x), x);
    v16 inner = v16_mul(v16_set1(0.79788456080286535588f), v16_add(x, v16_mul(v16_set1(0.044715f), x3)));
    return v16_mul(v16_mul(v16_set1(0.5f), x), v16_add(v16_set1(1.0f), v16_tanh(inner)));
}

#endif
