// hf_config: config.json as old and new Transformers write it, brought to one form.
//
// Missing keys take the defaults of Transformers' config classes (Gemma3TextConfig, LlamaConfig, ...; 5.24), because a
// checkpoint on the Hub leaves out what equals them; null is no value where those classes take none.
// model_type says which model it is, as for Transformers, and "architectures" only where there is no model_type. What
// this program cannot convert faithfully is refused by the name of the key (config_keys.h).
#ifndef HALLMARK_CONVERT_HF_CONFIG_H
#define HALLMARK_CONVERT_HF_CONFIG_H

#include "../formats/checked.h"
#include "../formats/err.h"
#include <cjson/cJSON.h>

typedef struct family family;       // family.h

enum { LIMIT_EXPERTS = 4096 };

typedef enum {                      // Transformers' config classes
    CLASS_GEMMA3, CLASS_GEMMA4, CLASS_GEMMA4_UNIFIED, CLASS_LLAMA, CLASS_MISTRAL, CLASS_QWEN2, CLASS_QWEN3,
    CLASS_QWEN3_MOE, CLASS_QWEN35, CLASS_QWEN35_MOE,
} hf_class;

typedef struct {                    // a row of the table of architectures
    const char   *name;             // as in "architectures"
    const char   *model_type;       // as in "model_type"
    const family *family;
    hf_class      class;
    bool          has_towers;       // a multimodal checkpoint, of which only the text half is converted
} hf_arch;

typedef enum { KIND_SLIDING, KIND_FULL, N_KINDS } layer_kind;

typedef struct {                    // what all layers of one kind have in common (GGUF cannot say it layer by layer)
    int64_t n_layers;
    int64_t head_dim, n_head_kv;
    double  rope_base;              // theta
    double  rope_factor;            // every frequency is divided by it; 1: no scaling
    double  rope_partial;           // part of the head that is rotated (Gemma 4's proportional embedding); 1: all
    bool    rope_unscaled;          // rope_type is "default", so the two above are 1 whatever the config says of them
    bool    rope_llama3;            // the factor is of slow frequencies only, by the three numbers that follow
    double  rope_low, rope_high;    // low_freq_factor, high_freq_factor
    double  rope_original;          // original_max_position_embeddings
} hf_kind;

typedef struct {                    // delta nets ("linear attention") in the place of attention; conv_kernel 0: none
    int64_t conv_kernel;            // taps of the convolution
    int64_t n_key_head, n_value_head, key_dim, value_dim;
    int64_t full_interval;          // where no list says it, every full_interval-th layer has attention
} hf_delta;

typedef struct {
    const hf_arch *arch;
    int64_t n_vocab, n_embd, n_layer, n_head, n_ff, n_ctx;
    int64_t window;                 // sliding window in tokens; 0 if there is none
    int64_t n_mtp;                  // blocks behind the layers that guess further tokens: as the config promises, and
                                    // once the weights are known (tensor_map.h), as many as the file gets
    int64_t n_expert, n_expert_used;        // 0: no experts
    int64_t n_ff_expert, n_ff_shared;       // n_ff_shared 0: no expert that all tokens share
    hf_delta delta;
    int32_t rope_sections[4];       // pairs that rotate by time, height, width (for text all the same)
    int64_t rope_dim;               // elements of a head that rotate, where they are the head's first; 0: all
    int64_t n_shared;               // last layers that reuse the KV of an earlier one
    int64_t ple, n_vocab_ple;       // width and rows of the per-layer embeddings; ple 0: none
    bool    double_wide;            // MLP twice as wide in the layers that share KV
    bool    k_eq_v;                 // full-attention layers have no v_proj: V is K before its norm and rotation
    bool    tied;                   // lm_head is embed_tokens, unless the checkpoint has other values in it
    bool    qkv_bias, o_bias, mlp_bias;     // products that have a bias
    bool    kv_by_layer;            // the config gives full-attention layers a number of KV heads of their own
    double  eps, softcap;           // softcap 0: none
    double  attn_scale;             // factor on the scores
    hf_kind kind[N_KINDS];
    // By layer, [n_layer + n_mtp]:
    int32_t recurrent[LIMIT_LAYERS];    // 1: a delta net
    int32_t sliding[LIMIT_LAYERS];      // 1: KIND_SLIDING, 0: KIND_FULL
    int32_t layer_ff[LIMIT_LAYERS];     // MLP width
    int32_t layer_kv[LIMIT_LAYERS];     // KV heads
} hf_config;

// Rows of the table of architectures, for messages and tests.
const hf_arch *hf_arch_table(int *n);

// Reads a whole config.json (text_config nested or not). `where` names it in messages. ERR_INPUT names the key.
bool hf_config_read(hf_config *c, const cJSON *root, const char *where, err *e);

// The object that holds the text model's keys: text_config, or root itself.
const cJSON *hf_text_config(const cJSON *root);

// Is the model a Gemma?
static inline bool hf_is_gemma(const hf_config *c) { return c->arch->class <= CLASS_GEMMA4_UNIFIED; }

static inline bool hf_is_qwen35(const hf_config *c) { return c->arch->class >= CLASS_QWEN35; }

// Blocks of the file: the layers, and those that guess.
static inline int64_t hf_n_blocks(const hf_config *c) { return c->n_layer + c->n_mtp; }

static inline layer_kind hf_layer_kind(const hf_config *c, int64_t layer)
{
    return c->sliding[layer] ? KIND_SLIDING : KIND_FULL;
}
static inline bool hf_layer_shares_kv(const hf_config *c, int64_t layer)
{
    return layer >= c->n_layer - c->n_shared && layer < c->n_layer;
}

#endif
