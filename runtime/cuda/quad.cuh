// quad: weights of every type out of shared memory, for the vector product. Four threads share a row: of every sixteen
// columns thread q takes 4 q .. 4 q + 3, so that it owns four of the sixteen partial sums and no weight passes between
// threads.
//
// For each dtype T, quad<T> has: BLOCK, weights of a block; COLUMNS, what is staged of a row at a time; BYTES, how many
// bytes those are; ALIGN, what a row's address is a multiple of; PITCH, bytes from one row's stage to the next one's;
// state, what is decoded once a stage; stage(), which makes it; weights(), which gives columns 16 g + 4 q .. + 3 as F32
// (addresses begin with what varies by thread: the rest is part of the instruction), by one of two ways: plain types
// quickly where rows begin on 16 bytes and the stage is whole, else one by one up to `left` columns; those that CHOOSE
// by the stage's own state.near; the others know one way. Layouts: quant/blocks.h. The values are those of quant/'s
// plain decoders. Where scale times code is exact, as it nearly always is (the scale has 11 to 19 bits, the code 8 at
// most), one fused operation stands for two; a block whose scale is not finite gives NaN where two operations may give
// an infinity.
#ifndef HALLMARK_RUNTIME_CUDA_QUAD_CUH
#define HALLMARK_RUNTIME_CUDA_QUAD_CUH

#include "dev.cuh"
#include "kernels.h"

enum { QUAD = 4, QUAD_ROWS = WARP / QUAD };

// ---- words ----------------------------------------------------------------------------------------------------------

// Codes become numbers by being put into the bits of one: no conversion instruction, which is slow. Byte i of w (i
// constant) as F32:
DEV float f32_of_byte(uint32_t w, int i)
{
    return __uint_as_float(__byte_perm(w, 0x4b000000u, 0x7540 | i)) - 8388608.0f;
}

// The same plus 2^15, which the caller takes away in a fused multiply-add: exact where scale times 2^15 plus bias has
// no more than 24 bits.
DEV float above_2_15(uint32_t w, int i) { return __uint_as_float(__byte_perm(w, 0x47000000u, 0x7604 | i << 4)); }

// Byte i of w as the upper mantissa of a number whose highest byte is `top`: a small offset, for scales that have many
// bits themselves.
DEV float above_small(uint32_t w, int i, uint32_t top)
{
    return __uint_as_float(__byte_perm(w, top << 24, 0x7054 | i << 8));
}

DEV uint32_t shared_word(const uint8_t *p) { return *reinterpret_cast<const uint32_t *>(p); }    // p: a multiple of 4

// Little-endian words of a stage that begins on a multiple of 2: each comes from the two aligned words around it, at an
// address that has all of what varies by thread in its base, whichever way the stage lies.
// bases for offsets of 4 n, and of 4 n + 2; what to shift the former by
struct odd_words { const uint8_t *by4, *by2; uint32_t shift; };

DEV odd_words odd_words_at(const uint8_t *b, int q)
{
    const int odd = (int)((uintptr_t)b & 2);
    return { b - odd + 4 * q, b + odd - 2 + 4 * q, 8 * (uint32_t)odd };
}

// The word at offset `at` (constant, even) plus 4 q.
DEV uint32_t odd_word(const odd_words &s, int at)
{
    const uint8_t *p = (at % 4 ? s.by2 : s.by4) + at;
    return __funnelshift_r(shared_word(p), shared_word(p + 4), at % 4 ? 16 - s.shift : s.shift);
}

DEV uint32_t shared_half(const uint8_t *p) { return *reinterpret_cast<const uint16_t *>(p); }

// Bytes between two rows' stages: room for a row that begins anywhere in its first 16 bytes, and rows in other banks
// when eight of them are read at once by accesses of 4 bytes (an odd number of 16), 8 (2 modulo 8) or 16 (4 modulo 8).
constexpr int quad_pitch(int bytes, int align, int access)
{
    const int least = (bytes + (align < 16 ? 15 : 0) + 15) / 16, step = access / 4, rest = least % (2 * step);
    return 16 * (least + (rest <= step ? step - rest : 3 * step - rest));
}

template <int T> struct quad;

#define QUAD_SHAPE(block, columns, bytes, align, access) \
    enum { BLOCK = block, COLUMNS = columns, BYTES = bytes, ALIGN = align, PITCH = quad_pitch(bytes, align, access) }

// ---- plain types ----------------------------------------------------------------------------------------------------

