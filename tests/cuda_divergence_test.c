// Proves measure/divergence.h on the CUDA backend, its kernels run by the processor: every figure is the CPU's to the
// last bit, side by side, against what was kept whole, and against the largest; also where only one of the two models
// found room on the device.
#include "convert/convert.h"
#include "cuda_where.h"
#include "cuda_failing.h"
#include "mini_checkpoint.h"
#include "measure/divergence.h"
#include "measure/importance.h"
#include "measure/lab.h"
#include "measure/sensitivity.h"
#include "measure/texts.h"
#include "suite.h"
#include <stdio.h>
#include <unistd.h>

enum { CHUNK = 8, N_IDS = 13, SKIP = 1 };        // a chunk and a half
#ifdef __SANITIZE_ADDRESS__
enum { N_ORDERS = 1, KEPT = 100 };      // KEPT: of the largest logits, fewer than the model has
#else
enum { N_ORDERS = 2, KEPT = 300 };
#endif

static char dir[64], paths[2][96];
static model *m[2];
static int32_t *ids;
static err e;

static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static void prepare(void)
{
    static const file_type types[] = { FT_F32, FT_Q4_0 };
    int64_t n;
    strcpy(dir, "/tmp/hallmark-cuda-divergence-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
#ifdef __SANITIZE_ADDRESS__
    printf("SMALLER under sanitizers: a model of a tenth of the size, one order of threads\n");
    mini *c = mini_gemma4();
    mini_write(c, false);
    const char *checkpoint = c->dir;
#else
    const char *checkpoint = SOURCE_DIR "/fixtures/tiny-gemma4";
#endif
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d.gguf", dir, i);
        must(convert_checkpoint(checkpoint, paths[i], &(convert_opts){ .type = types[i] }, &e));
        must((m[i] = model_open(paths[i], &e)) != NULL);
    }
#ifdef __SANITIZE_ADDRESS__
    mini_free(c);
#endif
    must(texts_read(&ids, &n, m[0], SOURCE_DIR "/LICENSE", N_IDS, &e));
    ck_assert_int_eq(n, N_IDS);
}

static void clean(void)
{
    free(ids);
    for (int i = 0; i < 2; i++) { model_close(m[i]); unlink(paths[i]); }
    rmdir(dir);
}

typedef struct { divergence side, kept, top; } figures;

static bool measure(figures *f, const char *device, err *why)
{
    const divergence_opts o = { .chunk = CHUNK, .skip = SKIP, .run = { .device = device, .n_threads = 1 } };
    memset(f, 0x7b, sizeof *f);
    if (!divergence_measure(&f->side, m[0], m[1], ids, N_IDS, &o, why)) return false;
    divergence_ref *all = divergence_ref_new(m[0], ids, N_IDS, &o, 0, why),
                   *top = divergence_ref_new(m[0], ids, N_IDS, &o, f->side.tokens * KEPT * 8, why);
    const bool ok = all && top && divergence_of(&f->kept, all, m[1], why) && divergence_of(&f->top, top, m[1], why);
    if (ok) ck_assert(divergence_ref_kept(all) == model_hparams(m[0])->n_vocab && divergence_ref_kept(top) == KEPT);
    divergence_ref_free(all);
    divergence_ref_free(top);
    return ok;
}

