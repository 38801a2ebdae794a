// name_index: which row of a table has a name. For tables that grow one row at a time and are asked in between.
//
// A balanced tree (the C library's tsearch), not a hash table: whoever writes a file chooses its names, and no choice
// of names makes a tree slow.
// Proved by tests/gguf_test.c.
#ifndef HALLMARK_FORMATS_NAME_INDEX_H
#define HALLMARK_FORMATS_NAME_INDEX_H

#include "err.h"
#include <stdint.h>

typedef struct { void *root; } name_index;      // zeroed: empty

// Adds a name that is not there yet; borrowed until name_index_free.
bool    name_index_add(name_index *x, const char *name, int64_t row, err *e);
// Its row, or -1. Time: the logarithm of the number of names.
int64_t name_index_find(const name_index *x, const char *name);
// Forgets a name that is there; the rows behind its own move up by one. Time: the number of names.
void    name_index_remove(name_index *x, const char *name);
void    name_index_free(name_index *x);

#endif
