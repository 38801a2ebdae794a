// encode: Q8_0, Q4_0, Q4_K and Q6_K blocks by a GPU, with the plain encoders' bytes, with and without importance.
//
// encode.cu runs the text of the plain encoders (codec_scalar.h, search.inc), a thread a sub-block; this file moves
// rows there and back. One piece of work at a time: a thread that finds the device busy is told so, and encodes on the
// CPU. Proved by tests/cuda_encode_test.c.
// Where the program is built without CUDA, encode_none.c stands in.
#ifndef HALLMARK_QUANT_CUDA_ENCODE_H
#define HALLMARK_QUANT_CUDA_ENCODE_H

#include "../encoder.h"

// The first device. NULL with ERR_SYSTEM: not built in, no driver, no device, or one too old (gpu_open). Closed by
// b->close(b), which frees all it holds.
block_encoder *cuda_encoder_open(err *e);

bool    cuda_encoder_absent(const err *why);                // that is why: not built in, no driver, no device
int64_t cuda_encoder_weights(const block_encoder *b);    // how many weights the device has encoded since it was opened

#endif
