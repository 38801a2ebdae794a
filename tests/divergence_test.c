// Proves measure/divergence.h on the committed tiny Gemma 4: the figures are those computed by hand from whole chunks
// of logits, the same for any number of threads, and from what was kept; a model is at distance 0 from itself; what
// cannot be compared is named.
#include "convert/convert.h"
#include "measure/divergence.h"
#include "measure/texts.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 48, N_IDS = 120, SKIP = 3 };      // two chunks and a half

static char dir[64], exact[96], coarse[96];
static model *ref, *art;
static int32_t *ids;
static int64_t n_ids;
static err e;

static void prepare(void)
{
    strcpy(dir, "/tmp/hallmark-divergence-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(exact, sizeof exact, "%s/f32.gguf", dir);
    snprintf(coarse, sizeof coarse, "%s/q4_0.gguf", dir);
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", exact, &(convert_opts){ .type = FT_F32 }, &e),
                  "%s", e.msg);
    ck_assert_msg(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", coarse, &(convert_opts){ .type = FT_Q4_0 },
                                     &e),
                  "%s", e.msg);
    ref = model_open(exact, &e);
    art = model_open(coarse, &e);
    ck_assert_msg(ref && art, "%s", e.msg);
    ck_assert_msg(texts_read(&ids, &n_ids, ref, SOURCE_DIR "/LICENSE", N_IDS, &e), "%s", e.msg);
    ck_assert_int_eq(n_ids, N_IDS);
}

static void clean(void)
{
    free(ids);
    model_close(ref);
    model_close(art);
    unlink(exact);
    unlink(coarse);
    rmdir(dir);
}

static divergence_opts opts(int threads)
{
    return (divergence_opts){ .chunk = CHUNK, .skip = SKIP, .run = { .device = "cpu", .n_threads = threads } };
}

static float *whole_chunk(const model *m, int64_t at, int64_t n)
{
    const int64_t v = model_hparams(m)->n_vocab;
    int32_t in[CHUNK];
    memcpy(in, ids + at, (size_t)n * sizeof *in);
    in[0] = tokenizer_bos(model_tokenizer(m));
    session *s = session_new(m, &(session_opts){ .device = "cpu", .arith = "f32", .n_ctx = CHUNK }, &e);
    float *logits = malloc((size_t)(n * v) * sizeof *logits);
    ck_assert_msg(s && logits && session_eval(s, in, n, logits, n, NULL, &e), "%s", e.msg);
    session_free(s);
    return logits;
}

static double lse(const float *l, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp(l[i]);        // the soft cap keeps them under 30
    return log(sum);
}

START_TEST(figures_are_those_of_whole_chunks)
{
    divergence d;
    const divergence_opts o = opts(2);
    ck_assert_msg(divergence_measure(&d, ref, art, ids, n_ids, &o, &e), "%s", e.msg);
    const int64_t v = model_hparams(ref)->n_vocab;
    double kl = 0, max = 0, nll_ref = 0, nll = 0;
    int64_t n = 0, top = 0;
    for (int64_t at = 0; at < n_ids; at += CHUNK) {
        const int64_t len = n_ids - at < CHUNK ? n_ids - at : CHUNK;
        float *p = whole_chunk(ref, at, len), *q = whole_chunk(art, at, len);
        for (int64_t i = SKIP; i + 1 < len; i++, n++) {
            const float *a = p + i * v, *b = q + i * v;
            const double la = lse(a, v), lb = lse(b, v);
            double sum = 0;
            for (int64_t j = 0; j < v; j++) sum += exp(a[j] - la) * ((a[j] - la) - (b[j] - lb));
            kl += sum;
            if (sum > max) max = sum;
            nll_ref += la - a[ids[at + i + 1]];
            nll += lb - b[ids[at + i + 1]];
            top += argmax_f32(a, v) == argmax_f32(b, v);
        }
        free(p);
        free(q);
    }
    ck_assert_int_eq(d.tokens, n);
    ck_assert_int_eq(d.tokens, 2 * (CHUNK - 1 - SKIP) + 24 - 1 - SKIP);
    ck_assert_double_eq_tol(d.kl_mean, kl / (double)n, 1e-12);
    ck_assert_double_eq_tol(d.kl_max, max, 1e-12);
    ck_assert_double_eq_tol(d.nll_ref, nll_ref / (double)n, 1e-12);
    ck_assert_double_eq_tol(d.nll, nll / (double)n, 1e-12);
    ck_assert_int_eq(d.top1_equal, top);
    ck_assert(d.kl_mean > 1e-4 && d.kl_median > 0 && d.kl_median < d.kl_max);
}
END_TEST

