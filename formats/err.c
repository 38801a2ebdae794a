#define _GNU_SOURCE
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

// Copies src to dst so that nothing in it can move a terminal's cursor or break the line: C0 and C1 control characters
// and bytes that are not UTF-8 become \xNN. A text that does not fit ends in "...".
static void escape_line(char *dst, size_t cap, const char *src, size_t n)
{
    size_t w = 0, i = 0;
    while (i < n) {
        int  len   = utf8_len((const uint8_t *)src + i, (int64_t)(n - i));
        bool plain = len > 1 ? !(len == 2 && (uint8_t)src[i] == 0xc2 && (uint8_t)src[i + 1] < 0xa0)
                             : len == 1 && (uint8_t)src[i] >= 0x20 && src[i] != 0x7f;
        size_t step = len > 0 ? (size_t)len : 1, need = plain ? step : 4 * step;
        if (w + need + 4 > cap) {       // room for "..." and the NUL is always kept
            memcpy(dst + w, "...", 3);
            w += 3;
            break;
        }
        if (plain) memcpy(dst + w, src + i, step);
        else for (size_t k = 0; k < step; k++) snprintf(dst + w + 4 * k, 5, "\\x%02x", (unsigned)(uint8_t)src[i + k]);
        w += need;
        i += step;
    }
    dst[w] = '\0';
}

bool err_set(err *e, err_kind kind, const char *fmt, ...)
{
    if (!e || e->kind != ERR_NONE) return false;
    char    raw[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    e->kind = kind;
    escape_line(e->msg, sizeof e->msg, raw, n < 0 ? 0 : (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1);
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
