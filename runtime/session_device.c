// session_device: which device a session runs on, and the model brought to it.
#include "session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Whether the model fits the backend's memory, asked before anything is loaded; the message is the plan.
static bool check_room(const session *s, backend *b, err *e)
{
    const hparams *h = model_hparams(s->m);
    const gguf *g = model_gguf(s->m);
    memory_plan p;
    int64_t room = 0, need = 0;
    const double mib = 1048576.0;
    if (!b->ops->room) return true;
    if (!b->ops->room(b, &room, e) || !memory_plan_of(&p, h, &s->spec, b->arith, s->n_ctx, s->n_batch, e)) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) p.weight_bytes += gguf_tensor_at(g, i)->n_bytes;    // of the file
    bool fits = net_scratch_need(h, s->n_ctx, s->n_batch, b->ops->logits_rows, &p.scratch_bytes, e);
    if (b->ops->replay) p.state_bytes *= 2;         // with a copy (net_keep_states)
    fits = fits && add_i64(p.weight_bytes, p.kv_bytes, &need) && add_i64(need, p.scratch_bytes, &need)
        && add_i64(need, p.state_bytes, &need);
    if (fits && need <= room) return true;
    char states[64] = "";
    if (p.state_bytes > 0) snprintf(states, sizeof states, ", states %.1f MiB", (double)p.state_bytes / mib);
    return err_set(e, ERR_SYSTEM, "device %s: the model does not fit: weights %.1f MiB, "
                   "KV cache (%.160s, %lld positions) %.1f MiB%s, activations and tables %.1f MiB; room for them "
                   "%.1f MiB", b->ops->name,
                   (double)p.weight_bytes / mib, s->kv, (long long)s->n_ctx, (double)p.kv_bytes / mib, states,
                   (double)p.scratch_bytes / mib, (double)room / mib);
}

// The batch that was asked for, or the backend's own.
static void set_batch(session *s, const session_opts *o, const backend *b)
{
    const int n = o->n_batch > 0 ? o->n_batch : b->ops->batch;
    s->n_batch = n < s->n_ctx ? n : (int)s->n_ctx;
}

static backend *open_cuda(session *s, const session_opts *o, arith a, err *e)
{
    backend *b = backend_cuda(a, o->reproducible, e);
    if (b) set_batch(s, o, b);
    if (b && !check_room(s, b, e)) {
        b->ops->close(b);
        b = NULL;
    }
    return b;
}

// The backend of the session whose activations are used.
static bool be_guest(session *s, const session_opts *o, arith a, err *e)
{
    const session *host = o->scratch_of;
    if (host->b->arith != a || host->n_ctx != s->n_ctx)
        return err_set(e, ERR_USAGE, "a session beside another: expected its arithmetic and context");
    s->b = host->b;
    s->guest = true;
    s->n_batch = host->n_batch;
    memcpy(s->note, host->note, sizeof s->note);
    return true;
}

bool session_pick_backend(session *s, const session_opts *o, arith a, err *e)
{
    if (o->scratch_of) return be_guest(s, o, a, e);
    const char *device = o->device ? o->device : "auto";
    if (strcmp(device, "cuda") == 0) {
        s->b = open_cuda(s, o, a, e);
    } else if (strcmp(device, "cpu") == 0) {
        s->b = backend_cpu(a, o->n_threads, o->simd, e);
    } else if (strcmp(device, "auto") == 0) {
        err why = { 0 };
        s->b = open_cuda(s, o, a, &why);
        if (!s->b && why.kind == ERR_USAGE) return err_set(e, why.kind, "%s", why.msg);     // no fault of the device
        if (!s->b) {
            // Where there is no device there is nothing to explain.
            if (!backend_cuda_absent(&why)) snprintf(s->note, sizeof s->note, "running on the CPU: %.230s", why.msg);
            s->b = backend_cpu(a, o->n_threads, o->simd, e);
        }
    } else {
        return err_set(e, ERR_USAGE, "device '%s': expected auto, cpu or cuda", device);
    }
    if (s->b) set_batch(s, o, s->b);
    if (s->b && s->b->note) snprintf(s->note, sizeof s->note, "%s", s->b->note);
    return s->b != NULL;
}

static bool is_automatic(const char *device) { return !device || strcmp(device, "auto") == 0; }

bool session_device_there(const char *device, err *e)
{
    err why = { 0 };
    if (!is_automatic(device) && strcmp(device, "cuda") != 0) return true;
    backend *b = backend_cuda(ARITH_F32, true, &why);
    if (b) b->ops->close(b);
    return b || (is_automatic(device) && why.kind != ERR_USAGE) || err_set(e, why.kind, "%s", why.msg);
}

static bool plant_fault(session *s, const session_opts *o, err *e)
{
#ifdef HALLMARK_FAULTS
    s->b->fault = o->fault;
    if (o->fault == FAULT_KV_F16) s->spec = kv_spec_of(KV_F16);     // unlike what it says of itself
    return true;
#else
    return o->fault == FAULT_NONE || err_set(e, ERR_USAGE, "this build cannot plant faults");
#endif
}

// The model on the backend. `auto` goes on to the CPU where the device fails while it is loaded: room that was there
// may have gone.
bool session_open_net(session *s, const session_opts *o, arith a, err *e)
{
    const bool automatic = is_automatic(o->device) && s->b->ops->room && !s->guest;
    const net_loan loan = { .weights = o->weights_of ? o->weights_of->net : NULL,
                            .scratch = o->scratch_of ? o->scratch_of->net : NULL, .logits = o->logits_too };
    err why = { 0 };
    if (!plant_fault(s, o, e)) return false;
    if (loan.weights && (o->weights_of->m != s->m || o->weights_of->b != s->b))
        return err_set(e, ERR_USAGE, "weights of another session: expected the same model on the same device");
    s->net = net_open_beside(s->b, model_gguf(s->m), model_hparams(s->m), &s->spec, s->n_ctx, s->n_batch, &loan,
                             automatic ? &why : e);
    if (s->net || !automatic) return s->net != NULL;
    if (why.kind != ERR_SYSTEM) return err_set(e, why.kind, "%s", why.msg);
    s->b->ops->close(s->b);
    s->b = backend_cpu(a, o->n_threads, o->simd, e);
    if (!s->b || !plant_fault(s, o, e)) return false;
    set_batch(s, o, s->b);
    snprintf(s->note, sizeof s->note, "running on the CPU: %.230s", why.msg);
    s->net = net_open(s->b, model_gguf(s->m), model_hparams(s->m), &s->spec, s->n_ctx, s->n_batch, e);
    return s->net != NULL;
}
