// Proves verify/rounding.h: moved weights are as far from the artifact's as those are from their source, wherever that
// is; and the same ones every time.
#include "quant/codec.h"
#include "suite.h"
#include "verify/rounding.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 512, ROWS = 64, N = COLS * ROWS };

static const dtype TYPES[] = { DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0, DT_Q2_K,
                               DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_F16 };
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

typedef struct { float source[N], plain[N], moved[N]; uint8_t bytes[N * 2], now[N * 2]; int64_t n; } weights;

// Nearly normal, as weights are: sums of uniform numbers.
static void fill(float *x)
{
    uint32_t s = 7;
    for (int i = 0; i < N; i++) {
        float sum = 0;
        for (int k = 0; k < 8; k++) {
            s = s * 1664525u + 1013904223u;
            sum += (float)(s >> 8) / 16777216.0f - 0.5f;
        }
        x[i] = sum * 0.03f;
    }
}

static weights *encoded(dtype t)
{
    weights *w = calloc(1, sizeof *w);
    err      e = { 0 };
    int64_t  bad;
    ck_assert_ptr_nonnull(w);
    fill(w->source);
    ck_assert(dtype_row_bytes(t, COLS, &w->n));
    w->n *= ROWS;
    ck_assert_msg(codec_encode_rows(codec_find(t), w->bytes, w->source, ROWS, COLS, NULL, &bad, &e), "%s", e.msg);
    memcpy(w->now, w->bytes, (size_t)w->n);
    codec_find(t)->decode_row(w->plain, w->bytes, N);
    return w;
}

static double squares(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

START_TEST(moved_weights_are_as_far_as_rounded_ones)
{
    for (int i = 0; i < N_TYPES; i++) {
        weights *w = encoded(TYPES[i]);
        ck_assert(rounding_move(w->now, w->n, TYPES[i], "blk.0.x", 1));
        codec_find(TYPES[i])->decode_row(w->moved, w->now, N);
        int moved = 0;
        for (int k = 0; k < N; k++) {
            ck_assert(isfinite(w->moved[k]));
            moved += w->moved[k] != w->plain[k];
        }
        const double share = (double)moved / N, ratio = squares(w->plain, w->source) / squares(w->moved, w->plain);
        ck_assert_msg(share > 0.06 && share < 0.09, "%s: %.4f of the weights moved", dtype_name(TYPES[i]), share);
        ck_assert_msg(ratio > 0.95 && ratio < 1.05, "%s: rounding's squared error is %.2f of the moved weights'",
                      dtype_name(TYPES[i]), ratio);
        free(w);
    }
}
END_TEST

START_TEST(the_same_weights_move_every_time)
{
    for (int i = 0; i < N_TYPES; i++) {
        weights *a = encoded(TYPES[i]), *b = encoded(TYPES[i]), *c = encoded(TYPES[i]);
        rounding_move(a->now, a->n, TYPES[i], "blk.0.x", 1);
        rounding_move(b->now, b->n, TYPES[i], "blk.0.x", 3);
        rounding_move(c->now, c->n, TYPES[i], "blk.1.x", 1);
        ck_assert(memcmp(a->now, b->now, (size_t)a->n) == 0);
        ck_assert(memcmp(a->now, c->now, (size_t)a->n) != 0);
        rounding_move(a->now, a->n, TYPES[i], "blk.0.x", 2);        // the lowest bits alone: twice is not at all
        ck_assert(memcmp(a->now, a->bytes, (size_t)a->n) == 0);
        free(a);
        free(b);
        free(c);
    }
}
END_TEST

START_TEST(types_without_steps_stay)
{
    uint8_t bytes[64], was[64];
    memset(bytes, 0x5a, sizeof bytes);
    memcpy(was, bytes, sizeof was);
    ck_assert(!rounding_move(bytes, sizeof bytes, DT_F32, "x", 1) &&
              !rounding_move(bytes, sizeof bytes, DT_BF16, "x", 1));
    ck_assert(memcmp(bytes, was, sizeof was) == 0);
    ck_assert(rounding_move(bytes, 0, DT_Q4_K, "x", 1));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rounding");
    TCase *t = tcase_create("all");
    tcase_add_test(t, moved_weights_are_as_far_as_rounded_ones);
    tcase_add_test(t, the_same_weights_move_every_time);
    tcase_add_test(t, types_without_steps_stay);
    suite_add_tcase(s, t);
    return run_suite(s);
}
