// delta: what a layer with a state does between its products: convolution, decay, the delta rule. See kernels.h.
#include "kernels.h"
#include "dev.cuh"
#include "../../quant/exp_log.h"
#include "../../device/launch.cuh"

// Is the state zeros, whatever lies there? The position of a recorded step is on the device.
DEV bool is_anew(const gpu_state &s) { return (s.step ? s.step->pos : s.pos0) == 0 && !s.keeps; }

// ---- convolution ----------------------------------------------------------------------------------------------------

enum { CONV_THREADS = 128, CONV_TAPS = 4 };     // CONV_TAPS: what models have, and what needs no test inside

// y[t][c] = silu(sum over taps, the oldest first, of w[c][j] * x[t - taps + 1 + j][c]), one thread a channel, which
// walks through the tokens with the inputs of the last TAPS of them; y may be x. TAPS: the most that this kernel takes,
// of which k.taps are used.
//   state: [taps - 1][channels], the oldest first
// Numerics: fmaf from 0; rounded, silu, rounded. Twin: conv in runtime/cpu/delta.inc.
template <int TAPS> __global__ __launch_bounds__(CONV_THREADS) void conv_kernel(gpu_conv k, gpu_state s, bool round)
{
    const int64_t c = (int64_t)blockIdx.x * CONV_THREADS + threadIdx.x;
    const int skip = TAPS == CONV_TAPS ? 0 : TAPS - k.taps;         // places of the window that stay empty
    float w[TAPS], window[TAPS];
#pragma unroll
    for (int j = 0; j < TAPS; j++) w[j] = c < k.channels && j >= skip ? __ldg(k.w + c * k.taps + j - skip) : 0.0f;
    after_previous();
    if (c >= k.channels) return;
    const bool anew = is_anew(s);
    window[TAPS - 1] = 0.0f;
#pragma unroll
    for (int j = 0; j < TAPS - 1; j++) window[j] = !anew && j >= skip ? k.state[(j - skip) * k.channels + c] : 0.0f;
#pragma unroll 1
    for (int t = 0; t < k.n; t++) {
        float sum = 0.0f;
        window[TAPS - 1] = k.x[t * k.x_row + c];
#pragma unroll
        for (int j = 0; j < TAPS; j++) {
            if (k.late && j > skip) sum = fmaf(w[j], window[j > 0 ? j - 1 : 0], sum);
            if (!k.late && j >= skip) sum = fmaf(w[j], window[j], sum);
        }
        k.y[t * k.y_row + c] = rounded(silu_twin(rounded(sum, round)), round);
#pragma unroll
        for (int j = 0; j < TAPS - 1; j++) window[j] = window[j + 1];
    }
#pragma unroll
    for (int j = 0; j < TAPS - 1; j++)
        if (j >= skip) k.state[(j - skip) * k.channels + c] = window[j];
}

// ---- decay ----------------------------------------------------------------------------------------------------------

enum { DECAY_THREADS = 128 };

// y[t][i] = e^(scale * a[i] * softplus(x[t][i] + bias[i])), one thread an element.
// Numerics: softplus and e^ in double (exp_log.h), each rounded to F32. Twin: decay in runtime/cpu/delta.inc.
__global__ __launch_bounds__(DECAY_THREADS) void decay_kernel(gpu_decay k, int64_t n)
{
    after_previous();
    const int64_t at = (int64_t)blockIdx.x * DECAY_THREADS + threadIdx.x;
    if (at >= n) return;
    const int64_t t = at / k.dim, i = at % k.dim;
    const float x = k.x[t * k.x_row + i] + __ldg(k.bias + i);
    const float plus = !(x <= 20.0f) ? x : (float)log_f64(1.0 + exp_f64((double)x));
    const float g = __ldg(k.a + i) * plus * k.scale;
    k.y[t * k.y_row + i] = (float)exp_or_nan_f64((double)g);
}

// ---- the delta rule -------------------------------------------------------------------------------------------------

enum { DELTA_THREADS = 128, DELTA_COLUMNS = 4, DELTA_HALVES = DELTA_THREADS / LANES };
enum { DELTA_KEYS = 128, DELTA_MOST_KEYS = 256 };      // what models have; at most

// What a lane knows of one token: keys l, l + 16, ... of q and k, its column of v, the head's factors.
template <int ROWS> struct delta_token { float q[ROWS], k[ROWS], v, beta, decay; };

// Where a lane reads and writes: token 0's. active: there is its column.
struct delta_place { const float *q, *k, *v, *beta, *decay; float *out; bool active; };

