// tokenizer_internal: what the tokenizer's own files share. Nobody else includes this.
//
// Every token text is kept in its display spelling: U+2581, which stands for a space inside the vocabulary, is a space
// here. A text to encode gets the same spelling (Gemma's normalizer maps a space and U+2581 to one symbol anyway), so
// that comparing, merging and decoding all work on one form. Of a byte-level vocabulary it is the token's bytes, which
// need not be UTF-8.
#ifndef HALLMARK_RUNTIME_TOKENIZER_INTERNAL_H
#define HALLMARK_RUNTIME_TOKENIZER_INTERNAL_H

#include "../formats/keyed_hash.h"
#include "../arch/pretok.h"
#include "../arch/tokens.h"
#include "tokenizer.h"

enum {
    TOKEN_MAX_BYTES = LIMIT_TOKEN_BYTES,
    MAX_MERGES      = 1 << 23,  // Gemma has 514,906
};

enum {                          // token.flags
    TOK_MERGES  = 1,            // part of the BPE vocabulary: a text of it can be the result of merging
    TOK_ADDED   = 2,            // found whole in the text, before anything else looks at it
    TOK_SPECIAL = 4,            // left out by decoding with skip_special; found only with parse_special
    TOK_BYTE    = 8,            // stands for one byte
    TOK_END     = 16,           // ends a text or a turn
    TOK_RESULT  = 32,           // an added token that merging may make too
};

typedef struct {
    uint32_t off;               // display spelling, in tokenizer.text
    uint16_t n;
    uint8_t  flags;
    uint8_t  byte;              // TOK_BYTE: its value
} token;

typedef struct {
    uint32_t hash;
    int32_t  id;                // -1: empty slot
} text_slot;

typedef struct {
    int32_t left, right;        // the pair; left -1: empty slot
    int32_t rank;               // lower merges first
    int32_t id;                 // what the pair becomes
} merge_slot;

typedef struct {                // an added token, as it is spelled in a text
    uint32_t off;               // in tokenizer.added_text
    uint16_t n;
    int32_t  id;                // -1: the embedding has no row for it
} added_token;

typedef struct added_finder added_finder;       // tokenizer_added.c

struct tokenizer {
    hash_key     key;                   // of the two tables
    int32_t      n_vocab;
    token       *tokens;                // [n_vocab]
    char        *text;                  // all display spellings
    text_slot   *slots;                 // display spelling -> id, of TOK_MERGES tokens
    uint32_t     slot_mask;
    merge_slot  *merges;                // (left id, right id) -> rank, id; at most half full
    uint32_t     merge_mask;
    int64_t      n_merges;
    added_token *added;                 // sorted by spelling, bytewise
    int64_t      n_added;
    char        *added_text;
    added_finder *finder;               // of the added tokens in a text
    // bit [a][b]: some merge has a left side that ends in byte a and a right side that begins with b
    uint32_t     joined[256][8];
    bool         may_cut;               // text may be cut where nothing joins: see tokenizer_bpe.c
    bool         has_space;             // U+2581 alone is a token
    int32_t      byte_id[256];          // the id of "<0xNN>", or -1
    uint8_t      bytes[256];            // 0 .. 255, for tokenizer_piece
    bool         sentencepiece;         // "llama": see tokenizer_merges.c
    space_prefix prefix;                // sentencepiece: the space before a text
    bool         byte_level;            // "gpt2": see tokenizer_bytes.c
    const pretok_row *pre;              // byte_level: how a text is cut into words
    bool         ignore_merges, nfc;    // byte_level: as pretok_row has it, unless the file says otherwise
    bool         lists_merges;          // the file does
    int32_t      bos, eos, unk;         // -1: none
    bool         add_bos, add_eos;
};

// tokenizer_vocab.c. The id of a text in display spelling, or -1.
int32_t vocab_find(const tokenizer *t, const char *s, int64_t n);
// hash: hash_bytes(&t->key, s, n)
int32_t vocab_find_hashed(const tokenizer *t, const char *s, int64_t n, uint64_t hash);
// Writes n bytes of text in display spelling; dst holds n bytes and may be src. Returns the bytes written.
int64_t vocab_spell(char *dst, const char *src, int64_t n);

// Is it a run of spaces that "llama" files spell so, and a text as U+2581?
bool vocab_is_respelled(const tokenizer *t, gguf_str s);

// tokenizer_bytes.c, of byte_level ones. The bytes that a vocabulary's spelling stands for, into dst [n]; how many, -1:
// it is no such spelling.
int64_t bytes_spell(uint8_t *dst, const char *s, int64_t n);
bool bytes_open(tokenizer *t, const gguf *g, err *e);       // which words; before the vocabulary is read
void bytes_index(tokenizer *t);    // the tokens of single bytes, -1 where there is none; after it is indexed
// U+FFFD for what is not UTF-8; dst: 3 n bytes. Returns the bytes written
int64_t bytes_decode(char *dst, const uint8_t *src, int64_t n);

// tokenizer.c. Bytes at p, which begin no well-formed sequence, that one U+FFFD stands for.
int tokenizer_bad_len(const uint8_t *p, int64_t n);

// tokenizer_added.c. Reads the tokens with TOK_ADDED, and those that the embedding has no row for.
bool added_load(tokenizer *t, const gguf *g, err *e);
void added_free(tokenizer *t);
// The longest added token at each place of a text where one begins, the last place first. *m: malloc'd, also after a
// failure.
typedef struct { int64_t at; const added_token *token; } added_match;
bool added_find(const tokenizer *t, const char *s, int64_t n, added_match **m, int64_t *n_matches, err *e);

// tokenizer_merges.c. Fills the merge table from tokenizer.ggml.merges, or from the vocabulary where the file has none.
bool merges_load(tokenizer *t, const gguf *g, err *e);
// The rank of merging left and right, INT32_MAX if they do not merge; *id is what they become.
int32_t merges_find(const tokenizer *t, int32_t left, int32_t right, int32_t *id);

// "file: key 'k': <message>", ERR_INPUT. Returns false.
bool tokenizer_bad_key(const gguf *g, const char *key, err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// tokenizer_bpe.c. State of one encoding: the ids so far and scratch memory.
typedef struct bpe bpe;
bpe *bpe_new(const tokenizer *t, int64_t n_bytes, err *e);      // room for a text of n_bytes
void bpe_free(bpe *b);
// Encodes n bytes of well-formed UTF-8 that hold no added token, and appends to the ids. first: nothing of the text
// stands before them.
bool bpe_text(bpe *b, const char *s, int64_t n, bool first, err *e);
bool bpe_push(bpe *b, int32_t id, err *e);
// Hands over the ids (malloc'd).
void bpe_take(bpe *b, int32_t **ids, int64_t *n);

static inline bool joins(const tokenizer *t, uint8_t a, uint8_t b) { return t->joined[a][b >> 5] >> (b & 31) & 1; }

#endif
