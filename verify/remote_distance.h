// remote_distance: how far the ids that a server gives of a step are from the reference's.
//
// KL(Transformers || server) over the ids that both the fixture keeps and the server gave, and one bucket for all
// others: no more than the KL over the vocabulary, as it is whatever is put together. By the chain rule it is two
// parts: between the shares of these ids in all, and, weighted by that share, between the distributions over them
// alone.
//   The second is what the logits are: a server's normalization cancels in it. The first is not. llama.cpp adds up the
// exponentials of a vocabulary in single precision, one after the other; n additions may be off by n units of 2^-24,
// and are by 1e-5 where n is 1300. Shares that are nearer than that count as equal. Differences of log-probabilities
// are those over these ids alone, too.
//   What is below REMOTE_LEAST_LOGPROB counts as not given: single precision has no such probability.
// Proved by tests/remote_test.c.
#ifndef HALLMARK_VERIFY_REMOTE_DISTANCE_H
#define HALLMARK_VERIFY_REMOTE_DISTANCE_H

#include "distance.h"
#include "remote_api.h"

#define REMOTE_LEAST_LOGPROB (-80.0)

// s: [top_k] ids of the fixture; t: what the server gave of a vocabulary of n_vocab. A step without ids that both have
// is unseen: its distance is 0.
distance remote_distance(const fixture_step *s, int top_k, const remote_step *t, int64_t n_vocab);

#endif
