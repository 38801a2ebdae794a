// The three silent failures, committed by the CUDA backend: an F16 cache, a fused attention that keeps its running sum
// in the cache's dtype, an attention that ignores head size 512. verify runs on that backend, its kernels run by the
// processor (device/host) or, in tests/gpu.sh, by the device; a clean run passes, and each fault is caught and located.
#include "cuda_where.h"
#ifdef ON_GPU                   // a program built elsewhere finds the checkpoint through the environment
#include <stdlib.h>
static const char *tiny_dir(void)
{
    static char path[512];
    const char *root = getenv("HALLMARK_ROOT");
    snprintf(path, sizeof path, "%s/fixtures/tiny-gemma4", root ? root : SOURCE_DIR);
    return path;
}
#define TINY_DIR tiny_dir()
#endif
#include "verify_files.h"

static char f32[256];
static const char *fixture_file, *gate_file;
static int first_full;

static void setup(void)
{
    files_begin("cuda-faults");
    snprintf(f32, sizeof f32, "%s", convert_tiny("tiny-F32.gguf", FT_F32));
#ifdef ON_GPU
    fixture_file = fixture_path("float32");
#else
    fixture_file = in_scratch("short.json.gz");
    shorten_fixture(fixture_path("float32"), fixture_file, 1);
    gate_for_cases(gate_file = in_scratch("gate.json"), 1);
#endif
    err e = { 0 };
    hparams h;
    gguf *g = open_gguf(f32);
    ck_assert_msg(hparams_read(&h, g, &e), "%s", e.msg);
    while (first_full < h.n_layer && h.layers[first_full].head_dim != 512) first_full++;
    ck_assert_int_lt(first_full, h.n_layer);
    hparams_free(&h);
    gguf_close(g);
}

// One case is enough to see a fault, and all that the processor has time for; the built-in gate asks for more.
static verify_report run_with(fault f, const char *kv)
{
    verify_opts o = { .tokens = 3, .gate_path = gate_file, .run = { .device = "cuda", .fault = f, .kv = kv } };
    verify_report r = verify_with(f32, fixture_file, &o);
    ck_assert_str_eq(r.device, "cuda");
    ck_assert(r.fixtures[0].ran);
    return r;
}

// Nothing is asked for: a verdict has the CPU's products.
START_TEST(without_a_fault_it_passes)
{
    unsetenv("HALLMARK_CUDA_PRODUCTS");
    verify_report r = run_with(FAULT_NONE, NULL);
    exact_products();
    for (int i = 0; i < r.n_notes; i++) ck_assert_msg(strstr(r.notes[i], "products") == NULL, "%s", r.notes[i]);
    ck_assert_msg(r.passed, "%s",
                  r.fixtures[0].n_failures ? r.fixtures[0].failures[0].text : "no failure, and no pass");
    ck_assert_int_eq(r.fixtures[0].teacher_forced_equal, r.fixtures[0].steps);
    verify_report_free(&r);
}
END_TEST

// The default: products of many tokens on the tensor cores (of a device that has them), in another order than the
// CPU's. It passes, and the report says how they were formed.
#ifdef ON_GPU
#define SAYS_PRODUCTS "products of "
#else
#define SAYS_PRODUCTS "another order than the CPU"
#endif
START_TEST(on_tensor_cores_it_passes)
{
    setenv("HALLMARK_CUDA_PRODUCTS", "auto", 1);
    verify_report r = run_with(FAULT_NONE, NULL);
    exact_products();
    bool said = false;
    for (int i = 0; i < r.n_notes; i++) said |= strstr(r.notes[i], SAYS_PRODUCTS) != NULL;
    ck_assert_msg(r.passed, "%s",
                  r.fixtures[0].n_failures ? r.fixtures[0].failures[0].text : "no failure, and no pass");
    ck_assert_int_eq(r.fixtures[0].teacher_forced_equal, r.fixtures[0].steps);
    ck_assert(said);
    verify_report_free(&r);
}
END_TEST

static const struct { fault f; const int *layer; const char *name; } FAULTS[] = {
    { FAULT_KV_F16, &(const int){ 0 }, "an F16 cache where F32 is required" },
    { FAULT_FUSED_SUM_KV_DTYPE, &(const int){ 0 }, "running sum in the cache's dtype" },
    { FAULT_HEAD512_ZERO, &first_full, "head size 512 gives zero" },
    { FAULT_HEAD512_LOST, &first_full, "head size 512 leaves zeros in the layer's place" },
};
#if defined(__SANITIZE_ADDRESS__)
enum { FIRST_FAULT = 3, SMALLER = 1 };      // one stands for all where a run takes ten times as long
#else
enum { FIRST_FAULT = 0, SMALLER = 0 };
#endif

