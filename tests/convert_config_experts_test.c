// Proves convert/qwen35_config.h, and what convert/llama_config.h and convert/gemma_config.h read of experts: defaults,
// the same model said otherwise, configs that are refused, and metadata that does not agree with its config.
#include "convert/convert.h"
#include "mini_checkpoint.h"

static const char *const QWEN35 = "{\"model_type\":\"qwen3_5_text\",\"num_hidden_layers\":5}";
static const char *const GUESSES =
    "{\"model_type\":\"qwen3_5_text\",\"num_hidden_layers\":5,\"mtp_num_hidden_layers\":1}";
static const char *const QWEN35_MOE = "{\"model_type\":\"qwen3_5_moe_text\",\"num_hidden_layers\":5}";
static const char *const QWEN3_MOE = "{\"model_type\":\"qwen3_moe\",\"norm_topk_prob\":true,\"num_hidden_layers\":2}";
static const char *const GEMMA4_MOE = "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":2,\"enable_moe_block\":"
                                      "true,"
                                      "\"num_experts\":8,\"top_k_experts\":2,\"moe_intermediate_size\":704}";

#define CHANGES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static cJSON *config_of(const char *text, const char *const *changes)      // path, value, path, value, ..., NULL
{
    cJSON *c = mini_json(text);
    for (; changes && *changes; changes += 2) mini_set(c, changes[0], changes[1]);
    return c;
}

static gguf_plan *plan_of(const char *text, const char *const *changes)
{
    err    e = { 0 };
    cJSON *c = config_of(text, changes);
    gguf_plan *p = convert_plan_of_config(c, "config.json", &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    cJSON_Delete(c);
    return p;
}

static int64_t int_at(const gguf_plan *p, const char *key, int64_t i)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    int64_t v = -1;
    ck_assert_msg(kv && gguf_arr_i64(kv, i, &v), "%s", key);
    return v;
}

typedef struct { const char *key; int64_t value; } key_row;

static void check_keys(const gguf_plan *p, const char *arch, const key_row *rows, size_t n)
{
    char key[96];
    for (size_t i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, rows[i].key);
        ck_assert_msg(int_at(p, key, 0) == rows[i].value, "%s: found %lld", key, (long long)int_at(p, key, 0));
    }
}

// Qwen3_5TextConfig, Qwen3_5MoeTextConfig and Qwen3MoeConfig without a word from the file.
START_TEST(test_defaults)
{
    static const key_row dense[] = {
        { "block_count", 5 },
        { "context_length", 32768 },
        { "embedding_length", 4096 },
        { "feed_forward_length", 12288 },
        { "attention.head_count", 16 },
        { "attention.head_count_kv", 4 },
        { "attention.key_length", 256 },
        { "ssm.conv_kernel", 4 },
        { "ssm.state_size", 128 },
        { "ssm.group_count", 16 },
        { "ssm.time_step_rank", 32 },
        { "ssm.inner_size", 4096 },
        { "full_attention_interval", 4 },
        { "rope.dimension_count", 64 },
    };
    static const key_row experts[] = {
        { "embedding_length", 2048 },
        { "attention.head_count_kv", 2 },
        { "expert_count", 256 },
        { "expert_used_count", 8 },
        { "expert_feed_forward_length", 512 },
        { "expert_shared_feed_forward_length", 512 },
    };
    static const key_row qwen3[] = {
        { "embedding_length", 2048 }, { "feed_forward_length", 6144 }, { "attention.head_count", 32 },
        { "attention.head_count_kv", 4 }, { "attention.key_length", 64 }, { "expert_count", 128 },
        { "expert_used_count", 8 }, { "expert_feed_forward_length", 768 },
    };
    gguf_plan *p = plan_of(QWEN35, NULL);
    check_keys(p, "qwen35", dense, sizeof dense / sizeof *dense);
    for (int64_t i = 0; i < 5; i++) ck_assert_int_eq(int_at(p, "qwen35.attention.recurrent_layers", i), i != 3);
    static const int64_t sections[] = { 11, 11, 10, 0 };
    for (int64_t i = 0; i < 4; i++) ck_assert_int_eq(int_at(p, "qwen35.rope.dimension_sections", i), sections[i]);
    ck_assert_ptr_null(gguf_plan_find(p, "qwen35.nextn_predict_layers"));
    gguf_plan_free(p);
    p = plan_of(QWEN35_MOE, NULL);
    check_keys(p, "qwen35moe", experts, sizeof experts / sizeof *experts);
    ck_assert_ptr_null(gguf_plan_find(p, "qwen35moe.feed_forward_length"));
    gguf_plan_free(p);
    p = plan_of(QWEN3_MOE, NULL);
    check_keys(p, "qwen3moe", qwen3, sizeof qwen3 / sizeof *qwen3);
    gguf_plan_free(p);
}
END_TEST

