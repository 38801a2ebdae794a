// release_old: a release that is published already, read so that another type can be added to it.
//
// What it says is taken from the records of its artifacts, which name each other (verify/record.h), and is proved:
// every tensor by its digest, every file beside by the records' own.
// Proved by tests/release_add_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_OLD_H
#define HALLMARK_RELEASE_RELEASE_OLD_H

#include "../formats/source.h"
#include "../verify/record.h"

typedef struct {
    char          *dir;         // NULL: nothing is added to
    char          *name, *gate; // as its records have them
    char           report[SHA256_HEX + 1];      // digest of its report.json
    bool           is_signed;
    int            n;
    verify_report *reports;     // [n], in its order
    bool          *replaced;    // [n] one of that name is made now
    record_file   *files;       // [n_files]
    int            n_files;
    bool          *stays;       // [n_files] it is published again; NULL: not known yet (release_carry.c)
    char         **notes;       // [n_notes]
    int            n_notes;
} old_release;                  // owned; old_release_free. Zeroed: none

// Reads what is in dir; o->dir stays NULL where there is no release. Only headers, records and steps are
// read. ERR_VERDICT: a record is not one of a release that passed, or not of the same as the others; the steps are not
// those that it names.
bool old_release_open(old_release *o, const char *dir, err *e);
void old_release_free(old_release *o);
int  old_release_n_kept(const old_release *o);      // artifacts that are not replaced

// The artifacts that are not replaced: made from this source, with the tensors that they claim. ERR_USAGE: of another
// source; ERR_VERDICT: changed.
bool old_release_prove(const old_release *o, const source_id *source, int n_threads, progress *p, err *e);

// Is it still the release that was opened? ERR_SYSTEM: another took its place.
bool old_release_still_there(const old_release *o, err *e);

#endif
