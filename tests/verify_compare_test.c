// Proves verify/distance.h, tie.h, probe.h and compare.h on fixtures made here, small enough to check by hand.
// The KL values were computed outside in 60-digit decimals from the definition, sum of p log(p/q) over the four kept ids and the rest.
#include "verify/compare.h"
#include "verify/distance.h"
#include "verify/tie.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 8, TOP = 4, TOKENS = 4, LAYERS = 3, EMBD = 4, CASES = 2 };

static const float REF[VOCAB] = { 2.5f, 1.25f, 0.5f, 0.25f, -1, -1.5f, -2, -3 };
static const float OUR[VOCAB] = { 2.25f, 1.5f, 0.5f, 0.125f, -1, -1.25f, -2.5f, -3 };
static const float REF_LOGPROBS[VOCAB] = { -0.464330125f, -1.71433012f, -2.46433012f, -2.71433012f, -3.96433012f, -4.46433012f, -4.96433012f, -5.96433012f };

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

static made *make(const char *type, int n_self)
{
    made *m = calloc(1, sizeof *m);
    m->f = (fixture){ .path = "dir/made.json.gz", .dtype = (char *)type, .tokens = TOKENS, .top_k = TOP, .n_cases = CASES, .cases = m->cases };
    m->index[0] = 1;
    m->index[1] = 3;
    m->value[0] = 1;
    m->value[1] = -1;
    for (int c = 0; c < CASES; c++) {
        m->cases[c] = (fixture_case){ .id = c ? "chat-1" : "code-1", .prompt = "", .n_prompt = 2, .prompt_ids = m->prompt, .generated_ids = m->generated[c],
                                      .steps = m->steps[c], .n_probes = LAYERS + 1, .probes = m->probes[c], .n_self = n_self };
        for (int l = 0; l <= LAYERS; l++) m->probes[c][l] = (fixture_probe){ .layer = l - 1, .n = 2, .index = m->index, .value = m->value, .norm = 2 };
        for (int s = 0; s < 2; s++)
            m->cases[c].self[s] = (fixture_self){ .top = m->top[c][s], .second = m->second[c][s], .margin = m->margin[c][s],
                                                  .margin_of_base = m->margin[c][s], .kl = m->kl[c][s] };
        for (int t = 0; t < TOKENS; t++) {
            m->steps[c][t] = (fixture_step){ .ids = m->ids[c][t], .logprobs = m->logprobs[c][t], .logits = m->logits[c][t] };
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

// ---- distance ------------------------------------------------------------------------------------------------------

static fixture_step step_of(made *m) { return m->steps[0][0]; }

START_TEST(kl_is_what_the_definition_gives)
{
    made *m = make("float32", 0);
    fixture_step s = step_of(m);
    distance d = distance_at(&s, TOP, OUR, VOCAB);
    ck_assert(fabs(d.kl - 0.019894327311614224) < 1e-8);        // the normalization kept is float32
    ck_assert(fabs(d.logprob_diff - 0.34998577485407978) < 1e-7);
    ck_assert_int_eq(d.top, 0);
    ck_assert(d.finite && !d.all_zero);
    d = distance_at(&s, VOCAB, OUR, VOCAB);                     // everything kept: no bucket
    ck_assert(fabs(d.kl - 0.021026527818564258) < 1e-8);
    free(m);
}
END_TEST

// A shift of one part in a million moves KL by 3e-13; p log(p/q) summed as it stands would drown it in the 1e-8 of float32 rounding.
START_TEST(kl_resolves_small_differences)
{
    made *m = make("float32", 0);
    fixture_step s = step_of(m);
    float near[VOCAB];
    for (int i = 0; i < VOCAB; i++) near[i] = REF[i] + (i % 2 ? -0x1p-20f : 0x1p-20f);
    distance d = distance_at(&s, TOP, near, VOCAB);
    ck_assert(fabs(d.kl / 3.3372848590960973e-13 - 1) < 0.05);
    d = distance_at(&s, TOP, REF, VOCAB);
    ck_assert(d.kl >= 0 && d.kl < 1e-14);
    free(m);
}
END_TEST

START_TEST(kl_does_not_depend_on_a_common_shift)
{
    made *m = make("float32", 0);
    fixture_step s = step_of(m);
    float far[VOCAB];
    for (int i = 0; i < VOCAB; i++) far[i] = OUR[i] + 4096;     // exact in float32; exp() alone would overflow
    distance a = distance_at(&s, TOP, OUR, VOCAB), b = distance_at(&s, TOP, far, VOCAB);
    ck_assert(fabs(a.kl - b.kl) < 1e-12);
    free(m);
}
END_TEST

START_TEST(kl_stays_finite_where_ours_is_certain_of_something_else)
{
    made *m = make("float32", 0);
    fixture_step s = step_of(m);
    float sure[VOCAB] = { [7] = 20000 };                        // every kept id underflows to probability 0
    distance d = distance_at(&s, TOP, sure, VOCAB);
    ck_assert(isfinite(d.kl) && d.kl > 1000);
    ck_assert_int_eq(d.top, 7);
    float other[VOCAB] = { 20000 };                             // the bucket does
    d = distance_at(&s, TOP, other, VOCAB);
    ck_assert(isfinite(d.kl) && d.kl > 10);
    free(m);
}
END_TEST

START_TEST(logits_that_are_not_finite_are_named_and_give_no_distance)
{
    made *m = make("float32", 0);
    fixture_step s = step_of(m);
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (int b = 0; b < 3; b++) {
        float l[VOCAB];
        memcpy(l, REF, sizeof l);
        l[5] = bad[b];
        distance d = distance_at(&s, TOP, l, VOCAB);
        ck_assert(!d.finite && isnan(d.kl) && isnan(d.logprob_diff));
    }
    float all[VOCAB];
    for (int i = 0; i < VOCAB; i++) all[i] = NAN;
    distance d = distance_at(&s, TOP, all, VOCAB);
    ck_assert_int_eq(d.top, -1);
    ck_assert(!d.finite && !d.all_zero);
    float zero[VOCAB] = { 0 };
    d = distance_at(&s, TOP, zero, VOCAB);
    ck_assert(d.finite && d.all_zero);
    ck_assert_int_eq(d.top, 0);
    float equal[VOCAB] = { 1, 3, 3, 2 };
    ck_assert_int_eq(distance_at(&s, TOP, equal, VOCAB).top, 1);
    float low[VOCAB] = { NAN, -5, -4, -4, -9, -9, -9, -9 };
    ck_assert_int_eq(distance_at(&s, TOP, low, VOCAB).top, 2);
    free(m);
}
END_TEST

// ---- ties ----------------------------------------------------------------------------------------------------------

START_TEST(units_in_the_last_place)
{
    ck_assert(tie_ulp(true, 1.0) == 0x1p-7 && tie_ulp(true, 1.99) == 0x1p-7 && tie_ulp(true, 2.0) == 0x1p-6);
    ck_assert(tie_ulp(true, -17.5) == 0.125);
    ck_assert(tie_ulp(false, 1.0) == 0x1p-23 && tie_ulp(false, 0.75) == 0x1p-24);
    ck_assert(tie_ulp(false, 16.5f) == (double)nextafterf(16.5f, 99) - 16.5);
    ck_assert(tie_ulp(false, 0) > 0 && tie_ulp(true, 0) > 0);
}
END_TEST

START_TEST(a_clear_step_is_not_open)
{
    made *m = make("bfloat16", 2);
    tie t = tie_at(&m->f, &m->cases[0], 0, tie_movement(&m->f, &m->cases[0], true), 1);
    ck_assert(!t.open && !t.near);
    ck_assert(t.margin == 1.25);
    ck_assert(t.reach == 0x1p-6);                               // one unit of bfloat16 at 2.5
    free(m);
}
END_TEST

START_TEST(one_unit_in_the_last_place_is_open)
{
    made *m = make("bfloat16", 0);
    m->logits[0][2][1] = 2.5f - 0x1p-6f;
    m->logits[0][2][2] = 2.5f - 0x1p-5f;
    ck_assert(tie_at(&m->f, &m->cases[0], 2, 0, 1).near);       // so close that it may be chosen
    tie t = tie_at(&m->f, &m->cases[0], 2, 0, 2);
    ck_assert(t.open && !t.near);                               // the third id is two units away
    m->f.dtype = "float32";
    ck_assert(!tie_at(&m->f, &m->cases[0], 2, 0, 1).open);      // in float32 the same margin is wide
    m->logits[0][2][1] = nextafterf(2.5f, 0);
    ck_assert(tie_at(&m->f, &m->cases[0], 2, 0, 1).near);
    free(m);
}
END_TEST

START_TEST(margins_moving_between_the_references_runs_open_steps)
{
    made *m = make("bfloat16", 2);
    m->margin[0][1][3] = 1.25f - 0.5f;                          // run b, step 3: moved by half
    double moved = tie_movement(&m->f, &m->cases[0], true);
    ck_assert(moved == 0.5);
    ck_assert(tie_movement(&m->f, &m->cases[1], true) == 0);    // each case for itself
    m->logits[0][1][1] = 2.5f - 0.5f;                           // exactly the reach: within
    m->logits[0][1][2] = 2.5f - 0.75f;
    ck_assert(tie_at(&m->f, &m->cases[0], 1, moved, 1).near);
    tie t = tie_at(&m->f, &m->cases[0], 1, moved, 2);
    ck_assert(t.open && !t.near);
    ck_assert(!tie_at(&m->f, &m->cases[0], 0, moved, 1).open);  // margin 1.25 > 0.5
    free(m);
}
END_TEST

START_TEST(a_step_where_the_references_runs_differ_is_open)
{
    made *m = make("bfloat16", 2);
    m->top[1][0][2] = 3;                                        // run a chose id 3, far from the base run's top
    ck_assert(tie_at(&m->f, &m->cases[1], 2, 0, 3).near);
    ck_assert(tie_at(&m->f, &m->cases[1], 2, 0, 0).near);
    tie t = tie_at(&m->f, &m->cases[1], 2, 0, 1);               // open, but nobody chose id 1
    ck_assert(t.open && !t.near);
    ck_assert(tie_self_rate(&m->f) == 1.0 / (CASES * TOKENS));
    m->top[1][1][2] = m->top[1][1][3] = 3;
    ck_assert(tie_self_rate(&m->f) == 2.0 / (CASES * TOKENS));  // the larger of the two runs' rates, not their sum
    free(m);
}
END_TEST

// n_prompt is 2: position 1 gives the logits of step 0, position 3 those of step 2.
START_TEST(a_step_with_equal_router_scores_is_open_to_the_second_id)
{
    made *m = make("bfloat16", 2);
    fixture_router_tie ties[] = { { 0, 0 }, { 3, 1 } };
    m->cases[0].router_ties   = ties;
    m->cases[0].n_router_ties = 2;
    ck_assert(tie_at(&m->f, &m->cases[0], 2, 0, 1).near);
    ck_assert(tie_at(&m->f, &m->cases[0], 2, 0, 0).near);
    tie t = tie_at(&m->f, &m->cases[0], 2, 0, 2);
    ck_assert(t.open && !t.near);
    for (int step = 0; step < TOKENS; step++)                   // position 0 gives no step's logits
        ck_assert(tie_at(&m->f, &m->cases[0], step, 0, 1).open == (step == 2));
    ck_assert(!tie_at(&m->f, &m->cases[1], 2, 0, 1).open);      // each case for itself
    free(m);
}
END_TEST

// ---- probes --------------------------------------------------------------------------------------------------------

START_TEST(probes_name_the_first_layer_that_departs)
{
    made *m = make("float32", 0);
    float h[LAYERS + 1][EMBD];
    memcpy(h, HIDDEN, sizeof h);
    probe_result p = probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 1e-4);
    ck_assert_int_eq(p.layer, LAYER_NONE);
    ck_assert_int_eq(p.bad_from, LAYER_NONE);
    h[2][3] -= 0.01f;                                           // a sampled position of layer 1
    h[3][1] += 0.5f;
    p = probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 1e-4);
    ck_assert_int_eq(p.layer, 1);
    ck_assert_int_eq(p.worst_layer, 2);
    memcpy(h, HIDDEN, sizeof h);
    h[0][0] = 3;                                                // not sampled: only the norm tells
    ck_assert_int_eq(probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 1e-4).layer, LAYER_EMBEDDING);
    ck_assert_int_eq(probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 10).layer, LAYER_NONE);
    free(m);
}
END_TEST

