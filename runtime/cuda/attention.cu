// attention: scores, softmax and weighted sum over what cache.cu has stored. See kernels.h.
//
// Everything between the cache and the result is F32, in the CPU's order, so that the bits do not depend on how the
// work is split: scores are independent of each other and spread over keys; sums over keys are sixteen partial sums for
// each span of GPU_KEY_SPAN keys, so that a long context is spread over warps and blocks and is still one fixed order.
#include "kernels.h"
#include "kv_mixed.cuh"
#include "dev.cuh"
#include "../../device/launch.cuh"
#ifdef HALLMARK_FAULTS
// Values of `fault` in backend.h that change a kernel; backend_cuda.c asserts that they agree.
enum { GPU_FAULT_SCORES_BF16 = 2, GPU_FAULT_HEAD512_ZERO = 3, GPU_FAULT_FUSED_SUM_KV_DTYPE = 8 };
#endif

struct visible { int64_t lo, n; };          // keys lo .. lo + n - 1 are seen

DEV visible keys_of(int64_t pos, int64_t window)
{
    const int64_t lo = window > 0 && pos - window + 1 > 0 ? pos - window + 1 : 0;
    return { lo, pos - lo + 1 };
}

struct attention_work {
    const float    *q;
    float          *out, *scores, *parts;   // parts: [n][n_head][n_spans][head_dim], where there are several spans
    gpu_kv          kv;
    int             n_head, group;          // group: query heads that share a K/V head
    int64_t         pos0, window, stride;   // stride: floats between the scores of two heads
    int             n_spans;                // that the grid has room for; a token may have fewer
    float           scale, softcap;
    const gpu_step *step;
    bool            round, round_out;       // scores and weights; the result
    int             fault;
};

// The keys of one head that a token at `pos` sees, from position lo on: where one lies, and its elements. Rows of one
// type.
template <int T> struct key_reader {
    typedef const uint8_t *place;
    const gpu_kv &kv;
    const uint8_t *first_head;
    int64_t        first_slot;
    __device__ __forceinline__ key_reader(const attention_work &a, int kv_head, int64_t pos, int64_t lo)
        : kv(a.kv), first_head((const uint8_t *)kv.k.data + kv_head * (kv.k.row / kv.n_kv_head)),
          first_slot(lo % kv.capacity) {}
    __device__ __forceinline__ place at(int64_t j) const
    {
        const int64_t slot = first_slot + j;
        return first_head + (slot < kv.capacity ? slot : slot - kv.capacity) * kv.k.row;
    }
    __device__ __forceinline__ float value(place head, int g, int l) const { return kv_format<T>::value(head, g, l); }
    template <int GROUPS> __device__ __forceinline__ void load(float k[GROUPS], place head, int l) const
    {
#pragma unroll
        for (int g = 0; g < GROUPS; g++) k[g] = g * LANES + l < kv.head_dim ? value(head, g, l) : 0.0f;
    }
};

template <> struct key_reader<GPU_KV_MIXED> {
    typedef kv_place place;
    const gpu_kv &kv;
    int           head;
    int64_t       lo;
    kv_seen       seen;
    __device__ __forceinline__ key_reader(const attention_work &a, int kv_head, int64_t pos, int64_t from)
        : kv(a.kv), head(kv_head), lo(from), seen(kv_seen_at(a.kv.k, pos, a.fault)) {}
    __device__ __forceinline__ place at(int64_t j) const
    {
        return place_of(kv.k, seen, lo + j, head, kv.n_kv_head);
    }
    __device__ __forceinline__ float value(const place &p, int g, int l) const
    {
        return value_at(p, kv.k, g * LANES + l, kv.head_dim);
    }
    template <int GROUPS> __device__ __forceinline__ void load(float k[GROUPS], const place &p, int l) const
    {
        load_head<GROUPS>(k, p, kv.k, l, kv.head_dim);
    }
};

