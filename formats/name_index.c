// name_index: see name_index.h.
#define _GNU_SOURCE     // tdestroy, twalk_r
#include "name_index.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *name; int64_t row; } named_row;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named_row *)a)->name, ((const named_row *)b)->name);
}

bool name_index_add(name_index *x, const char *name, int64_t row, err *e)
{
    named_row *r = malloc(sizeof *r);
    if (!r) return err_nomem(e, "an index of names", sizeof *r);
    *r = (named_row){ .name = name, .row = row };
    if (tsearch(r, &x->root, by_name)) return true;
    free(r);
    return err_nomem(e, "an index of names", sizeof *r);
}

int64_t name_index_find(const name_index *x, const char *name)
{
    const named_row          wanted = { .name = name };
    const named_row *const  *hit = tfind(&wanted, &x->root, by_name);
    return hit ? (*hit)->row : -1;
}

static void move_up(const void *node, VISIT when, void *removed)
{
    named_row *r = *(named_row *const *)node;
    const int64_t at = *(const int64_t *)removed;
    if ((when == postorder || when == leaf) && r->row > at) r->row--;      // each node is shown once as either
}

void name_index_remove(name_index *x, const char *name)
{
    const named_row   wanted = { .name = name };
    named_row *const *hit = tfind(&wanted, &x->root, by_name);
    named_row        *row = *hit;
    tdelete(&wanted, &x->root, by_name);
    int64_t at = row->row;
    free(row);
    twalk_r(x->root, move_up, &at);
}

void name_index_free(name_index *x)
{
    tdestroy(x->root, free);
    x->root = NULL;
}
