// lab_merge: parts of a laboratory run, joined. See lab.h.
#include "lab.h"
#include "lab_state.h"
#include <stdlib.h>
#include <string.h>

static bool same_place(const lab_place *a, const lab_place *b)
{
    return a->position == b->position && strcmp(a->before, b->before) == 0 && strcmp(a->next, b->next) == 0
        && strcmp(a->after, b->after) == 0 && strcmp(a->base_best, b->base_best) == 0 && strcmp(a->best, b->best) == 0;
}

static bool same_cell(const lab_cell *a, const lab_cell *b, int64_t n_points)
{
    bool same = memcmp(a->points, b->points, (size_t)n_points * sizeof *a->points) == 0 && a->n_worst == b->n_worst;
    for (int i = 0; same && i < a->n_worst; i++) same = same_place(&a->worst[i], &b->worst[i]);
    return same;
}

// Takes from one folder what is not there yet. What two folders measured must be the same: a chunk's figures depend on
// nothing else.
static bool take_folder(lab_cells *out, const lab_plan *p, const char *dir, err *e)
{
    for (int64_t i = 0; i < p->n_chunks * p->n_candidates; i++) {
        const int64_t chunk = i / p->n_candidates;
        const int     candidate = (int)(i % p->n_candidates);
        lab_cell c;
        bool     found;
        if (!lab_state_read(dir, p, chunk, candidate, &c, &found, e)) return false;
        if (!found) continue;
        const bool fresh = !out->cells[i].points, same = !fresh && same_cell(&c, &out->cells[i], out->n_points);
        if (fresh) out->cells[i] = c;
        else       lab_cell_free(&c);
        if (!fresh && !same)
            return err_set(e, ERR_INPUT, "%s: chunk %lld, cache %s: found other figures than another folder's, expected "
                           "the same", dir, (long long)chunk, p->candidates[candidate].kv);
    }
    return true;
}

static bool check_complete(const lab_cells *c, const lab_plan *p, err *e)
{
    int64_t missing = 0, first = -1;
    for (int64_t i = 0; i < p->n_chunks * p->n_candidates; i++) {
        if (c->cells[i].points) continue;
        if (first < 0) first = i;
        missing++;
    }
    if (first < 0) return true;
    const int64_t chunk = first / p->n_candidates;
    return err_set(e, ERR_INPUT, "%lld of %lld measurements are in none of the folders; the first is chunk %lld with "
                   "cache %s: of N parts, part %lld modulo N", (long long)missing,
                   (long long)(p->n_chunks * p->n_candidates), (long long)chunk,
                   p->candidates[first % p->n_candidates].kv, (long long)chunk + 1);
}

bool lab_merge(lab_cells *out, lab_plan *p, const char *const *folders, int n, err *e)
{
    *out = (lab_cells){ 0 };
    if (!lab_state_plan(folders[0], p, e) || !lab_cells_new(out, p, e)) return false;
    for (int i = 0; i < n; i++) {
        if (i && !lab_state_is_of(folders[i], p, e)) return false;
        if (!take_folder(out, p, folders[i], e)) return false;
    }
    return check_complete(out, p, e);
}
