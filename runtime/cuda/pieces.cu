// pieces: weights of any type, and activations, as sums of BF16 numbers, for products of many tokens. See kernels.h.
#include "decode.cuh"
#include "kernels.h"
#include "dev.cuh"
#include "../../device/launch.cuh"

enum { PIECES_THREADS = 128, X_GROUP = 8, MAX_GRID_Y = 65535 };

// The BF16 number nearest to *rest, which is taken from it: three times, and nothing is left of 24 bits. Of infinity
// and NaN the first piece is all; a number that rounding up would make infinite is cut instead. What is lost lies below
// 2^-133, and is less than 2^-134.
DEV uint32_t cut_piece(float *rest)
{
    const bool finite = fabsf(*rest) < INFINITY;
    uint32_t bits = bf16_of_f32(*rest);
    if (finite && (bits & 0x7fffu) == 0x7f80u) bits--;
    *rest = finite ? *rest - f32_of_bf16(bits) : 0.0f;                  // exact
    return bits;
}

DEV uint32_t cut_pair(float *rest)
{
    const uint32_t low = cut_piece(rest);
    return low | cut_piece(rest + 1) << 16;
}

// planes[piece][row][col]: W decoded to F32 and cut into PRODUCT_PIECES BF16 numbers whose sum is exact (3 x 8 bits)
//   grid: (runs of PIECES_THREADS groups of 16 columns, rows)     plane: elements between two pieces     32 divides
//   cols
template <int T> __global__ __launch_bounds__(PIECES_THREADS)
void pieces_kernel(uint16_t *planes, int64_t plane, const uint8_t *w, int64_t row_bytes, int64_t cols, bool vectors)
{
    after_previous();
    const int64_t row = blockIdx.y, g = (int64_t)blockIdx.x * PIECES_THREADS + threadIdx.x;
    if (g * LANES >= cols) return;
    const row_view view = { w + row * row_bytes, cols, vectors };
    float rest[LANES];
    group<T>::values(rest, group<T>::load(view, g), g);
#pragma unroll
    for (int piece = 0; piece < PRODUCT_PIECES; piece++) {
        uint32_t pair[LANES / 2];
#pragma unroll
        for (int i = 0; i < LANES / 2; i++) pair[i] = cut_pair(rest + 2 * i);
        uint4 *to = reinterpret_cast<uint4 *>(planes + piece * plane + row * cols + g * LANES);
        to[0] = make_uint4(pair[0], pair[1], pair[2], pair[3]);
        to[1] = make_uint4(pair[4], pair[5], pair[6], pair[7]);
    }
}

// planes[piece][i]: x cut into PIECES BF16 numbers. One piece: x is BF16 already (ARITH_BF16).
//   grid: runs of PIECES_THREADS groups of X_GROUP numbers     n: a multiple of X_GROUP, elements between two pieces as
//   well
template <int PIECES> __global__ __launch_bounds__(PIECES_THREADS)
void planes_kernel(uint16_t *planes, const float *x, int64_t n)
{
    after_previous();
    const int64_t at = ((int64_t)blockIdx.x * PIECES_THREADS + threadIdx.x) * X_GROUP;
    if (at >= n) return;
    const float4 a = *reinterpret_cast<const float4 *>(x + at), b = *reinterpret_cast<const float4 *>(x + at + 4);
    float rest[X_GROUP] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        uint32_t pair[X_GROUP / 2];
#pragma unroll
        for (int i = 0; i < X_GROUP / 2; i++) pair[i] = cut_pair(rest + 2 * i);
        *reinterpret_cast<uint4 *>(planes + piece * n + at) = make_uint4(pair[0], pair[1], pair[2], pair[3]);
    }
}

// ===== launchers =====================================================================================================

