// Proves convert and quantize of whole models with experts against llama-quantize: each tensor's type and bytes as
// Q4_K_M, with and without an importance matrix, in tests/golden/experts.txt. Rows are wide enough for blocks of 256,
// in the experts, too; others fall back. The weights are random: bytes are compared.
// KEEP=DIR experts_golden_test leaves the F32 files and matrices there for tests/golden/make_experts.sh.
#include "converted.h"
#include "formats/sha256.h"
#include "mini_families.h"
#include "quant/quantize.h"

typedef struct { const char *name; mini *(*make)(void); } subject;

static mini *make_qwen3moe(void)  { return mini_qwen3moe(false); }
static mini *make_qwen35(void)    { return mini_qwen35(false, false); }
static mini *make_qwen35moe(void) { return mini_qwen35(true, false); }

static const subject subjects[] = {
    { "gemma4-moe", mini_gemma4_moe }, { "qwen3moe", make_qwen3moe }, { "qwen35", make_qwen35 },
    { "qwen35moe", make_qwen35moe },
};
enum { N_SUBJECTS = (int)(sizeof subjects / sizeof *subjects), DIGITS = 16 };

// ---- the model -----------------------------------------------------------------------------------------------------

static int64_t widened(int64_t n, bool experts)
{
    if (experts && (n == 16 || n == 32)) return 16 * n;
    return n < 16 || n == MINI_VOCAB ? n : 4 * n;
}

// Heads, rows and columns four times as wide, what an expert has of its own sixteen times.
static void widen(mini *m)
{
    static const char *const wide[] = { "hidden_size", "intermediate_size", "head_dim", "global_head_dim",
                                        "linear_key_head_dim", "linear_value_head_dim",
                                        "shared_expert_intermediate_size" };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        cJSON *v = cJSON_GetObjectItemCaseSensitive(m->config, wide[i]);
        if (v) cJSON_SetNumberValue(v, 4 * v->valuedouble);
    }
    if (cJSON_GetObjectItemCaseSensitive(m->config, "num_experts")) mini_set(m->config, "moe_intermediate_size", "256");
    cJSON *rope = cJSON_GetObjectItemCaseSensitive(m->config, "rope_parameters");
    if (cJSON_GetObjectItemCaseSensitive(rope, "mrope_section")) mini_set(rope, "mrope_section", "[4,4,0]");
    for (int i = 0; i < m->n; i++)
        for (int d = 0; d < m->t[i].n_dims; d++)
            m->t[i].shape[d] = widened(m->t[i].shape[d], strstr(m->t[i].name, "experts.") != NULL);
}

// ---- the matrix ----------------------------------------------------------------------------------------------------

// For products of blocks that are run: sums and counts, a row for each expert, of which the second saw no token. Values
// are small whole numbers, so that sums and means are the same bits anywhere.
static void add_sums(gguf_plan *p, tensor_source *src, int *n, const gguf_tensor *t, err *e)
{
    const int64_t n_mat = t->n_dims > 2 ? t->shape[0] : 1, cols = t->shape[t->n_dims - 1];
    const int64_t shape[2] = { n_mat, cols }, one[2] = { n_mat, 1 };
    float *sums = calloc((size_t)(n_mat * cols), sizeof *sums), *counts = calloc((size_t)n_mat, sizeof *counts);
    char   name[128];
    for (int64_t k = 0; k < n_mat; k++) {
        counts[k] = n_mat > 1 && k == 1 ? 0 : (float)(32 << k % 2);
        for (int64_t c = 0; c < cols; c++) sums[k * cols + c] = counts[k] * (float)(1 + (c * 7 + k * 3 + *n) % 11);
    }
    snprintf(name, sizeof name, "%s.in_sum2", t->name);
    ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, shape, e));
    snprintf(name, sizeof name, "%s.counts", t->name);
    ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, one, e));
    src[(*n)++] = (tensor_source){ .where = "", .type = DT_F32, .data = (uint8_t *)sums, .fd = -1 };
    src[(*n)++] = (tensor_source){ .where = "", .type = DT_F32, .data = (uint8_t *)counts, .fd = -1 };
}

static bool is_product(const gguf_tensor *t, int64_t n_run)
{
    const char *name = t->name;
    if (t->n_dims < 2 || strncmp(name, "blk.", 4) != 0 || strtol(name + 4, NULL, 10) >= n_run) return false;
    return !strstr(name, "norm") && !strstr(name, "ssm_conv1d") && !strstr(name, "ffn_gate_inp");
}

