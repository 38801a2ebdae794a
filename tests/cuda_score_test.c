// Proves runtime/cuda/score.cu, top.cu and score_ops.c: what the CUDA backend says of rows of logits has the CPU's
// bits, doubles too, in several orders of threads and blocks; a session scores a text alike on both, against a session
// of the other kind too; and failures are said, with nothing lost.
#include "convert/convert.h"
#define put buffer_put          // cuda_both.h has another put
#include "mini_checkpoint.h"
#undef put
#include "cuda_both.h"
#include "runtime/session.h"
#include "score_rows.h"
#include <unistd.h>

// The committed checkpoint twice; and a model that takes a tenth of the time, for what is about calls.
static char dir[64], paths[4][96];

static void make_artifacts(void)
{
    static const file_type types[] = { FT_F32, FT_Q4_0 };
    // a program built elsewhere finds the checkpoint through the environment
    const char *root = getenv("HALLMARK_ROOT");
    char checkpoint[512];
    snprintf(checkpoint, sizeof checkpoint, "%s/fixtures/tiny-gemma4", root ? root : SOURCE_DIR);
    strcpy(dir, "/tmp/hallmark-cuda-score-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d.gguf", dir, i);
        must(convert_checkpoint(checkpoint, paths[i], &(convert_opts){ .type = types[i] }, &e));
    }
    mini *c = mini_gemma4();
    mini_write(c, false);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[2 + i], sizeof paths[2 + i], "%s/mini-%d.gguf", dir, i);
        must(convert_checkpoint(c->dir, paths[2 + i], &(convert_opts){ .type = types[i] }, &e));
    }
    mini_free(c);
}

static void remove_artifacts(void)
{
    for (int i = 0; i < 4; i++) unlink(paths[i]);
    rmdir(dir);
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// Both backends on the same rows, which are freed.
static void same_scores(const score_case *c, float *x, float *ref, const char *what)
{
    scores want = score_on(on[CPU], c, x, ref), got = score_on(on[GPU], c, x, ref);
    score_same(&want, &got, c, what);
    score_free(&want);
    score_free(&got);
    free(x);
    free(ref);
}

START_TEST(the_cpus_figures)
{
    begin(_i);
    for (int i = 0; i < N_SCORE_CASES; i++) {
        const score_case *c = &score_cases[i];
        float *x = score_rows(c, 7 + (uint32_t)_i), *ref = score_rows(c, 99);
        for (int r = 5; r < c->rows; r += 6) memcpy(ref + r * c->n, x + r * c->n, (size_t)c->n * sizeof *x);
        same_scores(c, x, ref, "on a device");
    }
    close_backends();
}
END_TEST

// What is kept does not fit the device's buffer at once: 4 rows of all logits, or 2 with ids, at a time.
START_TEST(kept_logits_come_in_parts)
{
    static const score_case c = { 1700000, 6, 1700000 };
    begin(0);
    float *x = score_rows(&c, 7), *ref = score_rows(&c, 99);
    same_scores(&c, x, ref, "in parts");
    close_backends();
}
END_TEST

// ---- a model --------------------------------------------------------------------------------------------------------

enum { N_IDS = 19 };

static void some_ids(const model *m, int32_t *ids)
{
    for (int i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)model_hparams(m)->n_vocab);
    ids[0] = 2;
}

// All that sessions of a reference and an artifact say of a text's first n_ids tokens.
typedef struct {
    row_stats ref[N_IDS], art[N_IDS];
    double kl[N_IDS], kl_kept[N_IDS];
    int32_t ids[N_IDS * 50];
    float logits[N_IDS * 50];
} said;

static bool say(said *s, const model *const m[2], const char *const device[2], int n_ids, int n_batch, err *why)
{
    int32_t ids[N_IDS + 1] = { 0 };
    session *run[2] = { NULL, NULL };
    some_ids(m[0], ids);
    memset(s, 0x7b, sizeof *s);
    bool ok = true;
    for (int i = 0; ok && i < 2; i++)
        ok = (run[i] = session_new(m[i],
                                   &(session_opts){
                                       .device = device[i], .n_threads = 1, .n_ctx = N_IDS, .n_batch = n_batch },
                                   why)) != NULL;
    for (int at = 0, n; ok && at < n_ids; at += n) {
        n = n_ids - at < n_batch ? n_ids - at : n_batch;
        ok = session_step(run[0], ids + at, n, why) && session_step(run[1], ids + at, n, why) &&
             session_hold(run[0], 0, n, why) && session_hold(run[1], 0, n, why) &&
             session_held_stats(run[0], ids + at + 1, s->ref + at, why) &&
             session_held_stats(run[1], ids + at + 1, s->art + at, why) &&
             session_held_top(run[0], 50, s->ids + at * 50, s->logits + at * 50, why) &&
             session_held_kl_from(run[1], s->art + at, run[0], s->ref + at, s->kl + at, why);
        const row_reference kept = {
            .logits = s->logits + at * 50, .ids = s->ids + at * 50, .kept = 50, .stats = s->ref + at
        };
        ok = ok && session_held_kl(run[1], s->art + at, &kept, s->kl_kept + at, why);
    }
    session_free(run[0]);
    session_free(run[1]);
    return ok;
}

