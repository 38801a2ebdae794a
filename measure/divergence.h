// divergence: how far a model's predictions are from another's over a text: KL(reference || artifact) over the whole
// vocabulary, teacher-forced.
//
// The ids are cut in chunks; each is run by itself from an empty cache, begun with the reference's BOS where it has
// one, and every position but the first `skip` is compared. Both sides run in F32 arithmetic unless the caller says
// otherwise, so that only the weights differ. All sums are in double and in one order (runtime/score.h), made where the
// logits are: the same figures for any number of threads, and on any device that gives the
// CPU's logits.
//
// For a few artifacts: divergence_measure_many, side by side with the reference, exact. For a search over many:
// divergence_ref keeps what the reference said, exactly or as its top K and one bucket for the rest (which can only
// make the KL smaller).
// Proved by tests/divergence_test.c.
#ifndef HALLMARK_MEASURE_DIVERGENCE_H
#define HALLMARK_MEASURE_DIVERGENCE_H

#include "../runtime/session.h"

typedef struct {
    int64_t tokens;             // positions compared
    double  kl_mean, kl_median, kl_max;     // nats, >= 0
    int64_t top1_equal;         // positions where both have the same greedy id
    // mean -log p of the token that follows, of the reference and of the artifact: exp() is the perplexity
    double  nll_ref, nll;
} divergence;

typedef struct {
    int64_t      chunk;         // tokens of a chunk, the last may be shorter (2 at least); 0: 256
    // positions at a chunk's beginning that are not compared: little context, large and noisy KL. 0: none
    int64_t      skip;
    session_opts run;           // device, arithmetic (NULL: "f32"), threads; n_ctx is chosen here
} divergence_opts;

// ids: [n_ids] of the text, without BOS (texts.h reads them). ERR_INPUT: two vocabularies of different size, an id
// outside them, logits that are not finite (names artifact, chunk and position), nothing to compare.
bool divergence_measure(divergence *out, const model *ref, const model *art, const int32_t *ids, int64_t n_ids,
                        const divergence_opts *o, err *e);

// The same for n artifacts at once, out[i] for arts[i]: the reference is run once.
bool divergence_measure_many(divergence *out, const model *ref, const model *const *arts, int n, const int32_t *ids,
                             int64_t n_ids, const divergence_opts *o, err *e);

typedef struct divergence_ref divergence_ref;
// Runs the reference once and keeps its logits in at most max_bytes (0: 1 GiB): all of them where they fit, else as
// many of the largest of each position as do. Copies the ids. Freed by divergence_ref_free (NULL is allowed).
divergence_ref *divergence_ref_new(const model *ref, const int32_t *ids, int64_t n_ids, const divergence_opts *o,
                                   int64_t max_bytes, err *e);
void            divergence_ref_free(divergence_ref *r);
// logits kept of each position; the vocabulary's size: exact
int64_t         divergence_ref_kept(const divergence_ref *r);

// An artifact against what was kept. run: its session, empty or not (it is reset), with n_ctx >= chunk; n_vocab: of its
// model.
bool divergence_of_session(divergence *out, const divergence_ref *r, session *run, int64_t n_vocab, err *e);
// The same with a session opened for it.
bool divergence_of(divergence *out, const divergence_ref *r, const model *art, err *e);

#endif
