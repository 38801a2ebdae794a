// Proves quant/effort.h and quant/moments.h: no block is further from its weights than the reference's, and most are
// nearer; the same bytes at every SIMD level; factors give back the matrix they were made of; feedback lowers the error
// that a layer's output sees; hostile rows are refused as the reference refuses them.
#define _GNU_SOURCE
#include "quant/codec.h"
#include "quant/effort.h"
#include "quant/moments.h"

#include "golden/codec_inputs.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 33, MAX_COLS = 768 };

static const char *const level_names[] = { "plain", "portable", "avx2", "avx512" };
static float   x[MAX_ROWS * MAX_COLS], w[MAX_COLS];
static uint8_t reference[MAX_ROWS * MAX_COLS * 4], found[MAX_ROWS * MAX_COLS * 4 + 1], other[MAX_ROWS * MAX_COLS * 4];

static const dtype block_types[] = { DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0,
                                     DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K };
enum { N_TYPES = sizeof block_types / sizeof *block_types };

static int64_t bytes_of(dtype t, int64_t cols)
{
    int64_t n;
    ck_assert(dtype_row_bytes(t, cols, &n));
    return n;
}

static void encode(dtype t, int effort, void *dst, int rows, int cols, const float *importance, const feedback *f)
{
    int64_t bad;
    err e = { 0 };
    ck_assert_msg(effort_encode_rows(t, effort, dst, x, rows, cols, importance, f, &bad, &e), "%s", e.msg);
}

// Some kinds are given whole by both; these are not.
static bool is_dense(int kind) { return kind == 0 || kind == 1 || kind == 8 || kind == 10 || kind == 11; }

START_TEST(test_no_block_is_worse_than_the_reference)
{
    const dtype t = block_types[_i];
    const int n = dtype_find(t)->block_weights, bytes = dtype_find(t)->block_bytes, cols = MAX_COLS, rows = 17;
    double ours = 0, theirs = 0;
    for (int kind = 0; kind < GOLDEN_KINDS; kind++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const float *importance = weighted ? w : NULL;
            double sum[2] = { 0 };
            for (int r = 0; r < rows; r++) input_row(x + r * cols, cols, kind, (uint64_t)(7 + r));
            input_importance(w, cols, kind, 3);
            encode(t, 0, reference, rows, cols, importance, NULL);
            encode(t, 1, found, rows, cols, importance, NULL);
            for (int64_t b = 0; b < (int64_t)rows * cols / n; b++) {
                const float *at = importance ? importance + b * n % cols : NULL;
                const double mine = effort_row_error(t, found + b * bytes, x + b * n, n, at),
                             its = effort_row_error(t, reference + b * bytes, x + b * n, n, at);
                ck_assert_msg(mine <= its, "%s, kind %d, block %lld: %g, reference %g", dtype_name(t), kind,
                              (long long)b, mine, its);
                sum[0] += mine;
                sum[1] += its;
            }
            if (is_dense(kind))
                ck_assert_msg(sum[0] < sum[1], "%s, kind %d: %g, reference %g", dtype_name(t), kind, sum[0], sum[1]);
            if (kind == 0 && !weighted) { ours = sum[0]; theirs = sum[1]; }
        }
    // On weights like trained ones, by how much at least. Q8_0's grid leaves next to nothing.
    const double most = t == DT_Q8_0 ? 0.9999 : 0.97;
    ck_assert_msg(ours < most * theirs, "%s: %g of the reference's error", dtype_name(t), ours / theirs);
}
END_TEST

START_TEST(test_effort_0_is_the_reference_and_plain_types_are_themselves)
{
    int64_t bad;
    err e = { 0 };
    for (int r = 0; r < 5; r++) input_row(x + r * 256, 256, r, 1);
    for (int i = 0; i < N_TYPES; i++) {
        ck_assert(codec_encode_rows(codec_find(block_types[i]), reference, x, 5, 256, NULL, &bad, &e));
        encode(block_types[i], 0, found, 5, 256, NULL, NULL);
        ck_assert(memcmp(reference, found, (size_t)(5 * bytes_of(block_types[i], 256))) == 0);
    }
    ck_assert(codec_encode_rows(codec_find(DT_BF16), reference, x, 5, 256, NULL, &bad, &e));
    encode(DT_BF16, 1, found, 5, 256, NULL, NULL);
    ck_assert(memcmp(reference, found, 5 * 256 * 2) == 0);
}
END_TEST

// ---- feedback -------------------------------------------------------------------------------------------------------

enum { N_INPUTS = 600 };
static float inputs[N_INPUTS * MAX_COLS];

