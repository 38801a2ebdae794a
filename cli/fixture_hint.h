// fixture_hint: where a file was held to fixtures that are not all that it answers to, one that is lies beside them.
// Proved by tests/e2e/pipeline.sh.
#ifndef HALLMARK_CLI_FIXTURE_HINT_H
#define HALLMARK_CLI_FIXTURE_HINT_H

#include "../verify/match.h"
#include "cli.h"

// Notes of each artifact the first fixture, of each kind that it answers to (match.h) and that none of those given is,
// in the folders of those given, of the artifacts, and in their folders `fixtures`. What cannot be read there is passed
// over, and what does not name its source gets no hint of a fixture from one. r: of those given, or empty; all that is
// read is added, each file once.
void fixture_hint(const command *c, fixture_refs *r, const text_list *artifacts, const text_list *given);

#endif
