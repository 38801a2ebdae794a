// model: what a GGUF file of a known architecture says, checked: hyperparameters, layer kinds, KV sharing, tensor bindings.
#ifndef HALLMARK_RUNTIME_MODEL_H
#define HALLMARK_RUNTIME_MODEL_H

#include "../formats/gguf.h"
#include "tokenizer.h"

typedef enum { FAMILY_GEMMA3, FAMILY_GEMMA4, FAMILY_LLAMA, FAMILY_QWEN2, FAMILY_QWEN3 } family;

typedef struct {            // one layer's shape
    bool    sliding;        // window attention
    int     n_kv_head, head_dim, n_ff;
    bool    has_kv;         // computes its own K and V; otherwise shares those of kv_source
    int     kv_source;      // layer whose cache this one reads (its own index when has_kv): the last earlier layer of the same kind
    bool    k_is_v;         // V is K's projection (no v tensor)
    bool    qkv_bias, o_bias, ffn_bias;     // the file has biases for these products
} layer_shape;

typedef struct {
    family  family;
    char    arch[32];
    int     n_layer, n_embd, n_head, n_embd_per_layer;  // n_embd_per_layer 0: none
    int64_t n_vocab, n_ctx_train, window;
    float   rms_eps, attention_scale, final_softcap;    // final_softcap 0: none
    float   rope_base, rope_base_swa;                   // full and sliding layers
    float   rope_scale;                                 // full layers' linear factor: positions are divided by it (1: none)
    bool    rope_neighbours;                            // pairs that rotate are elements 2i and 2i + 1 of a head, not i and i + head_dim / 2
    bool    qk_norm;                                    // heads of Q and K are normed
    bool    norm_rounds_first;                          // bfloat16: a norm rounds before its weight and after it (Llama, Qwen), not only after it
    const float *rope_freq_factors;                     // [max full head_dim / 2] or NULL; borrowed from the mapping
    layer_shape *layers;                                // [n_layer]
    char    type_label[16];     // "BF16", "Q4_K_M", ... from general.file_type
    char    kv_required[8];     // hallmark.kv.type, or what the type implies for other people's files
    bool    kv_claimed;         // the file itself says so
} hparams;

// Reads and checks hyperparameters. ERR_INPUT names file and key; an architecture we do not run is refused by name.
// A file of metadata only (no tensors) is accepted: n_vocab is then 0.
// Gemma 3's layer kinds come from the file or, as in published files, from the fixed pattern of six.
bool hparams_read(hparams *h, const gguf *g, err *e);
void hparams_free(hparams *h);

// Can the file be run? ERR_INPUT names the first thing that stands against it: that it is no whole model,
// hyperparameters, the list of tensors with shapes and types, the tokenizer, the size of the vocabulary. This is all
// that model_open refuses, so whatever reads a model or writes one (run, verify, bench, imatrix, and as their
// gguf_judge convert, quantize and release) agrees on a file; inspect shows a file and then says this of it. No weight
// is read. Proved by tests/broken_gguf_test.c.
bool model_check(const gguf *g, err *e);

// Does the file say that it is a whole model of an architecture that is run here? Others (another architecture's, one
// with experts, a part of a split file, an adapter, an importance matrix) are no broken models.
bool model_is_ours(const gguf *g);

typedef struct model model;
// Opens a file that passes model_check. Weights stay in the mapping.
model           *model_open(const char *path, err *e);
void             model_close(model *m);
const gguf      *model_gguf(const model *m);
const hparams   *model_hparams(const model *m);
const tokenizer *model_tokenizer(const model *m);

// Positions that layer keeps: the whole context, or for a sliding layer its window and a batch less one.
int64_t kv_capacity(const hparams *h, int layer, int64_t n_ctx, int n_batch);

#endif
