// lab_merge: parts of a laboratory run, joined. See lab.h.
#include "lab.h"
#include "../formats/checked.h"
#include "../formats/text.h"
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
            return err_set(e, ERR_INPUT,
                           "%s: chunk %lld, cache %s: found other figures than another folder's, expected "
                           "the same",
                           dir, (long long)chunk, p->candidates[candidate].kv);
    }
    return true;
}

// ---- what is in none of them ----------------------------------------------------------------------------------------

enum { MOST_PARTS = 1024, MOST_RANGES = 24 };

typedef struct {
    bool    *of;                // [n_chunks]: a measurement of it is in no folder
    int64_t  n_chunks, cells;   // cells: measurements that are in none
    int64_t  first;             // the first of them, of all
} missing;

static bool find_missing(missing *m, const lab_cells *c, const lab_plan *p, err *e)
{
    *m = (missing){ .of = calloc((size_t)p->n_chunks, sizeof *m->of), .n_chunks = p->n_chunks };
    if (!m->of) return err_nomem(e, "chunks", (size_t)p->n_chunks);
    for (int64_t i = p->n_chunks * p->n_candidates - 1; i >= 0; i--) {
        if (c->cells[i].points) continue;
        m->of[i / p->n_candidates] = true;
        m->first = i;
        m->cells++;
    }
    return true;
}

// Were those chunks left out by a run of n parts: is of every part all missing, or nothing?
static bool are_parts(const missing *m, int64_t n)
{
    for (int64_t i = n; i < m->n_chunks; i++)
        if (m->of[i] != m->of[i % n]) return false;
    return true;
}

static int64_t count(const bool *of, int64_t n)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) found += of[i];
    return found;
}

// Of how many parts some are missing whole; 0: of none. Several numbers may do: the one with a folder for each part
// that is there, or else the least, whose parts are the same chunks.
static int64_t find_parts(const missing *m, int n_folders)
{
    const int64_t most = min_i64(m->n_chunks, MOST_PARTS);
    int64_t least = 0;
    for (int64_t n = 2; n <= most; n++) {
        if (!are_parts(m, n)) continue;
        if (count(m->of, n) == n - n_folders) return n;
        if (least == 0 && n <= m->n_chunks / 2) least = n;       // one chunk by itself is no pattern
    }
    return least;
}

// "2, 5 to 7, 9": the places of what is set, from `first` on.
static void put_ranges(text_buf *t, const bool *of, int64_t n, int64_t first)
{
    int ranges = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (!of[i]) continue;
        while (end < n && of[end]) end++;
        if (end - i == 2) end--;                // two are no range
        if (ranges++ == MOST_RANGES) {
            text_printf(t, " and %lld more", (long long)count(of + i, n - i));
            return;
        }
        text_printf(t, "%s%lld", ranges == 1 ? "" : ", ", (long long)(i + first));
        if (end - i > 1) text_printf(t, " to %lld", (long long)(end - 1 + first));
    }
}

static bool tell_missing(const missing *m, const lab_plan *p, int n_folders, err *e)
{
    text_buf t = { 0 };
    const int64_t parts = find_parts(m, n_folders), chunks = count(m->of, m->n_chunks);
    if (parts) text_printf(&t, "of %lld parts, ", (long long)parts);
    text_words(&t, parts ? count(m->of, parts) == 1 ? "part " : "parts " : chunks == 1 ? "chunk " : "chunks ");
    put_ranges(&t, m->of, parts ? parts : m->n_chunks, parts ? 1 : 0);
    char *what = text_take(&t);
    if (!what) return err_nomem(e, "chunks", 0);
    err_set(e, ERR_INPUT, "%lld of %lld measurements are in none of the folders: %s; the first is chunk %lld with "
            "cache %s%s", (long long)m->cells, (long long)(p->n_chunks * p->n_candidates), what,
            (long long)(m->first / p->n_candidates), p->candidates[m->first % p->n_candidates].kv,
            parts ? "" : "; of N parts, chunk C is in part C modulo N, plus 1");
    free(what);
    return false;
}

static bool check_complete(const lab_cells *c, const lab_plan *p, int n_folders, err *e)
{
    missing m;
    const bool ok = find_missing(&m, c, p, e) && (m.cells == 0 || tell_missing(&m, p, n_folders, e));
    free(m.of);
    return ok;
}

// ---- all of it ------------------------------------------------------------------------------------------------------

bool lab_merge(lab_cells *out, lab_plan *p, const char *const *folders, int n, err *e)
{
    *out = (lab_cells){ 0 };
    if (!lab_state_plan(folders[0], p, e) || !lab_cells_new(out, p, e)) return false;
    for (int i = 0; i < n; i++) {
        if (i && !lab_state_is_of(folders[i], p, e)) return false;
        if (!take_folder(out, p, folders[i], e)) return false;
    }
    return check_complete(out, p, n, e);
}
