// remote: see remote.h. The order reads top to bottom in verify_remote.
#include "remote.h"
#include "../formats/checked.h"
#include "../formats/json.h"
#include "remote_run.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- before the first question -------------------------------------------------------------------------------------

static bool open_fixtures(asker *v, const char *const *paths, int n, err *e)
{
    if (n < 1) return err_set(e, ERR_USAGE, "a server is asked the questions of a fixture, and none was given");
    v->fixtures = calloc((size_t)n, sizeof *v->fixtures);
    v->r->fixtures = calloc((size_t)n, sizeof *v->r->fixtures);
    if (!v->fixtures || !v->r->fixtures) return err_nomem(e, "fixtures", (size_t)n * sizeof *v->r->fixtures);
    for (int i = 0; i < n; i++) {
        fixture *f = v->fixtures[i] = fixture_open(paths[i], e);
        if (!f) return false;
        v->n_fixtures++;
        if (!fixture_sample(f, v->o->samples, e)) return false;
        for (int64_t c = 0; c < f->n_cases; c++)
            if (f->cases[c].n_prompt + f->tokens + 1 > v->n_ctx) v->n_ctx = f->cases[c].n_prompt + f->tokens + 1;
    }
    return true;
}

static bool set_gate(asker *v, err *e)
{
    v->kind = v->o->drift ? CHECK_DRIFT : CHECK_EXACT;
    if (!report_limits(v->r, &v->base, v->o->gate_path, e)) return false;
    if (!v->o->drift || gate_drift_for(&v->base, v->o->drift)) return true;
    return err_set(e, ERR_USAGE, "option --drift: found '%s', expected a type that the gate has a budget of",
                   v->o->drift);
}

static bool open_tokenizer(asker *v, err *e)
{
    const char *path = v->o->tokenizer;
    if (!v->peer.api->text) return true;
    if (v->o->drift)
        return err_set(e, ERR_USAGE, "option --drift: found it for %s, which gives no log-probabilities to measure "
                                     "drift by",
                       v->peer.api->title);
    if (!path)
        return err_set(e, ERR_USAGE, "%s takes and gives text: --tokenizer FILE.gguf names the file whose tokenizer "
                                     "makes text of the fixture's ids",
                       v->peer.api->title);
    v->g = gguf_open(path, e);
    return v->g && (v->words = tokenizer_new(v->g, e)) != NULL;
}

static void describe(asker *v)
{
    verify_report *r = v->r;
    verify_remote_info *m = &r->remote;
    const remote_peer  *p = &v->peer;
    snprintf(r->artifact, sizeof r->artifact, "%.255s", http_url(p->h));
    strcpy(r->type, "unknown");
    strcpy(r->arith, "unknown");
    strcpy(r->kv, "unknown");
    strcpy(r->kv_required, "unknown");
    strcpy(r->device, "server");
    report_take_program(r);
    r->attention_scale = NAN;
    r->derivation.error_max = NAN;
    snprintf(m->api, sizeof m->api, "%s", p->api->name);
    http_words(p->h, m->server, sizeof m->server, p->server.version);
    http_words(p->h, m->model, sizeof m->model, p->server.model);
    m->ids_seen = !p->api->text;
}

// ---- questions -----------------------------------------------------------------------------------------------------

remote_question remote_question_of(const asker *v, const fixture_case *c, int64_t n_generated, int64_t n_new)
{
    const int most = v->peer.api->most_probs, top_k = v->k.f->top_k;
    return (remote_question){
        .ids = v->ids, .n_ids = c->n_prompt + n_generated, .n_new = n_new, .n_ctx = v->n_ctx,
        .n_probs = most > 0 && most < top_k ? most : top_k,
        .model = v->peer.model[0] ? v->peer.model : NULL, .forced_id = -1,
    };
}

bool remote_question_ask(asker *v, const remote_question *q, const fixture_case *c, int64_t step, err *e)
{
    if (!remote_ask(&v->peer, q, &v->answer, c->id, step, e)) return false;
    v->r->remote.questions++;
    if (v->answer.speculation > v->speculation) v->speculation = v->answer.speculation;
    if (q->forced_id < 0) progress_add(v->o->progress, c->id, 1);
    return true;
}

void remote_look_for_departure(asker *v, const fixture_case *c, int64_t step, int32_t got, double logprob_diff)
{
    if (got == c->generated_ids[step]) return;
    if (v->left.c && (v->left.c != c || v->left.step <= step)) return;
    v->left = (departure){ c, step, got, logprob_diff };
}

