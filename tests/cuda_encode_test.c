// Proves quant/cuda/: the GPU's encoders give the plain encoders' bytes, for every kind of row, any number of rows,
// with and without importance; what cannot be encoded is left to the CPU to name; any call of the CUDA runtime may
// fail; a file written through them is the CPU's. The kernels are run by the processor (device/host) or, built with
// ON_GPU, by the device at hand. Shared and device memory is poisoned there.
#define _GNU_SOURCE
#include "formats/file_map.h"
#include "quant/codec.h"
#include "quant/cuda/encode.h"
#include "quant/tensor_writer.h"
#ifdef ON_GPU
static void host_calls_order(unsigned order) { (void)order; }       // the device's own
#else
#include "device/host/calls_host.h"
#endif

#include "golden/codec_inputs.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_ROWS = 41, MAX_COLS = 2560 };

static const dtype types[] = { DT_Q8_0, DT_Q4_0, DT_Q4_K, DT_Q6_K };
enum { N_TYPES = sizeof types / sizeof types[0] };
static float   x[MAX_ROWS * MAX_COLS], w[MAX_COLS];
static uint8_t expected[MAX_ROWS * MAX_COLS * 4], found[MAX_ROWS * MAX_COLS * 4 + 1];

static int64_t bytes_of(dtype t, int64_t n) { return n / dtype_find(t)->block_weights * dtype_find(t)->block_bytes; }

static block_encoder *open_encoder(void)
{
    err e = { 0 };
    block_encoder *b = cuda_encoder_open(&e);
    ck_assert_msg(b != NULL, "%s", e.msg);
    return b;
}

static void compare(block_encoder *b, dtype t, int rows, int cols, const float *importance, const char *what)
{
    const codec *plain = codec_at(t, SIMD_PLAIN);
    const int64_t n = bytes_of(t, cols);
    const int64_t before = cuda_encoder_weights(b);
    err e = { 0 };
    for (int r = 0; r < rows; r++)
        ck_assert_msg(plain->encode_row(expected + r * n, x + r * cols, cols, importance, &e), "%s", e.msg);
    memset(found, 0x77, (size_t)(rows * n + 1));
    ck_assert_msg(b->encode_rows(b, t, found, x, rows, cols, importance, &e) == ENCODER_DONE, "%s, %s: %s",
                  dtype_name(t), what, e.msg);
    for (int64_t i = 0; memcmp(expected, found, (size_t)(rows * n)) != 0 && i < rows * n; i++)
        ck_assert_msg(found[i] == expected[i],
                      "%s, %s, %s importance, %d rows of %d: row %lld, byte %lld: found %02x, expected %02x",
                      dtype_name(t), what, importance ? "with" : "without", rows, cols, (long long)(i / n),
                      (long long)(i % n), found[i], expected[i]);
    ck_assert_int_eq(found[rows * n], 0x77);            // nothing past the end
    ck_assert_int_eq(cuda_encoder_weights(b) - before, (int64_t)rows * cols);
}

START_TEST(the_plain_encoders_bytes)
{
    // One encoder for all, so that its buffers hold what was there before; shapes of less than a block of threads, and
    // of no multiple of one.
    static const struct {
        int rows, cols;
    } shapes[] = { { 1, 256 }, { 1, 512 }, { 7, 256 }, { 17, 768 }, { MAX_ROWS, MAX_COLS }, { 3, 1280 } };
    block_encoder *b = open_encoder();
    const dtype t = types[_i];
    for (int kind = 0; kind <= GOLDEN_KINDS; kind++)            // the last: all kinds, row by row
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            char what[32];
            if (s == 4 && kind != 0 && kind != GOLDEN_KINDS) continue;      // the large one: twice is enough
            snprintf(what, sizeof what, "kind %d", kind);
            host_calls_order((unsigned)(kind + (int)s) % 4);
            input_rows(x, shapes[s].rows, shapes[s].cols, kind, s);
            input_importance(w, shapes[s].cols, kind, s);
            compare(b, t, shapes[s].rows, shapes[s].cols, NULL, what);
            compare(b, t, shapes[s].rows, shapes[s].cols, w, what);
        }
    host_calls_order(0);
    if (dtype_find(t)->block_weights == 32) compare(b, t, 1, 32, NULL, "one block");
    b->close(b);
}
END_TEST

