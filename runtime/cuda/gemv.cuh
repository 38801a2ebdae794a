// gemv: what the kernels of vector products share (gemv.cu: a matrix; experts.cu: those of the chosen experts). Rows of
// W stream through shared memory.
#ifndef HALLMARK_RUNTIME_CUDA_GEMV_CUH
#define HALLMARK_RUNTIME_CUDA_GEMV_CUH

#include "async.cuh"
#include "decode.cuh"
#include "kernels.h"
#include "quad.cuh"
#include "../../device/launch.cuh"

enum { GEMV_PLAIN, GEMV_GLU, GEMV_GELU_MUL };
struct gemv_work {                      // rows of up to GPU_SEGMENTS matrices, one behind the other
    const uint8_t *w[GPU_SEGMENTS];
    float         *dst[GPU_SEGMENTS];
    int64_t        rows[GPU_SEGMENTS];
    int            n_seg;
    int            form;                // GEMV_...
    bool           silu;                // GEMV_GLU: the gate's activation; else gelu
    int            n_spans, split;      // spans of a row, and how many warps they are dealt to
    int            cols;
    int64_t        row_bytes;
    bool           fast, round;         // fast: rows and x begin on 16 bytes and have whole groups of 16 columns (plain
                                        // types)
    const float   *x, *by;              // [cols]; by: [rows[0]], GEMV_GELU_MUL only
};

enum { GEMV_MOST_WARPS = 8, GEMV_FEW_WARPS = 4, GROUP_SUM_BYTES = QUAD_ROWS * LANES * (int)sizeof(float) };

// Stages of a span, and how many of them a warp has under way: 2 to 5 KB. Eight warps stay below the 48 KB that every
// device gives a block.
template <int T> struct staging {
    enum { OF_SPAN = GPU_COLUMN_SPAN / quad<T>::COLUMNS, SLOTS = 2, SLOT_BYTES = QUAD_ROWS * quad<T>::PITCH,
           WARP_BYTES = SLOTS * SLOT_BYTES };
    static_assert(GEMV_MOST_WARPS * WARP_BYTES + (GEMV_MOST_WARPS + GEMV_FEW_WARPS) * GROUP_SUM_BYTES <= 48 << 10,
                  "see above");
};

// Where the operands of a block lie, as a matrix by itself has them: at k's own addresses. experts.cu adds something to
// each. begin() is called before W is read, started() after the first copies of it have been; one of them calls
// after_previous.
struct gemv_whole {
    enum { PLAIN = 0 };         // 1: k.form is GEMV_PLAIN, and what the others need is left out
    __device__ __forceinline__ void begin() const {}
    __device__ __forceinline__ void started() const { after_previous(); }
    __device__ __forceinline__ int64_t w_bytes() const { return 0; }
    __device__ __forceinline__ int64_t x_floats() const { return 0; }
    __device__ __forceinline__ int64_t dst_floats() const { return 0; }
};

// Where thread `lane` of a warp stands: which of the warp's eight rows it works on, as a matrix of the launch and a row
// of it.
struct gemv_row { int seg; int64_t row; bool active; };

template <class Place> DEV gemv_row gemv_row_at(const gemv_work &k, int group, int slot)
{
    gemv_row r = { 0, (int64_t)group * QUAD_ROWS + slot, false };
    if (!Place::PLAIN && k.form == GEMV_GLU) {    // slots 0 .. 3: rows of gate, 4 .. 7: the same rows of up
        r.seg = slot / QUAD;
        r.row = (int64_t)group * QUAD + slot % QUAD;
    } else {
        if (k.n_seg > 1 && r.row >= k.rows[0]) { r.row -= k.rows[0]; r.seg = 1; }
        if (k.n_seg > 2 && r.seg == 1 && r.row >= k.rows[1]) { r.row -= k.rows[1]; r.seg = 2; }
    }
    // Arrays by constants only: they stay parameters.
    r.active = r.row < (r.seg == 0 ? k.rows[0] : r.seg == 1 ? k.rows[1] : k.rows[2]);
    return r;
}

