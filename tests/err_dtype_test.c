// Proves formats/err.h, formats/checked.h and formats/dtype.h.
#include "bytes.h"
#include "formats/checked.h"
#include "formats/dtype.h"

#include <errno.h>
#include <math.h>

// ---- err -----------------------------------------------------------------------------------------------------------

START_TEST(test_first_failure_is_kept)
{
    err e = { 0 };
    ck_assert(!err_set(&e, ERR_INPUT, "%s: offset %d", "a.gguf", 7));
    ck_assert(!err_set(&e, ERR_SYSTEM, "while closing"));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_str_eq(e.msg, "a.gguf: offset 7");
    ck_assert(!err_set(NULL, ERR_INPUT, "nobody listens"));
}
END_TEST

// A tensor may be named so as to clear the reader's screen or to forge a second line.
START_TEST(test_control_bytes_are_escaped)
{
    err e = { 0 };
    err_set(&e, ERR_INPUT, "'%s'", "a\x1b[2J\nb\x7f\xc2\x9b\xff\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    ck_assert_str_eq(e.msg, "'a\\x1b[2J\\nb\\x7f\\u009b\\xff\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'");
}
END_TEST

START_TEST(test_long_messages_are_cut_whole)
{
    char text[5000];
    for (int fill = 0; fill < 2; fill++)
        for (size_t n = 900; n < 1100; n++) {
            memset(text, fill ? '\033' : 'x', n);
            text[n] = '\0';
            err e = { 0 };
            err_set(&e, ERR_INPUT, "%s", text);
            ck_assert_uint_lt(strlen(e.msg), sizeof e.msg);
            if (!fill && n < 1000) ck_assert_str_eq(e.msg, text);
            if (fill)
                ck_assert(strstr(e.msg, "\\x1b...\\x1b") && strncmp(e.msg, "\\x1b", 4) == 0 &&
                          strcmp(e.msg + strlen(e.msg) - 4, "\\x1b") == 0);
        }
    // The middle goes, between two characters: the reason stays.
    for (size_t n = 1000; n < 1010; n++) {
        memset(text, 'x', n);
        for (int i = 0; i < 1000; i++) memcpy(text + n + 3 * i, "\xe2\x82\xac", 3);
        text[n + 3000] = '\0';
        err e = { 0 };
        err_set(&e, ERR_INPUT, "%s: cannot open: File name too long", text);
        ck_assert_str_eq(e.msg + strlen(e.msg) - 37, "\xac\xe2\x82\xac: cannot open: File name too long");
        ck_assert_ptr_nonnull(strstr(e.msg, "xxx...\xe2\x82\xac"));
        ck_assert_uint_lt(strlen(e.msg), sizeof e.msg);
        ck_assert_uint_gt(strlen(e.msg), sizeof e.msg - 10);
    }
}
END_TEST

START_TEST(test_errno_kinds)
{
    const struct { int code; bool reading; err_kind kind; } ROWS[] = {
        { ENOENT, true, ERR_INPUT },   { EACCES, true, ERR_INPUT },   { EISDIR, true, ERR_INPUT },
        { ENOTDIR, true, ERR_INPUT },  { EIO, true, ERR_SYSTEM },     { ENOMEM, true, ERR_SYSTEM },
        { ENOENT, false, ERR_SYSTEM }, { ENOSPC, false, ERR_SYSTEM },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        err e = { 0 };
        errno = ROWS[i].code;
        ck_assert(!err_errno(&e, ROWS[i].reading, "some/file", "open"));
        ck_assert_int_eq(e.kind, ROWS[i].kind);
        char expected[200];
        snprintf(expected, sizeof expected, "some/file: cannot open: %s", strerror(ROWS[i].code));
        ck_assert_str_eq(e.msg, expected);
    }
    err e = { 0 };
    ck_assert(!err_nomem(&e, "a buffer", 123));
    ck_assert_int_eq(e.kind, ERR_SYSTEM);
    ck_assert_str_eq(e.msg, "out of memory for a buffer (123 bytes)");
}
END_TEST

START_TEST(test_checked_arithmetic)
{
    int64_t r = 42;
    ck_assert(mul_i64(3, 5, &r) && r == 15);
    ck_assert(mul_i64((int64_t)1 << 31, (int64_t)1 << 31, &r) && r == (int64_t)1 << 62);
    ck_assert(add_i64(INT64_MAX - 1, 1, &r) && r == INT64_MAX);
    r = 42;
    ck_assert(!mul_i64((int64_t)1 << 32, (int64_t)1 << 32, &r));     // the product wraps to 0
    ck_assert(!mul_i64((int64_t)1 << 62, 4, &r));
    ck_assert(!mul_i64(-1, 1, &r) && !mul_i64(1, -1, &r) && !add_i64(-1, 1, &r) && !add_i64(1, -1, &r));
    ck_assert(!add_i64(INT64_MAX, 1, &r));
    ck_assert_int_eq(r, 42);
}
END_TEST

// ---- the table -----------------------------------------------------------------------------------------------------

// Typed from GGMLQuantizationType and GGML_QUANT_SIZES of the gguf package 0.19 and, where that lacks a type, from
// ggml's type_traits; formats/dtype.c adds the fields of each block up instead.
static const struct { int id; const char *name; int weights, bytes;
} GGML[] = {
    { 0, "F32", 1, 4 },         { 1, "F16", 1, 2 },         { 2, "Q4_0", 32, 18 },      { 3, "Q4_1", 32, 20 },
    { 6, "Q5_0", 32, 22 },      { 7, "Q5_1", 32, 24 },      { 8, "Q8_0", 32, 34 },      { 9, "Q8_1", 32, 36 },
    { 10, "Q2_K", 256, 84 },    { 11, "Q3_K", 256, 110 },   { 12, "Q4_K", 256, 144 },   { 13, "Q5_K", 256, 176 },
    { 14, "Q6_K", 256, 210 },   { 15, "Q8_K", 256, 292 },   { 16, "IQ2_XXS", 256, 66 }, { 17, "IQ2_XS", 256, 74 },
    { 18, "IQ3_XXS", 256, 98 }, { 19, "IQ1_S", 256, 50 },   { 20, "IQ4_NL", 32, 18 },   { 21, "IQ3_S", 256, 110 },
    { 22, "IQ2_S", 256, 82 },   { 23, "IQ4_XS", 256, 136 }, { 24, "I8", 1, 1 },         { 25, "I16", 1, 2 },
    { 26, "I32", 1, 4 },        { 27, "I64", 1, 8 },        { 28, "F64", 1, 8 },        { 29, "IQ1_M", 256, 56 },
    { 30, "BF16", 1, 2 },       { 34, "TQ1_0", 256, 54 },   { 35, "TQ2_0", 256, 66 },   { 39, "MXFP4", 32, 17 },
    { 40, "NVFP4", 64, 36 },    { 41, "Q1_0", 128, 18 },    { 42, "Q2_0", 64, 18 },
};
enum { N_GGML = sizeof GGML / sizeof GGML[0] };

START_TEST(test_table_is_ggmls)
{
    int n;
    const dtype_info *t = dtype_table(&n);
    ck_assert_int_eq(n, N_GGML);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(t[i].id, GGML[i].id);
        ck_assert_str_eq(t[i].name, GGML[i].name);
        ck_assert_msg(t[i].block_weights == GGML[i].weights && t[i].block_bytes == GGML[i].bytes, "%s", t[i].name);
        ck_assert_ptr_eq(dtype_find(t[i].id), &t[i]);
        ck_assert_ptr_eq(dtype_find_name(t[i].name), &t[i]);
        ck_assert_str_eq(dtype_name(t[i].id), t[i].name);
    }
    ck_assert_ptr_eq(dtype_find_name("q4_k"), dtype_find(DT_Q4_K));
    const int64_t NONE[] = { -1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 99, INT64_MAX, INT64_MIN, (int64_t)1 << 32 };
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++) ck_assert_ptr_null(dtype_find(NONE[i]));
    ck_assert_ptr_null(dtype_find_name("Q9_K"));
    ck_assert_str_eq(dtype_name(DT_INVALID), "?");
}
END_TEST

