#include "special_ids.h"

#include "../formats/json.h"
#include "json_found.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The special tokens that GGUF has a key for, in llama.cpp's order (gguf-py's SpecialVocab).
static const struct { token_name role; const char *name, *key; } specials[] = {
    { NAME_BOS, "bos", "tokenizer.ggml.bos_token_id" },         { NAME_EOS, "eos", "tokenizer.ggml.eos_token_id" },
    { NAME_UNK, "unk", "tokenizer.ggml.unknown_token_id" },
    { NAME_SEP, "sep", "tokenizer.ggml.seperator_token_id" },
    { NAME_PAD, "pad", "tokenizer.ggml.padding_token_id" },     { NAME_CLS, "cls", "tokenizer.ggml.cls_token_id" },
    { NAME_MASK, "mask", "tokenizer.ggml.mask_token_id" },
};

static bool known_id(const tokenizer_source *s, const cJSON *id, const char *file, const char *key, int64_t *out,
                     err *e)
{
    char found[JSON_FOUND_BYTES];
    if (json_as_i64(id, 0, s->n_vocab - 1, out)) return true;
    return err_set(e, ERR_INPUT, "%s/%s: %s: found %s, expected an id below %lld", s->dir, file, key,
                   json_found(id, found), (long long)s->n_vocab);
}

// An id that no row is left for can neither be embedded nor chosen: what the list says of it can never happen, and
// Transformers goes on. The log says so.
static bool is_beyond(const tokenizer_source *s, const cJSON *id, const char *file, const char *key)
{
    int64_t n;
    if (!json_as_i64(id, s->n_vocab, INT32_MAX, &n)) return false;
    progress_logf(s->log, "left out: id %lld in %s of %s, beyond the %lld rows of the embedding", (long long)n, key,
                  file, (long long)s->n_vocab);
    return true;
}

// What names the token by its text, else what is put around a text, else config.json by id, at the top or for the text
// model. -1 if none says.
static bool special_id(const known_tokens *k, const text_frame *f, size_t i, int64_t *id, err *e)
{
    const token_name role = specials[i].role;
    const char  *text = k->lists->text[role];
    const cJSON *config = k->s->config;
    char key[32];
    if (!text) text = role == NAME_BOS ? f->bos_text : role == NAME_EOS ? f->eos_text : NULL;
    *id = known_tokens_id(k, text);
    if (*id >= 0 && *id < k->s->n_vocab) return true;
    if (*id >= 0)
        progress_logf(k->s->log, "left out: the role of %s_token for '%.80s', whose id %lld lies beyond the %lld rows "
                      "of the embedding", specials[i].name, text,
                      (long long)*id, (long long)k->s->n_vocab);
    *id = -1;
    snprintf(key, sizeof key, "%s_token_id", specials[i].name);
    const cJSON *num = json_get(config, key);
    if (!num) num = json_get(json_get(config, "text_config"), key);
    if (!num || (role == NAME_EOS && cJSON_IsArray(num))) return true;      // a list of ends is read by end_ids
    if (cJSON_IsNumber(num) && num->valuedouble < 0) return true;           // -1 stands for "none" in some configs
    if (role == NAME_EOS && is_beyond(k->s, num, "config.json", key)) return true;
    if (!known_id(k->s, num, "config.json", key, id, e)) return false;
    if (known_tokens_adds(k, *id)) return true;
    progress_logf(k->s->log, "config.json: %s %lld is no added token of the tokenizer: it gets no role, since readers "
                  "cut a text where such a token stands", key,
                  (long long)*id);
    *id = -1;
    return true;
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
        if (!is_beyond(s, it, file, "eos_token_id")) {
            if (!known_id(s, it, file, "eos_token_id", &id, e)) return false;
            (*ids)[(*n)++] = (uint32_t)id;
        }
        if (!cJSON_IsArray(list)) break;
    }
    return true;
}

static bool is_turn_end(const known_tokens *k, int64_t id)
{
    return known_tokens_id(k, "<end_of_turn>") == id || known_tokens_id(k, "<turn|>") == id;
}

static bool plan_end_ids(gguf_plan *p, const known_tokens *k, int64_t eos, err *e)
{
    uint32_t *ids = NULL;
    int64_t   n = 0;
    bool ok = end_ids(k->s, &ids, &n, e);
    if (ok && n == 0 && eos >= 0) ids[n++] = (uint32_t)eos;
    // config.json may give a list where GGUF's key holds one: then the first. Readers cut a text where the eos stands,
    // but not where the eot does.
    if (ok && eos < 0 && n > 0) {
        const char *key = known_tokens_adds(k, ids[0]) ? "tokenizer.ggml.eos_token_id" : "tokenizer.ggml.eot_token_id";
        ok = gguf_plan_u32(p, key, ids[0], e);
        eos = ids[0];
    }
    for (int64_t i = 0; ok && i < n; i++)
        if (is_turn_end(k, ids[i]) && ids[i] != eos) ok = gguf_plan_u32(p, "tokenizer.ggml.eot_token_id", ids[i], e);
    if (ok && n > 0) ok = gguf_plan_arr(p, KEY_EOS_IDS, GGUF_U32, ids, n, e);
    free(ids);
    return ok;
}

bool special_ids_plan(gguf_plan *p, const known_tokens *k, const text_frame *f, err *e)
{
    int64_t eos = -1;
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        int64_t id;
        if (!special_id(k, f, i, &id, e)) return false;
        if (specials[i].role == NAME_EOS) eos = id;
        if (id >= 0 && !gguf_plan_u32(p, specials[i].key, (uint32_t)id, e)) return false;
    }
    return plan_end_ids(p, k, eos, e);
}

bool special_ids_plan_suppressed(gguf_plan *p, const tokenizer_source *s, err *e)
{
    const cJSON *list = json_get(s->generation_config, "suppress_tokens");
    if (!s->suppress || !list) return true;
    if (!cJSON_IsArray(list)) {
        char found[JSON_FOUND_BYTES];
        return err_set(e, ERR_INPUT, "%s/generation_config.json: suppress_tokens: found %s, expected a list of ids",
                       s->dir, json_found(list, found));
    }
    int32_t *ids = malloc((size_t)(cJSON_GetArraySize(list) + 1) * sizeof *ids);
    int64_t  n = 0, id;
    bool     ok = ids || err_nomem(e, "suppressed ids", (size_t)cJSON_GetArraySize(list));
    for (const cJSON *it = list->child; ok && it; it = it->next) {
        if (is_beyond(s, it, "generation_config.json", "suppress_tokens")) continue;
        ok = known_id(s, it, "generation_config.json", "suppress_tokens", &id, e);
        if (ok) ids[n++] = (int32_t)id;
    }
    ok = ok && (n == 0 || gguf_plan_arr(p, "tokenizer.ggml.suppress_tokens", GGUF_I32, ids, n, e));
    free(ids);
    return ok;
}
