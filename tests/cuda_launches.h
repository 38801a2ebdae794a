// cuda_launches: how many kernels the CUDA backend launches, where the processor runs them; on a device nobody counts.
#ifndef HALLMARK_TESTS_CUDA_LAUNCHES_H
#define HALLMARK_TESTS_CUDA_LAUNCHES_H

#include "cuda_where.h"

static int64_t launches;

#ifndef ON_GPU
static int counting_launch(const void *k, gpu_dim g, gpu_dim b, void **a, size_t sh, bool over, void *s)
{
    launches++;
    return host_calls()->launch(k, g, b, a, sh, over, s);
}

static void count_launches(bool on)
{
    static cuda_calls counting;
    counting = *host_calls();
    counting.launch = counting_launch;
    host_calls_use(on ? &counting : NULL);
}
#else
static void count_launches(bool on) { (void)on; }
#endif

#endif