START_TEST(test_row_bytes)
{
    int64_t b = -7;
    ck_assert(dtype_row_bytes(DT_Q4_K, 512, &b) && b == 288);
    ck_assert(dtype_row_bytes(DT_Q4_K, 0, &b) && b == 0);
    ck_assert(dtype_row_bytes(DT_BF16, 3, &b) && b == 6);
    b = -7;
    ck_assert(!dtype_row_bytes(DT_Q4_K, 255, &b) && !dtype_row_bytes(DT_Q8_0, 33, &b));
    ck_assert(!dtype_row_bytes(DT_F32, -1, &b) && !dtype_row_bytes(DT_INVALID, 1, &b));
    ck_assert(!dtype_row_bytes(DT_F64, INT64_MAX / 4, &b));
    ck_assert_int_eq(b, -7);
}
END_TEST

START_TEST(test_tensor_bytes)
{
    const int64_t shape[] = { 3, 2, 512 }, part[] = { 512, 255 }, huge[] = { INT64_MAX / 8, 8 },
                  negative[] = { -1, 256 };
    int64_t b = -7;
    ck_assert(dtype_bytes(DT_Q4_K, 3, shape, &b) && b == 3 * 2 * 288);
    ck_assert(dtype_bytes(DT_BF16, 1, part, &b) && b == 1024);
    ck_assert(dtype_bytes(DT_F32, 0, NULL, &b) && b == 4);
    b = -7;
    // it is rows that divide into blocks
    ck_assert(!dtype_bytes(DT_Q4_K, 0, NULL, &b) && !dtype_bytes(DT_Q4_K, 2, part, &b));
    ck_assert(!dtype_bytes(DT_F32, 2, huge, &b) && !dtype_bytes(DT_F32, 2, negative, &b));
    ck_assert_int_eq(b, -7);
}
END_TEST

