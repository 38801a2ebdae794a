// text_frame: what a tokenizer puts around a text: a token before it, a token behind it.
//
// The post_processor of tokenizer.json decides, and nothing is added where there is none: add_bos_token and
// add_eos_token of tokenizer_config.json are leftovers that Transformers drops when it reads a tokenizer.json. (In a
// special_tokens_map.json that it reads they do count.)
#ifndef HALLMARK_CONVERT_TEXT_FRAME_H
#define HALLMARK_CONVERT_TEXT_FRAME_H

#include "added_tokens.h"

typedef struct {
    bool        bos, eos;               // there is a token before, behind
    const char *bos_text, *eos_text;    // it; borrowed
    bool        said;                   // by special_tokens_map.json
    int         sep;                    // does one stand between two texts? -1: not said
} text_frame;

// A post_processor that adds anything that GGUF could not say is refused: more than one token, one that is not the
// bos_token or eos_token that is named, one with another id than Transformers' own for it. ERR_INPUT names `where`
// ("dir/tokenizer.json"), found and expected.
bool text_frame_read(text_frame *f, const cJSON *tokenizer, const known_tokens *k, const char *where, err *e);

// tokenizer.ggml.add_bos_token, add_eos_token, and add_sep_token where it is said. Logs where llama.cpp goes its own
// way.
bool text_frame_plan(gguf_plan *p, const text_frame *f, const tokenizer_source *s, err *e);

#endif
