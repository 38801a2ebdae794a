// hub_publish: the files of a release that make its folder what the Hub wants, beside artifacts and reports: licenses,
// .gitattributes, Modelfile and README.md, which records list with their digests; and at the very end SHA256SUMS, which
// cannot be listed, as it holds the artifacts' own digests.
// A file that is in the folder already is somebody's own: it stays, and is listed as such (record_file.kept).
// Proved by tests/hub_test.c and tests/release_test.c.
#ifndef HALLMARK_RELEASE_HUB_PUBLISH_H
#define HALLMARK_RELEASE_HUB_PUBLISH_H

#include "hub_card.h"
#include "../formats/dir_list.h"
#include "hub_modelfile.h"

typedef struct {
    const char    *hf_dir;      // borrowed
    dir_list       licenses;
    hub_front      front;
    hub_generation generation;
} hub_source;                   // what a checkpoint's folder gives for it; hub_source_free in every case

// base_model, quantized_by: NULL, or as an option says. ERR_USAGE: not what such an option can say; ERR_INPUT as
// hub_licenses. What is wrong with the source's card is logged.
bool hub_source_read(hub_source *s, const char *hf_dir, const char *base_model, const char *quantized_by,
                     progress *log, err *e);
void hub_source_free(hub_source *s);

// Is it one of the files that hub_publish writes itself: .gitattributes, Modelfile, README.md? Licenses it copies, and
// SHA256SUMS records do not list.
bool hub_writes(const char *name);

// Adds the names of what hub_publish will write, with as many digits as a digest has.
bool hub_plan(record_file **files, int *n, const hub_source *s, err *e);

// Writes them into dir and adds them to r->files, the card last. key_hint: NULL where nothing is signed.
bool hub_publish(release_result *r, const char *dir, const release_head *h, const hub_source *s, const char *key_hint,
                 err *e);

// SHA256SUMS as a text: artifacts and r->files, by the digests that r has of them, and the reports that are in dir now.
// Of an artifact without one (verify_report.file_sha256) it is taken. malloc'd; NULL on failure: ERR_INPUT names a file
// that cannot be read.
char *hub_sums_of(const char *dir, const release_result *r, int n_threads, progress *p, err *e);

#endif
