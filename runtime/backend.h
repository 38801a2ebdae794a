// backend: what runs a list of operations (op.h): the CPU, or a GPU. Families' files append operations and never know
// which it is.
//
// Activations are F32 in memory on every backend, [n_tokens][dim], contiguous. Under ARITH_BF16 each operation rounds
// its result to BF16 (and keeps it in F32), exactly where Transformers' eager bfloat16 forward rounds; sums inside a
// product stay F32. Every reduction has one fixed order (REDUCE_LANES partial sums, joined by a fixed tree), so results
// do not depend on threads, SIMD level, or whether tokens came one by one or in a batch. Long sums are cut into spans,
// so that a GPU can give each to other threads: a product's columns into spans of COLUMN_SPAN, whose partial sums are
// added to those of the spans before, each to its own, before the tree joins the sixteen; keys (softmax and what it
// weighs) into spans of KEY_SPAN, counted from the first that the token sees, each joined by the tree, and then added
// in ascending order. The sums of experts and delta nets: op.h.
#ifndef HALLMARK_RUNTIME_BACKEND_H
#define HALLMARK_RUNTIME_BACKEND_H

#include "../formats/gguf.h"
#include "kv_layer.h"
#include "op.h"
#include "score.h"

enum { REPLAY_MAX = 64 };
enum { REDUCE_LANES = 16 };     // element i of a reduction goes to partial sum i % 16, by fused multiply-add
enum { KEY_SPAN = 1024, COLUMN_SPAN = 512 };        // multiples of REDUCE_LANES; COLUMN_SPAN: of 256, the largest block

typedef enum { ARITH_F32, ARITH_BF16 } arith;

typedef struct {            // a matrix of weights, on the backend
    dtype       type;
    // y[rows] = W x[cols]; a vector has rows 1, matrices of experts have those of all, one behind the other
    int64_t     rows, cols;
    const void *data;       // backend memory (the CPU: the file's mapping)
    const char *name;       // for messages; borrowed
} weight;

typedef struct {            // rotary embedding of one layer kind: angle of dim pair i at position p is p * inv_freq[i]
    int          head_dim;
    const float *inv_freq;  // [head_dim / 2], host; 0 for dimensions that do not rotate
    void        *dev;       // backend's copy or table
} rope;

typedef struct {            // what a recurrent layer keeps of the tokens before: backend memory, F32
    float  *conv;           // [taps - 1][channels]: the newest inputs of the convolution, the oldest first
    float  *s;              // [heads][key_dim][dim] of the delta rule
    int64_t conv_floats, s_floats;
} state_layer;

typedef struct {
    const float    *q;          // [n][n_head][head_dim], rotated
    float          *out;        // [n][n_head][head_dim]
    const kv_layer *kv;
    int             n, n_head;
    int64_t         pos0;       // position of the first of the n tokens; keys 0 .. pos0 + i are stored
    int64_t         window;     // token at p sees keys p - window + 1 .. p; 0: all
    float           scale;      // scores are multiplied by it (skipped when 1.0)
    float           softcap;    // 0: none
    bool            unrounded;  // the result, in any arithmetic
} attention_args;

typedef struct {            // what a list's indices stand for
    float   **buffers;      // on the backend
    weight   *weights;
    kv_layer *caches;
    rope     *ropes;
    state_layer *states;
} op_memory;

typedef struct {            // what differs from one run of a list to the next
    const int32_t *ids;     // [n], host; NULL in a recording: the step's
    int            n;       // tokens
    int64_t        pos0;    // position of the first
    int            first;   // token that views "from first" begin with
    int32_t       *chosen;  // OP_ARGMAX: host, the id, -1 where all were NaN; NULL in a recording
} op_args;

// Token 0 of an operand; NULL: there is none.
static inline float *op_at(const op_memory *m, const op_args *a, view v)
{
    return v.buf < 0 ? NULL : m->buffers[v.buf] + v.off + (v.from_first ? (int64_t)a->first * v.row : 0);
}

typedef struct {            // what an observer of products sees: the input of one (net.h, session.h)
    const char  *tensor;    // the weight's name
    const float *x;         // host, [n][cols]
    int          n;
    int64_t      cols;
    int          expert;    // which of `experts` it is the input of; experts 0: the tensor is one matrix
    int          experts;
} product_input;

