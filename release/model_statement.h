// model_statement: what a model's signature says, in the OpenSSF Model Signing format: an in-toto Statement v1 with the
// predicate MODEL_PREDICATE, over the SHA-256 of every file.
//   {"_type":STATEMENT_TYPE,"subject":[{"name":s,"digest":{"sha256":hex}}],"predicateType":MODEL_PREDICATE,
//    "predicate":{"serialization":{"method":"files","hash_type":"sha256","allow_symlinks":false,"ignore_paths":[s]},
//                 "resources":[{"name":s,"algorithm":"sha256","digest":hex}]}}
// subject.digest is SHA-256 over the digests of the resources, 32 bytes each, in the order of the list (by name).
// Source: PyPI's model-signing 1.1.1, the docstring of its Payload. Proved by tests/bundle_test.c.
#ifndef HALLMARK_RELEASE_MODEL_STATEMENT_H
#define HALLMARK_RELEASE_MODEL_STATEMENT_H

#include "../formats/folder_digest.h"
#include <cjson/cJSON.h>

#define STATEMENT_TYPE  "https://in-toto.io/Statement/v1"
#define MODEL_PREDICATE "https://model_signing/signature/v1.0"

typedef struct { char *name; char sha256[SHA256_HEX + 1]; } model_resource;

typedef struct {
    char           *subject;        // the folder's name when it was signed; it proves nothing
    model_resource *v;              // [n], by name
    int             n;
    char          **ignored;    // [n_ignored] names that it leaves out, as it says itself; folders with what is below
    int             n_ignored;
    char            not_ours[64];   // of one that is refused: "key 'method': 'shards'", which is not computed here
} model_statement;                  // owned; model_statement_free

// The payload's text for a folder whose digests are taken. sig: the signature's own name, which is left out too.
// malloc'd; NULL when out of memory.
char *model_statement_text(const folder_digest *f, const char *subject, const char *sig);

// ERR_INPUT: no such statement: no JSON, another type, predicate or digest algorithm, shards, a name that leads out of
// the folder or stands twice, a subject that is not what the list gives. s is empty then, but for not_ours where the
// format allows other methods and digests.
bool model_statement_read(model_statement *s, const char *payload, int64_t n, const char *where, err *e);
void model_statement_free(model_statement *s);

// Are the folder's files those of the statement, all of them and no others but those that it leaves out? ERR_VERDICT
// names the first that is changed, gone, renamed or new; or says that it is of another folder.
bool model_statement_fits(const model_statement *s, const folder_digest *f, const char *where, err *e);

// The statement's file of this digest; one of this name where there are several. NULL: none.
const model_resource *model_statement_find(const model_statement *s, const char *name, const char *hex);

// The statement's file of this name; NULL: none.
const model_resource *model_statement_named(const model_statement *s, const char *name);

// Does it say itself that it leaves this name out? Not where it names it as a file.
bool model_statement_leaves_out(const model_statement *s, const char *name);

// A member "sha256" of an object "digest" in hex, or NULL. For in-toto's resource descriptors.
const char *descriptor_sha256(const cJSON *descriptor);

#endif
