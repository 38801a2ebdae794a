// Proves quant/choice.h: options that decide nothing are refused with what they could have named, whatever the base
// type; what falls back is told.
#include "quant/choice.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

typedef struct { progress p; char text[2048]; } log_of;

static void keep_line(progress *p, const char *line)
{
    log_of *l = (log_of *)p;
    const size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s\n", line);
}

// Two layers, tied; rows of 256, of 96, of 20.
static const policy_tensor model[] = {
    { "token_embd.weight",        DT_BF16, 2, { 300, 256 } }, { "output_norm.weight",       DT_F32,  1, { 256 } },
    { "per_layer_model_proj.weight", DT_BF16, 2, { 64, 256 } },
    { "blk.0.attn_norm.weight",   DT_F32,  1, { 256 } },      { "blk.0.attn_q.weight",      DT_BF16, 2, { 256, 256 } },
    { "blk.0.ffn_up.weight",      DT_BF16, 2, { 96, 256 } },  { "blk.0.ffn_down.weight",    DT_BF16, 2, { 256, 96 } },
    { "blk.1.attn_q.weight",      DT_BF16, 2, { 256, 256 } }, { "blk.1.ffn_down.weight",    DT_BF16, 2, { 256, 96 } },
    { "blk.1.proj.weight",        DT_BF16, 2, { 256, 20 } },
};
enum { N = sizeof model / sizeof model[0], EMBD = 0, NORM = 1, FIXED = 2, Q0 = 4, UP0 = 5, DOWN0 = 6, PROJ1 = 9 };
static const char COULD[] = "blk.N.attn_q.weight, blk.N.ffn_down.weight, blk.N.ffn_up.weight, blk.N.proj.weight, "
                            "token_embd.weight";

static dtype types[N], wanted[N];

static bool choose(file_type ft, const policy_overrides *v, bool strict, log_of *l, err *e)
{
    const policy_model m = { .arch = "gemma4", .n_layer = 2, .n_head = 4, .n_head_kv = 1, .overrides = v };
    *l = (log_of){ .p = { .log = keep_line } };
    return choice_make(&(choice_opts){ .type = ft, .strict = strict, .log = &l->p, .model = &m }, model, N, types,
                       wanted, e);
}

static policy_overrides rules_of(const type_rule *r, int n)
{
    return (policy_overrides){ .rules = r, .n_rules = n, .output = DT_INVALID, .embedding = DT_INVALID };
}

static void refused(file_type ft, const policy_overrides *v, const char *says)
{
    log_of l;
    err e = { 0 };
    ck_assert_msg(!choose(ft, v, false, &l, &e), "accepted, expected: %s", says);
    ck_assert_int_eq(e.kind, ERR_USAGE);
    ck_assert_msg(strstr(e.msg, says) != NULL, "found '%s', expected '%s' in it", e.msg, says);
}

static const file_type bases[] = { FT_BF16, FT_F16, FT_F32, FT_Q8_0, FT_Q4_K_M };

START_TEST(test_rules_with_every_base)
{
    static const type_rule r[] = { { "ffn_down", DT_Q8_0 }, { "attn_q", DT_F32 } };
    const policy_overrides v = rules_of(r, 2);
    for (size_t k = 0; k < sizeof bases / sizeof bases[0]; k++) {
        log_of l;
        err e = { 0 };
        ck_assert_msg(choose(bases[k], &v, false, &l, &e), "%s", e.msg);
        ck_assert_int_eq(types[DOWN0], DT_Q8_0);
        ck_assert_int_eq(types[Q0], DT_F32);
        ck_assert_int_eq(types[UP0], file_type_of(bases[k])->base);
        ck_assert_int_eq(types[NORM], DT_F32);
        ck_assert_int_eq(types[FIXED], DT_BF16);
    }
}
END_TEST

START_TEST(test_options_that_decide_nothing)
{
    static const type_rule none[] = { { "ffn_gate", DT_Q8_0 } }, fixed[] = { { "norm|model_proj", DT_Q6_K } };
    static const type_rule late[] = { { "blk", DT_Q8_0 }, { "ffn_down", DT_Q6_K } },
                           embd[] = { { "token_embd", DT_Q6_K } };
    for (size_t k = 0; k < sizeof bases / sizeof bases[0]; k++) {
        char says[600];
        policy_overrides v = rules_of(none, 1);
        snprintf(says, sizeof says, "--tensor-type 'ffn_gate=Q8_0' names no tensor; it could name: %s", COULD);
        refused(bases[k], &v, says);
        v = rules_of(fixed, 1);
        snprintf(says, sizeof says,
                 "--tensor-type 'norm|model_proj=Q6_K' names only tensors whose type is fixed ('output_norm.weight'); "
                 "it could name: %s",
                 COULD);
        refused(bases[k], &v, says);
        v = rules_of(late, 2);
        refused(bases[k], &v, "--tensor-type 'ffn_down=Q6_K' decides nothing: tensor 'blk.0.ffn_down.weight'");
        v = rules_of(embd, 1);
        v.embedding = DT_Q8_0;
        refused(bases[k], &v, "--tensor-type 'token_embd=Q6_K' decides nothing: tensor 'token_embd.weight'");
        v = rules_of(embd, 1);
        v.output = DT_Q8_0;
        refused(bases[k], &v,
                "--output-type Q8_0 decides nothing: the output matrix is tied to the embedding, whose type a "
                "--tensor-type decides");
    }
    policy_overrides v = { .pure = true, .output = DT_Q8_0, .embedding = DT_INVALID };
    refused(FT_Q4_K_M, &v, "whose type --pure decides");
}
END_TEST

