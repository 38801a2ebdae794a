// matmul: y = W x for many tokens, and rows of W as embeddings. See kernels.h.
#include "kernels.h"
#include "tile.cuh"
#include "../../device/launch.cuh"

// ---- many tokens ----------------------------------------------------------------------------------------------------

struct dense_tokens {           // n tokens, one behind the other, from `first` on
    const float *x;
    float       *dst;
    int64_t      cols, rows, first;
    int          n;
    __device__ __forceinline__ bool there(int t) const { return first + t < n; }
    __device__ __forceinline__ const float *from(int t) const { return x + (first + t) * cols; }
    __device__ __forceinline__ float *to(int t) const { return dst + (first + t) * rows; }
};

// dst [n][rows] = x [n][cols] W^T
//   grid: (tiles of 32 tokens, tiles of 32 rows)     block, shared: see multiply_tile
// Twin: matmul in runtime/cpu/kernels.inc.
template <int T>
__global__ __launch_bounds__(TILE_THREADS) void tile_kernel(float *dst, const uint8_t *w, int64_t row_bytes,
                                                            int64_t rows, int64_t cols, bool vectors, const float *x,
                                                            int n, bool round)
{
    after_previous();
    multiply_tile<T>(dense_tokens { x, dst, cols, rows, (int64_t)blockIdx.x * TILE, n }, w, row_bytes, rows, cols,
                     vectors, round);
}

// ---- embedding ------------------------------------------------------------------------------------------------------

// dst[t] = scale * row ids[t] of w, one block a token; ids NULL: the step's id.
// Twin: cpu_embed.
template <int T>
__global__ __launch_bounds__(128) void embed_kernel(float *dst, const uint8_t *w, int64_t row_bytes, int64_t cols,
                                                    bool vectors, const int32_t *ids, const gpu_step *step, float scale,
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

// ===== launchers =====================================================================================================

extern "C" bool cuda_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    if (n == 1) return cuda_gemv_many(c, 1, &dst, w, x, e);
    if (cuda_tensor_can(c, w, n)) return cuda_tensor_matmul(c, dst, w, x, n, e);
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    if (ceil_div(w->rows, TILE) > 65535)
        return err_set(e, ERR_SYSTEM, "a matrix of %lld rows is larger than the grid", (long long)w->rows);
    const gpu_dim grid = dims(ceil_div(n, TILE), ceil_div(w->rows, TILE)), block = dims(TILE_THREADS);
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "tile", grid, block, TILE_SHARED, (tile_kernel<T>))(      \
        dst, (const uint8_t *)w->data, row_bytes, w->rows, w->cols, vectors, x, n, c->round);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

extern "C" bool cuda_embed(const gpu_ctx *c, float *dst, const gpu_matrix *w, const int32_t *ids, int n, float scale,
                           err *e)
{
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    if (!ids && (!c->step || n != 1)) return err_set(e, ERR_SYSTEM, "an embedding without ids outside a recorded step");
    switch (w->type) {
#define ROW(T)                                                                                                \
    case T:                                                                                                   \
        return LAUNCH(c->g, e, "embed", dims(n), dims(128), 0, (embed_kernel<T>))(                            \
            dst, (const uint8_t *)w->data, row_bytes, w->cols, vectors, ids, c->step, scale, c->round);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}
