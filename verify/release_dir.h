// release_dir: the folder of a release, which appears whole or not at all.
//
// Work goes to "<dir>.partial-<pid>" beside the destination; the folder is locked while its process lives, so that a later run can tell
// what a killed one left behind, and removes it. A folder that exists is replaced only when it holds nothing but what a release writes.
#ifndef HALLMARK_VERIFY_RELEASE_DIR_H
#define HALLMARK_VERIFY_RELEASE_DIR_H

#include "../formats/err.h"

#define RELEASE_JSON "report.json"
#define RELEASE_MD   "report.md"

typedef struct {
    char *path;         // the staging folder
    int   fd;           // open and locked
} release_dir;

// The destination may be written: it is absent, empty, or a release (report.json with "hallmark_release", and no file that a
// release does not write). ERR_USAGE names what is in the way.
bool release_dir_free_to_use(const char *dest, err *e);

// Removes what killed runs left beside dest and makes the staging folder. ERR_SYSTEM.
bool release_dir_begin(release_dir *d, const char *dest, err *e);

// Gives the staging folder its final name, in one step where the file system can exchange names. *replaced: a release was there, and is gone. d is
// closed in every case; on failure the staging folder stays for the user to look at, and e says where.
bool release_dir_publish(release_dir *d, const char *dest, bool *replaced, err *e);

// Removes the staging folder; a closed d is allowed.
void release_dir_abort(release_dir *d);

#endif
