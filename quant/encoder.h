// encoder: a device that encodes blocks in the CPU's place, where there is one (cuda/encode.h). The bytes are the
// CPU's, so that it does not matter which of the two encoded what; whoever asks goes on with the CPU wherever the
// device does not answer.
#ifndef HALLMARK_QUANT_ENCODER_H
#define HALLMARK_QUANT_ENCODER_H

#include "../formats/dtype.h"
#include "../formats/err.h"

typedef enum {
    ENCODER_DONE,
    // nothing is said and dst is undefined: ask the CPU. The device has no encoder for this, is busy with another
    // thread's rows, or met a value that cannot be encoded, which the CPU names
    ENCODER_NOT_HERE,
    ENCODER_FAILED,         // the device failed: e, ERR_SYSTEM
} encoder_answer;

typedef struct block_encoder block_encoder;
struct block_encoder {
    // As codec_encode_rows at effort 0. Any number of threads may call.
    encoder_answer (*encode_rows)(block_encoder *b, dtype t, void *dst, const float *src, int64_t n_rows,
                                  int64_t n_cols, const float *importance, err *e);
    void (*close)(block_encoder *b);
};

#endif
