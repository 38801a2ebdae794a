// Proves the families beside Gemma, from their committed tiny checkpoints to the verdict: F32 gives every token of
// Transformers float32, BF16 Transformers bfloat16 but for ties, Q4_K_M its own weights' tokens; and mistakes that
// people make with just these families, edited into the program, are caught, and the layer is named where one has it.
// The runtime here is the library built with faults (runtime/backend.h).
#include "verify_files.h"
#include "runtime/model.h"

// delta: its recurrent layers; experts, shared: those of every layer; full: its first layer of full attention; v_is_k:
// that layer's V is K's projection.
typedef struct {
    const char *name, *dir;
    bool biases, untied, neighbours, factors, window, gemma;
    bool experts, shared, delta, v_is_k;
    int  full;
} family_case;

#define DIR_OF(name) SOURCE_DIR "/fixtures/" name
static const family_case FAMILIES[] = {
    { "llama", DIR_OF("tiny-llama"), .untied = true, .neighbours = true, .factors = true },
    { "qwen3", DIR_OF("tiny-qwen3"), .biases = false },
    { "qwen2", DIR_OF("tiny-qwen2"), .biases = true },
    { "mistral", DIR_OF("tiny-mistral"), .untied = true, .neighbours = true, .window = true },
    { "gemma4-e4b", DIR_OF("tiny-gemma4-e4b"), .gemma = true, .window = true, .full = 1 },
    { "gemma4-31b", DIR_OF("tiny-gemma4-31b"), .gemma = true, .window = true, .v_is_k = true, .full = 2 },
    { "gemma4-moe", DIR_OF("tiny-gemma4-moe"), .gemma = true, .window = true, .v_is_k = true, .full = 1,
      .experts = true },
    { "qwen3moe", DIR_OF("tiny-qwen3moe"), .untied = true, .experts = true },
    { "qwen35", DIR_OF("tiny-qwen35"), .delta = true, .full = 2 },
    { "qwen35moe", DIR_OF("tiny-qwen35moe"), .untied = true, .delta = true, .full = 1, .experts = true,
      .shared = true },
};
enum { N_FAMILIES = sizeof FAMILIES / sizeof *FAMILIES };

static void setup(void)
{
    files_begin("families");
#if defined(__SANITIZE_ADDRESS__)
    printf("SMALLER under sanitizers: two cases of each fixture\n");
#endif
}

static const char *artifact_of(const family_case *f, file_type type, const char *suffix)
{
    err          e = { 0 };
    char         name[64];
    convert_opts o = { .type = type };
    snprintf(name, sizeof name, "%s-%s.gguf", f->name, suffix);
    const char *path = in_scratch(name);
    if (access(path, R_OK) == 0) return path;
    ck_assert_msg(convert_checkpoint(f->dir, path, &o, &e), "%s", e.msg);
    return path;
}

// All cases, or the first n: under the sanitizers, which look for other things, and where a mistake must be seen soon.
static const char *fixture_of(const family_case *f, const char *name, int n)
{
    static char path[512];
    char        from[512];
    snprintf(from, sizeof from, "%s/fixtures/%s.json.gz", f->dir, name);
    if (n == 0) return strcpy(path, from);
    snprintf(path, sizeof path, "%s/%s-%s-%d.json.gz", scratch, f->name, name, n);
    if (access(path, R_OK) != 0) shorten_fixture(from, path, n);
    return path;
}

static verify_report run(const family_case *f, file_type type, const char *suffix, const char *reference,
                         int64_t tokens, fault plant)
{
    verify_opts o = { .tokens = tokens, .run.fault = plant };
#if defined(__SANITIZE_ADDRESS__)
    const int n_cases = 2;
#else
    const int n_cases = plant == FAULT_NONE ? 0 : 3;
#endif
    return verify_with(artifact_of(f, type, suffix), fixture_of(f, reference, n_cases), &o);
}

