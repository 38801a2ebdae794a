// tokenizer_input: the files that make a tokenizer, in memory and to be changed, and a look into the plan that comes of
// them.
#ifndef HALLMARK_TESTS_TOKENIZER_INPUT_H
#define HALLMARK_TESTS_TOKENIZER_INPUT_H

#include "convert/tokenizer_meta.h"
#include "mini_checkpoint.h"

typedef struct {
    tok_kind    kind;
    const char *model_type;         // NULL: a Gemma's
    // the last two: NULL
    cJSON      *tokenizer, *tokenizer_config, *generation, *config, *added_tokens, *special_tokens_map;
    int64_t     n_vocab;
    bool        suppress;
} input;

static inline input input_new(tok_kind kind)
{
    return (input){ .kind = kind,
                    .tokenizer = mini_tokenizer(),
                    .n_vocab = MINI_VOCAB,
                    .tokenizer_config = mini_json("{\"bos_token\":\"<bos>\",\"eos_token\":\"<eos>\",\"unk_token\":{"
                                                  "\"content\":\"<unk>\"}}"),
                    .generation = mini_json("{\"eos_token_id\":[1,271]}"),
                    .config = mini_json("{\"pad_token_id\":0,\"eos_token_id\":[1]}") };
}

static inline void input_free(input *in)
{
    cJSON_Delete(in->tokenizer);
    cJSON_Delete(in->tokenizer_config);
    cJSON_Delete(in->generation);
    cJSON_Delete(in->config);
    cJSON_Delete(in->added_tokens);
    cJSON_Delete(in->special_tokens_map);
}

static inline gguf_plan *plan_text(const input *in, const char *text, int64_t n, err *e)
{
    char *copy = (char *)exact((const uint8_t *)text, n);
    gguf_plan *p = gguf_plan_new(32, e);
    tokenizer_source s = { .kind = in->kind, .model_type = in->model_type ? in->model_type : "gemma3_text",
                           .text = copy, .n_text = n, .tokenizer_config = in->tokenizer_config,
                           .added_tokens = in->added_tokens, .special_tokens_map = in->special_tokens_map,
                           .generation_config = in->generation, .config = in->config, .n_vocab = in->n_vocab,
                           .suppress = in->suppress, .dir = "dir" };
    bool ok = p && tokenizer_meta_plan(p, &s, e);
    free(copy);
    if (ok) return p;
    gguf_plan_free(p);
    return NULL;
}

static inline gguf_plan *plan_of(const input *in, err *e)
{
    char *text = cJSON_PrintUnformatted(in->tokenizer);
    gguf_plan *p = plan_text(in, text, (int64_t)strlen(text), e);
    free(text);
    return p;
}

static inline gguf_plan *good_plan(const input *in)
{
    err e = { 0 };
    gguf_plan *p = plan_of(in, &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    return p;
}

static inline const gguf_kv *kv_of(const gguf_plan *p, const char *key)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    ck_assert_msg(kv != NULL, "no %s", key);
    return kv;
}

static inline int64_t int_at(const gguf_plan *p, const char *key, int64_t i)
{
    int64_t v = -1;
    ck_assert_msg(gguf_arr_i64(kv_of(p, key), i, &v), "%s", key);
    return v;
}

static inline float f32_at(const gguf_plan *p, const char *key, int64_t i)
{
    float v = 7;
    ck_assert_msg(gguf_arr_f32(kv_of(p, key), i, &v), "%s", key);
    return v;
}

static inline bool str_at(const gguf_plan *p, const char *key, int64_t i, const char *want)
{
    gguf_str_iter it = gguf_strs(kv_of(p, key));
    gguf_str s = { 0 };
    for (int64_t k = 0; k <= i; k++) ck_assert_msg(gguf_next_str(&it, &s), "%s has no element %d", key, (int)i);
    return s.n == (int64_t)strlen(want) && memcmp(s.s, want, (size_t)s.n) == 0;
}

// A scalar string, as stored: u64 length and bytes.
static inline bool str_is(const gguf_plan *p, const char *key, const char *want)
{
    const gguf_kv *kv = kv_of(p, key);
    return kv->n_bytes == (int64_t)strlen(want) + 8 && memcmp(kv->data + 8, want, strlen(want)) == 0;
}

#define TOKENS "tokenizer.ggml.tokens"
#define TYPES  "tokenizer.ggml.token_type"
#define SCORES "tokenizer.ggml.scores"

#endif
