// qwen35_config: config.json of Qwen 3.5 and later, dense and with experts, in the form of hf_config.h.
#ifndef HALLMARK_CONVERT_QWEN35_CONFIG_H
#define HALLMARK_CONVERT_QWEN35_CONFIG_H

#include "hf_config.h"

// Of a family: see family.h.
bool qwen35_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e);

#endif
