// Proves verify/remote.h, remote_api.h, remote_distance.h and remote_text.h against servers of the test's own on this
// machine that know a fixture by heart. What llama.cpp's server answers was recorded; the others' answers follow their
// documentation and were not held against real servers. A real llama.cpp is asked by tests/peers/remote_llama.py.
#include "remote_asked.h"
#include "verify/compare.h"
#include "verify/remote_ask.h"
#include "verify/remote_distance.h"

static const char *note_with(const verify_report *r, const char *part)
{
    for (int64_t i = 0; i < r->n_notes; i++)
        if (strstr(r->notes[i], part)) return r->notes[i];
    return NULL;
}

static void must_note(const verify_report *r, const char *part)
{
    ck_assert_msg(note_with(r, part) != NULL, "no note of '%s'; the first: %s", part,
                  r->n_notes ? r->notes[0] : "none");
}

// ---- answers as they should be -------------------------------------------------------------------------------------

START_TEST(each_kind_of_server_is_found_out_and_passes)
{
    played  p = played_as(KINDS[_i]);
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s: %s", p.kind, x.e.msg);
    const verify_fixture_result *f = &x.r.fixtures[0];
    ck_assert_msg(x.r.passed && f->passed, "%s: %s", p.kind, f->n_failures ? f->failures[0].text : "?");
    ck_assert_str_eq(x.r.remote.api, p.kind);
    ck_assert_int_eq(x.r.remote.ids_seen, _i < N_IDS);
    ck_assert_int_eq(f->cases, p.f->n_cases);
    // Where the first id that Transformers chose has no text, or half a character, no free run of text can be asked
    // for.
    const char *seen = note_with(&x.r, "ids were not seen");
    const int   left_out = seen ? atoi(strstr(seen, "all free runs but ") + strlen("all free runs but ")) : 0;
    ck_assert_int_eq(left_out, _i < N_IDS ? 0 : 1);
    ck_assert_int_eq(f->free_run_equal, f->cases - left_out);
    ck_assert_int_eq(f->teacher_forced_equal, f->steps);
    ck_assert_int_eq(x.r.remote.questions, p.questions);
    if (_i < N_IDS) ck_assert_int_eq(f->steps, f->cases * fix->tokens);
    if (_i < N_IDS)
        ck_assert_msg(f->kl_mean < 1e-12 && f->logprob_diff_max < 1e-9, "%g, %g", f->kl_mean, f->logprob_diff_max);
    else
        ck_assert_msg(isnan(f->kl_mean) && f->steps >= 100, "%lld steps, %g; %s", (long long)f->steps, f->kl_mean,
                      note_with(&x.r, "ids were not seen"));
    ck_assert_ptr_null(note_with(&x.r, "first step that leaves"));
    done(&x);
}
END_TEST

// One question a case where the server scores what it is given, one for each prefix where it does not.
START_TEST(no_more_is_asked_than_must_be)
{
    for (int i = 0; i < N_IDS; i++) {
        played  p = played_as(KINDS[i]);
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        ck_assert_int_eq(p.questions, i == 0 ? fix->n_cases * (1 + fix->tokens) : fix->n_cases * 2);
        done(&x);
    }
}
END_TEST

START_TEST(the_report_says_whom_it_asked_and_what_was_not_seen)
{
    played  p = played_as("llama");
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s", x.e.msg);
    ck_assert_str_eq(x.r.type, "unknown");
    ck_assert_str_eq(x.r.remote.server, "b7000-abc");
    ck_assert_str_eq(x.r.remote.model, "/models/tiny-F32.gguf");
    ck_assert_ptr_eq(strstr(x.r.artifact, "http://127.0.0.1:"), x.r.artifact);
    must_note(&x.r, "gate for float32: the fixture's own noise, and that of llama.cpp, whose CPU looks GELU up");
    must_note(&x.r, "is not seen: the verdict is about its answers");
    must_note(&x.r, "one bucket for all others");
    ck_assert_ptr_null(note_with(&x.r, "speculative"));         // it says that it does not
    cJSON *j = verify_report_json(&x.r);
    ck_assert_str_eq(json_get(json_get(j, "remote"), "api")->valuestring, "llama");
    ck_assert_ptr_null(json_get(j, "attention_scale"));
    ck_assert_str_eq(json_get(j, "verdict")->valuestring, "pass");
    cJSON_Delete(j);
    char *md = verify_report_md(&(const verify_report *){ &x.r }, 1);
    ck_assert_ptr_nonnull(strstr(md, "unknown"));
    ck_assert_ptr_null(strstr(md, "nan"));
    free(md);
    done(&x);

    p = played_as("llama");
    p.speculates = true;
    x = ask_played(&p);
    must_note(&x.r, "the server guesses tokens ahead");
    done(&x);
    p = played_as("openai");
    x = ask_played(&p);
    must_note(&x.r, "whether the server guesses tokens ahead");
    must_note(&x.r, "gate for float32: the fixture's own noise, and that of float32 in another order of additions: "
                    "mean KL 1e-10");
    ck_assert_str_eq(x.r.remote.server, "vllm 0.15.0");
    done(&x);
    p = played_as("ollama");
    x = ask_played(&p);
    must_note(&x.r, "ids were not seen");
    done(&x);
}
END_TEST

