// lab_figures: what cells say, in figures with 95 % intervals: of all positions, of each category of text, of each band
// of positions; the worst places; what weights and caches cost together.
//
// Intervals are from a bootstrap over chunks (positions of one chunk are no independent samples): LAB_RESAMPLES draws
// of as many chunks as there are, by a generator of fixed seed, percentiles 2.5 and 97.5, moved away from the figure by
// t(97.5 %, n - 1) / 1.96 * sqrt(n / (n - 1)) for n chunks: 9.2 for 2, 1.4 for 6, 1.1 for 16. Without it an interval of
// two chunks holds the mean of all texts in half of the cases only; with it in 93 of a hundred, as for all numbers of
// chunks in 90 to 95 by how far the chunks spread. The same draws serve all candidates. One chunk has no interval, nor
// has a share where a draw leaves nothing to divide by. Quantiles are nearest-rank: the smallest value that a share q
// of positions do not exceed.
#ifndef HALLMARK_MEASURE_LAB_FIGURES_H
#define HALLMARK_MEASURE_LAB_FIGURES_H

#include "lab_plan.h"

enum { LAB_TOP = 5, LAB_WORST = 20, LAB_AROUND = 16, LAB_RESAMPLES = 1000 };

typedef struct {                // one compared position
    double  kl;                 // KL(base || candidate), nats
    double  base_logprob, logprob;      // of the token that follows
    int32_t base_top, top;      // greedy ids
    int32_t shared;             // how many of the base's LAB_TOP best ids are among the candidate's
    int32_t unused;             // 0
} lab_point;

typedef struct {                // a place among the worst of its cell
    int64_t position;           // in the chunk
    char   *before, *next, *after;      // text around it: LAB_AROUND tokens before and after what follows
    char   *base_best, *best;   // pieces of both greedy ids
} lab_place;

typedef struct {                // what was measured of one chunk and candidate
    lab_point *points;          // [lab_points]; NULL: not measured
    lab_place *worst;           // those of the largest KL first, of equal ones the lower position; KL 0 is left out
    int        n_worst;         // <= LAB_WORST
} lab_cell;

typedef struct {
    lab_cell *cells;            // [n_chunks][n_candidates]
    int64_t   n_chunks, n_points;
    int       n_candidates;
} lab_cells;

static inline lab_cell *lab_cell_at(const lab_cells *c, int64_t chunk, int candidate)
{
    return &c->cells[chunk * c->n_candidates + candidate];
}

bool lab_cells_new(lab_cells *c, const lab_plan *p, err *e);
void lab_cells_free(lab_cells *c);
void lab_cell_free(lab_cell *c);

typedef struct { double v, low, high; } lab_figure;     // low, high: NaN where there is no interval

typedef struct {
    int64_t    tokens, chunks;
    lab_figure kl_mean, kl_median, kl_p90, kl_p99, kl_p999, kl_max;
    lab_figure top1, top5;                      // shares, 0 to 1
    // of the next token's probability: candidate - base; p99 of its magnitude
    lab_figure change_mean, change_rms, change_p99;
    double     nll_base, nll;                   // mean -log p of the next token
} lab_figures;

typedef struct {                // a place among the worst of a category
    int64_t          chunk;     // index in the plan
    double           kl;
    const lab_place *place;     // borrowed from the cells
} lab_worst;

typedef struct {
    const char *category;       // borrowed from the plan
    lab_figures f;
    lab_worst   worst[LAB_WORST];
    int         n_worst;
} lab_category;

typedef struct { int64_t from, to; lab_figures f; } lab_band;       // positions from .. to - 1 of their chunk

typedef struct {
    lab_figures   all;
    lab_category *categories;   // in the order in which texts name them first
    int           n_categories;
    lab_band     *bands;        // of powers of two from 256 on, the first below it; cut to what is compared
    int           n_bands;
} lab_measured;                 // of one candidate

// A file's weights and a cache: alone and together. share: KL(both) / (KL(weights) + KL(cache)): 1 where they add up,
// above 1 where they compound.
typedef struct { int artifact, kv; int weights, cache, both; lab_figure share; } lab_compound;  // indices of candidates

typedef struct {
    const lab_plan *plan;       // borrowed, as the cells are
    lab_measured   *measured;   // [n_candidates]
    lab_compound   *compounds;
    int             n_compounds;
    // the smallest cache of the base whose top-1 agreement is at least LAB_ENOUGH in every category; -1: none
    int             best;
    int             avoid;      // the cache of the base to avoid; -1: none
    int             instead;    // one that is no larger and loses less than `avoid`; -1: none
} lab_result;

#define LAB_ENOUGH 0.99

// All cells must be there. n_threads 0: all cores; the figures are the same for any number. Freed by lab_result_free in
// any case.
bool lab_result_of(lab_result *r, const lab_plan *p, const lab_cells *c, int n_threads, err *e);
void lab_result_free(lab_result *r);

#endif
