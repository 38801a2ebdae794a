// rounding: what rounding costs this model: the distance between an artifact and itself with its weights rounded once
// more.
//
// How far sound quantized weights are from their source depends on the model: the mean KL of one Q4_K_M is 0.001, that
// of another
// 0.05. A number wide enough for both lets a damaged tensor of the first pass. But the artifact itself tells: each
// weight of its blocks is moved by one step of its own scale with a probability of about 1 in 12, so that the squared
// error is what rounding leaves (a twelfth of the step's square, or what the type's encoder makes of it), anew and
// independent of the first. KL grows as the squared error does, so KL(artifact || moved) is near what KL(source ||
// artifact) must be.
// Which weights move depends on the tensor's name and the place in it alone: the same figures every time, for any
// number of threads. Proved by tests/rounding_test.c.
#ifndef HALLMARK_VERIFY_ROUNDING_H
#define HALLMARK_VERIFY_ROUNDING_H

#include "../formats/fixture.h"
#include "../runtime/session.h"

// Moves weights of the tensor `name` of type t, whose bytes are these. false: the type has no steps (F32, BF16),
// nothing is moved. n: bytes, of whole blocks. n_threads 0: all cores.
bool rounding_move(uint8_t *bytes, int64_t n, dtype t, const char *name, int n_threads);

typedef struct rounding rounding;

// For the steps of f, which is borrowed until rounding_free. NULL when memory fails.
rounding *rounding_new(const fixture *f, err *e);
void      rounding_free(rounding *r);       // NULL is allowed; after the session that rounding_apply was given

// What the artifact says at a step of case c (its index), given the fixture's prefix: the fixture's ids and one bucket
// are kept. logits: [n_vocab].
void rounding_keep(rounding *r, int64_t c, int64_t step, const float *logits, int64_t n_vocab);
// s, a session of m that has not run yet, runs with moved weights from here on. Memory: a copy of the tensors that have
// steps.
bool rounding_apply(rounding *r, session *s, const model *m, int n_threads, err *e);
// What the moved weights say at that step.
void rounding_compare(rounding *r, int64_t c, int64_t step, const float *logits, int64_t n_vocab);

// Mean KL(artifact || moved) over all steps, and at how many of them the top id stayed.
double  rounding_kl_mean(const rounding *r);
int64_t rounding_top1_equal(const rounding *r);

#endif
