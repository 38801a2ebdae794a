// experts: which experts a token goes to, products of the chosen, and what joins their answers. See kernels.h.
#include "gemv.cuh"
#include "tile.cuh"

// ---- the choice -----------------------------------------------------------------------------------------------------

enum { ROUTE_THREADS = 256, ROUTE_WARPS = ROUTE_THREADS / WARP };

// p [n] = softmax of x [n], both in shared memory, p may be x.     scratch: ROUTE_WARPS floats
// Numerics: F32; the sum of a span of GPU_KEY_SPAN is sixteen partial sums, joined by join_lanes; spans are added in
// ascending order.
DEV void route_softmax(float *p, const float *x, int n, float *scratch)
{
    float top = -INFINITY;
    for (int i = (int)threadIdx.x; i < n; i += ROUTE_THREADS) top = x[i] > top ? x[i] : top;    // in whatever order
    top = block_max<ROUTE_WARPS>(top, scratch);
    for (int i = (int)threadIdx.x; i < n; i += ROUTE_THREADS) p[i] = exp_twin(x[i] - top);
    __syncthreads();
    float total = 0.0f;             // every half-warp forms the same one
    for (int from = 0; from < n; from += GPU_KEY_SPAN) {
        const int end = n - from < GPU_KEY_SPAN ? n : from + (int)GPU_KEY_SPAN;
        float acc = 0.0f;
        for (int i = from + (int)threadIdx.x % LANES; i < end; i += LANES) acc = acc + p[i];
        total = total + join_lanes(acc);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n; i += ROUTE_THREADS) p[i] = p[i] / total;
    __syncthreads();
}

// Is expert a chosen before expert b? Larger first, of equal ones the lower id, or the higher; what is no number last,
// by id.
DEV bool chosen_before(float pa, int a, float pb, int b, bool ties_high)
{
    const bool ia = pa >= 0.0f, ib = pb >= 0.0f;
    if (!ia || !ib) return ia || (!ib && a < b);
    return pa > pb || (pa == pb && (ties_high ? a > b : a < b));
}

// The experts of a token, one block a token. An expert's place is the number of those chosen before it, which all
// threads count at once: so the choice one after the other takes no steps one after the other.
//   shared: [experts] probabilities, [ROUTE_WARPS] scratch, [slots] ids and [slots] probabilities as they are chosen
// Twin: route in runtime/cpu/experts.inc.
__global__ __launch_bounds__(ROUTE_THREADS) void route_kernel(gpu_route k, bool round_weights)
{
    after_previous();
    float *p = shared_memory<float>(), *scratch = p + k.experts, *chosen = scratch + ROUTE_WARPS;
    int *ids = reinterpret_cast<int *>(chosen + k.slots);
    const int64_t t = blockIdx.x;
    const int tid = (int)threadIdx.x;
    for (int i = tid; i < k.experts; i += ROUTE_THREADS) p[i] = k.scores[t * k.scores_row + i];
    __syncthreads();
    route_softmax(p, p, k.experts, scratch);
    for (int i = tid; i < k.experts; i += ROUTE_THREADS) {
        int place = 0;
#pragma unroll 8
        for (int j = 0; j < k.experts; j++) place += chosen_before(p[j], j, p[i], i, k.ties_high);
        if (place < k.slots) {
            ids[place] = i;
            chosen[place] = p[i];
        }
    }
    __syncthreads();
    if (tid >= k.slots) return;
    float sum = 0.0f;
    int slot = 0;                   // in ascending order of ids
    for (int s = 0; s < k.slots; s++) {
        sum = sum + chosen[s];
        slot += ids[s] < ids[tid];
    }
    float w = k.renorm ? chosen[tid] / sum : chosen[tid];
    if (k.scale) w = w * __ldg(k.scale + ids[tid]);
    k.weights[t * k.weights_row + slot] = rounded(w, round_weights);
    k.ids[t * k.ids_row + slot] = (float)ids[tid];
}

// ---- products of few tokens -----------------------------------------------------------------------------------------

// See gemv_whole. Which matrix it is, is known when the choice is there.
struct gemv_of_pair {
    enum { PLAIN = 1 };
    const gpu_experts &x;
    int64_t            row_bytes;
    __device__ __forceinline__ int token() const { return (int)blockIdx.y / x.slots; }
    __device__ __forceinline__ int slot() const { return (int)blockIdx.y % x.slots; }
    __device__ __forceinline__ void begin() const { after_previous(); }
    __device__ __forceinline__ void started() const {}
    __device__ __forceinline__ int64_t w_bytes() const
    {
        return (int64_t)x.ids[token() * x.ids_row + slot()] * x.rows * row_bytes;
    }
    __device__ __forceinline__ int64_t x_floats() const { return token() * x.x_row + slot() * x.x_head; }
    __device__ __forceinline__ int64_t dst_floats() const { return token() * x.dst_row + slot() * x.dst_head; }
};

