// llama_config: config.json of Llama, Mistral, Qwen 2 and Qwen 3, in the form of hf_config.h.
#ifndef HALLMARK_CONVERT_LLAMA_CONFIG_H
#define HALLMARK_CONVERT_LLAMA_CONFIG_H

#include "hf_config.h"

// Of a family: see family.h.
bool llama_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e);

#endif
