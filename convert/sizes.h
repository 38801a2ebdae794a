// sizes: the sizes that a config.json gives, as arch/tensors.h computes shapes from.
#ifndef HALLMARK_CONVERT_SIZES_H
#define HALLMARK_CONVERT_SIZES_H

#include "../arch/tensors.h"
#include "hf_config.h"

// m borrows block, which has room for hf_n_blocks(c).
void sizes_of_config(model_sizes *m, block_sizes *block, const hf_config *c);

// Factors of rotary frequencies that the file gets: a half of a head, 0: none.
int64_t sizes_rope_freqs(const hf_config *c);

#endif
