// score: the kernels of scoring (backend.h, score.h). Pointers are device memory. Twin: runtime/cpu/score.inc and
// score.c, bit for bit.
#ifndef HALLMARK_RUNTIME_CUDA_SCORE_H
#define HALLMARK_RUNTIME_CUDA_SCORE_H

#include "../score_join.h"
#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// parts: scratch, spans_of_row(n) a row. next: [n_rows] ids, -1: none.
bool cuda_row_stats(const gpu_ctx *c, row_stats *out, span_stats *parts, const float *x, int n_rows, int64_t n,
                    const int32_t *next, err *e);

// kl[i] of row i of x [n_rows][n] against ref [n_rows][kept], whose ids are `ids` (NULL: all, kept is n). rows:
// [n_rows].
// parts: scratch, spans_of_row(kept) a row.
bool cuda_row_kl(const gpu_ctx *c, double *kl, span_kl *parts, const float *x, const kl_row *rows, int n_rows,
                 int64_t n, const float *ref, const int32_t *ids, int64_t kept, err *e);

// The k largest of each row in ascending order of ids: ids, logits [n_rows][k].
bool cuda_row_top(const gpu_ctx *c, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k,
                  err *e);

#ifdef __cplusplus
}
#endif
#endif