START_TEST(sessions_on_any_devices_say_the_same)
{
    static const char *const devices[][2] = { { "cuda", "cuda" }, { "cpu", "cuda" }, { "cuda", "cpu" } };
    const model *m[] = { model_open(paths[0], &e), model_open(paths[1], &e) };
    said *want = malloc(sizeof *want), *got = malloc(sizeof *got);
    must(m[0] && m[1] && say(want, m, (const char *const[]){ "cpu", "cpu" }, N_IDS, 16, &e));
    for (int i = 0; i < N_IDS; i++)
        ck_assert(want->kl[i] > 0 && want->kl_kept[i] > 0 && want->kl_kept[i] <= want->kl[i]);
    for (unsigned d = 0; d < sizeof devices / sizeof *devices; d++) {
        host_calls_order(d * 3);
        must(say(got, m, devices[d], N_IDS, d == 1 ? 16 : 10, &e));
        ck_assert_msg(memcmp(want, got, sizeof *want) == 0, "reference on %s, artifact on %s: not what the CPU says",
                      devices[d][0], devices[d][1]);
        ck_assert_int_eq(host_calls_live(), 0);
    }
    free(want);
    free(got);
    for (int i = 0; i < 2; i++) model_close((model *)(uintptr_t)m[i]);
}
END_TEST

// A device runs and holds more at a time than the CPU does, and the plan counts it.
START_TEST(the_device_says_how_much_at_a_time)
{
    model *m = model_open(paths[0], &e);
    must(m != NULL);
    session *s = session_new(m, &(session_opts){ .device = "cuda", .n_ctx = 1000 }, &e),
            *small = session_new(m, &(session_opts){ .device = "cuda", .n_ctx = 7 }, &e);
    session *cpu = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 1000 }, &e);
    memory_plan plan, on_cpu;
    must(s && small && cpu);
    ck_assert_int_eq(session_batch(s), 512);
    ck_assert_int_eq(session_hold_rows(s), 128);
    ck_assert_int_eq(session_batch(cpu), 128);
    ck_assert_int_eq(session_hold_rows(cpu), 32);
    ck_assert_int_eq(session_batch(small), 7);
    ck_assert_int_eq(session_hold_rows(small), 7);
    session_plan(s, &plan);
    session_plan(cpu, &on_cpu);
    const int64_t row = model_hparams(m)->n_vocab * (int64_t)sizeof(float), others = on_cpu.scratch_bytes - 32 * row;
    ck_assert_int_eq(plan.scratch_bytes, 128 * row + 4 * others);
    session_free(s);
    session_free(small);
    session_free(cpu);
    model_close(m);
}
END_TEST

#ifndef ON_GPU
#include "cuda_failing.h"

// Each call of the scoring of a text fails once: what is said is the device's failure, and nothing stays allocated.
START_TEST(whichever_call_fails_memory_is_freed)
{
    static const struct {
        const char *call;
        int stride;
    } calls[] = { { "alloc", 29 }, { "copy", 61 }, { "stream_sync", 67 }, { "launch", 97 }, { "alloc_pinned", 1 } };
    static const char *const devices[] = { "cuda", "cuda" };
    const model *m[] = { model_open(paths[2], &e), model_open(paths[3], &e) };
    said *s = malloc(sizeof *s);
    must(m[0] && m[1]);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        plant(calls[i].call, 1 << 30, 77);
        must(say(s, m, devices, 3, 2, &e));
        const int total = calls_seen;
        ck_assert_int_gt(total, 0);
        // The last calls are scoring's: each of them; of those before, most of which load and run the model, some.
        for (int n = total % calls[i].stride; n < total; n += n < total - 8 ? calls[i].stride : 1) {
            err why = { 0 };
            plant(calls[i].call, n, 77);
            const bool ok = say(s, m, devices, 3, 2, &why);
            unplant();
            ck_assert_msg(!ok && why.kind == ERR_SYSTEM && why.msg[0], "failure %d of %d of %s: %s", n, total,
                          calls[i].call, ok ? "not noticed" : why.msg);
            ck_assert_msg(host_calls_live() == 0, "%s %d of %d: %lld things are not freed", calls[i].call, n, total,
                          (long long)host_calls_live());
        }
    }
    unplant();
    free(s);
    for (int i = 0; i < 2; i++) model_close((model *)(uintptr_t)m[i]);
}
END_TEST
#endif

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_score");
    TCase *t = tcase_create("rows"), *u = tcase_create("sessions");
    tcase_add_loop_test(t, the_cpus_figures, 0, runs_asked());
    tcase_add_test(t, kept_logits_come_in_parts);
    tcase_add_unchecked_fixture(u, make_artifacts, remove_artifacts);
    tcase_add_test(u, sessions_on_any_devices_say_the_same);
    tcase_add_test(u, the_device_says_how_much_at_a_time);
#ifndef ON_GPU
    tcase_add_test(u, whichever_call_fails_memory_is_freed);
#endif
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    return run_suite(s);
}
