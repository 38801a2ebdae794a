// merge_meta: tokenizer.ggml.merges from the merges of a tokenizer.json, and whether a file needs it.
#ifndef HALLMARK_CONVERT_MERGE_META_H
#define HALLMARK_CONVERT_MERGE_META_H

#include "merges.h"
#include "strmap.h"
#include "tokenizer_meta.h"
#include "vocab_token.h"

typedef struct {                // what merges are checked against; all borrowed
    tok_kind           kind;
    const char        *where;   // "dir/tokenizer.json"
    const strmap      *ids;     // of the tokens of model.vocab
    const vocab_token *t;       // [n], the same tokens
    int64_t            n;
    const int32_t     *row;     // [n_rows]: id -> place in t, or behind it for added tokens, or -1
    int64_t            n_rows;  // of the embedding
    progress          *log;
} merge_vocab;

// Checks that every merge joins two tokens of the vocabulary to a third, all with a row in the embedding, and drops all
// but the last of those that stand more than once: the last one's rank is what Transformers goes by (llama.cpp by the
// first's). TOK_LLAMA: also that scores can say their order, and *listed tells whether they must stand beside the
// scores. ERR_INPUT names the element. Time: bytes of the file.
bool merge_meta_check(merges *m, const merge_vocab *v, bool *listed, err *e);

// ERR_INPUT on a token that holds a space, because the space is what parts the two.
bool merge_meta_plan(gguf_plan *p, const merges *m, const char *where, err *e);

#endif
