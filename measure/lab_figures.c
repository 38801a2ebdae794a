// lab_figures: groups of chunks, the worst places, what is recommended. See lab_figures.h.
#include "lab_figures.h"
#include "../formats/threads.h"
#include "lab_bootstrap.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BAND = 256 };

// ---- cells ----------------------------------------------------------------------------------------------------------

bool lab_cells_new(lab_cells *c, const lab_plan *p, err *e)
{
    const size_t n = (size_t)p->n_chunks * (size_t)p->n_candidates;
    *c = (lab_cells){ .n_chunks = p->n_chunks, .n_points = lab_points(p), .n_candidates = p->n_candidates };
    c->cells = calloc(n, sizeof *c->cells);
    return c->cells || err_nomem(e, "cells", n * sizeof *c->cells);
}

void lab_cell_free(lab_cell *c)
{
    for (int i = 0; c->worst && i < c->n_worst; i++) {
        free(c->worst[i].before);
        free(c->worst[i].next);
        free(c->worst[i].after);
        free(c->worst[i].base_best);
        free(c->worst[i].best);
    }
    free(c->worst);
    free(c->points);
    *c = (lab_cell){ 0 };
}

void lab_cells_free(lab_cells *c)
{
    for (int64_t i = 0; c->cells && i < c->n_chunks * c->n_candidates; i++) lab_cell_free(&c->cells[i]);
    free(c->cells);
    *c = (lab_cells){ 0 };
}

// ---- categories -----------------------------------------------------------------------------------------------------

typedef struct {                // which chunks a category has
    const char *name;
    int64_t    *chunks, n;
} members;

typedef struct {
    const lab_plan  *p;
    const lab_cells *cells;
    members         *categories;
    int              n_categories;
    int64_t         *all;           // 0 .. n_chunks - 1
} grouping;

static int category_index(const grouping *g, const char *name)
{
    int i = 0;
    while (i < g->n_categories && strcmp(g->categories[i].name, name) != 0) i++;
    return i;
}

static bool grouping_open(grouping *g, err *e)
{
    const lab_plan *p = g->p;
    g->categories = calloc((size_t)p->n_texts, sizeof *g->categories);
    g->all = malloc((size_t)p->n_chunks * sizeof *g->all);
    if (!g->categories || !g->all) return err_nomem(e, "categories", (size_t)p->n_chunks * sizeof *g->all);
    for (int i = 0; i < p->n_texts; i++) {
        const int k = category_index(g, p->texts[i].category);
        g->categories[k].name = p->texts[i].category;
        if (k == g->n_categories) g->n_categories++;
    }
    for (int k = 0; k < g->n_categories; k++) {
        g->categories[k].chunks = malloc((size_t)p->n_chunks * sizeof *g->categories[k].chunks);
        if (!g->categories[k].chunks) return err_nomem(e, "categories", (size_t)p->n_chunks * sizeof *g->all);
    }
    for (int64_t c = 0; c < p->n_chunks; c++) {
        members *m = &g->categories[category_index(g, p->texts[p->chunks[c].text].category)];
        m->chunks[m->n++] = c;
        g->all[c] = c;
    }
    return true;
}

static void grouping_close(grouping *g)
{
    for (int k = 0; g->categories && k < g->n_categories; k++) free(g->categories[k].chunks);
    free(g->categories);
    free(g->all);
}

// ---- the worst places -----------------------------------------------------------------------------------------------

static void insert_worst(lab_category *c, lab_worst w)
{
    int at = c->n_worst;
    while (at > 0 && w.kl > c->worst[at - 1].kl) at--;
    if (at == LAB_WORST) return;
    const int kept = c->n_worst < LAB_WORST ? c->n_worst : LAB_WORST - 1;
    memmove(c->worst + at + 1, c->worst + at, (size_t)(kept - at) * sizeof *c->worst);
    c->worst[at] = w;
    c->n_worst = kept + 1;
}

