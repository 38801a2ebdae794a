// kv_formats: the types of a KV cache on a device: how an element is read and how a unit is stored. Each type is a
// specialisation; there is no general case, so a type in the table without one does not compile. Twins: the codecs of
// quant/codec.h, same bytes and values.
#ifndef HALLMARK_RUNTIME_CUDA_KV_FORMATS_CUH
#define HALLMARK_RUNTIME_CUDA_KV_FORMATS_CUH

#include "../../quant/blocks.h"
#include "../../device/formats_c.h"
#include "dev.cuh"

#define FOR_KV_TYPES(X)                                                                                                \
    X(DT_F32) X(DT_BF16) X(DT_F16) X(DT_Q8_0) X(DT_Q5_1) X(DT_Q5_0) X(DT_Q4_1) X(DT_Q4_0) X(DT_IQ4_NL)

static inline bool unknown_kv(int t, err *e)
{
    return err_set(e, ERR_SYSTEM, "device cuda: no kernel for a KV cache of type %s", dtype_name((dtype)t));
}

DEV float magnitude(float x) { return fabsf(x); }
DEV bool  is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }
DEV bool  fits_f16(uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

// As truncate_x86 in quant/scalar.h.
DEV int32_t truncated(float v) { return v > -2147483648.0f && v < 2147483648.0f ? (int32_t)v : INT32_MIN; }

// As round_away in quant/codec_scalar.h.
DEV int8_t rounded_away(float v)
{
    const bool in_range = magnitude(v) < 1e6f;
    const int32_t t = in_range ? (int32_t)v : 0;
    const float rest = in_range ? v - (float)t : 0.0f;
    return (int8_t)(t + (rest >= 0.5f) - (rest <= -0.5f));
}

// The value of largest magnitude of a block, the first where several are equal. *finite: all are numbers.
DEV float extreme_of(const float *x, bool *finite)
{
    float max = 0.0f, extreme = 0.0f;
    *finite = true;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const float a = magnitude(x[i]);
        *finite = *finite && is_finite(a);
        if (max < a) { max = a; extreme = x[i]; }
    }
    return extreme;
}

// Code of x around `half`, 0 .. 2 * half - 1: symmetric_codes.
DEV uint32_t symmetric_code(float x, float inverse, int half)
{
    const int8_t q = (int8_t)truncated(x * inverse + ((float)half + 0.5f));
    return (uint32_t)(uint8_t)(q < 2 * half - 1 ? q : 2 * half - 1);
}

// Code of x from `low` up, 0 .. top: affine_codes.
DEV uint32_t affine_code(float x, float low, float inverse, int top)
{
    const int8_t q = (int8_t)truncated((x - low) * inverse + 0.5f);
    return (uint32_t)(uint8_t)(q < top ? q : top);
}

// Nibbles of 32 codes, the low ones first; and their fifth bits as a little-endian word.
template <class F> DEV uint32_t store_nibbles(uint8_t *q, F code)
{
    uint32_t high = 0;
    for (int i = 0; i < QUANT_BLOCK / 2; i++) {
        const uint32_t a = code(i), b = code(i + QUANT_BLOCK / 2);
        q[i] = (uint8_t)((a & 15) | (b & 15) << 4);
        high |= (a >> 4 & 1) << i | (b >> 4 & 1) << (i + QUANT_BLOCK / 2);
    }
    return high;
}

DEV void store_word(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

// Element i of 32: its nibble of q, and bit i of the four bytes at `high`.
DEV uint32_t nibble_of(const uint8_t *q, int i)
{
    return (i < QUANT_BLOCK / 2 ? q[i] : q[i - QUANT_BLOCK / 2] >> 4) & 15;
}
DEV uint32_t fifth_of(const uint8_t *high, int i) { return (uint32_t)(high[i / 8] >> i % 8 & 1) << 4; }

// iq4_nl_values, eight bytes a word.
DEV float iq4_nl_value(uint32_t code)
{
    const uint64_t low = 0xf6eaddcfbfad9881ull, high = 0x7159453526190d01ull;
    return (float)(int8_t)(uint8_t)((code < 8 ? low : high) >> 8 * (code & 7));
}

// width: elements that are stored together. value: element 16 g + l (l < 16) of one position's one head; g is a
// constant after unrolling, so that one address serves all of a head's; plain loads: K and V are written while the
// program runs. store: unit u of a row; false when it does not fit.
template <int T> struct kv_format;

template <> struct kv_format<DT_F32> {
    enum { width = 1 };
    DEV float value(const uint8_t *head, int g, int l) { return reinterpret_cast<const float *>(head)[g * LANES + l]; }
    DEV bool  store(uint8_t *row, int64_t u, const float *x) { reinterpret_cast<float *>(row)[u] = *x; return true; }
};

template <> struct kv_format<DT_BF16> {
    enum { width = 1 };
    DEV float value(const uint8_t *head, int g, int l)
    {
        return f32_of_bf16(reinterpret_cast<const uint16_t *>(head)[g * LANES + l]);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        reinterpret_cast<uint16_t *>(row)[u] = bf16_of_f32(*x);
        return true;
    }
};

template <> struct kv_format<DT_F16> {
    enum { width = 1 };
    DEV float value(const uint8_t *head, int g, int l)
    {
        return f32_of_f16(reinterpret_cast<const uint16_t *>(head)[g * LANES + l]);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        reinterpret_cast<uint16_t *>(row)[u] = f16_of_f32(*x);
        return true;
    }
};

// A block in the row of a head: 32 elements, two groups of LANES.
template <class B> DEV const B *block_at(const uint8_t *head, int g)
{
    return reinterpret_cast<const B *>(head) + g / 2;
}
DEV int in_block(int g, int l) { return g % 2 * LANES + l; }

template <> struct kv_format<DT_Q8_0> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const q8_0_block *b = block_at<q8_0_block>(head, g);
        return f32_of_f16(b->scale) * (float)b->q[in_block(g, l)];
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        q8_0_block *b = reinterpret_cast<q8_0_block *>(row) + u;
        bool finite;
        const float scale = magnitude(extreme_of(x, &finite)) / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        b->scale = f16_of_f32(scale);
        for (int i = 0; i < QUANT_BLOCK; i++) b->q[i] = rounded_away(x[i] * inverse);
        return finite && fits_f16(b->scale);
    }
};

