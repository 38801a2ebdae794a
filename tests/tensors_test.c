// Proves arch/tensors.h and convert/sizes.h: the tables have every tensor of every checkpoint in fixtures/, with its
// shape, and nothing that no checkpoint has; every family's rules lead to rows of its table; models of real sizes come
// to the numbers of tensors and parameters that are published.
#include "arch/tensors.h"
#include "convert/family.h"
#include "convert/sizes.h"
#include "convert/tensor_map.h"
#include "formats/json.h"
#include "formats/text_file.h"

#include "bytes.h"
#include "suite.h"

#include <glob.h>

typedef struct { hf_config c; model_sizes m; block_sizes block[LIMIT_LAYERS]; } model;

static model *model_of(const cJSON *root, const char *where)
{
    err    e = { 0 };
    model *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    ck_assert_msg(hf_config_read(&m->c, root, where, &e), "%s", e.msg);
    sizes_of_config(&m->m, m->block, &m->c);
    return m;
}

static const tensor_entry *find_entry(const tensor_entry *list, int64_t n, const char *name)
{
    for (int64_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static const mapped_tensor *find_mapped(const tensor_map *map, const char *name)
{
    for (int64_t i = 0; i < map->n; i++)
        if (strcmp(map->t[i].name, name) == 0) return &map->t[i];
    return NULL;
}

static void check_tensor(const model *m, const mapped_tensor *t, const tensor_entry *list, int64_t n)
{
    int64_t block, n_elems = 1;
    const tensor_row *row = tensor_row_find(tensor_table_of(m->m.arch), t->name, &block);
    ck_assert_msg(row != NULL, "%s: no row", t->name);
    ck_assert_int_eq(row->role, t->role);
    const tensor_presence presence = tensor_row_presence(row, &m->m, block);
    const tensor_entry *entry = find_entry(list, n, t->name);
    ck_assert_msg(presence != TENSOR_NOT, "%s: there must be none", t->name);
    ck_assert_msg((entry != NULL) == (presence == TENSOR_MUST), "%s: listed or not", t->name);
    if (!entry) return;
    ck_assert_int_eq(entry->n_dims, t->n_dims);
    for (int d = 0; d < t->n_dims; d++) ck_assert_int_eq(entry->shape[d], t->shape[d]);
    for (int d = 0; d < t->n_dims; d++) n_elems *= t->shape[d];
    ck_assert_int_eq(entry->n_elems, n_elems);
}

static void check_folder(const char *dir)
{
    char         *path = in_dir(dir, "config.json"), *text = NULL;
    int64_t       n_text = 0, n = 0, listed = 0;
    err           e = { 0 };
    tensor_map    map = { 0 };
    tensor_entry *list;
    ck_assert_msg(file_read_text(&text, &n_text, path, 1 << 20, &e), "%s", e.msg);
    cJSON *root = json_parse(text, n_text, path, &e);
    st    *s = st_open_dir(dir, &e);
    ck_assert_msg(root && s, "%s", e.msg);
    model *m = model_of(root, path);
    ck_assert_msg(tensor_map_settle_mtp(&m->c, s, false, NULL, &e), "%s", e.msg);
    sizes_of_config(&m->m, m->block, &m->c);
    ck_assert_msg(tensor_map_build(&map, s, &m->c, NULL, &e), "%s: %s", dir, e.msg);
    ck_assert_msg(tensors_list(&m->m, &list, &n, &e), "%s", e.msg);
    for (int64_t i = 0; i < map.n; i++) check_tensor(m, &map.t[i], list, n);
    for (int64_t i = 0; i < n; i++) {
        ck_assert_msg(find_mapped(&map, list[i].name) != NULL, "%s: %s is listed and not there", dir, list[i].name);
        listed += list[i].n_elems;
    }
    tensor_counts counts;
    ck_assert_msg(tensors_count(&m->m, list, n, &counts, &e), "%s", e.msg);
    ck_assert_int_eq(counts.total, listed);
    ck_assert_int_le(counts.active + counts.mtp, counts.total);
    free(list);
    tensor_map_free(&map);
    st_close(s);
    cJSON_Delete(root);
    free(text);
    free(m);
}

START_TEST(test_every_checkpoint)
{
    glob_t found;
    ck_assert_int_eq(glob(SOURCE_DIR "/fixtures/tiny-*/config.json", 0, NULL, &found), 0);
    ck_assert_int_ge((int)found.gl_pathc, 5);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *dir = strdup(found.gl_pathv[i]);
        ck_assert_ptr_nonnull(dir);
        *strrchr(dir, '/') = 0;
        check_folder(dir);
        free(dir);
    }
    globfree(&found);
}
END_TEST

// ---- rules and rows -------------------------------------------------------------------------------------------------

static const tensor_row *row_named(const tensor_row *r, const char *name)
{
    while (r->name && strcmp(r->name, name) != 0) r++;
    return r->name ? r : NULL;
}

static int count_rules_to(const tensor_rule *r, const char *name)
{
    int n = 0;
    for (; r && r->hf; r++) n += strcmp(r->gguf, name) == 0;
    return n;
}

static void check_rules(const char *arch, const tensor_rule *rules, const tensor_row *rows)
{
    for (const tensor_rule *r = rules; r && r->hf; r++)
        ck_assert_msg(row_named(rows, r->gguf) != NULL, "%s: the rule of %s leads nowhere", arch, r->hf);
}

START_TEST(test_rules)
{
    int n;
    const hf_arch *a = hf_arch_table(&n);
    for (int i = 0; i < n; i++) {
        const family       *f = a[i].family;
        const tensor_table *t = tensor_table_of(f->arch);
        ck_assert_msg(t != NULL, "%s: no table", f->arch);
        check_rules(f->arch, f->model, t->model);
        check_rules(f->arch, f->layer, t->block);
        check_rules(f->arch, f->mtp, t->block);
        for (const tensor_row *r = t->model; r->name; r++)
            ck_assert_msg(r->role == ROLE_FREQS || count_rules_to(f->model, r->name) > 0, "%s: %s", f->arch, r->name);
        // No published checkpoint has WHEN_MTP_OWN, and no converter writes WHEN_EXPERTS_FUSED.
        for (const tensor_row *r = t->block; r->name; r++)
            ck_assert_msg(r->when == WHEN_MTP_OWN || r->when == WHEN_EXPERTS_FUSED ||
                              (r->when == WHEN_MTP ? count_rules_to(f->mtp, r->name)
                                                   : count_rules_to(f->layer, r->name)) > 0,
                          "%s: %s", f->arch, r->name);
    }
}
END_TEST

// Other writers may put gate and up of experts into one tensor: `run` takes such a file, and a plan counts it.
START_TEST(test_fused_experts)
{
    static const char *const archs[] = { "qwen3moe", "qwen35moe" };
    const block_sizes with = { .experts = true }, without = { 0 };
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        model_sizes m = { .n_block = 1, .n_embd = 64, .n_expert = 7, .n_ff_expert = 40, .block = &with };
        int64_t block, shape[LIMIT_DIMS];
        const tensor_row *r = tensor_row_find(tensor_table_of(archs[i]), "blk.0.ffn_gate_up_exps.weight", &block);
        ck_assert(r != NULL && r->role == ROLE_EXPERTS && block == 0);
        ck_assert(tensor_row_shape(r, &m, 0, shape) == 3 && shape[0] == 7 && shape[1] == 80 && shape[2] == 64);
        ck_assert(tensor_row_presence(r, &m, 0) == TENSOR_MAY);
        m.block = &without;
        ck_assert(tensor_row_presence(r, &m, 0) == TENSOR_NOT);
    }
}
END_TEST

