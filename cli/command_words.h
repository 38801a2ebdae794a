// command_words: a command line again from the options that were parsed, word by word, in the order of the option
// table: as it was typed, or as it may be published. Of a path only its last name is published, in whatever word it
// stands (that of a key, a text's behind its category, those within a recipe): the folders before it say whose machine
// it was, and nothing of what was made. An id of the Hub stays whole.
// Proved by tests/recipe_test.c and tests/e2e/sign.sh.
#ifndef HALLMARK_CLI_COMMAND_WORDS_H
#define HALLMARK_CLI_COMMAND_WORDS_H

#include "cli.h"

typedef enum { WORDS_AS_TYPED, WORDS_WITHOUT_FOLDERS } words_how;

typedef struct {
    char **v;               // [n]
    int    n, room;
} command_words;            // owned; command_words_free

// "hallmark", the command, its arguments, then each option that was given. ERR_SYSTEM when out of memory.
bool command_words_of(command_words *w, const command *c, const void *options, const text_list *args, words_how how,
                      err *e);
void command_words_free(command_words *w);

#endif
