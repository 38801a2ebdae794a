#include "compare.h"
#include "distance.h"
#include "reference.h"
#include "tie.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- limits -------------------------------------------------------------------------------------------------------

static void set_limits(comparison *k, const char *type)
{
    verify_fixture_result *r = k->r;
    const fixture         *f = k->f;
    const gate            *g = k->g;
    const reference_self self = reference_self_of(f, k->leave_routed);
    r->self_kl_mean          = self.kl_mean;
    r->self_logprob_diff_max = self.logprob_max;
    if (r->kind == CHECK_DRIFT) {
        const gate_drift *d = gate_drift_for(g, type);
        snprintf(r->budget, sizeof r->budget, "%s", type);
        if (!d) {
            char text[256];
            snprintf(text, sizeof text,
                     "the gate has no drift budget for type %.15s: it cannot be verified against its source", type);
            result_fail_whole(r, "drift", text);
            return;
        }
        r->kl_limit   = d->kl_max;
        r->top1_limit = d->top1_min;
        return;
    }
    const gate_exact *x = gate_exact_for(g, f->dtype);
    double steps     = (double)(f->n_cases * f->tokens);
    r->kl_limit      = fmax(x->kl_floor, x->kl_factor * r->self_kl_mean);
    r->logprob_limit = fmax(x->logprob_floor, x->logprob_factor * r->self_logprob_diff_max);
    r->ties_limit    = fmax(g->tie_rate, g->tie_self_factor * tie_self_rate(f)) * steps;
    // One tie is allowed to a short run too: its length times the rate may be less than one.
    const double asked = (double)f->n_cases / (double)fixture_held(f);
    r->free_run_ties_limit = fmax(1,
                                  fmax(g->tie_rate * (double)(f->n_cases * k->n_free),
                                       g->tie_self_factor * (double)tie_self_cases(f, k->n_free) * asked));
}

// ---- one case ------------------------------------------------------------------------------------------------------

bool compare_begin(comparison *k, verify_fixture_result *r, const fixture *f, const gate *g, check_kind kind,
                   const char *type, int64_t n_free, int64_t n_vocab, err *e)
{
    *k = (comparison){ .f = f, .g = g, .r = r, .n_free = n_free < f->tokens ? n_free : f->tokens, .n_vocab = n_vocab,
                        .first_layer = LAYER_NONE };
    if (!r->failures && !result_begin(r, f, kind, e)) return false;
    k->decode_kl = calloc(2 * (size_t)f->tokens + 1, sizeof *k->decode_kl);
    if (!k->decode_kl) return err_nomem(e, "distances", 2 * (size_t)f->tokens * sizeof *k->decode_kl);
    k->decode_lp = k->decode_kl + f->tokens;
    r->ran    = true;
    r->passed = r->failures_total == 0 && r->n_why == 0;
    r->kl_max = r->logprob_diff_max = 0;
    k->leave_routed = kind == CHECK_EXACT && tie_routed_are_few(f);
    set_limits(k, type);
    reference_check_length(r, f, g, n_free);
    // Its distance from itself widens the limits: one beyond any that a sound reference was seen to have would let
    // anything pass.
    if (kind == CHECK_EXACT) reference_check_self(r, f, g, k->leave_routed);
    reference_check_part(r, f);
    return true;
}

void compare_free_buffers(comparison *k)
{
    free(k->decode_kl);
    k->decode_kl = k->decode_lp = NULL;
}

