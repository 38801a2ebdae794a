// pieces: weights of any type as sums of BF16 numbers, for the tensor cores. See kernels.h.
#include "decode.cuh"
#include "kernels.h"
#include "dev.cuh"
#include "../../quant/cuda/launch.cuh"

enum { PIECES_THREADS = 128 };

// planes[piece][row][col]: W decoded to F32 and cut into GPU_WEIGHT_PIECES BF16 numbers whose sum is exact (3 x 8 bits)
//   grid: (runs of PIECES_THREADS groups of 16 columns, rows)     plane: elements between two pieces     32 divides cols
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
    for (int piece = 0; piece < GPU_WEIGHT_PIECES; piece++) {
        uint32_t pair[LANES / 2];
#pragma unroll
        for (int i = 0; i < LANES; i += 2) {
            pair[i / 2] = bf16_of_f32(rest[i]) | (uint32_t)bf16_of_f32(rest[i + 1]) << 16;
            rest[i] = rest[i] - round_bf16(rest[i]);                    // exact
            rest[i + 1] = rest[i + 1] - round_bf16(rest[i + 1]);
        }
        uint4 *to = reinterpret_cast<uint4 *>(planes + piece * plane + row * cols + g * LANES);
        to[0] = make_uint4(pair[0], pair[1], pair[2], pair[3]);
        to[1] = make_uint4(pair[4], pair[5], pair[6], pair[7]);
    }
}

extern "C" bool cuda_weight_pieces(const gpu_ctx *c, const gpu_matrix *w, int64_t row, int64_t n_rows, err *e)
{
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    const gpu_dim grid = dims(ceil_div(w->cols / LANES, PIECES_THREADS), n_rows);
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "pieces", grid, dims(PIECES_THREADS), 0, (pieces_kernel<T>))(c->pieces, n_rows * w->cols, (const uint8_t *)w->data + row * row_bytes, row_bytes, w->cols, vectors);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}
