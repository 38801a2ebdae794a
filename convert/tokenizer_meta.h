// tokenizer_meta: the tokenizer.* keys of a GGUF file but the chat templates, from tokenizer.json (and what stands
// beside it: tokenizer_config.json, generation_config.json, the special ids of config.json).
//
// Three kinds. Two are byte-fallback BPE over text whose spaces are U+2581:
//   TOK_GEMMA4  tokenizer.ggml.model "gemma4": tokens and merges. Scores are all -1000 and mean nothing (llama.cpp
//               writes them so).
//   TOK_LLAMA   tokenizer.ggml.model "llama" (Gemma 3): a token's score is minus its rank among the ordinary tokens, in
//               id order, because that is the order in which SentencePiece would have merged. A tokenizer.json whose
//               merges make ordinary tokens in another order is refused, since scores could not say it. Merges that
//               scores say only in part (Google's own: runs of spaces and line ends, longest first) are listed as well;
//               llama.cpp does not look at them.
// and one is BPE over bytes:
//   TOK_BYTES   tokenizer.ggml.model "gpt2" (Llama 3, Qwen): tokens spelled with a character for each byte, merges, and
//               the name of the pattern that cuts a text into words (text_cut.h).
// Which of TOK_LLAMA and TOK_BYTES, tokenizer.json says where the family leaves it to the file (TOK_BY_FILE).
//
// A tokenizer.json of another make (another model type, normalizer or pre-tokenizer) would be cut into other tokens by
// whoever reads the file, so it is refused by name; so is one whose added tokens have flags that matter
// (added_flags.h).
//
// Which tokens there are, and with which ids, is what Transformers makes of the folder: see added_lists.h and
// added_tokens.h.
#ifndef HALLMARK_CONVERT_TOKENIZER_META_H
#define HALLMARK_CONVERT_TOKENIZER_META_H

#include "../arch/tokens.h"
#include "../formats/claims.h"
#include "../formats/gguf.h"
#include "../formats/progress.h"
#include <cjson/cJSON.h>

typedef enum { TOK_LLAMA, TOK_GEMMA4, TOK_BYTES, TOK_BY_FILE } tok_kind;

// string array: the texts of added tokens that the embedding has no row for
#define KEY_BEYOND  KEY_HM_BEYOND
// u32 array: every id that ends a text; GGUF's own keys hold at most one of a kind
#define KEY_EOS_IDS KEY_HM_EOS_IDS

typedef struct {                // all borrowed
    tok_kind     kind;          // of the family
    const char  *model_type;    // of config.json, or what it stands for
    char        *text;          // tokenizer.json, [n_text]; its merges are blanked out while it is read
    int64_t      n_text;
    const cJSON *tokenizer_config, *generation_config, *config;     // NULL where there is no such file
    // added_tokens.json, special_tokens_map.json; the same
    const cJSON *added_tokens, *special_tokens_map;
    int64_t      n_vocab;       // rows of the embedding
    bool         suppress;      // write generation_config's suppress_tokens (Gemma4Unified)
    const char  *dir;           // for messages
    progress    *log;           // may be NULL
} tokenizer_source;

// Adds every tokenizer.* key to the plan. Ids without a token, and those between the last token and n_vocab, become
// "[PAD<id>]" of type UNUSED. Added tokens whose id lies beyond n_vocab are left out of the tokens and listed in
// KEY_BEYOND: they can be neither embedded nor chosen, and a text that spells one has no ids. ERR_INPUT names the file
// and what is wrong in it; then the plan holds some of the keys. Memory: the parsed files, and some 40 bytes for each
// id.
bool tokenizer_meta_plan(gguf_plan *p, const tokenizer_source *s, err *e);

#endif