START_TEST(a_fault_is_caught_and_located)
{
    verify_report r = run_with(FAULTS[_i].f, NULL);
    ck_assert_msg(strcmp(verify_verdict(&r), "fail") == 0 && r.fixtures[0].n_failures > 0, "%s: not caught: mean KL %g",
                  FAULTS[_i].name, r.fixtures[0].kl_mean);
    const verify_failure *f = first_in_a_case(&r);
    ck_assert_msg(f->case_id[0] && f->step >= 0, "%s: %s", FAULTS[_i].name, f->text);
    ck_assert_msg(f->layer == *FAULTS[_i].layer, "%s: expected layer %d: %s", FAULTS[_i].name, *FAULTS[_i].layer,
                  f->text);
    verify_report_free(&r);
}
END_TEST

// The same F16 cache asked for openly: the report says which dtype the artifact requires.
START_TEST(another_cache_is_named)
{
    verify_report r = run_with(FAULT_NONE, "f16");
    ck_assert(!r.passed);
    ck_assert_str_eq(r.kv, "f16");
    ck_assert_str_eq(r.kv_required, "f32");
    ck_assert_ptr_nonnull(strstr(failure_of(&r, "kv")->text, "f16"));
    verify_report_free(&r);
}
END_TEST

#ifndef ON_GPU      // a device that fails when it is asked to cannot be had
#include "cuda_failing.h"
#include <limits.h>
#include "release/release.h"

// A release of one F32 artifact, verified by one case, on a device that can launch so many kernels. *names: entries of
// scratch that begin as OUT does.
static bool release_with(int n_launches, const char *hf_dir, const char *out, release_result *r, int *names, err *e)
{
    const file_type types[] = { FT_F32 };
    const char *fixtures[] = { fixture_file };
    const release_opts o = { .name = "tiny",
                             .types = types,
                             .n_types = 1,
                             .fixtures = fixtures,
                             .n_fixtures = 1,
                             .tokens = 3,
                             .device = "cuda",
                             .gate_path = gate_file };
    plant("launch", n_launches, 77);
    const bool ok = release_checkpoint(r, hf_dir, out, &o, e);
    unplant();
    *names = 0;
    DIR *d = opendir(scratch);
    for (struct dirent *x; (x = readdir(d)) != NULL;) *names += strncmp(x->d_name, "pub", 3) == 0;
    closedir(d);
    ck_assert_int_eq(host_calls_live(), 0);
    return ok;
}

START_TEST(a_device_that_fails_in_the_middle_publishes_nothing)
{
    char hf_dir[300], out[300];
    release_result r;
    int names;
    err e = { 0 };
    snprintf(hf_dir, sizeof hf_dir, "%s", copy_checkpoint("hf"));    // without its fixtures, which take too long here
    snprintf(out, sizeof out, "%s", in_scratch("pub"));
    ck_assert_msg(release_with(INT_MAX, hf_dir, out, &r, &names, &e), "%s", e.msg);
    ck_assert(r.published && names == 1);
    release_result_free(&r);
    const int all = calls_seen;
    ck_assert_int_gt(all, 100);
    snprintf(out, sizeof out, "%s", in_scratch("pub2"));
    ck_assert(!release_with(all / 2, hf_dir, out, &r, &names, &e));
    ck_assert_int_eq(e.kind, ERR_SYSTEM);
    ck_assert_msg(strstr(e.msg, "could not be launched") != NULL, "%s", e.msg);
    ck_assert_int_eq(names, 1);         // of the one before; no pub2, pub2.failed, pub2.partial-N
}
END_TEST
#endif

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_faults");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_test(t, without_a_fault_it_passes);
    tcase_add_loop_test(t, a_fault_is_caught_and_located, FIRST_FAULT, (int)(sizeof FAULTS / sizeof *FAULTS));
    if (SMALLER) {
        printf("SMALLER under sanitizers: one of four faults; neither tensor cores nor another cache\n");
    } else {
        tcase_add_test(t, on_tensor_cores_it_passes);
        tcase_add_test(t, another_cache_is_named);
    }
#ifndef ON_GPU
    tcase_add_test(t, a_device_that_fails_in_the_middle_publishes_nothing);
#endif
    suite_add_tcase(s, t);
    return run_suite(s);
}
