// Proves caches that are more than rows of one type on the CUDA backend (runtime/cuda/mixed.cu, kv_mixed.cuh):
// rotations, sinks, recent positions and KIVI's codes leave the CPU's bits, in memory and in what queries see, in
// batches and in recorded steps; the mistakes with caches that tests plant are committed alike; and what a cache cannot
// hold is said.
#include "cuda_both.h"
#include "runtime/kv_spec.h"

// ---- rotations ------------------------------------------------------------------------------------------------------

static void check_hadamard(int n, int rows, int dim, int block, bool unrounded)
{
    const int64_t floats = (int64_t)n * rows * dim;
    float *x = random_floats(floats), *y[N_BACKENDS];
    char what[96];
    for (int i = 0; i < N_BACKENDS; i++) {
        y[i] = put(i, NULL, floats + 1);            // one behind: it stays poison
        must(on[i]->ops->upload(on[i], y[i], x, floats * (int64_t)sizeof *x, &e));
        must(one_hadamard(on[i], y[i], n, rows, dim, block, unrounded, &e) && on[i]->ops->sync(on[i], &e));
    }
    snprintf(what, sizeof what, "%d tokens of %d heads of %d, %d together%s", n, rows, dim, block,
             unrounded ? ", not rounded" : "");
    same_on_both(y, floats + 1, what);
    free(x);
}

START_TEST(rotations)
{
    static const struct { int n, rows, dim, block; } cases[] = {
        { 1, 1, 64, 64 }, { 3, 3, 192, 64 }, { 2, 1, 128, 128 }, { 1, 5, 256, 256 }, { 2, 2, 512, 512 },
        { 7, 1, 512, 64 }, { 1, 3, 2, 2 }, { 2, 1, 1, 1 },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int unrounded = 0; unrounded < 2; unrounded++)
            check_hadamard(cases[k].n, cases[k].rows, cases[k].dim, cases[k].block, unrounded);
    close_backends();
}
END_TEST

START_TEST(a_rotation_that_no_kernel_has_is_refused)
{
    static const struct { int dim, block; } cases[] = { { 1024, 1024 }, { 96, 96 }, { 96, 64 } };
    begin(0);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        err has = { 0 };
        float *x = put(GPU, NULL, cases[k].dim);
        ck_assert(!one_hadamard(on[GPU], x, 1, 1, cases[k].dim, cases[k].block, false, &has));
        ck_assert_int_eq(has.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(has.msg, "rotated together") != NULL, "%s", has.msg);
        on[GPU]->ops->release(on[GPU], x);
    }
    close_backends();
}
END_TEST

// ---- caches ---------------------------------------------------------------------------------------------------------

enum { MOST_BATCHES = 6 };
typedef struct {
    const char *kv;
    int         n_head, n_kv_head, head_dim;
    int64_t     n_ctx, window;
    int         batches[MOST_BATCHES];              // tokens each; the largest is what there is room for
    float       scale, softcap;
} cache_case;

static kv_choice choice_of(const char *text)
{
    kv_spec s;
    must(kv_spec_parse(&s, text, &e));
    ck_assert_int_eq(s.n, 1);
    return s.rules[0].choice;
}

static int largest(const cache_case *k)
{
    int most = 1;
    for (int i = 0; i < MOST_BATCHES; i++) most = k->batches[i] > most ? k->batches[i] : most;
    return most;
}

static int positions(const cache_case *k)
{
    int n = 0;
    for (int i = 0; i < MOST_BATCHES; i++) n += k->batches[i];
    return n;
}

static kv_layer plan_of(const cache_case *k, fault f)
{
    const kv_choice c = choice_of(k->kv), as_keys = { .k = c.v, .v = c.v, .sink = c.sink, .recent = c.recent };
    const kv_room room = kv_case_room(k->n_ctx, k->window, largest(k), on[CPU]->arith == ARITH_BF16);
    kv_layer kv, other;
    must(kv_layer_plan(&kv, &c, k->n_kv_head, k->head_dim, &room, 0, &e));
    must(kv_layer_plan(&other, &as_keys, k->n_kv_head, k->head_dim, &room, 0, &e));
    if (f != FAULT_VALUES_BY_TOKENS || c.v.group == 0) return kv;
    kv.v = other.k;                                 // as net_plant_cache has it
    kv.v.in_steps = false;
    return kv;
}

// Memory that holds what nothing stores.
static void *poisoned(int i, int64_t n_bytes) { return n_bytes == 0 ? NULL : put(i, NULL, (n_bytes + 3) / 4); }

