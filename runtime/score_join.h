// score_join: from the sums of a row's spans to what is said of the row, and the order of logits: one text for the CPU
// and for kernels.
#ifndef HALLMARK_RUNTIME_SCORE_JOIN_H
#define HALLMARK_RUNTIME_SCORE_JOIN_H

#include "../quant/exp_log.h"
#include "score.h"

typedef struct {            // of a row's span
    double   sum;           // of e^(logit - max)
    float    max;
    int32_t  top;           // id of the first that is max; -1: all are NaN
    int32_t  finite;
    uint32_t magnitude;     // bits of all logits or'ed, without their signs: 0 where all are 0
} span_stats;

typedef struct { double kl, p, q; } span_kl;        // sums of p (log p - log q), p and q
typedef struct { double lse_ref, lse; int32_t live, padding; } kl_row;     // live: both rows are finite

EXP_LOG_FN int64_t spans_of_row(int64_t n) { return (n + SCORE_SPAN - 1) / SCORE_SPAN; }

// row: the logits; next: the id asked for, or -1.
EXP_LOG_FN row_stats join_stats(const span_stats *s, int64_t n_spans, const float *row, int32_t next)
{
    row_stats r;
    uint32_t magnitude = 0;
    double sum = 0, max = 0;
    r.lse = 0;
    r.next = 0;
    r.top = -1;
    r.finite = 1;
    for (int64_t i = 0; i < n_spans; i++) {
        magnitude |= s[i].magnitude;
        r.finite &= s[i].finite;
        if (s[i].top < 0 || (r.top >= 0 && !(s[i].max > max))) continue;
        max = s[i].max;
        r.top = s[i].top;
    }
    r.zero = magnitude == 0;
    if (!r.finite) return r;
    for (int64_t i = 0; i < n_spans; i++) sum += s[i].sum * exp_f64((double)s[i].max - max);
    r.lse = max + log_f64(sum);
    if (next >= 0) r.next = row[next];
    return r;
}

// bucket: what is not among the summed ids counts as one more.
EXP_LOG_FN double join_kl(const span_kl *s, int64_t n_spans, bool bucket, bool live)
{
    double kl = 0, p = 0, q = 0;
    if (!live) return 0;
    for (int64_t i = 0; i < n_spans; i++) {
        kl += s[i].kl;
        p += s[i].p;
        q += s[i].q;
    }
    if (bucket && p < 1) {
        const double rest = 1 - p, q_rest = q < 1 ? 1 - q : 1e-300;
        kl += rest * log_f64(rest / q_rest);
    }
    return kl < 0 ? 0 : kl;     // below by rounding alone; NaN stays
}

// Larger logits have larger keys, equal ones (-0 and 0 too) the same; NaN has the least, 0.
EXP_LOG_FN uint32_t order_key(float x)
{
    const float y = x + 0.0f;               // -0 becomes 0
    uint32_t u;
    memcpy(&u, &y, sizeof u);
    return x == x ? (u >> 31 ? ~u : u | 0x80000000u) : 0;
}

// The radix of the selection of the largest: a key is three digits.
enum { KEY_DIGITS = 3, KEY_DIGIT_BITS = 11, KEY_BINS = 1 << KEY_DIGIT_BITS };
// How far digit d (0: the highest) is from the right, and which bits of a key are above it.
EXP_LOG_FN int key_shift(int d)           { return 22 - KEY_DIGIT_BITS * d; }
EXP_LOG_FN uint32_t key_above(int d)      { return d ? ~0u << (key_shift(d) + KEY_DIGIT_BITS) : 0; }

#endif
