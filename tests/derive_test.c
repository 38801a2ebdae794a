// Proves derive_error_limit and encode_relative_error: sound blocks are well within their type's limit, what was
// damaged is beyond it; for any source. That derive itself names what differs is proved by tests/damage_test.c and
// tests/calibrate_test.c.
#include "quant/derive.h"
#include "quant/encode.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 512, ROWS = 32, N = COLS * ROWS };
static const dtype TYPES[] = { DT_Q8_0, DT_Q6_K, DT_Q5_K, DT_Q5_1, DT_Q5_0, DT_Q4_K, DT_Q4_1, DT_Q4_0, DT_Q3_K,
                               DT_Q2_K };
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

static float   source[N], other[N];
static uint8_t bytes[N * 4];

static void fill(float *x, uint32_t s, float size)
{
    for (int i = 0; i < N; i++) {
        float sum = 0;
        for (int k = 0; k < 8; k++) {
            s = s * 1664525u + 1013904223u;
            sum += (float)(s >> 8) / 16777216.0f - 0.5f;
        }
        x[i] = sum * size;
    }
}

static gguf_tensor tensor_of(const void *data, dtype t)
{
    gguf_tensor x = { .name = "x", .type = t, .n_dims = 2, .shape = { ROWS, COLS }, .n_elems = N, .data = data };
    return x;
}

static double error_after(const gguf_tensor *of, const transform *change, dtype t)
{
    err    e = { 0 };
    double error, again;
    const tensor_source src = { .where = of->name, .type = of->type, .data = of->data, .fd = -1, .change = *change };
    gguf_tensor encoded = *of;
    encoded.type = t;
    encoded.data = bytes;
    ck_assert_msg(encode_relative_error(&error, &encoded, &src, 1, &e), "%s", e.msg);
    ck_assert_msg(encode_relative_error(&again, &encoded, &src, 3, &e), "%s", e.msg);
    ck_assert(error == again || (isnan(error) && isnan(again)));
    return error;
}

static double error_of(const gguf_tensor *of, dtype t) { return error_after(of, &(transform){ 0 }, t); }

static void encode(const float *x, dtype t)
{
    err e = { 0 };
    const gguf_tensor of = tensor_of(x, DT_F32);
    ck_assert_msg(encode_tensor(bytes, &of, t, NULL, 1, &e), "%s", e.msg);
}

START_TEST(sound_blocks_are_within_the_limit_and_damaged_ones_beyond_it)
{
    fill(source, 1, 0.03f);
    const gguf_tensor of = tensor_of(source, DT_F32);
    for (int i = 0; i < N_TYPES; i++) {
        const double most = derive_error_limit(TYPES[i]);
        encode(source, TYPES[i]);
        const double error = error_of(&of, TYPES[i]);
        ck_assert_msg(error > most / 8 && error < most * 0.6, "%s: %.4f of %.4f", dtype_name(TYPES[i]), error, most);
        fill(other, 2, 0.03f);
        encode(other, TYPES[i]);
        ck_assert_msg(error_of(&of, TYPES[i]) > 1.3, "%s: another matrix", dtype_name(TYPES[i]));
        for (int k = 0; k < N; k++) other[k] = 2 * source[k];
        encode(other, TYPES[i]);
        ck_assert_msg(error_of(&of, TYPES[i]) > most, "%s: doubled", dtype_name(TYPES[i]));
        memset(bytes, 0, sizeof bytes);
        ck_assert_msg(error_of(&of, TYPES[i]) == 1 && 1 > most, "%s: zeros", dtype_name(TYPES[i]));
        fill(other, 3, 1e-8f);                                  // no scale that F16 has
        const gguf_tensor small = tensor_of(other, DT_F32);
        encode(other, TYPES[i]);
        ck_assert_msg(error_of(&small, TYPES[i]) > most, "%s: weights of 1e-8", dtype_name(TYPES[i]));
    }
    ck_assert(derive_error_limit(DT_F32) == 0 && derive_error_limit(DT_BF16) == 0);
}
END_TEST

// The source may be F64 and lie anywhere in its file.
START_TEST(the_source_may_be_of_any_float_type)
{
    static uint8_t wide[N * 8 + 1];
    fill(source, 4, 0.03f);
    encode(source, DT_Q4_K);
    const gguf_tensor of = tensor_of(source, DT_F32);
    for (int i = 0; i < N; i++) {
        const double v = (double)source[i];
        memcpy(wide + 1 + 8 * i, &v, sizeof v);
    }
    const gguf_tensor f64 = tensor_of(wide + 1, DT_F64);
    ck_assert(error_of(&f64, DT_Q4_K) == error_of(&of, DT_Q4_K));
    memcpy(wide + 1, source, sizeof source);
    const gguf_tensor odd = tensor_of(wide + 1, DT_F32);
    ck_assert(error_of(&odd, DT_Q4_K) == error_of(&of, DT_Q4_K));
}
END_TEST

// What Llama's Q and K are to a file: rows of the source at other places. Each row is compared with the one it came
// from.
START_TEST(rows_that_moved_are_compared_with_their_own)
{
    const transform moved = { .add = 0.5f, .pairs = ROWS / 2 };
    fill(source, 6, 0.03f);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < COLS; c++)
            other[r * COLS + c] = source[transform_source_row(&moved, r) * COLS + c] + moved.add;
    encode(other, DT_Q8_0);
    const gguf_tensor of = tensor_of(source, DT_F32), placed = tensor_of(other, DT_F32);
    ck_assert(error_after(&of, &moved, DT_Q8_0) == error_of(&placed, DT_Q8_0));
    ck_assert(error_of(&placed, DT_Q8_0) < derive_error_limit(DT_Q8_0));
    ck_assert(error_after(&of, &(transform){ .add = moved.add }, DT_Q8_0) > derive_error_limit(DT_Q8_0));
}
END_TEST

START_TEST(nothing_and_no_number)
{
    memset(source, 0, sizeof source);
    const gguf_tensor of = tensor_of(source, DT_F32);
    encode(source, DT_Q8_0);
    ck_assert(error_of(&of, DT_Q8_0) == 0);
    fill(other, 5, 0.03f);
    encode(other, DT_Q8_0);
    ck_assert(isinf(error_of(&of, DT_Q8_0)));
    const gguf_tensor sound = tensor_of(other, DT_F32);
    bytes[0] = 0x00;
    bytes[1] = 0x7e;                                            // a scale that is NaN
    const double error = error_of(&sound, DT_Q8_0);
    ck_assert(isnan(error) && !(error <= derive_error_limit(DT_Q8_0)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("derive");
    TCase *t = tcase_create("all");
    tcase_add_test(t, sound_blocks_are_within_the_limit_and_damaged_ones_beyond_it);
    tcase_add_test(t, the_source_may_be_of_any_float_type);
    tcase_add_test(t, rows_that_moved_are_compared_with_their_own);
    tcase_add_test(t, nothing_and_no_number);
    suite_add_tcase(s, t);
    return run_suite(s);
}
