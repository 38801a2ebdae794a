#include "reference.h"
#include "compare.h"
#include "tie.h"
#include "../formats/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- how far it is from itself -------------------------------------------------------------------------------------

static void add_case(reference_self self[2], const fixture *f, const fixture_case *c, bool leave_routed)
{
    for (int64_t t = 0; t < f->tokens; t++) {
        if (leave_routed && tie_routed(c, t)) continue;
        for (int s = 0; s < 2; s++) {
            const double kl = s < c->n_self ? fmax(c->self[s].kl[t], 0) : 0;
            self[s].kl_steps++;
            self[s].kl_sum += kl;
            self[s].kl_most = fmax(self[s].kl_most, kl);
        }
    }
    for (int s = 0; s < c->n_self; s++) self[s].logprob_max = fmax(self[s].logprob_max, c->self[s].logprob_diff_max);
}

reference_self reference_self_of(const fixture *f, bool leave_routed)
{
    reference_self self[2] = { 0 };
    for (int64_t i = 0; i < fixture_held(f); i++) add_case(self, f, &f->cases[i], leave_routed);
    reference_self r = self[self[1].kl_sum > self[0].kl_sum];
    r.kl_mean     = r.kl_steps > 0 ? r.kl_sum / (double)r.kl_steps : 0;
    r.logprob_max = fmax(self[0].logprob_max, self[1].logprob_max);
    return r;
}

// ---- what would do -------------------------------------------------------------------------------------------------

// Prompts of the fixture's length for so many steps, and never fewer than the gate asks for.
static int64_t prompts_for(double steps, const fixture *f, const gate *g)
{
    return (int64_t)fmax(ceil(steps / f->tokens), ceil(g->min_cases));
}

enum { REMEDY = 160 };
static const char NO_REMEDY[] = "; more prompts would not change that";

// "; N prompts of T tokens would do".
static void prompts_text(char to[REMEDY], int64_t prompts, int tokens)
{
    snprintf(to, REMEDY, "; %lld prompts of %d tokens would do", (long long)prompts, tokens);
}

// The lower end of Wilson's 95 % interval for a share of k in n.
static double share_at_least(double k, double n)
{
    const double z = 1.96, p = k / n;
    return (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n);
}

// A share of other choices that chance may have made: of more steps as many are allowed, and one more.
static int64_t remedy_of_rate(char to[REMEDY], double rate, const fixture *f, const gate *g)
{
    const double n = (double)(fixture_held(f) * f->tokens), k = round(rate * n), most = g->tie_self_rate_max;
    if (!(most > 0) || share_at_least(k, n) > most) {
        snprintf(to, REMEDY, "; %.0f of %.0f steps are no chance%s", k, n, NO_REMEDY);
        return 0;
    }
    const int64_t prompts = prompts_for((k + 1) / most, f, g);
    snprintf(to, REMEDY, "; %.0f of %.0f steps may be chance: %lld prompts of %d tokens would do, where %.0f may be",
             k, n, (long long)prompts, f->tokens, floor(most * (double)(prompts * f->tokens)));
    return prompts;
}

// A mean that one step makes too large: over more steps it is not.
static int64_t remedy_of_mean(char to[REMEDY], const reference_self *s, double most, const fixture *f, const gate *g)
{
    if (!(most > 0) || s->kl_steps < 2 || (s->kl_sum - s->kl_most) / (double)(s->kl_steps - 1) > most) return 0;
    const int64_t prompts = prompts_for(s->kl_sum / most, f, g);
    snprintf(to, REMEDY, "; a single step makes it so: %lld prompts of %d tokens would do", (long long)prompts,
             f->tokens);
    return prompts;
}

static void say_why(verify_fixture_result *r, const char *what, int64_t prompts, const fixture *f, const char *text)
{
    if (r->n_why == VERIFY_MAX_WHY) return;
    verify_why *w = &r->why[r->n_why++];
    *w = (verify_why){ .what = what, .prompts = prompts, .steps = prompts * f->tokens };
    snprintf(w->text, sizeof w->text, "%s", text);
    r->passed = false;
}

// ---- asked in part --------------------------------------------------------------------------------------------------

void reference_check_part(verify_fixture_result *r, const fixture *f)
{
    char text[sizeof r->why->text];
    const bool whole_would_do = r->n_why == 0;
    if (f->n_held == 0) return;
    snprintf(text, sizeof text, "%lld of %lld cases were asked, and a part is never a pass%s", (long long)f->n_cases,
             (long long)f->n_held, whole_would_do ? "; all of them, without --samples, would do" : "");
    say_why(r, "part", whole_would_do ? f->n_held : 0, f, text);
}

// Would all cases decide, where a part of them was asked? Then that is said with it.
static bool whole_decides(const verify_fixture_result *r)
{
    for (int64_t i = 0; i < r->n_why; i++)
        if (strcmp(r->why[i].what, "part") == 0) return r->why[i].prompts > 0;
    return false;
}

bool reference_leaves_open(verify_fixture_result *r, const fixture *f, const char *what, const char *found)
{
    char text[sizeof r->why->text];
    if (f->n_held == 0) return false;
    const bool whole = whole_decides(r);
    snprintf(text, sizeof text, "of this part %s%s", found, whole ? "; all cases decide" : "");
    say_why(r, what, whole ? f->n_held : 0, f, text);
    return true;
}

