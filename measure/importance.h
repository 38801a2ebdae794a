// importance: importance matrices computed by our own runtime, and written in llama.cpp's GGUF form (general.type
// "imatrix").
//
// For each weight matrix of a layer: the sum over all tokens of the square of what it is multiplied with, column by
// column ("<name>.in_sum2", F32 [cols]), and how many tokens there were ("<name>.counts", F32 [1]); of a tensor of
// experts a row and a count for each of them ([n_expert][cols], [n_expert][1]). quant/imatrix.h reads the result. The
// texts are encoded with BOS and cut in chunks, each begun with BOS and run by itself; what is left over after the last
// whole chunk is not used: as llama-imatrix does it. "imatrix.datasets" has the texts' names without their folders,
// those of merged matrices too.
#ifndef HALLMARK_MEASURE_IMPORTANCE_H
#define HALLMARK_MEASURE_IMPORTANCE_H

#include "../formats/progress.h"
#include "../runtime/session.h"

typedef struct {
    const char *const *texts;   // files of UTF-8 text; may be none when there is something to merge
    int          n_texts;
    const char *const *merge;   // GGUF matrices whose sums and counts are added
    int          n_merge;
    int64_t      chunk;    // tokens of a chunk; 0: 512, or what the first matrix to merge has when there are no texts
    session_opts run;           // device, arithmetic, threads, batch; n_ctx is chosen here
    progress    *progress;      // may be NULL
} importance_opts;

// Writes out_path whole or not at all. artifact may be NULL when there are no texts. ERR_INPUT: a text shorter than one
// chunk; a matrix to merge that is not of this form, or whose entry has another width; a product's input that is not
// finite, by tensor.
bool importance_compute(const char *artifact, const char *out_path, const importance_opts *o, err *e);

#endif