// A fixture that is cut short for the sanitizers is below the gate's minimum: inconclusive, without a failure.
static void passed(const verify_report *r)
{
    const verify_fixture_result *x = &r->fixtures[0];
#if defined(__SANITIZE_ADDRESS__)
    ck_assert_msg(x->failures_total == 0, "%s", x->n_failures ? x->failures[0].text : "");
#else
    ck_assert_msg(r->passed, "%s", x->n_failures ? x->failures[0].text : "");
#endif
}

START_TEST(f32_gives_every_token)
{
    verify_report r = run(&FAMILIES[_i], FT_F32, "F32", "float32", 0, FAULT_NONE);
    const verify_fixture_result *x = &r.fixtures[0];
    passed(&r);
    ck_assert_int_eq(x->free_run_equal, x->cases);
    ck_assert_int_eq(x->teacher_forced_equal, x->steps);
    verify_report_free(&r);
}
END_TEST

START_TEST(bf16_differs_at_ties_alone)
{
    verify_report r = run(&FAMILIES[_i], FT_BF16, "BF16", "bfloat16", 0, FAULT_NONE);
    passed(&r);
    ck_assert_int_eq(r.n_notes, 0);         // layer 0's values are Transformers' own bits
    verify_report_free(&r);
}
END_TEST

// The case that is asked drifts further than the type may, and all cases together do not: a part leaves that open.
START_TEST(a_part_that_drifts_further_than_the_whole_is_no_failure)
{
    const family_case *f = FAMILIES;
    while (strcmp(f->name, "qwen3moe") != 0) f++;
    const verify_opts o = { .samples = 1 };
    verify_report r = verify_with(artifact_of(f, FT_Q4_K_M, "Q4_K_M"), fixture_of(f, "float32", 0), &o);
    const verify_fixture_result *x = &r.fixtures[0];
    ck_assert((double)x->teacher_forced_equal < x->top1_limit * (double)x->steps);
    ck_assert_msg(x->failures_total == 0, "%s", x->n_failures ? x->failures[0].text : "");
    ck_assert_str_eq(verify_verdict(&r), "inconclusive");
    const verify_why *w = &x->why[x->n_why - 1];
    ck_assert_str_eq(w->what, "drift");
    ck_assert_msg(strstr(w->text, "of this part ") == w->text && strstr(w->text, "; all cases decide"), "%s", w->text);
    verify_report_free(&r);
}
END_TEST

START_TEST(q4_k_m_is_what_its_weights_say)
{
    verify_report r = run(&FAMILIES[_i], FT_Q4_K_M, "Q4_K_M", "q4_k_m", 0, FAULT_NONE);
    const verify_fixture_result *x = &r.fixtures[0];
    passed(&r);
    ck_assert_int_eq(x->free_run_equal, x->cases);
    verify_report_free(&r);
}
END_TEST

// ---- mistakes -------------------------------------------------------------------------------------------------------

typedef struct { fault f; const char *name; int layer; } mistake;
// No layer's values are wrong, only the logits; the first layer of full attention; any (a state fades along a prompt).
enum { OF_HEAD = -2, FULL = -3, ANY = -4 };
static const mistake MISTAKES[] = {
    { FAULT_ROPE_PAIRS, "heads rotate the other pairs (rows not permuted)", 0 },
    { FAULT_NORMS_SWAPPED, "two norms changed places", 0 },
    { FAULT_BIAS_LOST, "biases left out", 0 },
    { FAULT_HEAD_TIED, "the output matrix taken for the embedding", OF_HEAD },
    { FAULT_WINDOW_OFF_BY_ONE, "window off by one", 0 },
    { FAULT_ROPE_FACTORS_LOST, "rope_freqs not read", 0 },
    { FAULT_EXPERT_SCORE, "experts by the wrong score", 0 },
    { FAULT_ROUTE_NOT_RENORMED, "routing weights not divided by their sum", 0 },
    { FAULT_SHARED_GATE_LOST, "the shared expert's gate left out", 0 },
    { FAULT_OUTPUT_GATE_LOST, "attention's output gate left out", FULL },
    { FAULT_DECAY_SIGN, "the decay's sign", 0 },
    { FAULT_CONV_LATE, "the convolution one step late", 0 },
    { FAULT_STATE_KEPT, "the state of the text before", ANY },
    { FAULT_V_HEADS_GROUPED, "V heads not reordered", 0 },
    { FAULT_NORMS_SHIFTED, "one added to the norms twice", 0 },
    { FAULT_K_NORMED_AS_V, "K after its norm taken for V", FULL },
};
enum { N_MISTAKES = sizeof MISTAKES / sizeof *MISTAKES };

