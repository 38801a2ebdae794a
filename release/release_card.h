// release_card: README.md of a release whose caches were measured: its files, what their caches cost as each file says
// itself (measure/lab_record.h), what is recommended, and how to check it again. Written from the files' own words, so
// that it can be written again and compared.
// Proved by tests/release_lab_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_CARD_H
#define HALLMARK_RELEASE_RELEASE_CARD_H

#include "release_report.h"

#define RELEASE_CARD "README.md"

// Of the artifacts in dir that r reports on. *text: freed by the caller.
bool release_card_md(char **text, const char *dir, const release_head *h, const release_result *r, err *e);
bool release_card_write(const char *dir, const release_head *h, const release_result *r, err *e);

#endif
