// tensor_slots: which tensors of a checkpoint become which tensor of the file. A slot is a tensor that the file may
// hold, by the table of its architecture (arch/tensors.h); the family's rules (family.h) say which tensors fill it.
#ifndef HALLMARK_CONVERT_TENSOR_SLOTS_H
#define HALLMARK_CONVERT_TENSOR_SLOTS_H

#include "../arch/tensors.h"
#include "../formats/progress.h"
#include "../formats/safetensors.h"
#include "family.h"

typedef struct {
    const tensor_row  *row;
    int64_t            block;       // -1: of the whole model
    const tensor_rule *rule;        // by which it was found; NULL: it was not
    const st_tensor  **part;        // owned: [n_parts], in the order in which they are stacked
    const st_tensor   *first_found; // of the parts; NULL: none
    int64_t            n_parts, n_found;
} slot;

typedef struct {
    const hf_config *c;
    model_sizes      sizes;
    block_sizes     *block;         // owned: [sizes.n_block]
    slot            *slots;         // owned: those of the whole model, then block by block, in the table's order
    int64_t          n_slots;
    int64_t          n_model, n_block_rows;
} slot_table;

// Gives every tensor of s its slot. ERR_INPUT names the tensor and its file: one that no rule maps, one that is missing
// or there twice, one whose shape config.json does not give, and norms that another tool has changed already. s and c
// must outlive t. log may be NULL. Freed by slots_free, also after a failure.
bool slots_fill(slot_table *t, const st *s, const hf_config *c, progress *log, err *e);
void slots_free(slot_table *t);

#endif
