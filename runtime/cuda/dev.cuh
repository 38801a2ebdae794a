// dev: what every kernel is made of: conversions, rounding, the functions e^x, tanh and gelu; each gives the bits of
// runtime/cpu/vec16.h. Compiled by nvcc (--fmad=false: a fused multiply-add is only where fmaf is written) or by a C++
// compiler.
#ifndef HALLMARK_RUNTIME_CUDA_DEV_CUH
#define HALLMARK_RUNTIME_CUDA_DEV_CUH

#include "../../device/device.cuh"

enum { WARP = 32, LANES = 16 };         // LANES: partial sums of every reduction (REDUCE_LANES in backend.h)
#define ALL_LANES 0xffffffffu

// ---- conversions ----------------------------------------------------------------------------------------------------

// To the nearest BF16, kept in F32. A NaN stays a NaN.
DEV float round_bf16(float x)
{
    const uint32_t u = __float_as_uint(x);
    return x != x ? x : __uint_as_float((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
}

DEV float rounded(float x, bool round) { return round ? round_bf16(x) : x; }

// A small integer (0 <= q < 2^23) less bias, as F32: exact, and cheaper than the conversion instruction.
DEV float f32_of_code(uint32_t q, float bias) { return __uint_as_float(0x4b000000u | q) - (8388608.0f + bias); }

// ---- functions ------------------------------------------------------------------------------------------------------

// 2^n for integral n in [-126, 127].
DEV float exp2i(float n)
{
    const float c = n > -126.0f ? n : -126.0f;
    return __uint_as_float((uint32_t)((int32_t)(c < 127.0f ? c : 127.0f) + 127) << 23);
}

// v16_exp in vec16.h, which says why.
DEV float exp_twin(float x)
{
    const float magic = 12582912.0f;
    float c = x < 89.0f ? x : 89.0f;
    c = c > -104.0f ? c : -104.0f;
    const float n = fmaf(c, 1.44269504088896341f, magic) - magic;
    float r = fmaf(n, -0.693359375f, c);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(r * r, p, r) + 1.0f;
    const float n1 = fmaf(n, 0.5f, magic) - magic;
    const float y = p * exp2i(n1) * exp2i(n - n1);
    return fabsf(x) < INFINITY ? y : x < 0.0f ? 0.0f : x * x;
}

DEV float tanh_twin(float x)
{
    const float a = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = fmaf(p, z, 2.06390887954e-2f);
    p = fmaf(p, z, -5.37397155531e-2f);
    p = fmaf(p, z, 1.33314422036e-1f);
    p = fmaf(p, z, -3.33332819422e-1f);
    const float near = fmaf(p * z, x, x);
    const float far = copysignf(1.0f - 2.0f / (exp_twin(a + a) + 1.0f), x);
    return a < 0.625f ? near : far;
}

DEV float gelu_twin(float x)
{
    const float x3 = x * x * x;
    const float inner = 0.79788456080286535588f * (x + 0.044715f * x3);
    return 0.5f * x * (1.0f + tanh_twin(inner));
}

// Twin: v16_silu.
DEV float silu_twin(float x) { return x / (1.0f + exp_twin(0.0f - x)); }

// Twin: v16_sigmoid.
DEV float sigmoid_twin(float x) { return 1.0f / (1.0f + exp_twin(0.0f - x)); }

DEV float act_twin(float x, bool silu) { return silu ? silu_twin(x) : gelu_twin(x); }

DEV float softcap_twin(float x, float cap, bool round)
{
    return rounded(rounded(tanh_twin(rounded(x / cap, round)), round) * cap, round);
}

// Joins the sixteen partial sums of a half-warp: i with i + 8, then + 4, + 2, + 1 (v16_sum). All sixteen lanes get the
// sum: addition commutes, so each lane forms the same one. The whole warp must call.
DEV float join_lanes(float a)
{
    a = a + __shfl_xor_sync(ALL_LANES, a, 8, LANES);
    a = a + __shfl_xor_sync(ALL_LANES, a, 4, LANES);
    a = a + __shfl_xor_sync(ALL_LANES, a, 2, LANES);
    return a + __shfl_xor_sync(ALL_LANES, a, 1, LANES);
}

// The largest of what the threads of a block of WARPS warps bring, for all of them; NaN is none. all: WARPS floats of
// shared memory. The order of a maximum does not matter.
template <int WARPS> DEV float block_max(float top, float *all)
{
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, top, apart);
        top = other > top ? other : top;
    }
    if (threadIdx.x % WARP == 0) all[threadIdx.x / WARP] = top;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) top = all[i] > top ? all[i] : top;
    return top;
}

// The same for several sums, which leaves each lane fewer: adds what the lane at distance `apart` holds for the N that
// this lane keeps, and gives it those that it keeps, which are the upper N of 2 N where `upper`.
template <int N> DEV void halve(float *acc, bool upper, int apart)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float send = upper ? acc[i] : acc[i + N], keep = upper ? acc[i + N] : acc[i];
        acc[i] = keep + __shfl_xor_sync(ALL_LANES, send, apart, LANES);
    }
}

#endif
