// Proves verify/compare.h on a fixture made here: what passes, what fails, and where a failure is said to be.
#include "made_fixture.h"
#include "verify/tie.h"

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

// A fault that a short prompt cannot show: its tokens differ, but its probes agree. Another case's probes tell the
// layer.
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
    ck_assert_ptr_nonnull(strstr(f->text, "no layer's probe departs in its prompt; in case 'chat-1' the first layer "
                                          "that departs is 2"));
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
    m->kl[0][0][0] = 1;             // a reference as far from itself is no measure: it may not let anything pass
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
    m->logits[0][1][1] = 2.5f - 0x1p-6f;        // open by one unit; the reference agrees with itself everywhere
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
    why_says(w, "1 of 8 steps differs at a tie");
    why_says(w, "50 prompts of 4 tokens would do");
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

// A decode kernel that leaves every text at its first open step, while the batch kernel is right: no step differs given
// the reference's own text.
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
            ck_assert_msg(f && strstr(f->text, "the free run of 2 of 2 cases ends at a tie"), "%s",
                          f ? f->text : "no failure");
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

// What the type may drift is not what this model may: three times what rounding costs it; and nothing where that was
// not measured.
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
        for (int64_t k = 0; k < r.n_failures; k++)
            said |= strstr(r.failures[k].text, "; rounding its weights once more costs ") != NULL;
        ck_assert(within || said);
        free(r.failures);
    }
    rounding_kl = 1;
    free(o);
    free(m);
}
END_TEST

// Why a part of the cases leaves it open, under that name; and what is a fact of one of its steps fails as ever.
static void part_is_open(const made *m, const float *ours, const gate *g, check_kind kind, const char *what)
{
    verify_fixture_result r = compare_constant(&m->f, g, kind, "Q4_K_M", NULL, TOKENS, ours);
    is_inconclusive(&r);
    ck_assert_int_eq(r.cases_held, CASES);
    const verify_why *w = find_why(&r, what);
    why_says(w, "of this part ");
    why_says(w, "; all cases decide");
    ck_assert_int_eq(w->prompts, CASES);
    free(r.failures);
}

START_TEST(what_all_cases_decide_a_part_leaves_open)
{
    made *m = make("bfloat16", 2);
    float tied[VOCAB], near[VOCAB], far[VOCAB];
    gate  wide = *short_gate();
    wide.bfloat16.kl_floor = wide.bfloat16.logprob_floor = 9;
    memcpy(tied, REF, sizeof tied);
    memcpy(near, REF, sizeof near);
    memcpy(far, REF, sizeof far);
    m->f.n_cases = 1;
    m->f.n_held  = CASES;
    for (int t = 0; t < TOKENS; t++) m->logits[0][t][1] = 2.5f - 0x1p-6f;
    tied[1] = 2.5f;
    tied[0] = 2.5f - 0x1p-6f;
    part_is_open(m, tied, &wide, CHECK_EXACT, "ties");
    for (int t = 0; t < TOKENS; t++) m->logits[0][t][1] = REF[1];
    near[1] += 0.1f;
    part_is_open(m, near, short_gate(), CHECK_EXACT, "distance");
    far[5] = 9;
    part_is_open(m, far, short_gate(), CHECK_DRIFT, "drift");
    verify_fixture_result r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "F32", NULL, TOKENS, far);
    ck_assert(find_failure(&r, "teacher_forced") && find_failure(&r, "logprob"));
    ck_assert_str_eq(verify_fixture_verdict(&r), "fail");
    free(r.failures);
    // The reference's distance from itself is that of all its cases: so is the limit of each step of a part.
    m->cases[1].self[0].logprob_diff_max = 3;
    m->kl[1][0][0] = 0.004;
    r = compare_constant(&m->f, short_gate(), CHECK_EXACT, "F32", NULL, TOKENS, near);
    ck_assert(r.logprob_limit == 9 && r.self_kl_mean == 0.004 / (CASES * TOKENS));
    free(r.failures);
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
    tcase_add_test(t, an_equal_run_passes);
    tcase_add_test(t, another_token_fails_and_says_where);
    tcase_add_test(t, the_layer_is_named_by_another_case_if_need_be);
    tcase_add_test(t, equal_tokens_at_a_distance_fail);
    tcase_add_test(t, distances_of_steps_with_equal_router_scores_are_left_out);
    tcase_add_test(t, distance_of_the_free_run_counts);
    tcase_add_test(t, a_tie_ends_the_free_run_without_failing);
    tcase_add_test(t, too_many_ties_fail);
    tcase_add_test(t, free_runs_that_all_end_at_a_tie_fail);
    tcase_add_test(t, a_type_without_a_budget_is_not_verifiable);
    tcase_add_test(t, dead_logits_fail_once_a_case_and_are_named);
    tcase_add_test(t, drift_has_a_budget_and_no_token_failures);
    tcase_add_test(t, drift_is_held_against_what_rounding_costs_the_model);
    tcase_add_test(t, what_all_cases_decide_a_part_leaves_open);
    tcase_add_test(t, failures_are_counted_beyond_what_is_kept);
    tcase_add_test(t, each_case_and_step_is_kept);
    tcase_add_test(t, a_fixture_for_another_model_does_not_fit);
    suite_add_tcase(s, t);
    return run_suite(s);
}
