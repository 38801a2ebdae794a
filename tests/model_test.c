// Proves runtime/model.h: hyperparameters from metadata alone, what a hostile or contradictory value says, KV sharing
// by Transformers' rule, and the memory plan.
#include "formats/claims.h"
#include "runtime/kv_spec.h"
#include "suite.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

static err e;

// Metadata of a small Gemma 4: kinds S S F S | S S F with three shared layers, whose last earlier layers of each kind
// are 3 and 2.
static gguf_plan *small_gemma4(void)
{
    static const uint8_t sliding[] = { 1, 1, 0, 1, 1, 1, 0 };
    static const int32_t n_ff[] = { 64, 64, 64, 64, 128, 128, 128 };
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(
        p && gguf_plan_str(p, "general.architecture", "gemma4", &e) && gguf_plan_u32(p, "general.file_type", 32, &e) &&
        gguf_plan_u32(p, "gemma4.block_count", 7, &e) && gguf_plan_u32(p, "gemma4.embedding_length", 32, &e) &&
        gguf_plan_u32(p, "gemma4.context_length", 1024, &e) && gguf_plan_u32(p, "gemma4.attention.head_count", 4, &e) &&
        gguf_plan_u32(p, "gemma4.attention.head_count_kv", 2, &e) &&
        gguf_plan_u32(p, "gemma4.attention.key_length", 512, &e) &&
        gguf_plan_u32(p, "gemma4.attention.value_length", 512, &e) &&
        gguf_plan_u32(p, "gemma4.attention.key_length_swa", 256, &e) &&
        gguf_plan_u32(p, "gemma4.attention.value_length_swa", 256, &e) &&
        gguf_plan_u32(p, "gemma4.attention.sliding_window", 16, &e) &&
        gguf_plan_u32(p, "gemma4.attention.shared_kv_layers", 3, &e) &&
        gguf_plan_f32(p, "gemma4.attention.scale", 1.0f, &e) &&
        gguf_plan_f32(p, "gemma4.attention.layer_norm_rms_epsilon", 1e-6f, &e) &&
        gguf_plan_f32(p, "gemma4.rope.freq_base", 1e6f, &e) &&
        gguf_plan_arr(p, "gemma4.attention.sliding_window_pattern", GGUF_BOOL, sliding, 7, &e) &&
        gguf_plan_arr(p, "gemma4.feed_forward_length", GGUF_I32, n_ff, 7, &e));
    return p;
}

// Reads the plan as a file of metadata only. The bytes live until the caller frees them.
static bool read_plan(gguf_plan *p, hparams *h, gguf **g, uint8_t **bytes)
{
    int64_t header, file, n;
    ck_assert_msg(gguf_plan_layout(p, &header, &file, &e) && gguf_plan_header(p, bytes, &n, &e), "%s", e.msg);
    *g = gguf_open_mem(*bytes, n, "test.gguf", &e);
    ck_assert_msg(*g != NULL, "%s", e.msg);
    return hparams_read(h, *g, &e);
}

START_TEST(shared_layers_read_the_last_earlier_layer_of_their_kind)
{
    gguf_plan *p = small_gemma4();
    gguf *g;
    uint8_t *bytes;
    hparams h;
    ck_assert_msg(read_plan(p, &h, &g, &bytes), "%s", e.msg);
    static const int source[] = { 0, 1, 2, 3, 3, 3, 2 };
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(h.layers[i].kv_source, source[i]);
        ck_assert_int_eq(h.layers[i].has_kv, i < 4);
        ck_assert_int_eq(h.layers[i].head_dim, i == 2 || i == 6 ? 512 : 256);
        ck_assert_int_eq(h.layers[i].n_ff, i < 4 ? 64 : 128);
    }
    ck_assert_str_eq(h.kv_required, "bf16");
    ck_assert(!h.kv_claimed && h.attention_scale == 1.0f && h.rope_base == 1e6f && h.rope_base_swa == 1e4f);
    hparams_free(&h);
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
}
END_TEST

