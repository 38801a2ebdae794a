// text_cut: what a tokenizer does with a text before it merges: how it is normalized and cut into words (byte-level),
// or which spaces are put before it (SentencePiece). The tokenizer's class decides, or tokenizer.json itself
// (tokenizer_class.h).
//
// Byte-level tokenizers are recognised by the pattern in tokenizer.json and get the name that llama.cpp has for it
// (arch/pretok.h). A pattern that nobody knows is refused, and shown: a name that is nearly right cuts some texts
// otherwise.
#ifndef HALLMARK_CONVERT_TEXT_CUT_H
#define HALLMARK_CONVERT_TEXT_CUT_H

#include "../arch/pretok.h"
#include "merges.h"
#include "tokenizer_class.h"

typedef struct {
    tok_kind          kind;             // TOK_LLAMA, TOK_GEMMA4 or TOK_BYTES
    // TOK_BYTES:
    const pretok_row *pre;
    bool              nfc;
    bool              ignore_merges;    // a word that is a token is that token
    space_prefix      prefix;           // TOK_LLAMA
} text_cut;

// tokenizer: tokenizer.json; where: "dir/tokenizer.json"; m: its merges. ERR_INPUT names the key, found and expected.
bool text_cut_read(text_cut *c, tokenizer_build build, const tokenizer_source *s, const cJSON *tokenizer,
                   const merges *m, const char *where, err *e);

// tokenizer.ggml.model, pre and add_space_prefix, and keys of our own where a file departs from what those mean to
// llama.cpp, which the log then says.
bool text_cut_plan_model(gguf_plan *p, const text_cut *c, err *e);
bool text_cut_plan_rules(gguf_plan *p, const text_cut *c, progress *log, err *e);

#endif
