// Proves measure/calibrate.h, and effort over a whole file, on the committed tiny Gemma 4: the factors are those of the
// first layer's input computed by hand, the same for any number of threads and whatever the memory bound; the quantized
// file is the same for any number of threads, is of the same size, predicts nearer to its source by a quarter at least,
// says how it was made, and derives from its source with the same texts only.
#include "convert/convert.h"
#include "formats/claims.h"
#include "formats/file_map.h"
#include "quant/moments.h"
#include "quant/quantize.h"
#include "measure/calibrate.h"
#include "measure/divergence.h"
#include "measure/texts.h"
#include "mini_checkpoint.h"
#include "suite.h"
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 128, HF_COLS = 256 };

static char dir[64], source[96], plain[96], first[96], second[96], text[96], held_out[96], short_text[96];
static err e;

static void prepare(void)
{
    char *license;
    int64_t n;
    struct {
        char *path;
        const char *name;
    } all[] = { { source, "source" }, { plain, "plain" },   { first, "1" },         { second, "2" },
                { text, "text" },     { held_out, "held" }, { short_text, "short" } };
    strcpy(dir, "/tmp/hallmark-calibrate-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) snprintf(all[i].path, 96, "%s/%s", dir, all[i].name);
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", source, &(convert_opts){ .type = FT_BF16 },
                                     &e),
                  "%s", e.msg);
    ck_assert_msg(file_read_text(&license, &n, SOURCE_DIR "/LICENSE", 1 << 20, &e), "%s", e.msg);
    ck_assert_int_gt(n, 9000);
    write_file(text, license, 7000);
    write_file(held_out, license + 7000, 2000);
    write_file(short_text, "a", 1);
    free(license);
}

static void clean(void)
{
    const char *all[] = { source, plain, first, second, text, held_out, short_text };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) unlink(all[i]);
    rmdir(dir);
}

static calibration *calibrate(const char *path, int threads, int64_t memory, int64_t tokens, err *why)
{
    const calibration_opts o = { .texts = &path,
                                 .n_texts = 1,
                                 .chunk = CHUNK,
                                 .max_tokens = tokens,
                                 .memory_bytes = memory,
                                 .dir = dir,
                                 .n_threads = threads };
    return calibration_compute(source, &o, why);
}

static const feedback *feedback_of(const effort_opts *o, const char *tensor)
{
    for (int64_t i = 0; i < o->n; i++) if (strcmp(o->feedback[i].tensor, tensor) == 0) return &o->feedback[i].f;
    return NULL;
}