START_TEST(dead_layers_are_named)
{
    made *m = make("float32", 0);
    float h[LAYERS + 1][EMBD];
    memcpy(h, HIDDEN, sizeof h);
    memset(h[2], 0, sizeof h[2]);
    probe_result p = probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 0.5);
    ck_assert_int_eq(p.bad_from, 1);
    ck_assert(p.all_zero);
    ck_assert_int_eq(p.layer, 1);
    memcpy(h, HIDDEN, sizeof h);
    h[1][2] = NAN;                                              // a position that is not sampled
    p = probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 0.5);
    ck_assert_int_eq(p.bad_from, 0);
    ck_assert(!p.all_zero);
    ck_assert_int_eq(p.layer, 0);
    m->cases[0].n_probes = 0;                                   // without probes a dead layer is still seen
    ck_assert_int_eq(probe_compare(&m->cases[0], h[0], LAYERS, EMBD, 0.5).layer, 0);
    free(m);
}
END_TEST

// ---- a whole comparison --------------------------------------------------------------------------------------------

typedef struct { float l[CASES][TOKENS][VOCAB], h[CASES][LAYERS + 1][EMBD]; } our_run;

static our_run *same_run(void)
{
    our_run *o = calloc(1, sizeof *o);
    for (int c = 0; c < CASES; c++) {
        memcpy(o->h[c], HIDDEN, sizeof HIDDEN);
        for (int t = 0; t < TOKENS; t++) memcpy(o->l[c][t], REF, sizeof REF);
    }
    return o;
}

