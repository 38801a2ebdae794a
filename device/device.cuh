// device: what kernels of quant/ and runtime/ are made of: CUDA, or host/on_host.h in its place, shared memory,
// conversions. Compiled by nvcc (--fmad=false: a fused multiply-add is only where fmaf is written) or by a C++
// compiler.
#ifndef HALLMARK_DEVICE_DEVICE_CUH
#define HALLMARK_DEVICE_DEVICE_CUH

#ifdef __CUDACC__
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include "host/on_host.h"
#endif
#include <math.h>
#include <stdint.h>

#define DEV static __device__ __forceinline__

// The block's dynamic shared memory, 16-byte aligned. Kernels use no other kind, so that the host can poison it.
template <class T> DEV T *shared_memory()
{
#ifdef __CUDACC__
    extern __shared__ uint4 shared_words[];
    return reinterpret_cast<T *>(shared_words);
#else
    return reinterpret_cast<T *>(host_shared());
#endif
}

// Where a kernel waits for those before it. Every kernel calls it, every thread once, before any return, and before it
// reads or writes anything that another kernel writes: what comes before it may touch parameters, weights (which no
// kernel writes) and shared memory only.
//
// From compute capability 9.0 on a kernel is launched while the one before it runs (`overlap` in cuda_calls.h). The
// first instruction returns when that one has ended and its writes are visible. The second lets the next kernel start,
// once all blocks of this one are here or have ended.
// - All earlier kernels, not only the last, are then done: the last could not end before its own threads were through
//   here. So the call comes before early returns, and a kernel without it breaks those after it.
// - What was read before is not overwritten too early either: writes come after the call, and by then all earlier
//   readers have ended.
// - Copies and fills wait for whole kernels, and a kernel that follows one waits for it as a whole: only kernel after
//   kernel overlaps.
// - __ldg is for what no kernel ever writes. It may be answered from a cache that does not notice writes; a kernel that
//   started early may have been given its line of that cache before the one it waits for wrote. Activations, scores, K
//   and V, ids are read plainly.
DEV void after_previous()
{
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
#else
    host_after_previous();
#endif
}

// ---- conversions ----------------------------------------------------------------------------------------------------

DEV float f32_of_bf16(uint32_t bits) { return __uint_as_float(bits << 16); }

DEV uint16_t bf16_of_f32(float x)
{
    const uint32_t u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

DEV float f32_of_f16(uint32_t h)
{
#ifdef __CUDACC__
    return __half2float(__ushort_as_half((unsigned short)h));
#else
    const uint32_t sign = (h & 0x8000u) << 16, mag = h & 0x7fffu;
    const uint32_t normal = (mag << 13) + ((127 - 15) << 23),
                   special = (mag << 13) | 0x7f800000u | (mag > 0x7c00u ? 0x400000u : 0);
    const uint32_t tiny = __float_as_uint(__uint_as_float(mag | 0x3f000000u) - 0.5f);
    return __uint_as_float(sign | (mag >= 0x7c00u ? special : mag < 0x400u ? tiny : normal));
#endif
}

// The text of formats/dtype.c.
DEV uint16_t f16_of_f32(float x)
{
    const uint32_t u = __float_as_uint(x), sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    const uint32_t special = mag > 0x7f800000u ? 0x7e00u : 0x7c00u;
    const uint32_t tiny = __float_as_uint(__uint_as_float(mag) + 0.5f) - 0x3f000000u;
    const uint32_t normal = (mag - ((127 - 15) << 23) + 0xfff + ((mag >> 13) & 1)) >> 13;
    return (uint16_t)(sign | (mag >= 0x47800000u ? special : mag < 0x38800000u ? tiny : normal));
}

#endif
