// cache: storing K and V in the cache's dtype, alone or with the norms and rotations before it. See kernels.h.
#include "kernels.h"
#include "kv_formats.cuh"
#include "dev.cuh"
#include "../../device/launch.cuh"
#include "norm.cuh"

// ---- storing --------------------------------------------------------------------------------------------------------

// Rows of K or V to their slots, one thread a unit (kv_format<T>::width elements).
//   x: [n][n_kv_head * head_dim]     cache: [capacity][row_bytes]
// A value that the type cannot hold leaves its position in state->bad_kv: the host then stops with a message.
template <int T>
DEV void store_unit_of(void *cache, int64_t row_bytes, const gpu_kv &kv, const float *x, int64_t i, int units_per_row,
                       int64_t pos0, gpu_step *state)
{
    const int64_t t = i / units_per_row, u = i % units_per_row, pos = pos0 + t;
    uint8_t *row = (uint8_t *)cache + pos % kv.capacity * row_bytes;
    if (!kv_format<T>::store(row, u, x + i * kv_format<T>::width)) atomicMin(&state->bad_kv, (unsigned long long)pos);
}

// K (blockIdx.y 0) and V (1) of one type.
template <int T>
__global__ __launch_bounds__(128) void kv_store_kernel(gpu_kv kv, const float *k, const float *v, int64_t n_units,
                                                       int units_per_row, int64_t pos0, const gpu_step *step,
                                                       gpu_step *state)
{
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, from = step ? step->pos : pos0;
    if (i >= n_units) return;
    if (blockIdx.y == 0) store_unit_of<T>(kv.k.data, kv.k.row, kv, k, i, units_per_row, from, state);
    else                 store_unit_of<T>(kv.v.data, kv.v.row, kv, v, i, units_per_row, from, state);
}

// ---- norm, rotation and storing of heads in one launch --------------------------------------------------------------

enum { HEADS_THREADS = 256 };           // a pair each of heads up to 512

struct heads_work {
    gpu_heads       h;
    int64_t         pos0;
    const gpu_step *step;
    gpu_step       *state;
    bool            round;
};

// A pair's weights (of low and high, the halves' elements d or the neighbours 2d and 2d + 1) and angle; those of the
// thread's first pair are read before the head's norm, so that nobody waits for them behind it.
struct head_pair { float w_low, w_high, cosine, sine; };

DEV head_pair pair_weights(const float *w, int low, int high, int half, int d)
{
    head_pair p = { 0.0f, 0.0f, 0.0f, 0.0f };
    if (w && d < half) { p.w_low = w[low]; p.w_high = w[high]; }
    return p;
}

DEV void pair_angle(head_pair *p, const float *table, int64_t pos, int half, int d)
{
    const float *c = table + pos * 2 * half;
    if (d < half) { p->cosine = c[d]; p->sine = c[half + d]; }
}

// dst = rotated(rms_norm(row, w)), w NULL: rotated(row), the whole block; behind the first `rot` floats only normed;
// row, normed: [norm_floats(head_dim)] in shared memory; normed holds the result too.
DEV void norm_rotate(float *dst, const float *row, float *normed, float *inverse, const heads_work &k, head_pair p,
                     const float *w, int64_t pos)
{
    const int hd = k.h.head_dim, half = k.h.rot / 2;
    const bool first = k.round && k.h.round_first;
    const float inv = inverse_rms(row, inverse, hd, k.h.eps);       // also a barrier: row is whole
    for (int d = (int)threadIdx.x; d < half; d += HEADS_THREADS) {
        const int low = k.h.neighbours ? 2 * d : d, high = k.h.neighbours ? 2 * d + 1 : half + d;
        if (d >= HEADS_THREADS) {
            p = pair_weights(w, low, high, half, d);
            pair_angle(&p, k.h.table, pos, half, d);
        }
        const float a = w ? rounded(rounded(row[low] * inv, first) * p.w_low, k.round) : row[low];
        const float b = w ? rounded(rounded(row[high] * inv, first) * p.w_high, k.round) : row[high];
        normed[low] = dst[low] = rounded(rounded(a * p.cosine, k.round) - rounded(b * p.sine, k.round), k.round);
        normed[high] = dst[high] = rounded(rounded(b * p.cosine, k.round) + rounded(a * p.sine, k.round), k.round);
    }
    for (int d = k.h.rot + (int)threadIdx.x; d < hd; d += HEADS_THREADS)
        normed[d] = dst[d] = w ? rounded(rounded(row[d] * inv, first) * w[d], k.round) : row[d];
}

// K and V are of one type here, and so are their rows.
template <int T> DEV void store_row(void *cache, const float *head, const heads_work &k, int kv_head, int64_t pos)
{
    enum { width = kv_format<T>::width };
    __syncthreads();
    const gpu_kv &kv = k.h.kv;
    uint8_t *row = (uint8_t *)cache + pos % kv.capacity * kv.k.row + kv_head * (kv.k.row / kv.n_kv_head);
    for (int u = (int)threadIdx.x; u < k.h.head_dim / width; u += HEADS_THREADS)
        if (!kv_format<T>::store(row, u, head + u * width)) atomicMin(&k.state->bad_kv, (unsigned long long)pos);
}

