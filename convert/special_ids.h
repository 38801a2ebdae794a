// special_ids: the tokenizer.* keys that name special tokens by id: begin, end, padding and the like; every id that ends a text; ids never to
// be chosen. From tokenizer_config.json, generation_config.json and config.json. Proved by tests/tokenizer_meta_test.c.
#ifndef HALLMARK_CONVERT_SPECIAL_IDS_H
#define HALLMARK_CONVERT_SPECIAL_IDS_H

#include "strmap.h"
#include "tokenizer_meta.h"

// vocab: every token that tokenizer.json names. *bos: the beginning-of-text token, or -1. ERR_INPUT names file and key of an id that is none.
bool special_ids_plan(gguf_plan *p, const tokenizer_source *s, const strmap *vocab, int32_t *bos, err *e);

// generation_config's suppress_tokens, where the source asks for them. Errors as above.
bool special_ids_plan_suppressed(gguf_plan *p, const tokenizer_source *s, err *e);

#endif
