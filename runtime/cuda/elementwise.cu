// elementwise: norms, sums, products and functions of activations; the greedy choice. See kernels.h.
#include "kernels.h"
#include "dev.cuh"
#include "../../device/launch.cuh"
#include "norm.cuh"

enum { NORM_THREADS = 256, RUN_THREADS = 256 };

// ---- norms ----------------------------------------------------------------------------------------------------------

// elements of a row that a thread reads at once: rows up to NORM_THREADS * NORM_EACH wait for memory once
enum { NORM_EACH = 8 };

struct norm_part { float v[NORM_EACH]; };       // a thread's first elements: threadIdx.x + k * NORM_THREADS

// Zeros behind n, and everywhere where p is NULL.
DEV norm_part read_part(const float *p, int n)
{
    norm_part r;
#pragma unroll
    for (int k = 0; k < NORM_EACH; k++) {
        const int i = (int)threadIdx.x + k * NORM_THREADS;
        r.v[k] = p && i < n ? p[i] : 0.0f;
    }
    return r;
}

// f(i, the first ones' k or NORM_EACH) for each of the thread's elements i of n; k is a constant where f is inlined.
template <class F> DEV void for_mine(int n, F f)
{
#pragma unroll
    for (int k = 0; k < NORM_EACH; k++) {
        const int i = (int)threadIdx.x + k * NORM_THREADS;
        if (i < n) f(i, k);
    }
    for (int i = (int)threadIdx.x + NORM_EACH * NORM_THREADS; i < n; i += NORM_THREADS) f(i, (int)NORM_EACH);
}

// Element i = p[i] of a row whose first part was read before.
DEV float element(const norm_part &part, const float *p, int i, int k) { return k < NORM_EACH ? part.v[k] : p[i]; }

// A row to shared memory, with zeros behind it as inverse_rms wants them.
DEV void keep_row(float *row, const norm_part &part, const float *p, int dim)
{
    for_mine(norm_floats(dim), [&](int i, int k) { row[i] = i < dim ? element(part, p, i, k) : 0.0f; });
}

// Row r of an operand with `per` rows a token.
DEV float *row_of(const gpu_rows &v, unsigned r, unsigned per)
{
    return v.p + (int64_t)(r / per) * v.row + (int64_t)(r % per) * v.head;
}

// y = x / sqrt(sum(x^2) / over + eps) [* w], one block a row
//   x, y: rows of dim, may alias     w: [dim] or NULL     shared: norm_floats(dim) + 1 floats
// Must match: Gemma3RMSNorm / Gemma4RMSNorm.forward; numerics and twins: rms_norm and l2norm in runtime/cpu.
__global__ __launch_bounds__(NORM_THREADS) void norm_kernel(gpu_rows dst, gpu_rows src, const float *w, int per,
                                                            int dim, float over, float eps, bool round, bool first)
{
    float *row = shared_memory<float>(), *inverse = row + norm_floats(dim), *y = row_of(dst, blockIdx.x, (unsigned)per);
    const float *x = row_of(src, blockIdx.x, (unsigned)per);
    const norm_part weights = read_part(w, dim);        // from memory while the kernel before runs
    after_previous();
    keep_row(row, read_part(x, dim), x, dim);
    const float inv = inverse_norm(row, inverse, dim, over, eps);
    for_mine(dim, [&](int i, int k) {
        float v = row[i] * inv;
        if (w) v = rounded(v, first);
        if (w) v = v * element(weights, w, i, k);
        y[i] = rounded(v, round);
    });
}

