// Proves runtime/session.h on the committed tiny Gemma 4: the same bits for any batch, thread count and SIMD level;
// cache dtypes; what a missing or misshapen tensor, a wrong name or an id out of range says. (Tokens against
// Transformers: verify_e2e_test.c.)
#include "convert/convert.h"
#include "runtime/session.h"
#include "suite.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], f32_path[96], q4_path[96];
static err e;

static void make_artifacts(void)
{
    strcpy(dir, "/tmp/hallmark-session-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(f32_path, sizeof f32_path, "%s/f32.gguf", dir);
    snprintf(q4_path, sizeof q4_path, "%s/q4.gguf", dir);
    convert_opts o = { .type = FT_F32 };
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", f32_path, &o, &e), "%s", e.msg);
    o.type = FT_Q4_K_M;
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", q4_path, &o, &e), "%s", e.msg);
}

static void remove_artifacts(void)
{
    unlink(f32_path);
    unlink(q4_path);
    rmdir(dir);
}

enum { N_IDS = 90, N_LOGITS = 5 };      // more than twice the sliding window
static int32_t ids[N_IDS];

static void some_ids(const model *m)
{
    const char *text = "def area(width, height):\n    return width * height\n\nThe sliding window is shorter than this "
                       "text, so that "
                       "its oldest keys have left the cache by the time the last of these words is read, in every "
                       "layer that slides.";
    int32_t *got;
    int64_t n;
    ck_assert_msg(tokenizer_encode(model_tokenizer(m), text, (int64_t)strlen(text), true, true, &got, &n, &e), "%s",
                  e.msg);
    for (int i = 0; i < N_IDS; i++) ids[i] = got[i % n];
    free(got);
}

// Logits of the last positions under the given options; freed by the caller.
static float *logits_of(const model *m, session_opts o)
{
    o.device = "cpu";
    o.n_ctx = N_IDS + 1;
    session *s = session_new(m, &o, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    float *x = malloc((size_t)(N_LOGITS * model_hparams(m)->n_vocab) * sizeof *x);
    ck_assert_msg(session_eval(s, ids, N_IDS, x, N_LOGITS, NULL, &e), "%s", e.msg);
    ck_assert_int_eq(session_pos(s), N_IDS);
    session_free(s);
    return x;
}

START_TEST(the_same_bits_for_any_batch_threads_and_level)
{
    static const session_opts variants[] = {
        { .n_threads = 1, .n_batch = 1 }, { .n_threads = 2, .n_batch = 7 }, { .n_threads = 7, .n_batch = 64 },
        { .simd = "portable", .n_batch = 90 }, { .simd = "avx2", .n_batch = 13 }, { .simd = "avx512", .n_batch = 89 },
    };
    static const char *ariths[] = { "f32", "bf16" };
    const char *paths[] = { f32_path, q4_path };
    for (int f = 0; f < 2; f++) {
        model *m = model_open(paths[f], &e);
        ck_assert_msg(m != NULL, "%s", e.msg);
        some_ids(m);
        const size_t bytes = (size_t)(N_LOGITS * model_hparams(m)->n_vocab) * sizeof(float);
        for (int a = 0; a < 2; a++) {
            float *want = logits_of(m, (session_opts){ .arith = ariths[a], .n_threads = 2 });
            for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
                err has = { 0 };
                backend *b = backend_cpu(ARITH_F32, 1, variants[v].simd, &has);
                if (!b) { fprintf(stderr, "SKIP %s: %s\n", variants[v].simd, has.msg); continue; }
                b->ops->close(b);
                session_opts o = variants[v];
                o.arith = ariths[a];
                float *got = logits_of(m, o);
                ck_assert_msg(memcmp(got, want, bytes) == 0, "file %d, arithmetic %s, variant %d", f, ariths[a],
                              (int)v);
                free(got);
            }
            free(want);
        }
        model_close(m);
    }
}
END_TEST

START_TEST(every_cache_dtype_runs_and_each_is_another_model)
{
    static const char *kvs[] = { "f32",
                                 "bf16",
                                 "f16",
                                 "q8_0",
                                 "q4_0",
                                 "q5_1",
                                 "q5_0",
                                 "q4_1",
                                 "iq4_nl",
                                 "k=q8_0,v=q4_0",
                                 "sliding:q4_0;full:bf16",
                                 "layers 0:f16;*:f32" };
    model *m = model_open(f32_path, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    some_ids(m);
    const int64_t n = N_LOGITS * model_hparams(m)->n_vocab;
    float *want = logits_of(m, (session_opts){ 0 });
    double last = 0;
    for (size_t i = 0; i < sizeof kvs / sizeof *kvs; i++) {
        float *got = logits_of(m, (session_opts){ .kv = kvs[i] });
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += (double)(got[j] - want[j]) * (double)(got[j] - want[j]);
        ck_assert(sum == sum);
        // f32 is the required one; bf16 rounds more coarsely than f16; q8_0 and q4_0 more coarsely yet.
        if (i == 0) ck_assert(sum == 0); else ck_assert(sum > 0);
        if (i == 3 || i == 4) ck_assert_msg(sum > last, "%s: %g, not above %g", kvs[i], sum, last);
        if (i != 2) last = sum;
        free(got);
        session *s = session_new(m, &(session_opts){ .device = "cpu", .kv = kvs[i], .n_ctx = 8 }, &e);
        ck_assert_int_eq(session_kv_is_required(s), i == 0);
        ck_assert_str_eq(session_kv(s), kvs[i]);
        session_free(s);
    }
    free(want);
    model_close(m);
}
END_TEST

START_TEST(a_reset_session_starts_over)
{
    model *m = model_open(q4_path, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    some_ids(m);
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = N_IDS + 8, .n_batch = 16 }, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    int32_t first[8], again[8];
    ck_assert_int_eq(session_generate(s, ids, N_IDS, first, 8, true, NULL, NULL, &e), 8);
    session_reset(s);
    ck_assert_int_eq(session_pos(s), 0);
    ck_assert_int_eq(session_generate(s, ids, N_IDS, again, 8, true, NULL, NULL, &e), 8);
    ck_assert(memcmp(first, again, sizeof first) == 0);
    // The greedy ids are the argmax of the logits that eval gives.
    const int64_t n_vocab = model_hparams(m)->n_vocab;
    float *x = malloc((size_t)n_vocab * sizeof *x);
    session_reset(s);
    ck_assert(session_eval(s, ids, N_IDS, x, 1, NULL, &e));
    ck_assert_int_eq(argmax_f32(x, n_vocab), first[0]);
    free(x);
    session_free(s);
    model_close(m);
}
END_TEST

START_TEST(wrong_options_and_ids_are_named)
{
    static const struct { session_opts o; const char *named; } cases[] = {
        { { .n_ctx = 4, .kv = "f8" }, "'f8'" },       { { .n_ctx = 4, .arith = "f16" }, "'f16'" },
        { { .n_ctx = 4, .device = "tpu" }, "'tpu'" }, { { .n_ctx = 0 }, "room" },
        { { .n_ctx = 4, .simd = "mmx" }, "'mmx'" },   { { .n_ctx = 4, .fault = FAULT_KV_F16 }, "faults" },
    };
    model *m = model_open(q4_path, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        session_opts o = cases[i].o;
        if (!o.device) o.device = "cpu";
        err got = { 0 };
        ck_assert_ptr_null(session_new(m, &o, &got));
        ck_assert_int_eq(got.kind, ERR_USAGE);
        ck_assert_msg(strstr(got.msg, cases[i].named) != NULL, "%s", got.msg);
    }
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 4 }, &e);
    err got = { 0 };
    int32_t bad[] = { 2, -1 }, big[] = { (int32_t)model_hparams(m)->n_vocab };
    ck_assert(!session_eval(s, bad, 2, NULL, 0, NULL, &got) && got.kind == ERR_INPUT);
    got = (err){ 0 };
    ck_assert(!session_eval(s, big, 1, NULL, 0, NULL, &got) && got.kind == ERR_INPUT);
    got = (err){ 0 };
    ck_assert(!session_eval(s, ids, 5, NULL, 0, NULL, &got) && got.kind == ERR_USAGE);
    ck_assert_int_eq(session_pos(s), 0);
    session_free(s);
    model_close(m);
}
END_TEST

