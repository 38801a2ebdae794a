// top: the largest logits of a row, selected by radix. See score.h.
#include "score.h"
#include "dev.cuh"
#include "../../device/launch.cuh"

enum { TOP_THREADS = 512, TOP_WARPS = TOP_THREADS / WARP, BINS_EACH = KEY_BINS / TOP_THREADS, TOP_AHEAD = 8 };

struct top_shared {
    unsigned count[KEY_BINS], of_thread[TOP_THREADS];
    unsigned greater[TOP_WARPS], equal[TOP_WARPS];      // of each warp's share of the row
    uint32_t key;                                       // digits found
    unsigned left;    // how many are still to be found among those that begin with them
};

// The block counts the row's keys that begin with the digits found, by digit d.
DEV void count_digit(top_shared *s, const float *row, int64_t n, int d)
{
    for (int b = (int)threadIdx.x; b < KEY_BINS; b += TOP_THREADS) s->count[b] = 0;
    __syncthreads();
    const uint32_t key = s->key, above = key_above(d);
    for (int64_t base = threadIdx.x; base < n; base += TOP_AHEAD * TOP_THREADS) {
        float v[TOP_AHEAD];     // on their way together: the compiler moves no load ahead of an atomic
#pragma unroll
        for (int j = 0; j < TOP_AHEAD; j++) v[j] = base + j * TOP_THREADS < n ? row[base + j * TOP_THREADS] : 0.0f;
#pragma unroll
        for (int j = 0; j < TOP_AHEAD; j++) {
            const uint32_t u = order_key(v[j]);
            if (base + j * TOP_THREADS < n && (u & above) == key)
                atomicAdd(&s->count[u >> key_shift(d) & (KEY_BINS - 1)], 1u);
        }
    }
    __syncthreads();
}

// The bin in which the left-th from the top is becomes the next digit: runs of bins from the highest, then bins.
DEV void choose_digit(top_shared *s, int d)
{
    unsigned sum = 0;
    for (int b = 0; b < BINS_EACH; b++) sum += s->count[(int)threadIdx.x * BINS_EACH + b];
    s->of_thread[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned left = s->left;
        int run = TOP_THREADS - 1;
        for (; s->of_thread[run] < left; run--) left -= s->of_thread[run];
        int bin = run * BINS_EACH + BINS_EACH - 1;
        for (; s->count[bin] < left; bin--) left -= s->count[bin];
        s->key |= (uint32_t)bin << key_shift(d);
        s->left = left;
    }
    __syncthreads();
}

// ids, logits [rows][k]: the k largest of x [rows][n] by value, then lower id, in ascending order of ids. One block a
// row.
// A row is read five times: three digits of the k-th largest key, a count, the result. Each warp takes a run of ids:
// where an id goes is how many before it are taken, which is how many are greater, and how many are equal as long as
// those are wanted. Atomics are on integer counts.
//   shared: top_shared      Twin: score_row_top in runtime/cpu/score.c.
__global__ __launch_bounds__(TOP_THREADS) void top_kernel(int32_t *ids, float *logits, const float *x, int64_t n,
                                                          int64_t k)
{
    after_previous();
    top_shared *s = shared_memory<top_shared>();
    const float *row = x + (int64_t)blockIdx.x * n;
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    if (threadIdx.x == 0) {
        s->key = 0;
        s->left = (unsigned)k;
    }
    __syncthreads();
    for (int d = 0; d < KEY_DIGITS; d++) {
        count_digit(s, row, n, d);
        choose_digit(s, d);
    }
    const uint32_t least = s->key;
    const int64_t ties = s->left, share = (n + TOP_THREADS - 1) / TOP_THREADS * WARP;
    const int64_t from = warp * share < n ? warp * share : n, to = from + share < n ? from + share : n;
    unsigned greater = 0, equal = 0;
    for (int64_t i = from + lane; i < to; i += WARP) {
        const uint32_t u = order_key(row[i]);
        greater += u > least;
        equal += u == least;
    }
    for (int half = WARP / 2; half > 0; half /= 2) {
        greater += __shfl_xor_sync(ALL_LANES, greater, half, WARP);
        equal += __shfl_xor_sync(ALL_LANES, equal, half, WARP);
    }
    if (lane == 0) {
        s->greater[warp] = greater;
        s->equal[warp] = equal;
    }
    __syncthreads();
    greater = equal = 0;
    for (int w = 0; w < warp; w++) {
        greater += s->greater[w];
        equal += s->equal[w];
    }
    const unsigned before = (1u << lane) - 1;           // the lanes below this one
    const int64_t out = (int64_t)blockIdx.x * k;
    for (int64_t base = from; base < to; base += WARP) {
        const bool there = base + lane < to;
        const float v = there ? row[base + lane] : 0.0f;
        const uint32_t u = order_key(v);
        const unsigned above = __ballot_sync(ALL_LANES, there && u > least),
                       same = __ballot_sync(ALL_LANES, there && u == least);
        const int64_t g = greater + __popc(above & before), t = equal + __popc(same & before);
        if (there && (u > least || (u == least && t < ties))) {
            ids[out + g + (t < ties ? t : ties)] = (int32_t)(base + lane);
            logits[out + g + (t < ties ? t : ties)] = v;
        }
        greater += __popc(above);
        equal += __popc(same);
    }
}

// ===== launchers =====================================================================================================

extern "C" bool cuda_row_top(const gpu_ctx *c, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n,
                             int64_t k, err *e)
{
    if (n_rows < 1 || k < 1 || k > n || n > INT32_MAX)
        return err_set(e, ERR_SYSTEM, "the %lld largest of %lld logits", (long long)k, (long long)n);
    return LAUNCH(c->g, e, "top", dims(n_rows), dims(TOP_THREADS), sizeof(top_shared), (top_kernel))(ids, logits, x, n,
                                                                                                     k);
}
