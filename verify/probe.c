#include "probe.h"
#include <math.h>

enum { NONE = -2 };

typedef struct { bool finite, all_zero; double norm; } state;

static state state_of(const float *h, int n)
{
    state  s = { .finite = true, .all_zero = true };
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(h[i])) s.finite = false;
        if (h[i] != 0) s.all_zero = false;
        sum += (double)h[i] * h[i];
    }
    s.norm = sqrt(sum);
    return s;
}

// Largest departure of one layer, in units of what the reference has there.
static double departure(const fixture_probe *p, const float *h, int n_embd, double our_norm)
{
    double rms = p->norm / sqrt((double)n_embd);
    double worst = p->norm > 0 ? fabs(our_norm - p->norm) / p->norm : (our_norm > 0 ? INFINITY : 0);
    for (int i = 0; i < p->n; i++) {
        if (p->index[i] < 0 || p->index[i] >= n_embd) return INFINITY;
        double d = fabs((double)h[p->index[i]] - p->value[i]);
        double unit = fmax(fabs((double)p->value[i]), rms);
        double rel = unit > 0 ? d / unit : (d > 0 ? INFINITY : 0);
        if (!(rel <= worst)) worst = rel;               // keeps NaN out of "fine"
    }
    return worst;
}

static double limit_at(int layer, double tolerance)
{
    // Rounding adds up over the layers as a random walk does.
    return tolerance * sqrt((double)(layer < 0 ? 1 : layer + 2));
}

static double departure_at(const fixture_probe *p, const float *hidden, int n_layer, int n_embd)
{
    if (p->layer < -1 || p->layer >= n_layer) return INFINITY;
    const float *h = hidden + (int64_t)(p->layer + 1) * n_embd;
    return departure(p, h, n_embd, state_of(h, n_embd).norm);
}

void probe_trace(verify_case *to, const fixture_case *c, const float *hidden, int n_layer, int n_embd, double tolerance)
{
    to->n_layers = c->n_probes;
    for (int i = 0; i < c->n_probes; i++) {
        const fixture_probe *p = &c->probes[i];
        const double d = departure_at(p, hidden, n_layer, n_embd);
        to->layers[i] = (verify_layer){ p->layer, isnan(d) ? INFINITY : d, limit_at(p->layer, tolerance) };
    }
}

probe_result probe_compare(const fixture_case *c, const float *hidden, int n_layer, int n_embd, double tolerance)
{
    probe_result r = { .layer = NONE, .bad_from = NONE, .worst_layer = NONE };
    for (int l = -1; l < n_layer && r.bad_from == NONE; l++) {
        state s = state_of(hidden + (int64_t)(l + 1) * n_embd, n_embd);
        if (!s.finite || s.all_zero) { r.bad_from = l; r.all_zero = s.finite; }
    }
    for (int i = 0; i < c->n_probes; i++) {             // a fixture lists them in any order: the lowest layer is wanted
        const fixture_probe *p = &c->probes[i];
        const double d = departure_at(p, hidden, n_layer, n_embd);
        for (int k = 0; k < p->n && p->layer == 0 && isfinite(d); k++) {
            r.n_first++;
            r.n_first_equal += hidden[n_embd + p->index[k]] == p->value[k];
        }
        if (!(d <= r.worst)) { r.worst = d; r.worst_layer = p->layer; }
        if (!(d <= limit_at(p->layer, tolerance)) && (r.layer == NONE || p->layer < r.layer)) r.layer = p->layer;
    }
    if (r.bad_from != NONE && (r.layer == NONE || r.bad_from < r.layer)) r.layer = r.bad_from;
    return r;
}
