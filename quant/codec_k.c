// codec_k: Q4_K, Q5_K, Q6_K. Super-blocks of 256 weights; each sub-block's scale (and min) is itself a small integer times the
// super-block's F16 scale. Layouts: blocks.h. Q2_K and Q3_K: codec_k_small.c.
// Must equal ggml's quantize_row_<type>_ref, and with importance quantize_<type>, byte for byte.
#include "codec_impl.h"
#include "pack.h"
#include "search.h"

#include <math.h>

enum { SUB32 = QUANT_SUPER / 32, SUB16 = QUANT_SUPER / 16 };     // sub-blocks in a super-block

// ---- Q4_K and Q5_K: affine sub-blocks of 32, which differ only in the number of codes and the grid of the search --------------

typedef struct {
    affine_grid plain, weighted;
    bool        clamp;          // after a weighted search: a scale that came out negative is 63 (Q5_K), or its low byte (Q4_K)
} k4_kind;
static const k4_kind q4_k_kind = { { 15, 20, -1.0f, 0.1f, false }, { 15, 36, -0.9f, 0.05f, false }, false };
static const k4_kind q5_k_kind = { { 31, 15, -0.5f, 0.1f, false }, { 31, 36, -0.9f, 0.05f, false }, true };

typedef struct {            // a super-block before it is packed
    float   scale, min;             // of the super-block, before they become F16
    uint8_t s[SUB32], m[SUB32];     // 6-bit scales and mins
    uint8_t code[QUANT_SUPER];
} k4_choice;

// The sub-blocks' scales and mins, each to 6 bits of the largest.
static void k4_quantize_scales(k4_choice *c, const float scale[SUB32], const float min[SUB32])
{
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < SUB32; j++) {
        if (scale[j] > max_scale) max_scale = scale[j];
        if (min[j] > max_min) max_min = min[j];
    }
    const float inv_scale = max_scale > 0 ? 63.f / max_scale : 0.f;
    const float inv_min   = max_min > 0 ? 63.f / max_min : 0.f;
    for (int j = 0; j < SUB32; j++) {
        const uint8_t s = (uint8_t)round_by_magic(inv_scale * scale[j]);
        const uint8_t m = (uint8_t)round_by_magic(inv_min * min[j]);
        c->s[j] = s < 63 ? s : 63;
        c->m[j] = m < 63 ? m : 63;
    }
    c->scale = max_scale / 63.f;
    c->min   = max_min / 63.f;
}

// Without importance a weight counts by its magnitude plus the root mean square of its sub-block.
static void k4_choose(k4_choice *c, const k4_kind *k, const float *x)
{
    float scale[SUB32], min[SUB32], weight[32];
    for (int j = 0; j < SUB32; j++) {
        const float *xs = x + 32 * j;
        float sum = 0;
        for (int i = 0; i < 32; i++) sum += xs[i] * xs[i];
        const float rms = sqrtf(sum / 32);
        for (int i = 0; i < 32; i++) weight[i] = rms + fabsf(xs[i]);
        scale[j] = search_affine(32, &k->plain, xs, weight, c->code + 32 * j, &min[j]);
    }
    k4_quantize_scales(c, scale, min);
}

// With importance: importance * sqrt(twice the super-block's mean square + x^2), and the scales are fitted by weight as well.
static void k4_choose_weighted(k4_choice *c, const k4_kind *k, const float *x, const float *importance)
{
    float scale[SUB32], min[SUB32], sum_w[SUB32], weight[32], sum = 0;
    for (int i = 0; i < QUANT_SUPER; i++) sum += x[i] * x[i];
    const float sigma2 = 2 * sum / QUANT_SUPER;
    for (int j = 0; j < SUB32; j++) {
        const float *xs = x + 32 * j;
        sum_w[j] = 0;
        for (int i = 0; i < 32; i++) {
            weight[i] = importance[32 * j + i] * sqrtf(sigma2 + xs[i] * xs[i]);
            sum_w[j] += weight[i];
        }
        scale[j] = search_affine(32, &k->weighted, xs, weight, c->code + 32 * j, &min[j]);
    }
    c->scale = search_positive(SUB32, 63, scale, sum_w, c->s);
    c->min   = search_positive(SUB32, 63, min, sum_w, c->m);
    for (int j = 0; k->clamp && j < SUB32; j++) {
        if (c->s[j] > 63) c->s[j] = 63;
        if (c->m[j] > 63) c->m[j] = 63;
    }
}

// Packs the scales, then takes the codes again for the scales as they will be decoded. A sub-block whose scale became 0 keeps the
// codes of its search.
static bool k4_finish(k4_choice *c, uint16_t *scale, uint16_t *min, uint8_t scales[12], const float *x, int top, int64_t col, err *e)
{
    if (!scale_to_f16(scale, c->scale, col, e) || !scale_to_f16(min, c->min, col, e)) return false;
    k4_pack_scales(scales, c->s, c->m);
    const float super_scale = f32_from_f16(*scale), super_min = f32_from_f16(*min);
    for (int j = 0; j < SUB32; j++) {
        uint8_t s, m;
        k4_scale_min(j, scales, &s, &m);
        const float d = super_scale * (float)s, offset = super_min * (float)m;
        if (d == 0) continue;
        for (int i = 32 * j; i < 32 * j + 32; i++) c->code[i] = (uint8_t)clamp_int(round_by_magic((x[i] + offset) / d), 0, top);
    }
    return true;
}

