// cublas: products of many tokens by cuBLAS, in the same pieces as tensor.cu: one product for each pair of pieces,
// small ones first. Asked for by HALLMARK_CUDA_PRODUCTS=cublas only: nothing is promised of how its tensor cores cut or
// in which order they add. Private to runtime/cuda.
#ifndef HALLMARK_RUNTIME_CUDA_CUBLAS_H
#define HALLMARK_RUNTIME_CUDA_CUBLAS_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cublas_lib cublas_lib;

// Loads the library and opens a handle on g's stream, with a workspace of its own in g's memory (counted there). NULL
// with e set: see cublas_load; ERR_SYSTEM when a call fails. Closed before g is.
cublas_lib *cublas_open(gpu *g, err *e);
void        cublas_close(cublas_lib *l);        // NULL is allowed

// As cuda_tensor_matmul.
bool cuda_cublas_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e);

#ifdef __cplusplus
}
#endif
#endif