// One wrong value at a time; the message names the key.
static const struct { const char *key; int64_t value;
} bad_ints[] = {
    { "gemma4.block_count", 0 },
    { "gemma4.block_count", 1 << 30 },
    { "gemma4.embedding_length", 0 },
    { "gemma4.attention.head_count", 0 },
    { "gemma4.attention.head_count", 3 },
    { "gemma4.attention.head_count_kv", 0 },
    { "gemma4.attention.head_count_kv", 3 },
    { "gemma4.attention.key_length", 511 },
    { "gemma4.attention.key_length", 0 },
    { "gemma4.attention.sliding_window", 0 },
    { "gemma4.attention.shared_kv_layers", 7 },
    { "gemma4.attention.shared_kv_layers", 5 },
    { "gemma4.expert_count", 8 },
    { "gemma4.attention.value_length", 256 },
    { "gemma4.context_length", 0 },
    { "gemma4.block_count", 8 },
};

START_TEST(a_wrong_value_is_named)
{
    gguf_plan *p = small_gemma4();
    gguf *g;
    uint8_t *bytes;
    hparams h;
    ck_assert(gguf_plan_u32(p, bad_ints[_i].key, (uint32_t)bad_ints[_i].value, &e));
    ck_assert_msg(!read_plan(p, &h, &g, &bytes), "%s = %lld was taken", bad_ints[_i].key,
                  (long long)bad_ints[_i].value);
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(e.msg, "test.gguf"));
    e = (err){ 0 };
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
}
END_TEST

// Numbers at the ends of what 64 bits hold: no difference or product of them is taken before they are checked.
START_TEST(the_extremes_of_64_bits_are_refused_by_key)
{
    static const char *const KEYS[] = { "gemma4.attention.shared_kv_layers",
                                        "gemma4.block_count",
                                        "gemma4.embedding_length",
                                        "gemma4.context_length",
                                        "gemma4.attention.head_count",
                                        "gemma4.attention.head_count_kv",
                                        "gemma4.attention.key_length",
                                        "gemma4.attention.sliding_window",
                                        "gemma4.embedding_length_per_layer_input",
                                        "gemma4.expert_count" };
    const int64_t VALUES[] = { INT64_MIN, INT64_MIN + 1, -1, INT64_MAX };
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        for (int v = 0; v < 4; v++) {
            const gguf_kv kv = { .key = KEYS[i],
                                 .type = GGUF_I64,
                                 .elem = GGUF_I64,
                                 .n = 1,
                                 .data = (const uint8_t *)&VALUES[v],
                                 .n_bytes = 8 };
            gguf_plan *p = small_gemma4();
            gguf *g;
            uint8_t *bytes;
            hparams h;
            ck_assert_msg(gguf_plan_copy_kv(p, &kv, &e), "%s", e.msg);
            ck_assert_msg(!read_plan(p, &h, &g, &bytes) && e.kind == ERR_INPUT && strstr(e.msg, KEYS[i]),
                          "%s = %lld: %s", KEYS[i], (long long)VALUES[v], e.msg);
            e = (err){ 0 };
            gguf_close(g);
            free(bytes);
            gguf_plan_free(p);
        }
}
END_TEST

static const struct { const char *key; float value;
} bad_floats[] = {
    { "gemma4.attention.scale", 0.0f },
    { "gemma4.attention.scale", -1.0f },
    { "gemma4.attention.scale", __builtin_inff() },
    { "gemma4.attention.scale", __builtin_nanf("") },
    { "gemma4.rope.freq_base", 0.0f },
    { "gemma4.attention.layer_norm_rms_epsilon", -1e-6f },
    { "gemma4.final_logit_softcapping", __builtin_nanf("") },
};

