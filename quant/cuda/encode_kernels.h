// encode_kernels: what encode.cu can launch. Pointers are device memory.
#ifndef HALLMARK_QUANT_CUDA_ENCODE_KERNELS_H
#define HALLMARK_QUANT_CUDA_ENCODE_KERNELS_H

#include "../../device/formats_c.h"
#include "../../device/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint8_t     *dst;           // whole rows of blocks
    const float *src;           // [n_rows][cols]; cols a multiple of the type's block
    int64_t      n_rows, cols;
    const float *importance;    // [cols] or NULL
    float       *mean_square;   // [n_rows], scratch; Q4_0 with importance only
    uint32_t    *bad;           // set to 1 by any block that cannot be encoded, else left alone
} encode_work;

bool cuda_encode_has(dtype t);
bool cuda_encode_needs_row(dtype t);        // with importance, mean_square is needed
bool cuda_encode(gpu *g, dtype t, const encode_work *w, err *e);        // asynchronous

#ifdef __cplusplus
}
#endif
#endif
