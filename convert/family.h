// family: what the converter knows about one model family, as tables: its tensors and its metadata.
// Adding a family is adding a file with these tables and a row in hf_config.c.
#ifndef HALLMARK_CONVERT_FAMILY_H
#define HALLMARK_CONVERT_FAMILY_H

#include "hf_config.h"
#include "hparams.h"
#include "tokenizer_meta.h"

typedef enum {      // sizes that config.json gives; by layer where they differ
    DIM_END, DIM_ONE, DIM_VOCAB, DIM_EMBD, DIM_FF, DIM_Q, DIM_KV, DIM_HEAD,
    DIM_PLE,        // width of one layer's per-layer embedding
    DIM_PLE_ALL,    // of all layers together
    DIM_VOCAB_PLE,  // rows of the per-layer embedding table
} dim;

typedef enum {
    NEED_ALWAYS,
    NEED_KV,        // in layers that compute K and V; where KV is shared it may be there (Transformers ignores it, llama.cpp keeps it)
    NEED_V,         // as NEED_KV, but full-attention layers with attention_k_eq_v have none
    NEED_PLE,       // with per-layer embeddings
    NEED_UNTIED,    // where tie_word_embeddings is false
    NEED_QKV_BIAS, NEED_O_BIAS, NEED_MLP_BIAS,      // where these products have a bias
} need;

typedef enum {      // what is done to a tensor's values: see quant/transform.h
    KEEP,
    ADD_ONE,        // to every element
    PERMUTE,        // rows of a head: halves that rotate together become neighbours
} rule_change;

typedef struct {
    const char *hf;         // name after the prefix of the text model (and after "layers.N.")
    const char *gguf;       // name in the file (after "blk.N.")
    need        need;
    dim         shape[2];   // Hugging Face order; one-dimensional if the second is DIM_END
    rule_change change;
} tensor_rule;

struct family {
    const char        *arch;            // general.architecture
    tok_kind           tokenizer;
    const tensor_rule *model, *layer;   // each ends with a row whose hf is NULL
    bool               rope_freqs;      // write rope_freqs.weight for the full-attention layers
    // Everything of the config but its class, which is known. root: the whole file's object, t: the text model's
    // (hf_text_config). ERR_INPUT.
    bool             (*config)(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e);
    void             (*hparams)(const hf_config *c, hparam_list *l);
};

// The keys that open the metadata of every family whose layers all have one shape.
void family_plan_dense(const hf_config *c, hparam_list *l);

extern const family family_gemma3, family_gemma4, family_llama, family_qwen2, family_qwen3;

#endif
