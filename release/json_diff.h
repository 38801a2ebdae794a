// json_diff: are two JSON documents the same, value by value?
#ifndef HALLMARK_RELEASE_JSON_DIFF_H
#define HALLMARK_RELEASE_JSON_DIFF_H

#include "../formats/err.h"
#include <cjson/cJSON.h>

// ERR_VERDICT names the first key that differs, with found and expected: "where: key 'artifacts[0].kv': found "f16",
// expected "f32"". The order of an object's members does not matter; numbers are equal or they are not; a member of
// found that expected does not have is a difference.
// Proved by tests/report_test.c.
bool json_same(const cJSON *found, const cJSON *expected, const char *where, err *e);

#endif
