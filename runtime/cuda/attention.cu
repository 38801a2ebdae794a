// attention: storing K and V in the cache's dtype, and scores, softmax and weighted sum over what is stored. See kernels.h.
//
// Everything between the cache and the result is F32, in the CPU's order, so that the bits do not depend on how the work is
// split: scores are independent of each other and spread over keys; the softmax of one head is one block; the weighted sum adds
// key after key for every dimension and spreads over dimensions.
#include "../../quant/blocks.h"
#include "kernels.h"
#include "launch.cuh"
#include "norm.cuh"
#ifdef HALLMARK_FAULTS
// Values of `fault` in backend.h that change a kernel; backend_cuda.c asserts that they agree.
enum { GPU_FAULT_SCORES_BF16 = 2, GPU_FAULT_HEAD512_ZERO = 3, GPU_FAULT_FUSED_SUM_KV_DTYPE = 8 };
#endif

// ---- storing ---------------------------------------------------------------------------------------------------------

DEV float magnitude(float x) { return fabsf(x); }
DEV bool  is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

// As truncate_x86 in quant/codec_impl.h.
DEV int32_t truncated(float v) { return v > -2147483648.0f && v < 2147483648.0f ? (int32_t)v : INT32_MIN; }

// As round_away in quant/codec_legacy.c.
DEV int8_t rounded_away(float v)
{
    const bool in_range = magnitude(v) < 1e6f;
    const int32_t t = in_range ? (int32_t)v : 0;
    const float rest = in_range ? v - (float)t : 0.0f;
    return (int8_t)(t + (rest >= 0.5f) - (rest <= -0.5f));
}

// Block of 32 floats to Q8_0; false when it cannot be stored. The operations of q8_0_encode_row.
DEV bool store_q8_0(uint8_t *dst, const float *x)
{
    float max = 0.0f;
    bool finite = true;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const float a = magnitude(x[i]);
        finite = finite && is_finite(a);
        max = max > a ? max : a;
    }
    const float scale = max / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    const uint16_t bits = f16_of_f32(scale);
    q8_0_block *b = reinterpret_cast<q8_0_block *>(dst);
    b->scale = bits;
    for (int i = 0; i < QUANT_BLOCK; i++) b->q[i] = rounded_away(x[i] * inverse);
    return finite && (bits & 0x7c00) != 0x7c00;
}

// The operations of q4_0_encode_row without importance: the extreme value becomes code 0.
DEV bool store_q4_0(uint8_t *dst, const float *x)
{
    float max = 0.0f, extreme = 0.0f;
    bool finite = true;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        const float a = magnitude(x[i]);
        finite = finite && is_finite(a);
        if (max < a) { max = a; extreme = x[i]; }
    }
    const float scale = extreme / -8.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    const uint16_t bits = f16_of_f32(scale);
    q4_0_block *b = reinterpret_cast<q4_0_block *>(dst);
    b->scale = bits;
    for (int i = 0; i < QUANT_BLOCK / 2; i++) {
        const int8_t lo = (int8_t)truncated(x[i] * inverse + 8.5f), hi = (int8_t)truncated(x[i + QUANT_BLOCK / 2] * inverse + 8.5f);
        b->q[i] = (uint8_t)(((lo < 15 ? lo : 15) & 15) | ((hi < 15 ? hi : 15) & 15) << 4);
    }
    return finite && (bits & 0x7c00) != 0x7c00;
}

// One unit (a block of 32 of Q8_0 and Q4_0, an element of the others) of a row of the cache; false when it cannot be stored.
// Twin: encode_row of quant/codec.h; same bytes.
template <int T> struct unit { enum { width = T == DT_Q8_0 || T == DT_Q4_0 ? QUANT_BLOCK : 1 }; };

