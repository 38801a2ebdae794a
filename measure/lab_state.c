// lab_state: cells on disk. See lab_state.h.
//
// What a cell holds (state_folder.h has what is around it): u64 chunk; u32 candidate; u32 places; u64 points; the
// points as lab_point has them; the places: u64 position, then five texts, each a u32 of bytes and those.
#include "lab_state.h"
#include "../formats/file_map.h"
#include "state_folder.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MARK[STATE_MARK] = "HMLABC1\n";
enum { LIMIT_PLACE_TEXT = 1 << 16 };

static_assert(sizeof(lab_point) == 40, "points are written as they are");

// ---- the folder -----------------------------------------------------------------------------------------------------

bool lab_state_plan(const char *dir, lab_plan *p, err *e)
{
    char   *path, *text;
    int64_t n;
    *p = (lab_plan){ 0 };
    if (!state_folder_plan(&text, &n, &path, dir, e)) return false;
    const bool ok = lab_plan_read(p, text, n, path, e);
    free(text);
    free(path);
    return ok;
}

bool lab_state_is_of(const char *dir, const lab_plan *p, err *e)
{
    lab_plan there;
    bool ok = lab_state_plan(dir, &there, e);
    const char *what = ok ? lab_plan_difference(&there, p) : NULL;
    if (what) ok = state_folder_differs(dir, what, e);
    lab_plan_free(&there);
    return ok;
}

// The folder is ours, an earlier run's, or one's that begins at the same time.
bool lab_state_open(const char *dir, const lab_plan *p, err *e)
{
    return state_folder_open(dir, p->json, "a laboratory run", e) && lab_state_is_of(dir, p, e);
}

static char *cell_path(const char *dir, int64_t chunk, int candidate)
{
    char name[64];
    snprintf(name, sizeof name, "chunk-%06lld-candidate-%04d.cell", (long long)chunk, candidate);
    return path_join(dir, name);
}

// ---- writing --------------------------------------------------------------------------------------------------------

static void put_text(text_buf *t, const char *s)
{
    const size_t n = strlen(s);
    state_put_u32(t, (uint32_t)n);
    text_raw(t, s, n);
}

static void put_place(text_buf *t, const lab_place *w)
{
    state_put_u64(t, (uint64_t)w->position);
    put_text(t, w->before);
    put_text(t, w->next);
    put_text(t, w->after);
    put_text(t, w->base_best);
    put_text(t, w->best);
}

bool lab_state_write(const char *dir, const lab_plan *p, int64_t chunk, int candidate, const lab_cell *c, err *e)
{
    text_buf t = { 0 };
    state_cell_begin(&t, MARK, p->digest);
    state_put_u64(&t, (uint64_t)chunk);
    state_put_u32(&t, (uint32_t)candidate);
    state_put_u32(&t, (uint32_t)c->n_worst);
    state_put_u64(&t, (uint64_t)lab_points(p));
    text_raw(&t, (const char *)c->points, (size_t)lab_points(p) * sizeof *c->points);
    for (int i = 0; i < c->n_worst; i++) put_place(&t, &c->worst[i]);
    char *path = cell_path(dir, chunk, candidate);
    const bool ok = state_cell_write(&t, path, e);
    free(path);
    return ok;
}

// ---- reading --------------------------------------------------------------------------------------------------------

static bool take_text(state_cell *r, char **to)
{
    uint32_t n = 0;
    if (!state_take(r, &n, sizeof n)) return false;
    if (n > LIMIT_PLACE_TEXT) return state_broken(r, "a text in it is too long");
    *to = calloc((size_t)n + 1, 1);
    return *to ? state_take(r, *to, n) : err_nomem(r->e, r->path, n);
}

static bool take_place(state_cell *r, const lab_plan *p, lab_place *w)
{
    uint64_t position = 0;
    if (!state_take(r, &position, sizeof position)) return false;
    if (position < (uint64_t)p->skip || position > (uint64_t)p->chunk - 2)
        return state_broken(r, "a position in it is not among those compared");
    w->position = (int64_t)position;
    return take_text(r, &w->before) && take_text(r, &w->next) && take_text(r, &w->after)
        && take_text(r, &w->base_best) && take_text(r, &w->best);
}

