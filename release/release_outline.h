// release_outline: what a release would make, before any of it: `release --dry-run`. Headers, fixtures and the source's
// digest are read; nothing is written, and no weight is converted or run.
// Proved by tests/release_add_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_OUTLINE_H
#define HALLMARK_RELEASE_RELEASE_OUTLINE_H

#include "release.h"

typedef struct {
    char   *name;               // of its file
    char    made_by[512];       // its recipe in words; "" where it is kept
    bool    kept, searched;     // of the release that is added to; a mix, whose types are only searched for then
    int64_t bytes;              // of a kept or finished file all, else of its tensors; of a mix the most that its
                                // budget allows; 0: that is not known before
    int     own, source;        // fixtures of its own weights (of its type, as far as can be told) and of the source's
    bool    lossy;              // it needs one of each kind, else one of the source
    int64_t tokens;             // that are run
} release_outline_row;

typedef struct {
    release_outline_row *v;     // [n], those that stay first
    int      n;
    char   **files;             // [n_files] beside them and the reports
    int      n_files;           // those that there may be, as not each fixture will be answered to
    char     where[4096], source[SHA256_HEX + 1];
    int64_t  weights;           // of the source
    int64_t  bytes, room;       // of all artifacts; free where they will lie, -1: not known
    int64_t  tokens;            // of all new ones
    double   seconds;           // that running those takes about, on the CPU as it is now; NAN: on another device
    bool     signs;
} release_outline;              // owned; release_outline_free

// Refuses what release_checkpoint would before any work, but for what is proved of artifacts that stay.
bool release_outline_make(release_outline *to, const char *hf_dir, const char *out_dir, const release_opts *o, err *e);
void release_outline_free(release_outline *to);

#endif
