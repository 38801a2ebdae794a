// release_occupant: what is at the destination of a release before it is published. For release_dir*.c alone.
#ifndef HALLMARK_RELEASE_RELEASE_OCCUPANT_H
#define HALLMARK_RELEASE_RELEASE_OCCUPANT_H

#include "release_dir.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

typedef struct {
    bool        there, release;
    int         entries;
    struct stat st;
} occupant;

// Absent, empty, a release, or what a repository begins with. to->path and to->name: the destination, to->fd: its
// folder. ERR_USAGE, ERR_SYSTEM as release_dir_free_to_use.
bool release_occupant_look(const place *to, occupant *o, err *e);

#endif
