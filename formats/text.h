// text: one growing string, and the only place where text from outside is made safe to show.
//
// A name, a key, a token, a path or a word of the command line may hold anything: commands for a terminal, marks that
// turn the direction of writing, characters that nobody sees, bytes that are no UTF-8, the syntax of the document it
// lands in. Before it is shown, it passes one function, which is told where it goes:
//
//   TEXT_PLAIN     a terminal, a log, a message   one line: \n \t \r, \x1b for other bytes, \u202e for other characters
// TEXT_PROSE     what a model wrote, on a terminal: as TEXT_PLAIN, but lines, tabs and the joiners of some scripts stay

//   TEXT_MD        Markdown, in a line, a heading or a cell: no cell, line, heading, list, link, code or tag of its own
//   TEXT_MD_CODE   Markdown, as a code span, with its backticks
//   TEXT_JSON      the inside of a JSON string: a parser gives the text back, with U+FFFD for what is no UTF-8
//   TEXT_JSON_DOC  a JSON document that is printed already: only what must not be seen in it is changed
//   TEXT_XML       XML or HTML: between tags, or inside a quoted attribute
//   TEXT_SHELL     one word of a command that somebody will paste
//
// Plain escaping leaves backslashes alone, so that a message may quote another message; escaping twice changes nothing.
// What the Markdown and JSON functions make of bytes that are no UTF-8 is U+FFFD in both, so that a report written
// again from a record (which is JSON) is the same report. Proved by tests/text_test.c, and for every command by
// tests/shown_test.c.
#ifndef HALLMARK_FORMATS_TEXT_H
#define HALLMARK_FORMATS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
    TEXT_PLAIN, TEXT_PROSE, TEXT_MD, TEXT_MD_CODE, TEXT_JSON, TEXT_JSON_DOC, TEXT_XML, TEXT_SHELL,
} text_sink;

// ---- the growing string ---------------------------------------------------------------------------------------------

typedef struct {
    char  *s;           // [n] and a NUL; NULL before the first byte
    size_t n, room;
    bool   failed;      // memory ran out: what follows is dropped, and text_take gives NULL
} text_buf;

// Our own words and numbers, as they stand. Never for text from outside.
void text_raw(text_buf *t, const char *s, size_t n);
void text_words(text_buf *t, const char *s);
void text_printf(text_buf *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Text from outside, made safe for its sink. text_puts: a C string; NULL counts as "".
void text_put(text_buf *t, text_sink sink, const char *s, size_t n);
void text_puts(text_buf *t, text_sink sink, const char *s);

// Hands the string over, "" where nothing was put; freed by the caller. NULL when memory ran out. t is then empty.
char *text_take(text_buf *t);
void  text_drop(text_buf *t);

// ---- without memory -------------------------------------------------------------------------------------------------

// The same, written straight to f.
void text_write(FILE *f, text_sink sink, const char *s, size_t n);

// As TEXT_PLAIN into dst, size bytes with the NUL. What does not fit is cut between two characters, and "..." stands
// there: at the end, or (tail > 0) before the last tail bytes, where a message says what is wrong.
void text_fit(char *dst, size_t size, const char *s, size_t n, size_t tail);

// Nothing in it needs escaping on a line of its own: valid UTF-8 of characters that are seen.
bool text_is_plain(const char *s, size_t n);

#endif
