// json_scan: the grammar of JSON (RFC 8259), checked without allocating anything, before cJSON sees a text. cJSON
// builds
// 80 bytes and more for each value, accepts some texts that are not JSON, and does not say where it stopped: what
// passes here is worth a tree.
// For json.c alone. Proved by tests/json_test.c.
#ifndef HALLMARK_FORMATS_JSON_SCAN_H
#define HALLMARK_FORMATS_JSON_SCAN_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const uint8_t *text;
    int64_t        n, i;
    int64_t        n_values, max_values;
    bool           allow_nul;       // \u0000 in strings; U+FFFF is then refused
    bool           allow_nonfinite; // NaN, Infinity and -Infinity, as Python writes them
    int64_t        n_nonfinite;     // of these found
    const char    *where;
    err           *e;
} json_scan;

// One value and nothing after it. ERR_INPUT "where: offset N: found X, expected Y".
bool json_scan_all(json_scan *s);

#endif
