// decode: weights of every type, sixteen consecutive ones of a row at a time (a group: one for each partial sum).
//
// For each dtype T, group<T> has: raw, what a thread holds while the bytes travel; load(), which only loads, so that
// several groups can be in flight; values(), the sixteen weights as F32, with the operations and their order of
// quant/'s plain decoders.
// Layouts: quant/blocks.h. Blocks of 144 and 176 bytes keep 16-byte alignment; those of 20, 24 and 84 keep 4; the rest
// 2: they are read as aligned words and shifted. The last such word may begin in the tensor and end behind it:
// WEIGHT_PADDING in kernels.h.
#ifndef HALLMARK_RUNTIME_CUDA_DECODE_CUH
#define HALLMARK_RUNTIME_CUDA_DECODE_CUH

#include "dev.cuh"
#include "kernels.h"

DEV uint32_t load_u16(const uint8_t *p) { return __ldg(reinterpret_cast<const uint16_t *>(p)); }
DEV uint32_t load_u32(const uint8_t *p) { return __ldg(reinterpret_cast<const uint32_t *>(p)); }
DEV uint4    load_16(const uint8_t *p)  { return __ldg(reinterpret_cast<const uint4 *>(p)); }

DEV uint32_t load_u32_by2(const uint8_t *p) { return load_u16(p) | load_u16(p + 2) << 16; }
DEV uint4    load_16_by2(const uint8_t *p)
{
    const uint32_t odd = (uint32_t)(uintptr_t)p & 2, shift = 8 * odd;
    const uint8_t *w = p - odd;
    const uint32_t a = load_u32(w), b = load_u32(w + 4), c = load_u32(w + 8), d = load_u32(w + 12),
                   e = odd ? load_u32(w + 16) : 0;
    return make_uint4(__funnelshift_r(a, b, shift), __funnelshift_r(b, c, shift), __funnelshift_r(c, d, shift),
                      __funnelshift_r(d, e, shift));
}
DEV uint4    load_16_by4(const uint8_t *p)
{
    return make_uint4(load_u32(p), load_u32(p + 4), load_u32(p + 8), load_u32(p + 12));
}

// i is constant after unrolling
DEV uint32_t word_of(uint4 v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }
DEV uint32_t byte_of(uint4 v, int i) { return word_of(v, i >> 2) >> (8 * (i & 3)) & 255; }

// A row cut for the threads: where it lies, how many weights it has, whether 16-byte loads are allowed (its start and
// length are multiples of 16 bytes; matters to the plain types only).
struct row_view { const uint8_t *p; int64_t cols; bool vectors; };

template <int T> struct group;

template <> struct group<DT_F32> {
    struct raw { uint4 v[4]; };
    DEV raw load(row_view r, int64_t g)
    {
        raw a;
        if (r.vectors) {
#pragma unroll
            for (int i = 0; i < 4; i++) a.v[i] = load_16(r.p + 64 * g + 16 * i);
        } else {
            uint32_t u[16];
#pragma unroll
            for (int i = 0; i < 16; i++) u[i] = 16 * g + i < r.cols ? load_u32(r.p + 64 * g + 4 * i) : 0;
#pragma unroll
            for (int i = 0; i < 4; i++) a.v[i] = make_uint4(u[4 * i], u[4 * i + 1], u[4 * i + 2], u[4 * i + 3]);
        }
        return a;
    }
    DEV void values(float out[LANES], const raw &a, int64_t)
    {
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = __uint_as_float(word_of(a.v[i >> 2], i & 3));
    }
};

struct raw_16bit { uint4 v[2]; };

DEV raw_16bit load_16bit(row_view r, int64_t g)
{
    raw_16bit a;
    if (r.vectors) {
        a.v[0] = load_16(r.p + 32 * g);
        a.v[1] = load_16(r.p + 32 * g + 16);
    } else {
        uint32_t u[16];
#pragma unroll
        for (int i = 0; i < 16; i++) u[i] = 16 * g + i < r.cols ? load_u16(r.p + 32 * g + 2 * i) : 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
            a.v[i] = make_uint4(u[8 * i] | u[8 * i + 1] << 16, u[8 * i + 2] | u[8 * i + 3] << 16,
                                u[8 * i + 4] | u[8 * i + 5] << 16, u[8 * i + 6] | u[8 * i + 7] << 16);
    }
    return a;
}

