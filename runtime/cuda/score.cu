// score: what rows of logits say, summed in double. See score.h.
//
// A block is a span of a row (SCORE_SPAN logits, read once, kept in registers), a thread one of its SCORE_LANES partial
// sums; then a thread is a row and adds its spans. So a row of 262,144 is 64 blocks, and the order of additions is the
// CPU's.
#include "score.h"
#include "dev.cuh"
#include "../../device/launch.cuh"

enum { EACH = SCORE_SPAN / SCORE_LANES, SPAN_WARPS = SCORE_LANES / WARP, JOIN_THREADS = WARP };

// Joins the block's partial sums as join_span in runtime/cpu/score.inc: i with i + 128, then + 64, .. + 1. Every thread
// gets the sum.
//   sums: [SCORE_LANES] shared
DEV double join_block(double a, double *sums)
{
    const int t = (int)threadIdx.x;
    __syncthreads();                                // who still reads what was there before
    sums[t] = a;
    __syncthreads();
    for (int half = SCORE_LANES / 2; half >= WARP; half /= 2) {
        if (t < half) sums[t] = sums[t] + sums[t + half];
        __syncthreads();
    }
    a = sums[t % WARP];
    for (int half = WARP / 2; half > 0; half /= 2) a = a + __shfl_xor_sync(ALL_LANES, a, half, WARP);
    return a;
}

// The block's largest key and all bits of `bits`.      words: [2 * SPAN_WARPS] shared
DEV void join_keys(unsigned long long *key, uint32_t *bits, unsigned long long *words)
{
    for (int half = WARP / 2; half > 0; half /= 2) {
        const unsigned long long other = __shfl_xor_sync(ALL_LANES, *key, half, WARP);
        *key = other > *key ? other : *key;
        *bits |= __shfl_xor_sync(ALL_LANES, *bits, half, WARP);
    }
    if (threadIdx.x % WARP == 0) {
        words[threadIdx.x / WARP] = *key;
        words[SPAN_WARPS + threadIdx.x / WARP] = *bits;
    }
    __syncthreads();
    for (int w = 0; w < SPAN_WARPS; w++) {
        *key = words[w] > *key ? words[w] : *key;
        *bits |= (uint32_t)words[SPAN_WARPS + w];
    }
}

// parts[row][span] = what is said of the span.    grid: (spans, rows)
//   x: [rows][n]     shared: SCORE_LANES doubles and 2 * SPAN_WARPS words
// Twin: stats_of_span in runtime/cpu/score.inc.
__global__ __launch_bounds__(SCORE_LANES) void stats_span_kernel(span_stats *parts, const float *x, int64_t n)
{
    after_previous();
    double *sums = shared_memory<double>();
    unsigned long long *words = reinterpret_cast<unsigned long long *>(sums + SCORE_LANES);
    const int64_t first = (int64_t)blockIdx.x * SCORE_SPAN;
    const float *row = x + (int64_t)blockIdx.y * n + first;
    const int here = n - first < SCORE_SPAN ? (int)(n - first) : SCORE_SPAN, t = (int)threadIdx.x;
    float v[EACH];
    unsigned long long best = 0;    // order_key of the value, then ids from the lowest; 0: nothing but NaN
    uint32_t bits = 0;    // magnitudes or'ed; the sign's place: one of them is infinite or NaN
#pragma unroll
    for (int k = 0; k < EACH; k++) v[k] = k * SCORE_LANES + t < here ? row[k * SCORE_LANES + t] : 0.0f;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const int i = k * SCORE_LANES + t;
        if (i >= here) continue;
        const uint32_t magnitude = __float_as_uint(v[k]) & 0x7fffffffu;
        bits |= magnitude >= 0x7f800000u ? magnitude | 0x80000000u : magnitude;
        const unsigned long long key = v[k] == v[k]
                                           ? (unsigned long long)order_key(v[k]) << 32 | (0xffffffffu - (uint32_t)i)
                                           : 0;
        best = key > best ? key : best;
    }
    join_keys(&best, &bits, words);
    const int at = (int)(0xffffffffu - (uint32_t)best);
    const float max = best ? row[at] : 0.0f;
    double sum = 0;
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (k * SCORE_LANES + t < here) sum += exp_f64((double)v[k] - (double)max);
    sum = join_block(sum, sums);
    if (t != 0) return;
    span_stats s;
    s.sum = sum;
    s.max = max;
    s.top = best ? (int32_t)(first + at) : -1;
    s.finite = !(bits >> 31);
    s.magnitude = bits & 0x7fffffffu;
    parts[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = s;
}