static void open_part(int i, kv_part *p)
{
    p->data = poisoned(i, p->unit * p->units);
    p->newest_data = poisoned(i, p->whole_row * p->ring);
    p->sink_data = poisoned(i, p->whole_row * p->sinks);
}

static void same_memory(void *on_cpu, void *on_gpu, int64_t n_bytes, const char *what, const char *of)
{
    if (n_bytes == 0) return;
    uint8_t *want = malloc((size_t)n_bytes), *got = malloc((size_t)n_bytes);
    must(on[CPU]->ops->download(on[CPU], want, on_cpu, n_bytes, &e));
    must(on[GPU]->ops->download(on[GPU], got, on_gpu, n_bytes, &e));
    for (int64_t i = 0; i < n_bytes; i++)
        ck_assert_msg(want[i] == got[i], "%s: byte %lld of %lld of %s: %d, expected %d", what, (long long)i,
                      (long long)n_bytes, of, got[i], want[i]);
    on[CPU]->ops->release(on[CPU], on_cpu);
    on[GPU]->ops->release(on[GPU], on_gpu);
    free(want);
    free(got);
}

static void same_parts(const kv_part *on_cpu, const kv_part *on_gpu, const char *what)
{
    same_memory(on_cpu->data, on_gpu->data, on_cpu->unit * on_cpu->units, what, "the store");
    same_memory(on_cpu->newest_data, on_gpu->newest_data, on_cpu->whole_row * on_cpu->ring, what, "the newest");
    same_memory(on_cpu->sink_data, on_gpu->sink_data, on_cpu->whole_row * on_cpu->sinks, what, "the sinks");
}

// A batch that is one token at a position the device knows: a recorded step.
static void step_at(int64_t pos)
{
    gpu_ctx *c = &((cuda_backend *)on[GPU])->ctx;
    const gpu_step s = { .pos = pos, .bad_kv = ~0ull };
    if (pos >= 0) must(on[GPU]->ops->upload(on[GPU], c->state, &s, sizeof s, &e));
    c->step = pos < 0 ? NULL : c->state;
}

enum { NO_STEP = -1, WRONG_POS = 1 };               // WRONG_POS: passed beside a step, which makes it meaningless

enum { ALL_ATTEND = 40, FEW_ATTEND = 2 };          // of a longer batch the last ones alone: the processor takes long

static int attending(int n) { return n <= ALL_ATTEND ? n : FEW_ATTEND; }

// One batch stored and attended on both. results: NULL, or where the CPU's go.
static void run_batch(const cache_case *k, kv_layer kv[N_BACKENDS], int n, int64_t pos, fault f, bool steps,
                      float *results)
{
    const int n_q = attending(n);
    const int64_t kv_dim = (int64_t)k->n_kv_head * k->head_dim, floats = (int64_t)n_q * k->n_head * k->head_dim;
    float *keys = random_floats(n * kv_dim), *values = random_floats(n * kv_dim), *q = random_floats(floats);
    float *y[N_BACKENDS];
    for (int i = 0; i < N_BACKENDS; i++) {
        float *dk = put(i, keys, n * kv_dim), *dv = put(i, values, n * kv_dim), *dq = put(i, q, floats);
        const bool step = steps && i == GPU;
        y[i] = put(i, NULL, floats);
        const attention_args a = { .q = dq, .out = y[i], .kv = &kv[i], .n = n_q, .n_head = k->n_head,
                                   .pos0 = step ? WRONG_POS : pos + n - n_q, .window = k->window, .scale = k->scale,
                                   .softcap = k->softcap, .unrounded = pos % 2 };
        on[i]->fault = f;
        if (step) step_at(pos);
        must(one_store(on[i], &kv[i], dk, dv, n, step ? WRONG_POS : pos, &e));
        must(one_attend(on[i], &a, &e));
        step_at(NO_STEP);
        must(on[i]->ops->sync(on[i], &e));
        on[i]->fault = FAULT_NONE;
        void *mine[] = { dk, dv, dq };
        for (int j = 0; j < 3; j++) on[i]->ops->release(on[i], mine[j]);
    }
    char what[160];
    snprintf(what, sizeof what, "%s, %d heads of %d over %d, window %lld, %d from %lld%s, fault %d", k->kv, k->n_head,
             k->head_dim, k->n_kv_head, (long long)k->window, n, (long long)pos, steps ? ", steps" : "", (int)f);
    if (results) must(on[CPU]->ops->download(on[CPU], results, y[CPU], floats * (int64_t)sizeof *results, &e));
    same_on_both(y, floats, what);
    free(keys);
    free(values);
    free(q);
}

