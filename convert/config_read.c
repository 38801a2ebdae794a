// Single values of a config.json: see config_read.h.
#include "config_read.h"

#include "../formats/checked.h"
#include "../formats/json.h"

// What null means to a config class that takes none: nothing it could compute with.
bool config_not_null(const cJSON *t, const char *key, const char *where, err *e)
{
    if (!cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(t, key))) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found null, expected a value", where, key);
}

bool config_int_read(void *base, const config_int *r, const cJSON *t, const char *where, err *e)
{
    int64_t *out = (int64_t *)(void *)((char *)base + r->field);
    *out = 0;
    if (r->def == CONFIG_NO_KEY) return true;
    return json_i64_or(t, r->key, r->lo, r->hi, r->def, out, where, e);
}

bool config_positive(const cJSON *t, const char *key, double def, double *out, const char *where, err *e)
{
    if (!json_f64_or(t, key, def, out, where, e)) return false;
    if (!json_get(t, key) || (*out > 0 && *out < 1e30)) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %g, expected a positive number", where, key, *out);
}

bool config_flag(const cJSON *t, const char *key, bool *out, const char *where, err *e)
{
    return config_not_null(t, key, where, e) && json_bool_or(t, key, false, out, where, e);
}

bool config_pad_check(int64_t n_vocab, const cJSON *t, const char *where, err *e)
{
    int64_t pad = 0;
    if (!json_i64_or(t, "pad_token_id", -n_vocab, LIMIT_VOCAB, 0, &pad, where, e)) return false;
    if (pad < n_vocab) return true;
    return err_set(e, ERR_INPUT, "%s: pad_token_id: found %lld, expected a row of the embedding, below %lld", where,
                   (long long)pad, (long long)n_vocab);
}
