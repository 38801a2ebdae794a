// release_outline: see release_outline.h. The order of what is looked at is in release.c.
#include "release_job.h"
#include "hub_files.h"
#include "release_list.h"
#include "release_outline.h"
#include "release_sign.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../runtime/cpu/kernels.h"
#include "../verify/steps.h"
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

static bool foresee(artifact_ref *a, const recipe *r, err *e)
{
    if (!release_foresee(a, r, e)) return false;
    if (!a->arith[0]) strcpy(a->arith, "f32");                      // what blocks are computed in
    return true;
}

static bool take_fixtures(release_outline_row *row, release_job *x, const release_item *item, fixture_use *uses, err *e)
{
    artifact_ref a;
    if (!foresee(&a, item->r, e)) return false;
    row->lossy = a.lossy;
    for (int i = 0; i < x->fixtures.n; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        const fixture_use u = release_use_of(f, &a, item->r, &x->source);
        if (u == FIXTURE_UNUSED) continue;
        if (f->weights[0]) row->own++;
        else               row->source++;
        if (u > uses[i]) uses[i] = u;
        row->tokens += tokens_of(x, f);
    }
    row->own_known = row->own == 0 || item->r->kind == RECIPE_ARTIFACT;
    return release_list_missing(x, a.arith, item->name, item->label, row->source == 0, row->lossy && row->own == 0, e);
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
        row->kept = row->own_known = true;
        row->bytes = x->old.reports[i].file_bytes;
        if (!set_name(row, x->old.reports[i].artifact, e)) return false;
    }
    return true;
}

static bool add_items(release_outline *to, release_job *x, fixture_use *uses, err *e)
{
    for (int i = 0; i < x->n_items; i++) {
        const release_item *item = &x->items[i];
        release_outline_row *row = &to->v[to->n++];
        row->searched = item->r->kind == RECIPE_MIX;
        recipe_words(item->r, row->made_by);
        if (!row->made_by[0]) snprintf(row->made_by, sizeof row->made_by, "%s", file_type_of(item->r->type)->name);
        if (!set_name(row, item->name, e) || !release_make_bytes(x, i, &row->bytes, e)) return false;
        if (!take_fixtures(row, x, item, uses, e)) return false;
        to->tokens += row->tokens;
    }
    return true;
}

// ---- what becomes of it, and files beside ---------------------------------------------------------------------------

static void take_fate(release_outline *to, release_job *x)
{
    to->missing = x->r->missing;
    to->n_missing = x->r->n_missing;
    x->r->missing = NULL;
    x->r->n_missing = 0;
    for (int i = 0; i < to->n; i++)
        if (to->v[i].lossy && !to->v[i].own_known) to->fate = OUTLINE_UNKNOWN;
    if (to->n_missing) to->fate = OUTLINE_UNVERIFIED;
}

static bool add_file(release_outline *to, const char *name, bool perhaps, err *e)
{
    release_outline_file *grown = realloc(to->files, ((size_t)to->n_files + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "names", 0);
    to->files = grown;
    grown[to->n_files] = (release_outline_file){ .name = strdup(name), .perhaps = perhaps };
    if (!grown[to->n_files].name) return err_nomem(e, "a name", strlen(name));
    to->n_files++;
    return true;
}

static fixture_use use_of_beside(const release_job *x, const release_beside *b, const fixture_use *uses)
{
    for (int i = 0; b->fixture && i < x->fixtures.n; i++)
        if (strcmp(x->fixtures.v[i].digest, b->sha256) == 0) return x->fixtures.v[i].used ? FIXTURE_USED : uses[i];
    return b->fixture ? FIXTURE_UNUSED : FIXTURE_USED;
}

// A planned file of the release that is added to and of nothing that is made now goes with the artifact it was of.
static fixture_use use_of_file(const release_job *x, const char *name, const fixture_use *uses)
{
    for (int i = 0; i < x->old.n_files; i++)
        if (x->old.stays && x->old.stays[i] && strcmp(x->old.files[i].name, name) == 0) return FIXTURE_USED;
    for (int i = 0; i < x->n_beside; i++)
        if (strcmp(x->beside[i].name, name) == 0) return use_of_beside(x, &x->beside[i], uses);
    const bool is_new = strcmp(name, STEPS_FILE) == 0 || hub_writes(name) || dir_list_has(&x->hub.licenses, name)
        || (x->o->n_lab > 0 && strstr(name, "-lab."));
    return is_new ? FIXTURE_USED : FIXTURE_UNUSED;
}

static bool add_planned(release_outline *to, const release_job *x, const fixture_use *uses, err *e)
{
    for (int i = 0; i < x->n_planned; i++) {
        const fixture_use u = use_of_file(x, x->planned[i].name, uses);
        if (u != FIXTURE_UNUSED && !add_file(to, x->planned[i].name, u == FIXTURE_PERHAPS, e)) return false;
    }
    return true;
}

// Where nothing is published, there are artifacts and reports alone.
static bool add_files(release_outline *to, const release_job *x, const fixture_use *uses, err *e)
{
    const bool published = to->fate != OUTLINE_UNVERIFIED;
    if (published && !add_planned(to, x, uses, e)) return false;
    for (int i = 0; i < RELEASE_N_REPORTS; i++)
        if (!add_file(to, RELEASE_REPORTS[i], false, e)) return false;
    if (!published) return true;
    return add_file(to, HUB_SUMS, false, e)
        && (!x->key || (add_file(to, SIGNATURE_NAME, false, e) && add_file(to, PROVENANCE_NAME, false, e)));
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
                  p->x, 1, false, p->scratch + (size_t)t * KERNEL_TILE_ROWS * matmul_stride(PROBE_COLS));
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
    const size_t tile = (size_t)n_threads * KERNEL_TILE_ROWS * matmul_stride(PROBE_COLS);
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

static bool fill(release_outline *to, release_job *x, fixture_use *uses, err *e)
{
    if (!add_kept(to, x, e) || !add_items(to, x, uses, e)) return false;
    take_fate(to, x);
    if (!release_kept_vouched(x, e) || !add_files(to, x, uses, e)) return false;
    snprintf(to->where, sizeof to->where, "%s", x->dest[to->fate == OUTLINE_UNVERIFIED ? TO_UNVERIFIED : TO_PUBLISH]);
    for (int i = 0; i < to->n; i++) to->bytes += to->v[i].bytes;
    return release_make_weights(x, &to->weights, e) && take_time(to, x, e);
}

bool release_outline_fill(release_outline *to, release_job *x, err *e)
{
    fixture_use *uses = calloc((size_t)x->fixtures.n + 1, sizeof *uses);
    to->v = calloc((size_t)(x->old.n + x->n_items) + 1, sizeof *to->v);
    snprintf(to->source, sizeof to->source, "%s", x->source.v2);
    to->signs = x->key != NULL;
    to->measures = x->o->n_lab > 0;
    to->room = room_in(x->dest[TO_PUBLISH]);
    const bool ok = (to->v && uses) ? fill(to, x, uses, e) : err_nomem(e, "an outline", 0);
    free(uses);
    return ok;
}

void release_outline_free(release_outline *to)
{
    for (int i = 0; to->v && i < to->n; i++) free(to->v[i].name);
    for (int i = 0; i < to->n_files; i++) free(to->files[i].name);
    for (int i = 0; i < to->n_missing; i++) free(to->missing[i]);
    free(to->missing);
    free(to->files);
    free(to->v);
    *to = (release_outline){ .n = 0 };
}
