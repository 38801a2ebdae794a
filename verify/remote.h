// remote: a running server of other people asked a fixture's questions; the report is verify_artifact's.
//
// For each case a free run of greedy ids, and the best id at each step given the fixture's own prefix: in one question
// where the server gives log-probabilities of a prompt, else in one for each prefix. Distances are over the ids that it
// gives (remote_distance.h). What the server runs, in which arithmetic and with which cache, is not seen: report type,
// arith and kv are "unknown", and the verdict is about its answers alone.
//
// The gate is the fixture's own noise and, of a float32 fixture, what float32 costs in another runtime (remote_gate.c);
// with `drift` the budget of a type, without what rounding costs the model, which cannot be measured through a server.
// A note says which it is. A gate file holds as it stands.
//
// A server that does not answer is ERR_SYSTEM, one that answers nonsense ERR_INPUT; there is no report then. What
// another model answers is no nonsense, but a verdict: ids that the fixture's does not have are named, with the step.
// Proved by tests/remote_test.c, tests/peers/remote_llama.py.
#ifndef HALLMARK_VERIFY_REMOTE_H
#define HALLMARK_VERIFY_REMOTE_H

#include "http.h"
#include "verify.h"

typedef struct {
    const char *url;
    const char *api;            // "llama", "openai", "sglang", "ollama"; NULL: found out
    const char *model;          // whom of the server's models; NULL: the only one
    const char *tokenizer;      // a GGUF file whose tokenizer makes text of ids: for a server that takes text only
    const char *drift;          // the type whose budget the answers answer to, NULL: exact
    const char *gate_path;      // NULL: the built-in gate
    http_opts   http;
    int64_t     tokens;         // of the free run; 0: VERIFY_TOKENS
    int64_t     samples;        // cases of each fixture that are asked (verify_opts); 0: all
    progress   *progress;
} remote_opts;

// r is filled as verify_artifact fills it, and freed by verify_report_free.
bool verify_remote(verify_report *r, const char *const *fixtures, int n_fixtures, const remote_opts *o, err *e);

#endif
