// session: see session.h.
#include "session.h"
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    bool         observed;          // somebody watches the products: nothing runs recorded
    bool         stepped;           // the last thing run was a step that could have been a recorded one
    int          step, held;        // tokens of the last session_step, and how many of them hold their logits; 0: none
};

// Whether the model fits the backend's memory, asked before anything is loaded; the message is the plan.
static bool check_room(const session *s, backend *b, err *e)
{
    const hparams *h = model_hparams(s->m);
    const gguf *g = model_gguf(s->m);
    memory_plan p;
    int64_t room = 0, need = 0;
    const double mib = 1048576.0;
    if (!b->ops->room) return true;
    if (!b->ops->room(b, &room, e) || !memory_plan_of(&p, h, &s->spec, s->n_ctx, s->n_batch, e)) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) p.weight_bytes += gguf_tensor_at(g, i)->n_bytes;    // within the file: no overflow
    if (net_scratch_need(h, s->n_ctx, s->n_batch, b->ops->logits_rows, &p.scratch_bytes, e) && add_i64(p.weight_bytes, p.kv_bytes, &need) &&
        add_i64(need, p.scratch_bytes, &need) && need <= room)
        return true;
    return err_set(e, ERR_SYSTEM, "device %s: the model does not fit: weights %.1f MiB, KV cache (%s, %lld positions) %.1f MiB, activations and tables "
                   "%.1f MiB; room for them %.1f MiB", b->ops->name, (double)p.weight_bytes / mib, s->kv, (long long)s->n_ctx,
                   (double)p.kv_bytes / mib, (double)p.scratch_bytes / mib, (double)room / mib);
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

static bool pick_backend(session *s, const session_opts *o, arith a, err *e)
{
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
            // A program without that half has nothing to explain.
            if (backend_cuda_built()) snprintf(s->note, sizeof s->note, "running on the CPU: %.230s", why.msg);
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
    return true;
#else
    return o->fault == FAULT_NONE || err_set(e, ERR_USAGE, "this build cannot plant faults");
#endif
}

// The model on the backend. `auto` goes on to the CPU where the device fails while it is loaded: room that was there may have gone.
static bool open_net(session *s, const session_opts *o, arith a, err *e)
{
    const bool automatic = is_automatic(o->device) && s->b->ops->room;
    err why = { 0 };
    if (!plant_fault(s, o, e)) return false;
    s->net = net_open(s->b, model_gguf(s->m), model_hparams(s->m), &s->spec, s->n_ctx, s->n_batch, automatic ? &why : e);
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

// What the caches are, by what was allocated: a report must not repeat what was asked for.
static void name_kv(session *s, const char *required)
{
    const hparams *h = model_hparams(s->m);
    err ignored = { 0 };
    bool as_asked = true, uniform = true;
    kv_choice first = { DT_INVALID, DT_INVALID };
    for (int i = 0; i < h->n_layer; i++) {
        kv_choice is, asked;
        if (!net_kv_choice(s->net, i, &is)) continue;
        if (first.k == DT_INVALID) first = is;
        if (is.k != first.k || is.v != first.v) uniform = false;
        if (!kv_spec_choose(&s->spec, h, i, &asked, &ignored) || asked.k != is.k || asked.v != is.v) as_asked = false;
    }
    // One type for all of them is said so, whatever words asked for it.
    if (uniform) s->spec = (kv_spec){ .n = 1, .rules = { { .choice = first } } };
    kv_spec_text(&s->spec, s->kv);
    s->kv_is_required = strcmp(s->kv, required) == 0 && (as_asked || uniform);
}

session *session_new(const model *m, const session_opts *o, err *e)
{
    const hparams *h = model_hparams(m);
    session *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "session", sizeof *s); return NULL; }
    s->m = m;
    const char *arith_name = o->arith ? o->arith : strcmp(h->kv_required, "bf16") == 0 ? "bf16" : "f32";
    const bool bf16 = strcmp(arith_name, "bf16") == 0;
    if (!bf16 && strcmp(arith_name, "f32") != 0) { err_set(e, ERR_USAGE, "arithmetic '%s': expected f32 or bf16", arith_name); goto fail; }
    // The cache that belongs to an arithmetic is the one that holds its results without rounding them again.
    const char *required = bf16 ? "bf16" : "f32", *kv = o->kv ? o->kv : required;
    if (!kv_spec_parse(&s->spec, kv, e) || !kv_spec_check(&s->spec, h, e)) goto fail;
    kv_spec_text(&s->spec, s->kv);
    snprintf(s->arith, sizeof s->arith, "%s", arith_name);
    s->n_ctx = o->n_ctx;
    if (s->n_ctx < 1) { err_set(e, ERR_USAGE, "a session needs room for at least one token"); goto fail; }
    if (!pick_backend(s, o, bf16 ? ARITH_BF16 : ARITH_F32, e)) goto fail;
