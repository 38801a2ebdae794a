// The seeds of failure are caught: each test plants one fault in an artifact, the options, or the runtime, and sees the
// verdict no. Where the cause stands in the file or the options it is named; where it is in the runtime, the case, the
// step and the first layer are. The runtime here is the library built with the faults that runtime/backend.h lists; the
// program has none of them.
#include "verify_files.h"
#include "verify/record.h"
#include <math.h>

static const char *f32, *bf16;
static int first_full, first_shared, n_layer;       // of the committed checkpoint

// A short free run: every step is compared given the reference's own text anyway.
static verify_report quick_run(const char *artifact, const char *fixture_file)
{
    verify_opts o = { .tokens = 4 };
    return verify_with(artifact, fixture_file, &o);
}

static void setup(void)
{
    static char paths[2][256];
    files_begin("faults");
    snprintf(paths[0], sizeof paths[0], "%s", convert_tiny("tiny-F32.gguf", FT_F32));
    snprintf(paths[1], sizeof paths[1], "%s", convert_tiny("tiny-BF16.gguf", FT_BF16));
    f32  = paths[0];
    bf16 = paths[1];
    err     e = { 0 };
    hparams h;
    gguf   *g = open_gguf(f32);
    ck_assert_msg(hparams_read(&h, g, &e), "%s", e.msg);
    n_layer = h.n_layer;
    while (first_full < n_layer && h.layers[first_full].sliding) first_full++;
    while (first_shared < n_layer && h.layers[first_shared].has_kv) first_shared++;
    ck_assert(first_full < n_layer && h.layers[first_full].head_dim == 512 && first_shared < n_layer);
    hparams_free(&h);
    gguf_close(g);
}

// ---- in the file ---------------------------------------------------------------------------------------------------

static void metadata_is_named(const char *artifact, const char *key)
{
    verify_report r = quick_run(artifact, sampled_path("float32"));
    const verify_failure *f = failure_of(&r, "metadata");
    ck_assert(!r.passed && !r.fixtures[0].ran);
    ck_assert_ptr_nonnull(f);
    ck_assert_msg(strstr(f->text, key) != NULL, "%s", f->text);
    ck_assert_ptr_null(strstr(f->text, scratch));
    verify_report_free(&r);
}

START_TEST(metadata_that_differs_from_the_source_is_named)
{
    static const char *const FLOATS[] = { "gemma4.attention.scale", "gemma4.rope.freq_base",
                                          "gemma4.rope.freq_base_swa", "gemma4.attention.layer_norm_rms_epsilon",
                                          "gemma4.final_logit_softcapping" };
    static const float VALUES[] = { 0.0625f, 10000, 1000000, 1e-5f, 50 };
    for (int i = 0; i < 5; i++) {
        const char *path = copy_file(f32, "edited.gguf");
        patch_f32(path, FLOATS[i], VALUES[i]);
        metadata_is_named(path, FLOATS[i]);
    }
    const char *path = copy_file(f32, "edited.gguf");
    gguf   *g = open_gguf(path);
    int64_t window;
    err     e = { 0 };
    ck_assert(gguf_get_i64(g, "gemma4.attention.sliding_window", &window, &e));
    gguf_close(g);
    patch_u32(path, "gemma4.attention.sliding_window", (uint32_t)window - 1);
    metadata_is_named(path, "gemma4.attention.sliding_window");
}
END_TEST

// The same on a file that a release recorded: the record no longer fits; and even when it is written anew, the source's
// config still speaks.
START_TEST(metadata_edited_after_a_release_is_named)
{
    err e = { 0 };
    const char *path = copy_file(f32, "released.gguf");
    verify_report ok = quick_run(path, sampled_path("float32"));
    ck_assert(ok.passed && record_write(path, &ok, NULL, &e));
    verify_report again = quick_run(path, sampled_path("float32"));
    ck_assert_msg(again.passed, "a released file does not verify");
    verify_report_free(&again);
    patch_f32(path, "gemma4.attention.scale", 0.0625f);
    verify_report r = quick_run(path, sampled_path("float32"));
    ck_assert_ptr_nonnull(failure_of(&r, "record"));
    ck_assert_ptr_nonnull(strstr(failure_of(&r, "record")->text, "metadata"));
    ck_assert_ptr_nonnull(failure_of(&r, "metadata"));
    verify_report_free(&r);
    ok.attention_scale = 0.0625f;                       // whoever writes it anew writes what fits
    ck_assert(record_write(path, &ok, NULL, &e));
    r = quick_run(path, sampled_path("float32"));
    ck_assert_ptr_null(failure_of(&r, "record"));
    verify_report_free(&r);
    metadata_is_named(path, "gemma4.attention.scale");
    verify_report_free(&ok);
}
END_TEST

