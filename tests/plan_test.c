// Proves measure/plan.h on the configs of published models: parameters as Transformers builds them, bytes of weights,
// caches and states derived by hand, and a GGUF file that must be planned as its config was.
#include "formats/file_map.h"
#include "measure/mix.h"
#include "measure/plan.h"

#include "suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONFIGS SOURCE_DIR "/fixtures/configs/"

static model_plan open_config(const char *name)
{
    model_plan p;
    err  e = { 0 };
    char path[512];
    snprintf(path, sizeof path, CONFIGS "%s/config.json", name);
    ck_assert_msg(plan_open(&p, path, &e), "%s", e.msg);
    return p;
}

// ---- parameters -----------------------------------------------------------------------------------------------------

// transformers: of fixtures/configs/README.md. beside: what is no parameter there: a scalar a layer (Gemma 4), divisors
// of rotary frequencies (a half of a full layer's head). mtp: a block that Transformers leaves out.
static const struct { const char *name; int64_t transformers, beside, mtp; int n_layer; int64_t n_ctx;
} models[] = {
    { "gemma-4-e2b", 4628569344, 35 + 256, 0, 35, 131072 },
    { "gemma-4-e4b", 7463013376, 42 + 256, 0, 42, 131072 },
    { "gemma-4-12b", 11907350272, 48 + 256, 0, 48, 262144 },
    { "gemma-4-26b-a4b", 25233141760, 30 + 256, 0, 30, 262144 },
    { "gemma-4-31b", 30697345280, 60 + 256, 0, 60, 262144 },
    // Q with its gate, K, V, output, MLP, norms; eh_proj and three norms
    { "qwen3.6-27b", 26895998464, 0,
      (2 * 24 + 4 + 4 + 24) * 256LL * 5120 + 3 * 17408LL * 5120 + 2 * 5120 + 2 * 256 + 2 * 5120LL * 5120 + 3 * 5120, 64,
      262144 },
    // the same, with 256 experts of 512 and a shared one, a router, and the shared one's gate
    { "qwen3.6-35b-a3b", 34660610688, 0,
      (2 * 16 + 2 + 2 + 16) * 256LL * 2048 + 257 * 3 * 512LL * 2048 + 256 * 2048 + 2048 + 2 * 2048 + 2 * 256 +
          2 * 2048LL * 2048 + 3 * 2048,
      40, 262144 },
    { "qwen3-30b-a3b", 30532122624, 0, 0, 48, 40960 },
    { "qwen3-8b", 8190735360, 0, 0, 36, 40960 },
    { "llama-3.1-8b", 8030261248, 64, 0, 32, 131072 },
    { "llama-3.1-70b", 70553706496, 64, 0, 80, 131072 },
    { "qwen2.5-7b", 7615616512, 0, 0, 28, 131072 },
    { "mistral-7b-v0.1", 7241732096, 0, 0, 32, 32768 },
};

START_TEST(test_parameters)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        model_plan p = open_config(models[i].name);
        ck_assert_msg(p.counts.total == models[i].transformers + models[i].beside + models[i].mtp, "%s: found %lld",
                      models[i].name, (long long)p.counts.total);
        ck_assert_int_eq(p.counts.mtp, models[i].mtp);
        ck_assert_int_eq(p.h.n_layer, models[i].n_layer);
        ck_assert_int_eq(p.h.n_ctx_train, models[i].n_ctx);
        plan_close(&p);
    }
}
END_TEST

// Of experts a token takes n of N: 8 of 128 (256); everything else it goes through.
START_TEST(test_active_parameters)
{
    static const struct { const char *name; int64_t layers, experts, taken, expert; } moe[] = {
        { "gemma-4-26b-a4b", 30, 128, 8, 3 * 704LL * 2816 },
        { "qwen3.6-35b-a3b", 40, 256, 8, 3 * 512LL * 2048 },
        { "qwen3-30b-a3b",   48, 128, 8, 3 * 768LL * 2048 },
    };
    for (size_t i = 0; i < sizeof moe / sizeof *moe; i++) {
        model_plan p = open_config(moe[i].name);
        const int64_t left = moe[i].layers * (moe[i].experts - moe[i].taken) * moe[i].expert;
        ck_assert_int_eq(p.counts.active, p.counts.total - p.counts.mtp - left);
        plan_close(&p);
    }
    model_plan p = open_config("gemma-4-e2b");
    ck_assert_int_eq(p.counts.lookup, 262144LL * 35 * 256);         // its embedding is a product, too
    ck_assert_int_eq(p.counts.active, p.counts.total);
    plan_close(&p);
    p = open_config("llama-3.1-8b");
    ck_assert_int_eq(p.counts.lookup, 128256LL * 4096);
    plan_close(&p);
}
END_TEST

