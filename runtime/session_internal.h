// session_internal: what the parts of a session share. Nobody else includes this.
#ifndef HALLMARK_RUNTIME_SESSION_INTERNAL_H
#define HALLMARK_RUNTIME_SESSION_INTERNAL_H

#include "session.h"
#include "net.h"

struct session {
    const model *m;
    backend     *b;
    net         *net;
    int64_t      n_ctx, pos;
    int          n_batch;
    kv_spec      spec;              // what the caches are
    char         kv[KV_TEXT], arith[8];
    char         note[256];
    bool         kv_is_required;
    bool         guest;             // the backend is another session's
    bool         observed;          // somebody watches the products: nothing runs recorded
    bool         stepped;           // the last thing run was a step that could have been a recorded one
    progress    *told;              // of the tokens that are run; NULL: nobody
    int          step, held;        // tokens of the last session_step, and how many of them hold their logits; 0: none
};

// session_device.c. The backend that was asked for, or the best that has room; it is s->b.
bool session_pick_backend(session *s, const session_opts *o, arith a, err *e);
// The model on it. `auto` goes on to the CPU where the device fails while it is loaded.
bool session_open_net(session *s, const session_opts *o, arith a, err *e);

// session.c. Are n ids tokens, and is there room for them? ERR_USAGE or ERR_INPUT where not.
bool session_check_ids(const session *s, const int32_t *ids, int64_t n, err *e);
// Can a step be a recorded one?
bool session_can_replay(const session *s);
// n steps of the recorded kind, the first with id, recorded now where they are not; out: what each chose.
bool session_replay(session *s, int32_t id, int n, int32_t *out, err *e);

#endif
