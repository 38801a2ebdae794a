// session_plan: what a session takes and reads.
#include "session_internal.h"

#include <string.h>

void session_plan(const session *s, memory_plan *p)
{
    err ignored = { 0 };
    // session_new has allocated it already, so that it can be planned.
    if (!memory_plan_of(p, model_hparams(s->m), &s->spec, s->n_ctx, s->n_batch, &ignored)) memset(p, 0, sizeof *p);
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
        const int64_t dim = (int64_t)l->n_kv_head * l->head_dim;
        int64_t k = 0, v = 0, keys = pos + 1;
        kv_choice c;
        if (l->sliding && h->window < keys) keys = h->window;
        if (!kv_spec_choose(&s->spec, h, l->kv_source, &c, &ignored)) continue;
        if (dtype_row_bytes(c.k, dim, &k) && dtype_row_bytes(c.v, dim, &v)) sum += (k + v) * keys;
    }
    return sum;
}
