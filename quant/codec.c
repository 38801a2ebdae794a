#include "codec.h"
#include "codec_impl.h"

#include <math.h>
#include <stdlib.h>

// ---- plain types: no scale, any value passes (but a number does not become infinity) -------------------------------

static bool f32_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    memcpy(dst, src, (size_t)n_cols * sizeof *src);
    return true;
}

static void f32_decode_row(float *dst, const void *src, int64_t n_cols)
{
    memcpy(dst, src, (size_t)n_cols * sizeof *dst);
}

static bool f16_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    const uint16_t *bits = dst;
    int infinite = 0;
    f16_from_f32_run(dst, src, n_cols);
    for (int64_t i = 0; i < n_cols; i++) infinite |= (bits[i] & 0x7fff) == 0x7c00;
    for (int64_t i = 0; infinite && i < n_cols; i++)
        if ((bits[i] & 0x7fff) == 0x7c00 && isfinite(src[i]))
            return err_set(e, ERR_INPUT, "column %lld: %g is outside the range of F16", (long long)i, (double)src[i]);
    return true;
}

static void f16_decode_row(float *dst, const void *src, int64_t n_cols)
{
    f32_from_f16_run(dst, src, n_cols);
}

static bool bf16_encode_row(void *dst, const float *src, int64_t n_cols, const float *importance, err *e)
{
    bf16_from_f32_run(dst, src, n_cols);
    return true;
}

static void bf16_decode_row(float *dst, const void *src, int64_t n_cols)
{
    f32_from_bf16_run(dst, src, n_cols);
}

// ---- the table ---------------------------------------------------------------------------------------------------

#define PLAIN_TYPES { DT_F32, f32_encode_row, f32_decode_row, NULL }, \
                    { DT_F16, f16_encode_row, f16_decode_row, NULL }, \
                    { DT_BF16, bf16_encode_row, bf16_decode_row, NULL }
#define ROW(id, x, rows) { id, x##_encode_row, x##_decode_row, rows }
// Types with a search or much to compute have encode_rows at each level.
#define TABLE(level) {                                                                                              \
    PLAIN_TYPES,                                                                                                    \
    ROW(DT_Q4_1, q4_1, q4_1_encode_rows_##level), ROW(DT_Q5_1, q5_1, q5_1_encode_rows_##level),                     \
    ROW(DT_Q8_0, q8_0, q8_0_encode_rows_##level), ROW(DT_Q4_0, q4_0, q4_0_encode_rows_##level),                     \
    ROW(DT_Q5_0, q5_0, q5_0_encode_rows_##level), ROW(DT_Q2_K, q2_k, q2_k_encode_rows_##level),                     \
    ROW(DT_Q3_K, q3_k, q3_k_encode_rows_##level), ROW(DT_Q4_K, q4_k, q4_k_encode_rows_##level),                     \
    ROW(DT_Q5_K, q5_k, q5_k_encode_rows_##level), ROW(DT_Q6_K, q6_k, q6_k_encode_rows_##level) }

static const codec plain_codecs[] = {
    PLAIN_TYPES,
    ROW(DT_Q4_1, q4_1, NULL), ROW(DT_Q5_1, q5_1, NULL), ROW(DT_Q8_0, q8_0, NULL), ROW(DT_Q4_0, q4_0, NULL),
    ROW(DT_Q5_0, q5_0, NULL),
    ROW(DT_Q2_K, q2_k, NULL), ROW(DT_Q3_K, q3_k, NULL), ROW(DT_Q4_K, q4_k, NULL), ROW(DT_Q5_K, q5_k, NULL),
    ROW(DT_Q6_K, q6_k, NULL),
};
enum { N_CODECS = sizeof plain_codecs / sizeof plain_codecs[0] };

static const codec portable_codecs[N_CODECS] = TABLE(portable);
#if defined(__x86_64__)
static const codec avx2_codecs[N_CODECS]   = TABLE(avx2);
static const codec avx512_codecs[N_CODECS] = TABLE(avx512);
static const codec *const tables[] = { plain_codecs, portable_codecs, avx2_codecs, avx512_codecs };
#else
static const codec *const tables[] = { plain_codecs, portable_codecs, portable_codecs, portable_codecs };
#endif

static simd_level processor_level(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return SIMD_AVX512;
    if (__builtin_cpu_supports("avx2")) return SIMD_AVX2;
#endif
    return SIMD_PORTABLE;
}

simd_level simd_best(void)
{
    static const struct { const char *name; simd_level level; } names[] = {
        { "portable", SIMD_PORTABLE }, { "avx2", SIMD_AVX2 }, { "avx512", SIMD_AVX512 },
    };
    const simd_level have = processor_level();
    const char *asked = getenv("HALLMARK_SIMD");
    for (size_t i = 0; asked && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(asked, names[i].name) == 0 && names[i].level < have) return names[i].level;
    return have;
}

const codec *codec_table(int *n)
{
    *n = N_CODECS;
    return plain_codecs;
}

const codec *codec_at(dtype t, simd_level level)
{
    for (int i = 0; i < N_CODECS; i++)
        if (tables[level][i].type == t) return &tables[level][i];
    return NULL;
}

const codec *codec_find(dtype t) { return codec_at(t, simd_best()); }

bool codec_encode_rows(const codec *c, void *dst, const float *src, int64_t n_rows, int64_t n_cols,
                       const float *importance, int64_t *bad_row, err *e)
{
    int64_t row_bytes;
    if (c->encode_rows && c->encode_rows(dst, src, n_rows, n_cols, importance)) return true;
    if (!dtype_row_bytes(c->type, n_cols, &row_bytes))
        return err_set(e, ERR_INPUT, "found rows of %lld, which %s does not divide", (long long)n_cols,
                       dtype_name(c->type));
    for (*bad_row = 0; *bad_row < n_rows; ++*bad_row)
        if (!c->encode_row((uint8_t *)dst + *bad_row * row_bytes, src + *bad_row * n_cols, n_cols, importance, e))
            return false;
    return true;
}

bool row_is_finite(const float *x, int64_t n, err *e)
{
    const int64_t step = 1024;                  // long enough for the compiler's vectors, short enough to leave early
    for (int64_t from = 0; from < n; from += step) {
        const int64_t to = from + step < n ? from + step : n;
        int32_t bad = 0;
        for (int64_t i = from; i < to; i++) {
            int32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bad |= (bits & 0x7f800000) == 0x7f800000;
        }
        if (!bad) continue;
        for (int64_t i = from; i < to; i++)
            if (!__builtin_isfinite(x[i]))
                return err_set(e, ERR_INPUT, "column %lld: found %s, expected a finite value", (long long)i,
                               __builtin_isnan(x[i]) ? "NaN" : x[i] > 0 ? "Inf" : "-Inf");
    }
    return true;
}

const codec *codec_of_cache(dtype t)
{
    static const codec iq4_nl = { .type = DT_IQ4_NL, .encode_row = iq4_nl_encode_row, .decode_row = iq4_nl_decode_row };
    return t == DT_IQ4_NL ? &iq4_nl : codec_find(t);
}
