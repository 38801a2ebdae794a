// Proves quantizing a model with experts: tensors of three dimensions, of which each expert's matrix is encoded with a
// row of the importance matrix of its own; experts that no token reached, and blocks that no forward pass uses.
#include "quant/codec.h"
#include "quant/derive.h"
#include "quant/imatrix.h"
#include "quant/quantize.h"

#include "golden/codec_inputs.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LAYERS = 3, EXPERTS = 5, EMBD = 256, FF = 96, VOCAB = 32, UNREACHED = 3, MAX = 64, MOST = EXPERTS * EMBD * 256 };

static char folder[] = "/tmp/hallmark-experts-XXXXXX";
static char in_path[128], out_path[128], im_path[128];

// Block 2 guesses the token after the next. FF is no multiple of 256, so ffn_down falls back; nor are ffn_gate_inp and
// ssm_conv1d ever blocks.
typedef struct { const char *name; int n_dims; int64_t shape[3]; bool f32; } part;
static const part parts[] = {
    { "token_embd.weight", 2, { VOCAB, EMBD }, false },
    { "output_norm.weight", 1, { EMBD }, true },
    { "blk.0.attn_qkv.weight", 2, { 256, EMBD }, false },
    { "blk.0.ssm_conv1d.weight", 2, { 256, 4 }, true },
    { "blk.0.ffn_gate_inp.weight", 2, { EXPERTS, EMBD }, true },
    { "blk.0.ffn_gate_exps.weight", 3, { EXPERTS, FF, EMBD }, false },
    { "blk.0.ffn_up_exps.weight", 3, { EXPERTS, FF, EMBD }, false },
    { "blk.0.ffn_down_exps.weight", 3, { EXPERTS, EMBD, FF }, false },
    { "blk.0.ffn_down_shexp.weight", 2, { EMBD, 256 }, false },
    { "blk.1.attn_v.weight", 2, { 64, EMBD }, false },
    { "blk.1.ffn_gate_exps.weight", 3, { EXPERTS, FF, EMBD }, false },
    { "blk.1.ffn_down_exps.weight", 3, { EXPERTS, EMBD, 256 }, false },
    { "blk.2.attn_v.weight", 2, { 64, EMBD }, false },
    { "blk.2.ffn_down_exps.weight", 3, { EXPERTS, EMBD, 256 }, false },
    { "blk.2.nextn.eh_proj.weight", 2, { EMBD, 512 }, false },
};
enum { N = (int)(sizeof parts / sizeof *parts) };

static float values[N][MOST];

static int64_t elements(const part *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->n_dims; d++) n *= t->shape[d];
    return n;
}

static void commit(gguf_plan *p, const char *path, const tensor_source *src)
{
    static char digests[2 * MAX][SHA256_HEX + 1];
    err     e = { 0 };
    int64_t header, bytes;
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(path, bytes, &e);
    ck_assert_msg(f && write_tensors(p, f, src, 1, digests, NULL, NULL, &e), "%s", e.msg);
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
}

static void write_model(void)
{
    static tensor_source src[MAX];
    err        e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.architecture", "qwen35moe", &e)
              && gguf_plan_u32(p, "general.file_type", 32, &e));
    ck_assert(gguf_plan_u32(p, "qwen35moe.block_count", LAYERS, &e));
    ck_assert(gguf_plan_u32(p, "qwen35moe.nextn_predict_layers", 1, &e));
    ck_assert(gguf_plan_u32(p, "qwen35moe.attention.head_count", 8, &e));
    ck_assert(gguf_plan_u32(p, "qwen35moe.attention.head_count_kv", 2, &e));
    ck_assert(gguf_plan_u32(p, "qwen35moe.expert_count", EXPERTS, &e));
    for (int i = 0; i < N; i++) {
        const int64_t n = elements(&parts[i]);
        for (int64_t at = 0; at < n; at += 256)
            input_row(values[i] + at, n - at < 256 ? (int)(n - at) : 256, 0, (uint64_t)(1000 * i + at));
        ck_assert(gguf_plan_tensor(p, parts[i].name, parts[i].f32 ? DT_F32 : DT_BF16, parts[i].n_dims, parts[i].shape,
                                   &e));
        src[i] = (tensor_source){ .where = parts[i].name, .type = DT_F32, .data = (uint8_t *)values[i], .fd = -1 };
    }
    commit(p, in_path, src);
}

