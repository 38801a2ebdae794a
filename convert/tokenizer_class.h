// tokenizer_class: how Transformers builds the tokenizer of a folder, which the name of a class decides.
//
// GemmaTokenizer takes tokens and merges from tokenizer.json and puts together the rest by itself (normalizer, byte
// fallback, the added tokens in the order of their ids, five named tokens by default). The general class takes
// tokenizer.json as it stands. LlamaTokenizer, Qwen2Tokenizer, Qwen3_5Tokenizer and GPT2Tokenizer take tokens, merges
// and what is put around a text, and cut a text by rules of their own (text_cut.h). Other classes are not known here,
// and would cut a text into other tokens.
#ifndef HALLMARK_CONVERT_TOKENIZER_CLASS_H
#define HALLMARK_CONVERT_TOKENIZER_CLASS_H

#include "tokenizer_meta.h"

typedef enum { BUILD_FROM_FILE, BUILD_GEMMA, BUILD_LLAMA, BUILD_QWEN2, BUILD_QWEN35, BUILD_GPT2 } tokenizer_build;

// From tokenizer_config.json's tokenizer_class, else config.json's, else the family. ERR_INPUT for a class that builds
// another tokenizer, for one that only code of the folder knows (auto_map), and for keys that make Transformers read
// another file or another way (fast_tokenizer_files, split_special_tokens).
bool tokenizer_class_read(tokenizer_build *b, const tokenizer_source *s, err *e);

#endif
