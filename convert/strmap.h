// strmap: strings to ids, for vocabularies. Open addressing under a secret of its own (formats/keyed_hash.h), so that
// no choice of strings makes lookups slow. Proved by tests/tokenizer_meta_test.c.
#ifndef HALLMARK_CONVERT_STRMAP_H
#define HALLMARK_CONVERT_STRMAP_H

#include "../formats/keyed_hash.h"

typedef struct { const char *s; int32_t n, id; } strmap_entry;     // s is NULL in an empty place

typedef struct {
    strmap_entry *e;        // owned: [mask + 1]
    uint64_t      mask;
    hash_key      key;
} strmap;

// Memory: 32 to 64 bytes for each of max_entries.
bool strmap_init(strmap *m, int64_t max_entries, err *e);
void strmap_free(strmap *m);

// Adds a string that is borrowed from now on; at most max_entries of them. Returns the id that it already has (nothing
// is added then), or -1.
int32_t strmap_put(strmap *m, const char *s, int64_t n, int32_t id);

// The id, or -1. With _hashed: hash is hash_bytes(&m->key, s, n).
int32_t strmap_get(const strmap *m, const char *s, int64_t n);
int32_t strmap_get_hashed(const strmap *m, const char *s, int64_t n, uint64_t hash);

#endif
