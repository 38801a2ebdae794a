// distance: how far our logits are from the reference's at one step.
//
// KL(Transformers || ours) over the ids that the fixture keeps (its top K), plus one bucket for all others. All in
// double.
// Each term is written p log(p/q) - p + q, which sums to the same (both sides sum to 1) but is never negative and of
// second order in the difference: rounding of the stored float32 values then costs about 1e-14, where p log(p/q) alone
// would cost
// 1e-7, more than an
// F16 cache on a small model. Proved by tests/distance_test.c.
#ifndef HALLMARK_VERIFY_DISTANCE_H
#define HALLMARK_VERIFY_DISTANCE_H

#include "../formats/fixture.h"

typedef struct {
    int32_t top;            // our greedy id: the largest logit, the lowest id where equal; -1 when all are NaN
    bool    finite;         // every logit is; kl and logprob_diff are NAN otherwise
    bool    all_zero;       // every logit is 0: a kernel wrote nothing
    // of a server (remote_distance.h): it gave an id alone; kl and logprob_diff are 0 and count for nothing
    bool    unseen;
    double  kl;             // nats, >= 0
    double  logprob_diff;   // largest |log-probability - the reference's| over the kept ids
} distance;

// s: [top_k] ids, each within [0, n_vocab) (the caller has checked), and their log-probabilities and logits.
// logits: [n_vocab] of the same step, not softmaxed.
distance distance_at(const fixture_step *s, int top_k, const float *logits, int64_t n_vocab);

// One term, p log(p/q) - p + q, for p, q >= 0 with x = log(q/p) known more exactly than the quotient would give it.
double kl_term(double p, double q, double x);

#endif
