// Proves verify/held_type.h: which budget a file answers to is decided by its tensors, and general.file_type may not
// say otherwise.
#define _GNU_SOURCE
#include "quant/policy.h"
#include "verify/held_type.h"
#include "suite.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 8, PER_LAYER = 4, N = LAYERS * PER_LAYER + 1, SAID_NOTHING = -1 };

static err e;

// A small Gemma 3 in memory whose tensors have the types that policy gives for `type`, and whose metadata says `said`.
// spoil changes some of the types.
typedef struct { gguf *g; uint8_t *bytes; } made;

static made make(file_type type, int64_t said, void (*spoil)(dtype types[N], char names[N][32]))
{
    static const char *const PARTS[PER_LAYER] = { "attn_q", "attn_v", "ffn_up", "ffn_down" };
    static char   names[N][32];
    policy_tensor t[N];
    dtype         types[N];
    int64_t       header, total, n;
    uint8_t      *head;
    for (int i = 0; i < N; i++) {
        if (i == N - 1) strcpy(names[i], "token_embd.weight");
        else            snprintf(names[i], sizeof names[i], "blk.%d.%s.weight", i / PER_LAYER, PARTS[i % PER_LAYER]);
        t[i] = (policy_tensor){ .name = names[i], .type = DT_BF16, .n_dims = 2, .shape = { 256, 256, 1, 1 } };
    }
    const policy_model m = { .arch = "gemma3", .n_layer = LAYERS, .n_head = 4, .n_head_kv = 2 };
    ck_assert_msg(policy_choose(type, &m, t, N, types, &e), "%s", e.msg);
    if (spoil) spoil(types, names);
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma3", &e) &&
              gguf_plan_u32(p, "gemma3.block_count", LAYERS, &e) &&
              gguf_plan_u32(p, "gemma3.attention.head_count", 4, &e) &&
              gguf_plan_u32(p, "gemma3.attention.head_count_kv", 2, &e));
    if (said != SAID_NOTHING) ck_assert(gguf_plan_u32(p, "general.file_type", (uint32_t)said, &e));
    for (int i = 0; i < N; i++) ck_assert_msg(gguf_plan_tensor(p, names[i], types[i], 2, t[i].shape, &e), "%s", e.msg);
    ck_assert(gguf_plan_layout(p, &header, &total, &e) && gguf_plan_header(p, &head, &n, &e));
    made out = { .bytes = calloc(1, (size_t)total) };
    memcpy(out.bytes, head, (size_t)n);
    out.g = gguf_open_mem(out.bytes, total, "made.gguf", &e);
    ck_assert_msg(out.g != NULL, "%s", e.msg);
    free(head);
    gguf_plan_free(p);
    return out;
}

static void drop(made *m)
{
    gguf_close(m->g);
    free(m->bytes);
}

static void held_to(const made *m, const gate *limits, const char *label)
{
    char held[16];
    ck_assert_msg(held_type(m->g, limits, held, &e), "%s", e.msg);
    ck_assert_str_eq(held, label);
}

static void contradicts(const made *m, const char *a, const char *b)
{
    err bad = { 0 };
    ck_assert(!type_of_check(m->g, &bad));
    ck_assert_int_eq(bad.kind, ERR_VERDICT);
    ck_assert_msg(strstr(bad.msg, "general.file_type") && strstr(bad.msg, a) && strstr(bad.msg, b), "%s", bad.msg);
}

START_TEST(every_type_is_known_by_its_tensors)
{
    int n;
    const file_type_info *table = file_type_table(&n);
    for (int i = 0; i < n; i++) {
        made m = make(table[i].id, table[i].id, NULL);
        held_to(&m, gate_builtin(), table[i].label);
        ck_assert_msg(type_of_check(m.g, &e), "%s", e.msg);
        drop(&m);
    }
}
END_TEST

