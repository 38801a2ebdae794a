// outfile: a file that appears whole or not at all.
//
// Bytes go to "<path>.partial-<number>" beside the destination, whose size is reserved first, so that a full disk is
// reported before the work. What is written goes to the disk meanwhile. outfile_commit flushes (fsync), renames, and
// flushes the folder. Killed at any instant, the final name holds the old file or nothing; who ends the process by a
// signal that can be caught finds the temporary file in unfinished.h. A file that is replaced keeps its permissions
// (see keep_mode in place.h).
//
// The folder may be shared with others. It is held open, so that nothing they rename leads elsewhere; a link at the
// destination is followed where it is our own, root's or the folder owner's; one that appears there later is replaced
// itself. Nothing that others put under a temporary name is opened or removed.
// Proved by tests/outfile_test.c and tests/shared_folder_test.c.
#ifndef HALLMARK_FORMATS_OUTFILE_H
#define HALLMARK_FORMATS_OUTFILE_H

#include "err.h"
#include <stdint.h>

typedef struct outfile outfile;

// Can path be written? To be asked before long work; nothing is created. ERR_USAGE: it is a folder or no regular file,
// its folder does not exist, its name is too long, it stands for an open stream (/dev/stdout). ERR_SYSTEM: its folder
// may not be written to (permissions, a read-only mount), or the file there may not be replaced (it is read-only, or
// another user's; it is another user's link).
bool outfile_check(const char *path, err *e);

// The same for a folder that is to be made at path, or replaced there; '/' at the end is allowed. ERR_USAGE, too: it is
// a link.
bool outfile_check_folder(const char *path, err *e);

// Creates the temporary file and reserves `size` bytes (posix_fallocate; 0: do not reserve, the size is unknown).
// NULL on failure: ERR_USAGE for a place that cannot have been meant (see outfile_check), else ERR_SYSTEM. Messages
// name the destination.
// Leftover "<path>.partial-<number>" files of our own dead processes are removed.
outfile *outfile_open(const char *path, int64_t size, err *e);

// Writes n bytes at offset off. Threads may write disjoint ranges at the same time.
bool outfile_write_at(outfile *f, int64_t off, const void *src, int64_t n, err *e);

// Copies n bytes from offset src_off of file descriptor src_fd, inside the kernel where it can. Thread-safe as above.
bool outfile_copy_at(outfile *f, int64_t off, int src_fd, int64_t src_off, int64_t n, err *e);

// Appends at the end of what was appended so far (for text reports). Not to be mixed with write_at.
bool outfile_append(outfile *f, const void *src, int64_t n, err *e);

const char *outfile_tmp_path(const outfile *f);     // borrowed until commit or abort
const char *outfile_path(const outfile *f);

// Flush, rename, flush the folder. Frees f in every case; on failure the temporary file is removed.
bool outfile_commit(outfile *f, err *e);

// Removes the temporary file and frees f; NULL is allowed.
void outfile_abort(outfile *f);

// Writes a whole small file atomically.
bool outfile_write_whole(const char *path, const void *src, int64_t n, err *e);
// The same for a text in a folder. text NULL: there was no memory to make it, which is the error then.
bool outfile_write_text(const char *dir, const char *name, const char *text, err *e);

#endif
