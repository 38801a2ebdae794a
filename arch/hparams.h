// hparams: what a GGUF file of a known architecture says of its model, read by the table of keys (keys.h) and checked
// against each other: sizes, layer kinds, who shares keys and values, rotary embeddings.
#ifndef HALLMARK_ARCH_HPARAMS_H
#define HALLMARK_ARCH_HPARAMS_H

#include "../formats/gguf.h"
#include "keys.h"

typedef enum {
    ARCH_GEMMA3, ARCH_GEMMA4, ARCH_LLAMA, ARCH_QWEN2, ARCH_QWEN3, ARCH_QWEN3MOE, ARCH_QWEN35, ARCH_QWEN35MOE,
} arch_family;

typedef struct {            // one layer's shape
    bool    sliding;        // window attention
    bool    recurrent;      // a delta net: keeps a state (hparams.delta), and no keys and values
    int     n_kv_head, head_dim, n_ff;
    int     n_ff_exp;       // of one expert
    bool    experts_fused;  // gate and up of the experts are one tensor
    bool    has_kv;         // computes its own K and V; otherwise shares those of kv_source
    int     kv_source;      // whose cache it reads: its own when has_kv, else the last earlier layer's of its kind
    bool    k_is_v;         // V is K's projection (no v tensor)
    bool    qkv_bias, o_bias, ffn_bias;     // the file has biases for these products
} layer_shape;

typedef struct {            // the shape of a delta net's heads (Qwen 3.5 and later)
    int taps;               // of its convolution
    int key_heads, value_heads, key_dim, value_dim;
} delta_shape;

// Channels of the convolution: q, k and v of a token.
static inline int64_t delta_channels(const delta_shape *d)
{
    return 2 * (int64_t)d->key_heads * d->key_dim + (int64_t)d->value_heads * d->value_dim;
}

// What one delta net keeps of the tokens before: the last inputs of its convolution, and a matrix for each value head.
static inline int64_t delta_conv_floats(const delta_shape *d) { return (d->taps - 1) * delta_channels(d); }
static inline int64_t delta_rule_floats(const delta_shape *d)
{
    return (int64_t)d->value_heads * d->key_dim * d->value_dim;
}
static inline int64_t delta_state_bytes(const delta_shape *d)
{
    return (delta_conv_floats(d) + delta_rule_floats(d)) * (int64_t)sizeof(float);
}

typedef struct {
    arch_family family;
    char    arch[32];
    int     n_layer, n_embd, n_head, n_embd_per_layer;  // n_embd_per_layer 0: none
    int     n_nextn;                                    // blocks behind the layers that are never run: they guess
    int     n_expert, n_expert_used, n_ff_shared;       // n_expert 0: none; n_ff_shared 0: no shared expert
    delta_shape delta;                                  // of the recurrent layers
    int64_t n_vocab, n_ctx_train, window;
    float   rms_eps, attention_scale, final_softcap;    // final_softcap 0: none
    float   rope_base, rope_base_swa;                   // full and sliding layers
    int     rope_dim;                                   // elements of a full layer's head that rotate
    float   rope_scale;                                 // full layers: positions are divided by it (1: none)
    bool    rope_neighbours;                            // elements 2i and 2i + 1 rotate, not i and i + head_dim / 2
    bool    qk_norm;                                    // heads of Q and K are normed
    bool    norm_rounds_first;      // bfloat16: a norm rounds before its weight too (Llama, Qwen to 3)
    const float *rope_freq_factors;                     // [max full head_dim / 2] or NULL; borrowed from the mapping
    layer_shape *layers;                                // [n_layer]
    char    type_label[16];     // "BF16", "Q4_K_M", ... from general.file_type
    char    kv_required[8];     // hallmark.kv.type, or what the type implies for other people's files
    bool    kv_claimed;         // the file itself says so
    assumed_keys assumed;       // keys that the file leaves out and other readers may take otherwise
} hparams;

// Reads and checks hyperparameters. ERR_INPUT names file and key; an architecture we do not run is refused by name. A
// file of metadata only (no tensors) is accepted: n_vocab is then 0. Gemma 3's layer kinds come from the file or, as
// in published files, from the fixed pattern of six. Freed by hparams_free, also after a failure.
bool hparams_read(hparams *h, const gguf *g, err *e);
void hparams_free(hparams *h);

// Is the file's architecture one of these, with experts only where they are run? ERR_INPUT for what is no text.
bool hparams_known(const gguf *g);

#endif
