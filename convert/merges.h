// merges: model.merges of a tokenizer.json, read straight from the text. As a JSON tree the half million merges of a
// Gemma tokenizer would take 160 MB; here they take about as much as the text itself.
#ifndef HALLMARK_CONVERT_MERGES_H
#define HALLMARK_CONVERT_MERGES_H

#include "../formats/err.h"
#include <stdint.h>

typedef struct {
    int64_t off;            // of "left right" in joined
    int32_t n_left, n_right;    // bytes; a space stands between them
} merge;

typedef struct {
    merge  *m;              // owned
    int64_t n;
    char   *joined;         // owned: all merges, unescaped, one after the other
} merges;

// Finds model.merges in the JSON text, reads it ("a b" strings or ["a", "b"] pairs), and overwrites its elements with
// spaces, so that the rest of the text can be parsed as JSON with all offsets unchanged. Without the key, n is 0. Only
// what lies inside the array is checked here. ERR_INPUT with the offset. Freed by merges_free, also after a failure.
bool merges_take(merges *out, char *text, int64_t n, const char *where, err *e);
void merges_free(merges *m);

#endif
