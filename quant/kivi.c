// kivi: see kivi.h.
#include "kivi.h"
#include "../formats/dtype.h"
#include <math.h>

static bool is_finite_f16(uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

bool kivi_range(const float *x, int n, int64_t stride, int bits, uint16_t *scale, uint16_t *zero)
{
    float least = x[0], greatest = x[0];
    bool finite = true;
    for (int i = 0; i < n; i++) {
        const float v = x[i * stride];
        finite = finite && isfinite(v);
        least = v < least ? v : least;
        greatest = v > greatest ? v : greatest;
    }
    // + 0: of two zeros the positive one, whichever came first.
    *zero = f16_from_f32(least + 0.0f);
    *scale = f16_from_f32((greatest - least) / (float)((1 << bits) - 1));
    return finite && is_finite_f16(*zero) && is_finite_f16(*scale);
}

static void put_code(uint8_t *codes, int64_t i, int bits, uint32_t code)
{
    uint8_t *byte = &codes[i * bits / 8];
    const int at = (int)(i * bits % 8);
    *byte = (uint8_t)(at == 0 ? code : *byte | code << at);
}

bool kivi_encode_values(uint8_t *to, const float *x, int dim, int g, int bits)
{
    const int n_groups = dim / g;
    uint16_t *scales = (uint16_t *)(void *)to, *zeros = scales + n_groups;
    uint8_t  *codes = (uint8_t *)(zeros + n_groups);
    for (int k = 0; k < n_groups; k++) {
        if (!kivi_range(x + k * g, g, 1, bits, &scales[k], &zeros[k])) return false;
        const float scale = f32_from_f16(scales[k]), zero = f32_from_f16(zeros[k]);
        for (int i = k * g; i < (k + 1) * g; i++) put_code(codes, i, bits, kivi_code(x[i], scale, zero, bits));
    }
    return true;
}

void kivi_code_keys(uint8_t *to, const float *x, int dim, int g, int bits)
{
    const uint16_t *scales = (const uint16_t *)(void *)to, *zeros = scales + dim;
    uint8_t *codes = to + 4 * dim;
    for (int c = 0; c < dim; c++) {
        const float scale = f32_from_f16(scales[c]), zero = f32_from_f16(zeros[c]);
        for (int64_t i = c; i < (int64_t)g * dim; i += dim)
            put_code(codes, i, bits, kivi_code(x[i], scale, zero, bits));
    }
}

bool kivi_encode_keys(uint8_t *to, const float *x, int dim, int g, int bits)
{
    uint16_t *scales = (uint16_t *)(void *)to, *zeros = scales + dim;
    for (int c = 0; c < dim; c++)
        if (!kivi_range(x + c, g, dim, bits, &scales[c], &zeros[c])) return false;
    kivi_code_keys(to, x, dim, g, bits);
    return true;
}
