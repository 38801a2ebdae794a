#include "progress.h"

#include <stdarg.h>
#include <stdio.h>

void progress_logf(progress *p, const char *fmt, ...)
{
    if (!p || !p->log) return;
    char    line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    p->log(p, line);
}

void progress_warnf(progress *p, const char *fmt, ...)
{
    if (!p || !(p->warn || p->log)) return;
    char    line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (p->warn ? p->warn : p->log)(p, line);
}