template <> struct kv_format<DT_Q4_0> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const q4_0_block *b = block_at<q4_0_block>(head, g);
        return f32_of_f16(b->scale) * f32_of_code(nibble_of(b->q, in_block(g, l)), 8.0f);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        q4_0_block *b = reinterpret_cast<q4_0_block *>(row) + u;
        bool finite;
        const float scale = extreme_of(x, &finite) / -8.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        b->scale = f16_of_f32(scale);
        store_nibbles(b->q, [&](int i) { return symmetric_code(x[i], inverse, 8); });
        return finite && fits_f16(b->scale);
    }
};

template <> struct kv_format<DT_Q5_0> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const q5_0_block *b = block_at<q5_0_block>(head, g);
        const int i = in_block(g, l);
        return f32_of_f16(b->scale) * f32_of_code(nibble_of(b->q, i) | fifth_of(b->high, i), 16.0f);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        q5_0_block *b = reinterpret_cast<q5_0_block *>(row) + u;
        bool finite;
        const float scale = extreme_of(x, &finite) / -16.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        b->scale = f16_of_f32(scale);
        store_word(b->high, store_nibbles(b->q, [&](int i) { return symmetric_code(x[i], inverse, 16); }));
        return finite && fits_f16(b->scale);
    }
};

// The smallest and largest of a block. *finite: all are numbers.
DEV float range_of(const float *x, float *low, bool *finite)
{
    float lo = 3.402823466e+38f, hi = -3.402823466e+38f;
    *finite = true;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        *finite = *finite && is_finite(x[i]);
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    *low = lo;
    return hi - lo;
}

template <> struct kv_format<DT_Q4_1> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const q4_1_block *b = block_at<q4_1_block>(head, g);
        return (float)nibble_of(b->q, in_block(g, l)) * f32_of_f16(b->scale) + f32_of_f16(b->min);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        q4_1_block *b = reinterpret_cast<q4_1_block *>(row) + u;
        bool finite;
        float low;
        const float scale = range_of(x, &low, &finite) / 15.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        b->scale = f16_of_f32(scale);
        b->min = f16_of_f32(low);
        store_nibbles(b->q, [&](int i) { return affine_code(x[i], low, inverse, 15); });
        return finite && fits_f16(b->scale) && fits_f16(b->min);
    }
};

template <> struct kv_format<DT_Q5_1> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const q5_1_block *b = block_at<q5_1_block>(head, g);
        const int i = in_block(g, l);
        return (float)(nibble_of(b->q, i) | fifth_of(b->high, i)) * f32_of_f16(b->scale) + f32_of_f16(b->min);
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        q5_1_block *b = reinterpret_cast<q5_1_block *>(row) + u;
        bool finite;
        float low;
        const float scale = range_of(x, &low, &finite) / 31.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        b->scale = f16_of_f32(scale);
        b->min = f16_of_f32(low);
        store_word(b->high, store_nibbles(b->q, [&](int i) { return affine_code(x[i], low, inverse, 31); }));
        return finite && fits_f16(b->scale) && fits_f16(b->min);
    }
};

template <> struct kv_format<DT_IQ4_NL> {
    enum { width = QUANT_BLOCK };
    DEV float value(const uint8_t *head, int g, int l)
    {
        const iq4_nl_block *b = block_at<iq4_nl_block>(head, g);
        return f32_of_f16(b->scale) * iq4_nl_value(nibble_of(b->q, in_block(g, l)));
    }
    // The code whose value is nearest to x, of two as near the higher: `nearest` in quant/codec_iq4_nl.c.
    DEV uint32_t code(float x)
    {
        uint32_t c = 0;
        if (x >= iq4_nl_value(15)) return 15;
        while (c < 14 && x >= iq4_nl_value(c + 1)) c++;
        return c == 0 && x <= iq4_nl_value(0) ? 0 : x - iq4_nl_value(c) < iq4_nl_value(c + 1) - x ? c : c + 1;
    }
    DEV bool store(uint8_t *row, int64_t u, const float *x)
    {
        iq4_nl_block *b = reinterpret_cast<iq4_nl_block *>(row) + u;
        bool finite;
        const float extreme = extreme_of(x, &finite);
        const bool zeros = magnitude(extreme) < 1e-15f;
        const float inverse = zeros ? 0.0f : 1.0f / (extreme / iq4_nl_value(0));
        float sum_qx = 0.0f, sum_qq = 0.0f;
        for (int i = 0; i < QUANT_BLOCK; i++) {
            const float q = iq4_nl_value(code(inverse * x[i])), w = x[i] * x[i];
            sum_qx = sum_qx + w * q * x[i];
            sum_qq = sum_qq + w * q * q;
        }
        b->scale = f16_of_f32(zeros ? 0.0f : sum_qx / sum_qq);
        store_nibbles(b->q, [&](int i) { return zeros ? 0u : code(inverse * x[i]); });
        return finite && fits_f16(b->scale);
    }
};

#endif