template <int T> DEV bool store_unit(uint8_t *row, int64_t u, const float *x)
{
    if (T == DT_F32) reinterpret_cast<float *>(row)[u] = *x;
    if (T == DT_BF16) reinterpret_cast<uint16_t *>(row)[u] = bf16_of_f32(*x);
    if (T == DT_F16) reinterpret_cast<uint16_t *>(row)[u] = f16_of_f32(*x);
    if (T == DT_Q8_0) return store_q8_0(row + u * (int64_t)sizeof(q8_0_block), x);
    if (T == DT_Q4_0) return store_q4_0(row + u * (int64_t)sizeof(q4_0_block), x);
    return true;
}

// Rows of K (blockIdx.y 0) and V (1) to their slots, one thread a unit.
//   k, v: [n][n_kv_head * head_dim]
// A value that the type cannot hold leaves its position in state->bad_kv: the host then stops with a message.
template <int T> __global__ __launch_bounds__(128)
void kv_store_kernel(gpu_kv kv, const float *k, const float *v, int64_t n_units, int units_per_row, int64_t pos0, const gpu_step *step, gpu_step *state)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n_units) return;
    const int64_t t = i / units_per_row, u = i % units_per_row, pos = (step ? step->pos : pos0) + t;
    uint8_t *row = (uint8_t *)(blockIdx.y == 0 ? kv.k : kv.v) + pos % kv.capacity * kv.row_bytes;
    const float *x = (blockIdx.y == 0 ? k : v) + (t * units_per_row + u) * unit<T>::width;
    if (!store_unit<T>(row, u, x)) atomicMin(&state->bad_kv, (unsigned long long)pos);
}

// ---- norm, rotation and storing of heads in one launch -----------------------------------------------------------------

enum { HEADS_THREADS = 128 };

struct heads_work {
    gpu_heads       h;
    int64_t         pos0;
    const gpu_step *step;
    gpu_step       *state;
    bool            round;
};

// dst = rotated(rms_norm(row, w)), the whole block; row, normed: [head_dim] in shared memory; normed holds the result too.
DEV void norm_rotate(float *dst, const float *row, float *normed, float *inverse, const heads_work &k, const float *w, int64_t pos)
{
    const int hd = k.h.head_dim, half = hd / 2;
    const float inv = inverse_rms(row, inverse, hd, k.h.eps), *c = k.h.table + pos * 2 * half, *s = c + half;
    for (int d = (int)threadIdx.x; d < half; d += HEADS_THREADS) {
        const float a = rounded(row[d] * inv * w[d], k.round), b = rounded(row[half + d] * inv * w[half + d], k.round);
        normed[d] = dst[d] = rounded(rounded(a * c[d], k.round) - rounded(b * s[d], k.round), k.round);
        normed[half + d] = dst[half + d] = rounded(rounded(b * c[d], k.round) + rounded(a * s[d], k.round), k.round);
    }
}

template <int T> DEV void store_head(void *cache, const float *head, const heads_work &k, int kv_head, int64_t pos)
{
    __syncthreads();
    uint8_t *row = (uint8_t *)cache + pos % k.h.kv.capacity * k.h.kv.row_bytes + kv_head * (k.h.kv.row_bytes / k.h.kv.n_kv_head);
    for (int u = (int)threadIdx.x; u < k.h.head_dim / unit<T>::width; u += HEADS_THREADS)
        if (!store_unit<T>(row, u, head + u * unit<T>::width)) atomicMin(&k.state->bad_kv, (unsigned long long)pos);
}