// None of the forms has numbers for what is not seen.
static void must_be_written(outcome *x)
{
    static const char *const names[] = { "r.json", "r.md", "r.html", "r.xml" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char    path[SCRATCH_PATH], *text;
        int64_t n;
        scratch_path(path, names[k]);
        ck_assert_msg(verify_report_write(&(const verify_report *){ &x->r }, 1, path, &x->e), "%s", x->e.msg);
        ck_assert_msg(file_read_text(&text, &n, path, 1 << 24, &x->e), "%s", x->e.msg);
        ck_assert_msg(strstr(text, "127") != NULL, "%s", names[k]);
        const char *nan = strstr(text, ">nan") ? strstr(text, ">nan") : strstr(text, " nan");
        ck_assert_msg(!nan, "%s: %.200s", names[k], nan - 100);
        free(text);
    }
}

START_TEST(every_form_of_the_report_can_be_written)
{
    for (int i = 0; i < N_KINDS; i += 3) {
        played  p = played_as(KINDS[i]);
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        must_be_written(&x);
        done(&x);
    }
}
END_TEST

// Ids alone, all of them right: nothing was measured, which is the one failure, and no figure stands for it.
START_TEST(a_server_without_log_probabilities_is_not_measured)
{
    for (int i = 0; i < 2; i++) {
        played p = played_as("llama");
        p.no_probs = true;
        outcome x = ask_with(&p, (remote_opts){ .drift = i ? "Q4_K_M" : NULL }, fixture_file);
        ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert_int_eq(f->failures_total, 1);
        ck_assert_str_eq(f->failures[0].what, "seen");
        ck_assert_str_eq(f->failures[0].text, "the server gives log-probabilities of 0 ids a step, the least is 16");
        ck_assert_int_eq(f->teacher_forced_equal, f->steps);
        ck_assert(isnan(f->kl_mean) && isnan(f->kl_max) && isnan(f->logprob_diff_max));
        must_be_written(&x);
        done(&x);
        // And of other ids.
        p.bad_case = 1;
        p.bad_step = 3;
        p.bad_id   = fix->cases[1].steps[3].ids[5];
        x = ask_with(&p, (remote_opts){ .drift = i ? "Q4_K_M" : NULL }, fixture_file);
        ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
        must_note(&x.r, "the first step that leaves");
        must_be_written(&x);
        done(&x);
    }
}
END_TEST

// Where Transformers went on past an end of text, the rest is asked again from there.
START_TEST(a_server_that_stops_early_is_asked_again)
{
    for (int i = 0; i < N_IDS; i++) {
        played p = played_as(KINDS[i]);
        p.stops_at_two = true;
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        ck_assert_int_eq(x.r.fixtures[0].free_run_tokens_equal, fix->n_cases * VERIFY_TOKENS);
        done(&x);
    }
}
END_TEST

// ---- answers that leave --------------------------------------------------------------------------------------------

// A step that the reference leaves no doubt about.
static int64_t sure_step(const fixture *f, int64_t i, int64_t from)
{
    for (int64_t t = from; t < f->tokens; t++) {
        const fixture_step *s = &f->cases[i].steps[t];
        if (s->logits[0] - s->logits[1] > 0.1f) return t;
    }
    ck_abort_msg("no such step");
    return 0;
}

// An id of the step whose text is no part of the beginning of the first one's.
static int32_t other_text(const fixture_step *s, int top_k)
{
    for (int k = 1; k < top_k; k++) {
        const char *a, *b;
        int64_t     na, nb;
        ck_assert(tokenizer_piece(words, s->ids[0], &a, &na) && tokenizer_piece(words, s->ids[k], &b, &nb));
        if (na == 0 || nb == 0 || *a == *b) continue;
        if ((uint8_t)*b < 0x80 && !tokenizer_is_special(words, s->ids[k])) return s->ids[k];
    }
    return s->ids[5];
}

