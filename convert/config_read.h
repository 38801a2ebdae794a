// config_read: single values of a config.json, as Transformers' config classes take them. `where` names the object in messages.
#ifndef HALLMARK_CONVERT_CONFIG_READ_H
#define HALLMARK_CONVERT_CONFIG_READ_H

#include "../formats/err.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An integer of the config and where it goes.
typedef struct {
    const char *key;
    size_t      field;          // offset of an int64_t
    int64_t     lo, hi, def;    // def: Transformers' default; CONFIG_NO_KEY: the class has no such key, and 0 is stored
} config_int;

enum { CONFIG_NO_KEY = -1 };

bool config_int_read(void *base, const config_int *r, const cJSON *t, const char *where, err *e);

// null is no value to a class that takes none: nothing it could compute with. ERR_INPUT.
bool config_not_null(const cJSON *t, const char *key, const char *where, err *e);

// A number above 0, or the default where there is no key (or null).
bool config_positive(const cJSON *t, const char *key, double def, double *out, const char *where, err *e);

// false where there is no key; null is refused.
bool config_flag(const cJSON *t, const char *key, bool *out, const char *where, err *e);

// pad_token_id must be a row of the embedding: Transformers fails at another. n_vocab: its rows.
bool config_pad_check(int64_t n_vocab, const cJSON *t, const char *where, err *e);

#endif
