// release_report: report.json, report.md, report.html and junit.xml of a release's folder.
//
// All four are functions of the artifacts' verification records, so that check writes them again and compares; of an
// artifact that did not pass, and so has no record, HTML and JUnit show each case and step, too (verify/trace.h).
//   {"hallmark_release":1,"name":s,"source_digest":hex,"source_revision":s|null,"source_repository":s (where it is
//   known),
//    "gate":"built-in"|file name (each artifact has its digest),"verdict":"pass"|"fail"|"inconclusive"|"unverified",
//    "artifacts":[as hallmark verify --json, and "sha256" of the whole file],"missing":[{"command":s}],"notes":[s],
//    "files":[{"name":s,"sha256":hex}], where there are others than artifacts and what is made from the records,
//    "chat_template":{"sha256":hex,"bytes":n,"same_as_source":b}|null, where it was looked at}
#ifndef HALLMARK_RELEASE_RELEASE_REPORT_H
#define HALLMARK_RELEASE_RELEASE_REPORT_H

#include "release.h"
#include "../formats/text.h"

typedef struct {
    bool        is_signed;                                              // the report then says "signed":true
    // gate: "built-in" or a file name; revision "" when unknown
    const char *name, *source_digest, *revision, *gate, *verdict;
    const record_template *chat_template;       // NULL: it was not looked at
} release_head;

// The texts. NULL when out of memory. Freed with cJSON_Delete, free.
cJSON *release_report_json(const release_head *h, const release_result *r);
char  *release_report_md(const release_head *h, const release_result *r);
char  *release_report_html(const release_head *h, const release_result *r);
char  *release_report_junit(const release_result *r);

// The reports that r holds, in its order; the array is the caller's. NULL when out of memory.
const verify_report **release_in_order(const release_result *r);

// What is said of a chat template that is there, in Markdown, after "The chat template in the files ".
void release_put_template(text_buf *t, const record_template *c);

// Writes all reports into dir, each whole.
bool release_report_write(const char *dir, const release_head *h, const release_result *r, err *e);

#endif
