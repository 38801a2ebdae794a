// made_fixture: a fixture in memory, small enough to check by hand, a run of our own that is equal to it until a test
// changes it, and what comparing the two gives: for tests of verify/compare.h and its parts.
#ifndef HALLMARK_TESTS_MADE_FIXTURE_H
#define HALLMARK_TESTS_MADE_FIXTURE_H

#include "suite.h"
#include "verify/compare.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 8, TOP = 4, TOKENS = 4, LAYERS = 3, EMBD = 4, CASES = 2 };

static const float REF[VOCAB] = { 2.5f, 1.25f, 0.5f, 0.25f, -1, -1.5f, -2, -3 };
static const float REF_LOGPROBS[VOCAB] = { -0.464330125f, -1.71433012f, -2.46433012f, -2.71433012f,
                                           -3.96433012f, -4.46433012f, -4.96433012f, -5.96433012f };

// ---- a fixture in memory: every step is REF, generated ids 0; ids may be exchanged by a test ------------------------

typedef struct {
    fixture       f;
    fixture_case  cases[CASES];
    fixture_step  steps[CASES][TOKENS];
    int32_t       ids[CASES][TOKENS][VOCAB], generated[CASES][TOKENS], prompt[2];
    float         logprobs[CASES][TOKENS][VOCAB], logits[CASES][TOKENS][VOCAB];
    int32_t       top[CASES][2][TOKENS], second[CASES][2][TOKENS];
    float         margin[CASES][2][TOKENS];
    double        kl[CASES][2][TOKENS];
    fixture_probe probes[CASES][LAYERS + 1];
    int32_t       index[2];
    float         value[2];
} made;

static inline made *make(const char *type, int n_self)
{
    made *m = calloc(1, sizeof *m);
    m->f = (fixture){ .path = "dir/made.json.gz", .dtype = (char *)type, .tokens = TOKENS, .top_k = TOP,
                      .n_cases = CASES, .cases = m->cases };
    m->index[0] = 1;
    m->index[1] = 3;
    m->value[0] = 1;
    m->value[1] = -1;
    for (int c = 0; c < CASES; c++) {
        m->cases[c] = (fixture_case){ .id = c ? "chat-1" : "code-1", .prompt = "", .n_prompt = 2,
                                      .prompt_ids = m->prompt, .generated_ids = m->generated[c], .steps = m->steps[c],
                                      .n_probes = LAYERS + 1, .probes = m->probes[c], .n_self = n_self };
        for (int l = 0; l <= LAYERS; l++)
            m->probes[c][l] = (fixture_probe){ .layer = l - 1, .n = 2, .index = m->index, .value = m->value,
                                               .norm = 2 };
        for (int s = 0; s < 2; s++)
            m->cases[c].self[s] = (fixture_self){ .top = m->top[c][s], .second = m->second[c][s],
                                                  .margin = m->margin[c][s], .margin_of_base = m->margin[c][s],
                                                  .kl = m->kl[c][s] };
        for (int t = 0; t < TOKENS; t++) {
            m->steps[c][t] = (fixture_step){ .ids = m->ids[c][t], .logprobs = m->logprobs[c][t],
                                               .logits = m->logits[c][t] };
            for (int i = 0; i < VOCAB; i++) {
                m->ids[c][t][i]      = i;
                m->logprobs[c][t][i] = REF_LOGPROBS[i];
                m->logits[c][t][i]   = REF[i];
            }
            for (int s = 0; s < 2; s++) {
                m->second[c][s][t] = 1;
                m->margin[c][s][t] = 1.25f;
            }
        }
    }
    return m;
}

static const float HIDDEN[LAYERS + 1][EMBD] = { { 1, 1, 1, -1 }, { 1, 1, -1, -1 }, { -1, 1, 1, -1 }, { 1, 1, 1, -1 } };

// ---- a whole comparison --------------------------------------------------------------------------------------------

typedef struct { float l[CASES][TOKENS][VOCAB], h[CASES][LAYERS + 1][EMBD]; } our_run;

static inline our_run *same_run(void)
{
    our_run *o = calloc(1, sizeof *o);
    for (int c = 0; c < CASES; c++) {
        memcpy(o->h[c], HIDDEN, sizeof HIDDEN);
        for (int t = 0; t < TOKENS; t++) memcpy(o->l[c][t], REF, sizeof REF);
    }
    return o;
}

