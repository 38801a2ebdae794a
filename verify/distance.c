#include "distance.h"
#include <float.h>
#include <math.h>

typedef struct { double max; int32_t top; bool finite, all_zero; } scan;

static scan scan_logits(const float *l, int64_t n)
{
    scan s = { .max = -INFINITY, .top = -1, .finite = true, .all_zero = true };
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(l[i])) s.finite = false;
        if (l[i] != 0) s.all_zero = false;                              // NaN is not zero
        if (l[i] > s.max || (s.top < 0 && !isnan(l[i]))) { s.max = l[i]; s.top = (int32_t)i; }
    }
    return s;
}

double kl_term(double p, double q, double x)
{
    if (!(p > 0)) return q;
    return fabs(x) < 1 ? p * (expm1(x) - x) : q - p - p * x;
}

distance distance_at(const fixture_step *s, int top_k, const float *logits, int64_t n_vocab)
{
    scan     f = scan_logits(logits, n_vocab);
    distance d = { .top = f.top, .finite = f.finite, .all_zero = f.all_zero, .kl = NAN, .logprob_diff = NAN };
    if (!f.finite || top_k < 1 || n_vocab < 1) return d;

    double sum = 0;
    for (int64_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - f.max);
    double our_lse = f.max + log(sum);
    // The logits are kept as the model gave them, the log-probabilities are rounded: one of them (the largest, hence
    // the most exact) gives the reference's normalization, and the logits all the rest.
    double ref_lse = (double)s->logits[0] - (double)s->logprobs[0];
    double p_kept = 0, q_kept = 0;
    d.kl = d.logprob_diff = 0;
    for (int k = 0; k < top_k; k++) {
        double lp = (double)s->logits[k] - ref_lse, lq = (double)logits[s->ids[k]] - our_lse;
        double p = exp(lp), q = exp(lq), x = lq - lp;
        p_kept += p;
        q_kept += q;
        d.kl += kl_term(p, q, x);
        if (!(fabs(x) <= d.logprob_diff)) d.logprob_diff = fabs(x);
    }
    if (top_k >= n_vocab) return d;                                             // nothing is left for the bucket
    double p_rest = fmax(1 - p_kept, 0), q_rest = fmax(1 - q_kept, DBL_MIN);    // rounding can take either just below 0
    d.kl += kl_term(p_rest, q_rest, p_rest > 0 ? log(q_rest / p_rest) : 0);
    return d;
}
