// lab_state: cells on disk. See lab_state.h.
//
// A cell's file, little-endian: 8 bytes of mark; 64 of the plan's digest in hex; u64 chunk; u32 candidate; u32 places;
// u64 points; the points as lab_point has them; the places: u64 position, then five texts, each a u32 of bytes and
// those; 64 of the SHA-256, in hex, of all before.
#include "lab_state.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include "../formats/unfinished.h"
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MARK[8] = "HMLABC1\n", PLAN[] = "plan.json";
enum { LIMIT_PLAN_BYTES = 16 << 20, LIMIT_PLACE_TEXT = 1 << 16 };

static_assert(sizeof(lab_point) == 40, "points are written as they are");

// ---- the folder -----------------------------------------------------------------------------------------------------

bool lab_state_plan(const char *dir, lab_plan *p, err *e)
{
    char   *path = path_join(dir, PLAN), *text;
    int64_t n;
    *p = (lab_plan){ 0 };
    if (!path) return err_nomem(e, dir, 0);
    bool ok = file_read_text(&text, &n, path, LIMIT_PLAN_BYTES, e);
    if (ok) {
        ok = lab_plan_read(p, text, n, path, e);
        free(text);
    }
    free(path);
    return ok;
}

bool lab_state_is_of(const char *dir, const lab_plan *p, err *e)
{
    lab_plan there;
    bool ok = lab_state_plan(dir, &there, e);
    const char *what = ok ? lab_plan_difference(&there, p) : NULL;
    if (what) ok = err_set(e, ERR_USAGE, "%s: the folder of another run: %s differs", dir, what);
    lab_plan_free(&there);
    return ok;
}

static bool is_ours(const char *name)
{
    return text_ends_with(name, ".cell") || strcmp(name, PLAN) == 0 || strstr(name, ".partial-") != NULL;
}

// A folder without a plan may hold nothing: what somebody keeps there is not ours to add to.
static bool check_unplanned(const char *dir, err *e)
{
    dir_list l;
    bool ok = dir_list_read(&l, dir, NULL, false, e);
    for (int i = 0; ok && i < l.n; i++)
        if (!is_ours(l.v[i]))
            ok = err_set(e, ERR_USAGE, "%s: found '%s', expected an empty folder or that of a laboratory run", dir,
                         l.v[i]);
    dir_list_free(&l);
    return ok;
}

// The plan's file, whole, unless there is one by now: two runs that begin at the same time agree on one plan.
static bool put_plan(const char *path, const lab_plan *p, err *e)
{
    text_buf t = { 0 };
    text_printf(&t, "%s.partial-%ld", path, (long)getpid());
    char *own = text_take(&t);
    if (!own) return err_nomem(e, path, 0);
    unfinished_lock();                  // until `own` is gone, nobody may end the process by a signal
    bool ok = outfile_write_whole(own, p->json, (int64_t)strlen(p->json), e);
    if (ok && link(own, path) != 0 && errno != EEXIST)
        ok = rename(own, path) == 0 || err_set(e, ERR_SYSTEM, "%s: cannot create: %s", path, strerror(errno));
    unlink(own);
    unfinished_unlock();
    free(own);
    return ok;
}

static bool make_folder(const char *dir, err *e)
{
    return mkdir(dir, 0777) == 0 || errno == EEXIST
        || err_set(e, ERR_SYSTEM, "%s: cannot create: %s", dir, strerror(errno));
}

bool lab_state_below(const char *dir, const char *name, char **path, err *e)
{
    *path = NULL;
    if (!dir) return true;
    if (!make_folder(dir, e)) return false;
    *path = path_join(dir, name);
    return *path || err_nomem(e, dir, 0);
}

bool lab_state_open(const char *dir, const lab_plan *p, err *e)
{
    if (!make_folder(dir, e)) return false;
    char *path = path_join(dir, PLAN);
    if (!path) return err_nomem(e, dir, 0);
    bool ok = file_exists(path) || (check_unplanned(dir, e) && put_plan(path, p, e));
    ok = ok && lab_state_is_of(dir, p, e);          // ours, an earlier run's, or one's that begins at the same time
    free(path);
    return ok;
}

