#include "strmap.h"

#include <stdlib.h>
#include <string.h>

bool strmap_init(strmap *m, int64_t max_entries, err *e)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)max_entries) size *= 2;
    m->mask = size - 1;
    if (!hash_key_draw(&m->key, e)) return false;
    m->e = calloc(size, sizeof *m->e);
    return m->e ? true : err_nomem(e, "the vocabulary", size * sizeof *m->e);
}

void strmap_free(strmap *m)
{
    free(m->e);
    memset(m, 0, sizeof *m);
}

// The place of the string, or the empty place where it would go: there is one, as the table is at most half full.
static strmap_entry *find(const strmap *m, const char *s, int64_t n, uint64_t hash)
{
    for (uint64_t i = hash_place(&m->key, hash);; i++) {
        strmap_entry *e = &m->e[i & m->mask];
        if (!e->s || (e->n == n && memcmp(e->s, s, (size_t)n) == 0)) return e;
    }
}

int32_t strmap_put(strmap *m, const char *s, int64_t n, int32_t id)
{
    strmap_entry *e = find(m, s, n, hash_bytes(&m->key, s, n));
    if (e->s) return e->id;
    *e = (strmap_entry){ s, (int32_t)n, id };
    return -1;
}

int32_t strmap_get_hashed(const strmap *m, const char *s, int64_t n, uint64_t hash)
{
    const strmap_entry *e = find(m, s, n, hash);
    return e->s ? e->id : -1;
}

int32_t strmap_get(const strmap *m, const char *s, int64_t n)
{
    return strmap_get_hashed(m, s, n, hash_bytes(&m->key, s, n));
}
