// steps: what each case and each step of the comparisons gave (trace.h), as a file of its own beside a release's
// reports. A record has no room for it: it names the file by its digest. From the records and this file together the
// reports with their plots can be written again.
//
//   {"hallmark_steps":1,"artifacts":[{"artifact":name,"fixtures":[{"sha256":hex,"cases":[
//     {"id":s, "states":[of the prompt's ids, the free run, the forced run], "free_equal":n,
//      "kl":[one a step], "margin":[..], "ids":[Transformers'], "other":[step,id, step,id, ...: where ours is another],
//      "marks":"one letter a step", "layers":[layer,departure,limit, ...]}]}]}]}
//
// Distances and margins have three digits, departures six; null is not finite. A mark is 'a' + state (part_state)
// + 4 where the step is open + 8 where its distance is not counted. Artifacts and fixtures are in the order of the
// reports; those of which nothing was kept are left out. Proved by tests/report_pages_test.c and, of a folder,
// by tests/release_add_test.c.
#ifndef HALLMARK_VERIFY_STEPS_H
#define HALLMARK_VERIFY_STEPS_H

#include "verify.h"

#define STEPS_FILE "report-steps.json"

// true: some report keeps cases, and there are not more steps than the file may hold (about 260,000).
bool steps_there(const verify_report *r, int n);
// The document; cJSON_Delete; NULL when out of memory.
cJSON *steps_json(const verify_report *r, int n);
// The part of one fixture, likewise.
cJSON *steps_fixture_json(const verify_fixture_result *f);

// A file, which is hostile until checked. ERR_VERDICT: it cannot be read, or is no such document. cJSON_Delete.
cJSON *steps_read_file(const char *path, err *e);
// Gives each of the n reports the cases that doc has of it, which must be those that its figures count. ERR_VERDICT
// names artifact, fixture, case and key. In any case what was given is freed with the reports.
bool steps_attach(verify_report *r, int n, const cJSON *doc, const char *where, err *e);
// Of an artifact's fixture, by its digest; NULL: doc has none.
const cJSON *steps_find(const cJSON *doc, const char *artifact, const char *digest);

#endif
