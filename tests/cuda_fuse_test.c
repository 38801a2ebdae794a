// Proves runtime/cuda/run.c on whole models: a program wholly expanded, and the same with coarse operations in one
// kernel each, leave the CPU's hidden states, logits and tokens, bit for bit: prompt, single steps, recorded steps; and
// fusing takes the launches it is said to take.
// Models: Gemma 4 with per-layer embeddings and shared K and V, the same with K as V (attention_k_eq_v) and several K/V
// heads, Gemma 3.
// Caches: rows of a type; and rotated, in KIVI's codes, with sinks and recent positions.
#include "convert/convert.h"
#include "cuda_launches.h"
#include "mini_checkpoint.h"
#include "runtime/argmax.h"
#include "runtime/net.h"

static err e;

static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

// ---- models ---------------------------------------------------------------------------------------------------------

// Layer 2 attends fully and has no V of its own; layer 5 shares its cache.
static mini *mini_k_is_v(int n_kv_head)
{
    char text[8];
    mini *c = mini_gemma4();
    snprintf(text, sizeof text, "%d", n_kv_head);
    mini_set(c->config, "attention_k_eq_v", "true");
    mini_set(c->config, "num_global_key_value_heads", text);
    mini_drop(c, "model.layers.2.self_attn.v_proj.weight");
    mini_find(c, "model.layers.2.self_attn.k_proj.weight")->shape[0] = 64 * n_kv_head;
    return c;
}

typedef enum { GEMMA4, K_IS_V, K_IS_V_2_HEADS, GEMMA3, COMMITTED } which;

static model *make_model(which w, const char *type)
{
    // a program built elsewhere finds the checkpoint through the environment
    const char *root = getenv("HALLMARK_ROOT");
    char committed[512];
    snprintf(committed, sizeof committed, "%s/fixtures/tiny-gemma4", root ? root : SOURCE_DIR);
    mini *c = w == COMMITTED ? NULL
              : w == GEMMA4  ? mini_gemma4()
              : w == GEMMA3  ? mini_gemma3()
                             : mini_k_is_v(w == K_IS_V ? 1 : 2);
    char *dir = c ? c->dir : new_dir();
    const convert_opts o = { .type = file_type_find(type)->id };
    if (c) mini_write(c, false);
    must(convert_checkpoint(c ? dir : committed, in_dir(dir, "out.gguf"), &o, &e));
    model *m = model_open(in_dir(dir, "out.gguf"), &e);     // a mapping: the folder may go
    must(m != NULL);
    if (c) mini_free(c);
    else   drop_dir(dir);
    ck_assert_int_eq(gguf_find_tensor(model_gguf(m), "blk.2.attn_v.weight") == NULL,
                     w == K_IS_V || w == K_IS_V_2_HEADS);
    return m;
}

// ---- launches -------------------------------------------------------------------------------------------------------

static int64_t launches_since(void) { const int64_t n = launches; launches = 0; return n; }

// ---- one run --------------------------------------------------------------------------------------------------------

// The prompt is longer than a window of 16 and comes in batches, the last of one token; then steps by themselves, then
// recorded ones.
enum { N_PROMPT = 19, N_BATCH = 9, N_SINGLE = 2, N_RECORDED = 3, N_CTX = 32 };

typedef struct {
    float  *hidden;                                             // [n_batches of the prompt][n_layer + 1][n_embd]
    float  *logits;    // [N_PROMPT + N_SINGLE + 1][n_vocab]: after each id, and after the last recorded step
    int32_t ids[N_SINGLE + N_RECORDED];                         // greedy
    int64_t prompt_launches, step_launches, recorded_launches;
} outcome;

static void one_step(net *program_net, int32_t id, int64_t pos, float *logits)
{
    must(net_forward(program_net, &id, 1, pos, NULL, &e));
    must(net_logits(program_net, 0, 1, logits, &e));
}

