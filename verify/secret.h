// secret: a key that a text from a server may repeat, as it is, or as JSON and URLs write it.
//
// Hidden where it stands whole: its characters each plain, behind backslashes, as \u002f, \x2f or %2f. Where a text was
// cut, at its end or before "...", the first SECRET_LEAST characters of a key are hidden too. What is to be cut is
// hidden before. Proved by tests/remote_key_test.c.
#ifndef HALLMARK_VERIFY_SECRET_H
#define HALLMARK_VERIFY_SECRET_H

#include <cjson/cJSON.h>
#include <stdbool.h>

enum { SECRET_LEAST = 6, SECRET_WORD = 8 };     // characters; see below

// s with "***" for each; malloc'd, NULL when out of memory. key: NULL or "" hides nothing.
char *secret_hide(const char *s, const char *key);

// Of all names and texts of a document, in place, so that nothing made of it can show a part. A key of fewer than
// SECRET_WORD characters is left there: it may be a word of the answer. false: out of memory.
bool secret_hide_json(cJSON *doc, const char *key);

#endif
