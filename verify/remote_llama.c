// llama.cpp's server: POST /completion takes ids as `prompt`, and gives the best ids of each token that it generates
// (n_probs), none of the prompt's. Read in its server-task.cpp and server-schema.cpp of October 2026.
#include "remote_api.h"
#include "../formats/json.h"
#include <string.h>

static bool is_llama(const cJSON *about)
{
    return json_get(about, "build_info") && json_get(about, "default_generation_settings");
}

static void describe(remote_server *s, const cJSON *about, const cJSON *more)
{
    remote_take_text(s->version, sizeof s->version, about, "build_info");
    remote_take_text(s->model, sizeof s->model, about, "model_path");
    s->n_models = 1;
}

// The id to generate is chosen by a bias; the log-probabilities that are answered are those before any bias.
static bool add_bias(cJSON *o, int32_t forced_id)
{
    cJSON *list = cJSON_AddArrayToObject(o, "logit_bias"), *pair = list && forced_id >= 0 ? cJSON_CreateArray() : NULL;
    if (forced_id < 0) return list != NULL;
    if (!pair || !cJSON_AddItemToArray(list, pair)) {
        cJSON_Delete(pair);
        return false;
    }
    const double both[] = { forced_id, 1e6 };
    for (int i = 0; i < 2; i++) {
        cJSON *v = cJSON_CreateNumber(both[i]);
        if (!v || !cJSON_AddItemToArray(pair, v)) return false;
    }
    return true;
}

// Nothing but the largest logit decides: no penalty, no bias, no stop. A stop at an end of text stays, because leaving
// it out (ignore_eos) takes the end's ids out of the choice; the rest is asked for again from there.
// cache_prompt: what a server keeps of an earlier prompt was computed in pieces of other lengths, and is not
// bit-stable.
static bool ask(cJSON *o, const remote_question *q)
{
    return remote_add_ids(o, "prompt", q)
        && cJSON_AddNumberToObject(o, "n_predict", (double)q->n_new) && cJSON_AddNumberToObject(o, "temperature", 0)
        && json_add_strings(o, "samplers", (const char *const[]){ "temperature" }, 1)
        && cJSON_AddNumberToObject(o, "seed", 0)
        && cJSON_AddNumberToObject(o, "n_probs", q->n_probs) && cJSON_AddFalseToObject(o, "post_sampling_probs")
        && cJSON_AddTrueToObject(o, "return_tokens") && cJSON_AddFalseToObject(o, "cache_prompt")
        && cJSON_AddFalseToObject(o, "ignore_eos") && cJSON_AddFalseToObject(o, "stream")
        && cJSON_AddArrayToObject(o, "stop") && add_bias(o, q->forced_id)
        && cJSON_AddNumberToObject(o, "repeat_penalty", 1) && cJSON_AddNumberToObject(o, "speculative.n_max", 0);
}

static bool read_probs(remote_answer *a, const remote_question *q, remote_step *s, const cJSON *generated,
                       const char *where, err *e)
{
    int32_t      id;
    const cJSON *list, *p;
    if (!remote_id(json_get(generated, "id"), &id, "completion_probabilities.id", where, e)) return false;
    if (id != s->top)
        return err_set(e, ERR_INPUT, "%s: key 'completion_probabilities': found id %d where 'tokens' has %d", where, id,
                       s->top);
    if (!remote_list(generated, "top_logprobs", -1, q->n_probs, &list, where, e)) return false;
    cJSON_ArrayForEach(p, list) {
        if (!remote_id(json_get(p, "id"), &id, "top_logprobs.id", where, e)) return false;
        if (!remote_put(a, s, id, json_get(p, "logprob"), "top_logprobs", where, e)) return false;
    }
    return true;
}

static void read_speculation(remote_answer *a, const cJSON *answer)
{
    const cJSON *types = json_get(json_get(answer, "generation_settings"), "speculative.types");
    if (!cJSON_IsString(types)) return;
    a->speculation = strcmp(types->valuestring, "none") == 0 ? SPECULATES_NOT : SPECULATES;
}

static bool read_answer(remote_answer *a, const remote_question *q, const cJSON *answer, const char *where, err *e)
{
    const cJSON *tokens, *probs;
    read_speculation(a, answer);
    remote_take_count(a, answer, "tokens_evaluated", 0);
    if (!remote_list(answer, "tokens", -1, q->n_new, &tokens, where, e)) return false;
    const int n = cJSON_GetArraySize(tokens);
    // It keeps none of an id whose text ends within a character, so that it cannot be told whose the others are; and
    // leaves out the key where it kept none at all.
    probs = json_get(answer, "completion_probabilities");
    if (probs && !remote_list(answer, "completion_probabilities", -1, n, &probs, where, e)) return false;
    const cJSON *p = cJSON_GetArraySize(probs) == n ? probs->child : NULL;
    for (const cJSON *t = tokens->child; t; t = t->next) {
        int32_t id;
        if (!remote_id(t, &id, "tokens", where, e)) return false;
        remote_step *s = remote_next(a, id, where, e);
        if (!s || (p && !read_probs(a, q, s, p, where, e))) return false;
        p = p ? p->next : NULL;
    }
    return true;
}

const remote_api remote_llama = {
    .name = "llama", .title = "llama.cpp's server", .about = "/props", .path = "/completion",
    .takes_forced = true,
    .is = is_llama, .describe = describe, .ask = ask, .read = read_answer,
};
