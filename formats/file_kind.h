// file_kind: what a file is that is not what it should be, so that a message can say it.
// Proved by tests/checkpoint_test.c and tests/field/found-*.json.
#ifndef HALLMARK_FORMATS_FILE_KIND_H
#define HALLMARK_FORMATS_FILE_KIND_H

#include "err.h"
#include <stdint.h>
#include <sys/types.h>

enum {
    FILE_KIND_HEAD     = 256,       // bytes of a file's beginning that are looked at
    FILE_POINTER_BYTES = 1024,      // a git-lfs pointer is shorter
};

// "a GGUF file", "an HTML page ..."; NULL where its beginning p[0..n) says nothing.
const char *file_kind(const uint8_t *p, int64_t n);
// The same of a file; NULL also where it cannot be read.
const char *file_kind_of_path(const char *path);

// "a folder", "a link", "a pipe", ..., "a regular file".
const char *file_kind_of_mode(mode_t mode);

// False, with ERR_INPUT and the command to run, where a whole file p[0..n) is a git-lfs pointer: the short text that
// stands in a clone for a file that was not fetched.
bool file_is_no_pointer(const char *path, const uint8_t *p, int64_t n, err *e);
// Looks into the file at path; true where there is none.
bool file_at_is_no_pointer(const char *path, err *e);

#endif