// ---- a fixture -----------------------------------------------------------------------------------------------------

// A number of the source's config, or of its text half: the first of a list of them. -1: there is none.
static int32_t config_number(const fixture *f, const char *key)
{
    int64_t n;
    const cJSON *v = json_get(json_get(f->config, "text_config"), key);
    if (!v) v = json_get(f->config, key);
    return json_as_i64(cJSON_IsArray(v) ? v->child : v, 0, LIMIT_VOCAB, &n) ? (int32_t)n : -1;
}

static bool ask_cases(asker *v, const fixture *f, err *e)
{
    bool ok = true;
    for (int64_t i = 0; ok && i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        ok = v->words ? remote_case_text(v, c, e) : remote_case_ids(v, c, e);
        compare_case_end(&v->k);
    }
    if (!ok) {
        compare_free_buffers(&v->k);
        return false;
    }
    remote_check_given(v);
    compare_end(&v->k);
    return remote_note_fixture(v, f, e);
}

static bool ask_fixture(asker *v, const fixture *f, verify_fixture_result *res, err *e)
{
    char text[512];
    const int32_t named = config_number(f, "vocab_size");
    const int32_t n_vocab = named > 0 ? named : LIMIT_VOCAB;    // of some families it has a default
    if (!result_begin(res, f, v->kind, e)) return false;
    v->r->n_fixtures++;
    if (!result_keep_cases(res, f, e)) return false;
    if (!compare_fits(f, n_vocab, INT_MAX, INT_MAX, text, sizeof text)) {
        result_fail_whole(res, "metadata", text);
        return true;
    }
    remote_gate_for(v, f);
    v->left        = v->far = (departure){ 0 };
    v->least_probs = INT_MAX;
    v->end_id      = config_number(f, "eos_token_id");
    if (v->end_id >= n_vocab) v->end_id = -1;
    v->beyond      = false;
    v->text_steps  = v->text_asked = v->text_no_free = v->recounted = v->unseen = 0;
    if (!compare_begin(&v->k, res, f, &v->limits, v->kind, v->o->drift ? v->o->drift : "", v->n_free, n_vocab, e))
        return false;
    v->k.outside     = true;
    v->k.no_distance = v->words != NULL;
    const int64_t room = f->tokens > v->n_free ? f->tokens : v->n_free;
    const bool ok = remote_answer_new(&v->answer, room, f->top_k, e) && ask_cases(v, f, e);
    remote_answer_free(&v->answer);
    return ok;
}

// ---- all -----------------------------------------------------------------------------------------------------------

static int64_t count_questions(const asker *v)
{
    int64_t n = 0;
    for (int i = 0; i < v->n_fixtures; i++)
        n += v->fixtures[i]->n_cases * (v->peer.api->scores ? 2 : 1 + v->fixtures[i]->tokens);
    return n;
}

static bool ask_all(asker *v, err *e)
{
    v->ids = malloc((size_t)v->n_ctx * sizeof *v->ids);
    if (!v->ids) return err_nomem(e, "token ids", (size_t)v->n_ctx * sizeof *v->ids);
    progress_stage_of(v->o->progress, "ask", count_questions(v), "questions");
    v->r->passed = true;
    for (int i = 0; i < v->n_fixtures; i++) {
        if (!ask_fixture(v, v->fixtures[i], &v->r->fixtures[i], e)) return false;
        v->r->passed &= v->r->fixtures[i].passed;
    }
    return remote_note_server(v, e);
}

static void close_asker(asker *v)
{
    for (int i = 0; i < v->n_fixtures; i++) fixture_close(v->fixtures[i]);
    free(v->fixtures);
    free(v->ids);
    tokenizer_free(v->words);
    gguf_close(v->g);
    remote_close(&v->peer);
}

bool verify_remote(verify_report *r, const char *const *fixtures, int n_fixtures, const remote_opts *o, err *e)
{
    asker v = { .o = o, .r = r, .n_free = o->tokens > 0 ? o->tokens : VERIFY_TOKENS };
    memset(r, 0, sizeof *r);
    bool ok = set_gate(&v, e) && open_fixtures(&v, fixtures, n_fixtures, e)
           && remote_open(&v.peer, o->url, &o->http, o->api, o->model, e) && open_tokenizer(&v, e);
    if (ok) describe(&v);
    ok = ok && ask_all(&v, e);
    if (!ok) http_hide(v.peer.h, e);
    close_asker(&v);
    if (!ok) verify_report_free(r);
    return ok;
}
