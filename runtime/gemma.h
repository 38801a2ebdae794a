// gemma: the forward pass of Gemma 3 and Gemma 4, written once against the table of operations in backend.h.
//
// One token's path reads from top to bottom in gemma_forward and gemma_layer, in the order of Gemma4TextModel.forward and
// Gemma4TextDecoderLayer.forward in Transformers; Gemma 3 is the same path with the optional steps left out.
#ifndef HALLMARK_RUNTIME_GEMMA_H
#define HALLMARK_RUNTIME_GEMMA_H

#include "backend.h"
#include "model.h"

typedef struct gemma gemma;

// Does the file hold the tensors that a model of these hyperparameters has, each in its shape and a type that can be run, and no others? ERR_INPUT names
// the first that is not so. No weight is read. Proved by tests/broken_gguf_test.c.
bool gemma_check_tensors(const hparams *h, const gguf *g, err *e);

// Binds the file's tensors to the backend and allocates scratch for n_batch tokens and n_ctx positions, cache in kv_type.
// ERR_INPUT names a missing or misshapen tensor. Freed by gemma_close; g and h must outlive it.
gemma *gemma_open(backend *b, const gguf *g, const hparams *h, dtype kv_type, int64_t n_ctx, int n_batch, err *e);
void   gemma_close(gemma *m);

// Runs n (<= n_batch) ids at positions pos0 ..; keys and values go to the cache, the last layer's output stays on the backend.
// hidden: NULL, or host [n_layer + 1][n_embd] for the hidden state of token n - 1: the scaled embedding, then each layer's output.
bool gemma_forward(gemma *m, const int32_t *ids, int n, int64_t pos0, float *hidden, err *e);

// Logits of tokens first .. first + count - 1 of the last gemma_forward; host [count][n_vocab].
bool gemma_logits(gemma *m, int first, int count, float *logits, err *e);
// The same of at most gemma_logits_rows tokens, left on the backend: at gemma_held [count][n_vocab] until m computes anything else.
bool gemma_hold_logits(gemma *m, int first, int count, err *e);
int  gemma_logits_rows(const gemma *m);
const float *gemma_held(const gemma *m);
// The greedy id of token i of the last gemma_forward.
bool gemma_argmax(gemma *m, int i, int32_t *id, err *e);
// Records a decode step where the backend can (backend.h): one token, its logits, the greedy choice. Run by the backend's replay.
bool gemma_record(gemma *m, err *e);
// Logits of the recorded step that the backend ran last; host [n_vocab]. Until the next gemma_forward.
bool gemma_recorded_logits(gemma *m, float *logits, err *e);

// Sees the input of every product of a layer ("blk.*" tensors) before it is computed: x is host [n][cols], borrowed during the call.
typedef void (*product_observer)(void *ctx, const char *tensor, const float *x, int n, int64_t cols);
// From here on every forward calls fn; NULL: no more. ERR_SYSTEM without memory for the copy.
bool gemma_observe(gemma *m, product_observer fn, void *ctx, err *e);

// From here on the matrix named t->name has t's type and data (borrowed until it is replaced again or gemma_close); a tied output follows
// token_embd. *used: whether the forward pass reads a matrix of that name; nothing happens where it does not. ERR_USAGE: vectors,
// another shape, a decode step that is recorded already.
bool gemma_replace(gemma *m, const gguf_tensor *t, bool *used, err *e);

// Bytes of weights that one decode step reads.
int64_t gemma_step_weight_bytes(const gemma *m);
int64_t gemma_scratch_bytes(const gemma *m);
// What gemma_open will take beside weights and cache: activations and rotary tables. false: more than 64 bits hold.
// logits_rows: of the backend, see backend.h.
bool    gemma_scratch_need(const hparams *h, int64_t n_ctx, int n_batch, int logits_rows, int64_t *bytes);
dtype   gemma_kv_type(const gemma *m);          // of the cache as it was allocated
int64_t gemma_weight_bytes(const gemma *m);     // all tensors bound
double  gemma_load_seconds(const gemma *m);     // what bringing them to the backend took; 0 where it runs on the file's mapping

#endif