// The built-in limits, for fixtures as short as these.
static const gate *short_gate(void)
{
    static gate g;
    g = *gate_builtin();
    g.min_cases = g.min_steps = g.min_top_k = 0;
    return &g;
}

static double rounding_kl = 1;          // what rounding costs the model that is compared, for drift: the type's budget is less

static void compare_into(verify_fixture_result *r, const fixture *f, const our_run *o, const gate *g, check_kind kind,
                         int64_t n_free)
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

static verify_fixture_result compare_with(const fixture *f, const our_run *o, const gate *g, check_kind kind,
                                          int64_t n_free)
{
    verify_fixture_result r = { 0 };
    compare_into(&r, f, o, g, kind, n_free);
    return r;
}

static verify_fixture_result compare_kind(const fixture *f, const our_run *o, check_kind kind, int64_t n_free)
{
    return compare_with(f, o, short_gate(), kind, n_free);
}

// The same, with each case and step kept; freed by free_traced.
static verify_fixture_result compare_traced(const fixture *f, const our_run *o, check_kind kind)
{
    verify_fixture_result r = { 0 };
    err e = { 0 };
    ck_assert(result_begin(&r, f, kind, &e));
    ck_assert_ptr_nonnull(r.traced = trace_new(f));
    r.n_traced = f->n_cases;
    compare_into(&r, f, o, short_gate(), kind, TOKENS);
    return r;
}

static void free_traced(verify_fixture_result *r)
{
    trace_free(r->traced, r->n_traced);
    free(r->failures);
}

static verify_fixture_result compare_all(const fixture *f, const our_run *o) { return compare_kind(f, o, CHECK_EXACT, TOKENS); }

// The same logits at every step of every case: free_run's (NULL: none is run) must end the free run at step `ends`, TOKENS: never.
static verify_fixture_result compare_constant(const fixture *f, const gate *g, check_kind kind, const char *type, const float *free_run, int64_t ends,
                                              const float *forced)
{
    verify_fixture_result r = { 0 };
    comparison k;
    err e = { 0 };
    ck_assert(compare_begin(&k, &r, f, g, kind, type, TOKENS, VOCAB, &e));
    for (int64_t c = 0; c < f->n_cases; c++) {
        compare_case(&k, &f->cases[c]);
        for (int64_t t = 0; free_run && t < TOKENS && t <= ends; t++) ck_assert(compare_free(&k, t, free_run) == (t < ends));
        for (int64_t t = 0; t < TOKENS; t++) compare_forced(&k, t, forced);
        compare_case_end(&k);
    }
    compare_end(&k);
    return r;
}

static const verify_failure *find_failure(const verify_fixture_result *r, const char *what)
{
    for (int64_t i = 0; i < r->n_failures; i++)
        if (strcmp(r->failures[i].what, what) == 0) return &r->failures[i];
    return NULL;
}

static const verify_why *find_why(const verify_fixture_result *r, const char *what)
{
    for (int64_t i = 0; i < r->n_why; i++)
        if (strcmp(r->why[i].what, what) == 0) return &r->why[i];
    return NULL;
}

// The result is open for reasons that are so for any artifact, and no failure is beside them.
static void is_inconclusive(const verify_fixture_result *r)
{
    ck_assert(!r->passed && r->ran);
    ck_assert_int_gt(r->n_why, 0);
    ck_assert_msg(r->failures_total == 0, "%s", r->n_failures ? r->failures[0].text : "?");
    ck_assert_str_eq(verify_fixture_verdict(r), "inconclusive");
}

START_TEST(an_equal_run_passes)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert(r.passed && r.ran);
    ck_assert_int_eq(r.failures_total, 0);
    ck_assert_int_eq(r.free_run_equal, CASES);
    ck_assert_int_eq(r.free_run_tokens_equal, CASES * TOKENS);
    ck_assert_int_eq(r.steps, CASES * TOKENS);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS);
    ck_assert_int_eq(r.ties, 0);
    ck_assert(r.kl_mean >= 0 && r.kl_mean < 1e-14);
    ck_assert_str_eq(r.name, "made.json.gz");
    free(r.failures);
    r = compare_kind(&m->f, o, CHECK_EXACT, 2);
    ck_assert_int_eq(r.free_run_tokens, 2 * CASES);
    ck_assert_int_eq(r.free_run_equal, CASES);
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