START_TEST(the_first_step_that_leaves_is_named)
{
    played p = played_as(KINDS[_i]);
    p.bad_case = 1;
    p.bad_step = sure_step(p.f, 1, 3);
    const fixture_case *c = &p.f->cases[1];
    const fixture_step *s = &c->steps[p.bad_step];
    p.bad_id = _i < N_IDS ? s->ids[5] : other_text(s, p.f->top_k);
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s", x.e.msg);
    const verify_fixture_result *f = &x.r.fixtures[0];
    ck_assert(!x.r.passed && f->n_failures >= 1);
    const verify_failure *fail = NULL;
    for (int64_t i = 0; i < f->n_failures; i++)
        if (strcmp(f->failures[i].what, "teacher_forced") == 0) fail = &f->failures[i];
    ck_assert_ptr_nonnull(fail);
    ck_assert_str_eq(fail->case_id, c->id);
    ck_assert_int_eq(fail->step, p.bad_step);
    ck_assert_int_eq(fail->expected, s->ids[0]);
    ck_assert_int_eq(fail->got, p.bad_id);
    ck_assert(fail->margin > 0.1);
    ck_assert_ptr_nonnull(strstr(fail->text, "layers are not seen through a server"));
    ck_assert_int_eq(f->teacher_forced_equal, f->steps - 1);
    char step[64];
    snprintf(step, sizeof step, "step %lld: Transformers chose %d", (long long)p.bad_step, s->ids[0]);
    must_note(&x.r, "the first step that leaves: case '");
    must_note(&x.r, step);
    done(&x);
}
END_TEST

// A server's larger vocabulary is no nonsense: one id of it, chosen or among the best, is another model's.
START_TEST(ids_that_the_fixtures_model_lacks_are_a_verdict)
{
    for (int rank = 0; rank < 2; rank++) {
        played p = played_as(KINDS[_i]);
        p.bad_case = 1;
        p.bad_step = sure_step(p.f, 1, 3);
        p.bad_id   = 200000;
        p.bad_rank = rank;
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s: %s", p.kind, x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert_str_eq(verify_verdict(&x.r), "fail");
        const verify_failure *fail = result_failure(f, "vocabulary");
        ck_assert_ptr_nonnull(fail);
        ck_assert_str_eq(fail->case_id, p.f->cases[1].id);
        ck_assert_int_eq(fail->step, p.bad_step);
        ck_assert_int_eq(fail->got, 200000);
        ck_assert_int_eq(fail->expected, p.f->cases[1].steps[p.bad_step].ids[0]);
        ck_assert_ptr_nonnull(strstr(fail->text, "the server gives id 200000, and the fixture's model has ids 0 to "
                                                 "1518: the server has another model"));
        ck_assert_int_eq(f->teacher_forced_equal, f->steps - (rank == 0));
        ck_assert_int_eq(f->steps, f->cases * fix->tokens);
        int64_t said = 0;
        for (int64_t i = 0; i < f->n_failures; i++) said += strcmp(f->failures[i].what, "vocabulary") == 0;
        ck_assert_int_eq(said, 1);
        must_be_written(&x);
        done(&x);
    }
}
END_TEST

// However late it comes, and after more failures than are kept: it explains them, and stands before them.
START_TEST(another_model_is_said_first)
{
    played p = played_as(KINDS[_i]);
    p.strays   = true;
    p.bad_case = p.f->n_cases - 1;
    p.bad_step = p.f->tokens - 1;
    p.bad_id   = 50000;
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s: %s", p.kind, x.e.msg);
    const verify_fixture_result *f = &x.r.fixtures[0];
    ck_assert_int_gt(f->failures_total, VERIFY_MAX_FAILURES);
    ck_assert_int_eq(f->n_failures, VERIFY_MAX_FAILURES);
    ck_assert_str_eq(f->failures[0].what, "vocabulary");
    ck_assert_int_eq(f->failures[0].got, 50000);
    ck_assert_str_eq(f->failures[1].what, "free_run");          // the others are in the order they came in
    ck_assert_str_eq(f->failures[1].case_id, p.f->cases[0].id);
    done(&x);
}
END_TEST