// ---- conversions, against slow ones that follow the definition ------------------------------------------------------

static uint32_t bits_of(float x)   { uint32_t u; memcpy(&u, &x, 4); return u; }
static float    float_of(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

// The value that a format of `exp_bits` and `mant_bits` gives these bits.
static float slow_widen(uint16_t bits, int exp_bits, int mant_bits)
{
    int bias = (1 << (exp_bits - 1)) - 1, e = (bits >> mant_bits) & ((1 << exp_bits) - 1),
        m = bits & ((1 << mant_bits) - 1);
    double v = e == 0 ? ldexp(m, 1 - bias - mant_bits) : ldexp(m + (1 << mant_bits), e - bias - mant_bits);
    if (e == (1 << exp_bits) - 1) v = INFINITY;
    return (float)(bits & 0x8000 ? -v : v);
}

// Nearest, ties to even, by the arithmetic of doubles.
static uint16_t slow_narrow(float x, int exp_bits, int mant_bits)
{
    int      bias = (1 << (exp_bits - 1)) - 1;
    double   a    = fabs((double)x);
    uint32_t sign = bits_of(x) >> 16 & 0x8000, inf = (uint32_t)((1 << exp_bits) - 1) << mant_bits, r;
    if (isinf(a)) r = inf;
    else if (a < ldexp(1, 1 - bias)) r = (uint32_t)nearbyint(ldexp(a, bias - 1 + mant_bits));
    else
        r = (uint32_t)((ilogb(a) + bias) << mant_bits) + (uint32_t)nearbyint(ldexp(a, mant_bits - ilogb(a))) -
            (1u << mant_bits);
    return (uint16_t)(sign | (r > inf ? inf : r));
}

START_TEST(test_widen_every_pattern)
{
    static uint16_t all[65536];
    static float    h[65536], b[65536];
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    f32_from_f16_run(h, all, 65536);
    f32_from_bf16_run(b, all, 65536);
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t u = (uint16_t)i;
        ck_assert_uint_eq(bits_of(h[i]), bits_of(f32_from_f16(u)));
        ck_assert_uint_eq(bits_of(b[i]), bits_of(f32_from_bf16(u)));
        ck_assert_uint_eq(bits_of(b[i]), i << 16);
        if ((u & 0x7fff) <= 0x7f80) ck_assert_uint_eq(bits_of(b[i]), bits_of(slow_widen(u, 8, 7)));
        // A NaN keeps its sign and payload and becomes quiet.
        uint32_t want = (u & 0x7fff) > 0x7c00 ? (i & 0x8000) << 16 | 0x7fc00000 | (i & 0x3ff) << 13
                                              : bits_of(slow_widen(u, 5, 10));
        ck_assert_msg(bits_of(h[i]) == want, "F16 %04x: %08x, expected %08x", u, bits_of(h[i]), want);
    }
}
END_TEST

