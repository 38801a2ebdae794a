// effort: blocks of the standard layouts whose scales, mins and codes are chosen with more care than the reference's
// search takes.
//
// The reference fits each sub-block by itself and then rounds what it found to the small integers of a super-block.
// Here the super-block is fitted as a whole: sub-blocks by a wider search, the two F16 scales against all of them, then
// scales, mins and codes in turn against the exact weighted error of what will be decoded. What the reference would
// have written is kept wherever it is no worse.
// With feedback, rows are quantized column by column and what each column lost is made up for by the columns after it,
// as far as their inputs go together (Frantar et al., GPTQ, 2022, in the form of Chee et al., QuIP, 2023: LDLQ).
// The same bytes for any number of threads and at every SIMD level. Proved by tests/effort_test.c.
#ifndef HALLMARK_QUANT_EFFORT_H
#define HALLMARK_QUANT_EFFORT_H

#include "codec.h"

enum { EFFORT_MAX = 1 };        // 0: the reference's bytes; 1: as above

// How the inputs of one matrix go together, from H, the mean of x x^T over many inputs x, in blocks of columns (between
// which nothing is known):
// H = M diag(d) M^T with M unit upper triangular. What column j lost, e, is worth e * M[j][k] to column k > j; a
// weight's error counts d.
typedef struct {
    // block b has columns [b * block, min((b + 1) * block, cols)); a multiple of 256 unless it is cols
    int64_t      cols, block;
    const float *m;             // block b's matrix begins at m + b * block * block, rows of the block's own width
    const float *d;             // [cols], > 0
} feedback;

// As codec_encode_rows, with feedback or NULL. importance counts in the search only where there is no feedback. Types
// without blocks, and effort 0 without feedback, are codec_encode_rows. ERR_INPUT wherever that fails; ERR_SYSTEM
// without memory.
bool effort_encode_rows(dtype t, int effort, void *dst, const float *src, int64_t n_rows, int64_t n_cols,
                        const float *importance, const feedback *f, int64_t *bad_row, err *e);

// The error that the search minimizes, of an encoded row: the sum of weight * (src - decoded)^2; weight: importance, or
// 1.
double effort_row_error(dtype t, const void *row, const float *src, int64_t n_cols, const float *importance);

#endif