enum { SCORE_THREADS = 128, SCORE_KEYS = SCORE_THREADS / LANES };
enum { SUM_DIMS = WARP, SUM_THREADS = LANES * SUM_DIMS, SUM_WARPS = SUM_THREADS / WARP, SUM_AHEAD = 8 };
enum { FUSED_KEYS = 4096 };    // keys whose softmax a block of the weighted sum makes for itself, in shared memory

// scores[t][h][j] = q . k of key lo + j, scaled and soft-capped
//   grid: (runs of keys, K/V heads, tokens); a half-warp takes a key for all query heads of its group, then the key
//   gridDim.x * SCORE_KEYS further on: the grid need not know how many keys there are
// Numerics: sixteen partial sums over the head, joined by join_lanes; rounded; then scale and soft-capping, each step
// rounded.
// Must match: eager_attention_forward. Twin: dot and attend in runtime/cpu/kernels.inc.
template <int T, int GROUPS>
__global__ __launch_bounds__(SCORE_THREADS, GROUPS > 16  ? 3
                                            : GROUPS > 8 ? 5
                                                         : 8) void scores_kernel(attention_work a)
{
    after_previous();
    const int l = (int)threadIdx.x % LANES, hd = a.kv.head_dim, kv_head = (int)blockIdx.y;
    const int64_t t = blockIdx.z, pos = (a.step ? a.step->pos : a.pos0) + t;
    const visible seen = keys_of(pos, a.window);
    const int64_t step = (int64_t)gridDim.x * SCORE_KEYS;
    const int64_t mine = (int64_t)blockIdx.x * SCORE_KEYS + (int)threadIdx.x / LANES;
    const key_reader<T> keys(a, kv_head, pos, seen.lo);
    // Both halves of a warp make the same number of turns: they meet in join_lanes.
    for (int64_t j = mine; j - (mine & 1) < seen.n; j += step) {
        const bool active = j < seen.n;
        const typename key_reader<T>::place at = keys.at(active ? j : 0);
        float k[GROUPS];
        keys.template load<GROUPS>(k, at, l);
        for (int h = kv_head * a.group; h < (kv_head + 1) * a.group; h++) {
            const float *q = a.q + (t * a.n_head + h) * hd;
            float acc = 0.0f;
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
                if (g * LANES + l < hd) acc = fmaf(q[g * LANES + l], k[g], acc);
            float s = rounded(join_lanes(acc), a.round);
#ifdef HALLMARK_FAULTS
            if (a.fault == GPU_FAULT_SCORES_BF16) {
                s = 0.0f;
                for (int d = 0; d < hd; d++) s = round_bf16(s + q[d] * keys.value(at, d / LANES, d % LANES));
            }
#endif
            if (a.scale != 1.0f) s = rounded(s * a.scale, a.round);
            if (a.softcap != 0.0f) s = softcap_twin(s, a.softcap, a.round);
            if (active && l == 0) a.scores[(t * a.n_head + h) * a.stride + j] = s;
        }
    }
}

// ---- softmax --------------------------------------------------------------------------------------------------------
// e^(score - top) and its sum by a block of SUM_THREADS; both kernels below end with quotients of it.
// Numerics: F32; the sum of a span of GPU_KEY_SPAN keys is sixteen partial sums over j % 16, ascending, joined by
// join_lanes; spans are added in ascending order. Twin: softmax in runtime/cpu/kernels.inc.

enum { EXPONENTIALS_SHARED = 3 * SUM_WARPS };

