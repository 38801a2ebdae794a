// matmul: y = W x for many tokens, and rows of W as embeddings. See kernels.h.
#include "decode.cuh"
#include "kernels.h"
#include "dev.cuh"
#include "../../device/launch.cuh"

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
// A thread is one of the sixteen partial sums of 64 products: of the span at hand, and of the spans before, which is why a multiprocessor has
// one block and not two. The pitches keep a half-warp's neighbours in other banks.
// Numerics: the CPU's order exactly, see gemv_kernel; products do not depend on n.
// Twin: matmul in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(TILE_THREADS)
void tile_kernel(float *dst, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t cols, bool vectors, const float *x, int n, bool round)
{
    after_previous();
    float *ws = shared_memory<float>(), *xs = ws + TILE * W_PITCH;
    const int tid = (int)threadIdx.x, l = tid % LANES, sub = tid / LANES, r0 = sub / 4 * MINE, t0 = sub % 4 * MINE;
    const int64_t row_base = (int64_t)blockIdx.y * TILE, token_base = (int64_t)blockIdx.x * TILE;
    const int load_row = tid % TILE, load_group = tid / TILE;
    const row_view view = { w + (row_base + load_row) * row_bytes, cols, vectors };

    float total[MINE * MINE] = {}, acc[MINE * MINE] = {};
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
            xs[t * X_PITCH + c] = token_base + t < n && base + c < cols ? x[(token_base + t) * cols + base + c] : 0.0f;
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
        if ((base + TILE_K) % GPU_COLUMN_SPAN == 0 || base + TILE_K >= cols) {        // the span ends
#pragma unroll
            for (int i = 0; i < MINE * MINE; i++) {
                total[i] = total[i] + acc[i];
                acc[i] = 0.0f;
            }
        }
        __syncthreads();
    }
    halve<32>(total, l & 8, 8);
    halve<16>(total, l & 4, 4);
    halve<8>(total, l & 2, 2);
    halve<4>(total, l & 1, 1);
    const int first = (l & 8 ? 32 : 0) + (l & 4 ? 16 : 0) + (l & 2 ? 8 : 0) + (l & 1 ? 4 : 0);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t row = row_base + r0 + (first + i) / MINE, t = token_base + t0 + (first + i) % MINE;
        if (row < rows && t < n) dst[t * rows + row] = rounded(total[i], round);
    }
}

// ---- embedding -------------------------------------------------------------------------------------------------------

// dst[t] = scale * row ids[t] of w, one block a token; ids NULL: the step's id.
// Twin: cpu_embed.
template <int T> __global__ __launch_bounds__(128)
void embed_kernel(float *dst, const uint8_t *w, int64_t row_bytes, int64_t cols, bool vectors, const int32_t *ids, const gpu_step *step, float scale,
                  bool round)
{
    after_previous();
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