// What a warp reads: stages of eight rows through its slots, each thread for its own row. Stages are counted along the
// row.
template <int T> struct gemv_stream {
    const uint8_t *row;             // this thread's row in device memory; NULL: none
    uint8_t       *slots;           // this thread's row in the first slot
    int            n_whole, rest;   // whole stages of a row, and columns behind them

    __device__ __forceinline__ const uint8_t *stage(int u) const { return row + (int64_t)u * quad<T>::BYTES; }
    static __device__ __forceinline__ int skew_of(const uint8_t *p)
    {
        return quad<T>::ALIGN < 16 ? (int)((uintptr_t)p & 15) : 0;
    }

    // Starts the copies of stage u into a slot: the whole 16 bytes around what the row has of it, thread q of the row
    // every fourth of them.
    __device__ __forceinline__ void start(int u, int slot, int q) const
    {
        const bool whole = u < n_whole;
        if (row && (whole || (u == n_whole && rest > 0))) {
            const uint8_t *from = stage(u);
            const int skew = skew_of(from);
            // Of a row that ends within the stage: whole blocks.
            const int bytes = skew + (whole ? (int)quad<T>::BYTES
                                            : (rest * quad<T>::BYTES + quad<T>::COLUMNS - 1) / quad<T>::COLUMNS);
            const shared_address to = shared_at(slots + slot * staging<T>::SLOT_BYTES) + 16 * q;
            from += 16 * q - skew;
#pragma unroll
            for (int at = 0; at < quad<T>::PITCH; at += 16 * QUAD)
                if (at + 16 * q < bytes) copy_16_async(to + at, from + at);
        }
        copies_commit();
    }

    // Where stage u of the row begins in its slot.
    __device__ __forceinline__ const uint8_t *staged(int u, int slot) const
    {
        return slots + slot * staging<T>::SLOT_BYTES + skew_of(stage(u));
    }
};

// The compiler moves no load across this: else it would have a whole stage in registers before it multiplies.
DEV void loads_stay_behind() { asm volatile("" ::: "memory"); }

// acc[i] += weights 4 q + i of every sixteen columns of the stage times x, ascending.
//   WHOLE: the stage has all its columns; else `left` of them     QUICK: which way the type takes, see quad.cuh
// x begins on 16 bytes, except where plain types do not take their quick way.
template <int T, bool WHOLE, bool QUICK> DEV void multiply_groups(float acc[QUAD], const typename quad<T>::state &s,
                                                                  const uint8_t *row, const float *x, int q, int left)
{
#pragma unroll
    for (int g = 0; g < quad<T>::COLUMNS / LANES; g++) {
        if (!WHOLE && LANES * g >= left) break;                 // the same for all threads
        const int c = LANES * g + QUAD * q;
        float w[QUAD], v[QUAD];
        quad<T>::template weights<QUICK>(w, s, row, q, g, left);
        if constexpr (QUICK || quad<T>::BLOCK > 1) {
            const float4 four = *reinterpret_cast<const float4 *>(x + QUAD * q + LANES * g);
            v[0] = four.x; v[1] = four.y; v[2] = four.z; v[3] = four.w;
        } else {
#pragma unroll
            for (int i = 0; i < QUAD; i++) v[i] = c + i < left ? x[c + i] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < QUAD; i++) acc[i] = fmaf(w[i], v[i], acc[i]);
        if (g % 4 == 3) loads_stay_behind();
    }
}