template <> struct quad<DT_F32> {
    QUAD_SHAPE(1, 64, 256, 4, 16);
    struct state {};
    DEV state stage(const uint8_t *, int) { return {}; }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &, const uint8_t *row, int q, int g, int left)
    {
        const int c = LANES * g + QUAD * q;
        if constexpr (QUICK) {
            const float4 v = *reinterpret_cast<const float4 *>(row + 4 * QUAD * q + 4 * LANES * g);
            w[0] = v.x; w[1] = v.y; w[2] = v.z; w[3] = v.w;
        } else {
#pragma unroll
            for (int i = 0; i < QUAD; i++)
                w[i] = c + i < left ? *reinterpret_cast<const float *>(row + 4 * (c + i)) : 0.0f;
        }
    }
};

// Bits of four 16-bit numbers, two a word.
template <bool QUICK> DEV uint2 quad_halves(const uint8_t *row, int q, int g, int left)
{
    if constexpr (QUICK) {
        return *reinterpret_cast<const uint2 *>(row + 2 * QUAD * q + 2 * LANES * g);
    } else {
        const int c = LANES * g + QUAD * q;
        uint32_t u[QUAD];
#pragma unroll
        for (int i = 0; i < QUAD; i++) u[i] = c + i < left ? shared_half(row + 2 * (c + i)) : 0;
        return make_uint2(u[0] | u[1] << 16, u[2] | u[3] << 16);
    }
}

template <> struct quad<DT_BF16> {
    QUAD_SHAPE(1, 128, 256, 2, 8);
    struct state {};
    DEV state stage(const uint8_t *, int) { return {}; }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &, const uint8_t *row, int q, int g, int left)
    {
        const uint2 u = quad_halves<QUICK>(row, q, g, left);
        w[0] = __uint_as_float(u.x << 16);
        w[1] = __uint_as_float(u.x & 0xffff0000u);
        w[2] = __uint_as_float(u.y << 16);
        w[3] = __uint_as_float(u.y & 0xffff0000u);
    }
};

template <> struct quad<DT_F16> {
    QUAD_SHAPE(1, 128, 256, 2, 8);
    struct state {};
    DEV state stage(const uint8_t *, int) { return {}; }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &, const uint8_t *row, int q, int g, int left)
    {
        const uint2 u = quad_halves<QUICK>(row, q, g, left);
        w[0] = f32_of_f16(u.x & 0xffffu);
        w[1] = f32_of_f16(u.x >> 16);
        w[2] = f32_of_f16(u.y & 0xffffu);
        w[3] = f32_of_f16(u.y >> 16);
    }
};

// ---- blocks of 32: group g is half g % 2 of block g / 2 -------------------------------------------------------------

template <> struct quad<DT_Q8_0> {
    QUAD_SHAPE(32, 256, 272, 2, 4);
    typedef odd_words state;
    DEV state stage(const uint8_t *b, int q) { return odd_words_at(b, q); }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int, int g, int)
    {
        const float d = f32_of_f16(shared_half(b + g / 2 * 34));
        const float away = -(32768.0f + 128.0f) * d;
        const uint32_t codes = odd_word(s, g / 2 * 34 + 2 + 16 * (g & 1)) ^ 0x80808080u;
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_2_15(codes, i), away);
    }
};

// Four low or high nibbles of a word, a byte each.
DEV uint32_t nibbles(uint32_t w, int high) { return (high ? w >> 4 : w) & 0x0f0f0f0fu; }

// Bits 4 q .. 4 q + 3, each as bit 4 of a byte: the fifth bits of four codes.
DEV uint32_t fifth_bits(uint32_t bits, int q)
{
    return ((bits >> (4 * q) & 15) * 0x00204081u & 0x01010101u) << 4;    // the product puts a copy of bit i at bit 8 i
}

template <> struct quad<DT_Q4_0> {
    QUAD_SHAPE(32, 256, 144, 2, 4);
    typedef odd_words state;
    DEV state stage(const uint8_t *b, int q) { return odd_words_at(b, q); }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int, int g, int)
    {
        const float d = f32_of_f16(shared_half(b + g / 2 * 18));
        const float away = -(32768.0f + 8.0f) * d;
        const uint32_t codes = nibbles(odd_word(s, g / 2 * 18 + 2), g & 1);
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_2_15(codes, i), away);
    }
};

template <> struct quad<DT_Q4_1> {
    QUAD_SHAPE(32, 256, 160, 4, 4);
    struct state {};
    DEV state stage(const uint8_t *, int) { return {}; }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &, const uint8_t *b, int q, int g, int)
    {
        const int at = g / 2 * 20;
        const uint32_t scales = shared_word(b + at), codes = nibbles(shared_word(b + 4 * q + (at + 4)), g & 1);
        const float d = f32_of_f16(scales & 0xffffu), m = f32_of_f16(scales >> 16);
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, f32_of_byte(codes, i), m);
    }
};

