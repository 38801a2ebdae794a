// mixed: what caches that are more than rows of one type take (kv_mixed.cuh): rotation, whole positions and units,
// KIVI's groups. See kernels.h. Twins: hadamard in runtime/cpu/kernels.inc, store_position and store_groups in
// runtime/cpu/ops_cache.c, same bytes.
#include "kernels.h"
#include "kv_mixed.cuh"
#include "../../device/launch.cuh"

// ---- rotation -------------------------------------------------------------------------------------------------------

enum { HADAMARD_THREADS = 256, HADAMARD_FLOATS = 2 * HADAMARD_THREADS };       // a pair a thread

// x: n floats, runs of `block` of them times a Walsh-Hadamard matrix, in place: pairs 1, 2, 4 .. apart, then
// 1 / sqrt(block)
//   grid: runs of HADAMARD_FLOATS, which `block` divides     shared: HADAMARD_FLOATS floats
__global__ __launch_bounds__(HADAMARD_THREADS) void hadamard_kernel(float *x, int64_t n, int block, bool round)
{
    after_previous();
    float *run = shared_memory<float>();
    const int tid = (int)threadIdx.x;
    const int64_t from = (int64_t)blockIdx.x * HADAMARD_FLOATS, left = n - from;
    for (int i = tid; i < HADAMARD_FLOATS; i += HADAMARD_THREADS) run[i] = i < left ? x[from + i] : 0.0f;
    for (int apart = 1; apart < block; apart *= 2) {
        const int i = (tid & -apart) * 2 + (tid & (apart - 1));
        __syncthreads();
        const float a = run[i], b = run[i + apart];
        run[i] = a + b;
        run[i + apart] = a - b;
    }
    __syncthreads();
    const float scale = 1.0f / sqrtf((float)block);
    for (int i = tid; i < HADAMARD_FLOATS && i < left; i += HADAMARD_THREADS)
        x[from + i] = rounded(run[i] * scale, round);
}

// ---- positions ------------------------------------------------------------------------------------------------------

enum { STORE_THREADS = 128 };

struct mixed_work {
    gpu_kv          kv;
    const float    *k, *v;          // [n][n_kv_head * head_dim]
    int             n;
    int64_t         pos0;
    const gpu_step *step;
    gpu_step       *state;
    int             fault;
};

DEV void report_unfit(const mixed_work &w, int64_t pos) { atomicMin(&w.state->bad_kv, (unsigned long long)pos); }

// Elements that one thread stores: what is stored together.
DEV int store_width(const gpu_kv_side &s)
{
    if (s.by_tokens) return 1;
    if (s.bits > 0) return s.group;
    return s.stored == DT_F32 || s.stored == DT_BF16 || s.stored == DT_F16 ? 1 : QUANT_BLOCK;
}

DEV void store_whole(void *row, bool bf16, int64_t first, const float *x, int n)
{
    uint8_t *to = (uint8_t *)row;
    for (int i = 0; i < n; i++) {
        if (bf16) kv_format<DT_BF16>::store(to, first + i, x + i);
        else      kv_format<DT_F32>::store(to, first + i, x + i);
    }
}

// Of n values, value(i): the least, and what lies between two codes, both as they are kept. false: one is no finite
// number, or what is kept would be none. Twin: kivi_range.
template <class F> DEV bool range_as_kept(F value, int n, int bits, uint16_t *scale, uint16_t *zero)
{
    float least = value(0), greatest = least;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        const float v = value(i);
        finite = finite && is_finite(v);
        least = v < least ? v : least;
        greatest = v > greatest ? v : greatest;
    }
    *zero = f16_of_f32(least + 0.0f);
    *scale = f16_of_f32((greatest - least) / (float)((1 << bits) - 1));
    return finite && fits_f16(*zero) && fits_f16(*scale);
}

// Group k of a position's head of values; its codes share no byte with another group's.
DEV bool store_values(uint8_t *head, int k, const float *x, int dim, int group, int bits)
{
    const int n = dim / group;
    uint16_t *scales = reinterpret_cast<uint16_t *>(head), *zeros = scales + n;
    uint8_t  *codes = head + 4 * n + k * group * bits / 8;
    uint16_t scale, zero;
    const bool fits = range_as_kept([&](int i) { return x[i]; }, group, bits, &scale, &zero);
    const float s = f32_of_f16(scale), z = f32_of_f16(zero);
    scales[k] = scale;
    zeros[k] = zero;
    for (int i = 0; i < group; i += 8 / bits) {
        uint32_t byte = 0;
        for (int j = 0; j < 8 / bits; j++) byte |= kivi_code(x[i + j], s, z, bits) << j * bits;
        codes[i * bits / 8] = (uint8_t)byte;
    }
    return fits;
}

