// template_meta: what a tokenizer puts around a text (beginning and end tokens).
#ifndef HALLMARK_CONVERT_TEMPLATE_META_H
#define HALLMARK_CONVERT_TEMPLATE_META_H

#include "../formats/gguf.h"
#include <cjson/cJSON.h>

// tokenizer.ggml.add_bos_token, add_sep_token, add_eos_token from tokenizer.json's post_processor; what it does not say, from
// tokenizer_config.json (NULL if there is none). bos: text of the beginning-of-text token, or NULL.
// A post-processor that adds anything else is refused: GGUF could not say it.
bool template_meta_frame(gguf_plan *p, const cJSON *tokenizer, const cJSON *tokenizer_config, const char *bos, const char *where, err *e);

#endif