template <> struct group<DT_BF16> {
    typedef raw_16bit raw;
    DEV raw load(row_view r, int64_t g) { return load_16bit(r, g); }
    DEV void values(float out[LANES], const raw &a, int64_t)
    {
#pragma unroll
        for (int i = 0; i < LANES; i += 2) {
            const uint32_t u = word_of(a.v[i >> 3], (i >> 1) & 3);
            out[i] = __uint_as_float(u << 16);
            out[i + 1] = __uint_as_float(u & 0xffff0000u);
        }
    }
};

template <> struct group<DT_F16> {
    typedef raw_16bit raw;
    DEV raw load(row_view r, int64_t g) { return load_16bit(r, g); }
    DEV void values(float out[LANES], const raw &a, int64_t)
    {
#pragma unroll
        for (int i = 0; i < LANES; i += 2) {
            const uint32_t u = word_of(a.v[i >> 3], (i >> 1) & 3);
            out[i] = f32_of_f16(u & 0xffffu);
            out[i + 1] = f32_of_f16(u >> 16);
        }
    }
};

// ---- blocks of 32 ---------------------------------------------------------------------------------------------------

struct raw_small { uint4 codes; uint32_t scales, high; };       // scales: F16 scale, then min

template <> struct group<DT_Q8_0> {
    typedef raw_small raw;
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 2 * 34;
        return { load_16_by2(b + 2 + 16 * (g & 1)), load_u16(b), 0 };
    }
    DEV void values(float out[LANES], const raw &a, int64_t)
    {
        const float d = f32_of_f16(a.scales);
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = d * f32_of_code(byte_of(a.codes, i) ^ 128, 128.0f);
    }
};

template <> struct group<DT_Q4_0> {
    typedef raw_small raw;
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 2 * 18;
        return { load_16_by2(b + 2), load_u16(b), 0 };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const float d = f32_of_f16(a.scales);
        const int shift = 4 * (int)(g & 1);
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = d * f32_of_code(byte_of(a.codes, i) >> shift & 15, 8.0f);
    }
};

template <> struct group<DT_Q4_1> {
    typedef raw_small raw;
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 2 * 20;
        return { load_16_by4(b + 4), load_u32(b), 0 };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const float d = f32_of_f16(a.scales & 0xffffu), m = f32_of_f16(a.scales >> 16);
        const int shift = 4 * (int)(g & 1);
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = d * f32_of_code(byte_of(a.codes, i) >> shift & 15, 0.0f) + m;
    }
};

template <> struct group<DT_Q5_0> {
    typedef raw_small raw;
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 2 * 22;
        return { load_16_by2(b + 6), load_u16(b), load_u32_by2(b + 2) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const float d = f32_of_f16(a.scales);
        const int shift = 4 * (int)(g & 1);
        const uint32_t high = a.high >> 16 * (g & 1);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            out[i] = d * f32_of_code((byte_of(a.codes, i) >> shift & 15) | (high >> i & 1) << 4, 16.0f);
    }
};

template <> struct group<DT_Q5_1> {
    typedef raw_small raw;
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 2 * 24;
        return { load_16_by4(b + 8), load_u32(b), load_u32(b + 4) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const float d = f32_of_f16(a.scales & 0xffffu), m = f32_of_f16(a.scales >> 16);
        const int shift = 4 * (int)(g & 1);
        const uint32_t high = a.high >> 16 * (g & 1);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            out[i] = d * f32_of_code((byte_of(a.codes, i) >> shift & 15) | (high >> i & 1) << 4, 0.0f) + m;
    }
};

// ---- super-blocks of 256: a group is sub-block j = g % 16 -----------------------------------------------------------

template <> struct group<DT_Q2_K> {
    struct raw { uint4 codes; uint32_t scales, sub; };
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 16 * 84;
        const int j = (int)(g % 16);
        return { load_16_by4(b + 16 + 32 * (j / 8) + 16 * (j & 1)), load_u32(b + 80), __ldg(b + j) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const float d = f32_of_f16(a.scales & 0xffffu) * (float)(a.sub & 15),
                    m = f32_of_f16(a.scales >> 16) * (float)(a.sub >> 4);
        const int shift = 2 * ((int)(g % 8) / 2);
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = d * f32_of_code(byte_of(a.codes, i) >> shift & 3, 0.0f) - m;
    }
};

