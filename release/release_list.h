// release_list: the names in a release's folder that are the release's own: those that its report.json lists, what is
// made from the records (record_file_is_made in verify/record.h), and the temporary names of those.
// Not its own are a file beside the artifacts that is no longer what the report says (by SHA-256), and one that the
// release found there ("kept"): they are the user's. Nothing else in such a folder is ever removed.
// Proved by tests/release_dir_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_LIST_H
#define HALLMARK_RELEASE_RELEASE_LIST_H

#include "../formats/dir_list.h"
#include "../formats/err.h"

#define RELEASE_JSON  "report.json"
#define RELEASE_MD    "report.md"
#define RELEASE_HTML  "report.html"
#define RELEASE_JUNIT "junit.xml"
enum { RELEASE_N_REPORTS = 4 };
extern const char *const RELEASE_REPORTS[RELEASE_N_REPORTS];    // these

typedef struct {
    bool   report;      // there is a report of a release; without one nothing is listed
    char **v;           // [n] artifacts and other files, sorted
    int    n;
    char   name[256];   // what the release is called; "" where the report does not say
    bool   did_not_pass;        // its verdict is another than "pass"
    bool   is_signed;   // so are the signature and the provenance (release_sign.h)
    bool   lists_files; // so is all that is made from the records: of older releases report.json and .md alone
} release_list;         // owned; release_list_free

// Of the folder open as fd. A report that cannot be read as one, is a link, or is no regular file, is none. ERR_SYSTEM.
bool release_list_read(release_list *l, int fd, err *e);
void release_list_free(release_list *l);

bool release_list_has(const release_list *l, const char *name);

// How many entries the folder open as fd has, and the names of those that are not listed, sorted. dir: for messages;
// *others: dir_list_free in any case.
bool release_list_others(const release_list *l, int fd, const char *dir, dir_list *others, int *n, err *e);

// Removes what is listed from the folder open as fd, the report last: it tells the next run what is left to do.
void release_list_remove(const release_list *l, int fd);

// A report of a release that is not finished: it lists its artifacts, and other files where there will be any
// (record_file_is in verify/record.h). Freed by the caller; NULL when out of memory.
char *release_list_unfinished(const char *const *artifacts, int n, const char *const *files, int n_files);

#endif
