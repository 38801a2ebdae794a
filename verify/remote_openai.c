// vLLM's POST /v1/completions: ids as `prompt`; prompt_logprobs gives the best ids at each position of it, so that one
// question scores a whole text, and return_token_ids the generated ids. Written from its documentation and source
// (entrypoints/openai/completion/protocol.py, v0.15).
#include "remote_api.h"
#include "../formats/checked.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_openai(const cJSON *about) { return cJSON_IsArray(json_get(about, "data")); }

static void describe(remote_server *s, const cJSON *about, const cJSON *more)
{
    const cJSON *data = json_get(about, "data");
    const char  *version = cJSON_GetStringValue(json_get(more, "version"));
    const char  *owner = cJSON_GetStringValue(json_get(data->child, "owned_by"));
    snprintf(s->version, sizeof s->version, "%.60s%s%.60s", owner ? owner : "", owner && version ? " " : "",
             version ? version : "");
    s->n_models = cJSON_GetArraySize(data);
    remote_take_text(s->model, sizeof s->model, data->child, "id");
}

// max_tokens of 0 is refused by vLLM: of a text that is scored one id is generated, and not looked at.
static bool ask(cJSON *o, const remote_question *q)
{
    return remote_add_ids(o, "prompt", q) && cJSON_AddStringToObject(o, "model", q->model ? q->model : "")
        && cJSON_AddNumberToObject(o, "max_tokens", q->scores ? 1 : (double)q->n_new)
        && cJSON_AddNumberToObject(o, "temperature", 0) && cJSON_AddNumberToObject(o, "seed", 0)
        && cJSON_AddNumberToObject(o, "repetition_penalty", 1) && cJSON_AddTrueToObject(o, "ignore_eos")
        && cJSON_AddFalseToObject(o, "add_special_tokens") && cJSON_AddFalseToObject(o, "stream")
        && cJSON_AddTrueToObject(o, "return_token_ids") && cJSON_AddTrueToObject(o, "return_tokens_as_token_ids")
        && cJSON_AddNumberToObject(o, q->scores ? "prompt_logprobs" : "logprobs", q->n_probs);
}

// A decimal number that is an id, to the end of the text.
static bool id_of_text(const char *s, int32_t *id)
{
    char      *end;
    const long n = *s >= '0' && *s <= '9' ? strtol(s, &end, 10) : -1;
    if (n < 0 || n >= LIMIT_VOCAB || *end) return false;
    *id = (int32_t)n;
    return true;
}

// The prompt as the server took it, where it says so.
static bool same_prompt(const cJSON *choice, const remote_question *q, const char *where, err *e)
{
    static const char key[] = "prompt_token_ids";
    const cJSON *list, *v;
    int64_t      i = 0;
    int32_t      id;
    if (!json_get(choice, key)) return true;
    if (!remote_list(choice, key, q->n_ids, q->n_ids, &list, where, e)) return false;
    cJSON_ArrayForEach(v, list) {
        if (!remote_id(v, &id, key, where, e)) return false;
        if (!remote_id_sent(q, i++, id, key, where, e)) return false;
    }
    return true;
}

// One position: {"<id>": {"logprob": x, "rank": n, "decoded_token": s}, ...}
static bool read_scored(remote_answer *a, const remote_question *q, const cJSON *at, const char *where, err *e)
{
    int32_t id;
    remote_step *s = remote_next(a, -1, where, e);
    if (!s) return false;
    if (!cJSON_IsObject(at))
        return err_set(e, ERR_INPUT, "%s: key 'prompt_logprobs': found %s at a position, expected an object", where,
                       json_kind(at));
    for (const cJSON *p = at->child; p; p = p->next) {
        if (!id_of_text(p->string, &id))
            return err_set(e, ERR_INPUT, "%s: key 'prompt_logprobs': found '%s', expected an id of a vocabulary, 0 to "
                                        "%d at most", where, p->string, LIMIT_VOCAB - 1);
        if (!remote_put(a, s, id, json_get(p, "logprob"), "prompt_logprobs", where, e)) return false;
    }
    s->top = remote_best(s);
    if (s->n == 0) return err_set(e, ERR_INPUT, "%s: key 'prompt_logprobs': found a position without ids", where);
    return true;
}

static bool read_scores(remote_answer *a, const remote_question *q, const cJSON *choice, const char *where, err *e)
{
    const cJSON *list;
    int64_t      i = 0;
    if (!remote_list(choice, "prompt_logprobs", q->n_ids, q->n_ids, &list, where, e)) return false;
    for (const cJSON *at = list->child; at; at = at->next)
        if (i++ >= q->from && !read_scored(a, q, at, where, e)) return false;
    return true;
}

// One generated id: {"token_id:<id>": x, ...}
static bool read_generated(remote_answer *a, const remote_question *q, remote_step *s, const cJSON *at,
                           const char *where, err *e)
{
    static const char mark[] = "token_id:";
    int32_t id;
    for (const cJSON *p = at ? at->child : NULL; p; p = p->next) {
        if (!p->string || strncmp(p->string, mark, sizeof mark - 1) != 0
            || !id_of_text(p->string + sizeof mark - 1, &id))
            return err_set(e, ERR_INPUT, "%s: key 'top_logprobs': found '%s', expected 'token_id:' and an id of a "
                                        "vocabulary",
                           where, p->string ? p->string : "nothing");
        if (!remote_put(a, s, id, p, "top_logprobs", where, e)) return false;
    }
    return true;
}

static bool read_new(remote_answer *a, const remote_question *q, const cJSON *choice, const char *where, err *e)
{
    const cJSON *ids, *v;
    const cJSON *probs = json_get(json_get(choice, "logprobs"), "top_logprobs"), *at = probs ? probs->child : NULL;
    int32_t      id;
    if (!remote_list(choice, "token_ids", -1, q->n_new, &ids, where, e)) return false;
    cJSON_ArrayForEach(v, ids) {
        if (!remote_id(v, &id, "token_ids", where, e)) return false;
        remote_step *s = remote_next(a, id, where, e);
        if (!s || !read_generated(a, q, s, at, where, e)) return false;
        at = at ? at->next : NULL;
    }
    return true;
}

static bool read_answer(remote_answer *a, const remote_question *q, const cJSON *answer, const char *where, err *e)
{
    const cJSON *choices;
    if (!remote_list(answer, "choices", 1, 1, &choices, where, e)) return false;
    remote_take_count(a, json_get(answer, "usage"), "prompt_tokens", 0);
    if (!same_prompt(choices->child, q, where, e)) return false;
    return q->scores ? read_scores(a, q, choices->child, where, e) : read_new(a, q, choices->child, where, e);
}

const remote_api remote_openai = {
    .name = "openai", .title = "a server with OpenAI's completions, as vLLM", .about = "/v1/models", .more = "/version",
    .path = "/v1/completions", .scores = true, .needs_model = true, .most_probs = 20,
    .is = is_openai, .describe = describe, .ask = ask, .read = read_answer,
};