template <> struct group<DT_Q3_K> {
    struct raw { uint4 codes, high; uint32_t scale, low4, high2; };
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 16 * 110;
        const int j = (int)(g % 16);
        const uint32_t low = __ldg(b + 96 + j % 8), high = __ldg(b + 96 + 8 + j % 4);
        return { load_16_by2(b + 32 + 32 * (j / 8) + 16 * (j & 1)), load_16_by2(b + 16 * (j & 1)), load_u16(b + 108),
                 j < 8 ? low & 15 : low >> 4, high >> (2 * (j / 4)) & 3 };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const int j = (int)(g % 16), shift = 2 * (j % 8 / 2), bit = j / 2;
        const float d = f32_of_f16(a.scale) * f32_of_code(a.low4 | a.high2 << 4, 32.0f);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            out[i] = d * f32_of_code((byte_of(a.codes, i) >> shift & 3) | (byte_of(a.high, i) >> bit & 1) << 2, 4.0f);
    }
};

// Scale and min of sub-block of 32 number p, of the 12 bytes in words y, z, w of a block's first 16 (k4_scale_min in
// blocks.h).
DEV void k4_scales(uint4 head, int p, float *d, float *m)
{
    const int at = 8 * (p & 3);
    const uint32_t s = head.y >> at & 255, o = head.z >> at & 255, x = head.w >> at & 255;
    const uint32_t scale = p < 4 ? s & 63 : (x & 15) | (s >> 6) << 4, min = p < 4 ? o & 63 : (x >> 4) | (o >> 6) << 4;
    *d = f32_of_f16(head.x & 0xffffu) * (float)scale;
    *m = f32_of_f16(head.x >> 16) * (float)min;
}

template <> struct group<DT_Q4_K> {
    struct raw { uint4 head, codes; };
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 16 * 144;
        const int j = (int)(g % 16);
        return { load_16(b), load_16(b + 16 + 32 * (j / 4) + 16 * (j & 1)) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const int p = (int)(g % 16) / 2, shift = 4 * (p & 1);
        float d, m;
        k4_scales(a.head, p, &d, &m);
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = d * f32_of_code(byte_of(a.codes, i) >> shift & 15, 0.0f) - m;
    }
};

template <> struct group<DT_Q5_K> {
    struct raw { uint4 head, high, codes; };
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 16 * 176;
        const int j = (int)(g % 16);
        return { load_16(b), load_16(b + 16 + 16 * (j & 1)), load_16(b + 48 + 32 * (j / 4) + 16 * (j & 1)) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const int p = (int)(g % 16) / 2, shift = 4 * (p & 1);
        float d, m;
        k4_scales(a.head, p, &d, &m);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            out[i] = d * f32_of_code((byte_of(a.codes, i) >> shift & 15) | (byte_of(a.high, i) >> p & 1) << 4, 0.0f) -
                     m;
    }
};

template <> struct group<DT_Q6_K> {
    struct raw { uint4 low, high; uint32_t scale; int32_t sub; };
    DEV raw load(row_view r, int64_t g)
    {
        const uint8_t *b = r.p + g / 16 * 210;
        const int j = (int)(g % 16), half = j / 8, quarter = j % 8 / 2, at = 16 * (j & 1);
        return { load_16_by2(b + 64 * half + 32 * (quarter & 1) + at), load_16_by2(b + 128 + 32 * half + at),
                 load_u16(b + 208), (int8_t)__ldg(b + 192 + j) };
    }
    DEV void values(float out[LANES], const raw &a, int64_t g)
    {
        const int quarter = (int)(g % 8) / 2, low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
        const float d = f32_of_f16(a.scale) * (float)a.sub;
#pragma unroll
        for (int i = 0; i < LANES; i++)
            out[i] = d *
                     f32_of_code((byte_of(a.low, i) >> low_shift & 15) | (byte_of(a.high, i) >> high_shift & 3) << 4,
                                 32.0f);
    }
};

// Every type that has a group, for the tables of the launchers.
#define FOR_WEIGHT_TYPES(X)                                                                                            \
    X(DT_F32) X(DT_BF16) X(DT_F16) X(DT_Q8_0) X(DT_Q4_0) X(DT_Q4_1) X(DT_Q5_0) X(DT_Q5_1) X(DT_Q2_K) X(DT_Q3_K)        \
    X(DT_Q4_K) X(DT_Q5_K) X(DT_Q6_K)

// How a matrix is cut into rows.
static inline bool view_of(const gpu_matrix *w, int64_t *row_bytes, bool *vectors, err *e)
{
    if (!dtype_row_bytes(w->type, w->cols, row_bytes))
        return err_set(e, ERR_SYSTEM, "rows of %lld do not divide into blocks of %s", (long long)w->cols,
                       dtype_name(w->type));
    *vectors = *row_bytes % 16 == 0 && w->cols % LANES == 0;
    return true;
}

static inline bool unknown_type(dtype t, err *e)
{
    return err_set(e, ERR_SYSTEM, "device cuda: no kernel for weights of type %s", dtype_name(t));
}

#endif
