// text_file: a text that ends up in a prompt or in a GGUF string, read as Python reads it: UTF-8, and each line end
// becomes \n. Proved by tests/chat_template_test.c.
#ifndef HALLMARK_FORMATS_TEXT_FILE_H
#define HALLMARK_FORMATS_TEXT_FILE_H

#include "err.h"
#include <stdint.h>

// The whole file, at most max_bytes, NUL-terminated; "\r\n" and "\r" become "\n". Freed by the caller. ERR_INPUT,
// naming the offset, where it is not UTF-8 (UTF-16 is named as such) or holds a NUL byte.
bool text_file_read(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e);

// "\r\n" and "\r" become "\n" in place; the new length. text[n] must be a NUL, and is moved.
int64_t text_unify_line_ends(char *text, int64_t n);

// The first byte that is no part of well-formed UTF-8, or n.
int64_t utf8_valid_bytes(const char *text, int64_t n);

// A copy in which each byte that is not UTF-8 is U+FFFD, as Python's errors="replace" but for the number of marks;
// *n_bad counts them. malloc'd, NULL when out of memory.
char *utf8_mended(const char *text, int64_t n, int64_t *n_bad);

#endif
