// products: how the backend forms products of many tokens: exactly, on the tensor cores, or by cuBLAS; and the scratch that takes.
// Private to runtime/cuda and its tests.
#ifndef HALLMARK_RUNTIME_CUDA_PRODUCTS_H
#define HALLMARK_RUNTIME_CUDA_PRODUCTS_H

#include "backend_cuda.h"

// As HALLMARK_CUDA_PRODUCTS says; where it says nothing, "exact" for what must be reproducible, else "auto". "auto": on the tensor cores where the device has them and products_check passes, else exactly.
// "exact": the CPU's bits. "tensor": on the tensor cores, unchecked. "cublas": by cuBLAS. Sets c->base.note where numbers may differ from the
// CPU's, or where auto could not have the tensor cores. c->g is open, c->ctx filled. ERR_USAGE: another value. ERR_SYSTEM: what is asked for is not
// there; in auto a failure of the check is none.
// ERR_USAGE where HALLMARK_CUDA_PRODUCTS has a value that nobody knows; asked before a device is.
bool products_known(err *e);
bool products_open(cuda_backend *c, bool reproducible, err *e);
void products_close(cuda_backend *c);

// Before a product is put on the list: its scratch, grown to the largest that was wanted. Allocates outside recordings only: there products are of
// one token, which need none.
bool products_reserve(cuda_backend *c, const gpu_matrix *w, int n, err *e);
int64_t products_later(const cuda_backend *c);      // bytes that products_reserve may still ask for

// Small products in every form that this backend uses and every tile, held against the exact kernel: within 2^-21 of the sum of magnitudes.
// false: why says what was found, or what failed.
bool products_check(cuda_backend *c, err *why);

#endif