static char *cell_path(const char *dir, int64_t chunk, int candidate)
{
    char name[64];
    snprintf(name, sizeof name, "chunk-%06lld-candidate-%04d.cell", (long long)chunk, candidate);
    return path_join(dir, name);
}

// ---- writing --------------------------------------------------------------------------------------------------------

static void put_u32(text_buf *t, uint32_t v) { text_raw(t, (const char *)&v, sizeof v); }
static void put_u64(text_buf *t, uint64_t v) { text_raw(t, (const char *)&v, sizeof v); }

static void put_text(text_buf *t, const char *s)
{
    const size_t n = strlen(s);
    put_u32(t, (uint32_t)n);
    text_raw(t, s, n);
}

static void put_place(text_buf *t, const lab_place *w)
{
    put_u64(t, (uint64_t)w->position);
    put_text(t, w->before);
    put_text(t, w->next);
    put_text(t, w->after);
    put_text(t, w->base_best);
    put_text(t, w->best);
}

bool lab_state_write(const char *dir, const lab_plan *p, int64_t chunk, int candidate, const lab_cell *c, err *e)
{
    text_buf t = { 0 };
    char     hex[SHA256_HEX + 1];
    text_raw(&t, MARK, sizeof MARK);
    text_raw(&t, p->digest, SHA256_HEX);
    put_u64(&t, (uint64_t)chunk);
    put_u32(&t, (uint32_t)candidate);
    put_u32(&t, (uint32_t)c->n_worst);
    put_u64(&t, (uint64_t)lab_points(p));
    text_raw(&t, (const char *)c->points, (size_t)lab_points(p) * sizeof *c->points);
    for (int i = 0; i < c->n_worst; i++) put_place(&t, &c->worst[i]);
    char *path = cell_path(dir, chunk, candidate);
    bool ok = (path && !t.failed) || err_nomem(e, "a cell", t.n);
    ok = ok && sha256_bytes(t.s, (int64_t)t.n, hex, e);
    if (ok) text_raw(&t, hex, SHA256_HEX);
    ok = ok && (!t.failed || err_nomem(e, "a cell", t.n)) && outfile_write_whole(path, t.s, (int64_t)t.n, e);
    text_drop(&t);
    free(path);
    return ok;
}

// ---- reading --------------------------------------------------------------------------------------------------------

typedef struct { const uint8_t *at, *end; const char *path; err *e; } cell_reader;

static bool broken(const cell_reader *r, const char *what)
{
    return err_set(r->e, ERR_INPUT, "%s: %s: expected a whole cell of this run; remove the file and run again", r->path,
                   what);
}

static bool take(cell_reader *r, void *to, size_t n)
{
    if ((size_t)(r->end - r->at) < n) return broken(r, "it ends too early");
    memcpy(to, r->at, n);
    r->at += n;
    return true;
}

static bool take_text(cell_reader *r, char **to)
{
    uint32_t n = 0;
    if (!take(r, &n, sizeof n)) return false;
    if (n > LIMIT_PLACE_TEXT) return broken(r, "a text in it is too long");
    *to = calloc((size_t)n + 1, 1);
    return *to ? take(r, *to, n) : err_nomem(r->e, r->path, n);
}

static bool take_place(cell_reader *r, const lab_plan *p, lab_place *w)
{
    uint64_t position = 0;
    if (!take(r, &position, sizeof position)) return false;
    if (position < (uint64_t)p->skip || position > (uint64_t)p->chunk - 2)
        return broken(r, "a position in it is not among those compared");
    w->position = (int64_t)position;
    return take_text(r, &w->before) && take_text(r, &w->next) && take_text(r, &w->after)
        && take_text(r, &w->base_best) && take_text(r, &w->best);
}

static bool take_digest(cell_reader *r, const char *expected, const char *what)
{
    char found[SHA256_HEX];
    if (!take(r, found, sizeof found)) return false;
    return memcmp(found, expected, SHA256_HEX) == 0 || broken(r, what);
}

