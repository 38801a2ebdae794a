// report_sample: reports of verifications made up by rule, for their forms to be tried on: exact and drift, with each
// case and step or without, that pass, fail, cannot decide or lack a fixture. No file, no model; the same sample gives
// the same report.
#ifndef HALLMARK_TESTS_REPORT_SAMPLE_H
#define HALLMARK_TESTS_REPORT_SAMPLE_H

#include "verify/verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { SAMPLE_PASS, SAMPLE_FAIL, SAMPLE_INCONCLUSIVE, SAMPLE_UNVERIFIED, SAMPLE_NOT_RUN, SAMPLE_DEAD } made_how;

typedef struct {
    made_how  how;
    int         n_fixtures;     // 1: exact; 2: a drift check behind it
    int         n_cases, n_steps, n_layers;
    bool        traced;         // each case and step is kept
    const char *text;           // stands for every text from outside; NULL: harmless ones
} report_opts;

typedef struct {
    verify_report report;
    report_opts   o;
} report_sample;

static inline void made_text(char *to, size_t size, const report_opts *o, const char *harmless)
{
    snprintf(to, size, "%s", o->text ? o->text : harmless);
}

// 0 to 1, the same for the same numbers.
static inline double made_noise(int a, int b, int c)
{
    uint32_t x = 2166136261u;
    const int v[] = { a, b, c };
    for (int i = 0; i < 3; i++) x = (x ^ (uint32_t)v[i]) * 16777619u, x ^= x >> 13;
    x *= 2246822519u;
    return (double)((x ^ (x >> 16)) % 10000) / 10000;
}

static inline verify_step made_step(const report_sample *s, check_kind kind, int c, int t)
{
    const bool   broken = s->o.how == SAMPLE_FAIL && c % 5 == 1 && t >= s->o.n_steps / 3;
    const double a = made_noise(c, t, kind), margin = 0.01 * pow(10, 3 * made_noise(t, c, 7));
    const bool   open = kind == CHECK_EXACT && margin < 0.013;
    const bool   other = broken || (open && a < 0.3) || (kind == CHECK_DRIFT && margin < 0.02);
    const double kl = (kind == CHECK_DRIFT ? 1e-3 : 2e-5) * pow(10, 3 * a - 2) * (broken ? 3000 : 1);
    verify_step  x = { .kl = kl, .margin = margin, .expected = 1000 + 7 * t + c,
                       .got = 1000 + 7 * t + c + (other ? 5 : 0), .open = open };
    x.state = broken ? PART_BROKE : !other ? PART_HELD : open ? PART_TIE : PART_NOT_JUDGED;
    if (s->o.how == SAMPLE_DEAD)
        x = (verify_step){ .kl = NAN, .margin = margin, .expected = x.expected, .got = -1, .state = PART_BROKE };
    return x;
}

static inline void made_layers(const report_sample *s, verify_case *x, int c)
{
    x->n_layers = s->o.n_layers + 1;
    x->layers = calloc((size_t)x->n_layers + 1, sizeof *x->layers);
    for (int l = 0; l < x->n_layers; l++) {
        const bool broken = s->o.how == SAMPLE_FAIL && c % 5 == 1 && l > s->o.n_layers / 2;
        const double limit = 0.02 * sqrt(l + 1.0);
        // the order of a fixture's probes is its own
        const double share = broken ? 20 : 0.1 + 0.5 * made_noise(l, c, 3);
        const bool   dead = s->o.how == SAMPLE_DEAD && l > 0;
        x->layers[x->n_layers - 1 - l] = (verify_layer){ l - 1, dead ? INFINITY : share * limit, limit };
    }
}

static inline void made_fail(verify_fixture_result *f, const report_sample *s, const char *what, const char *id,
                             int64_t step)
{
    if (f->n_failures == VERIFY_MAX_FAILURES) {
        f->failures_total++;
        return;
    }
    verify_failure *x = &f->failures[f->n_failures++];
    *x = (verify_failure){ .what = what, .step = step, .expected = step < 0 ? -1 : 1009, .got = step < 0 ? -1 : 1014,
                           .margin = step < 0 ? NAN : 0.125, .layer = step < 0 ? LAYER_NONE : s->o.n_layers / 2 };
    if (id) snprintf(x->case_id, sizeof x->case_id, "%s", id);
    made_text(x->text, sizeof x->text, &s->o,
              "case 'c', step 21, given its prefix: Transformers chose 1009 by a margin of 0.125, this run 1014; the "
              "first layer that departs is 4");
    f->failures_total++;
}