// Inputs that go together: a few directions, and noise.
static void make_inputs(int cols)
{
    static float direction[8 * MAX_COLS];
    input_rng r = { 12345 };
    for (int i = 0; i < 8 * cols; i++) direction[i] = input_normal(&r);
    for (int t = 0; t < N_INPUTS; t++) {
        float by[8];
        for (int d = 0; d < 8; d++) by[d] = input_normal(&r);
        for (int c = 0; c < cols; c++) {
            float v = 0.5f * input_normal(&r);
            for (int d = 0; d < 8; d++) v += by[d] * direction[d * cols + c];
            inputs[t * cols + c] = v;
        }
    }
}

// Feedback from the inputs in blocks; freed by the caller with free(m), free(d).
static feedback make_feedback(int cols, int block, double damping, int threads)
{
    err e = { 0 };
    float *m = calloc((size_t)cols * (size_t)block, sizeof *m), *d = calloc((size_t)cols, sizeof *d);
    ck_assert(m && d);
    for (int at = 0, b = 0; at < cols; at += block, b++) {
        const int width = cols - at < block ? cols - at : block;
        float *h = m + b * block * block;
        moments_add(h, width, inputs + at, cols, N_INPUTS / 2, threads);
        moments_add(h, width, inputs + at + N_INPUTS / 2 * cols, cols, N_INPUTS - N_INPUTS / 2, threads);
        ck_assert_msg(moments_factor(h, d + at, h, width, N_INPUTS, damping, threads, &e), "%s", e.msg);
    }
    return (feedback){ .cols = cols, .block = block, .m = m, .d = d };
}

static void free_feedback(feedback *f)
{
    free((void *)(uintptr_t)f->m);
    free((void *)(uintptr_t)f->d);
}

// Mean square of what the rows' outputs lose.
static double output_error(dtype t, const uint8_t *rows, int n_rows, int cols)
{
    static float decoded[MAX_COLS];
    double sum = 0;
    for (int r = 0; r < n_rows; r++) {
        codec_find(t)->decode_row(decoded, rows + r * bytes_of(t, cols), cols);
        for (int i = 0; i < N_INPUTS; i++) {
            double y = 0;
            for (int c = 0; c < cols; c++)
                y += ((double)x[r * cols + c] - (double)decoded[c]) * (double)inputs[i * cols + c];
            sum += y * y;
        }
    }
    return sum / N_INPUTS / n_rows;
}

START_TEST(test_feedback_lowers_what_the_output_loses)
{
    const dtype t = block_types[_i];
    const int cols = 512, rows = 11;
    make_inputs(cols);
    for (int r = 0; r < rows; r++) input_row(x + r * cols, cols, 0, (uint64_t)r);
    feedback whole = make_feedback(cols, cols, 0.01, 2), halves = make_feedback(cols, 256, 0.01, 2);
    encode(t, 1, reference, rows, cols, NULL, NULL);
    const double plain = output_error(t, reference, rows, cols);
    encode(t, 1, found, rows, cols, NULL, &whole);
    const double fed = output_error(t, found, rows, cols);
    encode(t, 1, other, rows, cols, NULL, &halves);
    const double fed_halves = output_error(t, other, rows, cols);
    ck_assert_msg(fed < 0.3 * plain, "%s: %g with feedback, %g without", dtype_name(t), fed, plain);
    ck_assert_msg(fed_halves < 0.5 * plain && fed < fed_halves, "%s: %g with feedback in halves, %g in one, %g without",
                  dtype_name(t), fed_halves, fed, plain);
    free_feedback(&whole);
    free_feedback(&halves);
}
END_TEST

START_TEST(test_inputs_that_do_not_go_together_change_nothing_but_the_weights)
{
    // H is the unit matrix: M too, so that columns pass nothing on.
    static float unit[256 * 256], d[256];
    err e = { 0 };
    for (int i = 0; i < 256; i++) unit[i * 256 + i] = 8;
    ck_assert(moments_factor(unit, d, unit, 256, 8, 0.01, 1, &e));
    for (int i = 0; i < 256 * 256; i++) ck_assert(unit[i] == (i % 257 == 0));
    for (int i = 0; i < 256; i++) ck_assert(fabsf(d[i] - 1.01f) < 1e-6f);
    const feedback f = { .cols = 256, .block = 256, .m = unit, .d = d };
    for (int r = 0; r < 9; r++) input_row(x + r * 256, 256, 0, (uint64_t)r);
    encode(DT_Q4_K, 1, found, 9, 256, NULL, &f);
    encode(DT_Q4_K, 1, reference, 9, 256, NULL, NULL);
    for (int r = 0; r < 9; r++) {
        const double with = effort_row_error(DT_Q4_K, found + r * 144, x + r * 256, 256, NULL),
                     without = effort_row_error(DT_Q4_K, reference + r * 144, x + r * 256, 256, NULL);
        ck_assert_msg(with < 1.05 * without, "row %d: %g, %g", r, with, without);
    }
}
END_TEST

