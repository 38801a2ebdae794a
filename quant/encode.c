#include "encode.h"
#include "codec.h"
#include "../formats/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t cols_of(const gguf_tensor *t) { return t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1; }

// Row strides and codecs of both sides; ERR_INPUT where there is no way from one to the other.
typedef struct { const codec *from, *to; int64_t cols, rows, from_bytes, to_bytes; } pair;

static bool pair_of(pair *p, const gguf_tensor *src, dtype to, int most_dims, err *e)
{
    *p = (pair){ .from = codec_find(src->type), .to = codec_find(to), .cols = cols_of(src) };
    p->rows = src->n_elems / p->cols;
    if ((!p->from && !dtype_is_float(src->type)) || !p->to || src->n_dims > most_dims
        || !dtype_row_bytes(src->type, p->cols, &p->from_bytes) || !dtype_row_bytes(to, p->cols, &p->to_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld %s cannot become %s", src->name, (long long)p->cols,
                       dtype_name(src->type), dtype_name(to));
    return true;
}

bool encode_tensor(uint8_t *dst, const gguf_tensor *src, dtype to, const float *importance, int n_threads, err *e)
{
    enum { ROWS = 16 };             // as many as the widest lanes take at a time
    pair p;
    if (!pair_of(&p, src, to, 2, e)) return false;
    if (!p.from)
        return err_set(e, ERR_INPUT, "tensor '%s': %s is no type to encode from", src->name, dtype_name(src->type));
    const int64_t n_groups = p.rows / ROWS + (p.rows % ROWS != 0);
    int64_t failed_group = n_groups;            // of several failures the first row's is reported
    err failure = { 0 };
#pragma omp parallel num_threads(threads_or_cores(n_threads))
    {
        float *x = malloc((size_t)(ROWS * p.cols) * sizeof *x);
#pragma omp for schedule(dynamic, 4)
        for (int64_t g = 0; g < n_groups; g++) {
            const int64_t r0 = g * ROWS, n = p.rows - r0 < ROWS ? p.rows - r0 : ROWS;
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

typedef struct { double error, norm; } row_sums;

// row: of enc. x: room for two rows.
static row_sums sum_row(const pair *p, const gguf_tensor *src, const transform *change, const uint8_t *enc, int64_t row,
                        const float *col_weight, float *x)
{
    row_sums s = { 0, 0 };
    float *y = x + p->cols;
    const uint8_t *from = src->data + transform_source_row(change, row) * p->from_bytes;
    if (dtype_is_float(src->type)) f32_from_float_run(src->type, x, from, p->cols);
    else                           p->from->decode_row(x, from, p->cols);
    for (int64_t c = 0; change->add != 0 && c < p->cols; c++) x[c] += change->add;
    p->to->decode_row(y, enc + row * p->to_bytes, p->cols);
    for (int64_t c = 0; c < p->cols; c++) {
        const double d = (double)y[c] - (double)x[c];
        s.error += (col_weight ? (double)col_weight[c] : 1.0) * d * d;
        s.norm  += (double)x[c] * (double)x[c];
    }
    return s;
}

// Rows are summed by themselves, then joined in order: the same for any number of threads.
static bool sum_rows(row_sums *all, const gguf_tensor *src, const transform *change, const uint8_t *enc, dtype to,
                     const float *col_weight, int n_threads, err *e)
{
    pair p;
    if (!pair_of(&p, src, to, LIMIT_DIMS, e)) return false;
    row_sums *rows = malloc((size_t)p.rows * sizeof *rows);
    bool room = rows != NULL;
#pragma omp parallel num_threads(threads_or_cores(n_threads))
    {
        float *x = rows ? malloc((size_t)(2 * p.cols) * sizeof *x) : NULL;
        if (!x) {
#pragma omp atomic write
            room = false;
        }
#pragma omp for schedule(static)
        for (int64_t r = 0; r < p.rows; r++)
            if (x) rows[r] = sum_row(&p, src, change, enc, r, col_weight, x);
        free(x);
    }
    *all = (row_sums){ 0, 0 };
    for (int64_t r = 0; room && r < p.rows; r++) {
        all->error += rows[r].error;
        all->norm  += rows[r].norm;
    }
    free(rows);
    return room || err_nomem(e, "errors of a tensor's rows", (size_t)p.rows * sizeof *rows);
}

bool encode_error(double *sum, const gguf_tensor *src, const uint8_t *enc, dtype to, const float *col_weight,
                  int n_threads, err *e)
{
    const transform none = { 0 };
    row_sums all;
    if (!sum_rows(&all, src, &none, enc, to, col_weight, n_threads, e)) return false;
    *sum = all.error;
    return true;
}

bool encode_relative_error(double *ratio, const gguf_tensor *src, const transform *change, const uint8_t *enc, dtype to,
                           int n_threads, err *e)
{
    row_sums all;
    if (!sum_rows(&all, src, change, enc, to, NULL, n_threads, e)) return false;
    *ratio = all.norm > 0 ? sqrt(all.error / all.norm) : all.error > 0 ? INFINITY : 0;
    return true;
}
