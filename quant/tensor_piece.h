// tensor_piece: one tensor of a file to be, cut into pieces that any thread may make by itself: what tensor_writer
// hands out, and what encode reads sources by.
#ifndef HALLMARK_QUANT_TENSOR_PIECE_H
#define HALLMARK_QUANT_TENSOR_PIECE_H

#include "codec.h"
#include "tensor_writer.h"

typedef struct {
    const gguf_tensor   *dst;
    const tensor_source *src;
    const codec         *to, *from;     // from: NULL for a plain type, which needs none
    bool                 copied;        // bytes stay as they are
    int64_t              cols, rows_per_matrix;
    int64_t              row_length;    // of what a transform calls a row: cols, or 1 in a vector
    int64_t              part_weights;  // of each of the source's parts; 0: it lies in one piece
    int64_t              n_pieces;
    int64_t              piece_weights; // whole rows, or where a row is longer than a piece, a part of one row
    int64_t              pieces_per_row;// 1 where pieces are whole rows
} tensor_job;

// Of one thread; freed by piece_scratch_free.
typedef struct { float *f32; uint8_t *aligned; int64_t weights; } piece_scratch;

// Values of a piece that are no numbers: how many, and the first's index in the tensor.
typedef struct { int64_t n, first; } piece_bad;

// How src becomes dst, and how it is cut. ERR_INPUT: there is no way from one type to the other.
bool tensor_job_init(tensor_job *j, const gguf_tensor *dst, const tensor_source *src, err *e);

// The weights of piece k: [*first, *first + result).
int64_t tensor_job_piece(const tensor_job *j, int64_t k, int64_t *first);

// Bytes of `weights` weights, whole blocks of them.
int64_t piece_bytes(dtype t, int64_t weights);

// n weights of the file from weight `first` on, before they are encoded: in the scratch, or where they lie in the
// source. NULL: no memory.
const float *piece_source(const tensor_job *j, int64_t first, int64_t n, piece_scratch *s, err *e);

// Encodes n weights from `first` on. dst: piece_bytes. ERR_INPUT names row and column of what cannot be encoded.
bool piece_encode(const tensor_job *j, int64_t first, int64_t n, uint8_t *dst, piece_scratch *s, err *e);

// Looks for NaN and Inf in n weights from `first` on, that piece_encode made or that are copied: whole blocks. Without
// src->allow_nonfinite the first is ERR_INPUT by row and column; with it they are added to *bad. Blocks that were
// encoded have none.
bool piece_check(const tensor_job *j, int64_t first, int64_t n, const uint8_t *bytes, piece_scratch *s, piece_bad *bad,
                 err *e);

// ERR_VERDICT naming the first block that is not the one of the file at `path`.
bool piece_compare(const tensor_job *j, const char *path, int64_t first, const uint8_t *bytes, int64_t n_bytes, err *e);

void piece_bad_add(piece_bad *all, const piece_bad *more);

void piece_scratch_free(piece_scratch *s);

#endif
