// Proves the whole runtime on the CUDA backend, its kernels run by the processor (device/host): the committed tiny
// Gemma 4 gives the CPU's logits, hidden states and tokens, bit for bit, for every cache dtype and both arithmetics,
// token by token and in batches, fused and not, eager and as a recorded decode step; and what is said when the device
// fails.
#include "convert/convert.h"
#include "cuda_where.h"
#include "mini_checkpoint.h"
#include "runtime/session.h"
#include "suite.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], paths[4][96];
static err e;

static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

enum { MINI = 3 };

static void make_artifacts(void)
{
    static const struct {
        const char *name;
        file_type type;
    } made[] = { { "bf16", FT_BF16 }, { "q4_k_m", FT_Q4_K_M }, { "q3_k_s", FT_Q3_K_S } };
    // A program built elsewhere finds the checkpoint through the environment.
    const char *root = getenv("HALLMARK_ROOT");
    char checkpoint[512];
    snprintf(checkpoint, sizeof checkpoint, "%s/fixtures/tiny-gemma4", root ? root : SOURCE_DIR);
    strcpy(dir, "/tmp/hallmark-cuda-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s.gguf", dir, made[i].name);
        convert_opts o = { .type = made[i].type };
        must(convert_checkpoint(checkpoint, paths[i], &o, &e));
    }
    // A model with the same operations that takes a tenth of the time, for what is about calls and not about numbers.
    snprintf(paths[MINI], sizeof paths[MINI], "%s/mini.gguf", dir);
    mini *c = mini_gemma4();
    mini_write(c, false);
    must(convert_checkpoint(c->dir, paths[MINI], &(convert_opts){ .type = FT_BF16 }, &e));
    mini_free(c);
}

static void remove_artifacts(void)
{
    for (int i = 0; i <= MINI; i++) unlink(paths[i]);
    rmdir(dir);
}

static model *open_model(int file)
{
    model *m = model_open(paths[file], &e);
    must(m != NULL);
    return m;
}

static session *open_session(const model *m, const char *device, session_opts o)
{
    o.device = device;
    session *s = session_new(m, &o, &e);
    must(s != NULL);
    ck_assert_str_eq(session_device(s), device);
    return s;
}

// More than the sliding window (24), so that the ring turns.
#ifdef ON_GPU
enum { N_IDS = 90, N_NEW = 64 };
#else
enum { N_IDS = 30, N_NEW = 13 };        // more steps than one replay has
#endif

static void some_ids(const model *m, int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)model_hparams(m)->n_vocab);
    ids[0] = 2;
}

static const struct { int file; session_opts o; unsigned order;
} runs[] = {
    { 0, { .arith = "bf16", .n_batch = 16 }, 0 },
    { 1, { .arith = "f32", .kv = "q8_0", .n_batch = 9 }, 5 },
    { 0, { .arith = "f32", .kv = "f16", .n_batch = 1 }, 0 },
    { 0, { .arith = "f32", .n_batch = 30 }, 1 },
    { 1, { .arith = "bf16", .kv = "bf16", .n_batch = 13 }, 0 },
    { 2, { .arith = "f32", .kv = "q4_0", .n_batch = 12 }, 1 },
};
#ifdef __SANITIZE_ADDRESS__     // a kernel step takes ten times as long: one of them does
enum { N_RUNS = 1 };
#else
enum { N_RUNS = sizeof runs / sizeof *runs };
#endif

// What one session gives for the ids: logits of the last three, hidden states of the last, then greedy tokens after
// them.
typedef struct { float *logits, *hidden; int32_t ids[N_NEW]; } outcome;

static outcome run(const model *m, const char *device, session_opts o)
{
    const hparams *h = model_hparams(m);
    const int64_t n_hidden = (int64_t)(h->n_layer + 1) * h->n_embd;
    int32_t ids[N_IDS];
    some_ids(m, ids, N_IDS);
    o.n_ctx = N_IDS + N_NEW + 4;
    session *s = open_session(m, device, o);
    outcome r = { .logits = malloc((size_t)(3 * h->n_vocab) * sizeof(float)),
                  .hidden = malloc((size_t)n_hidden * sizeof(float)) };
    must(session_eval(s, ids, N_IDS, r.logits, 3, r.hidden, &e));
    const int32_t next = argmax_f32(r.logits + 2 * h->n_vocab, h->n_vocab);
    ck_assert_int_eq(session_generate(s, &next, 1, r.ids, N_NEW, true, NULL, NULL, &e), N_NEW);
    ck_assert_int_eq(session_pos(s), N_IDS + N_NEW);
    session_free(s);
    return r;
}