// Unit u of the rows at `row`.
DEV bool store_unit(uint8_t *row, const gpu_kv_side &s, const gpu_kv &kv, int64_t u, const float *x)
{
    if (s.bits > 0) {
        const int per_head = kv.head_dim / s.group;
        uint8_t *head = row + u / per_head * (s.row / kv.n_kv_head);
        return store_values(head, (int)(u % per_head), x, kv.head_dim, s.group, s.bits);
    }
    switch (s.stored) {
#define ROW(T) case T: return kv_format<T>::store(row, u, x);
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return false;
    }
}

// What a batch's positions leave in the store, in the ring and among the sinks, one thread a unit.
//   grid: (runs of units; K, then V)
__global__ __launch_bounds__(STORE_THREADS) void mixed_store_kernel(mixed_work w)
{
    after_previous();
    const gpu_kv_side s = blockIdx.y == 0 ? w.kv.k : w.kv.v;
    const int dim = w.kv.n_kv_head * w.kv.head_dim, width = store_width(s), per_row = dim / width;
    const int64_t i = (int64_t)blockIdx.x * STORE_THREADS + threadIdx.x, t = i / per_row, u = i % per_row;
    if (t >= w.n) return;
    const int64_t pos = (w.step ? w.step->pos : w.pos0) + t;
    const float *x = (blockIdx.y == 0 ? w.k : w.v) + t * dim + u * width;
    uint8_t *newest = (uint8_t *)s.newest_data, *sinks = (uint8_t *)s.sink_data;
    if (s.ring > 0) store_whole(newest + slot_of(pos, s.ring) * s.whole_row, s.whole_bf16, u * width, x, width);
    if (pos < s.sinks) store_whole(sinks + pos * s.whole_row, s.whole_bf16, u * width, x, width);
    if (s.by_tokens) return;
    uint8_t *row = (uint8_t *)s.data + slot_of(pos, s.units) * s.row;
    if (!store_unit(row, s, w.kv, u, x)) report_unfit(w, pos);
}

// ---- groups ---------------------------------------------------------------------------------------------------------

// Element `channel` of a head of token t of the group that begins at position `first`, from the ring. in_row: bytes
// before the head.
DEV float in_ring(const gpu_kv_side &s, int64_t first, int64_t in_row, int t, int channel)
{
    const uint8_t *head = (const uint8_t *)s.newest_data + slot_of(first + t, s.ring) * s.whole_row + in_row;
    return s.whole_bf16 ? kv_format<DT_BF16>::value(head, 0, channel) : kv_format<DT_F32>::value(head, 0, channel);
}

enum { BYTE_CODES = 4 };            // codes in a byte, at most

// Channels from `channel` on, whose codes share bytes, of one head of the group that begins at `first`. by: as in_row,
// of the head whose range decides, which is the same but in a test. Twin: kivi_encode_keys.
DEV bool encode_channels(uint8_t *head, const gpu_kv_side &s, int64_t first, int64_t in_row, int64_t by, int channel,
                         int dim)
{
    uint16_t *scales = reinterpret_cast<uint16_t *>(head), *zeros = scales + dim;
    uint8_t  *codes = head + 4 * dim + channel * s.bits / 8;
    const int n = 8 / s.bits;
    float scale[BYTE_CODES], zero[BYTE_CODES];
    bool fits = true;
#pragma unroll
    for (int j = 0; j < BYTE_CODES; j++) {
        if (j >= n) break;
        const int c = channel + j;
        const auto value = [&](int t) { return in_ring(s, first, by, t, c); };
        fits &= range_as_kept(value, s.group, s.bits, &scales[c], &zeros[c]);
        scale[j] = f32_of_f16(scales[c]);
        zero[j] = f32_of_f16(zeros[c]);
    }
    for (int t = 0; t < s.group; t++) {
        uint32_t byte = 0;
#pragma unroll
        for (int j = 0; j < BYTE_CODES; j++) {
            if (j >= n) break;
            const float x = in_ring(s, first, in_row, t, channel + j);
            byte |= kivi_code(x, scale[j], zero[j], s.bits) << j * s.bits;
        }
        codes[t * dim * s.bits / 8] = (uint8_t)byte;
    }
    return fits;
}

