// texts: what tests do with a file's text as a whole: read it, and put another part in a part's place.
#ifndef HALLMARK_TESTS_TEXTS_H
#define HALLMARK_TESTS_TEXTS_H

#include "formats/file_map.h"
#include "suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The file's text, malloc'd. Inlined, GCC takes the pointer to it for one to a local.
static __attribute__((noinline, unused)) char *read_text(const char *path)
{
    char   *text;
    int64_t n;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 24, &e), "%s", e.msg);
    return text;
}

// text with the first `from` replaced; malloc'd.
static inline char *replaced(const char *text, const char *from, const char *to)
{
    const char *hit = strstr(text, from);
    ck_assert_msg(hit != NULL, "'%s' is not in %s", from, text);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    ck_assert_ptr_nonnull(out);
    sprintf(out, "%.*s%s%s", (int)(hit - text), text, to, hit + strlen(from));
    return out;
}

#endif
