#include "bandwidth.h"
#include "text_out.h"
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((int64_t)512 << 20)   // several times the largest cache of a server socket's core complex
enum { PASSES = 6, LANES = 16 };            // 16 independent sums: the adds never wait for each other

// Sums 64-bit words; the result is used, so that the reading cannot be dropped.
static uint64_t sum_words(const uint64_t *p, int64_t n)
{
    uint64_t lane[LANES] = { 0 }, sum = 0;
    for (int64_t i = 0; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += p[i + k];
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

bool memory_read_bandwidth(int n_threads, double *bytes_per_s, err *e)
{
    if (n_threads <= 0) n_threads = omp_get_max_threads();
    int64_t words = BUFFER_BYTES / 8, share = words / n_threads;
    uint64_t *buffer = malloc((size_t)BUFFER_BYTES);
    uint64_t sum = 0;
    double best = 0;
    if (!buffer) return err_nomem(e, "the bandwidth measurement", (size_t)BUFFER_BYTES);
    // Each thread touches its own share first, as its own pages.
    #pragma omp parallel for num_threads(n_threads) schedule(static, 1)
    for (int t = 0; t < n_threads; t++) memset(buffer + t * share, t + 1, (size_t)share * 8);
    for (int pass = 0; pass < PASSES; pass++) {
        double began = seconds_now();
        #pragma omp parallel for num_threads(n_threads) schedule(static, 1) reduction(+ : sum)
        for (int t = 0; t < n_threads; t++) sum += sum_words(buffer + t * share, share);
        double rate = (double)(share * n_threads * 8) / (seconds_now() - began);
        if (rate > best) best = rate;
    }
    free(buffer);
    if (sum == 0) return err_set(e, ERR_SYSTEM, "the bandwidth measurement read nothing");
    *bytes_per_s = best;
    return true;
}