START_TEST(another_token_fails_and_says_where)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    o->l[1][2][5] = 9;
    o->h[1][2][1] = 7;
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert(!r.passed);
    ck_assert_int_eq(r.free_run_equal, CASES - 1);
    ck_assert_int_eq(r.free_run_tokens_equal, CASES * TOKENS - 2);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS - 1);
    const char *const whats[] = { "free_run", "teacher_forced" };
    for (int i = 0; i < 2; i++) {
        const verify_failure *f = find_failure(&r, whats[i]);
        ck_assert_ptr_nonnull(f);
        ck_assert_str_eq(f->case_id, "chat-1");
        ck_assert_int_eq(f->step, 2);
        ck_assert_int_eq(f->expected, 0);
        ck_assert_int_eq(f->got, 5);
        ck_assert(f->margin == 1.25);
        ck_assert_int_eq(f->layer, 1);
        ck_assert_ptr_nonnull(strstr(f->text, "case 'chat-1', step 2"));
        ck_assert_ptr_nonnull(strstr(f->text, "first layer that departs is 1"));
    }
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// A fault that a short prompt cannot show: its tokens differ, but its probes agree. Another case's probes tell the layer.
START_TEST(the_layer_is_named_by_another_case_if_need_be)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    o->l[0][3][5] = 9;
    o->h[1][3][1] = 7;
    verify_fixture_result r = compare_all(&m->f, o);
    const verify_failure *f = find_failure(&r, "teacher_forced");
    ck_assert_str_eq(f->case_id, "code-1");
    ck_assert_int_eq(f->layer, 2);
    ck_assert_ptr_nonnull(strstr(f->text, "no layer's probe departs in its prompt; in case 'chat-1' the first layer that departs is 2"));
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// A wrong cache dtype can leave every token equal: only the distance shows it.
START_TEST(equal_tokens_at_a_distance_fail)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    for (int i = 1; i < VOCAB; i++) o->l[0][3][i] += i % 2 ? 0.02f : -0.02f;
    o->h[0][3][1] += 0.01f;
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS);
    ck_assert_int_eq(r.free_run_equal, CASES);
    ck_assert(!r.passed);
    const verify_failure *f = find_failure(&r, "distance");
    ck_assert_ptr_nonnull(f);
    ck_assert_str_eq(f->case_id, "code-1");
    ck_assert_int_eq(f->step, 3);
    ck_assert_int_eq(f->layer, 2);
    ck_assert_ptr_nonnull(find_failure(&r, "logprob"));
    free(r.failures);
    m->kl[0][0][0] = 1;                                         // a reference as far from itself is no measure: it may not let anything pass
    m->cases[0].n_self = m->cases[1].n_self = 2;
    m->cases[1].self[0].logprob_diff_max = 1;
    r = compare_all(&m->f, o);
    is_inconclusive(&r);
    ck_assert_ptr_nonnull(find_why(&r, "reference"));
    ck_assert_ptr_null(find_failure(&r, "distance"));           // and yet the limits are what it says of itself
    ck_assert(r.self_kl_mean == 1.0 / (CASES * TOKENS) && r.kl_limit == 3.0 / (CASES * TOKENS));
    ck_assert(r.logprob_limit == 3);
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// Another expert is no rounding: where the reference's scores are equal, its distance from us and from itself says
// nothing.
START_TEST(distances_of_steps_with_equal_router_scores_are_left_out)
{
    made *m = make("bfloat16", 2);
    our_run *o = same_run();
    fixture_router_tie ties[] = { { 3, 0 }, { 4, 0 } };         // n_prompt is 2: steps 2 and 3
    for (int i = 1; i < VOCAB; i++) o->l[0][2][i] -= 3;
    m->kl[1][0][2] = 0.001;                                     // at another step: what the reference is from itself
    m->kl[0][0][2] = 0.5;
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert(find_failure(&r, "logprob") && find_why(&r, "reference"));
    ck_assert_str_eq(verify_fixture_verdict(&r), "fail");       // beyond what even that reference allows
    free(r.failures);
    m->cases[0].router_ties   = ties;
    m->cases[0].n_router_ties = 1;                              // one step in eight
    r = compare_all(&m->f, o);
    ck_assert_msg(r.passed, "%s", r.n_failures ? r.failures[0].text : "?");
    ck_assert(r.steps == CASES * TOKENS && r.ties == 1 && r.ties_differing == 0);
    ck_assert(r.kl_mean >= 0 && r.kl_mean < 1e-14 && r.logprob_diff_max < 1e-6);
    ck_assert(r.self_kl_mean == 0.001 / (CASES * TOKENS - 1));
    free(r.failures);
    o->l[0][3][1] += 1;                                         // the next step counts as ever
    r = compare_all(&m->f, o);
    ck_assert(!r.passed && find_failure(&r, "distance"));
    free(r.failures);
    o->l[0][3][1] -= 1;
    m->cases[0].n_router_ties = 2;                              // two in eight: nothing is left out
    r = compare_all(&m->f, o);
    ck_assert(!r.passed && find_failure(&r, "logprob") && find_why(&r, "reference"));
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// The free run's own logits count too: a decode kernel may be wrong where the batch kernel is right.
START_TEST(distance_of_the_free_run_counts)
{
    made *m = make("float32", 0);
    float off[VOCAB];
    memcpy(off, REF, sizeof off);
    off[1] += 0.1f;
    verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "F32", off, TOKENS, REF);
    ck_assert(!r.passed);
    ck_assert_ptr_nonnull(find_failure(&r, "distance"));
    free(r.failures);
    free(m);
}
END_TEST

