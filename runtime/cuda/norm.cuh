// norm: the one reduction that several kernels share.
#ifndef HALLMARK_RUNTIME_CUDA_NORM_CUH
#define HALLMARK_RUNTIME_CUDA_NORM_CUH

#include "dev.cuh"

enum { CHAIN_AHEAD = 8, NORM_RUN = 2 * CHAIN_AHEAD * LANES };

// Floats of shared memory that a row of dim takes: whole runs, zeros behind dim (a zero changes no sum of squares).
DEV int norm_floats(int dim) { return (dim + NORM_RUN - 1) / NORM_RUN * NORM_RUN; }

DEV void load_chain(float v[CHAIN_AHEAD], const float *row)
{
#pragma unroll
    for (int i = 0; i < CHAIN_AHEAD; i++) v[i] = row[i * LANES];
}

DEV float chain_squares(float acc, const float v[CHAIN_AHEAD])
{
#pragma unroll
    for (int i = 0; i < CHAIN_AHEAD; i++) acc = fmaf(v[i], v[i], acc);
    return acc;
}

// 1 / sqrt(sum of squares / over + eps) of row [norm_floats(dim)] in shared memory; every thread of the block calls and
// gets it, through *result in shared memory. Sixteen chains, as rms_norm in runtime/cpu/kernels.inc: only sixteen
// threads sum (the others of the warp do the same), because that order is the definition. A step waits for the one
// before it and for nothing else: its value was read eight steps ago at least.
DEV float inverse_norm(const float *row, float *result, int dim, float over, float eps)
{
    __syncthreads();
    if (threadIdx.x < WARP) {
        const float *mine = row + threadIdx.x % LANES;
        float acc = 0.0f, even[CHAIN_AHEAD], odd[CHAIN_AHEAD];
        load_chain(even, mine);
        load_chain(odd, mine + NORM_RUN / 2);
        for (int at = 0; at < dim; at += NORM_RUN) {
            // the last: what is read is not used
            const float *next = mine + (at + NORM_RUN < dim ? at + NORM_RUN : 0);
            acc = chain_squares(acc, even);
            load_chain(even, next);
            acc = chain_squares(acc, odd);
            load_chain(odd, next + NORM_RUN / 2);
        }
        const float sum = join_lanes(acc);
        if (threadIdx.x == 0) *result = 1.0f / sqrtf(sum / over + eps);
    }
    __syncthreads();
    return *result;
}

// Of the mean of squares.
DEV float inverse_rms(const float *row, float *result, int dim, float eps)
{
    return inverse_norm(row, result, dim, (float)dim, eps);
}

#endif
