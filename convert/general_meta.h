// general_meta: the general.* keys, as llama.cpp's converter derives them from the folder, its README.md and
// generation_config.json.
#ifndef HALLMARK_CONVERT_GENERAL_META_H
#define HALLMARK_CONVERT_GENERAL_META_H

#include "../formats/gguf.h"
#include "../formats/progress.h"
#include <cjson/cJSON.h>

// general.architecture, type, sampling.*, name, size_label, and what the model card says (model_card.h). The name is
// the Hub repository's where hf_dir is a Hub cache snapshot, else the folder's own. n_params: elements of all tensors.
// generation_config may be NULL.
bool general_meta_plan(gguf_plan *p, const char *arch, const char *hf_dir, const cJSON *generation_config,
                       int64_t n_params, progress *log, err *e);

// The Hub repository's or the folder's name: "gemma-4-E2B-it". ERR_INPUT if hf_dir is not a folder.
bool general_meta_model_id(const char *hf_dir, char *out, size_t n_out, err *e);

// "4.6B", "270M": at least two digits, rounded.
void general_meta_size_label(int64_t n_params, char out[16]);

#endif