START_TEST(a_flipped_bit_is_named)
{
    const char *path = copy_file(f32, "flipped.gguf");
    flip_bit(path, "blk.1.ffn_down.weight", 4242, 0);           // the least bit there is
    verify_report r = quick_run(path, sampled_path("float32"));
    ck_assert(!r.passed && !r.fixtures[0].ran);
    ck_assert_ptr_nonnull(strstr(failure_of(&r, "digest")->text, "blk.1.ffn_down.weight"));
    verify_report_free(&r);
}
END_TEST

// What a runtime does wrong, or a damage that hides behind new digests, is found by running: case, step and first layer
// are named.
static void located(const verify_report *r, int layer)
{
    const verify_fixture_result *x = &r->fixtures[0];
    ck_assert(!r->passed && x->ran && x->n_failures > 0);
    const verify_failure *f = first_in_a_case(r);
    ck_assert_msg(f->case_id[0] && f->step >= 0, "%s", f->text);
    ck_assert_msg(f->layer == layer, "expected layer %d: %s", layer, f->text);
}

START_TEST(a_flipped_bit_behind_new_digests_is_found_by_running)
{
    const char *path = copy_file(f32, "flipped.gguf");
    flip_bit(path, "blk.1.attn_q.weight", 4 * 1000 + 3, 6);     // the exponent's highest bit
    redigest(path);
    verify_report r = quick_run(path, sampled_path("float32"));
    located(&r, 1);
    verify_report_free(&r);
}
END_TEST

START_TEST(swapped_tensors_are_named)
{
    const char *path = copy_file(f32, "swapped.gguf");
    swap_tensors(path, "blk.1.ffn_up.weight", "blk.2.ffn_up.weight");
    verify_report r = quick_run(path, sampled_path("float32"));
    ck_assert(!r.passed && !r.fixtures[0].ran);
    ck_assert_ptr_nonnull(strstr(failure_of(&r, "digest")->text, "blk.1.ffn_up.weight"));
    verify_report_free(&r);
    redigest(path);
    r = quick_run(path, sampled_path("float32"));
    ck_assert_ptr_null(failure_of(&r, "digest"));
    located(&r, 1);
    verify_report_free(&r);
}
END_TEST

