// terminal: is somebody watching, on something that understands escapes?
#ifndef HALLMARK_CLI_TERMINAL_H
#define HALLMARK_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A terminal that lines can be erased on: not one whose TERM is "dumb", or is not told.
static inline bool terminal_is(int fd)
{
    const char *term = getenv("TERM");
    return term && *term && strcmp(term, "dumb") != 0 && isatty(fd) == 1;
}

#endif
