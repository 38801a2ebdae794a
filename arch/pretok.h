// pretok: how byte-level tokenizers cut a text into words before they merge, as data: llama.cpp's name
// (tokenizer.ggml.pre) and the pattern that tokenizer.json files of these families hold. The converter recognises a
// tokenizer by its pattern; the runtime compiles the pattern.
#ifndef HALLMARK_ARCH_PRETOK_H
#define HALLMARK_ARCH_PRETOK_H

#include <stdbool.h>

typedef struct {
    const char *name;           // tokenizer.ggml.pre
    const char *pattern;        // as tokenizer.json's Split has it; GPT-2's own where its ByteLevel says use_regex
    bool        is_split;       // the pattern stands in the file (a Split before a ByteLevel without use_regex)
    bool        digits;    // each digit is a word of its own, cut before the pattern looks (Digits, individual_digits)
    bool        nfc;            // the text is brought to NFC first
    bool        ignore_merges;  // a word that is a token is that token, whatever the merges say
    bool        add_bos;        // llama.cpp puts BOS first where a file does not say
} pretok_row;

// All rows; ends with one whose name is NULL.
const pretok_row *pretok_table(void);
const pretok_row *pretok_find(const char *name);        // NULL: unknown

#endif
