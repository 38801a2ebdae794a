// mini_checkpoint: a Hugging Face folder of a few kilobytes, written by the test itself, for the tests of convert/.
// The tensors are listed in memory first, so that a test can drop, rename or reshape one before they are written.
#ifndef HALLMARK_TESTS_MINI_CHECKPOINT_H
#define HALLMARK_TESTS_MINI_CHECKPOINT_H

#include "bytes.h"
#include "formats/dtype.h"
#include "formats/json.h"

typedef struct {
    char        name[160];
    const char *dtype;          // as safetensors spells it
    int         n_dims;
    int64_t     shape[4];
    uint32_t    seed;           // of the values
    float       fill;           // NaN: pseudo-random values
} mini_tensor;

typedef struct {
    char       *dir;
    cJSON      *config, *generation, *tokenizer, *tokenizer_config;
    const char *chat_template;  // chat_template.jinja, or NULL
    mini_tensor t[200];
    int         n;
} mini;

static inline cJSON *mini_json(const char *text)
{
    err e = { 0 };
    cJSON *v = json_parse(text, (int64_t)strlen(text), "test text", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    return v;
}

// Sets (value is JSON text) or deletes (NULL) a member; path: "a" or "a.b".
static inline void mini_set(cJSON *obj, const char *path, const char *value)
{
    char first[80];
    const char *dot = strchr(path, '.');
    if (dot) {
        snprintf(first, sizeof first, "%.*s", (int)(dot - path), path);
        mini_set(cJSON_GetObjectItemCaseSensitive(obj, first), dot + 1, value);
        return;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(obj, path);
    if (value) cJSON_AddItemToObject(obj, path, mini_json(value));
}

// Value i of a tensor: small, different everywhere, exact in BF16.
static inline float mini_value(const mini_tensor *t, int64_t i)
{
    uint32_t x = (uint32_t)i * 2654435761u + t->seed * 40503u;
    x ^= x >> 15; x *= 2246822519u; x ^= x >> 13;
    if (t->fill == t->fill) return t->fill;
    return ((float)(x % 255) - 127.0f) / 64.0f;
}

static inline mini_tensor *mini_add(mini *m, const char *name, int n_dims, int64_t a, int64_t b)
{
    ck_assert_int_lt(m->n, (int)(sizeof m->t / sizeof m->t[0]));
    mini_tensor *t = &m->t[m->n];
    *t = (mini_tensor){
        .dtype = "BF16", .n_dims = n_dims, .shape = { a, b, 1, 1 }, .seed = (uint32_t)m->n + 1, .fill = 0.0f / 0.0f
    };
    snprintf(t->name, sizeof t->name, "%s", name);
    m->n++;
    return t;
}

static inline mini_tensor *mini_find(mini *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->t[i].name, name) == 0) return &m->t[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static inline void mini_drop(mini *m, const char *name)
{
    mini_tensor *t = mini_find(m, name);
    memmove(t, t + 1, (size_t)(&m->t[m->n] - (t + 1)) * sizeof *t);
    m->n--;
}

// Puts another prefix before every name that begins with `from`.
static inline void mini_prefix(mini *m, const char *from, const char *to)
{
    for (int i = 0; i < m->n; i++) {
        char old[160];
        if (strncmp(m->t[i].name, from, strlen(from)) != 0) continue;
        snprintf(old, sizeof old, "%s", m->t[i].name);
        snprintf(m->t[i].name, sizeof m->t[i].name, "%s%s", to, old + strlen(from));
    }
}

// ---- two small models -----------------------------------------------------------------------------------------------

enum { MINI_VOCAB = 280, MINI_EMBD = 64, MINI_FF = 96, MINI_PLE = 32, MINI_LAYERS = 6 };

// Specials, 256 bytes, letters and their merges: ids 0 to 272, so that a vocabulary of 280 has to be padded.
static inline cJSON *mini_tokenizer(void)
{
    static const char *const rest[] = { "\xe2\x96\x81",
                                        "a",
                                        "b",
                                        "ab",
                                        "\xe2\x96\x81"
                                        "ab",
                                        "c",
                                        "abc",
                                        "<end_of_turn>",
                                        "<turn|>" };
    cJSON *t = mini_json("{\"version\":\"1.0\",\"added_tokens\":[],"
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"},"
        "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\","
        "\"invert\":false},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<bos>\","
        "\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\"}},"
        "{\"SpecialToken\":{\"id\":\"<bos>\"}},{\"Sequence\":{\"id\":\"B\"}}]},"
        "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{\"<pad>\":0,"
        "\"<eos>\":1,\"<bos>\":2,\"<unk>\":3,"
        "\"[toy]\":4,\"<unused0>\":5,\"<|channel>\":6},"
        "\"merges\":[[\"a\",\"b\"],\"\xe2\x96\x81 ab\",[\"ab\",\"c\"]]}}");
    cJSON *vocab = cJSON_GetObjectItem(cJSON_GetObjectItem(t, "model"), "vocab"),
          *added = cJSON_GetObjectItem(t, "added_tokens");
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        cJSON_AddNumberToObject(vocab, name, 7 + i);
    }
    for (int i = 0; i < 9; i++) cJSON_AddNumberToObject(vocab, rest[i], 263 + i);
    static const struct { const char *text; int id; bool special; } extra[] = {
        { "<pad>", 0, true }, { "<eos>", 1, true }, { "<bos>", 2, true }, { "<unk>", 3, true }, { "[toy]", 4, false },
        { "<unused0>", 5, false }, { "<|channel>", 6, true }, { "<end_of_turn>", 270, true }, { "<turn|>", 271, true },
        { "\xe2\x96\x81\xe2\x96\x81", 272, false },
    };
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        cJSON *a = cJSON_CreateObject();
        cJSON_AddNumberToObject(a, "id", extra[i].id);
        cJSON_AddStringToObject(a, "content", extra[i].text);
        cJSON_AddBoolToObject(a, "special", extra[i].special);
        cJSON_AddItemToArray(added, a);
    }
    return t;
}

