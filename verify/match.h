// match: which fixtures an artifact answers to.
//
// A type that keeps the source's weights (F32, BF16) answers to a fixture from the source, in its own arithmetic. A
// type that does not (quantized, F16) answers to two: one made from its own weights, for equality, and one from the
// source, for drift.
#ifndef HALLMARK_VERIFY_MATCH_H
#define HALLMARK_VERIFY_MATCH_H

#include "../formats/claims.h"
#include "verify.h"

typedef struct {
    char *path;
    char  name[128];            // the file's own name
    char  digest[SHA256_HEX + 1];       // of the file's bytes
    char  arith[8];             // of its dtype: "f32", "bf16"
    source_id source;
    char  weights[SHA256_HEX + 1];      // "" when made from the source's own
    char  weights_type[16];     // "Q4_K_M"; "" likewise
    verify_reference reference;
    int64_t cases, top_k;       // of its header
    int64_t prompt_tokens;      // of all cases together
    bool  asked;                // named by the user, not found
    bool  used;                 // some artifact answered to it
    char  why_not[512];         // of the first that did not: in what they differ; ""
} fixture_ref;

typedef struct {
    fixture_ref *v;
    int          n;
} fixture_refs;

// Reads a fixture wholly (ERR_INPUT as fixture_open) and keeps what matching needs. A path that is there already, or
// the same bytes under another name, is not added again.
bool fixture_refs_add(fixture_refs *r, const char *path, bool asked, err *e);
// Adds every *.json.gz of a folder, by name; a folder that is not there has none.
bool fixture_refs_add_dir(fixture_refs *r, const char *dir, err *e);
void fixture_refs_free(fixture_refs *r);

typedef struct {                // of an artifact
    char type[16];              // "Q4_K_M"
    char arith[8];              // its default arithmetic
    bool lossy;                 // its tensors do not keep the source's values
    source_id source;           // not known when it does not say
    char weights[SHA256_HEX + 1];
} artifact_ref;

bool artifact_ref_read(artifact_ref *a, const char *path, err *e);

typedef enum { MATCH_NONE, MATCH_SOURCE, MATCH_WEIGHTS } match;
match fixture_match(const fixture_ref *f, const artifact_ref *a);

// in: an arithmetic ("f32", "bf16"), as fixtures call it: "float32", "bfloat16".
const char *fixture_dtype_word(const char *in);

// Keeps in what f and a, which do not match, differ, with both digests; the first time only. artifact: its name.
void fixture_why_not(fixture_ref *f, const artifact_ref *a, const char *artifact);

// A fixture of another source than id, which was named: ERR_INPUT with both digests. of: what has that source, for the
// message.
bool fixture_ref_is_of(const fixture_ref *f, const source_id *id, const char *of, err *e);

#endif
