// check_file: one GGUF file of a release: digests and record; what its source gives; the fixtures that it answers to.
#ifndef HALLMARK_RELEASE_CHECK_FILE_H
#define HALLMARK_RELEASE_CHECK_FILE_H

#include "check_source.h"
#include "../verify/match.h"

typedef struct {                // one check, of a file or of a folder's files one after the other
    const check_opts *o;
    char             *dir;      // where they lie
    folder_digest    *digests;  // of the folder, taken under a signature, else those that were needed; NULL: of a file
    fixture_refs      fixtures; // that are to be run again
    const cJSON      *steps;    // that the folder's reports show (verify/steps.h); NULL: none
    check_source     *source;   // NULL: none is given
    check_file_proof *now;      // of the file at hand: in o->proof, else none
    check_file_proof  none;
    verify_why         why;         // where undecided says so
    char               why_of[128]; // the fixture
    char               undecided[768];  // "", or the first fixture that was run again and cannot decide, and why
} check_run;

// Digests of the bytes, then the record; what is told of them goes into a new x->now, o->gate and o->claims. When true,
// *g, the open file, is the caller's to close, and *rec to delete; else both are NULL. ERR_VERDICT names the first
// claim that does not hold.
bool check_claims(check_run *x, const char *path, gguf **g, cJSON **rec, err *e);

// The source, and a new run against those of the fixtures that this artifact answers to, which are then used; free runs
// are as long as the record says that they were.
// ERR_VERDICT: something is not what the source gives, or a fixture fails; ERR_USAGE, ERR_INPUT as
// check_source_proves.
bool check_further(check_run *x, const gguf *g, const cJSON *rec, err *e);

#endif