static inline mini *mini_new(void)
{
    mini *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    m->dir = new_dir();
    m->tokenizer = mini_tokenizer();
    m->tokenizer_config = mini_json("{\"bos_token\":\"<bos>\",\"eos_token\":\"<eos>\",\"unk_token\":{\"content\":\"<"
                                    "unk>\"},"
                                    "\"pad_token\":\"<pad>\",\"tokenizer_class\":\"GemmaTokenizer\"}");
    m->generation = mini_json("{\"eos_token_id\":[1,271],\"top_k\":64,\"temperature\":1.0}");
    return m;
}

// Kinds S S F S | S F with two shared layers, MLP twice as wide there, heads of 32 and 64, per-layer embeddings.
static inline mini *mini_gemma4(void)
{
    static const bool full[MINI_LAYERS] = { false, false, true, false, false, true };
    mini *m = mini_new();
    m->config = mini_json(
        "{\"architectures\":[\"Gemma4ForCausalLM\"],\"model_type\":\"gemma4_text\",\"vocab_size\":280,"
        "\"vocab_size_per_layer_input\":280,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":6,"
        "\"num_attention_heads\":2,"
        "\"num_key_value_heads\":1,\"head_dim\":32,\"global_head_dim\":64,\"sliding_window\":16,"
        "\"max_position_embeddings\":512,"
        "\"hidden_size_per_layer_input\":32,\"num_kv_shared_layers\":2,\"use_double_wide_mlp\":true,"
        "\"final_logit_softcapping\":30.0,"
        "\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\","
        "\"sliding_attention\","
        "\"full_attention\"],\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"proportional\","
        "\"partial_rotary_factor\":0.25,"
        "\"rope_theta\":1000000.0},\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}}}");
    mini_add(m, "model.embed_tokens.weight", 2, MINI_VOCAB, MINI_EMBD);
    mini_add(m, "model.embed_tokens_per_layer.weight", 2, MINI_VOCAB, MINI_LAYERS * MINI_PLE);
    mini_add(m, "model.norm.weight", 1, MINI_EMBD, 1);
    mini_add(m, "model.per_layer_model_projection.weight", 2, MINI_LAYERS * MINI_PLE, MINI_EMBD);
    mini_add(m, "model.per_layer_projection_norm.weight", 1, MINI_PLE, 1);
    for (int i = 0; i < MINI_LAYERS; i++) {
        int64_t head = full[i] ? 64 : 32, ff = i >= 4 ? 2 * MINI_FF : MINI_FF;
        struct { const char *name; int n; int64_t a, b; } rows[] = {
            { "input_layernorm.weight", 1, MINI_EMBD, 1 },
            { "self_attn.q_proj.weight", 2, 2 * head, MINI_EMBD },
            { "self_attn.k_proj.weight", 2, head, MINI_EMBD },
            { "self_attn.v_proj.weight", 2, head, MINI_EMBD },
            { "self_attn.o_proj.weight", 2, MINI_EMBD, 2 * head },
            { "self_attn.q_norm.weight", 1, head, 1 },
            { "self_attn.k_norm.weight", 1, head, 1 },
            { "post_attention_layernorm.weight", 1, MINI_EMBD, 1 },
            { "pre_feedforward_layernorm.weight", 1, MINI_EMBD, 1 },
            { "mlp.gate_proj.weight", 2, ff, MINI_EMBD },
            { "mlp.up_proj.weight", 2, ff, MINI_EMBD },
            { "mlp.down_proj.weight", 2, MINI_EMBD, ff },
            { "post_feedforward_layernorm.weight", 1, MINI_EMBD, 1 },
            { "per_layer_input_gate.weight", 2, MINI_PLE, MINI_EMBD },
            { "per_layer_projection.weight", 2, MINI_EMBD, MINI_PLE },
            { "post_per_layer_input_norm.weight", 1, MINI_EMBD, 1 },
            { "layer_scalar", 1, 1, 1 },
        };
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            char name[120];
            bool kv = strstr(rows[k].name, "k_proj") || strstr(rows[k].name, "v_proj") ||
                      strstr(rows[k].name, "k_norm");
            if (kv && i >= 4) continue;     // shared
            snprintf(name, sizeof name, "model.layers.%d.%s", i, rows[k].name);
            mini_add(m, name, rows[k].n, rows[k].a, rows[k].b);
        }
    }
    return m;
}

