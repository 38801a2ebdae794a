// Proves quant/tensor_writer.h: every byte and digest, for any number of threads, any alignment, rows shorter and
// longer than a piece.
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
    // several pieces of whole rows
    { "small rows",         DT_Q4_K, DT_BF16, 2, { 1500, 512 },     1, 0, false, false },
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
    for (int64_t i = 0; s->weighted && i < matrices; i++)
        input_importance(m->importance + i * m->cols, (int)m->cols, 4, (uint64_t)(i + index));
    float *x = malloc((size_t)m->cols * sizeof *x + 1);
    uint8_t *row = malloc((size_t)m->cols * 4 + 1);
    for (int64_t r = 0; r < m->rows; r++) {
        const float *w = s->weighted ? m->importance + (s->n_dims > 2 ? r / s->shape[1] * m->cols : 0) : NULL;
        input_row(x, (int)m->cols, 0, (uint64_t)(r + 100 * index));
        ck_assert(codec_find(s->from)->encode_row(row, x, m->cols, NULL, &e));
        memcpy(m->src + r * bytes_of(s->from, m->cols), row, (size_t)bytes_of(s->from, m->cols));
        codec_find(s->from)->decode_row(x, row, m->cols);
        for (int64_t c = 0; c < m->cols; c++) x[c] += s->add;
        ck_assert_msg(codec_find(s->to)->encode_row(m->expected + r * bytes_of(s->to, m->cols), x, m->cols, w, &e),
                      "%s", e.msg);
    }
    free(x);
    free(row);
}

static void release(made *m) { free(m->alloc); free(m->expected); free(m->importance); }

static void plan_all(gguf_plan *p, int64_t *file_bytes)
{
    err e = { 0 };
    int64_t header;
    for (int i = 0; i < N; i++)
        ck_assert_msg(gguf_plan_tensor(p, specs[i].name, specs[i].to, specs[i].n_dims, specs[i].shape, &e), "%s",
                      e.msg);
    ck_assert_msg(gguf_plan_layout(p, &header, file_bytes, &e), "%s", e.msg);
}

static char folder[] = "/tmp/hallmark-writer-XXXXXX";

static int64_t counted;     // by the progress of the run under test
static void count(progress *p, const char *item, int64_t bytes)
{
    __atomic_fetch_add(&counted, bytes, __ATOMIC_RELAXED);
}

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
        src[i] = (tensor_source){ .where = specs[i].name, .type = specs[i].from, .data = m[i].src, .fd = -1,
                                  .change.add = specs[i].add, .importance = m[i].importance };
    }
    FILE *f = fopen(side, "wb+");       // the same bytes at an odd place of a file
    ck_assert(fwrite("abc", 1, 3, f) == 3 && fwrite(m[1].src, 1, (size_t)m[1].src_bytes, f) == (size_t)m[1].src_bytes &&
              fflush(f) == 0);
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
                ck_assert_msg(found[b] == m[i].expected[b], "%s, %d threads: byte %lld", specs[i].name, threads[k],
                              (long long)b);
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

// Digests of other files taken along: theirs and the tensors' are right, and nobody is left waiting, however threads
// and work fall out.
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
        src[i] = (tensor_source){ .where = specs[i].name, .type = specs[i].from, .data = m[i].src, .fd = -1,
                                  .change.add = specs[i].add, .importance = m[i].importance };
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
        for (int i = 0; i < others; i++)
            digest_queue_add_bytes(q, bytes[i], (int64_t)sizeof bytes[i] >> 4 * i, "other");
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

// Two tensors with a NaN each, the first in row 700 of many: the earliest is named, however many threads race to the
// later one.
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
        const tensor_source src[2] = {
            { .where = "m.gguf: tensor 'a'", .type = DT_F32, .data = (uint8_t *)x, .fd = -1 },
            { .where = "m.gguf: tensor 'b'", .type = DT_F32, .data = (uint8_t *)x, .fd = -1 }
        };
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
        ck_assert(gguf_plan_tensor(p, "a", copied ? DT_I32 : DT_F32, 2, shape, &e) &&
                  gguf_plan_layout(p, &header, &bytes, &e));
        outfile *o = outfile_open(path, bytes, &e);
        ck_assert_int_eq(write_tensors(p, o, &src, 2, digests, NULL, NULL, &e), copied);
        if (!copied) ck_assert_str_eq(e.msg, "m.gguf: tensor 'a': found type I32, which cannot become F32");
        outfile_abort(o);
        gguf_plan_free(p);
    }
}
END_TEST

// ---- what is no number ----------------------------------------------------------------------------------------------

enum { ODD_ROWS = 600, ODD_COLS = 1024 };       // several pieces, of every type

typedef struct {
    const char *what;
    dtype       from, to;
    double      value;          // at row 500, column 77
    const char *says;           // after "a: row 500: column 77: found "
    bool        never;          // refused in every case
} odd;

