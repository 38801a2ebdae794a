#include "encode.h"
#include "codec.h"
#include "../formats/threads.h"
#include "tensor_piece.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t cols_of(const gguf_tensor *t) { return t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1; }

// Row strides and codecs of both sides; ERR_INPUT where there is no way from one to the other. Rows are those of one
// matrix: the whole tensor, or one expert.
typedef struct { const codec *from, *to; int64_t cols, rows, matrices, from_bytes, to_bytes; } pair;

static bool pair_of(pair *p, const gguf_tensor *src, dtype to, err *e)
{
    *p = (pair){ .from = codec_find(src->type), .to = codec_find(to), .cols = cols_of(src) };
    p->matrices = src->n_dims > 2 ? src->shape[0] : 1;
    p->rows = src->n_elems / p->cols / p->matrices;
    if ((!p->from && !dtype_is_float(src->type)) || !p->to || src->n_dims > 3
        || !dtype_row_bytes(src->type, p->cols, &p->from_bytes) || !dtype_row_bytes(to, p->cols, &p->to_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld %s cannot become %s", src->name, (long long)p->cols,
                       dtype_name(src->type), dtype_name(to));
    return true;
}

// Matrix number m of the tensor. dst: of the whole; importance: [cols] of this one, or NULL.
static bool encode_matrix(uint8_t *dst, const gguf_tensor *src, const pair *pp, int64_t m, const float *importance,
                          int n_threads, err *e)
{
    enum { ROWS = 16 };             // as many as the widest lanes take at a time
    const pair p = *pp;
    const int64_t first = m * p.rows;
    const int64_t n_groups = p.rows / ROWS + (p.rows % ROWS != 0);
    int64_t failed_group = n_groups;            // of several failures the first row's is reported
    err failure = { 0 };
#pragma omp parallel num_threads(threads_or_cores(n_threads))
    {
        float *x = malloc((size_t)(ROWS * p.cols) * sizeof *x);
#pragma omp for schedule(dynamic, 4)
        for (int64_t g = 0; g < n_groups; g++) {
            const int64_t in_matrix = g * ROWS, r0 = first + in_matrix;
            const int64_t n = p.rows - in_matrix < ROWS ? p.rows - in_matrix : ROWS;
            err why = { 0 }, here = { 0 };
            int64_t bad = 0;
            bool ok = x || err_nomem(&why, "rows of a tensor", (size_t)(ROWS * p.cols) * sizeof *x);
            if (ok) {
                for (int64_t r = 0; r < n; r++)
                    p.from->decode_row(x + r * p.cols, src->data + (r0 + r) * p.from_bytes, p.cols);
                ok = codec_encode_rows(p.to, dst + r0 * p.to_bytes, x, n, p.cols, importance, &bad, &here) ||
                     err_set(&why, here.kind, "tensor '%s': row %lld: %s", src->name, (long long)(r0 + bad), here.msg);
            }
            if (ok) continue;
#pragma omp critical(encode_failure)
            if (g < failed_group) { failed_group = g; failure = why; }
        }
        free(x);
    }
    return failed_group == n_groups || err_set(e, failure.kind, "%s", failure.msg);
}

bool encode_tensor(uint8_t *dst, const gguf_tensor *src, dtype to, const float *importance, int n_threads, err *e)
{
    pair p;
    if (!pair_of(&p, src, to, e)) return false;
    if (!p.from)
        return err_set(e, ERR_INPUT, "tensor '%s': %s is no type to encode from", src->name, dtype_name(src->type));
    for (int64_t m = 0; m < p.matrices; m++)
        if (!encode_matrix(dst, src, &p, m, importance ? importance + m * p.cols : NULL, n_threads, e)) return false;
    return true;
}

typedef struct { double error, norm; } row_sums;

typedef struct {
    tensor_job   job;           // dst: the encoded tensor, its blocks in data
    int64_t      row_bytes;     // of the encoded
    const float *col_weight;    // [cols], of experts [n_expert][cols]; or NULL: 1
} comparison;

// y: room for a row. false: no memory.
static bool sum_row(row_sums *s, const comparison *c, int64_t row, piece_scratch *scratch, float *y)
{
    err            ignored = { 0 };
    const int64_t  cols = c->job.cols;
    const int64_t  matrix = c->job.dst->n_dims > 2 ? row / c->job.rows_per_matrix : 0;
    const float   *weight = c->col_weight ? c->col_weight + matrix * cols : NULL;
    const float   *x = piece_source(&c->job, row * cols, cols, scratch, &ignored);
    *s = (row_sums){ 0, 0 };
    if (!x) return false;
    c->job.to->decode_row(y, c->job.dst->data + row * c->row_bytes, cols);
    for (int64_t i = 0; i < cols; i++) {
        const double d = (double)y[i] - (double)x[i];
        s->error += (weight ? (double)weight[i] : 1.0) * d * d;
        s->norm  += (double)x[i] * (double)x[i];
    }
    return true;
}

static bool comparison_init(comparison *c, const gguf_tensor *enc, const tensor_source *src, const float *col_weight,
                            err *e)
{
    *c = (comparison){ .col_weight = col_weight };
    if (!tensor_job_init(&c->job, enc, src, e)) return false;
    if (c->job.to && dtype_row_bytes(enc->type, c->job.cols, &c->row_bytes)) return true;
    return err_set(e, ERR_INPUT, "%s: rows of %lld %s cannot become %s", src->where, (long long)c->job.cols,
                   dtype_name(src->type), dtype_name(enc->type));
}

// Rows are summed by themselves, then joined in order: the same for any number of threads.
static bool sum_rows(row_sums *all, const gguf_tensor *enc, const tensor_source *src, const float *col_weight,
                     int n_threads, err *e)
{
    comparison c;
    if (!comparison_init(&c, enc, src, col_weight, e)) return false;
    const int64_t n_rows = enc->n_elems / c.job.cols;
    row_sums *rows = malloc((size_t)n_rows * sizeof *rows);
    bool room = rows != NULL;
#pragma omp parallel num_threads(threads_or_cores(n_threads))
    {
        piece_scratch scratch = { 0 };
        float *y = rows ? malloc((size_t)c.job.cols * sizeof *y) : NULL;
        bool   here = y != NULL;
#pragma omp for schedule(static)
        for (int64_t r = 0; r < n_rows; r++)
            if (here) here = sum_row(&rows[r], &c, r, &scratch, y);
        if (!here) {
#pragma omp atomic write
            room = false;
        }
        piece_scratch_free(&scratch);
        free(y);
    }
    *all = (row_sums){ 0, 0 };
    for (int64_t r = 0; room && r < n_rows; r++) {
        all->error += rows[r].error;
        all->norm  += rows[r].norm;
    }
    free(rows);
    return room || err_nomem(e, "errors of a tensor's rows", (size_t)n_rows * sizeof *rows);
}

bool encode_error(double *sum, const gguf_tensor *src, const uint8_t *enc, dtype to, const float *col_weight,
                  int n_threads, err *e)
{
    const tensor_source source = { .where = src->name, .type = src->type, .data = src->data, .fd = -1 };
    gguf_tensor encoded = *src;
    row_sums all;
    encoded.type = to;
    encoded.data = enc;
    if (!sum_rows(&all, &encoded, &source, col_weight, n_threads, e)) return false;
    *sum = all.error;
    return true;
}

bool encode_relative_error(double *ratio, const gguf_tensor *enc, const tensor_source *src, int n_threads, err *e)
{
    row_sums all;
    if (!sum_rows(&all, enc, src, NULL, n_threads, e)) return false;
    *ratio = all.norm > 0 ? sqrt(all.error / all.norm) : all.error > 0 ? INFINITY : 0;
    return true;
}
