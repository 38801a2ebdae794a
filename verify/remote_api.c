// remote_api: what the rows share. See remote_api.h.
#include "remote_api.h"
#include "../formats/checked.h"
#include "../formats/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A llama.cpp server and Ollama answer /v1/models too: it is asked for last.
const remote_api *const REMOTE_APIS[] = { &remote_llama, &remote_sglang, &remote_ollama, &remote_openai, NULL };

bool remote_answer_new(remote_answer *a, int64_t n, int n_probs, err *e)
{
    *a = (remote_answer){ .room = n, .n_probs = n_probs + 1 };      // one more: vLLM adds the id that it was given
    remote_answer_clear(a);
    a->steps = calloc((size_t)n, sizeof *a->steps);
    a->probs = calloc((size_t)n * (size_t)a->n_probs, sizeof *a->probs);
    if (a->steps && a->probs) return true;
    remote_answer_free(a);
    return err_nomem(e, "an answer", (size_t)n * (size_t)(n_probs + 1) * sizeof *a->probs);
}

void remote_answer_free(remote_answer *a)
{
    free(a->steps);
    free(a->probs);
    free(a->text);
    memset(a, 0, sizeof *a);
}

void remote_answer_clear(remote_answer *a)
{
    free(a->text);
    a->text        = NULL;
    a->n           = 0;
    a->n_prompt    = -1;
    a->speculation = SPECULATES_UNSEEN;
}

bool remote_list(const cJSON *obj, const char *key, int64_t n, int64_t most, const cJSON **list, const char *where,
                 err *e)
{
    const cJSON *v = json_get(obj, key);
    if (!cJSON_IsArray(v))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected an array", where, key, json_kind(v));
    const int found = cJSON_GetArraySize(v);
    if (n >= 0 && found != n)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %d values, expected %lld", where, key, found, (long long)n);
    if (found > most)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %d values, expected at most %lld", where, key, found,
                       (long long)most);
    *list = v;
    return true;
}

bool remote_id(const cJSON *v, int32_t *id, const char *key, const char *where, err *e)
{
    int64_t n;
    if (!cJSON_IsNumber(v))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected an id", where, key, json_kind(v));
    if (!json_as_i64(v, 0, LIMIT_VOCAB - 1, &n))
        return err_set(e, ERR_INPUT, "%s: key '%s': found id %.17g, expected one of a vocabulary, 0 to %d at most",
                       where, key, v->valuedouble, LIMIT_VOCAB - 1);
    *id = (int32_t)n;
    return true;
}

remote_step *remote_next(remote_answer *a, int32_t top, const char *where, err *e)
{
    if (a->n >= a->room) {
        err_set(e, ERR_INPUT, "%s: found more ids than the %lld that were asked for", where, (long long)a->room);
        return NULL;
    }
    remote_step *s = &a->steps[a->n];
    *s = (remote_step){ .top = top, .probs = a->probs + a->n * a->n_probs };
    a->n++;
    return s;
}

static bool has_id(const remote_step *s, int32_t id)
{
    for (int i = 0; i < s->n; i++)
        if (s->probs[i].id == id) return true;
    return false;
}

bool remote_put(remote_answer *a, remote_step *s, int32_t id, const cJSON *logprob, const char *key, const char *where,
                err *e)
{
    // Rounding may take the logarithm of what is nearly 1 just above 0.
    enum { JUST_ABOVE = 1000 };
    const double v = cJSON_IsNumber(logprob) ? logprob->valuedouble : NAN;
    if (!(v <= 1.0 / JUST_ABOVE) || !isfinite(v))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s as the log-probability of id %d, expected a number of "
                                     "at most 0",
                       where, key, cJSON_IsNumber(logprob) ? "one above 0 or infinite" : json_kind(logprob), id);
    if (has_id(s, id)) return err_set(e, ERR_INPUT, "%s: key '%s': found id %d twice in one step", where, key, id);
    if (s->n >= a->n_probs)
        return err_set(e, ERR_INPUT, "%s: key '%s': found more ids in one step than the %d that were asked for", where,
                       key, a->n_probs - 1);
    s->probs[s->n++] = (remote_prob){ id, fmin(v, 0) };
    return true;
}

int32_t remote_best(const remote_step *s)
{
    const remote_prob *best = NULL;
    for (const remote_prob *p = s->probs; p < s->probs + s->n; p++)
        if (!best || p->logprob > best->logprob || (p->logprob == best->logprob && p->id < best->id)) best = p;
    return best ? best->id : -1;
}

bool remote_id_sent(const remote_question *q, int64_t i, int32_t id, const char *key, const char *where, err *e)
{
    return id == q->ids[i]
        || err_set(e, ERR_INPUT, "%s: key '%s': found id %d at position %lld, expected %d, which was sent", where, key,
                   id, (long long)i, q->ids[i]);
}

void remote_take_count(remote_answer *a, const cJSON *obj, const char *key, int64_t least)
{
    int64_t n;
    if (json_as_i64(json_get(obj, key), least, INT32_MAX, &n)) a->n_prompt = n;
}

bool remote_add_ids(cJSON *o, const char *key, const remote_question *q)
{
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (int64_t i = 0; list && i < q->n_ids; i++) {
        cJSON *v = cJSON_CreateNumber(q->ids[i]);
        if (v && cJSON_AddItemToArray(list, v)) continue;
        cJSON_Delete(v);
        return false;
    }
    return list != NULL;
}

void remote_take_text(char *dst, size_t size, const cJSON *obj, const char *key)
{
    const cJSON *v = json_get(obj, key);
    snprintf(dst, size, "%s", cJSON_IsString(v) ? v->valuestring : "");
}