// One (token, slot) pair a row of the grid, as gemv_kernel one token.
// Twin: matmul in runtime/cpu/kernels.inc. Plain types would spill where a third block of eight warps fits.
template <int T> __global__ __launch_bounds__(GEMV_MOST_WARPS *WARP, quad<T>::BLOCK == 1 ? 2 : 3)
void expert_gemv_kernel(gemv_work k, gpu_experts x)
{
    gemv_rows<T>(k, gemv_of_pair { x, k.row_bytes });
}

// ---- products of many tokens ----------------------------------------------------------------------------------------

enum { SORT_THREADS = 256, SORT_WARPS = SORT_THREADS / WARP };

DEV int lanes_before(uint32_t mask) { return __popc(mask & ((1u << (threadIdx.x % WARP)) - 1u)); }

// pair[first[e] ..] = the (token, slot) pairs of expert e, ascending; one block an expert. Each block counts the pairs
// of lower experts too, so that nobody waits for another; counts are integers, places follow from them alone.
//   shared: 2 * SORT_WARPS ints
__global__ __launch_bounds__(SORT_THREADS) void sort_pairs_kernel(int32_t *first, int32_t *pair, const float *ids,
                                                                  int64_t ids_row, int slots, int n_pairs)
{
    after_previous();
    int *mine = shared_memory<int>(), *below = mine + SORT_WARPS;
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, e = (int)blockIdx.x;
    const int share = (n_pairs + SORT_THREADS - 1) / SORT_THREADS * WARP, begin = warp * share;
    const int end = n_pairs - begin < share ? n_pairs : begin + share;
    int n_mine = 0, n_below = 0;
    for (int i = begin; i < end; i += WARP) {
        const int id = i + lane < end ? (int)ids[(i + lane) / slots * ids_row + (i + lane) % slots] : INT32_MAX;
        n_mine += __popc(__ballot_sync(ALL_LANES, id == e));
        n_below += __popc(__ballot_sync(ALL_LANES, id < e));
    }
    if (lane == 0) { mine[warp] = n_mine; below[warp] = n_below; }
    __syncthreads();
    int from = 0;
    for (int i = 0; i < SORT_WARPS; i++) from += below[i];
    if (threadIdx.x == 0) first[e] = from;
    if (threadIdx.x == 0 && blockIdx.x == gridDim.x - 1) first[gridDim.x] = n_pairs;
    for (int i = 0; i < warp; i++) from += mine[i];
    for (int i = begin; i < end; i += WARP) {
        const int id = i + lane < end ? (int)ids[(i + lane) / slots * ids_row + (i + lane) % slots] : INT32_MAX;
        const uint32_t hits = __ballot_sync(ALL_LANES, id == e);
        if (id == e) pair[from + lanes_before(hits)] = i + lane;
        from += __popc(hits);
    }
}

struct expert_tile { int32_t expert, first, n; };       // pairs first .. first + n - 1, n up to TILE; n 0: none

// tiles [room] = the experts' pairs in tiles of TILE, ascending; one warp.
__global__ __launch_bounds__(WARP)
void expert_tiles_kernel(expert_tile *tiles, int room, const int32_t *first, int experts)
{
    after_previous();
    const int lane = (int)threadIdx.x;
    int at = 0;                     // tiles of the experts before these 32
    for (int base = 0; base < experts; base += WARP) {
        const int e = base + lane, from = e < experts ? first[e] : 0, n = e < experts ? first[e + 1] - from : 0;
        const int mine = (n + TILE - 1) / TILE;
        int before = mine;          // running sum over lanes, integers
#pragma unroll
        for (int apart = 1; apart < WARP; apart *= 2) {
            const int other = __shfl_sync(ALL_LANES, before, lane >= apart ? lane - apart : 0);
            before += lane >= apart ? other : 0;
        }
        const int all = __shfl_sync(ALL_LANES, before, WARP - 1);
        for (int i = 0; i < mine; i++)
            tiles[at + before - mine + i] = { e, from + i * (int)TILE,
                                              n - i * (int)TILE < TILE ? n - i * (int)TILE : (int)TILE };
        at += all;
    }
    for (int i = at + lane; i < room; i += WARP) tiles[i] = { 0, 0, 0 };
}

