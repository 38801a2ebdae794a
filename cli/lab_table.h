// lab_table: what a laboratory run found, as the table at its end.
#ifndef HALLMARK_CLI_LAB_TABLE_H
#define HALLMARK_CLI_LAB_TABLE_H

#include "../measure/lab_figures.h"
#include <stdio.h>

// One row a candidate, from the smallest cache to the largest: file, cache, bytes for each position, mean KL with its
// interval, 99th percentile and largest, top-1 and top-5 agreement, the category of the lowest top-1 agreement; as wide
// as the terminal that f is, or 120 columns: where that is not enough for all names, what files' names begin with alike
// is left out, and caches are cut in their middle. Then what was measured, and the recommendation.
// False when memory ran out, which is said.
bool lab_table_print(const lab_result *r, FILE *f);

#endif
