// progress_bar: the face of formats/progress.h: a bar on a terminal, plain lines elsewhere; always on standard error.
#ifndef HALLMARK_CLI_PROGRESS_BAR_H
#define HALLMARK_CLI_PROGRESS_BAR_H

#include "../formats/progress.h"
#include <pthread.h>
#include <stdbool.h>

typedef struct {
    progress        base;           // first: library code sees only this
    pthread_mutex_t lock;
    bool            terminal;
    bool            drawn;          // a bar stands on the current line
    bool            cpu_said;       // why it runs on the CPU
    char            name[64];       // stage, "" before the first
    char            item[64];
    int64_t         total, done;    // of unit
    const char     *unit;           // what the stage counts, "chunks"; NULL: bytes
    double          began, last;    // seconds of the monotonic clock: of the stage, of the last line or drawing
} progress_bar;

// The returned pointer is what library functions take; valid until progress_bar_end.
progress *progress_bar_begin(progress_bar *b);
void      progress_bar_end(progress_bar *b);        // closes the last stage's line

#endif
