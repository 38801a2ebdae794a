// foreign_options: how other tools (llama.cpp's, Transformers') call what an option here does: for the answer to an
// option that is unknown. Proved by tests/cli_text_test.c.
#ifndef HALLMARK_CLI_FOREIGN_OPTIONS_H
#define HALLMARK_CLI_FOREIGN_OPTIONS_H

typedef struct {
    const char *name;       // "--outtype"
    const char *here;       // "--type"; NULL: none does it
    const char *why;        // NULL, or what is to be said of it
} foreign_option;

const foreign_option *foreign_option_find(const char *name);    // up to an '='; NULL: it is in no list

#endif
