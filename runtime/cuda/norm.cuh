// norm: the one reduction that several kernels share.
#ifndef HALLMARK_RUNTIME_CUDA_NORM_CUH
#define HALLMARK_RUNTIME_CUDA_NORM_CUH

#include "dev.cuh"

// 1 / sqrt(mean of squares + eps) of row [dim] in shared memory; every thread of the block calls and gets it, through *result in
// shared memory. Sixteen chains, as rms_norm in runtime/cpu/kernels.inc: only sixteen threads sum, because that order is the
// definition; dim / 16 dependent steps are shorter than a launch.
DEV float inverse_rms(const float *row, float *result, int dim, float eps)
{
    __syncthreads();
    if (threadIdx.x < WARP) {
        float acc = 0.0f;
        if (threadIdx.x < LANES)
            for (int i = (int)threadIdx.x; i < dim; i += LANES) acc = fmaf(row[i], row[i], acc);
        const float sum = join_lanes(acc);
        if (threadIdx.x == 0) *result = 1.0f / sqrtf(sum / (float)dim + eps);
    }
    __syncthreads();
    return *result;
}

#endif