// What happens to heads between their product and attention, one block a head of one token: q: norm, rotation; k: norm, rotation,
// stored; v: norm without weight (v_norm), stored. q, k and v end as the separate operations leave them.
//   grid: (query heads, then K/V heads where k is given; tokens)     shared: 3 * head_dim + 1 floats
// Twin: rms_norm, rotate, kv_store.
template <int T> __global__ __launch_bounds__(HEADS_THREADS) void heads_kernel(heads_work k)
{
    const int hd = k.h.head_dim, h = (int)blockIdx.x, kv_head = h - k.h.n_head;
    const int64_t t = blockIdx.y, pos = (k.step ? k.step->pos : k.pos0) + t;
    float *row = shared_memory<float>(), *normed = row + hd, *value = normed + hd, *inverse = value + hd;
    if (kv_head < 0) {
        float *q = k.h.q + (t * k.h.n_head + h) * hd;
        for (int d = (int)threadIdx.x; d < hd; d += HEADS_THREADS) row[d] = q[d];
        norm_rotate(q, row, normed, inverse, k, k.h.q_norm, pos);
        return;
    }
    const int64_t at = (t * k.h.kv.n_kv_head + kv_head) * hd;
    for (int d = (int)threadIdx.x; d < hd; d += HEADS_THREADS) {
        row[d] = k.h.k[at + d];
        value[d] = k.h.v_from[at + d];          // may be K's projection: read before K changes
    }
    if (k.h.v_norm) {
        const float inv = inverse_rms(value, inverse, hd, k.h.eps);
        for (int d = (int)threadIdx.x; d < hd; d += HEADS_THREADS) value[d] = k.h.v[at + d] = rounded(value[d] * inv, k.round);
    }
    store_head<T>(k.h.kv.v, value, k, kv_head, pos);
    norm_rotate(k.h.k + at, row, normed, inverse, k, k.h.k_norm, pos);
    store_head<T>(k.h.kv.k, normed, k, kv_head, pos);
}

// ---- reading ---------------------------------------------------------------------------------------------------------

// Element d of one position's one head.
template <int T> DEV float kv_value(const uint8_t *head, int d)
{
    if (T == DT_F32) return __ldg(reinterpret_cast<const float *>(head) + d);
    if (T == DT_BF16) return f32_of_bf16(__ldg(reinterpret_cast<const uint16_t *>(head) + d));
    if (T == DT_F16) return f32_of_f16(__ldg(reinterpret_cast<const uint16_t *>(head) + d));
    if (T == DT_Q8_0) {
        const uint8_t *b = head + d / QUANT_BLOCK * (int)sizeof(q8_0_block);
        const float scale = f32_of_f16(__ldg(reinterpret_cast<const uint16_t *>(b)));
        return scale * (float)(int8_t)__ldg(b + 2 + d % QUANT_BLOCK);
    }
    const uint8_t *b = head + d / QUANT_BLOCK * (int)sizeof(q4_0_block);
    const float scale = f32_of_f16(__ldg(reinterpret_cast<const uint16_t *>(b)));
    const uint32_t q = __ldg(b + 2 + d % (QUANT_BLOCK / 2));
    return scale * f32_of_code((d % QUANT_BLOCK < QUANT_BLOCK / 2 ? q : q >> 4) & 15, 8.0f);
}

struct visible { int64_t lo, n; };          // keys lo .. lo + n - 1 are seen

DEV visible keys_of(int64_t pos, int64_t window)
{
    const int64_t lo = window > 0 && pos - window + 1 > 0 ? pos - window + 1 : 0;
    return { lo, pos - lo + 1 };
}

struct attention_work {
    const float    *q;
    float          *out, *scores;
    gpu_kv          kv;
    int             n_head, group;          // group: query heads that share a K/V head
    int64_t         pos0, window, stride;   // stride: floats between the scores of two heads
    float           scale, softcap;
    const gpu_step *step;
    bool            round;
    int             fault;
};

enum { SCORE_THREADS = 128, SCORE_KEYS = SCORE_THREADS / LANES, SOFTMAX_THREADS = 256, SUM_THREADS = 32, SUM_AHEAD = 8 };