// ---- too short -----------------------------------------------------------------------------------------------------

static void check_minimum(verify_fixture_result *r, const fixture *f, const gate *g)
{
    const int64_t cases = fixture_held(f);      // too short is what it is whole
    const double steps = (double)(cases * f->tokens);
    const bool few = (double)cases < g->min_cases || steps < g->min_steps, thin = f->top_k < g->min_top_k;
    const int64_t prompts = prompts_for(g->min_steps, f, g);
    char text[sizeof r->why->text], more[REMEDY] = "", ids[64] = "";
    if (!few && !thin) return;
    if (few) prompts_text(more, prompts, f->tokens);
    if (thin) snprintf(ids, sizeof ids, "%s the top %.0f ids a step", few ? ", with" : "; it takes", g->min_top_k);
    snprintf(text, sizeof text, "the fixture is too short for the gate: %lld cases, %.0f steps, the top %d ids a step; "
             "the least is %.0f, %.0f and %.0f%s%s",
             (long long)cases, steps, f->top_k, g->min_cases, g->min_steps, g->min_top_k, more, ids);
    say_why(r, "minimum", few ? prompts : cases, f, text);
}

void reference_check_length(verify_fixture_result *r, const fixture *f, const gate *g, int64_t n_free)
{
    char text[sizeof r->why->text];
    check_minimum(r, f, g);
    if (f->tokens >= n_free) return;
    snprintf(text, sizeof text, "the fixture holds %d tokens a case, %lld are asked for; one made with --tokens "
             "%lld would do", f->tokens, (long long)n_free, (long long)n_free);
    say_why(r, "tokens", 0, f, text);
}

bool reference_too_short_for_a_tie(verify_fixture_result *r, const fixture *f, const gate *g)
{
    char text[sizeof r->why->text], more[REMEDY];
    if (!(g->tie_rate > 0) || r->ties_differing != 1 || r->ties_limit >= 1) return false;
    const int64_t prompts = prompts_for(1 / g->tie_rate, f, g);
    prompts_text(more, prompts, f->tokens);
    snprintf(text, sizeof text, "1 of %lld steps differs at a tie, the limit is %.1f: so few steps allow none%s",
             (long long)r->steps, r->ties_limit, more);
    say_why(r, "ties", prompts, f, text);
    return true;
}

// ---- too far from itself -------------------------------------------------------------------------------------------

static void too_far(verify_fixture_result *r, const fixture *f, const char *what, double found, double most,
                    int64_t prompts, const char *remedy)
{
    char text[sizeof r->why->text];
    snprintf(text, sizeof text, "the reference is too far from itself to be a measure: its %s is %.3g, "
             "the most is %.3g%s", what, found, most, remedy);
    say_why(r, "reference", prompts, f, text);
}

void reference_check_self(verify_fixture_result *r, const fixture *f, const gate *g, bool leave_routed)
{
    const gate_exact *x = gate_exact_for(g, f->dtype);
    const reference_self self = reference_self_of(f, leave_routed);
    const double rate = tie_self_rate(f);
    double moved = 0;
    char remedy[REMEDY];
    for (int64_t i = 0; i < fixture_held(f); i++) moved = fmax(moved, tie_movement(f, &f->cases[i], leave_routed));
    if (!(self.kl_mean <= x->self_kl_max)) {
        const int64_t prompts = remedy_of_mean(remedy, &self, x->self_kl_max, f, g);
        too_far(r, f, "mean KL", self.kl_mean, x->self_kl_max, prompts, prompts ? remedy : NO_REMEDY);
    }
    if (!(self.logprob_max <= x->self_logprob_max))
        too_far(r, f, "largest log-probability difference", self.logprob_max, x->self_logprob_max, 0, NO_REMEDY);
    if (!(moved <= x->self_margin_max))
        too_far(r, f, "largest movement of a margin", moved, x->self_margin_max, 0, NO_REMEDY);
    if (!(rate <= g->tie_self_rate_max)) {
        const int64_t prompts = remedy_of_rate(remedy, rate, f, g);
        too_far(r, f, "rate of other choices", rate, g->tie_self_rate_max, prompts, remedy);
    }
}

// ---- where it comes from -------------------------------------------------------------------------------------------

// As much as there is room for, cut between two characters. NULL: nothing.
static void take(char *to, size_t size, const char *text)
{
    to[0] = '\0';
    if (text) text_fit(to, size, text, strlen(text), 0);
}

bool reference_describe(verify_reference *to, const fixture *f, err *e)
{
    take(to->model, sizeof to->model, f->model_name);
    take(to->revision, sizeof to->revision, f->revision);
    take(to->transformers, sizeof to->transformers, f->transformers);
    take(to->torch, sizeof to->torch, f->torch);
    take(to->device, sizeof to->device, f->device);
    take(to->attention, sizeof to->attention, f->attention);
    take(to->experts, sizeof to->experts, f->experts_by);
    take(to->linear_attention, sizeof to->linear_attention, f->linear_attention);
    to->tokens = f->tokens;
    return fixture_prompts_digest(f, to->prompts, e);
}