bool compare_fits(const fixture *f, int64_t n_vocab, int n_layer, int n_embd, char *text, size_t text_size)
{
    for (int64_t i = 0; i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        int32_t worst = -1;
        for (int64_t t = 0; t < c->n_prompt; t++) if (c->prompt_ids[t] > worst) worst = c->prompt_ids[t];
        for (int64_t t = 0; t < f->tokens; t++) {
            if (c->generated_ids[t] > worst) worst = c->generated_ids[t];
            for (int s = 0; s < f->top_k; s++) if (c->steps[t].ids[s] > worst) worst = c->steps[t].ids[s];
        }
        if (worst >= n_vocab) {
            snprintf(text, text_size, "case '%s' holds id %d, the artifact's vocabulary has %lld", c->id, worst,
                     (long long)n_vocab);
            return false;
        }
        for (int p = 0; p < c->n_probes; p++)
            for (int s = 0; s < c->probes[p].n; s++)
                if (c->probes[p].layer < -1 || c->probes[p].layer >= n_layer || c->probes[p].index[s] >= n_embd) {
                    snprintf(text, text_size,
                             "case '%s' probes position %d of layer %d, the artifact has %d layers of width %d", c->id,
                             c->probes[p].index[s], c->probes[p].layer, n_layer, n_embd);
                    return false;
                }
    }
    return true;
}

void compare_case(comparison *k, const fixture_case *c)
{
    k->c         = c;
    k->at        = k->r->traced ? &k->r->traced[c - k->f->cases] : NULL;
    k->movement  = tie_movement(k->f, c, k->leave_routed);
    k->probe     = (probe_result){ .layer = LAYER_NONE, .bad_from = LAYER_NONE };
    k->free_over = k->dead = false;
    k->kept      = 0;
    memset(k->decode_kl, 0, 2 * (size_t)k->f->tokens * sizeof *k->decode_kl);
    k->r->free_run_tokens += k->n_free;
}

void compare_hidden(comparison *k, const float *hidden, int n_layer, int n_embd)
{
    k->probe = probe_compare(k->c, hidden, n_layer, n_embd, gate_exact_for(k->g, k->f->dtype)->probe_tolerance);
    if (k->at)
        probe_trace(k->at, k->c, hidden, n_layer, n_embd, gate_exact_for(k->g, k->f->dtype)->probe_tolerance);
    k->n_first       += k->probe.n_first;
    k->n_first_equal += k->probe.n_first_equal;
    if (k->probe.layer != LAYER_NONE && (!k->first_layer_case || k->probe.layer < k->first_layer)) {
        k->first_layer      = k->probe.layer;
        k->first_layer_case = k->c;
    }
    if (k->probe.worst <= k->r->probe_worst) return;
    k->r->probe_worst = k->probe.worst;
    k->r->probe_layer = k->probe.worst_layer;
}

static const char *layer_text(char buf[64], const comparison *k, int layer, bool probed)
{
    if (k->outside)               snprintf(buf, 64, "layers are not seen through a server");
    else if (layer == LAYER_NONE) snprintf(buf, 64, probed ? "no layer's probe departs" : "the fixture has no probes");
    else if (layer == LAYER_EMBEDDING) snprintf(buf, 64, "the embeddings depart already");
    else                          snprintf(buf, 64, "the first layer that departs is %d", layer);
    return buf;
}

static verify_failure place_of(const fixture_case *c, const char *what, int64_t step, int layer)
{
    verify_failure p = { .what = what, .step = step, .expected = -1, .got = -1, .margin = NAN, .layer = layer };
    snprintf(p.case_id, sizeof p.case_id, "%s", c->id);
    return p;
}

// Each case keeps its share of the room, so that one bad case does not hide the others.
static bool may_keep(comparison *k)
{
    int64_t share = VERIFY_MAX_FAILURES / (k->f->n_cases > 0 ? k->f->n_cases : 1);
    if (k->kept++ < (share > 0 ? share : 1)) return true;
    k->r->failures_total++;
    k->r->passed = false;
    return false;
}

static void fail_token(comparison *k, const char *what, int64_t step, int32_t got, const tie *t)
{
    char           buf[64];
    verify_failure p = place_of(k->c, what, step, k->probe.layer);
    if (!may_keep(k)) return;
    p.expected = k->c->generated_ids[step];
    p.got      = got;
    p.margin   = t->margin;
    result_fail(k->r, &p, "case '%s', step %lld, %s: Transformers chose %d by a margin of %.6g, this run %d%s; %s",
                k->c->id, (long long)step, strcmp(what, "free_run") == 0 ? "free run"
                    : "given its prefix", p.expected, t->margin, got,
                t->open ? " (the step is open, but not to this id)" : "",
                layer_text(buf, k, k->probe.layer, k->c->n_probes > 0));
}

