// cublas_host: cublas_calls.h filled with a product in plain C, for tests on the processor.
#ifndef HALLMARK_RUNTIME_CUDA_CUBLAS_HOST_H
#define HALLMARK_RUNTIME_CUDA_CUBLAS_HOST_H

#include "../cublas_calls.h"

const cublas_calls *host_cublas(void);                  // its table
// what cublas_load gives from now on; NULL: host_cublas(). A table without gemm: the library is missing
void host_cublas_use(const cublas_calls *c);
int  host_cublas_live(void);                            // handles and libraries not yet closed

#endif