// to[j] = e^(from[j] - top), j < n; gives their sum to all threads. shared: EXPONENTIALS_SHARED floats.
DEV float exponentials(float *to, const float *from, int64_t n, float *shared)
{
    const int tid = (int)threadIdx.x, half_warp = tid / LANES, l = tid % LANES;
    const int64_t n_spans = (n + GPU_KEY_SPAN - 1) / GPU_KEY_SPAN;
    float *spans = shared + SUM_WARPS, top = -INFINITY, total = 0.0f;
    // the order of a maximum does not matter
    for (int64_t j = tid; j < n; j += SUM_THREADS) top = from[j] > top ? from[j] : top;
    top = block_max<SUM_WARPS>(top, shared);
    for (int64_t j = tid; j < n; j += SUM_THREADS) to[j] = exp_twin(from[j] - top);
    __syncthreads();
    for (int64_t first = 0; first < n_spans; first += 2 * SUM_WARPS) {     // a half-warp a span
        const int64_t mine = first + half_warp, begin = mine * GPU_KEY_SPAN,
                      end = n - begin < GPU_KEY_SPAN ? n : begin + GPU_KEY_SPAN;
        float acc = 0.0f;
#pragma unroll 8
        for (int64_t j = begin + l; j < end; j += LANES) acc = acc + to[j];
        acc = join_lanes(acc);
        if (l == 0) spans[half_warp] = acc;
        __syncthreads();
        for (int i = 0; i < 2 * SUM_WARPS && first + i < n_spans; i++) total = total + spans[i];
        __syncthreads();
    }
    return total;
}

// scores[t][h] = softmax(scores[t][h]) in place, one block a head and token; each quotient rounded once
//   grid: (heads, tokens)     shared: EXPONENTIALS_SHARED floats
__global__ __launch_bounds__(SUM_THREADS) void softmax_kernel(attention_work a)
{
    after_previous();
    const int64_t t = blockIdx.y, n = keys_of((a.step ? a.step->pos : a.pos0) + t, a.window).n;
    float *s = a.scores + (t * a.n_head + blockIdx.x) * a.stride;
    const float sum = exponentials(s, s, n, shared_memory<float>());
    for (int64_t j = threadIdx.x; j < n; j += SUM_THREADS) s[j] = rounded(s[j] / sum, a.round);
}

// ---- the weighted sum -----------------------------------------------------------------------------------------------

DEV float attention_result(float sum, const attention_work &a)
{
#ifdef HALLMARK_FAULTS
    if (a.fault == GPU_FAULT_HEAD512_ZERO && a.kv.head_dim == 512) sum = 0.0f;
#endif
    return rounded(sum, a.round_out);
}

// The sum of p[j] * v[j][d] over every sixteenth key of a span from `first` on, below `end`. `at`: the position of the
// span's first key. SUM_AHEAD values of V are loaded before they are added.
template <int T>
DEV float partial_sum(const attention_work &a, const uint8_t *head, int64_t at, const float *p, int first, int end,
                      int d)
{
    int64_t slot = (at + first) % a.kv.capacity;
    float acc = 0.0f;
    for (int j = first; j < end; j += SUM_AHEAD * LANES) {
        float v[SUM_AHEAD];
#pragma unroll
        for (int i = 0; i < SUM_AHEAD; i++) {
            const int key = j + i * LANES;
            v[i] = key < end ? kv_format<T>::value(head + slot * a.kv.v.row, d / LANES, d % LANES) : 0.0f;
            // used where more than LANES keys are seen
            slot = slot + LANES < a.kv.capacity ? slot + LANES : slot + LANES - a.kv.capacity;
        }
#pragma unroll
        for (int i = 0; i < SUM_AHEAD; i++) {
            if (j + i * LANES < end) acc = fmaf(p[j + i * LANES], v[i], acc);
        }
    }
    return acc;
}

#ifdef HALLMARK_FAULTS
// Element d of the value at position `at`, as a token at `pos` sees it.
template <int T> DEV float one_value(const attention_work &a, int64_t pos, int kv_head, int64_t at, int d)
{
    const gpu_kv_side &s = a.kv.v;
    if constexpr (T == GPU_KV_MIXED) {
        return value_at(place_of(s, kv_seen_at(s, pos, a.fault), at, kv_head, a.kv.n_kv_head), s, d, a.kv.head_dim);
    } else {
        const uint8_t *head = (const uint8_t *)s.data + kv_head * (s.row / a.kv.n_kv_head);
        return kv_format<T>::value(head + at % a.kv.capacity * s.row, d / LANES, d % LANES);
    }
}

