// Proves that the device that is the processor (device/host) holds kernels to the contract of after_previous in
// device/device.cuh: a kernel starts before the one before it has run, in a stream and in a recorded graph; what is
// read or written before the wait is wrong afterwards; a thread that does not wait, or waits twice, is named. And on
// which devices gpu.c asks for that.
#include "overlap_kernels.h"
#include "device/host/calls_host.h"
#include "suite.h"
#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static float *zeros(gpu *g)
{
    void *p = NULL;
    must(gpu_alloc(g, &p, OVERLAP_N * sizeof(float), "test", &e));
    return p;
}

// All elements of p, which must be equal.
static float value_of(gpu *g, const float *p)
{
    float x[OVERLAP_N];
    must(gpu_download(g, x, p, sizeof x, &e));
    for (int i = 1; i < OVERLAP_N; i++)
        ck_assert_msg(x[i] == x[0], "element %d: %g, the first: %g", i, (double)x[i], (double)x[0]);
    return x[0];
}

static gpu *open_gpu(const cuda_calls *calls)
{
    gpu *g = gpu_open(calls, &e);
    must(g != NULL);
    return g;
}

// a -> b -> a -> ..., n launches: the last result is n.
static const float *chain(gpu *g, int n, float *a, float *b)
{
    for (int i = 0; i < n; i++) must(overlap_add_one(g, KEEPS, i % 2 ? a : b, i % 2 ? b : a, &e));
    return n % 2 ? b : a;
}

static const unsigned orders[] = { 0, 1, 7 };
enum { N_ORDERS = sizeof orders / sizeof orders[0], CHAIN = 5 };

