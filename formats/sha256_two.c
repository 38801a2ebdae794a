#include "sha256_two.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

// FIPS 180-4, section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define SHA __attribute__((target("sha,sse4.1"))) static inline

// One digest in the instructions' own layout: working variables A B E F in one register and C D G H in the other, the
// first letter highest; w: the last sixteen words of the schedule, four to a register, a ring.
typedef struct { __m128i abef, cdgh, w[4]; const uint8_t *p; } lane;

SHA void lane_load(lane *l, const uint32_t h[8], const uint8_t *p)
{
    l->abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
    l->cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
    l->p    = p;
}

SHA void lane_store(const lane *l, uint32_t h[8])
{
    h[0] = (uint32_t)_mm_extract_epi32(l->abef, 3), h[1] = (uint32_t)_mm_extract_epi32(l->abef, 2);
    h[2] = (uint32_t)_mm_extract_epi32(l->cdgh, 3), h[3] = (uint32_t)_mm_extract_epi32(l->cdgh, 2);
    h[4] = (uint32_t)_mm_extract_epi32(l->abef, 1), h[5] = (uint32_t)_mm_extract_epi32(l->abef, 0);
    h[6] = (uint32_t)_mm_extract_epi32(l->cdgh, 1), h[7] = (uint32_t)_mm_extract_epi32(l->cdgh, 0);
}

// Rounds 4 g to 4 g + 3.
SHA void four_rounds(lane *l, int g)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i w;
    if (g < 4) {
        w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(l->p + 16 * g)), big_endian);
    } else {        // W[t] = s1(W[t - 2]) + W[t - 7] + s0(W[t - 15]) + W[t - 16]
        const __m128i w16 = l->w[g & 3], w12 = l->w[(g + 1) & 3], w8 = l->w[(g + 2) & 3], w4 = l->w[(g + 3) & 3];
        w = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4)), w4);
    }
    l->w[g & 3] = w;
    const __m128i wk = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)(K + 4 * g)));
    // two rounds on, A B E F are what C D G H will be
    const __m128i half = _mm_sha256rnds2_epu32(l->cdgh, l->abef, wk);
    l->cdgh = l->abef;
    l->abef = half;
    const __m128i next = _mm_sha256rnds2_epu32(l->cdgh, l->abef, _mm_shuffle_epi32(wk, 0x0e));
    l->cdgh = l->abef;
    l->abef = next;
}

__attribute__((target("sha,sse4.1")))
static void two_blocks(uint32_t a[8], const uint8_t *x, uint32_t b[8], const uint8_t *y, int64_t n_blocks)
{
    lane l, m;
    lane_load(&l, a, x);
    lane_load(&m, b, y);
    for (; n_blocks > 0; n_blocks--, l.p += 64, m.p += 64) {
        const __m128i l0 = l.abef, l1 = l.cdgh, m0 = m.abef, m1 = m.cdgh;
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 16
#endif
        for (int g = 0; g < 16; g++) {
            four_rounds(&l, g);
            four_rounds(&m, g);
        }
        l.abef = _mm_add_epi32(l.abef, l0), l.cdgh = _mm_add_epi32(l.cdgh, l1);
        m.abef = _mm_add_epi32(m.abef, m0), m.cdgh = _mm_add_epi32(m.cdgh, m1);
    }
    lane_store(&l, a);
    lane_store(&m, b);
}

// Leaf 7, EBX bit 29 (Intel SDM, volume 2, CPUID). The vector instructions beside them are the build's baseline.
static bool has_sha(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

sha256_two_blocks *sha256_two_find(void)
{
    // 0: not asked yet. The one variable here that changes, always to the same value: in a virtual machine CPUID takes
    // longer than many blocks.
    static atomic_int known;
    int k = atomic_load_explicit(&known, memory_order_relaxed);
    if (k == 0) atomic_store_explicit(&known, k = has_sha() ? 1 : 2, memory_order_relaxed);
    return k == 1 ? two_blocks : NULL;
}

#else

sha256_two_blocks *sha256_two_find(void) { return NULL; }

#endif
