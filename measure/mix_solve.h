// mix_solve: the cheapest choice of one type for each tensor within a number of bytes.
//
// Every tensor has choices, each of a size and a cost (what it adds to the KL); costs add up. First the lower convex
// hull of each tensor's choices is climbed, the step with the most cost saved for a byte first, over all tensors: the
// Lagrangian solution, optimal for every budget that it meets exactly. Then what is left of the budget is spent: a
// better choice of one tensor, or one raised and one lowered, while that saves anything.
// The result is at most one hull step's saving from the optimum. Deterministic: equal savings go to the tensor that
// comes first.
// Proved by tests/mix_test.c against brute force.
#ifndef HALLMARK_MEASURE_MIX_SOLVE_H
#define HALLMARK_MEASURE_MIX_SOLVE_H

#include "../formats/err.h"
#include <stdint.h>

typedef struct { int64_t bytes; double cost; } mix_choice;              // both >= 0 and finite
typedef struct { const mix_choice *choices; int n; } mix_item;          // n >= 1, in any order; borrowed

// picks: [n], indexes of the choices taken. false: budget < *least, the bytes of the smallest choices (*least is always
// set; e is not: the caller knows what to call them), or ERR_SYSTEM in e without memory.
bool mix_solve(const mix_item *items, int64_t n, int64_t budget, int *picks, int64_t *least, err *e);

#endif
