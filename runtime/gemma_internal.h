// gemma_internal: what gemma.c (the forward pass) and gemma_load.c (weights, cache and scratch memory) share.
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

#endif
