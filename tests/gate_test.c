// Proves verify/gate.h: the built-in table is what verify/gate.json says, and no misspelt or missing limit passes
// unseen.
#include "formats/file_map.h"
#include "verify/gate.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *shipped(void)
{
    char   *text = NULL;
    int64_t n;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, SOURCE_DIR "/verify/gate.json", 1 << 20, &e), "%s", e.msg);
    char *copy = strdup(text);
    free(text);
    return copy;
}

static bool parse(gate *g, const char *text, err *e)
{
    memset(e, 0, sizeof *e);
    return gate_parse(g, text, (int64_t)strlen(text), "gate.json", e);
}

static void same_exact(const gate_exact *a, const gate_exact *b)
{
    ck_assert(a->kl_factor == b->kl_factor && a->kl_floor == b->kl_floor);
    ck_assert(a->logprob_factor == b->logprob_factor && a->logprob_floor == b->logprob_floor);
    ck_assert(a->probe_tolerance == b->probe_tolerance);
    ck_assert(a->self_kl_max == b->self_kl_max && a->self_logprob_max == b->self_logprob_max &&
              a->self_margin_max == b->self_margin_max);
}

START_TEST(built_in_is_the_shipped_file)
{
    gate g;
    err  e = { 0 };
    const gate *b = gate_builtin();
    ck_assert_msg(gate_read(&g, SOURCE_DIR "/verify/gate.json", &e), "%s", e.msg);
    same_exact(&g.float32, &b->float32);
    same_exact(&g.bfloat16, &b->bfloat16);
    ck_assert(g.tie_rate == b->tie_rate && g.tie_self_factor == b->tie_self_factor &&
              g.tie_self_rate_max == b->tie_self_rate_max);
    ck_assert(g.min_cases == b->min_cases && g.min_steps == b->min_steps && g.min_top_k == b->min_top_k);
    ck_assert(g.has_rounding && b->has_rounding);
    ck_assert(g.rounding.kl_factor == b->rounding.kl_factor && g.rounding.kl_floor == b->rounding.kl_floor);
    ck_assert(g.rounding.top1_factor == b->rounding.top1_factor && g.rounding.top1_floor == b->rounding.top1_floor);
    ck_assert_int_eq(g.n_drift, b->n_drift);
    for (int i = 0; i < g.n_drift; i++) {
        ck_assert_str_eq(g.drift[i].type, b->drift[i].type);
        ck_assert(g.drift[i].top1_min == b->drift[i].top1_min && g.drift[i].kl_max == b->drift[i].kl_max);
    }
}
END_TEST

// Records hold the built-in limits by this digest; whoever changes them adds the new one behind the old ones.
START_TEST(the_digest_of_the_built_in_limits_is_kept)
{
    char hex[SHA256_HEX + 1];
    ck_assert(gate_digest(gate_builtin(), hex, &(err){ 0 }));
    ck_assert_str_eq(hex, GATE_SHIPPED[GATE_N_SHIPPED - 1]);
    for (int i = 0; i < GATE_N_SHIPPED; i++) ck_assert(sha256_is_hex(GATE_SHIPPED[i]));
}
END_TEST

// A gate's text is its limits and nothing else: the file's comments and white space are no part of it.
START_TEST(a_gate_as_text_is_read_back)
{
    gate g, again;
    err  e = { 0 };
    char hex[2][SHA256_HEX + 1];
    ck_assert(gate_read(&g, SOURCE_DIR "/verify/gate.json", &e));
    char *text = gate_text(&g), *builtin = gate_text(gate_builtin());
    ck_assert_str_eq(text, builtin);
    ck_assert(!strstr(text, "comment") && !strchr(text, '\n') && strstr(text, "\"kl_floor\":1e-11"));
    ck_assert_msg(parse(&again, text, &e), "%s", e.msg);
    ck_assert(gate_digest(&again, hex[0], &e) && gate_digest(gate_builtin(), hex[1], &e));
    ck_assert_str_eq(hex[0], hex[1]);
    again.drift[3].kl_max += 1e-9;
    ck_assert(gate_digest(&again, hex[0], &e) && strcmp(hex[0], hex[1]) != 0);
    again = *gate_builtin();
    again.has_rounding = false;                                 // of version 1
    free(text);
    text = gate_text(&again);
    ck_assert(strstr(text, "{\"hallmark_gate\":1,") == text && !strstr(text, "rounding") && parse(&g, text, &e));
    free(text);
    free(builtin);
}
END_TEST

