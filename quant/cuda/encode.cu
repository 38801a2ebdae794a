// encode: blocks by the text of the plain encoders. See encode.h and ../codec_scalar.h.
//
// A thread is a sub-block (Q8_0, Q4_0: a block). Its weights lie in shared memory, a row of SUB + 1 floats, so that the
// threads of a warp meet in different banks. The search of a sub-block is one thread's from its first operation to its
// last; then the first thread of a super-block chooses the scales, all take their codes again, and the first packs. No
// sum crosses threads.
#include "../search.inc"
#include "../codec_scalar.h"
#include "encode_kernels.h"
#include "../../device/launch.cuh"

enum { ENCODE_THREADS = 64 };

DEV bool to_f16(uint16_t *bits, float v)        // scale_to_f16 in codec_impl.h
{
    *bits = f16_of_f32(v);
    return (*bits & 0x7c00) != 0x7c00;
}

DEV bool bits_are_finite(float v) { return (__float_as_uint(v) & 0x7f800000u) != 0x7f800000u; }

// Of one type: SUB weights a thread, SUBS threads a block of the file.
//   search: the sub-block's codes and scale            x: its row; those of the others at SUB + 1 floats' distance
//   weight: importance, if any; scratch
//   scales: one thread; false where the CPU would say what is wrong
//   codes:  once the scales are known                  pack: one thread
struct q8_0_kind {
    enum { SUB = QUANT_BLOCK, SUBS = 1 };
    typedef q8_0_block block;
    struct state { float scale; };
    DEV void search(state *s, int, const float *x, float *, bool, float) { s->scale = q8_0_scale(x); }
    DEV bool scales(state *s, block *b, bool) { return to_f16(&b->scale, s->scale); }
    DEV void codes(state *s, block *b, int, const float *x) { q8_0_codes(b->q, x, s->scale); }
    DEV void pack(state *, block *) { }
};

struct q4_0_kind {
    enum { SUB = QUANT_BLOCK, SUBS = 1 };
    typedef q4_0_block block;
    struct state { float scale; uint8_t code[QUANT_BLOCK]; };
    DEV void search(state *s, int, const float *x, float *weight, bool weighted, float mean_square)
    {
        if (weighted) {
            block_weights(weight, x, weight, mean_square);
            s->scale = search_symmetric(QUANT_BLOCK, 8, x, weight, s->code);
        } else {
            s->scale = symmetric_codes(s->code, x, 8);
        }
    }
    DEV bool scales(state *s, block *b, bool) { return to_f16(&b->scale, s->scale); }
    DEV void codes(state *, block *, int, const float *) { }
    DEV void pack(state *s, block *b) { pack_nibbles(b->q, s->code); }
};

struct q4_k_kind {
    enum { SUB = 32, SUBS = K_SUB32, TOP = 15 };
    typedef q4_k_block block;
    struct state { k4_choice c; float scale[K_SUB32], min[K_SUB32], sum_w[K_SUB32]; };
    DEV void search(state *s, int j, const float *x, float *weight, bool weighted, float)
    {
        uint8_t *code = s->c.code + 32 * j;
        if (weighted)
            s->scale[j] = k4_sub_weighted(code, &s->min[j], &s->sum_w[j], x, weight,
                                          k4_sigma2(x - j * (SUB + 1), SUB + 1), weight, TOP);
        else          s->scale[j] = k4_sub_plain(code, &s->min[j], x, weight, TOP);
    }
    DEV bool scales(state *s, block *b, bool weighted)
    {
        if (weighted) k4_scales_weighted(&s->c, s->scale, s->min, s->sum_w, TOP);
        else          k4_scales_plain(&s->c, s->scale, s->min);
        k4_pack_scales(b->scales, s->c.s, s->c.m);
        return to_f16(&b->scale, s->c.scale) & to_f16(&b->min, s->c.min);
    }
    DEV void codes(state *s, block *b, int j, const float *x)
    {
        k4_codes(s->c.code + 32 * j, x, j, b->scales, f32_of_f16(b->scale), f32_of_f16(b->min), TOP);
    }
    DEV void pack(state *s, block *b) { k4_pack_nibbles(b->q, s->c.code); }
};

struct q6_k_kind {
    enum { SUB = 16, SUBS = K_SUB16 };
    typedef q6_k_block block;
    struct state { float scale[K_SUB16], inverse; bool zero; uint8_t code[QUANT_SUPER]; };
    DEV void search(state *s, int j, const float *x, float *weight, bool weighted, float)
    {
        s->scale[j] = q6_k_sub(s->code + 16 * j, x, weighted ? weight : nullptr, weight);
    }
    DEV bool scales(state *s, block *b, bool)
    {
        bool ok = true;
        for (int j = 0; j < K_SUB16; j++) ok = ok && bits_are_finite(s->scale[j]);
        const float extreme = q6_k_extreme(s->scale);
        s->zero = fabsf(extreme) < SEARCH_EPS;
        s->inverse = -128.f / extreme;
        if (s->zero) memset(b, 0, sizeof *b);
        else         ok = to_f16(&b->scale, 1 / s->inverse) && ok;
        return ok;
    }
    DEV void codes(state *s, block *b, int j, const float *x)
    {
        if (!s->zero) b->scales[j] = q6_k_codes(s->code + 16 * j, x, s->scale[j], s->inverse, f32_of_f16(b->scale));
    }
    DEV void pack(state *s, block *b) { if (!s->zero) q6_k_pack(b, s->code); }
};

