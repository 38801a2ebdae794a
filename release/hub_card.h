// hub_card: README.md of a release, the model card that the Hub shows: front matter (hub_front.h), what was proved, a
// table of the files, what was measured of their caches, how to check it again, how to run them, what is not proved.
// Written from the files' own words and their reports, so that it can be written again and compared. It cannot hold the
// artifacts' SHA-256, whose records hold its own: those stand in SHA256SUMS.
// Proved by tests/hub_test.c and tests/release_lab_test.c.
#ifndef HALLMARK_RELEASE_HUB_CARD_H
#define HALLMARK_RELEASE_HUB_CARD_H

#include "hub_front.h"
#include "release_report.h"

#define HUB_CARD "README.md"

typedef struct {
    const hub_front *front;
    const char      *key_hint;      // of the key that signs the folder, SHA-256 in hex; NULL: it is not signed
} hub_card;

// Of the artifacts in dir that r reports on. *text: freed by the caller. ERR_INPUT: an artifact cannot be read.
bool hub_card_md(char **text, const char *dir, const release_head *h, const release_result *r, const hub_card *c,
                 err *e);

#endif
