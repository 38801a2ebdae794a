// gemv: y = W x for one token, what decode is made of. See kernels.h.
#include "decode.cuh"
#include "kernels.h"
#include "dev.cuh"
#include "../../quant/cuda/launch.cuh"

struct gemv_work {                      // rows of up to GPU_SEGMENTS matrices, one behind the other
    const uint8_t *w[GPU_SEGMENTS];
    float         *dst[GPU_SEGMENTS];
    int64_t        rows[GPU_SEGMENTS];
    int            n_seg;
    int            form;                // GEMV_...
    int64_t        row_bytes, cols;
    bool           vectors, round;      // vectors: see row_view
    const float   *x, *by;              // [cols]; by: [rows[0]], GEMV_GELU_MUL only
};
enum { GEMV_PLAIN, GEMV_GEGLU, GEMV_GELU_MUL };
enum { GEMV_WARPS = 2, CHUNK = 256, STAGE = CHUNK + LANES };

// A chunk of weights waits in shared memory between the thread that decoded them (16 neighbours) and the lanes that sum them
// (every sixteenth). Groups of 16 floats; quads are rotated within a group so that neither side meets a bank conflict.
DEV int stage_at(int g, int quad) { return g * LANES + ((quad + (g >> 1)) & 3) * 4; }

DEV void stage_group(float *stage, int g, const float v[LANES])
{
#pragma unroll
    for (int quad = 0; quad < 4; quad++)
        *reinterpret_cast<float4 *>(stage + stage_at(g, quad)) = make_float4(v[4 * quad], v[4 * quad + 1], v[4 * quad + 2], v[4 * quad + 3]);
}

// acc += the chunk's weights times x, lane l taking columns base + l, base + 16 + l, ... in that order.
DEV float chain_chunk(float acc, const float *stage, const float *x, int64_t base, int64_t cols, int l)
{
    const int quad = l >> 2, in_quad = l & 3;
    if (base + CHUNK <= cols) {
#pragma unroll
        for (int s = 0; s < CHUNK / LANES; s++) acc = fmaf(stage[stage_at(s, quad) + in_quad], __ldg(x + base + s * LANES + l), acc);
    } else {
        for (int s = 0; s < CHUNK / LANES; s++)
            if (base + s * LANES + l < cols) acc = fmaf(stage[stage_at(s, quad) + in_quad], __ldg(x + base + s * LANES + l), acc);
    }
    return acc;
}

// One token against a matrix of any type; for decode, where the speed is that of reading W.
//   work: see gemv_work     grid: two rows a warp (GEMV_GEGLU: one row of each matrix), GEMV_WARPS warps a block
//   shared: GEMV_WARPS x 2 x STAGE floats
// A half-warp owns a row. Its threads load 16 neighbouring weights each, several chunks of 256 ahead, decode them in registers
// and pass them through shared memory to the sixteen partial sums.
// Numerics: the CPU's order exactly: column i goes to sum i % 16 by fmaf, ascending; joined by join_lanes; rounded once.
//           GEMV_GEGLU and GEMV_GELU_MUL then round where the separate operations do.
// Twin: matmul (and geglu; gelu, mul) in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(GEMV_WARPS *WARP, 8) void gemv_kernel(gemv_work k)
{
    constexpr int DEPTH = sizeof(typename group<T>::raw) > 48 ? 2 : sizeof(typename group<T>::raw) >= 40 ? 3 : 4;     // chunks in flight, in registers
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, half = lane / LANES, l = lane % LANES;
    float *stage = shared_memory<float>() + (warp * 2 + half) * STAGE;

    const int64_t unit = (int64_t)blockIdx.x * GEMV_WARPS + warp;
    int64_t row = k.form == GEMV_GEGLU ? unit : unit * 2 + half;
    int seg = k.form == GEMV_GEGLU ? half : 0;      // its arrays are indexed by constants only: they stay where parameters are
    if (k.form != GEMV_GEGLU && k.n_seg > 1 && row >= k.rows[0]) { row -= k.rows[0]; seg = 1; }
    if (seg == 1 && k.form != GEMV_GEGLU && k.n_seg > 2 && row >= k.rows[1]) { row -= k.rows[1]; seg = 2; }
    const bool active = row < (seg == 0 ? k.rows[0] : seg == 1 ? k.rows[1] : k.rows[2]);
    const uint8_t *weights = seg == 0 ? k.w[0] : seg == 1 ? k.w[1] : k.w[2];
    const row_view view = { weights + row * k.row_bytes, k.cols, k.vectors };

    typename group<T>::raw ahead[DEPTH];
#pragma unroll
    for (int i = 0; i < DEPTH; i++)
        if (active && i * CHUNK + l * LANES < k.cols) ahead[i] = group<T>::load(view, i * LANES + l);
    float acc = 0.0f;
    for (int64_t base = 0; base < k.cols; base += DEPTH * CHUNK) {
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            const int64_t at = base + i * CHUNK, next = at + DEPTH * CHUNK;
            if (at >= k.cols) break;                // the same for the whole warp
            if (active && at + l * LANES < k.cols) {
                float v[LANES];
                group<T>::values(v, ahead[i], at / LANES + l);
                stage_group(stage, l, v);
            }
            if (active && next + l * LANES < k.cols) ahead[i] = group<T>::load(view, next / LANES + l);
            __syncwarp();
            if (active) acc = chain_chunk(acc, stage, k.x, at, k.cols, l);
            __syncwarp();
        }
    }
    float y = rounded(join_lanes(acc), k.round);
    float *dst = seg == 0 ? k.dst[0] : seg == 1 ? k.dst[1] : k.dst[2];
    if (k.form == GEMV_GEGLU) {
        const float up = __shfl_xor_sync(ALL_LANES, y, LANES);
        if (half == 0) y = rounded(rounded(gelu_twin(y), k.round) * up, k.round);
    } else if (k.form == GEMV_GELU_MUL && active) {
        y = rounded(rounded(gelu_twin(y), k.round) * __ldg(k.by + row), k.round);
    }
    if (active && l == 0) dst[row] = y;
}

