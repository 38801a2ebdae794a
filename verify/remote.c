// remote: see remote.h. The order reads top to bottom in verify_remote.
#include "remote.h"
#include "../formats/checked.h"
#include "../formats/json.h"
#include "compare.h"
#include "remote_ask.h"
#include "remote_distance.h"
#include "remote_text.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {                // where answers leave the fixture, and by how much
    const fixture_case *c;      // NULL: nowhere
    int64_t             step;
    int32_t             got;    // -1: no id was seen
    double              logprob_diff;
} departure;

typedef struct {
    const remote_opts *o;
    verify_report     *r;
    remote_peer        peer;
    gate               limits;
    check_kind         kind;
    fixture          **fixtures;
    int                n_fixtures;
    int64_t            n_free, n_ctx;
    gguf              *g;           // of the tokenizer
    tokenizer         *words;       // NULL: the server takes ids
    // of the fixture at hand
    comparison         k;
    int32_t           *ids;         // [n_ctx] a prompt and what follows
    remote_answer      answer;
    departure          left;
    int                least_probs; // ids given at a step, the fewest
    int32_t            end_id;      // an end of text of the fixture's model; -1: its config names none
    int64_t            text_steps, text_asked, text_no_free, recounted, unseen;
    remote_speculation speculation; // as answers say
} asker;

// ---- before the first question -------------------------------------------------------------------------------------

static bool open_fixtures(asker *v, const char *const *paths, int n, err *e)
{
    if (n < 1) return err_set(e, ERR_USAGE, "a server is asked the questions of a fixture, and none was given");
    v->fixtures = calloc((size_t)n, sizeof *v->fixtures);
    v->r->fixtures = calloc((size_t)n, sizeof *v->r->fixtures);
    if (!v->fixtures || !v->r->fixtures) return err_nomem(e, "fixtures", (size_t)n * sizeof *v->r->fixtures);
    for (int i = 0; i < n; i++) {
        const fixture *f = v->fixtures[i] = fixture_open(paths[i], e);
        if (!f) return false;
        v->n_fixtures++;
        for (int64_t c = 0; c < f->n_cases; c++)
            if (f->cases[c].n_prompt + f->tokens + 1 > v->n_ctx) v->n_ctx = f->cases[c].n_prompt + f->tokens + 1;
    }
    return true;
}

static double larger(double a, double b) { return a > b ? a : b; }

// What a runtime that adds in another order may differ by, unless a gate file says what may be.
static bool set_gate(asker *v, err *e)
{
    v->kind   = v->o->drift ? CHECK_DRIFT : CHECK_EXACT;
    v->limits = *gate_builtin();
    strcpy(v->r->gate, "built-in");
    if (v->o->gate_path
        && !(gate_read(&v->limits, v->o->gate_path, e) && sha256_file(v->o->gate_path, v->r->gate, e))) return false;
    v->limits.has_rounding = false;
    if (v->o->drift && !gate_drift_for(&v->limits, v->o->drift))
        return err_set(e, ERR_USAGE, "option --drift: found '%s', expected a type that the gate has a budget of", v->o->drift);
    if (v->o->gate_path) return true;
    v->limits.float32.kl_floor      = larger(v->limits.float32.kl_floor, REMOTE_KL_FLOOR);
    v->limits.float32.logprob_floor = larger(v->limits.float32.logprob_floor, REMOTE_LOGPROB_FLOOR);
    return true;
}

