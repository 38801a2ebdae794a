// added_flags: the flags of added tokens, none of which GGUF can carry.
//
// A reader of the file (llama.cpp, our runtime) cuts added tokens out of the text as it stands, the leftmost first, the
// longest where several begin at one place. lstrip, rstrip and single_word ask for something else: swallowing the
// spaces beside a token, or not seeing it inside a word. normalized asks for a second pass, over the normalized text
// (spaces are U+2581 by then, or characters composed), after all tokens without it are cut out, and the token's own
// text is normalized for it. Google's own tokenizers set none of them.
#ifndef HALLMARK_CONVERT_ADDED_FLAGS_H
#define HALLMARK_CONVERT_ADDED_FLAGS_H

#include "added_tokens.h"
#include "text_cut.h"

// ERR_INPUT names the first token that such a reader would cut out elsewhere than Transformers does, its file and the
// flag: any with lstrip, rstrip or single_word; one with normalized only if the normalizer would change it, or if a
// token without normalized lies inside it or begins inside it. ERR_INPUT too for a token of nothing but spaces in a
// SentencePiece vocabulary, where GGUF has the same text for one of U+2581. c: what is done to a text. Time: bytes of
// all tokens, times the logarithm of their number. Proved by tests/tokenizer_meta_test.c.
bool added_flags_check(const added_tokens *a, const text_cut *c, const char *dir, err *e);

#endif