START_TEST(a_tie_ends_the_free_run_without_failing)
{
    made *m = make("bfloat16", 2);
    our_run *o = same_run();
    m->top[0][1][1] = 1;                                        // run b chose id 1 at step 1
    m->margin[0][1][1] = -0.015625f;
    m->logits[0][1][1] = 2.5f - 0x1p-6f;
    o->l[0][1][1] = 2.5f;
    o->l[0][1][0] = 2.5f - 0x1p-6f;
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert_int_eq(r.free_run_ties, 1);
    ck_assert_int_eq(r.free_run_equal, CASES - 1);
    ck_assert_int_eq(r.ties, 1);
    ck_assert_int_eq(r.ties_differing, 1);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS - 1);
    ck_assert(r.ties_limit == 2);                               // 2 x one in eight of eight steps
    ck_assert_ptr_null(find_failure(&r, "free_run"));
    ck_assert_ptr_null(find_failure(&r, "teacher_forced"));
    ck_assert_ptr_null(find_failure(&r, "ties"));
    free(r.failures);
    o->l[0][1][2] = 4;                                          // the step is open, but not to id 2
    r = compare_all(&m->f, o);
    ck_assert_ptr_nonnull(find_failure(&r, "free_run"));
    ck_assert_ptr_nonnull(strstr(find_failure(&r, "teacher_forced")->text, "open, but not to this id"));
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// One that differs is more than so few steps allow any file: more steps would tell. Two are too many.
START_TEST(too_many_ties_fail)
{
    made *m = make("bfloat16", 0);
    our_run *o = same_run();
    m->logits[0][1][1] = 2.5f - 0x1p-6f;                        // open by one unit; the reference agrees with itself everywhere
    o->l[0][1][1] = 2.5f;
    o->l[0][1][0] = 2.5f - 0x1p-6f;
    gate wide = *short_gate();                                  // the ties alone decide
    wide.bfloat16.kl_floor = wide.bfloat16.logprob_floor = 9;
    verify_fixture_result r = compare_with(&m->f, o, &wide, CHECK_EXACT, TOKENS);
    ck_assert_int_eq(r.ties_differing, 1);
    ck_assert(r.ties_limit < 1);                                // 0.5 % of 8 steps
    is_inconclusive(&r);
    const verify_why *w = find_why(&r, "ties");
    ck_assert(w && w->prompts == 50 && w->steps == 200);
    ck_assert_msg(strstr(w->text, "1 of 8 steps differs at a tie") && strstr(w->text, "50 prompts of 4 tokens would do"), "%s", w->text);
    free(r.failures);
    m->logits[1][2][1] = 2.5f - 0x1p-6f;
    o->l[1][2][1] = 2.5f;
    o->l[1][2][0] = 2.5f - 0x1p-6f;
    r = compare_with(&m->f, o, &wide, CHECK_EXACT, TOKENS);
    ck_assert(r.ties_differing == 2 && find_failure(&r, "ties") && !find_why(&r, "ties"));
    ck_assert_str_eq(verify_fixture_verdict(&r), "fail");
    free(r.failures);
    memcpy(o->l[1][2], REF, sizeof REF);
    wide.tie_rate = 0;                                          // a gate that allows none in any number of steps
    r = compare_with(&m->f, o, &wide, CHECK_EXACT, TOKENS);
    ck_assert(r.ties_differing == 1 && find_failure(&r, "ties") && !find_why(&r, "ties"));
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// A decode kernel that leaves every text at its first open step, while the batch kernel is right: no step differs given the reference's own text.
START_TEST(free_runs_that_all_end_at_a_tie_fail)
{
    made *m = make("bfloat16", 0);
    float other[VOCAB];
    memcpy(other, REF, sizeof other);
    other[0] = 2.5f - 0x1p-6f;
    other[1] = 2.5f;
    for (int c = 0; c < CASES; c++) m->logits[c][0][1] = 2.5f - 0x1p-6f;
    for (int round = 0; round < 2; round++) {
        verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "BF16", other, 0, REF);
        ck_assert_int_eq(r.free_run_ties, CASES);
        ck_assert_int_eq(r.ties_differing, 0);
        const verify_failure *f = find_failure(&r, "ties");
        if (round == 0) {
            ck_assert(!r.passed && r.free_run_ties_limit == 1);
            ck_assert_msg(f && strstr(f->text, "the free run of 2 of 2 cases ends at a tie"), "%s", f ? f->text : "no failure");
            for (int c = 0; c < CASES; c++) {               // now the reference itself leaves one of the two texts
                m->cases[c].n_self = 2;
                m->logits[c][0][1] = 2.5f - 0x1p-6f;
            }
            m->top[0][0][0] = 1;
        } else {
            ck_assert(r.free_run_ties_limit == 2);
            ck_assert_ptr_null(f);
        }
        free(r.failures);
    }
    ck_assert_int_eq(tie_self_cases(&m->f, TOKENS), 1);
    m->top[1][0][3] = m->top[0][1][2] = 1;
    ck_assert_int_eq(tie_self_cases(&m->f, TOKENS), 2);         // the larger of the two runs' counts
    ck_assert_int_eq(tie_self_cases(&m->f, 3), 1);              // only what a free run of that length sees
    free(m);
}
END_TEST

START_TEST(a_fixture_that_is_too_short_passes_nothing)
{
    made *m = make("float32", 0);
    verify_fixture_result r = compare_constant(&m->f, gate_builtin(), CHECK_EXACT, "F32", NULL, TOKENS, REF);
    is_inconclusive(&r);
    ck_assert_int_eq(r.n_why, 1);
    ck_assert_str_eq(r.why[0].what, "minimum");
    ck_assert_ptr_nonnull(strstr(r.why[0].text, "too short for the gate: 2 cases, 8 steps, the top 4 ids a step; the least is 4, 100 and 16; 25 prompts of 4 tokens would do, with the top 16 ids a step"));
    ck_assert(r.why[0].prompts == 25 && r.why[0].steps == 100);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS);   // and yet it was run
    free(r.failures);
    float other[VOCAB];                                         // what is wrong on a short fixture is wrong
    memcpy(other, REF, sizeof other);
    other[5] = 9;
    r = compare_constant(&m->f, gate_builtin(), CHECK_EXACT, "F32", NULL, TOKENS, other);
    ck_assert(find_why(&r, "minimum") && find_failure(&r, "teacher_forced"));
    ck_assert_str_eq(verify_fixture_verdict(&r), "fail");
    free(r.failures);
    gate thin = *short_gate();
    thin.min_top_k = 16;
    r = compare_constant(&m->f, &thin, CHECK_EXACT, "F32", NULL, TOKENS, REF);
    is_inconclusive(&r);
    ck_assert_msg(strstr(r.why[0].text, "it takes the top 16 ids a step"), "%s", r.why[0].text);
    free(r.failures);
    free(m);
}
END_TEST