static void check_narrow(float x)
{
    if (isnan(x)) {
        ck_assert_uint_eq(f16_from_f32(x), (bits_of(x) >> 16 & 0x8000) | 0x7e00);
        ck_assert_uint_eq(bf16_from_f32(x), bits_of(x) >> 16 | 0x40);
        return;
    }
    uint16_t h = f16_from_f32(x), b = bf16_from_f32(x), wh = slow_narrow(x, 5, 10), wb = slow_narrow(x, 8, 7);
    ck_assert_msg(h == wh, "F32 %08x to F16: %04x, expected %04x", bits_of(x), h, wh);
    ck_assert_msg(b == wb, "F32 %08x to BF16: %04x, expected %04x", bits_of(x), b, wb);
}

START_TEST(test_narrow)
{
    // Every value of either format, every midpoint between two neighbours (a tie), and one F32 step beside both.
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t u = (uint16_t)i;
        const float at[] = { f32_from_f16(u), f32_from_bf16(u),
                             0.5f * (f32_from_f16(u) + f32_from_f16((uint16_t)(u + 1))), float_of((i << 16) + 0x8000) };
        for (int k = 0; k < 4; k++)
            for (uint32_t d = 0; d < 3; d++) check_narrow(float_of(bits_of(at[k]) + d - 1));
        if ((u & 0x7fff) <= 0x7c00) ck_assert_uint_eq(f16_from_f32(f32_from_f16(u)), u);
        if ((u & 0x7fff) <= 0x7f80) ck_assert_uint_eq(bf16_from_f32(f32_from_bf16(u)), u);
    }
    ck_assert_uint_eq(f16_from_f32(65519.996f), 0x7bff);        // rounds down to the largest finite F16
    ck_assert_uint_eq(f16_from_f32(65520.0f), 0x7c00);          // a tie that goes to infinity
    // 2^-25, half the smallest subnormal: a tie that goes to 0
    ck_assert_uint_eq(f16_from_f32(2.9802322e-8f), 0x0000);
    ck_assert_uint_eq(f16_from_f32(2.9802326e-8f), 0x0001);
    ck_assert_uint_eq(f16_from_f32(-0.0f), 0x8000);
    ck_assert_uint_eq(bf16_from_f32(float_of(0x7f7fffff)), 0x7f80);     // the largest F32 overflows
    ck_assert_uint_eq(bf16_from_f32(float_of(0x7f7f7fff)), 0x7f7f);
    ck_assert_uint_eq(bf16_from_f32(float_of(0x7f800001)), 0x7fc0);     // a NaN whose payload truncation would lose
    ck_assert_uint_eq(bf16_from_f32(float_of(0xffffffff)), 0xffff);     // and one that adding would carry to zero
    uint64_t r = 88172645463325252u;
    for (int i = 0; i < 2000000; i++) {
        r ^= r << 13; r ^= r >> 7; r ^= r << 17;
        check_narrow(float_of((uint32_t)r));
    }
}
END_TEST

START_TEST(test_runs_equal_single_conversions)
{
    enum { N = 1003 };      // not a multiple of any vector
    static float    x[N + 1];
    static uint16_t h[N + 1], b[N + 1];
    uint64_t r = 1234567;
    for (int i = 0; i < N; i++) {
        r ^= r << 13; r ^= r >> 7; r ^= r << 17;
        x[i] = float_of((uint32_t)r);
    }
    h[N] = b[N] = 0x1234;
    f16_from_f32_run(h, x, N);
    bf16_from_f32_run(b, x, N);
    for (int i = 0; i < N; i++) {
        ck_assert_uint_eq(h[i], f16_from_f32(x[i]));
        ck_assert_uint_eq(b[i], bf16_from_f32(x[i]));
    }
    ck_assert_uint_eq(h[N], 0x1234);
    ck_assert_uint_eq(b[N], 0x1234);
}
END_TEST