static outcome run(const model *m, backend *b, const char *kv)
{
    const hparams *h = model_hparams(m);
    const int64_t n_hidden = (int64_t)(h->n_layer + 1) * h->n_embd, v = h->n_vocab;
    outcome r = { .hidden = calloc((size_t)(3 * n_hidden), sizeof(float)),
                  .logits = calloc((size_t)((N_PROMPT + N_SINGLE + 1) * v), sizeof(float)) };
    int32_t ids[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++)
        ids[i] = i == 0 ? 2 : (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)v);
    kv_spec spec;
    must(b != NULL && kv_spec_parse(&spec, kv, &e));
    net *program_net = net_open(b, model_gguf(m), h, &spec, N_CTX, N_BATCH, &e);
    must(program_net != NULL);
    launches_since();
    for (int at = 0, batch = 0; at < N_PROMPT; at += N_BATCH, batch++) {
        const int n = N_PROMPT - at < N_BATCH ? N_PROMPT - at : N_BATCH;
        must(net_forward(program_net, ids + at, n, at, r.hidden + batch * n_hidden, &e));
        must(net_logits(program_net, 0, n, r.logits + at * v, &e));
    }
    r.prompt_launches = launches_since();
    int32_t id = argmax_f32(r.logits + (N_PROMPT - 1) * v, v);
    int64_t pos = N_PROMPT;
    for (int i = 0; i < N_SINGLE; i++, pos++) {
        one_step(program_net, id, pos, r.logits + (N_PROMPT + i) * v);
        r.step_launches = launches_since();
        r.ids[i] = id = argmax_f32(r.logits + (N_PROMPT + i) * v, v);
    }
    if (b->ops->replay) {
        must(net_record(program_net, &e));
        r.recorded_launches = launches_since();
        must(b->ops->replay(b, id, pos, N_RECORDED, r.ids + N_SINGLE, &e));
        pos += N_RECORDED;
    } else {
        for (int i = 0; i < N_RECORDED; i++, pos++) {
            must(net_forward(program_net, &id, 1, pos, NULL, &e) && net_argmax(program_net, 0, &id, &e));
            r.ids[N_SINGLE + i] = id;
        }
    }
    // One more step by itself reads the keys and values that the others have stored.
    one_step(program_net, r.ids[N_SINGLE + N_RECORDED - 1], pos, r.logits + (N_PROMPT + N_SINGLE) * v);
    net_close(program_net);
    b->ops->close(b);
    return r;
}

static void free_outcome(outcome *r) { free(r->hidden); free(r->logits); }

static void same(const outcome *want, const outcome *got, const hparams *h, const char *what)
{
    for (int batch = 0; batch < 3; batch++)
        for (int l = 0; l <= h->n_layer; l++) {
            const size_t at = (size_t)(batch * (h->n_layer + 1) + l) * (size_t)h->n_embd;
            ck_assert_msg(memcmp(want->hidden + at, got->hidden + at, (size_t)h->n_embd * sizeof(float)) == 0,
                          "%s: batch %d: hidden state %d differs", what, batch, l);
        }
    for (int i = 0; i < N_PROMPT + N_SINGLE + 1; i++)
        ck_assert_msg(memcmp(want->logits + i * h->n_vocab, got->logits + i * h->n_vocab,
                             (size_t)h->n_vocab * sizeof(float)) == 0,
                      "%s: logits %d differ", what, i);
    for (int i = 0; i < N_SINGLE + N_RECORDED; i++)
        ck_assert_msg(want->ids[i] == got->ids[i], "%s: token %d: %d, expected %d", what, i, got->ids[i], want->ids[i]);
}

// Heads of a cache with whole positions are stored by a launch of their own; KIVI's groups by another, which comes
// where one ends and in every recorded step.
typedef struct {
    which       model;
    const char *type;
    arith       a;
    const char *kv;
    unsigned    order;
    bool        uncounted;          // a rotated cache: heads are single operations
    int         stores, groups;     // launches more than that
} fuse_run;

#ifndef ON_GPU
// runtime/cuda/README.md says 12 launches a layer: attn_norm is part of the launch before it; q, k and v; heads;
// attention's two; its output product; norms and sum; gate, up and geglu; down; norms and sum; the per-layer gate; its
// projection; norms, sum and scale. Gemma 3 lacks the last three.
// Ten outside the layers: two rows of embeddings, five operations on the per-layer inputs, norm, product and cap of the
// logits; Gemma 3 has three. A file of mixed types has more: products of another type are another launch.
static void check_launches(const outcome *one_by_one, const outcome *fused, const hparams *h, const fuse_run *r)
{
    const int64_t step = (r->model == GEMMA3 ? 9 * h->n_layer + 3 : 12 * h->n_layer + 10) + r->stores;
    ck_assert_int_ge(fused->step_launches, step);
    if (r->model != COMMITTED && !r->uncounted) ck_assert_int_eq(fused->step_launches, step);
    // and the greedy choice, of two parts
    ck_assert_int_eq(fused->recorded_launches, fused->step_launches + 2 + r->groups);
    ck_assert_int_eq(one_by_one->recorded_launches, one_by_one->step_launches + 2 + r->groups);
    if (r->uncounted) return;
    ck_assert_int_gt(one_by_one->step_launches * 5, fused->step_launches * 9);
    ck_assert_int_gt(one_by_one->prompt_launches * 5, fused->prompt_launches * 7);
}
#endif

