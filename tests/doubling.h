// doubling: is work that a file asks for in proportion to the file? Shown by doubling the file twice.
#ifndef HALLMARK_TESTS_DOUBLING_H
#define HALLMARK_TESTS_DOUBLING_H

#include "suite.h"
#include <stdint.h>
#include <stdio.h>
#include <time.h>

// Processor time of this process in seconds: what else the machine does says nothing about the work.
static inline double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Fails if work(4n) costs more than eight times what work(n) does: in proportion it is four times (and half as much
// again, where something is sorted or leaves a cache), by the square sixteen times. The least of three tries each,
// because a try can only be disturbed upwards.
static inline void must_be_linear(const char *what, void (*work)(int64_t n), int64_t n)
{
    double least[2] = { 1e9, 1e9 };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++) {
            const double from = cpu_seconds();
            work(i == 0 ? n : 4 * n);
            const double took = cpu_seconds() - from;
            if (took < least[i]) least[i] = took;
        }
    printf("%s: %.3f s for %lld, %.3f s for four times as many\n", what, least[0], (long long)n, least[1]);
    ck_assert_msg(least[1] < 8 * least[0] + 0.01, "%s: %.3f s for %lld, %.3f s for four times as many", what, least[0],
                  (long long)n, least[1]);
}

#endif