// ---- weights --------------------------------------------------------------------------------------------------------

static int64_t weights_of(const model_plan *p, file_type ft)
{
    err     e = { 0 };
    int64_t bytes;
    ck_assert_msg(plan_weights(p, ft, &bytes, &e), "%s", e.msg);
    return bytes;
}

// Matrices of n weights in blocks of a type, and vectors of F32.
static int64_t blocks(int64_t n, int64_t block_weights, int64_t block_bytes) { return n / block_weights * block_bytes; }

START_TEST(test_weights_of_llama)
{
    model_plan    p = open_config("llama-3.1-8b");
    const int64_t norms = 65 * 4096, freqs = 64, matrices = 8030261248 - norms;
    const int64_t layer_v = 1024 * 4096, layer_down = 14336LL * 4096, embedding = 128256LL * 4096;
    ck_assert_int_eq(weights_of(&p, FT_BF16), 2 * matrices + 4 * (norms + freqs));
    ck_assert_int_eq(weights_of(&p, FT_F32), 4 * (matrices + norms + freqs));
    ck_assert_int_eq(weights_of(&p, FT_Q8_0), blocks(matrices, 32, 34) + 4 * (norms + freqs));
    // Q4_K_M of 32 layers: the first four, the last four and every third of the 24 between have V and the MLP's last
    // matrix in Q6_K; so has the output.
    const int64_t six = 16 * (layer_v + layer_down) + embedding;
    ck_assert_int_eq(weights_of(&p, FT_Q4_K_M),
                     blocks(matrices - six, 256, 144) + blocks(six, 256, 210) + 4 * (norms + freqs));
    plan_close(&p);
}
END_TEST

// Experts of 704 columns: no block of 256 fits, so those of a Q4_K become Q5_0, and of a Q6_K Q8_0.
START_TEST(test_weights_of_experts)
{
    model_plan    p = open_config("gemma-4-26b-a4b");
    const int64_t down = 30 * 128LL * 2816 * 704, mlp_down = 30 * 2816LL * 2112;
    const int64_t router = 30 * 128 * 2816;
    int64_t       vectors = 0, rest = 0;
    for (int64_t i = 0; i < p.n; i++) {
        const bool f32 = p.tensors[i].type == DT_F32;
        *(f32 ? &vectors : &rest) += p.entries[i].n_elems;
    }
    ck_assert_int_ge(vectors, router);              // the router stays F32
    rest -= down + mlp_down;
    const int64_t embedding = 262144LL * 2816;
    const int64_t bytes = blocks(rest - embedding, 256, 144) + blocks(embedding, 256, 210) +
                          blocks(down + mlp_down, 32, 22);
    // Q4_K_S: the first eighth (3 of 30) of the MLPs' last matrices would be Q5_K, and is Q5_1; so is V of the first
    // four.
    const int64_t first = (down + mlp_down) / 30 * 3, v = 4 * 2048LL * 2816;
    const int64_t more = blocks(first, 32, 24) - blocks(first, 32, 22) + blocks(v, 256, 176) - blocks(v, 256, 144);
    const int64_t found = weights_of(&p, FT_Q4_K_S), expected = bytes + more + 4 * vectors;
    ck_assert_msg(found >= expected && found < expected + 32 * p.n, "found %lld, expected %lld and padding",
                  (long long)found, (long long)expected);
    plan_close(&p);
}
END_TEST

// ---- another reader -------------------------------------------------------------------------------------------------

