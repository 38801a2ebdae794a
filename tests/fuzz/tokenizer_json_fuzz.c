// Any bytes as a tokenizer.json, for both kinds of vocabulary; and the same bytes as the files beside it,
// added_tokens.json and special_tokens_map.json as members of them.
#include "convert/merges.h"
#include "convert/tokenizer_meta.h"
#include "formats/json.h"
#include "fuzz.h"

#include <string.h>

enum { N_VOCAB = 64 };

static int64_t length_of(const gguf_plan *p, const char *key)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    MUST(kv != NULL);
    use(touch(kv->data, kv->n_bytes));
    return kv->n;
}

// What a reader relies on: a text, a type and (but for byte-level vocabularies) a score for every row of the embedding,
// and ids that are tokens.
static void check_plan(const gguf_plan *p, tok_kind kind)
{
    static const char *const ids[] = { "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id", KEY_EOS_IDS };
    MUST(length_of(p, "tokenizer.ggml.tokens") == N_VOCAB);
    MUST(length_of(p, "tokenizer.ggml.token_type") == N_VOCAB);
    const bool bytes = gguf_plan_find(p, "tokenizer.ggml.scores") == NULL;
    MUST(bytes ? kind == TOK_BY_FILE : length_of(p, "tokenizer.ggml.scores") == N_VOCAB);
    MUST((!bytes && kind != TOK_GEMMA4) || length_of(p, "tokenizer.ggml.merges") > 0);
    gguf_str_iter it = gguf_strs(gguf_plan_find(p, "tokenizer.ggml.tokens"));
    gguf_str s;
    int64_t n = 0;
    for (; gguf_next_str(&it, &s); n++) use(touch(s.s, s.n));
    MUST(n == N_VOCAB);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const gguf_kv *kv = gguf_plan_find(p, ids[i]);
        int64_t id;
        for (int64_t k = 0; kv && k < kv->n; k++) MUST(gguf_arr_i64(kv, k, &id) && id >= 0 && id < N_VOCAB);
    }
}

static void plan_one(tok_kind kind, const char *model_type, const uint8_t *data, size_t size, const cJSON *beside)
{
    err   e = { 0 };
    char *text = malloc(size ? size : 1);       // its own copy: reading it blanks the merges
    MUST(text != NULL);
    if (size) memcpy(text, data, size);
    tokenizer_source s = { .kind = kind, .model_type = model_type, .text = text, .n_text = (int64_t)size,
                           .tokenizer_config = beside, .generation_config = beside,
                           .added_tokens = json_get(beside, "added_file"),
                           .special_tokens_map = json_get(beside, "map_file"),
                           .config = beside, .n_vocab = N_VOCAB, .suppress = true, .dir = "fuzz" };
    gguf_plan *p = gguf_plan_new(32, &e);
    MUST(p != NULL);
    if (tokenizer_meta_plan(p, &s, &e)) check_plan(p, kind);
    else                                must_be_refusal(&e);
    gguf_plan_free(p);
    free(text);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    // Each way reads the whole input again, which is what guard.c allows time for once: of a large one, one way is
    // tried.
    enum { ALL_WAYS = 1 << 16 };
    static const struct { tok_kind kind; const char *model_type; bool beside; } WAYS[] = {
        { TOK_GEMMA4, "gemma4", false }, { TOK_LLAMA, "gemma3_text", true },
        { TOK_BY_FILE, "llama", true },  { TOK_BY_FILE, "qwen2", false },
    };
    enum { N_WAYS = sizeof WAYS / sizeof *WAYS };
    err    e = { 0 };
    cJSON *beside = json_parse((const char *)data, (int64_t)size, "fuzz.json", &e);
    for (size_t i = 0; i < N_WAYS; i++)
        if (size < ALL_WAYS || i == size % N_WAYS)
            plan_one(WAYS[i].kind, WAYS[i].model_type, data, size, WAYS[i].beside ? beside : NULL);
    cJSON_Delete(beside);
    return 0;
}