static bool in_matrix(const part *t) { return !t->f32 && t->n_dims > 1 && strncmp(t->name, "blk.", 4) == 0; }

// One row for each expert, or one for all (`broadcast`); blocks that guess are left out, as llama-imatrix does.
static void write_matrix(bool broadcast, bool with_last, int64_t counted)
{
    static tensor_source src[2 * MAX];
    static float sums[N][EXPERTS * 512], counts[N][EXPERTS];
    err          e = { 0 };
    int          n = 0;
    char         name[128];
    gguf_plan   *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.type", "imatrix", &e));
    for (int i = 0; i < N; i++) {
        const part *t = &parts[i];
        if (!in_matrix(t) || (!with_last && strncmp(t->name, "blk.2.", 6) == 0)) continue;
        const int64_t n_mat = t->n_dims > 2 && !broadcast ? t->shape[0] : 1, cols = t->shape[t->n_dims - 1];
        const int64_t shape[2] = { n_mat, cols }, one[2] = { n_mat, 1 };
        for (int64_t k = 0; k < n_mat; k++) {
            counts[i][k] = n_mat > 1 && k == UNREACHED ? 0 : (float)(counted + k);
            for (int64_t c = 0; c < cols; c++)
                sums[i][k * cols + c] = counts[i][k] * (float)(1 + (c * 7 + k * 3 + i) % 11);
        }
        snprintf(name, sizeof name, "%s.in_sum2", t->name);
        ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, shape, &e));
        snprintf(name, sizeof name, "%s.counts", t->name);
        ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, one, &e));
        src[n++] = (tensor_source){ .where = "", .type = DT_F32, .data = (uint8_t *)sums[i], .fd = -1 };
        src[n++] = (tensor_source){ .where = "", .type = DT_F32, .data = (uint8_t *)counts[i], .fd = -1 };
    }
    commit(p, im_path, src);
}

// ---- what was logged -----------------------------------------------------------------------------------------------

static char logged[4096];

static void keep_line(progress *p, const char *line)
{
    (void)p;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static bool quantize(file_type ft, const char *im, int threads, err *e)
{
    progress            log = { .log = keep_line };
    const quantize_opts o = { .type = ft, .imatrix = im, .n_threads = threads, .progress = &log };
    logged[0] = '\0';
    *e = (err){ 0 };
    return quantize_file(in_path, out_path, &o, e);
}

// ---- bytes ---------------------------------------------------------------------------------------------------------

// Every row is what the codec makes of it with its own expert's importance: ones where no token reached it.
static void check_rows(const gguf *in, const gguf *out, const imatrix *im)
{
    static float   x[512];
    static uint8_t row[2048];
    int64_t        weighted = 0;
    for (int64_t i = 0; i < gguf_n_tensors(out); i++) {
        const gguf_tensor *to = gguf_tensor_at(out, i), *from = gguf_find_tensor(in, to->name);
        const int64_t cols = to->shape[to->n_dims - 1], per_matrix = to->n_dims > 1 ? to->shape[to->n_dims - 2] : 1;
        int64_t       from_bytes, to_bytes, n = 0;
        err           e = { 0 };
        ck_assert(dtype_row_bytes(from->type, cols, &from_bytes) && dtype_row_bytes(to->type, cols, &to_bytes));
        const float *v = im ? imatrix_find(im, to->name, &n) : NULL;
        for (int64_t r = 0; r < to->n_elems / cols; r++) {
            const float *own = v ? v + (n > cols ? r / per_matrix * cols : 0) : NULL;
            codec_find(from->type)->decode_row(x, from->data + r * from_bytes, cols);
            ck_assert(codec_find(to->type)->encode_row(row, x, cols, own, &e));
            ck_assert_msg(memcmp(row, to->data + r * to_bytes, (size_t)to_bytes) == 0, "%s: row %lld", to->name,
                          (long long)r);
        }
        weighted += v != NULL && to->n_dims > 2;
    }
    if (im) ck_assert_int_ge(weighted, 4);
}

static void check_output(file_type ft, const char *im_file)
{
    err      e = { 0 };
    gguf    *in = gguf_open(in_path, &e), *out = gguf_open(out_path, &e);
    imatrix *im = im_file ? imatrix_open(im_file, &e) : NULL;
    ck_assert_msg(in && out && (im || !im_file), "%s", e.msg);
    check_rows(in, out, im);
    ck_assert_int_eq(gguf_find_tensor(out, "blk.0.ffn_gate_inp.weight")->type, DT_F32);
    ck_assert_int_eq(gguf_find_tensor(out, "blk.0.ssm_conv1d.weight")->type, DT_F32);
    if (ft == FT_Q4_K_M) ck_assert_int_eq(gguf_find_tensor(out, "blk.0.ffn_down_exps.weight")->type, DT_Q5_0);
    const derive_opts o = { .imatrix = im_file, .n_threads = 3 };
    ck_assert_msg(derive_from_gguf(out_path, in_path, &o, &e), "%s", e.msg);
    imatrix_close(im);
    gguf_close(in);
    gguf_close(out);
}

START_TEST(test_each_type)
{
    static const file_type types[] = { FT_Q8_0, FT_Q4_0, FT_Q5_1, FT_Q2_K, FT_Q3_K_M, FT_Q4_K_M, FT_Q6_K, FT_F16 };
    err e = { 0 };
    write_model();
    write_matrix(false, false, 40);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int with = 0; with < 2; with++) {
            const char *im = with ? im_path : NULL;
            ck_assert_msg(quantize(types[i], im, 1 + 2 * with, &e), "%s", e.msg);
            check_output(types[i], types[i] == FT_F16 ? NULL : im);
        }
}
END_TEST