static bool take_head(cell_reader *r, const lab_plan *p, int64_t chunk, int candidate, uint32_t *n_worst)
{
    char     mark[sizeof MARK];
    uint64_t c = 0, n_points = 0;
    uint32_t k = 0;
    if (!take(r, mark, sizeof mark)) return false;
    if (memcmp(mark, MARK, sizeof mark) != 0) return broken(r, "it does not begin as one");
    if (!take_digest(r, p->digest, "it belongs to another run")) return false;
    if (!take(r, &c, sizeof c) || !take(r, &k, sizeof k) || !take(r, n_worst, sizeof *n_worst)) return false;
    if (!take(r, &n_points, sizeof n_points)) return false;
    if (c != (uint64_t)chunk || k != (uint32_t)candidate) return broken(r, "it is of another chunk or candidate");
    return (n_points == (uint64_t)lab_points(p) && *n_worst <= LAB_WORST) || broken(r, "its counts are another run's");
}

static bool is_point(const lab_plan *p, const lab_point *x)
{
    const bool numbers = isfinite(x->kl) && isfinite(x->base_logprob) && isfinite(x->logprob);
    const bool ids = x->base_top >= -1 && x->base_top < p->n_vocab && x->top >= -1 && x->top < p->n_vocab;
    return numbers && ids && x->kl >= 0 && x->shared >= 0 && x->shared <= LAB_TOP;
}

static bool take_points(cell_reader *r, const lab_plan *p, lab_cell *c)
{
    const int64_t n = lab_points(p);
    if ((r->end - r->at) / (int64_t)sizeof *c->points < n) return broken(r, "it ends too early");
    c->points = malloc((size_t)n * sizeof *c->points);
    if (!c->points) return err_nomem(r->e, r->path, (size_t)n * sizeof *c->points);
    if (!take(r, c->points, (size_t)n * sizeof *c->points)) return false;
    for (int64_t i = 0; i < n; i++)
        if (!is_point(p, &c->points[i])) return broken(r, "a figure in it is out of range");
    return true;
}

static bool take_worst(cell_reader *r, const lab_plan *p, lab_cell *c, uint32_t n)
{
    c->worst = calloc((size_t)n + 1, sizeof *c->worst);
    if (!c->worst) return err_nomem(r->e, r->path, (size_t)n * sizeof *c->worst);
    for (uint32_t i = 0; i < n; i++) {
        c->n_worst++;
        if (!take_place(r, p, &c->worst[i])) return false;
    }
    return true;
}

static bool take_cell(cell_reader *r, const lab_plan *p, int64_t chunk, int candidate, lab_cell *c)
{
    const uint8_t *begin = r->at;
    char     hex[SHA256_HEX + 1];
    uint32_t n_worst = 0;
    if (!take_head(r, p, chunk, candidate, &n_worst)) return false;
    if (!take_points(r, p, c) || !take_worst(r, p, c, n_worst)) return false;
    if (!sha256_bytes(begin, r->at - begin, hex, r->e)) return false;
    if (!take_digest(r, hex, "its digest is another's")) return false;
    return r->at == r->end || broken(r, "something follows its end");
}

bool lab_cell_read(const uint8_t *data, int64_t n, const char *path, const lab_plan *p, int64_t chunk, int candidate,
                   lab_cell *c, err *e)
{
    cell_reader r = { .at = data, .end = data + n, .path = path, .e = e };
    *c = (lab_cell){ 0 };
    if (take_cell(&r, p, chunk, candidate, c)) return true;
    lab_cell_free(c);
    return false;
}

bool lab_state_read(const char *dir, const lab_plan *p, int64_t chunk, int candidate, lab_cell *c, bool *found, err *e)
{
    char    *path = cell_path(dir, chunk, candidate);
    file_map m = { 0 };
    *c = (lab_cell){ 0 };
    if (!path) return err_nomem(e, dir, 0);
    *found = file_exists(path);
    bool ok = !*found || file_map_open(&m, path, e);
    if (ok && *found) ok = lab_cell_read(m.data, m.size, path, p, chunk, candidate, c, e);
    file_map_close(&m);
    free(path);
    return ok;
}
