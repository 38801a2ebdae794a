// gemma_internal: what gemma.c (the forward pass), gemma_load.c (weights, cache and scratch memory) and gemma_tensors.c (the list of tensors) share.
#ifndef HALLMARK_RUNTIME_GEMMA_INTERNAL_H
#define HALLMARK_RUNTIME_GEMMA_INTERNAL_H

#include "gemma.h"

typedef struct {            // one layer's weights; absent ones have data NULL
    weight attn_norm, q, k, v, o, q_norm, k_norm, post_attn_norm;
    weight ffn_norm, gate, up, down, post_ffw_norm;
    weight ple_gate, ple_proj, ple_norm;
    weight out_scale;
    float  scalar;          // value of out_scale, 1 where absent
} layer_weights;

struct gemma {
    backend       *b;
    const hparams *h;
    int            n_batch, logits_rows;                        // logits_rows: tokens whose logits are computed at a time
    weight         token_embd, output_norm, output;             // output is token_embd where the file ties them
    weight         ple_embd, ple_model_proj, ple_proj_norm;     // per-layer embeddings: Gemma 4's small models
    layer_weights *layers;
    kv_layer      *kv;              // [n_layer]; filled where has_kv
    rope           full, sliding;
    float         *inv_full, *inv_sliding;
    // Activations on the backend, [n_batch][...]; logits [logits_rows][n_vocab]
    float *x, *t, *q, *k, *v, *att, *gate, *up, *ple, *ple_tok, *ple_gated, *logits;
    int64_t scratch_bytes;
    double  load_seconds;           // gemma_load_seconds
    // Whoever watches the products of the layers, and a host copy of one product's input for it.
    product_observer observer;
    void  *observer_ctx;
    float *observed;
    int64_t widest;                 // columns of the widest weight bound
};

// ---- the list of tensors (gemma_tensors.c) ----

#define NOT_A_WEIGHT SIZE_MAX

typedef struct {
    char    name[64];
    bool    vector;             // one row of F32; else a matrix of any type that can be decoded
    int64_t rows, cols;
    bool    required;           // a file without it is refused
    bool    read;               // the forward pass reads it; else a file may hold it
    size_t  at;                 // where its weight is in layer_weights, or in gemma for a tensor of the whole model; or NOT_A_WEIGHT
} gemma_tensor;

// The list has this many rows for a layer; layer -1: for the whole model.
int  gemma_n_tensors(int layer);
// Row i of them. False: a model of these hyperparameters has no such tensor.
bool gemma_tensor_of(const hparams *h, int layer, int i, gemma_tensor *t);
// The weight of row i of a layer's list. *is_matrix (may be NULL): it is no vector.
weight *gemma_layer_weight(layer_weights *w, int i, bool *is_matrix);
// The file's tensor of that name, checked: shape, type, presence. *found NULL: absent, and not required.
bool gemma_tensor_find(const gguf *g, const gemma_tensor *want, const gguf_tensor **found, err *e);

#endif
