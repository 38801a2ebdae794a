// strmap: strings to ids, for vocabularies. Open addressing; a file whose strings were chosen to collide is refused instead of
// making lookups slow.
#ifndef HALLMARK_CONVERT_STRMAP_H
#define HALLMARK_CONVERT_STRMAP_H

#include "../formats/err.h"
#include <stdint.h>

typedef struct { const char *s; int64_t n; int32_t id; } strmap_entry;     // s is NULL in an empty place

typedef struct {
    strmap_entry *e;        // owned: [mask + 1]
    uint64_t      mask;
} strmap;

bool strmap_init(strmap *m, int64_t max_entries, err *e);
void strmap_free(strmap *m);

// Adds a string that is borrowed from now on; at most max_entries of them. *old is the id it already has, or -1. False (nothing is
// added) if too many strings collide.
bool strmap_put(strmap *m, const char *s, int64_t n, int32_t id, int32_t *old);

// The id, or -1.
int32_t strmap_get(const strmap *m, const char *s, int64_t n);

#endif
