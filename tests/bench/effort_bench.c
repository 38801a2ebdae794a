// effort_bench: how fast one core encodes with effort 1, for each type and SIMD level, on rows like trained weights;
// and with feedback from 2048 columns. Million weights a second of processor time. By hand: it prints figures, it
// judges nothing.
#define _GNU_SOURCE
#include "quant/effort.h"

#include "../golden/codec_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 64, COLS = 2048 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double rate(dtype t, int effort, uint8_t *dst, const float *x, const float *w, const feedback *f)
{
    double weights = 0, seconds;
    const double from = now();
    do {
        int64_t bad;
        err e = { 0 };
        if (!effort_encode_rows(t, effort, dst, x, ROWS, COLS, w, f, &bad, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            exit(4);
        }
        weights += (double)ROWS * COLS;
        seconds = now() - from;
    } while (seconds < 0.2);
    return weights / seconds / 1e6;
}

int main(void)
{
    static const char *const levels[] = { "portable", "avx2", "avx512" };
    static float x[ROWS * COLS], w[COLS], d[COLS];
    static uint8_t dst[ROWS * COLS * 4];
    float *m = calloc((size_t)COLS * COLS, sizeof *m);
    int n;
    const codec *c = codec_table(&n);
    if (!m) return 4;
    for (int r = 0; r < ROWS; r++) input_row(x + r * COLS, COLS, 10, (uint64_t)r);
    input_importance(w, COLS, 0, 0);
    for (int i = 0; i < COLS; i++) d[i] = 1;            // nothing is passed on, at the same cost
    const feedback f = { .cols = COLS, .block = COLS, .m = m, .d = d };
    printf("%-5s %-9s %10s %10s %10s\n", "type", "level", "reference", "effort 1", "feedback");
    for (int i = 0; i < n; i++)
        for (int l = 0; l < 3 && dtype_find(c[i].type)->block_weights > 1; l++) {
            setenv("HALLMARK_SIMD", levels[l], 1);
            if (l + 1 > (int)simd_best()) continue;
            printf("%-5s %-9s %10.1f %10.1f %10.1f\n", dtype_name(c[i].type), levels[l],
                   rate(c[i].type, 0, dst, x, w, NULL), rate(c[i].type, 1, dst, x, w, NULL),
                   rate(c[i].type, 1, dst, x, NULL, &f));
            fflush(stdout);
        }
    free(m);
    return 0;
}