// What a block of threads has in shared memory.
template <class K> struct encode_shared {
    float             x[ENCODE_THREADS][K::SUB + 1], weight[ENCODE_THREADS][K::SUB + 1];
    typename K::state state[ENCODE_THREADS / K::SUBS];
    typename K::block out[ENCODE_THREADS / K::SUBS];
};

// dst: n_groups / SUBS blocks from n_groups * SUB weights, rows of cols
//   grid: runs of ENCODE_THREADS groups     importance, mean_square: or NULL     bad: set to 1 where a block cannot be
//   encoded
template <class K> __global__ __launch_bounds__(ENCODE_THREADS)
void encode_kernel(uint8_t *dst, const float *src, int64_t n_groups, int64_t cols, const float *importance,
                   const float *mean_square, uint32_t *bad)
{
    after_previous();
    encode_shared<K> *s = shared_memory<encode_shared<K>>();
    const int t = (int)threadIdx.x, j = t % K::SUBS, super = t / K::SUBS;
    const int64_t first = (int64_t)blockIdx.x * ENCODE_THREADS, left = n_groups - first;
    const int n = left < ENCODE_THREADS ? (int)left : (int)ENCODE_THREADS;       // a multiple of SUBS: rows are whole
    const bool mine = t < n, weighted = importance != nullptr;
    for (int i = t; i < n * K::SUB; i += ENCODE_THREADS) {
        s->x[i / K::SUB][i % K::SUB] = src[first * K::SUB + i];
        if (weighted) s->weight[i / K::SUB][i % K::SUB] = importance[(first * K::SUB + i) % cols];
    }
    __syncthreads();
    bool ok = true;
    if (mine) {
        for (int i = 0; i < K::SUB; i++) ok = ok && bits_are_finite(s->x[t][i]);
        const float row = mean_square ? mean_square[(first + t) * K::SUB / cols] : 0.0f;
        K::search(&s->state[super], j, s->x[t], s->weight[t], weighted, row);
    }
    __syncthreads();
    if (mine && j == 0) ok = K::scales(&s->state[super], &s->out[super], weighted) && ok;
    __syncthreads();
    if (mine) K::codes(&s->state[super], &s->out[super], j, s->x[t]);
    __syncthreads();
    if (mine && j == 0) K::pack(&s->state[super], &s->out[super]);
    __syncthreads();
    const uint8_t *out = reinterpret_cast<const uint8_t *>(s->out);
    const int n_bytes = n / K::SUBS * (int)sizeof(typename K::block);
    for (int i = t; i < n_bytes; i += ENCODE_THREADS)
        dst[first / K::SUBS * (int64_t)sizeof(typename K::block) + i] = out[i];
    if (!ok) *bad = 1;                  // whoever comes: all write the same
}

// mean[row] = sum of squares / cols: one chain of additions a row, as the CPU's
//   grid: runs of ENCODE_THREADS rows
__global__ __launch_bounds__(ENCODE_THREADS)
void row_mean_square_kernel(float *mean, const float *src, int64_t n_rows, int64_t cols)
{
    after_previous();
    const int64_t row = (int64_t)blockIdx.x * ENCODE_THREADS + threadIdx.x;
    if (row < n_rows) mean[row] = row_mean_square(src + row * cols, cols);
}

// ---- launchers ------------------------------------------------------------------------------------------------------

template <class K>
static bool launch_encode(gpu *g, const encode_work *w, const float *mean_square, const char *name, err *e)
{
    const int64_t n_groups = w->n_rows * (w->cols / K::SUB);
    return LAUNCH(g, e, name, dims(ceil_div(n_groups, ENCODE_THREADS)), dims(ENCODE_THREADS), sizeof(encode_shared<K>),
                  (encode_kernel<K>))(
        w->dst, w->src, n_groups, w->cols, w->importance, mean_square, w->bad);
}

extern "C" bool cuda_encode_has(dtype t) { return t == DT_Q8_0 || t == DT_Q4_0 || t == DT_Q4_K || t == DT_Q6_K; }
extern "C" bool cuda_encode_needs_row(dtype t) { return t == DT_Q4_0; }

extern "C" bool cuda_encode(gpu *g, dtype t, const encode_work *w, err *e)
{
    const bool by_row = w->importance && cuda_encode_needs_row(t);
    if (by_row && !LAUNCH(g, e, "row_mean_square", dims(ceil_div(w->n_rows, ENCODE_THREADS)), dims(ENCODE_THREADS), 0,
                          (row_mean_square_kernel))(w->mean_square, w->src, w->n_rows, w->cols))
        return false;
    const float *mean_square = by_row ? w->mean_square : nullptr;
    switch (t) {
    case DT_Q8_0: return launch_encode<q8_0_kind>(g, w, nullptr, "encode q8_0", e);
    case DT_Q4_0: return launch_encode<q4_0_kind>(g, w, mean_square, "encode q4_0", e);
    case DT_Q4_K: return launch_encode<q4_k_kind>(g, w, nullptr, "encode q4_k", e);
    case DT_Q6_K: return launch_encode<q6_k_kind>(g, w, nullptr, "encode q6_k", e);
    default:      return err_set(e, ERR_SYSTEM, "the device has no encoder for %s", dtype_name(t));
    }
}
