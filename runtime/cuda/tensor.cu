// tensor: products of many tokens with BF16 weights on the tensor cores (compute capability 8.0 on). See kernels.h.
#include "dev.cuh"
#include "kernels.h"
#include "launch.cuh"

// c += A B, one instruction of a warp: A 16 x 16 BF16 (rows of W), B 16 x 8 BF16 (tokens), c 16 x 8 F32. With g = lane / 4, t = lane % 4:
//   a[0], a[2]: row g, columns 2t, 2t + 1 (+ 8)     a[1], a[3]: row g + 8, the same     b[0], b[1]: column g, rows 2t, 2t + 1 (+ 8)
//   c[0], c[1]: row g, columns 2t, 2t + 1           c[2], c[3]: row g + 8, the same
DEV void mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    c[0] = c[1] = c[2] = c[3] = NAN;            // never launched there
#endif
#else
    // The definition: sums of exact products, rounded once.
    uint64_t all[3][WARP];
    memcpy(all[0], host_warp_exchange(HOST_MMA, ALL_LANES, (uint64_t)a[1] << 32 | a[0]), sizeof all[0]);
    memcpy(all[1], host_warp_exchange(HOST_MMA, ALL_LANES, (uint64_t)a[3] << 32 | a[2]), sizeof all[1]);
    memcpy(all[2], host_warp_exchange(HOST_MMA, ALL_LANES, (uint64_t)b[1] << 32 | b[0]), sizeof all[2]);
    const int lane = host_lane(), g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) {
        const int row = i < 2 ? g : g + 8, column = 2 * t + i % 2;
        double sum = c[i];
        for (int k = 0; k < 16; k++) {
            const int at = k % 8 / 2, shift = 16 * (k % 2);
            const uint32_t ak = (uint32_t)(all[k / 8][row % 8 * 4 + at] >> (row < 8 ? 0 : 32)) >> shift & 0xffff;
            const uint32_t bk = (uint32_t)(all[2][column * 4 + at] >> (k < 8 ? 0 : 32)) >> shift & 0xffff;
            sum += (double)f32_of_bf16(ak) * (double)f32_of_bf16(bk);
        }
        c[i] = (float)sum;
    }
#endif
}

enum { TC_ROWS = 128, TC_TOKENS = 64, TC_K = 32, TC_PITCH = TC_K + 8, TC_THREADS = 256, TC_X_EACH = TC_TOKENS * TC_K / TC_THREADS };

// What a thread carries from device memory for the next 32 columns while the tensor cores work on these.
struct tc_ahead { uint4 w[2]; float x[TC_X_EACH]; };

DEV tc_ahead tc_load(const uint16_t *w, int64_t rows, int64_t cols, int64_t row_base, const float *x, int n, int64_t token_base, int64_t base)
{
    tc_ahead a;
#pragma unroll
    for (int i = 0; i < 2; i++) {           // 128 rows x 4 runs of 8 weights
        const int at = (int)threadIdx.x + i * TC_THREADS, r = at / 4, c = at % 4 * 8;
        a.w[i] = row_base + r < rows ? __ldg(reinterpret_cast<const uint4 *>(w + (row_base + r) * cols + base + c)) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < TC_X_EACH; i++) {
        const int at = (int)threadIdx.x + i * TC_THREADS, t = at / TC_K, c = at % TC_K;
        a.x[i] = token_base + t < n ? __ldg(x + (token_base + t) * cols + base + c) : 0.0f;
    }
    return a;
}

template <int PIECES> DEV void tc_store(uint16_t *ws, uint16_t *xs, const tc_ahead &a)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int at = (int)threadIdx.x + i * TC_THREADS;
        *reinterpret_cast<uint4 *>(ws + at / 4 * TC_PITCH + at % 4 * 8) = a.w[i];
    }
#pragma unroll
    for (int i = 0; i < TC_X_EACH; i++) {
        const int at = (int)threadIdx.x + i * TC_THREADS;
        uint16_t *p = xs + at / TC_K * TC_PITCH + at % TC_K;
        float rest = a.x[i];
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++) {
            p[piece * TC_TOKENS * TC_PITCH] = bf16_of_f32(rest);
            rest = rest - round_bf16(rest);         // exact
        }
    }
}

DEV uint32_t pair_at(const uint16_t *p) { return *reinterpret_cast<const uint32_t *>(p); }