// Logits that no working model gives. Said once for each case; true: they are that.
static bool fail_dead(comparison *k, int64_t step, const distance *d)
{
    if (d->finite && !d->all_zero) return false;
    if (k->dead) return true;
    k->dead = true;
    if (!may_keep(k)) return true;
    verify_failure p = place_of(k->c, "finite", step, k->probe.layer);
    p.expected = k->c->generated_ids[step];
    p.got      = d->top;
    char from[96] = "", layer[32] = "the embeddings";
    if (k->probe.bad_from >= 0) snprintf(layer, sizeof layer, "layer %d", k->probe.bad_from);
    if (k->probe.bad_from != LAYER_NONE)
        snprintf(from, sizeof from, "; the hidden state is %s from %s on",
                 k->probe.all_zero ? "all zero" : "not finite", layer);
    result_fail(k->r, &p, "case '%s', step %lld: logits are %s%s", k->c->id, (long long)step,
                d->finite ? "all zero" : "not finite", from);
    return true;
}

// A part of a case is as its worst step. kept may be NULL.
static void take_part(part_state *kept, part_state s)
{
    if (kept && *kept < s) *kept = s;
}

static part_state *free_run_of(const comparison *k) { return k->at ? &k->at->free_run : NULL; }

bool compare_free(comparison *k, int64_t step, const float *logits)
{
    if (k->free_over || step >= k->n_free) return false;
    const distance d = distance_at(&k->c->steps[step], k->f->top_k, logits, k->n_vocab);
    return compare_free_at(k, step, &d);
}

bool compare_free_at(comparison *k, int64_t step, const distance *at)
{
    if (k->free_over || step >= k->n_free) return false;
    const distance d = *at;
    k->decode_kl[step] = d.kl;
    k->decode_lp[step] = d.logprob_diff;
    bool dead = fail_dead(k, step, &d);
    if (d.top == k->c->generated_ids[step] && !dead) {
        k->r->free_run_tokens_equal++;
        if (k->at) k->at->free_equal++;
        if (k->r->kind == CHECK_EXACT) take_part(free_run_of(k), PART_HELD);
        if (step + 1 == k->n_free) k->r->free_run_equal++;
        return true;
    }
    k->free_over = true;
    if (dead) take_part(free_run_of(k), PART_BROKE);
    if (dead || k->r->kind == CHECK_DRIFT) return false;
    tie t = tie_at(k->f, k->c, step, k->movement, d.top);
    take_part(free_run_of(k), t.near ? PART_TIE : PART_BROKE);
    if (t.near) k->r->free_run_ties++;
    else        fail_token(k, "free_run", step, d.top, &t);
    return false;
}

static void keep_worst(double *most, compare_place *at, double v, const comparison *k, int64_t step)
{
    if (at->c && (v <= *most || isnan(*most))) return;      // the first NaN is the worst there can be
    *most = v;
    *at   = (compare_place){ k->c, step, k->probe.layer };
}

static double larger(double a, double b) { return isnan(a) || a > b ? a : b; }      // NaN from either side stays

static void take_distance(comparison *k, int64_t step, const distance *d)
{
    verify_fixture_result *r = k->r;
    double kl = larger(d->kl, k->decode_kl[step]), lp = larger(d->logprob_diff, k->decode_lp[step]);
    k->kl_sum += kl;
    keep_worst(&r->kl_max, &k->worst_kl, kl, k, step);
    keep_worst(&r->logprob_diff_max, &k->worst_lp, lp, k, step);
    if (r->kind == CHECK_EXACT && !(lp <= r->logprob_limit) && (!k->leaves.c || step < k->leaves.step))
        k->leaves = (compare_place){ k->c, step, k->probe.layer };
}

// Does a step's distance not count?
static bool is_left_out(const comparison *k, int64_t step, const distance *d)
{
    return d->unseen || (k->leave_routed && tie_routed(k->c, step));
}

