// backend_cuda: what backend_cuda.c (memory, recording, opening), run.c (operations) and score_ops.c share. Private to
// runtime/cuda and its tests.
#ifndef HALLMARK_RUNTIME_CUDA_BACKEND_CUDA_H
#define HALLMARK_RUNTIME_CUDA_BACKEND_CUDA_H

#include "../backend.h"
#include "kernels.h"

#define ROUNDING_BYTES ((int64_t)4 << 20)   // some thousands of allocations, each rounded up by less than a kilobyte
#define SCORES_BYTES ((int64_t)64 << 20)    // scores of a prefill step are computed for so many tokens at a time

#define ORDER_BYTES ((int64_t)1 << 20)      // the order of a prefill step's experts takes less
// a reference's logits, or the largest of rows, are on the device so many at a time
#define KEPT_BYTES ((int64_t)32 << 20)
#define SUMS_BYTES ((int64_t)1 << 20)       // sums of their spans take less

// (token, slot) pairs in the order of their experts, for products of many tokens.
typedef struct {
    void        *scratch;       // device
    int64_t      room;          // bytes
    const float *of;            // the ids whose order it holds, of_floats from the first to the last; NULL: none
    int64_t      of_floats;
    int          experts, slots;
} experts_order;

typedef struct {
    backend    base;
    gpu       *g;
    gpu_ctx    ctx;
    gpu_products products;
    experts_order order;
    char       note[256];       // base.note, where there is one
    bool       fuse;            // coarse operations are launched as one kernel
    gpu_step  *state;           // device
    int32_t   *chosen;          // device: the id of the last argmax; from byte 256 on its scratch
    float     *scores;          // device
    int64_t    room_scores;     // floats
    int32_t   *ids, *ids_dev;   // host copy of what is on the device
    int        n_ids, room_ids;
    bool       kv_stored;       // since bad_kv was looked at
    char       kv_types[32];    // of what was stored last, for a message
    gpu_graph *graph;           // the recorded decode step
    void      *score, *kept;    // device: sums of logits, and logits that came from the host or go there (score_ops.c)
    int64_t    room_score, room_kept;       // bytes
} cuda_backend;

// As in backend_ops.
bool cuda_has(const backend *b, const op *o, const op_memory *m, bool one_token);
bool cuda_run(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e);

// A layer's cache as kernels see it. ERR_SYSTEM: more positions than they can count.
bool cuda_kv_of(const kv_layer *kv, gpu_kv *to, err *e);

// Scoring, as in backend_ops.
bool op_row_stats(backend *b, row_stats *out, const float *x, int n_rows, int64_t n, const int32_t *next, err *e);
bool op_row_kl(backend *b, double *kl, const float *x, const row_stats *stats, int n_rows, int64_t n,
               const row_reference *ref, err *e);
bool op_row_top(backend *b, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k, err *e);

// Tests: whether coarse operations are launched as one kernel, for lists that are lowered from here on. On unless said
// otherwise; the bits are the same.
void backend_cuda_fuse(backend *b, bool on);

#endif
