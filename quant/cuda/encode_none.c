// encode_none: stands in for encode.c where the program is built without CUDA.
#include "encode.h"

bool cuda_encoder_absent(const err *why)
{
    (void)why;
    return true;
}

block_encoder *cuda_encoder_open(err *e)
{
    err_set(e, ERR_SYSTEM, "device cuda: this program was built without CUDA");
    return NULL;
}

int64_t cuda_encoder_weights(const block_encoder *b)
{
    (void)b;
    return 0;
}