START_TEST(another_name_does_not_buy_another_budget)
{
    made m = make(FT_Q8_0, FT_Q2_K, NULL);                  // the widest budget there is
    held_to(&m, gate_builtin(), "Q8_0");
    contradicts(&m, "found Q2_K", "expected Q8_0");
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q8_0, NULL);                     // more than it holds
    held_to(&m, gate_builtin(), "Q8_0");
    contradicts(&m, "found Q8_0", "expected Q4_K_M");
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q4_K_S, NULL);
    held_to(&m, gate_builtin(), "Q4_K_M");
    contradicts(&m, "found Q4_K_S", "expected Q4_K_M");
    drop(&m);
    m = make(FT_F32, FT_BF16, NULL);
    contradicts(&m, "found BF16", "expected F32");
    drop(&m);
    m = make(FT_Q6_K, 9999, NULL);                          // a type that nobody has
    held_to(&m, gate_builtin(), "Q6_K");
    contradicts(&m, "none we know", "");
    drop(&m);
    m = make(FT_Q5_0, SAID_NOTHING, NULL);
    held_to(&m, gate_builtin(), "Q5_0");
    ck_assert(type_of_check(m.g, &e));
    drop(&m);
}
END_TEST

static void one_finer(dtype types[N], char names[N][32])
{
    for (int i = 0; i < N; i++)
        if (strcmp(names[i], "blk.1.ffn_up.weight") == 0) types[i] = DT_Q8_0;
}
static void all_finer(dtype types[N], char names[N][32])
{
    for (int i = 0; i < N - 1; i++) types[i] = names[i][6] == 'a' ? DT_Q8_0 : DT_Q6_K;
}
static void half_coarse(dtype types[N], char names[N][32])
{
    for (int i = 0; i < N; i++)
        if (strstr(names[i], "ffn_")) types[i] = DT_Q2_K;
}
static void embedding_coarse(dtype types[N], char names[N][32])
{
    (void)names;
    types[N - 1] = DT_Q2_K;
}
static void all_coarse(dtype types[N], char names[N][32])
{
    (void)names;
    for (int i = 0; i < N - 1; i++) types[i] = DT_Q1_0;
}

START_TEST(a_mix_of_ones_own_is_held_to_what_it_keeps)
{
    made m = make(FT_Q4_K_M, FT_Q4_K_M, one_finer);
    held_to(&m, gate_builtin(), "Q4_K_M");
    ck_assert_msg(type_of_check(m.g, &e), "%s", e.msg);
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q4_K_M, embedding_coarse);       // what its layers keep is what it answers for
    held_to(&m, gate_builtin(), "Q4_K_M");
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q4_K_M, all_finer);              // 7 bits a weight under a name of 5
    held_to(&m, gate_builtin(), "Q6_K");
    contradicts(&m, "found Q4_K_M", "they take");
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q4_K_M, half_coarse);
    contradicts(&m, "found Q4_K_M", "they take");
    held_to(&m, gate_builtin(), "Q4_K_M");
    drop(&m);
    m = make(FT_Q4_K_M, SAID_NOTHING, half_coarse);    // without a name, what it keeps is all there is to hold it to
    char held[16];
    ck_assert(held_type(m.g, gate_builtin(), held, &e));
    ck_assert(gate_drift_for(gate_builtin(), held)->kl_max > gate_drift_for(gate_builtin(), "Q4_K_M")->kl_max);
    drop(&m);
}
END_TEST

// One tensor off the mix makes a file exact of nothing; its bytes alone would then choose the budget of a smaller type.
START_TEST(a_name_that_the_bytes_allow_is_answered_for)
{
    made m = make(FT_Q4_0, FT_Q4_0, one_finer);
    held_to(&m, gate_builtin(), "Q4_0");
    drop(&m);
    m = make(FT_Q4_0, FT_Q4_K_M, one_finer);
    ck_assert_msg(type_of_check(m.g, &e), "%s", e.msg);       // about the bytes of the type it is said to be
    held_to(&m, gate_builtin(), "Q4_K_M");
    drop(&m);
    m = make(FT_Q4_K_M, FT_Q4_0, one_finer);                    // and a smaller name is no excuse
    held_to(&m, gate_builtin(), "Q4_K_M");
    drop(&m);
    gate only = *gate_builtin();    // a gate without a row for the name holds it to what it keeps
    for (int i = 0; i < only.n_drift; i++)
        if (strcmp(only.drift[i].type, "Q4_K_M") == 0) only.drift[i] = only.drift[--only.n_drift];
    m = make(FT_Q4_0, FT_Q4_K_M, one_finer);
    held_to(&m, &only, "Q4_0");
    drop(&m);
}
END_TEST