// --output-type means the tied embedding, with any base; beside --embedding-type it is a warning.
START_TEST(test_tied_output)
{
    for (size_t k = 0; k < sizeof bases / sizeof bases[0]; k++) {
        policy_overrides v = { .output = DT_Q5_0, .embedding = DT_INVALID };
        log_of l;
        err e = { 0 };
        ck_assert_msg(choose(bases[k], &v, false, &l, &e), "%s", e.msg);
        ck_assert_int_eq(types[EMBD], DT_Q5_0);
        ck_assert(!strstr(l.text, "--output-type"));
        v.embedding = DT_Q8_0;
        ck_assert_msg(choose(bases[k], &v, false, &l, &e), "%s", e.msg);
        ck_assert_int_eq(types[EMBD], DT_Q8_0);
        ck_assert(strstr(l.text, "warning: --output-type Q5_0 decides nothing"));
    }
}
END_TEST

START_TEST(test_fallbacks)
{
    log_of l;
    err e = { 0 };
    ck_assert_msg(choose(FT_Q4_K_S, NULL, false, &l, &e), "%s", e.msg);
    ck_assert(types[DOWN0] == DT_Q5_0 && wanted[DOWN0] == DT_Q4_K && types[PROJ1] == DT_F16 &&
              wanted[PROJ1] == DT_Q4_K);
    ck_assert(types[Q0] == wanted[Q0] && types[NORM] == wanted[NORM] && types[FIXED] == wanted[FIXED]);
    ck_assert_str_eq(l.text, "warning: 3 of 7 matrices have rows that no block of their Q4_K_S type fits, and take "
                             "another: 2 Q5_0 instead of Q4_K, "
                             "1 F16 instead of Q4_K (--dry-run lists them, --strict-types refuses)\n");
    ck_assert(!choose(FT_Q4_K_S, NULL, true, &l, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    ck_assert_str_eq(e.msg, "--strict-types: 3 of 7 matrices cannot be what Q4_K_S gives them (2 Q5_0 instead of Q4_K, "
                            "1 F16 instead of Q4_K); "
                            "the first is 'blk.0.ffn_down.weight', with rows of 96");
    e = (err){ 0 };
    ck_assert_msg(choose(FT_BF16, NULL, true, &l, &e), "%s", e.msg);        // plain types fit everything
    ck_assert_str_eq(l.text, "");
    static const type_rule r[] = { { "proj", DT_F16 }, { "ffn_down", DT_Q8_0 } };       // as asked for: no fallback
    const policy_overrides v = rules_of(r, 2);
    ck_assert_msg(choose(FT_Q4_K_M, &v, true, &l, &e), "%s", e.msg);
    static const type_rule odd[] = { { "ffn_down", DT_Q6_K } };
    const policy_overrides w = rules_of(odd, 1);
    ck_assert(!choose(FT_BF16, &w, true, &l, &e));                          // a rule's own type counts too
    ck_assert(strstr(e.msg, "2 Q8_0 instead of Q6_K"));
}
END_TEST

// An embedding whose rows are odd: what an output matrix would be counts as asked for, not what is left of it.
START_TEST(test_fallback_of_the_output)
{
    static const policy_tensor t[] = { { "token_embd.weight", DT_BF16, 2, { 300, 96 } },
                                       { "blk.0.ffn_up.weight", DT_BF16, 2, { 96, 40 } } };
    const policy_model m = { .arch = "gemma3", .n_layer = 1, .n_head = 4, .n_head_kv = 1 };
    dtype to[2], asked[2];
    err e = { 0 };
    ck_assert_msg(choice_make(&(choice_opts){ .type = FT_Q4_K_M, .model = &m }, t, 2, to, asked, &e), "%s", e.msg);
    ck_assert(asked[0] == DT_Q6_K && to[0] == DT_Q8_0 && asked[1] == DT_Q4_K && to[1] == DT_F16);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("choice");
    TCase *c = tcase_create("choice");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_rules_with_every_base);
    tcase_add_test(c, test_options_that_decide_nothing);
    tcase_add_test(c, test_tied_output);
    tcase_add_test(c, test_fallbacks);
    tcase_add_test(c, test_fallback_of_the_output);
    return run_suite(s);
}