static const char *refused_by(const model_plan *p, file_type ft)
{
    static char text[64];
    plan_refusals r;
    err e = { 0 };
    ck_assert_msg(plan_refused(p, ft, &r, &e), "%s", e.msg);
    text[0] = 0;
    for (int i = 0; i < r.n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", dtype_name(r.types[i]));
    return text;
}

// Files of each type of both checkpoints were given to Transformers 5.24.0 (tests/peers/README.md): those it refused,
// and for what.
START_TEST(test_another_reader)
{
    static const struct { file_type ft; const char *dense, *experts; } rows[] = {
        { FT_BF16, "", "" }, { FT_Q8_0, "", "" }, { FT_Q4_0, "", "" }, { FT_Q4_1, "", "" },
        { FT_Q5_0, "Q5_0", "Q5_0" }, { FT_Q5_1, "Q5_1", "Q5_1" }, { FT_Q2_K, "", "" }, { FT_Q3_K_S, "", "" },
        { FT_Q3_K_M, "Q5_0 Q5_1", "Q5_0" }, { FT_Q3_K_L, "Q5_1", "Q5_1" }, { FT_Q4_K_S, "Q5_0 Q5_1", "Q5_0" },
        { FT_Q4_K_M, "Q5_0", "Q5_0" }, { FT_Q5_K_S, "Q5_1", "Q5_1" }, { FT_Q5_K_M, "Q5_1", "Q5_1" },
        { FT_Q6_K, "", "" },
    };
    model_plan dense = open_config("../tiny-qwen35"), experts = open_config("../tiny-qwen35moe"),
        real = open_config("qwen3.6-35b-a3b"), gemma = open_config("gemma-4-26b-a4b");
    ck_assert(plan_judges_reader(&dense) && plan_judges_reader(&experts) && !plan_judges_reader(&gemma));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_str_eq(refused_by(&dense, rows[i].ft), rows[i].dense);
        ck_assert_str_eq(refused_by(&experts, rows[i].ft), rows[i].experts);
        ck_assert_str_eq(refused_by(&gemma, rows[i].ft), "");
    }
    ck_assert_str_eq(refused_by(&real, FT_Q4_K_M), "");         // all of its rows are of blocks of 256
    ck_assert_str_eq(refused_by(&real, FT_Q5_0), "Q5_0");
    plan_close(&dense);
    plan_close(&experts);
    plan_close(&real);
    plan_close(&gemma);
}
END_TEST

// ---- caches and states ----------------------------------------------------------------------------------------------

static memory_plan cache_of(const model_plan *p, const char *spec, int64_t n_ctx)
{
    memory_plan c;
    kv_spec    kv;
    err        e = { 0 };
    ck_assert_msg(kv_spec_parse(&kv, spec, &e) && plan_cache_of(p, &kv, n_ctx, &c, &e), "%s", e.msg);
    return c;
}

// E2B: of 35 layers every fifth sees all; the first 15 keep keys and values, three of them full. A head of 256 (512) in
// BF16 is 512 (1024) bytes, and a window of 512 keeps room for a batch of 128.
START_TEST(test_cache_of_e2b)
{
    model_plan       p = open_config("gemma-4-e2b");
    const memory_plan c = cache_of(&p, "bf16", 4096);
    ck_assert_int_eq(c.kv_bytes, 12 * 2 * 512 * 639 + 3 * 2 * 1024 * 4096);
    ck_assert_int_eq(c.kv_bytes_unshared, 28 * 2 * 512 * 639 + 7 * 2 * 1024 * 4096);
    ck_assert_int_eq(c.kv_bytes_plain, (28 * 2 * 512 + 7 * 2 * 1024) * 4096LL);
    ck_assert_int_eq(c.state_bytes, 0);
    ck_assert_int_eq((int)(100 * (1 - (double)c.kv_bytes / (double)c.kv_bytes_unshared)), 57);
    ck_assert_int_eq(cache_of(&p, "sliding:q4_0;full:bf16", 4096).kv_bytes, 12 * 2 * 144 * 639 + 3 * 2 * 1024 * 4096);
    ck_assert_int_eq(cache_of(&p, "bf16", 131072).kv_bytes, 12 * 2 * 512 * 639 + 3 * 2 * 1024 * 131072LL);
    plan_close(&p);
}
END_TEST

// 26B-A4B: eight heads of 256 with a window of 1024 in 25 layers, two of 512 in five.
START_TEST(test_cache_of_26b)
{
    model_plan       p = open_config("gemma-4-26b-a4b");
    const memory_plan c = cache_of(&p, "bf16", 131072);
    ck_assert_int_eq(c.kv_bytes, 25 * 2 * 8 * 512LL * 1151 + 5 * 2 * 2 * 1024LL * 131072);
    ck_assert_int_eq(c.kv_bytes_unshared, c.kv_bytes);
    ck_assert_int_eq(c.kv_bytes_plain, (25 * 2 * 8 * 512 + 5 * 2 * 2 * 1024) * 131072LL);
    plan_close(&p);
}
END_TEST

