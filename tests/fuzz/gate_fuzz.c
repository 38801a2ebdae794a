// Any bytes as the limits of verification (gate.json): refused in one line, or all of them numbers that can be compared
// with.
#include "fuzz.h"
#include "verify/gate.h"

#include <math.h>
#include <string.h>

static void limit(double v) { MUST(isfinite(v) && v >= 0); }

static void check_exact(const gate_exact *x)
{
    limit(x->kl_factor);
    limit(x->kl_floor);
    limit(x->logprob_factor);
    limit(x->logprob_floor);
    limit(x->self_kl_max);
    limit(x->self_logprob_max);
    limit(x->self_margin_max);
    limit(x->probe_tolerance);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err  e = { 0 };
    gate g;
    if (!gate_parse(&g, (const char *)data, (int64_t)size, "gate.json", &e)) { must_be_refusal(&e); return 0; }
    check_exact(&g.float32);
    check_exact(&g.bfloat16);
    limit(g.tie_rate);
    limit(g.tie_self_factor);
    limit(g.tie_self_rate_max);
    limit(g.min_cases);
    limit(g.min_steps);
    limit(g.min_top_k);
    MUST(g.n_drift >= 0 && g.n_drift <= GATE_MAX_DRIFT);
    for (int i = 0; i < g.n_drift; i++) {
        MUST(memchr(g.drift[i].type, 0, sizeof g.drift[i].type));
        limit(g.drift[i].top1_min);
        limit(g.drift[i].kl_max);
        MUST(gate_drift_for(&g, g.drift[i].type) != NULL);
    }
    return 0;
}
