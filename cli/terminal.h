// terminal: is somebody watching, on something that understands escapes?
#ifndef HALLMARK_CLI_TERMINAL_H
#define HALLMARK_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// A terminal that lines can be erased on: not one whose TERM is "dumb", or is not told.
static inline bool terminal_is(int fd)
{
    const char *term = getenv("TERM");
    return term && *term && strcmp(term, "dumb") != 0 && isatty(fd) == 1;
}

// How wide it is; `otherwise` where that is no terminal, or one of no use.
static inline int terminal_columns(int fd, int otherwise)
{
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : otherwise;
}

#endif
