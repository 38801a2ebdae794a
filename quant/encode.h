// encode: one matrix in memory: the bytes that quantize_file would write for it, and how far they are from what they
// were made of.
// Proved by tests/mix_test.c.
#ifndef HALLMARK_QUANT_ENCODE_H
#define HALLMARK_QUANT_ENCODE_H

#include "../formats/gguf.h"
#include "transform.h"

// dst: dtype_bytes of src's shape. src: F32, F16 or BF16, of one or two dimensions; its data may have any alignment
// that its element type has. importance: [cols] or NULL. n_threads 0: all cores; the same bytes for any number.
// ERR_INPUT names tensor and row.
bool encode_tensor(uint8_t *dst, const gguf_tensor *src, dtype to, const float *importance, int n_threads, err *e);

// *sum: over all weights, col_weight[column] * (decoded - source)^2, in double, by rows in order: the same for any
// number of threads. enc: src in type `to`. col_weight: [cols] >= 0, or NULL: 1.
bool encode_error(double *sum, const gguf_tensor *src, const uint8_t *enc, dtype to, const float *col_weight,
                  int n_threads, err *e);

// *ratio: the length of (decoded - source) as a share of the source's, both over all weights: 0 where they are equal, 1
// where enc is all zero, infinite where the source is all zero and enc is not, NaN where enc decodes to no number. src:
// any float type, of any number of dimensions and any alignment. change: what was done to the source's values before
// they were encoded.
bool encode_relative_error(double *ratio, const gguf_tensor *src, const transform *change, const uint8_t *enc, dtype to,
                           int n_threads, err *e);

#endif
