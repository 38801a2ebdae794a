// folder_digest: every file of a folder with its SHA-256, and whether the folder is still what it was.
//
// Each file is opened once, through the folder's descriptor; what it is (device, inode, size, times) is kept from the
// descriptor that is read, so that a file put in its place later is noticed by folder_digest_same.
// Left out are what the OpenSSF Model Signing tools leave out by default (FOLDER_IGNORED), and one name that the caller
// gives, the signature itself.
// Proved by tests/sign_test.c.
#ifndef HALLMARK_FORMATS_FOLDER_DIGEST_H
#define HALLMARK_FORMATS_FOLDER_DIGEST_H

#include "progress.h"
#include "sha256.h"
#include <sys/stat.h>

enum { FOLDER_N_IGNORED = 4 };
extern const char *const FOLDER_IGNORED[FOLDER_N_IGNORED];      // .git, .gitattributes, .github, .gitignore

bool folder_digest_ignores(const char *name);       // one of these

typedef struct {
    char       *name;                       // below the folder, "sub/file"
    char        sha256[SHA256_HEX + 1];     // "" until folder_digest_take
    struct stat st;
} folder_file;

typedef enum {
    FOLDER_STRICT,      // a link, a pipe or a name that is no UTF-8 is ERR_VERDICT, naming it
    FOLDER_ANY,         // links are followed; what is no regular file then, and what is in folders below, is left out
    FOLDER_NAMED,       // nothing is listed; folder_digest_add names each file, and no link leads to one
} folder_mode;

typedef struct {
    char        *dir;
    char        *skip;          // a name that is left out, or NULL
    folder_mode  mode;
    int          fd;            // the folder, open
    folder_file *v;             // [n], by name, byte by byte
    int          n;
    bool         ignored[FOLDER_N_IGNORED];     // those that are there
} folder_digest;                // owned; folder_digest_free. Zeroed with fd -1: a closed one

// Lists the files; skip: a name to leave out, or NULL. ERR_INPUT: it cannot be read; ERR_VERDICT also where there are
// more files, or deeper folders, than a model has. On failure nothing is left open.
bool folder_digest_open(folder_digest *f, const char *dir, const char *skip, folder_mode mode, err *e);
void folder_digest_free(folder_digest *f);

// One file more of a FOLDER_NAMED one, in the order of names; by: who names it, for the message. ERR_VERDICT: it is not
// there or no regular file, or a link is on the way to it.
bool folder_digest_add(folder_digest *f, const char *name, const char *by, err *e);

// Digests of those that have none yet, n_threads at a time (0: all cores); of a file with several names once.
// ERR_VERDICT: one is another file than was listed; ERR_INPUT: one cannot be read.
bool folder_digest_take(folder_digest *f, int n_threads, progress *p, err *e);

// The digests that another look has of what is the same file still.
void folder_digest_know(folder_digest *f, const folder_digest *of);

// Lists the folder again, with the digests of what is the same file still.
bool folder_digest_renew(folder_digest *f, err *e);

// Looks at the folder again: ERR_VERDICT names the first file that is another one now, has come or has gone.
bool folder_digest_same(const folder_digest *f, err *e);

// NULL where there is none of that name.
const folder_file *folder_digest_find(const folder_digest *f, const char *name);

// A file of the folder as a text, NUL-terminated and freed by the caller: the same bytes that were digested.
// ERR_VERDICT: it is not there, or changed meanwhile.
bool folder_digest_text(char **text, int64_t *n, const folder_digest *f, const char *name, int64_t max_bytes, err *e);

// The same file, not written to in between, as far as the file system tells.
bool same_state(const struct stat *a, const struct stat *b);

#endif