START_TEST(a_type_without_a_budget_is_not_verifiable)
{
    made *m = make("float32", 0);
    verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_DRIFT, "?", NULL, TOKENS, REF);
    ck_assert(!r.passed && r.n_failures == 1);
    ck_assert_ptr_nonnull(strstr(r.failures[0].text, "no drift budget"));
    free(r.failures);
    free(m);
}
END_TEST

// Each of a reference's distances from itself has a bound of its own, beyond which the fixture would let anything pass.
START_TEST(a_noisy_reference_is_no_measure)
{
    static const char *const NAMED[] = { "mean KL", "log-probability", "movement of a margin", "rate of other choices" };
    for (int i = 0; i < 4; i++) {
        made *m = make("float32", 2);
        our_run *o = same_run();
        if (i == 0) m->kl[1][0][2] = 1;
        if (i == 1) m->cases[1].self[1].logprob_diff_max = 0.5;
        if (i == 2) m->margin[0][0][3] = 1.5f;
        if (i == 3) m->top[0][1][0] = 1;
        verify_fixture_result r = compare_all(&m->f, o);
        const verify_why *w = find_why(&r, "reference");
        ck_assert_msg(w && strstr(w->text, NAMED[i]), "%s: %s", NAMED[i], w ? w->text : "passes");
        is_inconclusive(&r);
        if (i == 1 || i == 2) ck_assert_msg(w->prompts == 0 && strstr(w->text, "more prompts would not change that"), "%s", w->text);
        free(r.failures);
        free(o);
        free(m);
    }
}
END_TEST

// A sound file on 120 steps, of which the reference chose otherwise at k: as many as chance gives, or more than that.
static verify_fixture_result of_120_steps(int k, const float *forced)
{
    enum { N = 40, LENGTH = 3 };
    made *m = make("bfloat16", 2);
    static fixture_case cases[N];
    for (int c = 0; c < N; c++) {
        cases[c] = m->cases[0];
        cases[c].self[0].top = c < k ? m->top[1][0] : m->top[0][0];
    }
    m->top[1][0][1] = 1;
    m->f.cases   = cases;
    m->f.n_cases = N;
    m->f.tokens  = LENGTH;
    verify_fixture_result r = { 0 };
    comparison c;
    gate g = *gate_builtin();
    g.min_top_k = 0;
    ck_assert(compare_begin(&c, &r, &m->f, &g, CHECK_EXACT, "BF16", LENGTH, VOCAB, &(err){ 0 }));
    for (int i = 0; i < N; i++) {
        compare_case(&c, &cases[i]);
        for (int64_t t = 0; t < LENGTH; t++) compare_free(&c, t, REF);
        for (int64_t t = 0; t < LENGTH; t++) compare_forced(&c, t, forced);
    }
    compare_end(&c);
    free(m);
    return r;
}

START_TEST(a_short_fixture_whose_reference_differs_from_itself_by_chance_is_inconclusive)
{
    verify_fixture_result r = of_120_steps(3, REF);
    ck_assert_msg(r.passed, "%s", r.n_why ? r.why[0].text : "?");
    free(r.failures);
    r = of_120_steps(4, REF);
    is_inconclusive(&r);
    const verify_why *w = find_why(&r, "reference");
    ck_assert_ptr_nonnull(w);
    ck_assert_msg(strstr(w->text, "its rate of other choices is 0.0333, the most is 0.03; 4 of 120 steps may be chance: 56 prompts of 3 tokens would do, where 5 may be"), "%s", w->text);
    ck_assert(w->prompts == 56 && w->steps == 168);
    free(r.failures);
    r = of_120_steps(12, REF);                                  // no chance: the reference is like that
    is_inconclusive(&r);
    w = find_why(&r, "reference");
    ck_assert_msg(w->prompts == 0 && strstr(w->text, "12 of 120 steps are no chance; more prompts would not change that"), "%s", w->text);
    free(r.failures);
    float wrong[VOCAB];                                         // and a file that is wrong there is wrong
    memcpy(wrong, REF, sizeof wrong);
    wrong[3] = 9;
    r = of_120_steps(4, wrong);
    ck_assert(find_why(&r, "reference") && find_failure(&r, "teacher_forced") && find_failure(&r, "distance"));
    ck_assert_str_eq(verify_fixture_verdict(&r), "fail");
    free(r.failures);
}
END_TEST