START_TEST(test_experts_without_tokens_are_named)
{
    err e = { 0 };
    write_model();
    write_matrix(false, false, 40);
    ck_assert_msg(quantize(FT_Q4_K_M, im_path, 2, &e), "%s", e.msg);
    ck_assert_msg(strstr(logged, "no token reached 5 matrices of experts") != NULL, "%s", logged);
    ck_assert_msg(strstr(logged, "the first is expert 3 of 'blk.0.ffn_gate_exps.weight'") != NULL, "%s", logged);
    ck_assert_msg(strstr(logged, "fewer than") == NULL, "%s", logged);
    write_matrix(false, false, 15);         // expert 0: 15 tokens
    ck_assert_msg(quantize(FT_Q4_K_M, im_path, 2, &e), "%s", e.msg);
    ck_assert_msg(strstr(logged, "fewer than 16 tokens reached 5 matrices of experts: the first is expert 0") != NULL,
                  "%s", logged);
    // it has no search
    ck_assert_msg(quantize(FT_Q8_0, im_path, 2, &e) && !strstr(logged, "of experts"), "%s", logged);
}
END_TEST

START_TEST(test_what_a_matrix_may_lack)
{
    err e = { 0 };
    write_model();
    write_matrix(false, true, 40);          // a block that guesses may have entries, too
    ck_assert_msg(quantize(FT_Q4_K_M, im_path, 2, &e), "%s", e.msg);
    check_output(FT_Q4_K_M, im_path);
    write_matrix(true, false, 40);          // one row for all experts is another model's
    ck_assert(!quantize(FT_Q4_K_M, im_path, 2, &e) && e.kind == ERR_INPUT);
    ck_assert_msg(strstr(e.msg, "entry 'blk.0.ffn_gate_exps.weight': found 256 values, expected 1280") != NULL, "%s",
                  e.msg);
}
END_TEST

int main(void)
{
    if (!mkdtemp(folder)) return EXIT_FAILURE;
    snprintf(in_path, sizeof in_path, "%s/in.gguf", folder);
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
    snprintf(im_path, sizeof im_path, "%s/im.gguf", folder);
    Suite *s = suite_create("quant_experts");
    TCase *c = tcase_create("quant_experts");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_each_type);
    tcase_add_test(c, test_experts_without_tokens_are_named);
    tcase_add_test(c, test_what_a_matrix_may_lack);
    const int status = run_suite(s);
    unlink(in_path);
    unlink(out_path);
    unlink(im_path);
    rmdir(folder);
    return status;
}
