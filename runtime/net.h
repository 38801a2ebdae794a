// net: a program (program.h) bound to a file and a backend: weights, rotary tables, caches and buffers, and the lists
// that the backend runs.
#ifndef HALLMARK_RUNTIME_NET_H
#define HALLMARK_RUNTIME_NET_H

#include "backend.h"
#include "kv_spec.h"

typedef struct net net;

// Builds the program of h, binds the file's tensors to the backend and allocates buffers for n_batch tokens and n_ctx
// positions, caches as kv says.
// ERR_INPUT names a missing or misshapen tensor. Freed by net_close; g and h must outlive it.
net *net_open(backend *b, const gguf *g, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch, err *e);

// What a net need not have of its own, because another net on the same backend has it and is not run at the same time.
// Both must outlive it.
typedef struct {
    const net *weights;     // of the same file: its weights are used. NULL: none
    const net *scratch;     // its buffers are used, where they have the same size. NULL: none
    bool       logits;      // that of the logits too. What the head multiplies is each net's own in any case: logits of
                            // the last step of several nets can be held in turn
} net_loan;
net *net_open_beside(backend *b, const gguf *g, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch,
                     const net_loan *loan, err *e);
void net_close(net *m);

// Runs n (<= n_batch) ids at positions pos0 ..; keys and values go to the caches, what the head multiplies stays on the
// backend.
// hidden: NULL, or host [n_marks][n_embd] for the hidden states of token n - 1: the scaled embedding, then each layer's
// output.
bool net_forward(net *m, const int32_t *ids, int n, int64_t pos0, float *hidden, err *e);

// Logits of tokens first .. first + count - 1 of the last net_forward; host [count][n_vocab].
bool net_logits(net *m, int first, int count, float *logits, err *e);
// The same of at most net_logits_rows tokens, left on the backend: at net_held [count][n_vocab] until m computes
// anything else.
bool net_hold_logits(net *m, int first, int count, err *e);
int  net_logits_rows(const net *m);
const float *net_held(const net *m);
// The greedy id of token i of the last net_forward.
bool net_argmax(net *m, int i, int32_t *id, err *e);
// Records a decode step where the backend can (backend.h): one token, its logits, the greedy choice. Run by the
// backend's replay.
bool net_record(net *m, err *e);
// Logits of the recorded step that the backend ran last; host [n_vocab]. Until the next net_forward.
bool net_recorded_logits(net *m, float *logits, err *e);

// Sees the input of every product of a layer ("blk.*" tensors) before it is computed. Of a tensor of experts each call
// says of one expert: the rows that it sees, in the order of tokens; an expert that sees none has no call.
typedef void (*product_observer)(void *ctx, const product_input *in);
// From here on every forward calls fn; NULL: no more. ERR_SYSTEM without memory for the copy.
bool net_observe(net *m, product_observer fn, void *ctx, err *e);

// From here on the matrix named t->name has t's type and data (borrowed until it is replaced again or net_close); a
// tied output follows token_embd. *used: whether the program reads a matrix of that name; nothing happens where it does
// not. ERR_USAGE: vectors, another shape, a decode step that is recorded already.
bool net_replace(net *m, const gguf_tensor *t, bool *used, err *e);

// States of recurrent layers (op.h): a copy, and the copy back. A backend that replays has room for it.
bool net_has_states(const net *m);
bool net_keep_states(net *m, err *e);
bool net_restore_states(net *m, err *e);
int64_t net_state_bytes(const net *m);      // of the states, without their copies

// Bytes of weights that one decode step reads.
int64_t net_step_weight_bytes(const net *m);
int64_t net_scratch_bytes(const net *m);
// What net_open will take beside weights and caches: buffers and rotary tables. logits_rows: of the backend, see
// backend.h.
// ERR_SYSTEM: more than 64 bits hold.
bool    net_scratch_need(const hparams *h, int64_t n_ctx, int n_batch, int logits_rows, int64_t *bytes, err *e);
// What layer i keeps, as it was allocated; false: it has no cache of its own.
bool    net_kv_choice(const net *m, int layer, kv_choice *c);
int64_t net_kv_bytes(const net *m);         // of all caches, as allocated
int64_t net_weight_bytes(const net *m);     // all tensors bound
// what bringing them to the backend took; 0 where it runs on the file's mapping
double  net_load_seconds(const net *m);

// What it runs, for tests and for people; borrowed.
const op        *net_list(const net *m, bool one_token, bool head, int *n);
const op_memory *net_memory(const net *m);

#endif
