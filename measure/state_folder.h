// state_folder: what a long measurement keeps on disk, so that a run that was killed goes on: a folder with a plan,
// which says what is measured, and cells, small files of figures, each there whole or not at all.
//
// A folder belongs to one plan, whose text is its `plan.json`. A cell is 8 bytes of mark, 64 of the plan's digest in
// hex, what its owner puts there, and 64 of the SHA-256, in hex, of all before; numbers are little-endian. So one of
// another run is refused, and one that is truncated or edited, each by its path.
// What plans and cells say is their owners': lab_state.h, mix_state.h. Proved by tests/lab_test.c and tests/mix_test.c.
#ifndef HALLMARK_MEASURE_STATE_FOLDER_H
#define HALLMARK_MEASURE_STATE_FOLDER_H

#include "../formats/err.h"
#include "../formats/text.h"
#include <stdint.h>

enum { STATE_MARK = 8 };        // bytes of a cell's mark

// ---- the folder -----------------------------------------------------------------------------------------------------

// Makes the folder where it is not there, and puts the plan's text into it unless there is one by now: whether that is
// the same, its owner asks. what: whose folder it should be, for messages ("a laboratory run").
// ERR_USAGE: it holds other things; ERR_SYSTEM.
bool state_folder_open(const char *dir, const char *plan, const char *what, err *e);
// The text of a folder's plan, [*n] and a NUL, freed by the caller, and its path for messages, likewise; both NULL on
// failure. ERR_INPUT: it has none.
bool state_folder_plan(char **text, int64_t *n, char **path, const char *dir, err *e);
// ERR_USAGE: the folder is another run's, of which `what` differs. Always false.
bool state_folder_differs(const char *dir, const char *what, err *e);
// For a command that runs several plans: the path of a plan's folder in dir, which is made where it is not there.
// Freed by the caller. dir NULL: *path is NULL, too.
bool state_folder_below(const char *dir, const char *name, char **path, err *e);

// ---- cells ----------------------------------------------------------------------------------------------------------

void state_put_u32(text_buf *t, uint32_t v);
void state_put_u64(text_buf *t, uint64_t v);
void state_put_f64(text_buf *t, double v);

// Mark and plan; then its owner puts what it holds.
void state_cell_begin(text_buf *t, const char mark[STATE_MARK], const char *digest);
// Its own digest, and the file. t is empty afterwards. path NULL: there was no memory for it, which is the error then.
bool state_cell_write(text_buf *t, const char *path, err *e);

// Reads a cell's n bytes; path is for messages. All of these are false with ERR_INPUT once something is wrong.
typedef struct { const uint8_t *begin, *at, *end; const char *path; err *e; } state_cell;
state_cell state_cell_of(const uint8_t *data, int64_t n, const char *path, err *e);
bool state_broken(const state_cell *c, const char *what);       // "it ends too early"; always false
bool state_take(state_cell *c, void *to, size_t n);
bool state_take_begin(state_cell *c, const char mark[STATE_MARK], const char *digest);
bool state_take_end(state_cell *c);                             // its own digest, and nothing follows
// The file at path, taken by `take` with what it is given; *found false: there is none. path NULL: as state_cell_write.
typedef bool state_taker(state_cell *c, void *with);
bool state_cell_read(const char *path, state_taker *take, void *with, bool *found, err *e);

#endif