bool q4_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q4_k_block *b = dst;
    k4_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        if (importance) k4_choose_weighted(&c, &q4_k_kind, src + col, importance + col);
        else            k4_choose(&c, &q4_k_kind, src + col);
        if (!k4_finish(&c, &b->scale, &b->min, b->scales, src + col, 15, col, e)) return false;
        k4_pack_nibbles(b->q, c.code);
    }
    return true;
}

void q4_k_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q4_k_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float scale = f32_from_f16(b->scale), min = f32_from_f16(b->min);
        for (int j = 0; j < SUB32; j++) {
            uint8_t s, m;
            k4_scale_min(j, b->scales, &s, &m);
            const float d = scale * (float)s, offset = min * (float)m;
            const int shift = 4 * (j & 1);
            for (int i = 0; i < 32; i++)
                dst[col + 32 * j + i] = d * (float)(b->q[32 * (j / 2) + i] >> shift & 15) - offset;
        }
    }
}

bool q5_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q5_k_block *b = dst;
    k4_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        if (importance) k4_choose_weighted(&c, &q5_k_kind, src + col, importance + col);
        else            k4_choose(&c, &q5_k_kind, src + col);
        if (!k4_finish(&c, &b->scale, &b->min, b->scales, src + col, 31, col, e)) return false;
        k4_pack_nibbles(b->q, c.code);
        pack_high_bits(b->high, c.code, 4);
    }
    return true;
}

void q5_k_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q5_k_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float scale = f32_from_f16(b->scale), min = f32_from_f16(b->min);
        for (int j = 0; j < SUB32; j++) {
            uint8_t s, m;
            k4_scale_min(j, b->scales, &s, &m);
            const float d = scale * (float)s, offset = min * (float)m;
            const int shift = 4 * (j & 1);
            for (int i = 0; i < 32; i++) {
                const int q = (b->q[32 * (j / 2) + i] >> shift & 15) | (b->high[i] >> j & 1) << 4;
                dst[col + 32 * j + i] = d * (float)q - offset;
            }
        }
    }
}

// ---- Q6_K: symmetric sub-blocks of 16 with signed 8-bit scales --------------------------------------------------------------

// Each sub-block's scale, and the one of largest magnitude, which becomes -128.
static float q6_k_scales(float scale[SUB16], uint8_t code[QUANT_SUPER], const float *x, const float *importance)
{
    float max = 0, extreme = 0;
    for (int j = 0; j < SUB16; j++) {
        const float *xs = x + 16 * j, *weight = importance ? importance + 16 * j : NULL;
        float square[16];
        if (!weight) {
            for (int i = 0; i < 16; i++) square[i] = xs[i] * xs[i];
            weight = square;
        }
        scale[j] = search_symmetric(16, 32, xs, weight, code + 16 * j);
        if (fabsf(scale[j]) > max) { max = fabsf(scale[j]); extreme = scale[j]; }
    }
    return extreme;
}

bool q6_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q6_k_block *b = dst;
    uint8_t code[QUANT_SUPER];
    float scale[SUB16];
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float *x = src + col;
        const float extreme = q6_k_scales(scale, code, x, importance ? importance + col : NULL);
        if (!sub_scales_are_finite(scale, SUB16, col, e)) return false;
        if (fabsf(extreme) < SEARCH_EPS) {
            memset(b, 0, sizeof *b);
            continue;
        }
        const float inverse = -128.f / extreme;
        if (!scale_to_f16(&b->scale, 1 / inverse, col, e)) return false;
        const float super_scale = f32_from_f16(b->scale);
        for (int j = 0; j < SUB16; j++) {
            const int s = round_by_magic(inverse * scale[j]);
            b->scales[j] = (int8_t)(s < 127 ? s : 127);
            const float d = super_scale * (float)b->scales[j];
            if (d == 0) continue;           // keeps the codes of the search
            for (int i = 16 * j; i < 16 * j + 16; i++) code[i] = (uint8_t)(clamp_int(round_by_magic(x[i] / d), -32, 31) + 32);
        }
        q6_k_pack(b, code);
    }
    return true;
}

void q6_k_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q6_k_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int j = 0; j < SUB16; j++) {
            const float d = scale * (float)b->scales[j];
            const int half = j / 8, quarter = j % 8 / 2, at = 16 * (j & 1);    // 32 weights a quarter of 128
            const uint8_t *low  = b->low + 64 * half + 32 * (quarter & 1) + at;
            const uint8_t *high = b->high + 32 * half + at;
            for (int i = 0; i < 16; i++) {
                const int q = (low[i] >> 4 * (quarter / 2) & 15) | (high[i] >> 2 * quarter & 3) << 4;
                dst[col + 16 * j + i] = d * (float)(q - 32);
            }
        }
    }
}