// results: NULL, or [positions][n_head * head_dim], what the CPU gives.
static void check_cache(const cache_case *k, fault f, bool steps, float *results)
{
    kv_layer kv[N_BACKENDS];
    int64_t pos = 0;
    for (int i = 0; i < N_BACKENDS; i++) {
        kv[i] = plan_of(k, f);
        open_part(i, &kv[i].k);
        open_part(i, &kv[i].v);
    }
    for (int b = 0; b < MOST_BATCHES; b++)
        for (int left = k->batches[b], n; left > 0; left -= n, pos += n) {
            n = steps ? 1 : left;
            run_batch(k, kv, n, pos, f, steps, results ? results + pos * k->n_head * k->head_dim : NULL);
        }
    same_parts(&kv[CPU].k, &kv[GPU].k, k->kv);
    same_parts(&kv[CPU].v, &kv[GPU].v, k->kv);
}

// Groups and residuals small, so that both turn: batches shorter and longer than them, one after the other; windows
// that sinks leave; odd heads; a store beside each kind of whole.
static const cache_case cases[] = {
    { "kivi2:g8:r16",                  2, 1, 32, 60, 0,  { 1, 7, 20, 1, 3, 9 },  0.3f, 0.0f },
    { "kivi4:g16:r16+sink3",           2, 2, 48, 60, 0,  { 33, 1, 5 },           1.0f, 20.0f },
    { "kivi2:g8:r8+sink5",             3, 1, 40, 90, 12, { 9, 2, 7, 9, 9, 1 },   0.2f, 0.0f },
    { "k=kivi4:g8:r24,v=q5_1",         2, 1, 32, 60, 20, { 30, 10, 1 },          0.5f, 0.0f },
    { "k=iq4_nl,v=kivi2:g32:r32",      2, 2, 64, 60, 0,  { 31, 2, 7 },           0.5f, 0.0f },
    { "q4_0+sink4+recent6",            4, 2, 32, 60, 0,  { 3, 1, 12, 1, 8 },     0.5f, 0.0f },
    { "k=q8_0,v=q4_1+recent1",         1, 1, 64, 50, 16, { 1, 19, 2, 6, 13 },    0.4f, 0.0f },
    { "q5_0+sink40",                   1, 1, 32, 30, 0,  { 9, 4 },               0.4f, 0.0f },
    { "f16+sink2+recent200",           2, 1, 34, 40, 18, { 11, 3, 11, 1 },       0.4f, 0.0f },
    { "k=f32,v=bf16+sink1",            1, 1, 18, 20, 0,  { 5, 1 },               0.4f, 0.0f },
    { "kivi4:g8:r8",                   1, 1, 512, 20, 0, { 9, 2 },               0.1f, 0.0f },
};
enum { N_CASES = sizeof cases / sizeof *cases };

START_TEST(caches_hold_and_show_the_cpus_bits)
{
    begin(_i);
    for (int k = 0; k < N_CASES; k++) check_cache(&cases[k], FAULT_NONE, false, NULL);
    close_backends();
}
END_TEST

START_TEST(recorded_steps_do_too)
{
    begin(_i);
    for (int k = 0; k < N_CASES; k++)
        if (k % N_RUNS == _i) check_cache(&cases[k], FAULT_NONE, true, NULL);
    close_backends();
}
END_TEST

// Every type beside whole positions, and two spans of keys: the ends of what is whole lie inside of them.
START_TEST(every_type_and_two_spans)
{
    static const char *const types[] = { "f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl" };
    static const cache_case long_cases[] = {
        { "k=kivi2:g16:r32,v=q4_0+sink2", 1, 1, 32, 1100, 0, { 550, 510, 1 }, 0.4f, 0.0f },
        { "k=q8_0,v=kivi4:g8:r48",        1, 1, 32, 1100, 0, { 1050, 3 },     0.4f, 0.0f },
    };
    begin(_i);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        char kv[40];
        snprintf(kv, sizeof kv, "%s+sink2+recent3", types[t]);
        const cache_case k = { kv, 1, 1, 32, 20, 0, { 7, 1, 4 }, 0.4f, 0.0f };
        check_cache(&k, FAULT_NONE, false, NULL);
    }
    if (_i < 2) check_cache(&long_cases[_i], FAULT_NONE, false, NULL);
    close_backends();
}
END_TEST

// ---- mistakes -------------------------------------------------------------------------------------------------------