// scores[t][h][j] = q . k of key lo + j, scaled and soft-capped
//   grid: (runs of keys, K/V heads, tokens); a half-warp takes a key for all query heads of its group, then the key
//   gridDim.x * SCORE_KEYS further on: the grid need not know how many keys there are
// Numerics: sixteen partial sums over the head, joined by join_lanes; rounded; then scale and soft-capping, each step rounded.
// Must match: eager_attention_forward. Twin: dot and attend in runtime/cpu/kernels.inc.
template <int T, int GROUPS> __global__ __launch_bounds__(SCORE_THREADS, GROUPS > 16 ? 2 : GROUPS > 8 ? 3 : 4) void scores_kernel(attention_work a)
{
    const int l = (int)threadIdx.x % LANES, hd = a.kv.head_dim, kv_head = (int)blockIdx.y;
    const int64_t t = blockIdx.z, pos = (a.step ? a.step->pos : a.pos0) + t;
    const visible seen = keys_of(pos, a.window);
    const int64_t head_off = kv_head * (a.kv.row_bytes / a.kv.n_kv_head), step = (int64_t)gridDim.x * SCORE_KEYS;
    const int64_t mine = (int64_t)blockIdx.x * SCORE_KEYS + (int)threadIdx.x / LANES;
    // Both halves of a warp make the same number of turns: they meet in join_lanes.
    for (int64_t j = mine; j - (mine & 1) < seen.n; j += step) {
        const bool active = j < seen.n;
        const uint8_t *head = (const uint8_t *)a.kv.k + (seen.lo + (active ? j : 0)) % a.kv.capacity * a.kv.row_bytes + head_off;
        float k[GROUPS];
#pragma unroll
        for (int g = 0; g < GROUPS; g++) k[g] = g * LANES + l < hd ? kv_value<T>(head, g * LANES + l) : 0.0f;
        for (int h = kv_head * a.group; h < (kv_head + 1) * a.group; h++) {
            const float *q = a.q + (t * a.n_head + h) * hd;
            float acc = 0.0f;
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
                if (g * LANES + l < hd) acc = fmaf(__ldg(q + g * LANES + l), k[g], acc);
            float s = rounded(join_lanes(acc), a.round);
#ifdef HALLMARK_FAULTS
            if (a.fault == GPU_FAULT_SCORES_BF16) {
                s = 0.0f;
                for (int d = 0; d < hd; d++) s = round_bf16(s + q[d] * kv_value<T>(head, d));
            }
#endif
            if (a.scale != 1.0f) s = rounded(s * a.scale, a.round);
            if (a.softcap != 0.0f) s = softcap_twin(s, a.softcap, a.round);
            if (active && l == 0) a.scores[(t * a.n_head + h) * a.stride + j] = s;
        }
    }
}

// scores[t][h] = softmax(scores[t][h]) in place, one block a head and token
//   grid: (heads, tokens)     shared: SOFTMAX_THREADS floats
// Numerics: F32; the sum is sixteen partial sums over keys j % 16 in ascending order, joined by join_lanes; each quotient rounded once.
// Twin: softmax in runtime/cpu/kernels.inc.
__global__ __launch_bounds__(SOFTMAX_THREADS) void softmax_kernel(attention_work a)
{
    float *all = shared_memory<float>();
    const int tid = (int)threadIdx.x;
    const int64_t t = blockIdx.y, pos = (a.step ? a.step->pos : a.pos0) + t;
    const int64_t n = keys_of(pos, a.window).n;
    float *s = a.scores + (t * a.n_head + blockIdx.x) * a.stride;

    float top = -INFINITY;
    for (int64_t j = tid; j < n; j += SOFTMAX_THREADS) top = s[j] > top ? s[j] : top;      // the order of a maximum does not matter
    all[tid] = top;
    __syncthreads();
    for (int half = SOFTMAX_THREADS / 2; half > 0; half /= 2) {
        if (tid < half) all[tid] = all[tid] > all[tid + half] ? all[tid] : all[tid + half];
        __syncthreads();
    }
    top = all[0];
    for (int64_t j = tid; j < n; j += SOFTMAX_THREADS) s[j] = exp_twin(s[j] - top);
    __syncthreads();
    if (tid < WARP) {
        float acc = 0.0f;
        if (tid < LANES)
#pragma unroll 8
            for (int64_t j = tid; j < n; j += LANES) acc = acc + s[j];
        acc = join_lanes(acc);
        if (tid == 0) all[0] = acc;
    }
    __syncthreads();
    const float sum = all[0];
    for (int64_t j = tid; j < n; j += SOFTMAX_THREADS) s[j] = rounded(s[j] / sum, a.round);
}

