// gemv: y = W x for one token, what decode is made of. See kernels.h.
#include "gemv.cuh"

// One token against a matrix of any type; for decode, where the speed is that of reading W.
//   work: see gemv_work     grid: groups of eight rows (GEMV_GLU: four of each matrix), several a block where their
//   spans are few
//   block: `split` warps for each of its groups     shared: staging<T>::WARP_BYTES a warp, then parts and totals
//   (join_spans)
// A warp takes spans of its group's rows. Rows come through shared memory as they lie in the file, two stages ahead of
// the arithmetic, which starts before the kernels before this one have ended: W is nobody's result. Four threads share
// a row, see quad.cuh.
// Numerics: the CPU's order exactly: in a span of GPU_COLUMN_SPAN columns column i goes to sum i % 16 by fmaf,
// ascending; spans are added in
//           ascending order, sum by sum; joined by join_lanes; rounded once. GEMV_GLU and GEMV_GELU_MUL then round
//           where the separate operations do.
// Twin: matmul (and geglu; gelu, mul) in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(GEMV_MOST_WARPS *WARP, 3) void gemv_kernel(gemv_work k)
{
    gemv_rows<T>(k, gemv_whole {});
}

// ===== launchers =====================================================================================================

static bool run_gemv(const gpu_ctx *c, gemv_work *k, const gpu_matrix *w, const float *x, int64_t groups, err *e)
{
    gemv_shape s = {};
    if (!gemv_shape_of(k, w, x, ((uintptr_t)x & 15) == 0, c->round, &s, e)) return false;
    const gpu_dim grid = dims(ceil_div(groups, s.of_block)), block = dims(s.warps * WARP);
    switch (w->type) {
#define ROW(T) case T: return LAUNCH(c->g, e, "gemv", grid, block, s.shared<T>(), (gemv_kernel<T>))(*k);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

extern "C" bool cuda_gemv_many(const gpu_ctx *c, int n_seg, float *const dst[], const gpu_matrix w[], const float *x,
                               err *e)
{
    gemv_work k = {};
    int64_t rows = 0;
    k.n_seg = n_seg;
    k.form = GEMV_PLAIN;
    for (int i = 0; i < n_seg; i++) {
        if (w[i].type != w[0].type || w[i].cols != w[0].cols)
            return err_set(e, ERR_SYSTEM, "matrices of one launch differ in type or columns");
        k.w[i] = (const uint8_t *)w[i].data;
        k.dst[i] = dst[i];
        k.rows[i] = w[i].rows;
        rows += w[i].rows;
    }
    return run_gemv(c, &k, &w[0], x, ceil_div(rows, QUAD_ROWS), e);
}

extern "C" bool cuda_gemv_glu(const gpu_ctx *c, float *gate, float *up, const gpu_matrix *w_gate,
                              const gpu_matrix *w_up, const float *x, bool silu, err *e)
{
    if (w_gate->type != w_up->type || w_gate->cols != w_up->cols || w_gate->rows != w_up->rows)
        return err_set(e, ERR_SYSTEM, "matrices of one launch differ in type or shape");
    gemv_work k = {};
    k.n_seg = 2;
    k.form = GEMV_GLU;
    k.silu = silu;
    k.w[0] = (const uint8_t *)w_gate->data;
    k.w[1] = (const uint8_t *)w_up->data;
    k.dst[0] = gate;
    k.dst[1] = up;
    k.rows[0] = k.rows[1] = w_gate->rows;
    return run_gemv(c, &k, w_gate, x, ceil_div(w_gate->rows, QUAD), e);
}

extern "C" bool cuda_gemv_gelu_mul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, const float *by,
                                   err *e)
{
    gemv_work k = {};
    k.n_seg = 1;
    k.form = GEMV_GELU_MUL;
    k.w[0] = (const uint8_t *)w->data;
    k.dst[0] = dst;
    k.rows[0] = w->rows;
    k.by = by;
    return run_gemv(c, &k, w, x, ceil_div(w->rows, QUAD_ROWS), e);
}