// Of a mixed cache nothing is stored here.
template <int T> DEV void store_head(void *cache, const float *head, const heads_work &k, int kv_head, int64_t pos)
{
    if constexpr (T != GPU_KV_MIXED) store_row<T>(cache, head, k, kv_head, pos);
}

// What happens to heads between their product and attention, one block a head of one token: q: norm, rotation; k: norm,
// rotation, stored; v: norm without weight (v_norm), stored. q, k and v end as the separate operations leave them.
//   grid: (query heads, then K/V heads where k is given; tokens)     shared: 3 * norm_floats(head_dim) + 1 floats
// Twin: rms_norm, rotate or rotate_pairs, kv_store.
template <int T> __global__ __launch_bounds__(HEADS_THREADS) void heads_kernel(heads_work k)
{
    const int hd = k.h.head_dim, half = k.h.rot / 2, h = (int)blockIdx.x, kv_head = h - k.h.n_head;
    const int tid = (int)threadIdx.x;
    const float *w = kv_head < 0 ? k.h.q_norm : k.h.k_norm;
    const int low = k.h.neighbours ? 2 * tid : tid, high = k.h.neighbours ? 2 * tid + 1 : half + tid;
    head_pair pair = pair_weights(w, low, high, half, tid);
    float *row = shared_memory<float>(), *normed = row + norm_floats(hd), *value = normed + norm_floats(hd),
          *inverse = value + norm_floats(hd);
    after_previous();
    const int64_t t = blockIdx.y, pos = (k.step ? k.step->pos : k.pos0) + t;
    pair_angle(&pair, k.h.table, pos, half, tid);
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
    store_head<T>(k.h.kv.v.data, value, k, kv_head, pos);
    norm_rotate(k.h.k + at, row, normed, inverse, k, pair, w, pos);
    store_head<T>(k.h.kv.k.data, normed, k, kv_head, pos);
}

// ===== launchers =====================================================================================================

// K and V (parts 2) of kv, or, where their types differ, one of them.
template <int T>
static bool run_store(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int parts, int n,
                      int64_t pos0, err *e)
{
    const int per_row = kv->n_kv_head * kv->head_dim / (int)kv_format<T>::width;
    const int64_t units = (int64_t)n * per_row;
    if (units == 0) return true;
    return LAUNCH(c->g, e, "kv_store", dims(ceil_div(units, 128), parts), dims(128), 0,
                  (kv_store_kernel<T>))(*kv, k, v, units, per_row, pos0, c->step, c->state);
}

static bool store_parts(const gpu_ctx *c, const gpu_kv *kv, int type, const float *k, const float *v, int parts, int n,
                        int64_t pos0, err *e)
{
    switch (type) {
#define ROW(T) case T: return run_store<T>(c, kv, k, v, parts, n, pos0, e);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(type, e);
    }
}

static bool is_mixed(const gpu_kv *kv) { return kv->k.type == GPU_KV_MIXED || kv->v.type == GPU_KV_MIXED; }

extern "C" bool cuda_kv_store(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int n, int64_t pos0,
                              err *e)
{
    if (is_mixed(kv)) return cuda_kv_store_mixed(c, kv, k, v, n, pos0, e);
    if (kv->k.type == kv->v.type) return store_parts(c, kv, kv->k.type, k, v, 2, n, pos0, e);
    gpu_kv second = *kv;        // V in K's place
    second.k = kv->v;
    if (!store_parts(c, kv, kv->k.type, k, nullptr, 1, n, pos0, e)) return false;
    return store_parts(c, &second, kv->v.type, v, nullptr, 1, n, pos0, e);
}

extern "C" bool cuda_heads(const gpu_ctx *c, const gpu_heads *h, int n, int64_t pos0, err *e)
{
    if (h->rot < 2 || h->rot % 2 != 0 || h->rot > h->head_dim || n > 65535)
        return err_set(e, ERR_SYSTEM, "device cuda: %d heads of %d, %d of which rotate, %d tokens", h->n_head,
                       h->head_dim, h->rot, n);
    heads_work w = {};
    w.h = *h;
    w.pos0 = pos0;
    w.step = c->step;
    w.state = c->state;
    w.round = c->round;
    const gpu_dim grid = dims(h->n_head + (h->k ? h->kv.n_kv_head : 0), n);
    const size_t shared = (size_t)(3 * ceil_div(h->head_dim, NORM_RUN) * NORM_RUN + 1) * sizeof(float);
    if (h->k && is_mixed(&h->kv)) {
        const gpu_dim threads = dims(HEADS_THREADS);
        if (!LAUNCH(c->g, e, "heads", grid, threads, shared, (heads_kernel<GPU_KV_MIXED>))(w)) return false;
        return cuda_kv_store_mixed(c, &h->kv, h->k, h->v, n, pos0, e);
    }
    if (h->k && h->kv.k.type != h->kv.v.type)
        return err_set(e, ERR_SYSTEM, "device cuda: heads stored in one launch have keys and values of one type");
    switch (h->k ? h->kv.k.type : DT_F32) {
#define ROW(T) case T: return LAUNCH(c->g, e, "heads", grid, dims(HEADS_THREADS), shared, (heads_kernel<T>))(w);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return unknown_kv(h->kv.k.type, e);
    }
}
