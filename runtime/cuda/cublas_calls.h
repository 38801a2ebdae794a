// cublas_calls: every call that this program makes to cuBLAS, as a table of functions in plain C types; see cublas.h
// for what is made of them.
//
// The library is not linked: cublas_calls.c loads it when it is asked for, so that the program starts where it is not.
// cublas_none.c stands in its place in builds without its headers, host/cublas_host.c on the processor; a test puts a
// failing function in place of any of them. Each returns the library's status: 0 is success, anything else is an error
// that status_text explains.
#ifndef HALLMARK_RUNTIME_CUDA_CUBLAS_CALLS_H
#define HALLMARK_RUNTIME_CUDA_CUBLAS_CALLS_H

#include "../../formats/err.h"
#include <stddef.h>

// as the library counts them
enum {
    GEMM_AS_IT_IS = 0,
    GEMM_TRANSPOSED = 1,
    GEMM_BF16 = 14,
    GEMM_F32 = 0,
    GEMM_SUMS_F32 = 68,
    GEMM_ANY_ALGORITHM = -1
};

typedef struct {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*set_stream)(void *handle, void *stream);
    int (*set_workspace)(void *handle, void *p, size_t n_bytes);
    // cublasGemmEx: matrices in column order, c [n][m] = alpha a b + beta c
    int (*gemm)(void *handle, int a_as, int b_as, int m, int n, int k, const void *alpha, const void *a, int a_type,
                int a_stride, const void *b, int b_type, int b_stride, const void *beta, void *c, int c_type,
                int c_stride, int sums, int algorithm);
    const char *(*status_text)(int status);
    void *library;              // cublas_unload closes it
} cublas_calls;

// Fills the table. ERR_SYSTEM: the library, or a symbol of it, is not there. ERR_USAGE: this program was built without
// it.
bool cublas_load(cublas_calls *c, err *e);
void cublas_unload(cublas_calls *c);        // what cublas_load gave, or zeros

#endif