static void two_coarser(dtype types[N], char names[N][32])
{
    for (int i = 0; i < N; i++)
        if (strstr(names[i], "blk.1.ffn_down") || strstr(names[i], "blk.2.ffn_down")) types[i] = DT_Q2_K;
}

// What a mix is to be called: its own type, else the nearest in size that the check lets stand. `like`: the types that
// it has.
static file_type name_of(file_type like, void (*spoil)(dtype types[N], char names[N][32]))
{
    made m = make(like, SAID_NOTHING, spoil);
    policy_tensor t[N];
    file_type type;
    for (int i = 0; i < N; i++) {
        const gguf_tensor *from = gguf_tensor_at(m.g, i);
        t[i] = (policy_tensor){ .name = from->name, .type = from->type, .n_dims = from->n_dims };
        memcpy(t[i].shape, from->shape, sizeof t[i].shape);
    }
    ck_assert_msg(type_of_name(m.g, t, N, &type, &e), "%s", e.msg);
    drop(&m);
    m = make(like, type, spoil);
    ck_assert_msg(type_of_check(m.g, &e), "%s", e.msg);
    drop(&m);
    return type;
}

START_TEST(a_mix_is_named_after_what_it_keeps)
{
    int n;
    const file_type_info *table = file_type_table(&n);
    for (int i = 0; i < n; i++) {
        if (dtype_find(table[i].base)->block_weights == 1) continue;
        // exactly a type: that name, or one of the same tensors
        made m = make(table[i].id, name_of(table[i].id, NULL), NULL);
        ck_assert(type_of_check(m.g, &e));
        drop(&m);
    }
    ck_assert_int_eq(name_of(FT_Q8_0, embedding_coarse), FT_Q8_0);
    // 7 bits a weight: nearer Q6_K than Q8_0, which it would contradict
    ck_assert_int_eq(name_of(FT_Q4_K_M, all_finer), FT_Q6_K);
    ck_assert_int_eq(name_of(FT_Q2_K, two_coarser), FT_Q2_K);
    // a little less than the least type, and still answering for its name
    made m = make(FT_Q2_K, FT_Q2_K, two_coarser);
    held_to(&m, gate_builtin(), "Q2_K");
    drop(&m);
}
END_TEST

START_TEST(what_keeps_less_than_any_budget_has_none)
{
    made m = make(FT_Q2_K, FT_Q2_K, all_coarse);
    held_to(&m, gate_builtin(), "?");
    ck_assert_ptr_null(gate_drift_for(gate_builtin(), "?"));
    contradicts(&m, "found Q2_K", "they take");
    drop(&m);
    gate only = *gate_builtin();    // a gate without a row for the type: not verifiable, whatever else it has
    only.n_drift = 2;
    m = make(FT_Q4_K_M, FT_Q4_K_M, NULL);
    held_to(&m, &only, "Q4_K_M");
    ck_assert_ptr_null(gate_drift_for(&only, "Q4_K_M"));
    drop(&m);
}
END_TEST

START_TEST(a_file_that_does_not_say_its_layers_is_refused)
{
    made m = make(FT_Q8_0, FT_Q8_0, NULL);
    uint8_t *at = memmem(m.bytes, 4096, "block_count", 11);
    ck_assert_ptr_nonnull(at);
    at[0] = 'B';
    const int64_t total = gguf_file_bytes(m.g);
    gguf_close(m.g);
    m.g = gguf_open_mem(m.bytes, total, "made.gguf", &e);
    ck_assert_msg(m.g != NULL, "%s", e.msg);
    char held[16];
    err  bad = { 0 };
    ck_assert(!held_type(m.g, gate_builtin(), held, &bad) && bad.kind == ERR_INPUT && strstr(bad.msg, "block_count"));
    drop(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("held_type");
    TCase *t = tcase_create("all");
    tcase_add_test(t, every_type_is_known_by_its_tensors);
    tcase_add_test(t, another_name_does_not_buy_another_budget);
    tcase_add_test(t, a_mix_of_ones_own_is_held_to_what_it_keeps);
    tcase_add_test(t, a_name_that_the_bytes_allow_is_answered_for);
    tcase_add_test(t, a_mix_is_named_after_what_it_keeps);
    tcase_add_test(t, what_keeps_less_than_any_budget_has_none);
    tcase_add_test(t, a_file_that_does_not_say_its_layers_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
