// release_lab: what caches cost each artifact of a release, measured before its record is written (measure/lab.h): the
// figures go into the file (measure/lab_record.h), the whole reports beside it, as <name>-<TYPE>-lab.json, .md, .html.
// Each file is the base of its own run, with the cache that it requires.
// Proved by tests/release_lab_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_LAB_H
#define HALLMARK_RELEASE_RELEASE_LAB_H

#include "release_report.h"

// Adds the files that release_lab_all will write beside these artifacts: names, and as many digits as a digest has.
// Freed by record_files_free in any case.
bool release_lab_plan(record_file **files, int *n, const char *const *artifacts, int n_artifacts, err *e);

// Before any conversion, of the checkpoint's own configuration and tokenizer: is every text long enough, does every
// cache that was asked for suit the model? ERR_INPUT, ERR_USAGE as lab_plan_open.
bool release_lab_check(const char *hf_dir, const release_opts *o, err *e);

// Does dir/report, an artifact's -lab.json (others: true), say of its caches what the artifact itself says? ERR_VERDICT
// names the cache and the figure, or what is missing.
bool release_lab_agrees(const char *dir, const char *report, err *e);

// Measures each artifact of r in dir, puts the record into it, and the reports beside it. What r says of sizes and
// files is then what is there.
bool release_lab_all(release_result *r, const char *dir, const release_opts *o, err *e);

#endif
