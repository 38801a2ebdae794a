// Proves the CUDA backend on whole models with experts and delta nets (mixed_nets.h): the CPU's logits and tokens, bit
// for bit, one operation at a time and fused, for batches that are many tokens to the kernels of experts and batches
// that are few, for single steps, and for recorded ones, which decide on the device whether a state is zeros.
#include "cuda_launches.h"
#include "mixed_nets.h"
#include "runtime/argmax.h"

// 16 tokens are many, 2 are few; then single steps, recorded ones, one more that reads what those left, and recorded
// ones from position 0 on.
enum { N_BATCH = 16, N_PROMPT = 18, N_OTHER = 3, N_SINGLE = 2, N_RECORDED = 3, N_CTX = 48 };
enum { N_IDS = N_SINGLE + 2 * N_RECORDED, N_LOGITS = N_PROMPT + N_SINGLE + 1 };
typedef struct { float logits[N_LOGITS * MIXED_VOCAB]; int32_t ids[N_IDS]; int64_t step_launches; } outcome;

#ifdef __SANITIZE_ADDRESS__
enum { FUSED_ONLY = 1 };
#else
enum { FUSED_ONLY = 0 };
#endif

static int32_t one_step(net *n, int32_t id, int64_t pos, float *logits)
{
    mixed_must(net_forward(n, &id, 1, pos, NULL, &mixed_err) && net_logits(n, 0, 1, logits, &mixed_err));
    return argmax_f32(logits, MIXED_VOCAB);
}

// Steps that follow each other without the host in between, where the backend can.
static void recorded_steps(backend *b, net *n, int32_t id, int64_t pos, int32_t *ids)
{
    if (b->ops->replay) {
        mixed_must(net_record(n, &mixed_err) && b->ops->replay(b, id, pos, N_RECORDED, ids, &mixed_err));
        return;
    }
    for (int i = 0; i < N_RECORDED; i++) {
        mixed_must(net_forward(n, &id, 1, pos + i, NULL, &mixed_err) && net_argmax(n, 0, &id, &mixed_err));
        ids[i] = id;
    }
}

static outcome *run(const mixed *m, backend *b)
{
    outcome *r = calloc(1, sizeof *r);
    mixed_must(b != NULL);
    net *n = mixed_net(b, m, N_CTX, N_BATCH);
    mixed_run(n, N_OTHER, N_BATCH, 7, r->logits);           // other tokens: what they leave is not to be seen
    mixed_run(n, N_PROMPT, N_BATCH, 0, r->logits);
    int32_t id = argmax_f32(r->logits + (N_PROMPT - 1) * MIXED_VOCAB, MIXED_VOCAB);
    int64_t pos = N_PROMPT;
    for (int i = 0; i < N_SINGLE; i++, pos++) {
        launches = 0;
        id = r->ids[i] = one_step(n, id, pos, r->logits + (N_PROMPT + i) * MIXED_VOCAB);
        r->step_launches = launches;
    }
    recorded_steps(b, n, id, pos, r->ids + N_SINGLE);
    pos += N_RECORDED;
    one_step(n, r->ids[N_SINGLE + N_RECORDED - 1], pos, r->logits + (N_PROMPT + N_SINGLE) * MIXED_VOCAB);
    recorded_steps(b, n, mixed_id(3), 0, r->ids + N_SINGLE + N_RECORDED);
    net_close(n);
    b->ops->close(b);
    return r;
}

static void same(const outcome *want, const outcome *got, const char *what)
{
    for (int i = 0; i < N_LOGITS * MIXED_VOCAB; i++)
        ck_assert_msg(memcmp(&want->logits[i], &got->logits[i], sizeof want->logits[i]) == 0, "%s: logits %d differ",
                      what, i / MIXED_VOCAB);
    for (int i = 0; i < N_IDS; i++)
        ck_assert_msg(want->ids[i] == got->ids[i], "%s: token %d: %d, expected %d", what, i, got->ids[i], want->ids[i]);
}

static const struct { mixed_kind kind; arith a; unsigned order; bool one_by_one; } cases[] = {
    { MIXED_QWEN35MOE, ARITH_F32, 0, true }, { MIXED_QWEN35, ARITH_BF16, 7, false },
    { MIXED_GEMMA4, ARITH_BF16, 1, true },   { MIXED_QWEN3MOE, ARITH_BF16, 5, false },
};

#ifndef ON_GPU
// Launches of a single step, fused, as runtime/cuda/README.md counts them. Attention is six with the sum behind it (q,
// k and v; heads; its two; output; sum and norms), in Qwen 3.5 eight (Q's norm, the gate); a delta net eleven with that
// sum (q, k, v and z; beta and alpha; beta's sigmoid; decay; convolution; L2 norm; delta rule; norm; gate; output).
// Experts are six (scores; choice; gate and up; their product; down; joined), a shared one five more (factor; gate and
// up; down; by its factor; sum),
// Gemma's seven more (norms of four, the router's factors, sum).
// A dense MLP is two. The sum behind experts or MLP is one, and what is outside the layers three or four (embedding,
// norm, logits; cap).
static void check_launches(const outcome *fused, mixed_kind kind)
{
    static const int step[N_MIXED] = {
        [MIXED_QWEN35MOE] = 3 * (11 + 6 + 5 + 1) + (8 + 6 + 5 + 1) + 3,
        [MIXED_QWEN35] = 3 * (11 + 2 + 1) + (8 + 2 + 1) + 3,
        [MIXED_GEMMA4] = 4 * (6 + 2 + 6 + 7 + 1) + 4,
        [MIXED_QWEN3MOE] = 4 * (6 + 6 + 1) + 3,
    };
    ck_assert_int_eq(fused->step_launches, step[kind]);
}
#endif

static outcome *run_on_device(const mixed *m, arith a, bool fuse)
{
    backend *b = backend_cuda(a, false, &mixed_err);
    mixed_must(b != NULL);
    backend_cuda_fuse(b, fuse);
    return run(m, b);
}

START_TEST(the_cpus_bits)
{
    mixed m = mixed_make(cases[_i].kind);
    host_calls_order(cases[_i].order);
    outcome *cpu = run(&m, backend_cpu(cases[_i].a, 1, NULL, &mixed_err));
    for (int i = 0; i < N_LOGITS * MIXED_VOCAB; i++)
        ck_assert_msg(cpu->logits[i] - cpu->logits[i] == 0, "logit %d is not finite: nothing is proved", i);
    count_launches(true);
    outcome *fused = run_on_device(&m, cases[_i].a, true);
    same(cpu, fused, "fused");
#ifndef ON_GPU
    check_launches(fused, cases[_i].kind);
#endif
    if (cases[_i].one_by_one && !FUSED_ONLY) {
        outcome *one_by_one = run_on_device(&m, cases[_i].a, false);
        same(cpu, one_by_one, "one by one");
        ck_assert_int_gt(one_by_one->step_launches, fused->step_launches);
        free(one_by_one);
    }
    count_launches(false);
    free(cpu);
    free(fused);
    mixed_free(&m);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    if (FUSED_ONLY) printf("SMALLER under sanitizers: fused operations only\n");
    Suite *s = suite_create("cuda_mixed");
    TCase *t = tcase_create("mixed");
    tcase_add_loop_test(t, the_cpus_bits, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(s, t);
    return run_suite(s);
}
