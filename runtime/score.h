// score: what rows of logits say of a text, in figures that are a few bytes a row. Made where the logits are
// (backend.h): they need not come to the host.
//
// Sums over a row have one order on every backend: spans of SCORE_SPAN elements; in a span, element i goes to partial
// sum i % SCORE_LANES; those are joined by a tree, i with i + 128, then + 64, .. + 1; spans' sums are added in
// ascending order (score_join.h). A block of a GPU is a span, a thread of it a partial sum.
// Proved by tests/score_test.c and tests/cuda_score_test.c.
#ifndef HALLMARK_RUNTIME_SCORE_H
#define HALLMARK_RUNTIME_SCORE_H

#include <stdbool.h>
#include <stdint.h>

enum { SCORE_SPAN = 4096, SCORE_LANES = 256 };

typedef struct {            // of one row of logits
    double  lse;            // log of the sum of e^logit: logit - lse is the log-probability. 0 where not finite
    float   next;           // the logit of the id that was asked for; 0 where none was, or not finite
    int32_t top;    // the greedy id: the largest logit, the lowest id where equal; NaN never wins; -1: all are NaN
    int32_t finite;         // every logit is
    int32_t zero;           // every logit is 0
} row_stats;

typedef struct {            // what rows are compared with: row i with row i of these
    // [n_rows][kept]; host memory, or (on_backend) memory of a backend of the same kind, all work on it done
    const float     *logits;
    bool             on_backend;
    // [n_rows][kept], ascending; host memory: whose logits they are; the others are one bucket. NULL: kept is all of
    // them
    const int32_t   *ids;
    int64_t          kept;
    const row_stats *stats;     // [n_rows], host memory, of all the reference's logits
} row_reference;

#endif