// The same for stage u of a row, whether it has all its columns, some, or none.
template <int T> DEV void multiply(float acc[QUAD], const gemv_stream<T> &stream, int u, int slot, const float *x,
                                   int q, bool fast)
{
    if (u > stream.n_whole) return;
    const uint8_t *row = stream.staged(u, slot);
    const typename quad<T>::state s = quad<T>::stage(row, q);
    const bool whole = u < stream.n_whole;
    x += (int64_t)u * quad<T>::COLUMNS;
    if constexpr (quad<T>::BLOCK == 1) {
        if (whole && fast) multiply_groups<T, true, true>(acc, s, row, x, q, quad<T>::COLUMNS);
        else               multiply_groups<T, false, false>(acc, s, row, x, q,
                                                            whole ? (int)quad<T>::COLUMNS : stream.rest);
    } else if constexpr (quad<T>::BLOCK < quad<T>::COLUMNS) {
        if (whole) multiply_groups<T, true, true>(acc, s, row, x, q, quad<T>::COLUMNS);
        else       multiply_groups<T, false, true>(acc, s, row, x, q, stream.rest);
    } else if constexpr (quad<T>::CHOOSES) {
        if (!whole) return;
        if (s.near) multiply_groups<T, true, true>(acc, s, row, x, q, quad<T>::COLUMNS);
        else        multiply_groups<T, true, false>(acc, s, row, x, q, quad<T>::COLUMNS);
    } else {
        if (whole) multiply_groups<T, true, true>(acc, s, row, x, q, quad<T>::COLUMNS);
    }
}

// One row's result from its sixteen sums, and where it goes. The whole warp calls.
template <class Place> DEV void finish_row(const gemv_work &k, const Place &p, int group, int slot, float total)
{
    const gemv_row r = gemv_row_at<Place>(k, group, slot);
    const int lane = (int)threadIdx.x % WARP;
    float y = rounded(join_lanes(total), k.round);
    float *dst = r.seg == 0 ? k.dst[0] : r.seg == 1 ? k.dst[1] : k.dst[2];
    if (!Place::PLAIN && k.form == GEMV_GLU) {
        const float up = __shfl_xor_sync(ALL_LANES, y, LANES);
        if (lane < LANES) y = rounded(rounded(act_twin(y, k.silu), k.round) * up, k.round);
    } else if (!Place::PLAIN && k.form == GEMV_GELU_MUL && r.active) {
        y = rounded(rounded(gelu_twin(y), k.round) * k.by[r.row], k.round);
    }
    if (r.active && lane % LANES == 0) dst[p.dst_floats() + r.row] = y;
}

// The sums of a group's rows, after its warps have each left those of one span in parts [split][QUAD_ROWS][LANES]:
// added to those of the spans before, in ascending order; `last`: then to their results. A half-warp takes a row, and
// slots `pair` and pair + 4 meet in a warp, so that gate and up of GEMV_GLU do. totals: [QUAD_ROWS][LANES]; both in
// shared memory. The group's warps call, `first` of `split`.
template <class Place>
DEV void join_spans(const gemv_work &k, const Place &p, int group, int first, int spans_here, float *totals,
                    const float *parts, bool begins, bool last)
{
    const int half = (int)threadIdx.x % WARP / LANES, l = (int)threadIdx.x % LANES;
#pragma unroll 1
    for (int pair = first; pair < QUAD; pair += k.split) {
        const int slot = pair + QUAD * half, at = slot * LANES + l;
        float total = begins ? 0.0f : totals[at];
#pragma unroll 1
        for (int s = 0; s < spans_here; s++) total = total + parts[s * QUAD_ROWS * LANES + at];
        if (last) finish_row(k, p, group, slot, total);
        else      totals[at] = total;
    }
}