struct expert_tokens {              // of one tile: where each pair's rows lie
    const int64_t *x_at, *dst_at;   // shared: [TILE] floats from x and dst
    const float   *x;
    float         *dst;
    int            n;
    __device__ __forceinline__ bool there(int t) const { return t < n; }
    __device__ __forceinline__ const float *from(int t) const { return x + x_at[t]; }
    __device__ __forceinline__ float *to(int t) const { return dst + dst_at[t]; }
};

// Up to 32 pairs of one expert times 32 of its rows.
//   grid: (tiles, runs of 32 rows)     block: as multiply_tile     shared: TILE_SHARED, then [2][TILE] int64
// Twin: matmul in runtime/cpu/kernels.inc.
template <int T> __global__ __launch_bounds__(TILE_THREADS)
void expert_tile_kernel(gpu_experts k, const uint8_t *w, int64_t row_bytes, int64_t cols, bool vectors, float *dst,
                        bool round)
{
    after_previous();
    const expert_tile tile = reinterpret_cast<const expert_tile *>(k.tiles)[blockIdx.x];
    if (tile.n == 0) return;        // the whole block
    int64_t *x_at = reinterpret_cast<int64_t *>(shared_memory<uint8_t>() + TILE_SHARED), *dst_at = x_at + TILE;
    const int tid = (int)threadIdx.x;
    if (tid < tile.n) {
        const int p = k.pair[tile.first + tid], t = p / k.slots, s = p % k.slots;
        x_at[tid] = t * k.x_row + s * k.x_head;
        dst_at[tid] = t * k.dst_row + s * k.dst_head;
    }
    __syncthreads();
    const expert_tokens tokens = { x_at, dst_at, k.x, dst, tile.n };
    multiply_tile<T>(tokens, w + tile.expert * k.rows * row_bytes, row_bytes, k.rows, cols, vectors, round);
}

// ---- joining --------------------------------------------------------------------------------------------------------

enum { JOIN_EACH = 256 };

// dst[t][i] = sum over slots, ascending, of weight * row: the product rounded, then the sum. One thread an element.
//   grid: (runs of a row, tokens)
// Twin: axpy in runtime/cpu/experts.inc.
__global__ __launch_bounds__(JOIN_EACH) void join_kernel(gpu_join k, bool round)
{
    after_previous();
    const int i = (int)(blockIdx.x * JOIN_EACH + threadIdx.x);
    const int64_t t = blockIdx.y;
    if (i >= k.dim) return;
    const float *x = k.x + t * k.x_row + i, *w = k.weights + t * k.weights_row;
    float sum = 0.0f;
#pragma unroll 4
    for (int s = 0; s < k.slots; s++) sum = rounded(sum + rounded(w[s] * x[s * k.x_head], round), round);
    k.dst[t * k.dst_row + i] = sum;
}

// ===== launchers ====================================================================================================

enum { MOST_EXPERTS = 8192, MOST_ROWS = 65535 };        // of a choice's shared memory; of a grid's second dimension

extern "C" bool cuda_route(const gpu_ctx *c, const gpu_route *r, int n, err *e)
{
    if (n == 0) return true;
    if (r->experts < 1 || r->experts > MOST_EXPERTS || r->slots < 1 || r->slots > r->experts
        || r->slots > ROUTE_THREADS)
        return err_set(e, ERR_SYSTEM, "device cuda: %d of %d experts, expected at most %d", r->slots, r->experts,
                       (int)MOST_EXPERTS);
    const size_t shared = (size_t)(r->experts + ROUTE_WARPS + 2 * r->slots) * sizeof(float);
    const bool round = c->round && r->round_weights;
    return LAUNCH(c->g, e, "route", dims(n), dims(ROUTE_THREADS), shared, (route_kernel))(*r, round);
}

static bool experts_fit(const gpu_experts *x, int n, err *e)
{
    if (x->rows > 0 && x->rows <= INT32_MAX / GPU_EXPERT_MATRICES && ceil_div(x->rows, TILE) <= MOST_ROWS
        && x->slots > 0 && (int64_t)n * x->slots <= INT32_MAX) return true;
    return err_set(e, ERR_SYSTEM, "device cuda: experts of %lld rows, %d slots of %d tokens", (long long)x->rows,
                   x->slots, n);
}

