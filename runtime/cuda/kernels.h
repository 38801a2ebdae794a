// kernels: what the CUDA backend can launch. Each launcher checks shapes, picks the grid, launches, and does no
// arithmetic; the kernels above it in its .cu file say what is computed. Twin of all of them: runtime/cpu/kernels.inc,
// bit for bit; but for products of many tokens on the tensor cores.
//
// Pointers are device memory unless said. Activations are F32, [n_tokens][dim]. Positions: where `step` is given, the
// position and the token's id are read from it when the kernel runs (a recorded decode step); the values passed are
// then ignored.
#ifndef HALLMARK_RUNTIME_CUDA_KERNELS_H
#define HALLMARK_RUNTIME_CUDA_KERNELS_H

#include "../../device/formats_c.h"
#include "../../device/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GPU_STEP_IDS = 64, GPU_MAX_HEAD = 512, GPU_SEGMENTS = 3 };
enum { GPU_KEY_SPAN = 1024, GPU_COLUMN_SPAN = 512 };       // KEY_SPAN and COLUMN_SPAN in backend.h

typedef struct {                // on the device: where a recorded decode step stands, and what it produced
    int64_t            pos;     // position of the token that the next step runs
    int32_t            id;      // that token
    int32_t            n_out;   // ids produced since the host last set this
    unsigned long long bad_kv;  // first position whose K or V does not fit the cache dtype; all ones: none
    int32_t            out[GPU_STEP_IDS];
} gpu_step;

// Products of many tokens in BF16 pieces (tensor.cu, cublas.c): a BF16 weight is one piece, any other and an F32
// activation the sum of three.
typedef enum { PRODUCTS_EXACT, PRODUCTS_TENSOR, PRODUCTS_CUBLAS } gpu_products_mode;
enum { PRODUCT_PIECES = 3 };
// the most that pieces and sums take; larger products are formed in slices, with the same bits
#define PRODUCT_W_BYTES ((int64_t)48 << 20)
#define PRODUCT_X_BYTES ((int64_t)48 << 20)
#define PRODUCT_SPAN_BYTES ((int64_t)16 << 20)
typedef struct { int64_t w, x, spans; } gpu_products_need;      // bytes
typedef struct {
    gpu_products_mode mode;
    int          x_pieces;      // of activations: 1 under ARITH_BF16, else PRODUCT_PIECES
    int          tile;          // the tile of tensor.cu to use whatever the shape; -1: the one that suits
    uint16_t    *w, *x;         // scratch: pieces [piece][row][cols], see cuda_pieces_need
    float       *spans;         // scratch: sums of spans of columns
    int64_t      w_bytes, x_bytes, span_bytes;
    const float *cut;    // the activations whose pieces are in x, cut_n floats; NULL: none, or something else ran since
    int64_t      cut_n;
    struct cublas_lib *blas;    // PRODUCTS_CUBLAS
} gpu_products;

typedef struct {
    gpu      *g;
    bool      round;            // ARITH_BF16: results rounded to BF16
    gpu_products *products;     // how products of many tokens are formed; NULL: exactly
    int       fault;            // a `fault` of backend.h; committed in test builds only
    gpu_step *state;            // always there: bad_kv
    gpu_step *step;             // state while a decode step is recorded, else NULL
} gpu_ctx;

enum { WEIGHT_PADDING = 16 };   // bytes behind a matrix that kernels may read, and do not use
typedef struct { dtype type; const void *data; int64_t rows, cols; } gpu_matrix;

enum { GPU_KV_MIXED = -1 };     // beside the dtypes: what is more than rows of one type

typedef struct {                // keys, or values, of one layer, see kv_part in kv_layer.h
    int     type;               // a dtype: rows of it, position p in slot p % capacity, and no more; or GPU_KV_MIXED
    int64_t row;                // bytes of a unit: a row, or a group of positions
    void   *data;               // [units][row]
    // Of GPU_KV_MIXED alone:
    dtype   stored;             // of rows; KIVI's codes: DT_INVALID
    int     bits, group;        // of KIVI's codes
    bool    by_tokens;          // a unit is `group` positions, else one
    bool    in_steps;           // whole from a multiple of `newest` on, else exactly so many
    int     units, newest;
    int     ring, sinks;        // whole positions that are kept
    bool    whole_bf16;         // their type, else F32
    int64_t whole_row;
    void   *newest_data, *sink_data;
} gpu_kv_side;

