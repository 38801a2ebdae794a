// roff: text in a manual page. What roff would take for a request, an escape or another character stands as itself.
// Proved by tests/manual_test.c.
#ifndef HALLMARK_CLI_ROFF_H
#define HALLMARK_CLI_ROFF_H

#include "../formats/text.h"

// Words that roff fills into lines, with the names of options in bold; lines of the source of at most 78 columns where
// words allow. It ends the line. Nothing is written of a text without words.
void roff_prose(text_buf *t, const char *s, size_t n);

// Characters as they stand, on the line that has begun.
void roff_text(text_buf *t, const char *s, size_t n);

// The same of a whole line, from its beginning to its end.
void roff_line(text_buf *t, const char *s, size_t n);

// font: 'B' or 'I'.
void roff_font(text_buf *t, char font, const char *s);

#endif
