// tensor: products of many tokens on the tensor cores (compute capability 8.0 on), weights and activations in BF16
// pieces. See kernels.h.
#include "mma.cuh"
#include "cublas.h"
#include "kernels.h"
#include "../../device/launch.cuh"

// ---- tiles ----------------------------------------------------------------------------------------------------------

// What a block computes: WARPS_R x WARPS_T warps, each of M x N products of 16 rows x 8 tokens. SHARED: bytes that its
// stages may take, so that as many blocks as it wants to be fit a multiprocessor of compute capability 9.0.
template <int WARPS_R, int WARPS_T, int M_, int N_, int BLOCKS_, int SHARED_> struct tile {
    enum {
        ACROSS = WARPS_T,
        M = M_,
        N = N_,
        THREADS = WARP * WARPS_R * WARPS_T,
        ROWS = 16 * M_ * WARPS_R,
        TOKENS = 8 * N_ * WARPS_T,
        BLOCKS = BLOCKS_,
        SHARED = SHARED_
    };
};
// 192 rows: 1536, 6144 and 12288 rows x 512 tokens become 128 or 256 blocks with the spans below, which is what 132
// multiprocessors can share.
typedef tile<4, 2, 3, 8, 1, 160 << 10> large_tile;      // 192 x 128
typedef tile<2, 2, 4, 4, 3, 72 << 10>  middle_tile;     // 128 x 64
typedef tile<2, 2, 2, 4, 4, 54 << 10>  small_tile;      //  64 x 64

enum { TC_K = 32, TC_ROW_BYTES = 2 * TC_K, TC_CHUNKS = TC_ROW_BYTES / 16, TC_MAX_STAGES = 4 };

// A stage holds TC_K columns: WP pieces of W [ROWS][TC_K], then XP of x [TOKENS][TC_K].
template <int WP, int XP, class T> struct stages {
    enum {
        W_PLANE = T::ROWS * TC_ROW_BYTES,
        X_PLANE = T::TOKENS * TC_ROW_BYTES,
        X_AT = WP * W_PLANE,
        BYTES = X_AT + XP * X_PLANE,
        FIT = T::SHARED / BYTES,
        COUNT = FIT < TC_MAX_STAGES ? FIT : TC_MAX_STAGES
    };
    static_assert(COUNT >= 2, "copies need a stage to arrive in while another is read");
};

[[maybe_unused]] DEV int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Where chunk c (16 bytes) of a row lies: rows of 64 bytes, and the 8 rows that load_matrices reads at once meet every
// bank once.
[[maybe_unused]] DEV int swizzled(int row, int c) { return row * TC_ROW_BYTES + (c ^ (row >> 1 & 3)) * 16; }