template <> struct quad<DT_Q5_0> {
    QUAD_SHAPE(32, 256, 176, 2, 4);
    typedef odd_words state;
    DEV state stage(const uint8_t *b, int q) { return odd_words_at(b, q); }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int q, int g, int)
    {
        const int at = g / 2 * 22;
        const float d = f32_of_f16(shared_half(b + at)), away = -(32768.0f + 16.0f) * d;
        const uint32_t codes = nibbles(odd_word(s, at + 6), g & 1) |
                               fifth_bits(shared_half(b + (at + 2 + 2 * (g & 1))), q);
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_2_15(codes, i), away);
    }
};

template <> struct quad<DT_Q5_1> {
    QUAD_SHAPE(32, 256, 192, 4, 4);
    struct state {};
    DEV state stage(const uint8_t *, int) { return {}; }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &, const uint8_t *b, int q, int g, int)
    {
        const int at = g / 2 * 24;
        const uint32_t scales = shared_word(b + at), high = fifth_bits(shared_half(b + (at + 4 + 2 * (g & 1))), q);
        const uint32_t codes = nibbles(shared_word(b + 4 * q + (at + 8)), g & 1) | high;
        const float d = f32_of_f16(scales & 0xffffu), m = f32_of_f16(scales >> 16);
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, f32_of_byte(codes, i), m);
    }
};

// ---- super-blocks of 256: group g is sub-block g of 16 --------------------------------------------------------------

template <> struct quad<DT_Q2_K> {
    QUAD_SHAPE(256, 256, 84, 4, 4);
    enum { CHOOSES = 0 };
    struct state { float d, m, d_away, m_away; };
    DEV state stage(const uint8_t *b, int)
    {
        const uint32_t scales = shared_word(b + 80);
        const float d = f32_of_f16(scales & 0xffffu), m = f32_of_f16(scales >> 16);
        return { d, m, -32768.0f * d, -32768.0f * m };
    }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int q, int g, int)
    {
        const uint32_t sub = shared_word(b + g / 4 * 4),
                       word = shared_word(b + 4 * q + (16 + 32 * (g / 8) + 16 * (g & 1)));
        const float d = fmaf(s.d, above_2_15(nibbles(sub, 0), g % 4), s.d_away),
                    m = fmaf(s.m, above_2_15(nibbles(sub, 1), g % 4), s.m_away);
        const uint32_t codes = word >> (2 * (g % 8 / 2)) & 0x03030303u;
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, f32_of_byte(codes, i), -m);
    }
};

template <> struct quad<DT_Q3_K> {
    QUAD_SHAPE(256, 256, 110, 2, 4);
    enum { CHOOSES = 0 };
    struct state { odd_words words; float d; uint32_t sub[4]; };    // sub: 6-bit scales of sub-blocks 4 i .. 4 i + 3
    DEV state stage(const uint8_t *b, int q)
    {
        const odd_words all = odd_words_at(b, 0);
        const uint32_t s0 = odd_word(all, 96), s1 = odd_word(all, 100), up = odd_word(all, 104);
        state s = { odd_words_at(b, q), f32_of_f16(shared_half(b + 108)), {} };
#pragma unroll
        for (int i = 0; i < 4; i++) s.sub[i] = nibbles(i % 2 ? s1 : s0, i / 2) | (up >> (2 * i) & 0x03030303u) << 4;
        return s;
    }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *, int, int g, int)
    {
        const uint32_t low = odd_word(s.words, 32 + 32 * (g / 8) + 16 * (g & 1)),
                       high = odd_word(s.words, 16 * (g & 1));
        const float d = s.d * (f32_of_byte(s.sub[g / 4], g % 4) - 32.0f), away = -12.0f * d;
        const uint32_t codes = (low >> (2 * (g % 8 / 2)) & 0x03030303u) << 4 | (high >> (g / 2) & 0x01010101u) << 6;
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_small(codes, i, 0x41), away);       // 8 + code
    }
};

// What Q4_K and Q5_K share. scale, min: those of the eight sub-blocks of 32, 6 bits in a byte each (k4_scale_min in
// blocks.h). m: of the min, negative.
//
// A weight is d q - m, d q exact, rounded once. With the code in the upper mantissa of a number 2^BITS + q (q of BITS
// bits) it is one fused operation, d (2^BITS + q) - (2^BITS d + m), where that last sum is exact: `near`. It is when
// the two F16 scales of the block are of like size, which they are: 2^BITS d has its lowest bit at 2^(BITS + ed - 25)
// or above and is below 2^(BITS + ed - 8), m lies between 2^(em - 25) and 2^(em - 8), where ed and em are the scales'
// exponent fields, at least 1; so for lowest - highest of no more than 24 bits. Elsewhere the code is made a number
// first.
template <int BITS> struct k4_state { float d, m, d_away, m_away; uint32_t scale[2], min[2]; bool near; };

