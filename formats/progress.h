// progress: how long work tells a person where it is. Library code calls progress_add; only cli/ gives it a face.
// All functions accept NULL. Threads may call progress_add at the same time.
#ifndef HALLMARK_FORMATS_PROGRESS_H
#define HALLMARK_FORMATS_PROGRESS_H

#include <stdint.h>

typedef struct progress progress;
struct progress {
    void (*stage)(progress *p, const char *stage, int64_t total_bytes);      // a stage begins: "convert", "verify", ...
    void (*add)(progress *p, const char *item, int64_t bytes);               // `bytes` more are done, at tensor or case `item`
    void (*log)(progress *p, const char *line);                              // one line worth reading
};

static inline void progress_stage(progress *p, const char *stage, int64_t total) { if (p && p->stage) p->stage(p, stage, total); }
static inline void progress_add(progress *p, const char *item, int64_t bytes)    { if (p && p->add) p->add(p, item, bytes); }
static inline void progress_log(progress *p, const char *line)                   { if (p && p->log) p->log(p, line); }
void progress_logf(progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
