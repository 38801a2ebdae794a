// What the built-in gate allows a result: see record.h. Computed again, not believed.
#include "record.h"
#include "gate.h"
#include "held_type.h"
#include <math.h>
#include <string.h>

typedef struct { const char *key; double found, expected; } limit;

// As written and read back: JSON may cost the last bit.
static bool same(double a, double b) { return fabs(a - b) <= 1e-12 * fabs(b); }

static bool refuse(const verify_fixture_result *f, const char *path, const char *key, double found, const char *is,
                   double expected, err *e)
{
    return err_set(e, ERR_VERDICT, "%s: the verification record names the built-in gate, and against fixture '%.127s' not its '%s': found %.9g, expected %s%.9g", path,
                   f->name, key, found, is, expected);
}

static bool at_most(const verify_fixture_result *f, const char *path, const limit *l, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!(l[i].found <= l[i].expected * (1 + 1e-12)))
            return refuse(f, path, l[i].key, l[i].found, "at most ", l[i].expected, e);
    return true;
}

static bool equal(const verify_fixture_result *f, const char *path, const limit *l, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!same(l[i].found, l[i].expected)) return refuse(f, path, l[i].key, l[i].found, "", l[i].expected, e);
    return true;
}

// The reference's own rate of ties is not in a record: the limit on ours may be what the largest rate allows that the
// gate takes for a measure.
static bool exact_limits(const verify_fixture_result *f, const gate *g, const char *path, err *e)
{
    const gate_exact *x = gate_exact_for(g, f->dtype);
    const limit most[] = {
        { "self_kl_mean", f->self_kl_mean, x->self_kl_max },
        { "self_logprob_diff_max", f->self_logprob_diff_max, x->self_logprob_max },
        { "ties_limit", f->ties_limit, fmax(g->tie_rate, g->tie_self_factor * g->tie_self_rate_max) * (double)f->steps },
        { "free_run_ties_limit", f->free_run_ties_limit,
          fmax(1, fmax(g->tie_rate * (double)f->free_run_tokens, g->tie_self_factor * (double)f->cases)) },
    };
    const limit is[] = {
        { "kl_limit", f->kl_limit, fmax(x->kl_floor, x->kl_factor * f->self_kl_mean) },
        { "logprob_limit", f->logprob_limit, fmax(x->logprob_floor, x->logprob_factor * f->self_logprob_diff_max) },
    };
    return at_most(f, path, most, sizeof most / sizeof *most, e) && equal(f, path, is, sizeof is / sizeof *is, e);
}

static bool drift_limits(const verify_fixture_result *f, const gate *g, const char *held, const char *path, err *e)
{
    const gate_drift *d = gate_drift_for(g, held);
    if (!d) return err_set(e, ERR_VERDICT, "%s: the verification record names the built-in gate, which has no drift budget for type %s", path, held);
    if (strcmp(f->budget, held) != 0)
        return err_set(e, ERR_VERDICT, "%s: the verification record's 'budget' is '%s', the file answers to that of %s",
                       path, f->budget, held);
    if (f->rounding_top1_equal > f->steps)
        return refuse(f, path, "rounding_top1_equal", (double)f->rounding_top1_equal, "at most ", (double)f->steps, e);
    // A record of before there was such a measure: the type's budget alone was asked for then.
    const bool older = isnan(f->rounding_kl_mean);
    const gate_limits l = older ? (gate_limits){ d->kl_max, d->top1_min }
                                : gate_drift_limits(g, d, f->rounding_kl_mean, f->rounding_top1_equal, f->steps);
    const limit is[] = { { "kl_limit", f->kl_limit, l.kl_max }, { "top1_limit", f->top1_limit, l.top1_min } };
    return equal(f, path, is, sizeof is / sizeof *is, e);
}

bool record_limits(const gguf *file, const verify_report *r, err *e)
{
    const gate *g = gate_builtin();
    const char *path = gguf_path(file);
    char held[16];
    if (strcmp(r->gate, "built-in") != 0) return true;
    if (!held_type(file, g, held, e)) return false;
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if ((double)f->cases < g->min_cases)
            return refuse(f, path, "cases", (double)f->cases, "at least ", g->min_cases, e);
        if ((double)f->steps < g->min_steps)
            return refuse(f, path, "steps", (double)f->steps, "at least ", g->min_steps, e);
        if (f->top_k > 0 && (double)f->top_k < g->min_top_k)
            return refuse(f, path, "top_k", (double)f->top_k, "at least ", g->min_top_k, e);
        if (!(f->kind == CHECK_EXACT ? exact_limits(f, g, path, e) : drift_limits(f, g, held, path, e))) return false;
    }
    return true;
}
