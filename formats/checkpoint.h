// checkpoint: is this a folder with a Hugging Face checkpoint? Where it is not, what it is, and what to do about it.
// Proved by tests/checkpoint_test.c and tests/field/found-*.json.
#ifndef HALLMARK_FORMATS_CHECKPOINT_H
#define HALLMARK_FORMATS_CHECKPOINT_H

#include "err.h"

// True where path is a folder that holds config.json and (with_weights) model.safetensors or
// model.safetensors.index.json. ERR_INPUT otherwise: it names what was found there (nothing, a Hub cache, an adapter,
// PyTorch's files, GGUF files, a part of a download, ...) and what makes it usable.
bool checkpoint_expect(const char *path, bool with_weights, err *e);

// Every file of a checkpoint that is read must be in its folder: ERR_INPUT for a link that leads out of it or nowhere.
// Links into a Hub cache's blobs/ are such a folder's own.
bool checkpoint_keeps_to_itself(const char *dir, err *e);

#endif
