// model: a GGUF file that can be run: its hyperparameters (arch/hparams.h), tensors and tokenizer, checked.
#ifndef HALLMARK_RUNTIME_MODEL_H
#define HALLMARK_RUNTIME_MODEL_H

#include "../arch/hparams.h"
#include "tokenizer.h"

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
