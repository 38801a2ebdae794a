// reference: what a fixture's reference says of itself, and whether it is a measure of anything.
//
// All that is asked here is so for any artifact: a fixture with too few cases, steps or ids a step, or whose reference
// is further from itself than any sound one was seen to be, decides nothing. It passes nothing, and fails nothing: what
// is said is why[] of the result, with the number of prompts that would do where the figures tell one. Where a part of
// its cases was asked, it is the whole file that this is asked of.
// Proved by tests/reference_test.c.
#ifndef HALLMARK_VERIFY_REFERENCE_H
#define HALLMARK_VERIFY_REFERENCE_H

#include "verify.h"

typedef struct {            // of the reference's runs the one that is further away
    double  kl_mean;        // over the steps that count
    double  kl_sum, kl_most;        // over them, and of the worst one
    int64_t kl_steps;
    double  logprob_max;    // over all steps
} reference_self;

// leave_routed: steps that tie_routed names do not count.
reference_self reference_self_of(const fixture *f, bool leave_routed);

// Is the fixture long enough for the gate, and for a free run of n_free tokens a case?
void reference_check_length(verify_fixture_result *r, const fixture *f, const gate *g, int64_t n_free);
// Is the reference near enough to itself? For an exact comparison, whose limits its distances widen.
void reference_check_self(verify_fixture_result *r, const fixture *f, const gate *g, bool leave_routed);

// Was all of it asked? After the two above: all cases would do only where those have nothing against the whole.
void reference_check_part(verify_fixture_result *r, const fixture *f);
// What was found is beyond a limit of all cases together: a part of them may be so by chance. Of a part, says so under
// `what` and gives true; of all, false.
bool reference_leaves_open(verify_fixture_result *r, const fixture *f, const char *what, const char *found);

// Steps that differ at ties are more than the gate allows of so many: is that so of any that differ at all? Then says
// so, with what would do, and gives true.
bool reference_too_short_for_a_tie(verify_fixture_result *r, const fixture *f, const gate *g);

// Fills in what the header says, and the prompts' digest.
bool reference_describe(verify_reference *to, const fixture *f, err *e);

#endif
