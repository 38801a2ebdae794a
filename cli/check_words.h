// check_words: what a check proved, and by what; what it did not, and by which command that could be.
// Proved by tests/check_words_test.c.
#ifndef HALLMARK_CLI_CHECK_WORDS_H
#define HALLMARK_CLI_CHECK_WORDS_H

#include "../release/check_proof.h"
#include "text_out.h"

// holds: no claim failed. The last lines of a report:
//   proved: <what>, by <what>
//   not proved: <what>, could be by: <command>
void check_words_print(const check_proof *p, const char *path, bool holds);

// The same as members "signature", "proved" and "not_proved" of the open object.
void check_words_json(json_out *j, const check_proof *p, const char *path, bool holds);

#endif
