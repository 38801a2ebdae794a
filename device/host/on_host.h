// on_host: the part of CUDA C++ that the kernels use, for a plain C++ compiler. Included by device.cuh where nvcc is
// not.
//
// A grid runs block after block (grid.cpp). The threads of a block are coroutines: each runs until it meets a barrier
// or a warp operation and goes on when all that must meet it are there, so __syncthreads, shuffles and shared memory
// mean what they mean.
// Any order of threads is a legal one; tests run several. A thread that never arrives ends the program with a message.
// Kernels overlap as on a device: the first block of a kernel runs up to after_previous before the kernel before it has
// begun. What is read or written too early is then wrong.
#ifndef HALLMARK_DEVICE_ON_HOST_H
#define HALLMARK_DEVICE_ON_HOST_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <utility>

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(8)  uint2 { uint32_t x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static inline uint2  make_uint2(uint32_t x, uint32_t y) { return { x, y }; }
static inline uint4  make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return { x, y, z, w }; }
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }

// CUDA's built-in variables, set by grid.cpp before a thread goes on. One grid runs at a time, and the first block of
// the next may wait.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

int   host_machine();               // 0 or 1: which of the two blocks that may be under way this thread belongs to
void  host_sync_threads();
void  host_after_previous();        // a thread that does not call it, or twice, ends the program with a message
// All 32 lanes of the warp meet; each gives a value and gets everybody's. `kind` must be the same for all.
enum host_warp_op { HOST_SYNC_WARP = 1, HOST_SHUFFLE, HOST_BALLOT, HOST_MMA, HOST_LOAD_MATRICES };
const uint64_t *host_warp_exchange(host_warp_op kind, uint32_t mask, uint64_t value);
void *host_shared();                // the block's dynamic shared memory, poisoned when the block starts

static inline void __syncthreads() { host_sync_threads(); }
static inline void __syncwarp(uint32_t mask = 0xffffffffu) { host_warp_exchange(HOST_SYNC_WARP, mask, 0); }

static inline int host_lane()
{
    return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}

template <class T> static inline T host_shuffle(uint32_t mask, T v, int from)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    T r;
    memcpy(&bits, &v, sizeof v);
    const uint64_t *all = host_warp_exchange(HOST_SHUFFLE, mask, bits);
    memcpy(&r, &all[from], sizeof r);
    return r;
}

template <class T> static inline T __shfl_xor_sync(uint32_t mask, T v, int x, int width = 32)
{
    const int lane = host_lane(), from = lane ^ x;
    return host_shuffle(mask, v, from / width == lane / width ? from : lane);
}

template <class T> static inline T __shfl_sync(uint32_t mask, T v, int src, int width = 32)
{
    return host_shuffle(mask, v, host_lane() / width * width + src % width);
}

static inline uint32_t __ballot_sync(uint32_t mask, bool yes)
{
    const uint64_t *all = host_warp_exchange(HOST_BALLOT, mask, yes);
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) r |= (uint32_t)all[i] << i;
    return r;
}

static inline int __popc(uint32_t u) { return __builtin_popcount(u); }

template <class T> static inline T __ldg(const T *p) { return *p; }

// Four bytes of high:low, chosen by the low three bits of the selector's nibbles.
static inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector)
{
    const uint64_t all = (uint64_t)high << 32 | low;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) r |= (uint32_t)(all >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
    return r;
}

// The low word of high:low >> shift, shift below 32.
static inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift)
{
    return (uint32_t)(((uint64_t)high << 32 | low) >> (shift & 31));
}

static inline float    __uint_as_float(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline uint32_t __float_as_uint(float f)    { uint32_t u; memcpy(&u, &f, 4); return u; }

// One grid runs at a time and its threads take turns: a plain read and write is atomic here.
static inline unsigned long long atomicMin(unsigned long long *p, unsigned long long v)
{
    const unsigned long long old = *p;
    if (v < old) *p = v;
    return old;
}

static inline unsigned atomicAdd(unsigned *p, unsigned v)
{
    const unsigned old = *p;
    *p = old + v;
    return old;
}

// What gpu_launch gets for `kernel` on the host: how to call it from an array of pointers to its arguments.
struct host_kernel {
    void (*call)(void **args);
    int           n_args;
    const size_t *arg_bytes;
    const char   *name;                 // for messages
};

template <auto K> struct host_kernel_of;
template <class... P, void (*K)(P...)> struct host_kernel_of<K> {
    template <size_t... I> static void unpack(void **args, std::index_sequence<I...>) { K(*(P *)args[I]...); }
    static void call(void **args) { unpack(args, std::index_sequence_for<P...>()); }
    static constexpr size_t bytes[] = { sizeof(P)... };
    static constexpr const char *name() { return __PRETTY_FUNCTION__; }
    static constexpr host_kernel entry = { call, (int)sizeof...(P), bytes, name() };
};

#endif
