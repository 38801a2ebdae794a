// program_kv: see program_kv.h.
#include "program_kv.h"
#include <stdlib.h>

typedef struct { int k, v; } blocks;            // of a cache's sides; 0: not rotated

typedef struct {
    op           *ops;
    int           n, room;
    const blocks *of;                           // [n_caches]
} rotated;

static op *append(rotated *r, const op *o, err *e)
{
    if (r->n == r->room) {
        const int room = r->room ? 2 * r->room : 64;
        op *more = realloc(r->ops, (size_t)room * sizeof *more);
        if (!more) {
            err_nomem(e, "list of operations", (size_t)room * sizeof *more);
            return NULL;
        }
        r->ops = more;
        r->room = room;
    }
    r->ops[r->n] = *o;
    return &r->ops[r->n++];
}

static bool rotate(rotated *r, const op *by, view of, int block, bool back, err *e)
{
    op o = op_new(OP_HADAMARD, by->layer);
    if (block == 0) return true;
    o.out[0] = of;
    o.rows = by->rows;
    o.dim = by->dim;
    o.block = block;
    o.unrounded = !back;
    return append(r, &o, e) != NULL;
}

static bool add_attend(rotated *r, const op *attend, blocks b, err *e)
{
    if (!rotate(r, attend, attend->in[0], b.k, false, e)) return false;
    op *o = append(r, attend, e);
    if (!o) return false;
    o->unrounded = b.v > 0;
    return rotate(r, attend, attend->out[0], b.v, true, e);
}

static bool add_store(rotated *r, const op *store, blocks b, err *e)
{
    if (!rotate(r, store, store->in[0], b.k, false, e)) return false;
    if (!rotate(r, store, store->in[1], b.v, false, e)) return false;
    return append(r, store, e) != NULL;
}

static bool add(rotated *r, const op *o, err *e)
{
    op finer[OP_EXPANSION];
    const blocks b = o->cache < 0 ? (blocks){ 0, 0 } : r->of[o->cache];
    if (b.k + b.v == 0) return append(r, o, e) != NULL;
    switch (o->kind) {
    case OP_ATTEND: return add_attend(r, o, b, e);
    case OP_STORE:  return add_store(r, o, b, e);
    default: break;
    }
    const int n = op_expand(o, finer);
    for (int i = 0; i < n; i++)
        if (!add(r, &finer[i], e)) return false;
    return n > 0 || append(r, o, e) != NULL;
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
    rotated r = { .of = of };
    for (int i = 0; i < p->n_ops; i++) {
        if (add(&r, &p->ops[i], e)) continue;
        free(r.ops);
        return false;
    }
    free(p->ops);
    p->ops = r.ops;
    p->n_ops = r.n;
    return true;
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