// The 8-bit floats by their definition, all of them; every float type from any alignment.
START_TEST(test_floats_of_checkpoints)
{
    for (int k = 0; k < 256; k++) {
        const uint8_t code = (uint8_t)k;
        const double  sign = k & 0x80 ? -1 : 1;
        const int     exp4 = k >> 3 & 15, exp5 = k >> 2 & 31;
        float x;
        f32_from_float_run(DT_F8_E4M3, &x, &code, 1);
        if ((k & 0x7f) == 0x7f) ck_assert(isnan(x));
        else
            ck_assert_msg((double)x == sign * (exp4 ? ldexp(1 + (k & 7) / 8.0, exp4 - 7) : ldexp(k & 7, -9)), "%d: %g",
                          k, (double)x);
        f32_from_float_run(DT_F8_E5M2, &x, &code, 1);
        if (exp5 == 31 && k & 3) ck_assert(isnan(x));
        else if (exp5 == 31)     ck_assert((double)x == sign * INFINITY);
        else
            ck_assert_msg((double)x == sign * (exp5 ? ldexp(1 + (k & 3) / 4.0, exp5 - 15) : ldexp(k & 3, -16)),
                          "%d: %g", k, (double)x);
    }
    // Nearest, ties to even; beyond the range infinity; below it zero of the same sign.
    static const struct { double in; float out; } wide[] = {
        { 1, 1 },
        { -0.1, -0.1f },
        { 1 + 0x1p-24, 1 },
        { 1 + 0x3p-24, 1 + 0x1p-22f },
        { 1 + 0x1p-24 + 0x1p-50, 1 + 0x1p-23f },
        { 1e300, INFINITY },
        { -1e39, -INFINITY },
        { 0x1.fffffefp127, 0x1.fffffep127f },
        { 0x1.ffffffp127, INFINITY },
        { 1e-310, 0 },
        { 0x1p-149, 0x1p-149f },
    };
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        uint8_t bytes[9];
        float   x;
        memcpy(bytes + 1, &wide[i].in, 8);
        f32_from_float_run(DT_F64, &x, bytes + 1, 1);
        ck_assert_msg(x == wide[i].out, "%.17g: %.9g", wide[i].in, (double)x);
    }
    enum { N = 3000 };
    static uint8_t bytes[N * 2 + 1];
    static uint16_t aligned[N];
    static float x[N], y[N];
    for (int i = 0; i < N; i++) aligned[i] = (uint16_t)(i * 21);
    memcpy(bytes + 1, aligned, sizeof aligned);
    f32_from_float_run(DT_BF16, x, bytes + 1, N);
    f32_from_bf16_run(y, aligned, N);
    ck_assert_mem_eq(x, y, sizeof x);
    f32_from_float_run(DT_F16, x, bytes + 1, N);
    f32_from_f16_run(y, aligned, N);
    ck_assert_mem_eq(x, y, sizeof x);
    f32_from_float_run(DT_F32, x, bytes + 1, N / 2);
    ck_assert_mem_eq(x, bytes + 1, sizeof x / 2);
}
END_TEST

// Types of safetensors alone: no GGUF file may name them.
START_TEST(test_types_of_safetensors_alone)
{
    static const dtype only[] = { DT_F8_E4M3, DT_F8_E5M2 };
    for (int i = 0; i < 2; i++) {
        int64_t bytes;
        ck_assert_ptr_null(dtype_find(only[i]));
        ck_assert_ptr_null(dtype_find_name(dtype_name(only[i])));
        ck_assert(dtype_is_float(only[i]) && dtype_of(only[i])->id == only[i]);
        ck_assert(dtype_row_bytes(only[i], 7, &bytes) && bytes == 7);
    }
    ck_assert_ptr_eq(dtype_of(DT_Q4_K), dtype_find(DT_Q4_K));
    ck_assert_ptr_null(dtype_of(DT_INVALID));
    ck_assert(!dtype_is_float(DT_I8) && !dtype_is_float(DT_Q8_0) && !dtype_is_float(DT_INVALID));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("err_dtype");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_first_failure_is_kept);
    tcase_add_test(t, test_control_bytes_are_escaped);
    tcase_add_test(t, test_long_messages_are_cut_whole);
    tcase_add_test(t, test_errno_kinds);
    tcase_add_test(t, test_checked_arithmetic);
    tcase_add_test(t, test_table_is_ggmls);
    tcase_add_test(t, test_floats_of_checkpoints);
    tcase_add_test(t, test_types_of_safetensors_alone);
    tcase_add_test(t, test_row_bytes);
    tcase_add_test(t, test_tensor_bytes);
    tcase_add_test(t, test_widen_every_pattern);
    tcase_add_test(t, test_narrow);
    tcase_add_test(t, test_runs_equal_single_conversions);
    suite_add_tcase(s, t);
    return run_suite(s);
}
