// mix_state: what a search for a mix has measured, on disk: so that one that was killed goes on, and one for another
// budget begins where it ended.
//
// A folder as state_folder.h has it. Its plan says what the figures are of: the program's version, the source by its
// digest, the texts and the importance matrix by theirs, how much of the texts is run, and the device. The target is
// not part of it: no figure depends on it. A cell holds what one tensor costs alone in each type, or what a mix costs.
// Proved by tests/mix_test.c and tests/e2e/mix_state.sh.
#ifndef HALLMARK_MEASURE_MIX_STATE_H
#define HALLMARK_MEASURE_MIX_STATE_H

#include "sensitivity.h"

typedef struct mix_state mix_state;

// *s: o->state as the folder of these figures, made where it is not there, or with many_states the one in it that this
// plan's digest names. NULL where o->state is: then the others find nothing and keep nothing. Freed by mix_state_close.
// ERR_USAGE: a folder of another run (names what differs), or one with other things in it.
bool mix_state_open(mix_state **s, const probe *p, const sensitivity_opts *o, err *e);
void mix_state_close(mix_state *s);

typedef struct { int64_t tensor; const dtype *types; int n; } mix_alone;    // one of the source's file, in n types
typedef struct { const int64_t *tensors; const dtype *types; int64_t n; } mix_together;     // n of them, each in one

// *found false: it was not measured. ERR_INPUT names a cell that is there and is not whole, or not of this run.
bool mix_state_read_alone(const mix_state *s, const mix_alone *c, double *kl, bool *found, err *e);     // kl: [c->n]
bool mix_state_keep_alone(const mix_state *s, const mix_alone *c, const double *kl, err *e);
bool mix_state_read_mix(const mix_state *s, const mix_together *m, divergence *d, bool *found, err *e);
bool mix_state_keep_mix(const mix_state *s, const mix_together *m, const divergence *d, err *e);

#endif
