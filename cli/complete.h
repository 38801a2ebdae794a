// complete: scripts that complete the command line in bash, zsh and fish, from the command table. Offered are commands,
// options, the values that an option names, types, files where a path is meant, and nothing where nothing is known.
// Words and texts of the table are quoted: none is run or expanded by a shell.
// Proved by tests/manual_test.c, and in the shells by tests/e2e/pages.sh and tests/tools/try_pages.sh.
#ifndef HALLMARK_CLI_COMPLETE_H
#define HALLMARK_CLI_COMPLETE_H

#include "cli.h"
#include "../formats/text.h"

void complete_bash(text_buf *t, const command *const *table, int n);
void complete_zsh(text_buf *t, const command *const *table, int n);
void complete_fish(text_buf *t, const command *const *table, int n);

#endif
