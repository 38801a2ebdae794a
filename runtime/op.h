// op: the operations that a forward pass is made of, as data. A family's file (nets/) appends them once, in the
// reference's order; everything else (loading, memory, both backends, observers, faults, counts) walks the list.
//
// The fence: list order is execution order. There is no scheduler, no shape but the number of tokens and the position,
// no broadcasting but a view's stride, no branch, no view of a view, and there are at most 28 kinds. Whoever needs more
// writes an operation, not a language.
//
// Coarse operations are what a backend may have one kernel for. Each is *defined* by its expansion into fine ones
// (op_expand): a backend that has it leaves in memory, bit for bit, what the expansion leaves. Proved by
// tests/op_test.c and tests/cuda_fuse_test.c.
#ifndef HALLMARK_RUNTIME_OP_H
#define HALLMARK_RUNTIME_OP_H

#include "../formats/gguf.h"

typedef enum {
    // fine: one rounding rule each
    OP_EMBED,       // out0 = scale * row of w0 for each token's id
    OP_NORM,        // out0 = in0 / sqrt(mean(in0^2) + eps) [* w0], `rows` rows of `dim` floats a token; out0 may be in0
    OP_LINEAR,      // out_i = W_i in0 [+ bias_i], rounded once; one matrix; with two or three it is coarse
    OP_ADD,         // out0 = in0 + in1
    OP_MUL,         // out0 = in0 * in1; in1 may have a stride of its own; or * w0, one row for every token
    OP_SCALE,       // out0 *= scale
    OP_ACT,         // out0 = act(out0)
    OP_ACT_MUL,     // out0 = act(out0) * in0, `rows` rows of `dim` floats; whole: rounded once, after the product
    OP_SOFTCAP,     // out0 = cap * tanh(out0 / cap)
    OP_ROTATE,      // out0 rotated: `rows` heads of `dim` a token, of each the first floats that the rope has; pairs
                    // are the halves of those (NeoX), or neighbours where `neighbours`
    OP_STORE,       // in0, in1: keys and values of the cache
    OP_ATTEND,      // out0 = what in0 (`rows` heads of queries, rotated) sees in the cache
    OP_GATE,        // out0 = in0 * sigmoid(in1), `rows` rows of `dim`; the sigmoid is rounded, then the product
    OP_ROUTE,       // out0 = weights, out1 = ids of the `slots` experts of a token, by in0, its `experts` scores
    OP_LINEAR_ID,   // out_i = W_i[id] in0 for each slot, in1: ids; one matrix of experts; with two it is coarse
    OP_JOIN,        // out0 = sum over slots of in1 (weights) * in0 (`slots` rows of `dim`)
    OP_HADAMARD,    // out0 rotated by a Walsh-Hadamard matrix: `rows` heads of `dim`, runs of `block` floats of them
    OP_L2NORM,      // out0 = in0 / sqrt(sum(in0^2) + eps), `rows` rows of `dim`; never rounded
    OP_CONV,        // out0 = silu(causal convolution of in0 along tokens), `dim` channels, taps w0; keeps a state
    OP_DECAY,       // out0 = exp(scale * w0 * softplus(in0 + w1)), `dim` floats, F32; never rounded
    OP_DELTA,       // out0 = the gated delta rule's answers, `rows` heads of `dim`; keeps a state
    OP_MARK,        // in0 is a hidden state, number `mark`, that a probe may ask for
    OP_ARGMAX,      // the greedy id of in0 (`dim` floats), for one token
    // coarse
    // out1 = norm(out1, w0) where w0 is; out0 += out1; out0 *= scale where that is not 1; out1 = norm(out0, w1) where
    // w1 is
    OP_RESIDUAL,
    OP_GLU,         // out0 = act(W_0 in0) * out1, out1 = W_1 in0
    OP_GATED,       // out0 = act(W_0 in0) * in1
    // q: norm w0 where it is, rotate (out0); with a cache also: v: norm without weight where v_norm (out2 = in0), k:
    // norm w1 where it is, rotate (out1); store
    OP_HEADS,
    N_OP_KINDS,
} op_kind;

