// Proves verify/distance.h, tie.h and probe.h on a fixture made here.
// The KL values were computed outside in 60-digit decimals from the definition, sum of p log(p/q) over the four kept
// ids and the rest.
#include "made_fixture.h"
#include "verify/distance.h"
#include "verify/tie.h"

static const float OUR[VOCAB] = { 2.25f, 1.5f, 0.5f, 0.125f, -1, -1.25f, -2.5f, -3 };

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

// A shift of one part in a million moves KL by 3e-13; p log(p/q) summed as it stands would drown it in the 1e-8 of
// float32 rounding.
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

int main(void)
{
    Suite *s = suite_create("distance");
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
    suite_add_tcase(s, t);
    return run_suite(s);
}