static inline mini *mini_gemma3(void)
{
    mini *m = mini_new();
    m->config = mini_json("{\"architectures\":[\"Gemma3ForCausalLM\"],\"model_type\":\"gemma3_text\",\"vocab_size\":"
                          "280,\"hidden_size\":64,"
                          "\"intermediate_size\":96,\"num_hidden_layers\":6,\"num_attention_heads\":2,\"num_key_value_"
                          "heads\":1,"
                          "\"head_dim\":32,"
                          "\"sliding_window\":16,\"max_position_embeddings\":512,\"query_pre_attn_scalar\":16}");
    mini_add(m, "model.embed_tokens.weight", 2, MINI_VOCAB, MINI_EMBD);
    mini_add(m, "model.norm.weight", 1, MINI_EMBD, 1);
    for (int i = 0; i < MINI_LAYERS; i++) {
        static const struct { const char *name; int n; int64_t a, b; } rows[] = {
            { "input_layernorm.weight", 1, MINI_EMBD, 1 }, { "self_attn.q_proj.weight", 2, 64, MINI_EMBD },
            { "self_attn.k_proj.weight", 2, 32, MINI_EMBD }, { "self_attn.v_proj.weight", 2, 32, MINI_EMBD },
            { "self_attn.o_proj.weight", 2, MINI_EMBD, 64 }, { "self_attn.q_norm.weight", 1, 32, 1 },
            { "self_attn.k_norm.weight", 1, 32, 1 }, { "post_attention_layernorm.weight", 1, MINI_EMBD, 1 },
            { "pre_feedforward_layernorm.weight", 1, MINI_EMBD, 1 }, { "mlp.gate_proj.weight", 2, MINI_FF, MINI_EMBD },
            { "mlp.up_proj.weight", 2, MINI_FF, MINI_EMBD }, { "mlp.down_proj.weight", 2, MINI_EMBD, MINI_FF },
            { "post_feedforward_layernorm.weight", 1, MINI_EMBD, 1 },
        };
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            char name[120];
            snprintf(name, sizeof name, "model.layers.%d.%s", i, rows[k].name);
            mini_add(m, name, rows[k].n, rows[k].a, rows[k].b);
        }
    }
    return m;
}

