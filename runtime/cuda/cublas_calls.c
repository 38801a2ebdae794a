// cublas_calls: see cublas_calls.h; filled from the library of the major version whose headers the build found.
#include "cublas_calls.h"
#include <cublas_v2.h>
#include <assert.h>
#include <dlfcn.h>
#include <string.h>

static_assert((int)CUBLAS_OP_N == GEMM_AS_IT_IS && (int)CUBLAS_OP_T == GEMM_TRANSPOSED &&
                  (int)CUDA_R_16BF == GEMM_BF16 && (int)CUDA_R_32F == GEMM_F32 &&
                  (int)CUBLAS_COMPUTE_32F == GEMM_SUMS_F32 && (int)CUBLAS_GEMM_DEFAULT == GEMM_ANY_ALGORITHM &&
                  (int)CUBLAS_STATUS_SUCCESS == 0,
              "the numbers are the library's");
static_assert(sizeof(cublasStatus_t) == sizeof(int) && sizeof(cublasOperation_t) == sizeof(int) &&
                  sizeof(cudaDataType) == sizeof(int) && sizeof(cublasComputeType_t) == sizeof(int) &&
                  sizeof(cublasGemmAlgo_t) == sizeof(int),
              "its enumerations travel as int");

// The forms that the table gives these functions are the header's, but for enumerations and handles.
static cublasStatus_t (*const as_declared)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                           const void *, const void *, cudaDataType, int, const void *, cudaDataType,
                                           int, const void *, void *, cudaDataType, int, cublasComputeType_t,
                                           cublasGemmAlgo_t);
static_assert(__builtin_types_compatible_p(__typeof__(&cublasGemmEx), __typeof__(as_declared)), "cublasGemmEx has "
                                                                                                "another form");

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libcublas.so." TEXT(CUBLAS_VER_MAJOR)

static bool symbol(const cublas_calls *c, void *function, const char *name, err *e)
{
    void *p = dlsym(c->library, name);
    if (!p) return err_set(e, ERR_SYSTEM, "HALLMARK_CUDA_PRODUCTS=cublas: %s has no %s", LIBRARY, name);
    memcpy(function, &p, sizeof p);
    return true;
}

bool cublas_load(cublas_calls *c, err *e)
{
    memset(c, 0, sizeof *c);
    c->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return err_set(e, ERR_SYSTEM,
                       "HALLMARK_CUDA_PRODUCTS=cublas: %s is not found (LD_LIBRARY_PATH may name its folder): %s",
                       LIBRARY, dlerror());
    const struct { void *function; const char *name; } all[] = {
        { &c->create, "cublasCreate_v2" },
        { &c->destroy, "cublasDestroy_v2" },
        { &c->set_stream, "cublasSetStream_v2" },
        { &c->set_workspace, "cublasSetWorkspace_v2" },
        { &c->gemm, "cublasGemmEx" },
        { &c->status_text, "cublasGetStatusString" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!symbol(c, all[i].function, all[i].name, e)) {
            cublas_unload(c);
            return false;
        }
    return true;
}

void cublas_unload(cublas_calls *c)
{
    if (c->library) dlclose(c->library);
    memset(c, 0, sizeof *c);
}
