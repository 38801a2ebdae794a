// moments: see moments.h.
#include "moments.h"
#include "codec.h"
#include "effort_impl.h"
#include "../formats/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void moments_add(float *h, int64_t width, const float *x, int64_t stride, int n, int n_threads)
{
    const simd_level level = simd_best();
#pragma omp parallel for num_threads(threads_or_cores(n_threads)) schedule(dynamic)
    for (int64_t i = 0; i < width; i += MOMENT_ROWS) {
#if defined(__x86_64__)
        if (level == SIMD_AVX512)    { moment_rows_avx512(h, width, x, stride, n, i); continue; }
        else if (level == SIMD_AVX2) { moment_rows_avx2(h, width, x, stride, n, i); continue; }
#endif
        (void)level;
        moment_rows_portable(h, width, x, stride, n, i);
    }
}

// ---- factors --------------------------------------------------------------------------------------------------------
// b holds the lower triangle row by row: b[k][i] is element (i, k) of the upper one, so that all loops run along rows.
// From the last column to the first: column k over its diagonal element is M's column k; what it explains is taken from
// the rows before it.

enum { PANEL = 32 };

static void take_from_row(double *row, int64_t j, const double *b, int64_t width, int64_t from, int64_t to,
                          const double *d)
{
    enum { TILE = 16 };
    double by[PANEL];
    for (int64_t k = from; k < to; k++) by[k - from] = d[k] * b[k * width + j];
    for (int64_t i = 0; i <= j; i += TILE) {
        const int n = (int)(j + 1 - i < TILE ? j + 1 - i : TILE);
        double sum[TILE];
        memcpy(sum, row + i, (size_t)n * sizeof *sum);
        for (int64_t k = to - 1; k >= from; k--) {
            const double *col = b + k * width + i;
            if (n == TILE) for (int t = 0; t < TILE; t++) sum[t] -= col[t] * by[k - from];
            else           for (int t = 0; t < n; t++)    sum[t] -= col[t] * by[k - from];
        }
        memcpy(row + i, sum, (size_t)n * sizeof *sum);
    }
}

static void factor(double *b, double *d, int64_t width, double least, int n_threads)
{
    for (int64_t to = width; to > 0;) {
        const int64_t from = to > PANEL ? to - PANEL : 0;
        for (int64_t k = to - 1; k >= from; k--) {
            double *row = b + k * width;
            d[k] = row[k] > least ? row[k] : least;         // never, but for rounding: the damping is far above it
            for (int64_t i = 0; i < k; i++) row[i] /= d[k];
            for (int64_t j = from; j < k; j++) take_from_row(b + j * width, j, b, width, k, k + 1, d);
        }
#pragma omp parallel for num_threads(threads_or_cores(n_threads)) schedule(dynamic, 16)
        for (int64_t j = 0; j < from; j++) take_from_row(b + j * width, j, b, width, from, to, d);
        to = from;
    }
}

bool moments_factor(float *m, float *d, const float *h, int64_t width, double count, double damping, int n_threads,
                    err *e)
{
    double *b = malloc((size_t)width * (size_t)width * sizeof *b), *diagonal = malloc((size_t)width * sizeof *diagonal),
           mean = 0;
    bool ok = (b && diagonal) || err_nomem(e, "second moments", (size_t)width * (size_t)width * sizeof *b);
    for (int64_t i = 0; ok && i < width; i++) mean += (double)h[i * width + i] / count / (double)width;
    if (ok && !(mean >= 0 && isfinite(mean))) ok = err_set(e, ERR_INPUT, "second moments are not finite");
    if (ok) {
        if (mean == 0) mean = 1;
        for (int64_t k = 0; k < width; k++)
            for (int64_t i = 0; i <= k; i++)
                b[k * width + i] = (double)h[i * width + k] / count + (i == k ? damping * mean : 0);
        factor(b, diagonal, width, mean * 1e-9, n_threads);
        memset(m, 0, (size_t)width * (size_t)width * sizeof *m);
        for (int64_t k = 0; k < width; k++) {
            for (int64_t i = 0; i < k; i++) m[i * width + k] = (float)b[k * width + i];
            m[k * width + k] = 1;
            // only proportions count, and the search's sums must stay in range
            d[k] = (float)scalbn(diagonal[k], -ilogb(mean));
        }
    }
    free(b);
    free(diagonal);
    return ok;
}
