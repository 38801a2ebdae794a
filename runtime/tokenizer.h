// tokenizer: text to ids and back, from a GGUF file's own metadata. Equal to Transformers' fast tokenizer for the kinds
// we know: tokenizer.ggml.model "gemma4" (BPE with merges, spaces as U+2581, byte fallback) and "llama" (SentencePiece
// BPE by score; Gemma 3).
#ifndef HALLMARK_RUNTIME_TOKENIZER_H
#define HALLMARK_RUNTIME_TOKENIZER_H

#include "../formats/gguf.h"

typedef struct tokenizer tokenizer;

tokenizer *tokenizer_new(const gguf *g, err *e);        // copies what it needs; ERR_INPUT names the key
void       tokenizer_free(tokenizer *t);

int32_t tokenizer_n_vocab(const tokenizer *t);
int32_t tokenizer_bos(const tokenizer *t);              // -1 if none
bool    tokenizer_is_end(const tokenizer *t, int32_t id);   // any of the end-of-text ids (eos, eot, eog list)
bool    tokenizer_is_special(const tokenizer *t, int32_t id);   // left out by decoding with skip_special
// what the file says; with no word from the file: true if it has a BOS
bool    tokenizer_add_bos(const tokenizer *t);

// Encodes n bytes of UTF-8 (invalid bytes go the way Transformers sends them after decoding with U+FFFD). Special
// tokens written in the text become their ids when parse_special. add_bos puts BOS first (and EOS last) if the model
// wants it. ids: malloc'd, freed by the caller. ERR_INPUT on more than 64 MB, and naming a token in the text that the
// embedding has no row for (hallmark.tokens_beyond).
bool tokenizer_encode(const tokenizer *t, const char *text, int64_t n, bool add_bos, bool parse_special,
                      int32_t **ids, int64_t *n_ids, err *e);

// The text of ids. skip_special leaves control tokens out. out: malloc'd, NUL-terminated. ids out of range: ERR_INPUT.
bool tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t n, bool skip_special, char **out, int64_t *n_out,
                      err *e);

// The bytes of one token as it would be appended while streaming (byte tokens give single bytes). Borrowed.
bool tokenizer_piece(const tokenizer *t, int32_t id, const char **s, int64_t *n);

#endif
