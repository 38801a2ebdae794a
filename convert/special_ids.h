// special_ids: the tokenizer.* keys that name special tokens by id: begin, end, padding and the like; every id that
// ends a text; ids never to be chosen. From what names them (added_lists.h), generation_config.json and config.json.
// Proved by tests/tokenizer_meta_test.c.
#ifndef HALLMARK_CONVERT_SPECIAL_IDS_H
#define HALLMARK_CONVERT_SPECIAL_IDS_H

#include "text_frame.h"

// f: a token that is put around a text has the role where nobody names another. A token beyond the rows of the
// embedding has none, which is logged. ERR_INPUT names file and key of an id that is none, and what was found.
bool special_ids_plan(gguf_plan *p, const known_tokens *k, const text_frame *f, err *e);

// generation_config's suppress_tokens, where the source asks for them. Errors as above.
bool special_ids_plan_suppressed(gguf_plan *p, const tokenizer_source *s, err *e);

#endif
