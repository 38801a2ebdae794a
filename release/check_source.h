// check_source: is an artifact what a checkpoint gives, its tensors (derivation.h) and its metadata (source_keys.h)?
//
// What it was made with beside the checkpoint is looked for first among what is given, then beside the artifact, by the
// SHA-256 that artifact or record says; an importance matrix of which they say none by its name.
// Proved by tests/forgeries_test.c.
#ifndef HALLMARK_RELEASE_CHECK_SOURCE_H
#define HALLMARK_RELEASE_CHECK_SOURCE_H

#include "release.h"

typedef struct check_source check_source;

// dir: where artifacts lie. source: the digest of o->from, or NULL: it is taken. NULL with ERR_INPUT: it cannot be
// read. Freed by check_source_free.
check_source *check_source_open(const char *dir, const source_id *source, const check_opts *o, err *e);
void          check_source_free(check_source *s);        // NULL is allowed

// rec: the record of art, which is open. What could not be compared goes into p. ERR_VERDICT names the first key, or
// tensor, that is not what the source gives; ERR_USAGE: what the file was made with is not given; ERR_INPUT: it cannot
// be read.
bool check_source_proves(check_source *s, const gguf *art, const cJSON *rec, check_file_proof *p, err *e);

// Texts, and files that are given, of which no artifact said that it was made with them: ERR_INPUT.
bool check_source_used(const check_source *s, err *e);

#endif
