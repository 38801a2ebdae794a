// Proves quant/finite.h: the vectors' answer is the plain loop's, wherever the value stands.
#include "quant/finite.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static const dtype types[] = { DT_F32, DT_F16, DT_BF16 };

static void put(dtype t, uint8_t *bytes, int64_t i, uint32_t bits)
{
    const uint16_t half = (uint16_t)bits;
    if (t == DT_F32) memcpy(bytes + i * 4, &bits, 4);
    else             memcpy(bytes + i * 2, &half, 2);
}

// Every pattern of 16 bits; of F32 each sign and exponent, with a mantissa of nothing, one bit, all bits.
START_TEST(test_every_pattern)
{
    for (uint32_t k = 0; k < 65536; k++) {
        const uint16_t h = (uint16_t)k;
        ck_assert_int_eq(finite_first(DT_BF16, &h, 1), isfinite(f32_from_bf16(h)) ? -1 : 0);
        ck_assert_int_eq(finite_first(DT_F16, &h, 1), isfinite(f32_from_f16(h)) ? -1 : 0);
    }
    static const uint32_t mantissas[] = { 0, 1, 0x400000, 0x7fffff };
    for (uint32_t k = 0; k < 512 * 4; k++) {
        const uint32_t u = k / 4 << 23 | mantissas[k % 4];
        float x;
        memcpy(&x, &u, sizeof x);
        ck_assert_int_eq(finite_first(DT_F32, &x, 1), isfinite(x) ? -1 : 0);
    }
}
END_TEST

// One bad value at each place of a run longer than two steps, a second one behind it; at any alignment.
START_TEST(test_every_place)
{
    enum { N = 9001 };
    static uint8_t buf[N * 4 + 4];
    static const uint32_t bad[] = { 0x7f800000, 0xfc00, 0x7f81 }, good[] = { 0x7f7fffff, 0xfbff, 0xff7f };
    for (int k = 0; k < 3; k++) {
        for (int shift = 0; shift < 4; shift++) {
            uint8_t *b = buf + shift;
            for (int64_t i = 0; i < N; i++) put(types[k], b, i, good[k]);
            ck_assert_int_eq(finite_first(types[k], b, N), -1);
            ck_assert_int_eq(finite_first(types[k], b, 0), -1);
            for (int64_t i = 0; i < N; i += i > 50 && i < N - 50 && i % 4096 > 20 ? 13 : 1) {
                put(types[k], b, i, bad[k]);
                put(types[k], b, N - 1, bad[k]);
                ck_assert_int_eq(finite_first(types[k], b, N), i);
                ck_assert_int_eq(finite_first_plain(types[k], b, N), i);
                ck_assert_int_eq(finite_first(types[k], b, i), -1);
                ck_assert_int_eq(finite_count_bad(types[k], b, N), i < N - 1 ? 2 : 1);
                put(types[k], b, i, good[k]);
                put(types[k], b, N - 1, good[k]);
            }
        }
    }
}
END_TEST

START_TEST(test_names)
{
    ck_assert_str_eq(finite_name(NAN), "NaN");
    ck_assert_str_eq(finite_name(INFINITY), "Inf");
    ck_assert_str_eq(finite_name(-INFINITY), "-Inf");
    ck_assert_ptr_null(finite_name(1e308));
    for (int k = 0; k < 3; k++) ck_assert(finite_checks(types[k]));
    ck_assert(!finite_checks(DT_Q8_0) && !finite_checks(DT_F64) && !finite_checks(DT_I32));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("finite");
    TCase *c = tcase_create("finite");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_every_pattern);
    tcase_add_test(c, test_every_place);
    tcase_add_test(c, test_names);
    return run_suite(s);
}