typedef struct backend backend;
typedef struct {
    const char *name;                                                       // "cpu", "cuda"
    bool        copies_weights;    // load_weight takes memory of its own (memory_bytes counts it)
    int         batch, logits_rows;    // tokens of a prefill step, and of a product with the embeddings, that suit it
    // Memory: floats on the backend. NULL / false with e set on failure.
    bool (*alloc)(backend *b, void **p, int64_t n_bytes, const char *what, err *e);
    void (*release)(backend *b, void *p);
    bool (*upload)(backend *b, void *dst, const void *src, int64_t n_bytes, err *e);
    bool (*download)(backend *b, void *dst, const void *src, int64_t n_bytes, err *e);
    // t: 1-D to 3-D; w owns nothing of t's on the CPU
    bool (*load_weight)(backend *b, const gguf_tensor *t, weight *w, err *e);
    void (*free_weight)(backend *b, weight *w);
    bool (*load_rope)(backend *b, rope *r, int64_t n_ctx, err *e);          // prepares r->dev
    void (*free_rope)(backend *b, rope *r);
    // Whether o runs as it is, for one token or for many; where not, its expansion does (op.h). Every backend has the
    // fine operations.
    bool (*has)(const backend *b, const op *o, const op_memory *m, bool one_token);
    // Runs a list in its order. May return before it is done: errors surface at the latest in sync or download.
    bool (*run)(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e);
    // Scoring (score.h): of rows of logits x [n_rows][n]; results are in host memory on return, the same bits on every
    // backend.
    // next: [n_rows] ids, -1: none
    bool (*row_stats)(backend *b, row_stats *out, const float *x, int n_rows, int64_t n, const int32_t *next, err *e);
    // kl[i]: KL(reference || row i) in nats, >= 0; 0 where either is not finite. stats: [n_rows] of x.
    bool (*row_kl)(backend *b, double *kl, const float *x, const row_stats *stats, int n_rows, int64_t n,
                   const row_reference *ref, err *e);
    // The k (1 <= k <= n) largest of each row by value, then by lower id (NaN last), in ascending order of ids: ids,
    // logits [n_rows][k].
    bool (*row_top)(backend *b, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k, err *e);
    bool (*sync)(backend *b, err *e);
    int64_t (*memory_bytes)(const backend *b);    // allocated now, weights included where they are copied
    void (*close)(backend *b);

    // NULL where products take no memory of their own. Takes what matmul(w, n tokens) will need, so that it is there,
    // and counted, from the start.
    bool (*reserve_matmul)(backend *b, const weight *w, int n, err *e);

    // NULL where the backend has no memory of its own to run out of, or no ceiling of its own.
    bool (*room)(backend *b, int64_t *bytes, err *e);                       // bytes still free
    bool (*copy_rate)(backend *b, double *bytes_per_s, err *e);             // what its memory can deliver, measured

    // NULL where nothing is gained by it. A decode step recorded once and run many times without the host in between:
    // operations between begin and end are kept, not run. They are those of one token that ends in an argmax; its id
    // and position live on the backend (args' ids and chosen are NULL, pos0 is ignored), and the argmax makes the next
    // step's token.
    bool (*record_begin)(backend *b, err *e);
    bool (*record_end)(backend *b, bool keep, err *e);                      // keep false: forget it
    bool (*recorded)(const backend *b);    // false before, and again when buffers had to move
    // Runs n (<= REPLAY_MAX) recorded steps, the first with token id at position pos; ids[i]: what step i chose, -1 if
    // all were NaN.
    bool (*replay)(backend *b, int32_t id, int64_t pos, int n, int32_t *ids, err *e);
    // Copies n_bytes from one place of the backend's memory to another, in the order of what runs. Not NULL where
    // replay is not.
    bool (*copy)(backend *b, void *dst, const void *src, int64_t n_bytes, err *e);
} backend_ops;

// Faults that tests plant in the runtime. Only a build with HALLMARK_FAULTS commits them; elsewhere FAULT_NONE is all
// there is.
typedef enum {
    FAULT_NONE, FAULT_SCALE_RSQRT_D, FAULT_SCORES_BF16, FAULT_HEAD512_ZERO, FAULT_WINDOW_OFF_BY_ONE,
    FAULT_ROPE_BASE_SWAP, FAULT_KV_WRONG_LAYER,
    FAULT_KV_F16, FAULT_FUSED_SUM_KV_DTYPE, FAULT_HEAD512_LOST,
    FAULT_ROPE_PAIRS, FAULT_NORMS_SWAPPED, FAULT_BIAS_LOST, FAULT_HEAD_TIED, FAULT_NORM_ROUNDED_ONCE,
    FAULT_ROPE_FACTORS_LOST,
    FAULT_EXPERT_SCORE, FAULT_ROUTE_NOT_RENORMED, FAULT_TIES_HIGH, FAULT_SHARED_GATE_LOST, FAULT_OUTPUT_GATE_LOST,
        FAULT_DECAY_SIGN,
    FAULT_QUERY_NOT_ROTATED, FAULT_GROUP_OF_ALL_HEADS, FAULT_WHOLE_OFF_BY_ONE, FAULT_SINK_FORGOTTEN,
        FAULT_VALUES_BY_TOKENS,
    FAULT_QUERY_ROUNDED,        // no mistake: queries rounded before a quantized key, as llama.cpp does on a CPU
    FAULT_CONV_LATE, FAULT_STATE_KEPT, FAULT_V_HEADS_GROUPED, FAULT_NORMS_SHIFTED, FAULT_K_NORMED_AS_V,
} fault;

struct backend {            // first member of every implementation
    const backend_ops *ops;
    arith              arith;
    fault              fault;
    const char        *processor;   // the instructions that are used ("avx2"), or the device's name; never NULL
    const char        *note;        // in what its numbers may differ from another backend's; NULL: in nothing
};

// n_threads 0: all cores. simd: "auto", "portable", "avx2", "avx512" (NULL: auto; also from HALLMARK_SIMD). ERR_USAGE
// if this CPU lacks it.
backend *backend_cpu(arith a, int n_threads, const char *simd, err *e);
// NULL with ERR_SYSTEM when the program is built without CUDA or no device answers; e says which. reproducible: see
// session_opts.
backend *backend_cuda(arith a, bool reproducible, err *e);
// Is that why: not built in, no driver, no device? Nothing to explain to who did not ask for one.
bool     backend_cuda_absent(const err *why);

#endif