START_TEST(magnitudes_that_vanish_beside_their_neighbours)
{
    block_encoder *b = open_encoder();
    for (int seed = 0; seed < 4; seed++) {
        input_mixed_magnitudes(x, MAX_ROWS * 512, (uint64_t)seed);
        input_importance(w, 512, 2, (uint64_t)seed);
        compare(b, types[_i], MAX_ROWS, 512, NULL, "mixed magnitudes");
        compare(b, types[_i], MAX_ROWS, 512, w, "mixed magnitudes");
    }
    b->close(b);
}
END_TEST

START_TEST(what_cannot_be_encoded_is_left_to_the_cpu)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e30f };
    block_encoder *b = open_encoder();
    const dtype t = types[_i];
    err e = { 0 };
    for (int k = 0; k < 4; k++)
        for (int row = 0; row < MAX_ROWS; row += 20) {
            for (int r = 0; r < MAX_ROWS; r++) input_row(x + r * 512, 512, 0, (uint64_t)r);
            x[row * 512 + 300] = bad[k];
            ck_assert_int_eq(b->encode_rows(b, t, found, x, MAX_ROWS, 512, NULL, &e), ENCODER_NOT_HERE);
            ck_assert_int_eq(e.kind, ERR_NONE);
        }
    ck_assert_int_eq(cuda_encoder_weights(b), 0);
    input_row(x, 512, 0, 1);
    compare(b, t, 1, 512, NULL, "after that");
    ck_assert_int_eq(b->encode_rows(b, DT_Q5_K, found, x, 1, 512, NULL, &e), ENCODER_NOT_HERE);     // no such encoder
    ck_assert_int_eq(b->encode_rows(b, DT_Q4_K, found, x, 1, 500, NULL, &e), ENCODER_NOT_HERE);     // no whole blocks
    b->close(b);
}
END_TEST

// ---- a file ---------------------------------------------------------------------------------------------------------

static char folder[] = "/tmp/hallmark-encode-XXXXXX";
enum { N = 7 };
static const struct {
    const char *name;
    dtype to;
    int n_dims;
    int64_t shape[3];
    bool weighted;
    int effort;
} specs[N] = {
    { "many pieces", DT_Q4_K, 2, { 1100, 512 }, false, 0 },
    { "weighted", DT_Q4_K, 2, { 33, 512 }, true, 0 },
    { "experts", DT_Q4_0, 3, { 5, 9, 64 }, true, 0 },
    { "long rows", DT_Q8_0, 2, { 2, 300032 }, false, 0 },
    { "q6", DT_Q6_K, 2, { 7, 256 }, false, 0 },
    { "no such encoder", DT_Q5_K, 2, { 8, 256 }, false, 0 },
    { "effort", DT_Q4_K, 2, { 3, 256 }, true, 1 },
};
static float *weights[N], *importances[N];

// The file that the encoder (NULL: the CPU) writes; false with e, and no file.
static bool write_file(const char *path, block_encoder *b, int threads, char (*digests)[SHA256_HEX + 1], err *e)
{
    tensor_source src[N];
    int64_t header, file_bytes;
    gguf_plan *p = gguf_plan_new(32, e);
    for (int i = 0; i < N; i++) {
        src[i] = (tensor_source){ .where = specs[i].name,
                                  .type = DT_F32,
                                  .data = (const uint8_t *)weights[i],
                                  .fd = -1,
                                  .effort = specs[i].effort,
                                  .importance = specs[i].weighted ? importances[i] : NULL,
                                  .encoder = b };
        ck_assert(gguf_plan_tensor(p, specs[i].name, specs[i].to, specs[i].n_dims, specs[i].shape, e));
    }
    ck_assert(gguf_plan_layout(p, &header, &file_bytes, e));
    outfile *o = outfile_open(path, file_bytes, e);
    ck_assert(o != NULL);
    const bool ok = write_tensors(p, o, src, threads, digests, NULL, NULL, e) && gguf_plan_write(p, o, e);
    if (ok) ck_assert(outfile_commit(o, e));
    else    outfile_abort(o);
    gguf_plan_free(p);
    return ok;
}