static void find_worst(lab_category *c, const grouping *g, const members *m, int candidate)
{
    for (int64_t i = 0; i < m->n; i++) {
        const lab_cell *cell = lab_cell_at(g->cells, m->chunks[i], candidate);
        for (int k = 0; k < cell->n_worst; k++) {
            const lab_place *w = &cell->worst[k];
            const double kl = cell->points[w->position - g->p->skip].kl;
            insert_worst(c, (lab_worst){ .chunk = m->chunks[i], .kl = kl, .place = w });
        }
    }
}

// ---- one candidate --------------------------------------------------------------------------------------------------

static bool measure_categories(lab_measured *m, const grouping *g, int candidate, err *e)
{
    m->categories = calloc((size_t)g->n_categories, sizeof *m->categories);
    if (!m->categories) return err_nomem(e, "categories", (size_t)g->n_categories * sizeof *m->categories);
    m->n_categories = g->n_categories;
    for (int k = 0; k < g->n_categories; k++) {
        const members  *of = &g->categories[k];
        const lab_group group = { g->cells, candidate, of->chunks, of->n, 0, g->cells->n_points };
        m->categories[k].category = of->name;
        if (!lab_figures_of(&m->categories[k].f, &group, e)) return false;
        find_worst(&m->categories[k], g, of, candidate);
    }
    return true;
}

static bool add_band(lab_measured *m, const grouping *g, int candidate, int64_t from, int64_t to, err *e)
{
    const int64_t   skip = g->p->skip;
    const lab_group group = { g->cells, candidate, g->all, g->p->n_chunks, from - skip, to - skip };
    lab_band *b = &m->bands[m->n_bands++];
    b->from = from;
    b->to = to;
    return lab_figures_of(&b->f, &group, e);
}

static bool measure_bands(lab_measured *m, const grouping *g, int candidate, err *e)
{
    const int64_t end = g->p->chunk - 1;
    m->bands = calloc(64, sizeof *m->bands);
    if (!m->bands) return err_nomem(e, "bands", 64 * sizeof *m->bands);
    for (int64_t from = 0, to = FIRST_BAND; from < end; from = to, to *= 2) {
        const int64_t lo = from > g->p->skip ? from : g->p->skip, hi = to < end ? to : end;
        if (lo < hi && !add_band(m, g, candidate, lo, hi, e)) return false;
    }
    return true;
}

static bool measure(lab_measured *m, const grouping *g, int candidate, err *e)
{
    const lab_group all = { g->cells, candidate, g->all, g->p->n_chunks, 0, g->cells->n_points };
    return lab_figures_of(&m->all, &all, e) && measure_categories(m, g, candidate, e)
        && measure_bands(m, g, candidate, e);
}

// ---- weights and caches ---------------------------------------------------------------------------------------------

static int candidate_of(const lab_plan *p, int artifact, const char *kv)
{
    int i = 0;
    while (i < p->n_candidates && (p->candidates[i].artifact != artifact || strcmp(p->candidates[i].kv, kv) != 0)) i++;
    return i < p->n_candidates ? i : -1;
}

static bool find_compounds(lab_result *r, const lab_cells *c, err *e)
{
    const lab_plan *p = r->plan;
    r->compounds = calloc((size_t)p->n_candidates, sizeof *r->compounds);
    if (!r->compounds) return err_nomem(e, "weights and caches", (size_t)p->n_candidates * sizeof *r->compounds);
    for (int both = 0; both < p->n_candidates; both++) {
        const lab_candidate *x = &p->candidates[both];
        const int weights = candidate_of(p, x->artifact, p->base_kv), cache = candidate_of(p, 0, x->kv);
        if (x->artifact == 0 || weights < 0 || cache < 0 || weights == both) continue;
        lab_compound *to = &r->compounds[r->n_compounds++];
        *to = (lab_compound){ .artifact = x->artifact, .kv = both, .weights = weights, .cache = cache, .both = both };
        if (!lab_share_of(&to->share, c, weights, cache, both, e)) return false;
    }
    return true;
}

// ---- what is recommended --------------------------------------------------------------------------------------------

static double worst_top1(const lab_measured *m)
{
    double worst = 1;
    for (int i = 0; i < m->n_categories; i++)
        if (m->categories[i].f.top1.v < worst) worst = m->categories[i].f.top1.v;
    return worst;
}

