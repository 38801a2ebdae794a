// config_read: single values of a config.json, as Transformers' config classes take them. `where` names the object in
// messages.
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

// A key that may be there as null only. ERR_INPUT with `why`.
bool config_refuse(const cJSON *t, const char *key, const char *why, const char *where, err *e);

// Sizes that must fit each other. ERR_INPUT names the key.
bool config_state_check(int64_t n_embd, int64_t n_head, const char *where, err *e);        // heads divide the state
bool config_head_dim_check(int64_t head_dim, const char *where, err *e);                   // even: halves rotate
bool config_kv_heads_check(int64_t n_head, int64_t n_head_kv, const char *where, err *e);  // KV heads divide heads

// used_key: of the number that a token goes through.
bool config_experts_check(int64_t n_expert, int64_t n_used, const char *used_key, const char *where, err *e);

// layer_types into marked [n_layer]: 1 for the kind `mark` ("sliding_attention", "linear_attention"), 0 for
// 'full_attention' (old_names: or 'attention').
bool config_layer_types(int32_t *marked, const char *mark, int64_t n_layer, const cJSON *types, bool old_names,
                        const char *where, err *e);

#endif
