// finite: is every value of a run a number? One NaN in a matrix makes every logit NaN: what goes into a file is looked
// at.
// Proved by tests/finite_test.c.
#ifndef HALLMARK_QUANT_FINITE_H
#define HALLMARK_QUANT_FINITE_H

#include "../formats/dtype.h"

// The types whose values may be NaN or infinite each for itself: F32, F16, BF16.
bool finite_checks(dtype t);

// Index of the first of n values of such a type that is NaN or infinite; -1 where all are numbers. bytes: any
// alignment.
// Written so that the compiler puts many values side by side; the plain loop is finite_first_plain, its twin in the
// test.
int64_t finite_first(dtype t, const void *bytes, int64_t n);
int64_t finite_first_plain(dtype t, const void *bytes, int64_t n);

// How many of them are none.
int64_t finite_count_bad(dtype t, const void *bytes, int64_t n);

// "NaN", "Inf" or "-Inf"; NULL for a number.
const char *finite_name(double x);

#endif
