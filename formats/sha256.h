// sha256: digests by libcrypto.
// Proved by tests/claims_test.c.
#ifndef HALLMARK_FORMATS_SHA256_H
#define HALLMARK_FORMATS_SHA256_H

#include "err.h"
#include "progress.h"
#include <stdint.h>

enum { SHA256_HEX = 64 };           // characters of a digest in hex, without the NUL

typedef struct sha256 sha256;       // one running digest
sha256 *sha256_new(err *e);
bool    sha256_add(sha256 *s, const void *src, int64_t n, err *e);
bool    sha256_end(sha256 *s, char hex[SHA256_HEX + 1], err *e);    // lower-case hex; frees s in every case
void    sha256_free(sha256 *s);                                     // for early exits; NULL is allowed

bool sha256_bytes(const void *src, int64_t n, char hex[SHA256_HEX + 1], err *e);
// Read through a buffer, so that a file of any size costs 1 MB; progress (may be NULL) counts bytes at `item`.
bool sha256_file(const char *path, char hex[SHA256_HEX + 1], err *e);
bool sha256_file_progress(const char *path, progress *p, const char *item, char hex[SHA256_HEX + 1], err *e);
// n bytes of fd from offset off; `where` stands for the path in messages. ERR_INPUT if the file ends before.
bool sha256_range(int fd, int64_t off, int64_t n, progress *p, const char *item, const char *where, char hex[SHA256_HEX + 1], err *e);

#endif
