#include "special_ids.h"

#include "../formats/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The special tokens that GGUF has a key for, in llama.cpp's order (gguf-py's SpecialVocab).
static const struct { const char *name, *key; } specials[] = {
    { "bos", "tokenizer.ggml.bos_token_id" },       { "eos", "tokenizer.ggml.eos_token_id" },
    { "unk", "tokenizer.ggml.unknown_token_id" },   { "sep", "tokenizer.ggml.seperator_token_id" },
    { "pad", "tokenizer.ggml.padding_token_id" },   { "cls", "tokenizer.ggml.cls_token_id" },
    { "mask", "tokenizer.ggml.mask_token_id" },
};

// A special token's text in tokenizer_config.json: a string, or an object with its content. NULL if there is none.
static const char *special_text(const cJSON *tokenizer_config, const char *name)
{
    char key[32];
    snprintf(key, sizeof key, "%s_token", name);
    const cJSON *v = json_get(tokenizer_config, key);
    return cJSON_GetStringValue(cJSON_IsObject(v) ? json_get(v, "content") : v);
}

static bool known_id(const tokenizer_source *s, const cJSON *id, const char *file, const char *key, int64_t *out, err *e)
{
    if (json_as_i64(id, 0, s->n_vocab - 1, out)) return true;
    return err_set(e, ERR_INPUT, "%s/%s: %s: found %.17g, expected an id below %lld", s->dir, file, key,
                   cJSON_IsNumber(id) ? id->valuedouble : -1.0, (long long)s->n_vocab);
}

// tokenizer_config.json by text, else config.json by id, at the top or for the text model. -1 if neither says.
static bool special_id(const tokenizer_source *s, const strmap *vocab, const char *name, int64_t *id, err *e)
{
    const char  *text = special_text(s->tokenizer_config, name);
    const cJSON *config = s->config;
    char key[32];
    *id = text ? strmap_get(vocab, text, (int64_t)strlen(text)) : -1;
    if (*id >= 0) return true;
    snprintf(key, sizeof key, "%s_token_id", name);
    const cJSON *num = json_get(config, key);
    if (!num) num = json_get(json_get(config, "text_config"), key);
    if (!cJSON_IsNumber(num)) return true;
    if (num->valuedouble < 0) return true;      // -1 stands for "none" in some configs
    return known_id(s, num, "config.json", key, id, e);
}

// Every id that ends a text: generation_config.json's, else config.json's; a number or a list.
static bool end_ids(const tokenizer_source *s, uint32_t **ids, int64_t *n, err *e)
{
    const char  *file = "generation_config.json";
    const cJSON *list = json_get(s->generation_config, "eos_token_id");
    *ids = NULL;
    *n = 0;
    if (!list) {
        file = "config.json";
        list = json_get(s->config, "eos_token_id");
        if (!list) list = json_get(json_get(s->config, "text_config"), "eos_token_id");
    }
    const cJSON *it = cJSON_IsArray(list) ? list->child : list;
    int64_t cap = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 1;
    *ids = malloc((size_t)(cap + 1) * sizeof **ids);
    if (!*ids) return err_nomem(e, "end-of-text ids", (size_t)cap * sizeof **ids);
    for (; it; it = it->next) {
        int64_t id;
        if (!known_id(s, it, file, "eos_token_id", &id, e)) return false;
        (*ids)[(*n)++] = (uint32_t)id;
        if (!cJSON_IsArray(list)) break;
    }
    return true;
}

static bool is_turn_end(const strmap *vocab, int64_t id)
{
    return strmap_get(vocab, "<end_of_turn>", 13) == id || strmap_get(vocab, "<turn|>", 7) == id;
}

static bool plan_end_ids(gguf_plan *p, const tokenizer_source *s, const strmap *vocab, int64_t eos, err *e)
{
    uint32_t *ids = NULL;
    int64_t   n = 0;
    bool ok = end_ids(s, &ids, &n, e);
    if (ok && n == 0 && eos >= 0) ids[n++] = (uint32_t)eos;
    // config.json may give a list where GGUF's key holds one: then the first.
    if (ok && eos < 0 && n > 0) ok = gguf_plan_u32(p, "tokenizer.ggml.eos_token_id", (uint32_t)(eos = ids[0]), e);
    for (int64_t i = 0; ok && i < n; i++)
        if (is_turn_end(vocab, ids[i]) && ids[i] != eos) ok = gguf_plan_u32(p, "tokenizer.ggml.eot_token_id", ids[i], e);
    if (ok && n > 0) ok = gguf_plan_arr(p, KEY_EOS_IDS, GGUF_U32, ids, n, e);
    free(ids);
    return ok;
}

bool special_ids_plan(gguf_plan *p, const tokenizer_source *s, const strmap *vocab, int32_t *bos, err *e)
{
    int64_t eos = -1;
    *bos = -1;
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        int64_t id;
        if (!special_id(s, vocab, specials[i].name, &id, e)) return false;
        if (i == 0) *bos = (int32_t)id;
        if (i == 1) eos = id;
        if (id >= 0 && !gguf_plan_u32(p, specials[i].key, (uint32_t)id, e)) return false;
    }
    return plan_end_ids(p, s, vocab, eos, e);
}

bool special_ids_plan_suppressed(gguf_plan *p, const tokenizer_source *s, err *e)
{
    const cJSON *list = json_get(s->generation_config, "suppress_tokens");
    if (!s->suppress || !cJSON_IsArray(list)) return true;
    int32_t *ids = malloc((size_t)(cJSON_GetArraySize(list) + 1) * sizeof *ids);
    int64_t  n = 0, id;
    bool     ok = ids || err_nomem(e, "suppressed ids", (size_t)cJSON_GetArraySize(list));
    for (const cJSON *it = list->child; ok && it; it = it->next) {
        ok = known_id(s, it, "generation_config.json", "suppress_tokens", &id, e);
        if (ok) ids[n++] = (int32_t)id;
    }
    ok = ok && (n == 0 || gguf_plan_arr(p, "tokenizer.ggml.suppress_tokens", GGUF_I32, ids, n, e));
    free(ids);
    return ok;
}
