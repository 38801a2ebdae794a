#define _GNU_SOURCE
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

// Bytes of the character at src[0..n), and what it takes to show it: C0 and C1 control characters and bytes that are not UTF-8 become \xNN,
// so that nothing can move a terminal's cursor or break the line.
static size_t character(const char *src, size_t n, size_t *shown)
{
    int  len   = utf8_len((const uint8_t *)src, (int64_t)n);
    bool plain = len > 1 ? !(len == 2 && (uint8_t)src[0] == 0xc2 && (uint8_t)src[1] < 0xa0) : len == 1 && (uint8_t)src[0] >= 0x20 && src[0] != 0x7f;
    size_t step = len > 0 ? (size_t)len : 1;
    *shown = plain ? step : 4 * step;
    return step;
}

// Writes what of src fits into room bytes and a NUL. Returns the bytes of src that did.
static size_t escape(char *dst, size_t room, const char *src, size_t n)
{
    size_t i = 0, w = 0, shown;
    while (i < n) {
        size_t step = character(src + i, n - i, &shown);
        if (w + shown > room) break;
        if (shown == step) memcpy(dst + w, src + i, step);
        else for (size_t k = 0; k < step; k++) snprintf(dst + w + 4 * k, 5, "\\x%02x", (unsigned)(uint8_t)src[i + k]);
        w += shown;
        i += step;
    }
    dst[w] = '\0';
    return i;
}

static size_t shown_bytes(const char *src, size_t n)
{
    size_t sum = 0, shown;
    for (size_t i = 0; i < n;) {
        i += character(src + i, n - i, &shown);
        sum += shown;
    }
    return sum;
}

// A text that does not fit loses its middle ("..."): the beginning says where, the end what is wrong.
static void escape_line(char *dst, size_t cap, const char *src, size_t n)
{
    enum { TAIL = 400 };
    if (escape(dst, cap - 1, src, n) == n) return;
    size_t head = escape(dst, cap - 1 - 3 - TAIL, src, n), from = n > TAIL ? n - TAIL : 0;
    if (from < head) from = head;
    while (from < n && ((uint8_t)src[from] & 0xc0) == 0x80) from++;
    while (from < n && shown_bytes(src + from, n - from) > TAIL) {
        size_t shown;
        from += character(src + from, n - from, &shown);
    }
    strcat(dst, "...");
    size_t at = strlen(dst);
    escape(dst + at, cap - 1 - at, src + from, n - from);
}

bool err_set(err *e, err_kind kind, const char *fmt, ...)
{
    if (!e || e->kind != ERR_NONE) return false;
    char    raw[sizeof e->msg], *all = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&all, fmt, ap);
    va_end(ap);
    if (n < 0) {                            // no memory: what fits
        all = NULL;
        va_start(ap, fmt);
        n = vsnprintf(raw, sizeof raw, fmt, ap);
        va_end(ap);
        if (n >= (int)sizeof raw) n = sizeof raw - 1;
    }
    e->kind = kind;
    escape_line(e->msg, sizeof e->msg, all ? all : raw, n < 0 ? 0 : (size_t)n);
    free(all);
    return false;
}

bool err_errno(err *e, bool reading, const char *path, const char *what)
{
    int  code = errno;      // before anything below can change it
    bool input = reading && (code == ENOENT || code == EACCES || code == EISDIR || code == ENOTDIR || code == ELOOP ||
                             code == ENAMETOOLONG);
    char buf[128];
    return err_set(e, input ? ERR_INPUT : ERR_SYSTEM, "%s: cannot %s: %s", path, what, strerror_r(code, buf, sizeof buf));
}

bool err_nomem(err *e, const char *what, size_t bytes)
{
    return err_set(e, ERR_SYSTEM, "out of memory for %s (%zu bytes)", what, bytes);
}