// Of a drift check no token fails.
static inline void made_case_fails(const report_sample *s, verify_fixture_result *f, const verify_case *x)
{
    int64_t first = 0;
    while (first < x->n_steps && x->steps[first].state != PART_BROKE) first++;
    if (first == x->n_steps) return;
    if (s->o.how == SAMPLE_DEAD) made_fail(f, s, "finite", x->id, first);
    if (s->o.how == SAMPLE_DEAD || f->kind == CHECK_DRIFT) return;
    made_fail(f, s, "teacher_forced", x->id, first);
    made_fail(f, s, "free_run", x->id, first);
}

static inline void made_case(report_sample *s, verify_fixture_result *f, int c)
{
    verify_case *x = &f->traced[c];
    char id[64];
    snprintf(id, sizeof id, "%s-%d", c % 2 ? "coding-python" : "non-latin-ru-zh", c);
    if (s->o.text) snprintf(id, sizeof id, "%d %s", c, s->o.text);      // a fixture's ids differ
    snprintf(x->id, sizeof x->id, "%s", id);
    x->prompt_ids = PART_HELD;
    x->steps = calloc((size_t)s->o.n_steps + 1, sizeof *x->steps);
    x->n_steps = s->o.n_steps;
    for (int t = 0; t < s->o.n_steps; t++) {
        x->steps[t] = made_step(s, f->kind, c, t);
        const part_state state = x->steps[t].state;
        if (state != PART_NOT_JUDGED && state > x->forced) x->forced = state;
        if (x->steps[t].got == x->steps[t].expected && x->free_run == PART_NOT_JUDGED) x->free_equal++;
        else if (x->free_run == PART_NOT_JUDGED) x->free_run = state;
    }
    if (x->free_run == PART_NOT_JUDGED && f->kind == CHECK_EXACT) x->free_run = PART_HELD;
    made_case_fails(s, f, x);
    made_layers(s, x, c);
}

// Counts and means from the cases, as a comparison takes them.
static inline void made_counts(verify_fixture_result *f)
{
    double sum = 0;
    for (int64_t c = 0; c < f->n_traced; c++) {
        const verify_case *x = &f->traced[c];
        f->free_run_equal += x->free_equal == x->n_steps;
        f->free_run_ties  += x->free_run == PART_TIE;
        f->free_run_tokens += x->n_steps;
        f->free_run_tokens_equal += x->free_equal;
        for (int64_t t = 0; t < x->n_steps; t++) {
            const verify_step *y = &x->steps[t];
            f->steps++;
            f->ties += y->open;
            f->ties_differing += y->state == PART_TIE;
            f->teacher_forced_equal += y->got == y->expected;
            sum += y->kl;
            if (!(y->kl <= f->kl_max)) f->kl_max = y->kl;
        }
    }
    f->kl_mean = f->steps > 0 ? sum / (double)f->steps : NAN;
}

static inline void made_run(report_sample *s, verify_fixture_result *f)
{
    f->ran = true;
    f->kl_max = 0;
    f->n_traced = s->o.n_cases;
    f->traced = calloc((size_t)s->o.n_cases + 1, sizeof *f->traced);
    for (int c = 0; c < s->o.n_cases; c++) made_case(s, f, c);
    made_counts(f);
    f->logprob_diff_max = 0.02;
    f->self_kl_mean = 1e-5;
    f->self_logprob_diff_max = 0.03;
    f->kl_limit = f->kind == CHECK_DRIFT ? 3e-3 : 1e-4;
    f->logprob_limit = f->kind == CHECK_DRIFT ? NAN : 0.09;
    f->ties_limit = f->kind == CHECK_DRIFT ? NAN : 0.05 * (double)f->steps;
    f->free_run_ties_limit = f->kind == CHECK_DRIFT ? NAN : (double)f->cases;
    f->top1_limit = f->kind == CHECK_DRIFT ? 0.8 : NAN;
    if (f->kind == CHECK_DRIFT) {
        f->rounding_kl_mean = 1e-3;
        f->rounding_top1_equal = f->steps - f->steps / 20;
        snprintf(f->budget, sizeof f->budget, "Q4_K_M");
    }
    f->probe_worst = 0.01;
    f->probe_layer = 0;
}