static void check_same(const char *text, const char *const *a, const char *const *b, bool same)
{
    uint8_t *x, *y;
    int64_t  n, m, ignored;
    err      e = { 0 };
    gguf_plan *p = plan_of(text, a), *q = plan_of(text, b);
    ck_assert(gguf_plan_layout(p, &n, &ignored, &e) && gguf_plan_layout(q, &m, &ignored, &e));
    ck_assert(gguf_plan_header(p, &x, &n, &e) && gguf_plan_header(q, &y, &m, &e));
    ck_assert_int_eq(n == m && memcmp(x, y, (size_t)n) == 0, same);
    free(x);
    free(y);
    gguf_plan_free(p);
    gguf_plan_free(q);
}

START_TEST(test_forms)
{
    static const char *const list = "[\"linear_attention\",\"linear_attention\",\"linear_attention\",\"full_"
                                    "attention\","
                                    "\"linear_attention\"]";
    static const char *const other = "[\"linear_attention\",\"full_attention\",\"linear_attention\",\"full_attention\","
                                     "\"linear_attention\"]";
    check_same(QWEN35, NULL, CHANGES("layer_types", list), true);
    check_same(QWEN35, NULL, CHANGES("layer_types", other), false);
    check_same(QWEN35, CHANGES("layer_types", other, "full_attention_interval", "2"),
               CHANGES("full_attention_interval", "2"), true);
    // Where each of these stands: the dictionary first, then the top, then a quarter and 1e4.
    check_same(QWEN35, NULL, CHANGES("partial_rotary_factor", "0.25"), true);
    check_same(QWEN35, CHANGES("partial_rotary_factor", "0.5"),
               CHANGES("rope_parameters",
                       "{\"rope_type\":\"default\",\"rope_theta\":1e4,\"partial_rotary_factor\":0.5}"), true);
    check_same(QWEN35, CHANGES("rope_theta", "1e7"), CHANGES("rope_parameters", "{\"rope_theta\":1e7}"), true);
    check_same(QWEN35, CHANGES("rope_theta", "1e7"), NULL, false);
    check_same(QWEN35, CHANGES("partial_rotary_factor", "0.5", "rope_parameters", "{\"partial_rotary_factor\":0.25}"),
               NULL, true);
    check_same(QWEN35, NULL, CHANGES("rope_parameters", "{\"mrope_section\":[11,11,10],\"mrope_interleaved\":true}"),
               true);
    // What Transformers writes of num_experts, and both where they agree.
    check_same(QWEN3_MOE, CHANGES("num_experts", "10"), CHANGES("num_local_experts", "10"), true);
    check_same(QWEN3_MOE, CHANGES("num_experts", "10"), CHANGES("num_experts", "10", "num_local_experts", "10"), true);
    check_same(QWEN3_MOE, NULL, CHANGES("mlp_only_layers", "[]", "decoder_sparse_step", "1", "sliding_window", "7"),
               true);
    check_same(QWEN3_MOE, NULL, CHANGES("use_sliding_window", "true"), false);
    check_same(QWEN35_MOE, NULL, CHANGES("intermediate_size", "512"), false);
}
END_TEST

typedef struct { const char *base, *path, *value, *says; } bad_row;

