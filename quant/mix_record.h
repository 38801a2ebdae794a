// mix_record: hallmark.quantize.mix against the file that it is in. Proved by tests/e2e/mix.sh.
#ifndef HALLMARK_QUANT_MIX_RECORD_H
#define HALLMARK_QUANT_MIX_RECORD_H

#include "../formats/gguf.h"

// Are the tensors of the types that the record of the mix says, each quantized one in it and none that is not there?
// true where there is no record.
// ERR_VERDICT names the first tensor, what the record says of it and what it is; or what of the record is no record.
bool mix_record_check(const gguf *g, err *e);

#endif