extern "C" bool cuda_expert_gemv(const gpu_ctx *c, const gpu_experts *x, int n_matrices, float *const dst[],
                                 const gpu_matrix w[], int n, err *e)
{
    gemv_work k = {};
    gemv_shape s = {};
    if (!experts_fit(x, n, e)) return false;
    if ((int64_t)n * x->slots > MOST_ROWS)
        return err_set(e, ERR_SYSTEM, "device cuda: %d slots of %d tokens are larger than the grid", x->slots, n);
    k.n_seg = n_matrices;
    k.form = GEMV_PLAIN;
    for (int i = 0; i < n_matrices; i++) {
        if (w[i].type != w[0].type || w[i].cols != w[0].cols || w[i].rows != w[0].rows)
            return err_set(e, ERR_SYSTEM, "experts of one launch differ in type or shape");
        k.w[i] = (const uint8_t *)w[i].data;
        k.dst[i] = dst[i];
        k.rows[i] = x->rows;
    }
    const bool aligned = ((uintptr_t)x->x & 15) == 0 && x->x_row % 4 == 0 && x->x_head % 4 == 0;
    if (!gemv_shape_of(&k, &w[0], x->x, aligned, c->round, &s, e)) return false;
    const gpu_dim grid = dims(ceil_div(ceil_div(n_matrices * x->rows, QUAD_ROWS), s.of_block),
                              (int64_t)n * x->slots), block = dims(s.warps * WARP);
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "gemv of experts", grid, block, s.shared<T>(), (expert_gemv_kernel<T>))(k, *x);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

static int64_t tiles_of(int experts, int64_t pairs) { return pairs / TILE + (pairs < experts ? pairs : experts); }

extern "C" int64_t cuda_experts_scratch(int experts, int slots, int n)
{
    const int64_t pairs = (int64_t)n * slots;
    return (experts + 1 + pairs) * (int64_t)sizeof(int32_t) + tiles_of(experts, pairs) * (int64_t)sizeof(expert_tile);
}

extern "C" bool cuda_sort_experts(const gpu_ctx *c, gpu_experts *x, void *scratch, bool sorted, int n, err *e)
{
    if (!experts_fit(x, n, e)) return false;
    const int n_pairs = n * x->slots;
    int32_t *first = (int32_t *)scratch, *pair = first + x->experts + 1;
    expert_tile *tiles = reinterpret_cast<expert_tile *>(pair + n_pairs);
    x->pair = pair;
    x->tiles = tiles;
    x->n_tiles = (int)tiles_of(x->experts, n_pairs);
    if (sorted) return true;
    return LAUNCH(c->g, e, "sort by expert", dims(x->experts), dims(SORT_THREADS), 2 * SORT_WARPS * sizeof(int),
                  (sort_pairs_kernel))(
               first, pair, x->ids, x->ids_row, x->slots, n_pairs) &&
           LAUNCH(c->g, e, "tiles of experts", dims(1), dims(WARP), 0, (expert_tiles_kernel))(tiles, x->n_tiles, first,
                                                                                              x->experts);
}

extern "C" bool cuda_expert_tiles(const gpu_ctx *c, const gpu_experts *x, float *dst, const gpu_matrix *w, err *e)
{
    int64_t row_bytes = 0;
    bool vectors = false;
    if (!view_of(w, &row_bytes, &vectors, e)) return false;
    const gpu_dim grid = dims(x->n_tiles, ceil_div(x->rows, TILE)), block = dims(TILE_THREADS);
    const size_t shared = TILE_SHARED + 2 * TILE * sizeof(int64_t);
    switch (w->type) {
#define ROW(T) \
    case T: return LAUNCH(c->g, e, "tile of experts", grid, block, shared, (expert_tile_kernel<T>))(        \
        *x, (const uint8_t *)w->data, row_bytes, w->cols, vectors, dst, c->round);
    FOR_WEIGHT_TYPES(ROW)
#undef ROW
    default: return unknown_type(w->type, e);
    }
}

extern "C" bool cuda_join(const gpu_ctx *c, const gpu_join *j, int n, err *e)
{
    if (n == 0 || j->dim == 0) return true;
    if (n > MOST_ROWS) return err_set(e, ERR_SYSTEM, "device cuda: experts of %d tokens are larger than the grid", n);
    const gpu_dim grid = dims(ceil_div(j->dim, JOIN_EACH), n);
    return LAUNCH(c->g, e, "join experts", grid, dims(JOIN_EACH), 0, (join_kernel))(*j, c->round);
}
