// codec_impl: what the codec files share, and the functions they give the table in codec.c. Private to quant/.
#ifndef HALLMARK_QUANT_CODEC_IMPL_H
#define HALLMARK_QUANT_CODEC_IMPL_H

#include "blocks.h"
#include "codec.h"
#include "scalar.h"

#include <string.h>

// True if every value is finite; otherwise ERR_INPUT naming the first column that is not.
bool row_is_finite(const float *x, int64_t n, err *e);

// F16 bits of a block's scale or min; ERR_INPUT naming the block's first column when it does not fit.
static inline bool scale_to_f16(uint16_t *bits, float v, int64_t col, err *e)
{
    *bits = f16_from_f32(v);
    if ((*bits & 0x7c00) != 0x7c00) return true;
    return err_set(e, ERR_INPUT, "column %lld: block scale %g is outside the range of F16", (long long)col, (double)v);
}

// False (as above) where a sub-block's search overflowed. ggml stores such a group as zeros.
static inline bool sub_scales_are_finite(const float *scale, int n, int64_t col, err *e)
{
    uint16_t bits;
    for (int j = 0; j < n; j++)
        if (!__builtin_isfinite(scale[j])) return scale_to_f16(&bits, scale[j], col, e);
    return true;
}

#define CODEC_FUNCTIONS(x)                                                                              \
    bool x##_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e);  \
    void x##_decode_row(float *dst, const void *src, int64_t n_cols);
CODEC_FUNCTIONS(q4_0)
CODEC_FUNCTIONS(q4_1)
CODEC_FUNCTIONS(q5_0)
CODEC_FUNCTIONS(q5_1)
CODEC_FUNCTIONS(q8_0)
CODEC_FUNCTIONS(q2_k)
CODEC_FUNCTIONS(q3_k)
CODEC_FUNCTIONS(q4_k)
CODEC_FUNCTIONS(q5_k)
CODEC_FUNCTIONS(q6_k)
CODEC_FUNCTIONS(iq4_nl)
#undef CODEC_FUNCTIONS

#define ENCODE_ROWS(x, level)                                                                            \
    bool x##_encode_rows_##level(void *dst, const float *src, int64_t n_rows, int64_t n_cols,            \
                                 const float *importance);
#define ENCODE_ROWS_AT(level)                                                                            \
    ENCODE_ROWS(q8_0, level) ENCODE_ROWS(q4_0, level) ENCODE_ROWS(q4_1, level) ENCODE_ROWS(q5_0, level)  \
    ENCODE_ROWS(q5_1, level) ENCODE_ROWS(q2_k, level)                                                    \
    ENCODE_ROWS(q3_k, level) ENCODE_ROWS(q4_k, level) ENCODE_ROWS(q5_k, level) ENCODE_ROWS(q6_k, level)
ENCODE_ROWS_AT(portable)
ENCODE_ROWS_AT(avx2)
ENCODE_ROWS_AT(avx512)
#undef ENCODE_ROWS_AT
#undef ENCODE_ROWS

#endif