START_TEST(test_refused)
{
    static const bad_row rows[] = {
        { "Q", "layer_types", "[\"full_attention\"]", "layer_types: expected an array of 5 names" },
        { "Q", "layer_types", "[\"a\",\"a\",\"a\",\"a\",\"a\"]",
          "layer_types: layer 0: found 'a', expected 'linear_attention' or 'full_attention'" },
        { "Q", "attention_bias", "true", "attention_bias: biases are not supported" },
        { "Q", "linear_num_value_heads", "24", "linear_num_value_heads: found 24, which 16 key heads do not divide" },
        { "Q", "linear_value_head_dim", "64", "linear_value_head_dim: found 64, expected 128 as linear_key_head_dim" },
        { "Q", "linear_conv_kernel_dim", "1", "linear_conv_kernel_dim" },
        { "Q", "linear_conv_kernel_dim", "17", "'linear_conv_kernel_dim': found 17, expected an integer from 2 to 16" },
        { "Q", "linear_key_head_dim", "null", "linear_key_head_dim: found null, expected a value" },
        { "Q", "num_key_value_heads", "3", "num_attention_heads: found 16, which 3 KV heads do not divide" },
        { "Q", "hidden_act", "\"gelu\"", "hidden_act: found 'gelu', expected 'silu'" },
        { "Q", "mtp_num_hidden_layers", "2", "mtp_num_hidden_layers" },
        { "Q", "full_attention_interval", "0", "full_attention_interval" },
        { "Q", "num_hidden_layers", "1024", "num_hidden_layers" },
        { "Q", "per_layer_config", "{}", "per_layer_config: layers of their own are not supported" },
        { "Q", "partial_rotary_factor", "0", "partial_rotary_factor: found 0, expected an even part of a head of 256" },
        { "Q", "partial_rotary_factor", "2", "partial_rotary_factor: found 2, expected an even part" },
        { "Q", "partial_rotary_factor", "1e300", "partial_rotary_factor: found 1e+300, expected an even part" },
        { "Q", "partial_rotary_factor", "-0.5", "partial_rotary_factor: found -0.5, expected an even part" },
        { "Q", "partial_rotary_factor", "0.004", "partial_rotary_factor: found 0.004, expected an even part" },
        { "Q", "partial_rotary_factor", "null", "partial_rotary_factor: found null, expected a value" },
        { "Q", "rope_parameters", "{\"rope_type\":\"yarn\",\"factor\":4}",
          "rope_parameters: rope_type: found 'yarn', expected 'default'" },
        { "Q", "rope_scaling", "{\"rope_type\":\"linear\",\"factor\":4}",
          "rope_scaling: rope_type: found 'linear', expected 'default'" },
        { "Q", "rope_parameters", "{\"mrope_section\":[1,2]}", "mrope_section: expected an array of three numbers" },
        { "Q", "rope_parameters", "{\"mrope_section\":[1,2,-1]}",
          "mrope_section: found a number, expected a number from 0" },
        { "Q", "rope_parameters", "5", "rope_parameters: found a number, expected an object" },
        { "E", "num_experts_per_tok", "257", "num_experts_per_tok: found 257, expected at most 64" },
        { "E", "num_experts", "0", "num_experts" },
        { "E", "num_experts", "5000", "num_experts" },
        { "E", "shared_expert_intermediate_size", "null", "shared_expert_intermediate_size: found null" },
        { "3", "norm_topk_prob", "false",
          "norm_topk_prob: found false, expected true: GGUF cannot say it of qwen3moe" },
        { "3", "norm_topk_prob", NULL, "norm_topk_prob: found false" },
        { "3", "mlp_only_layers", "[1]", "mlp_only_layers: expected experts in every layer" },
        { "3", "decoder_sparse_step", "2", "decoder_sparse_step: expected experts in every layer" },
        { "3", "num_local_experts", "null", "num_local_experts: found null" },
        { "3", "head_dim", "null", "head_dim: found null, expected a value" },
        { "3", "num_key_value_heads", "null", "num_key_value_heads: found null, expected a value" },
        { "3", "num_experts_per_tok", "129", "num_experts_per_tok: found 129, expected at most 64" },
        { "4", "num_experts", "null", "key 'num_experts': found nothing, expected an integer" },
        { "4", "top_k_experts", "9", "top_k_experts: found 9, expected at most the 8 experts" },
        { "4", "moe_intermediate_size", NULL, "key 'moe_intermediate_size': found nothing, expected an integer" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bad_row *r = &rows[i];
        const char *base = *r->base == 'Q' ? QWEN35 : *r->base == 'E' ? QWEN35_MOE : *r->base == '3' ? QWEN3_MOE
            : GEMMA4_MOE;
        err    e = { 0 };
        cJSON *c = mini_json(base);
        mini_set(c, r->path, r->value);
        ck_assert_msg(!convert_plan_of_config(c, "config.json", &e), "accepted %s = %s", r->path, r->value);
        check_refused(&e, ERR_INPUT, "config.json", r->says);
        cJSON_Delete(c);
    }
    err    e = { 0 };
    cJSON *both = config_of(QWEN3_MOE, CHANGES("num_experts", "10", "num_local_experts", "11"));
    ck_assert(!convert_plan_of_config(both, "config.json", &e));
    check_refused(&e, ERR_INPUT, "config.json", "num_local_experts: found 11, expected 10 as num_experts");
    cJSON_Delete(both);
}
END_TEST

// ---- metadata and config --------------------------------------------------------------------------------------------

static bool agrees_after(const char *text, bool (*change)(gguf_plan *, err *), err *e)
{
    err      none = { 0 };
    uint8_t *bytes;
    int64_t  n, ignored;
    cJSON   *c = config_of(text, NULL);
    gguf_plan *p = plan_of(text, NULL);
    ck_assert_msg(change(p, &none), "%s", none.msg);
    ck_assert(gguf_plan_layout(p, &n, &ignored, &none) && gguf_plan_header(p, &bytes, &n, &none));
    gguf *g = gguf_open_mem(bytes, n, "artifact.gguf", &none);
    ck_assert_msg(g != NULL, "%s", none.msg);
    const bool ok = convert_config_agrees(g, c, e);
    gguf_close(g);
    gguf_plan_free(p);
    free(bytes);
    cJSON_Delete(c);
    return ok;
}

#define SPOIL(name, call) static bool name(gguf_plan *p, err *e) { return call; }
static const uint8_t all_recurrent[5] = { 1, 1, 1, 1, 1 };
SPOIL(nothing,      p != NULL)
SPOIL(state_size,   gguf_plan_u32(p, "qwen35.ssm.state_size", 64, e))
SPOIL(heads,        gguf_plan_u32(p, "qwen35.ssm.time_step_rank", 16, e))
SPOIL(rotation,     gguf_plan_u32(p, "qwen35.rope.dimension_count", 256, e))
SPOIL(recurrent,    gguf_plan_arr(p, "qwen35.attention.recurrent_layers", GGUF_BOOL, all_recurrent, 5, e))
SPOIL(no_list,      gguf_plan_remove(p, "qwen35.attention.recurrent_layers"))
SPOIL(guesses,      gguf_plan_u32(p, "qwen35.nextn_predict_layers", 1, e))
SPOIL(used,         gguf_plan_u32(p, "qwen3moe.expert_used_count", 4, e))
SPOIL(no_experts,   gguf_plan_remove(p, "qwen3moe.expert_count"))

START_TEST(test_agreement)
{
    enum { DELTA, EXPERTS, MTP };
    const char *const texts[] = { QWEN35, QWEN3_MOE, GUESSES };
    static const struct { int text; bool (*change)(gguf_plan *, err *); const char *says; } rows[] = {
        { DELTA, nothing, NULL }, { EXPERTS, nothing, NULL }, { MTP, nothing, NULL },
        { DELTA, no_list, NULL }, { MTP, no_list, NULL },       // older converters write the interval alone
        { DELTA, state_size, "qwen35.ssm.state_size: found 64, expected 128" },
        { DELTA, heads, "qwen35.ssm.time_step_rank: found 16, expected 32" },
        { DELTA, rotation, "qwen35.rope.dimension_count: found 256, expected 64" },
        { DELTA, recurrent, "qwen35.attention.recurrent_layers (layer 3): found 1, expected 0" },
        { DELTA, guesses, "qwen35.block_count: found 5, expected 6" },
        { EXPERTS, used, "qwen3moe.expert_used_count: found 4, expected 8" },
        { EXPERTS, no_experts, "qwen3moe.expert_count is missing, expected 128" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err e = { 0 };
        const bool ok = agrees_after(texts[rows[i].text], rows[i].change, &e);
        ck_assert_msg(ok == (rows[i].says == NULL), "row %d: %s", (int)i, e.msg);
        if (!ok) check_refused(&e, ERR_VERDICT, "artifact.gguf", rows[i].says);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("convert_config_experts");
    TCase *t = tcase_create("convert_config_experts");
    tcase_add_test(t, test_defaults);
    tcase_add_test(t, test_forms);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_agreement);
    suite_add_tcase(s, t);
    return run_suite(s);
}
