// codec_iq4_nl: IQ4_NL: blocks of 32 with one F16 scale and 4-bit codes for sixteen values that lie closer together
// around zero.
// Used for KV caches. Must equal ggml's quantize_row_iq4_nl_ref and dequantize_row_iq4_nl, byte for byte; proved by
// tests/codec_golden_test.c.
#include "codec_impl.h"

#include <math.h>

enum { HALF = QUANT_BLOCK / 2, N_VALUES = 16 };

const int8_t iq4_nl_values[N_VALUES] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

// The code whose value is nearest to x; of two as near the higher.
static int nearest(float x)
{
    if (x <= (float)iq4_nl_values[0]) return 0;
    if (x >= (float)iq4_nl_values[N_VALUES - 1]) return N_VALUES - 1;
    int lo = 0, hi = N_VALUES - 1;
    while (hi - lo > 1) {
        const int middle = (lo + hi) / 2;
        if (x < (float)iq4_nl_values[middle]) hi = middle;
        else                                  lo = middle;
    }
    return x - (float)iq4_nl_values[lo] < (float)iq4_nl_values[hi] - x ? lo : hi;
}

// Codes for the extreme value's own code 0; then the scale that fits them best, each value weighted by its square.
// Returns that scale.
static float choose_codes(uint8_t code[QUANT_BLOCK], const float *x)
{
    const float too_small = 1e-15f;         // below it ggml stores zeros
    float max = 0, extreme = 0, sum_qx = 0, sum_qq = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        if (max >= fabsf(x[i])) continue;
        max = fabsf(x[i]);
        extreme = x[i];
    }
    memset(code, 0, QUANT_BLOCK);
    if (max < too_small) return 0;
    const float inverse = 1.0f / (extreme / (float)iq4_nl_values[0]);
    for (int i = 0; i < QUANT_BLOCK; i++) {
        code[i] = (uint8_t)nearest(inverse * x[i]);
        const float q = (float)iq4_nl_values[code[i]], w = x[i] * x[i];
        sum_qx += w * q * x[i];
        sum_qq += w * q * q;
    }
    return sum_qx / sum_qq;
}

// importance is not looked at: caches have none.
bool iq4_nl_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    iq4_nl_block *b = dst;
    uint8_t code[QUANT_BLOCK];
    (void)importance;
    if (!row_is_finite(src, n_cols, e)) return false;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        if (!scale_to_f16(&b->scale, choose_codes(code, src + col), col, e)) return false;
        for (int i = 0; i < HALF; i++) b->q[i] = (uint8_t)(code[i] | code[i + HALF] << 4);
    }
    return true;
}

void iq4_nl_decode_row(float *dst, const void *src, int64_t n_cols)
{
    const iq4_nl_block *b = src;
    for (int64_t col = 0; col < n_cols; col += QUANT_BLOCK, b++) {
        const float scale = f32_from_f16(b->scale);
        for (int i = 0; i < HALF; i++) {
            dst[col + i]        = scale * (float)iq4_nl_values[b->q[i] & 15];
            dst[col + i + HALF] = scale * (float)iq4_nl_values[b->q[i] >> 4];
        }
    }
}
