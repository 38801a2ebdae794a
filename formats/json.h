// json: cJSON with the checks that a hostile file needs: a size limit, a depth limit before parsing, no trailing text,
// no duplicate names in an object, names compared with case. The cJSON tree is used directly for reading.
// Proved by tests/json_test.c.
#ifndef HALLMARK_FORMATS_JSON_H
#define HALLMARK_FORMATS_JSON_H

#include "err.h"
#include <cjson/cJSON.h>
#include <stdint.h>

// Parses n bytes; `where` names the text in messages ("dir/config.json"). Freed with cJSON_Delete.
// ERR_INPUT with the byte offset on a syntax error, depth over LIMIT_JSON_DEPTH, a duplicate name, invalid UTF-8,
// an escaped NUL in a string (\u0000, which cJSON's strings cannot hold), half a surrogate pair, more values than
// LIMIT_JSON_VALUES, or trailing text. All of this but the duplicates is found before anything is allocated.
// NaN, Infinity and -Infinity are taken where a value may stand, because Python writes them (a config may hold them in
// a key that nobody here reads), and become numbers that no reader below accepts.
cJSON *json_parse(const char *text, int64_t n, const char *where, err *e);
cJSON *json_parse_file(const char *path, err *e);       // at most LIMIT_JSON_BYTES
// The same with a limit on the number of values that suits the text: memory is about 100 bytes for each.
cJSON *json_parse_python(const char *text, int64_t n, int64_t max_values, const char *where, err *e);
// And strictly JSON.
cJSON *json_parse_limited(const char *text, int64_t n, int64_t max_values, const char *where, err *e);

// Strictly JSON too, but an escaped NUL is allowed and comes out as JSON_NUL, a noncharacter that the text must not
// hold otherwise (ERR_INPUT if it does). The escapes are rewritten in `text`. json_restore_nul turns a string of the
// tree back.
#define JSON_NUL "\xef\xbf\xbf"        // U+FFFF
cJSON *json_parse_nul(char *text, int64_t n, int64_t max_values, const char *where, err *e);
// Copies s with each JSON_NUL as a NUL byte: *n_bytes bytes and a NUL after them; malloc'd, NULL when out of memory.
char *json_restore_nul(const char *s, int64_t *n_bytes);

// The document as text that may be shown anywhere (text.h): what cJSON_Print or cJSON_PrintUnformatted writes, with
// every character that is not seen as \uXXXX and every byte that is no UTF-8 as U+FFFD. malloc'd; NULL when out of
// memory.
char *json_print(const cJSON *v);
char *json_print_short(const cJSON *v);

// "a number", "an object", "null", ... ("nothing" for NULL), for messages.
const char *json_kind(const cJSON *v);

// Member of an object by exact name; NULL if absent or JSON null, or if obj is not an object.
const cJSON *json_get(const cJSON *obj, const char *name);

// The value of a number if it is an integer in [lo, hi] and within 2^53, where doubles are exact; false otherwise, v
// NULL too.
bool json_as_i64(const cJSON *v, int64_t lo, int64_t hi, int64_t *out);

// Typed members. The plain forms require the member; _or forms give a default when it is absent or null.
// A member of another type, or a number outside [lo, hi] or not an integer, is ERR_INPUT naming `where` and the key.
bool json_i64(const cJSON *obj, const char *name, int64_t lo, int64_t hi, int64_t *out, const char *where, err *e);
bool json_i64_or(const cJSON *obj, const char *name, int64_t lo, int64_t hi, int64_t def, int64_t *out,
                 const char *where, err *e);
bool json_f64(const cJSON *obj, const char *name, double *out, const char *where, err *e);
bool json_f64_or(const cJSON *obj, const char *name, double def, double *out, const char *where, err *e);
bool json_bool_or(const cJSON *obj, const char *name, bool def, bool *out, const char *where, err *e);
// borrowed from the tree
bool json_str(const cJSON *obj, const char *name, const char **out, const char *where, err *e);
bool json_str_or(const cJSON *obj, const char *name, const char *def, const char **out, const char *where, err *e);
// Has it the one value that it may have?
bool json_str_is(const cJSON *obj, const char *name, const char *expected, const char *where, err *e);

// For writing, as cJSON's own adders: NULL when out of memory, and where obj or list is NULL.
cJSON *json_add_object(cJSON *list);                                                    // a new one at the list's end
cJSON *json_add_strings(cJSON *obj, const char *name, const char *const *v, int n);     // a member that lists them

#endif
