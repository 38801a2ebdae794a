// tensor: products of many tokens on the tensor cores (compute capability 8.0 on), weights and activations in BF16 pieces. See kernels.h.
#include "dev.cuh"
#include "kernels.h"
#include "../../quant/cuda/launch.cuh"

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
template <int WP> struct tc_ahead { uint4 w[WP][2]; float x[TC_X_EACH]; };

// w, x: where this thread's first run of 8 weights and first value of x lie in the 32 columns; the others are 64 rows and 8 tokens apart.
// rows, n: how many rows and tokens there are from there on. plane: elements between two pieces of W.
template <int WP> DEV tc_ahead<WP> tc_load(const uint16_t *w, int64_t plane, int64_t rows, const float *x, int64_t n, int64_t cols)
{
    tc_ahead<WP> a;
#pragma unroll
    for (int p = 0; p < WP; p++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            a.w[p][i] = 64 * i < rows ? __ldg(reinterpret_cast<const uint4 *>(w + p * plane + 64 * i * cols)) : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < TC_X_EACH; i++) a.x[i] = 8 * i < n ? __ldg(x + 8 * i * cols) : 0.0f;
    return a;
}

template <int WP, int XP> DEV void tc_store(uint16_t *ws, uint16_t *xs, const tc_ahead<WP> &a)
{
#pragma unroll
    for (int p = 0; p < WP; p++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int at = (int)threadIdx.x + i * TC_THREADS;
            *reinterpret_cast<uint4 *>(ws + p * TC_ROWS * TC_PITCH + at / 4 * TC_PITCH + at % 4 * 8) = a.w[p][i];
        }
#pragma unroll
    for (int i = 0; i < TC_X_EACH; i++) {
        const int at = (int)threadIdx.x + i * TC_THREADS;
        uint16_t *p = xs + at / TC_K * TC_PITCH + at % TC_K;
        float rest = a.x[i];
#pragma unroll
        for (int piece = 0; piece < XP; piece++) {
            p[piece * TC_TOKENS * TC_PITCH] = bf16_of_f32(rest);
            rest = rest - round_bf16(rest);         // exact
        }
    }
}

DEV uint32_t pair_at(const uint16_t *p) { return *reinterpret_cast<const uint32_t *>(p); }

// The 32 columns in shared memory: a warp's 32 rows x 32 tokens. Of pieces' products those are left out that no F32 sum would notice:
// piece p is 2^-8p of the first at most, and products of two pieces beyond the last one of either are below 2^-24 of the whole.
template <int WP, int XP> DEV void tc_multiply(float acc[2][4][4], const uint16_t *ws, const uint16_t *xs)
{
    constexpr int LAST = (WP > XP ? WP : XP) - 1;
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    ws += (warp / 2 * 32 + g) * TC_PITCH + 2 * t;
    xs += (warp % 2 * 32 + g) * TC_PITCH + 2 * t;
    float part[2][4][4] = {};
#pragma unroll
    for (int level = LAST; level >= 0; level--)         // the small ones first
#pragma unroll
        for (int wp = 0; wp < WP; wp++) {
            const int xp = level - wp;
            if (xp < 0 || xp >= XP) continue;
#pragma unroll
            for (int k = 0; k < 2; k++) {
                uint32_t a[2][4];
#pragma unroll
                for (int m = 0; m < 2; m++)
#pragma unroll
                    for (int i = 0; i < 4; i++) a[m][i] = pair_at(ws + (wp * TC_ROWS + m * 16 + 8 * (i & 1)) * TC_PITCH + k * 16 + 8 * (i >> 1));
#pragma unroll
                for (int col = 0; col < 4; col++) {
                    const uint16_t *p = xs + (xp * TC_TOKENS + col * 8) * TC_PITCH + k * 16;
                    const uint32_t b[2] = { pair_at(p), pair_at(p + 8) };
#pragma unroll
                    for (int m = 0; m < 2; m++) mma_bf16(part[m][col], a[m], b);
                }
            }
        }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int col = 0; col < 4; col++)
#pragma unroll
            for (int i = 0; i < 4; i++) acc[m][col][i] = acc[m][col][i] + part[m][col][i];
}

struct tensor_work {
    float          *dst;                // [n], stride floats apart
    const uint16_t *w;                  // BF16 [pieces][rows][cols], plane elements between two pieces
    const float    *x;                  // [n][cols]
    int64_t         plane, rows, cols, stride;
    int             n;
    bool            round;
};

