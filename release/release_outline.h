// release_outline: what a release would make, before any of it: `release --dry-run`. Headers, fixtures and the source's
// digest are read; nothing is written, and no weight is converted or run.
// Proved by tests/release_outline_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_OUTLINE_H
#define HALLMARK_RELEASE_RELEASE_OUTLINE_H

#include "release.h"

typedef struct {
    char   *name;               // of its file
    char    made_by[512];       // its recipe in words; "" where it is kept
    bool    kept, searched;     // of the release that is added to; a mix, whose types are only searched for then
    int64_t bytes;              // of a kept or finished file all, else of its tensors; of a mix the most that its
                                // budget allows; 0: that is not known before
    int     own, source;        // fixtures that were made from its weights, or may have been, and from the source's
    bool    own_known;          // those are of its weights: it is a finished file, or there are none; else its weights
                                // are only known once it is made
    bool    lossy;              // it needs one of each kind, else one of the source
    int64_t tokens;             // that are run; at most, where own is not known
} release_outline_row;

typedef enum {                  // where all comparisons hold
    OUTLINE_PUBLISHED,
    OUTLINE_UNKNOWN,            // by whether fixtures are of the weights that are made
    OUTLINE_UNVERIFIED,         // a fixture is missing
} outline_fate;

typedef struct {
    char *name;
    bool  perhaps;              // a fixture, if an artifact is found to answer to it
} release_outline_file;

typedef struct {
    release_outline_row *v;     // [n], those that stay first
    int      n;
    release_outline_file *files;        // [n_files] beside them, reports among them
    int      n_files;
    char   **missing;           // [n_missing] commands that make the fixtures that are surely missing
    int      n_missing;
    outline_fate fate;
    char     where[4096], source[SHA256_HEX + 1];
    int64_t  weights;           // of the source
    int64_t  bytes, room;       // of all artifacts; free where they will lie, -1: not known
    int64_t  tokens;            // of all new ones
    double   seconds;           // that running those takes about, on the CPU as it is now; NAN: on another device
    bool     signs;             // if it is published
    bool     measures;          // caches, if it is published: neither converting nor that is in `seconds`
} release_outline;              // owned; release_outline_free

// Refuses what release_checkpoint would before any work, a signature that is lost or another key's among it, but for
// what is proved of the bytes of artifacts that stay.
bool release_outline_make(release_outline *to, const char *hf_dir, const char *out_dir, const release_opts *o, err *e);
void release_outline_free(release_outline *to);

#endif
