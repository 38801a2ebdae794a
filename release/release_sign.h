// release_sign: the signature of a release's folder, made last.
//   provenance.intoto.json   what the artifacts were made of, how, and what was proved of them (provenance.h)
//   model.sig                over every file of the folder, that one too (model_statement.h)
// Both are Sigstore bundles (formats/dsse.h). As signatures have random nonces, these two differ from run to run; all
// other files do not.
// Proved by tests/sign_test.c and tests/e2e/sign.sh.
#ifndef HALLMARK_RELEASE_RELEASE_SIGN_H
#define HALLMARK_RELEASE_RELEASE_SIGN_H

#include "model_statement.h"
#include "provenance.h"
#include "../formats/progress.h"
#include "../formats/signing_key.h"

#define SIGNATURE_NAME  "model.sig"
#define PROVENANCE_NAME "provenance.intoto.json"

// The private key, before any work; a key file that others may read is said. NULL with signing_key_read's errors.
signing_key *release_sign_key(const char *path, progress *p, err *e);

typedef struct {
    const signing_key *key;
    const char        *subject;         // the folder's name once it is published
    provenance_run     run;
    int                n_threads;
    progress          *progress;
} release_sign_opts;

// Writes both into dir, whose report is written. ERR_SYSTEM; ERR_VERDICT where somebody changes the folder meanwhile.
bool release_sign(const char *dir, const release_sign_opts *o, err *e);

// The statement of all files in the bundle at path, once the key is found to have signed it; model_statement_free when
// true. Without a key (NULL) it is what the bundle says, whoever signed it. ERR_VERDICT: another key did; ERR_INPUT:
// the bundle cannot be read; s->not_ours as of model_statement_read.
bool release_signed_statement(model_statement *s, const char *path, const signing_key *k, err *e);

#endif