static bool open_tokenizer(asker *v, err *e)
{
    const char *path = v->o->tokenizer;
    if (!v->peer.api->text) return true;
    if (v->o->drift)
        return err_set(e, ERR_USAGE, "option --drift: found it for %s, which gives no log-probabilities to measure drift by",
                       v->peer.api->title);
    if (!path)
        return err_set(e, ERR_USAGE, "%s takes and gives text: --tokenizer FILE.gguf names the file whose tokenizer makes text of the fixture's ids",
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
    r->attention_scale = NAN;
    r->derivation.error_max = NAN;
    snprintf(m->api, sizeof m->api, "%s", p->api->name);
    http_words(p->h, m->server, sizeof m->server, p->server.version);
    http_words(p->h, m->model, sizeof m->model, p->server.model);
    m->ids_seen = !p->api->text;
}

// ---- questions of ids ----------------------------------------------------------------------------------------------

static void put_ids(asker *v, const fixture_case *c, int64_t n_generated)
{
    memcpy(v->ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *v->ids);
    memcpy(v->ids + c->n_prompt, c->generated_ids, (size_t)n_generated * sizeof *v->ids);
}

static remote_question question(const asker *v, const fixture_case *c, int64_t n_generated, int64_t n_new)
{
    const int most = v->peer.api->most_probs, top_k = v->k.f->top_k;
    return (remote_question){
        .ids = v->ids, .n_ids = c->n_prompt + n_generated, .n_new = n_new, .n_ctx = v->n_ctx,
        .n_probs = most > 0 && most < top_k ? most : top_k, .n_vocab = (int32_t)v->k.n_vocab,
        .model = v->peer.model[0] ? v->peer.model : NULL, .forced_id = -1,
    };
}

static bool ask(asker *v, const remote_question *q, const fixture_case *c, int64_t step, err *e)
{
    if (!remote_ask(&v->peer, q, &v->answer, c->id, step, e)) return false;
    v->r->remote.questions++;
    if (v->answer.speculation > v->speculation) v->speculation = v->answer.speculation;
    progress_add(v->o->progress, c->id, 1);
    return true;
}

static void look_for_departure(asker *v, const fixture_case *c, int64_t step, int32_t got, double logprob_diff)
{
    if (got == c->generated_ids[step]) return;
    if (v->left.c && (v->left.c != c || v->left.step <= step)) return;
    v->left = (departure){ c, step, got, logprob_diff };
}

static distance look_at(asker *v, const fixture_case *c, int64_t step, const remote_step *s)
{
    const distance d = remote_distance(&c->steps[step], v->k.f->top_k, s, v->k.n_vocab);
    look_for_departure(v, c, step, d.top, d.logprob_diff);
    return d;
}

// A server may stop at an end of text, where Transformers went on: it is asked again from there.
static bool free_run(asker *v, const fixture_case *c, err *e)
{
    for (int64_t step = 0; step < v->k.n_free;) {
        put_ids(v, c, step);
        const remote_question q = question(v, c, step, v->k.n_free - step);
        if (!ask(v, &q, c, step, e)) return false;
        if (v->answer.n == 0)
            return err_set(e, ERR_INPUT, "%s: case '%s', step %lld: found no id, expected %lld", http_url(v->peer.h),
                           c->id, (long long)step, (long long)q.n_new);
        for (int64_t i = 0; i < v->answer.n; i++) {
            const distance d = look_at(v, c, step, &v->answer.steps[i]);
            if (!compare_free_at(&v->k, step++, &d)) return true;
        }
    }
    return true;
}

static void compare_step(asker *v, const fixture_case *c, int64_t step, const remote_step *s)
{
    const distance d = look_at(v, c, step, s);
    compare_forced_at(&v->k, step, &d);
    v->unseen += d.unseen;
    if (!d.unseen && s->n < v->least_probs) v->least_probs = s->n;
}

static bool one_answer(const asker *v, const fixture_case *c, int64_t step, int64_t expected, err *e)
{
    return v->answer.n == expected
        || err_set(e, ERR_INPUT, "%s: case '%s', step %lld: found %lld ids in the answer, expected %lld",
                   http_url(v->peer.h), c->id, (long long)step, (long long)v->answer.n, (long long)expected);
}

// All steps in one question.
static bool forced_by_scores(asker *v, const fixture_case *c, err *e)
{
    const int64_t tokens = v->k.f->tokens;
    put_ids(v, c, tokens);
    remote_question q = question(v, c, tokens, tokens);
    q.scores = true;
    q.from   = c->n_prompt;
    if (!ask(v, &q, c, 0, e) || !one_answer(v, c, 0, tokens, e)) return false;
    for (int64_t i = 0; i < tokens; i++) compare_step(v, c, i, &v->answer.steps[i]);
    return true;
}

// The best id without log-probabilities: they are asked for again, with the end of text generated in its place.
static bool ask_for_probs(asker *v, remote_question q, const fixture_case *c, int64_t step, err *e)
{
    const int32_t top = v->answer.steps[0].top;
    if (v->answer.steps[0].n > 0 || !v->peer.api->takes_forced || v->end_id < 0) return true;
    q.forced_id = v->end_id;
    if (!ask(v, &q, c, step, e) || !one_answer(v, c, step, 1, e)) return false;
    v->answer.steps[0].top = top;
    return true;
}

// A question for each prefix.
static bool forced_by_prefix(asker *v, const fixture_case *c, err *e)
{
    for (int64_t step = 0; step < v->k.f->tokens; step++) {
        put_ids(v, c, step);
        const remote_question q = question(v, c, step, 1);
        if (!ask(v, &q, c, step, e) || !one_answer(v, c, step, 1, e)) return false;
        if (!ask_for_probs(v, q, c, step, e)) return false;
        compare_step(v, c, step, &v->answer.steps[0]);
    }
    return true;
}

static bool run_ids(asker *v, const fixture_case *c, err *e)
{
    compare_case(&v->k, c);
    if (!free_run(v, c, e)) return false;
    return v->peer.api->scores ? forced_by_scores(v, c, e) : forced_by_prefix(v, c, e);
}

// ---- questions of text ---------------------------------------------------------------------------------------------

static bool ask_text(asker *v, const remote_text *x, const fixture_case *c, int64_t step, int64_t n_new, err *e)
{
    char *text = remote_text_before(x, step);
    if (!text) return err_nomem(e, "a question", 0);
    remote_question q = question(v, c, step, n_new);
    q.text = text;
    const bool ok = ask(v, &q, c, step, e);
    free(text);
    v->recounted += ok && v->answer.n_prompt >= 0 && v->answer.n_prompt != q.n_ids;
    return ok;
}

// The id that the answer's text stands for: the fixture's own where it follows.
static distance text_step(asker *v, const remote_text *x, const fixture_case *c, int64_t step, const char **answer)
{
    distance d = { .finite = true, .top = c->generated_ids[step] };
    if (!remote_text_follows(x, step, answer))
        d.top = remote_text_id(v->words, &c->steps[step], v->k.f->top_k, *answer);
    look_for_departure(v, c, step, d.top, NAN);
    return d;
}

static bool free_text(asker *v, const remote_text *x, const fixture_case *c, err *e)
{
    if (v->k.n_free < 1 || !x->whole_prompt || !x->same_prompt) {
        v->text_no_free++;
        return true;
    }
    if (!ask_text(v, x, c, 0, v->k.n_free, e)) return false;
    const char *answer = v->answer.text;
    for (int64_t step = 0; step < v->k.n_free; step++) {
        const distance d = text_step(v, x, c, step, &answer);
        if (!compare_free_at(&v->k, step, &d)) break;
    }
    return true;
}

static bool forced_text(asker *v, const remote_text *x, const fixture_case *c, err *e)
{
    for (int64_t step = 0; step < x->n_steps; step++) {
        if (!x->asked[step]) continue;
        if (!ask_text(v, x, c, step, 1, e)) return false;
        const char    *answer = v->answer.text;
        const distance d = text_step(v, x, c, step, &answer);
        compare_forced_at(&v->k, step, &d);
        v->text_asked++;
    }
    return true;
}

static void fail_prompt(asker *v, const fixture_case *c)
{
    verify_failure p = { .what = "tokenizer", .step = -1, .expected = -1, .got = -1, .margin = NAN, .layer = LAYER_NONE };
    snprintf(p.case_id, sizeof p.case_id, "%s", c->id);
    result_fail(v->k.r, &p, "case '%s': its prompt encodes to other ids than Transformers': the file of --tokenizer is another model's",
                c->id);
}

static bool run_text(asker *v, const fixture_case *c, err *e)
{
    remote_text x;
    const int64_t n_free = v->k.n_free;
    bool ok = remote_text_new(&x, v->words, v->k.f, c, e);
    if (ok) {
        v->k.n_free = remote_text_length(&x, n_free);
        v->text_steps += v->k.f->tokens;
        compare_case(&v->k, c);
        if (!x.same_prompt) fail_prompt(v, c);
        ok = free_text(v, &x, c, e) && forced_text(v, &x, c, e);
        v->k.n_free = n_free;
    }
    remote_text_free(&x);
    return ok;
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

static bool note_gate(asker *v, const fixture *f, err *e)
{
    const verify_fixture_result *x = v->k.r;
    if (v->kind == CHECK_DRIFT)
        return report_note(v->r, e, "gate: the budget of drift of %s, %.4g %% of steps and a mean KL of %.3g; what rounding costs this model cannot be measured through a server",
                           x->budget, 100 * x->top1_limit, x->kl_limit);
    if (v->k.no_distance)
        return report_note(v->r, e, "gate: each text equal but where the reference itself leaves it open");
    return report_note(v->r, e, "gate for %s: the fixture's own noise%s: mean KL %.3g, log-probabilities within %.3g",
                       f->dtype, v->o->gate_path ? ", by the gate file" : strcmp(f->dtype, "float32") == 0
                           ? ", and that of float32 in another runtime" : "", x->kl_limit, x->logprob_limit);
}

static bool note_seen(asker *v, err *e)
{
    if (v->unseen > 0
        && !report_note(v->r, e, "at %lld of %lld steps the server gives an id and no log-probabilities: no distance is taken there",
                        (long long)v->unseen, (long long)v->k.r->steps)) return false;
    if (!v->k.no_distance)
        return report_note(v->r, e, "distances are over the ids that the server gives, %d of a step at least, and one bucket for all others: no more than over the vocabulary",
                           v->least_probs);
    if (v->recounted > 0
        && !report_note(v->r, e, "of %lld prompts the server counts another number of tokens than the fixture has ids: it may add a token of its own, or cut texts otherwise",
                        (long long)v->recounted)) return false;
    return report_note(v->r, e, "ids were not seen: %s takes and gives text; %lld of %lld steps were compared as text, all free runs but %lld, and no distance",
                       v->peer.api->title, (long long)v->text_asked, (long long)v->text_steps, (long long)v->text_no_free);
}

static bool note_departure(asker *v, const fixture *f, err *e)
{
    const departure *l = &v->left;
    char got[48] = "another text", by[64] = "";
    if (!l->c) return true;
    if (l->got >= 0) snprintf(got, sizeof got, "%d", l->got);
    if (!isnan(l->logprob_diff)) snprintf(by, sizeof by, "; log-probabilities there are up to %.3g apart", l->logprob_diff);
    const fixture_step *s = &l->c->steps[l->step];
    const double margin = f->top_k > 1 ? (double)s->logits[0] - (double)s->logits[1] : NAN;
    return report_note(v->r, e, "the first step that leaves: case '%.40s', step %lld: Transformers chose %d by a margin of %.3g, the server %s%s",
                       l->c->id, (long long)l->step, l->c->generated_ids[l->step], margin, got, by);
}

// Fewer ids, or steps, than a fixture must hold measure nothing.
static void check_given(asker *v)
{
    char text[160];
    if (v->k.no_distance && (double)v->text_asked < v->limits.min_steps) {
        snprintf(text, sizeof text, "%lld of %lld steps can be asked about as text, the least is %.0f",
                 (long long)v->text_asked, (long long)v->text_steps, v->limits.min_steps);
        result_fail_whole(v->k.r, "minimum", text);
    }
    if (v->k.no_distance) return;
    // One step in eight may have none, as in compare.c.
    if (8 * v->unseen > v->k.r->steps) v->least_probs = 0;
    if (v->least_probs >= v->limits.min_top_k || v->least_probs >= v->k.n_vocab) return;
    snprintf(text, sizeof text, "the server gives log-probabilities of %d ids a step, the least is %.0f", v->least_probs,
             v->limits.min_top_k);
    result_fail_whole(v->k.r, "minimum", text);
}

static bool note_fixture(asker *v, const fixture *f, err *e)
{
    return note_gate(v, f, e) && note_seen(v, e) && note_departure(v, f, e);
}

static bool ask_cases(asker *v, const fixture *f, err *e)
{
    bool ok = true;
    for (int64_t i = 0; ok && i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        ok = v->words ? run_text(v, c, e) : run_ids(v, c, e);
        compare_case_end(&v->k);
    }
    if (!ok) {
        compare_free_buffers(&v->k);
        return false;
    }
    check_given(v);
    compare_end(&v->k);
    return note_fixture(v, f, e);
}

static bool ask_fixture(asker *v, const fixture *f, verify_fixture_result *res, err *e)
{
    char text[512];
    const int32_t named = config_number(f, "vocab_size"), n_vocab = named > 0 ? named : LIMIT_VOCAB;    // of some families it has a default
    if (!result_begin(res, f, v->kind, e)) return false;
    v->r->n_fixtures++;
    if (!(res->traced = trace_new(f))) return err_nomem(e, "what each step gave", (size_t)f->tokens * sizeof(verify_step));
    res->n_traced = f->n_cases;
    if (!compare_fits(f, n_vocab, INT_MAX, INT_MAX, text, sizeof text)) {
        result_fail_whole(res, "metadata", text);
        return true;
    }
    v->left        = (departure){ 0 };
    v->least_probs = INT_MAX;
    v->end_id      = config_number(f, "eos_token_id");
    if (v->end_id >= n_vocab) v->end_id = -1;
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

static bool note_server(asker *v, err *e)
{
    const remote_speculation s = v->speculation != SPECULATES_UNSEEN ? v->speculation : v->peer.server.speculation;
    if (!report_note(v->r, e, "what the server runs, weights, arithmetic and cache, is not seen: the verdict is about its answers"))
        return false;
    if (s == SPECULATES_NOT) return true;
    return report_note(v->r, e, "%s", s == SPECULATES ? "the server guesses tokens ahead (speculative decoding), which can change greedy ids; it is asked not to"
                                                      : "whether the server guesses tokens ahead (speculative decoding), which can change greedy ids, is not seen");
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
    return note_server(v, e);
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