START_TEST(test_inputs_may_be_tiny)
{
    // The same inputs, 2^-60 of their size: nothing but proportions counts. At 2^-66 (about 1e-20) squares have lost
    // bits.
    const dtype t = block_types[_i];
    const int rows = 9;
    for (int r = 0; r < rows; r++) input_row(x + r * 256, 256, 0, (uint64_t)r);
    make_inputs(256);
    feedback usual = make_feedback(256, 256, 0.01, 1);
    encode(t, 1, reference, rows, 256, NULL, &usual);
    const double lost = output_error(t, reference, rows, 256);
    for (int i = 0; i < N_INPUTS * 256; i++) inputs[i] = ldexpf(inputs[i], -60);
    feedback tiny = make_feedback(256, 256, 0.01, 1);
    encode(t, 1, found, rows, 256, NULL, &tiny);
    for (int i = 0; i < N_INPUTS * 256; i++) inputs[i] = ldexpf(inputs[i], 60);
    const double got = output_error(t, found, rows, 256);
    ck_assert_msg(got == lost, "%s: %g, with inputs of the usual size %g", dtype_name(t), got, lost);
    for (int i = 0; i < N_INPUTS * 256; i++) inputs[i] = ldexpf(inputs[i], -66);
    feedback tiniest = make_feedback(256, 256, 0.01, 1);
    for (int i = 0; i < N_INPUTS * 256; i++) inputs[i] = ldexpf(inputs[i], 66);
    encode(t, 1, found, rows, 256, NULL, &tiniest);
    encode(t, 1, reference, rows, 256, NULL, NULL);
    const double fed = output_error(t, found, rows, 256), plain = output_error(t, reference, rows, 256);
    ck_assert_msg(fed < 0.5 * plain, "%s: %g with feedback, %g without", dtype_name(t), fed, plain);
    free_feedback(&tiniest);
    // Weights so small in the search itself: finite codes, no worse than no search.
    static float d[256];
    for (int i = 0; i < 256; i++) d[i] = tiny.d[i] * 1e-39f;
    const feedback least = { .cols = 256, .block = 256, .m = tiny.m, .d = d };
    encode(t, 1, found, rows, 256, NULL, &least);
    for (int r = 0; r < rows; r++) {
        float decoded[256];
        codec_find(t)->decode_row(decoded, found + r * bytes_of(t, 256), 256);
        for (int i = 0; i < 256; i++) ck_assert(isfinite(decoded[i]));
    }
    free_feedback(&usual);
    free_feedback(&tiny);
}
END_TEST

START_TEST(test_factors_give_back_the_matrix)
{
    enum { W = 100 };           // panels do not divide it
    static float h[W * W], m[W * W], d[W];
    double diagonal = 0;
    err e = { 0 };
    make_inputs(W);
    moments_add(h, W, inputs, W, N_INPUTS, 3);
    ck_assert(moments_factor(m, d, h, W, N_INPUTS, 0.02, 3, &e));
    for (int i = 0; i < W; i++) diagonal += (double)h[i * W + i] / N_INPUTS / W;
    for (int i = 0; i < W; i++)
        for (int j = i; j < W; j++) {
            double exact = 0, got = 0;
            for (int t = 0; t < N_INPUTS; t++)
                exact += (double)inputs[t * W + i] * (double)inputs[t * W + j] / N_INPUTS;
            if (i == j) exact += 0.02 * diagonal;
            for (int k = j; k < W; k++)
                got += (double)m[i * W + k] * (double)d[k] * scalbn(1, ilogb(diagonal)) * (double)m[j * W + k];
            ck_assert_msg(fabs(got - exact) < 1e-4 * diagonal, "%d, %d: %g, expected %g", i, j, got, exact);
        }
    for (int i = 0; i < W; i++)
        for (int j = 0; j <= i; j++) ck_assert(m[i * W + j] == (i == j));
    memset(h, 0, sizeof h);     // no input at all: like the unit matrix
    ck_assert(moments_factor(m, d, h, W, 1, 0.01, 1, &e));
    for (int i = 0; i < W; i++) ck_assert(d[i] > 0);
    h[3 * W + 3] = NAN;
    ck_assert(!moments_factor(m, d, h, W, 1, 0.01, 1, &e) && e.kind == ERR_INPUT);
}
END_TEST

// ---- the same everywhere --------------------------------------------------------------------------------------------

