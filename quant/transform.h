// transform: what is done to a source tensor's values on their way into a file, beside the change of type. A closed
// list: every reader of source tensors (writing, comparing) goes through it, so that they cannot disagree.
//
// Each element of the file comes from one element of the source, and each element of the source goes to one place of
// one tensor. Proved for every family by tests/transform_test.c.
#ifndef HALLMARK_QUANT_TRANSFORM_H
#define HALLMARK_QUANT_TRANSFORM_H

#include "exp_log.h"

#include <stdbool.h>
#include <stdint.h>

// Rows (or columns) from `first` on, which the source has as [groups][each][size], lie as [each][groups][size] in the
// file: value heads by the key head that they belong to, and then the first of each key head, the second of each, ...
typedef struct { int64_t first, groups, each, size; } head_order;      // groups 0: they stay

typedef struct {
    float   add;        // added to every element, in F32 (norms that store w where the file holds 1 + w); 0: nothing
    bool    neg_exp;    // -e^x of every element, by exp_or_nan_f64: the same bits on every machine
    // Rows of every `pairs` rows (a head): row i of the first half and row i of the second become neighbours, 2i
    // and 2i + 1 (llama.cpp's llama rotates neighbours, Transformers halves). Even, divides the number of rows; 0: rows
    // stay.
    int64_t pairs;
    head_order rows, cols;
    // Of every `of` rows of the source the file has `take`, from row `skip` on (a half of each expert). of 0: all.
    int64_t take, of, skip;
} transform;

static inline bool transform_moves_rows(const transform *t)
{
    return t->pairs != 0 || t->rows.groups != 0 || t->of != 0;
}

static inline bool transform_changes_values(const transform *t) { return t->add != 0 || t->neg_exp; }

// Are the values the source's own, all in their places?
static inline bool transform_is_none(const transform *t)
{
    return !transform_changes_values(t) && !transform_moves_rows(t) && t->cols.groups == 0;
}

static inline int64_t head_order_source(const head_order *h, int64_t i)
{
    if (h->groups == 0 || i < h->first) return i;
    const int64_t head = (i - h->first) / h->size, in_head = (i - h->first) % h->size;
    return h->first + (head % h->groups * h->each + head / h->groups) * h->size + in_head;
}

// How many from place i of the file on lie one after another in the source, too.
static inline int64_t head_order_run(const head_order *h, int64_t i)
{
    return i < h->first ? h->first - i : h->size - (i - h->first) % h->size;
}

// The source's row for a row of the file.
static inline int64_t transform_source_row(const transform *t, int64_t row)
{
    row = head_order_source(&t->rows, row);
    if (t->pairs != 0) {
        const int64_t in_head = row % t->pairs, half = t->pairs / 2;
        row = row - in_head + in_head % 2 * half + in_head / 2;
    }
    return t->of == 0 ? row : row / t->take * t->of + t->skip + row % t->take;
}

// What becomes of n values, in place.
static inline void transform_values(const transform *t, float *x, int64_t n)
{
    for (int64_t i = 0; t->neg_exp && i < n; i++) x[i] = -(float)exp_or_nan_f64((double)x[i]);
    for (int64_t i = 0; t->add != 0 && i < n; i++) x[i] += t->add;
}

#endif