// ---- experts and delta nets, exactly. Each order of sums is the same on every backend.
//
// OP_ROUTE      p = softmax of the scores in F32, as OP_ATTEND forms it: e^(x - largest), summed in sixteen partial
//               sums (spans of KEY_SPAN, backend.h), each divided by the sum; not rounded. The `slots` largest p are
//               chosen one after the other, of equal ones the lowest id (`ties_high`: the highest; where all that are
//               left are no numbers: the lowest id left). renorm: their sum, added one by one from the largest down,
//               divides each. Then times w0[id], where there is w0 [experts], in F32. round_weights: rounded, where
//               results are. The slots are put down in ascending order of id. Ids are floats that hold integers.
// OP_LINEAR_ID  W_i has `experts` matrices, one behind the other ([experts][rows][cols], so weight.rows / experts rows
//               each). Slot s of token t: out_i's row s (out.head apart), from in0's row s where in0.head is not 0,
//               else from in0's one row; sums as of OP_LINEAR, rounded once.
// OP_JOIN       x = 0; for each slot in its order: x = x + weight * row; the product is rounded, then the sum.
// OP_HADAMARD   x of a run, `block` of them (a power of two): for s = 1, 2, 4 .. block / 2 each pair x[i], x[i + s]
//               whose i has the bit s clear becomes x[i] + x[i + s], x[i] - x[i + s], rounded to F32; then each element
//               times 1 / sqrt(block), F32; rounded where results are, unless `unrounded`.
// OP_L2NORM     the sum as OP_NORM's: sixteen partial sums, no spans. 1 / sqrt, then one product an element.
// OP_CONV       x = 0; for tap j of w0 [dim][taps], the oldest first: x = fma(w0[c][j], in0[t - taps + 1 + j][c], x).
//               Rounded, silu, rounded. Tokens before the first of the batch are the state's, before position 0 they
//               are 0. late: input t - 1 stands in the place of t (what would be older than the state holds is left
//               out); tests plant it.
// OP_DECAY      F32 sum with w1; softplus is x above 20, else log(1 + e^x) in double (exp_log.h), rounded to F32; times
//               w0; times scale; e^that in double, rounded to F32.
// OP_DELTA      in0: a token's q, k [kv_rows][key_dim] each and v [rows][dim], one behind the other; in1: beta, in2:
//               decay, [rows] each. Head h of v goes with head h % kv_rows of q and k (grouped: h / (rows / kv_rows)).
//               Its state S [key_dim][dim] and a column j of it:
//                   s[i] = S[i][j] * decay;  m = sum of s[i] * k[i];  d = (v[j] - m) * beta
//                   S[i][j] = fma(k[i], d, s[i]);  out0[j] = sum of S[i][j] * (q[i] * scale), rounded where results are
//               Both sums over i: i goes to partial sum i % 16, by fused multiply-add from the lowest i up, the sixteen
//               joined by the tree of backend.h. Columns share nothing; tokens go one after the other, whatever the
//               batch. Everything else is F32, each step rounded once.
//
// A state is what a layer keeps of the tokens before, F32 on the backend, whatever the arithmetic: it is taken for
// zeros where the batch begins at position 0 (in a recording: where the step's position is 0), so nothing has to be
// cleared. keeps_state: not even there; tests plant it.

typedef enum { ACT_GELU_TANH, ACT_SILU, ACT_SIGMOID } activation;

// Where an operand lies: token t's floats begin at `off` + t * `row` of buffer `buf`. buf -1: there is none. Its rows
// of the operation's `dim` floats follow each other, or are `head` floats apart. OP_NORM, OP_L2NORM, OP_GATE,
// OP_ACT_MUL, OP_LINEAR_ID and OP_JOIN alone look at strides other than those of contiguous rows; besides, OP_MUL at
// in1's row, and OP_ROUTE, OP_CONV, OP_DECAY and OP_DELTA at each row.
typedef struct {
    int32_t buf, row;
    int64_t off;
    bool    from_first;     // token 0 is the first of those asked for (op_args.first), not of the batch
    bool    one;            // OP_GATE's in1: a row is one float, which stands for `dim`
    int32_t head;           // floats from one row to the next; 0: dim
} view;

// slots of a token and taps of a convolution: at most
enum { OP_VIEWS = 3, OP_WEIGHTS = 3, OP_SLOTS = 64, OP_TAPS = 16 };
typedef struct {
    op_kind    kind;
    int        layer;               // for messages, observers and counts; -1: outside the layers
    view       out[OP_VIEWS], in[OP_VIEWS];
    int        w[OP_WEIGHTS];       // indices of weights; -1: none
    int        bias[OP_WEIGHTS];    // OP_LINEAR: indices of weights of one row; -1: none
    int        cache, rope, state;  // indices; -1: none
    int        rows, dim;           // rows a token, floats a row
    int        kv_rows;             // OP_HEADS: heads of K and V; OP_DELTA: of q and k
    int        key_dim;             // OP_DELTA: floats of a head of q and k
    int        block;               // OP_HADAMARD: floats that are rotated together, a power of two that divides `dim`
    int        experts, slots;      // how many there are, and how many a token goes to
    int        mark;                // OP_MARK
    // index of a weight of one float that `scale` is read from when the program is opened; -1: none
    int        scale_from;
    activation act;
    bool       v_norm;              // OP_HEADS
    bool       round_first;         // norms with a weight: rounds before it too, where results are rounded
    bool       neighbours;          // OP_ROTATE, OP_HEADS: which elements are pairs
    bool       whole;               // OP_ACT_MUL: the activation is not rounded by itself
    bool       renorm, round_weights, ties_high;    // OP_ROUTE
    bool       grouped;             // OP_DELTA
    bool       unrounded;           // OP_HADAMARD, OP_ATTEND: the result stays F32 in any arithmetic
    bool       late, keeps_state;   // OP_CONV, OP_DELTA: faults of tests
    float      eps, scale, cap;
    int64_t    window;              // OP_ATTEND: a token at p sees keys p - window + 1 .. p; 0: all
} op;

// An operation of that kind with nothing in it: views, weights, cache and rope are none, scale is 1.
op op_new(op_kind kind, int layer);

const char *op_name(op_kind k);     // "embed", "norm", ...

// The finer operations that o equals, in order, into out [OP_EXPANSION]; how many. 0: o is fine, there is nothing
// finer.
enum { OP_EXPANSION = 8 };
int op_expand(const op *o, op out[OP_EXPANSION]);

// What an operation reads and writes for one token: spans of buffers, weights and tables left out. A cache that is read
// or written is span.cache (else -1), with buf -1; a state is span.state. Of rows that lie apart the span has what is
// between them too. n_vocab and cols come from the weights, so the caller gives the widths of o->w. At most OP_SPANS.
typedef struct { int buf, cache, state; int64_t off, floats; int32_t row; bool write; } op_span;
enum { OP_SPANS = 8 };
typedef struct { int64_t rows, cols; } op_shape;
int op_touches(const op *o, const op_shape w[OP_WEIGHTS], int head_dim, op_span out[OP_SPANS]);

#endif
