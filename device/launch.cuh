// launch: calls a kernel through gpu_launch, with its parameter types checked by the compiler.
//
//   LAUNCH(g, e, "rms_norm", grid, block, shared_bytes, (rms_norm_kernel))(dst, x, ...)
#ifndef HALLMARK_DEVICE_LAUNCH_CUH
#define HALLMARK_DEVICE_LAUNCH_CUH

#include "device.cuh"
#include "gpu.h"

struct launch_at { gpu *g; err *e; const char *name; gpu_dim grid, block; size_t shared_bytes; const void *kernel; };

// Carries the parameter types P of the kernel, so that arguments are converted to them before their addresses are
// taken.
template <class... P> struct launcher {
    launch_at at;
    bool operator()(P... p) const
    {
        void *args[] = { (void *)&p... };
        return gpu_launch(at.g, at.name, at.kernel, at.grid, at.block, args, at.shared_bytes, at.e);
    }
};

#ifdef __CUDACC__
template <class... P> static launcher<P...> make_launcher(void (*kernel)(P...), launch_at at)
{
    at.kernel = (const void *)kernel;
    return { at };
}
#define LAUNCH(g, e, name, grid, block, shared, kernel)                                                                \
    make_launcher(kernel, launch_at{ g, e, name, grid, block, shared, nullptr })
#else
template <auto K, class... P> static launcher<P...> make_launcher(void (*)(P...), launch_at at)
{
    at.kernel = &host_kernel_of<K>::entry;
    return { at };
}
// kernel comes in parentheses, so that a template's commas stay together.
#define LAUNCH(g, e, name, grid, block, shared, kernel)                                                                \
    make_launcher<(&HOST_UNWRAP kernel)>(kernel, launch_at{ g, e, name, grid, block, shared, nullptr })
#define HOST_UNWRAP(...) __VA_ARGS__
#endif

static inline gpu_dim dims(int64_t x, int64_t y = 1, int64_t z = 1)
{
    return { (unsigned)x, (unsigned)y, (unsigned)z };
}
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif
