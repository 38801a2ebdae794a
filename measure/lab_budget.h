// lab_budget: a cache to order: a type for each layer's keys and each layer's values, within a number of bytes.
//
// Each layer's keys, and values, are run alone in each type (lab_plan_opts.layers_only); what they lose is taken to add
// up, as small independent errors do, and the cheapest sum within the bytes is chosen (mix_solve.h). What the choice
// really loses is then measured like any other cache.
#ifndef HALLMARK_MEASURE_LAB_BUDGET_H
#define HALLMARK_MEASURE_LAB_BUDGET_H

#include "../runtime/kv_spec.h"
#include "lab_figures.h"

// "40%" of the base's cache, or "1.5GiB@32768" (KiB, MiB, GiB or bytes; with @N also *context = N, which else stays).
typedef struct { double percent; int64_t bytes; } lab_budget;      // percent 0: bytes are given
bool lab_budget_parse(lab_budget *b, int64_t *context, const char *text, err *e);
int64_t lab_budget_bytes(const lab_budget *b, const lab_plan *p);   // for p->context positions

// r: of a plan of layers alone. spec: the choice; *expected: the sum of what its parts lost.
// ERR_USAGE: even the smallest types need more bytes (says how many).
bool lab_budget_choose(kv_spec *spec, double *expected, const lab_result *r, int64_t bytes, err *e);

// Whether the smallest of a plan's types fit, before anything is run. ERR_USAGE as lab_budget_choose.
bool lab_budget_check(const lab_plan *p, int64_t bytes, err *e);
// Of r, whose candidate 0 was made to order: the cache of one kind that loses least within the same bytes; -1: none
// fits.
int lab_budget_rival(const lab_result *r);

#endif
