// release_outline: see release_outline.h. The order of what is looked at is in release.c.
#include "release_job.h"
#include "release_outline.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../runtime/cpu/kernels.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

// ---- fixtures ------------------------------------------------------------------------------------------------------

// Of one case: the prompt and what follows, once free and once given its prefix.
static int64_t tokens_of(const release_job *x, const fixture_ref *f)
{
    const int64_t asked = x->o->tokens > 0 ? x->o->tokens : VERIFY_TOKENS;
    const int64_t held = f->reference.tokens, run = asked < held ? asked : held;
    return 2 * f->prompt_tokens + f->cases * (run + held - 2);
}

static bool is_own(const fixture_ref *f, const release_item *item)
{
    const file_type_info *t = item->r->kind == RECIPE_TYPE ? file_type_of(item->r->type) : NULL;
    return strcasecmp(f->weights_type, t ? t->name : item->label) == 0 || strcasecmp(f->weights_type, item->label) == 0;
}

static bool take_fixtures(release_outline_row *row, const release_job *x, const release_item *item, err *e)
{
    char in[8];
    if (!release_arithmetic_of(in, item->r, e)) return false;
    row->lossy = recipe_encodes(item->r) || item->r->type == FT_F16;
    if (row->lossy && !in[0]) strcpy(in, "f32");                    // what blocks are computed in
    for (int i = 0; i < x->fixtures.n; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (!source_id_same(&f->source, &x->source) || (in[0] && strcmp(in, f->arith) != 0)) continue;
        const bool own = f->weights[0] != '\0';
        if (own && !(row->lossy && is_own(f, item))) continue;
        if (own) row->own++;
        else     row->source++;
        row->tokens += tokens_of(x, f);
    }
    return true;
}

// ---- artifacts -----------------------------------------------------------------------------------------------------

static bool set_name(release_outline_row *row, const char *name, err *e)
{
    row->name = strdup(name);
    return row->name || err_nomem(e, "a name", strlen(name));
}

static bool add_kept(release_outline *to, const release_job *x, err *e)
{
    for (int i = 0; i < x->old.n; i++) {
        if (x->old.replaced[i]) continue;
        release_outline_row *row = &to->v[to->n++];
        row->kept = true;
        row->bytes = x->old.reports[i].file_bytes;
        if (!set_name(row, x->old.reports[i].artifact, e)) return false;
    }
    return true;
}

static bool add_items(release_outline *to, const release_job *x, err *e)
{
    for (int i = 0; i < x->n_items; i++) {
        const release_item *item = &x->items[i];
        release_outline_row *row = &to->v[to->n++];
        row->searched = item->r->kind == RECIPE_MIX;
        recipe_words(item->r, row->made_by);
        if (!row->made_by[0]) snprintf(row->made_by, sizeof row->made_by, "%s", file_type_of(item->r->type)->name);
        if (!set_name(row, item->name, e) || !release_make_bytes(x, i, &row->bytes, e)) return false;
        if (!take_fixtures(row, x, item, e)) return false;
        to->tokens += row->tokens;
    }
    return true;
}

static bool add_files(release_outline *to, const release_job *x, err *e)
{
    to->files = calloc((size_t)x->n_planned + 1, sizeof *to->files);
    if (!to->files) return err_nomem(e, "names", 0);
    for (int i = 0; i < x->n_planned; i++) {
        if (!(to->files[i] = strdup(x->planned[i].name))) return err_nomem(e, "a name", 0);
        to->n_files++;
    }
    return true;
}

// ---- room and time -------------------------------------------------------------------------------------------------

static int64_t room_in(const char *dir)
{
    struct statvfs vfs;
    char *folder = path_dir(dir);
    const bool known = folder && statvfs(folder, &vfs) == 0;
    free(folder);
    return known ? (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize : -1;
}

enum { PROBE_ROWS = 4096, PROBE_COLS = 2048 };       // 32 MiB: larger than caches

typedef struct { float *w, *x, *y, *scratch; } probe;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_probe(const cpu_kernels *k, const probe *p, int n_threads)
{
    const weight w = { .type = DT_F32, .rows = PROBE_ROWS, .cols = PROBE_COLS, .data = p->w, .name = "probe" };
    #pragma omp parallel for num_threads(n_threads) schedule(static, 1)
    for (int t = 0; t < n_threads; t++)
        k->matmul(p->y, PROBE_ROWS, &w, (int64_t)PROBE_ROWS * t / n_threads, (int64_t)PROBE_ROWS * (t + 1) / n_threads,
                  p->x, 1, false, p->scratch + (size_t)t * KERNEL_TILE_ROWS * (PROBE_COLS + 16));
}

// Weights that a token goes through in a second, by the kernel that it will go through, for a third of one.
static double weights_a_second(const cpu_kernels *k, const probe *p, int n_threads)
{
    run_probe(k, p, n_threads);                     // pages are there, and the clock is up
    const double began = now();
    int n = 0;
    while (now() - began < 0.3) {
        run_probe(k, p, n_threads);
        n++;
    }
    return (double)n * PROBE_ROWS * PROBE_COLS / (now() - began);
}

static bool take_time(release_outline *to, const release_job *x, err *e)
{
    const char *device = x->o->device;
    const int n_threads = x->o->n_threads > 0 ? x->o->n_threads : omp_get_max_threads();
    const cpu_kernels *k = cpu_kernels_pick(NULL, e);
    to->seconds = NAN;
    if (!k || (device && strcmp(device, "cpu") != 0)) return k != NULL;
    const size_t tile = (size_t)n_threads * KERNEL_TILE_ROWS * (PROBE_COLS + 16);
    probe p = { calloc((size_t)PROBE_ROWS * PROBE_COLS, sizeof(float)), calloc(PROBE_COLS, sizeof(float)),
                calloc(PROBE_ROWS, sizeof(float)), calloc(tile, sizeof(float)) };
    const bool ok = (p.w && p.x && p.y && p.scratch) || err_nomem(e, "a measurement", tile * sizeof(float));
    if (ok) {
        memset(p.w, 1, (size_t)PROBE_ROWS * PROBE_COLS * sizeof(float));       // pages of its own, not the zero page
        to->seconds = (double)to->tokens * (double)to->weights / weights_a_second(k, &p, n_threads);
    }
    free(p.w);
    free(p.x);
    free(p.y);
    free(p.scratch);
    return ok;
}

// ---- the whole -----------------------------------------------------------------------------------------------------

bool release_outline_fill(release_outline *to, const release_job *x, err *e)
{
    to->v = calloc((size_t)(x->old.n + x->n_items) + 1, sizeof *to->v);
    if (!to->v) return err_nomem(e, "an outline", 0);
    snprintf(to->where, sizeof to->where, "%s", x->dest[TO_PUBLISH]);
    snprintf(to->source, sizeof to->source, "%s", x->source.v2);
    to->signs = x->key != NULL;
    to->room = room_in(x->dest[TO_PUBLISH]);
    if (!add_kept(to, x, e) || !add_items(to, x, e) || !add_files(to, x, e)) return false;
    for (int i = 0; i < to->n; i++) to->bytes += to->v[i].bytes;
    return release_make_weights(x, &to->weights, e) && take_time(to, x, e);
}

void release_outline_free(release_outline *to)
{
    for (int i = 0; to->v && i < to->n; i++) free(to->v[i].name);
    for (int i = 0; i < to->n_files; i++) free(to->files[i]);
    free(to->files);
    free(to->v);
    *to = (release_outline){ .n = 0 };
}
