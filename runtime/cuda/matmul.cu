// matmul: y = W x, for one token (gemv) and for many (tiles). See kernels.h.
#include "decode.cuh"
#include "kernels.h"
#include "launch.cuh"

// ---- one token -------------------------------------------------------------------------------------------------------

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
template <int T> __global__ __launch_bounds__(GEMV_WARPS *WARP) void gemv_kernel(gemv_work k)
{
    constexpr int DEPTH = sizeof(typename group<T>::raw) > 48 ? 2 : sizeof(typename group<T>::raw) > 40 ? 3 : 4;     // chunks in flight, in registers
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

// ---- many tokens -----------------------------------------------------------------------------------------------------

enum { TILE = 32, TILE_K = 128, TILE_THREADS = 256, W_PITCH = TILE_K + 1, X_PITCH = TILE_K + 2, MINE = 8 };

// Adds what the lane at distance `apart` holds for the N outputs that this lane keeps, and gives it those that it keeps.
template <int N> DEV void halve(float *acc, bool upper, int apart)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float send = upper ? acc[i] : acc[i + N], keep = upper ? acc[i + N] : acc[i];
        acc[i] = keep + __shfl_xor_sync(ALL_LANES, send, apart, LANES);
    }
}

// dst [n][rows] = x [n][cols] W^T
//   grid: (tiles of 32 tokens, tiles of 32 rows)     block: 256 threads = 16 lanes x (4 x 4 sub-tiles of 8 rows x 8 tokens)
//   shared: W tile [32][W_PITCH], x tile [32][X_PITCH] F32, 128 columns at a time
// A thread is one of the sixteen partial sums of 64 products. The pitches keep a half-warp's neighbours in other banks.
// Numerics: the CPU's order exactly, see gemv_kernel; products do not depend on n.
// Twin: matmul in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(TILE_THREADS, 2)
void tile_kernel(float *dst, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t cols, bool vectors, const float *x, int n, bool round)
{
    float *ws = shared_memory<float>(), *xs = ws + TILE * W_PITCH;
    const int tid = (int)threadIdx.x, l = tid % LANES, sub = tid / LANES, r0 = sub / 4 * MINE, t0 = sub % 4 * MINE;
    const int64_t row_base = (int64_t)blockIdx.y * TILE, token_base = (int64_t)blockIdx.x * TILE;
    const int load_row = tid % TILE, load_group = tid / TILE;
    const row_view view = { w + (row_base + load_row) * row_bytes, cols, vectors };

    float acc[MINE * MINE];
#pragma unroll
    for (int i = 0; i < MINE * MINE; i++) acc[i] = 0.0f;
    for (int64_t base = 0; base < cols; base += TILE_K) {
        float v[LANES];
        const int64_t g = base / LANES + load_group;
        const bool there = row_base + load_row < rows && g * LANES < cols;
        if (there) group<T>::values(v, group<T>::load(view, g), g);
#pragma unroll
        for (int i = 0; i < LANES; i++) ws[load_row * W_PITCH + load_group * LANES + i] = there ? v[i] : 0.0f;
#pragma unroll 2
        for (int i = tid; i < TILE * TILE_K; i += TILE_THREADS) {
            const int t = i / TILE_K, c = i % TILE_K;
            xs[t * X_PITCH + c] = token_base + t < n && base + c < cols ? __ldg(x + (token_base + t) * cols + base + c) : 0.0f;
        }
        __syncthreads();
#pragma unroll 1
        for (int s = 0; s < TILE_K / LANES; s++) {
            float wv[MINE], xv[MINE];
#pragma unroll
            for (int i = 0; i < MINE; i++) {
                wv[i] = ws[(r0 + i) * W_PITCH + s * LANES + l];
                xv[i] = xs[(t0 + i) * X_PITCH + s * LANES + l];
            }
#pragma unroll
            for (int r = 0; r < MINE; r++)
#pragma unroll
                for (int t = 0; t < MINE; t++) acc[r * MINE + t] = fmaf(wv[r], xv[t], acc[r * MINE + t]);
        }
        __syncthreads();
    }
    halve<32>(acc, l & 8, 8);
    halve<16>(acc, l & 4, 4);
    halve<8>(acc, l & 2, 2);
    halve<4>(acc, l & 1, 1);
    const int first = (l & 8 ? 32 : 0) + (l & 4 ? 16 : 0) + (l & 2 ? 8 : 0) + (l & 1 ? 4 : 0);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t row = row_base + r0 + (first + i) / MINE, t = token_base + t0 + (first + i) % MINE;
        if (row < rows && t < n) dst[t * rows + row] = rounded(acc[i], round);
    }
}

// ---- embedding -------------------------------------------------------------------------------------------------------

// dst[t] = scale * row ids[t] of w, one block a token; ids NULL: the step's id.
// Twin: cpu_embed.
template <int T> __global__ __launch_bounds__(128)
void embed_kernel(float *dst, const uint8_t *w, int64_t row_bytes, int64_t cols, bool vectors, const int32_t *ids, const gpu_step *step, float scale,
                  bool round)
{
    const int64_t t = blockIdx.x, id = ids ? ids[t] : step->id;
    const row_view view = { w + id * row_bytes, cols, vectors };
    for (int64_t g = threadIdx.x; g * LANES < cols; g += blockDim.x) {
        float v[LANES];
        group<T>::values(v, group<T>::load(view, g), g);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            if (g * LANES + i < cols) dst[t * cols + g * LANES + i] = rounded(v[i] * scale, round);
    }
}

// ===== launchers ======================================================================================================

static bool view_of(const gpu_matrix *w, int64_t *row_bytes, bool *vectors, err *e)
{
    if (!dtype_row_bytes(w->type, w->cols, row_bytes)) return err_set(e, ERR_SYSTEM, "rows of %lld do not divide into blocks of %s", (long long)w->cols, dtype_name(w->type));
    *vectors = *row_bytes % 16 == 0 && w->cols % LANES == 0;
    return true;
}

static bool unknown_type(dtype t, err *e) { return err_set(e, ERR_SYSTEM, "device cuda: no kernel for weights of type %s", dtype_name(t)); }

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

extern "C" bool cuda_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    if (n == 1) return cuda_gemv_many(c, 1, &dst, w, x, e);
    if (cuda_tensor_can(c, w, n)) return cuda_tensor_matmul(c, dst, w, x, n, e);
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    if (ceil_div(w->rows, TILE) > 65535) return err_set(e, ERR_SYSTEM, "a matrix of %lld rows is larger than the grid", (long long)w->rows);
    const gpu_dim grid = dims(ceil_div(n, TILE), ceil_div(w->rows, TILE)), block = dims(TILE_THREADS);
    const size_t shared = TILE * (W_PITCH + X_PITCH) * sizeof(float);
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "tile", grid, block, shared, (tile_kernel<T>))(dst, (const uint8_t *)w->data, row_bytes, w->rows, w->cols, vectors, x, n, c->round);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

extern "C" bool cuda_embed(const gpu_ctx *c, float *dst, const gpu_matrix *w, const int32_t *ids, int n, float scale, err *e)
{
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    if (!ids && (!c->step || n != 1)) return err_set(e, ERR_SYSTEM, "an embedding without ids outside a recorded step");
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "embed", dims(n), dims(128), 0, (embed_kernel<T>))(dst, (const uint8_t *)w->data, row_bytes, w->cols, vectors, ids, c->step, scale, c->round);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}
