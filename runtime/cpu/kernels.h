// kernels: what runs inside the CPU backend's parallel loops, once for each SIMD level. Every function is pure on
// caller buffers and gives the same bits at every level (vec16.h).
#ifndef HALLMARK_RUNTIME_CPU_KERNELS_H
#define HALLMARK_RUNTIME_CPU_KERNELS_H

#include "../backend.h"
#include "../score_join.h"

// Rows of W decoded at a time, at most, and the floats from one to the next: a cache line more than they need, as rows
// a power of two apart would share the lines of the first-level cache that they can lie in.
enum { KERNEL_TILE_ROWS = 12 };
static inline int64_t matmul_stride(int64_t cols) { return (cols + 15) / 16 * 16 + 16; }

// One block of at most 16 columns of one head's state, through n tokens (OP_DELTA of op.h). Operands are token 0's, of
// this head; v and out begin at the block's first column. s: [key_dim] rows, `dim` floats apart, at that column. kept:
// [key_dim][16] scratch of the calling thread.
typedef struct {
    const float *q, *k, *v, *beta, *decay;
    float       *out, *s, *kept;
    int64_t      in_row, beta_row, decay_row, out_row, dim;
    int          n, key_dim, width;
    float        scale;
    bool         anew;              // the state is zeros
} delta_args;

// n tokens through channels c0 .. c1 - 1 of a convolution (OP_CONV). x, y: token 0's rows; state: [taps - 1][channels];
// w: [channels][taps].
typedef struct {
    const float *x, *w;
    float       *y, *state;
    int64_t      x_row, y_row, channels;
    int          n, taps;
    bool         anew, late;
} conv_args;

// Which experts a token goes to (OP_ROUTE). p: [experts] the scores, overwritten. scale: [experts] or NULL.
typedef struct {
    float       *weights, *ids, *p;
    const float *scale;
    int          experts, slots;
    bool         renorm, ties_high;
} route_args;

// Queries that read the same K/V head: of tokens token .. token + n_tokens - 1 of the batch, heads head .. head +
// n_heads - 1, at most PANEL_QUERIES together. The cache is read PANEL_KEYS positions at a time.
enum { PANEL_QUERIES = 32, PANEL_KEYS = 64 };
typedef struct {
    int kv_head, head, n_heads, token, n_tokens;
} query_panel;

// Floats of scratch that n queries of a panel need, each of which sees at most n_scores - 16 positions.
static inline int64_t panel_floats(int n, int64_t n_scores, int head_dim)
{
    return n * (n_scores + REDUCE_LANES * head_dim) + 2 * PANEL_KEYS * head_dim;
}

typedef struct {
    const char *name;               // "portable", "avx2", "avx512"

    // dst[t * dst_stride + r] = sum over c of W[r][c] * x[t * cols + c], rows r0 <= r < r1, tokens 0 <= t < n.
    // scratch: [KERNEL_TILE_ROWS][matmul_stride(cols)] F32 of the calling thread. round: to BF16 (F32 in memory).
    void (*matmul)(float *dst, int64_t dst_stride, const weight *w, int64_t r0, int64_t r1,
                   const float *x, int n, bool round, float *scratch);

    // One row of n weights as F32; any type with a codec. What matmul sees, exposed for embeddings and for tests.
    void (*decode_row)(float *dst, const void *src, int64_t n, dtype t);

    // y = x / sqrt(mean(x^2) + eps) [* w], one row of dim; w is F32 or NULL; y may be x. round: the result;
    // round_first: before the weight too.
    void (*rms_norm)(float *y, const float *x, const float *w, int dim, float eps, bool round, bool round_first);

    // One token's one head. q: [head_dim]; out: [head_dim]; keys lo .. hi (positions, inclusive); kv_head: which K/V
    // head.
    // scores: [hi - lo + 1 + 16], row: [(1 + REDUCE_LANES) * head_dim] scratch of the calling thread.
    void (*attend)(float *out, const float *q, const attention_args *a, int kv_head, int64_t lo, int64_t hi,
                   bool round, float *scores, float *row, fault f);

    // A panel's queries, each with the bits of attend without a fault. scratch: panel_floats() of the calling thread.
    void (*attend_panel)(const attention_args *a, const query_panel *p, bool round, float *scratch, int64_t n_scores);

    // One head of one side at position pos as the query at p sees it: F32, in row [head_dim] or borrowed. What attend
    // reads, exposed for tests.
    const float *(*cache_row)(const kv_layer *kv, const kv_part *part, int kv_head, int64_t pos, int64_t p, float *row,
                              fault f);

    // x[head_dim] rotated by cos/sin [head_dim / 2]: halves i and i + head_dim/2 are a pair (NeoX).
    void (*rotate)(float *x, const float *cos, const float *sin, int head_dim, bool round);

    // The same, neighbours 2i and 2i + 1 are a pair.
    void (*rotate_pairs)(float *x, const float *cos, const float *sin, int head_dim, bool round);

    // x [dim] in runs of `block` through a Walsh-Hadamard matrix (OP_HADAMARD); block is a multiple of 16.
    void (*hadamard)(float *x, int dim, int block, bool round);

    // Element by element over n.
    void (*add)(float *dst, const float *a, const float *b, int64_t n, bool round);
    void (*mul)(float *dst, const float *a, const float *b, int64_t n, bool round);
    void (*scale)(float *x, float s, int64_t n, bool round);
    void (*gelu)(float *x, int64_t n, bool round);
    void (*geglu)(float *gate, const float *up, int64_t n, bool round);
    void (*silu)(float *x, int64_t n, bool round);
    void (*swiglu)(float *gate, const float *up, int64_t n, bool round);
    void (*softcap)(float *x, float cap, int64_t n, bool round);
    void (*sigmoid)(float *x, int64_t n, bool round);
    void (*swiglu_whole)(float *gate, const float *up, int64_t n, bool round);         // silu is not rounded by itself
    void (*gate)(float *dst, const float *x, const float *g, int64_t n, bool round);    // x * sigmoid(g)
    void (*gate_one)(float *dst, const float *x, float g, int64_t n, bool round);       // one g for all
    // dst + w * x, the product rounded, then the sum
    void (*axpy)(float *dst, float w, const float *x, int64_t n, bool round);

    void (*route)(const route_args *a, bool round_weights);
    void (*l2norm)(float *y, const float *x, int dim, float eps);                       // y may be x
    void (*conv)(const conv_args *a, int64_t c0, int64_t c1, bool round);
    void (*decay)(float *y, const float *x, const float *a, const float *bias, float scale, int64_t n);
    void (*delta)(const delta_args *a, bool round);

    // One span of a row of logits, n (1 to SCORE_SPAN) of them, in the order that score.h says. x: the span's, whose
    // first id is `first`.
    void (*stats_of_span)(span_stats *s, const float *x, int32_t first, int n);
    // ref: n of the reference's logits; ids NULL: x [n] are this row's; else x is the whole row, and ids [n] says
    // which. live: of row.
    void (*kl_of_span)(span_kl *s, const float *ref, const int32_t *ids, const float *x, int n, const kl_row *row);
} cpu_kernels;

extern const cpu_kernels cpu_kernels_portable;
#if defined(__x86_64__)
extern const cpu_kernels cpu_kernels_avx2, cpu_kernels_avx512;
#endif

// "auto" (or NULL), "portable", "avx2", "avx512". NULL with ERR_USAGE for another name, or one this processor lacks.
const cpu_kernels *cpu_kernels_pick(const char *simd, err *e);
// "portable", "avx2", "avx512".
const char *cpu_kernels_name(const cpu_kernels *k);

#endif