template <int ROWS, bool WHOLE>
DEV void delta_read(delta_token<ROWS> &to, const delta_place &p, const gpu_delta &k, int t)
{
    const int l = (int)threadIdx.x % LANES;
    const int64_t at = t * k.in_row;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const bool there = WHOLE || r * LANES + l < k.key_dim;
        to.k[r] = there ? p.k[at + r * LANES + l] : 0.0f;
        to.q[r] = there ? p.q[at + r * LANES + l] : 0.0f;
    }
    to.v = p.active ? p.v[at] : 0.0f;
    to.beta = p.beta[t * k.beta_row];
    to.decay = p.decay[t * k.decay_row];
}

// Sums of four columns, joined over the half-warp by the tree of join_lanes: lane l gets that of column l / 4. The
// whole warp calls.
DEV float join_columns(float acc[DELTA_COLUMNS], int l)
{
    halve<2>(acc, l & 8, 8);
    halve<1>(acc, l & 4, 4);
    const float a = acc[0] + __shfl_xor_sync(ALL_LANES, acc[0], 2, LANES);
    return a + __shfl_xor_sync(ALL_LANES, a, 1, LANES);
}

// One token through the half-warp's columns. s[r][c]: row 16 r + l of column c.
template <int ROWS, bool WHOLE> DEV void delta_step(float (&s)[ROWS][DELTA_COLUMNS], const delta_token<ROWS> &in,
                                                    const delta_place &p, const gpu_delta &k, int t, bool round)
{
    const int l = (int)threadIdx.x % LANES;
    float acc[DELTA_COLUMNS] = {}, d[DELTA_COLUMNS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (WHOLE || r * LANES + l < k.key_dim)
#pragma unroll
            for (int c = 0; c < DELTA_COLUMNS; c++) {
                s[r][c] = s[r][c] * in.decay;
                acc[c] = fmaf(s[r][c], in.k[r], acc[c]);
            }
    const float mine = (in.v - join_columns(acc, l)) * in.beta;
#pragma unroll
    for (int c = 0; c < DELTA_COLUMNS; c++) {
        d[c] = __shfl_sync(ALL_LANES, mine, LANES / DELTA_COLUMNS * c, LANES);
        acc[c] = 0.0f;
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (WHOLE || r * LANES + l < k.key_dim) {
            const float q = in.q[r] * k.scale;
#pragma unroll
            for (int c = 0; c < DELTA_COLUMNS; c++) {
                s[r][c] = fmaf(in.k[r], d[c], s[r][c]);
                acc[c] = fmaf(s[r][c], q, acc[c]);
            }
        }
    const float o = join_columns(acc, l);
    if (p.active && l % (LANES / DELTA_COLUMNS) == 0) p.out[t * k.out_row] = rounded(o, round);
}

// Four columns of a row of the state, `left` of which there are; at once where rows and columns begin on 16 bytes.
DEV void load_columns(float (&s)[DELTA_COLUMNS], const float *p, int left, bool vectors)
{
    if (vectors && left > 0) {
        const float4 v = *reinterpret_cast<const float4 *>(p);
        s[0] = v.x; s[1] = v.y; s[2] = v.z; s[3] = v.w;
    } else {
#pragma unroll
        for (int c = 0; c < DELTA_COLUMNS; c++) s[c] = c < left ? p[c] : 0.0f;
    }
}

DEV void store_columns(float *p, const float (&s)[DELTA_COLUMNS], int left, bool vectors)
{
    if (vectors && left > 0) {
        *reinterpret_cast<float4 *>(p) = make_float4(s[0], s[1], s[2], s[3]);
    } else {
#pragma unroll
        for (int c = 0; c < DELTA_COLUMNS; c++)
            if (c < left) p[c] = s[c];
    }
}

// n tokens through four columns of one head's state a half-warp, token by token. A lane is one of the sixteen partial
// sums and has those rows of the state in registers; the next token's operands are read while this one is reckoned.
//   grid: (runs of 32 columns, heads)     state: [heads][key_dim][dim]
// Numerics: op.h. Twin: delta in runtime/cpu/delta.inc.
template <int ROWS, bool WHOLE> __global__ __launch_bounds__(DELTA_THREADS)
void delta_kernel(gpu_delta k, gpu_state st, bool round)
{
    after_previous();
    const int l = (int)threadIdx.x % LANES, h = (int)blockIdx.y;
    const int from = k.grouped ? h / (k.heads / k.key_heads) : h % k.key_heads;
    const int column = ((int)blockIdx.x * DELTA_HALVES + (int)threadIdx.x / LANES) * DELTA_COLUMNS;
    const int mine = column + l / (LANES / DELTA_COLUMNS);      // whose results this lane has
    const int64_t keys = (int64_t)k.key_heads * k.key_dim, head = (int64_t)h * k.dim;
    const delta_place p = { k.in + (int64_t)from * k.key_dim, k.in + keys + (int64_t)from * k.key_dim,
                            k.in + 2 * keys + head + mine, k.beta + h, k.decay + h, k.out + head + mine, mine < k.dim };
    float *state = k.state + head * k.key_dim + column;         // of column 0 and row 0
    const bool anew = is_anew(st), vectors = k.dim % DELTA_COLUMNS == 0;
    float s[ROWS][DELTA_COLUMNS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int i = r * LANES + l;
        load_columns(s[r], state + (int64_t)i * k.dim, !anew && (WHOLE || i < k.key_dim) ? k.dim - column : 0, vectors);
    }
    delta_token<ROWS> now, next;
    delta_read<ROWS, WHOLE>(next, p, k, 0);
#pragma unroll 1
    for (int t = 0; t < k.n; t++) {
        now = next;
        if (t + 1 < k.n) delta_read<ROWS, WHOLE>(next, p, k, t + 1);
        delta_step<ROWS, WHOLE>(s, now, p, k, t, round);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int i = r * LANES + l;
        store_columns(state + (int64_t)i * k.dim, s[r], WHOLE || i < k.key_dim ? k.dim - column : 0, vectors);
    }
}

// ===== launchers ====================================================================================================

static gpu_state state_of(const gpu_ctx *c, int64_t pos0, bool keeps) { return { pos0, c->step, keeps }; }

extern "C" bool cuda_conv(const gpu_ctx *c, const gpu_conv *k, int64_t pos0, bool keeps, err *e)
{
    if (k->n == 0 || k->channels == 0) return true;
    if (k->taps < 2 || k->taps > GPU_MOST_TAPS)
        return err_set(e, ERR_SYSTEM, "device cuda: a convolution of %d taps, expected 2 to %d", k->taps,
                       (int)GPU_MOST_TAPS);
    const gpu_dim grid = dims(ceil_div(k->channels, CONV_THREADS)), block = dims(CONV_THREADS);
    const gpu_state s = state_of(c, pos0, keeps);
    if (k->taps == CONV_TAPS) return LAUNCH(c->g, e, "conv", grid, block, 0, (conv_kernel<CONV_TAPS>))(*k, s, c->round);
    return LAUNCH(c->g, e, "conv of many taps", grid, block, 0, (conv_kernel<GPU_MOST_TAPS>))(*k, s, c->round);
}

extern "C" bool cuda_decay(const gpu_ctx *c, const gpu_decay *k, int n, err *e)
{
    const int64_t all = (int64_t)n * k->dim;
    if (all == 0) return true;
    const gpu_dim grid = dims(ceil_div(all, DECAY_THREADS));
    return LAUNCH(c->g, e, "decay", grid, dims(DECAY_THREADS), 0, (decay_kernel))(*k, all);
}

extern "C" bool cuda_delta(const gpu_ctx *c, const gpu_delta *k, int64_t pos0, bool keeps, err *e)
{
    if (k->n == 0 || k->dim == 0) return true;
    if (k->key_dim < 1 || k->key_dim > DELTA_MOST_KEYS || k->key_heads < 1 || k->heads % k->key_heads != 0
        || k->heads > 65535)
        return err_set(e, ERR_SYSTEM, "device cuda: a delta net of %d heads over %d of %d keys, expected at most %d "
                       "keys", k->heads, k->key_heads, k->key_dim, (int)DELTA_MOST_KEYS);
    const gpu_dim grid = dims(ceil_div(k->dim, DELTA_HALVES * DELTA_COLUMNS), k->heads), block = dims(DELTA_THREADS);
    const gpu_state s = state_of(c, pos0, keeps);
    if (k->key_dim == DELTA_KEYS)
        return LAUNCH(c->g, e, "delta", grid, block, 0, (delta_kernel<DELTA_KEYS / LANES, true>))(*k, s, c->round);
    return LAUNCH(c->g, e, "delta of any keys", grid, block, 0, (delta_kernel<DELTA_MOST_KEYS / LANES, false>))(
        *k, s, c->round);
}