START_TEST(test_names)
{
    static const struct { const char *name; int64_t block; bool known; } rows[] = {
        { "token_embd.weight", -1, true }, { "blk.0.attn_q.weight", 0, true }, { "blk.61.ssm_a", 61, true },
        { "blk.7.token_embd.weight", 7, false }, { "attn_q.weight", -1, false }, { "blk.01.attn_q.weight", -1, false },
        { "blk..attn_q.weight", -1, false }, { "blk.1", -1, false }, { "blk.1.attn_q.weightx", 1, false },
        { "blk.9999999999.attn_q.weight", -1, false }, { "", -1, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t block;
        const tensor_row *row = tensor_row_find(tensor_table_of("qwen35"), rows[i].name, &block);
        ck_assert_msg((row != NULL) == rows[i].known, "%s", rows[i].name);
        ck_assert_int_eq(block, rows[i].block);
    }
    ck_assert_ptr_null(tensor_table_of("qwen"));
    ck_assert_ptr_null(tensor_table_of("mamba"));
}
END_TEST

// ---- real sizes -----------------------------------------------------------------------------------------------------

static model *model_of_text(const char *text)
{
    err    e = { 0 };
    cJSON *root = json_parse(text, (int64_t)strlen(text), "config.json", &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
    model *m = model_of(root, "config.json");
    cJSON_Delete(root);
    return m;
}

// Of all tensors that must be there.
static void count(const model *m, tensor_counts *c)
{
    err           e = { 0 };
    tensor_entry *list;
    int64_t       n;
    ck_assert_msg(tensors_list(&m->m, &list, &n, &e) && tensors_count(&m->m, list, n, c, &e), "%s", e.msg);
    free(list);
}

typedef struct { int64_t n, n_f32; } files;

static files tensors_of(const model *m)
{
    err           e = { 0 };
    tensor_entry *list;
    files         f = { 0, 0 };
    ck_assert_msg(tensors_list(&m->m, &list, &f.n, &e), "%s", e.msg);
    for (int64_t i = 0; i < f.n; i++) f.n_f32 += list[i].n_dims == 1 || tensor_role_is_f32(list[i].row->role);
    free(list);
    return f;
}

// Gemma 4 26B-A4B: its published BF16 file has 658 tensors, 392 of them F32. Parameters by hand, a layer:
//   Q 16*256*2816 twice (O), K and V 8*256*2816, in the five full layers Q and O 16*512*2816, K alone 2*512*2816;
//   MLP 3*2112*2816; experts 128*3*704*2816; router 128*2816 + 2816 + 128; norms 7*2816 + two of the head size; 1
//   scalar.
START_TEST(test_gemma4_experts)
{
    tensor_counts c;
    model *m = model_of_text("{\"model_type\":\"gemma4_text\",\"vocab_size\":262144,\"hidden_size\":2816,"
        "\"intermediate_size\":2112,\"num_hidden_layers\":30,\"num_attention_heads\":16,\"num_key_value_heads\":8,"
        "\"num_global_key_value_heads\":2,\"head_dim\":256,\"global_head_dim\":512,\"sliding_window\":1024,"
        "\"hidden_size_per_layer_input\":0,\"attention_k_eq_v\":true,\"enable_moe_block\":true,\"num_experts\":128,"
        "\"top_k_experts\":8,\"moe_intermediate_size\":704}");
    const files f = tensors_of(m);
    ck_assert_int_eq(f.n, 658);
    ck_assert_int_eq(f.n_f32, 392);
    count(m, &c);
    const int64_t n = 2816, experts = 30LL * 128 * 3 * 704 * n;
    const int64_t sliding = 25 * (2 * 16 * 256 * n + 2 * 8 * 256 * n + 2 * 256);
    const int64_t full = 5 * (2 * 16 * 512 * n + 2 * 512 * n + 2 * 512);
    const int64_t layers = 30 * (3 * 2112 * n + 128 * n + n + 128 + 7 * n + 1);
    ck_assert_int_eq(c.total, 262144 * n + n + 256 + sliding + full + layers + experts);
    ck_assert_int_eq(c.active, c.total - experts + experts / 128 * 8);
    ck_assert_int_eq(c.lookup, 0);
    free(m);
}
END_TEST

// Qwen 3.6 35B-A3B, with the block that guesses: 40 layers and one. A layer with a delta net: 15 tensors without its
// MLP's, one with attention 8; experts 8; the block beside what a layer with attention has 4.
START_TEST(test_qwen35_experts)
{
    tensor_counts c;
    model *m = model_of_text("{\"model_type\":\"qwen3_5_moe_text\",\"mtp_num_hidden_layers\":1}");
    const files f = tensors_of(m);
    ck_assert_int_eq(m->m.n_block, 41);
    ck_assert_int_eq(f.n, 3 + 30 * (2 + 9 + 8) + 11 * (2 + 6 + 8) + 4);
    count(m, &c);
    const int64_t n = 2048, experts = 256LL * 3 * 512 * n, shared = 3 * 512 * n + n + 256 * n;
    const int64_t channels = 2 * 16 * 128 + 32 * 128, v = 32 * 128;
    const int64_t delta = channels * n + v * n + 2 * 32 * n + channels * 4 + 32 + 32 + 128 + n * v;
    const int64_t attention = 2 * 16 * 256 * n + 2 * 2 * 256 * n + n * 16 * 256 + 2 * 256;
    const int64_t mlp = experts + shared + 2 * n, mtp = mlp + attention + 2 * n * n + 3 * n;
    ck_assert_int_eq(c.total, 2 * 248320 * n + n + 40 * mlp + 30 * delta + 10 * attention + mtp);
    ck_assert_int_eq(c.mtp, mtp);
    ck_assert_int_eq(c.lookup, 248320 * n);
    ck_assert_int_eq(c.active, c.total - mtp - 40 * experts / 256 * 248);
    free(m);
}
END_TEST

static model *model_of_file(const char *path)
{
    char   *text = NULL;
    int64_t n = 0;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 20, &e), "%s", e.msg);
    model *m = model_of_text(text);
    free(text);
    return m;
}

