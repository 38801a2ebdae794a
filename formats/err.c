#define _GNU_SOURCE
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

// of a message that does not fit, its end stays: the beginning says where, the end what is wrong
enum { TAIL = 400 };

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
    text_fit(e->msg, sizeof e->msg, all ? all : raw, n < 0 ? 0 : (size_t)n, TAIL);
    free(all);
    return false;
}

bool err_errno(err *e, bool reading, const char *path, const char *what)
{
    int  code = errno;      // before anything below can change it
    bool input = reading && (code == ENOENT || code == EACCES || code == EISDIR || code == ENOTDIR || code == ELOOP ||
                             code == ENAMETOOLONG);
    char buf[128];
    return err_set(e, input ? ERR_INPUT : ERR_SYSTEM, "%s: cannot %s: %s", path, what,
                   strerror_r(code, buf, sizeof buf));
}

bool err_as_verdict(err *e, const err *of)
{
    return err_set(e, of->kind == ERR_SYSTEM ? ERR_SYSTEM : ERR_VERDICT, "%s", of->msg);
}

bool err_nomem(err *e, const char *what, size_t bytes)
{
    return err_set(e, ERR_SYSTEM, "out of memory for %s (%zu bytes)", what, bytes);
}
