// remote_distance: see remote_distance.h.
#include "remote_distance.h"
#include <float.h>
#include <math.h>

static const remote_prob *given(const remote_step *t, int32_t id)
{
    for (int i = 0; i < t->n; i++)
        if (t->probs[i].id == id) return t->probs[i].logprob >= REMOTE_LEAST_LOGPROB ? &t->probs[i] : NULL;
    return NULL;
}

// As in distance.c: the logits and one log-probability say more than the rounded log-probabilities.
static double reference_lse(const fixture_step *s) { return (double)s->logits[0] - (double)s->logprobs[0]; }

typedef struct { double p, q; int n; } shares;      // of the ids that both have

static shares shares_of(const fixture_step *s, int top_k, const remote_step *t)
{
    shares x = { 0, 0, 0 };
    for (int k = 0; k < top_k; k++) {
        const remote_prob *r = given(t, s->ids[k]);
        if (!r) continue;
        x.p += exp((double)s->logits[k] - reference_lse(s));
        x.q += exp(r->logprob);
        x.n++;
    }
    return x;
}

static double between_shares(const shares *x, int64_t n_vocab)
{
    const double open = ldexp((double)n_vocab, -24), p_rest = fmax(1 - x->p, 0), q_rest = fmax(1 - x->q, DBL_MIN);
    if (fabs(x->p - x->q) <= open) return 0;
    return kl_term(x->p, x->q, log(x->q / x->p)) + kl_term(p_rest, q_rest, p_rest > 0 ? log(q_rest / p_rest) : 0);
}

distance remote_distance(const fixture_step *s, int top_k, const remote_step *t, int64_t n_vocab)
{
    const shares x = shares_of(s, top_k, t);
    distance     d = { .top = t->top, .finite = true, .unseen = !(x.p > 0 && x.q > 0) };
    if (d.unseen) return d;
    const double lp_seen = log(x.p), lq_seen = log(x.q);
    for (int k = 0; k < top_k; k++) {
        const remote_prob *r = given(t, s->ids[k]);
        if (!r) continue;
        const double lp = (double)s->logits[k] - reference_lse(s) - lp_seen, lq = r->logprob - lq_seen;
        d.kl += x.p * kl_term(exp(lp), exp(lq), lq - lp);
        d.logprob_diff = fmax(d.logprob_diff, fabs(lq - lp));
    }
    d.kl += between_shares(&x, n_vocab);
    return d;
}