// 27B: 48 delta nets, each with 48 matrices of 128 x 128 and three tokens of 2 x 16 x 128 + 48 x 128 channels in F32;
// 16 layers with four heads of 256.
START_TEST(test_states)
{
    model_plan       p = open_config("qwen3.6-27b");
    const memory_plan c = cache_of(&p, "bf16", 262144), q = cache_of(&p, "q8_0", 4096);
    ck_assert_int_eq(c.kv_bytes, 16 * 2 * 4 * 512LL * 262144);
    ck_assert_int_eq(c.state_bytes, 48 * 4 * (48 * 128 * 128LL + 3 * 10240));
    ck_assert_int_eq(q.kv_bytes, 16 * 2 * 4 * 272LL * 4096);
    ck_assert_int_eq(q.state_bytes, c.state_bytes);
    plan_close(&p);
    p = open_config("qwen3.6-35b-a3b");
    ck_assert_int_eq(cache_of(&p, "bf16", 4096).state_bytes, 30 * 4 * (32 * 128 * 128LL + 3 * 8192));
    ck_assert_int_eq(cache_of(&p, "bf16", 4096).kv_bytes, 10 * 2 * 2 * 512LL * 4096);
    plan_close(&p);
}
END_TEST

START_TEST(test_what_fits)
{
    model_plan    p = open_config("qwen3.6-27b");
    const kv_spec kv = kv_spec_of(KV_BF16);
    const int64_t weights = weights_of(&p, FT_Q4_K_M), state = cache_of(&p, "bf16", 1).state_bytes;
    const int64_t each = 16 * 2 * 4 * 512;
    int64_t       n_ctx;
    err           e = { 0 };
    ck_assert(plan_longest(&p, &kv, weights, weights + state + 1000 * each + each - 1, &n_ctx, &e) && n_ctx == 1000);
    ck_assert(plan_longest(&p, &kv, weights, weights + state + each - 1, &n_ctx, &e) && n_ctx == 0);
    ck_assert(plan_longest(&p, &kv, weights, weights - 1, &n_ctx, &e) && n_ctx == 0);
    ck_assert(plan_longest(&p, &kv, weights, INT64_MAX / 2, &n_ctx, &e) && n_ctx == 262144);
    plan_close(&p);
}
END_TEST

START_TEST(test_sizes_in_words)
{
    int64_t n = 0;
    ck_assert(mix_parse_bytes("24GiB", &n) && n == 24LL << 30);
    ck_assert(mix_parse_bytes("1.5GB", &n) && n == 1500000000);
    ck_assert(mix_parse_bytes("7B", &n) && n == 7);
    ck_assert(!mix_parse_bytes("24", &n) && !mix_parse_bytes("GiB", &n) && !mix_parse_bytes("-1GB", &n));
    ck_assert(!mix_parse_bytes(" 24GiB", &n) && !mix_parse_bytes("0x10GiB", &n));
    ck_assert(!mix_parse_bytes("nanGB", &n) && !mix_parse_bytes("1e300GB", &n) && !mix_parse_bytes("0B", &n));
}
END_TEST

START_TEST(test_refusals)
{
    model_plan p;
    err        e = { 0 };
    ck_assert(!plan_open(&p, SOURCE_DIR "/fixtures/configs/README.md", &e) && e.kind == ERR_INPUT);
    plan_close(&p);
    e = (err){ 0 };
    ck_assert(!plan_open(&p, SOURCE_DIR "/fixtures/configs/nothing", &e) && e.kind != ERR_NONE);
    plan_close(&p);
    memory_plan c;
    kv_spec     kivi;
    p = open_config("llama-3.1-8b");            // heads of 128
    e = (err){ 0 };
    ck_assert(kv_spec_parse(&kivi, "kivi2:g48:r96", &e));
    ck_assert(!plan_cache_of(&p, &kivi, 4096, &c, &e) && e.kind == ERR_USAGE);
    plan_close(&p);
}
END_TEST

// All published models in all types: a plan is an answer at once.
START_TEST(test_quick)
{
    const clock_t begun = clock();
    int n;
    const file_type_info *types = file_type_table(&n);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        model_plan p = open_config(models[i].name);
        int64_t    last = INT64_MAX;
        for (int k = 0; k < n; k++) last = weights_of(&p, types[k].id) < last ? weights_of(&p, types[k].id) : last;
        ck_assert_int_gt(last, p.counts.total / 4);
        plan_close(&p);
    }
    // sanitized and on a slow machine, too; one takes 10 ms
    ck_assert_int_lt((clock() - begun) / CLOCKS_PER_SEC, 20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *c = tcase_create("plan");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_parameters);
    tcase_add_test(c, test_active_parameters);
    tcase_add_test(c, test_weights_of_llama);
    tcase_add_test(c, test_weights_of_experts);
    tcase_add_test(c, test_another_reader);
    tcase_add_test(c, test_cache_of_e2b);
    tcase_add_test(c, test_cache_of_26b);
    tcase_add_test(c, test_states);
    tcase_add_test(c, test_what_fits);
    tcase_add_test(c, test_sizes_in_words);
    tcase_add_test(c, test_refusals);
    tcase_add_test(c, test_quick);
    return run_suite(s);
}
