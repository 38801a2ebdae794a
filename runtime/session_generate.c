// session_generate: the greedy choice, token by token, recorded where the backend can.
#include "session_internal.h"

// On the CPU that is the file's doing; a device may be to blame too.
static bool no_number(const session *s, err *e)
{
    return err_set(e, s->b->ops->room ? ERR_SYSTEM : ERR_INPUT, "%s: every logit after position %lld is not a number",
                   gguf_path(model_gguf(s->m)), (long long)s->pos - 1);
}

// Runs ids and gives the greedy id after them.
static bool eval_greedy(session *s, const int32_t *ids, int64_t n, int32_t *id, err *e)
{
    s->step = s->held = 0;
    if (!session_check_ids(s, ids, n, e)) return false;
    int step = 0;
    for (int64_t done = 0; done < n; done += step) {
        step = (int)(n - done < s->n_batch ? n - done : s->n_batch);
        if (!net_forward(s->net, ids + done, step, s->pos, NULL, e)) return false;
        s->pos += step;
        progress_add(s->told, NULL, step);
    }
    if (!net_argmax(s->net, step - 1, id, e)) return false;
    return *id >= 0 || no_number(s, e);
}

enum { REPLAY_STEPS = 8 };          // ids come back so many at a time: few waits for the device, and no long silence

// n steps of the recorded kind once more, after as many were taken back: they choose what they chose.
static bool replay_again(session *s, int32_t id, int n, err *e)
{
    int32_t again[REPLAY_STEPS];
    return net_restore_states(s->net, e) && session_replay(s, id, n, again, e);
}

// As many greedy ids after `id` as one replay of the recorded step gives; n_max at most. Steps beyond an end-of-text
// id are run for nothing: their keys lie where later tokens put theirs, and a sliding layer's cache has room for a
// batch beyond its window. A state has taken them in: it is put back to what it was, and the steps up to the end are
// run again.
static int64_t replay_greedy(session *s, int32_t id, int32_t *out, int64_t n_max, bool ignore_eos, err *e)
{
    int64_t n = n_max < REPLAY_STEPS ? n_max : REPLAY_STEPS, room = s->n_ctx - s->pos;
    if (n > s->n_batch) n = s->n_batch;
    if (n > room) n = room;
    if (n < 1) { session_check_ids(s, &id, 1, e); return -1; }
    const bool takes_back = n > 1 && !ignore_eos && net_has_states(s->net);
    if (takes_back && !net_keep_states(s->net, e)) return -1;
    if (!session_replay(s, id, (int)n, out, e)) return -1;
    int64_t kept = 0;
    while (kept < n) {
        const int32_t chosen = out[kept++];
        if (chosen < 0) {
            s->pos += kept;
            no_number(s, e);
            return -1;
        }
        if (!ignore_eos && tokenizer_is_end(model_tokenizer(s->m), chosen)) break;
    }
    if (kept < n && takes_back && !replay_again(s, id, (int)kept, e)) return -1;
    s->pos += kept;
    return kept;
}

int64_t session_generate(session *s, const int32_t *prompt, int64_t n_prompt, int32_t *out, int64_t n_new,
                         bool ignore_eos, void (*on_token)(void *ctx, int32_t id), void *ctx, err *e)
{
    const tokenizer *tok = model_tokenizer(s->m);
    int64_t i = 0;
    if (n_prompt < 1) { err_set(e, ERR_USAGE, "the prompt is empty"); return -1; }
    while (i < n_new) {
        // The first step of one token runs by itself, so that the backend has all its buffers before it records.
        const bool recorded = session_can_replay(s) && (i >= 2 || (i == 1 && s->b->ops->recorded(s->b)));
        int64_t n = 1;
        if (recorded) {
            n = replay_greedy(s, out[i - 1], out + i, n_new - i, ignore_eos, e);
        } else if (!eval_greedy(s, i ? &out[i - 1] : prompt, i ? 1 : n_prompt, &out[i], e)) {
            n = -1;
        }
        if (n < 0) return -1;
        for (int64_t j = i; on_token && j < i + n; j++) on_token(ctx, out[j]);
        i += n;
        if (!ignore_eos && tokenizer_is_end(tok, out[i - 1])) break;
    }
    return i;
}
