// SHA-256 of two buffers, one after the other and side by side, on one core: gigabytes a second of both, and the ratio.
//
//     digest_bench [rounds]
#include "formats/sha256.h"
#include "formats/sha256_two.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 1 << 18, TIMES = 400 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double rate(const uint8_t *x, const uint8_t *y, bool together)
{
    err e = { 0 };
    char hex[SHA256_HEX + 1];
    sha256 *a = sha256_new(&e), *b = sha256_new(&e);
    const double begin = seconds();
    for (int i = 0; a && b && i < TIMES; i++) {
        if (together) sha256_add_two(a, x, N, b, y, N, &e);
        else          sha256_add(a, x, N, &e) && sha256_add(b, y, N, &e);
    }
    const double took = seconds() - begin;
    if (!a || !b || e.kind || !sha256_end(a, hex, &e) || !sha256_end(b, hex, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    return 2.0 * N * TIMES / took / 1e9;
}

int main(int argc, char **argv)
{
    static uint8_t x[N], y[N];
    double alone = 0, together = 0;
    memset(x, 1, N);
    memset(y, 2, N);
    for (int i = argc > 1 ? atoi(argv[1]) : 5; i > 0; i--) {
        const double a = rate(x, y, false), t = rate(x, y, true);
        if (a > alone) alone = a;
        if (t > together) together = t;
    }
    printf("libcrypto, one after the other: %.2f GB/s; side by side%s: %.2f GB/s; ratio %.2f\n", alone,
           sha256_two_find() ? "" : " (this processor has no SHA instructions)", together, together / alone);
    return 0;
}