typedef struct {                // one layer's keys and values
    int         n_kv_head, head_dim;
    int64_t     capacity;
    gpu_kv_side k, v;
} gpu_kv;

// ERR_SYSTEM where this program has no kernels for the device (gpu_know_kernels).
bool cuda_kernels_are_there(const gpu_ctx *c, err *e);

// dst[t] = scale * row ids[t] of w; ids NULL: the step's.
bool cuda_embed(const gpu_ctx *c, float *dst, const gpu_matrix *w, const int32_t *ids, int n, float scale, err *e);

// Rows of several operands, `per` of them a token: row r begins at row r % per of token r / per of each.
// Floats from one token to the next, and from one of its rows to the next.
typedef struct { float *p; int64_t row, head; } gpu_rows;
typedef struct {
    gpu_rows     dst, x;        // may be the same
    const float *w;             // [dim] or NULL
    int64_t      rows;          // of all tokens
    int          per, dim;
    float        eps;
    bool         round_first;   // where results are rounded, what is normed is rounded before its weight too (op.h)
    bool         l2;            // x / sqrt(sum + eps), never rounded; else x / sqrt(mean + eps)
} gpu_norm;
bool cuda_norm(const gpu_ctx *c, const gpu_norm *n, err *e);

// x += rms_norm(t, w) [* out_scale] (w NULL: x += t), then (w_next) t = rms_norm(x, w_next), else t = the normed t:
// what a layer does between products.
bool cuda_norm_add_norm(const gpu_ctx *c, float *x, float *t, const float *w, const float *w_next, float out_scale,
                        int64_t rows, int dim, float eps, bool round_first, err *e);

// dst [n][rows] = x [n][cols] W^T. One token: gemv. More: exact tiles, or pieces where they are allowed and the shape
// is theirs.
bool cuda_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e);
enum { CUDA_TENSOR_TOKENS = 16 };       // fewer are not worth a tile of 64
enum { CUDA_TENSOR_TILES = 3 };
bool cuda_tensor_can(const gpu_ctx *c, const gpu_matrix *w, int n);
// the tile of products->tile has the shared memory it needs
bool cuda_tensor_fits(const gpu_ctx *c, const gpu_matrix *w);
gpu_products_need cuda_tensor_need(const gpu_ctx *c, const gpu_matrix *w, int n);
bool cuda_tensor_matmul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, int n, err *e);

// A part of a product whose pieces are ready: rows row .. row + rows - 1 of W, tokens token .. token + n - 1. Zeroed
// before the first.
typedef struct {
    int64_t         row, rows, token;
    int             n;
    const uint16_t *w;    // [pieces][rows][cols]; those of x: products->x. Planes: elements between two pieces
    int64_t         w_plane, x_plane;
} pieces_slice;
// The scratch that a product wants; less is made do with, down to one row and one token. n_spans: sums of so many spans
// of columns wait in it.
gpu_products_need cuda_pieces_need(const gpu_ctx *c, const gpu_matrix *w, int n, int n_spans);
bool cuda_next_pieces(const gpu_ctx *c, const gpu_matrix *w, const float *x, int n, int n_spans, pieces_slice *s,
                      bool *more, err *e);

// One token against up to GPU_SEGMENTS matrices of the same type and cols in one launch.
bool cuda_gemv_many(const gpu_ctx *c, int n_seg, float *const dst[], const gpu_matrix w[], const float *x, err *e);
// One token: up = W_up x, gate = act(W_gate x) * up, act gelu or silu. Both of the same type and shape.
bool cuda_gemv_glu(const gpu_ctx *c, float *gate, float *up, const gpu_matrix *w_gate, const gpu_matrix *w_up,
                   const float *x, bool silu, err *e);
// One token: dst = gelu(W x) * by.
bool cuda_gemv_gelu_mul(const gpu_ctx *c, float *dst, const gpu_matrix *w, const float *x, const float *by, err *e);