// Where this thread is, asked for anew: what is made of it behind a loop takes no register within.
struct place { int thread, x, y, z; };
[[maybe_unused]] DEV place place_again()
{
    place p;
#ifdef __CUDACC__
    asm volatile("mov.u32 %0, %%tid.x; mov.u32 %1, %%ctaid.x; mov.u32 %2, %%ctaid.y; mov.u32 %3, %%ctaid.z;"
                 : "=r"(p.thread), "=r"(p.x), "=r"(p.y), "=r"(p.z));
#else
    p = { (int)threadIdx.x, (int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z };
#endif
    return p;
}

// ---- the kernel -----------------------------------------------------------------------------------------------------

struct tensor_work {
    float          *dst;                // [n], stride floats apart; of several spans: their sums [span][n][rows]
    // BF16 [pieces][rows][cols], [pieces][n][cols]; w_plane, x_plane elements between two pieces
    const uint16_t *w, *x;
    int64_t         w_plane, x_plane, rows, cols, stride;
    int             n, n_spans, span_steps;     // a span: so many times TC_K columns
    bool            round;
};

// What one thread copies for each stage: its chunk of every PASS-th row of a matrix, in all pieces.
template <int PIECES, int ROWS, int THREADS> struct copier {
    enum { PASS = THREADS / TC_CHUNKS, EACH = ROWS / PASS };
    static_assert(ROWS % PASS == 0 && PASS % 8 == 0, "every thread copies as much, and swizzles alike");
    const uint8_t *from;
    int64_t        plane;               // bytes, as off
    uint32_t       off[EACH];
    int            to;

    // Rows behind the last are copies of it: what is computed of them is not stored.
    __device__ __forceinline__ copier(const uint16_t *m, int64_t plane_, int64_t first, int64_t rows, int64_t cols,
                                      int64_t column)
    {
        const int row = (int)threadIdx.x / TC_CHUNKS, c = (int)threadIdx.x % TC_CHUNKS;
        const int64_t last = rows - first - 1;
        from = reinterpret_cast<const uint8_t *>(m + first * cols + column);
        plane = 2 * plane_;
        to = swizzled(row, c);
#pragma unroll
        for (int i = 0; i < EACH; i++) off[i] = (uint32_t)(smaller(row + i * PASS, last) * cols * 2) + 16 * c;
    }
    // Pieces FROM .. TO - 1; with the last one goes on to the next columns.
    template <int FROM, int TO> __device__ __forceinline__ void start(shared_address at)
    {
#pragma unroll
        for (int p = FROM; p < TO; p++)
#pragma unroll
            for (int i = 0; i < EACH; i++)
                copy_16_async(at + (to + (p * ROWS + i * PASS) * TC_ROW_BYTES), from + p * plane + off[i]);
#pragma unroll
        for (int i = 0; i < EACH && FROM < TO && TO == PIECES; i++) off[i] += TC_ROW_BYTES;
    }
};

// A warp's rows of one stage: fragments of 16 rows x 16 columns, in all pieces. w0, w1: where this lane's row begins
// for columns 0 .. 15 and 16 .. 31.
template <int WP, int XP, class T> DEV void load_rows(uint32_t a[WP][T::M][2][4], shared_address w0, shared_address w1)
{
#pragma unroll
    for (int p = 0; p < WP; p++)
#pragma unroll
        for (int m = 0; m < T::M; m++) {
            load_matrices(a[p][m][0], w0 + (p * stages<WP, XP, T>::W_PLANE + m * 16 * TC_ROW_BYTES));
            load_matrices(a[p][m][1], w1 + (p * stages<WP, XP, T>::W_PLANE + m * 16 * TC_ROW_BYTES));
        }
}

// acc += the rows times 8 x (TO - FROM) of a warp's tokens. x: where this lane's token and columns begin in the stage.
// The pieces' products are added from small to large on the tensor cores, starting at zero: two instructions for each,
// 32 columns.
template <int WP, int XP, class T, int FROM, int TO>
DEV void multiply(float acc[T::M][T::N][4], const uint32_t a[WP][T::M][2][4], shared_address x)
{
    enum { SMALLEST = (WP > XP ? WP : XP) - 1 };
#pragma unroll
    for (int n = FROM; n < TO; n++) {
        uint32_t b[XP][4];
        float part[T::M][4] = {};
#pragma unroll
        for (int p = 0; p < XP; p++) load_matrices(b[p], x + (p * stages<WP, XP, T>::X_PLANE + n * 8 * TC_ROW_BYTES));
#pragma unroll
        for (int level = SMALLEST; level >= 0; level--)
#pragma unroll
            for (int wp = 0; wp < WP; wp++) {
                const int xp = level - wp;
                if (xp < 0 || xp >= XP) continue;
#pragma unroll
                for (int k = 0; k < 2; k++)
#pragma unroll
                    for (int m = 0; m < T::M; m++) mma_bf16(part[m], a[wp][m][k], b[xp] + 2 * k);
            }
#pragma unroll
        for (int m = 0; m < T::M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) acc[m][n][i] = acc[m][n][i] + part[m][i];
    }
}

// dst [n][rows] = x [n][cols] W^T, W in WP pieces, x in XP; 32 divides cols
//   grid: (tiles of tokens, tiles of rows, spans of columns)     block: a T     shared: stages<WP, XP, T>::COUNT stages
// While a stage is multiplied the next ones are on their way (cp.async); one barrier a stage: it says that all copies
// of this stage are there and that nobody reads the stage any more that is filled next.
// Numerics: a BF16 weight is exact as it is, any other is the sum of three BF16 pieces (24 bits); so is an F32
// activation, under
//   ARITH_BF16 one piece is exact. The tensor cores cut where they add, and so they never add more than 32 columns:
//   twice 16 is the fewest that hides an instruction's latency behind its neighbour's, and each further one would be
//   cut at the size of the sum before it. Those sums start at zero and join the F32 accumulators by rounded additions,
//   in ascending order. Spans depend on the matrix only, so that a result depends neither on n nor on the tile nor on
//   the device's size. Same input, same bits; the CPU's sums have another order.
// Twin: matmul in runtime/cpu/kernels.inc, within 2^-21 of the sum of magnitudes.
template <int WP, int XP, class T>
__global__ __launch_bounds__(T::THREADS,
                             (WP == 1 || T::BLOCKS == 1 ? (int)T::BLOCKS : 2)) void tensor_kernel(tensor_work k)
{
    after_previous();
#ifdef HAS_TENSOR_CORES
    typedef stages<WP, XP, T> s;
    enum { MOST = (WP + 1) / 2 };                       // of the pieces of W
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t row_base = (int64_t)blockIdx.y * T::ROWS, token_base = (int64_t)blockIdx.x * T::TOKENS,
                  step0 = (int64_t)blockIdx.z * k.span_steps;
    const int steps = (int)smaller(k.cols / TC_K - step0, k.span_steps);
    const shared_address base = shared_at(shared_memory<uint8_t>());
    copier<WP, T::ROWS, T::THREADS> w(k.w, k.w_plane, row_base, k.rows, k.cols, step0 * TC_K);
    copier<XP, T::TOKENS, T::THREADS> x(k.x, k.x_plane, token_base, k.n, k.cols, step0 * TC_K);
    // A fragment of W: rows lane % 16, then the next 8 columns. One of x: tokens lane % 8, and all four chunks of the
    // 32 columns.
    const int w0 = swizzled(warp / T::ACROSS * T::M * 16 + lane % 16, lane / 16),
              w1 = swizzled(warp / T::ACROSS * T::M * 16 + lane % 16, lane / 16 + 2);
    const int x0 = s::X_AT + swizzled(warp % T::ACROSS * T::N * 8 + lane % 8, lane / 8);

    float acc[T::M][T::N][4] = {};
    int to_start = steps, fill = 0, read = 0;           // stages filled and read next
    const auto start_some = [&] {
        if (to_start > 0) w.template start<0, MOST>(base + fill);
    };
    const auto start_rest = [&] {
        if (to_start > 0) {
            w.template start<MOST, WP>(base + fill);
            x.template start<0, XP>(base + (fill + s::X_AT));
        }
        copies_commit();                                // an empty group at the end: the wait counts groups
        to_start--;
        fill = fill == (s::COUNT - 1) * s::BYTES ? 0 : fill + s::BYTES;
    };
#pragma unroll
    for (int i = 0; i < s::COUNT - 1; i++) { start_some(); start_rest(); }
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        uint32_t a[WP][T::M][2][4];
        copies_wait<s::COUNT - 2>();
        __syncthreads();
        load_rows<WP, XP, T>(a, base + (read + w0), base + (read + w1));
        // The copies stand between the products: their branches keep the compiler from loading all fragments of x at
        // once.
        multiply<WP, XP, T, 0, T::N * 3 / 8>(acc, a, base + (read + x0));
        start_some();
        multiply<WP, XP, T, T::N * 3 / 8, T::N * 3 / 4>(acc, a, base + (read + x0));
        start_rest();
        multiply<WP, XP, T, T::N * 3 / 4, T::N>(acc, a, base + (read + x0));
        read = read == (s::COUNT - 1) * s::BYTES ? 0 : read + s::BYTES;
    }
    const place me = place_again();
    const int my_lane = me.thread % WARP, my_warp = me.thread / WARP;
    const int64_t row = (int64_t)me.y * T::ROWS + my_warp / T::ACROSS * T::M * 16 + my_lane / 4;
    const int64_t t = (int64_t)me.x * T::TOKENS + my_warp % T::ACROSS * T::N * 8 + my_lane % 4 * 2;
    const int rows_left = (int)smaller(k.rows - row, T::ROWS), tokens_left = (int)smaller(k.n - t, T::TOKENS);
    float *dst = k.dst + ((int64_t)me.z * k.n + t) * k.stride + row;
#pragma unroll
    for (int n = 0; n < T::N; n++) {
#pragma unroll
        for (int m = 0; m < T::M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (m * 16 + 8 * (i >> 1) < rows_left && n * 8 + (i & 1) < tokens_left)
                    dst[(i & 1) * k.stride + m * 16 + 8 * (i >> 1)] = rounded(acc[m][n][i], k.round);
        dst += 8 * k.stride;
    }
#endif
}

enum { JOIN_THREADS = 128 };

// dst [n], stride floats apart = the sum of spans [n_spans][n][rows], in ascending order, rounded under ARITH_BF16
//   grid: (runs of JOIN_THREADS rows, tokens)
__global__ __launch_bounds__(JOIN_THREADS)
void join_kernel(float *dst, const float *spans, int n_spans, int64_t rows, int64_t stride, bool round)
{
    after_previous();
    const int64_t row = (int64_t)blockIdx.x * JOIN_THREADS + threadIdx.x, t = blockIdx.y,
                  span = (int64_t)gridDim.y * rows;
    if (row >= rows) return;
    float sum = spans[t * rows + row];
    for (int i = 1; i < n_spans; i++) sum = sum + spans[i * span + t * rows + row];
    dst[t * stride + row] = rounded(sum, round);
}

// ===== launchers =====================================================================================================

// Matrices of few rows are cut into spans of columns, so that 512 tokens give work to 132 multiprocessors. Of the
// matrix alone, not of the
// device or n: the order of additions is the same everywhere.
static int spans_of(const gpu_matrix *w)
{
    enum { ROW_TILES = 33, FEWEST_COLUMNS = 256 };
    const int64_t most = w->cols / FEWEST_COLUMNS, wanted = ROW_TILES / ceil_div(w->rows, large_tile::ROWS);
    const int64_t n = wanted < most ? wanted : most, steps = w->cols / TC_K;
    return n <= 1 ? 1 : (int)ceil_div(steps, ceil_div(steps, n));
}

typedef bool (*tensor_run)(const gpu_ctx *c, const tensor_work *k, err *e);

template <int WP, int XP, class T> static bool run_tile(const gpu_ctx *c, const tensor_work *k, err *e)
{
    typedef stages<WP, XP, T> s;
    const gpu_dim grid = dims(ceil_div(k->n, T::TOKENS), ceil_div(k->rows, T::ROWS), k->n_spans),
                  block = dims(T::THREADS);
    return LAUNCH(c->g, e, "tensor", grid, block, (size_t)(s::COUNT * s::BYTES), (tensor_kernel<WP, XP, T>))(*k);
}

// cost: of a tile's products, by the bytes that travel for each, to the first's; an estimate, see SPEED.md.
// form: three pieces of W, of x
struct tile_row { int rows, tokens; double cost; struct { tensor_run run; int shared; } form[2][2]; };
#define FORM(WP, XP, T) { run_tile<WP, XP, T>, stages<WP, XP, T>::COUNT * stages<WP, XP, T>::BYTES }
#define TILE(T, COST)                                                                                                  \
    {                                                                                                                  \
        T::ROWS, T::TOKENS, COST,                                                                                      \
        {                                                                                                              \
            { FORM(1, 1, T), FORM(1, 3, T) }, { FORM(3, 1, T), FORM(3, 3, T) }                                         \
        }                                                                                                              \
    }
static const tile_row tiles[CUDA_TENSOR_TILES] = { TILE(large_tile, 1.0), TILE(middle_tile, 1.6),
                                                   TILE(small_tile, 2.3) };
#undef TILE
#undef FORM

// The tile that is through first, if each multiprocessor takes block after block. Bits do not depend on it.
static int choose_tile(const gpu_ctx *c, const tensor_work *k, bool w3, bool x3)
{
    const gpu_props *device = gpu_properties(c->g);
    int best = CUDA_TENSOR_TILES - 1;
    double best_time = INFINITY;
    if (c->products->tile >= 0) return c->products->tile;
    for (int i = 0; i < CUDA_TENSOR_TILES; i++) {
        const tile_row *t = &tiles[i];
        const int64_t blocks = ceil_div(k->rows, t->rows) * ceil_div(k->n, t->tokens) * k->n_spans;
        const double time = (double)ceil_div(blocks, device->n_sm) * t->rows * t->tokens * t->cost;
        if (t->form[w3][x3].shared > device->max_shared_bytes || !(time < best_time)) continue;
        best = i;
        best_time = time;
    }
    return best;
}

static bool run_tensor(const gpu_ctx *c, const tensor_work *k, bool w3, err *e)
{
    const gpu_products *p = c->products;
    const bool x3 = p->x_pieces > 1;
    tensor_work one = *k;
    if (k->n_spans > 1) {
        one.dst = p->spans;
        one.stride = k->rows;
        one.round = false;
    }
    if (!tiles[choose_tile(c, k, w3, x3)].form[w3][x3].run(c, &one, e)) return false;
    return k->n_spans == 1 || LAUNCH(c->g, e, "join", dims(ceil_div(k->rows, JOIN_THREADS), k->n), dims(JOIN_THREADS),
                                     0, (join_kernel))(k->dst, p->spans, k->n_spans, k->rows, k->stride, k->round);
}

extern "C" bool cuda_tensor_can(const gpu_ctx *c, const gpu_matrix *w, int n)
{
    return c->products && c->products->mode != PRODUCTS_EXACT && w->cols % TC_K == 0 && n >= CUDA_TENSOR_TOKENS &&
           gpu_properties(c->g)->major >= 8 && ceil_div(w->rows, small_tile::ROWS) <= 65535;
}

extern "C" bool cuda_tensor_fits(const gpu_ctx *c, const gpu_matrix *w)
{
    return tiles[c->products->tile].form[w->type != DT_BF16][c->products->x_pieces > 1].shared <=
           gpu_properties(c->g)->max_shared_bytes;
}

extern "C" gpu_products_need cuda_tensor_need(const gpu_ctx *c, const gpu_matrix *w, int n)
{
    return cuda_pieces_need(c, w, n, c->products->mode == PRODUCTS_TENSOR ? spans_of(w) : 1);
}

extern "C" bool cuda_tensor_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e)
{
    const bool w3 = w->type != DT_BF16;
    const int n_spans = spans_of(w);
    if (c->products->mode == PRODUCTS_CUBLAS) return cuda_cublas_matmul(c, dst, w, x, n, e);
    pieces_slice s = {};
    for (bool more = true; more;) {
        if (!cuda_next_pieces(c, w, x, n, n_spans, &s, &more, e)) return false;
        tensor_work k = { dst + s.token * w->rows + s.row,
                          s.w,
                          c->products->x,
                          s.w_plane,
                          s.x_plane,
                          s.rows,
                          w->cols,
                          w->rows,
                          s.n,
                          n_spans,
                          (int)ceil_div(w->cols / TC_K, n_spans),
                          c->round };
        if (!run_tensor(c, &k, w3, e)) return false;
    }
    return true;
}