// The groups that end in this batch: one thread for the channels whose codes share bytes. Whole positions are stored.
//   grid: (runs of such channels of all heads; groups; K, then V)
__global__ __launch_bounds__(STORE_THREADS) void kv_groups_kernel(mixed_work w)
{
    after_previous();
    const gpu_kv_side s = blockIdx.z == 0 ? w.kv.k : w.kv.v;
    if (!s.by_tokens) return;
    const int hd = w.kv.head_dim, per_head = hd * s.bits / 8;
    const int i = (int)(blockIdx.x * STORE_THREADS + threadIdx.x), h = i / per_head;
    const int64_t pos0 = w.step ? w.step->pos : w.pos0;
    const int64_t group = pos0 / s.group + blockIdx.y, first = group * s.group;
    if (h >= w.kv.n_kv_head || first + s.group > pos0 + w.n) return;
    const int64_t whole_head = s.whole_row / w.kv.n_kv_head;
    int64_t by = h * whole_head;
#ifdef HALLMARK_FAULTS
    if (w.fault == GPU_FAULT_GROUP_OF_ALL_HEADS) by = 0;
#endif
    uint8_t *head = (uint8_t *)s.data + slot_of(group, s.units) * s.row + h * (s.row / w.kv.n_kv_head);
    const int channel = i % per_head * 8 / s.bits;
    if (!encode_channels(head, s, first, h * whole_head, by, channel, hd)) report_unfit(w, first + s.group - 1);
}

// ===== launchers =====================================================================================================

extern "C" bool cuda_hadamard(const gpu_ctx *c, float *x, int64_t n, int block, bool unrounded, err *e)
{
    static_assert((int)GPU_MAX_HEAD == (int)HADAMARD_FLOATS, "a head is in one block of threads");
    if (block < 1 || block > HADAMARD_FLOATS || (block & (block - 1)) != 0 || n % block != 0)
        return err_set(e, ERR_SYSTEM, "device cuda: %lld floats, %d rotated together, expected a power of two up to %d "
                       "that divides them", (long long)n, block, (int)HADAMARD_FLOATS);
    if (n == 0) return true;
    const gpu_dim grid = dims(ceil_div(n, HADAMARD_FLOATS)), threads = dims(HADAMARD_THREADS);
    const size_t shared = HADAMARD_FLOATS * sizeof(float);
    return LAUNCH(c->g, e, "hadamard", grid, threads, shared, (hadamard_kernel))(x, n, block, c->round && !unrounded);
}

static int64_t store_units(const gpu_kv_side *s, int64_t dim)
{
    const int64_t block = s->bits > 0 ? s->group : dtype_find(s->stored)->block_weights;
    return s->by_tokens ? dim : dim / block;
}

// How many groups may end in n positions from pos0 on; of a recorded step, at any position.
static int64_t groups_of(const gpu_ctx *c, const gpu_kv_side *s, int n, int64_t pos0)
{
    if (!s->by_tokens) return 0;
    return c->step ? 1 : (pos0 + n) / s->group - pos0 / s->group;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static bool store_positions(const gpu_ctx *c, const mixed_work *w, int64_t dim, err *e)
{
    const int64_t units = w->n * larger(store_units(&w->kv.k, dim), store_units(&w->kv.v, dim));
    const gpu_dim grid = dims(ceil_div(units, STORE_THREADS), 2);
    return LAUNCH(c->g, e, "mixed_store", grid, dims(STORE_THREADS), 0, (mixed_store_kernel))(*w);
}

static bool store_groups(const gpu_ctx *c, const mixed_work *w, int64_t dim, err *e)
{
    const gpu_kv_side *k = &w->kv.k, *v = &w->kv.v;
    const int64_t groups = larger(groups_of(c, k, w->n, w->pos0), groups_of(c, v, w->n, w->pos0));
    const int64_t bytes = dim * larger(k->bits, v->bits) / 8;           // of codes of a position
    if (groups == 0) return true;
    const gpu_dim grid = dims(ceil_div(bytes, STORE_THREADS), groups, 2);
    return LAUNCH(c->g, e, "kv_groups", grid, dims(STORE_THREADS), 0, (kv_groups_kernel))(*w);
}

extern "C" bool cuda_kv_store_mixed(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int n,
                                    int64_t pos0, err *e)
{
    const int64_t dim = (int64_t)kv->n_kv_head * kv->head_dim;
    mixed_work w = {};
    w.kv = *kv;
    w.k = k;
    w.v = v;
    w.n = n;
    w.pos0 = pos0;
    w.step = c->step;
    w.state = c->state;
    w.fault = c->fault;
    if (n == 0) return true;
    if (!can_read(&kv->k)) return unknown_kv(kv->k.stored, e);
    if (!can_read(&kv->v)) return unknown_kv(kv->v.stored, e);
    if (n > 65535 || pos0 + n > INT32_MAX)
        return err_set(e, ERR_SYSTEM, "device cuda: a KV cache of %lld positions, %d tokens", (long long)(pos0 + n), n);
    return store_positions(c, &w, dim, e) && store_groups(c, &w, dim, e);
}
