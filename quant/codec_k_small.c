// codec_k_small: Q2_K (affine) and Q3_K (symmetric): super-blocks of 256 weights in sub-blocks of 16. Layouts:
// blocks.h.
// Must equal ggml's quantize_row_<type>_ref, and with importance quantize_<type>, byte for byte.
#include "codec_impl.h"
#include "pack.h"
#include "search.h"

#include <math.h>

enum { SUB16 = QUANT_SUPER / 16 };          // sub-blocks in a super-block

static inline int two_bits(const uint8_t q[QUANT_SUPER / 4], int w)
{
    return q[w / 128 * 32 + w % 32] >> w % 128 / 32 * 2 & 3;
}

static float sum_of_squares(const float *x)
{
    float sum = 0;
    for (int i = 0; i < QUANT_SUPER; i++) sum += x[i] * x[i];
    return sum;
}

// ---- Q2_K --------------------------------------------------------------------------------------------------------

typedef struct {
    float   scale, min;             // of the super-block, before they become F16
    uint8_t s[SUB16], m[SUB16];     // 4-bit scales and mins
    uint8_t code[QUANT_SUPER];
} q2_choice;

static float largest(const float v[SUB16])
{
    float max = 0;
    for (int j = 0; j < SUB16; j++) if (v[j] > max) max = v[j];
    return max;
}

// 4-bit codes of the sub-blocks' scales or mins; returns what one step is worth.
static float q2_k_quantize_scales(uint8_t code[SUB16], const float v[SUB16])
{
    const float max = largest(v);
    const float inverse = max > 0 ? 15.f / max : 0;
    for (int j = 0; j < SUB16; j++) code[j] = max > 0 ? (uint8_t)round_by_magic(inverse * v[j]) : 0;
    return max > 0 ? max / 15.f : 0;
}

// Without importance: the mean absolute error, weighted by magnitude.
static void q2_k_choose(q2_choice *c, const float *x)
{
    const affine_grid grid = { .top = 3, .steps = 15, .first = -0.5f, .step = 0.1f, .absolute = true };
    float scale[SUB16], min[SUB16], weight[16];
    for (int j = 0; j < SUB16; j++) {
        for (int i = 0; i < 16; i++) weight[i] = fabsf(x[16 * j + i]);
        scale[j] = search_affine(16, &grid, x + 16 * j, weight, c->code + 16 * j, &min[j]);
    }
    c->scale = q2_k_quantize_scales(c->s, scale);
    c->min   = q2_k_quantize_scales(c->m, min);
}

static void q2_k_choose_weighted(q2_choice *c, const float *x, const float *importance)
{
    const affine_grid grid = { .top = 3, .steps = 36, .first = -0.9f, .step = 0.05f };
    const float sigma2 = sum_of_squares(x) / QUANT_SUPER;
    float scale[SUB16], min[SUB16], sum_w[SUB16], weight[16];
    for (int j = 0; j < SUB16; j++) {
        const float *xs = x + 16 * j;
        sum_w[j] = 0;
        for (int i = 0; i < 16; i++) {
            weight[i] = importance[16 * j + i] * sqrtf(sigma2 + xs[i] * xs[i]);
            sum_w[j] += weight[i];
        }
        scale[j] = search_affine(16, &grid, xs, weight, c->code + 16 * j, &min[j]);
    }
    c->scale = search_positive(SUB16, 15, scale, sum_w, c->s);
    c->min   = search_positive(SUB16, 15, min, sum_w, c->m);
}

bool q2_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q2_k_block *b = dst;
    q2_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float *x = src + col;
        if (importance) q2_k_choose_weighted(&c, x, importance + col);
        else            q2_k_choose(&c, x);
        if (!scale_to_f16(&b->scale, c.scale, col, e) || !scale_to_f16(&b->min, c.min, col, e)) return false;
        const float super_scale = f32_from_f16(b->scale), super_min = f32_from_f16(b->min);
        for (int j = 0; j < SUB16; j++) {
            b->scales[j] = (uint8_t)(c.s[j] | c.m[j] << 4);
            const float d = super_scale * (float)(b->scales[j] & 15), offset = super_min * (float)(b->scales[j] >> 4);
            if (d == 0) continue;           // keeps the codes of the search
            for (int i = 16 * j; i < 16 * j + 16; i++)
                c.code[i] = (uint8_t)clamp_int(round_by_magic((x[i] + offset) / d), 0, 3);
        }
        pack_two_bits(b->q, c.code);
    }
    return true;
}