// Committed alike, each changes what queries see. That queries are not rotated is an edit of the program: see below.
START_TEST(mistakes_with_caches_are_committed_alike)
{
    static const struct { fault f; cache_case k; } planted[] = {
        { FAULT_GROUP_OF_ALL_HEADS, { "kivi4:g8:r8",          2, 2, 32, 40, 0, { 17, 3 }, 0.5f, 0.0f } },
        { FAULT_WHOLE_OFF_BY_ONE,   { "kivi2:g8:r8",          1, 1, 32, 40, 0, { 15, 2 }, 0.5f, 0.0f } },
        { FAULT_WHOLE_OFF_BY_ONE,   { "q4_0+recent4",         1, 1, 32, 40, 0, { 9, 2 },  0.5f, 0.0f } },
        { FAULT_SINK_FORGOTTEN,     { "q4_0+sink3+recent2",   1, 1, 32, 40, 8, { 7, 2 },  0.5f, 0.0f } },
        { FAULT_VALUES_BY_TOKENS,   { "k=f32,v=kivi2:g8:r16", 2, 1, 32, 40, 0, { 25, 3 }, 0.5f, 0.0f } },
        { FAULT_SCORES_BF16,        { "kivi4:g8:r8+sink1",    1, 1, 32, 40, 0, { 17 },    0.5f, 0.0f } },
        { FAULT_FUSED_SUM_KV_DTYPE, { "q8_0+recent4",         1, 1, 32, 40, 0, { 17 },    0.5f, 0.0f } },
    };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const cache_case *k = &planted[i].k;
        const int64_t n = (int64_t)positions(k) * k->n_head * k->head_dim;
        float *clean = calloc((size_t)n, sizeof *clean), *wrong = calloc((size_t)n, sizeof *wrong);
        begin(0);
        check_cache(k, FAULT_NONE, false, clean);
        close_backends();
        begin(0);
        check_cache(k, planted[i].f, false, wrong);
        close_backends();
        ck_assert_msg(memcmp(clean, wrong, (size_t)n * sizeof *clean) != 0, "fault %d changes nothing in %s",
                      (int)planted[i].f, k->kv);
        free(clean);
        free(wrong);
    }
}
END_TEST

// ---- what does not fit ----------------------------------------------------------------------------------------------

// Of a group of keys its last position is named, on both backends alike.
static void check_unfit(const char *kv_text, int at, float x, const char *says)
{
    enum { N = 16, HD = 32 };
    const cache_case k = { .kv = kv_text, .n_head = 1, .n_kv_head = 1, .head_dim = HD, .n_ctx = N, .batches = { N } };
    float values[N * HD] = { 0 };
    values[at * HD + 7] = x;
    for (int i = 0; i < N_BACKENDS; i++) {
        err has = { 0 };
        kv_layer kv = plan_of(&k, FAULT_NONE);
        open_part(i, &kv.k);
        open_part(i, &kv.v);
        float *dx = put(i, values, N * HD);
        const bool ok = one_store(on[i], &kv, dx, dx, N, 0, &has) && on[i]->ops->sync(on[i], &has);
        ck_assert_msg(!ok, "%s: not said", kv_text);
        ck_assert_int_eq(has.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(has.msg, says) != NULL, "found '%s', expected '%s' in it", has.msg, says);
        kv_case_close(on[i], &kv);
        on[i]->ops->release(on[i], dx);
    }
}

START_TEST(what_a_cache_cannot_hold_is_said)
{
    static const struct { const char *kv; int at; float x; const char *says; } rows[] = {
        { "k=kivi2:g8:r8,v=f32", 3, NAN,       "position 7 does not fit kivi2" },
        { "k=kivi4:g8:r8,v=f32", 9, -70000.0f, "position 15 does not fit kivi4" },
        { "k=f32,v=kivi2:g8:r8", 3, -70000.0f, "position 3 does not fit" },
        { "q8_0+sink2",          5, INFINITY,  "position 5 does not fit Q8_0" },
    };
    begin(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_unfit(rows[i].kv, rows[i].at, rows[i].x, rows[i].says);
    close_backends();
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_kv");
    TCase *t = tcase_create("caches");
    tcase_add_loop_test(t, rotations, 0, runs_asked());
    tcase_add_test(t, a_rotation_that_no_kernel_has_is_refused);
    tcase_add_loop_test(t, caches_hold_and_show_the_cpus_bits, 0, runs_asked());
    tcase_add_loop_test(t, recorded_steps_do_too, 0, runs_asked());
    tcase_add_loop_test(t, every_type_and_two_spans, 0, runs_asked());
    tcase_add_test(t, mistakes_with_caches_are_committed_alike);
    tcase_add_test(t, what_a_cache_cannot_hold_is_said);
    suite_add_tcase(s, t);
    return run_suite(s);
}
