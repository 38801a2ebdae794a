// plan: what a model costs before it is converted, or run: parameters, the size of its weights in each type by the
// choice that convert and quantize make, caches and states at a length of context.
//
// From a config.json alone, a folder with one, or a GGUF file. Nothing is run, and no weight is read.
// Proved by tests/plan_test.c, whose numbers are derived by hand from the configs of published models
// (fixtures/configs).
#ifndef HALLMARK_MEASURE_PLAN_H
#define HALLMARK_MEASURE_PLAN_H

#include "../arch/hparams.h"
#include "../arch/tensors.h"
#include "../quant/policy.h"
#include "../runtime/kv_spec.h"

typedef struct {
    char          *path, *arch;     // owned
    bool           from_file;       // a GGUF file: its tensors as they are; else those that convert writes from BF16
    bool           quantized;       // it has blocks already, and can become no other type
    hparams        h;
    tensor_counts  counts;
    tensor_entry  *entries;         // [n]
    policy_tensor *tensors;         // [n], of entries
    dtype         *types;           // [n], scratch
    int64_t        n;
    policy_model   policy;
    int64_t        header_bytes;    // of a GGUF file; 0: not known, for want of a tokenizer
} model_plan;

// ERR_INPUT: what cannot be read, and an architecture without rules. Freed by plan_close, also after a failure.
bool plan_open(model_plan *p, const char *path, err *e);
void plan_close(model_plan *p);

// Bytes of all tensors, each from a multiple of 32 on, as file type ft has them; of one that is quantized, as they are.
bool plan_weights(const model_plan *p, file_type ft, int64_t *bytes, err *e);

enum { PLAN_REFUSED = 2 };
typedef struct { dtype types[PLAN_REFUSED]; int n; } plan_refusals;

// Is anything known of what Transformers' own reader of GGUF files makes of this architecture's? It refuses a whole
// file for a type of block that it lacks: found by giving it files of every type (5.24.0; tests/peers/README.md).
bool plan_judges_reader(const model_plan *p);
// The types of blocks, in a file of type ft, for which it does; none where nothing is known.
bool plan_refused(const model_plan *p, file_type ft, plan_refusals *r, err *e);

enum { PLAN_BATCH = 128 };      // tokens that a layer with a window keeps beyond it, less one: a batch of `run`

// ERR_USAGE: no rule of the specification fits a layer, or its blocks do not divide a head.
bool plan_cache_of(const model_plan *p, const kv_spec *kv, int64_t n_ctx, memory_plan *c, err *e);

// The longest context, at most that of training, whose cache and state fit beside the weights; 0: none does.
bool plan_longest(const model_plan *p, const kv_spec *kv, int64_t weights, int64_t memory, int64_t *n_ctx, err *e);

#endif
