// trace: see trace.h.
#include "trace.h"
#include <stdio.h>
#include <stdlib.h>

static bool begin_case(verify_case *to, const fixture *f, const fixture_case *c)
{
    snprintf(to->id, sizeof to->id, "%s", c->id);
    to->steps  = calloc((size_t)f->tokens + 1, sizeof *to->steps);
    to->layers = calloc((size_t)c->n_probes + 1, sizeof *to->layers);
    return to->steps && to->layers;
}

verify_case *trace_new(const fixture *f)
{
    verify_case *cases = calloc((size_t)f->n_cases + 1, sizeof *cases);
    for (int64_t i = 0; cases && i < f->n_cases; i++) {
        if (begin_case(&cases[i], f, &f->cases[i])) continue;
        trace_free(cases, f->n_cases);
        return NULL;
    }
    return cases;
}

void trace_free(verify_case *cases, int64_t n)
{
    for (int64_t i = 0; cases && i < n; i++) {
        free(cases[i].steps);
        free(cases[i].layers);
    }
    free(cases);
}