DEV int exponent_field(uint32_t f16)
{
    const int e = (int)(f16 >> 10 & 31);
    return e > 1 ? e : 1;
}

template <int BITS> DEV k4_state<BITS> k4_stage(const uint8_t *b)
{
    const uint4 h = *reinterpret_cast<const uint4 *>(b);
    const float d = f32_of_f16(h.x & 0xffffu), m = -f32_of_f16(h.x >> 16);
    const int apart = exponent_field(h.x >> 16) - exponent_field(h.x);
    return { d, m, -32768.0f * d, -32768.0f * m,
             { h.y & 0x3f3f3f3fu, (h.w & 0x0f0f0f0fu) | (h.y >> 2 & 0x30303030u) },
             { h.z & 0x3f3f3f3fu, (h.w >> 4 & 0x0f0f0f0fu) | (h.z >> 2 & 0x30303030u) },
             apart >= BITS - 6 && apart <= BITS + 6 };
}

// Four weights of sub-block p from their codes, a byte each.
template <bool NEAR, int BITS> DEV void k4_weights(float w[QUAD], const k4_state<BITS> &s, uint32_t codes, int p)
{
    const float d = fmaf(s.d, above_2_15(s.scale[p / 4], p % 4), s.d_away),
                m = fmaf(s.m, above_2_15(s.min[p / 4], p % 4), s.m_away);
    if constexpr (NEAR) {
        const float away = fmaf(d, -(float)(1 << BITS), m);
        // 16 is 0x41800000, 32 is 0x42000000
        const uint32_t raised = BITS == 4 ? codes << 3 | 0x80808080u : codes << 2;
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_small(raised, i, BITS == 4 ? 0x41 : 0x42), away);
    } else {
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, f32_of_byte(codes, i), m);
    }
}

template <> struct quad<DT_Q4_K> {
    QUAD_SHAPE(256, 256, 144, 16, 4);
    enum { CHOOSES = 1 };
    typedef k4_state<4> state;
    DEV state stage(const uint8_t *b, int) { return k4_stage<4>(b); }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int q, int g, int)
    {
        const int p = g / 2;
        k4_weights<QUICK>(w, s, nibbles(shared_word(b + 4 * q + (16 + 32 * (g / 4) + 16 * (g & 1))), p & 1), p);
    }
};

template <> struct quad<DT_Q5_K> {
    QUAD_SHAPE(256, 256, 176, 16, 4);
    enum { CHOOSES = 1 };
    typedef k4_state<5> state;
    DEV state stage(const uint8_t *b, int) { return k4_stage<5>(b); }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *b, int q, int g, int)
    {
        const int p = g / 2;
        const uint32_t low = nibbles(shared_word(b + 4 * q + (48 + 32 * (g / 4) + 16 * (g & 1))), p & 1);
        k4_weights<QUICK>(w, s, low | (shared_word(b + 4 * q + (16 + 16 * (g & 1))) >> p & 0x01010101u) << 4, p);
    }
};

template <> struct quad<DT_Q6_K> {
    QUAD_SHAPE(256, 256, 210, 2, 4);
    enum { CHOOSES = 0 };
    // sub: scales of sub-blocks 4 i .. 4 i + 3, 128 too large
    struct state { odd_words words; float d, away; uint32_t sub[4]; };
    DEV state stage(const uint8_t *b, int q)
    {
        const odd_words all = odd_words_at(b, 0);
        const float d = f32_of_f16(shared_half(b + 208));
        state s = { odd_words_at(b, q), d, -(32768.0f + 128.0f) * d, {} };
#pragma unroll
        for (int i = 0; i < 4; i++) s.sub[i] = odd_word(all, 192 + 4 * i) ^ 0x80808080u;
        return s;
    }
    template <bool QUICK> DEV void weights(float w[QUAD], const state &s, const uint8_t *, int, int g, int)
    {
        const int half = g / 8, quarter = g % 8 / 2, at = 16 * (g & 1);
        const uint32_t low = nibbles(odd_word(s.words, 64 * half + 32 * (quarter & 1) + at), quarter / 2);
        const uint32_t codes = low << 1 |
                               (odd_word(s.words, 128 + 32 * half + at) >> (2 * quarter) & 0x03030303u) << 5 |
                               0x80808080u;
        const float d = fmaf(s.d, above_2_15(s.sub[g / 4], g % 4), s.away), away = -96.0f * d;
#pragma unroll
        for (int i = 0; i < QUAD; i++) w[i] = fmaf(d, above_small(codes, i, 0x42), away);       // 64 + code
    }
};

#endif