static inline void made_fixture(report_sample *s, verify_fixture_result *f, check_kind kind)
{
    *f = (verify_fixture_result){ .kind = kind, .cases = s->o.n_cases, .top_k = 64, .probe_layer = LAYER_NONE };
    f->kl_mean = f->kl_max = f->logprob_diff_max = f->rounding_kl_mean = NAN;
    f->kl_limit = f->logprob_limit = f->ties_limit = f->free_run_ties_limit = f->top1_limit = NAN;
    made_text(f->name, sizeof f->name, &s->o, kind == CHECK_DRIFT ? "float32.json.gz" : "q4_k_m.json.gz");
    memset(f->file_digest, kind == CHECK_DRIFT ? 'a' : 'b', SHA256_HEX);
    snprintf(f->dtype, sizeof f->dtype, "float32");
    made_text(f->reference.model, sizeof f->reference.model, &s->o, "google/gemma-4-E2B-it");
    made_text(f->reference.transformers, sizeof f->reference.transformers, &s->o, "5.24.0");
    made_text(f->reference.torch, sizeof f->reference.torch, &s->o, "2.13.0");
    memset(f->reference.prompts, 'c', SHA256_HEX);
    f->reference.tokens = s->o.n_steps;
    f->failures = calloc(VERIFY_MAX_FAILURES, sizeof *f->failures);
    if (s->o.how == SAMPLE_NOT_RUN) made_fail(f, s, "metadata", NULL, -1);
    else                            made_run(s, f);
    if (s->o.how == SAMPLE_FAIL && kind == CHECK_EXACT) made_fail(f, s, "distance", f->traced[0].id, 3);
    if (s->o.how == SAMPLE_FAIL && kind == CHECK_DRIFT) made_fail(f, s, "drift", NULL, -1);
    if (s->o.how == SAMPLE_INCONCLUSIVE) {
        f->n_why = 1;
        f->why[0] = (verify_why){ .what = "minimum", .steps = 240 };
        made_text(f->why[0].text, sizeof f->why[0].text, &s->o,
                  "the fixture is too short for the gate: 3 cases, 120 steps; the least is 4 and 100");
    }
    f->passed = f->failures_total == 0 && f->n_why == 0;
}

static inline report_sample *report_sample_new(const report_opts *o)
{
    report_sample *s = calloc(1, sizeof *s);
    verify_report *r = &s->report;
    s->o = *o;
    made_text(r->artifact, sizeof r->artifact, o, "gemma-4-E2B-it-Q4_K_M.gguf");
    made_text(r->processor, sizeof r->processor, o, "avx2");
    snprintf(r->type, sizeof r->type, "Q4_K_M");
    snprintf(r->arith, sizeof r->arith, "f32");
    snprintf(r->kv, sizeof r->kv, "f32");
    snprintf(r->kv_required, sizeof r->kv_required, "f32");
    snprintf(r->device, sizeof r->device, "cpu");
    snprintf(r->gate, sizeof r->gate, "built-in");
    made_text(r->judged_by.name, sizeof r->judged_by.name, o, "built-in");
    memset(r->judged_by.sha256, 'd', SHA256_HEX);
    r->judged_by.limits = *gate_builtin();
    made_text(r->source.repository, sizeof r->source.repository, o, "google/gemma-4-E2B-it");
    memset(r->source.digest, 'e', SHA256_HEX);
    snprintf(r->program.version, sizeof r->program.version, "0.1.0");
    made_text(r->program.commit, sizeof r->program.commit, o, "unknown");
    r->file_bytes = 3106731648;
    r->attention_scale = 1;
    r->derivation = (verify_derivation){ .made = true, .passed = true, .tensors = 541, .encoded = 318,
                                         .error_max = 0.0721 };
    made_text(r->derivation.error_tensor, sizeof r->derivation.error_tensor, o, "blk.3.attn_q.weight");
    r->n_fixtures = o->how == SAMPLE_UNVERIFIED ? o->n_fixtures - 1 : o->n_fixtures;
    r->incomplete = o->how == SAMPLE_UNVERIFIED;
    r->fixtures = calloc((size_t)o->n_fixtures + 1, sizeof *r->fixtures);
    r->passed = !r->incomplete;
    for (int i = 0; i < r->n_fixtures; i++) {
        made_fixture(s, &r->fixtures[i], i == 0 ? CHECK_EXACT : CHECK_DRIFT);
        r->passed &= r->fixtures[i].passed;
    }
    r->n_notes = 1;
    r->notes = calloc(1, sizeof *r->notes);
    made_text(r->notes[0], sizeof r->notes[0], o,
              "'gemma4.attention.scale' is not in the file; 1 was assumed, as llama.cpp does");
    if (!o->traced) verify_report_forget_cases(r);
    return s;
}

static inline void report_sample_free(report_sample *s)
{
    verify_report_free(&s->report);
    free(s);
}

#endif
