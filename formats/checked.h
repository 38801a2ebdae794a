// checked: overflow-safe arithmetic for numbers that come from a file, and the limits stated in one place.
// Proved by tests/err_dtype_test.c; the limits by the tests of the readers.
#ifndef HALLMARK_FORMATS_CHECKED_H
#define HALLMARK_FORMATS_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

// *out = a * b or a + b for non-negative operands; false on a negative operand or on overflow (out untouched).
static inline bool mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

// Limits on what a file may claim. Each is far above any real model. What a file claims is compared with its size
// before anything is allocated, so a small hostile file costs little; what could still grow out of proportion is a
// parsed JSON tree (about 100 bytes a value, of two characters in the text) and a compressed stream, and those have
// limits of their own.
enum {
    LIMIT_KV_PAIRS     = 1 << 16,   // GGUF metadata pairs
    LIMIT_TENSORS      = 1 << 18,   // tensors in one file
    LIMIT_DIMS         = 4,         // dimensions of one tensor (ggml's GGML_MAX_DIMS)
    LIMIT_NAME_BYTES   = 1 << 10,   // a tensor or key name
    LIMIT_SHARDS       = 4096,      // files named by one safetensors index
    LIMIT_LAYERS       = 1024,      // transformer layers
    LIMIT_VOCAB        = 1 << 24,   // tokens
    LIMIT_CASES        = 4096,      // cases of one fixture

    LIMIT_ALIGNMENT    = 1 << 30,   // of tensor data in a GGUF file
    // one token's text; Gemma's longest has 93: bounds the work a hostile vocabulary can ask for
    LIMIT_TOKEN_BYTES  = 1 << 10,
    LIMIT_JSON_DEPTH   = 64,        // nesting of a JSON text
    LIMIT_JSON_VALUES  = 1 << 22,   // values in one JSON text (Gemma's tokenizer.json has 1.8 million)
    LIMIT_HEAD_VALUES  = 1 << 19,   // values in one safetensors header (8 a tensor): 50 MB of tree
    // values in one line of a fixture (64 tokens with the top 64 of each are 13 thousand)
    LIMIT_LINE_VALUES  = 1 << 19,

    // decompressed bytes for each compressed one, beyond LIMIT_FIXTURE_FREE (real ones: 3 to 6)
    LIMIT_FIXTURE_RATIO = 64,
};
#define LIMIT_JSON_BYTES        ((int64_t)256 << 20)    // one JSON file (tokenizer.json is 33 MB for Gemma)
#define LIMIT_SAFETENSORS_HEAD  ((int64_t)32 << 20)    // the format allows 100 MB; 31 thousand expert tensors need 4 MB
// one line of a fixture, decompressed (64 tokens, top 64: 0.3 MB)
#define LIMIT_FIXTURE_LINE      ((int64_t)16 << 20)
#define LIMIT_FIXTURE_FREE      ((int64_t)16 << 20)     // decompressed bytes that need no ratio
#define LIMIT_FIXTURE_BYTES     ((int64_t)1 << 30)      // a whole fixture, decompressed

#endif
