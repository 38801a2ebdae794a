// general_meta: the general.* keys, as llama.cpp's converter derives them from the folder, its README.md and
// generation_config.json.
#ifndef HALLMARK_CONVERT_GENERAL_META_H
#define HALLMARK_CONVERT_GENERAL_META_H

#include "../formats/gguf.h"
#include "../formats/progress.h"
#include <cjson/cJSON.h>

// general.architecture, type, sampling.*, name, size_label, and what the model card says (model_card.h). The name is
// the Hub repository's where hf_dir is a Hub cache snapshot, else the folder's own. generation_config may be NULL.
typedef struct {
    int64_t n_params;           // elements of all tensors
    int64_t n_expert;           // 0: none
    int64_t n_expert_params;    // elements of all experts together
} general_size;
bool general_meta_plan(gguf_plan *p, const char *arch, const char *hf_dir, const cJSON *generation_config,
                       const general_size *size, progress *log, err *e);

// The Hub repository's or the folder's name: "gemma-4-E2B-it". ERR_INPUT if hf_dir is not a folder.
bool general_meta_model_id(const char *hf_dir, char *out, size_t n_out, err *e);

// "4.6B", "270M": at least two digits, rounded. With experts "128x2.6B": how many, and the model with one of them.
void general_meta_size_label(const general_size *size, char out[32]);

#endif
