// tensors: what tensors a GGUF file of each architecture holds, as tables: name, shape, role and presence, of the whole
// model and of one block. Shapes are made of sizes and not read from tensors, so that a model can be counted before
// there is a file: by the converter, which knows its config.json, and by whoever plans memory.
// Names and shapes are those of llama.cpp (gguf-py's constants.py and tensor_mapping.py, src/models).
// Proved by tests/tensors_test.c: every tensor of every checkpoint in fixtures/ has a row, and nothing is missing.
#ifndef HALLMARK_ARCH_TENSORS_H
#define HALLMARK_ARCH_TENSORS_H

#include "../formats/checked.h"
#include "../formats/err.h"

#include <stdbool.h>
#include <stdint.h>

// ---- the sizes of a model ------------------------------------------------------------------------------------------

typedef struct {                // one block
    int64_t n_ff;               // width of the dense MLP
    int64_t n_head_kv, head_dim;
    bool    recurrent;          // a delta net in the place of attention
    bool    own_kv;             // K and V of its own; otherwise those of an earlier block
    bool    k_is_v;             // V is K's projection
    bool    experts;            // experts: beside the dense MLP (Gemma 4), or in its place
    bool    mtp;                // a block that guesses the token after the next
    bool    qkv_bias, o_bias, ffn_bias;
} block_sizes;

typedef struct {
    const char *arch;                   // general.architecture
    int64_t n_block;                    // those for guessing included
    int64_t n_vocab, n_embd, n_head;
    int64_t ple;                        // width of one block's per-layer embedding; 0: none
    int64_t n_expert, n_expert_used;    // 0: no experts
    int64_t n_ff_expert, n_ff_shared;   // width of an expert, and of the shared one (0: none)
    int64_t conv_kernel;                // taps of a delta net's convolution; 0: no delta nets
    int64_t n_key_head, n_value_head, key_dim, value_dim;       // heads of a delta net and their sizes
    int64_t n_rope_freqs;               // 0: no rope_freqs.weight
    bool    tied;                       // the output is the embedding
    const block_sizes *block;           // [n_block], borrowed
} model_sizes;

typedef enum {
    SIZE_END, SIZE_ONE, SIZE_VOCAB, SIZE_EMBD,
    SIZE_TWO_EMBD,          // the state beside the next token's embedding
    SIZE_FF, SIZE_KV, SIZE_HEAD,
    SIZE_Q,
    SIZE_Q_AND_GATE,        // each head of Q, and behind it its gate
    SIZE_PLE,
    SIZE_PLE_ALL,           // of all blocks together
    SIZE_FREQS, SIZE_EXPERTS, SIZE_FF_EXPERT,
    SIZE_FF_EXPERT_BOTH,    // gate, then up
    SIZE_FF_SHARED,
    SIZE_CONV_TAPS,
    SIZE_CONV_CHANNELS,     // Q, K and V of a delta net
    SIZE_V_HEADS, SIZE_V_HEAD,
    SIZE_V,                 // all value heads of a delta net
} size_id;

// ---- the tables ----------------------------------------------------------------------------------------------------

typedef enum {
    ROLE_LOOKUP,            // a token takes one row
    ROLE_OUTPUT,            // the product that gives the logits
    ROLE_NORM,
    ROLE_PRODUCT,
    ROLE_EXPERTS,           // products of experts, [expert][rows][columns]: a token takes n_expert_used of them
    ROLE_ROUTER,            // chooses, or weighs, experts
    ROLE_CONV,
    ROLE_VECTOR,            // biases, scales, what a state decays by
    ROLE_FREQS,             // divisors of rotary frequencies
} tensor_role;

typedef enum {
    WHEN_ALWAYS,
    WHEN_UNTIED, WHEN_FREQS, WHEN_PLE,
    WHEN_KV, WHEN_V,        // with attention, and K (V) of its own
    WHEN_QKV_BIAS, WHEN_O_BIAS, WHEN_FFN_BIAS,
    WHEN_ATTENTION, WHEN_RECURRENT, WHEN_EXPERTS, WHEN_MTP,
    WHEN_EXPERTS_FUSED,     // where gate and up of experts are one tensor in the place of two: in others' files
    WHEN_MTP_OWN,           // in a block that guesses, where it has an embedding or an output of its own
} tensor_when;

typedef struct {
    const char *name;       // in a block: what follows "blk.N."
    tensor_role role;
    tensor_when when;
    size_id     shape[3];   // Hugging Face order (slowest first); ends at SIZE_END
} tensor_row;

typedef struct { const char *arch; const tensor_row *model, *block; } tensor_table;     // ends with a row without name

const tensor_table *tensor_table_of(const char *arch);      // NULL: an architecture that is not known
int64_t tensor_rows_count(const tensor_row *rows);          // of a table's `model` or `block`

enum { TENSOR_NAME_BYTES = 64 };
// The name in a file: the row's own, behind "blk.N." where block is not -1.
void tensor_row_name(const tensor_row *r, int64_t block, char name[TENSOR_NAME_BYTES]);

// The row of a tensor's whole name, NULL if there is none; *block: its block, -1: of the whole model.
const tensor_row *tensor_row_find(const tensor_table *t, const char *name, int64_t *block);

int64_t size_of(const model_sizes *m, size_id id, int64_t block);       // block -1: of the whole model

// Fills shape (the rest is 1) and returns the number of dimensions.
int tensor_row_shape(const tensor_row *r, const model_sizes *m, int64_t block, int64_t shape[LIMIT_DIMS]);

typedef enum {
    TENSOR_NOT,
    TENSOR_MAY,             // K and V of a block that shares, which nobody reads; an output beside a tie; _FUSED, _OWN
    TENSOR_MUST,
} tensor_presence;
tensor_presence tensor_row_presence(const tensor_row *r, const model_sizes *m, int64_t block);

// Is it F32 in every file, whatever was asked for, as llama.cpp's converter has it?
bool tensor_role_is_f32(tensor_role role);

// ---- a whole model -------------------------------------------------------------------------------------------------

typedef struct {
    char              name[TENSOR_NAME_BYTES];
    const tensor_row *row;
    int64_t           block;        // -1: of the whole model
    int               n_dims;
    int64_t           shape[LIMIT_DIMS], n_elems;
} tensor_entry;

// All tensors that must be there, in the tables' order. *list: owned by the caller (free). ERR_INPUT: an architecture
// without a table, or a size that does not fit.
bool tensors_list(const model_sizes *m, tensor_entry **list, int64_t *n, err *e);

typedef struct {
    int64_t total;          // parameters of the file
    int64_t active;         // that a token goes through: embeddings whole, of experts those it takes, no MTP block
    int64_t lookup;         // in tables of which a token takes a row (not a tied embedding, which is a product, too)
    int64_t mtp;            // in blocks that guess
} tensor_counts;

// Of a list of n tensors: those of tensors_list, or of a file. Of m it looks at tied, n_expert, n_expert_used and
// block[].mtp alone.
bool tensors_count(const model_sizes *m, const tensor_entry *list, int64_t n, tensor_counts *c, err *e);

#endif
