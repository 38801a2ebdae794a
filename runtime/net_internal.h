// net_internal: what net.c (lists and running them) and net_load.c (weights, caches, buffers, counts) share.
#ifndef HALLMARK_RUNTIME_NET_INTERNAL_H
#define HALLMARK_RUNTIME_NET_INTERNAL_H

#include "net.h"
#include "program.h"

typedef struct { op *ops; int n; } op_list;

struct net {
    backend       *b;
    const hparams *h;
    program        p;
    op_memory      mem;             // [p.n_buffers], [p.n_weights], [p.n_caches], [p.n_ropes]
    state_layer   *kept;            // [p.n_states], copies: net_keep_states
    float        **cast;            // [p.n_weights]: values that are not the file's (program.h), or NULL
    float        **inv_freq;        // [p.n_ropes], host
    int            n_batch, logits_rows;        // logits_rows: tokens whose logits are computed at a time
    op_list        many, one, fine;             // the layers: for batches, for one token, wholly expanded for observers
    op_list        head_many, head_one;
    op             argmax;
    int64_t        scratch_bytes;
    double         load_seconds;                // net_load_seconds
    // Whoever watches the products of the layers, and a host copy of one product's input for it.
    product_observer observer;
    void          *observer_ctx;
    // one piece of memory; the rows of one expert, and who sees which
    float         *observed, *observed_rows, *observed_ids;
    int64_t        widest;                      // columns of the widest weight bound
};

// Everything that the program names, on the backend; false leaves what is there to net_close.
bool net_load(net *m, const gguf *g, const kv_spec *kv, int64_t n_ctx, err *e);
void net_unload(net *m);
// The lists, from the program and what the backend has for the weights as they are. Again after a weight was replaced.
bool net_lower(net *m, err *e);
// Commit b's fault (test builds only): in the program, in the program with its caches' rotations, in a cache before it
// has memory.
void net_plant(net *m);
void net_plant_rotated(net *m);
void net_plant_cache(const net *m, kv_layer *kv, int layer, int64_t n_ctx);

#endif
