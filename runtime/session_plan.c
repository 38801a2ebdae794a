// session_plan: what a session takes and reads.
#include "session_internal.h"

#include <string.h>

void session_plan(const session *s, memory_plan *p)
{
    err ignored = { 0 };
    // session_new has allocated it already, so that it can be planned.
    if (!memory_plan_of(p, model_hparams(s->m), &s->spec, s->b->arith, s->n_ctx, s->n_batch, &ignored))
        memset(p, 0, sizeof *p);
    p->scratch_bytes = net_scratch_bytes(s->net);
    p->weight_bytes = net_weight_bytes(s->net);
}

int64_t session_step_bytes(const session *s, int64_t pos)
{
    const hparams *h = model_hparams(s->m);
    err ignored = { 0 };
    int64_t sum = net_step_weight_bytes(s->net) + net_state_bytes(s->net);
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        if (l->recurrent) continue;
        const int64_t lo = l->sliding && h->window <= pos ? pos - h->window + 1 : 0;
        kv_layer kv;
        if (!kv_spec_plan(&s->spec, h, l->kv_source, s->b->arith, s->n_ctx, s->n_batch, &kv, &ignored)) continue;
        sum += kv_part_read(&kv.k, lo, pos) + kv_part_read(&kv.v, lo, pos);
    }
    return sum;
}