// ===== launchers ======================================================================================================

static bool run_gemv(const gpu_ctx *c, gemv_work *k, const gpu_matrix *w, const float *x, int64_t units, err *e)
{
    if (!view_of(w, &k->row_bytes, &k->vectors, e)) return false;
    k->cols = w->cols;
    k->x = x;
    k->round = c->round;
    const gpu_dim grid = dims(ceil_div(units, GEMV_WARPS)), block = dims(GEMV_WARPS * WARP);
    const size_t shared = GEMV_WARPS * 2 * STAGE * sizeof(float);
    switch (w->type) {
#define ROW(T) case T: return LAUNCH(c->g, e, "gemv", grid, block, shared, (gemv_kernel<T>))(*k);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

extern "C" bool cuda_gemv_many(const gpu_ctx *c, int n_seg, float *const dst[], const gpu_matrix w[], const float *x, err *e)
{
    gemv_work k = {};
    int64_t rows = 0;
    k.n_seg = n_seg;
    k.form = GEMV_PLAIN;
    for (int i = 0; i < n_seg; i++) {
        if (w[i].type != w[0].type || w[i].cols != w[0].cols) return err_set(e, ERR_SYSTEM, "matrices of one launch differ in type or columns");
        k.w[i] = (const uint8_t *)w[i].data;
        k.dst[i] = dst[i];
        k.rows[i] = w[i].rows;
        rows += w[i].rows;
    }
    return run_gemv(c, &k, &w[0], x, ceil_div(rows, 2), e);
}

extern "C" bool cuda_gemv_geglu(const gpu_ctx *c, float *gate, float *up, const gpu_matrix *w_gate, const gpu_matrix *w_up, const float *x, err *e)
{
    if (w_gate->type != w_up->type || w_gate->cols != w_up->cols || w_gate->rows != w_up->rows)
        return err_set(e, ERR_SYSTEM, "matrices of one launch differ in type or shape");
    gemv_work k = {};
    k.n_seg = 2;
    k.form = GEMV_GEGLU;
    k.w[0] = (const uint8_t *)w_gate->data;
    k.w[1] = (const uint8_t *)w_up->data;
    k.dst[0] = gate;
    k.dst[1] = up;
    k.rows[0] = k.rows[1] = w_gate->rows;
    return run_gemv(c, &k, w_gate, x, w_gate->rows, e);
}

extern "C" bool cuda_gemv_gelu_mul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, const float *by, err *e)
{
    gemv_work k = {};
    k.n_seg = 1;
    k.form = GEMV_GELU_MUL;
    k.w[0] = (const uint8_t *)w->data;
    k.dst[0] = dst;
    k.rows[0] = w->rows;
    k.by = by;
    return run_gemv(c, &k, w, x, ceil_div(w->rows, 2), e);
}