static bool take_head(state_cell *r, const lab_plan *p, int64_t chunk, int candidate, uint32_t *n_worst)
{
    uint64_t c = 0, n_points = 0;
    uint32_t k = 0;
    if (!state_take_begin(r, MARK, p->digest)) return false;
    if (!state_take(r, &c, sizeof c) || !state_take(r, &k, sizeof k)) return false;
    if (!state_take(r, n_worst, sizeof *n_worst) || !state_take(r, &n_points, sizeof n_points)) return false;
    if (c != (uint64_t)chunk || k != (uint32_t)candidate) return state_broken(r, "it is of another chunk or candidate");
    return (n_points == (uint64_t)lab_points(p) && *n_worst <= LAB_WORST)
        || state_broken(r, "its counts are another run's");
}

static bool is_point(const lab_plan *p, const lab_point *x)
{
    const bool numbers = isfinite(x->kl) && isfinite(x->base_logprob) && isfinite(x->logprob);
    const bool ids = x->base_top >= -1 && x->base_top < p->n_vocab && x->top >= -1 && x->top < p->n_vocab;
    return numbers && ids && x->kl >= 0 && x->shared >= 0 && x->shared <= LAB_TOP;
}

static bool take_points(state_cell *r, const lab_plan *p, lab_cell *c)
{
    const int64_t n = lab_points(p);
    if ((r->end - r->at) / (int64_t)sizeof *c->points < n) return state_broken(r, "it ends too early");
    c->points = malloc((size_t)n * sizeof *c->points);
    if (!c->points) return err_nomem(r->e, r->path, (size_t)n * sizeof *c->points);
    if (!state_take(r, c->points, (size_t)n * sizeof *c->points)) return false;
    for (int64_t i = 0; i < n; i++)
        if (!is_point(p, &c->points[i])) return state_broken(r, "a figure in it is out of range");
    return true;
}

static bool take_worst(state_cell *r, const lab_plan *p, lab_cell *c, uint32_t n)
{
    c->worst = calloc((size_t)n + 1, sizeof *c->worst);
    if (!c->worst) return err_nomem(r->e, r->path, (size_t)n * sizeof *c->worst);
    for (uint32_t i = 0; i < n; i++) {
        c->n_worst++;
        if (!take_place(r, p, &c->worst[i])) return false;
    }
    return true;
}

static bool take_cell(state_cell *r, const lab_plan *p, int64_t chunk, int candidate, lab_cell *c)
{
    uint32_t n_worst = 0;
    return take_head(r, p, chunk, candidate, &n_worst) && take_points(r, p, c) && take_worst(r, p, c, n_worst)
        && state_take_end(r);
}

typedef struct { const lab_plan *p; int64_t chunk; int candidate; lab_cell *c; } cell_room;

static bool take_whole(state_cell *r, void *with)
{
    const cell_room *room = with;
    if (take_cell(r, room->p, room->chunk, room->candidate, room->c)) return true;
    lab_cell_free(room->c);
    return false;
}

bool lab_cell_read(const uint8_t *data, int64_t n, const char *path, const lab_plan *p, int64_t chunk, int candidate,
                   lab_cell *c, err *e)
{
    state_cell r = state_cell_of(data, n, path, e);
    cell_room room = { p, chunk, candidate, c };
    *c = (lab_cell){ 0 };
    return take_whole(&r, &room);
}

bool lab_state_read(const char *dir, const lab_plan *p, int64_t chunk, int candidate, lab_cell *c, bool *found, err *e)
{
    cell_room room = { p, chunk, candidate, c };
    char *path = cell_path(dir, chunk, candidate);
    *c = (lab_cell){ 0 };
    const bool ok = state_cell_read(path, take_whole, &room, found, e);
    free(path);
    return ok;
}
