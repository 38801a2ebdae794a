#include "dtype.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "checked.h"

// Sizes are written as the sum of a block's fields, so that a row can be read against the struct in ggml-common.h:
// F16 scales and minimums (2 bytes each), packed 6-bit or 4-bit scales of sub-blocks, high bits, then the quants.
enum { H = 2 /* one F16 */, QK = 256 /* weights per super-block */ };

static const dtype_info TABLE[] = {
    { DT_F32,     "F32",     1,   4 },
    { DT_F16,     "F16",     1,   2 },
    { DT_Q4_0,    "Q4_0",    32,  H + 32 / 2 },
    { DT_Q4_1,    "Q4_1",    32,  2 * H + 32 / 2 },
    { DT_Q5_0,    "Q5_0",    32,  H + 32 / 8 + 32 / 2 },
    { DT_Q5_1,    "Q5_1",    32,  2 * H + 32 / 8 + 32 / 2 },
    { DT_Q8_0,    "Q8_0",    32,  H + 32 },
    { DT_Q8_1,    "Q8_1",    32,  2 * H + 32 },
    { DT_Q2_K,    "Q2_K",    QK,  QK / 16 + QK / 4 + 2 * H },
    { DT_Q3_K,    "Q3_K",    QK,  QK / 8 + QK / 4 + 12 + H },
    { DT_Q4_K,    "Q4_K",    QK,  2 * H + 12 + QK / 2 },
    { DT_Q5_K,    "Q5_K",    QK,  2 * H + 12 + QK / 8 + QK / 2 },
    { DT_Q6_K,    "Q6_K",    QK,  QK / 2 + QK / 4 + QK / 16 + H },
    { DT_Q8_K,    "Q8_K",    QK,  4 + QK + QK / 16 * 2 },
    { DT_IQ2_XXS, "IQ2_XXS", QK,  H + QK / 8 * 2 },
    { DT_IQ2_XS,  "IQ2_XS",  QK,  H + QK / 8 * 2 + QK / 32 },
    { DT_IQ3_XXS, "IQ3_XXS", QK,  H + 3 * (QK / 8) },
    { DT_IQ1_S,   "IQ1_S",   QK,  H + QK / 8 + QK / 16 },
    { DT_IQ4_NL,  "IQ4_NL",  32,  H + 32 / 2 },
    { DT_IQ3_S,   "IQ3_S",   QK,  H + 13 * (QK / 32) + QK / 64 },
    { DT_IQ2_S,   "IQ2_S",   QK,  H + QK / 4 + QK / 16 },
    { DT_IQ4_XS,  "IQ4_XS",  QK,  H + 2 + QK / 64 + QK / 2 },
    { DT_I8,      "I8",      1,   1 },
    { DT_I16,     "I16",     1,   2 },
    { DT_I32,     "I32",     1,   4 },
    { DT_I64,     "I64",     1,   8 },
    { DT_F64,     "F64",     1,   8 },
    { DT_IQ1_M,   "IQ1_M",   QK,  QK / 8 + QK / 16 + QK / 32 },
    { DT_BF16,    "BF16",    1,   2 },
    { DT_TQ1_0,   "TQ1_0",   QK,  (QK - 4 * QK / 64) / 5 + QK / 64 + H },
    { DT_TQ2_0,   "TQ2_0",   QK,  QK / 4 + H },
    { DT_MXFP4,   "MXFP4",   32,  1 + 32 / 2 },
    { DT_NVFP4,   "NVFP4",   64,  64 / 16 + 64 / 2 },
    { DT_Q1_0,    "Q1_0",    128, H + 128 / 8 },
    { DT_Q2_0,    "Q2_0",    64,  H + 64 / 4 },
};
enum { N_ROWS = sizeof TABLE / sizeof TABLE[0] };

static const dtype_info SAFETENSORS_ONLY[] = {
    { DT_F8_E4M3, "F8_E4M3", 1,   1 },
    { DT_F8_E5M2, "F8_E5M2", 1,   1 },
};

const dtype_info *dtype_find(int64_t id)
{
    for (int i = 0; i < N_ROWS; i++)
        if (TABLE[i].id == id) return &TABLE[i];
    return NULL;
}

const dtype_info *dtype_of(dtype t)
{
    for (size_t i = 0; i < sizeof SAFETENSORS_ONLY / sizeof SAFETENSORS_ONLY[0]; i++)
        if (SAFETENSORS_ONLY[i].id == t) return &SAFETENSORS_ONLY[i];
    return dtype_find(t);
}

const dtype_info *dtype_find_name(const char *name)
{
    for (int i = 0; i < N_ROWS; i++)
        if (strcasecmp(TABLE[i].name, name) == 0) return &TABLE[i];
    return NULL;
}

const dtype_info *dtype_table(int *n)
{
    *n = N_ROWS;
    return TABLE;
}

const char *dtype_name(dtype t)
{
    const dtype_info *d = dtype_of(t);
    return d ? d->name : "?";
}

bool dtype_row_bytes(dtype t, int64_t n_cols, int64_t *bytes)
{
    const dtype_info *d = dtype_of(t);
    if (!d || n_cols < 0 || n_cols % d->block_weights != 0) return false;
    return mul_i64(n_cols / d->block_weights, d->block_bytes, bytes);
}

