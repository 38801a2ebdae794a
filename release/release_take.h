// release_take: a finished GGUF file, made here or by llama-quantize, as an artifact of a release.
//
// Its tensors are copied as they are. Its metadata are written anew, as convert would write them from the checkpoint
// for these tensors (convert_plan_of_artifact): nothing that somebody else put beside the tensors is published, a chat
// template least of all, and there is room for a record. What the file itself says of how its blocks were made (effort,
// calibration, mix) is kept, for the proof of its tensors to hold it to. Caches that were measured are left out.
// Proved by tests/release_outline_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_TAKE_H
#define HALLMARK_RELEASE_RELEASE_TAKE_H

#include "../formats/progress.h"
#include "../formats/source.h"

typedef struct {
    const char      *hf_dir, *revision;
    const source_id *source;        // of hf_dir
    const char      *imatrix;       // path or NULL
    int              n_threads;
    progress        *progress;      // told of metadata that are not the source's
} release_take_opts;

// Writes `to` whole or not at all. ERR_INPUT: it is a part of a model, of a type without a name, or says that it was
// made from another source.
bool release_take(const char *from, const char *to, const release_take_opts *o, err *e);

#endif
