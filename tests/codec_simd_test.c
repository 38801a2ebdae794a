// Proves the encoders in lanes (quant/lanes_codec.inc): at every SIMD level of this processor, for every kind of row,
// any number of rows, with and without importance, the bytes of the plain encoder; and the same failures.
#define _GNU_SOURCE
#include "quant/codec.h"

#include "golden/codec_inputs.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 41, MAX_COLS = 2560 };

static const char *const level_names[] = { "plain", "portable", "avx2", "avx512" };
static float   x[MAX_ROWS * MAX_COLS], w[MAX_COLS];
static uint8_t expected[MAX_ROWS * MAX_COLS * 4], found[MAX_ROWS * MAX_COLS * 4 + 1];

static int64_t row_bytes(dtype t, int64_t cols)
{
    int64_t n;
    ck_assert(dtype_row_bytes(t, cols, &n));
    return n;
}

static void compare(dtype t, simd_level level, int rows, int cols, const float *importance, const char *what)
{
    const codec *plain = codec_at(t, SIMD_PLAIN), *c = codec_at(t, level);
    const int64_t n = row_bytes(t, cols);
    int64_t bad_row;
    err e = { 0 };
    for (int r = 0; r < rows; r++)
        ck_assert_msg(plain->encode_row(expected + r * n, x + r * cols, cols, importance, &e), "%s", e.msg);
    memset(found, 0x77, (size_t)(rows * n + 1));
    if (c->encode_rows) ck_assert(c->encode_rows(found, x, rows, cols, importance));
    else                ck_assert(codec_encode_rows(c, found, x, rows, cols, importance, &bad_row, &e));
    for (int64_t i = 0; memcmp(expected, found, (size_t)(rows * n)) != 0 && i < rows * n; i++)
        ck_assert_msg(found[i] == expected[i],
                      "%s, %s, %s, %s importance, %d rows of %d: row %lld, byte %lld: found %02x, expected %02x",
                      dtype_name(t), level_names[level], what, importance ? "with" : "without", rows, cols,
                      (long long)(i / n), (long long)(i % n), found[i], expected[i]);
    ck_assert_int_eq(found[rows * n], 0x77);            // nothing past the end
}

START_TEST(test_same_bytes_as_plain)
{
    static const struct {
        int rows, cols;
    } shapes[] = { { 1, 256 }, { 5, 256 }, { 16, 512 }, { 17, 768 }, { MAX_ROWS, MAX_COLS } };
    int n;
    const dtype t = codec_table(&n)[_i].type;
    for (int kind = 0; kind <= GOLDEN_KINDS; kind++)            // the last: all kinds, row by row, so that lanes differ
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            char what[32];
            snprintf(what, sizeof what, "kind %d", kind);
            input_rows(x, shapes[s].rows, shapes[s].cols, kind, s);
            input_importance(w, shapes[s].cols, kind, s);
            for (simd_level level = SIMD_PORTABLE; level <= simd_best(); level++) {
                compare(t, level, shapes[s].rows, shapes[s].cols, NULL, what);
                compare(t, level, shapes[s].rows, shapes[s].cols, w, what);
            }
        }
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
enum { SEEDS = 2 };
#else
enum { SEEDS = 12 };
#endif

// The cases that lanes leave to the plain codec.
START_TEST(test_lanes_that_need_the_plain_codec)
{
    int n;
    const dtype t = codec_table(&n)[_i].type;
    if (SEEDS < 12 && _i == 0) printf("SMALLER under sanitizers: %d of 12 inputs of mixed magnitudes\n", SEEDS);
    for (int seed = 0; seed < SEEDS; seed++) {
        input_mixed_magnitudes(x, MAX_ROWS * 512, (uint64_t)seed);
        input_importance(w, 512, 2, (uint64_t)seed);
        for (simd_level level = SIMD_PORTABLE; level <= simd_best(); level++) {
            compare(t, level, MAX_ROWS, 512, NULL, "mixed magnitudes");
            compare(t, level, MAX_ROWS, 512, w, "mixed magnitudes");
        }
    }
}
END_TEST

START_TEST(test_same_failures_as_plain)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e30f };
    int n;
    const dtype t = codec_table(&n)[_i].type;
    if (dtype_find(t)->block_weights == 1) return;
    for (int k = 0; k < 4; k++)
        for (int row = 0; row < MAX_ROWS; row += 20)
            for (simd_level level = SIMD_PLAIN; level <= simd_best(); level++) {
                char text[32];
                int64_t bad_row = -1;
                err e = { 0 };
                for (int r = 0; r < MAX_ROWS; r++) input_row(x + r * 512, 512, 0, (uint64_t)r);
                x[row * 512 + 300] = bad[k];
                ck_assert(!codec_encode_rows(codec_at(t, level), found, x, MAX_ROWS, 512, NULL, &bad_row, &e));
                ck_assert_int_eq(bad_row, row);
                ck_assert_int_eq(e.kind, ERR_INPUT);
                snprintf(text, sizeof text,
                         "column %d:", k < 3 ? 300 : 300 / dtype_find(t)->block_weights * dtype_find(t)->block_weights);
                ck_assert_msg(strncmp(e.msg, text, strlen(text)) == 0, "%s, %s: %s", dtype_name(t), level_names[level],
                              e.msg);
            }
}
END_TEST

START_TEST(test_level_can_be_forced_down)
{
    const simd_level have = simd_best();
    static const struct {
        const char *name;
        simd_level level;
    } names[] = { { "portable", SIMD_PORTABLE }, { "avx2", SIMD_AVX2 }, { "avx512", SIMD_AVX512 } };
    const char *before = getenv("HALLMARK_SIMD");
    if (before) return;                             // the whole run is at a level asked for from outside
    for (int i = 0; i < 3; i++) {
        setenv("HALLMARK_SIMD", names[i].name, 1);
        ck_assert_int_eq(simd_best(), names[i].level < have ? names[i].level : have);
        ck_assert_ptr_eq(codec_find(DT_Q4_K), codec_at(DT_Q4_K, simd_best()));
    }
    unsetenv("HALLMARK_SIMD");
    ck_assert_int_eq(simd_best(), have);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec_simd");
    TCase *c = tcase_create("codec_simd");
    int n;
    codec_table(&n);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, test_same_bytes_as_plain, 0, n);
    tcase_add_loop_test(c, test_lanes_that_need_the_plain_codec, 0, n);
    tcase_add_loop_test(c, test_same_failures_as_plain, 0, n);
    tcase_add_test(c, test_level_can_be_forced_down);
    printf("SIMD levels proved: portable to %s\n", level_names[simd_best()]);
    return run_suite(s);
}