// (w) t = rms_norm(t, w); x = x + t; (out_scale != 1) x = x * out_scale; (w_next) t = rms_norm(x, w_next). One block a
// row.
//   x, t: [rows][dim]     shared: 2 * norm_floats(dim) + 1 floats
// Numerics: each step rounds as the separate operations do, and x and t end as they would leave them.
// Twin: rms_norm, add, scale, rms_norm.
__global__ __launch_bounds__(NORM_THREADS)
void norm_add_norm_kernel(float *x, float *t, const float *w, const float *w_next, float out_scale, int dim, float eps,
                          bool round, bool first)
{
    float *row = shared_memory<float>(), *sum = row + norm_floats(dim), *inverse = sum + norm_floats(dim);
    const int64_t at = (int64_t)blockIdx.x * dim;
    const norm_part weights = read_part(w, dim), next_weights = read_part(w_next, dim);
    after_previous();
    const norm_part t_part = read_part(t + at, dim), x_part = read_part(x + at, dim);
    keep_row(row, t_part, t + at, dim);
    keep_row(sum, x_part, x + at, dim);
    const float inv = w ? inverse_rms(row, inverse, dim, eps) : 1.0f;
    for_mine(dim, [&](int i, int k) {
        const float normed = w ? rounded(rounded(row[i] * inv, first) * element(weights, w, i, k), round) : row[i];
        float v = rounded(sum[i] + normed, round);
        if (out_scale != 1.0f) v = rounded(v * out_scale, round);
        x[at + i] = v;
        sum[i] = v;
        if (w && !w_next) t[at + i] = normed;
    });
    if (!w_next) return;
    const float next = inverse_rms(sum, inverse, dim, eps);
    for_mine(dim, [&](int i, int k) {
        t[at + i] = rounded(rounded(sum[i] * next, first) * element(next_weights, w_next, i, k), round);
    });
}

// ---- runs -----------------------------------------------------------------------------------------------------------

enum run_op { RUN_ADD, RUN_SCALE, RUN_GELU, RUN_GEGLU, RUN_SILU, RUN_SWIGLU, RUN_SIGMOID, RUN_SOFTCAP };

// dst[i] = op(a[i], b[i] or s), one thread an element; dst may be a or b. Each result rounded once (GEGLU and SOFTCAP:
// each step).
// Twin: add, scale, gelu, geglu, silu, swiglu, sigmoid, softcap in runtime/cpu/kernels.inc.
template <int OP>
__global__ __launch_bounds__(RUN_THREADS) void run_kernel(float *dst, const float *a, const float *b, float s,
                                                          int64_t n, bool round)
{
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * RUN_THREADS + threadIdx.x;
    if (i >= n) return;
    const float v = a[i];
    if (OP == RUN_ADD) dst[i] = rounded(v + b[i], round);
    if (OP == RUN_SCALE) dst[i] = rounded(v * s, round);
    if (OP == RUN_GELU) dst[i] = rounded(gelu_twin(v), round);
    if (OP == RUN_GEGLU) dst[i] = rounded(rounded(gelu_twin(v), round) * b[i], round);
    if (OP == RUN_SILU) dst[i] = rounded(silu_twin(v), round);
    if (OP == RUN_SWIGLU) dst[i] = rounded(rounded(silu_twin(v), round) * b[i], round);
    if (OP == RUN_SIGMOID) dst[i] = rounded(sigmoid_twin(v), round);
    if (OP == RUN_SOFTCAP) dst[i] = softcap_twin(v, s, round);
}

// dst[t][i] = a[t][i] * b[t * b_stride + i]
__global__ __launch_bounds__(RUN_THREADS)
void mul_rows_kernel(float *dst, const float *a, const float *b, int64_t b_stride, int64_t n, int dim, bool round)
{
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * RUN_THREADS + threadIdx.x;
    if (i < n) dst[i] = rounded(a[i] * b[i / dim * b_stride + i % dim], round);
}

// dst = op(x, by), one thread an element; dst may be either.     grid: (runs of a row, rows)
// Twin: gate, gate_one, geglu, swiglu, swiglu_whole in runtime/cpu.
template <int OP> __global__ __launch_bounds__(RUN_THREADS) void gating_kernel(gpu_gating k, bool round)
{
    after_previous();
    const int i = (int)(blockIdx.x * RUN_THREADS + threadIdx.x);
    if (i >= k.dim) return;
    const unsigned per = (unsigned)k.per;
    for (int64_t r = blockIdx.y; r < k.rows; r += gridDim.y) {
        const float v = row_of(k.x, (unsigned)r, per)[i], b = row_of(k.by, (unsigned)r, per)[k.one ? 0 : i];
        float *to = row_of(k.dst, (unsigned)r, per) + i;
        if (OP == GPU_GATE) *to = rounded(v * rounded(sigmoid_twin(b), round), round);
        if (OP == GPU_GEGLU) *to = rounded(rounded(gelu_twin(v), round) * b, round);
        if (OP == GPU_SWIGLU) *to = rounded(rounded(silu_twin(v), round) * b, round);
        if (OP == GPU_SWIGLU_WHOLE) *to = rounded(silu_twin(v) * b, round);
    }
}