START_TEST(a_mean_that_one_step_makes_too_large_is_said_to_be_that)
{
    made *m = make("bfloat16", 2);
    our_run *o = same_run();
    m->kl[0][1][2] = 0.5;                                       // 0.0625 a step, of 0.01
    verify_fixture_result r = compare_all(&m->f, o);
    is_inconclusive(&r);
    ck_assert_msg(strstr(r.why[0].text, "a single step makes it so: 13 prompts of 4 tokens would do"), "%s", r.why[0].text);
    ck_assert(r.why[0].prompts == 13 && r.why[0].steps == 52);
    free(r.failures);
    m->kl[0][1][1] = 0.5;
    r = compare_all(&m->f, o);
    ck_assert_msg(r.why[0].prompts == 0 && strstr(r.why[0].text, "more prompts would not change that"), "%s", r.why[0].text);
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

START_TEST(a_result_tells_where_its_reference_comes_from)
{
    made *m = make("float32", 0);
    char hex[SHA256_HEX + 1], line[2 * SHA256_HEX + 64];
    err e = { 0 };
    m->f.model_name = "google/gemma\x1b[31m";                   // plain in every report
    m->f.revision = "0123456789012345678901234567890123456789";
    m->f.transformers = "5.24.0";
    m->f.torch = "2.13.0+cpu";
    m->f.device = "cpu";
    m->f.attention = "eager";
    m->prompt[1] = 77;
    m->cases[1].prompt = "hello";
    m->cases[1].prompt_bytes = 5;
    verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "F32", NULL, TOKENS, REF);
    ck_assert_str_eq(r.reference.model, "google/gemma\\x1b[31m");
    ck_assert_str_eq(r.reference.revision, m->f.revision);
    ck_assert_str_eq(r.reference.transformers, "5.24.0");
    ck_assert_str_eq(r.reference.torch, "2.13.0+cpu");
    ck_assert_str_eq(r.reference.attention, "eager");
    ck_assert(!r.reference.experts[0] && !r.reference.linear_attention[0] && r.reference.tokens == TOKENS);
    // sha256sum of nothing and of "hello", each with the ids behind it.
    snprintf(line, sizeof line, "%s  0,77\n%s  0,77\n", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
             "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    ck_assert(sha256_bytes(line, (int64_t)strlen(line), hex, &e));
    ck_assert_str_eq(r.reference.prompts, hex);
    free(r.failures);
    free(m);
}
END_TEST

START_TEST(dead_logits_fail_once_a_case_and_are_named)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    memset(o->l[0], 0, sizeof o->l[0]);
    memset(o->h[0][1], 0, sizeof o->h[0][1]);
    o->l[1][3][2] = NAN;
    verify_fixture_result r = compare_all(&m->f, o);
    ck_assert(!r.passed);
    ck_assert(isnan(r.kl_mean));
    ck_assert_ptr_nonnull(find_failure(&r, "distance"));        // NaN is no distance that passes
    const verify_failure *f = find_failure(&r, "finite");
    ck_assert_str_eq(f->case_id, "code-1");
    ck_assert_int_eq(f->step, 0);
    ck_assert_int_eq(f->layer, 0);
    ck_assert_ptr_nonnull(strstr(f->text, "logits are all zero; the hidden state is all zero from layer 0 on"));
    int finite = 0;
    for (int64_t i = 0; i < r.n_failures; i++) finite += strcmp(r.failures[i].what, "finite") == 0;
    ck_assert_int_eq(finite, 2);
    ck_assert_ptr_nonnull(strstr(r.failures[1].text, "step 3: logits are not finite"));
    ck_assert_int_eq(r.teacher_forced_equal, TOKENS - 1);       // all-zero logits choose id 0, which is no agreement
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

START_TEST(drift_has_a_budget_and_no_token_failures)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    o->l[1][2][5] = 3;
    verify_fixture_result r = compare_kind(&m->f, o, CHECK_DRIFT, TOKENS);
    ck_assert_int_eq(r.teacher_forced_equal, CASES * TOKENS - 1);
    ck_assert(r.top1_limit == gate_drift_for(gate_builtin(), "Q4_K_M")->top1_min);
    ck_assert(isnan(r.ties_limit));
    ck_assert_ptr_null(find_failure(&r, "teacher_forced"));
    ck_assert(r.passed == (r.kl_mean <= r.kl_limit && 7.0 / 8 >= r.top1_limit));
    free(r.failures);
    for (int c = 0; c < CASES; c++)
        for (int t = 0; t < TOKENS; t++) o->l[c][t][5] = 9;
    r = compare_kind(&m->f, o, CHECK_DRIFT, TOKENS);
    ck_assert(!r.passed);
    ck_assert_ptr_nonnull(find_failure(&r, "drift"));
    free(r.failures);
    free(o);
    free(m);
}
END_TEST

// What the type may drift is not what this model may: three times what rounding costs it; and nothing where that was not measured.
START_TEST(drift_is_held_against_what_rounding_costs_the_model)
{
    made *m = make("float32", 0);
    our_run *o = same_run();
    o->l[1][2][5] = 3;
    verify_fixture_result r = compare_kind(&m->f, o, CHECK_DRIFT, TOKENS);
    const double kl = r.kl_mean;
    ck_assert(kl > 1e-4 && kl < r.kl_limit && r.rounding_kl_mean == 1);
    free(r.failures);
    static const struct { double share; bool within; } ROUNDINGS[] = { { 0.34, true }, { 0.32, false }, { 0, false } };
    for (int i = 0; i < 4; i++) {
        rounding_kl = i < 3 ? kl * ROUNDINGS[i].share : NAN;
        r = compare_kind(&m->f, o, CHECK_DRIFT, TOKENS);
        const bool within = i < 3 && ROUNDINGS[i].within;
        ck_assert_msg((r.kl_mean <= r.kl_limit) == within, "%d: %g of %g", i, r.kl_mean, r.kl_limit);
        const verify_failure *f = find_failure(&r, "drift");
        ck_assert(within || (f && !r.passed));
        bool said = false;
        for (int64_t k = 0; k < r.n_failures; k++) said |= strstr(r.failures[k].text, "; rounding its weights once more costs ") != NULL;
        ck_assert(within || said);
        free(r.failures);
    }
    rounding_kl = 1;
    free(o);
    free(m);
}
END_TEST

START_TEST(failures_are_counted_beyond_what_is_kept)
{
    made *m = make("float32", 0);
    fixture_case *many = calloc(60, sizeof *many);
    for (int i = 0; i < 60; i++) many[i] = m->cases[0];
    m->f.n_cases = 60;
    m->f.cases = many;
    const float wrong[VOCAB] = { [6] = 5 };
    verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "F32", wrong, 0, wrong);
    ck_assert_int_le(r.n_failures, VERIFY_MAX_FAILURES);
    ck_assert_int_eq(r.n_failures, 60 + 2);                     // one a case, and the two distances
    ck_assert_int_eq(r.failures_total, 60 * (TOKENS + 1) + 2);
    free(r.failures);
    free(many);
    free(m);
}
END_TEST

