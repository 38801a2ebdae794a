// hf_rope: how the layers rotate (the two kinds of Gemma's each), out of the many places where a config.json says it.
//
// The rules are those of Transformers 5.24 (Gemma3TextConfig.convert_rope_params_to_dict, RotaryEmbeddingConfigMixin in
// modeling_rope_utils.py, the setter of rope_scaling in configuration_utils.py), because a value that is read otherwise
// here gives fluent text that drifts. What Transformers cannot compute, and what GGUF cannot say, is refused by the
// name of the key.
// Proved by tests/convert_config_test.c and tests/field/rope-*.json.
#ifndef HALLMARK_CONVERT_HF_ROPE_H
#define HALLMARK_CONVERT_HF_ROPE_H

#include "hf_config.h"

// Fills the rope fields of c->kind, after layer kinds are known. t: the object of the text model. ERR_INPUT names the
// key.
bool hf_rope_read(hf_config *c, const cJSON *t, const char *where, err *e);

// The object that gives the rotation (of the Gemmas by layer kind): rope_parameters, or but for Gemma 3 rope_scaling
// where it is given. NULL: neither is.
const cJSON *hf_rope_by_kind(const hf_config *c, const cJSON *t);

// "sliding_attention", "full_attention"
extern const char *const hf_kind_names[N_KINDS];

#endif