static void free_outcome(outcome *r) { free(r->logits); free(r->hidden); }

START_TEST(the_cpus_bits)
{
    if (N_RUNS == 1) printf("SMALLER under sanitizers: one of six runs of the committed checkpoint\n");
    host_calls_order(runs[_i].order);
    model *m = open_model(runs[_i].file);
    const hparams *h = model_hparams(m);
    outcome want = run(m, "cpu", runs[_i].o), got = run(m, "cuda", runs[_i].o);
    ck_assert_msg(memcmp(want.hidden, got.hidden, (size_t)((h->n_layer + 1) * h->n_embd) * sizeof(float)) == 0,
                  "hidden states differ");
    ck_assert_msg(memcmp(want.logits, got.logits, (size_t)(3 * h->n_vocab) * sizeof(float)) == 0, "logits differ");
    for (int i = 0; i < N_NEW; i++)
        ck_assert_msg(want.ids[i] == got.ids[i], "token %d: the CPU gives %d, the kernels %d", i, want.ids[i],
                      got.ids[i]);
    free_outcome(&want);
    free_outcome(&got);
    model_close(m);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

#ifndef ON_GPU
// ---- when the device fails ------------------------------------------------------------------------------------------
#include "cuda_failing.h"

static int failing_driver(int *v)
{
    *v = 0;
    return fails("driver") ? 0 : host_calls()->driver_version(v);
}
static int old_driver(int *v)                       { *v = 11040; return 0; }
static size_t memory_left;
static int full_memory(size_t *f, size_t *total)    { *f = memory_left; *total = 1 << 30; return 0; }
static int no_devices(int *n)                       { *n = 0; return fail.status; }

// A session from its opening to a few tokens; true when all went well.
static bool whole_life(const model *m, err *why)
{
    session_opts o = { .device = "cuda", .n_ctx = 12, .n_batch = 3 };
    int32_t ids[3], out[5];
    some_ids(m, ids, 3);
    session *s = session_new(m, &o, why);
    const bool ok = s && session_generate(s, ids, 3, out, 5, true, NULL, NULL, why) == 5;
    session_free(s);
    return ok;
}

START_TEST(any_failure_ends_in_one_message_and_freed_memory)
{
    enum { OTHER = 77, NO_MEMORY = 2 };
    static const struct { const char *call; int nth, status; const char *says; } cases[] = {
        { "stream_open", 0, OTHER, "opening a stream" },
        { "alloc", 0, NO_MEMORY, "out of memory for decode state" },
        { "alloc", 9, NO_MEMORY, "out of memory for" },
        { "alloc", 100, NO_MEMORY, "out of memory for" },
        { "alloc", 30, OTHER, "failure made by a test" },
        { "alloc_pinned", 1, NO_MEMORY, "pinned memory" },
        { "copy", 3, OTHER, "copying to the device" },
        { "copy", 60, OTHER, "copying" },
        { "stream_sync", 5, OTHER, "waiting for the device" },
        { "launch", 0, OTHER, "could not be launched" },
        { "launch", 150, OTHER, "could not be launched" },
        { "capture_begin", 0, OTHER, "recording a graph" },
        { "capture_end", 0, OTHER, "recorded graph" },
        { "graph_launch", 1, OTHER, "launching the decode graph" },
    };
    model *m = open_model(MINI);
    err none = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err why = { 0 };
        plant(cases[i].call, cases[i].nth, cases[i].status);
        const bool ok = whole_life(m, &why);
        unplant();
        ck_assert_msg(!ok, "failure %d of %s was not noticed", cases[i].nth, cases[i].call);
        ck_assert_int_eq(why.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(why.msg, cases[i].says) != NULL, "%s %d: found '%s', expected '%s' in it", cases[i].call,
                      cases[i].nth, why.msg, cases[i].says);
        ck_assert_msg(host_calls_live() == 0, "%s %d: %lld things are not freed", cases[i].call, cases[i].nth,
                      (long long)host_calls_live());
    }
    ck_assert_msg(whole_life(m, &none), "%s", none.msg);
    ck_assert_int_eq(host_calls_live(), 0);
    model_close(m);
}
END_TEST