// What is kept of cases and steps is what the counts were taken from.
START_TEST(each_case_and_step_is_kept)
{
    made *m = make("bfloat16", 2);
    our_run *o = same_run();
    o->l[1][2][5] = 9;                  // another token, and a layer that departs
    o->h[1][2][1] = 7;
    o->l[0][3][1] = o->l[0][3][0] + 1;  // the second id, where the reference's own runs differ
    m->top[0][1][3] = 1;
    verify_fixture_result r = compare_traced(&m->f, o, CHECK_EXACT);
    const verify_case *code = &r.traced[0], *chat = &r.traced[1];
    ck_assert_str_eq(chat->id, "chat-1");
    ck_assert_int_eq(code->free_run, PART_TIE);
    ck_assert_int_eq(code->forced, PART_TIE);
    ck_assert_int_eq(code->free_equal, 3);
    ck_assert_int_eq(chat->free_run, PART_BROKE);
    ck_assert_int_eq(chat->forced, PART_BROKE);
    ck_assert_int_eq(chat->free_equal, 2);
    ck_assert_int_eq(code->prompt_ids, PART_NOT_JUDGED);            // the tokenizer's part is asked for before
    int64_t held = 0, ties = 0, open = 0;
    double  sum = 0, most = 0;
    for (int c = 0; c < CASES; c++) {
        ck_assert_int_eq(r.traced[c].n_steps, TOKENS);
        for (int t = 0; t < TOKENS; t++) {
            const verify_step *s = &r.traced[c].steps[t];
            ck_assert(s->margin == 1.25 && s->expected == 0 && !s->left_out);
            held += s->state == PART_HELD;
            ties += s->state == PART_TIE;
            open += s->open;
            sum  += s->kl;
            most  = fmax(most, s->kl);
        }
    }
    ck_assert(held == r.teacher_forced_equal && ties == r.ties_differing && open == r.ties && ties == 1 && open == 1);
    ck_assert(sum / (CASES * TOKENS) == r.kl_mean && most == r.kl_max);
    ck_assert_int_eq(chat->steps[2].got, 5);
    ck_assert_int_eq(code->steps[3].got, 1);
    ck_assert_int_eq(chat->n_layers, LAYERS + 1);
    for (int l = 0; l <= LAYERS; l++) {
        ck_assert_int_eq(chat->layers[l].layer, l - 1);
        ck_assert_int_eq(chat->layers[l].departure > chat->layers[l].limit, l == 2);
        ck_assert(code->layers[l].departure == 0);
    }
    ck_assert(chat->layers[2].departure == r.probe_worst);
    free_traced(&r);

    r = compare_traced(&m->f, o, CHECK_DRIFT);                      // no token of it is judged, all are told
    ck_assert_int_eq(r.traced[1].forced, PART_NOT_JUDGED);
    ck_assert_int_eq(r.traced[1].free_run, PART_NOT_JUDGED);
    ck_assert_int_eq(r.traced[1].steps[2].state, PART_NOT_JUDGED);
    ck_assert_int_eq(r.traced[1].steps[2].got, 5);
    ck_assert_int_eq(r.traced[1].free_equal, 2);
    free_traced(&r);
    memset(o->l[0], 0, sizeof o->l[0]);
    r = compare_traced(&m->f, o, CHECK_DRIFT);                      // but what no working model gives is
    ck_assert_int_eq(r.traced[0].forced, PART_BROKE);
    ck_assert_int_eq(r.traced[0].free_run, PART_BROKE);
    free_traced(&r);
    free(o);
    free(m);
}
END_TEST

START_TEST(a_fixture_for_another_model_does_not_fit)
{
    made *m = make("float32", 0);
    char text[256] = "";
    ck_assert(compare_fits(&m->f, VOCAB, LAYERS, EMBD, text, sizeof text));
    ck_assert(!compare_fits(&m->f, 3, LAYERS, EMBD, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "id 3"));
    ck_assert(!compare_fits(&m->f, VOCAB, LAYERS - 1, EMBD, text, sizeof text));
    ck_assert(!compare_fits(&m->f, VOCAB, LAYERS, 3, text, sizeof text));
    free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verify_compare");
    TCase *t = tcase_create("all");
    tcase_add_test(t, kl_is_what_the_definition_gives);
    tcase_add_test(t, kl_resolves_small_differences);
    tcase_add_test(t, kl_does_not_depend_on_a_common_shift);
    tcase_add_test(t, kl_stays_finite_where_ours_is_certain_of_something_else);
    tcase_add_test(t, logits_that_are_not_finite_are_named_and_give_no_distance);
    tcase_add_test(t, units_in_the_last_place);
    tcase_add_test(t, a_clear_step_is_not_open);
    tcase_add_test(t, one_unit_in_the_last_place_is_open);
    tcase_add_test(t, margins_moving_between_the_references_runs_open_steps);
    tcase_add_test(t, a_step_where_the_references_runs_differ_is_open);
    tcase_add_test(t, a_step_with_equal_router_scores_is_open_to_the_second_id);
    tcase_add_test(t, probes_name_the_first_layer_that_departs);
    tcase_add_test(t, dead_layers_are_named);
    tcase_add_test(t, an_equal_run_passes);
    tcase_add_test(t, another_token_fails_and_says_where);
    tcase_add_test(t, the_layer_is_named_by_another_case_if_need_be);
    tcase_add_test(t, equal_tokens_at_a_distance_fail);
    tcase_add_test(t, distances_of_steps_with_equal_router_scores_are_left_out);
    tcase_add_test(t, distance_of_the_free_run_counts);
    tcase_add_test(t, a_tie_ends_the_free_run_without_failing);
    tcase_add_test(t, too_many_ties_fail);
    tcase_add_test(t, free_runs_that_all_end_at_a_tie_fail);
    tcase_add_test(t, a_fixture_that_is_too_short_passes_nothing);
    tcase_add_test(t, a_type_without_a_budget_is_not_verifiable);
    tcase_add_test(t, a_noisy_reference_is_no_measure);
    tcase_add_test(t, a_short_fixture_whose_reference_differs_from_itself_by_chance_is_inconclusive);
    tcase_add_test(t, a_mean_that_one_step_makes_too_large_is_said_to_be_that);
    tcase_add_test(t, a_result_tells_where_its_reference_comes_from);
    tcase_add_test(t, dead_logits_fail_once_a_case_and_are_named);
    tcase_add_test(t, drift_has_a_budget_and_no_token_failures);
    tcase_add_test(t, drift_is_held_against_what_rounding_costs_the_model);
    tcase_add_test(t, failures_are_counted_beyond_what_is_kept);
    tcase_add_test(t, each_case_and_step_is_kept);
    tcase_add_test(t, a_fixture_for_another_model_does_not_fit);
    suite_add_tcase(s, t);
    return run_suite(s);
}
