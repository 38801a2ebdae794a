// config_plan: what follows from a config.json alone: the keys of its hyperparameters, planned or compared
// (convert_plan_of_config, convert_config_agrees in convert.h).
#ifndef HALLMARK_CONVERT_CONFIG_PLAN_H
#define HALLMARK_CONVERT_CONFIG_PLAN_H

#include "../formats/gguf.h"
#include "family.h"

bool config_plan_hparams(const hf_config *c, gguf_plan *p, err *e);

// Blocks of an artifact that guess further tokens; 0: the file has none, or they were left out.
int64_t config_mtp_of(const gguf *art);

#endif
