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
// reports; those of which nothing was kept are left out. Proved by tests/steps_test.c, hostile bytes by
// tests/fuzz/steps_fuzz.c and a folder's by tests/release_add_test.c.
#ifndef HALLMARK_VERIFY_STEPS_H
#define HALLMARK_VERIFY_STEPS_H

#include "verify.h"

#define STEPS_FILE "report-steps.json"

enum {      // of a file: what is more is not written and is not read
    STEPS_MOST_BYTES       = 64 << 20,
    STEPS_MOST_VALUES      = 1 << 21,       // of JSON: each number, text, list and object
    STEPS_MOST_COMPARISONS = 1 << 12,       // of an artifact with a fixture
    STEPS_MOST_LAYERS      = 1 << 12,       // of a case
};

// true: some report keeps steps, and all that the reports keep may stand in one file.
bool steps_there(const verify_report *r, int n);
// The document; cJSON_Delete; NULL when out of memory.
cJSON *steps_json(const verify_report *r, int n);
// The part of one fixture, likewise.
cJSON *steps_fixture_json(const verify_fixture_result *f);

// A file whose SHA-256 is the expected one (NULL: any is), hostile until checked. ERR_VERDICT: it cannot be read, is
// another, or is no such document. cJSON_Delete.
cJSON *steps_read_file(const char *path, const char *expected, err *e);
// Its n bytes of text, likewise; where: its name, for messages.
cJSON *steps_read(const char *text, int64_t n, const char *where, err *e);
// Gives each of the n reports the cases that doc has of it, which must be in their order and those that its figures
// count. ERR_VERDICT names artifact, fixture, case and key. In any case what was given is freed with the reports.
bool steps_attach(verify_report *r, int n, const cJSON *doc, const char *where, err *e);
// Of an artifact's fixture, by its digest; NULL: doc has none.
const cJSON *steps_find(const cJSON *doc, const char *artifact, const char *digest);

#endif
