// lab_places: the worst places of a cell, and the text around them.
#ifndef HALLMARK_MEASURE_LAB_PLACES_H
#define HALLMARK_MEASURE_LAB_PLACES_H

#include "lab_figures.h"

// Fills in worst and n_worst from the points. p holds models and ids.
bool lab_places_find(lab_cell *c, const lab_plan *p, int64_t chunk, err *e);

#endif
