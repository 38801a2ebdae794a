// err: how every fallible function reports failure.
//
// A function that can fail returns bool (true is success) and takes an `err *` last. The first failure is
// kept: a later err_set on the same err is ignored, so cleanup code cannot hide the cause. A message reads
//   file: tensor 'name': offset N: found X, expected Y
// The kind decides the exit status of the program; only cli/ prints or exits.
// Proved by tests/err_dtype_test.c.
#ifndef HALLMARK_FORMATS_ERR_H
#define HALLMARK_FORMATS_ERR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    ERR_NONE    = 0,
    ERR_VERDICT = 1,    // it ran, and the answer is no (a digest that does not match is a verdict)
    ERR_USAGE   = 2,    // the command line is wrong
    ERR_INPUT   = 3,    // an input file is unusable
    ERR_SYSTEM  = 4,    // disk, memory, device
} err_kind;             // the values are the exit statuses of the program

typedef struct {
    err_kind kind;
    // one line, no newline at the end, made safe to show (text.h); the middle of what is too long is cut
    char     msg[1024];
} err;

// Records a failure unless one is recorded already. Always returns false, so `return err_set(...)` reads well.
bool err_set(err *e, err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// As err_set(ERR_SYSTEM or, for ENOENT/EACCES/EISDIR/ENOTDIR on reading, ERR_INPUT), with strerror(errno):
// "path: cannot <what>: <reason>". `reading` says whether the file was an input.
bool err_errno(err *e, bool reading, const char *path, const char *what);

// The failure `of`, found in a file whose content is what is judged, as ERR_VERDICT: what cannot be read there is not
// what it says it is. ERR_SYSTEM stays what it is.
bool err_as_verdict(err *e, const err *of);

// "out of memory for <what> (<bytes> bytes)", ERR_SYSTEM.
bool err_nomem(err *e, const char *what, size_t bytes);

#endif
