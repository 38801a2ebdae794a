// SGLang's POST /generate: input_ids, and with return_logprob from logprob_start_len 0 on the best ids at each position
// of them. Written from its documentation (sampling parameters, native API).
#include "remote_api.h"
#include "../formats/json.h"
#include <string.h>

static bool is_sglang(const cJSON *about)
{
    return json_get(about, "model_path") && json_get(about, "is_generation");
}

static void describe(remote_server *s, const cJSON *about, const cJSON *more)
{
    const cJSON *how = more ? cJSON_GetObjectItemCaseSensitive(more, "speculative_algorithm") : NULL;
    remote_take_text(s->version, sizeof s->version, more, "version");
    remote_take_text(s->model, sizeof s->model, about, "model_path");
    s->n_models = 1;
    if (how) s->speculation = cJSON_IsNull(how) ? SPECULATES_NOT : SPECULATES;
}

static bool add_sampling(cJSON *o, const remote_question *q)
{
    cJSON *p = cJSON_AddObjectToObject(o, "sampling_params");
    return p && cJSON_AddNumberToObject(p, "temperature", 0)
        && cJSON_AddNumberToObject(p, "max_new_tokens", q->scores ? 1 : (double)q->n_new)
        && cJSON_AddTrueToObject(p, "ignore_eos") && cJSON_AddNumberToObject(p, "repetition_penalty", 1);
}

// logprob_start_len: from the prompt's end on where only new ids are asked about; nothing of it is then computed twice.
static bool ask(cJSON *o, const remote_question *q)
{
    return remote_add_ids(o, "input_ids", q) && add_sampling(o, q) && cJSON_AddTrueToObject(o, "return_logprob")
        && cJSON_AddFalseToObject(o, "stream") && cJSON_AddNumberToObject(o, "top_logprobs_num", q->n_probs)
        && cJSON_AddNumberToObject(o, "logprob_start_len", q->scores ? 0 : -1);
}

// [log-probability, id, text or null]
static bool read_pair(const cJSON *pair, const cJSON **logprob, int32_t *id, const char *key, const char *where, err *e)
{
    if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) < 2)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected log-probability and id", where, key,
                       json_kind(pair));
    *logprob = pair->child;
    return remote_id(pair->child->next, id, key, where, e);
}

static bool read_top(remote_answer *a, const remote_question *q, remote_step *s, const cJSON *list, const char *key,
                     const char *where, err *e)
{
    if (!cJSON_IsArray(list))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s at a position, expected an array", where, key,
                       json_kind(list));
    for (const cJSON *p = list->child; p; p = p->next) {
        const cJSON *logprob = NULL;
        int32_t      id;
        if (!read_pair(p, &logprob, &id, key, where, e)) return false;
        if (!remote_put(a, s, id, logprob, key, where, e)) return false;
    }
    return true;
}

// Are the ids that it scored those that were sent?
static bool same_input(const cJSON *meta, const remote_question *q, const char *where, err *e)
{
    static const char key[] = "input_token_logprobs";
    const cJSON *list, *at, *logprob;
    int64_t      i = 0;
    int32_t      id;
    if (!remote_list(meta, key, q->n_ids, q->n_ids, &list, where, e)) return false;
    cJSON_ArrayForEach(at, list) {
        if (!read_pair(at, &logprob, &id, key, where, e)) return false;
        if (!remote_id_sent(q, i++, id, key, where, e)) return false;
    }
    return true;
}

static bool read_scores(remote_answer *a, const remote_question *q, const cJSON *meta, const char *where, err *e)
{
    static const char key[] = "input_top_logprobs";
    const cJSON *list;
    int64_t      i = 0;
    if (!same_input(meta, q, where, e) || !remote_list(meta, key, q->n_ids, q->n_ids, &list, where, e)) return false;
    for (const cJSON *at = list->child; at; at = at->next) {
        if (i++ < q->from) continue;
        remote_step *s = remote_next(a, -1, where, e);
        if (!s || !read_top(a, q, s, at, key, where, e)) return false;
        if (s->n == 0) return err_set(e, ERR_INPUT, "%s: key '%s': found a position without ids", where, key);
        s->top = remote_best(s);
    }
    return true;
}

static bool read_new(remote_answer *a, const remote_question *q, const cJSON *answer, const cJSON *meta,
                     const char *where, err *e)
{
    static const char key[] = "output_top_logprobs";
    const cJSON *ids, *list, *v;
    int32_t      id;
    if (!remote_list(answer, "output_ids", -1, q->n_new, &ids, where, e)) return false;
    if (!remote_list(meta, key, cJSON_GetArraySize(ids), q->n_new, &list, where, e)) return false;
    const cJSON *at = list->child;
    cJSON_ArrayForEach(v, ids) {
        if (!remote_id(v, &id, "output_ids", where, e)) return false;
        remote_step *s = remote_next(a, id, where, e);
        if (!s || !read_top(a, q, s, at, key, where, e)) return false;
        at = at->next;
    }
    return true;
}

static bool read_answer(remote_answer *a, const remote_question *q, const cJSON *answer, const char *where, err *e)
{
    const cJSON *meta = json_get(answer, "meta_info");
    if (!cJSON_IsObject(meta))
        return err_set(e, ERR_INPUT, "%s: key 'meta_info': found %s, expected an object", where, json_kind(meta));
    remote_take_count(a, meta, "prompt_tokens", 0);
    return q->scores ? read_scores(a, q, meta, where, e) : read_new(a, q, answer, meta, where, e);
}

const remote_api remote_sglang = {
    .name = "sglang", .title = "SGLang", .about = "/get_model_info", .more = "/get_server_info", .path = "/generate",
    .scores = true, .is = is_sglang, .describe = describe, .ask = ask, .read = read_answer,
};
