// unfinished: what this process has begun to write under a temporary name and has not given its own, so that whoever
// ends the process can take it away (cli/interrupt.h, at a signal).
//
// One list for the process. The lock keeps what belongs together in one piece for who takes it: creating a name and
// listing it, giving it its final name and unlisting it. Who never gives the lock back, because he ends the process,
// leaves nobody else a way to create or to rename. A thread may take the lock again while it has it.
// Proved by tests/outfile_test.c and tests/release_dir_test.c.
#ifndef HALLMARK_FORMATS_UNFINISHED_H
#define HALLMARK_FORMATS_UNFINISHED_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct unfinished unfinished;
struct unfinished {             // part of what is being written; all pointers are borrowed until unfinished_drop
    unfinished *next;
    int         dir_fd;         // the folder that holds it, open
    const char *name;           // its temporary name there
    int         fd;             // itself, open: the name is removed only while it stands for this
    const char *path;           // what it is to become, as messages name it; NULL: nothing that anybody asked for
    bool        folder;         // a folder, with all that is in it
    atomic_bool flushing;       // its last flush is under way, which cannot be broken off
};

void unfinished_lock(void);
void unfinished_unlock(void);
bool unfinished_lock_within(int milliseconds);          // false: another holds it for longer than that

// Both with the lock held. drop: of what is not listed does nothing.
void unfinished_add(unfinished *u);
void unfinished_drop(unfinished *u);

// All with the lock held, which must not be given back after the first. Removes all, the newest first, and tells of
// each
// that somebody asked for: of a folder, not of what is being written in it.
void unfinished_remove_all(void (*tell)(void *ctx, const unfinished *u), void *ctx);
bool unfinished_flushing(void);             // is a last flush under way?

#endif
