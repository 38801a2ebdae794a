// codec_legacy: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 weights with one F16 scale (and min). Layouts: blocks.h.
// Must equal ggml's quantize_row_<type>_ref, and with importance quantize_<type>, byte for byte.
#include "codec_impl.h"
#include "codec_scalar.h"

#include <float.h>
#include <math.h>

enum { HALF = QUANT_BLOCK / 2 };

static inline int fifth_bit(const uint8_t high[4], int i) { return (high[i / 8] >> i % 8 & 1) << 4; }

// ---- choosing codes without importance: one pass, the scale from the extreme value --------------------------------

// Codes 0 .. top from the smallest value up. Returns the scale.
static float affine_codes(uint8_t code[QUANT_BLOCK], float *min, const float x[QUANT_BLOCK], int top)
{
    float lo = FLT_MAX, hi = -FLT_MAX;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    const float scale   = (hi - lo) / (float)top;
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const int8_t q = (int8_t)truncate_x86((x[i] - lo) * inverse + 0.5f);
        code[i] = (uint8_t)(q < top ? q : top);
    }
    *min = lo;
    return scale;
}

// ---- one block; with importance the searches ------------------------------------------------------------------------

typedef struct {
    float   scale, min;
    uint8_t code[QUANT_BLOCK];
} block_choice;

static void choose_symmetric(block_choice *c, const float *x, const float *importance, float mean_square, int half)
{
    float weight[QUANT_BLOCK];
    c->min = 0;
    if (!importance) {
        c->scale = symmetric_codes(c->code, x, half);
        return;
    }
    block_weights(weight, x, importance, mean_square);
    c->scale = search_symmetric(QUANT_BLOCK, half, x, weight, c->code);
}

static void choose_affine(block_choice *c, const float *x, const float *importance, float mean_square, int top)
{
    const affine_grid grid = { .top = top, .steps = 36, .first = -0.9f, .step = 0.05f };
    float weight[QUANT_BLOCK], minus_min;
    if (!importance) {
        c->scale = affine_codes(c->code, &c->min, x, top);
        return;
    }
    block_weights(weight, x, importance, mean_square);
    c->scale = search_affine(QUANT_BLOCK, &grid, x, weight, c->code, &minus_min);
    c->min   = -minus_min;
}

// ---- the codecs --------------------------------------------------------------------------------------------------

bool q4_0_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q4_0_block *b = dst;
    block_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    const float mean_square = importance ? row_mean_square(src, n_cols) : 0;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        choose_symmetric(&c, src + col, importance ? importance + col : NULL, mean_square, 8);
        if (!scale_to_f16(&b->scale, c.scale, col, e)) return false;
        pack_nibbles(b->q, c.code);
    }
    return true;
}

void q4_0_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q4_0_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int i = 0; i < HALF; i++) {
            dst[col + i]        = (float)((b->q[i] & 15) - 8) * scale;
            dst[col + i + HALF] = (float)((b->q[i] >> 4) - 8) * scale;
        }
    }
}

bool q4_1_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q4_1_block *b = dst;
    block_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    const float mean_square = importance ? row_mean_square(src, n_cols) : 0;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        choose_affine(&c, src + col, importance ? importance + col : NULL, mean_square, 15);
        if (!scale_to_f16(&b->scale, c.scale, col, e) || !scale_to_f16(&b->min, c.min, col, e)) return false;
        pack_nibbles(b->q, c.code);
    }
    return true;
}

void q4_1_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q4_1_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale), min = f32_from_f16(b->min);
        for (int i = 0; i < HALF; i++) {
            dst[col + i]        = (float)(b->q[i] & 15) * scale + min;
            dst[col + i + HALF] = (float)(b->q[i] >> 4) * scale + min;
        }
    }
}

bool q5_0_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q5_0_block *b = dst;
    block_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    const float mean_square = importance ? row_mean_square(src, n_cols) : 0;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        choose_symmetric(&c, src + col, importance ? importance + col : NULL, mean_square, 16);
        if (!scale_to_f16(&b->scale, c.scale, col, e)) return false;
        pack_nibbles(b->q, c.code);
        pack_fifth_bits(b->high, c.code);
    }
    return true;
}

void q5_0_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q5_0_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int i = 0; i < HALF; i++) {
            dst[col + i]        = (float)(((b->q[i] & 15) | fifth_bit(b->high, i)) - 16) * scale;
            dst[col + i + HALF] = (float)((b->q[i] >> 4 | fifth_bit(b->high, i + HALF)) - 16) * scale;
        }
    }
}

bool q5_1_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q5_1_block *b = dst;
    block_choice c;
    if (!row_is_finite(src, n_cols, e)) return false;
    const float mean_square = importance ? row_mean_square(src, n_cols) : 0;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        choose_affine(&c, src + col, importance ? importance + col : NULL, mean_square, 31);
        if (!scale_to_f16(&b->scale, c.scale, col, e) || !scale_to_f16(&b->min, c.min, col, e)) return false;
        pack_nibbles(b->q, c.code);
        pack_fifth_bits(b->high, c.code);
    }
    return true;
}

void q5_1_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q5_1_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale), min = f32_from_f16(b->min);
        for (int i = 0; i < HALF; i++) {
            dst[col + i]        = (float)((b->q[i] & 15) | fifth_bit(b->high, i)) * scale + min;
            dst[col + i + HALF] = (float)(b->q[i] >> 4 | fifth_bit(b->high, i + HALF)) * scale + min;
        }
    }
}

// Importance changes nothing: the scale is fixed by the largest value.
bool q8_0_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    q8_0_block *b = dst;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = q8_0_scale(src + col);
        if (!scale_to_f16(&b->scale, scale, col, e)) return false;
        q8_0_codes(b->q, src + col, scale);
    }
    return true;
}

void q8_0_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const q8_0_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int i = 0; i < QUANT_BLOCK; i++) dst[col + i] = (float)b->q[i] * scale;
    }
}
