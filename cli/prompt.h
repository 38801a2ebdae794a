// prompt: what `run` is given to go on from: text from the command line, a file or standard input, or ids.
// Proved by tests/cli_text_test.c.
#ifndef HALLMARK_CLI_PROMPT_H
#define HALLMARK_CLI_PROMPT_H

#include "../formats/err.h"
#include <stdint.h>

typedef struct {
    const char *s;      // [n] bytes, as they were given
    int64_t     n;
    char       *owned;
} prompt_text;

// text "-": standard input; file, where text is NULL. One line's end at the end of what is read is left out. ERR_INPUT:
// it cannot be read, or is more than 64 MB. prompt_free after success.
bool prompt_read(prompt_text *p, const char *text, const char *file, err *e);
void prompt_free(prompt_text *p);

// "2,645, 9" or "2 645 9": ids below n_vocab. *ids is malloc'd. ERR_USAGE.
bool prompt_ids(const char *text, int64_t n_vocab, int32_t **ids, int64_t *n, err *e);

#endif