bool cuda_add(const gpu_ctx *c, float *dst, const float *a, const float *b, int64_t n, err *e);
bool cuda_scale(const gpu_ctx *c, float *x, float s, int64_t n, err *e);
bool cuda_mul_rows(const gpu_ctx *c, float *dst, const float *a, const float *b, int64_t b_stride, int n, int dim,
                   err *e);
bool cuda_gelu(const gpu_ctx *c, float *x, int64_t n, err *e);
bool cuda_geglu(const gpu_ctx *c, float *gate, const float *up, int64_t n, err *e);
bool cuda_silu(const gpu_ctx *c, float *x, int64_t n, err *e);
bool cuda_swiglu(const gpu_ctx *c, float *gate, const float *up, int64_t n, err *e);
bool cuda_sigmoid(const gpu_ctx *c, float *x, int64_t n, err *e);
bool cuda_softcap(const gpu_ctx *c, float *x, float cap, int64_t n, err *e);
// Row by row, of dim floats: dst = x * sigmoid(by), the sigmoid rounded; the others: dst = act(x) * by, of
// GPU_SWIGLU_WHOLE rounded once. one: a row of `by` is one float, which stands for dim.
typedef enum { GPU_GATE, GPU_GEGLU, GPU_SWIGLU, GPU_SWIGLU_WHOLE } gpu_gating_op;
typedef struct {
    gpu_gating_op op;
    gpu_rows    dst, x, by;
    int64_t     rows;           // of all tokens
    int         per, dim;
    bool        one;
} gpu_gating;
bool cuda_gating(const gpu_ctx *c, const gpu_gating *p, err *e);
// Of each head of dim floats the first `rot`. table: [n_ctx][2][rot / 2] cosines and sines.
// neighbours: pairs are 2i and 2i + 1, not i and i + rot / 2.
bool cuda_rotate(const gpu_ctx *c, float *x, const float *table, int rot, int dim, int n, int n_head, bool neighbours,
                 int64_t pos0, err *e);
// dst [n][dim] += bias [dim]
bool cuda_add_bias(const gpu_ctx *c, float *dst, const float *bias, int n, int64_t dim, err *e);
// The Walsh-Hadamard rotation of op.h: n floats, runs of `block` of them, a power of two up to GPU_MAX_HEAD that
// divides n.
bool cuda_hadamard(const gpu_ctx *c, float *x, int64_t n, int block, bool unrounded, err *e);
bool cuda_kv_store(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int n, int64_t pos0, err *e);
// The same where a side is GPU_KV_MIXED: units and whole positions; then, where keys go by groups, those that end here.
bool cuda_kv_store_mixed(const gpu_ctx *c, const gpu_kv *kv, const float *k, const float *v, int n, int64_t pos0,
                         err *e);

// norm, rotation (of each head's first `rot` floats) and storing in one launch: q = rotate(rms_norm(q, q_norm)); where
// k is given: v = rms_norm(v_from) without weight (v_norm; else v_from is v), k = rotate(rms_norm(k, k_norm)), both to
// the cache, whose types are equal, or one of which is GPU_KV_MIXED: storing is then another launch, or two. q_norm,
// k_norm NULL: no norm.
typedef struct {
    float       *q, *k, *v;
    const float *v_from, *q_norm, *k_norm, *table;
    int          n_head, head_dim, rot;
    bool         v_norm, neighbours, round_first;
    float        eps;
    gpu_kv       kv;
} gpu_heads;
bool cuda_heads(const gpu_ctx *c, const gpu_heads *h, int n, int64_t pos0, err *e);

// scores: scratch, cuda_attention_scratch() floats a token.
typedef struct {
    const float *q;             // [n][n_head][head_dim]
    float       *out, *scores;
    gpu_kv       kv;
    int          n, n_head;
    int64_t      pos0, window;
    float        scale, softcap;
    bool         unrounded;     // the result, in any arithmetic
} gpu_attention;
int64_t cuda_attention_scratch(const gpu_kv *kv, int n_head, int64_t window);
bool cuda_attention(const gpu_ctx *c, const gpu_attention *a, err *e);