START_TEST(a_wrong_float_is_named)
{
    gguf_plan *p = small_gemma4();
    gguf *g;
    uint8_t *bytes;
    hparams h;
    ck_assert(gguf_plan_f32(p, bad_floats[_i].key, bad_floats[_i].value, &e));
    ck_assert(!read_plan(p, &h, &g, &bytes));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(e.msg, bad_floats[_i].key));
    e = (err){ 0 };
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
}
END_TEST

START_TEST(unknown_architectures_and_claims_are_refused_by_name)
{
    static const struct { const char *key, *value, *named; } cases[] = {
        { "general.architecture", "mamba", "'mamba'" },
        { KEY_HM_KV_TYPE, "q3", KEY_HM_KV_TYPE },
        { KEY_HM_KV_TYPE, "", KEY_HM_KV_TYPE },
        { KEY_HM_KV_TYPE, "f32\x1b[2J", KEY_HM_KV_TYPE },
        { KEY_HM_KV_TYPE, "F32", KEY_HM_KV_TYPE },
        { KEY_HM_KV_TYPE, "bf16bf16bf16bf16bf16bf16bf16bf16bf16bf16bf16bf16bf16bf16", KEY_HM_KV_TYPE },
        { "gemma4.rope.scaling.type", "yarn", "rope.scaling.type" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_plan *p = small_gemma4();
        gguf *g;
        uint8_t *bytes;
        hparams h;
        ck_assert(gguf_plan_str(p, cases[i].key, cases[i].value, &e));
        ck_assert(!read_plan(p, &h, &g, &bytes));
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strstr(e.msg, cases[i].named) != NULL, "%s", e.msg);
        e = (err){ 0 };
        gguf_close(g);
        free(bytes);
        gguf_plan_free(p);
    }
}
END_TEST

// Gemma 3 files leave much unsaid: the kinds (every sixth layer is full), the scale (head_dim^-0.5), the rotary bases.
START_TEST(what_a_published_gemma3_file_leaves_unsaid)
{
    gguf_plan *p = gguf_plan_new(32, &e);
    gguf *g;
    uint8_t *bytes;
    hparams h;
    ck_assert(p && gguf_plan_str(p, "general.architecture", "gemma3", &e) &&
              gguf_plan_u32(p, "general.file_type", 15, &e) && gguf_plan_u32(p, "gemma3.block_count", 18, &e) &&
              gguf_plan_u32(p, "gemma3.embedding_length", 640, &e) &&
              gguf_plan_u32(p, "gemma3.context_length", 32768, &e) &&
              gguf_plan_u32(p, "gemma3.attention.head_count", 4, &e) &&
              gguf_plan_u32(p, "gemma3.attention.head_count_kv", 1, &e) &&
              gguf_plan_u32(p, "gemma3.attention.key_length", 256, &e) &&
              gguf_plan_u32(p, "gemma3.attention.value_length", 256, &e) &&
              gguf_plan_u32(p, "gemma3.attention.sliding_window", 512, &e) &&
              gguf_plan_u32(p, "gemma3.feed_forward_length", 2048, &e) &&
              gguf_plan_f32(p, "gemma3.attention.layer_norm_rms_epsilon", 1e-6f, &e) &&
              gguf_plan_f32(p, "gemma3.rope.scaling.factor", 8, &e));
    ck_assert_msg(read_plan(p, &h, &g, &bytes), "%s", e.msg);
    for (int i = 0; i < 18; i++) ck_assert_int_eq(h.layers[i].sliding, i % 6 != 5);
    ck_assert(h.attention_scale == 0.0625f && h.rope_base == 1e4f && h.rope_base_swa == 1e4f && h.final_softcap == 0);
    ck_assert(h.rope_scale == 8);    // a factor without a type is linear, as llama.cpp takes it
    ck_assert_str_eq(h.type_label, "Q4_K_M");
    ck_assert_str_eq(h.kv_required, "f32");
    hparams_free(&h);
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
}
END_TEST

