// held_type: see held_type.h.
#include "held_type.h"

static bool budget_of(const void *ctx, const char *label, type_budget *b)
{
    const gate_drift *row = gate_drift_for(ctx, label);
    if (!row) return false;
    *b = (type_budget){ .most = row->kl_max, .least = row->top1_min };
    return true;
}

bool held_type(const gguf *g, const gate *limits, char label[16], err *e)
{
    return type_of_budget(g, budget_of, limits, label, e);
}