// A part of the questions: what differs there fails, and without that nothing is known of the rest.
START_TEST(a_part_of_the_cases_is_never_a_pass)
{
    static const struct { int64_t bad_case; const char *verdict; } rows[] = {
        { -1, "inconclusive" }, { 1, "inconclusive" }, { 2, "fail" },
    };
    for (int i = 0; i < 3; i++) {               // of four cases the first and the third
        played p = played_as(KINDS[_i]);
        const int64_t held = p.f->n_cases;
        const int64_t at = rows[i].bad_case < 0 ? 0 : rows[i].bad_case * held / 4;
        p.bad_case = at > 0 ? at : -1;
        p.bad_step = sure_step(p.f, at, 3);
        const fixture_step *s = &p.f->cases[at].steps[p.bad_step];
        p.bad_id = _i < N_IDS ? s->ids[5] : other_text(s, p.f->top_k);
        outcome x = ask_with(&p, (remote_opts){ .samples = 2 }, p.f == whole ? whole_file : fixture_file);
        ck_assert_msg(x.ran, "%s: %s", p.kind, x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert_msg(!x.r.passed && strcmp(verify_verdict(&x.r), rows[i].verdict) == 0, "%s, row %d: %s, %s", p.kind,
                      i, verify_verdict(&x.r), f->n_failures ? f->failures[0].text : "");
        ck_assert(f->cases == 2 && f->cases_held == held && f->n_traced == 2);
        ck_assert_str_eq(f->why[0].what, "part");
        ck_assert_int_eq(f->why[0].prompts, held);
        ck_assert_ptr_nonnull(strstr(f->why[0].text, " cases were asked, and a part is never a pass"));
        if (_i == 1) ck_assert_int_eq(p.questions, 4);
        cJSON *j = verify_report_json(&x.r);
        const cJSON *one = json_get(j, "fixtures")->child;
        ck_assert_int_eq((int)json_get(one, "cases")->valuedouble, 2);
        ck_assert_int_eq((int)json_get(one, "cases_held")->valuedouble, (int)held);
        cJSON_Delete(j);
        must_be_written(&x);
        done(&x);
    }
    played  p = played_as(KINDS[_i]);
    outcome x = ask_with(&p, (remote_opts){ .samples = p.f->n_cases }, p.f == whole ? whole_file : fixture_file);
    ck_assert_msg(x.ran && x.r.passed && x.r.fixtures[0].cases_held == 0, "%s: all of them are no part", p.kind);
    done(&x);
}
END_TEST

// The best id everywhere, and another distribution.
START_TEST(a_distance_beyond_the_noise_fails)
{
    for (int i = 0; i < N_IDS; i++) {
        played p = played_as(KINDS[i]);
        p.shift = -0.05;
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert(!x.r.passed && f->teacher_forced_equal == f->steps);
        ck_assert_str_eq(f->failures[0].what, "distance");
        ck_assert(fabs(f->logprob_diff_max - 0.05) < 1e-2);
        must_note(&x.r, "the first step whose log-probabilities leave: case 'coding-python', step 0: they are up to "
                        "0.0");
        done(&x);
        // As drift it is little, and the report says that this is the gate.
        p.questions = 0;
        x = ask_with(&p, (remote_opts){ .drift = "Q4_K_M" }, fixture_file);
        ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        ck_assert_int_eq(x.r.fixtures[0].kind, CHECK_DRIFT);
        ck_assert_str_eq(x.r.fixtures[0].budget, "Q4_K_M");
        must_note(&x.r, "gate: the budget of drift of Q4_K_M");
        done(&x);
    }
}
END_TEST

// Too few ids, or steps, are no measure, however equal they are.
START_TEST(too_little_to_compare_does_not_pass)
{
    played p = played_as("llama");
    p.most_probs = 8;
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    ck_assert_int_eq(x.r.fixtures[0].failures_total, 1);
    ck_assert_str_eq(x.r.fixtures[0].failures[0].what, "seen");
    ck_assert_str_eq(x.r.fixtures[0].failures[0].text,
                     "the server gives log-probabilities of 8 ids a step, the least is 16");
    done(&x);
    p = played_as("ollama");
    p.f = fix;              // four cases, of which text can ask about fewer than a hundred steps
    x = ask_played(&p);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    ck_assert_str_eq(x.r.fixtures[0].failures[0].what, "seen");
    ck_assert_ptr_nonnull(strstr(x.r.fixtures[0].failures[0].text,
                          "steps can be asked about as text, the least is 100"));
    done(&x);
}
END_TEST

// A gate file is taken as it stands: nothing is added for another runtime.
START_TEST(a_gate_file_holds_as_it_stands)
{
    played p = played_as("llama");
    p.shift = -1.2e-4;            // far more than F32 against F32 of our own, less than another runtime may
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran && x.r.passed, "%s", x.ran ? x.r.fixtures[0].failures[0].text : x.e.msg);
    done(&x);
    p.questions = 0;
    x = ask_with(&p, (remote_opts){ .gate_path = SOURCE_DIR "/verify/gate.json" }, fixture_file);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    must_note(&x.r, "by the gate file");
    done(&x);
}
END_TEST