START_TEST(factors_are_those_of_the_first_layers_input)
{
    enum { TOKENS = 300 };
    calibration *c = calibrate(text, 2, 0, TOKENS, &e);
    model *m = model_open(source, &e);
    ck_assert_msg(c && m, "%s", e.msg);
    ck_assert_int_eq(calibration_tokens(c), TOKENS);
    const hparams *h = model_hparams(m);
    ck_assert_int_eq(h->n_embd, HF_COLS);
    int32_t *ids;
    int64_t n;
    ck_assert(texts_read(&ids, &n, m, text, TOKENS, &e));
    const uint16_t *embd = (const uint16_t *)(const void *)gguf_find_tensor(model_gguf(m), "token_embd.weight")->data;
    const float *norm = (const float *)(const void *)gguf_find_tensor(model_gguf(m), "blk.0.attn_norm.weight")->data;
    static float x[TOKENS * HF_COLS], sums[HF_COLS * HF_COLS], d[HF_COLS];
    for (int t = 0; t < TOKENS; t++) {
        const int64_t id = t % CHUNK ? ids[t] : tokenizer_bos(model_tokenizer(m));
        double ms = 0;
        // embeddings times sqrt(256)
        for (int i = 0; i < HF_COLS; i++) ms += pow(16 * (double)f32_from_bf16(embd[id * HF_COLS + i]), 2) / HF_COLS;
        for (int i = 0; i < HF_COLS; i++)
            x[t * HF_COLS + i] = (float)(16 * (double)f32_from_bf16(embd[id * HF_COLS + i]) / sqrt(ms + h->rms_eps) *
                                         norm[i]);
    }
    moments_add(sums, HF_COLS, x, HF_COLS, TOKENS, 1);
    ck_assert(moments_factor(sums, d, sums, HF_COLS, TOKENS, 0.01, 1, &e));
    const effort_opts o = calibration_effort(c, 0);
    const feedback *q = feedback_of(&o, "blk.0.attn_q.weight"), *k = feedback_of(&o, "blk.0.attn_k.weight");
    ck_assert(q && k && q->m == k->m && q->cols == HF_COLS && q->block == HF_COLS);
    for (int i = 0; i < HF_COLS; i++) {
        ck_assert_msg(fabsf(q->d[i] - d[i]) <= 1e-3f * d[i], "column %d: %g, expected %g", i, (double)q->d[i],
                      (double)d[i]);
        for (int j = 0; j < HF_COLS; j++)
            ck_assert_msg(fabsf(q->m[i * HF_COLS + j] - sums[i * HF_COLS + j]) < 2e-3f, "%d, %d: %g, expected %g", i, j,
                          (double)q->m[i * HF_COLS + j], (double)sums[i * HF_COLS + j]);
    }
    // Every matrix of a layer, nothing else.
    for (int64_t i = 0; i < gguf_n_tensors(model_gguf(m)); i++) {
        const gguf_tensor *t = gguf_tensor_at(model_gguf(m), i);
        ck_assert_msg((feedback_of(&o, t->name) != NULL) == (t->n_dims == 2 && strncmp(t->name, "blk.", 4) == 0), "%s",
                      t->name);
    }
    ck_assert(o.level == 1 && strlen(o.calibration) == 64);
    free(ids);
    model_close(m);
    calibration_free(c);
}
END_TEST

static void same_file_bytes(const char *a, const char *b)
{
    file_map x = { 0 }, y = { 0 };
    ck_assert(file_map_open(&x, a, &e) && file_map_open(&y, b, &e));
    ck_assert(x.size == y.size && memcmp(x.data, y.data, (size_t)x.size) == 0);
    file_map_close(&x);
    file_map_close(&y);
}

static void quantize(const char *out, const effort_opts *effort, int threads)
{
    const quantize_opts o = { .type = FT_Q4_K_M, .n_threads = threads, .effort = *effort };
    ck_assert_msg(quantize_file(source, out, &o, &e), "%s", e.msg);
}

START_TEST(same_bytes_for_any_threads_and_memory)
{
    const int64_t one_input = 256 * 256 * 4;
    calibration *a = calibrate(text, 1, 0, 512, &e), *b = calibrate(text, 3, 2 * one_input, 512, &e);
    ck_assert_msg(a && b, "%s", e.msg);
    const effort_opts x = calibration_effort(a, 1), y = calibration_effort(b, 1);
    ck_assert_int_eq(x.n, y.n);
    for (int64_t i = 0; i < x.n; i++) {
        const feedback *f = &x.feedback[i].f, *g = &y.feedback[i].f;
        ck_assert(f->cols <= CALIBRATION_BLOCK && f->cols == g->cols);
        ck_assert(memcmp(f->m, g->m, (size_t)(f->cols * f->cols) * sizeof(float)) == 0 &&
                  memcmp(f->d, g->d, (size_t)f->cols * sizeof(float)) == 0);
    }
    quantize(first, &x, 1);
    for (int threads = 2; threads <= 7; threads += 5) {
        quantize(second, &y, threads);
        same_file_bytes(first, second);
    }
    const effort_opts one = { .level = 1 };
    quantize(first, &one, 1);
    quantize(second, &one, 7);
    same_file_bytes(first, second);
    calibration_free(a);
    calibration_free(b);
}
END_TEST

START_TEST(nearer_to_the_source_at_the_same_size)
{
    calibration *c = calibrate(text, 2, 0, 0, &e);
    ck_assert_msg(c != NULL, "%s", e.msg);
    const effort_opts none = { 0 }, search = { .level = 1 }, calibrated = calibration_effort(c, 1);
    quantize(plain, &none, 2);
    quantize(first, &search, 2);
    quantize(second, &calibrated, 2);
    model *ref = model_open(source, &e),
          *arts[] = { model_open(plain, &e), model_open(first, &e), model_open(second, &e) };
    ck_assert_msg(ref && arts[0] && arts[1] && arts[2], "%s", e.msg);
    for (int64_t i = 0; i < gguf_n_tensors(model_gguf(ref)); i++)
        for (int a = 1; a < 3; a++)
            ck_assert(gguf_tensor_at(model_gguf(arts[0]), i)->type == gguf_tensor_at(model_gguf(arts[a]), i)->type);
    int32_t *ids;
    int64_t n;
    divergence d[3];
    ck_assert(texts_read(&ids, &n, ref, held_out, 0, &e));
    ck_assert_msg(divergence_measure_many(d, ref, (const model *const *)arts, 3, ids, n,
                                          &(divergence_opts){ .run = { .device = "cpu" } }, &e),
                  "%s", e.msg);
    ck_assert_msg(d[1].kl_mean < d[0].kl_mean, "effort 1: KL %g, the reference's %g", d[1].kl_mean, d[0].kl_mean);
    ck_assert_msg(d[2].kl_mean < 0.75 * d[0].kl_mean, "calibrated: KL %g, the reference's %g", d[2].kl_mean,
                  d[0].kl_mean);
    free(ids);
    model_close(ref);
    for (int a = 0; a < 3; a++) model_close(arts[a]);
    calibration_free(c);
}
END_TEST

START_TEST(the_file_says_how_it_was_made_and_derives)
{
    calibration *c = calibrate(text, 2, 0, 512, &e), *wrong = calibrate(held_out, 2, 0, 512, &e);
    ck_assert_msg(c && wrong, "%s", e.msg);
    const effort_opts calibrated = calibration_effort(c, 0), other = calibration_effort(wrong, 0),
                      search = { .level = 1 };
    err why = { 0 };
    quantize(first, &search, 2);
    quantize(second, &calibrated, 2);
    gguf *g = gguf_open(first, &e);
    int64_t level;
    ck_assert(g && gguf_get_i64(g, KEY_HM_EFFORT, &level, &e) && level == 1 && !gguf_find_kv(g, KEY_HM_CALIBRATION));
    gguf_close(g);
    char *digest, hex[SHA256_HEX + 1];
    g = gguf_open(second, &e);
    ck_assert(g && gguf_get_cstr(g, KEY_HM_CALIBRATION, &digest, &e) && sha256_file(text, hex, &e));
    ck_assert_str_eq(digest, hex);
    free(digest);
    gguf_close(g);
    // An artifact says its own effort; the calibration has to be brought along.
    ck_assert_msg(derive_from_gguf(first, source, &(derive_opts){ .n_threads = 2 }, &e), "%s", e.msg);
    ck_assert_msg(derive_from_gguf(second, source, &(derive_opts){ .effort = calibration_effort(c, 0) }, &e), "%s",
                  e.msg);
    ck_assert(!derive_from_gguf(second, source, &(derive_opts){ 0 }, &why) && why.kind == ERR_USAGE &&
              strstr(why.msg, hex));
    why = (err){ 0 };
    ck_assert(!derive_from_gguf(second, source, &(derive_opts){ .effort = other }, &why) && why.kind == ERR_VERDICT);
    why = (err){ 0 };
    ck_assert(!derive_from_gguf(first, source, &(derive_opts){ .effort = calibrated }, &why) &&
              why.kind == ERR_VERDICT);
    // Straight from the checkpoint: the same tensors.
    const convert_opts o = { .type = FT_Q4_K_M, .effort = calibrated };
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", first, &o, &e), "%s", e.msg);
    ck_assert_msg(derive_from_gguf(first, source, &(derive_opts){ .effort = calibrated }, &e), "%s", e.msg);
    calibration_free(c);
    calibration_free(wrong);
}
END_TEST