static void write_matrix(const gguf *g, int64_t n_run, const char *path)
{
    static char          digests[400][SHA256_HEX + 1];
    static tensor_source src[400];
    err            e = { 0 };
    int            n = 0;
    int64_t        header, bytes;
    const gguf_str text = { .s = "text", .n = 4 };
    gguf_plan     *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.type", "imatrix", &e) && gguf_plan_arr_str(p, "imatrix.datasets", &text, 1, &e)
              && gguf_plan_u32(p, "imatrix.chunk_count", 8, &e) && gguf_plan_u32(p, "imatrix.chunk_size", 512, &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        if (is_product(gguf_tensor_at(g, i), n_run)) add_sums(p, src, &n, gguf_tensor_at(g, i), &e);
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(path, bytes, &e);
    ck_assert_msg(f && write_tensors(p, f, src, 1, digests, NULL, NULL, &e), "%s", e.msg);
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    for (int i = 0; i < n; i++) free((void *)(uintptr_t)src[i].data);
}

// ---- the comparison ------------------------------------------------------------------------------------------------

// A line of tests/golden/experts.txt: model, matrix or none, tensor, type, the digest's first digits.
static char *golden_lines(void)
{
    char   *text;
    int64_t n;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, SOURCE_DIR "/tests/golden/experts.txt", 1 << 20, &e), "%s", e.msg);
    return text;
}

static int count_lines(const char *golden, const char *model, bool matrix)
{
    char head[64];
    int  n = 0;
    snprintf(head, sizeof head, "\n%s %s ", model, matrix ? "matrix" : "none");
    for (const char *at = golden; (at = strstr(at, head)); at++) n++;
    return n;
}

static void check_file(const char *path, const char *model, bool matrix, const char *golden)
{
    err   e = { 0 };
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    ck_assert_int_eq(count_lines(golden, model, matrix), gguf_n_tensors(g));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char digest[SHA256_HEX + 1], line[256];
        ck_assert(sha256_bytes(t->data, t->n_bytes, digest, &e));
        snprintf(line, sizeof line, "\n%s %s %s %s %.*s\n", model, matrix ? "matrix" : "none", t->name,
                 dtype_name(t->type), DIGITS, digest);
        ck_assert_msg(strstr(golden, line) != NULL, "%s: not llama-quantize's:%s", path, line);
    }
    gguf_close(g);
}

// The same from the checkpoint and from the F32 file.
static void check_ways(const mini *m, const char *f32, const char *model, const char *matrix, const char *golden)
{
    err   e = { 0 };
    char *out = in_dir(m->dir, "out.gguf");
    const convert_opts  c = { .type = FT_Q4_K_M, .imatrix = matrix, .n_threads = 2 };
    const quantize_opts q = { .type = FT_Q4_K_M, .imatrix = matrix, .n_threads = 1 };
    ck_assert_msg(convert_checkpoint(m->dir, out, &c, &e), "%s", e.msg);
    check_file(out, model, matrix != NULL, golden);
    unlink(out);
    ck_assert_msg(quantize_file(f32, out, &q, &e), "%s", e.msg);
    check_file(out, model, matrix != NULL, golden);
    unlink(out);
}

START_TEST(test_bytes_of_llama_quantize)
{
    const subject *s = &subjects[_i];
    const char    *keep = getenv("KEEP");
    char  f32[4300], matrix[4300], name[64];
    err   e = { 0 };
    mini *m = s->make();
    widen(m);
    mini_write(m, false);
    snprintf(name, sizeof name, "%s.f32.gguf", s->name);
    snprintf(f32, sizeof f32, "%s", in_dir(keep ? keep : m->dir, name));
    snprintf(name, sizeof name, "%s.matrix.gguf", s->name);
    snprintf(matrix, sizeof matrix, "%s", in_dir(keep ? keep : m->dir, name));
    const convert_opts o = { .type = FT_F32, .n_threads = 1 };
    ck_assert_msg(convert_checkpoint(m->dir, f32, &o, &e), "%s", e.msg);
    gguf *g = gguf_open(f32, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    write_matrix(g, (int64_t)cJSON_GetObjectItemCaseSensitive(m->config, "num_hidden_layers")->valuedouble, matrix);
    gguf_close(g);
    if (!keep) {
        char *golden = golden_lines();
        check_ways(m, f32, s->name, NULL, golden);
        check_ways(m, f32, s->name, matrix, golden);
        free(golden);
    }
    mini_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("experts_golden");
    TCase *c = tcase_create("experts_golden");
    tcase_add_loop_test(c, test_bytes_of_llama_quantize, 0, N_SUBJECTS);
    suite_add_tcase(s, c);
    return run_suite(s);
}
