// cache: storing K and V in the cache's dtype, alone or with the norms and rotations before it. See kernels.h.
#include "../../quant/blocks.h"
#include "kernels.h"
#include "kv_types.cuh"
#include "dev.cuh"
#include "../../quant/cuda/launch.cuh"
#include "norm.cuh"

// ---- storing ---------------------------------------------------------------------------------------------------------

DEV float magnitude(float x) { return fabsf(x); }
DEV bool  is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

// As truncate_x86 in quant/scalar.h.
DEV int32_t truncated(float v) { return v > -2147483648.0f && v < 2147483648.0f ? (int32_t)v : INT32_MIN; }

// As round_away in quant/codec_scalar.h.
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
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n_units) return;
    const int64_t t = i / units_per_row, u = i % units_per_row, pos = (step ? step->pos : pos0) + t;
    uint8_t *row = (uint8_t *)(blockIdx.y == 0 ? kv.k : kv.v) + pos % kv.capacity * kv.row_bytes;
    const float *x = (blockIdx.y == 0 ? k : v) + (t * units_per_row + u) * unit<T>::width;
    if (!store_unit<T>(row, u, x)) atomicMin(&state->bad_kv, (unsigned long long)pos);
}

// ---- norm, rotation and storing of heads in one launch -----------------------------------------------------------------

enum { HEADS_THREADS = 256 };           // a pair each of heads up to 512

struct heads_work {
    gpu_heads       h;
    int64_t         pos0;
    const gpu_step *step;
    gpu_step       *state;
    bool            round;
};

// A pair's weights and angle; those of the thread's first pair are read before the head's norm, so that nobody waits for them behind it.
struct head_pair { float w_low, w_high, cosine, sine; };

DEV head_pair pair_weights(const float *w, int half, int d)
{
    head_pair p = { 0.0f, 0.0f, 0.0f, 0.0f };
    if (d < half) { p.w_low = w[d]; p.w_high = w[half + d]; }
    return p;
}

DEV void pair_angle(head_pair *p, const float *table, int64_t pos, int half, int d)
{
    const float *c = table + pos * 2 * half;
    if (d < half) { p->cosine = c[d]; p->sine = c[half + d]; }
}

// dst = rotated(rms_norm(row, w)), the whole block; row, normed: [norm_floats(head_dim)] in shared memory; normed holds the result too.
DEV void norm_rotate(float *dst, const float *row, float *normed, float *inverse, const heads_work &k, head_pair p, const float *w, int64_t pos)
{
    const int hd = k.h.head_dim, half = hd / 2;
    const float inv = inverse_rms(row, inverse, hd, k.h.eps);
    for (int d = (int)threadIdx.x; d < half; d += HEADS_THREADS) {
        if (d >= HEADS_THREADS) {
            p = pair_weights(w, half, d);
            pair_angle(&p, k.h.table, pos, half, d);
        }
        const float a = rounded(row[d] * inv * p.w_low, k.round), b = rounded(row[half + d] * inv * p.w_high, k.round);
        normed[d] = dst[d] = rounded(rounded(a * p.cosine, k.round) - rounded(b * p.sine, k.round), k.round);
        normed[half + d] = dst[half + d] = rounded(rounded(b * p.cosine, k.round) + rounded(a * p.sine, k.round), k.round);
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
//   grid: (query heads, then K/V heads where k is given; tokens)     shared: 3 * norm_floats(head_dim) + 1 floats
// Twin: rms_norm, rotate, kv_store.
template <int T> __global__ __launch_bounds__(HEADS_THREADS) void heads_kernel(heads_work k)
{
    const int hd = k.h.head_dim, h = (int)blockIdx.x, kv_head = h - k.h.n_head, tid = (int)threadIdx.x;
    const float *w = kv_head < 0 ? k.h.q_norm : k.h.k_norm;
    head_pair pair = pair_weights(w, hd / 2, tid);
    float *row = shared_memory<float>(), *normed = row + norm_floats(hd), *value = normed + norm_floats(hd), *inverse = value + norm_floats(hd);
    after_previous();
    const int64_t t = blockIdx.y, pos = (k.step ? k.step->pos : k.pos0) + t;
    pair_angle(&pair, k.h.table, pos, hd / 2, tid);
    if (kv_head < 0) {
        float *q = k.h.q + (t * k.h.n_head + h) * hd;
        for (int d = tid; d < norm_floats(hd); d += HEADS_THREADS) row[d] = d < hd ? q[d] : 0.0f;
        norm_rotate(q, row, normed, inverse, k, pair, w, pos);
        return;
    }
    const int64_t at = (t * k.h.kv.n_kv_head + kv_head) * hd;
    for (int d = tid; d < norm_floats(hd); d += HEADS_THREADS) {
        row[d] = d < hd ? k.h.k[at + d] : 0.0f;
        value[d] = d < hd ? k.h.v_from[at + d] : 0.0f;      // may be K's projection: read before K changes
    }
    if (k.h.v_norm) {
        const float inv = inverse_rms(value, inverse, hd, k.h.eps);
        for (int d = tid; d < hd; d += HEADS_THREADS) value[d] = k.h.v[at + d] = rounded(value[d] * inv, k.round);
    }
    store_head<T>(k.h.kv.v, value, k, kv_head, pos);
    norm_rotate(k.h.k + at, row, normed, inverse, k, pair, w, pos);
    store_head<T>(k.h.kv.k, normed, k, kv_head, pos);
}

// ===== launchers ======================================================================================================

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
    const size_t shared = (size_t)(3 * ceil_div(h->head_dim, NORM_RUN) * NORM_RUN + 1) * sizeof(float);
    switch (h->k ? h->kv.type : DT_F32) {
#define ROW(T) case T: return LAUNCH(c->g, e, "heads", grid, dims(HEADS_THREADS), shared, (heads_kernel<T>))(w);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(h->kv.type, e);
    }
}
