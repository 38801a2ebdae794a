// derive: proves that an artifact's tensors are the deterministic function of a source: each is encoded again from the
// source, to the type it has in the artifact, and compared byte for byte. Because our bytes are ggml's, this holds for
// files made by llama-quantize too.
#ifndef HALLMARK_QUANT_DERIVE_H
#define HALLMARK_QUANT_DERIVE_H

#include "effort_plan.h"
#include "imatrix.h"
#include "tensor_writer.h"

typedef struct {            // one tensor that the source gives
    const char   *name;     // GGUF name
    int           n_dims;
    int64_t       shape[LIMIT_DIMS];
    tensor_source src;      // importance is filled in by derive_compare
} derive_tensor;

typedef struct {            // what was compared
    int64_t tensors, encoded;   // all of them; those that became blocks
    double  error_max;    // of those, the largest error: the length of (decoded - source) as a share of the source's
    char    error_tensor[LIMIT_NAME_BYTES + 1];     // whose it is; "" where none was encoded
} derive_found;

typedef struct {
    const char *imatrix;        // path or NULL: with which the artifact was made
    effort_opts effort;         // feedback, for an artifact that was calibrated; the level is what the artifact says
    int         n_threads;      // 0: all cores
    progress   *progress;       // may be NULL
    derive_found *found;        // NULL, or filled in
} derive_opts;

// That the bytes are what the encoder gives says nothing of the encoder: each tensor of blocks is decoded, too, and
// must be as near to its source as blocks of its type come (derive_error_limit).
//
// The artifact says with which effort it was made; one that was calibrated needs the calibration again
// (effort_of_artifact). Compares art with n source tensors, in any order. ERR_VERDICT names the first tensor that is
// missing on one side, has another shape, or differs, then with row and block. ERR_INPUT where the source cannot be
// encoded so, or the importance matrix does not fit.
bool derive_compare(const gguf *art, const derive_tensor *t, int64_t n, const imatrix *im, imatrix_reach reach,
                    const derive_opts *o, err *e);

// The same with a GGUF file as the source.
bool derive_from_gguf(const char *art_path, const char *source_path, const derive_opts *o, err *e);

// The largest error, as in derive_found, that a tensor in blocks of type t may have. Proved by tests/derive_test.c.
double derive_error_limit(dtype t);

#endif
