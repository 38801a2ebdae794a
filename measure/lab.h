// lab: what other caches, or other files, cost a model: every position of every chunk of some texts is run by the base
// and by each candidate, and their distributions are compared.
//
// The base runs with a cache that its arithmetic requires. A candidate is a file with a cache. All of them run the
// same tokens, teacher-forced, chunk by chunk, each from an empty cache begun with the base's BOS, and for each
// compared position KL(base || candidate) over the whole vocabulary is kept, with what the figures below need. All
// figures are in double and in one order (runtime/score.h): the same for any number of threads, on any SIMD level, and
// on any device that gives the CPU's logits; and a chunk's are the same whatever ran beside it or before.
//
// A run is described by a plan (lab_plan.h), whose text is the same wherever the same thing is measured. What was
// measured of a chunk and candidate is a cell, which can be kept in a folder (lab_state.h): so a run that was killed
// goes on, and parts of a run are joined. Figures and intervals are made of cells alone (lab_figures.h).
// Proved by tests/lab_test.c and tests/e2e/lab.sh.
#ifndef HALLMARK_MEASURE_LAB_H
#define HALLMARK_MEASURE_LAB_H

#include "../formats/progress.h"
#include "lab_figures.h"
#include "lab_plan.h"

typedef struct {
    const char        *state;       // a folder for cells, made where it is not there; NULL: memory alone
    // Chunks c with c % parts == part - 1 are run; parts 0 or 1: all. More: a state is needed.
    int64_t            part, parts;
    const char        *device;      // as session_opts has them
    int                n_threads;
    const char        *simd;
    int                n_batch;     // 0: the device's own; tests choose it
    progress          *progress;    // may be NULL
} lab_run_opts;

// Runs what the plan asks for and is not in the state folder. out: [n_chunks x n_candidates] of the plan, freed by
// lab_cells_free in any case; of a part, cells of other chunks stay empty.
// ERR_INPUT: logits that are not finite (names file, cache, chunk and position), a cell of the folder that cannot be
// read; ERR_USAGE: a folder of another run (names what differs).
bool lab_run(lab_cells *out, const lab_plan *p, const lab_run_opts *o, err *e);

// The cells of all those folders together, and their plan, which must be one. ERR_USAGE: two plans differ (names in
// what). ERR_INPUT: chunks that are in none of them (names all, as parts where they are), a cell that two folders hold
// and that differs.
bool lab_merge(lab_cells *out, lab_plan *p, const char *const *folders, int n, err *e);

#endif
