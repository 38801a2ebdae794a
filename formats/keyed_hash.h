// keyed_hash: where to look for a string or a pair of numbers in a table, under a secret drawn for that table alone.
//
// Whoever writes a file chooses the strings that it holds. A hash that can be computed outside lets him choose strings
// of one place in the table, and a table of n strings then costs n * n steps. Here the bytes are the coefficients of a
// polynomial modulo 2^61 - 1, and the hash is its value at a secret point (Carter and Wegman, 1979): two strings of n
// bytes meet for at most n of the 2^61 points. The secret decides places in memory and nothing else: no output depends
// on it.
//
// A polynomial, and not one of the hashes that take a key beside it (SipHash), because the hashes of all beginnings and
// ends of a string then come in one pass: each way to split each token of a vocabulary is looked up.
// Proved by tests/keyed_hash_test.c.
#ifndef HALLMARK_FORMATS_KEYED_HASH_H
#define HALLMARK_FORMATS_KEYED_HASH_H

#include "err.h"
#include <stdint.h>

typedef struct {
    uint64_t point;     // 2^60 to 2^61 - 2
    uint64_t mask;      // taken into the last mixing
} hash_key;

// Draws a key from the system. ERR_SYSTEM where it has none to give.
bool hash_key_draw(hash_key *k, err *e);

#define HASH_PRIME (((uint64_t)1 << 61) - 1)

// a * b modulo 2^61 - 1, for a and b below 2^61.
static inline uint64_t hash_mul(uint64_t a, uint64_t b)
{
    const unsigned __int128 x = (unsigned __int128)a * b;
    const uint64_t sum = ((uint64_t)x & HASH_PRIME) + (uint64_t)(x >> 61);
    return sum >= HASH_PRIME ? sum - HASH_PRIME : sum;
}

static inline uint64_t hash_add(uint64_t a, uint64_t b)
{
    const uint64_t sum = a + b;
    return sum >= HASH_PRIME ? sum - HASH_PRIME : sum;
}

// Of a string and one more byte behind it; the empty string's is 0. Adding 1 keeps strings of NUL bytes apart.
static inline uint64_t hash_append(const hash_key *k, uint64_t h, uint8_t c)
{
    return hash_add(hash_mul(h, k->point), (uint64_t)c + 1);
}

// Of a string and one more byte before it. *power is point^n for the n bytes that h stands for (1 for none), and is
// moved on.
static inline uint64_t hash_prepend(const hash_key *k, uint64_t h, uint8_t c, uint64_t *power)
{
    h = hash_add(h, hash_mul(*power, (uint64_t)c + 1));
    *power = hash_mul(*power, k->point);
    return h;
}

static inline uint64_t hash_bytes(const hash_key *k, const char *s, int64_t n)
{
    uint64_t h = 0;
    for (int64_t i = 0; i < n; i++) h = hash_append(k, h, (uint8_t)s[i]);
    return h;
}

static inline uint64_t hash_pair(const hash_key *k, uint32_t a, uint32_t b)
{
    return hash_add(hash_mul((uint64_t)a + 1, k->point), b);
}

// From a hash to a place: all bits of it are in the low ones and in the high ones (MurmurHash3's finalizer).
static inline uint64_t hash_place(const hash_key *k, uint64_t h)
{
    h ^= k->mask;
    h ^= h >> 33; h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

#endif
