// place: a name in a folder that is held open. What is created, renamed or removed there goes through the folder's
// descriptor and follows no link, so that names which another user changes meanwhile (in /tmp, in a shared folder) lead
// nowhere else.
//
// Outputs are made under "<name>.partial-<number>" beside their place: the process's number, another where that name is
// taken.
// Proved by tests/shared_folder_test.c and tests/release_dir_test.c.
#ifndef HALLMARK_FORMATS_PLACE_H
#define HALLMARK_FORMATS_PLACE_H

#include "err.h"
#include <stdint.h>
#include <sys/stat.h>

typedef struct {
    char *path;         // as messages name it
    char *dir;          // its folder's path
    char *name;         // its name there
    int   fd;           // the folder, open
} place;                // owned; place_close frees it

// The folder of path, which does not end in '/', '.' or '..'. ERR_USAGE: it does, there is no such folder, or the name
// has no room there for the temporary infix;
// ERR_SYSTEM otherwise. On failure nothing is left open. Messages name the place.
bool place_open(place *p, const char *path, err *e);
void place_close(place *p);

// "cannot create: <reason of code>". A place that the caller cannot have meant is ERR_USAGE; one that is right and
// refuses is ERR_SYSTEM.
bool place_cannot_create(const char *path, int code, err *e);

// May entries of the folder be created and renamed? ERR_SYSTEM.
bool place_writable(const place *p, err *e);

// May what is at the place (there) be replaced: in a folder like /tmp another user's file may not. ERR_SYSTEM.
bool place_replaceable(const place *p, const struct stat *there, err *e);

// The folder's entries on disk. A file system that cannot flush a folder is none the worse.
bool place_flush(const place *p, err *e);

#define PARTIAL_INFIX ".partial-"

// "<name>.partial-<number>" and the same as a path, freed by the caller; attempt 0 is the process's own number. false:
// out of memory.
bool place_partial(const place *p, int attempt, char **name, char **path);
enum { PLACE_ATTEMPTS = 16 };

// Of a temporary name the bytes of what it stands for; 0: it is none. And: is `name` a temporary name of `base`?
size_t partial_base(const char *name);
bool is_partial_of(const char *name, const char *base);

// Does `name` in the folder open as dir_fd still stand for the open file fd, itself and no link to it?
bool is_still(int dir_fd, const char *name, int fd);

// A lock for as long as fd is open, which says that its maker lives. LOCK_NONE: this file system has no locks.
typedef enum { LOCK_MINE, LOCK_OTHERS, LOCK_NONE } lock_result;
lock_result lock_try(int fd);

// Gives fd the permissions and, where that is allowed, the group of `old`, which it is to replace. Another user's leave
// to write is not kept in a folder where everybody may create names; nor is that of a group which cannot be kept.
void keep_mode(int fd, const struct stat *old, const place *p);
// what a new file may be created with before keep_mode: never more than that
mode_t mode_to_keep(const struct stat *old, const place *p);

#endif
