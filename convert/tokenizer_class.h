// tokenizer_class: how Transformers builds the tokenizer of a folder, which the name of a class decides.
//
// GemmaTokenizer takes tokens and merges from tokenizer.json and puts together the rest by itself (normalizer, byte
// fallback, the added tokens in the order of their ids, five named tokens by default). The general class takes
// tokenizer.json as it stands. LlamaTokenizer, Qwen2Tokenizer and GPT2Tokenizer take tokens, merges and what is put around
// a text, and cut a text by rules of their own (text_cut.h). Other classes are not known here, and would cut a text into
// other tokens.
#ifndef HALLMARK_CONVERT_TOKENIZER_CLASS_H
#define HALLMARK_CONVERT_TOKENIZER_CLASS_H

#include "tokenizer_meta.h"

typedef enum { BUILD_FROM_FILE, BUILD_GEMMA, BUILD_LLAMA, BUILD_QWEN2, BUILD_GPT2 } tokenizer_build;

// From tokenizer_config.json's tokenizer_class, else config.json's, else the family. ERR_INPUT for a class that builds
// another tokenizer, for one that only code of the folder knows (auto_map), and for keys that make Transformers read
// another file or another way (fast_tokenizer_files, split_special_tokens).
bool tokenizer_class_read(tokenizer_build *b, const tokenizer_source *s, err *e);

// Is tokenizer.json one of the Gemmas' tokenizers: byte-fallback BPE whose only step before merging is a space that
// becomes U+2581? GemmaTokenizer would not look at these steps, but other readers of the folder do. ERR_INPUT naming
// the key, found and expected.
bool tokenizer_class_check(const cJSON *tokenizer, const char *where, err *e);

// Is its model byte-pair encoding? ERR_INPUT as above.
bool tokenizer_model_check(const cJSON *tokenizer, const char *where, err *e);

// Does it merge all pairs, and are tokens nothing but their text (no dropout, no marks on pieces)? ERR_INPUT as above.
bool tokenizer_merging_check(const cJSON *tokenizer, const char *where, err *e);

#endif
