// tile: a tile of an exact product of many tokens, for matmul.cu (a matrix) and experts.cu (those of the chosen
// experts).
#ifndef HALLMARK_RUNTIME_CUDA_TILE_CUH
#define HALLMARK_RUNTIME_CUDA_TILE_CUH

#include "decode.cuh"
#include "dev.cuh"

enum { TILE = 32, TILE_K = 128, TILE_THREADS = 256, W_PITCH = TILE_K + 1, X_PITCH = TILE_K + 2, MINE = 8 };

#define TILE_SHARED (TILE * (W_PITCH + X_PITCH) * sizeof(float))

// 32 tokens times rows 32 * blockIdx.y .. + 31 of w [rows][cols]
//   block: 256 threads = 16 lanes x (4 x 4 sub-tiles of 8 rows x 8 tokens)
//   shared: TILE_SHARED: W tile [32][W_PITCH], x tile [32][X_PITCH] F32, 128 columns at a time
//   tokens: has there(t), whether there is a token t of 32; from(t), its row of x; to(t), its row of the result
// A thread is one of the sixteen partial sums of 64 products: of the span at hand, and of the spans before, which is
// why a multiprocessor has one block and not two. The pitches keep a half-warp's neighbours in other banks.
// Numerics: the CPU's order exactly, see gemv_kernel; products do not depend on the number of tokens.
template <int T, class Tokens>
DEV void multiply_tile(const Tokens &tokens, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t cols,
                       bool vectors, bool round)
{
    float *ws = shared_memory<float>(), *xs = ws + TILE * W_PITCH;
    const int tid = (int)threadIdx.x, l = tid % LANES, sub = tid / LANES, r0 = sub / 4 * MINE, t0 = sub % 4 * MINE;
    const int64_t row_base = (int64_t)blockIdx.y * TILE;
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
            xs[t * X_PITCH + c] = tokens.there(t) && base + c < cols ? tokens.from(t)[base + c] : 0.0f;
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
        const int64_t row = row_base + r0 + (first + i) / MINE;
        const int t = t0 + (first + i) % MINE;
        if (row < rows && tokens.there(t)) tokens.to(t)[row] = rounded(total[i], round);
    }
}

#endif