START_TEST(test_same_bytes_at_every_level_and_for_any_grouping)
{
    const dtype t = block_types[_i];
    const int cols = MAX_COLS, rows = MAX_ROWS;
    const simd_level best = simd_best();
    make_inputs(cols);
    for (int r = 0; r < rows; r++) input_row(x + r * cols, cols, r % GOLDEN_KINDS, (uint64_t)r);
    input_importance(w, cols, 0, 5);
    uint8_t *first = calloc(3, sizeof reference);
    ck_assert_ptr_nonnull(first);
    for (simd_level level = SIMD_PORTABLE; level <= best; level++) {
        setenv("HALLMARK_SIMD", level_names[level], 1);
        feedback f = make_feedback(cols, 256, 0.01, level == SIMD_PORTABLE ? 1 : 3);
        const int64_t n = rows * bytes_of(t, cols);
        for (int way = 0; way < 3; way++) {
            uint8_t *kept = first + way * (int64_t)sizeof reference;
            memset(found, 0x77, sizeof found);
            encode(t, 1, found, rows, cols, way == 1 ? w : NULL, way == 2 ? &f : NULL);
            if (level == SIMD_PORTABLE) memcpy(kept, found, (size_t)n);
            ck_assert_msg(memcmp(kept, found, (size_t)n) == 0, "%s, way %d: %s differs", dtype_name(t), way,
                          level_names[level]);
            ck_assert_int_eq(found[n], 0x77);
            // Row 20 by itself.
            int64_t bad;
            err e = { 0 };
            ck_assert(effort_encode_rows(t, 1, other, x + 20 * cols, 1, cols, way == 1 ? w : NULL, way == 2 ? &f : NULL,
                                         &bad, &e));
            ck_assert_msg(memcmp(kept + 20 * n / rows, other, (size_t)(n / rows)) == 0, "%s, way %d, %s: one row",
                          dtype_name(t), way, level_names[level]);
        }
        free_feedback(&f);
    }
    unsetenv("HALLMARK_SIMD");
    free(first);
}
END_TEST

START_TEST(test_hostile_rows)
{
    const dtype t = block_types[_i];
    int64_t bad = -1;
    err e = { 0 };
    for (int r = 0; r < 20; r++) input_row(x + r * 256, 256, 0, (uint64_t)r);
    x[18 * 256 + 77] = NAN;
    ck_assert(!effort_encode_rows(t, 1, found, x, 20, 256, NULL, NULL, &bad, &e));
    ck_assert(e.kind == ERR_INPUT && bad == 18 && strstr(e.msg, "column 77"));
    x[18 * 256 + 77] = INFINITY;
    e = (err){ 0 };
    ck_assert(!effort_encode_rows(t, 1, found, x, 20, 256, NULL, NULL, &bad, &e) && bad == 18);
    x[18 * 256 + 77] = 1e30f;           // no F16 scale reaches it
    e = (err){ 0 };
    ck_assert(!effort_encode_rows(t, 1, found, x, 20, 256, NULL, NULL, &bad, &e) && bad == 18 && strstr(e.msg, "F16"));
}
END_TEST

START_TEST(test_zero_and_constant_rows)
{
    const dtype t = block_types[_i];
    float decoded[256];
    make_inputs(256);
    feedback f = make_feedback(256, 256, 0.01, 1);
    for (int way = 0; way < 3; way++) {
        memset(x, 0, 256 * sizeof *x);
        for (int i = 0; i < 256; i++) x[256 + i] = 0.25f;
        for (int i = 0; i < 256; i++) w[i] = 0;                 // nothing counts: anything finite is right
        encode(t, 1, found, 2, 256, way == 1 ? w : NULL, way == 2 ? &f : NULL);
        codec_find(t)->decode_row(decoded, found, 256);
        for (int i = 0; i < 256; i++) ck_assert_msg(decoded[i] == 0, "%s: %g", dtype_name(t), (double)decoded[i]);
        codec_find(t)->decode_row(decoded, found + bytes_of(t, 256), 256);
        for (int i = 0; i < 256; i++) ck_assert(isfinite(decoded[i]) && (way > 0 || fabsf(decoded[i] - 0.25f) < 0.01f));
    }
    free_feedback(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("effort");
    TCase *t = tcase_create("effort");
    tcase_add_loop_test(t, test_no_block_is_worse_than_the_reference, 0, N_TYPES);
    tcase_add_test(t, test_effort_0_is_the_reference_and_plain_types_are_themselves);
    tcase_add_loop_test(t, test_feedback_lowers_what_the_output_loses, 0, N_TYPES);
    tcase_add_test(t, test_inputs_that_do_not_go_together_change_nothing_but_the_weights);
    tcase_add_loop_test(t, test_inputs_may_be_tiny, 0, N_TYPES);
    tcase_add_test(t, test_factors_give_back_the_matrix);
    tcase_add_loop_test(t, test_same_bytes_at_every_level_and_for_any_grouping, 0, N_TYPES);
    tcase_add_loop_test(t, test_hostile_rows, 0, N_TYPES);
    tcase_add_loop_test(t, test_zero_and_constant_rows, 0, N_TYPES);
    suite_add_tcase(s, t);
    return run_suite(s);
}
