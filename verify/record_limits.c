// What the gate allows a result: see record.h. Computed again, not believed.
#include "record.h"
#include "gate.h"
#include "held_type.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct { const char *key; double found, expected; } limit;
typedef struct {                // whose limits, held against which file's record
    const gate *g;
    const char *path, *name;    // "the built-in gate"
    bool        by_content;     // the record holds them, so it is no older than all that it could say
} judge;

// As written and read back: JSON may cost the last bit.
static bool same(double a, double b) { return fabs(a - b) <= 1e-12 * fabs(b); }

static bool refuse(const verify_fixture_result *f, const judge *j, const limit *l, const char *is, err *e)
{
    return err_set(e, ERR_VERDICT, "%s: the verification record names %s, and against fixture '%.127s' not its '%s': "
                   "found %.9g, expected %s%.9g", j->path, j->name, f->name, l->key, l->found, is, l->expected);
}

static bool at_most(const verify_fixture_result *f, const judge *j, const limit *l, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!(l[i].found <= l[i].expected * (1 + 1e-12))) return refuse(f, j, &l[i], "at most ", e);
    return true;
}

static bool at_least(const verify_fixture_result *f, const judge *j, const limit *l, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!(l[i].found >= l[i].expected)) return refuse(f, j, &l[i], "at least ", e);
    return true;
}

static bool equal(const verify_fixture_result *f, const judge *j, const limit *l, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!same(l[i].found, l[i].expected)) return refuse(f, j, &l[i], "", e);
    return true;
}

static bool long_enough(const verify_fixture_result *f, const judge *j, err *e)
{
    const gate *g = j->g;
    const limit least[] = {
        { "cases", (double)f->cases, g->min_cases }, { "steps", (double)f->steps, g->min_steps },
        { "top_k", f->top_k > 0 ? (double)f->top_k : g->min_top_k, g->min_top_k },      // 0: an older record
    };
    return at_least(f, j, least, sizeof least / sizeof *least, e);
}

// The reference's own rate of ties is not in a record: the limit on ours may be what the largest rate allows that the
// gate takes for a measure.
static bool exact_limits(const verify_fixture_result *f, const judge *j, err *e)
{
    const gate *g = j->g;
    const gate_exact *x = gate_exact_for(g, f->dtype);
    const limit most[] = {
        { "self_kl_mean", f->self_kl_mean, x->self_kl_max },
        { "self_logprob_diff_max", f->self_logprob_diff_max, x->self_logprob_max },
        { "ties_limit", f->ties_limit,
          fmax(g->tie_rate, g->tie_self_factor * g->tie_self_rate_max) * (double)f->steps },
        { "free_run_ties_limit", f->free_run_ties_limit,
          fmax(1, fmax(g->tie_rate * (double)f->free_run_tokens, g->tie_self_factor * (double)f->cases)) },
    };
    const limit is[] = {
        { "kl_limit", f->kl_limit, fmax(x->kl_floor, x->kl_factor * f->self_kl_mean) },
        { "logprob_limit", f->logprob_limit, fmax(x->logprob_floor, x->logprob_factor * f->self_logprob_diff_max) },
    };
    return at_most(f, j, most, sizeof most / sizeof *most, e) && equal(f, j, is, sizeof is / sizeof *is, e);
}

static bool drift_limits(const verify_fixture_result *f, const judge *j, const char *held, err *e)
{
    const gate       *g = j->g;
    const gate_drift *d = gate_drift_for(g, held);
    if (!d)
        return err_set(e, ERR_VERDICT, "%s: the verification record names %s, which has no drift budget for type %s",
                       j->path, j->name, held);
    if (strcmp(f->budget, held) != 0)
        return err_set(e, ERR_VERDICT, "%s: the verification record's 'budget' is '%s', the file answers to that of %s",
                       j->path, f->budget, held);
    const limit stayed = { "rounding_top1_equal", (double)f->rounding_top1_equal, (double)f->steps };
    if (f->rounding_top1_equal > f->steps) return refuse(f, j, &stayed, "at most ", e);
    // A record of before there was such a measure: the type's budget alone was asked for then.
    const bool older = isnan(f->rounding_kl_mean) && !j->by_content;
    const gate_limits l = older ? (gate_limits){ d->kl_max, d->top1_min }
                                : gate_drift_limits(g, d, f->rounding_kl_mean, f->rounding_top1_equal, f->steps);
    const limit is[] = { { "kl_limit", f->kl_limit, l.kl_max }, { "top1_limit", f->top1_limit, l.top1_min } };
    return equal(f, j, is, sizeof is / sizeof *is, e);
}

// A record that holds its limits by content, and names the built-in ones, holds some that were: by their digest.
static bool same_gate(const verify_report *r, const char *path, const char *const *shipped, int n, err *e)
{
    char hex[2][SHA256_HEX + 1];
    if (!r->judged_by.name[0]) return true;         // an older record
    if (!gate_digest(&r->judged_by.limits, hex[0], e) || !gate_digest(gate_builtin(), hex[1], e)) return false;
    if (strcmp(r->judged_by.sha256, hex[0]) == 0)
        for (int i = 0; i < n; i++)
            if (strcmp(hex[0], shipped[i]) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: the verification record names the built-in gate, and its 'judged_by' says "
                   "SHA-256 %s, of limits with SHA-256 %s; the built-in ones have %s, and none before them had that",
                   path, r->judged_by.sha256, hex[0], hex[1]);
}

static bool is_built_in(const verify_report *r) { return strcmp(r->gate, "built-in") == 0; }

// Whose limits a record is held to: its own, of an older one that holds none the built-in ones of today. NULL where it
// names a file and does not hold what is in it.
static const gate *gate_of(const verify_report *r)
{
    if (is_built_in(r) && !r->judged_by.name[0]) return gate_builtin();
    return r->judged_by.name[0] ? &r->judged_by.limits : NULL;
}

bool record_limits(const gguf *file, const verify_report *r, err *e)
{
    return record_limits_of(file, r, GATE_SHIPPED, GATE_N_SHIPPED, e);
}

bool record_limits_of(const gguf *file, const verify_report *r, const char *const *shipped, int n, err *e)
{
    const char *path = gguf_path(file);
    char  name[160] = "the built-in gate", held[16];
    const judge j = { gate_of(r), path, name, r->judged_by.name[0] != '\0' };
    if (!j.g) return true;
    if (is_built_in(r) && !same_gate(r, path, shipped, n, e)) return false;
    if (!is_built_in(r)) snprintf(name, sizeof name, "gate '%s'", r->judged_by.name);
    if (!is_built_in(r) && strcmp(r->judged_by.sha256, r->gate) != 0)
        return err_set(e, ERR_VERDICT, "%s: the verification record contradicts itself: its 'gate' is %s, "
                       "its 'judged_by.sha256' %s", path, r->gate, r->judged_by.sha256);
    if (!held_type(file, j.g, held, e)) return false;
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (!long_enough(f, &j, e)) return false;
        if (!(f->kind == CHECK_EXACT ? exact_limits(f, &j, e) : drift_limits(f, &j, held, e))) return false;
    }
    return true;
}