void q2_k_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q2_k_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float scale = f32_from_f16(b->scale), min = f32_from_f16(b->min);
        for (int j = 0; j < SUB16; j++) {
            const float d = scale * (float)(b->scales[j] & 15), offset = min * (float)(b->scales[j] >> 4);
            for (int i = 16 * j; i < 16 * j + 16; i++) dst[col + i] = d * (float)two_bits(b->q, i) - offset;
        }
    }
}

// ---- Q3_K --------------------------------------------------------------------------------------------------------

// 6-bit scales and codes without importance; returns the super-block's scale. The sub-block scale of largest magnitude
// becomes -32.
static float q3_k_choose(uint8_t s[SUB16], float scale[SUB16], uint8_t code[QUANT_SUPER], const float *x)
{
    float max = 0, extreme = 0;
    for (int j = 0; j < SUB16; j++) {
        scale[j] = search_symmetric_sweep(16, 4, x + 16 * j, code + 16 * j);
        if (fabsf(scale[j]) > max) { max = fabsf(scale[j]); extreme = scale[j]; }
    }
    if (extreme == 0) {
        memset(s, 0, SUB16);            // with scale 0 they are never looked at
        return 0;
    }
    const float inverse = -32.f / extreme;
    for (int j = 0; j < SUB16; j++)
        s[j] = (uint8_t)(clamp_int((int8_t)round_by_magic(inverse * scale[j]), -32, 31) + 32);
    return 1 / inverse;
}

static float q3_k_choose_weighted(uint8_t s[SUB16], float scale[SUB16], uint8_t code[QUANT_SUPER], const float *x,
                                  const float *importance)
{
    const float sigma2 = 2 * sum_of_squares(x) / QUANT_SUPER;
    float sum_w[SUB16], weight[16];
    for (int j = 0; j < SUB16; j++) {
        const float *xs = x + 16 * j;
        sum_w[j] = 0;
        for (int i = 0; i < 16; i++) {
            weight[i] = importance[16 * j + i] * sqrtf(sigma2 + xs[i] * xs[i]);
            sum_w[j] += weight[i];
        }
        scale[j] = search_symmetric(16, 4, xs, weight, code + 16 * j);
    }
    return search_symmetric(SUB16, 32, scale, sum_w, s);
}

bool q3_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q3_k_block *b = dst;
    uint8_t s[SUB16], code[QUANT_SUPER];
    float group_scale[SUB16];
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float *x = src + col;
        const float scale = importance ? q3_k_choose_weighted(s, group_scale, code, x, importance + col)
                                       : q3_k_choose(s, group_scale, code, x);
        if (!sub_scales_are_finite(group_scale, SUB16, col, e)) return false;
        if (!scale_to_f16(&b->scale, scale, col, e)) return false;
        q3_k_pack_scales(b->scales, s);
        const float super_scale = f32_from_f16(b->scale);
        for (int j = 0; j < SUB16; j++) {
            const float d = super_scale * (float)(k3_scale(j, b->scales) - 32);
            if (d == 0) continue;           // keeps the codes of the search
            for (int i = 16 * j; i < 16 * j + 16; i++)
                code[i] = (uint8_t)(clamp_int(round_by_magic(x[i] / d), -4, 3) + 4);
        }
        pack_two_bits(b->q, code);
        pack_high_bits(b->high, code, 2);
    }
    return true;
}

void q3_k_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q3_k_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int j = 0; j < SUB16; j++) {
            const float d = scale * (float)(k3_scale(j, b->scales) - 32);
            for (int i = 16 * j; i < 16 * j + 16; i++) {
                const int q = two_bits(b->q, i) | (b->high[i % 32] >> i / 32 & 1) << 2;
                dst[col + i] = d * (float)(q - 4);
            }
        }
    }
}