// Every call of a session's life, opening and loading included, fails once: the first, the second, and so on to the
// last.
START_TEST(whichever_call_fails_memory_is_freed)
{
    // Allocations: each of them. Of the others the first ones, and every stride-th of the rest: behind whole steps of
    // kernels each takes long.
    static const struct { const char *call; int first, stride; } calls[] = {
        { "properties", 9, 1 },    { "set_device", 9, 1 },    { "stream_open", 9, 1 },  { "memory", 9, 1 },
        { "alloc", 1000, 1 },      { "fill", 20, 3 },         { "alloc_pinned", 9, 1 }, { "event_open", 9, 1 },
        { "event_record", 20, 3 }, { "copy", 30, 5 },         { "stream_sync", 30, 5 }, { "launch", 20, 23 },
        { "compiled_for", 9, 1 },  { "capture_begin", 9, 1 }, { "capture_end", 9, 1 },  { "graph_launch", 9, 1 },
    };
    model *m = open_model(MINI);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        err none = { 0 };
        plant(calls[i].call, 1 << 30, 77);
        ck_assert_msg(whole_life(m, &none), "%s", none.msg);
        const int total = calls_seen;
        ck_assert_msg(total > 0, "%s is never called", calls[i].call);
#ifdef __SANITIZE_ADDRESS__
        const int first = 2, stride = 1 + total / 4;
        printf("SMALLER under sanitizers: %s fails at %d of its calls\n", calls[i].call,
               total < first ? total : first + (total - first) / stride);
#else
        const int first = calls[i].first, stride = calls[i].stride;
#endif
        for (int n = 0; n < total; n += n < first ? 1 : stride) {
            err why = { 0 };
            plant(calls[i].call, n, 77);
            const bool ok = whole_life(m, &why);
            unplant();
            // Closing waits for the device too, and whether that works no longer matters.
            const bool closing = n == total - 1 && strcmp(calls[i].call, "stream_sync") == 0;
            ck_assert_msg((!ok && why.kind == ERR_SYSTEM && why.msg[0]) || closing, "failure %d of %d of %s: %s", n,
                          total, calls[i].call, ok ? "not noticed" : why.msg);
            ck_assert_msg(host_calls_live() == 0, "%s %d of %d: %lld things are not freed", calls[i].call, n, total,
                          (long long)host_calls_live());
        }
    }
    unplant();
    model_close(m);
}
END_TEST

START_TEST(no_driver_old_driver_no_device)
{
    static const struct { int which; const char *says; } cases[] = {
        { 0, "no NVIDIA driver" },
        { 1, "the driver supports CUDA 11.4, this program needs 13.0" },
        { 2, "no device found" },
    };
    model *m = open_model(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err why = { 0 };
        session_opts o = { .device = "cuda", .n_ctx = 8 };
        plant("driver", 0, 77);
        if (cases[i].which == 0) failing.driver_version = failing_driver;
        if (cases[i].which == 1) failing.driver_version = old_driver;
        if (cases[i].which == 2) failing.device_count = no_devices;
        ck_assert_ptr_null(session_new(m, &o, &why));
        ck_assert_int_eq(why.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(why.msg, cases[i].says) != NULL, "found '%s', expected '%s' in it", why.msg,
                      cases[i].says);
        // `auto` goes on, on the CPU, and says why, but where there is no driver or no device: nothing is amiss then.
        o.device = "auto";
        session *s = session_new(m, &o, &e);
        must(s != NULL);
        ck_assert_str_eq(session_device(s), "cpu");
        unplant();
        if (cases[i].which != 1) ck_assert_str_eq(session_note(s), "");
        else ck_assert_msg(strstr(session_note(s), cases[i].says) != NULL, "%s", session_note(s));
        session_free(s);
        ck_assert_int_eq(host_calls_live(), 0);
    }
    model_close(m);
}
END_TEST

