// async: copies into shared memory that a thread starts and waits for later (cp.async, compute capability 8.0 on). On
// the processor they are device/host/async_on_host's; on an older device each is made at once.
#ifndef HALLMARK_RUNTIME_CUDA_ASYNC_CUH
#define HALLMARK_RUNTIME_CUDA_ASYNC_CUH

#include "dev.cuh"
#ifndef __CUDACC__
#include "../../device/host/async_on_host.h"
#endif

// An address in shared memory that bytes can be added to: 32 bits on a device, so that offsets become part of the
// instruction.
#ifdef __CUDACC__
typedef uint32_t shared_address;
DEV shared_address shared_at(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
#else
typedef uint8_t *shared_address;
DEV shared_address shared_at(void *p) { return (uint8_t *)p; }
#endif

// Starts a copy of 16 bytes from device memory; both ends are aligned to 16. It passes the first-level cache by.
// `from`: never written while the kernel runs.
DEV void copy_16_async(shared_address to, const void *from)
{
#ifndef __CUDACC__
    host_copy_async(to, from);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from) : "memory");
#else
    const uint4 v = *reinterpret_cast<const uint4 *>(from);
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
#endif
}

// What this thread has started since the last commit is one group.
DEV void copies_commit()
{
#ifndef __CUDACC__
    host_copies_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most N of this thread's latest groups are under way. Others see what arrived after the next barrier.
template <int N> DEV void copies_wait()
{
#ifndef __CUDACC__
    host_copies_wait(N);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

#endif
