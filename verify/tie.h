// tie: the steps that the reference itself leaves open.
//
// In bfloat16 Transformers does not determine every token: summed in another order, its own logits move. A step is open
// when the reference's own runs choose different ids, or when the base run's margin is within the largest movement of
// that margin between its runs anywhere in the case (never less than one unit in the last place of the fixture's
// dtype). At an open step our id may differ, if it is among the ids that close to the top.
//
// In a model with experts a step is open, too, where a rounding decides which experts one of its layers takes: their
// scores are equal, torch.topk takes any of them. The base run's second id is near then.
//
// Proved by tests/distance_test.c.
#ifndef HALLMARK_VERIFY_TIE_H
#define HALLMARK_VERIFY_TIE_H

#include "../formats/fixture.h"

typedef struct {
    bool   open;        // the reference leaves the step open
    bool   near;        // open, and the id asked about is among the ids close enough to the top
    double margin;      // logit of the base run's first id minus its second; NAN when the fixture keeps fewer than two
    double reach;       // how far from the top still counts as open, in logits
} tie;

// One unit in the last place of float32 or bfloat16 at x's magnitude.
double tie_ulp(bool bf16, double x);

// Is there, in the pass that gives the step's logits, a layer whose choice of experts a rounding decides?
bool tie_routed(const fixture_case *c, int64_t step);

// Are such steps so few, one in eight at most, that their distances are left out, ours and the reference's own? Another
// expert is no rounding: in a small model it moves logits by a hundred times what any rounding does, once, and would
// then either fail a sound run or, where it happened between the reference's own runs, let everything else pass. In a
// model of so many layers and experts that nearly every step has such a choice it moves little, and nothing is left
// out.
bool tie_routed_are_few(const fixture *f);

// The largest |margin in another run - margin in the base run| of the base's first two ids, over all steps (but the
// routed ones, where they are left out) and both other runs of the case; 0 for a fixture without them.
double tie_movement(const fixture *f, const fixture_case *c, bool leave_routed);

// Judges id at a step. movement: tie_movement of the case.
tie tie_at(const fixture *f, const fixture_case *c, int64_t step, double movement, int32_t id);

// Share of steps at which the reference's own runs choose another id than its base run: the larger of its runs' shares.
double tie_self_rate(const fixture *f);

// Cases in which a run of the reference's own leaves its base run's text within the first n_free steps: the larger of
// its runs' counts.
int64_t tie_self_cases(const fixture *f, int64_t n_free);

#endif
