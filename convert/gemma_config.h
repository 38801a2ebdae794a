// gemma_config: config.json of the Gemma families, in the form of hf_config.h.
#ifndef HALLMARK_CONVERT_GEMMA_CONFIG_H
#define HALLMARK_CONVERT_GEMMA_CONFIG_H

#include "hf_config.h"

// Of a family: see family.h.
bool gemma_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e);

#endif