// dst[t][i] += bias[i]
__global__ __launch_bounds__(RUN_THREADS) void bias_kernel(float *dst, const float *bias, int64_t n, int dim,
                                                           bool round)
{
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * RUN_THREADS + threadIdx.x;
    if (i < n) dst[i] = rounded(dst[i] + bias[i % dim], round);
}

// x [n][n_head][dim], of each head the first `rot`: i and i + rot/2 (neighbours: 2i and 2i + 1) turned by the
// position's angle i; one thread a pair.
//   table: [n_ctx][2][rot / 2], cosines and sines
// Must match: apply_rotary_pos_emb; two products and a sum, each rounded, no fused step. Twin: rotate, rotate_pairs.
__global__ __launch_bounds__(RUN_THREADS)
void rotate_kernel(float *x, const float *table, int rot, int dim, int64_t n_pairs, int n_head, int64_t pos0,
                   const gpu_step *step, bool neighbours, bool round)
{
    after_previous();
    const int64_t i = (int64_t)blockIdx.x * RUN_THREADS + threadIdx.x;
    if (i >= n_pairs) return;
    const int half = rot / 2, d = (int)(i % half);
    const int64_t head = i / half, pos = (step ? step->pos : pos0) + head / n_head;
    const float c = table[pos * 2 * half + d], s = table[pos * 2 * half + half + d];
    float *p = x + head * dim + (neighbours ? 2 * d : d);
    const int apart = neighbours ? 1 : half;
    const float a = p[0], b = p[apart];
    p[0] = rounded(rounded(a * c, round) - rounded(b * s, round), round);
    p[apart] = rounded(rounded(b * c, round) + rounded(a * s, round), round);
}

// ---- the greedy choice ----------------------------------------------------------------------------------------------

enum { ARGMAX_THREADS = 256, ARGMAX_WARPS = ARGMAX_THREADS / WARP, ARGMAX_AHEAD = 4 };
struct best { float v; int32_t i; };        // i -1: none yet

// The better of two: larger, then lower index. NaN never gets in. The order of joining does not matter: this is a total
// order.
DEV best better(best a, best b) { return b.i >= 0 && (a.i < 0 || b.v > a.v || (b.v == a.v && b.i < a.i)) ? b : a; }

// For all threads of the block. shared: one best a warp
DEV best best_of_block(best mine)
{
    best *all = shared_memory<best>();
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const float v = __shfl_xor_sync(ALL_LANES, mine.v, apart);
        const int32_t i = __shfl_xor_sync(ALL_LANES, mine.i, apart);
        mine = better(mine, best { v, i });
    }
    if (threadIdx.x % WARP == 0) all[threadIdx.x / WARP] = mine;
    __syncthreads();
    for (int i = 0; i < ARGMAX_WARPS; i++) mine = better(mine, all[i]);
    return mine;
}

// partial[b] = the best of block b's share of x [n].     shared: one best a warp
__global__ __launch_bounds__(ARGMAX_THREADS) void argmax_part_kernel(best *partial, const float *x, int64_t n)
{
    after_previous();
    const int64_t step = (int64_t)gridDim.x * ARGMAX_THREADS;
    best mine = { 0.0f, -1 };
    for (int64_t i = (int64_t)blockIdx.x * ARGMAX_THREADS + threadIdx.x; i < n; i += ARGMAX_AHEAD * step) {
        float v[ARGMAX_AHEAD];
#pragma unroll
        for (int k = 0; k < ARGMAX_AHEAD; k++) v[k] = i + k * step < n ? x[i + k * step] : NAN;
#pragma unroll
        for (int k = 0; k < ARGMAX_AHEAD; k++)
            if (v[k] == v[k]) mine = better(mine, best { v[k], (int32_t)(i + k * step) });
    }
    mine = best_of_block(mine);
    if (threadIdx.x == 0) partial[blockIdx.x] = mine;
}

