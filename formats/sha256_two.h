// sha256_two: the blocks of two SHA-256 digests side by side. An instruction of x86's SHA extensions takes four cycles
// and another can begin two cycles earlier, but the rounds of one digest each wait for the one before; those of another
// fill the gaps.
// Everything else about a digest (padding, length, parts of blocks) is libcrypto's, which is also the twin that proves
// this.
// Proved by tests/digest_test.c.
#ifndef HALLMARK_FORMATS_SHA256_TWO_H
#define HALLMARK_FORMATS_SHA256_TWO_H

#include <stdint.h>

// FIPS 180-4, section 6.2.2, for n_blocks blocks of 64 bytes at x and as many at y. State: H0 .. H7. No alignment is
// asked for.
typedef void sha256_two_blocks(uint32_t a[8], const uint8_t *x, uint32_t b[8], const uint8_t *y, int64_t n_blocks);

sha256_two_blocks *sha256_two_find(void);       // NULL where the processor lacks the instructions

#endif
