// check_beside: what lies beside the artifacts that are checked: fixtures of the release, and what no record knows.
#ifndef HALLMARK_RELEASE_CHECK_BESIDE_H
#define HALLMARK_RELEASE_CHECK_BESIDE_H

#include "check_proof.h"
#include "../formats/err.h"
#include <cjson/cJSON.h>

// Adds to p->published the fixtures that rec, a record, names and that lie in dir, the same bytes. ERR_SYSTEM.
bool check_beside_fixtures(check_proof *p, const char *dir, const cJSON *rec, err *e);

// Adds to p->others what is in the release's folder dir, and that neither its report lists (release_list.h) nor
// p->kept, whose digests were compared. ERR_INPUT: it cannot be read.
bool check_beside_others(check_proof *p, const char *dir, err *e);

#endif