// The best of the partial ones: to *id, or (step) as the next token of a recorded decode step, whose position advances.
__global__ __launch_bounds__(ARGMAX_THREADS) void argmax_join_kernel(int32_t *id, const best *partial, int n,
                                                                     gpu_step *step)
{
    after_previous();
    best mine = { 0.0f, -1 };
    if ((int)threadIdx.x < n) mine = partial[threadIdx.x];
    mine = best_of_block(mine);
    if (threadIdx.x != 0) return;
    if (id) *id = mine.i;
    if (step) {
        if (step->n_out < GPU_STEP_IDS) step->out[step->n_out] = mine.i;
        step->n_out++;
        step->id = mine.i >= 0 ? mine.i : 0;        // the host sees -1 in out and stops; until then any id will do
        step->pos++;
    }
}

// ===== launchers =====================================================================================================

static bool run_blocks(int64_t n, gpu_dim *grid, err *e)
{
    if (ceil_div(n, RUN_THREADS) > 0x7fffffff)
        return err_set(e, ERR_SYSTEM, "a run of %lld floats is larger than the grid", (long long)n);
    *grid = dims(ceil_div(n, RUN_THREADS));
    return true;
}

static size_t norm_shared(int rows, int dim)
{
    return (size_t)(rows * ceil_div(dim, NORM_RUN) * NORM_RUN + 1) * sizeof(float);
}

extern "C" bool cuda_norm(const gpu_ctx *c, const gpu_norm *n, err *e)
{
    if (n->rows == 0) return true;
    const bool round = c->round && !n->l2;
    return LAUNCH(c->g, e, n->l2 ? "l2_norm" : "rms_norm", dims(n->rows), dims(NORM_THREADS), norm_shared(1, n->dim),
                  (norm_kernel))(
        n->dst, n->x, n->w, n->per, n->dim, n->l2 ? 1.0f : (float)n->dim, n->eps, round, round && n->round_first);
}

extern "C" bool cuda_norm_add_norm(const gpu_ctx *c, float *x, float *t, const float *w, const float *w_next,
                                   float out_scale, int64_t rows, int dim, float eps, bool round_first, err *e)
{
    if (rows == 0) return true;
    return LAUNCH(c->g, e, "norm_add_norm", dims(rows), dims(NORM_THREADS), norm_shared(2, dim),
                  (norm_add_norm_kernel))(x, t, w, w_next, out_scale, dim, eps, c->round, c->round && round_first);
}

#define RUN(op, name, dst, a, b, s)                                                                                  \
    gpu_dim grid = {};                                                                                               \
    if (n == 0) return true;                                                                                         \
    return run_blocks(n, &grid, e) &&                                                                                \
           LAUNCH(c->g, e, name, grid, dims(RUN_THREADS), 0, (run_kernel<op>))(dst, a, b, s, n, c->round)

extern "C" bool cuda_add(const gpu_ctx *c, float *dst, const float *a, const float *b, int64_t n, err *e)
{
    RUN(RUN_ADD, "add", dst, a, b, 0.0f);
}

extern "C" bool cuda_scale(const gpu_ctx *c, float *x, float s, int64_t n, err *e)
{
    RUN(RUN_SCALE, "scale", x, x, nullptr, s);
}

extern "C" bool cuda_gelu(const gpu_ctx *c, float *x, int64_t n, err *e)
{
    RUN(RUN_GELU, "gelu", x, x, nullptr, 0.0f);
}

extern "C" bool cuda_geglu(const gpu_ctx *c, float *gate, const float *up, int64_t n, err *e)
{
    RUN(RUN_GEGLU, "geglu", gate, gate, up, 0.0f);
}

extern "C" bool cuda_silu(const gpu_ctx *c, float *x, int64_t n, err *e)
{
    RUN(RUN_SILU, "silu", x, x, nullptr, 0.0f);
}

extern "C" bool cuda_swiglu(const gpu_ctx *c, float *gate, const float *up, int64_t n, err *e)
{
    RUN(RUN_SWIGLU, "swiglu", gate, gate, up, 0.0f);
}

extern "C" bool cuda_sigmoid(const gpu_ctx *c, float *x, int64_t n, err *e)
{
    RUN(RUN_SIGMOID, "sigmoid", x, x, nullptr, 0.0f);
}