START_TEST(the_cpus_figures)
{
    figures want, got;
    must(measure(&want, "cpu", &e));
    ck_assert(memcmp(&want.side, &want.kept, sizeof want.side) == 0 && want.top.kl_mean > 0 &&
              want.top.kl_mean <= want.side.kl_mean);
    ck_assert_int_eq(want.side.tokens, CHUNK - 1 - SKIP + N_IDS - CHUNK - 1 - SKIP);
    host_calls_order((unsigned)_i);
    must(measure(&got, "cuda", &e));
    ck_assert_msg(memcmp(&want, &got, sizeof want) == 0, "side by side: mean KL %.17g on the device, %.17g on the CPU",
                  got.side.kl_mean, want.side.kl_mean);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

// `auto`: the device has room for the first session of a pair only.
static int asked;
static int room_for_one(size_t *f, size_t *total)
{
    *total = 1 << 30;
    *f = asked++ ? 1 << 20 : 1 << 30;
    return 0;
}

START_TEST(where_one_runs_on_the_device_and_one_on_the_cpu)
{
    divergence want, got;
    const divergence_opts o = { .chunk = CHUNK, .skip = SKIP, .run = { .device = "cpu", .n_threads = 1 } };
    divergence_opts any = o;
    any.run.device = "auto";
    must(divergence_measure(&want, m[0], m[1], ids, N_IDS, &o, &e));
    plant("none", 0, 77);
    failing.memory = room_for_one;
    asked = 0;
    must(divergence_measure(&got, m[0], m[1], ids, N_IDS, &any, &e));
    unplant();
    ck_assert_int_eq(asked, 2);
    ck_assert_msg(memcmp(&want, &got, sizeof want) == 0, "mean KL %.17g, %.17g on the CPU", got.kl_mean, want.kl_mean);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

START_TEST(failures_are_said)
{
    static const struct {
        const char *call;
        int nth;
    } cases[] = { { "launch", 300 }, { "copy", 320 }, { "alloc", 150 } };
    figures f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err why = { 0 };
        plant(cases[i].call, cases[i].nth, 77);
        const bool ok = measure(&f, "cuda", &why);
        unplant();
        ck_assert_msg(!ok && why.kind == ERR_SYSTEM && strstr(why.msg, "device cuda"), "%s %d: %s", cases[i].call,
                      cases[i].nth, ok ? "not noticed" : why.msg);
        ck_assert_int_eq(host_calls_live(), 0);
    }
}
END_TEST

// A laboratory run: two files, weights on the device once for each, a cache for each candidate; every cell is the
// CPU's.
static void run_lab_on(lab_cells *c, lab_plan *p, const char *device)
{
    static const char words[] = "A text of a few words, and of a few more: 1, 2, 3 and so on until there are enough of "
                                "them.";
    static const char *const kv[] = { "q8_0", "q4_0:rot64+sink1+recent3", "k=kivi2:g8:r8,v=q5_1" };
    static const char *const plain[] = { "q8_0", "q4_0+sink1+recent3", "k=kivi2:g8:r8,v=bf16" };
    char text[128];
    const char *texts[] = { text }, *files[] = { paths[1] };
    snprintf(text, sizeof text, "%s/lab.txt", dir);
    write_file(text, words, (int64_t)strlen(words));
    const hparams *h = model_hparams(m[0]);
    const bool rotates = h->layers[0].head_dim % 64 == 0 && h->layers[h->n_layer - 1].head_dim % 64 == 0;
    const lab_plan_opts o = { .base = paths[0], .artifacts = files, .n_artifacts = 1, .kv = rotates ? kv : plain,
                              .n_kv = 3, .texts = texts, .n_texts = 1, .chunk = 12, .skip = 1, .samples = 1,
                              .arith = "f32" };
    const lab_run_opts ro = { .device = device, .n_threads = 1 };
    must(lab_plan_open(p, &o, &e));
    must(lab_run(c, p, &ro, &e));
    unlink(text);
}

START_TEST(a_laboratory_run_has_the_cpus_cells)
{
    lab_plan  p, q;
    lab_cells want, got;
    run_lab_on(&want, &p, "cpu");
    run_lab_on(&got, &q, "cuda");
    ck_assert_int_eq(host_calls_live(), 0);
    for (int64_t i = 0; i < want.n_chunks * want.n_candidates; i++)
        ck_assert_msg(memcmp(want.cells[i].points, got.cells[i].points,
                             (size_t)want.n_points * sizeof(lab_point)) == 0, "%s with %s: other figures",
                      p.artifacts[p.candidates[i % p.n_candidates].artifact].name, p.candidates[i % p.n_candidates].kv);
    lab_cells_free(&want);
    lab_cells_free(&got);
    lab_plan_free(&p);
    lab_plan_free(&q);
}
END_TEST

// What ends in a file has the CPU's products where nothing is asked for, with batches that the tensor cores would be
// given: an importance matrix, and what the search for a mix decides by.
enum { LONG = 24, N_LINES = 6 };        // two chunks or three

static void make_text(char path[96])
{
    snprintf(path, 96, "%s/text", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < N_LINES; i++) fprintf(f, "the %d licence of %d, ", i, 7 * i);
    fclose(f);
}

static char *bytes_of(const char *path, long *n)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    *n = ftell(f);
    rewind(f);
    char *all = malloc((size_t)*n + 1);
    ck_assert(fread(all, 1, (size_t)*n, f) == (size_t)*n);
    fclose(f);
    return all;
}

START_TEST(files_are_the_cpus)
{
    static const dtype type = DT_Q4_0;
    char text[96], out[2][96];
    const char *texts[] = { text }, *const devices[] = { "cpu", "cuda" };
    char *im[2];
    long n[2];
    double kl[2];
    make_text(text);
    unsetenv("HALLMARK_CUDA_PRODUCTS");
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/%s.im", dir, devices[i]);
        const importance_opts io = {
            .texts = texts, .n_texts = 1, .chunk = LONG, .run = { .device = devices[i], .n_threads = 1 }
        };
        must(importance_compute(paths[0], out[i], &io, &e));
        im[i] = bytes_of(out[i], &n[i]);
        const sensitivity_opts so = {
            .texts = texts, .n_texts = 1, .chunk = LONG, .samples = 1, .run = { .device = devices[i], .n_threads = 1 }
        };
        probe *p = probe_open(paths[0], &so, &e);
        must(p && probe_tensor(p, "blk.1.ffn_down.weight", &type, 1, &kl[i], &e));
        ck_assert_str_eq(probe_device(p), devices[i]);
        probe_close(p);
        unlink(out[i]);
    }
    exact_products();
    ck_assert_msg(n[0] == n[1] && memcmp(im[0], im[1], (size_t)n[0]) == 0, "the importance matrices differ");
    ck_assert_msg(kl[0] > 0 && kl[0] == kl[1], "KL of one tensor: %.17g on the CPU, %.17g on the device", kl[0], kl[1]);
    for (int i = 0; i < 2; i++) free(im[i]);
    unlink(text);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

int main(void)
{
    setenv("HALLMARK_CUDA_PRODUCTS", "exact", 1);       // the figures are the CPU's to the last digit
    Suite *s = suite_create("cuda_divergence");
    TCase *t = tcase_create("divergence");
    tcase_add_unchecked_fixture(t, prepare, clean);
    tcase_add_loop_test(t, the_cpus_figures, 0, N_ORDERS);
    tcase_add_test(t, where_one_runs_on_the_device_and_one_on_the_cpu);
    tcase_add_test(t, failures_are_said);
    tcase_add_test(t, a_laboratory_run_has_the_cpus_cells);
    tcase_add_test(t, files_are_the_cpus);
    suite_add_tcase(s, t);
    return run_suite(s);
}
