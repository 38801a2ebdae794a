// json_found: what stands where something else was expected, in words for a message.
#ifndef HALLMARK_CONVERT_JSON_FOUND_H
#define HALLMARK_CONVERT_JSON_FOUND_H

#include <cjson/cJSON.h>

enum { JSON_FOUND_BYTES = 128 };

// `"text"` with its quotes, a number, true, false, null, "an array", "an object"; "nothing" for NULL. Long strings are
// cut. Returns text.
const char *json_found(const cJSON *v, char text[JSON_FOUND_BYTES]);

#endif