// ---- experts and delta nets: op.h says what each is -----------------------------------------------------------------

// Rows: floats from one token to the next; heads: from one slot to the next.
typedef struct {
    const float *scores, *scale;                // scale: [experts] or NULL
    float       *weights, *ids;
    int64_t      scores_row, weights_row, ids_row;
    int          experts, slots;
    bool         renorm, ties_high, round_weights;
} gpu_route;
bool cuda_route(const gpu_ctx *c, const gpu_route *r, int n, err *e);

// Products of the experts that ids name: matrices of experts * rows rows, of which each (token, slot) pair sees `rows`.
enum { GPU_EXPERT_MATRICES = 2, CUDA_EXPERT_TOKENS = 16 };     // fewer tokens than that hardly meet at an expert
typedef struct {
    const float   *x, *ids;
    int64_t        ids_row, x_row, x_head, dst_row, dst_head, rows;    // x_head 0: all slots see one row
    int            experts, slots;
    const int32_t *pair;                        // set by cuda_sort_experts
    const void    *tiles;
    int            n_tiles;
} gpu_experts;
// Few tokens: each pair by itself, up to GPU_EXPERT_MATRICES matrices of one type and shape in one launch.
bool cuda_expert_gemv(const gpu_ctx *c, const gpu_experts *x, int n_matrices, float *const dst[], const gpu_matrix w[],
                      int n, err *e);
// Many: pairs sorted by expert, so that an expert's rows are decoded once for 32 pairs; exact, whatever products->mode
// says. scratch: cuda_experts_scratch() bytes, kept until the products have run. sorted: it holds what these ids gave,
// for the same n.
int64_t cuda_experts_scratch(int experts, int slots, int n);
bool cuda_sort_experts(const gpu_ctx *c, gpu_experts *x, void *scratch, bool sorted, int n, err *e);
bool cuda_expert_tiles(const gpu_ctx *c, const gpu_experts *x, float *dst, const gpu_matrix *w, err *e);

typedef struct {
    float       *dst;
    const float *x, *weights;
    int64_t      dst_row, x_row, x_head, weights_row;
    int          slots, dim;
} gpu_join;
bool cuda_join(const gpu_ctx *c, const gpu_join *j, int n, err *e);

// Whether a state is taken for zeros: where the position is 0. keeps: never. Made by the launchers.
typedef struct { int64_t pos0; const gpu_step *step; bool keeps; } gpu_state;
enum { GPU_MOST_TAPS = 16 };
typedef struct {
    const float *x, *w;                         // w: [channels][taps]
    float       *y, *state;                     // state: [taps - 1][channels]; y may be x
    int64_t      x_row, y_row, channels;
    int          n, taps;
    bool         late;
} gpu_conv;
bool cuda_conv(const gpu_ctx *c, const gpu_conv *k, int64_t pos0, bool keeps, err *e);

typedef struct {
    const float *x, *a, *bias;                  // a, bias: [dim]
    float       *y;
    int64_t      x_row, y_row;
    int          dim;
    float        scale;
} gpu_decay;
bool cuda_decay(const gpu_ctx *c, const gpu_decay *k, int n, err *e);

typedef struct {
    const float *in, *beta, *decay;             // in: a token's q, k [key_heads][key_dim] each and v [heads][dim]
    float       *out, *state;                   // state: [heads][key_dim][dim], on 16 bytes; out is not in
    int64_t      in_row, beta_row, decay_row, out_row;
    int          n, heads, dim, key_heads, key_dim;
    float        scale;
    bool         grouped;
} gpu_delta;
bool cuda_delta(const gpu_ctx *c, const gpu_delta *k, int64_t pos0, bool keeps, err *e);

// partial: scratch, CUDA_ARGMAX_BLOCKS pairs of 8 bytes. Without a step the id (or -1) goes to *id; with one it also
// becomes the step's next token, is appended to its out, and pos advances.
enum { CUDA_ARGMAX_BLOCKS = 256 };
bool cuda_argmax(const gpu_ctx *c, int32_t *id, const float *x, int64_t n, void *partial, err *e);

#ifdef __cplusplus
}
#endif
#endif
