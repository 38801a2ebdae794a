// op: the operations that a forward pass is made of, as data. A family's file (nets/) appends them once, in the reference's order; everything
// else (loading, memory, both backends, observers, faults, counts) walks the list.
//
// The fence: list order is execution order. There is no scheduler, no shape but the number of tokens and the position, no broadcasting but a
// view's stride, no branch, no view of a view, and there are at most 28 kinds. Whoever needs more writes an operation, not a language.
//
// Coarse operations are what a backend may have one kernel for. Each is *defined* by its expansion into fine ones (op_expand): a backend that
// has it leaves in memory, bit for bit, what the expansion leaves. Proved by tests/op_test.c and tests/cuda_fuse_test.c.
#ifndef HALLMARK_RUNTIME_OP_H
#define HALLMARK_RUNTIME_OP_H

#include "../formats/gguf.h"

typedef enum {
    // fine: one rounding rule each
    OP_EMBED,       // out0 = scale * row of w0 for each token's id
    OP_NORM,        // out0 = in0 / sqrt(mean(in0^2) + eps) [* w0], `rows` rows of `dim` floats a token; out0 may be in0
    OP_LINEAR,      // out_i = W_i in0 [+ bias_i], rounded once; one matrix; with two or three it is coarse
    OP_ADD,         // out0 = in0 + in1
    OP_MUL,         // out0 = in0 * in1; in1 may have a stride of its own
    OP_SCALE,       // out0 *= scale
    OP_ACT,         // out0 = act(out0)
    OP_ACT_MUL,     // out0 = act(out0) * in0
    OP_SOFTCAP,     // out0 = cap * tanh(out0 / cap)
    OP_ROTATE,      // out0 rotated: `rows` heads a token; pairs are the halves of each (NeoX), or neighbours where `neighbours`
    OP_STORE,       // in0, in1: keys and values of the cache
    OP_ATTEND,      // out0 = what in0 (`rows` heads of queries, rotated) sees in the cache
    OP_MARK,        // in0 is a hidden state, number `mark`, that a probe may ask for
    OP_ARGMAX,      // the greedy id of in0 (`dim` floats), for one token
    // coarse
    OP_RESIDUAL,    // out1 = norm(out1, w0) where w0 is; out0 += out1; out0 *= scale where that is not 1; out1 = norm(out0, w1) where w1 is
    OP_GLU,         // out0 = act(W_0 in0) * out1, out1 = W_1 in0
    OP_GATED,       // out0 = act(W_0 in0) * in1
    OP_HEADS,       // q: norm w0 where it is, rotate (out0); with a cache also: v: norm without weight where v_norm (out2 = in0), k: norm w1 where
                    // it is, rotate (out1); store
    N_OP_KINDS,
} op_kind;

typedef enum { ACT_GELU_TANH, ACT_SILU } activation;

// Where an operand lies: token t's floats begin at `off` + t * `row` of buffer `buf`. buf -1: there is none.
typedef struct {
    int32_t buf, row;
    int64_t off;
    bool    from_first;     // token 0 is the first of those asked for (op_args.first), not of the batch
} view;

enum { OP_VIEWS = 3, OP_WEIGHTS = 3 };
typedef struct {
    op_kind    kind;
    int        layer;               // for messages, observers and counts; -1: outside the layers
    view       out[OP_VIEWS], in[OP_VIEWS];
    int        w[OP_WEIGHTS];       // indices of weights; -1: none
    int        bias[OP_WEIGHTS];    // OP_LINEAR: indices of weights of one row; -1: none
    int        cache, rope;         // indices; -1: none
    int        rows, dim;           // rows a token, floats a row
    int        kv_rows;             // OP_HEADS: heads of K and V
    int        mark;                // OP_MARK
    int        scale_from;          // index of a weight of one float that `scale` is read from when the program is opened; -1: none
    activation act;
    bool       v_norm;              // OP_HEADS
    bool       round_first;         // norms with a weight: rounds before it too, where results are rounded
    bool       neighbours;          // OP_ROTATE, OP_HEADS: which elements are pairs
    float      eps, scale, cap;
    int64_t    window;              // OP_ATTEND: a token at p sees keys p - window + 1 .. p; 0: all
} op;

// An operation of that kind with nothing in it: views, weights, cache and rope are none, scale is 1.
op op_new(op_kind kind, int layer);

const char *op_name(op_kind k);     // "embed", "norm", ...

// The finer operations that o equals, in order, into out [OP_EXPANSION]; how many. 0: o is fine, there is nothing finer.
enum { OP_EXPANSION = 8 };
int op_expand(const op *o, op out[OP_EXPANSION]);

// What an operation reads and writes for one token: spans of buffers, weights and tables left out. A cache that is read or written is
// span.cache (else -1), with buf -1. n_vocab and cols come from the weights, so the caller gives the widths of o->w. At most OP_SPANS.
typedef struct { int buf, cache; int64_t off, floats; int32_t row; bool write; } op_span;
enum { OP_SPANS = 8 };
typedef struct { int64_t rows, cols; } op_shape;
int op_touches(const op *o, const op_shape w[OP_WEIGHTS], int head_dim, op_span out[OP_SPANS]);

#endif