// ---- writing it -----------------------------------------------------------------------------------------------------

static inline int mini_weight_bytes(const char *name)
{
    return strcmp(name, "F32") == 0 ? 4 : strcmp(name, "BF16") == 0 || strcmp(name, "F16") == 0 ? 2 : 1;
}

static inline void mini_write_tensors(const mini *m, const char *path, int from, int to)
{
    buffer   head = { 0 }, data = { 0 }, all = { 0 };
    put_text(&head, "{");
    for (int i = from; i < to; i++) {
        const mini_tensor *t = &m->t[i];
        char    row[400];
        int64_t n = 1, at = data.n;
        int k = snprintf(row, sizeof row, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i > from ? "," : "", t->name,
                         t->dtype);
        for (int d = 0; d < t->n_dims; d++) {
            n *= t->shape[d];
            k += snprintf(row + k, sizeof row - (size_t)k, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        }
        for (int64_t j = 0; j < n; j++) {
            float    v = mini_value(t, j);
            uint16_t h = strcmp(t->dtype, "F16") == 0 ? f16_from_f32(v) : bf16_from_f32(v);
            if (mini_weight_bytes(t->dtype) == 4) put(&data, &v, 4);
            else                                  put(&data, &h, mini_weight_bytes(t->dtype));
        }
        snprintf(row + k, sizeof row - (size_t)k, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)data.n);
        put_text(&head, row);
    }
    put_text(&head, "}");
    put_u64(&all, (uint64_t)head.n);
    put(&all, head.p, head.n);
    put(&all, data.p, data.n);
    write_file(path, all.p, all.n);
    bytes_free(&head);
    bytes_free(&data);
    bytes_free(&all);
}

static inline void mini_write_json(const mini *m, const char *name, const cJSON *v)
{
    char *text = v ? cJSON_PrintUnformatted(v) : NULL;
    if (!text) { unlink(in_dir(m->dir, name)); return; }
    write_text(in_dir(m->dir, name), text);
    free(text);
}

// One file; or, with shards, two of them and an index.
static inline void mini_write(const mini *m, bool shards)
{
    mini_write_json(m, "config.json", m->config);
    mini_write_json(m, "generation_config.json", m->generation);
    mini_write_json(m, "tokenizer.json", m->tokenizer);
    mini_write_json(m, "tokenizer_config.json", m->tokenizer_config);
    if (m->chat_template) write_text(in_dir(m->dir, "chat_template.jinja"), m->chat_template);
    if (!shards) {
        mini_write_tensors(m, in_dir(m->dir, "model.safetensors"), 0, m->n);
        return;
    }
    buffer index = { 0 };
    put_text(&index, "{\"weight_map\":{");
    for (int i = 0; i < m->n; i++) {
        char row[300];
        snprintf(row, sizeof row, "%s\"%s\":\"model-0000%d-of-00002.safetensors\"", i ? "," : "", m->t[i].name,
                 i < m->n / 2 ? 1 : 2);
        put_text(&index, row);
    }
    put_text(&index, "}}");
    write_file(in_dir(m->dir, "model.safetensors.index.json"), index.p, index.n);
    bytes_free(&index);
    mini_write_tensors(m, in_dir(m->dir, "model-00001-of-00002.safetensors"), 0, m->n / 2);
    mini_write_tensors(m, in_dir(m->dir, "model-00002-of-00002.safetensors"), m->n / 2, m->n);
}

static inline void mini_free(mini *m)
{
    cJSON_Delete(m->config);
    cJSON_Delete(m->generation);
    cJSON_Delete(m->tokenizer);
    cJSON_Delete(m->tokenizer_config);
    drop_dir(m->dir);
    free(m);
}

#endif