static void make_weights(void)
{
    for (int i = 0; i < N; i++) {
        const int cols = (int)specs[i].shape[specs[i].n_dims - 1],
                  matrices = specs[i].n_dims > 2 ? (int)specs[i].shape[0] : 1;
        int64_t n = 1;
        for (int d = 0; d < specs[i].n_dims; d++) n *= specs[i].shape[d];
        weights[i] = malloc((size_t)n * sizeof(float));
        importances[i] = malloc((size_t)(cols * matrices) * sizeof(float));
        for (int64_t r = 0; r < n / cols; r++) input_row(weights[i] + r * cols, cols, 0, (uint64_t)(r + 100 * i));
        for (int m = 0; m < matrices; m++) input_importance(importances[i] + m * cols, cols, 4, (uint64_t)(m + i));
    }
}

static void free_weights(void)
{
    for (int i = 0; i < N; i++) { free(weights[i]); free(importances[i]); }
}

// What the writing of a file through an encoder (NULL: by the CPU) is refused with; there is no file then. b is closed.
static err refusal(const char *name, block_encoder *b, int threads)
{
    static char digests[N][SHA256_HEX + 1];
    char path[128];
    err  e = { 0 };
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert(!write_file(path, b, threads, digests, &e));
    ck_assert(access(path, F_OK) != 0);
    if (b) b->close(b);
    return e;
}

START_TEST(a_file_is_the_cpus)
{
    static const int threads[] = { 1, 3 };
    static char want[N][SHA256_HEX + 1], got[N][SHA256_HEX + 1];
    char cpu[128], dev[128];
    err e = { 0 };
    snprintf(cpu, sizeof cpu, "%s/cpu", folder);
    snprintf(dev, sizeof dev, "%s/dev", folder);
    make_weights();
    ck_assert_msg(write_file(cpu, NULL, 2, want, &e), "%s", e.msg);
    for (int k = 0; k < 2; k++) {
        file_map a = { 0 }, c = { 0 };
        block_encoder *b = open_encoder();
        ck_assert_msg(write_file(dev, b, threads[k], got, &e), "%s", e.msg);
        // With one thread nobody finds the device busy: all but the last two tensors are its own.
        if (threads[k] == 1)
            ck_assert_int_eq(cuda_encoder_weights(b), 1100 * 512 + 33 * 512 + 5 * 9 * 64 + 2 * 300032 + 7 * 256);
        else                 ck_assert_int_gt(cuda_encoder_weights(b), 0);
        b->close(b);
        ck_assert(file_map_open(&a, cpu, &e) && file_map_open(&c, dev, &e));
        ck_assert(a.size == c.size && memcmp(a.data, c.data, (size_t)a.size) == 0);
        ck_assert(memcmp(want, got, sizeof want) == 0);
        file_map_close(&a);
        file_map_close(&c);
    }
    free_weights();
    unlink(cpu);
    unlink(dev);
}
END_TEST

// Tensor, row and column of the message are the CPU's; there is no file.
START_TEST(a_file_with_a_nan_is_refused_as_by_the_cpu)
{
    make_weights();
    weights[0][700 * 512 + 131] = NAN;
    for (int threads = 1; threads < 4; threads++) {
        const err want = refusal("bad", NULL, threads), got = refusal("bad", open_encoder(), threads);
        ck_assert_int_eq(got.kind, ERR_INPUT);
        ck_assert_str_eq(got.msg, want.msg);
        ck_assert_msg(strstr(got.msg, "many pieces: row 700: column 131") != NULL, "%s", got.msg);
    }
    free_weights();
}
END_TEST

#ifndef ON_GPU
// ---- when the device fails: each call of a file's life, the first time, the second, and so on to the last -----------

#include "cuda_failing.h"

// The nth use fails for want of memory, once.
static void plant_once(const char *call, int nth) { plant_failure(call, nth, 2, true); }

