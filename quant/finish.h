// finish: how a GGUF file that was made ends: it is opened and judged as if somebody were to run it, and only then has
// its name.
//
// convert, quantize, release and the laboratory's record end here. Who may run a model is not known in this folder or
// in convert/: callers that know the runtime hand in its model_check, or a judge that asks it among others.
#ifndef HALLMARK_QUANT_FINISH_H
#define HALLMARK_QUANT_FINISH_H

#include "../formats/gguf.h"

// Writes the plan's header and padding to f, whose tensors are written; reads the file back and asks `judge` (NULL:
// nobody); flushes and renames. Frees f in every case: on failure nothing is left behind. source: what the file was
// made of, for the message of a judge who says no (ERR_INPUT).
bool finish_gguf(const gguf_plan *p, outfile *f, gguf_judge judge, const char *source, err *e);

#endif