// The built-in limits, for fixtures as short as these.
static inline const gate *short_gate(void)
{
    static gate g;
    g = *gate_builtin();
    g.min_cases = g.min_steps = g.min_top_k = 0;
    return &g;
}

// What rounding costs the model that is compared, for drift: the type's budget is less.
static double rounding_kl = 1;

static inline void compare_into(verify_fixture_result *r, const fixture *f, const our_run *o, const gate *g,
                                check_kind kind, int64_t n_free)
{
    comparison k;
    err e = { 0 };
    ck_assert(compare_begin(&k, r, f, g, kind, "Q4_K_M", n_free, VOCAB, &e));
    if (kind == CHECK_DRIFT) compare_rounding(&k, rounding_kl, 0);
    for (int c = 0; c < CASES; c++) {
        compare_case(&k, &f->cases[c]);
        compare_hidden(&k, o->h[c][0], LAYERS, EMBD);
        for (int64_t t = 0; t < TOKENS && compare_free(&k, t, o->l[c][t]); t++) {}
        for (int64_t t = 0; t < TOKENS; t++) compare_forced(&k, t, o->l[c][t]);
        compare_case_end(&k);
    }
    compare_end(&k);
}

static inline verify_fixture_result compare_with(const fixture *f, const our_run *o, const gate *g,
                                                 check_kind kind, int64_t n_free)
{
    verify_fixture_result r = { 0 };
    compare_into(&r, f, o, g, kind, n_free);
    return r;
}

static inline verify_fixture_result compare_kind(const fixture *f, const our_run *o, check_kind kind, int64_t n_free)
{
    return compare_with(f, o, short_gate(), kind, n_free);
}

// The same, with each case and step kept; freed by free_traced.
static inline verify_fixture_result compare_traced(const fixture *f, const our_run *o, check_kind kind)
{
    verify_fixture_result r = { 0 };
    err e = { 0 };
    ck_assert(result_begin(&r, f, kind, &e));
    ck_assert_ptr_nonnull(r.traced = trace_new(f));
    r.n_traced = f->n_cases;
    compare_into(&r, f, o, short_gate(), kind, TOKENS);
    return r;
}

static inline void free_traced(verify_fixture_result *r)
{
    trace_free(r->traced, r->n_traced);
    free(r->failures);
}

static inline verify_fixture_result compare_all(const fixture *f, const our_run *o)
{
    return compare_kind(f, o, CHECK_EXACT, TOKENS);
}

// The same logits at every step of every case: free_run's (NULL: none is run) must end the free run at step `ends`,
// TOKENS: never.
static inline verify_fixture_result compare_constant(const fixture *f, const gate *g, check_kind kind, const char *type,
                                                     const float *free_run, int64_t ends, const float *forced)
{
    verify_fixture_result r = { 0 };
    comparison k;
    err e = { 0 };
    ck_assert(compare_begin(&k, &r, f, g, kind, type, TOKENS, VOCAB, &e));
    for (int64_t c = 0; c < f->n_cases; c++) {
        compare_case(&k, &f->cases[c]);
        for (int64_t t = 0; free_run && t < TOKENS && t <= ends; t++)
            ck_assert(compare_free(&k, t, free_run) == (t < ends));
        for (int64_t t = 0; t < TOKENS; t++) compare_forced(&k, t, forced);
        compare_case_end(&k);
    }
    compare_end(&k);
    return r;
}

static inline const verify_failure *find_failure(const verify_fixture_result *r, const char *what)
{
    for (int64_t i = 0; i < r->n_failures; i++)
        if (strcmp(r->failures[i].what, what) == 0) return &r->failures[i];
    return NULL;
}

static inline const verify_why *find_why(const verify_fixture_result *r, const char *what)
{
    for (int64_t i = 0; i < r->n_why; i++)
        if (strcmp(r->why[i].what, what) == 0) return &r->why[i];
    return NULL;
}

static inline void why_says(const verify_why *w, const char *part)
{
    ck_assert_msg(w && strstr(w->text, part), "expected '%s': %s", part, w ? w->text : "passes");
}

// The result is open for reasons that are so for any artifact, and no failure is beside them.
static inline void is_inconclusive(const verify_fixture_result *r)
{
    ck_assert(!r->passed && r->ran);
    ck_assert_int_gt(r->n_why, 0);
    ck_assert_msg(r->failures_total == 0, "%s", r->n_failures ? r->failures[0].text : "?");
    ck_assert_str_eq(verify_fixture_verdict(r), "inconclusive");
}

#endif
