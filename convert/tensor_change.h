// tensor_change: what a rule of a family's table (family.h) asks of a tensor: the shape that the checkpoint must have
// for it, and what quant/transform.h is to do with its values.
#ifndef HALLMARK_CONVERT_TENSOR_CHANGE_H
#define HALLMARK_CONVERT_TENSOR_CHANGE_H

#include "../arch/tensors.h"
#include "../quant/transform.h"
#include "family.h"

enum { SOURCE_DIMS = LIMIT_DIMS + 1 };

// Do the numbered tensors of the checkpoint become one?
bool change_stacks(const tensor_rule *rule);

// The shape of one tensor of the checkpoint, for a row of the file's table in block `block`: what is cut, stacked or
// squeezed has another one than the file. Returns the number of dimensions.
int change_source_shape(const tensor_rule *rule, const hf_config *c, const tensor_row *row, const model_sizes *m,
                        int64_t block, int64_t shape[SOURCE_DIMS]);

// block: where heads differ by layer.
transform change_transform(const tensor_rule *rule, const hf_config *c, int64_t block);

#endif
