// Proves the families on the CUDA backend, those beside Gemma and those with experts and delta nets, its kernels run by
// the processor (device/host) or, built with ON_GPU, by the device at hand: for every cache type the CPU's logits,
// hidden states and tokens, bit for bit, in both arithmetics, for several tokens at once and for the recorded step; and
// for rotated caches, KIVI's codes, sinks and recent positions, in batches of several sizes.
#include "convert/convert.h"
#include "cuda_where.h"
#include "runtime/session.h"
#include "suite.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const FAMILIES[] = { "tiny-llama", "tiny-qwen3", "tiny-qwen2", "tiny-mistral", "tiny-qwen35moe",
                                        "tiny-qwen3moe", "tiny-gemma4-moe", "tiny-gemma4-31b", "tiny-gemma4-e4b",
                                        "tiny-qwen35" };
static const char *const CACHES[] = { "f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl" };
enum { N_FAMILIES = 10, N_CACHES = 9, N_FILES = 2 };         // a file: BF16, then Q4_K_M

// Of each family every cache on the device; where the processor plays it, each family and each cache once, in turn.
#ifdef ON_GPU
enum { N_IDS = 90, N_NEW = 32, N_RUNS = N_FAMILIES * N_CACHES };
#else
enum { N_IDS = 11, N_NEW = 3, N_RUNS = N_FAMILIES };
#endif

static char dir[64];
static err  e;

static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static void path_of(char path[128], int which, int file)
{
    snprintf(path, 128, "%s/%s-%d.gguf", dir, FAMILIES[which], file);
}

static void make_folder(void)
{
    strcpy(dir, "/tmp/hallmark-cuda-families-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_folder(void) { rmdir(dir); }

// A family's checkpoint converted.
static model *make_model(int which, int file)
{
    static const file_type types[N_FILES] = { FT_BF16, FT_Q4_K_M };
    const char *root = getenv("HALLMARK_ROOT");         // of a program built elsewhere
    const convert_opts o = { .type = types[file] };
    char from[512], path[128];
    snprintf(from, sizeof from, "%s/fixtures/%s", root ? root : SOURCE_DIR, FAMILIES[which]);
    path_of(path, which, file);
    must(convert_checkpoint(from, path, &o, &e));
    model *m = model_open(path, &e);        // a mapping: the file may go
    must(m != NULL);
    unlink(path);
    return m;
}

typedef struct { float *logits, *hidden; int32_t ids[N_NEW]; } outcome;

static outcome run(const model *m, const char *device, session_opts o)
{
    const hparams *h = model_hparams(m);
    const int64_t  n_hidden = (int64_t)(h->n_layer + 1) * h->n_embd;
    int32_t        ids[N_IDS];
    for (int i = 0; i < N_IDS; i++) ids[i] = (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)h->n_vocab);
    o.device = device;
    o.n_ctx = N_IDS + N_NEW + 4;
    session *s = session_new(m, &o, &e);
    must(s != NULL);
    ck_assert_str_eq(session_device(s), device);
    outcome r = { .logits = malloc((size_t)(2 * h->n_vocab) * sizeof(float)),
                  .hidden = malloc((size_t)n_hidden * sizeof(float)) };
    must(session_eval(s, ids, N_IDS, r.logits, 2, r.hidden, &e));
    const int32_t next = argmax_f32(r.logits + h->n_vocab, h->n_vocab);
    ck_assert_int_eq(session_generate(s, &next, 1, r.ids, N_NEW, true, NULL, NULL, &e), N_NEW);
    session_free(s);
    return r;
}

static void free_outcome(outcome *r)
{
    free(r->logits);
    free(r->hidden);
}

// Under sanitizers a run takes ten times as long: every other family, Qwen 3.5 and those with experts among them.
static bool left_out(int i)
{
#ifdef __SANITIZE_ADDRESS__
    if (i % 2 == 0 || i >= 9) return false;
    printf("SMALLER under sanitizers: not run: %s\n", FAMILIES[i % N_FAMILIES]);
    return true;
#else
    (void)i;
    return false;
#endif
}

// The same logits, hidden states and tokens on both.
static void compare(int which, int file, session_opts o)
{
    model *m = make_model(which, file);
    const hparams *h = model_hparams(m);
    outcome want = run(m, "cpu", o), got = run(m, "cuda", o);
    const size_t n_hidden = (size_t)((h->n_layer + 1) * h->n_embd), n_logits = (size_t)(2 * h->n_vocab);
    ck_assert_msg(memcmp(want.hidden, got.hidden, n_hidden * sizeof(float)) == 0, "%s, %s: hidden states differ",
                  FAMILIES[which], o.kv);
    ck_assert_msg(memcmp(want.logits, got.logits, n_logits * sizeof(float)) == 0, "%s, %s: logits differ",
                  FAMILIES[which], o.kv);
    ck_assert_msg(memcmp(want.ids, got.ids, sizeof want.ids) == 0, "%s, %s: tokens differ", FAMILIES[which], o.kv);
    free_outcome(&want);
    free_outcome(&got);
    model_close(m);
}

// One token alone comes last: what is fused runs there, and as the recorded step.
START_TEST(the_cpus_bits)
{
    if (left_out(_i)) return;
    const int turn = _i + _i / N_FAMILIES;
    const session_opts o = { .arith = turn % 3 == 1 ? "bf16" : "f32", .kv = CACHES[turn % N_CACHES],
                             .n_batch = N_IDS - 1 };
    compare(_i % N_FAMILIES, turn % N_FILES, o);
}
END_TEST

// Layers that share a cache, windows, gates behind attention, two kinds of layers, states beside caches.
static const struct { const char *family; session_opts o; } MIXED[] = {
    { "tiny-llama",      { .kv = "kivi4:g8:r8+sink2", .arith = "bf16", .n_batch = 7 } },
    { "tiny-gemma4-e4b", { .kv = "sliding:kivi2:g8:r8;full:q4_0:rot64+recent4", .arith = "f32", .n_batch = N_IDS - 1 } },
    { "tiny-qwen35",     { .kv = "k=kivi4:g8:r8:rot,v=q4_1:rot+sink3", .arith = "bf16", .n_batch = 1 } },
};

START_TEST(the_cpus_bits_of_mixed_caches)
{
    int which = 0;
    while (strcmp(FAMILIES[which], MIXED[_i].family) != 0) which++;
    compare(which, 0, MIXED[_i].o);
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_families");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, the_cpus_bits, 0, N_RUNS);
    tcase_add_loop_test(t, the_cpus_bits_of_mixed_caches, 0, (int)(sizeof MIXED / sizeof *MIXED));
    suite_add_tcase(s, t);
    return run_suite(s);
}