START_TEST(same_figures_for_any_threads_and_from_what_was_kept)
{
    divergence one, many[2], kept, top;
    const divergence_opts o1 = opts(1), o3 = opts(3);
    const model *both[] = { art, ref };
    ck_assert_msg(divergence_measure(&one, ref, art, ids, n_ids, &o1, &e), "%s", e.msg);
    ck_assert_msg(divergence_measure_many(many, ref, both, 2, ids, n_ids, &o3, &e), "%s", e.msg);
    ck_assert(memcmp(&one, &many[0], sizeof one) == 0);
    ck_assert(many[1].kl_mean == 0 && many[1].kl_max == 0 && many[1].top1_equal == many[1].tokens &&
              many[1].nll == many[1].nll_ref);
    divergence_ref *r = divergence_ref_new(ref, ids, n_ids, &o3, 0, &e);
    ck_assert_msg(r && divergence_of(&kept, r, art, &e), "%s", e.msg);
    ck_assert_int_eq(divergence_ref_kept(r), model_hparams(ref)->n_vocab);
    ck_assert(memcmp(&one, &kept, sizeof one) == 0);
    divergence_ref_free(r);
    // The largest 700 and a bucket: never more than the truth, and near it.
    r = divergence_ref_new(ref, ids, n_ids, &o1, one.tokens * 700 * 8, &e);
    ck_assert_msg(r && divergence_of(&top, r, art, &e), "%s", e.msg);
    ck_assert_int_eq(divergence_ref_kept(r), 700);
    ck_assert_msg(top.kl_mean <= one.kl_mean && top.kl_mean > 0.9 * one.kl_mean, "%g of %g", top.kl_mean, one.kl_mean);
    ck_assert(top.nll == one.nll && top.nll_ref == one.nll_ref && top.top1_equal == one.top1_equal);
    divergence_ref_free(r);
}
END_TEST

START_TEST(what_cannot_be_compared_is_named)
{
    divergence d;
    const divergence_opts o = opts(1);
    const int32_t outside[] = { 2, 3, 4, 5, 6, 100000 };
    err why = { 0 };
    ck_assert(!divergence_measure(&d, ref, art, outside, 6, &o, &why) && why.kind == ERR_INPUT &&
              strstr(why.msg, "100000"));
    why = (err){ 0 };
    ck_assert(!divergence_measure(&d, ref, art, ids, SKIP + 1, &o, &why) && why.kind == ERR_INPUT);
    why = (err){ 0 };
    ck_assert(!divergence_ref_new(ref, ids, n_ids, &o, 100, &why) && why.kind == ERR_USAGE);
    divergence_opts none = o;
    none.skip = CHUNK - 1;
    why = (err){ 0 };
    ck_assert(!divergence_measure(&d, ref, art, ids, n_ids, &none, &why) && why.kind == ERR_USAGE);
    why = (err){ 0 };
    ck_assert(!divergence_measure(&d, ref, art, ids, n_ids, &(divergence_opts){ .run.simd = "none" }, &why) &&
              why.kind == ERR_USAGE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("divergence");
    TCase *t = tcase_create("divergence");
    tcase_add_unchecked_fixture(t, prepare, clean);
    tcase_add_test(t, figures_are_those_of_whole_chunks);
    tcase_add_test(t, same_figures_for_any_threads_and_from_what_was_kept);
    tcase_add_test(t, what_cannot_be_compared_is_named);
    suite_add_tcase(s, t);
    return run_suite(s);
}
