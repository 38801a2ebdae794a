// lab_bootstrap: figures of positions in groups of chunks, and how far they would move had other chunks been drawn.
#ifndef HALLMARK_MEASURE_LAB_BOOTSTRAP_H
#define HALLMARK_MEASURE_LAB_BOOTSTRAP_H

#include "lab_figures.h"

// Points `first` .. `end` - 1 of these chunks of one candidate's cells.
typedef struct {
    const lab_cells *cells;
    int              candidate;
    const int64_t   *chunks;    // [n]
    int64_t          n;
    int64_t          first, end;
} lab_group;

bool lab_figures_of(lab_figures *f, const lab_group *g, err *e);

// KL(both) / (KL(weights) + KL(cache)), of the mean KLs of three candidates over all chunks; each draw takes the same
// chunks of all three. NaN where both parts are 0.
bool lab_share_of(lab_figure *f, const lab_cells *c, int weights, int cache, int both, err *e);

#endif
