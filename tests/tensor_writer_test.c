// Proves quant/tensor_writer.h: every byte and digest, for any number of threads, any alignment, rows shorter and longer than a piece.
#define _GNU_SOURCE
#include "formats/file_map.h"
#include "quant/codec.h"
#include "quant/tensor_writer.h"

#include "golden/codec_inputs.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    const char *name;
    dtype       to, from;
    int         n_dims;
    int64_t     shape[3];
    int         shift;          // bytes by which the source is misaligned
    float       add;
    bool        weighted, in_file;
} spec;

static const spec specs[] = {
    { "copied",             DT_BF16, DT_BF16, 2, { 700, 4096 },     0, 0, false, false },   // 5.7 MB: pieces of a copy
    { "copied from a file", DT_BF16, DT_BF16, 2, { 700, 4096 },     0, 0, false, true },
    { "widened",            DT_F32,  DT_BF16, 2, { 300, 1000 },     1, 0, false, false },
    { "norm plus one",      DT_F32,  DT_BF16, 1, { 1151 },          0, 1, false, false },
    { "halved",             DT_F16,  DT_F32,  1, { 600000 },        3, 0, false, false },
    { "scalar",             DT_F32,  DT_F32,  0, { 0 },             0, 0, false, false },
    { "one",                DT_F32,  DT_F32,  1, { 1 },             0, 0, false, false },
    { "small rows",         DT_Q4_K, DT_BF16, 2, { 1500, 512 },     1, 0, false, false },   // several pieces of whole rows
    { "weighted rows",      DT_Q4_K, DT_F32,  2, { 40, 512 },       0, 0, true,  false },
    { "experts",            DT_Q5_0, DT_BF16, 3, { 5, 9, 64 },      0, 0, true,  false },
    { "long rows",          DT_Q8_0, DT_F32,  2, { 3, 600064 },     1, 0, false, false },   // a row is three pieces
    { "long weighted rows", DT_Q4_0, DT_BF16, 2, { 2, 300032 },     0, 0, true,  false },
    { "decoded",            DT_F32,  DT_Q4_K, 2, { 30, 256 },       0, 0, false, false },
    { "q6",                 DT_Q6_K, DT_F32,  2, { 7, 256 },        0, 0, false, false },
};
enum { N = sizeof specs / sizeof specs[0] };

typedef struct {
    int64_t  n_elems, cols, rows, src_bytes, dst_bytes;
    uint8_t *alloc, *src, *expected;    // src = alloc + shift
    float   *importance;
} made;

static int64_t bytes_of(dtype t, int64_t n) { return n / dtype_find(t)->block_weights * dtype_find(t)->block_bytes; }

// Source bytes of made-up weights, and the bytes that must come out, row by row through the codecs alone.
static void make(made *m, const spec *s, int index)
{
    err e = { 0 };
    m->n_elems = 1;
    for (int i = 0; i < s->n_dims; i++) m->n_elems *= s->shape[i];
    m->cols = s->n_dims ? s->shape[s->n_dims - 1] : 1;
    m->rows = m->n_elems / m->cols;
    m->src_bytes = bytes_of(s->from, m->n_elems);
    m->dst_bytes = bytes_of(s->to, m->n_elems);
    m->alloc     = malloc((size_t)m->src_bytes + 16);
    m->src       = m->alloc + s->shift;
    m->expected  = malloc((size_t)m->dst_bytes + 1);
    const int64_t matrices = s->n_dims > 2 ? s->shape[0] : 1;
    m->importance = s->weighted ? malloc((size_t)(matrices * m->cols) * sizeof(float)) : NULL;
    for (int64_t i = 0; s->weighted && i < matrices; i++) input_importance(m->importance + i * m->cols, (int)m->cols, 4, (uint64_t)(i + index));
    float *x = malloc((size_t)m->cols * sizeof *x + 1);
    uint8_t *row = malloc((size_t)m->cols * 4 + 1);
    for (int64_t r = 0; r < m->rows; r++) {
        const float *w = s->weighted ? m->importance + (s->n_dims > 2 ? r / s->shape[1] * m->cols : 0) : NULL;
        input_row(x, (int)m->cols, 0, (uint64_t)(r + 100 * index));
        ck_assert(codec_find(s->from)->encode_row(row, x, m->cols, NULL, &e));
        memcpy(m->src + r * bytes_of(s->from, m->cols), row, (size_t)bytes_of(s->from, m->cols));
        codec_find(s->from)->decode_row(x, row, m->cols);
        for (int64_t c = 0; c < m->cols; c++) x[c] += s->add;
        ck_assert_msg(codec_find(s->to)->encode_row(m->expected + r * bytes_of(s->to, m->cols), x, m->cols, w, &e), "%s", e.msg);
    }
    free(x);
    free(row);
}

