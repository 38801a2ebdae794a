// overlap_kernels: see overlap_kernels.h.
#include "overlap_kernels.h"
#include "device/launch.cuh"

template <int FORM> __global__ void add_one_kernel(float *y, const float *x)
{
    float *staged = shared_memory<float>();
    const int t = (int)threadIdx.x, i = (int)blockIdx.x * OVERLAP_THREADS + t;
    float early = 0.0f;
    if (FORM == FORGETS_WHERE_IT_RETURNS && i == OVERLAP_N - 1) return;
    if (FORM == READS_EARLY) early = x[i];
    if (FORM == WRITES_EARLY) y[i] = -1.0f;
    staged[OVERLAP_THREADS - 1 - t] = 1.0f;
    __syncthreads();
    if (FORM != FORGETS) after_previous();
    if (FORM == TWICE && t == 7) after_previous();
    y[i] = (FORM == READS_EARLY ? early : x[i]) + staged[t];
}

extern "C" bool overlap_add_one(gpu *g, overlap_form form, float *y, const float *x, err *e)
{
    const gpu_dim grid = dims(OVERLAP_BLOCKS), block = dims(OVERLAP_THREADS);
    const size_t shared = OVERLAP_THREADS * sizeof(float);
    switch (form) {
#define ROW(F) case F: return LAUNCH(g, e, "add_one", grid, block, shared, (add_one_kernel<F>))(y, x);
    ROW(KEEPS) ROW(READS_EARLY) ROW(WRITES_EARLY) ROW(FORGETS) ROW(FORGETS_WHERE_IT_RETURNS) ROW(TWICE)
#undef ROW
    }
    return false;
}