// The rule itself: at most three times the reference's own distance, ties at most 0.5 % or twice its own rate.
START_TEST(built_in_keeps_the_rule)
{
    const gate *b = gate_builtin();
    ck_assert(b->float32.kl_factor == 3 && b->bfloat16.kl_factor == 3 && b->float32.logprob_factor == 3 &&
              b->bfloat16.logprob_factor == 3);
    ck_assert(b->tie_rate == 0.005 && b->tie_self_factor == 2);
    ck_assert(b->float32.kl_floor < b->bfloat16.kl_floor);
}
END_TEST

START_TEST(rows_are_found_by_type)
{
    const gate *b = gate_builtin();
    ck_assert_str_eq(gate_drift_for(b, "Q4_K_M")->type, "Q4_K_M");
    ck_assert_str_eq(gate_drift_for(b, "q4_k_m")->type, "Q4_K_M");
    ck_assert_ptr_null(gate_drift_for(b, "IQ9_Z"));             // no budget is not the widest budget
    ck_assert_ptr_null(gate_drift_for(b, "?"));
    ck_assert_ptr_eq(gate_exact_for(b, "bfloat16"), &b->bfloat16);
    ck_assert_ptr_eq(gate_exact_for(b, "float32"), &b->float32);
}
END_TEST

// Replaces the first `from` of the shipped text; the result is freed by the caller.
static char *edited(const char *from, const char *to)
{
    char *text = shipped();
    const char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "'%s' is not in gate.json", from);
    size_t n = strlen(text) + strlen(to) + 1;
    char  *out = malloc(n);
    snprintf(out, n, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    free(text);
    return out;
}

START_TEST(what_is_wrong_is_named)
{
    static const struct { const char *from, *to, *named; } CASES[] = {
        { "\"kl_floor\"", "\"kl_flor\"", "kl_flor" },
        { "\"kl_factor\": 3, ", "", "kl_factor" },
        { "\"kl_factor\": 3", "\"kl_factor\": -3", "kl_factor" },
        { "\"kl_factor\": 3", "\"kl_factor\": \"3\"", "kl_factor" },
        { "\"kl_factor\": 3", "\"kl_factor\": 1e999", "kl_factor" },
        { "\"kl_factor\": 3", "\"kl_factor\": null", "kl_factor" },
        { "\"rate\"", "\"ratio\"", "ratio" },
        { "\"hallmark_gate\": 2", "\"hallmark_gate\": 3", "hallmark_gate" },
        { "\"hallmark_gate\": 2,", "", "hallmark_gate" },
        { "\"hallmark_gate\": 2", "\"hallmark_gate\": 1", "rounding" },
        { "\"rounding\"", "\"roundings\"", "rounding" },
        { "\"top1_floor\"", "\"top1_flor\"", "top1_flor" },
        { ", \"top1_floor\": 0.01", "", "top1_floor" },
        { "\"bfloat16\"", "\"float16\"", "float16" },
        { "\"type\": \"Q6_K\"", "\"type\": \"*\"", "expected that row last" },
        { "\"cases\": 4", "\"cases\": -4", "cases" },
        { "\"cases\": 4, ", "", "cases" },
        { "\"minimum\"", "\"minima\"", "minima" },
        { "\"type\": \"Q8_0\"", "\"type\": \"q4_k_m\"", "row already" },
        { "\"type\": \"Q8_0\"", "\"type\": \"a name that is far too long\"", "no type's name" },
        { "\"top1_min\"", "\"top1\"", "top1" },
        { "\"drift\"", "\"drifts\"", "drifts" },
        { "[", "{", "gate.json" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        gate  g;
        err   e = { 0 };
        char *text = edited(CASES[i].from, CASES[i].to);
        ck_assert_msg(!parse(&g, text, &e), "%s -> %s was accepted", CASES[i].from, CASES[i].to);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strstr(e.msg, CASES[i].named) && strstr(e.msg, "gate.json"), "message: %s", e.msg);
        free(text);
    }
}
END_TEST

