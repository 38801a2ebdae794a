// products: how the backend forms products of many tokens: exactly, on the tensor cores, or by cuBLAS; and the scratch
// that takes. Private to runtime/cuda and its tests.
#ifndef HALLMARK_RUNTIME_CUDA_PRODUCTS_H
#define HALLMARK_RUNTIME_CUDA_PRODUCTS_H

#include "backend_cuda.h"

// Does HALLMARK_CUDA_PRODUCTS have a value that there is, or none? Asked before a device is. ERR_USAGE names what is
// expected.
bool products_known(err *e);

// Chooses how, by HALLMARK_CUDA_PRODUCTS; where that says nothing, "exact" for what must be reproducible, else "auto".
//   "exact"   the CPU's bits
//   "auto"    on the tensor cores where the device has them and products_check passes, else exactly
//   "tensor"  on the tensor cores, unchecked
//   "cublas"  by cuBLAS
// c->g is open, c->ctx filled. Sets c->base.note where numbers may differ from the CPU's, or where "auto" could not
// have the tensor cores. ERR_USAGE: another value. ERR_SYSTEM: what is asked for is not there; in "auto" a check that
// fails is no failure.
bool products_open(cuda_backend *c, bool reproducible, err *e);
void products_close(cuda_backend *c);

// Before a product is put on the list: its scratch, grown to the largest that was wanted. Allocates outside recordings
// only: there products are of one token, which need none.
bool products_reserve(cuda_backend *c, const gpu_matrix *w, int n, err *e);
int64_t products_later(const cuda_backend *c);      // bytes that products_reserve may still ask for

// Small products in every form that this backend uses and every tile, held against the exact kernel: within 2^-21 of
// the sum of magnitudes.
// false: why says what was found, or what failed.
bool products_check(cuda_backend *c, err *why);

#endif