// Products that add in another order are never silent, what must be reproducible has none unless they are asked for,
// and a value that nobody knows is no reason to run elsewhere.
START_TEST(products_in_another_order_are_said)
{
    static const char other[] = "another order than the CPU";
    static const struct { const char *value, *says; bool reproducible; } modes[] = {
        { "exact", "", false }, { "tensor", other, false }, { "auto", other, false },
        { NULL, other, false }, { NULL, "", true },         { "auto", other, true },
    };
    model *m = model_open(paths[0], &e);
    must(m != NULL);
    session_opts o = { .device = "cuda", .n_ctx = 8 };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (modes[i].value) setenv("HALLMARK_CUDA_PRODUCTS", modes[i].value, 1);
        else                unsetenv("HALLMARK_CUDA_PRODUCTS");
        o.reproducible = modes[i].reproducible;
        session *s = session_new(m, &o, &e);
        must(s != NULL);
        ck_assert_msg(strstr(session_note(s), modes[i].says) != NULL &&
                          (*session_note(s) != 0) == (*modes[i].says != 0),
                      "%s: %s", modes[i].value, session_note(s));
        session_free(s);
    }
    setenv("HALLMARK_CUDA_PRODUCTS", "fast", 1);
    for (int i = 0; i < 2; i++) {
        err why = { 0 };
        o.device = i ? "auto" : "cuda";
        ck_assert_ptr_null(session_new(m, &o, &why));
        ck_assert_int_eq(why.kind, ERR_USAGE);
        ck_assert_msg(strstr(why.msg, "found 'fast', expected auto, exact, tensor or cublas") != NULL, "%s", why.msg);
    }
    exact_products();
    model_close(m);
}
END_TEST

static void count_tensor(void *ctx, const product_input *in) { ++*(int *)ctx; }

static int uses_of(const char *call)    // since this was asked last; counts another call from here on
{
    const int n = calls_seen;
    fail.call = call;
    calls_seen = 0;
    return n;
}

// Single steps with logits: the first by itself, all others as the recorded step and nothing else; the CPU's logits,
// whatever came before or between.
START_TEST(steps_with_logits_are_the_recorded_step)
{
    enum { PROMPT = 11, STEPS = 5 };
    model *m = open_model(MINI);
    const hparams *h = model_hparams(m);
    const size_t row = (size_t)h->n_vocab * sizeof(float),
                 state = (size_t)(h->n_layer + 1) * (size_t)h->n_embd * sizeof(float);
    float *want = malloc(row), *got = malloc(row), *hidden = malloc(2 * state);
    int32_t ids[40], out[2][4];
    int seen = 0;
    some_ids(m, ids, 40);
    plant("launch", 1 << 30, 77);
    session *cpu = open_session(m, "cpu", (session_opts){ .n_ctx = 40, .n_batch = 8, .kv = "q8_0" }),
            *s = open_session(m, "cuda", (session_opts){ .n_ctx = 40, .n_batch = 8, .kv = "q8_0" });
    for (int text = 0; text < 2; text++) {
        session_reset(cpu);
        session_reset(s);
        must(session_eval(cpu, ids, PROMPT, want, 1, NULL, &e) && session_eval(s, ids, PROMPT, got, 1, NULL, &e));
        ck_assert(memcmp(want, got, row) == 0);
        for (int i = 0; i < STEPS; i++) {
            uses_of("launch");
            must(session_eval(s, &ids[PROMPT + i], 1, got, 1, NULL, &e));
            const int n = uses_of("graph_launch");
            // the second step records
            ck_assert_msg((n > 0) == (text == 0 && i < 2), "text %d: step %d: %d launches", text, i, n);
            must(session_eval(cpu, &ids[PROMPT + i], 1, want, 1, NULL, &e));
            ck_assert_msg(memcmp(want, got, row) == 0, "text %d: step %d: logits differ", text, i);
        }
        ck_assert_int_eq(session_pos(s), PROMPT + STEPS);
    }
    uses_of("graph_launch");
    must(session_eval(s, &ids[20], 1, got, 1, NULL, &e) && session_eval(cpu, &ids[20], 1, want, 1, NULL, &e));
    ck_assert_int_eq(uses_of("graph_launch"), 1);
    ck_assert(memcmp(want, got, row) == 0);
    // Hidden states, several tokens, and an observer are not what was recorded.
    must(session_eval(s, &ids[21], 1, got, 1, hidden, &e) &&
         session_eval(cpu, &ids[21], 1, want, 1, hidden + state / sizeof *hidden, &e));
    ck_assert(memcmp(want, got, row) == 0 && memcmp(hidden, hidden + state / sizeof *hidden, state) == 0);
    must(session_observe(s, count_tensor, &seen, &e));
    for (int i = 22; i < 25; i++) {
        const int before = seen;
        must(session_eval(s, &ids[i], 1, got, 1, NULL, &e) && session_eval(cpu, &ids[i], 1, want, 1, NULL, &e));
        ck_assert_int_gt(seen, before);
        ck_assert(memcmp(want, got, row) == 0);
    }
    ck_assert_int_eq(uses_of("graph_launch"), 0);
    must(session_observe(s, NULL, NULL, &e));
    // Generation goes on from there, and refuses what a step of logits refuses.
    ck_assert_int_eq(session_generate(s, &ids[25], 3, out[0], 4, true, NULL, NULL, &e), 4);
    ck_assert_int_eq(session_generate(cpu, &ids[25], 3, out[1], 4, true, NULL, NULL, &e), 4);
    ck_assert(memcmp(out[0], out[1], sizeof out[0]) == 0);
    err why = { 0 };
    const int32_t outside = (int32_t)h->n_vocab;
    ck_assert(!session_eval(s, &outside, 1, got, 1, NULL, &why) && why.kind == ERR_INPUT);
    // The device fails in the graph: said, and nothing is lost.
    fail.call = "graph_launch";
    fail.left = 0;
    why = (err){ 0 };
    ck_assert(!session_eval(s, &ids[30], 1, got, 1, NULL, &why) && why.kind == ERR_SYSTEM &&
              strstr(why.msg, "decode graph"));
    session_free(s);
    session_free(cpu);
    unplant();
    ck_assert_int_eq(host_calls_live(), 0);
    free(want);
    free(got);
    free(hidden);
    model_close(m);
}
END_TEST

