// release_words: what release says beside its table: what became of the folders, and how what passed is published
// alone.
#ifndef HALLMARK_CLI_RELEASE_WORDS_H
#define HALLMARK_CLI_RELEASE_WORDS_H

#include "command_words.h"

// The command that would publish those artifacts alone that passed, of a release that is not published; "" where none
// passed, or it is published. malloc'd; NULL when out of memory. words: of this run.
char *release_again(const release_result *r, const command_words *words);

// Lines on standard output, before the last: which passed and which did not, the command; what stays in an added-to
// folder. again: of release_again.
void release_print_folders(const release_result *r, const char *again);

#endif