// The index of a merge that the prompts need: it alone makes a token that stands in one of them.
static int64_t needed_merge(const char *path, const char *fixture_file)
{
    err      e = { 0 };
    gguf    *g = open_gguf(path);
    fixture *f = fixture_open(fixture_file, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    const gguf_kv *tokens = gguf_find_kv(g, "tokenizer.ggml.tokens"), *merges = gguf_find_kv(g, "tokenizer.ggml."
                                                                                                "merges");
    ck_assert(tokens && merges);
    bool    *used = calloc((size_t)tokens->n, sizeof *used);
    int64_t  found = -1;
    for (int64_t c = 0; c < f->n_cases; c++)
        for (int64_t i = 0; i < f->cases[c].n_prompt; i++) used[f->cases[c].prompt_ids[i]] = true;
    gguf_str_iter it = gguf_strs(tokens);
    gguf_str      t, m;
    for (int64_t id = 0; found < 0 && gguf_next_str(&it, &t); id++) {
        int64_t makers = 0, last = -1, k = 0;
        gguf_str_iter im = gguf_strs(merges);
        for (; used[id] && gguf_next_str(&im, &m); k++) {       // "left right" makes "leftright"
            const char *space = memchr(m.s + 1, ' ', (size_t)m.n - 1);
            int64_t     n = space ? space - m.s : 0;
            if (m.n == t.n + 1 && space && memcmp(m.s, t.s, (size_t)n) == 0 &&
                memcmp(space + 1, t.s + n, (size_t)(t.n - n)) == 0) {
                makers++;
                last = k;
            }
        }
        if (makers == 1) found = last;
    }
    free(used);
    fixture_close(f);
    gguf_close(g);
    ck_assert_msg(found >= 0, "no prompt needs a merge");
    return found;
}

START_TEST(a_removed_merge_is_named)
{
    const char *path = drop_string(f32, "merge.gguf", "tokenizer.ggml.merges",
                                   needed_merge(f32, sampled_path("float32")));
    verify_report r = quick_run(path, sampled_path("float32"));
    const verify_failure *f = failure_of(&r, "tokenizer");
    ck_assert(!r.passed);
    ck_assert_ptr_nonnull(f);
    ck_assert(f->case_id[0] && f->expected >= 0 && f->got >= 0 && f->expected != f->got);
    verify_report_free(&r);
}
END_TEST

// ---- in the options ------------------------------------------------------------------------------------------------

START_TEST(another_cache_dtype_is_noted_and_fails)
{
    static const char *const KV[] = { "f16", "q8_0", "q4_0" };
    verify_report clean = quick_run(f32, sampled_path("float32"));
    double  kl = clean.fixtures[0].kl_mean;
    int64_t equal = clean.fixtures[0].teacher_forced_equal;
    ck_assert(clean.passed);
    verify_report_free(&clean);
    for (int i = 0; i < 3; i++) {
        verify_opts o = { .tokens = 4, .run.kv = KV[i] };
        verify_report r = verify_with(f32, sampled_path("float32"), &o);
        ck_assert(!r.passed && r.fixtures[0].ran);
        ck_assert_str_eq(verify_verdict(&r), "fail");
        ck_assert_str_eq(r.kv, KV[i]);
        ck_assert_str_eq(r.kv_required, "f32");
        ck_assert_int_eq(r.n_notes, 1);
        ck_assert_ptr_nonnull(strstr(r.notes[0], KV[i]));
        const verify_failure *other = failure_of(&r, "kv");
        ck_assert_ptr_nonnull(other);
        ck_assert_ptr_nonnull(strstr(other->text, KV[i]));
        ck_assert_msg(failure_of(&r, "distance") != NULL, "%s: a mean KL of %g passes", KV[i], r.fixtures[0].kl_mean);
        ck_assert_msg(r.fixtures[0].kl_mean > 10 * kl && r.fixtures[0].teacher_forced_equal <= equal,
                      "%s: KL %g after %g, %lld equal after %lld", KV[i], r.fixtures[0].kl_mean, kl,
                      (long long)r.fixtures[0].teacher_forced_equal, (long long)equal);
        kl    = r.fixtures[0].kl_mean;
        equal = r.fixtures[0].teacher_forced_equal;
        verify_report_free(&r);
    }
    verify_opts o = { .tokens = 4, .run.kv = "q4_0" };
    verify_report r = verify_with(bf16, sampled_path("bfloat16"), &o);
    ck_assert(!r.passed && failure_of(&r, "kv") && failure_of(&r, "distance"));
    verify_report_free(&r);
}
END_TEST

// ---- in the runtime ------------------------------------------------------------------------------------------------

typedef struct { fault f; const char *name; const int *layer; bool in_bf16; } planted;
static const int zero = 0;
// in_bf16: outside bfloat16's own noise too. An F16 cache holds every BF16 value of this checkpoint: there its dtype
// alone tells. A running sum kept in BF16 moves this model's logits by a fifth more than a sound run and less than
// twice as much as Transformers moves its own: only the F32 run tells.
static const planted FAULTS[] = {
    { FAULT_SCALE_RSQRT_D, "attention scale 1/sqrt(d)", &zero, true },
    { FAULT_SCORES_BF16, "scores accumulated in BF16", &zero, true },
    { FAULT_HEAD512_ZERO, "head size 512 gives zero", &first_full, true },
    { FAULT_WINDOW_OFF_BY_ONE, "window off by one", &zero, true },
    { FAULT_ROPE_BASE_SWAP, "rotary base of the other layer kind", &zero, true },
    { FAULT_KV_WRONG_LAYER, "KV of the wrong layer", &first_shared, true },
    { FAULT_KV_F16, "an F16 cache where F32 is required", &zero, false },
    { FAULT_FUSED_SUM_KV_DTYPE, "running sum in the cache's dtype", &zero, false },
    { FAULT_HEAD512_LOST, "head size 512 leaves zeros in the layer's place", &first_full, true },
};

// Sanitizers slow a run twentyfold and look for other things: there, two faults stand for all.
static bool left_out(const planted *p)
{
#if defined(__SANITIZE_ADDRESS__)
    bool out = p->f != FAULT_SCORES_BF16 && p->f != FAULT_HEAD512_ZERO;
    if (out) printf("SMALLER under sanitizers: not planted: %s\n", p->name);
    return out;
#else
    (void)p;
    return false;
#endif
}

START_TEST(faults_of_the_runtime_are_caught_in_f32)
{
    const planted *p = &FAULTS[_i];
    if (left_out(p)) return;
    verify_opts o = { .tokens = 4, .run.fault = p->f };
    verify_report r = verify_with(f32, sampled_path("float32"), &o);
    ck_assert_msg(strcmp(verify_verdict(&r), "fail") == 0, "%s: not caught: mean KL %g", p->name,
                  r.fixtures[0].kl_mean);
    located(&r, *p->layer);
    verify_report_free(&r);
}
END_TEST

// The three failures that are silent elsewhere, and where verify says they begin.
START_TEST(the_silent_failures_are_told)
{
    char lost[128];
    snprintf(lost, sizeof lost, "logits are all zero; the hidden state is all zero from layer %d on", first_full);
    const struct { fault f; const char *what, *says; } cases[] = {
        { FAULT_KV_F16, "kv", "the KV cache is f16, the artifact requires f32" },
        { FAULT_KV_F16, "distance", "log-probabilities leave theirs from step " },
        { FAULT_FUSED_SUM_KV_DTYPE, "logprob", "log-probabilities leave theirs from step " },
        { FAULT_HEAD512_LOST, "finite", lost },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        verify_opts o = { .tokens = 4, .run.fault = cases[i].f };
        verify_report r = verify_with(f32, sampled_path("float32"), &o);
        const verify_failure *f = failure_of(&r, cases[i].what);
        ck_assert_msg(f && strstr(f->text, cases[i].says), "expected '%s', found '%s'", cases[i].says,
                      f ? f->text : "no such failure");
        verify_report_free(&r);
    }
    verify_opts o = { .tokens = 4, .run.fault = FAULT_KV_F16 };
    verify_report r = verify_with(bf16, sampled_path("bfloat16"), &o);
    ck_assert(!r.passed && strstr(failure_of(&r, "kv")->text, "the KV cache is f16, the artifact requires bf16"));
    verify_report_free(&r);
    // What hides in bfloat16's noise at the end shows at the beginning.
    static const char note[] = "values that the fixture keeps of layer 0 are Transformers' own bits";
    for (int i = 0; i < 2; i++) {
        o.run.fault = i ? FAULT_FUSED_SUM_KV_DTYPE : FAULT_NONE;
        r = verify_with(bf16, sampled_path("bfloat16"), &o);
        ck_assert_int_eq(r.n_notes, i);
        ck_assert_msg(!i || strstr(r.notes[0], note), "%s", i ? r.notes[0] : "");
        verify_report_free(&r);
    }
}
END_TEST

START_TEST(faults_of_the_runtime_are_caught_in_bf16)
{
    const planted *p = &FAULTS[_i];
    if (!p->in_bf16 || left_out(p)) return;
    verify_opts o = { .tokens = 4, .run.fault = p->f };
    verify_report r = verify_with(bf16, sampled_path("bfloat16"), &o);
    ck_assert_msg(strcmp(verify_verdict(&r), "fail") == 0, "%s: not caught: mean KL %g", p->name,
                  r.fixtures[0].kl_mean);
    const verify_failure *f = &r.fixtures[0].failures[0];
    ck_assert_msg(f->case_id[0] && f->step >= 0 && f->layer >= 0 && f->layer < n_layer, "%s: %s", p->name, f->text);
    verify_report_free(&r);
}
END_TEST

START_TEST(without_a_fault_the_same_library_passes)
{
    verify_report a = quick_run(f32, fixture_path("float32")), b = quick_run(bf16, fixture_path("bfloat16"));
    ck_assert(a.passed && b.passed);
    verify_report_free(&a);
    verify_report_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("faults");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_test(t, without_a_fault_the_same_library_passes);
    tcase_add_test(t, metadata_that_differs_from_the_source_is_named);
    tcase_add_test(t, metadata_edited_after_a_release_is_named);
    tcase_add_test(t, a_flipped_bit_is_named);
    tcase_add_test(t, a_flipped_bit_behind_new_digests_is_found_by_running);
    tcase_add_test(t, swapped_tensors_are_named);
    tcase_add_test(t, a_removed_merge_is_named);
    tcase_add_test(t, another_cache_dtype_is_noted_and_fails);
    tcase_add_loop_test(t, faults_of_the_runtime_are_caught_in_f32, 0, (int)(sizeof FAULTS / sizeof *FAULTS));
    tcase_add_test(t, the_silent_failures_are_told);
    tcase_add_loop_test(t, faults_of_the_runtime_are_caught_in_bf16, 0, (int)(sizeof FAULTS / sizeof *FAULTS));
    suite_add_tcase(s, t);
    return run_suite(s);
}
