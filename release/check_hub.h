// check_hub: is what lies in a release's folder for the Hub (hub_publish.h) what is written again from the artifacts
// and their records? Card and Modelfile line by line, .gitattributes, SHA256SUMS, and the chat templates.
// Proved by tests/hub_test.c and tests/release_lab_test.c.
#ifndef HALLMARK_RELEASE_CHECK_HUB_H
#define HALLMARK_RELEASE_CHECK_HUB_H

#include "release_report.h"

// What the card's front matter says of the source, and who quantized it, is its own: its digest in the records covers
// it. Files that are somebody's own (record_file.kept) are left to their digest. ERR_VERDICT names the first line that
// is another, or what is missing; ERR_INPUT: the signature, whose key the card names, cannot be read; ERR_SYSTEM.
bool check_hub(const char *dir, const release_head *h, const release_result *r, err *e);
// SHA256SUMS, when each file was compared with its own record: it only repeats what those say.
bool check_hub_sums(const char *dir, const release_head *h, const release_result *r, int n_threads, err *e);

// A text that a release writes. What cannot be read of a folder is not what was released: ERR_VERDICT.
bool check_text_read(char **text, int64_t *n, const char *path, err *e);
// A text file of dir, byte for byte: ERR_VERDICT names the first line that differs.
bool check_text_same(const char *dir, const char *name, const char *expected, err *e);

#endif