// The 32 columns in shared memory: a warp's 32 rows x 32 tokens.
template <int PIECES> DEV void tc_multiply(float acc[2][4][4], const uint16_t *ws, const uint16_t *xs)
{
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    ws += warp / 2 * 32 * TC_PITCH;
    xs += warp % 2 * 32 * TC_PITCH;
    uint32_t a[2][2][4];
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) a[k][m][i] = pair_at(ws + (m * 16 + g + 8 * (i & 1)) * TC_PITCH + k * 16 + 2 * t + 8 * (i >> 1));
#pragma unroll
    for (int col = 0; col < 4; col++) {
        float part[2][4] = {};
#pragma unroll
        for (int piece = PIECES - 1; piece >= 0; piece--)       // the small ones first
#pragma unroll
            for (int k = 0; k < 2; k++) {
                const uint16_t *p = xs + piece * TC_TOKENS * TC_PITCH + (col * 8 + g) * TC_PITCH + k * 16 + 2 * t;
                const uint32_t b[2] = { pair_at(p), pair_at(p + 8) };
#pragma unroll
                for (int m = 0; m < 2; m++) mma_bf16(part[m], a[k][m], b);
            }
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) acc[m][col][i] = acc[m][col][i] + part[m][i];
    }
}

// dst [n][rows] = x [n][cols] W^T, W BF16, 32 divides cols
//   grid: (tiles of 64 tokens, tiles of 128 rows)     block: 8 warps, 4 x 2, each 32 rows x 32 tokens
//   shared: W [128][TC_PITCH] BF16, then PIECES of x [64][TC_PITCH] BF16; the pitch keeps fragments' rows in other banks
// Numerics: a BF16 weight is exact as it is; an F32 activation is the sum of three BF16 pieces (24 bits), under ARITH_BF16 one piece is
//   exact. The tensor cores truncate where they add, so they never add more than 32 columns: those sums start at zero and join the
//   F32 accumulators by rounded additions, in ascending order. Same input, same bits, but not the CPU's: its sums have another order.
// Twin: matmul in runtime/cpu/kernels.inc, within the rounding of F32 sums.
template <int PIECES> __global__ __launch_bounds__(TC_THREADS, 2)
void tensor_kernel(float *dst, const uint16_t *w, int64_t rows, int64_t cols, const float *x, int n, bool round)
{
    uint16_t *ws = shared_memory<uint16_t>(), *xs = ws + TC_ROWS * TC_PITCH;
    const int64_t row_base = (int64_t)blockIdx.y * TC_ROWS, token_base = (int64_t)blockIdx.x * TC_TOKENS;
    float acc[2][4][4] = {};
    tc_ahead ahead = tc_load(w, rows, cols, row_base, x, n, token_base, 0);
    for (int64_t base = 0; base < cols; base += TC_K) {
        tc_store<PIECES>(ws, xs, ahead);
        __syncthreads();
        if (base + TC_K < cols) ahead = tc_load(w, rows, cols, row_base, x, n, token_base, base + TC_K);
        tc_multiply<PIECES>(acc, ws, xs);
        __syncthreads();
    }
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int col = 0; col < 4; col++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int64_t row = row_base + warp / 2 * 32 + m * 16 + lane / 4 + 8 * (i >> 1);
                const int64_t t = token_base + warp % 2 * 32 + col * 8 + lane % 4 * 2 + (i & 1);
                if (row < rows && t < n) dst[t * rows + row] = rounded(acc[m][col][i], round);
            }
}

// ===== launchers ======================================================================================================

extern "C" bool cuda_tensor_can(const gpu_ctx *c, const gpu_matrix *w, int n)
{
    return c->tensor && w->type == DT_BF16 && w->cols % TC_K == 0 && n >= CUDA_TENSOR_TOKENS && gpu_properties(c->g)->major >= 8 &&
           ceil_div(w->rows, TC_ROWS) <= 65535;
}

extern "C" bool cuda_tensor_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    const gpu_dim grid = dims(ceil_div(n, TC_TOKENS), ceil_div(w->rows, TC_ROWS)), block = dims(TC_THREADS);
    const size_t tile = TC_PITCH * sizeof(uint16_t);
    if (c->round)
        return LAUNCH(c->g, e, "tensor, one piece", grid, block, tile * (TC_ROWS + TC_TOKENS), (tensor_kernel<1>))(dst, (const uint16_t *)w->data, w->rows, w->cols, x, n, true);
    return LAUNCH(c->g, e, "tensor, three pieces", grid, block, tile * (TC_ROWS + 3 * TC_TOKENS), (tensor_kernel<3>))(dst, (const uint16_t *)w->data, w->rows, w->cols, x, n, false);
}
