// words: a text cut into the words that a byte-level tokenizer merges, by the patterns of arch/pretok.h.
// Equal to the cuts of Transformers' fast tokenizers; proved by tests/words_test.c.
#ifndef HALLMARK_RUNTIME_TOKENIZER_WORDS_H
#define HALLMARK_RUNTIME_TOKENIZER_WORDS_H

#include "../../arch/pretok.h"
#include "../../formats/err.h"
#include <stdint.h>

typedef struct words words;

// ERR_SYSTEM: no memory. Freed by words_free.
words *words_new(const pretok_row *row, err *e);
void   words_free(words *w);

// Calls fn with each word of n bytes of well-formed UTF-8, in order; together they are the text. Stops where fn returns
// false, and returns false then. ERR_INPUT: the text takes more work than its length allows. One call at a time for
// each `words`.
bool words_cut(words *w, const char *text, int64_t n, bool (*fn)(void *ctx, const char *s, int64_t n, err *e),
               void *ctx, err *e);

#endif
