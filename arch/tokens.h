// tokens: what writers and readers of a tokenizer's metadata must agree on: types, tokens that are shown, and our own
// keys.
#ifndef HALLMARK_ARCH_TOKENS_H
#define HALLMARK_ARCH_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

// tokenizer.ggml.token_type, as llama.cpp numbers them (enum llama_token_type)
typedef enum {
    TOKEN_UNDEFINED, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE,
    N_TOKEN_TYPES,
} token_type;

// Tokens that are special in Gemma 4's tokenizer.json and user-defined in a file, so that a reader of the chat sees
// them (llama.cpp's Gemma4Model.set_vocab). text: [n], not terminated.
bool token_is_visible(const char *text, int64_t n);
extern const char *const token_visible[];       // all of them; ends with NULL

// SentencePiece files: where a space is put before a text that has none. In llama.cpp's words,
// tokenizer.ggml.add_space_prefix is false for SPACE_NONE and true for the others.
typedef enum {
    SPACE_NONE,
    SPACE_EACH,         // before each part of a text between added tokens, whatever it begins with: llama.cpp's way
    SPACE_MISSING,      // before each part that does not begin with one
    SPACE_FIRST,        // before a text that begins neither with one nor with an added token
} space_prefix;

// KEY_HM_SPACE_PREFIX's value: "missing", "first"; "each" and "none" need no key. The name of one that is unknown: -1
// from space_prefix_find.
const char *space_prefix_name(space_prefix p);
int space_prefix_find(const char *name, int64_t n);

// Where a file departs from what its other keys mean to llama.cpp; absent where it does not.
#define KEYS_HM_TOKENIZER    "hallmark.tokenizer."                  // how all of them begin
#define KEY_HM_SPACE_PREFIX  "hallmark.tokenizer.space_prefix"      // string
#define KEY_HM_IGNORE_MERGES "hallmark.tokenizer.ignore_merges"     // bool: a word that is a token is that token
#define KEY_HM_NFC           "hallmark.tokenizer.nfc"               // bool: a text is brought to NFC first

#endif