// dst [n][rows] = x [n][cols] W^T, W in WP pieces, x in XP; 32 divides cols
//   grid: (tiles of 64 tokens, tiles of 128 rows)     block: 8 warps, 4 x 2, each 32 rows x 32 tokens
//   shared: WP of W [128][TC_PITCH] BF16, then XP of x [64][TC_PITCH] BF16; the pitch keeps fragments' rows in other banks
// Numerics: a BF16 weight is exact as it is, any other is the sum of three BF16 pieces (24 bits); so is an F32 activation, under
//   ARITH_BF16 one piece is exact. The tensor cores truncate where they add, so they never add more than 32 columns: those sums start at
//   zero and join the F32 accumulators by rounded additions, in ascending order. Same input, same bits, but not the CPU's: its sums
//   have another order.
// Twin: matmul in runtime/cpu/kernels.inc, within the rounding of F32 sums.
template <int WP, int XP> __global__ __launch_bounds__(TC_THREADS, WP == 1 ? 2 : 1)
void tensor_kernel(tensor_work k)
{
    after_previous();
    uint16_t *ws = shared_memory<uint16_t>(), *xs = ws + WP * TC_ROWS * TC_PITCH;
    const int64_t row_base = (int64_t)blockIdx.y * TC_ROWS, token_base = (int64_t)blockIdx.x * TC_TOKENS, cols = k.cols;
    const int tid = (int)threadIdx.x;
    const int64_t my_rows = k.rows - row_base - tid / 4, my_tokens = k.n - token_base - tid / TC_K;
    const uint16_t *my_w = k.w + (row_base + tid / 4) * cols + tid % 4 * 8;
    const float *my_x = k.x + (token_base + tid / TC_K) * cols + tid % TC_K;
    float acc[2][4][4] = {};
    tc_ahead<WP> ahead = tc_load<WP>(my_w, k.plane, my_rows, my_x, my_tokens, cols);
    for (int64_t base = 0; base < cols; base += TC_K) {
        tc_store<WP, XP>(ws, xs, ahead);
        __syncthreads();
        my_w += TC_K;
        my_x += TC_K;
        if (base + TC_K < cols) ahead = tc_load<WP>(my_w, k.plane, my_rows, my_x, my_tokens, cols);
        tc_multiply<WP, XP>(acc, ws, xs);
        __syncthreads();
    }
    const int warp = tid / WARP, lane = tid % WARP;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int col = 0; col < 4; col++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int64_t row = row_base + warp / 2 * 32 + m * 16 + lane / 4 + 8 * (i >> 1);
                const int64_t t = token_base + warp % 2 * 32 + col * 8 + lane % 4 * 2 + (i & 1);
                if (row < k.rows && t < k.n) k.dst[t * k.stride + row] = rounded(acc[m][col][i], k.round);
            }
}

// ===== launchers ======================================================================================================

extern "C" bool cuda_tensor_can(const gpu_ctx *c, const gpu_matrix *w, int n)
{
    const bool one_piece = w->type == DT_BF16, room = c->pieces_bytes / (GPU_WEIGHT_PIECES * (int64_t)sizeof(uint16_t) * w->cols) > 0;
    return c->tensor && (one_piece || room) && w->cols % TC_K == 0 && n >= CUDA_TENSOR_TOKENS && gpu_properties(c->g)->major >= 8 &&
           ceil_div(w->rows, TC_ROWS) <= 65535;
}

static bool run_tensor(const gpu_ctx *c, const tensor_work *k, int w_pieces, err *e)
{
    const gpu_dim grid = dims(ceil_div(k->n, TC_TOKENS), ceil_div(k->rows, TC_ROWS)), block = dims(TC_THREADS);
    const size_t tile = TC_PITCH * sizeof(uint16_t), shared = tile * (size_t)(w_pieces * TC_ROWS + (k->round ? 1 : 3) * TC_TOKENS);
    if (w_pieces == 1 && k->round) return LAUNCH(c->g, e, "tensor, 1 x 1 pieces", grid, block, shared, (tensor_kernel<1, 1>))(*k);
    if (w_pieces == 1)             return LAUNCH(c->g, e, "tensor, 1 x 3 pieces", grid, block, shared, (tensor_kernel<1, 3>))(*k);
    if (k->round)                  return LAUNCH(c->g, e, "tensor, 3 x 1 pieces", grid, block, shared, (tensor_kernel<3, 1>))(*k);
    return LAUNCH(c->g, e, "tensor, 3 x 3 pieces", grid, block, shared, (tensor_kernel<3, 3>))(*k);
}

extern "C" bool cuda_tensor_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    tensor_work k = { dst, (const uint16_t *)w->data, x, 0, w->rows, w->cols, w->rows, n, c->round };
    if (w->type == DT_BF16) return run_tensor(c, &k, 1, e);
    // As many rows at a time as the pieces have room for; whole tiles where that is more than one, and what one grid can have.
    int64_t most = c->pieces_bytes / (GPU_WEIGHT_PIECES * (int64_t)sizeof(uint16_t) * w->cols);
    if (most > TC_ROWS) most = most / TC_ROWS * TC_ROWS;
    if (most > 65535) most = 65535 / TC_ROWS * TC_ROWS;
    for (int64_t row = 0; row < w->rows; row += most) {
        const int64_t rows = w->rows - row < most ? w->rows - row : most;
        k.dst = dst + row;
        k.w = c->pieces;
        k.plane = rows * w->cols;
        k.rows = rows;
        if (!cuda_weight_pieces(c, w, row, rows, e) || !run_tensor(c, &k, GPU_WEIGHT_PIECES, e)) return false;
    }
    return true;
}