// out[t][h][d] = sum over keys j of p[j] * v[j][d], key after key by fmaf, one thread a dimension
//   grid: (runs of SUM_THREADS dimensions, heads, tokens)
// SUM_AHEAD values of V are loaded before they are added. Twin: weighted_add and attend in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(SUM_THREADS) void weighted_sum_kernel(attention_work a)
{
    const int hd = a.kv.head_dim, d = (int)(blockIdx.x * SUM_THREADS + threadIdx.x), h = (int)blockIdx.y;
    const int64_t t = blockIdx.z, pos = (a.step ? a.step->pos : a.pos0) + t;
    const visible seen = keys_of(pos, a.window);
    if (d >= hd) return;
    const uint8_t *base = (const uint8_t *)a.kv.v + h / a.group * (a.kv.row_bytes / a.kv.n_kv_head);
    const float *p = a.scores + (t * a.n_head + h) * a.stride;
    int64_t slot = seen.lo % a.kv.capacity;
    float acc = 0.0f;
    for (int64_t j = 0; j < seen.n; j += SUM_AHEAD) {
        float v[SUM_AHEAD], w[SUM_AHEAD];
#pragma unroll
        for (int i = 0; i < SUM_AHEAD; i++) {
            const bool there = j + i < seen.n;
            w[i] = there ? p[j + i] : 0.0f;
            v[i] = there ? kv_value<T>(base + slot * a.kv.row_bytes, d) : 0.0f;
            slot = slot + 1 < a.kv.capacity ? slot + 1 : 0;
        }
#pragma unroll
        for (int i = 0; i < SUM_AHEAD; i++) {
            if (j + i < seen.n) acc = fmaf(w[i], v[i], acc);
#ifdef HALLMARK_FAULTS
            if (a.fault == GPU_FAULT_FUSED_SUM_KV_DTYPE && j + i < seen.n) acc = T == DT_F16 ? f32_of_f16(f16_of_f32(acc)) : round_bf16(acc);
#endif
        }
    }
#ifdef HALLMARK_FAULTS
    if (a.fault == GPU_FAULT_HEAD512_ZERO && hd == 512) acc = 0.0f;
#endif
    a.out[(t * a.n_head + h) * hd + d] = rounded(acc, a.round);
}

// ===== launchers ======================================================================================================

#define FOR_KV_TYPES(X) X(DT_F32) X(DT_BF16) X(DT_F16) X(DT_Q8_0) X(DT_Q4_0)

static bool unknown_kv(dtype t, err *e) { return err_set(e, ERR_SYSTEM, "device cuda: no kernel for a KV cache of type %s", dtype_name(t)); }

extern "C" bool cuda_kv_store(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int n, int64_t pos0, err *e)
{
    const int width = kv->type == DT_Q8_0 || kv->type == DT_Q4_0 ? QUANT_BLOCK : 1, per_row = kv->n_kv_head * kv->head_dim / width;
    const int64_t units = (int64_t)n * per_row;
    if (units == 0) return true;
    switch (kv->type) {
#define ROW(T) case T: return LAUNCH(c->g, e, "kv_store", dims(ceil_div(units, 128), 2), dims(128), 0, (kv_store_kernel<T>))(*kv, k, v, units, per_row, pos0, c->step, c->state);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(kv->type, e);
    }
}