// What is absent means what llama.cpp takes it for, which is what the comparison with the source's config assumes too.
START_TEST(absent_keys_of_gemma4_mean_what_llama_cpp_takes)
{
    gguf_plan *p = small_gemma4();
    gguf *g;
    uint8_t *bytes;
    hparams h;
    ck_assert(gguf_plan_remove(p, "gemma4.rope.freq_base") && gguf_plan_remove(p, "gemma4.attention.scale"));
    ck_assert_msg(read_plan(p, &h, &g, &bytes), "%s", e.msg);
    ck_assert(h.final_softcap == 30 && h.rope_base == 10000 && h.rope_base_swa == 10000 && h.attention_scale == 1 &&
              h.rope_scale == 1);
    hparams_free(&h);
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
    p = small_gemma4();
    ck_assert(gguf_plan_remove(p, "gemma4.attention.layer_norm_rms_epsilon"));
    ck_assert(!read_plan(p, &h, &g, &bytes) && e.kind == ERR_INPUT && strstr(e.msg, "layer_norm_rms_epsilon"));
    e = (err){ 0 };
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
}
END_TEST

// E2B's own numbers: 35 layers, every fifth full, the last 20 share, one KV head of 256 or 512: sharing saves 20 of
// every 35 bytes.
START_TEST(sharing_saves_57_percent_of_e2b)
{
    layer_shape layers[35];
    hparams h = { .family = ARCH_GEMMA4, .n_layer = 35, .n_embd = 1536, .n_head = 8, .window = 512, .layers = layers };
    for (int i = 0; i < 35; i++)
        layers[i] = (layer_shape){
            .sliding = i % 5 != 4, .n_kv_head = 1, .head_dim = i % 5 == 4 ? 512 : 256, .has_kv = i < 15
        };
    memory_plan p;
    const kv_spec bf16 = kv_spec_of(KV_BF16), q8_0 = kv_spec_of(KV_Q8_0), f32 = kv_spec_of(KV_F32);
    ck_assert(memory_plan_of(&p, &h, &bf16, ARITH_F32, 32768, 128, &e));
    ck_assert_int_eq(p.n_kv_layers, 15);
    // 3 full layers of 32768 x 512 and 12 sliding ones of (512 + 127) x 256, K and V, 2 bytes each.
    ck_assert_int_eq(p.kv_bytes, 2 * 2 * (3 * 32768ll * 512 + 12 * 639ll * 256));
    ck_assert_int_eq(p.kv_bytes * 35, p.kv_bytes_unshared * 15);
    ck_assert(memory_plan_of(&p, &h, &q8_0, ARITH_F32, 32768, 128, &e));
    ck_assert_int_eq(p.kv_bytes, 2 * 34 * (3 * 32768ll * 16 + 12 * 639ll * 8));
    ck_assert(!memory_plan_of(&p, &h, &f32, ARITH_F32, INT64_MAX / 2, 128, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    e = (err){ 0 };
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("hparams");
    tcase_add_test(t, shared_layers_read_the_last_earlier_layer_of_their_kind);
    tcase_add_loop_test(t, a_wrong_value_is_named, 0, (int)(sizeof bad_ints / sizeof *bad_ints));
    tcase_add_loop_test(t, a_wrong_float_is_named, 0, (int)(sizeof bad_floats / sizeof *bad_floats));
    tcase_add_test(t, the_extremes_of_64_bits_are_refused_by_key);
    tcase_add_test(t, unknown_architectures_and_claims_are_refused_by_name);
    tcase_add_test(t, what_a_published_gemma3_file_leaves_unsaid);
    tcase_add_test(t, absent_keys_of_gemma4_mean_what_llama_cpp_takes);
    tcase_add_test(t, sharing_saves_57_percent_of_e2b);
    suite_add_tcase(s, t);
    return run_suite(s);
}
