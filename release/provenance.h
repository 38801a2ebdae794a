// provenance: how a release's artifacts came to be, an in-toto Statement v1 with the predicate of SLSA provenance v1:
//   subject                       each artifact, by SHA-256
//   buildDefinition
//     externalParameters.command  the command line of the run that signed; of each path only its last name
//     externalParameters.kept     where that run added to a release: the artifacts that it did not make, with the
//     version
//                                 of hallmark that reported on each ("unknown": an older record)
//     resolvedDependencies        the checkpoint by hallmark's digest of its files ("hallmarkSource2", see
//                                 formats/source.h) and, where it is known, its commit on the Hub ("gitCommit"); by
//                                 SHA-256 fixtures, the gate (a file, or the built-in one's text), and the texts that
//                                 caches were measured on, as the laboratory's reports say them. annotations.role says
//                                 which is which, annotations.repository what the source is called on the Hub, and
//                                 annotations.reference what the report says of a fixture's making
//   runDetails.builder.version    hallmark's version, and its commit where the build knew it ("unknown" otherwise)
//   hallmark_checks               of each artifact the verdict, the tensors derived again, each fixture's verdict
// All but command, version and which artifacts were kept follows from the release's report, and is compared with it.
// Sources: in-toto/attestation spec v1; slsa.dev/spec/v1.0/provenance. Proved by tests/sign_test.c.
#ifndef HALLMARK_RELEASE_PROVENANCE_H
#define HALLMARK_RELEASE_PROVENANCE_H

#include "../formats/folder_digest.h"
#include <cjson/cJSON.h>

#define PROVENANCE_PREDICATE "https://slsa.dev/provenance/v1"

typedef struct {                // what the report does not say of the run
    const char *const *command; // [n_command] words
    const char *const *kept;    // [n_kept] artifacts that were there before
    int                n_command, n_kept;
} provenance_run;

// report: the folder's report.json. malloc'd; NULL on failure: ERR_SYSTEM, ERR_VERDICT and ERR_INPUT as folder_json.
char *provenance_text(const cJSON *report, const folder_digest *f, const provenance_run *run, err *e);

// A JSON file of the folder, the same bytes that were digested. ERR_VERDICT: it is not there, or changed; ERR_INPUT: no
// JSON. cJSON_Delete.
cJSON *folder_json(const folder_digest *f, const char *name, err *e);

// ERR_INPUT: no such statement. ERR_VERDICT: it speaks of other files, another source or other results than report and
// folder.
bool provenance_check(const char *payload, int64_t n, const cJSON *report, const folder_digest *f, const char *where,
                      err *e);

#endif
