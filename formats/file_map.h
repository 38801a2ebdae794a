// file_map: a whole file, mapped read-only.
#ifndef HALLMARK_FORMATS_FILE_MAP_H
#define HALLMARK_FORMATS_FILE_MAP_H

#include "err.h"
#include <stdint.h>

typedef struct {
    char          *path;    // owned
    const uint8_t *data;    // size bytes, readable until file_map_close; NULL when size is 0
    int64_t        size;
    int            fd;      // open for reading, for copy_file_range and the like
} file_map;

// Maps `path`, a regular file. ERR_INPUT if it cannot be opened, is not a regular file, or is a git-lfs pointer
// (file_kind.h). On failure nothing is left open. A zeroed file_map is a valid closed one.
bool file_map_open(file_map *m, const char *path, err *e);
void file_map_close(file_map *m);

// Reads a whole small text file, NUL-terminated, at most max_bytes; freed by the caller. ERR_INPUT otherwise.
bool file_read_text(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e);

// The first max_bytes of a text file, or all of it, likewise.
bool file_read_head(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e);

bool  file_exists(const char *path);                        // a regular file (links followed)
bool  file_exists_in(const char *dir, const char *name);    // likewise dir/name; false without memory, too
bool  dir_exists(const char *path);
bool  same_file(const char *a, const char *b);               // both exist and are one file, whatever links lead there
// Is path the folder, or does it lie in it, by whatever name and links? Neither need be there yet.
// ERR_SYSTEM: out of memory.
bool path_lies_in(bool *lies, const char *path, const char *folder, err *e);
char *path_join(const char *dir, const char *name);         // malloc'd, NULL when out of memory
char *path_dir(const char *path);    // likewise: the folder that holds it, "." where it names none
const char *path_base(const char *path);                    // its name there: what follows the last '/'

#endif
