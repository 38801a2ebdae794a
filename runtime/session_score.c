// session_score: logits that stay on the backend, and what is asked of them.
#include "session_internal.h"

#include <stdlib.h>
#include <string.h>

int session_batch(const session *s)     { return s->n_batch; }
int session_hold_rows(const session *s) { return net_logits_rows(s->net); }

bool session_step(session *s, const int32_t *ids, int n, err *e)
{
    s->step = s->held = 0;
    s->stepped = false;
    if (n < 1 || n > s->n_batch) return err_set(e, ERR_USAGE, "a step of %d tokens: expected 1 to %d", n, s->n_batch);
    if (!session_check_ids(s, ids, n, e) || !net_forward(s->net, ids, n, s->pos, NULL, e)) return false;
    s->pos += n;
    s->step = n;
    return true;
}

bool session_hold(session *s, int first, int n, err *e)
{
    s->held = 0;
    if (first < 0 || n < 1 || n > session_hold_rows(s) || first > s->step - n)
        return err_set(e, ERR_USAGE, "logits of %d tokens from %d on: a step of %d was run, %d at a time are held", n,
                       first, s->step, session_hold_rows(s));
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
            return err_set(e, ERR_INPUT, "token %d: id %d is outside the vocabulary of %lld", i, next[i],
                           (long long)vocab_of(s));
    return s->b->ops->row_stats(s->b, out, net_held(s->net), s->held, vocab_of(s), next, e);
}

bool session_held_logits(session *s, float *logits, err *e)
{
    return holds(s, e)
        && s->b->ops->download(s->b, logits, net_held(s->net), s->held * vocab_of(s) * (int64_t)sizeof *logits, e);
}

bool session_held_top(session *s, int64_t k, int32_t *ids, float *logits, err *e)
{
    if (!holds(s, e)) return false;
    if (k < 1 || k > vocab_of(s))
        return err_set(e, ERR_USAGE, "the %lld largest of %lld logits", (long long)k, (long long)vocab_of(s));
    return s->b->ops->row_top(s->b, ids, logits, net_held(s->net), s->held, vocab_of(s), k, e);
}

bool session_held_kl(session *s, const row_stats *stats, const row_reference *ref, double *kl, err *e)
{
    return holds(s, e) && s->b->ops->row_kl(s->b, kl, net_held(s->net), stats, s->held, vocab_of(s), ref, e);
}

bool session_held_kl_from(session *s, const row_stats *stats, session *other, const row_stats *other_stats, double *kl,
                          err *e)
{
    if (!holds(s, e) || !holds(other, e)) return false;
    if (s->held != other->held || vocab_of(s) != vocab_of(other))
        return err_set(e, ERR_USAGE, "%d rows of %lld logits against %d of %lld", s->held, (long long)vocab_of(s),
                       other->held, (long long)vocab_of(other));
    row_reference ref = { .logits = net_held(other->net), .on_backend = true, .kept = vocab_of(s),
                          .stats = other_stats };
    if (s->b->ops == other->b->ops) return other->b->ops->sync(other->b, e) && session_held_kl(s, stats, &ref, kl, e);
    // Backends of two kinds: the reference's logits come over.
    const size_t bytes = (size_t)other->held * (size_t)vocab_of(s) * sizeof(float);
    float *logits = malloc(bytes);
    ref.logits = logits;
    ref.on_backend = false;
    const bool ok = (logits || err_nomem(e, "the reference's logits", bytes)) && session_held_logits(other, logits, e)
        && session_held_kl(s, stats, &ref, kl, e);
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
    if (!session_check_ids(s, ids, n, e)) return false;
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
