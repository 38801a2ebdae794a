// record: hallmark.verification, what a published artifact says of its own proof.
//
// A JSON text padded with spaces to CLAIMS_RECORD_BYTES, so that it can be written into a finished file without moving
// a byte:
//   {all that a report says of the artifact (verify_report_brief), "hallmark_record":1, "tensors":hex, "metadata":hex,
//    "release":{"name","gate","artifacts":[names, in the order of the reports],"notes":[s],
//               "files":[{"name","sha256","kept":true where it was somebody's own}], where there are others than
//               artifacts and what is made from the records,
//               "chat_template":{"sha256","bytes","same_as_source"} or null}}
// tensors and metadata are claims_weights_digest and claims_metadata_digest: a record moved to another file, or a file
// edited after it, no longer fit each other. release is the same in all files of a release: from the records alone,
// both reports can be written again. "{}" is an empty record: not verified. Proved by tests/report_test.c.
#ifndef HALLMARK_VERIFY_RECORD_H
#define HALLMARK_VERIFY_RECORD_H

#include "../formats/claims.h"
#include "match.h"

// The record in a file. true with *rec NULL: there is none, or an empty one. ERR_VERDICT: what is there is no record.
// Freed with cJSON_Delete.
bool record_read(const gguf *g, cJSON **rec, err *e);

// Does the record fit the file it is in, and does it say that verification passed? ERR_VERDICT naming the first claim
// that does not hold.
// Digests of tensors are compared with what hallmark.tensor.sha256 says, not with the bytes: claims_check_tensors does
// that.
bool record_check(const gguf *g, const cJSON *rec, err *e);

// Are the limits of the report those of its gate, and the fixtures long enough for it? Of the limits that the record
// holds, which under the built-in gate's name must be built-in ones, of today or before (GATE_SHIPPED). An older
// record, which holds none, is asked for today's, and where it names a file for nothing.
// ERR_VERDICT names the first key that is not. record_check asks it. What a record does not keep is not asked for: the
// reference's own ties and margins, and the ids a step where the record is older than that key (record_names_all then
// says so).
bool record_limits(const gguf *g, const verify_report *r, err *e);
// The same where the built-in limits that there ever were are these: [n] of gate_digest, in hex.
bool record_limits_of(const gguf *g, const verify_report *r, const char *const *shipped, int n, err *e);

// Does the record hold all that the gate's minimum is computed from? false for one written before it held the ids a
// step: they are not checked again.
bool record_names_all(const cJSON *rec);
// In words, what a record of today would say and this one, being older, does not; NULL: it says all. Static text.
const char *record_lacks(const cJSON *rec);

// The report that the record keeps. ERR_VERDICT names what is not one. Freed by verify_report_free.
bool record_report(const gguf *g, const cJSON *rec, verify_report *r, err *e);

typedef struct {                // beside artifacts and reports
    char *name;
    char  sha256[SHA256_HEX + 1];
    bool  kept;                 // the release found it there, and left it as it was
} record_file;

typedef struct {                // tokenizer.chat_template of the first artifact
    bool    there;
    char    sha256[SHA256_HEX + 1];     // of its bytes
    int64_t bytes;
    bool    same_as_source;     // in every artifact all chat templates are the source's, byte for byte
} record_template;

typedef struct {                // what the files of a release have in common
    const char *name, *gate;    // stem of their names; "built-in" or the gate file's name
    const gate *limits;         // of a gate file; NULL: the built-in ones. What reports say of them is what is recorded
    const char *const *artifacts;
    int         n_artifacts;
    const char *const *notes;   // of the release: fixtures that were found and not used
    int         n_notes;
    const record_file *files;
    int         n_files;
    const verify_recipe *recipe;    // for record_fits: the longest that an artifact has, or NULL
    const record_template *chat_template;       // NULL: it was not looked at
} record_release;

// Will a record have room for n fixtures, whatever comes of them? ERR_USAGE if not. Asked before any work.
bool record_fits(const record_release *all, const fixture_ref *fixtures, int n, err *e);

// The "files" of a release, in a record or a report, which are hostile until checked: freed by record_files_free in any
// case. Names are those that a release gives: none leads elsewhere. ERR_VERDICT.
bool record_files_read(record_file **files, int *n, const cJSON *release, const char *where, err *e);
void record_files_free(record_file *files, int n);
// A name that a record may list: of a file in the folder itself, on one line, no temporary name; hidden is
// .gitattributes alone. What is made from the records is in none.
bool record_file_is(const char *name);
// report.json, .md, .html, junit.xml, SHA256SUMS, and the signature's two
bool record_file_is_made(const char *name);
// Adds one; what is there then is the caller's in any case.
bool record_files_push(record_file **files, int *n, const char *name, const char *hex, err *e);
// Likewise one that is still to be written, once, with as many digits as its digest will have.
bool record_files_plan(record_file **files, int *n, const char *name, err *e);
const record_file *record_files_find(const record_file *files, int n, const char *name);    // NULL: there is none
size_t record_lab_stem(const char *name);   // of NAME-lab.json the bytes of NAME; 0: it is called otherwise
// Adds "files" to o where there are any. false when out of memory.
bool record_files_add(cJSON *o, const record_file *files, int n);

// "chat_template" of a release, likewise: {"sha256","bytes","same_as_source"}, or null where there is none. *looked:
// there is such a key; an older record has none. ERR_VERDICT.
bool record_template_read(record_template *t, bool *looked, const cJSON *release, const char *where, err *e);
bool record_template_add(cJSON *o, const record_template *t);      // t may be NULL. false when out of memory

// Writes r into the file's record, in place, and flushes it; all may be NULL. Only for a file that is not published
// yet. ERR_INPUT when the file has no room for a record, ERR_USAGE when the report does not fit into it.
bool record_write(const char *path, const verify_report *r, const record_release *all, err *e);

#endif
