// preflight: what can be said of an artifact and a fixture before anything is run: digests, record, metadata,
// tokenizer.
#ifndef HALLMARK_VERIFY_PREFLIGHT_H
#define HALLMARK_VERIFY_PREFLIGHT_H

#include "compare.h"
#include "../runtime/model.h"

// SHA-256 over the lines "<tensor digest>\n" in file order: what the file claims where it claims digests, else computed
// from its bytes.
bool artifact_weights_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e);

// Does every claim of the file hold that needs nothing beside it: tensor digests against the bytes, the record against
// both? true: yes, or it makes none. ERR_VERDICT names what differs; *what then says whether it is the "digest" or the
// "record".
bool preflight_claims(const gguf *g, int n_threads, progress *p, const char **what, err *e);

// Do the tensors keep the source's values? F32 and BF16 do; blocks and F16 do not.
bool gguf_keeps_source(const gguf *g);

// Exact: the fixture was made from the artifact's own weights, or the artifact holds the source's weights unharmed (F32
// and BF16 only).
check_kind preflight_kind(const gguf *g, const fixture *f);

typedef struct {
    bool belongs;       // the fixture is of this artifact's source, or of its weights
    bool unbound;       // the artifact does not say what it was made from: its architecture is all that is known
    char why[512];      // where it does not belong: what the fixture is of and what the artifact is, with both digests
} fixture_bond;

// Whose is the fixture? false only where that could not be found out. One that does not belong says nothing of the
// artifact: it is an input that cannot be used, no verdict, as long as what the artifact says of itself holds
// (preflight_claims).
bool preflight_bond(fixture_bond *b, const gguf *g, const fixture *f, err *e);

// Has the artifact the shape, the vocabulary and the hyperparameters of the fixture, which belongs to it? Adds failures
// to r; false: nothing should be run. e is set, with any kind, only when the question could not be answered.
bool preflight_fixture(verify_fixture_result *r, const model *m, const fixture *f, err *e);

// Encodes every prompt and compares with the fixture's ids; adds a failure for each case that differs. false only on
// ERR_SYSTEM.
bool preflight_tokenizer(verify_fixture_result *r, const tokenizer *t, const fixture *f, err *e);

// msg without the artifact's folder, where it begins with it. Borrowed from msg.
const char *without_folder(const gguf *g, const char *msg);

#endif
