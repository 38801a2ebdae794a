#include "tie.h"
#include <math.h>
#include <string.h>

double tie_ulp(bool bf16, double x)
{
    int exp2 = 0;
    if (x == 0 || !isfinite(x)) x = ldexp(1.0, -126);       // the least normal number of both formats
    frexp(x, &exp2);                                        // |x| in [2^(exp2-1), 2^exp2)
    if (exp2 < -125) exp2 = -125;
    return ldexp(1.0, exp2 - (bf16 ? 8 : 24));              // 8 and 24 significant bits
}

static double base_margin(const fixture_step *s, int top_k)
{
    return top_k < 2 ? NAN : (double)s->logits[0] - (double)s->logits[1];
}

// The places are sorted, and in a large model there are many.
bool tie_routed(const fixture_case *c, int64_t step)
{
    const int64_t position = c->n_prompt - 1 + step;
    int64_t lo = 0, hi = c->n_router_ties;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (c->router_ties[mid].position < position) lo = mid + 1;
        else                                         hi = mid;
    }
    return lo < c->n_router_ties && c->router_ties[lo].position == position;
}

bool tie_routed_are_few(const fixture *f)
{
    int64_t routed = 0;
    for (int64_t i = 0; i < fixture_held(f); i++)
        for (int64_t t = 0; t < f->tokens; t++) routed += tie_routed(&f->cases[i], t);
    return routed * 8 <= fixture_held(f) * f->tokens;
}

double tie_movement(const fixture *f, const fixture_case *c, bool leave_routed)
{
    double most = 0;
    for (int r = 0; r < c->n_self; r++)
        for (int64_t t = 0; t < f->tokens; t++) {
            if (leave_routed && tie_routed(c, t)) continue;
            double moved = fabs((double)c->self[r].margin_of_base[t] - base_margin(&c->steps[t], f->top_k));
            if (moved > most) most = moved;                 // NaN (fewer than two ids kept) moves nothing
        }
    return most;
}

tie tie_at(const fixture *f, const fixture_case *c, int64_t step, double movement, int32_t id)
{
    const fixture_step *s = &c->steps[step];
    bool   bf16 = strcmp(f->dtype, "bfloat16") == 0;
    double ulp  = tie_ulp(bf16, s->logits[0]);
    tie    t    = { .margin = base_margin(s, f->top_k), .reach = movement > ulp ? movement : ulp };
    t.open = t.margin <= t.reach;    // false for NaN: without a second id nothing is known to be open
    for (int r = 0; r < c->n_self; r++)
        if (c->self[r].top[step] != s->ids[0]) {
            t.open = true;
            if (c->self[r].top[step] == id) t.near = true;  // the reference itself chose it
        }
    if (tie_routed(c, step)) {
        t.open = true;
        // Another expert may move logits further than a rounding, but not far.
        if (f->top_k >= 2 && s->ids[1] == id) t.near = true;
    }
    if (!t.open) return t;
    for (int k = 0; k < f->top_k && (double)s->logits[0] - (double)s->logits[k] <= t.reach; k++)
        if (s->ids[k] == id) t.near = true;
    if (s->ids[0] == id) t.near = true;
    return t;
}

double tie_self_rate(const fixture *f)
{
    int64_t differ[2] = { 0, 0 }, steps = 0;
    for (int64_t i = 0; i < fixture_held(f); i++) {
        const fixture_case *c = &f->cases[i];
        steps += f->tokens;
        for (int r = 0; r < c->n_self; r++)
            for (int64_t t = 0; t < f->tokens; t++) differ[r] += c->self[r].top[t] != c->steps[t].ids[0];
    }
    int64_t most = differ[0] > differ[1] ? differ[0] : differ[1];
    return steps > 0 ? (double)most / (double)steps : 0;
}

int64_t tie_self_cases(const fixture *f, int64_t n_free)
{
    int64_t left[2] = { 0, 0 };
    for (int64_t i = 0; i < fixture_held(f); i++) {
        const fixture_case *c = &f->cases[i];
        for (int r = 0; r < c->n_self; r++) {
            int64_t t = 0;
            while (t < n_free && t < f->tokens && c->self[r].top[t] == c->steps[t].ids[0]) t++;
            left[r] += t < n_free && t < f->tokens;
        }
    }
    return left[0] > left[1] ? left[0] : left[1];
}
