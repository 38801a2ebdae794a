// Proves measure/importance.h on the committed tiny Gemma 4: the sums are those of the first layer's input computed by
// hand, the same for any number of threads; merging adds; quant/imatrix.h reads the result; what is refused is named.
// (Beside llama-imatrix on the same file and text: the same entries and counts; sums within 8e-5 of the largest, where
// llama-imatrix keeps its KV cache in F16.)
#include "quant/codec.h"
#include "quant/imatrix.h"
#include "quant/quantize.h"
#include "measure/importance.h"
#include "verify_files.h"
#include <math.h>

enum { CHUNK = 128 };

static char art[SCRATCH_PATH], text_path[SCRATCH_PATH], short_path[SCRATCH_PATH], first[SCRATCH_PATH],
    second[SCRATCH_PATH], both[SCRATCH_PATH];
static err e;

static void prepare(void)
{
    files_begin("hallmark-importance");
    scratch_path(art, "a.gguf");
    scratch_path(text_path, "text");
    scratch_path(short_path, "short");
    scratch_path(first, "1.gguf");
    scratch_path(second, "2.gguf");
    scratch_path(both, "both.gguf");
    convert_tiny("a.gguf", FT_F32);
    write_license(text_path, 2500);
    write_license(short_path, 40);
}

static bool compute(const char *out, int n_threads, const char *text, const char *const *merge, int n_merge, err *why)
{
    const importance_opts o = { .texts = &text,
                                .n_texts = text ? 1 : 0,
                                .merge = merge,
                                .n_merge = n_merge,
                                .chunk = CHUNK,
                                .run = { .device = "cpu", .n_threads = n_threads, .n_batch = 50 } };
    return importance_compute(text ? art : NULL, out, &o, why);
}

static const float *values(const gguf *g, const char *name, int64_t n)
{
    const gguf_tensor *t = gguf_find_tensor(g, name);
    ck_assert_msg(t != NULL, "no %s", name);
    ck_assert(t->type == DT_F32 && t->n_elems == n);
    return (const float *)(const void *)t->data;
}

START_TEST(sums_are_those_of_the_first_layers_input)
{
    ck_assert_msg(compute(first, 2, text_path, NULL, 0, &e), "%s", e.msg);
    gguf *im = gguf_open(first, &e);
    model *m = model_open(art, &e);
    ck_assert_msg(im && m, "%s", e.msg);
    const hparams *h = model_hparams(m);
    char *text;
    int64_t n_bytes, n, chunks;
    int32_t *ids;
    ck_assert(file_read_text(&text, &n_bytes, text_path, 1 << 20, &e));
    ck_assert(tokenizer_encode(model_tokenizer(m), text, n_bytes, true, false, &ids, &n, &e));
    chunks = n / CHUNK;
    ck_assert_int_gt(chunks, 2);
    // attn_norm of sqrt(n_embd) times each token's embedding, every chunk begun with BOS.
    const float *embd = (const float *)(const void *)gguf_find_tensor(model_gguf(m), "token_embd.weight")->data;
    const float *norm = (const float *)(const void *)gguf_find_tensor(model_gguf(m), "blk.0.attn_norm.weight")->data;
    double *want = calloc((size_t)h->n_embd, sizeof *want);
    for (int64_t t = 0; t < chunks * CHUNK; t++) {
        const float *row = embd + (t % CHUNK ? ids[t] : tokenizer_bos(model_tokenizer(m))) * (int64_t)h->n_embd;
        double ms = 0;
        for (int c = 0; c < h->n_embd; c++) ms += (double)row[c] * row[c] * h->n_embd;
        for (int c = 0; c < h->n_embd; c++)
            want[c] += pow(row[c] * norm[c], 2) * h->n_embd / (ms / h->n_embd + h->rms_eps);
    }
    const float *sum = values(im, "blk.0.attn_q.weight.in_sum2", h->n_embd);
    for (int c = 0; c < h->n_embd; c++)
        ck_assert_msg(fabs(sum[c] - want[c]) <= 1e-5 * want[c], "column %d: %g, expected %g", c, (double)sum[c],
                      want[c]);
    ck_assert(*values(im, "blk.0.attn_q.weight.counts", 1) == (float)(chunks * CHUNK));
    ck_assert(memcmp(sum, values(im, "blk.0.attn_k.weight.in_sum2", h->n_embd), (size_t)h->n_embd * 4) == 0);
    // Every matrix of a layer has an entry, and nothing else.
    int64_t matrices = 0;
    for (int64_t i = 0; i < gguf_n_tensors(model_gguf(m)); i++) {
        const gguf_tensor *t = gguf_tensor_at(model_gguf(m), i);
        matrices += t->n_dims == 2 && strncmp(t->name, "blk.", 4) == 0;
    }
    ck_assert_int_eq(gguf_n_tensors(im), 2 * matrices);
    free(want); free(ids); free(text);
    model_close(m);
    gguf_close(im);
}
END_TEST

