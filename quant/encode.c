#include "encode.h"
#include "codec.h"
#include "../formats/threads.h"

#include <stdlib.h>
#include <string.h>

static int64_t cols_of(const gguf_tensor *t) { return t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1; }

// Row strides and codecs of both sides; ERR_INPUT where there is no way from one to the other.
typedef struct { const codec *from, *to; int64_t cols, rows, from_bytes, to_bytes; } pair;

static bool pair_of(pair *p, const gguf_tensor *src, dtype to, err *e)
{
    *p = (pair){ .from = codec_find(src->type), .to = codec_find(to), .cols = cols_of(src) };
    p->rows = src->n_elems / p->cols;
    if (!p->from || !p->to || src->n_dims > 2 || !dtype_row_bytes(src->type, p->cols, &p->from_bytes) || !dtype_row_bytes(to, p->cols, &p->to_bytes))
        return err_set(e, ERR_INPUT, "tensor '%s': rows of %lld %s cannot become %s", src->name, (long long)p->cols, dtype_name(src->type), dtype_name(to));
    return true;
}

bool encode_tensor(uint8_t *dst, const gguf_tensor *src, dtype to, const float *importance, int n_threads, err *e)
{
    enum { ROWS = 16 };             // as many as the widest lanes take at a time
    pair p;
    if (!pair_of(&p, src, to, e)) return false;
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
                for (int64_t r = 0; r < n; r++) p.from->decode_row(x + r * p.cols, src->data + (r0 + r) * p.from_bytes, p.cols);
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

static double row_error(const pair *p, const gguf_tensor *src, const uint8_t *enc, int64_t row, const float *col_weight, float *x, float *y)
{
    double sum = 0;
    p->from->decode_row(x, src->data + row * p->from_bytes, p->cols);
    p->to->decode_row(y, enc + row * p->to_bytes, p->cols);
    for (int64_t c = 0; c < p->cols; c++) {
        const double d = (double)y[c] - (double)x[c];
        sum += (col_weight ? (double)col_weight[c] : 1.0) * d * d;
    }
    return sum;
}

bool encode_error(double *sum, const gguf_tensor *src, const uint8_t *enc, dtype to, const float *col_weight, int n_threads, err *e)
{
    pair p;
    if (!pair_of(&p, src, to, e)) return false;
    double *rows = malloc((size_t)p.rows * sizeof *rows);
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
            if (x) rows[r] = row_error(&p, src, enc, r, col_weight, x, x + p.cols);
        free(x);
    }
    *sum = 0;
    for (int64_t r = 0; room && r < p.rows; r++) *sum += rows[r];
    free(rows);
    return room || err_nomem(e, "errors of a tensor's rows", (size_t)p.rows * sizeof *rows);
}
