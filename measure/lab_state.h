// lab_state: cells of a laboratory run on disk, one small file a chunk and candidate, each there whole or not at all.
//
// The folder is a state_folder.h's: it belongs to one plan. A cell's file is named by chunk and candidate; it holds the
// plan's digest, so that one of another run is refused, and its own, so that a truncated or edited one is.
#ifndef HALLMARK_MEASURE_LAB_STATE_H
#define HALLMARK_MEASURE_LAB_STATE_H

#include "lab_figures.h"

// The folder, made where it is not there, with the plan's text. ERR_USAGE: it is another plan's (names what differs),
// or holds other things than a laboratory's.
bool lab_state_open(const char *dir, const lab_plan *p, err *e);
// The plan of a folder. ERR_INPUT: it has none.
bool lab_state_plan(const char *dir, lab_plan *p, err *e);
// Whether it is p. ERR_USAGE names what differs.
bool lab_state_is_of(const char *dir, const lab_plan *p, err *e);

// *found false: there is no such file. ERR_INPUT names what is wrong with one that is there.
bool lab_state_read(const char *dir, const lab_plan *p, int64_t chunk, int candidate, lab_cell *c, bool *found, err *e);
// The same of a file's n bytes, `path` for messages.
bool lab_cell_read(const uint8_t *data, int64_t n, const char *path, const lab_plan *p, int64_t chunk, int candidate,
                   lab_cell *c, err *e);
bool lab_state_write(const char *dir, const lab_plan *p, int64_t chunk, int candidate, const lab_cell *c, err *e);

#endif