// The fault: one running sum over all keys of the span, kept in the cache's dtype.
template <int T>
DEV float careless_sum(const attention_work &a, int64_t pos, int kv_head, int64_t at, const float *p, int end, int d)
{
    const bool f16 = T == DT_F16 || (T == GPU_KV_MIXED && a.kv.v.stored == DT_F16);
    float acc = 0.0f;
    for (int j = 0; j < end; j++) {
        acc = fmaf(p[j], one_value<T>(a, pos, kv_head, at + j, d), acc);
        acc = f16 ? f32_of_f16(f16_of_f32(acc)) : round_bf16(acc);
    }
    return acc;
}
#endif

// out[t][h][d] = sum over keys j of p[j] * v[j][d]: one block for SUM_DIMS dimensions and one span of keys; a warp is a
// partial sum, a lane a dimension
//   grid: (runs of SUM_DIMS dimensions, heads, tokens x n_spans)
//   shared: sixteen rows of SUM_DIMS floats; FUSED: EXPONENTIALS_SHARED, then all keys
// FUSED: scores are still scores, and the block makes their softmax first: for one token that is quicker than another
// launch.
// Several spans: the span's sum goes to parts, and join_spans_kernel follows.
// Numerics: key j goes to partial sum j % 16 of its span by fmaf, ascending; joined by the tree of join_lanes.
// Twin: attend in runtime/cpu/kernels.inc.
template <int T, bool FUSED> __global__ __launch_bounds__(SUM_THREADS) void weighted_sum_kernel(attention_work a)
{
    after_previous();
    float *rows = shared_memory<float>(), *scratch = rows + LANES * SUM_DIMS, *e = scratch + EXPONENTIALS_SHARED;
    const int tid = (int)threadIdx.x, lane = tid % WARP, chain = tid / WARP, hd = a.kv.head_dim, h = (int)blockIdx.y;
    const int d = (int)blockIdx.x * SUM_DIMS + lane;
    const int64_t t = (int)blockIdx.z / a.n_spans, span = (int)blockIdx.z % a.n_spans,
                  span_key = span * (int)GPU_KEY_SPAN;
    const int64_t pos = (a.step ? a.step->pos : a.pos0) + t;
    const visible seen = keys_of(pos, a.window);
    if (span_key >= seen.n) return;             // the whole block
    const int n = seen.n - span_key < GPU_KEY_SPAN ? (int)(seen.n - span_key) : (int)GPU_KEY_SPAN;
    const float *p = a.scores + (t * a.n_head + h) * a.stride;
    if (FUSED) {
        const float sum = exponentials(e, p, seen.n, scratch);
        for (int j = tid; j < n; j += SUM_THREADS) e[span_key + j] = rounded(e[span_key + j] / sum, a.round);
        __syncthreads();
        p = e;
    }
    const int64_t at = seen.lo + span_key;
    const int kv_head = h / a.group;
    float *mine = &rows[chain * SUM_DIMS + lane];
    if constexpr (T == GPU_KV_MIXED) {
        const kv_seen whole = kv_seen_at(a.kv.v, pos, a.fault);
        *mine = d < hd ? mixed_sum(a.kv, whole, kv_head, at, p + span_key, chain, n, d) : 0.0f;
    } else {
        const uint8_t *head = (const uint8_t *)a.kv.v.data + kv_head * (a.kv.v.row / a.kv.n_kv_head);
        *mine = d < hd ? partial_sum<T>(a, head, at, p + span_key, chain, n, d) : 0.0f;
    }
#ifdef HALLMARK_FAULTS
    if (a.fault == GPU_FAULT_FUSED_SUM_KV_DTYPE)
        *mine = chain == 0 && d < hd ? careless_sum<T>(a, pos, kv_head, at, p + span_key, n, d) : 0.0f;
#endif
    for (int half = LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (chain < half) rows[tid] = rows[tid] + rows[tid + half * SUM_DIMS];
    }
    if (chain != 0 || d >= hd) return;
    if (a.n_spans == 1) a.out[(t * a.n_head + h) * hd + d] = attention_result(rows[lane], a);
    else                a.parts[((t * a.n_head + h) * a.n_spans + span) * hd + d] = rows[lane];
}

