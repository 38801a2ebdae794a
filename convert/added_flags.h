// added_flags: the flags of tokenizer.json's added tokens, none of which GGUF can carry.
//
// A reader of the file (llama.cpp, our runtime) cuts added tokens out of the text as it stands, the leftmost first, the longest where
// several begin at one place. lstrip, rstrip and single_word ask for something else: swallowing the spaces beside a token, or not seeing it
// inside a word. normalized asks for a second pass, over text whose spaces are U+2581 by then, after all tokens without it are cut out.
// Google's own tokenizers set none of them.
#ifndef HALLMARK_CONVERT_ADDED_FLAGS_H
#define HALLMARK_CONVERT_ADDED_FLAGS_H

#include "../formats/err.h"
#include <cjson/cJSON.h>

// list: added_tokens, an array (elements that are no objects with a content are left to others to refuse). ERR_INPUT names the first token
// that such a reader would cut out elsewhere than Transformers does, and the flag: any with lstrip, rstrip or single_word; one with normalized
// only if it holds a space or U+2581, or if a token without normalized lies inside it or begins inside it.
// Proved by tests/tokenizer_meta_test.c.
bool added_flags_check(const cJSON *list, const char *where, err *e);

#endif