// Copies a file's metadata and its tensors but one, which is left out (n_cols 0) or given another width.
static void rewrite(const char *from, const char *to, const char *name, int64_t n_cols)
{
    gguf *g = gguf_open(from, &e);
    gguf_plan *p = gguf_plan_new(32, &e);
    int64_t header, size;
    for (int64_t i = 0; i < gguf_n_kv(g); i++) ck_assert(gguf_plan_copy_kv(p, gguf_kv_at(g, i), &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        int64_t shape[LIMIT_DIMS];
        memcpy(shape, t->shape, sizeof shape);
        if (strcmp(t->name, name) == 0) {
            if (n_cols == 0) continue;
            shape[t->n_dims - 1] = n_cols;
        }
        ck_assert_msg(gguf_plan_tensor(p, t->name, t->type, t->n_dims, shape, &e), "%s", e.msg);
    }
    ck_assert(gguf_plan_layout(p, &header, &size, &e));
    outfile *f = outfile_open(to, size, &e);
    ck_assert_msg(f && gguf_plan_write(p, f, &e), "%s", e.msg);
    for (int64_t i = 0; i < gguf_plan_n_tensors(p); i++) {
        const gguf_tensor *t = gguf_plan_tensor_at(p, i), *src = gguf_find_tensor(g, t->name);
        ck_assert(outfile_write_at(f, t->off, src->data, t->n_bytes < src->n_bytes ? t->n_bytes : src->n_bytes, &e));
    }
    ck_assert_msg(outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    gguf_close(g);
}

START_TEST(missing_and_misshapen_tensors_are_named)
{
    static const struct { const char *tensor; int64_t cols; } cases[] = {
        { "token_embd.weight", 0 },    { "blk.0.attn_q.weight", 0 },         { "blk.2.ffn_down.weight", 0 },
        { "output_norm.weight", 0 },   { "per_layer_model_proj.weight", 0 }, { "blk.1.attn_k_norm.weight", 0 },
        { "blk.0.attn_q.weight", 64 }, { "blk.1.attn_norm.weight", 7 },      { "blk.3.inp_gate.weight", 512 },
        { "rope_freqs.weight", 3 },
    };
    char path[128];
    snprintf(path, sizeof path, "%s/broken.gguf", dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rewrite(f32_path, path, cases[i].tensor, cases[i].cols);
        err got = { 0 };
        model *m = model_open(path, &got);
        session *s = m ? session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 4 }, &got) : NULL;
        ck_assert_msg(s == NULL, "%s was accepted", cases[i].tensor);
        ck_assert_int_eq(got.kind, ERR_INPUT);
        ck_assert_msg(strstr(got.msg, cases[i].tensor) != NULL, "%s", got.msg);
        model_close(m);
    }
    unlink(path);
}
END_TEST