// Weights that BF16 does not hold: the folder and an F32 file of it are calibrated alike. What a killed conversion left
// is removed, what is in use is not.
START_TEST(a_folder_in_f32_is_calibrated_as_its_file)
{
    mini *m = mini_gemma4();
    for (int i = 0; i < m->n; i++) m->t[i].dtype = "F32";
    mini_write(m, false);
    // Every element is made one that needs F32: the lowest bits of its mantissa are set.
    const char *weights = in_dir(m->dir, "model.safetensors");
    file_map map = { 0 };
    ck_assert_msg(file_map_open(&map, weights, &e), "%s", e.msg);
    uint8_t *bytes = malloc((size_t)map.size);
    uint64_t header;
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.data, (size_t)map.size);
    const int64_t n = map.size;
    file_map_close(&map);
    memcpy(&header, bytes, 8);
    for (int64_t at = 8 + (int64_t)header; at < n; at += 4) {
        bytes[at] = (uint8_t)(at * 31);
        bytes[at + 1] = (uint8_t)(at * 7);
    }
    write_file(weights, bytes, n);
    free(bytes);
    ck_assert_msg(convert_checkpoint(m->dir, first, &(convert_opts){ .type = FT_F32 }, &e), "%s", e.msg);
    char left[128], used[128], left_file[160], used_file[160];
    snprintf(left, sizeof left, "%s/hallmark-source-abcdef", dir);
    snprintf(used, sizeof used, "%s/hallmark-source-ghijkl", dir);
    snprintf(left_file, sizeof left_file, "%s/source.gguf.partial-77", left);
    snprintf(used_file, sizeof used_file, "%s/source.gguf.partial-78", used);
    ck_assert(mkdir(left, 0700) == 0 && mkdir(used, 0700) == 0);
    write_file(left_file, "x", 1);
    write_file(used_file, "x", 1);
    const int lock = open(used, O_RDONLY | O_DIRECTORY);
    ck_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    const char *texts[] = { text };
    const calibration_opts o = {
        .texts = texts, .n_texts = 1, .chunk = 32, .max_tokens = 64, .dir = dir, .n_threads = 2
    };
    calibration *a = calibration_compute_hf(m->dir, &o, &e), *b = calibration_compute(first, &o, &e);
    ck_assert_msg(a && b, "%s", e.msg);
    const effort_opts x = calibration_effort(a, 1), y = calibration_effort(b, 1);
    ck_assert(x.n == y.n && x.n > 0);
    for (int64_t i = 0; i < x.n; i++) {
        const feedback *f = &x.feedback[i].f, *g = &y.feedback[i].f;
        ck_assert_msg(memcmp(f->d, g->d, (size_t)f->cols * sizeof(float)) == 0, "%s", x.feedback[i].tensor);
    }
    ck_assert(!dir_exists(left) && file_exists(used_file));
    calibration_free(a);
    calibration_free(b);
    close(lock);
    unlink(used_file);
    rmdir(used);
    mini_free(m);
}
END_TEST

// A file that claims an effort with which nothing was encoded: its blocks were there before.
START_TEST(a_claim_of_effort_without_blocks_does_not_derive)
{
    const effort_opts search = { .level = 1 };
    err why = { 0 };
    quantize(first, &search, 2);
    ck_assert(!derive_from_gguf(first, first, &(derive_opts){ 0 }, &why) && why.kind == ERR_VERDICT &&
              strstr(why.msg, KEY_HM_EFFORT));
    why = (err){ 0 };
    ck_assert(!quantize_file(source, second, &(quantize_opts){ .type = FT_BF16, .effort = search }, &why) &&
              why.kind == ERR_USAGE);
    why = (err){ 0 };
    ck_assert(!convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", second,
                                  &(convert_opts){ .type = FT_F32, .effort = search }, &why) &&
              why.kind == ERR_USAGE);
}
END_TEST

