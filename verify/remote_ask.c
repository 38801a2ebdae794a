// remote_ask: see remote_ask.h.
#define _GNU_SOURCE
#include "remote_ask.h"
#include "../formats/checked.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ABOUT_VALUES = 1 << 16 };        // of a document about the server: a list of a thousand models is a tenth of it

// GETs a document. *doc stays NULL where there is none: another status, or no JSON. A status that asks for a key is
// kept in *refused: it counts where nothing else is an answer. false: no answer at all.
static bool get(remote_peer *p, const char *path, cJSON **doc, err *refused, err *e)
{
    http_answer a;
    err         nothing = { 0 };
    *doc = NULL;
    bool ok = http_ask(p->h, path, NULL, &a, e);
    if (ok && (a.status == 401 || a.status == 403)) http_expect(p->h, path, &a, refused);
    if (ok && a.status < 300) *doc = json_parse_nul(a.body, a.n, ABOUT_VALUES, path, &nothing);
    http_answer_free(&a);
    if (nothing.kind == ERR_SYSTEM) return err_set(e, ERR_SYSTEM, "%s", nothing.msg);
    return ok && http_hide_json(p->h, *doc, e);
}

// What else it tells of itself is not needed, and may be nobody's to ask for.
static void describe(remote_peer *p, const remote_api *api, const cJSON *about, err *refused)
{
    cJSON *more = NULL;
    err    nothing = { 0 };
    if (api->more) get(p, api->more, &more, refused, &nothing);
    api->describe(&p->server, about, more);
    cJSON_Delete(more);
}

static bool try_api(remote_peer *p, const remote_api *api, bool *is, err *refused, err *e)
{
    cJSON *about;
    if (!get(p, api->about, &about, refused, e)) return false;
    *is = about && api->is(about);
    if (*is) {
        *refused = (err){ 0 };
        describe(p, api, about, refused);
        p->api = api;
    }
    cJSON_Delete(about);
    return true;
}

static bool find_api(remote_peer *p, const char *name, err *refused, err *e)
{
    bool is = false;
    for (const remote_api *const *a = REMOTE_APIS; *a && !is; a++)
        if ((!name || strcmp(name, (*a)->name) == 0) && !try_api(p, *a, &is, refused, e)) return false;
    if (is) return true;
    if (refused->kind != ERR_NONE) return err_set(e, refused->kind, "%s", refused->msg);
    for (const remote_api *const *a = REMOTE_APIS; name && *a; a++)
        if (strcmp(name, (*a)->name) == 0)
            return err_set(e, ERR_INPUT, "%s%s: found nothing that %s says of itself", http_url(p->h), (*a)->about,
                           (*a)->title);
    return err_set(e, ERR_INPUT, "%s: found no server of a kind that is known: none of /props (llama.cpp), "
                                 "/get_model_info (SGLang), /api/version (Ollama), /v1/models (OpenAI) is answered "
                                 "as theirs",
                   http_url(p->h));
}

static bool choose_model(remote_peer *p, const char *model, const err *refused, err *e)
{
    char first[128];
    if (!p->api->needs_model) return true;
    if (model) {
        snprintf(p->model, sizeof p->model, "%s", model);
        return strlen(model) < sizeof p->model || err_set(e, ERR_USAGE, "option --model: found a name of %zu bytes, "
                                        "expected at most %zu", strlen(model), sizeof p->model - 1);
    }
    http_words(p->h, first, sizeof first, p->server.model);
    if (p->server.n_models > 1)
        return err_set(e, ERR_USAGE, "%s: it has %d models, '%s' for one; --model NAME says which is asked",
                       http_url(p->h), p->server.n_models, first);
    const bool none = p->server.n_models < 1 || !p->server.model[0];
    if (none && refused->kind != ERR_NONE) return err_set(e, refused->kind, "%s", refused->msg);
    if (none)
        return err_set(e, ERR_INPUT, "%s: it names no model that it has", http_url(p->h));
    memcpy(p->model, p->server.model, sizeof p->model);
    return true;
}

bool remote_open(remote_peer *p, const char *url, const http_opts *o, const char *api, const char *model, err *e)
{
    err refused = { 0 };
    memset(p, 0, sizeof *p);
    p->h = http_open(url, o, e);
    if (!p->h || !find_api(p, api, &refused, e) || !choose_model(p, model, &refused, e)) return false;
    if (p->model[0]) memcpy(p->server.model, p->model, sizeof p->server.model);
    return true;
}

void remote_close(remote_peer *p)
{
    http_close(p->h);
    p->h = NULL;
}

// A prompt that the server counts otherwise is not the one that was sent.
static bool same_length(const remote_peer *p, const remote_question *q, const remote_answer *a, const char *where,
                        err *e)
{
    if (p->api->text || a->n_prompt < 0 || a->n_prompt == q->n_ids) return true;
    return err_set(e, ERR_INPUT, "%s: it counts %lld ids of a prompt of %lld that was sent", where,
                   (long long)a->n_prompt, (long long)q->n_ids);
}

// Words of a server whose model has other, or fewer, ids.
static bool refuses_ids(const remote_peer *p, const http_answer *got)
{
    const bool refused = got->status >= 400 && got->status < 500 && !p->api->text;
    return refused && (strcasestr(got->body, "invalid token") || strcasestr(got->body, "vocab"));
}

static bool expect_answer(const remote_peer *p, const http_answer *got, err *e)
{
    err why = { 0 };
    if (http_expect(p->h, p->api->path, got, &why)) return true;
    return err_set(e, why.kind, "%s%s", why.msg, refuses_ids(p, got)
                   ? "; the fixture's ids may not be those of the model that the server has: is it this fixture's?"
                   : "");
}

static bool read_answer(remote_peer *p, const remote_question *q, http_answer *got, remote_answer *a,
                        const char *where, err *e)
{
    if (!expect_answer(p, got, e)) return false;
    cJSON *doc = json_parse_nul(got->body, got->n, LIMIT_JSON_VALUES, where, e);
    if (!doc) return false;
    remote_answer_clear(a);
    const bool ok = http_hide_json(p->h, doc, e) && p->api->read(a, q, doc, where, e)
        && same_length(p, q, a, where, e);
    cJSON_Delete(doc);
    return ok;
}

bool remote_ask(remote_peer *p, const remote_question *q, remote_answer *a, const char *item, int64_t step, err *e)
{
    char        where[512];
    http_answer got = { 0 };
    cJSON      *doc  = cJSON_CreateObject();
    char       *text = doc && p->api->ask(doc, q) ? cJSON_PrintUnformatted(doc) : NULL;
    snprintf(where, sizeof where, "%s%s: case '%.64s', step %lld", http_url(p->h), p->api->path, item, (long long)step);
    bool ok = text || err_nomem(e, "a question", 0);
    ok = ok && http_ask(p->h, p->api->path, text, &got, e) && read_answer(p, q, &got, a, where, e);
    http_answer_free(&got);
    cJSON_free(text);
    cJSON_Delete(doc);
    return ok;
}