// A weight that is no number makes every logit none: on the CPU that is the file's fault, and said of the file.
START_TEST(logits_that_are_no_numbers_are_the_files_fault)
{
    model *m = model_open(f32_path, &e);
    const long at = (long)gguf_find_tensor(model_gguf(m), "output_norm.weight")->off;
    model_close(m);
    FILE *f = fopen(f32_path, "r+b");
    uint8_t old[4], nan[4] = { 0, 0, 0xc0, 0x7f };
    ck_assert(f && fseek(f, at, SEEK_SET) == 0 && fread(old, 1, 4, f) == 4 && fseek(f, at, SEEK_SET) == 0 &&
              fwrite(nan, 1, 4, f) == 4 && fclose(f) == 0);
    err got = { 0 };
    int32_t out[2];
    m = model_open(f32_path, &e);
    some_ids(m);
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 8 }, &e);
    ck_assert_msg(s && session_generate(s, ids, 3, out, 2, true, NULL, NULL, &got) < 0, "%s", e.msg);
    ck_assert_int_eq(got.kind, ERR_INPUT);
    ck_assert_msg(strstr(got.msg, "f32.gguf: every logit after position 2 is not a number") != NULL, "%s", got.msg);
    session_free(s);
    model_close(m);
    f = fopen(f32_path, "r+b");
    ck_assert(f && fseek(f, at, SEEK_SET) == 0 && fwrite(old, 1, 4, f) == 4 && fclose(f) == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("session");
    TCase *t = tcase_create("cpu");
    tcase_add_unchecked_fixture(t, make_artifacts, remove_artifacts);
    tcase_add_test(t, the_same_bits_for_any_batch_threads_and_level);
    tcase_add_test(t, every_cache_dtype_runs_and_each_is_another_model);
    tcase_add_test(t, a_reset_session_starts_over);
    tcase_add_test(t, wrong_options_and_ids_are_named);
    tcase_add_test(t, missing_and_misshapen_tensors_are_named);
    tcase_add_test(t, logits_that_are_no_numbers_are_the_files_fault);
    suite_add_tcase(s, t);
    return run_suite(s);
}
