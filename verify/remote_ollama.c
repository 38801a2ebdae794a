// Ollama's POST /api/generate: text in, as it stands (raw), and text out; no ids are seen. Written from its
// documentation (docs/api.md).
#include "remote_api.h"
#include "../formats/json.h"
#include <string.h>

static bool is_ollama(const cJSON *about)
{
    return cJSON_IsString(json_get(about, "version")) && cJSON_GetArraySize(about) == 1;
}

static void describe(remote_server *s, const cJSON *about, const cJSON *more)
{
    const cJSON *models = json_get(more, "models");
    remote_take_text(s->version, sizeof s->version, about, "version");
    s->n_models = cJSON_GetArraySize(models);
    remote_take_text(s->model, sizeof s->model, models ? models->child : NULL, "name");
}

// num_ctx is the same in all questions: another one makes Ollama load the model again.
static bool add_options(cJSON *o, const remote_question *q)
{
    cJSON *p = cJSON_AddObjectToObject(o, "options");
    return p && cJSON_AddNumberToObject(p, "temperature", 0) && cJSON_AddNumberToObject(p, "seed", 0)
        && cJSON_AddNumberToObject(p, "top_k", 1) && cJSON_AddNumberToObject(p, "repeat_penalty", 1)
        && cJSON_AddNumberToObject(p, "num_predict", (double)q->n_new)
        && cJSON_AddNumberToObject(p, "num_ctx", (double)q->n_ctx) && cJSON_AddArrayToObject(p, "stop");
}

static bool ask(cJSON *o, const remote_question *q)
{
    return cJSON_AddStringToObject(o, "model", q->model ? q->model : "")
        && cJSON_AddStringToObject(o, "prompt", q->text) && cJSON_AddTrueToObject(o, "raw")
        && cJSON_AddFalseToObject(o, "stream") && add_options(o, q);
}

static bool read_answer(remote_answer *a, const remote_question *q, const cJSON *answer, const char *where, err *e)
{
    const cJSON *text = json_get(answer, "response"), *done = json_get(answer, "done");
    int64_t      n;
    if (!cJSON_IsString(text))
        return err_set(e, ERR_INPUT, "%s: key 'response': found %s, expected a text", where, json_kind(text));
    if (!cJSON_IsTrue(done))
        return err_set(e, ERR_INPUT, "%s: key 'done': found %s, expected true: this is not the whole answer", where,
                       json_kind(done));
    remote_take_count(a, answer, "prompt_eval_count", 1);
    a->text = json_restore_nul(text->valuestring, &n);
    return a->text || err_nomem(e, "an answer", strlen(text->valuestring));
}

const remote_api remote_ollama = {
    .name = "ollama", .title = "Ollama", .about = "/api/version", .more = "/api/tags", .path = "/api/generate",
    .text = true, .needs_model = true, .is = is_ollama, .describe = describe, .ask = ask, .read = read_answer,
};
