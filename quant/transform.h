// transform: what is done to a source tensor's values on their way into a file, beside the change of type. A closed
// list: every reader of source tensors (writing, comparing) goes through it, so that they cannot disagree.
//
// Each element of the file comes from one element of the source, and each element of the source goes to one place.
// Proved for every family by tests/families_test.c, whose checkpoints give other tokens where it is not so.
#ifndef HALLMARK_QUANT_TRANSFORM_H
#define HALLMARK_QUANT_TRANSFORM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    float   add;        // added to every element, in F32 (Gemma 3's norms store w, GGUF holds 1 + w); 0: nothing
    // Rows of every `pairs` rows (a head): row i of the first half and row i of the second become neighbours, 2i
    // and 2i + 1 (llama.cpp's llama rotates neighbours, Transformers halves). Even, divides the number of rows; 0: rows
    // stay.
    int64_t pairs;
} transform;

// Are the values the source's own, all in their places?
static inline bool transform_is_none(const transform *t) { return t->add == 0 && t->pairs == 0; }

// The source's row for a row of the file.
static inline int64_t transform_source_row(const transform *t, int64_t row)
{
    if (t->pairs == 0) return row;
    const int64_t in_head = row % t->pairs, half = t->pairs / 2;
    return row - in_head + in_head % 2 * half + in_head / 2;
}

#endif
