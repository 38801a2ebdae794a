// gzip_lines: the lines of a gzip stream (RFC 1952) in memory, one after another.
//
// The stream may be anybody's: lines and the whole are limited (checked.h, LIMIT_FIXTURE_...), so that little that
// becomes much is refused, and so is a stream that is cut, damaged or followed by something else. It may hold several
// members. Proved by tests/fixture_test.c and tests/fuzz/fixture_fuzz.c.
#ifndef HALLMARK_FORMATS_GZIP_LINES_H
#define HALLMARK_FORMATS_GZIP_LINES_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

typedef struct {
    z_stream       z;
    const uint8_t *in;
    int64_t        n_in, i_in;          // bytes of the stream, bytes handed to zlib
    bool           ended;               // a member ended and nothing follows it
    char          *buf;                 // decompressed bytes [from, to) that no line has taken yet
    int64_t        from, to, cap;
    int64_t        total, max_total;    // decompressed so far, and the most there may be
    int64_t        number;              // of the line taken last, from 1
    const char    *path;
    err           *e;
} gzip_lines;

// gz: n bytes that outlive the reader, as do path (for messages) and e, which the other calls write to. ERR_INPUT if it
// is no gzip stream. gzip_lines_end must be called whatever this returned.
bool gzip_lines_start(gzip_lines *l, const uint8_t *gz, int64_t n, const char *path, err *e);
void gzip_lines_end(gzip_lines *l);

// The next line without its end; *line is valid until the next call. False at the end (e is then untouched) or on
// failure.
bool gzip_lines_next(gzip_lines *l, char **line, int64_t *n);

#endif