// What a step gave, for reports. A part of a drift check is judged only where no working model's logits are.
static void keep_step(comparison *k, int64_t step, const distance *d, const tie *t, part_state state)
{
    k->at->steps[step] = (verify_step){
        .kl = larger(d->kl, k->decode_kl[step]), .margin = t->margin, .expected = k->c->generated_ids[step],
        .got = d->top, .open = t->open, .left_out = is_left_out(k, step, d), .state = state };
    if (k->at->n_steps <= step) k->at->n_steps = step + 1;
    if (k->r->kind == CHECK_EXACT || state == PART_BROKE) take_part(&k->at->forced, state);
}

void compare_forced(comparison *k, int64_t step, const float *logits)
{
    const distance d = distance_at(&k->c->steps[step], k->f->top_k, logits, k->n_vocab);
    compare_forced_at(k, step, &d);
}

void compare_forced_at(comparison *k, int64_t step, const distance *at)
{
    verify_fixture_result *r = k->r;
    const distance d = *at;
    tie            t = tie_at(k->f, k->c, step, k->movement, d.top);
    if (is_left_out(k, step, &d)) k->n_left_out++;
    else                          take_distance(k, step, &d);
    r->steps++;
    r->ties += t.open;
    const bool dead = fail_dead(k, step, &d), equal = !dead && d.top == k->c->generated_ids[step];
    const bool asked = dead || r->kind == CHECK_EXACT;
    const part_state state = equal ? PART_HELD : !dead && t.near ? PART_TIE : PART_BROKE;
    if (k->at) keep_step(k, step, &d, &t, asked || equal ? state : PART_NOT_JUDGED);
    if (equal)                    r->teacher_forced_equal++;
    else if (dead || !asked)      return;
    else if (state == PART_TIE)   r->ties_differing++;
    else                          fail_token(k, "teacher_forced", step, d.top, &t);
}

void compare_case_end(comparison *k) { k->c = NULL; }

// ---- the whole fixture ---------------------------------------------------------------------------------------------

static void fail_distance(comparison *k, const char *what, const compare_place *at, double found, double limit,
                          double self, double floor)
{
    char           buf[64], from[128] = "";
    verify_failure p = place_of(at->c, what, at->step, at->layer);
    if (k->leaves.c)
        snprintf(from, sizeof from, "; log-probabilities leave theirs from step %lld of case '%.64s' on",
                 (long long)k->leaves.step, k->leaves.c->id);
    result_fail(k->r, &p,
                "%s is %.3g, the limit %.3g (the reference's distance from itself is %.3g, the floor %.3g); it is "
                "largest in case '%s', step %lld%s; %s",
                strcmp(what, "distance") == 0 ? "mean KL" : "the largest log-probability difference", found, limit,
                self, floor, at->c->id, (long long)at->step, from, layer_text(buf, k, at->layer, at->c->n_probes > 0));
}

// Beyond a limit that is one of all cases together.
static void fail_budget(comparison *k, const char *what, const char *text)
{
    if (!reference_leaves_open(k->r, k->f, what, text)) result_fail_whole(k->r, what, text);
}

static void fail_mean(comparison *k, double floor)
{
    const verify_fixture_result *r = k->r;
    char text[256];
    snprintf(text, sizeof text, "mean KL is %.3g, the limit %.3g", r->kl_mean, r->kl_limit);
    if (isfinite(r->kl_mean) && reference_leaves_open(k->r, k->f, "distance", text)) return;
    fail_distance(k, "distance", &k->worst_kl, r->kl_mean, r->kl_limit, r->self_kl_mean, floor);
}

// More steps differ at ties than the gate allows.
static void fail_ties(comparison *k)
{
    const verify_fixture_result *r = k->r;
    char text[256];
    snprintf(text, sizeof text, "%lld of %lld steps differ at ties, the limit is %.1f", (long long)r->ties_differing,
             (long long)r->steps, r->ties_limit);
    if (reference_leaves_open(k->r, k->f, "ties", text)) return;
    if (!reference_too_short_for_a_tie(k->r, k->f, k->g)) result_fail_whole(k->r, "ties", text);
}

