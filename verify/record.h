// record: hallmark.verification, what a published artifact says of its own proof.
//
// A JSON text padded with spaces to CLAIMS_RECORD_BYTES, so that it can be written into a finished file without moving a byte:
//   {"hallmark_record":1,"tensors":hex,"metadata":hex, and of the report: "artifact","type","arith","kv","device","gate","verdict",
//    "fixtures":[{"name","sha256","dtype","check","cases","free_run_equal","free_run_tokens","free_run_tokens_equal","steps",
//                 "teacher_forced_equal","ties","ties_differing","kl_mean","kl_max","logprob_diff_max","verdict"}]}
// tensors and metadata are claims_weights_digest and claims_metadata_digest: a record moved to another file, or a file edited after it,
// no longer fit each other. "{}" is an empty record: not verified. Proved by tests/report_test.c.
#ifndef HALLMARK_VERIFY_RECORD_H
#define HALLMARK_VERIFY_RECORD_H

#include "../formats/claims.h"
#include "verify.h"

// The record in a file. true with *rec NULL: there is none, or an empty one. ERR_VERDICT: what is there is no record. Freed with cJSON_Delete.
bool record_read(const gguf *g, cJSON **rec, err *e);

// Does the record fit the file it is in, and does it say that verification passed? ERR_VERDICT naming the first claim that does not hold.
// Digests of tensors are compared with what hallmark.tensor.sha256 says, not with the bytes: claims_check_tensors does that.
bool record_check(const gguf *g, const cJSON *rec, err *e);

// Does a report of release (one element of its "artifacts") say what the record says? ERR_VERDICT naming the first key that differs.
bool record_agrees(const cJSON *rec, const cJSON *report, const char *where, err *e);

// Writes r into the file's record, in place, and flushes it. Only for a file that is not published yet. ERR_INPUT when the
// file has no room for a record, ERR_USAGE when the report does not fit into it (some eighteen fixtures do).
bool record_write(const char *path, const verify_report *r, err *e);

#endif
