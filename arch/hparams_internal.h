// hparams_internal: what the readers of hyperparameters share. Nobody else includes this.
#ifndef HALLMARK_ARCH_HPARAMS_INTERNAL_H
#define HALLMARK_ARCH_HPARAMS_INTERNAL_H

#include "hparams.h"

// Blocks of the file: the layers, and those behind them that are never run. Arrays by layer have one value for each.
static inline int hparams_blocks(const hparams *h) { return h->n_layer + h->n_nextn; }

bool hparams_has_experts(arch_family f);        // families whose experts are run
bool hparams_has_delta(arch_family f);          // families with recurrent layers

// n_expert, and sizes of experts in h->layers. ERR_INPUT names the key.
bool hparams_read_experts(arch_reader *r, hparams *h);
// Which layers are recurrent, and the shape of their heads; nothing where the family has none.
bool hparams_read_delta(arch_reader *r, hparams *h);

#endif