bool dtype_bytes(dtype t, int n_dims, const int64_t *shape, int64_t *bytes)
{
    int64_t n;
    if (!dtype_row_bytes(t, n_dims > 0 ? shape[n_dims - 1] : 1, &n)) return false;
    for (int d = 0; d < n_dims - 1; d++)
        if (!mul_i64(n, shape[d], &n)) return false;
    *bytes = n;
    return true;
}

// ---- scalar conversions --------------------------------------------------------------------------------------------
// Written without branches on the data, so that the loops below vectorize. None of them lets the FPU see a subnormal
// that matters, so the bits are the same with flush-to-zero on.

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float bf16_to_f32(uint16_t b)
{
    return float_of((uint32_t)b << 16);
}

static inline uint16_t f32_to_bf16(float x)
{
    uint32_t u = bits_of(x);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    uint32_t nan     = (u >> 16) | 0x40;        // rounding could carry a NaN's payload into infinity; quieting cannot
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;
    uint32_t normal = (mag << 13) + ((127 - 15) << 23);
    uint32_t special = (mag << 13) | 0x7f800000 | (mag > 0x7c00 ? 0x400000 : 0);     // infinity, or NaN quieted
    // A subnormal's value is mag * 2^-24: put mag in the low bits of 0.5, whose unit in the last place is 2^-24.
    uint32_t tiny = bits_of(float_of(mag | 0x3f000000) - 0.5f);
    return float_of(sign | (mag >= 0x7c00 ? special : mag < 0x400 ? tiny : normal));
}

static inline uint16_t f32_to_f16(float x)
{
    uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000, mag = u & 0x7fffffff;
    uint32_t special = mag > 0x7f800000 ? 0x7e00 : 0x7c00;
    // Below 2^-14 the result is a subnormal: adding 0.5 makes the FPU round to a multiple of 2^-24, to nearest even.
    uint32_t tiny = bits_of(float_of(mag) + 0.5f) - 0x3f000000;
    // Otherwise drop 13 bits, to nearest even; 65520 and more carry into infinity by themselves.
    uint32_t normal = (mag - ((127 - 15) << 23) + 0xfff + ((mag >> 13) & 1)) >> 13;
    return (uint16_t)(sign | (mag >= 0x47800000 ? special : mag < 0x38800000 ? tiny : normal));
}

float    f32_from_bf16(uint16_t bits) { return bf16_to_f32(bits); }
uint16_t bf16_from_f32(float x)       { return f32_to_bf16(x); }
float    f32_from_f16(uint16_t bits)  { return f16_to_f32(bits); }
uint16_t f16_from_f32(float x)        { return f32_to_f16(x); }

void f32_from_bf16_run(float *restrict dst, const uint16_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_f32(src[i]);
}

void f32_from_f16_run(float *restrict dst, const uint16_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = f16_to_f32(src[i]);
}

void bf16_from_f32_run(uint16_t *restrict dst, const float *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = f32_to_bf16(src[i]);
}

void f16_from_f32_run(uint16_t *restrict dst, const float *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = f32_to_f16(src[i]);
}

// ---- the float types of safetensors --------------------------------------------------------------------------------

// 1 sign, 4 exponent (bias 7), 3 mantissa; no infinity, and one NaN of each sign.
static inline float f8_e4m3_to_f32(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80) << 24, mag = b & 0x7f;
    uint32_t normal = (mag << 20) + ((127 - 7) << 23);
    uint32_t tiny = bits_of((float)mag * (1.0f / 512));          // a subnormal's value is mag * 2^-9
    return float_of(sign | (mag == 0x7f ? 0x7fc00000 : mag < 8 ? tiny : normal));
}

static void f32_from_f8_e4m3_run(float *restrict dst, const uint8_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = f8_e4m3_to_f32(src[i]);
}

// The upper half of an F16.
static void f32_from_f8_e5m2_run(float *restrict dst, const uint8_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = f16_to_f32((uint16_t)(src[i] << 8));
}

// Bytes, because a tensor of a checkpoint begins anywhere.
static void f32_from_f64_bytes(float *restrict dst, const uint8_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double x;
        memcpy(&x, src + i * (int64_t)sizeof x, sizeof x);
        dst[i] = (float)x;
    }
}

static void f32_from_u16_bytes(float *restrict dst, const uint8_t *restrict src, int64_t n, bool bf16)
{
    enum { STEP = 1024 };
    uint16_t aligned[STEP];
    for (int64_t step, i = 0; i < n; i += step) {
        step = n - i < STEP ? n - i : STEP;
        memcpy(aligned, src + i * (int64_t)sizeof *aligned, (size_t)step * sizeof *aligned);
        if (bf16) f32_from_bf16_run(dst + i, aligned, step);
        else      f32_from_f16_run(dst + i, aligned, step);
    }
}

bool dtype_is_float(dtype t)
{
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_F64 || t == DT_F8_E4M3 || t == DT_F8_E5M2;
}

void f32_from_float_run(dtype t, float *dst, const void *src, int64_t n)
{
    switch (t) {
    case DT_F32:     memcpy(dst, src, (size_t)n * sizeof *dst); return;
    case DT_F16:     f32_from_u16_bytes(dst, src, n, false); return;
    case DT_BF16:    f32_from_u16_bytes(dst, src, n, true); return;
    case DT_F64:     f32_from_f64_bytes(dst, src, n); return;
    case DT_F8_E4M3: f32_from_f8_e4m3_run(dst, src, n); return;
    case DT_F8_E5M2: f32_from_f8_e5m2_run(dst, src, n); return;
    default:         assert(!"no float type"); return;
    }
}