#ifdef HALLMARK_FAULTS
    if (o->fault == FAULT_KV_F16) s->spec = kv_spec_of(DT_F16);
#endif
    if (!open_net(s, o, bf16 ? ARITH_BF16 : ARITH_F32, e)) goto fail;
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
    if (s->b) s->b->ops->close(s->b);
    free(s);
}

static bool check_ids(const session *s, const int32_t *ids, int64_t n, err *e)
{
    const int64_t n_vocab = model_hparams(s->m)->n_vocab;
    if (n > s->n_ctx - s->pos)
        return err_set(e, ERR_USAGE, "%lld tokens after %lld do not fit the context of %lld", (long long)n, (long long)s->pos, (long long)s->n_ctx);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return err_set(e, ERR_INPUT, "token %lld: id %d is outside the vocabulary of %lld", (long long)i, ids[i], (long long)n_vocab);
    return true;
}

static bool can_replay(const session *s) { return s->b->ops->replay && !s->observed; }

// n steps of the recorded kind, recorded now where they are not.
static bool replay(session *s, int32_t id, int n, int32_t *out, err *e)
{
    return (s->b->ops->recorded(s->b) || net_record(s->net, e)) && s->b->ops->replay(s->b, id, s->pos, n, out, e);
}

// One token whose logits are wanted, as a caller that chooses each next token asks for them. The first of them in a row runs by itself, so that the
// backend has all its buffers before it records; who asks for one such step and then for something else records nothing.
static bool try_step(session *s, int32_t id, float *logits, bool *done, err *e)
{
    int32_t chosen;
    *done = can_replay(s) && (s->stepped || s->b->ops->recorded(s->b));
    s->stepped = can_replay(s);
    if (!*done) return true;
    if (!replay(s, id, 1, &chosen, e)) return false;
    s->pos++;
    return net_recorded_logits(s->net, logits, e);
}

bool session_eval(session *s, const int32_t *ids, int64_t n, float *logits, int64_t n_logits, float *hidden, err *e)
{
    const int64_t n_vocab = model_hparams(s->m)->n_vocab;
    s->step = s->held = 0;
    if (n_logits < 0 || n_logits > n) return err_set(e, ERR_USAGE, "logits of %lld positions of %lld", (long long)n_logits, (long long)n);
    if (!check_ids(s, ids, n, e)) return false;
    if (n == 1 && n_logits == 1 && !hidden) {
        bool done;
        if (!try_step(s, ids[0], logits, &done, e)) return false;
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
    }
    return s->b->ops->sync(s->b, e);
}

// ---- scoring -----------------------------------------------------------------------------------------------------------

int session_batch(const session *s)     { return s->n_batch; }
int session_hold_rows(const session *s) { return net_logits_rows(s->net); }

bool session_step(session *s, const int32_t *ids, int n, err *e)
{
    s->step = s->held = 0;
    s->stepped = false;
    if (n < 1 || n > s->n_batch) return err_set(e, ERR_USAGE, "a step of %d tokens: expected 1 to %d", n, s->n_batch);
    if (!check_ids(s, ids, n, e) || !net_forward(s->net, ids, n, s->pos, NULL, e)) return false;
    s->pos += n;
    s->step = n;
    return true;
}

bool session_hold(session *s, int first, int n, err *e)
{
    s->held = 0;
    if (first < 0 || n < 1 || n > session_hold_rows(s) || first > s->step - n)
        return err_set(e, ERR_USAGE, "logits of %d tokens from %d on: a step of %d was run, %d at a time are held", n, first, s->step, session_hold_rows(s));
    if (!net_hold_logits(s->net, first, n, e)) return false;
    s->held = n;
    return true;
}

static bool holds(const session *s, err *e) { return s->held > 0 || err_set(e, ERR_USAGE, "no logits are held"); }

static int64_t vocab_of(const session *s) { return model_hparams(s->m)->n_vocab; }

bool session_held_stats(session *s, const int32_t *next, row_stats *out, err *e)
{
    if (!holds(s, e)) return false;
    for (int i = 0; i < s->held; i++)
        if (next[i] < -1 || next[i] >= vocab_of(s))
            return err_set(e, ERR_INPUT, "token %d: id %d is outside the vocabulary of %lld", i, next[i], (long long)vocab_of(s));
    return s->b->ops->row_stats(s->b, out, net_held(s->net), s->held, vocab_of(s), next, e);
}

