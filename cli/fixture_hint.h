// fixture_hint: where a file was held to fixtures that are not all that it answers to, one that is lies beside them.
// Proved by tests/e2e/pipeline.sh.
#ifndef HALLMARK_CLI_FIXTURE_HINT_H
#define HALLMARK_CLI_FIXTURE_HINT_H

#include "cli.h"

// Notes the first fixture, of each kind that the artifact answers to (match.h) and that none of those given is, in the
// folders of those given, of the artifact, and in its folder `fixtures`. What cannot be read there is passed over.
void fixture_hint(const command *c, const char *artifact, const text_list *given);

#endif
