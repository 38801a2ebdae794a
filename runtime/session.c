// session: one sequence: opening, running ids, closing. See session.h.
#include "session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the caches are, by what was allocated: a report must not repeat what was asked for.
static void name_kv(session *s, const char *required)
{
    const hparams *h = model_hparams(s->m);
    err ignored = { 0 };
    bool as_asked = true, uniform = true, any = false;
    kv_choice first = { 0 };
    for (int i = 0; i < h->n_layer; i++) {
        kv_choice is, asked;
        if (!net_kv_choice(s->net, i, &is)) continue;
        if (!any) first = is;
        any = true;
        if (!kv_choice_same(&is, &first)) uniform = false;
        if (!kv_spec_choose(&s->spec, h, i, &asked, &ignored) || !kv_choice_same(&asked, &is)) as_asked = false;
    }
    // One type for all of them is said so, whatever words asked for it. A model may have none.
    if (uniform && any) s->spec = kv_spec_of_choice(&first);
    kv_spec_text(&s->spec, s->kv);
    s->kv_is_required = strcmp(s->kv, required) == 0 && (as_asked || uniform);
}

session *session_new(const model *m, const session_opts *o, err *e)
{
    const hparams *h = model_hparams(m);
    session *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "session", sizeof *s); return NULL; }
    s->m = m;
    const char *arith_name = o->arith ? o->arith : kv_arith_of(h) == ARITH_BF16 ? "bf16" : "f32";
    const bool bf16 = strcmp(arith_name, "bf16") == 0;
    if (!bf16 && strcmp(arith_name, "f32") != 0) {
        err_set(e, ERR_USAGE, "arithmetic '%s': expected f32 or bf16", arith_name);
        goto fail;
    }
    // The cache that belongs to an arithmetic is the one that holds its results without rounding them again.
    const char *required = bf16 ? "bf16" : "f32", *kv = o->kv ? o->kv : required;
    if (!kv_spec_parse(&s->spec, kv, e) || !kv_spec_check(&s->spec, h, e)) goto fail;
    kv_spec_text(&s->spec, s->kv);
    snprintf(s->arith, sizeof s->arith, "%s", arith_name);
    s->n_ctx = o->n_ctx;
    if (s->n_ctx < 1) { err_set(e, ERR_USAGE, "a session needs room for at least one token"); goto fail; }
    if (!session_pick_backend(s, o, bf16 ? ARITH_BF16 : ARITH_F32, e)) goto fail;
    if (!session_open_net(s, o, bf16 ? ARITH_BF16 : ARITH_F32, e)) goto fail;
    name_kv(s, required);
    return s;
fail:
    session_free(s);
    return NULL;
}

void session_free(session *s)
{
    if (!s) return;
    net_close(s->net);
    if (s->b && !s->guest) s->b->ops->close(s->b);
    free(s);
}

bool session_check_ids(const session *s, const int32_t *ids, int64_t n, err *e)
{
    const int64_t n_vocab = model_hparams(s->m)->n_vocab;
    if (n > s->n_ctx - s->pos)
        return err_set(e, ERR_USAGE, "%lld tokens after %lld do not fit the context of %lld", (long long)n,
                       (long long)s->pos, (long long)s->n_ctx);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return err_set(e, ERR_INPUT, "token %lld: id %d is outside the vocabulary of %lld", (long long)i, ids[i],
                           (long long)n_vocab);
    return true;
}

// A recording holds the places of one session's buffers: a backend that several run on records none.
bool session_can_replay(const session *s) { return s->b->ops->replay && !s->observed && !s->guest; }

// n steps of the recorded kind, recorded now where they are not.
bool session_replay(session *s, int32_t id, int n, int32_t *out, err *e)
{
    return (s->b->ops->recorded(s->b) || net_record(s->net, e)) && s->b->ops->replay(s->b, id, s->pos, n, out, e);
}

// One token whose logits are wanted, as a caller that chooses each next token asks for them. The first of them in a
// row runs by itself, so that the backend has all its buffers before it records; who asks for one such step and then
// for something else records nothing.
static bool try_step(session *s, int32_t id, float *logits, bool *done, err *e)
{
    int32_t chosen;
    *done = session_can_replay(s) && (s->stepped || s->b->ops->recorded(s->b));
    s->stepped = session_can_replay(s);
    if (!*done) return true;
    if (!session_replay(s, id, 1, &chosen, e)) return false;
    s->pos++;
    return net_recorded_logits(s->net, logits, e);
}

bool session_eval(session *s, const int32_t *ids, int64_t n, float *logits, int64_t n_logits, float *hidden, err *e)
{
    const int64_t n_vocab = model_hparams(s->m)->n_vocab;
    s->step = s->held = 0;
    if (n_logits < 0 || n_logits > n)
        return err_set(e, ERR_USAGE, "logits of %lld positions of %lld", (long long)n_logits, (long long)n);
    if (!session_check_ids(s, ids, n, e)) return false;
    if (n == 1 && n_logits == 1 && !hidden) {
        bool done;
        if (!try_step(s, ids[0], logits, &done, e)) return false;
        if (done) progress_add(s->told, NULL, 1);
        if (done) return true;
    } else {
        s->stepped = false;
    }
    for (int64_t done = 0; done < n;) {
        const int step = (int)(n - done < s->n_batch ? n - done : s->n_batch);
        const bool last = done + step == n;
        if (!net_forward(s->net, ids + done, step, s->pos, last ? hidden : NULL, e)) return false;
        s->pos += step;
        // Positions of this step that belong to the last n_logits.
        const int64_t from = n - n_logits > done ? n - n_logits : done;
        const int count = (int)(done + step - from);
        if (n_logits > 0 && count > 0 &&
            !net_logits(s->net, (int)(from - done), count, logits + (from - (n - n_logits)) * n_vocab, e))
            return false;
        done += step;
        progress_add(s->told, NULL, step);
    }
    return s->b->ops->sync(s->b, e);
}

bool session_observe(session *s, void (*fn)(void *ctx, const product_input *in), void *ctx, err *e)
{
    if (!net_observe(s->net, fn, ctx, e)) return false;
    s->observed = fn != NULL;
    return true;
}

bool session_replace_weight(session *s, const gguf_tensor *t, bool *used, err *e)
{
    return net_replace(s->net, t, used, e);
}

void session_tell(session *s, progress *p)          { s->told = p; }
void session_reset(session *s)                      { s->pos = 0; s->stepped = false; s->step = s->held = 0; }
int64_t session_pos(const session *s)               { return s->pos; }
const char *session_device(const session *s)        { return s->b->ops->name; }
const char *session_processor(const session *s)     { return s->b->processor; }
const char *session_kv(const session *s)            { return s->kv; }
const char *session_arith(const session *s)         { return s->arith; }
bool session_kv_is_required(const session *s)       { return s->kv_is_required; }
const char *session_note(const session *s)          { return s->note; }

int64_t session_memory_bytes(const session *s)
{
    const int64_t mapped = s->b->ops->copies_weights ? 0 : net_weight_bytes(s->net);
    return s->b->ops->memory_bytes(s->b) + mapped;
}

bool session_copy_rate(session *s, double *bytes_per_s, err *e)
{
    *bytes_per_s = 0;
    return !s->b->ops->copy_rate || s->b->ops->copy_rate(s->b, bytes_per_s, e);
}

void session_load(const session *s, double *seconds, int64_t *bytes)
{
    *seconds = net_load_seconds(s->net);
    *bytes = net_weight_bytes(s->net);
}