// The rows of a block's groups.
template <int T, class Place> DEV void gemv_rows(const gemv_work &k, const Place &p)
{
    enum { OF_SPAN = staging<T>::OF_SPAN, SLOTS = staging<T>::SLOTS };
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, slot = lane / QUAD, q = lane % QUAD;
    const int groups = (int)blockDim.x / WARP / k.split, mine = warp / k.split, first = warp % k.split;
    const int group = (int)blockIdx.x * groups + mine;
    const gemv_row r = gemv_row_at<Place>(k, group, slot);
    p.begin();
    const uint8_t *weights = r.seg == 0 ? k.w[0] : r.seg == 1 ? k.w[1] : k.w[2];
    uint8_t *slots = shared_memory<uint8_t>() + warp * staging<T>::WARP_BYTES + slot * quad<T>::PITCH;
    const int n_warps = (int)blockDim.x / WARP;
    float *parts = reinterpret_cast<float *>(shared_memory<uint8_t>() + n_warps * staging<T>::WARP_BYTES);
    float *totals = parts + (n_warps + mine) * QUAD_ROWS * LANES;
    const gemv_stream<T> stream = { r.active ? weights + p.w_bytes() + r.row * k.row_bytes : nullptr, slots,
                                    k.cols / quad<T>::COLUMNS, k.cols % quad<T>::COLUMNS };

#pragma unroll
    for (int i = 0; i < SLOTS; i++) stream.start(first * OF_SPAN + i, i, q);
    p.started();
#pragma unroll 1
    for (int span = 0; span < k.n_spans; span += k.split) {         // of the group's first warp
        float acc[QUAD] = {};
        int u = (span + first) * OF_SPAN;
#pragma unroll 1
        for (int i = 0; i < OF_SPAN; i++, u++) {
            copies_wait<SLOTS - 1>();
            __syncwarp();
            multiply<T>(acc, stream, u, i % SLOTS, k.x + p.x_floats(), q, k.fast);
            __syncwarp();
            // What comes SLOTS stages later: in this span, or in the next that is this warp's.
            stream.start(u + (i + SLOTS < OF_SPAN ? (int)SLOTS : SLOTS + (k.split - 1) * OF_SPAN), i % SLOTS, q);
        }
        float4 *part = reinterpret_cast<float4 *>(parts + (warp * QUAD_ROWS + slot) * LANES + QUAD * q);
        *part = make_float4(acc[0], acc[1], acc[2], acc[3]);
        __syncthreads();
        const int left = k.n_spans - span;
        join_spans(k, p, group, first, left < k.split ? left : k.split, totals,
                   parts + mine * k.split * QUAD_ROWS * LANES, span == 0, left <= k.split);
        __syncthreads();
    }
    copies_wait<0>();
}

// How a product is launched: the spans of a row go to as many warps as leave none without work in the last round; a
// block has several groups where they are few. Fills what depends on the matrix and on x.
struct gemv_shape {
    int    of_block, warps;
    size_t sums;
    template <int T> size_t shared() const { return (size_t)warps * staging<T>::WARP_BYTES + sums; }
};

static inline bool gemv_shape_of(gemv_work *k, const gpu_matrix *w, const float *x, bool x_aligned, bool round,
                                 gemv_shape *s, err *e)
{
    bool vectors = false;
    if (!view_of(w, &k->row_bytes, &vectors, e)) return false;
    if (w->cols > INT32_MAX - GPU_COLUMN_SPAN)
        return err_set(e, ERR_SYSTEM, "rows of %lld columns are longer than a product can be", (long long)w->cols);
    if (!x_aligned && dtype_find(w->type)->block_weights > 1)
        return err_set(e, ERR_SYSTEM, "a product's vector does not begin on 16 bytes");
    k->cols = (int)w->cols;
    k->x = x;
    k->round = round;
    k->fast = vectors && x_aligned;
    k->n_spans = (int)ceil_div(w->cols, GPU_COLUMN_SPAN);
    k->split = (int)ceil_div(k->n_spans, ceil_div(k->n_spans, GEMV_MOST_WARPS));
    s->of_block = k->split < GEMV_FEW_WARPS ? GEMV_FEW_WARPS / k->split : 1;
    s->warps = s->of_block * k->split;
    s->sums = (size_t)(s->warps + s->of_block) * GROUP_SUM_BYTES;
    return true;
}

#endif
