// codec_k: Q4_K, Q5_K, Q6_K. Super-blocks of 256 weights; each sub-block's scale (and min) is itself a small integer
// times the super-block's F16 scale. Layouts: blocks.h. Q2_K and Q3_K: codec_k_small.c.
// Must equal ggml's quantize_row_<type>_ref, and with importance quantize_<type>, byte for byte.
#include "codec_impl.h"
#include "codec_scalar.h"

enum { SUB32 = K_SUB32, SUB16 = K_SUB16 };

// ---- Q4_K and Q5_K; the steps are in codec_scalar.h -----------------------------------------------------------------

static void k4_choose(k4_choice *c, const float *x, const float *importance, int top)
{
    float scale[SUB32], min[SUB32], sum_w[SUB32], weight[32];
    const float sigma2 = importance ? k4_sigma2(x, 32) : 0;
    for (int j = 0; j < SUB32; j++)
        scale[j] = importance ? k4_sub_weighted(c->code + 32 * j, &min[j], &sum_w[j], x + 32 * j, importance + 32 * j,
                                                sigma2, weight, top)
                              : k4_sub_plain(c->code + 32 * j, &min[j], x + 32 * j, weight, top);
    if (importance) k4_scales_weighted(c, scale, min, sum_w, top);
    else            k4_scales_plain(c, scale, min);
}

// Packs the scales, then takes the codes again for the scales as they will be decoded.
static bool k4_finish(k4_choice *c, uint16_t *scale, uint16_t *min, uint8_t scales[12], const float *x, int top,
                      int64_t col, err *e)
{
    if (!scale_to_f16(scale, c->scale, col, e) || !scale_to_f16(min, c->min, col, e)) return false;
    k4_pack_scales(scales, c->s, c->m);
    const float super_scale = f32_from_f16(*scale), super_min = f32_from_f16(*min);
    for (int j = 0; j < SUB32; j++) k4_codes(c->code + 32 * j, x + 32 * j, j, scales, super_scale, super_min, top);
    return true;
}

bool q4_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q4_k_block *b = dst;
    k4_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        k4_choose(&c, src + col, importance ? importance + col : NULL, 15);
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
        k4_choose(&c, src + col, importance ? importance + col : NULL, 31);
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

// ---- Q6_K: symmetric sub-blocks of 16 with signed 8-bit scales ------------------------------------------------------

bool q6_k_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q6_k_block *b = dst;
    uint8_t code[QUANT_SUPER];
    float scale[SUB16];
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_SUPER, b++) {
        const float *x = src + col;
        float weight[16];
        for (int j = 0; j < SUB16; j++)
            scale[j] = q6_k_sub(code + 16 * j, x + 16 * j, importance ? importance + col + 16 * j : NULL, weight);
        const float extreme = q6_k_extreme(scale);
        if (!sub_scales_are_finite(scale, SUB16, col, e)) return false;
        if (fabsf(extreme) < SEARCH_EPS) {
            memset(b, 0, sizeof *b);
            continue;
        }
        const float inverse = -128.f / extreme;
        if (!scale_to_f16(&b->scale, 1 / inverse, col, e)) return false;
        const float super_scale = f32_from_f16(b->scale);
        for (int j = 0; j < SUB16; j++)
            b->scales[j] = q6_k_codes(code + 16 * j, x + 16 * j, scale[j], inverse, super_scale);
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