// A context whose cache alone is larger than the device: said before anything is loaded.
START_TEST(what_does_not_fit_is_said_before_loading)
{
    model *m = open_model(0);
    err why = { 0 };
    session_opts o = { .device = "cuda", .n_ctx = 1 << 20, .n_batch = 4 };
    plant("copy", 2, 77);               // a weight would be copied through here
    ck_assert_ptr_null(session_new(m, &o, &why));
    unplant();
    ck_assert_int_eq(why.kind, ERR_SYSTEM);
    ck_assert_msg(strstr(why.msg, "does not fit") && strstr(why.msg, "weights") && strstr(why.msg, "KV cache"), "%s",
                  why.msg);
    ck_assert_int_eq(host_calls_live(), 0);
    // A device that is nearly full: the same for a small context; `auto` runs on the CPU and gives the plan as its
    // reason.
    o.n_ctx = 12;
    plant("none", 0, 77);
    failing.memory = full_memory;
    for (int i = 0; i < 2; i++) {       // what is needed only when it runs is no room for a model
        memory_left = i ? (size_t)103 << 20 : 1 << 20;
        why = (err){ 0 };
        ck_assert_ptr_null(session_new(m, &o, &why));
        ck_assert_msg(strstr(why.msg, "does not fit") &&
                          strstr(why.msg, i ? "room for them 1.0 MiB" : "room for them 0.0 MiB"),
                      "%s", why.msg);
    }
    o.device = "auto";
    session *s = session_new(m, &o, &e);
    unplant();
    must(s != NULL);
    ck_assert_str_eq(session_device(s), "cpu");
    ck_assert_msg(strstr(session_note(s), "does not fit") && strstr(session_note(s), "weights"), "%s", session_note(s));
    session_free(s);
    ck_assert_int_eq(host_calls_live(), 0);
    model_close(m);
}
END_TEST

static int none_found(int *n) { *n = 0; return 0; }
static int no_driver(int *version) { *version = 0; return 0; }
static int old_device(int device, gpu_props *p)
{
    const int status = host_calls()->properties(device, p);
    p->major = 6;
    return status;
}

