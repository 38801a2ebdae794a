#include "gzip_lines.h"
#include "checked.h"
#include <stdlib.h>
#include <string.h>

bool gzip_lines_start(gzip_lines *l, const uint8_t *gz, int64_t n, const char *path, err *e)
{
    *l = (gzip_lines){ .in = gz, .n_in = n, .path = path, .e = e };
    const bool small = n < (LIMIT_FIXTURE_BYTES - LIMIT_FIXTURE_FREE) / LIMIT_FIXTURE_RATIO;
    l->max_total = small ? LIMIT_FIXTURE_FREE + n * LIMIT_FIXTURE_RATIO : LIMIT_FIXTURE_BYTES;
    if (n < 18 || gz[0] != 0x1f || gz[1] != 0x8b)
        return err_set(e, ERR_INPUT, "%s: offset 0: found no gzip header, expected one", path);
    // 15 + 16: the largest window, and gzip's header and CRC, no other format.
    if (inflateInit2(&l->z, 15 + 16) != Z_OK) return err_nomem(e, "decompression", 1 << 16);
    return true;
}

void gzip_lines_end(gzip_lines *l)
{
    inflateEnd(&l->z);
    free(l->buf);
}

// Makes room for more at the end of buf, by moving what is left to its beginning or by growing it.
static bool make_room(gzip_lines *l)
{
    enum { STEP = 1 << 16 };
    if (l->from > 0) {
        memmove(l->buf, l->buf + l->from, (size_t)(l->to - l->from));
        l->to  -= l->from;
        l->from = 0;
    }
    if (l->to >= LIMIT_FIXTURE_LINE)
        return err_set(l->e, ERR_INPUT, "%s: line %lld: found more than %lld bytes", l->path, (long long)l->number + 1,
                       (long long)LIMIT_FIXTURE_LINE);
    if (l->cap - l->to >= STEP) return true;
    int64_t cap = l->cap ? l->cap * 2 : 2 * STEP;
    char   *v   = realloc(l->buf, (size_t)cap);
    if (!v) return err_nomem(l->e, "a line of a fixture", (size_t)cap);
    l->buf = v;
    l->cap = cap;
    return true;
}

// Decompresses some more. A file may hold several members one after another, as gzip allows.
static bool inflate_some(gzip_lines *l)
{
    if (l->z.avail_in == 0) {
        int64_t n = l->n_in - l->i_in < (1 << 30) ? l->n_in - l->i_in : 1 << 30;
        l->z.next_in  = (Bytef *)(uintptr_t)(l->in + l->i_in);
        l->z.avail_in = (uInt)n;
        l->i_in += n;
    }
    int64_t room = l->cap - l->to < (1 << 30) ? l->cap - l->to : 1 << 30;
    l->z.next_out  = (Bytef *)l->buf + l->to;
    l->z.avail_out = (uInt)room;
    int     rc  = inflate(&l->z, Z_NO_FLUSH);
    int64_t got = room - l->z.avail_out, at = l->i_in - l->z.avail_in;
    l->to    += got;
    l->total += got;
    if (l->total > l->max_total)
        return err_set(l->e, ERR_INPUT, "%s: found more than %lld bytes in %lld compressed ones", l->path,
                       (long long)l->max_total, (long long)l->n_in);
    if (rc == Z_STREAM_END) {
        l->ended = l->z.avail_in == 0 && l->i_in == l->n_in;
        return l->ended || inflateReset(&l->z) == Z_OK || err_nomem(l->e, "decompression", 1 << 16);
    }
    if (rc == Z_MEM_ERROR) return err_nomem(l->e, "decompression", 1 << 16);
    if (rc != Z_OK && rc != Z_BUF_ERROR)
        return err_set(l->e, ERR_INPUT, "%s: offset %lld: found damaged gzip data (%s)", l->path, (long long)at,
                       l->z.msg ? l->z.msg : "no reason given");
    if (got == 0 && l->z.avail_in == 0 && l->i_in == l->n_in)
        return err_set(l->e, ERR_INPUT, "%s: offset %lld: found the end, expected more gzip data", l->path,
                       (long long)l->n_in);
    return true;
}

bool gzip_lines_next(gzip_lines *l, char **line, int64_t *n)
{
    int64_t seen = l->from;
    for (;;) {
        char *nl = l->to > seen ? memchr(l->buf + seen, '\n', (size_t)(l->to - seen)) : NULL;
        if (nl || l->ended) {
            if (!nl && l->from == l->to) return false;
            *line   = l->buf + l->from;
            *n      = (nl ? nl : l->buf + l->to) - *line;
            l->from += *n + (nl ? 1 : 0);
            l->number++;
            return true;
        }
        seen = l->to - l->from;         // make_room moves the line to the beginning
        if (!make_room(l) || !inflate_some(l)) return false;
    }
}