// Rows as they come from one thread of the writer: first without importance, then with, then longer ones.
static bool whole_life(err *e)
{
    static const struct {
        dtype t;
        int rows, cols;
        bool weighted;
    } steps[] = { { DT_Q8_0, 2, 256, false }, { DT_Q4_0, 3, 256, true }, { DT_Q4_K, 9, 512, true } };
    block_encoder *b = cuda_encoder_open(e);
    bool ok = b != NULL;
    for (size_t i = 0; ok && i < sizeof steps / sizeof steps[0]; i++) {
        const encoder_answer a = b->encode_rows(b, steps[i].t, found, x, steps[i].rows, steps[i].cols,
                                                steps[i].weighted ? w : NULL, e);
        ok = a == ENCODER_DONE;
        if (!ok) ck_assert_int_eq(a, ENCODER_FAILED);
        err none = { 0 };           // a device that failed is not asked again
        if (!ok)
            ck_assert(b->encode_rows(b, DT_Q8_0, found, x, 1, 256, NULL, &none) == ENCODER_NOT_HERE &&
                      none.kind == ERR_NONE);
    }
    if (b) b->close(b);
    return ok;
}

START_TEST(whichever_call_fails_memory_is_freed)
{
    static const char *const calls[] = { "alloc", "stream_open", "stream_sync", "fill", "copy", "launch" };
    err none = { 0 };
    for (int r = 0; r < 9; r++) input_row(x + r * 512, 512, 0, (uint64_t)r);
    input_importance(w, 512, 4, 1);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        plant_once(calls[i], 1 << 30);
        ck_assert_msg(whole_life(&none), "%s", none.msg);
        const int total = calls_seen;
        ck_assert_msg(total > 0, "%s is never called", calls[i]);
        for (int n = 0; n < total; n++) {
            err why = { 0 };
            plant_once(calls[i], n);
            const bool ok = whole_life(&why);
            // Closing waits for the device too, and whether that works no longer matters.
            ck_assert_msg((!ok && why.kind == ERR_SYSTEM && strstr(why.msg, "device cuda")) ||
                              (strcmp(calls[i], "stream_sync") == 0 && n == total - 1),
                          "failure %d of %d of %s: %s", n, total, calls[i], ok ? "not noticed" : why.msg);
            ck_assert_msg(host_calls_live() == 0, "%s %d of %d: %lld things are not freed", calls[i], n, total,
                          (long long)host_calls_live());
        }
    }
    unplant();
}
END_TEST

// One thread, so that the first three pieces are the device's.
START_TEST(a_file_whose_device_fails_is_not_there)
{
    make_weights();
    for (int n = 0; n < 3; n++) {
        plant_once("launch", n);
        const err e = refusal("failed", open_encoder(), 1);
        ck_assert_int_eq(e.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(e.msg, "many pieces: device cuda") != NULL &&
                          strstr(e.msg, "could not be launched") != NULL,
                      "%s", e.msg);
        ck_assert_int_eq(host_calls_live(), 0);
    }
    unplant();
    free_weights();
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("cuda_encode");
    TCase *t = tcase_create("blocks"), *f = tcase_create("file");
    err none = { 0 };
    block_encoder *b = cuda_encoder_open(&none);
    if (!b) { fprintf(stderr, "SKIP: %s\n", none.msg); return 77; }
    b->close(b);
    if (!mkdtemp(folder)) return 1;
    tcase_add_loop_test(t, the_plain_encoders_bytes, 0, N_TYPES);
    tcase_add_loop_test(t, magnitudes_that_vanish_beside_their_neighbours, 0, N_TYPES);
    tcase_add_loop_test(t, what_cannot_be_encoded_is_left_to_the_cpu, 0, N_TYPES);
    tcase_add_test(f, a_file_is_the_cpus);
    tcase_add_test(f, a_file_with_a_nan_is_refused_as_by_the_cpu);
#ifndef ON_GPU
    tcase_add_test(f, whichever_call_fails_memory_is_freed);
    tcase_add_test(f, a_file_whose_device_fails_is_not_there);
#endif
    suite_add_tcase(s, t);
    suite_add_tcase(s, f);
    const int status = run_suite(s);
    rmdir(folder);
    return status;
}
