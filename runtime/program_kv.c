// program_kv: see program_kv.h.
#include "program_kv.h"
#include <stdlib.h>

typedef struct { int k, v; } blocks;            // of a cache's sides; 0: not rotated

static void add(program *p, const op *o) { *program_add(p, o->kind, o->layer) = *o; }

static void rotate(program *p, const op *by, view of, int block, bool back)
{
    if (block == 0) return;
    op *o = program_add(p, OP_HADAMARD, by->layer);
    o->out[0] = of;
    o->rows = by->rows;
    o->dim = by->dim;
    o->block = block;
    o->unrounded = !back;
}

static void add_attend(program *p, const op *attend, blocks b)
{
    op whole = *attend;
    whole.unrounded = b.v > 0;
    rotate(p, attend, attend->in[0], b.k, false);
    add(p, &whole);
    rotate(p, attend, attend->out[0], b.v, true);
}

static void add_store(program *p, const op *store, blocks b)
{
    rotate(p, store, store->in[0], b.k, false);
    rotate(p, store, store->in[1], b.v, false);
    add(p, store);
}

// o, or what it expands to, with the rotations of its cache. of: of all caches.
static void add_rotated(program *p, const op *o, const blocks *of)
{
    op finer[OP_EXPANSION];
    const blocks b = o->cache < 0 ? (blocks){ 0, 0 } : of[o->cache];
    if (b.k + b.v == 0) {
        add(p, o);
        return;
    }
    switch (o->kind) {
    case OP_ATTEND: add_attend(p, o, b); return;
    case OP_STORE:  add_store(p, o, b); return;
    default: break;
    }
    const int n = op_expand(o, finer);
    if (n == 0) add(p, o);
    for (int i = 0; i < n; i++) add_rotated(p, &finer[i], of);
}

static bool read_blocks(const program *p, const hparams *h, const kv_spec *kv, blocks *of, bool *any, err *e)
{
    *any = false;
    for (int i = 0; i < p->n_caches; i++) {
        kv_layer layer;
        if (!kv_spec_plan(kv, h, p->caches[i].layer, ARITH_F32, 1, 1, &layer, e)) return false;
        of[i] = (blocks){ layer.k.rot_block, layer.v.rot_block };
        *any = *any || of[i].k + of[i].v > 0;
    }
    return true;
}

static bool rebuild(program *p, const blocks *of, err *e)
{
    op *plain = p->ops;
    const int n = p->n_ops;
    p->ops = NULL;
    p->n_ops = 0;
    for (int i = 0; i < n; i++) add_rotated(p, &plain[i], of);
    free(plain);
    return !p->failed || err_nomem(e, "list of operations", 0);
}

bool program_rotate(program *p, const hparams *h, const kv_spec *kv, err *e)
{
    bool any;
    blocks *of = calloc((size_t)p->n_caches + 1, sizeof *of);
    if (!of) return err_nomem(e, "rotations of caches", ((size_t)p->n_caches + 1) * sizeof *of);
    bool ok = kv_spec_check(kv, h, e) && read_blocks(p, h, kv, of, &any, e);
    if (ok && any) ok = rebuild(p, of, e);
    free(of);
    return ok;
}
