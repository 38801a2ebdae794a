// backend_none: stands in where the program is built without CUDA.
#include "backend.h"

#ifndef HALLMARK_CUDA
bool backend_cuda_absent(const err *why)
{
    (void)why;
    return true;
}

backend *backend_cuda(arith a, bool reproducible, err *e)
{
    (void)a;
    (void)reproducible;
    err_set(e, ERR_SYSTEM, "device cuda: this program was built without CUDA");
    return NULL;
}
#endif
