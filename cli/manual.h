// manual: manual pages, in man(7), from the command table: hallmark.1 and hallmark-<command>.1.
// Proved by tests/manual_test.c, and against what --help prints by tests/e2e/pages.sh.
#ifndef HALLMARK_CLI_MANUAL_H
#define HALLMARK_CLI_MANUAL_H

#include "cli.h"
#include "../formats/text.h"

typedef struct {
    const char *version;
    const char *date;               // "2026-11-29", or "": the page has none
} manual_edition;

void manual_of_command(text_buf *t, const command *c, const manual_edition *of);

// The program's own page, which names those of table[n].
void manual_of_program(text_buf *t, const command *const *table, int n, const manual_edition *of);

#endif
