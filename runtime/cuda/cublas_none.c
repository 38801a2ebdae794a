// cublas_calls in a build that found no cublas_v2.h: see cublas_calls.h.
#include "cublas_calls.h"
#include <string.h>

bool cublas_load(cublas_calls *c, err *e)
{
    memset(c, 0, sizeof *c);
    return err_set(e, ERR_USAGE,
                   "HALLMARK_CUDA_PRODUCTS=cublas: this program was built without cuBLAS (cmake found no cublas_v2.h); "
                   "expected auto, exact or tensor");
}

void cublas_unload(cublas_calls *c) { memset(c, 0, sizeof *c); }
