// sha256: digests by libcrypto. Two of them that are taken at the same time can share a core (sha256_two.h).
// Proved by tests/claims_test.c and tests/digest_test.c.
#ifndef HALLMARK_FORMATS_SHA256_H
#define HALLMARK_FORMATS_SHA256_H

#include "err.h"
#include <stdint.h>

enum { SHA256_HEX = 64 };           // characters of a digest in hex, without the NUL

typedef struct sha256 sha256;       // one running digest
sha256 *sha256_new(err *e);
bool    sha256_add(sha256 *s, const void *src, int64_t n, err *e);
bool    sha256_end(sha256 *s, char hex[SHA256_HEX + 1], err *e);    // lower-case hex; frees s in every case
// only where ok; frees s in every case, too
bool    sha256_end_if(sha256 *s, bool ok, char hex[SHA256_HEX + 1], err *e);
void    sha256_free(sha256 *s);                                     // for early exits; NULL is allowed

// Adds nx bytes to a and ny to b, another one: the result of two sha256_add, in about the time of the longer where the
// processor has SHA instructions.
bool sha256_add_two(sha256 *a, const void *x, int64_t nx, sha256 *b, const void *y, int64_t ny, err *e);

bool sha256_is_hex(const char *s);                                  // what sha256_end writes, and nothing else

bool sha256_bytes(const void *src, int64_t n, char hex[SHA256_HEX + 1], err *e);
// Read through a buffer: a file of any size costs 256 KB. ERR_INPUT if it cannot be read or is no regular file.
bool sha256_file(const char *path, char hex[SHA256_HEX + 1], err *e);

#endif