START_TEST(a_row_for_any_other_type_must_be_asked_for)
{
    gate  g;
    err   e = { 0 };
    char *text = edited("\"type\": \"Q2_K\"", "\"type\": \"*\"");
    ck_assert_msg(parse(&g, text, &e), "%s", e.msg);
    ck_assert_str_eq(gate_drift_for(&g, "Q2_K")->type, "*");
    ck_assert_str_eq(gate_drift_for(&g, "Q4_K_M")->type, "Q4_K_M");
    free(text);
}
END_TEST

// What a model may drift follows from what rounding costs it, within what bears the type's name.
START_TEST(drift_is_measured_by_the_model_itself)
{
    const gate *b = gate_builtin();
    const gate_drift *d = gate_drift_for(b, "Q4_K_M");
    gate_limits l = gate_drift_limits(b, d, 0.001, 990, 1000);
    ck_assert(l.kl_max == 3 * 0.001 && fabs(l.top1_min - 0.97) < 1e-12);
    l = gate_drift_limits(b, d, 1e-9, 1000, 1000);              // the floors
    ck_assert(l.kl_max == b->rounding.kl_floor && l.top1_min == 1 - b->rounding.top1_floor);
    l = gate_drift_limits(b, d, 5, 100, 1000);                  // whatever it costs, this is no Q4_K_M
    ck_assert(l.kl_max == d->kl_max && l.top1_min == d->top1_min);
    l = gate_drift_limits(b, d, NAN, 1000, 1000);               // not measured: nothing is let through
    ck_assert(l.kl_max == 0 && l.top1_min == 1);
    l = gate_drift_limits(b, d, 0.001, 0, 0);
    ck_assert(l.kl_max == 0 && l.top1_min == 1);
}
END_TEST

// Gates that were written before there was such a measure still say what they said.
START_TEST(a_gate_of_version_1_is_read)
{
    gate  g;
    err   e = { 0 };
    char *text = edited("\"hallmark_gate\": 2", "\"hallmark_gate\": 1"), *from = strstr(text, "\"rounding\": {"),
         *to = strstr(text, "\"drift\": [");
    ck_assert(from && to && from < to);
    memset(from, ' ', (size_t)(to - from));
    ck_assert_msg(parse(&g, text, &e), "%s", e.msg);
    ck_assert(!g.has_rounding);
    const gate_drift *d = gate_drift_for(&g, "Q4_K_M");
    const gate_limits l = gate_drift_limits(&g, d, NAN, 0, 0);
    ck_assert(l.kl_max == 0.12 && l.top1_min == 0.88);
    free(text);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    char  *text = shipped();
    size_t end = strlen(text);
    while (end > 0 && text[end - 1] != '}') end--;
    for (size_t n = 0; n < end; n++) {
        gate g;
        err  e = { 0 };
        ck_assert(!gate_parse(&g, text, (int64_t)n, "gate.json", &e));
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gate");
    TCase *t = tcase_create("all");
    tcase_add_test(t, built_in_is_the_shipped_file);
    tcase_add_test(t, the_digest_of_the_built_in_limits_is_kept);
    tcase_add_test(t, a_gate_as_text_is_read_back);
    tcase_add_test(t, built_in_keeps_the_rule);
    tcase_add_test(t, rows_are_found_by_type);
    tcase_add_test(t, what_is_wrong_is_named);
    tcase_add_test(t, a_row_for_any_other_type_must_be_asked_for);
    tcase_add_test(t, drift_is_measured_by_the_model_itself);
    tcase_add_test(t, a_gate_of_version_1_is_read);
    tcase_add_test(t, every_truncation_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