START_TEST(the_same_bytes_for_any_number_of_threads_and_merging_adds)
{
    ck_assert_msg(compute(first, 1, text_path, NULL, 0, &e) && compute(second, 3, text_path, NULL, 0, &e), "%s", e.msg);
    file_map a = { 0 }, b = { 0 };
    ck_assert(file_map_open(&a, first, &e) && file_map_open(&b, second, &e));
    ck_assert(a.size == b.size && memcmp(a.data, b.data, (size_t)a.size) == 0);
    file_map_close(&a);
    file_map_close(&b);
    const char *merge[] = { first, second };
    ck_assert_msg(compute(both, 2, NULL, merge, 2, &e), "%s", e.msg);
    gguf *one = gguf_open(first, &e), *two = gguf_open(both, &e);
    ck_assert_int_eq(gguf_n_tensors(one), gguf_n_tensors(two));
    for (int64_t i = 0; i < gguf_n_tensors(one); i++) {
        const gguf_tensor *t = gguf_tensor_at(one, i);
        const float *x = (const float *)(const void *)t->data, *y = values(two, t->name, t->n_elems);
        for (int64_t c = 0; c < t->n_elems; c++) ck_assert(y[c] == 2 * x[c]);
    }
    gguf_close(one);
    gguf_close(two);
    // What quantize takes from it is the mean: the same for one and for both.
    imatrix *m1 = imatrix_open(first, &e), *m2 = imatrix_open(both, &e);
    ck_assert_msg(m1 && m2, "%s", e.msg);
    int64_t n1, n2;
    const float *v1 = imatrix_find(m1, "blk.2.ffn_down.weight", &n1),
                *v2 = imatrix_find(m2, "blk.2.ffn_down.weight", &n2);
    ck_assert(v1 && v2 && n1 == n2 && memcmp(v1, v2, (size_t)n1 * sizeof *v1) == 0);
    imatrix_close(m1);
    imatrix_close(m2);
}
END_TEST

// A matrix of one entry, n_mat experts of four columns: sums and counts that tell one file from another.
static void write_experts(const char *path, int n_mat, float base)
{
    float      sums[16], counts[4];
    int64_t    header, bytes;
    gguf_plan *p = gguf_plan_new(32, &e);
    const int64_t rows[] = { n_mat, 4 }, one[] = { n_mat, 1 };
    ck_assert(gguf_plan_str(p, "general.type", "imatrix", &e) && gguf_plan_u32(p, "imatrix.chunk_count", 2, &e));
    ck_assert(gguf_plan_u32(p, "imatrix.chunk_size", CHUNK, &e));
    ck_assert(gguf_plan_tensor(p, "blk.0.ffn_up_exps.weight.in_sum2", DT_F32, 2, rows, &e));
    ck_assert(gguf_plan_tensor(p, "blk.0.ffn_up_exps.weight.counts", DT_F32, 2, one, &e));
    for (int i = 0; i < 4 * n_mat; i++) sums[i] = base + (float)i;
    for (int i = 0; i < n_mat; i++) counts[i] = i == 1 ? 0 : base * (float)(i + 1);     // nothing reached expert 1
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(path, bytes, &e);
    ck_assert(f && outfile_write_at(f, gguf_plan_tensor_at(p, 0)->off, sums, 16 * n_mat, &e));
    ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, 1)->off, counts, 4 * n_mat, &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
}