static bool cut_weights(const gpu_ctx *c, const gpu_matrix *w, int64_t row, int64_t n_rows, err *e)
{
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    const gpu_dim grid = dims(ceil_div(w->cols / LANES, PIECES_THREADS), n_rows);
    switch (w->type) {
#define ROW(T)                                                                                                \
    case T:                                                                                                   \
        return LAUNCH(c->g, e, "pieces", grid, dims(PIECES_THREADS), 0, (pieces_kernel<T>))(                  \
            c->products->w, n_rows * w->cols, (const uint8_t *)w->data + row * row_bytes, row_bytes, w->cols, \
            vectors);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

// Of products of the same activations, one behind the other, the first cuts them.
static bool cut_activations(const gpu_ctx *c, const float *x, int64_t n, err *e)
{
    gpu_products *p = c->products;
    const gpu_dim grid = dims(ceil_div(n / X_GROUP, PIECES_THREADS));
    if (p->cut == x && p->cut_n == n) return true;
    p->cut = NULL;
    const bool ok = p->x_pieces == 1
                        ? LAUNCH(c->g, e, "planes", grid, dims(PIECES_THREADS), 0, (planes_kernel<1>))(p->x, x, n)
                        : LAUNCH(c->g, e, "planes", grid, dims(PIECES_THREADS), 0,
                                 (planes_kernel<PRODUCT_PIECES>))(p->x, x, n);
    if (!ok) return false;
    p->cut = x;
    p->cut_n = n;
    return true;
}

static int64_t at_least(int64_t wanted, int64_t most, int64_t least)
{
    return wanted < most ? wanted : most > least ? most : least;
}

extern "C" gpu_products_need cuda_pieces_need(const gpu_ctx *c, const gpu_matrix *w, int n, int n_spans)
{
    const int64_t w_row = PRODUCT_PIECES * 2 * w->cols, x_row = c->products->x_pieces * 2 * w->cols,
                  span_row = n_spans * w->rows * (int64_t)sizeof(float);
    gpu_products_need need = { 0, at_least(n * x_row, PRODUCT_X_BYTES, x_row), 0 };
    if (w->type != DT_BF16) need.w = at_least(w->rows * w_row, PRODUCT_W_BYTES, w_row);
    if (n_spans > 1) need.spans = at_least(n * span_row, PRODUCT_SPAN_BYTES, span_row);
    return need;
}

// The slices: as many tokens as x and the spans have room for; of these as many rows as W has room for, in whole tiles
// where that is more than one.
extern "C" bool cuda_next_pieces(const gpu_ctx *c, const gpu_matrix *w, const float *x, int n, int n_spans,
                                 pieces_slice *s, bool *more, err *e)
{
    enum { WHOLE_TILES = 192 };
    const gpu_products *p = c->products;
    const bool as_it_is = w->type == DT_BF16;
    int64_t tokens = p->x_bytes / (p->x_pieces * 2 * w->cols),
            rows = as_it_is ? w->rows : p->w_bytes / (PRODUCT_PIECES * 2 * w->cols);
    if (n_spans > 1 && tokens > p->span_bytes / (n_spans * w->rows * (int64_t)sizeof(float)))
        tokens = p->span_bytes / (n_spans * w->rows * (int64_t)sizeof(float));
    if (tokens > MAX_GRID_Y) tokens = MAX_GRID_Y;
    if (!as_it_is && rows > MAX_GRID_Y) rows = MAX_GRID_Y;
    if (!as_it_is && rows > WHOLE_TILES) rows = rows / WHOLE_TILES * WHOLE_TILES;
    if (tokens < 1 || rows < 1) return err_set(e, ERR_SYSTEM, "a product of many tokens: no room for its pieces");
    s->row += s->rows;
    if (s->row >= w->rows) {
        s->row = 0;
        s->token += s->n;
    }
    s->n = (int)(n - s->token < tokens ? n - s->token : tokens);
    s->rows = w->rows - s->row < rows ? w->rows - s->row : rows;
    *more = s->row + s->rows < w->rows || s->token + s->n < n;
    s->w = as_it_is ? (const uint16_t *)w->data : p->w;
    s->w_plane = as_it_is ? 0 : s->rows * w->cols;
    s->x_plane = s->n * w->cols;
    return cut_activations(c, x + s->token * w->cols, s->x_plane, e) &&
           (as_it_is || cut_weights(c, w, s->row, s->rows, e));
}