// A machine without a GPU has nothing to explain; one whose GPU cannot be used has.
START_TEST(auto_tells_of_a_device_that_is_there)
{
    model *m = open_model(0);
    for (int i = 0; i < 3; i++) {
        plant("none", 0, 77);
        if (i == 0) failing.device_count = none_found;
        if (i == 1) failing.driver_version = no_driver;
        if (i == 2) failing.properties = old_device;
        err why = { 0 };
        ck_assert_ptr_null(session_new(m, &(session_opts){ .device = "cuda", .n_ctx = 12 }, &why));
        ck_assert_msg(strstr(why.msg, i == 2 ? "compute capability" : "device cuda: no "), "%s", why.msg);
        session *s = session_new(m, &(session_opts){ .device = "auto", .n_ctx = 12 }, &e);
        unplant();
        must(s != NULL);
        ck_assert_str_eq(session_device(s), "cpu");
        ck_assert_msg(i == 2 ? strstr(session_note(s), "compute capability") != NULL : !*session_note(s), "%s",
                      session_note(s));
        session_free(s);
    }
    ck_assert_int_eq(host_calls_live(), 0);
    model_close(m);
}
END_TEST

// Room that was there when it was asked for may be gone when it is taken: `auto` goes on to the CPU, whichever
// allocation finds it out.
START_TEST(auto_goes_on_where_loading_fails)
{
    enum { AS_OPENING = 3, AS_LOADING = 20, NO_MEMORY = 2 };
    model *m = open_model(0);
    const session_opts o = { .device = "auto", .n_ctx = 12, .n_batch = 3 };
    const int nth[] = { AS_OPENING, AS_LOADING, 60 };
    int32_t prompt[3], want[4], got[4];
    some_ids(m, prompt, 3);
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 12 }, &e);
    must(s && session_generate(s, prompt, 3, want, 4, true, NULL, NULL, &e) == 4);
    session_free(s);
    for (size_t i = 0; i < sizeof nth / sizeof *nth; i++) {
        plant("alloc", nth[i], NO_MEMORY);
        s = session_new(m, &o, &e);
        unplant();
        must(s && session_generate(s, prompt, 3, got, 4, true, NULL, NULL, &e) == 4);
        ck_assert_str_eq(session_device(s), "cpu");
        ck_assert_msg(strstr(session_note(s), "running on the CPU") && strstr(session_note(s), "out of memory"), "%s",
                      session_note(s));
        ck_assert(memcmp(want, got, sizeof want) == 0);
        session_free(s);
        ck_assert_int_eq(host_calls_live(), 0);
    }
    model_close(m);
}
END_TEST

#endif

START_TEST(the_limit_is_measured)
{
    model *m = open_model(0);
    double rate = 0;
    session *s = open_session(m, "cuda", (session_opts){ .n_ctx = 8 });
    must(session_copy_rate(s, &rate, &e));
    ck_assert(rate > 0);
    session_free(s);
    ck_assert_int_eq(host_calls_live(), 0);
    model_close(m);
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_session");
    TCase *t = tcase_create("session");
    tcase_add_unchecked_fixture(t, make_artifacts, remove_artifacts);
    tcase_add_loop_test(t, the_cpus_bits, 0, N_RUNS);
    tcase_add_test(t, the_limit_is_measured);
#ifndef ON_GPU
    TCase *f = tcase_create("failures");
    tcase_add_unchecked_fixture(f, make_artifacts, remove_artifacts);
    tcase_add_test(f, any_failure_ends_in_one_message_and_freed_memory);
    tcase_add_test(f, whichever_call_fails_memory_is_freed);
    tcase_add_test(f, no_driver_old_driver_no_device);
    tcase_add_test(f, products_in_another_order_are_said);
    tcase_add_test(f, what_does_not_fit_is_said_before_loading);
    tcase_add_test(f, auto_goes_on_where_loading_fails);
    tcase_add_test(f, auto_tells_of_a_device_that_is_there);
    tcase_add_test(f, steps_with_logits_are_the_recorded_step);
    suite_add_tcase(s, f);
#endif
    suite_add_tcase(s, t);
    return run_suite(s);
}