extern "C" bool cuda_heads(const gpu_ctx *c, const gpu_heads *h, int n, int64_t pos0, err *e)
{
    if (h->head_dim < 2 || h->head_dim % 2 != 0 || n > 65535) return err_set(e, ERR_SYSTEM, "device cuda: %d heads of %d, %d tokens", h->n_head, h->head_dim, n);
    heads_work w = {};
    w.h = *h;
    w.pos0 = pos0;
    w.step = c->step;
    w.state = c->state;
    w.round = c->round;
    const gpu_dim grid = dims(h->n_head + (h->k ? h->kv.n_kv_head : 0), n);
    const size_t shared = (size_t)(3 * h->head_dim + 1) * sizeof(float);
    switch (h->k ? h->kv.type : DT_F32) {
#define ROW(T) case T: return LAUNCH(c->g, e, "heads", grid, dims(HEADS_THREADS), shared, (heads_kernel<T>))(w);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(h->kv.type, e);
    }
}

extern "C" int64_t cuda_attention_stride(const gpu_kv *kv, int64_t window)
{
    const int64_t most = window > 0 && window < kv->capacity ? window : kv->capacity;
    return ceil_div(most, LANES) * LANES;
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

static bool run_attention(const gpu_ctx *c, const attention_work *w, int n, int64_t most_keys, err *e)
{
    const int64_t most_runs = 256;      // beyond that blocks take several keys each
    const int64_t runs = ceil_div(most_keys, SCORE_KEYS) < most_runs ? ceil_div(most_keys, SCORE_KEYS) : most_runs;
    const gpu_dim score_grid = dims(runs, w->kv.n_kv_head, n), sum_grid = dims(ceil_div(w->kv.head_dim, SUM_THREADS), w->n_head, n);
    switch (w->kv.type) {
#define ROW(T) case T: if (!run_scores<T>(c, w, score_grid, e)) return false; break;
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(w->kv.type, e);
    }
    if (!LAUNCH(c->g, e, "softmax", dims(w->n_head, n), dims(SOFTMAX_THREADS), SOFTMAX_THREADS * sizeof(float), (softmax_kernel))(*w)) return false;
    switch (w->kv.type) {
#define ROW(T) case T: return LAUNCH(c->g, e, "weighted_sum", sum_grid, dims(SUM_THREADS), 0, (weighted_sum_kernel<T>))(*w);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(w->kv.type, e);
    }
}

extern "C" bool cuda_attention(const gpu_ctx *c, const gpu_attention *a, err *e)
{
    if (a->kv.head_dim < 1 || a->kv.head_dim > GPU_MAX_HEAD)
        return err_set(e, ERR_SYSTEM, "device cuda: attention heads of %d, expected 1 to %d", a->kv.head_dim, (int)GPU_MAX_HEAD);
    if (a->kv.n_kv_head < 1 || a->n_head % a->kv.n_kv_head != 0 || a->n_head > 65535 || a->n > 65535)
        return err_set(e, ERR_SYSTEM, "device cuda: attention of %d heads over %d K/V heads, %d tokens", a->n_head, a->kv.n_kv_head, a->n);
    attention_work w = {};
    w.q = a->q;
    w.out = a->out;
    w.scores = a->scores;
    w.kv = a->kv;
    w.n_head = a->n_head;
    w.group = a->n_head / a->kv.n_kv_head;
    w.pos0 = a->pos0;
    w.window = a->window;
    w.stride = cuda_attention_stride(&a->kv, a->window);
    w.scale = a->scale;
    w.softcap = a->softcap;
    w.step = c->step;
    w.round = c->round;
    w.fault = c->fault;
    int64_t most = w.stride;                    // of a recorded step the position is not known yet
    if (!c->step && a->pos0 + a->n < most) most = a->pos0 + a->n;
    return run_attention(c, &w, a->n, most, e);
}