static const odd odds[] = {
    { "copied NaN", DT_BF16, DT_BF16, NAN, "NaN, expected a finite value", false },
    { "copied Inf", DT_F16, DT_F16, -INFINITY, "-Inf, expected a finite value", false },
    { "copied F32", DT_F32, DT_F32, INFINITY, "Inf, expected a finite value", false },
    { "widened", DT_BF16, DT_F32, NAN, "NaN, expected a finite value", false },
    { "narrowed", DT_F32, DT_BF16, NAN, "NaN, expected a finite value", false },
    { "beyond F16", DT_F32, DT_F16, 70000, "70000, expected a number within the range of F16", false },
    { "BF16 beyond F16", DT_BF16, DT_F16, -65536, "-65536, expected a number within the range of F16", false },
    { "beyond BF16", DT_F32, DT_BF16, 0x1.fffffep127, "3.40282e+38, expected a number within the range of BF16",
      false },
    { "F64 NaN", DT_F64, DT_BF16, NAN, "NaN, expected a finite value", false },
    { "F64 beyond F32", DT_F64, DT_F32, 1e300, "1e+300, expected a number within the range of F32", false },
    { "F64 beyond F16", DT_F64, DT_F16, 1e5, "100000, expected a number within the range of F16", false },
    { "F64 for blocks", DT_F64, DT_Q8_0, -1e300, "-1e+300, expected a number within the range of F32", true },
    { "F64 Inf for blocks", DT_F64, DT_Q4_K, INFINITY, "Inf, expected a finite value", true },
    { "NaN for blocks", DT_BF16, DT_Q6_K, NAN, "NaN, expected a finite value", true },
    { "8 bits", DT_F8_E5M2, DT_BF16, INFINITY, "Inf, expected a finite value", false },
};

static void put_value(dtype t, uint8_t *data, int64_t i, double v)
{
    const float    x = (float)v;
    const uint16_t h = t == DT_F16 ? f16_from_f32(x) : bf16_from_f32(x);
    if (t == DT_F64)          memcpy(data + i * 8, &v, 8);
    else if (t == DT_F32)     memcpy(data + i * 4, &x, 4);
    else if (t == DT_F8_E5M2) data[i] = (uint8_t)(f16_from_f32(x) >> 8);
    else                      memcpy(data + i * 2, &h, 2);
}

typedef struct { progress p; char text[2048]; } log_of;

static void keep_line(progress *p, const char *line)
{
    log_of *l = (log_of *)p;
    const size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s\n", line);
}

// Writes one tensor "a" to `path`, and leaves it there when it is whole.
static bool write_one(const char *path, dtype to, const tensor_source *src, int threads, log_of *l, err *e)
{
    static const int64_t shape[2] = { ODD_ROWS, ODD_COLS };
    static char digests[1][SHA256_HEX + 1];
    int64_t header, bytes;
    *l = (log_of){ .p = { .log = keep_line } };
    gguf_plan *p = gguf_plan_new(32, e);
    ck_assert(gguf_plan_tensor(p, "a", to, 2, shape, e) && gguf_plan_layout(p, &header, &bytes, e));
    outfile *o = outfile_open(path, bytes, e);
    ck_assert_msg(o != NULL, "%s", e->msg);
    bool ok = write_tensors(p, o, src, threads, digests, NULL, &l->p, e);
    if (!ok) outfile_abort(o);
    ok = ok && gguf_plan_write(p, o, e) && outfile_commit(o, e);
    gguf_plan_free(p);
    return ok;
}

static void check_allowed(const odd *o, const char *path, tensor_source *src)
{
    enum { AT = 500 * ODD_COLS + 77 };
    log_of l;
    err e = { 0 };
    float x;
    src->allow_nonfinite = true;
    const bool ok = write_one(path, o->to, src, 3, &l, &e);
    ck_assert_msg(ok == !o->never, "%s: %s", o->what, e.msg);
    if (o->never) return;
    ck_assert_str_eq(l.text, "warning: a: NaN or infinite values in the new file: 2, the first in row 500, column "
                             "77\n");
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    f32_from_float_run(o->to, &x, gguf_tensor_at(g, 0)->data + (int64_t)AT * dtype_find(o->to)->block_bytes, 1);
    ck_assert_msg(isnan(o->value) ? isnan(x) : isinf(x) && (x > 0) == (o->value > 0), "%s: %g", o->what, (double)x);
    ck_assert_msg(compare_tensors(g, src, 2, NULL, &e), "%s: %s", o->what, e.msg);
    src->allow_nonfinite = false;       // a comparison does not ask
    ck_assert_msg(compare_tensors(g, src, 2, NULL, &e), "%s: %s", o->what, e.msg);
    gguf_close(g);
    ck_assert_int_eq(remove(path), 0);
}