// Is there a step whose distance was taken?
static bool measured(const comparison *k) { return !k->no_distance && k->r->steps > k->n_left_out; }

static void judge_exact(comparison *k)
{
    verify_fixture_result *r = k->r;
    const gate_exact      *x = gate_exact_for(k->g, k->f->dtype);
    if (!((double)r->ties_differing <= r->ties_limit)) fail_ties(k);
    if (!((double)r->free_run_ties <= r->free_run_ties_limit)) {
        char text[256];
        snprintf(text, sizeof text, "the free run of %lld of %lld cases ends at a tie, the limit is %.1f",
                 (long long)r->free_run_ties, (long long)r->cases, r->free_run_ties_limit);
        fail_budget(k, "ties", text);
    }
    if (!measured(k)) return;
    if (!(r->kl_mean <= r->kl_limit)) fail_mean(k, x->kl_floor);
    if (!(r->logprob_diff_max <= r->logprob_limit))
        fail_distance(k, "logprob", &k->worst_lp, r->logprob_diff_max, r->logprob_limit, r->self_logprob_diff_max,
                      x->logprob_floor);
}

void compare_rounding(comparison *k, double kl_mean, int64_t top1_equal)
{
    k->r->rounding_kl_mean    = kl_mean;
    k->r->rounding_top1_equal = top1_equal;
}

static void judge_drift(comparison *k)
{
    verify_fixture_result *r = k->r;
    double top1 = (double)r->teacher_forced_equal / (double)r->steps;
    char   text[256], of[96] = "";
    if (isnan(r->kl_limit)) return;                             // no budget: set_limits has said so
    const gate_limits l = gate_drift_limits(k->g, gate_drift_for(k->g, r->budget), r->rounding_kl_mean,
                                            r->rounding_top1_equal, r->steps);
    r->kl_limit   = l.kl_max;
    r->top1_limit = l.top1_min;
    if (k->g->has_rounding) snprintf(of, sizeof of, "; rounding its weights once more costs %.3g", r->rounding_kl_mean);
    if (!(top1 >= r->top1_limit)) {
        snprintf(text, sizeof text, "%.2f %% of steps agree with the source model, the budget asks for %.2f %%",
                 100 * top1, 100 * r->top1_limit);
        fail_budget(k, "drift", text);
    }
    if (measured(k) && !(r->kl_mean <= r->kl_limit)) {
        snprintf(text, sizeof text, "mean KL from the source model is %.3g, the budget %.3g%s", r->kl_mean, r->kl_limit,
                 of);
        fail_budget(k, "drift", text);
    }
}

// A fault may need more text than a case's prompt has (a window that is never full), and then shows in its continuation
// only, where there are no probes. The layer that departs in another case is then the best that can be said.
static void name_layers(comparison *k)
{
    for (int64_t i = 0; k->first_layer_case && i < k->r->n_failures; i++) {
        verify_failure *f = &k->r->failures[i];
        size_t n = strlen(f->text);
        char   buf[64];
        if (!f->case_id[0] || f->step < 0 || f->layer != LAYER_NONE) continue;
        f->layer = k->first_layer;
        snprintf(f->text + n, sizeof f->text - n, " in its prompt; in case '%s' %s", k->first_layer_case->id,
                 layer_text(buf, k, f->layer, true));
    }
}

void compare_end(comparison *k)
{
    verify_fixture_result *r = k->r;
    if (r->steps == 0) result_fail_whole(r, "finite", "the fixture has no steps: nothing was compared");
    else {
        r->kl_mean = k->kl_sum / (double)(r->steps - k->n_left_out);      // our own: one in eight of all cases at most
        if (!measured(k)) r->kl_mean = r->kl_max = r->logprob_diff_max = NAN;
        if (k->no_distance) r->kl_limit = r->logprob_limit = NAN;
        if (r->kind == CHECK_EXACT) judge_exact(k);
        else                        judge_drift(k);
        name_layers(k);
    }
    compare_free_buffers(k);
}
