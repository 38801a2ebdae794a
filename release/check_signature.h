// check_signature: is what is checked what the holder of a key signed, and is it still that when the check ends?
//
// Before the check every file is digested and compared with the signature (model_statement.h), and
// provenance.intoto.json with the reports; after it the folder is looked at once more, so that what the check read is
// what was digested. Without a key nobody knows whether the signature holds: once all else holds, the files that it
// names are compared with those of the folder, which another folder's signature does not name.
// Proved by tests/sign_test.c and tests/e2e/sign.sh.
#ifndef HALLMARK_RELEASE_CHECK_SIGNATURE_H
#define HALLMARK_RELEASE_CHECK_SIGNATURE_H

#include "release.h"
#include <sys/stat.h>

typedef struct {
    folder_digest folder;       // closed where one file is checked
    folder_digest named;        // what a folder's signature names, compared without a key; closed until then
    const char   *path;
    bool          watched;      // there was something to look at
    bool          unkeyed;      // a folder, and no key is given
    const check_opts *o;        // of the caller
    struct stat   st;           // of one file
} check_watch;                  // check_watch_end in every case after check_watch_begin

// ERR_VERDICT: the signature does not hold, or not for these files. ERR_INPUT: key or signature cannot be read.
bool check_watch_begin(check_watch *w, const char *path, const check_opts *o, err *e);
// ok: nothing failed yet. ERR_VERDICT names a file that is another one now; of a folder without a key also the first
// that is not as its model.sig says: a link, or what is behind one, is none. ERR_INPUT: model.sig cannot be read.
// Returns ok and that.
bool check_watch_end(check_watch *w, bool ok, err *e);

// What a folder's report says of its signature must be there: ERR_VERDICT; ERR_INPUT: model.sig is no file.
bool check_signed_files_there(const char *dir, const cJSON *report, err *e);

#endif