START_TEST(test_no_numbers)
{
    enum { AT = 500 * ODD_COLS + 77 };
    char path[128];
    snprintf(path, sizeof path, "%s/out", folder);
    for (size_t k = 0; k < sizeof odds / sizeof odds[0]; k++) {
        const odd *o = &odds[k];
        const int64_t bytes = (int64_t)ODD_ROWS * ODD_COLS * dtype_of(o->from)->block_bytes;
        uint8_t *data = malloc((size_t)bytes + 1);
        for (int64_t i = 0; i < ODD_ROWS * ODD_COLS; i++) put_value(o->from, data + 1, i, (double)(i % 15) / 8 - 1);
        put_value(o->from, data + 1, AT, o->value);
        put_value(o->from, data + 1, AT + 20 * ODD_COLS, o->value);
        tensor_source src = { .where = "a", .type = o->from, .data = data + 1, .fd = -1 };
        for (int threads = 1; threads < 6; threads++) {
            char says[128];
            log_of l;
            err e = { 0 };
            ck_assert_msg(!write_one(path, o->to, &src, threads, &l, &e), "%s", o->what);
            ck_assert_int_eq(e.kind, ERR_INPUT);
            snprintf(says, sizeof says, "a: row 500: column 77: found %s%s", o->says,
                     o->never ? "" : " (--allow-nonfinite goes on)");
            ck_assert_str_eq(e.msg, says);
            ck_assert_str_eq(l.text, "");
        }
        check_allowed(o, path, &src);
        free(data);
    }
    ck_assert(access(path, F_OK) != 0);
}
END_TEST

// Blocks that stay as they are: one of them has a scale that is no number.
START_TEST(test_no_number_in_a_copied_block)
{
    const int64_t bytes = bytes_of(DT_Q8_0, ODD_ROWS * ODD_COLS), block = 500 * (ODD_COLS / 32) + 3;
    char path[128];
    uint8_t *data = calloc((size_t)bytes, 1);
    log_of l;
    err e = { 0 };
    snprintf(path, sizeof path, "%s/out", folder);
    const uint16_t nan = 0x7e00;
    memcpy(data + block * 34, &nan, 2);
    tensor_source src = { .where = "a", .type = DT_Q8_0, .data = data, .fd = -1 };
    ck_assert(!write_one(path, DT_Q8_0, &src, 2, &l, &e));
    ck_assert_str_eq(e.msg, "a: row 500: column 96: found NaN, expected blocks of finite values (--allow-nonfinite "
                            "goes on)");
    e = (err){ 0 };
    src.allow_nonfinite = true;
    ck_assert_msg(write_one(path, DT_Q8_0, &src, 2, &l, &e), "%s", e.msg);
    ck_assert_str_eq(l.text, "warning: a: NaN or infinite values in the new file: 32, the first in row 500, column "
                             "96\n");
    ck_assert_int_eq(remove(path), 0);
    free(data);
}
END_TEST

// F64 and 8-bit floats give the bytes of the same numbers in F32, to every type and from any alignment.
START_TEST(test_wide_and_narrow_sources)
{
    static const dtype from[] = { DT_F64, DT_F8_E4M3, DT_F8_E5M2 },
                       to[] = { DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q4_K, DT_Q6_K };
    enum { N_ODD = ODD_ROWS * ODD_COLS };
    uint8_t *data = malloc((size_t)N_ODD * 8 + 1);
    float   *x = malloc((size_t)N_ODD * sizeof *x);
    char paths[2][128];
    snprintf(paths[0], sizeof paths[0], "%s/one", folder);
    snprintf(paths[1], sizeof paths[1], "%s/two", folder);
    for (int f = 0; f < 3; f++) {
        for (int64_t i = 0; i < N_ODD; i++) {
            const double v = sin((double)i) * (1 + 1e-9);
            if (from[f] == DT_F64) memcpy(data + 1 + i * 8, &v, 8);
            else                   data[1 + i] = (uint8_t)(i * 7 % 0x78 | (i % 2 ? 0x80 : 0));      // all numbers
        }
        f32_from_float_run(from[f], x, data + 1, N_ODD);
        for (size_t k = 0; k < sizeof to / sizeof to[0]; k++) {
            const tensor_source a = { .where = "a", .type = from[f], .data = data + 1, .fd = -1 };
            const tensor_source b = { .where = "a", .type = DT_F32, .data = (const uint8_t *)x, .fd = -1 };
            file_map m[2];
            log_of l;
            err e = { 0 };
            ck_assert_msg(write_one(paths[0], to[k], &a, 3, &l, &e) && write_one(paths[1], to[k], &b, 1, &l, &e), "%s",
                          e.msg);
            ck_assert(file_map_open(&m[0], paths[0], &e) && file_map_open(&m[1], paths[1], &e));
            ck_assert_int_eq(m[0].size, m[1].size);
            ck_assert_msg(memcmp(m[0].data, m[1].data, (size_t)m[0].size) == 0, "%s to %s", dtype_name(from[f]),
                          dtype_name(to[k]));
            for (int i = 0; i < 2; i++) file_map_close(&m[i]);
        }
    }
    for (int i = 0; i < 2; i++) ck_assert_int_eq(remove(paths[i]), 0);
    free(x);
    free(data);
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
    tcase_add_test(c, test_no_numbers);
    tcase_add_test(c, test_no_number_in_a_copied_block);
    tcase_add_test(c, test_wide_and_narrow_sources);
    const int status = run_suite(s);
    rmdir(folder);
    return status;
}
