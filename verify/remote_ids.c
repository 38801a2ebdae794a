// A case asked by ids: a free run, then each step given the fixture's own prefix.
#include "remote_distance.h"
#include "remote_run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_ids(asker *v, const fixture_case *c, int64_t n_generated)
{
    memcpy(v->ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *v->ids);
    memcpy(v->ids + c->n_prompt, c->generated_ids, (size_t)n_generated * sizeof *v->ids);
}

// The first id of a step that the fixture's model does not have; -1: it has them all.
static int32_t id_beyond(const remote_step *s, int64_t n_vocab)
{
    if (s->top >= n_vocab) return s->top;
    for (int i = 0; i < s->n; i++)
        if (s->probs[i].id >= n_vocab) return s->probs[i].id;
    return -1;
}

// One is enough to know that the server has another model, however the tokens compare.
static void judge_vocabulary(asker *v, const fixture_case *c, int64_t step, const remote_step *s)
{
    const int32_t id = v->beyond ? -1 : id_beyond(s, v->k.n_vocab);
    if (id < 0) return;
    verify_failure p = { .what = "vocabulary", .step = step, .expected = c->generated_ids[step], .got = id,
                         .margin = NAN, .layer = LAYER_NONE };
    snprintf(p.case_id, sizeof p.case_id, "%s", c->id);
    result_fail(v->k.r, &p, "case '%s', step %lld: the server gives id %d, and the fixture's model has ids 0 to %lld: "
                            "the server has another model", c->id, (long long)step, id, (long long)v->k.n_vocab - 1);
    v->beyond = true;
}

static distance look_at(asker *v, const fixture_case *c, int64_t step, const remote_step *s)
{
    judge_vocabulary(v, c, step, s);
    const distance d = remote_distance(&c->steps[step], v->k.f->top_k, s, v->k.n_vocab);
    remote_look_for_departure(v, c, step, d.top, d.unseen ? NAN : d.logprob_diff);
    const bool first = !v->far.c || (v->far.c == c && step < v->far.step);
    if (first && d.logprob_diff > v->k.r->logprob_limit) v->far = (departure){ c, step, d.top, d.logprob_diff };
    return d;
}

static bool one_answer(const asker *v, const fixture_case *c, int64_t step, int64_t expected, err *e)
{
    return v->answer.n == expected
        || err_set(e, ERR_INPUT, "%s: case '%s', step %lld: found %lld ids in the answer, expected %lld",
                   http_url(v->peer.h), c->id, (long long)step, (long long)v->answer.n, (long long)expected);
}

// A server may stop at an end of text, where Transformers went on: it is asked again from there.
static bool free_run(asker *v, const fixture_case *c, err *e)
{
    for (int64_t step = 0; step < v->k.n_free;) {
        put_ids(v, c, step);
        const remote_question q = remote_question_of(v, c, step, v->k.n_free - step);
        if (!remote_question_ask(v, &q, c, step, e)) return false;
        if (v->answer.n == 0) return one_answer(v, c, step, q.n_new, e);
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

// All steps in one question.
static bool forced_by_scores(asker *v, const fixture_case *c, err *e)
{
    const int64_t tokens = v->k.f->tokens;
    put_ids(v, c, tokens);
    remote_question q = remote_question_of(v, c, tokens, tokens);
    q.scores = true;
    q.from   = c->n_prompt;
    if (!remote_question_ask(v, &q, c, 0, e) || !one_answer(v, c, 0, tokens, e)) return false;
    for (int64_t i = 0; i < tokens; i++) compare_step(v, c, i, &v->answer.steps[i]);
    return true;
}

// The best id without log-probabilities: they are asked for again, with the end of text generated in its place.
static bool ask_for_probs(asker *v, remote_question q, const fixture_case *c, int64_t step, err *e)
{
    const int32_t top = v->answer.steps[0].top;
    if (v->answer.steps[0].n > 0 || !v->peer.api->takes_forced || v->end_id < 0) return true;
    q.forced_id = v->end_id;
    if (!remote_question_ask(v, &q, c, step, e) || !one_answer(v, c, step, 1, e)) return false;
    v->answer.steps[0].top = top;
    return true;
}

// A question for each prefix.
static bool forced_by_prefix(asker *v, const fixture_case *c, err *e)
{
    for (int64_t step = 0; step < v->k.f->tokens; step++) {
        put_ids(v, c, step);
        const remote_question q = remote_question_of(v, c, step, 1);
        if (!remote_question_ask(v, &q, c, step, e) || !one_answer(v, c, step, 1, e)) return false;
        if (!ask_for_probs(v, q, c, step, e)) return false;
        compare_step(v, c, step, &v->answer.steps[0]);
    }
    return true;
}

bool remote_case_ids(asker *v, const fixture_case *c, err *e)
{
    compare_case(&v->k, c);
    if (!free_run(v, c, e)) return false;
    return v->peer.api->scores ? forced_by_scores(v, c, e) : forced_by_prefix(v, c, e);
}
