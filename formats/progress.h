// progress: how long work tells a person where it is. Library code calls progress_add; only cli/ gives it a face.
// All functions accept NULL. Threads may call progress_add at the same time.
#ifndef HALLMARK_FORMATS_PROGRESS_H
#define HALLMARK_FORMATS_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

typedef struct progress progress;
struct progress {
    void (*stage)(progress *p, const char *stage, int64_t total);            // a stage begins: "convert", "verify", ...
    void (*add)(progress *p, const char *item, int64_t n);    // n more are done, at tensor or case `item`
    void (*log)(progress *p, const char *line);                              // one line worth reading
    // one that must be read, as of a key that others can read; NULL: log
    void (*warn)(progress *p, const char *line);
    const char *unit;    // of the stage that begins: what it counts; NULL: bytes. Set by progress_stage_of
};

// A stage that counts something else than bytes: unit is its plural, "chunks", of static storage.
static inline void progress_stage_of(progress *p, const char *stage, int64_t total, const char *unit)
{
    if (!p) return;
    p->unit = unit;
    if (p->stage) p->stage(p, stage, total);
}
static inline void progress_stage(progress *p, const char *stage, int64_t total)
{
    progress_stage_of(p, stage, total, NULL);
}
static inline void progress_add(progress *p, const char *item, int64_t n)
{
    if (p && p->add) p->add(p, item, n);
}
static inline void progress_log(progress *p, const char *line)                   { if (p && p->log) p->log(p, line); }
void progress_warnf(progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_logf(progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
