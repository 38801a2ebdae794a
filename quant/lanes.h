// lanes: vectors of LANES floats, one super-block (or block) in each lane, for the searches of many blocks at once.
//
// Every lane does, in the same order, what the plain code does for one block, one rounding for one operation, so the
// bytes stay.
// The includer defines LANES (4, 8, 16); the build gives its file the instruction set; the compiler's own vectors do
// the rest.
#ifndef LANES
#error "define LANES first"
#endif

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANE_INLINE static inline __attribute__((always_inline, unused))

// For what is inlined for the sake of its constants, in many copies. With a sanitizer's checks in each they take a
// compiler minutes: builds with sanitizers define LANES_IN_ONE_COPY. The bytes are the same.
#ifdef LANES_IN_ONE_COPY
#define LANE_COPIED static __attribute__((noinline, unused))
#else
#define LANE_COPIED LANE_INLINE
#endif

typedef float   vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float   vf_loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

LANE_INLINE vf splat(float v)       { return v - (vf){ 0 }; }       // v - 0 is v, also for -0
LANE_INLINE vi splat_int(int32_t v) { return v - (vi){ 0 }; }
LANE_INLINE vf load(const float *p) { return *(const vf_loose *)p; }

// a where the mask is set (all ones), b elsewhere.
LANE_INLINE vf pick(vi mask, vf a, vf b)     { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
LANE_INLINE vi pick_int(vi mask, vi a, vi b) { return (mask & a) | (~mask & b); }
LANE_INLINE vf magnitude(vf a)               { return (vf)((vi)a & 0x7fffffff); }
LANE_INLINE vf negated(vf a)                 { return (vf)((vi)a ^ INT32_MIN); }

#if defined(__x86_64__) && LANES == 16
LANE_INLINE vi min_int(vi a, vi b) { return (vi)_mm512_min_epi32((__m512i)a, (__m512i)b); }
LANE_INLINE vi max_int(vi a, vi b) { return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b); }
LANE_INLINE vf square_root(vf a)   { return (vf)_mm512_sqrt_ps((__m512)a); }
#elif defined(__x86_64__) && LANES == 8
LANE_INLINE vi min_int(vi a, vi b) { return (vi)_mm256_min_epi32((__m256i)a, (__m256i)b); }
LANE_INLINE vi max_int(vi a, vi b) { return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b); }
LANE_INLINE vf square_root(vf a)   { return (vf)_mm256_sqrt_ps((__m256)a); }
#elif defined(__x86_64__) && LANES == 4
LANE_INLINE vi min_int(vi a, vi b) { return (vi)_mm_min_epi32((__m128i)a, (__m128i)b); }
LANE_INLINE vi max_int(vi a, vi b) { return (vi)_mm_max_epi32((__m128i)a, (__m128i)b); }
LANE_INLINE vf square_root(vf a)   { return (vf)_mm_sqrt_ps((__m128)a); }
#else
#include <math.h>
LANE_INLINE vi min_int(vi a, vi b) { return pick_int(a < b, a, b); }
LANE_INLINE vi max_int(vi a, vi b) { return pick_int(a > b, a, b); }
LANE_INLINE vf square_root(vf a)
{
    for (int l = 0; l < LANES; l++) a[l] = sqrtf(a[l]);
    return a;
}
#endif

LANE_INLINE int any(vi mask)
{
    int64_t part[LANES / 2], all = 0;
    memcpy(part, &mask, sizeof part);
    for (int i = 0; i < LANES / 2; i++) all |= part[i];
    return all != 0;
}

// The nearest integer as a float, clamped to [lo, hi] (integers); |v| < 2^22, see round_by_magic.
#define ROUND_MAGIC 12582912.f
LANE_INLINE vf round_clamped(vf v, int lo, int hi)
{
    const int32_t magic = 0x4b400000;       // the bits of ROUND_MAGIC; those of the sums beside it count up one by one
    const vi bits = min_int(max_int((vi)(v + ROUND_MAGIC), splat_int(magic + lo)), splat_int(magic + hi));
    return (vf)bits - ROUND_MAGIC;
}

// The nearest integer, by the same bits as round_by_magic for any v.
LANE_INLINE vi round_bits(vf v) { return ((vi)(v + ROUND_MAGIC) & 0x007fffff) - 0x00400000; }

LANE_INLINE vf to_float(vi v) { return __builtin_convertvector(v, vf); }

// The first and the second halves of a and b, woven into each other: a0 b0 a1 b1 ...
#if LANES == 16
#define WEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define WEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define WEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define WEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define WEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define WEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

// Transposes a LANES x LANES tile in place by perfect shuffles: after log2(LANES) rounds row and column bits have
// changed places.
LANE_INLINE void transpose(vf t[LANES])
{
    for (int round = 1; round < LANES; round *= 2) {
        vf next[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i]     = WEAVE_LOW(t[i], t[i + LANES / 2]);
            next[2 * i + 1] = WEAVE_HIGH(t[i], t[i + LANES / 2]);
        }
        for (int i = 0; i < LANES; i++) t[i] = next[i];
    }
}
