// command_words: a command line again from the options that were parsed, word by word, in the order of the option
// table. What names a secret's file is told by its base name alone.
#ifndef HALLMARK_CLI_COMMAND_WORDS_H
#define HALLMARK_CLI_COMMAND_WORDS_H

#include "cli.h"

typedef struct {
    char **v;               // [n]
    int    n, room;
} command_words;            // owned; command_words_free

// "hallmark", the command, its arguments, then each option that was given. secret: the option of a secret's file, or
// NULL. ERR_SYSTEM when out of memory.
bool command_words_of(command_words *w, const command *c, const void *options, const text_list *args,
                      const char *secret, err *e);
void command_words_free(command_words *w);

#endif