START_TEST(a_wrong_question_is_a_wrong_command_line)
{
    static const struct { remote_opts o; const char *kind, *said; } cases[] = {
        { { .drift = "Q4" }, "llama", "option --drift: found 'Q4'" },
        { { .drift = "Q4_K_M" }, "ollama", "gives no log-probabilities" },
        { { .url = "ftp://127.0.0.1/" }, NULL, "expected http://HOST:PORT" },
        { { .url = "localhost:80" }, NULL, "expected http://HOST:PORT" },
        { { .url = "http://me:secret@127.0.0.1:1" }, NULL, "found a user or a password" },
        { { .url = "http://127.0.0.1:1/?x=1" }, NULL, "found a query" },
        { { .url = "http://other.example:1", .http = { .key = "sk-12345" } }, NULL, "in the clear to another machine" },
        { { .url = "http://127.0.0.1:1", .http = { .key = "sk-\r\nHost: x" } }, NULL, "HALLMARK_API_KEY" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        played        p = played_as(cases[i].kind ? cases[i].kind : "llama");
        const outcome x = cases[i].kind ? ask_with(&p, cases[i].o, fixture_file) : ask_at(cases[i].o, fixture_file);
        ck_assert_msg(!x.ran && x.e.kind == ERR_USAGE && strstr(x.e.msg, cases[i].said), "case %zu: %s", i, x.e.msg);
        ck_assert_msg(!strstr(x.e.msg, "secret") && !strstr(x.e.msg, "sk-"), "%s", x.e.msg);
    }
    played  p = played_as("ollama");
    outcome x = ask_with(&p, (remote_opts){ .tokenizer = fixture_file }, fixture_file);
    ck_assert_msg(!x.ran && x.e.kind == ERR_INPUT, "%s", x.e.msg);      // no GGUF file
}
END_TEST

END_TEST

// ---- the parts -----------------------------------------------------------------------------------------------------

START_TEST(distance_is_over_the_ids_that_are_given)
{
    int32_t ids[] = { 3, 5, 9 };
    float   logits[] = { 2, 1, 0 }, logprobs[3];
    const double lse = log(exp(2) + exp(1) + 1 + 1);            // and one id that the fixture does not keep
    for (int i = 0; i < 3; i++) logprobs[i] = (float)(logits[i] - lse);
    const fixture_step s = { ids, logprobs, logits };
    remote_prob probs[3] = { { 3, 2 - lse }, { 5, 1 - lse }, { 9, 0 - lse } };
    remote_step t = { .top = 3, .n = 3, .probs = probs };
    distance    d = remote_distance(&s, 3, &t, 4);
    ck_assert_msg(d.kl < 1e-12 && d.logprob_diff < 1e-6 && d.top == 3, "%g, %g", d.kl, d.logprob_diff);
    // Two of three: the same by what is seen. And what lies in the bucket does not count.
    t.n = 2;
    ck_assert(remote_distance(&s, 3, &t, 4).kl < 1e-12);
    probs[2].id = 4;
    t.n = 3;
    ck_assert(remote_distance(&s, 3, &t, 4).kl < 1e-12);
    // A known distance: p = (a, 1 - a), q = (b, 1 - b).
    const double a = exp(2 - lse), b = 0.3;
    probs[0].logprob = log(b);
    t.n = 1;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(fabs(d.kl - (a * log(a / b) + (1 - a) * log((1 - a) / (1 - b)))) < 1e-7);
    ck_assert(d.logprob_diff < 1e-12);          // of this id alone
    // A normalization that is off by what single precision may lose is no distance; a distribution is.
    for (int i = 0; i < 3; i++) probs[i] = (remote_prob){ ids[i], logits[i] - lse + 1e-5 };
    t.n = 3;
    d = remote_distance(&s, 3, &t, 1000);
    ck_assert_msg(d.kl < 1e-13 && d.logprob_diff < 1e-6, "%g, %g", d.kl, d.logprob_diff);
    ck_assert(remote_distance(&s, 3, &t, 4).kl > 1e-11);
    probs[1].logprob += 1e-3;
    d = remote_distance(&s, 3, &t, 1000);
    ck_assert(d.kl > 1e-8 && d.logprob_diff > 5e-4);
    // Below what single precision has: as if it were not given.
    probs[0].logprob = -3.4e38;
    t.n = 1;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(d.unseen && d.kl == 0);
    t.n = 0;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(d.unseen && d.kl == 0 && d.top == 3);
}
END_TEST

// ---- recorded ------------------------------------------------------------------------------------------------------

static cJSON *recorded(const char *name)
{
    char  path[512];
    err   e = { 0 };
    snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/remote/%s", name);
    cJSON *j = json_parse_file(path, &e);
    ck_assert_msg(j != NULL, "%s", e.msg);
    return j;
}

// What llama.cpp's server answered to the first prompt of tiny-llama's fixture (xllamacpp 2026.10, F32): two ids, the
// best four of each. They are Transformers' own.
START_TEST(llama_cpp_as_recorded)
{
    err      e = { 0 };
    fixture *f = fixture_open(SOURCE_DIR "/fixtures/tiny-llama/fixtures/float32.json.gz", &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    remote_answer         a;
    const remote_question q = { .n_new = 2, .n_probs = 4, .forced_id = -1 };
    cJSON *j = recorded("llama-completion.json");
    ck_assert(remote_answer_new(&a, 2, 4, &e));
    ck_assert_msg(remote_llama.read(&a, &q, j, "llama-completion.json", &e), "%s", e.msg);
    cJSON_Delete(j);
    ck_assert_int_eq(a.n, 2);
    ck_assert_int_eq(a.n_prompt, f->cases[0].n_prompt);
    ck_assert_int_eq(a.speculation, SPECULATES_NOT);
    for (int i = 0; i < 2; i++) {
        const distance d = remote_distance(&f->cases[0].steps[i], f->top_k, &a.steps[i], 1301);
        ck_assert_int_eq(a.steps[i].n, 4);
        ck_assert_int_eq(d.top, f->cases[0].generated_ids[i]);
        ck_assert_int_eq(d.top, remote_best(&a.steps[i]));
        ck_assert_msg(d.kl < 1e-9 && d.logprob_diff < 1e-4 && d.logprob_diff > 0, "%g, %g", d.kl, d.logprob_diff);
    }
    remote_answer_free(&a);
    fixture_close(f);
    remote_server s = { 0 };
    cJSON *about = recorded("llama-props.json");
    ck_assert(remote_llama.is(about) && !remote_sglang.is(about) && !remote_ollama.is(about)
              && !remote_openai.is(about));
    remote_llama.describe(&s, about, NULL);
    ck_assert(s.version[0] && strstr(s.model, "F32.gguf"));
    cJSON_Delete(about);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("remote");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, each_kind_of_server_is_found_out_and_passes, 0, N_KINDS);
    tcase_add_test(t, no_more_is_asked_than_must_be);
    tcase_add_test(t, the_report_says_whom_it_asked_and_what_was_not_seen);
    tcase_add_test(t, every_form_of_the_report_can_be_written);
    tcase_add_test(t, a_server_without_log_probabilities_is_not_measured);
    tcase_add_test(t, a_server_that_stops_early_is_asked_again);
    tcase_add_loop_test(t, the_first_step_that_leaves_is_named, 0, N_KINDS);
    tcase_add_loop_test(t, ids_that_the_fixtures_model_lacks_are_a_verdict, 0, N_IDS);
    tcase_add_loop_test(t, another_model_is_said_first, 0, N_IDS);
    tcase_add_loop_test(t, a_part_of_the_cases_is_never_a_pass, 0, N_KINDS);
    tcase_add_test(t, a_distance_beyond_the_noise_fails);
    tcase_add_test(t, too_little_to_compare_does_not_pass);
    tcase_add_test(t, a_gate_file_holds_as_it_stands);
    tcase_add_test(t, a_wrong_question_is_a_wrong_command_line);
    tcase_add_test(t, distance_is_over_the_ids_that_are_given);
    tcase_add_test(t, llama_cpp_as_recorded);
    suite_add_tcase(s, t);
    return run_suite(s);
}
