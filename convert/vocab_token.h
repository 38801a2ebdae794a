// vocab_token: a token on its way from tokenizer.json into a GGUF file.
#ifndef HALLMARK_CONVERT_VOCAB_TOKEN_H
#define HALLMARK_CONVERT_VOCAB_TOKEN_H

#include "../formats/gguf.h"

#define TOKEN_SPACE "\xe2\x96\x81"      // U+2581, which stands for a space inside tokens

typedef struct {
    gguf_str s;                 // borrowed from the JSON tree, or spelled anew
    int32_t  id;                // may lie beyond the rows of the embedding
    uint8_t  type;              // TOKEN_NORMAL and so on
    bool     added;             // cut out of a text before anything is merged
} vocab_token;

#endif