bool session_held_logits(session *s, float *logits, err *e)
{
    return holds(s, e) && s->b->ops->download(s->b, logits, net_held(s->net), s->held * vocab_of(s) * (int64_t)sizeof *logits, e);
}

bool session_held_top(session *s, int64_t k, int32_t *ids, float *logits, err *e)
{
    if (!holds(s, e)) return false;
    if (k < 1 || k > vocab_of(s)) return err_set(e, ERR_USAGE, "the %lld largest of %lld logits", (long long)k, (long long)vocab_of(s));
    return s->b->ops->row_top(s->b, ids, logits, net_held(s->net), s->held, vocab_of(s), k, e);
}

bool session_held_kl(session *s, const row_stats *stats, const row_reference *ref, double *kl, err *e)
{
    return holds(s, e) && s->b->ops->row_kl(s->b, kl, net_held(s->net), stats, s->held, vocab_of(s), ref, e);
}

bool session_held_kl_from(session *s, const row_stats *stats, session *other, const row_stats *other_stats, double *kl, err *e)
{
    if (!holds(s, e) || !holds(other, e)) return false;
    if (s->held != other->held || vocab_of(s) != vocab_of(other))
        return err_set(e, ERR_USAGE, "%d rows of %lld logits against %d of %lld", s->held, (long long)vocab_of(s), other->held, (long long)vocab_of(other));
    row_reference ref = { .logits = net_held(other->net), .on_backend = true, .kept = vocab_of(s), .stats = other_stats };
    if (s->b->ops == other->b->ops) return other->b->ops->sync(other->b, e) && session_held_kl(s, stats, &ref, kl, e);
    // Backends of two kinds: the reference's logits come over.
    const size_t bytes = (size_t)other->held * (size_t)vocab_of(s) * sizeof(float);
    float *logits = malloc(bytes);
    ref.logits = logits;
    ref.on_backend = false;
    const bool ok = (logits || err_nomem(e, "the reference's logits", bytes)) && session_held_logits(other, logits, e) && session_held_kl(s, stats, &ref, kl, e);
    free(logits);
    return ok;
}

// The figures of a step's tokens, as many at a time as are held.
static bool score_step(session *s, int n, const int32_t *next, row_stats *out, err *e)
{
    for (int i = 0, rows; i < n; i += rows) {
        rows = n - i < session_hold_rows(s) ? n - i : session_hold_rows(s);
        if (!session_hold(s, i, rows, e) || !session_held_stats(s, next + i, out + i, e)) return false;
    }
    return true;
}

bool session_score(session *s, const int32_t *ids, int64_t n, int32_t last, row_stats *out, err *e)
{
    if (n < 1) return err_set(e, ERR_USAGE, "no tokens to score");
    if (!check_ids(s, ids, n, e)) return false;
    int32_t *next = malloc((size_t)n * sizeof *next);       // the ids, one place to the left
    bool ok = next || err_nomem(e, "tokens", (size_t)n * sizeof *next);
    if (ok) {
        memcpy(next, ids + 1, (size_t)(n - 1) * sizeof *next);
        next[n - 1] = last;
    }
    for (int64_t at = 0; ok && at < n; at += s->n_batch) {
        const int step = (int)(n - at < s->n_batch ? n - at : s->n_batch);
        ok = session_step(s, ids + at, step, e) && score_step(s, step, next + at, out + at, e);
    }
    free(next);
    return ok;
}

bool session_observe(session *s, void (*fn)(void *ctx, const char *tensor, const float *x, int n, int64_t cols), void *ctx, err *e)
{
    if (!net_observe(s->net, fn, ctx, e)) return false;
    s->observed = fn != NULL;
    return true;
}

bool session_replace_weight(session *s, const gguf_tensor *t, bool *used, err *e)
{
    return net_replace(s->net, t, used, e);
}

void session_reset(session *s)                      { s->pos = 0; s->stepped = false; s->step = s->held = 0; }
int64_t session_pos(const session *s)               { return s->pos; }
const char *session_device(const session *s)        { return s->b->ops->name; }
const char *session_kv(const session *s)            { return s->kv; }
const char *session_arith(const session *s)         { return s->arith; }
bool session_kv_is_required(const session *s)       { return s->kv_is_required; }
const char *session_note(const session *s)          { return s->note; }
int64_t session_memory_bytes(const session *s)      { return s->b->ops->memory_bytes(s->b) + (s->b->ops->copies_weights ? 0 : net_weight_bytes(s->net)); }

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