// One that somebody would use, no probe of one layer.
static bool is_cache_of_base(const lab_candidate *c) { return c->artifact == 0 && c->layer < 0; }

static void find_best(lab_result *r)
{
    const lab_plan *p = r->plan;
    for (int i = 0; i < p->n_candidates; i++) {
        const lab_candidate *c = &p->candidates[i];
        if (!is_cache_of_base(c) || c->context_bytes >= p->base_context_bytes) continue;
        if (worst_top1(&r->measured[i]) < LAB_ENOUGH) continue;
        if (r->best >= 0) {
            const lab_candidate *b = &p->candidates[r->best];
            const bool better = r->measured[i].all.kl_mean.v < r->measured[r->best].all.kl_mean.v;
            if (c->context_bytes > b->context_bytes || (c->context_bytes == b->context_bytes && !better)) continue;
        }
        r->best = i;
    }
}

// Of the base's caches that are no larger than candidate i, the one that loses least; -1: none loses less than i.
static int no_larger(const lab_result *r, int i)
{
    const lab_plan *p = r->plan;
    int found = -1;
    for (int k = 0; k < p->n_candidates; k++) {
        if (!is_cache_of_base(&p->candidates[k])) continue;
        if (p->candidates[k].context_bytes > p->candidates[i].context_bytes) continue;
        const double kl = r->measured[k].all.kl_mean.v;
        if (kl < r->measured[found < 0 ? i : found].all.kl_mean.v) found = k;
    }
    return found;
}

static void find_avoid(lab_result *r)
{
    const lab_plan *p = r->plan;
    double most = 0;
    for (int i = 0; i < p->n_candidates; i++) {
        const int other = is_cache_of_base(&p->candidates[i]) ? no_larger(r, i) : -1;
        const double gap = other < 0 ? 0 : r->measured[i].all.kl_mean.v - r->measured[other].all.kl_mean.v;
        // Intervals that overlap are no reason to avoid anything.
        if (gap <= most || r->measured[i].all.kl_mean.low <= r->measured[other].all.kl_mean.high) continue;
        most = gap;
        r->avoid = i;
        r->instead = other;
    }
    for (int i = 0; r->instead < 0 && i < p->n_candidates; i++) {
        if (!is_cache_of_base(&p->candidates[i]) || worst_top1(&r->measured[i]) >= LAB_ENOUGH) continue;
        if (r->avoid < 0 || worst_top1(&r->measured[i]) < worst_top1(&r->measured[r->avoid])) r->avoid = i;
    }
}

// ---- all of it ------------------------------------------------------------------------------------------------------

static bool measure_all(lab_result *r, const grouping *g, int n_threads, err *e)
{
    r->measured = calloc((size_t)g->p->n_candidates, sizeof *r->measured);
    if (!r->measured) return err_nomem(e, "figures", (size_t)g->p->n_candidates * sizeof *r->measured);
    bool ok = true;
#pragma omp parallel for num_threads(threads_or_cores(n_threads)) schedule(dynamic, 1)
    for (int i = 0; i < g->p->n_candidates; i++) {
        err own = { 0 };
        if (measure(&r->measured[i], g, i, &own)) continue;
#pragma omp critical(lab_error)
        if (ok) {
            ok = false;
            *e = own;
        }
    }
    return ok;
}

bool lab_result_of(lab_result *r, const lab_plan *p, const lab_cells *c, int n_threads, err *e)
{
    grouping g = { .p = p, .cells = c };
    *r = (lab_result){ .plan = p, .best = -1, .avoid = -1, .instead = -1 };
    bool ok = grouping_open(&g, e);
    ok = ok && measure_all(r, &g, n_threads, e) && find_compounds(r, c, e);
    grouping_close(&g);
    if (!ok) return false;
    find_best(r);
    find_avoid(r);
    return true;
}

void lab_result_free(lab_result *r)
{
    for (int i = 0; r->measured && r->plan && i < r->plan->n_candidates; i++) {
        free(r->measured[i].categories);
        free(r->measured[i].bands);
    }
    free(r->measured);
    free(r->compounds);
    *r = (lab_result){ 0 };
}