static void release(made *m) { free(m->alloc); free(m->expected); free(m->importance); }

static void plan_all(gguf_plan *p, int64_t *file_bytes)
{
    err e = { 0 };
    int64_t header;
    for (int i = 0; i < N; i++) ck_assert_msg(gguf_plan_tensor(p, specs[i].name, specs[i].to, specs[i].n_dims, specs[i].shape, &e), "%s", e.msg);
    ck_assert_msg(gguf_plan_layout(p, &header, file_bytes, &e), "%s", e.msg);
}

static char folder[] = "/tmp/hallmark-writer-XXXXXX";

static int64_t counted;     // by the progress of the run under test
static void count(progress *p, const char *item, int64_t bytes) { __atomic_fetch_add(&counted, bytes, __ATOMIC_RELAXED); }

START_TEST(test_bytes_and_digests)
{
    static const int threads[] = { 1, 2, 7 };
    made m[N];
    tensor_source src[N];
    err e = { 0 };
    char path[128], side[128];
    snprintf(path, sizeof path, "%s/out", folder);
    snprintf(side, sizeof side, "%s/side", folder);
    for (int i = 0; i < N; i++) {
        make(&m[i], &specs[i], i);
        src[i] = (tensor_source){ .where = specs[i].name, .type = specs[i].from, .data = m[i].src, .fd = -1, .add = specs[i].add,
                                  .importance = m[i].importance };
    }
    FILE *f = fopen(side, "wb+");       // the same bytes at an odd place of a file
    ck_assert(fwrite("abc", 1, 3, f) == 3 && fwrite(m[1].src, 1, (size_t)m[1].src_bytes, f) == (size_t)m[1].src_bytes && fflush(f) == 0);
    src[1].fd  = fileno(f);
    src[1].off = 3;
    for (int k = 0; k < 3; k++) {
        static char digests[N][SHA256_HEX + 1];
        int64_t file_bytes, total = 0;
        gguf_plan *p = gguf_plan_new(32, &e);
        file_map map = { 0 };
        progress pr = { .add = count };
        counted = 0;
        memset(digests, 0, sizeof digests);
        plan_all(p, &file_bytes);
        outfile *o = outfile_open(path, file_bytes, &e);
        ck_assert_msg(o && write_tensors(p, o, src, threads[k], digests, NULL, &pr, &e), "%s", e.msg);
        ck_assert_msg(gguf_plan_write(p, o, &e) && outfile_commit(o, &e) && file_map_open(&map, path, &e), "%s", e.msg);
        for (int i = 0; i < N; i++) {
            char hex[SHA256_HEX + 1];
            const uint8_t *found = map.data + gguf_plan_tensor_at(p, i)->off;
            for (int64_t b = 0; memcmp(found, m[i].expected, (size_t)m[i].dst_bytes) != 0 && b < m[i].dst_bytes; b++)
                ck_assert_msg(found[b] == m[i].expected[b], "%s, %d threads: byte %lld", specs[i].name, threads[k], (long long)b);
            ck_assert(sha256_bytes(m[i].expected, m[i].dst_bytes, hex, &e));
            ck_assert_msg(strcmp(hex, digests[i]) == 0, "%s: %s", specs[i].name, digests[i]);
            total += m[i].dst_bytes;
        }
        ck_assert_int_eq(counted, total);
        file_map_close(&map);
        gguf_plan_free(p);
    }
    fclose(f);
    unlink(path);
    unlink(side);
    for (int i = 0; i < N; i++) release(&m[i]);
}
END_TEST