static const fuse_run runs[] = {
    { GEMMA4, "bf16", ARITH_BF16, "bf16", .order = 0 },
    { GEMMA4, "q8_0", ARITH_F32, "f32", .order = 5 },
    { GEMMA4, "f32", ARITH_F32, "q4_0", .order = 1 },
    { GEMMA4, "f16", ARITH_BF16, "f16", .order = 1 },
    { COMMITTED, "q4_k_m", ARITH_F32, "q8_0", .order = 0 },
    { GEMMA3, "bf16", ARITH_F32, "f16", .order = 1 },
    { K_IS_V, "bf16", ARITH_BF16, "bf16", .order = 0 },
    { K_IS_V_2_HEADS, "q8_0", ARITH_F32, "f32", .order = 1 },
    { K_IS_V_2_HEADS, "f32", ARITH_F32, "q8_0", .order = 7 },
    { K_IS_V, "q8_0", ARITH_F32, "f16", .order = 0 },
    // Four layers of Gemma 4 have caches, one of them of full attention; all six of Gemma 3.
    { GEMMA4, "f32", ARITH_F32, "q4_0+sink4+recent5", .order = 1, .stores = 4 },
    { GEMMA3, "bf16", ARITH_BF16, "kivi2:g16:r16", .order = 7, .stores = 6, .groups = 6 },
    { GEMMA4, "q8_0", ARITH_F32, "sliding:k=kivi4:g8:r16,v=q4_0;full:k=q8_0:rot,v=q4_0", .order = 5,
      .uncounted = true, .groups = 3 },
    { K_IS_V_2_HEADS, "bf16", ARITH_BF16, "sliding:q5_1+sink4+recent16;full:kivi4:g8:r8:rot+sink1", .order = 1,
      .uncounted = true, .groups = 1 },
    { GEMMA4, "bf16", ARITH_BF16, "sliding:kivi2:g8:r8+sink2;full:q4_0:rot+recent3", .order = 0,
      .uncounted = true, .groups = 3 },
};

enum { ALL_RUNS = sizeof runs / sizeof *runs };
#ifdef __SANITIZE_ADDRESS__     // a kernel step takes ten times as long
enum { RUNS_EVERY = 5 };
#else
enum { RUNS_EVERY = 1 };
#endif

START_TEST(fused_or_not_the_cpus_bits)
{
    if (_i % RUNS_EVERY != 0) return;
    if (RUNS_EVERY > 1 && _i == 0) printf("SMALLER under sanitizers: every %dth of %d runs\n", RUNS_EVERY, ALL_RUNS);
    host_calls_order(runs[_i].order);
    model *m = make_model(runs[_i].model, runs[_i].type);
    const hparams *h = model_hparams(m);
    outcome cpu = run(m, backend_cpu(runs[_i].a, 1, NULL, &e), runs[_i].kv);
    outcome got[2];
    count_launches(true);
    for (int fuse = 0; fuse < 2; fuse++) {
        backend *b = backend_cuda(runs[_i].a, false, &e);
        must(b != NULL);
        backend_cuda_fuse(b, fuse);
        got[fuse] = run(m, b, runs[_i].kv);
    }
    count_launches(false);
    for (int i = 0; i < N_PROMPT * h->n_vocab; i++)
        ck_assert_msg(cpu.logits[i] - cpu.logits[i] == 0, "logit %d is not finite: nothing is proved", i);
    same(&cpu, &got[0], h, "one by one");
    same(&cpu, &got[1], h, "fused");
#ifndef ON_GPU
    check_launches(&got[0], &got[1], h, &runs[_i]);
#endif
    free_outcome(&cpu);
    free_outcome(&got[0]);
    free_outcome(&got[1]);
    model_close(m);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

// Queries that attend as they are, to keys that are rotated: an edit of the program, the same on both.
START_TEST(queries_that_are_not_rotated_are_the_cpus)
{
    static const char kv[] = "sliding:f32;full:k=q8_0:rot,v=f32";
    model *m = make_model(GEMMA4, "f32");
    outcome r[3];
    for (int i = 0; i < 3; i++) {
        backend *b = i < 2 ? backend_cpu(ARITH_F32, 1, NULL, &e) : backend_cuda(ARITH_F32, false, &e);
        must(b != NULL);
        b->fault = i > 0 ? FAULT_QUERY_NOT_ROTATED : FAULT_NONE;
        r[i] = run(m, b, kv);
    }
    same(&r[1], &r[2], model_hparams(m), "queries that are not rotated");
    ck_assert(memcmp(r[0].logits, r[1].logits, (size_t)(N_PROMPT * model_hparams(m)->n_vocab) * sizeof(float)) != 0);
    for (int i = 0; i < 3; i++) free_outcome(&r[i]);
    model_close(m);
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_fuse");
    TCase *t = tcase_create("fuse");
    tcase_add_test(t, queries_that_are_not_rotated_are_the_cpus);
    tcase_add_loop_test(t, fused_or_not_the_cpus_bits, 0, ALL_RUNS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
