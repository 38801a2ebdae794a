// score: the CPU backend's operations of scoring, see backend.h, on n_threads threads.
#ifndef HALLMARK_RUNTIME_CPU_SCORE_H
#define HALLMARK_RUNTIME_CPU_SCORE_H

#include "kernels.h"

// ERR_SYSTEM without memory for the sums of the rows' spans.
bool score_row_stats(const cpu_kernels *k, int n_threads, row_stats *out, const float *x, int n_rows, int64_t n,
                     const int32_t *next, err *e);
bool score_row_kl(const cpu_kernels *k, int n_threads, double *kl, const float *x, const row_stats *stats, int n_rows,
                  int64_t n, const row_reference *ref, err *e);
void score_row_top(int n_threads, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k);

#endif