// Of tensors that are no parameters to Transformers: divisors of frequencies, and Gemma 4's scalar in each layer.
static int64_t beside_parameters(const model *m)
{
    err           e = { 0 };
    tensor_entry *list;
    int64_t       n, sum = 0;
    ck_assert_msg(tensors_list(&m->m, &list, &n, &e), "%s", e.msg);
    for (int64_t i = 0; i < n; i++)
        if (list[i].row->role == ROLE_FREQS || strcmp(list[i].row->name, "layer_output_scale.weight") == 0)
            sum += list[i].n_elems;
    free(list);
    return sum;
}

// What Transformers builds of the published configs (fixtures/configs/README.md), without blocks that guess.
START_TEST(test_published_models)
{
    static const struct { const char *name; int64_t n; } rows[] = {
        { "gemma-4-e2b", 4628569344 }, { "gemma-4-e4b", 7463013376 }, { "gemma-4-12b", 11907350272 },
        { "gemma-4-26b-a4b", 25233141760 }, { "gemma-4-31b", 30697345280 }, { "qwen3.6-27b", 26895998464 },
        { "qwen3.6-35b-a3b", 34660610688 }, { "qwen3-30b-a3b", 30532122624 }, { "qwen3-8b", 8190735360 },
        { "llama-3.1-8b", 8030261248 }, { "mistral-7b-v0.1", 7241732096 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char          path[200];
        tensor_counts c;
        snprintf(path, sizeof path, "%s/fixtures/configs/%s/config.json", SOURCE_DIR, rows[i].name);
        model *m = model_of_file(path);
        count(m, &c);
        ck_assert_msg(c.total - c.mtp - beside_parameters(m) == rows[i].n, "%s: found %lld, expected %lld",
                      rows[i].name, (long long)(c.total - c.mtp - beside_parameters(m)), (long long)rows[i].n);
        free(m);
    }
}
END_TEST

START_TEST(test_other_sizes)
{
    model *m = model_of_text("{\"model_type\":\"qwen3_5_text\",\"num_hidden_layers\":8,\"tie_word_embeddings\":true}");
    ck_assert_int_eq(tensors_of(m).n, 2 + 6 * (2 + 9 + 3) + 2 * (2 + 6 + 3));
    free(m);
    m = model_of_text("{\"model_type\":\"qwen3_moe\",\"num_hidden_layers\":2,\"norm_topk_prob\":true}");
    ck_assert_int_eq(tensors_of(m).n, 3 + 2 * (2 + 4 + 2 + 4));
    free(m);
    m = model_of_text("{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"attention_bias\":true,\"mlp_bias\":true}");
    ck_assert_int_eq(tensors_of(m).n, 3 + 2 * (2 + 4 + 4 + 3 + 3));
    free(m);
}
END_TEST

START_TEST(test_sizes_that_do_not_fit)
{
    err           e = { 0 };
    tensor_entry *list;
    int64_t       n;
    block_sizes   block = { .n_ff = 1, .n_head_kv = 1, .head_dim = 2, .own_kv = true };
    model_sizes   m = { .arch = "llama", .n_block = 1, .n_vocab = INT64_MAX / 2, .n_embd = 4, .n_head = 1,
                        .block = &block };
    ck_assert(!tensors_list(&m, &list, &n, &e) && list == NULL);
    check_refused(&e, ERR_INPUT, NULL, "tensor 'token_embd.weight': found a dimension of 4, expected a size that fits");
    m.n_vocab = 0;
    e = (err){ 0 };
    ck_assert(!tensors_list(&m, &list, &n, &e));
    check_refused(&e, ERR_INPUT, NULL, "tensor 'token_embd.weight': found a dimension of 0");
    m.arch = "mamba";
    e = (err){ 0 };
    ck_assert(!tensors_list(&m, &list, &n, &e));
    check_refused(&e, ERR_INPUT, NULL, "found 'mamba', whose tensors are not known");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tensors");
    TCase *t = tcase_create("tensors");
    tcase_add_test(t, test_every_checkpoint);
    tcase_add_test(t, test_rules);
    tcase_add_test(t, test_names);
    tcase_add_test(t, test_fused_experts);
    tcase_add_test(t, test_gemma4_experts);
    tcase_add_test(t, test_qwen35_experts);
    tcase_add_test(t, test_published_models);
    tcase_add_test(t, test_other_sizes);
    tcase_add_test(t, test_sizes_that_do_not_fit);
    suite_add_tcase(s, t);
    return run_suite(s);
}
