// trace: what each case and each step of a fixture gave, which reports show beside the counts. A record has no room for
// it, and a report that was read from one has none: a release publishes it as a file (steps.h).
//
// Its room is a small part of the fixture's own: at most 48 bytes a step, where a fixture holds the top ids of each.
#ifndef HALLMARK_VERIFY_TRACE_H
#define HALLMARK_VERIFY_TRACE_H

#include "../formats/fixture.h"

typedef enum {
    PART_NOT_JUDGED,        // it was not come to, or nothing is asked of it (the tokens of a drift check)
    PART_HELD,
    PART_TIE,               // another id, where the reference leaves the step open and ours is near
    PART_BROKE,
} part_state;

typedef struct {            // given the reference's own prefix
    double     kl;          // nats, the larger of this run's and the free run's; NAN where logits are not finite
    double     margin;      // logits, of the reference between its top two; NAN where it keeps fewer
    int32_t    expected, got;       // ids; got -1: all logits are NaN
    bool       open;        // the reference leaves the step open (tie.h)
    bool       left_out;    // its distance is not counted: a rounding chose experts there (tie.h), or none was seen
    part_state state;
} verify_step;

typedef struct {            // of the hidden state of the prompt's last token
    int    layer;           // -1: the embeddings
    double departure;       // relative, see probe.h; INFINITY where it is not finite
    double limit;           // beyond it the layer departs
} verify_layer;

typedef struct {
    char         id[64];
    part_state   prompt_ids, free_run, forced;
    int64_t      free_equal;        // ids of the free run before the first that is not the reference's
    int64_t      n_steps;           // those that were come to; 0: nothing was run
    verify_step *steps;             // [tokens of the fixture]
    int          n_layers;
    verify_layer *layers;           // [probes of the fixture's case], as it lists them
} verify_case;

// One for each case of f, nothing judged. NULL when out of memory. Freed by trace_free.
verify_case *trace_new(const fixture *f);
void trace_free(verify_case *cases, int64_t n);

#endif
