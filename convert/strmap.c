#include "strmap.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PROBES = 512 };      // at half load the longest run among a million honest strings is about 30

// FNV-1a, its high bits folded into the low ones that choose the place.
static uint64_t hash(const char *s, int64_t n)
{
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h ^ h >> 32;
}

bool strmap_init(strmap *m, int64_t max_entries, err *e)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)max_entries) size *= 2;
    m->mask = size - 1;
    m->e = calloc(size, sizeof *m->e);
    return m->e ? true : err_nomem(e, "the vocabulary", size * sizeof *m->e);
}

void strmap_free(strmap *m)
{
    free(m->e);
    memset(m, 0, sizeof *m);
}

// The place of the string, or the empty place where it would go; NULL after too many probes.
static strmap_entry *find(const strmap *m, const char *s, int64_t n)
{
    uint64_t h = hash(s, n);
    for (int i = 0; i < MAX_PROBES; i++) {
        strmap_entry *e = &m->e[(h + (uint64_t)i) & m->mask];
        if (!e->s || (e->n == n && memcmp(e->s, s, (size_t)n) == 0)) return e;
    }
    return NULL;
}

bool strmap_put(strmap *m, const char *s, int64_t n, int32_t id, int32_t *old)
{
    strmap_entry *e = find(m, s, n);
    *old = -1;
    if (!e) return false;
    if (e->s) *old = e->id;
    else      *e = (strmap_entry){ s, n, id };
    return true;
}

int32_t strmap_get(const strmap *m, const char *s, int64_t n)
{
    const strmap_entry *e = find(m, s, n);
    return e && e->s ? e->id : -1;
}