extern "C" bool cuda_softcap(const gpu_ctx *c, float *x, float cap, int64_t n, err *e)
{
    RUN(RUN_SOFTCAP, "softcap", x, x, nullptr, cap);
}

extern "C" bool cuda_mul_rows(const gpu_ctx *c, float *dst, const float *a, const float *b, int64_t b_stride, int n,
                              int dim, err *e)
{
    gpu_dim grid = {};
    const int64_t all = (int64_t)n * dim;
    if (all == 0) return true;
    return run_blocks(all, &grid, e) && LAUNCH(c->g, e, "mul_rows", grid, dims(RUN_THREADS), 0,
                                               (mul_rows_kernel))(dst, a, b, b_stride, all, dim, c->round);
}

extern "C" bool cuda_gating(const gpu_ctx *c, const gpu_gating *p, err *e)
{
    const int64_t most_rows = 65535;        // of a grid; beyond that a thread takes several
    if (p->rows == 0 || p->dim == 0) return true;
    if (p->rows > INT32_MAX)
        return err_set(e, ERR_SYSTEM, "%lld rows of a gate are larger than the grid", (long long)p->rows);
    const gpu_dim grid = dims(ceil_div(p->dim, RUN_THREADS), p->rows < most_rows ? p->rows : most_rows);
    const gpu_dim block = dims(RUN_THREADS);
    switch (p->op) {
#define ROW(OP) case OP: return LAUNCH(c->g, e, "gating", grid, block, 0, (gating_kernel<OP>))(*p, c->round);
    ROW(GPU_GATE) ROW(GPU_GEGLU) ROW(GPU_SWIGLU) ROW(GPU_SWIGLU_WHOLE)
#undef ROW
    default: return err_set(e, ERR_SYSTEM, "device cuda: no kernel for gate %d", (int)p->op);
    }
}

extern "C" bool cuda_add_bias(const gpu_ctx *c, float *dst, const float *bias, int n, int64_t dim, err *e)
{
    gpu_dim grid = {};
    if (n == 0) return true;
    return run_blocks(n * dim, &grid, e) &&
           LAUNCH(c->g, e, "bias", grid, dims(RUN_THREADS), 0, (bias_kernel))(dst, bias, n * dim, (int)dim, c->round);
}

extern "C" bool cuda_rotate(const gpu_ctx *c, float *x, const float *table, int rot, int dim, int n, int n_head,
                            bool neighbours, int64_t pos0, err *e)
{
    gpu_dim grid = {};
    const int64_t pairs = (int64_t)n * n_head * (rot / 2);
    if (pairs == 0) return true;
    return run_blocks(pairs, &grid, e) &&
           LAUNCH(c->g, e, "rotate", grid, dims(RUN_THREADS), 0, (rotate_kernel))(x, table, rot, dim, pairs, n_head,
                                                                                  pos0, c->step, neighbours, c->round);
}

extern "C" bool cuda_kernels_are_there(const gpu_ctx *c, err *e)
{
    return gpu_know_kernels(c->g,
                            LAUNCH(c->g, e, "mul_rows", dims(1), dims(RUN_THREADS), 0, (mul_rows_kernel)).at.kernel, e);
}

extern "C" bool cuda_argmax(const gpu_ctx *c, int32_t *id, const float *x, int64_t n, void *partial, err *e)
{
    static_assert(sizeof(best) == 8 && (int)CUDA_ARGMAX_BLOCKS <= (int)ARGMAX_THREADS, "see kernels.h");
    const size_t shared = ARGMAX_WARPS * sizeof(best);
    const int64_t share = ceil_div(n, ARGMAX_THREADS), most = CUDA_ARGMAX_BLOCKS,
                  blocks = share < 1      ? 1
                           : share < most ? share
                                          : most;
    return LAUNCH(c->g, e, "argmax_part", dims(blocks), dims(ARGMAX_THREADS), shared,
                  (argmax_part_kernel))((best *)partial, x, n) &&
           LAUNCH(c->g, e, "argmax_join", dims(1), dims(ARGMAX_THREADS), shared,
                  (argmax_join_kernel))(id, (const best *)partial, (int)blocks, c->step);
}