START_TEST(kernels_start_early_and_wait)
{
    host_calls_order(orders[_i]);
    gpu *g = open_gpu(NULL);
    float *a = zeros(g), *b = zeros(g);
    const int64_t before = host_calls_overlapped();
    ck_assert_float_eq(value_of(g, chain(g, CHAIN, a, b)), CHAIN);
    ck_assert_int_eq(host_calls_overlapped() - before, CHAIN - 1);
    // A copy and a fill end what runs before them, and the next kernel starts after them.
    must(overlap_add_one(g, KEEPS, b, a, &e) && gpu_zero(g, b, OVERLAP_N * sizeof(float), &e) &&
         overlap_add_one(g, KEEPS, a, b, &e));
    ck_assert_float_eq(value_of(g, a), 1);
    ck_assert_int_eq(host_calls_overlapped() - before, CHAIN - 1);
    gpu_close(g);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

START_TEST(kernels_of_a_graph_start_early_and_wait)
{
    host_calls_order(orders[_i]);
    gpu *g = open_gpu(NULL);
    gpu_graph *graph = NULL;
    float *a = zeros(g), *b = zeros(g);
    must(gpu_record_begin(g, &e));
    chain(g, 4, a, b);
    must(gpu_record_end(g, &graph, &e));
    ck_assert_float_eq(value_of(g, a), 0);
    const int64_t before = host_calls_overlapped();
    for (int i = 0; i < 3; i++) must(gpu_graph_run(g, graph, &e));
    ck_assert_float_eq(value_of(g, a), 12);
    ck_assert_int_eq(host_calls_overlapped() - before, 3 * 3);
    gpu_graph_release(g, graph);
    gpu_close(g);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

// An element of the block that runs first, after two launches of which the second may break the contract.
static float after_two(overlap_form second)
{
    gpu *g = open_gpu(NULL);
    float *a = zeros(g), *b = zeros(g), *c = zeros(g), x[OVERLAP_N];
    // READS_EARLY: b, which the first writes. WRITES_EARLY: a, which the first reads.
    must(overlap_add_one(g, KEEPS, b, a, &e) && overlap_add_one(g, second, second == WRITES_EARLY ? a : c, b, &e));
    must(gpu_download(g, x, second == WRITES_EARLY ? b : c, sizeof x, &e));
    gpu_close(g);
    return x[5];
}

START_TEST(what_is_done_too_early_is_wrong)
{
    host_calls_order(0);
    ck_assert_float_eq(after_two(KEEPS), 2);
    ck_assert_float_eq(after_two(READS_EARLY), 1);      // 0 + 1: from before the first
    ck_assert_float_eq(after_two(WRITES_EARLY), 0);     // -1 + 1: the first read what the second wrote
}
END_TEST

// In another process, which is to end with a message.
START_TEST(a_thread_that_does_not_wait_once_is_named)
{
    static const struct { overlap_form form; const char *says; } cases[] = {
        { FORGETS, "has not called after_previous" },
        { FORGETS_WHERE_IT_RETURNS, "block (2, 0, 0) of (3, 1, 1), thread 63 of 64: a thread ends and has not" },
        { TWICE, "thread 7 of 64: a thread calls after_previous a second time" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd[2], status = 0;
        char text[2048] = { 0 };
        ck_assert_int_eq(pipe(fd), 0);
        const pid_t child = fork();
        if (child == 0) {
            dup2(fd[1], 2);
            gpu *g = gpu_open(NULL, &e);
            void *p = NULL;
            signal(SIGABRT, SIG_DFL);
            if (g && gpu_alloc(g, &p, OVERLAP_N * sizeof(float), "test", &e) &&
                overlap_add_one(g, cases[i].form, p, p, &e))
                gpu_sync(g, &e);
            _exit(0);
        }
        close(fd[1]);
        for (size_t n = 0; n + 1 < sizeof text;) {
            const ssize_t got = read(fd[0], text + n, sizeof text - 1 - n);
            if (got <= 0) break;
            n += (size_t)got;
        }
        close(fd[0]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "form %d went through", cases[i].form);
        ck_assert_msg(strstr(text, cases[i].says) && strstr(text, "add_one_kernel"), "found '%s', expected '%s' in it",
                      text, cases[i].says);
    }
}
END_TEST

// ---- where it is asked for ------------------------------------------------------------------------------------------

static struct { int driver, toolkit, major, minor, compiled_for; } there;

static int its_driver(int *v)   { *v = there.driver; return 0; }
static int its_toolkit(int *v)  { *v = there.toolkit; return 0; }

static int its_kernels(const void *kernel, int *capability) { *capability = there.compiled_for; return 0; }

static int its_properties(int device, gpu_props *p)
{
    const int status = host_calls()->properties(device, p);
    p->major = there.major;
    p->minor = there.minor;
    return status;
}

START_TEST(only_where_device_driver_toolkit_and_kernels_can)
{
    static const struct { int driver, toolkit, major, minor, compiled_for; bool overlaps; } cases[] = {
        { 13000, 13000, 9, 0, 90, true },   { 12030, 12030, 10, 0, 90, true },  { 12040, 12030, 12, 1, 120, true },
        { 13000, 13000, 8, 9, 89, false },  { 13000, 13000, 7, 5, 75, false },
        { 12020, 12040, 9, 0, 90, false },  { 13000, 12020, 9, 0, 90, false },      // neither records such launches
        { 13000, 13000, 9, 0, 80, false },                                          // these kernels do not wait
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cuda_calls calls = *host_calls();
        calls.driver_version = its_driver;
        calls.runtime_version = its_toolkit;
        calls.properties = its_properties;
        calls.compiled_for = its_kernels;
        memcpy(&there, &cases[i], sizeof there);
        gpu *g = open_gpu(&calls);
        float *a = zeros(g), *b = zeros(g);
        const int64_t before = host_calls_overlapped();
        ck_assert_float_eq(value_of(g, chain(g, CHAIN, a, b)), CHAIN);
        ck_assert_int_eq(host_calls_overlapped() - before, cases[i].overlaps ? CHAIN - 1 : 0);
        gpu_close(g);
    }
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

START_TEST(it_can_be_switched_off)
{
    static const struct {
        const char *value;
        bool overlaps;
    } cases[] = { { "on", true }, { "", true }, { "off", false } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("HALLMARK_CUDA_OVERLAP", cases[i].value, 1);
        gpu *g = open_gpu(NULL);
        float *a = zeros(g), *b = zeros(g);
        const int64_t before = host_calls_overlapped();
        ck_assert_float_eq(value_of(g, chain(g, CHAIN, a, b)), CHAIN);
        ck_assert_int_eq(host_calls_overlapped() - before, cases[i].overlaps ? CHAIN - 1 : 0);
        gpu_close(g);
    }
    err why = { 0 };
    setenv("HALLMARK_CUDA_OVERLAP", "maybe", 1);
    ck_assert_ptr_null(gpu_open(NULL, &why));
    unsetenv("HALLMARK_CUDA_OVERLAP");
    ck_assert_int_eq(why.kind, ERR_USAGE);
    ck_assert_msg(strstr(why.msg, "found 'maybe', expected on or off") != NULL, "%s", why.msg);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cuda_overlap");
    TCase *t = tcase_create("overlap");
    tcase_add_loop_test(t, kernels_start_early_and_wait, 0, N_ORDERS);
    tcase_add_loop_test(t, kernels_of_a_graph_start_early_and_wait, 0, N_ORDERS);
    tcase_add_test(t, what_is_done_too_early_is_wrong);
    tcase_add_test(t, a_thread_that_does_not_wait_once_is_named);
    tcase_add_test(t, only_where_device_driver_toolkit_and_kernels_can);
    tcase_add_test(t, it_can_be_switched_off);
    suite_add_tcase(s, t);
    return run_suite(s);
}