// One thread a row.
__global__ __launch_bounds__(JOIN_THREADS) void stats_join_kernel(row_stats *out, const span_stats *parts,
                                                                  int64_t n_spans, const float *x, int64_t n,
                                                                  const int32_t *next, int n_rows)
{
    after_previous();
    const int r = (int)(blockIdx.x * JOIN_THREADS + threadIdx.x);
    if (r < n_rows) out[r] = join_stats(parts + r * n_spans, n_spans, x + r * n, next[r]);
}

// parts[row][span] = sums over the span's ids.     grid: (spans of the reference's kept logits, rows)
//   x: [rows][n]     ref, ids: [rows][kept], ids NULL: all, in order     shared: SCORE_LANES doubles
// Twin: kl_of_span in runtime/cpu/score.inc.
__global__ __launch_bounds__(SCORE_LANES) void kl_span_kernel(span_kl *parts, const float *x, const kl_row *rows,
                                                              int64_t n, const float *ref, const int32_t *ids,
                                                              int64_t kept)
{
    after_previous();
    double *sums = shared_memory<double>();
    const int64_t first = (int64_t)blockIdx.x * SCORE_SPAN, at = (int64_t)blockIdx.y * kept + first;
    const float *row = x + (int64_t)blockIdx.y * n;
    const kl_row of = rows[blockIdx.y];
    const int here = kept - first < SCORE_SPAN ? (int)(kept - first) : SCORE_SPAN, t = (int)threadIdx.x;
    double kl = 0, p = 0, q = 0;
#pragma unroll 4
    for (int k = 0; k < EACH; k++) {
        const int i = k * SCORE_LANES + t;
        if (i >= here) break;
        const float logit = row[ids ? ids[at + i] : first + i];
        const double lp = (double)ref[at + i] - of.lse_ref, lq = (double)logit - of.lse, pi = exp_f64(lp);
        kl += pi * (lp - lq);
        p += pi;
        if (ids) q += exp_f64(lq);
    }
    span_kl s;
    s.kl = join_block(kl, sums);
    s.p = join_block(p, sums);
    s.q = join_block(q, sums);
    if (t == 0) parts[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = s;
}

// One thread a row.
__global__ __launch_bounds__(JOIN_THREADS)
void kl_join_kernel(double *kl, const span_kl *parts, int64_t n_spans, const kl_row *rows, bool bucket, int n_rows)
{
    after_previous();
    const int r = (int)(blockIdx.x * JOIN_THREADS + threadIdx.x);
    if (r < n_rows) kl[r] = join_kl(parts + r * n_spans, n_spans, bucket, rows[r].live);
}

// ===== launchers =====================================================================================================

static bool check_rows(int n_rows, int64_t n, err *e)
{
    return (n_rows >= 1 && n_rows <= 65535 && n >= 1 && n <= INT32_MAX) ||
           err_set(e, ERR_SYSTEM, "%d rows of %lld logits do not fit the grid", n_rows, (long long)n);
}

extern "C" bool cuda_row_stats(const gpu_ctx *c, row_stats *out, span_stats *parts, const float *x, int n_rows,
                               int64_t n, const int32_t *next, err *e)
{
    const int64_t spans = spans_of_row(n);
    const size_t shared = SCORE_LANES * sizeof(double) + 2 * SPAN_WARPS * sizeof(unsigned long long);
    return check_rows(n_rows, n, e) &&
           LAUNCH(c->g, e, "stats_span", dims(spans, n_rows), dims(SCORE_LANES), shared, (stats_span_kernel))(parts, x,
                                                                                                              n) &&
           LAUNCH(c->g, e, "stats_join", dims(ceil_div(n_rows, JOIN_THREADS)), dims(JOIN_THREADS), 0,
                  (stats_join_kernel))(out, parts, spans, x, n, next, n_rows);
}

extern "C" bool cuda_row_kl(const gpu_ctx *c, double *kl, span_kl *parts, const float *x, const kl_row *rows,
                            int n_rows, int64_t n, const float *ref, const int32_t *ids, int64_t kept, err *e)
{
    const int64_t spans = spans_of_row(kept);
    return check_rows(n_rows, kept, e) &&
           LAUNCH(c->g, e, "kl_span", dims(spans, n_rows), dims(SCORE_LANES), SCORE_LANES * sizeof(double),
                  (kl_span_kernel))(parts, x, rows, n, ref, ids, kept) &&
           LAUNCH(c->g, e, "kl_join", dims(ceil_div(n_rows, JOIN_THREADS)), dims(JOIN_THREADS), 0,
                  (kl_join_kernel))(kl, parts, spans, rows, ids != nullptr, n_rows);
}