// Digests of other files taken along: theirs and the tensors' are right, and nobody is left waiting, however threads and work fall out.
START_TEST(test_with_digests_aside)
{
    enum { ROUNDS = 60, OTHERS = 5 };
    static uint8_t bytes[OTHERS][1500000];
    char expected[OTHERS][SHA256_HEX + 1], hex[SHA256_HEX + 1], path[128];
    made m[N];
    tensor_source src[N];
    err e = { 0 };
    snprintf(path, sizeof path, "%s/out", folder);
    for (int i = 0; i < N; i++) {
        make(&m[i], &specs[i], i);
        src[i] = (tensor_source){ .where = specs[i].name, .type = specs[i].from, .data = m[i].src, .fd = -1, .add = specs[i].add,
                                  .importance = m[i].importance };
    }
    for (int i = 0; i < OTHERS; i++) {
        memset(bytes[i], 'a' + i, sizeof bytes[i]);
        ck_assert(sha256_bytes(bytes[i], (int64_t)sizeof bytes[i] >> 4 * i, expected[i], &e));
    }
    for (int round = 0; round < ROUNDS; round++) {
        static char digests[N][SHA256_HEX + 1];
        const int others = round % (OTHERS + 1);
        int64_t file_bytes;
        gguf_plan *p = gguf_plan_new(32, &e);
        digest_queue *q = digest_queue_new(others, NULL, &e);
        for (int i = 0; i < others; i++) digest_queue_add_bytes(q, bytes[i], (int64_t)sizeof bytes[i] >> 4 * i, "other");
        memset(digests, 0, sizeof digests);
        plan_all(p, &file_bytes);
        outfile *o = outfile_open(path, file_bytes, &e);
        ck_assert_msg(o && write_tensors(p, o, src, round % 8 + 1, digests, q, NULL, &e), "%s", e.msg);
        outfile_abort(o);
        digest_queue_run(q, 2);
        for (int i = 0; i < others; i++) {
            ck_assert(digest_queue_get(q, i, hex, &e));
            ck_assert_str_eq(hex, expected[i]);
        }
        for (int i = 0; i < N; i++) {
            ck_assert(sha256_bytes(m[i].expected, m[i].dst_bytes, hex, &e));
            ck_assert_msg(strcmp(hex, digests[i]) == 0, "%s: %s", specs[i].name, digests[i]);
        }
        digest_queue_free(q);
        gguf_plan_free(p);
    }
    for (int i = 0; i < N; i++) release(&m[i]);
}
END_TEST

// Two tensors with a NaN each, the first in row 700 of many: the earliest is named, however many threads race to the later one.
START_TEST(test_first_failure_is_named)
{
    enum { ROWS = 4000, COLS = 256, BAD_ROW = 700, BAD_COL = 131 };
    const int64_t shape[2] = { ROWS, COLS };
    float *x = calloc((size_t)ROWS * COLS, sizeof *x);
    char path[128];
    snprintf(path, sizeof path, "%s/out", folder);
    x[BAD_ROW * COLS + BAD_COL] = NAN;
    x[(ROWS - 1) * COLS] = NAN;
    for (int threads = 1; threads < 9; threads++) {
        err e = { 0 };
        int64_t header, bytes;
        static char digests[2][SHA256_HEX + 1];
        const tensor_source src[2] = { { .where = "m.gguf: tensor 'a'", .type = DT_F32, .data = (uint8_t *)x, .fd = -1 },
                                       { .where = "m.gguf: tensor 'b'", .type = DT_F32, .data = (uint8_t *)x, .fd = -1 } };
        gguf_plan *p = gguf_plan_new(32, &e);
        ck_assert(gguf_plan_tensor(p, "a", DT_Q4_K, 2, shape, &e) && gguf_plan_tensor(p, "b", DT_Q8_0, 2, shape, &e));
        ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
        outfile *o = outfile_open(path, bytes, &e);
        ck_assert_msg(o != NULL, "%s", e.msg);
        ck_assert(!write_tensors(p, o, src, threads, digests, NULL, NULL, &e));
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_str_eq(e.msg, "m.gguf: tensor 'a': row 700: column 131: found NaN, expected a finite value");
        outfile_abort(o);
        gguf_plan_free(p);
    }
    ck_assert(access(path, F_OK) != 0);
    free(x);
}
END_TEST

START_TEST(test_types_without_a_codec)
{
    const int64_t shape[2] = { 2, 256 };
    static uint8_t zeros[2 * 256 * 4];
    char digests[1][SHA256_HEX + 1], path[128];
    snprintf(path, sizeof path, "%s/out", folder);
    for (int copied = 0; copied < 2; copied++) {        // an integer table may be copied, not converted
        err e = { 0 };
        int64_t header, bytes;
        const tensor_source src = { .where = "m.gguf: tensor 'a'", .type = DT_I32, .data = zeros, .fd = -1 };
        gguf_plan *p = gguf_plan_new(32, &e);
        ck_assert(gguf_plan_tensor(p, "a", copied ? DT_I32 : DT_F32, 2, shape, &e) && gguf_plan_layout(p, &header, &bytes, &e));
        outfile *o = outfile_open(path, bytes, &e);
        ck_assert_int_eq(write_tensors(p, o, &src, 2, digests, NULL, NULL, &e), copied);
        if (!copied) ck_assert_str_eq(e.msg, "m.gguf: tensor 'a': found type I32, which cannot become F32");
        outfile_abort(o);
        gguf_plan_free(p);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tensor_writer");
    TCase *c = tcase_create("tensor_writer");
    if (!mkdtemp(folder)) return 1;
    suite_add_tcase(s, c);
    tcase_add_test(c, test_bytes_and_digests);
    tcase_add_test(c, test_with_digests_aside);
    tcase_add_test(c, test_first_failure_is_named);
    tcase_add_test(c, test_types_without_a_codec);
    const int status = run_suite(s);
    rmdir(folder);
    return status;
}
