// Single values of a config.json: see config_read.h.
#include "config_read.h"

#include "../arch/keys.h"
#include "../formats/checked.h"
#include "../formats/json.h"

#include <string.h>

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

bool config_refuse(const cJSON *t, const char *key, const char *why, const char *where, err *e)
{
    return !json_get(t, key) || err_set(e, ERR_INPUT, "%s: %s: %s", where, key, why);
}

bool config_state_check(int64_t n_embd, int64_t n_head, const char *where, err *e)
{
    if (n_embd % n_head == 0) return true;
    return err_set(e, ERR_INPUT, "%s: hidden_size: found %lld, which %lld heads do not divide", where,
                   (long long)n_embd, (long long)n_head);
}

bool config_head_dim_check(int64_t head_dim, const char *where, err *e)
{
    if (head_dim >= 2 && head_dim % 2 == 0) return true;
    return err_set(e, ERR_INPUT, "%s: head_dim: found %lld, expected an even number", where, (long long)head_dim);
}

bool config_kv_heads_check(int64_t n_head, int64_t n_head_kv, const char *where, err *e)
{
    if (n_head % n_head_kv == 0) return true;
    return err_set(e, ERR_INPUT, "%s: num_attention_heads: found %lld, which %lld KV heads do not divide", where,
                   (long long)n_head, (long long)n_head_kv);
}

bool config_experts_check(int64_t n_expert, int64_t n_used, const char *used_key, const char *where, err *e)
{
    if (n_used > LIMIT_EXPERTS_USED)
        return err_set(e, ERR_INPUT, "%s: %s: found %lld, expected at most %d", where, used_key, (long long)n_used,
                       LIMIT_EXPERTS_USED);
    if (n_used <= n_expert) return true;
    return err_set(e, ERR_INPUT, "%s: %s: found %lld, expected at most the %lld experts", where, used_key,
                   (long long)n_used, (long long)n_expert);
}

static bool is_name(const cJSON *v, const char *name)
{
    const char *s = cJSON_GetStringValue(v);
    return s && strcmp(s, name) == 0;
}

bool config_layer_types(int32_t *marked, const char *mark, int64_t n_layer, const cJSON *types, bool old_names,
                        const char *where, err *e)
{
    int64_t i = 0;
    if (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != n_layer)
        return err_set(e, ERR_INPUT, "%s: layer_types: expected an array of %lld names", where, (long long)n_layer);
    for (const cJSON *it = types->child; it; it = it->next, i++) {
        const char *s = cJSON_GetStringValue(it);
        marked[i] = is_name(it, mark);
        if (marked[i] || is_name(it, "full_attention") || (old_names && is_name(it, "attention"))) continue;
        return err_set(e, ERR_INPUT, "%s: layer_types: layer %lld: found '%.40s', expected '%s' or "
                       "'full_attention'", where, (long long)i, s ? s : "no string", mark);
    }
    return true;
}
