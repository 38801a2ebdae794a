// release_describe: what a report says of an artifact that was not run.
// Proved by tests/release_test.c and tests/damage_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_DESCRIBE_H
#define HALLMARK_RELEASE_RELEASE_DESCRIBE_H

#include "../verify/match.h"
#include "../verify/verify.h"

// Nothing could be run against it.
bool release_describe_unverified(verify_report *v, const char *path, const artifact_ref *a, err *e);

// Its tensors are not what the source gives: nothing that it says when it is run matters, nor what else is wrong with
// it.
bool release_describe_not_derived(verify_report *v, const char *path, const char *label, const verify_derivation *d,
                                  err *e);

#endif
