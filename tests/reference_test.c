// Proves verify/reference.h through verify/compare.h on a fixture made here: where the reference is too short or too
// far from itself nothing is decided, it is said what would do, and a result tells where its reference comes from.
#include "made_fixture.h"

static void no_prompts_would_do(const verify_why *w)
{
    why_says(w, "more prompts would not change that");
    ck_assert_int_eq(w->prompts, 0);
}

START_TEST(a_fixture_that_is_too_short_passes_nothing)
{
    made *m = make("float32", 0);
    verify_fixture_result r = compare_constant(&m->f, gate_builtin(), CHECK_EXACT, "F32", NULL, TOKENS, REF);
    is_inconclusive(&r);
    ck_assert_int_eq(r.n_why, 1);
    ck_assert_str_eq(r.why[0].what, "minimum");
    why_says(&r.why[0], "too short for the gate: 2 cases, 8 steps, the top 4 ids a step; the least is 4, 100 and 16; "
                        "25 prompts of 4 tokens would do, with the top 16 ids a step");
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
    why_says(&r.why[0], "it takes the top 16 ids a step");
    free(r.failures);
    free(m);
}
END_TEST

// All cases are no remedy of a part where they are too short or too far from themselves: one is named, and no other.
START_TEST(a_part_of_what_cannot_decide_names_one_remedy)
{
    for (int i = 0; i < 3; i++) {
        made *m = make("float32", 2);
        float off[VOCAB];
        memcpy(off, REF, sizeof off);
        off[1] += 1e-4f;                                        // beyond the mean, and within each step's own limit
        m->f.n_cases = 1;
        m->f.n_held  = CASES;
        if (i == 1) m->cases[1].self[1].logprob_diff_max = 0.5;
        verify_fixture_result r = compare_constant(&m->f, i == 2 ? gate_builtin() : short_gate(), CHECK_EXACT, "F32",
                                                   NULL, TOKENS, off);
        is_inconclusive(&r);
        ck_assert_int_eq(r.n_why, i == 0 ? 2 : 3);
        const verify_why *part = find_why(&r, "part"), *mean = find_why(&r, "distance");
        why_says(part, "1 of 2 cases were asked, and a part is never a pass");
        why_says(mean, "of this part mean KL is ");
        ck_assert((strstr(part->text, "; all of them, without --samples, would do") != NULL) == (i == 0));
        ck_assert((strstr(mean->text, "; all cases decide") != NULL) == (i == 0));
        ck_assert(part->prompts == (i == 0 ? CASES : 0) && mean->prompts == part->prompts);
        if (i > 0) ck_assert_str_eq(r.why[0].what, i == 1 ? "reference" : "minimum");
        free(r.failures);
        free(m);
    }
}
END_TEST

// Each of a reference's distances from itself has a bound of its own, beyond which the fixture would let anything pass.
START_TEST(a_noisy_reference_is_no_measure)
{
    static const char *const NAMED[] = { "mean KL", "log-probability", "movement of a margin",
                                         "rate of other choices" };
    for (int i = 0; i < 4; i++) {
        made *m = make("float32", 2);
        our_run *o = same_run();
        if (i == 0) m->kl[1][0][2] = 1;
        if (i == 1) m->cases[1].self[1].logprob_diff_max = 0.5;
        if (i == 2) m->margin[0][0][3] = 1.5f;
        if (i == 3) m->top[0][1][0] = 1;
        verify_fixture_result r = compare_all(&m->f, o);
        const verify_why *w = find_why(&r, "reference");
        why_says(w, NAMED[i]);
        is_inconclusive(&r);
        if (i == 1 || i == 2) no_prompts_would_do(w);
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
    why_says(w, "its rate of other choices is 0.0333, the most is 0.03; 4 of 120 steps may be chance: 56 prompts of 3 "
                "tokens would do, where 5 may be");
    ck_assert(w->prompts == 56 && w->steps == 168);
    free(r.failures);
    r = of_120_steps(12, REF);                                  // no chance: the reference is like that
    is_inconclusive(&r);
    w = find_why(&r, "reference");
    why_says(w, "12 of 120 steps are no chance; more prompts would not change that");
    no_prompts_would_do(w);
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
    why_says(&r.why[0], "a single step makes it so: 13 prompts of 4 tokens would do");
    ck_assert(r.why[0].prompts == 13 && r.why[0].steps == 52);
    free(r.failures);
    m->kl[0][1][1] = 0.5;
    r = compare_all(&m->f, o);
    no_prompts_would_do(&r.why[0]);
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
    snprintf(line, sizeof line, "%s  0,77\n%s  0,77\n",
             "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
             "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    ck_assert(sha256_bytes(line, (int64_t)strlen(line), hex, &e));
    ck_assert_str_eq(r.reference.prompts, hex);
    free(r.failures);
    free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reference");
    TCase *t = tcase_create("all");
    tcase_add_test(t, a_fixture_that_is_too_short_passes_nothing);
    tcase_add_test(t, a_part_of_what_cannot_decide_names_one_remedy);
    tcase_add_test(t, a_noisy_reference_is_no_measure);
    tcase_add_test(t, a_short_fixture_whose_reference_differs_from_itself_by_chance_is_inconclusive);
    tcase_add_test(t, a_mean_that_one_step_makes_too_large_is_said_to_be_that);
    tcase_add_test(t, a_result_tells_where_its_reference_comes_from);
    suite_add_tcase(s, t);
    return run_suite(s);
}