static bool can_be_made(const family_case *f, fault x)
{
    switch (x) {
    case FAULT_ROPE_PAIRS:
    case FAULT_NORMS_SWAPPED:      return !f->gemma && !f->delta;     // rows of their own: tests/faults_test.c, below
    case FAULT_BIAS_LOST:          return f->biases;
    case FAULT_HEAD_TIED:          return f->untied;
    case FAULT_WINDOW_OFF_BY_ONE:  return f->window;
    case FAULT_ROPE_FACTORS_LOST:  return f->factors;
    case FAULT_EXPERT_SCORE:
    case FAULT_ROUTE_NOT_RENORMED: return f->experts;
    case FAULT_SHARED_GATE_LOST:   return f->shared;
    case FAULT_K_NORMED_AS_V:      return f->v_is_k;
    case FAULT_OUTPUT_GATE_LOST:
    case FAULT_DECAY_SIGN:
    case FAULT_CONV_LATE:
    case FAULT_STATE_KEPT:
    case FAULT_V_HEADS_GROUPED:
    case FAULT_NORMS_SHIFTED:      return f->delta;
    default:                       return true;
    }
}

START_TEST(mistakes_are_caught_and_the_layer_is_named)
{
    const family_case *f = &FAMILIES[_i / N_MISTAKES];
    const mistake     *m = &MISTAKES[_i % N_MISTAKES];
    if (!can_be_made(f, m->f)) return;
    verify_report r = run(f, FT_F32, "F32", "float32", 4, m->f);
    // Three cases are too few to pass, and enough to fail.
    ck_assert_msg(strcmp(verify_verdict(&r), "fail") == 0, "%s: %s: not caught", f->name, m->name);
    const verify_failure *x = first_in_a_case(&r);
    ck_assert_msg(x->case_id[0] && x->step >= 0, "%s: %s: %s", f->name, m->name, x->text);
    const int layer = m->layer == FULL ? f->full : m->layer;
    if (layer == ANY) ck_assert_msg(x->layer >= 0, "%s: %s: %s", f->name, m->name, x->text);
    else if (layer != OF_HEAD)
        ck_assert_msg(x->layer == layer, "%s: %s: expected layer %d: %s", f->name, m->name, layer, x->text);
    verify_report_free(&r);
}
END_TEST

// Rounded once, as Gemma's norms are, the distance is more than Transformers has from itself.
START_TEST(a_norm_that_rounds_once_is_caught_in_bf16)
{
    if (FAMILIES[_i].gemma) return;         // its norms do
    verify_report r = run(&FAMILIES[_i], FT_BF16, "BF16", "bfloat16", 4, FAULT_NORM_ROUNDED_ONCE);
    const bool caught = r.n_notes > 0 || r.fixtures[0].n_failures > 0;
    ck_assert_msg(caught, "%s: not caught", FAMILIES[_i].name);
    verify_report_free(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("families");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_loop_test(t, f32_gives_every_token, 0, N_FAMILIES);
    tcase_add_loop_test(t, bf16_differs_at_ties_alone, 0, N_FAMILIES);
    tcase_add_test(t, a_part_that_drifts_further_than_the_whole_is_no_failure);
    tcase_add_loop_test(t, q4_k_m_is_what_its_weights_say, 0, N_FAMILIES);
    tcase_add_loop_test(t, mistakes_are_caught_and_the_layer_is_named, 0, N_FAMILIES * N_MISTAKES);
    tcase_add_loop_test(t, a_norm_that_rounds_once_is_caught_in_bf16, 0, N_FAMILIES);
    suite_add_tcase(s, t);
    return run_suite(s);
}