// out[t][h][d] = the sums of the token's spans, in ascending order
//   grid: (runs of JOIN_THREADS dimensions, heads, tokens)
enum { JOIN_THREADS = 128, JOIN_AHEAD = 8 };
__global__ __launch_bounds__(JOIN_THREADS) void join_spans_kernel(attention_work a)
{
    after_previous();
    const int hd = a.kv.head_dim, d = (int)(blockIdx.x * JOIN_THREADS + threadIdx.x), h = (int)blockIdx.y;
    const int64_t t = blockIdx.z,
                  n = (keys_of((a.step ? a.step->pos : a.pos0) + t, a.window).n + GPU_KEY_SPAN - 1) / GPU_KEY_SPAN;
    if (d >= hd) return;
    const float *part = a.parts + (t * a.n_head + h) * a.n_spans * hd + d;
    float sum = part[0];
    for (int64_t first = 1; first < n; first += JOIN_AHEAD) {
        float v[JOIN_AHEAD];
#pragma unroll
        for (int i = 0; i < JOIN_AHEAD; i++) v[i] = first + i < n ? part[(first + i) * hd] : 0.0f;
#pragma unroll
        for (int i = 0; i < JOIN_AHEAD; i++)
            if (first + i < n) sum = sum + v[i];
    }
    a.out[(t * a.n_head + h) * hd + d] = attention_result(sum, a);
}

// ===== launchers =====================================================================================================

// Floats between the scores of two heads: the keys that a token may ever see.
static int64_t score_stride(const gpu_kv *kv, int64_t window)
{
    const int64_t most = window > 0 && window < kv->capacity ? window : kv->capacity;
    return ceil_div(most, LANES) * LANES;
}

extern "C" int64_t cuda_attention_scratch(const gpu_kv *kv, int n_head, int64_t window)
{
    const int64_t stride = score_stride(kv, window), spans = ceil_div(stride, GPU_KEY_SPAN);
    return n_head * (stride + (spans > 1 ? spans * kv->head_dim : 0));
}

template <int T> static bool run_scores(const gpu_ctx *c, const attention_work *w, gpu_dim grid, err *e)
{
    const gpu_dim block = dims(SCORE_THREADS);
    const int groups = (int)ceil_div(w->kv.head_dim, LANES);
    if (groups <= 4) return LAUNCH(c->g, e, "scores", grid, block, 0, (scores_kernel<T, 4>))(*w);
    if (groups <= 8) return LAUNCH(c->g, e, "scores", grid, block, 0, (scores_kernel<T, 8>))(*w);
    if (groups <= 16) return LAUNCH(c->g, e, "scores", grid, block, 0, (scores_kernel<T, 16>))(*w);
    return LAUNCH(c->g, e, "scores", grid, block, 0, (scores_kernel<T, 32>))(*w);
}

template <int T>
static bool run_sums(const gpu_ctx *c, const attention_work *w, int n, bool fused, int64_t most_keys, err *e)
{
    const gpu_dim grid = dims(ceil_div(w->kv.head_dim, SUM_DIMS), w->n_head, (int64_t)n * w->n_spans),
                  block = dims(SUM_THREADS);
    const size_t rows = LANES * SUM_DIMS * sizeof(float),
                 more = (size_t)(EXPONENTIALS_SHARED + most_keys) * sizeof(float);
    if (fused)
        return LAUNCH(c->g, e, "softmax and weighted sum", grid, block, rows + more,
                      (weighted_sum_kernel<T, true>))(*w);
    return LAUNCH(c->g, e, "weighted_sum", grid, block, rows, (weighted_sum_kernel<T, false>))(*w);
}

