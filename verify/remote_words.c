// A case asked by text (remote_text.h): the same questions, as far as text can ask them.
#include "remote_run.h"
#include "remote_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool ask_text(asker *v, const remote_text *x, const fixture_case *c, int64_t step, int64_t n_new, err *e)
{
    char *text = remote_text_before(x, step);
    if (!text) return err_nomem(e, "a question", 0);
    remote_question q = remote_question_of(v, c, step, n_new);
    q.text = text;
    const bool ok = remote_question_ask(v, &q, c, step, e);
    free(text);
    v->recounted += ok && v->answer.n_prompt >= 0 && v->answer.n_prompt != q.n_ids;
    return ok;
}

// The id that the answer's text stands for: the fixture's own where it follows.
static distance step_of(asker *v, const remote_text *x, const fixture_case *c, int64_t step, const char **answer)
{
    distance d = { .finite = true, .top = c->generated_ids[step] };
    if (!remote_text_follows(x, step, answer))
        d.top = remote_text_id(v->words, &c->steps[step], v->k.f->top_k, *answer);
    remote_look_for_departure(v, c, step, d.top, NAN);
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
        const distance d = step_of(v, x, c, step, &answer);
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
        const distance d = step_of(v, x, c, step, &answer);
        compare_forced_at(&v->k, step, &d);
        v->text_asked++;
    }
    return true;
}

static void fail_prompt(asker *v, const fixture_case *c)
{
    verify_failure p = { .what = "tokenizer", .step = -1, .expected = -1, .got = -1, .margin = NAN,
                         .layer = LAYER_NONE };
    snprintf(p.case_id, sizeof p.case_id, "%s", c->id);
    result_fail(v->k.r, &p, "case '%s': its prompt encodes to other ids than Transformers': the file of --tokenizer "
                            "is another model's",
                c->id);
}

bool remote_case_text(asker *v, const fixture_case *c, err *e)
{
    remote_text   x;
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
