// release_dir: the folder of a release, which appears whole or not at all.
//
// Work goes to "<dir>.partial-<number>" beside the destination, a folder that nobody else can enter; it is locked while
// its process lives, so that a later run can tell what a killed one left behind, and holds from the first instant a
// report that lists its files.
// Removed are only our own folders under such names, and in them, as in a release that is replaced, only what their
// report lists (release_list.h). Files of the user's own in a release that is replaced go on into the new folder.
// Everything goes through the descriptor of the destination's folder: links that others
// put there are neither followed nor removed.
// Proved by tests/release_dir_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_DIR_H
#define HALLMARK_RELEASE_RELEASE_DIR_H

#include "release_list.h"
#include "../formats/dir_list.h"
#include "../formats/place.h"
#include "../formats/unfinished.h"

typedef struct {
    char  *path;        // the staging folder
    char  *name;        // its name beside the destination
    place  at;          // the destination's folder, held open
    int    fd;          // the staging folder, open and locked
    mode_t mode;        // what it gets when it is published: what umask leaves
    unfinished listed;  // so d stays where it is from release_dir_begin on
    const char *over;   // borrowed: the SHA-256 of the report.json that it may replace; "": no release. NULL: any
} release_dir;

// The destination may be written: it is absent, empty, or a release (report.json with "hallmark_release"), or holds
// nothing but what a repository for a model begins with (.git, .gitattributes, README.md, LICENSE).
// ERR_USAGE names what is in the way; ERR_SYSTEM: it may not be replaced.
bool release_dir_free_to_use(const char *dest, err *e);

// The names in dest that no release wrote, which stay when it is replaced; none where there is no dest. dir_list_free
// in any case.
bool release_dir_own(dir_list *own, const char *dest, err *e);
// Gives a regular file of dest a second name in the staging folder. *linked false: it is no regular file, or cannot
// have two names here; it is then moved by release_dir_publish.
bool release_dir_link(release_dir *d, const char *dest, const char *name, bool *linked, err *e);

// What a folder will hold beside what is made from the records.
typedef struct { const char *const *artifacts, *const *files; int n_artifacts, n_files; } release_names;

// Removes what our killed runs left beside dest and makes the staging folder for these. ERR_SYSTEM.
bool release_dir_begin(release_dir *d, const char *dest, const release_names *names, err *e);

typedef struct {
    bool  replaced;     // a release was there
    char *left;         // NULL, or the folder that holds what could not be removed of it; freed by the caller
} release_before;

// Gives the staging folder its final name, dest, which lies where release_dir_begin was told: in one step where the
// file system can exchange names. A folder that is replaced gives its permissions, and is removed only when the new
// name is on disk. d is closed in every case; on failure the staging folder stays for the user to look at, and e says
// where. Where d->over says what may be replaced, dest is locked from the last look to the new name, so that of two
// runs the second sees what the first published. ERR_SYSTEM: dest holds another release than that.
bool release_dir_publish(release_dir *d, const char *dest, release_before *before, err *e);

// Removes the staging folder; a closed d is allowed.
void release_dir_abort(release_dir *d);

// Removes a folder beside the destination that holds a release of this name which did not pass, and nothing else.
// needed: NULL, or why it is to stay. *bytes: of its files; why: what keeps it, where it stays.
typedef enum { STALE_NONE, STALE_REMOVED, STALE_STAYS } stale_end;
stale_end release_dir_discard(const char *dest, const char *name, const char *needed, int64_t *bytes, char why[256]);

#endif