typedef struct { progress p; char line[256]; int n; } listener;

static void listen_log(progress *p, const char *line)
{
    listener *l = (listener *)(void *)p;
    snprintf(l->line, sizeof l->line, "%s", line);
    l->n++;
}

// A calibration of a few words would be taken for one of a text.
START_TEST(a_text_of_a_few_tokens_is_said_to_calibrate_poorly)
{
    const char *texts[] = { text };
    err why = { 0 };
    for (int few = 0; few < 2; few++) {
        listener l = { .p = { .log = listen_log } };
        const calibration_opts o = { .texts = texts,
                                     .n_texts = 1,
                                     .chunk = CHUNK,
                                     .max_tokens = few ? 20 : 512,
                                     .dir = dir,
                                     .n_threads = 1,
                                     .progress = &l.p };
        calibration *c = calibration_compute(source, &o, &why);
        ck_assert_msg(c != NULL, "%s", why.msg);
        ck_assert_int_eq(l.n, few);
        if (few) ck_assert_msg(strstr(l.line, "20 tokens") && strstr(l.line, "at least 512"), "%s", l.line);
        calibration_free(c);
    }
}
END_TEST

START_TEST(what_cannot_be_used_is_named)
{
    err why = { 0 };
    ck_assert(!calibrate(short_text, 1, 0, 0, &why) && why.kind == ERR_INPUT && strstr(why.msg, short_text));
    why = (err){ 0 };
    ck_assert(!calibrate("/nonexistent", 1, 0, 0, &why) && why.kind == ERR_INPUT);
    why = (err){ 0 };
    ck_assert(!calibration_compute(text, &(calibration_opts){ .n_texts = 0 }, &why) && why.kind == ERR_INPUT);
    why = (err){ 0 };
    ck_assert(!calibration_compute(source, &(calibration_opts){ .n_texts = 0 }, &why) && why.kind == ERR_USAGE);
    // Another model's calibration: the first tensor whose width it does not have.
    const tensor_feedback odd = { .tensor = "blk.0.attn_q.weight", .f = { .cols = 64, .block = 64 } };
    const quantize_opts q = { .type = FT_Q4_0, .effort = { .level = 1, .feedback = &odd, .n = 1 } };
    why = (err){ 0 };
    ck_assert(!quantize_file(source, first, &q, &why) && why.kind == ERR_INPUT && strstr(why.msg, odd.tensor));
    why = (err){ 0 };
    ck_assert(!quantize_file(source, first, &(quantize_opts){ .type = FT_Q4_0, .effort = { .level = 9 } }, &why) &&
              why.kind == ERR_USAGE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("calibrate");
    TCase *t = tcase_create("calibrate");
    tcase_add_unchecked_fixture(t, prepare, clean);
    tcase_add_test(t, factors_are_those_of_the_first_layers_input);
    tcase_add_test(t, same_bytes_for_any_threads_and_memory);
    tcase_add_test(t, nearer_to_the_source_at_the_same_size);
    tcase_add_test(t, the_file_says_how_it_was_made_and_derives);
    tcase_add_test(t, a_claim_of_effort_without_blocks_does_not_derive);
    tcase_add_test(t, a_text_of_a_few_tokens_is_said_to_calibrate_poorly);
    tcase_add_test(t, what_cannot_be_used_is_named);
    suite_add_tcase(s, t);
    TCase *folder = tcase_create("folder");
    tcase_add_unchecked_fixture(folder, prepare, clean);
    tcase_add_test(folder, a_folder_in_f32_is_calibrated_as_its_file);
    suite_add_tcase(s, folder);
    return run_suite(s);
}