void session_plan(const session *s, memory_plan *p)
{
    err ignored = { 0 };
    if (!memory_plan_of(p, model_hparams(s->m), &s->spec, s->n_ctx, s->n_batch, &ignored)) memset(p, 0, sizeof *p);    // session_new has allocated it already
    p->scratch_bytes = net_scratch_bytes(s->net);
    p->weight_bytes = net_weight_bytes(s->net);
}

int64_t session_step_bytes(const session *s, int64_t pos)
{
    const hparams *h = model_hparams(s->m);
    err ignored = { 0 };
    int64_t sum = net_step_weight_bytes(s->net);
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i];
        const int64_t dim = (int64_t)l->n_kv_head * l->head_dim;
        int64_t k = 0, v = 0, keys = pos + 1;
        kv_choice c;
        if (l->sliding && h->window < keys) keys = h->window;
        if (!kv_spec_choose(&s->spec, h, l->kv_source, &c, &ignored)) continue;
        if (dtype_row_bytes(c.k, dim, &k) && dtype_row_bytes(c.v, dim, &v)) sum += (k + v) * keys;
    }
    return sum;
}

// On the CPU that is the file's doing; a device may be to blame too.
static bool no_number(const session *s, err *e)
{
    return err_set(e, s->b->ops->room ? ERR_SYSTEM : ERR_INPUT, "%s: every logit after position %lld is not a number", gguf_path(model_gguf(s->m)), (long long)s->pos - 1);
}

// Runs ids and gives the greedy id after them.
static bool eval_greedy(session *s, const int32_t *ids, int64_t n, int32_t *id, err *e)
{
    s->step = s->held = 0;
    if (!check_ids(s, ids, n, e)) return false;
    int step = 0;
    for (int64_t done = 0; done < n; done += step) {
        step = (int)(n - done < s->n_batch ? n - done : s->n_batch);
        if (!net_forward(s->net, ids + done, step, s->pos, NULL, e)) return false;
        s->pos += step;
    }
    if (!net_argmax(s->net, step - 1, id, e)) return false;
    return *id >= 0 || no_number(s, e);
}

enum { REPLAY_STEPS = 8 };          // ids come back so many at a time: few waits for the device, and no long silence

// As many greedy ids after `id` as one replay of the recorded step gives; n_max at most. Steps beyond an end-of-text id are run for
// nothing: their keys lie where later tokens put theirs, and a sliding layer's cache has room for a batch beyond its window.
static int64_t replay_greedy(session *s, int32_t id, int32_t *out, int64_t n_max, bool ignore_eos, err *e)
{
    int64_t n = n_max < REPLAY_STEPS ? n_max : REPLAY_STEPS, room = s->n_ctx - s->pos;
    if (n > s->n_batch) n = s->n_batch;
    if (n > room) n = room;
    if (n < 1) { check_ids(s, &id, 1, e); return -1; }
    if (!replay(s, id, (int)n, out, e)) return -1;
    for (int64_t i = 0; i < n; i++) {
        s->pos++;
        if (out[i] < 0) { no_number(s, e); return -1; }
        if (!ignore_eos && tokenizer_is_end(model_tokenizer(s->m), out[i])) return i + 1;
    }
    return n;
}

int64_t session_generate(session *s, const int32_t *prompt, int64_t n_prompt, int32_t *out, int64_t n_new, bool ignore_eos,
                         void (*on_token)(void *ctx, int32_t id), void *ctx, err *e)
{
    const tokenizer *tok = model_tokenizer(s->m);
    int64_t i = 0;
    if (n_prompt < 1) { err_set(e, ERR_USAGE, "the prompt is empty"); return -1; }
    while (i < n_new) {
        // The first step of one token runs by itself, so that the backend has all its buffers before it records.
        const bool recorded = can_replay(s) && (i >= 2 || (i == 1 && s->b->ops->recorded(s->b)));
        int64_t n = 1;
        if (recorded)                                                                            n = replay_greedy(s, out[i - 1], out + i, n_new - i, ignore_eos, e);
        else if (!eval_greedy(s, i ? &out[i - 1] : prompt, i ? 1 : n_prompt, &out[i], e))        n = -1;
        if (n < 0) return -1;
        for (int64_t j = i; on_token && j < i + n; j++) on_token(ctx, out[j]);
        i += n;
        if (!ignore_eos && tokenizer_is_end(tok, out[i - 1])) break;
    }
    return i;
}
