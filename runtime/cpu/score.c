// score: see score.h. Spans of all rows go to threads, then rows.
#include "score.h"
#include <stdlib.h>
#include <string.h>

enum { PARALLEL_LOGITS = 1 << 14 };     // fewer are not worth waking the other threads for

static int in_span(int64_t n, int64_t span)
{
    return (int)(n - span * SCORE_SPAN < SCORE_SPAN ? n - span * SCORE_SPAN : SCORE_SPAN);
}

bool score_row_stats(const cpu_kernels *k, int n_threads, row_stats *out, const float *x, int n_rows, int64_t n,
                     const int32_t *next, err *e)
{
    const int64_t spans = spans_of_row(n), all = spans * n_rows;
    span_stats *s = malloc((size_t)all * sizeof *s + 1);
    if (!s) return err_nomem(e, "sums of logits", (size_t)all * sizeof *s);
#pragma omp parallel for num_threads(n_threads) schedule(static) if (n * n_rows > PARALLEL_LOGITS)
    for (int64_t i = 0; i < all; i++) {
        const int64_t span = i % spans;
        k->stats_of_span(&s[i], x + i / spans * n + span * SCORE_SPAN, (int32_t)(span * SCORE_SPAN), in_span(n, span));
    }
    for (int r = 0; r < n_rows; r++) out[r] = join_stats(s + r * spans, spans, x + r * n, next[r]);
    free(s);
    return true;
}

bool score_row_kl(const cpu_kernels *k, int n_threads, double *kl, const float *x, const row_stats *stats, int n_rows,
                  int64_t n, const row_reference *ref, err *e)
{
    const int64_t spans = spans_of_row(ref->kept), all = spans * n_rows;
    span_kl *s = malloc((size_t)all * sizeof *s + 1);
    if (!s) return err_nomem(e, "sums of logits", (size_t)all * sizeof *s);
#pragma omp parallel for num_threads(n_threads) schedule(static) if (ref->kept * n_rows > PARALLEL_LOGITS)
    for (int64_t i = 0; i < all; i++) {
        const int64_t r = i / spans, from = i % spans * SCORE_SPAN, at = r * ref->kept + from;
        const kl_row row = { .lse_ref = ref->stats[r].lse, .lse = stats[r].lse };
        k->kl_of_span(&s[i], ref->logits + at, ref->ids ? ref->ids + at : NULL, x + r * n + (ref->ids ? 0 : from),
                      in_span(ref->kept, i % spans), &row);
    }
    for (int r = 0; r < n_rows; r++)
        kl[r] = join_kl(s + r * spans, spans, ref->ids != NULL, ref->stats[r].finite && stats[r].finite);
    free(s);
    return true;
}

// The k-th largest key of a row, and how many of those with that very key are among the k largest: digit by digit, the
// highest first.
static uint32_t kth_key(const float *x, int64_t n, int64_t k, int64_t *ties)
{
    uint32_t key = 0;
    for (int d = 0; d < KEY_DIGITS; d++) {
        uint32_t count[KEY_BINS] = { 0 };
        for (int64_t i = 0; i < n; i++) {
            const uint32_t u = order_key(x[i]);
            if ((u & key_above(d)) == key) count[u >> key_shift(d) & (KEY_BINS - 1)]++;
        }
        int bin = KEY_BINS - 1;
        for (; count[bin] < k; bin--) k -= count[bin];
        key |= (uint32_t)bin << key_shift(d);
    }
    *ties = k;
    return key;
}

void score_row_top(int n_threads, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k)
{
#pragma omp parallel for num_threads(n_threads) schedule(dynamic) if (n * n_rows > PARALLEL_LOGITS)
    for (int r = 0; r < n_rows; r++) {
        const float *row = x + r * n;
        int64_t ties, to = r * k;
        const uint32_t least = kth_key(row, n, k, &ties);
        for (int64_t i = 0; i < n; i++) {
            const uint32_t u = order_key(row[i]);
            if (u < least || (u == least && ties-- <= 0)) continue;
            ids[to] = (int32_t)i;
            logits[to++] = row[i];
        }
    }
}
