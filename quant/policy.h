// policy: which tensor gets which type. The same choice as llama-quantize for every tensor of the architectures we
// know.
#ifndef HALLMARK_QUANT_POLICY_H
#define HALLMARK_QUANT_POLICY_H

#include "../formats/file_type.h"
#include "../formats/gguf.h"

// POSIX extended regular expression, found anywhere in the name
typedef struct { const char *pattern; dtype type; } type_rule;

typedef struct {            // what a user asks for instead of the mix; as llama-quantize's options of these names
    const type_rule *rules;       // --tensor-type: the first that matches decides
    int                n_rules;
    // --output-type: output.weight, or the embedding that is tied to it; DT_INVALID: not asked for
    dtype              output;
    dtype              embedding;   // --embedding-type: token_embd and per_layer_token_embd; DT_INVALID likewise
    bool               pure;        // --pure: every tensor that a rule does not name takes the base type
} policy_overrides;

typedef struct {            // what the rules look at
    const char *arch;       // "gemma3", "gemma4"
    // n_head_kv: of layer 0 where it differs by layer; n_expert 0 if dense
    int64_t     n_layer, n_head, n_head_kv, n_expert;
    bool        has_output; // an output.weight of its own (false: tied, token_embd doubles as output)
    bool        has_imatrix;
    const policy_overrides *overrides;      // NULL: none
} policy_model;

typedef struct {
    const char *name;       // GGUF name
    dtype       type;       // source type
    int         n_dims;
    int64_t     shape[4];   // Hugging Face order
} policy_tensor;

// Chooses types[i] for each of the n tensors, in any order: llama-quantize counts as it visits its tensors by layer and
// then by name, so policy sorts them likewise and gives the answer in the caller's order.
// Tensors that are not quantized (1-D, norms, router, per_layer_model_proj, scales...) keep the type they come in; a
// caller that starts from a checkpoint gives the types that a BF16 file of it would have. For F32, F16 and BF16 all
// others take that type, but those that an override names (llama-quantize looks at none but --token-embedding-type and
// an untied --output-tensor-type there). Rows that the block does not divide fall back as llama-quantize does: Q2_K and
// Q3_K -> Q4_0, Q4_K -> Q5_0, Q5_K -> Q5_1, Q6_K -> Q8_0; and F16 where 32 does not divide them. Overrides apply to
// tensors that are quantized at all; a type asked for whose block does not divide the rows falls back likewise, or is
// ERR_USAGE where llama-quantize would fail (--output-type, --embedding-type).
// ERR_INPUT names an architecture without rules, or a tensor of a layer that does not exist; ERR_USAGE a pattern that
// is none. Proved by tests/policy_test.c against recorded choices of llama-quantize.
bool policy_choose(file_type ft, const policy_model *m, const policy_tensor *t, int64_t n, dtype *types, err *e);

// How a choice came about.
typedef struct {
    // [n] of the caller: what each tensor would be if every block fitted its rows; where types[i] is another, it fell
    // back
    dtype   *wanted;
    int64_t *decided;       // [overrides->n_rules] of the caller, zeroed: the tensors that each rule decided
    int64_t  output;        // tensors that --output-type decided
} policy_told;

// policy_choose, telling that too. told: NULL, or with both lists.
bool policy_choose_telling(file_type ft, const policy_model *m, const policy_tensor *t, int64_t n, dtype *types,
                           policy_told *told, err *e);

// Can this tensor take another type than it comes in? Vectors, norms, routers and per_layer_model_proj cannot.
bool policy_may_change(const policy_tensor *t);

#endif