START_TEST(experts_are_merged_one_by_one)
{
    const char *merge[] = { first, second };
    write_experts(first, 3, 10);
    write_experts(second, 3, 100);
    ck_assert_msg(compute(both, 1, NULL, merge, 2, &e), "%s", e.msg);
    gguf *g = gguf_open(both, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    const gguf_tensor *t = gguf_find_tensor(g, "blk.0.ffn_up_exps.weight.in_sum2");
    ck_assert(t && t->n_dims == 2 && t->shape[0] == 3 && t->shape[1] == 4);
    const float *sum = values(g, "blk.0.ffn_up_exps.weight.in_sum2", 12),
                *count = values(g, "blk.0.ffn_up_exps.weight.counts", 3);
    for (int i = 0; i < 12; i++) ck_assert(sum[i] == 110 + 2 * (float)i);
    ck_assert(count[0] == 110 && count[1] == 0 && count[2] == 330);
    gguf_close(g);
    int64_t n;
    imatrix *m = imatrix_open(both, &e);
    const float *v = m ? imatrix_find(m, "blk.0.ffn_up_exps.weight", &n) : NULL;
    ck_assert(v && n == 12 && v[1] == 112.0f / 110 && v[4] == 1 && v[7] == 1 && v[11] == 132.0f / 330);
    imatrix_close(m);
    err why = { 0 };
    write_experts(second, 4, 100);
    ck_assert(!compute(both, 1, NULL, merge, 2, &why) && why.kind == ERR_INPUT);
    ck_assert_msg(strstr(why.msg, "found 16 values for 4 counts, expected 12 for 3") != NULL, "%s", why.msg);
}
END_TEST

// Each token's input is seen by the experts that it is routed to: over all experts the sums are those of the router,
// which has the same input and sees every token once, times the experts of a token. Gate and up see the same; what
// comes down is seen by as many.
START_TEST(experts_see_the_tokens_that_are_routed_to_them)
{
    const convert_opts o = { .type = FT_F32 };
    const char *file = in_scratch("experts.gguf"), *texts[] = { text_path };
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-qwen3moe", file, &o, &e), "%s", e.msg);
    const importance_opts io = { .texts = texts, .n_texts = 1, .chunk = CHUNK,
                                 .run = { .device = "cpu", .n_threads = 1 } };
    ck_assert_msg(importance_compute(file, first, &io, &e), "%s", e.msg);
    gguf *im = gguf_open(first, &e), *g = gguf_open(file, &e);
    ck_assert_msg(im && g, "%s", e.msg);
    const gguf_tensor *up = gguf_find_tensor(g, "blk.0.ffn_up_exps.weight");
    const int64_t n = up->shape[0], cols = up->shape[2], ff = up->shape[1];
    int64_t used;
    ck_assert(gguf_get_i64(g, "qwen3moe.expert_used_count", &used, &e));
    const float *router = values(im, "blk.0.ffn_gate_inp.weight.in_sum2", cols);
    const float tokens = *values(im, "blk.0.ffn_gate_inp.weight.counts", 1);
    const float *gates = values(im, "blk.0.ffn_gate_exps.weight.in_sum2", n * cols);
    const float *counts = values(im, "blk.0.ffn_gate_exps.weight.counts", n);
    float all = 0;
    for (int64_t k = 0; k < n; k++) all += counts[k];
    ck_assert(tokens > 0 && all == tokens * (float)used);
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) sum += gates[k * cols + c];
        ck_assert_msg(fabs(sum - (double)used * router[c]) <= 1e-5 * sum, "column %lld: %g and %g", (long long)c, sum,
                      (double)router[c]);
    }
    ck_assert(memcmp(gates, values(im, "blk.0.ffn_up_exps.weight.in_sum2", n * cols),
                     (size_t)(n * cols) * sizeof *gates) == 0);
    ck_assert(memcmp(counts, values(im, "blk.0.ffn_down_exps.weight.counts", n), (size_t)n * sizeof *counts) == 0);
    values(im, "blk.0.ffn_down_exps.weight.in_sum2", n * ff);
    gguf_close(im);
    gguf_close(g);
    const quantize_opts q = { .type = FT_Q4_K_M, .imatrix = first, .n_threads = 1 };
    ck_assert_msg(quantize_file(file, second, &q, &e), "%s", e.msg);        // it has all that quantizing needs
}
END_TEST

// Counts of experts that are none: a matrix that has them quantizes nothing.
START_TEST(counts_that_are_none_are_named)
{
    static const float bad[] = { NAN, INFINITY, -1 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err why = { 0 };
        write_experts(second, 3, bad[i]);
        ck_assert(!imatrix_open(second, &why) && why.kind == ERR_INPUT);
        ck_assert_msg(strstr(why.msg, "tensor 'blk.0.ffn_up_exps.weight.counts': count 0: found "), "%s", why.msg);
    }
}
END_TEST

START_TEST(what_cannot_be_used_is_named)
{
    err why = { 0 };
    const char *no_matrix[] = { art }, *missing[] = { "/nonexistent.gguf" };
    ck_assert(!compute(second, 1, short_path, NULL, 0, &why) && why.kind == ERR_INPUT && strstr(why.msg, short_path));
    why = (err){ 0 };
    ck_assert(!compute(second, 1, NULL, no_matrix, 1, &why) && why.kind == ERR_INPUT && strstr(why.msg, art));
    why = (err){ 0 };
    ck_assert(!compute(second, 1, NULL, missing, 1, &why) && why.kind == ERR_INPUT);
    why = (err){ 0 };
    ck_assert(!compute(second, 1, NULL, NULL, 0, &why) && why.kind == ERR_USAGE);
    // Another chunk size: counts would be of another kind.
    ck_assert_msg(compute(first, 2, text_path, NULL, 0, &e), "%s", e.msg);
    const char *merge[] = { first };
    const importance_opts o = { .merge = merge, .n_merge = 1, .chunk = 64 };
    why = (err){ 0 };
    ck_assert(!importance_compute(NULL, both, &o, &why) && why.kind == ERR_INPUT &&
              strstr(why.msg, "imatrix.chunk_size"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("importance");
    TCase *t = tcase_create("importance");
    tcase_add_unchecked_fixture(t, prepare, files_end);
    tcase_add_test(t, sums_are_those_of_the_first_layers_input);
    tcase_add_test(t, the_same_bytes_for_any_number_of_threads_and_merging_adds);
    tcase_add_test(t, experts_are_merged_one_by_one);
    tcase_add_test(t, experts_see_the_tokens_that_are_routed_to_them);
    tcase_add_test(t, counts_that_are_none_are_named);
    tcase_add_test(t, what_cannot_be_used_is_named);
    suite_add_tcase(s, t);
    return run_suite(s);
}