// most_keys: what the last token sees, or may see when the step is replayed.
static bool run_attention(const gpu_ctx *c, const attention_work *w, int n, int64_t most_keys, err *e)
{
    const int64_t most_runs = 256;      // beyond that blocks take several keys each
    const int64_t runs = ceil_div(most_keys, SCORE_KEYS) < most_runs ? ceil_div(most_keys, SCORE_KEYS) : most_runs;
    const gpu_dim score_grid = dims(runs, w->kv.n_kv_head, n), heads = dims(w->n_head, n);
    const bool fused = n == 1 && most_keys <= FUSED_KEYS;
    bool ok = false;
    if (w->kv.k.type == GPU_KV_MIXED && !can_read(&w->kv.k)) return unknown_kv(w->kv.k.stored, e);
    if (w->kv.v.type == GPU_KV_MIXED && !can_read(&w->kv.v)) return unknown_kv(w->kv.v.stored, e);
    switch (w->kv.k.type) {
#define ROW(T) case T: ok = run_scores<T>(c, w, score_grid, e); break;
    FOR_KV_TYPES(ROW)
    ROW(GPU_KV_MIXED)
#undef ROW
    default: return unknown_kv(w->kv.k.type, e);
    }
    if (ok && !fused)
        ok = LAUNCH(c->g, e, "softmax", heads, dims(SUM_THREADS), EXPONENTIALS_SHARED * sizeof(float),
                    (softmax_kernel))(*w);
    switch (w->kv.v.type) {
#define ROW(T) case T: ok = ok && run_sums<T>(c, w, n, fused, most_keys, e); break;
    FOR_KV_TYPES(ROW)
    ROW(GPU_KV_MIXED)
#undef ROW
    default: return unknown_kv(w->kv.v.type, e);
    }
    const gpu_dim grid = dims(ceil_div(w->kv.head_dim, JOIN_THREADS), w->n_head, n);
    return ok &&
           (w->n_spans == 1 || LAUNCH(c->g, e, "join_spans", grid, dims(JOIN_THREADS), 0, (join_spans_kernel))(*w));
}

extern "C" bool cuda_attention(const gpu_ctx *c, const gpu_attention *a, err *e)
{
    if (a->kv.head_dim < 1 || a->kv.head_dim > GPU_MAX_HEAD)
        return err_set(e, ERR_SYSTEM, "device cuda: attention heads of %d, expected 1 to %d", a->kv.head_dim,
                       (int)GPU_MAX_HEAD);
    if (a->kv.n_kv_head < 1 || a->n_head % a->kv.n_kv_head != 0 || a->n_head > 65535 || a->n > 65535)
        return err_set(e, ERR_SYSTEM, "device cuda: attention of %d heads over %d K/V heads, %d tokens", a->n_head,
                       a->kv.n_kv_head, a->n);
    attention_work w = {};
    w.q = a->q;
    w.out = a->out;
    w.scores = a->scores;
    w.kv = a->kv;
    w.n_head = a->n_head;
    w.group = a->n_head / a->kv.n_kv_head;
    w.pos0 = a->pos0;
    w.window = a->window;
    w.stride = score_stride(&a->kv, a->window);
    w.parts = a->scores + (int64_t)a->n * a->n_head * w.stride;
    w.scale = a->scale;
    w.softcap = a->softcap;
    w.step = c->step;
    w.round = c->round;
    w.round_out = c->round && !a->unrounded;
    w.fault = c->fault;
    int64_t most = w.stride;                    // of a recorded step the position is not known yet
    if (!c->step && a->pos0 + a->n < most) most = a->pos0 + a->n;
    w.n_spans = (int)ceil_div(most, GPU_KEY_SPAN);
    if ((int64_t)a->n * w.n_spans > 65535)
        return err_set(e, ERR_SYSTEM, "device cuda: attention of %d tokens over %lld keys is larger than the grid",
                       a->n, (long long)most);
    return run_attention(c, &w, a->n, most, e);
}
