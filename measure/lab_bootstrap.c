// lab_bootstrap: see lab_bootstrap.h and lab_figures.h.
//
// A draw is a number for each chunk: how often it was drawn. Every figure is a function of draws: means of sums a
// chunk, quantiles of values that are sorted once and counted from the top. One of each chunk is the sample itself.
#include "lab_bootstrap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct { double v; int64_t chunk; } value;         // chunk: its place in the group

enum { N_MEANS = 5, N_QUANTILES = 5, N_FIGURES = N_MEANS + N_QUANTILES };

// Sums of one chunk's points, in the order of figures below.
typedef struct { double sum[N_MEANS]; } sums;

typedef struct {
    const lab_group *g;
    int64_t  n_points;          // of a chunk
    sums    *of;                // [g->n]
    value   *kl, *change;       // [g->n * n_points], the largest first
    int32_t *draw;              // [g->n]
    double (*drawn)[N_FIGURES]; // [LAB_RESAMPLES]
    double  *column;            // [LAB_RESAMPLES]
} sample;

// ---- the generator: SplitMix64 (Steele, Lea and Flood 2014) ---------------------------------------------------------

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// A number below n, from the high half of a product: its bias is below n / 2^64.
static int64_t random_below(uint64_t *state, int64_t n)
{
    return (int64_t)((unsigned __int128)next_random(state) * (uint64_t)n >> 64);
}

static void draw_chunks(int32_t *draw, int64_t n, uint64_t *state)
{
    memset(draw, 0, (size_t)n * sizeof *draw);
    for (int64_t i = 0; i < n; i++) draw[random_below(state, n)]++;
}

// ---- figures of a draw ----------------------------------------------------------------------------------------------

static double change_of(const lab_point *x) { return exp(x->logprob) - exp(x->base_logprob); }

static int larger_first(const void *a, const void *b)
{
    const value *x = a, *y = b;
    if (x->v != y->v) return x->v > y->v ? -1 : 1;
    return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static void add_point(sums *s, const lab_point *x)
{
    const double change = change_of(x);
    s->sum[0] += x->kl;
    s->sum[1] += x->base_top == x->top;
    s->sum[2] += (double)x->shared / LAB_TOP;
    s->sum[3] += change;
    s->sum[4] += change * change;
}

// Of the c-th chunk of a group.
static const lab_point *points_of(const lab_group *g, int64_t c)
{
    return lab_cell_at(g->cells, g->chunks[c], g->candidate)->points;
}

static void collect(sample *s)
{
    int64_t at = 0;
    for (int64_t c = 0; c < s->g->n; c++) {
        const lab_point *x = points_of(s->g, c);
        for (int64_t i = s->g->first; i < s->g->end; i++, at++) {
            add_point(&s->of[c], &x[i]);
            s->kl[at] = (value){ x[i].kl, c };
            s->change[at] = (value){ fabs(change_of(&x[i])), c };
        }
    }
    qsort(s->kl, (size_t)at, sizeof *s->kl, larger_first);
    qsort(s->change, (size_t)at, sizeof *s->change, larger_first);
}

// How many values stand above the one of nearest rank q of n, counted from the top, that one included.
static int64_t rank_from_top(double q, int64_t n) { return n - (int64_t)ceil(q * (double)n) + 1; }

// Values of ranks q[0] > q[1] > .. of a draw.
static void quantiles_of(double *out, const double *q, int n_q, const value *v, int64_t n, const int32_t *draw)
{
    int64_t above = 0;
    int     k = 0;
    for (int64_t i = 0; k < n_q && i < n; i++) {
        above += draw[v[i].chunk];
        while (k < n_q && above >= rank_from_top(q[k], n)) out[k++] = v[i].v;
    }
}

static void figures_of_draw(double out[N_FIGURES], const sample *s)
{
    static const double of_kl[] = { 0.999, 0.99, 0.9, 0.5 }, of_change[] = { 0.99 };
    const int64_t n = s->g->n * s->n_points;        // every chunk has as many points: a draw's number is the sample's
    for (int f = 0; f < N_MEANS; f++) {
        double sum = 0;
        for (int64_t c = 0; c < s->g->n; c++) sum += s->draw[c] * s->of[c].sum[f];
        out[f] = sum / (double)n;
    }
    out[4] = sqrt(out[4]);
    quantiles_of(out + N_MEANS, of_kl, 4, s->kl, n, s->draw);
    quantiles_of(out + N_MEANS + 4, of_change, 1, s->change, n, s->draw);
}

// ---- intervals ------------------------------------------------------------------------------------------------------

#define NORMAL_975 1.959964

typedef struct { double least, most; } bounds;          // of a figure's values

#define KL     { 0, INFINITY }
#define SHARE  { 0, 1 }
#define CHANGE { -1, 1 }

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// What 97.5 % of Student's t with df >= 1 degrees of freedom lie below: four terms of its series around the normal's
// 1.96 (Abramowitz and Stegun 26.7.5), which is within 2e-4 from six degrees on.
static double student_975(int64_t df)
{
    static const double few[] = { 12.706205, 4.302653, 3.182446, 2.776445, 2.570582 };
    if (df <= (int64_t)(sizeof few / sizeof *few)) return few[df - 1];
    const double z = NORMAL_975, z2 = z * z, d = (double)df;
    const double g1 = (z2 + 1) * z / 4;
    const double g2 = ((5 * z2 + 16) * z2 + 3) * z / 96;
    const double g3 = (((3 * z2 + 19) * z2 + 17) * z2 - 15) * z / 384;
    const double g4 = ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) * z / 92160;
    return z + (g1 + (g2 + (g3 + g4 / d) / d) / d) / d;
}

// How much further from the figure the ends of an interval belong than a bootstrap over n >= 2 chunks puts them. Draws
// spread as if the sample were all there is: by sqrt((n - 1) / n) too little, and with the normal's tails instead of
// Student's (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", on small samples).
static double widening(int64_t n)
{
    return student_975(n - 1) / NORMAL_975 * sqrt((double)n / (double)(n - 1));
}

// The 25th and the 975th of a thousand, in order, moved apart for n chunks; no further than the figure itself can go,
// but always around it: a KL that is rounded to a hair below 0 is. None where a draw has no figure.
static void interval_of(lab_figure *f, double *column, int64_t n, bounds can)
{
    const double k = widening(n);
    for (int r = 0; r < LAB_RESAMPLES; r++)
        if (!isfinite(column[r])) return;
    qsort(column, LAB_RESAMPLES, sizeof *column, by_value);
    const double below = fmax(f->v - column[LAB_RESAMPLES * 25 / 1000 - 1], 0);
    const double above = fmax(column[LAB_RESAMPLES * 975 / 1000 - 1] - f->v, 0);
    f->low = fmin(f->v, fmax(f->v - k * below, can.least));
    f->high = fmax(f->v, fmin(f->v + k * above, can.most));
}

static void resample(sample *s, lab_figure out[N_FIGURES])
{
    // In the order of sums, and of quantiles of KL and of changes.
    static const bounds of_figure[N_FIGURES] = { KL, SHARE, SHARE, CHANGE, SHARE, KL, KL, KL, KL, SHARE };
    uint64_t state = 0;
    for (int r = 0; r < LAB_RESAMPLES; r++) {
        draw_chunks(s->draw, s->g->n, &state);
        figures_of_draw(s->drawn[r], s);
    }
    for (int f = 0; f < N_FIGURES; f++) {
        for (int r = 0; r < LAB_RESAMPLES; r++) s->column[r] = s->drawn[r][f];
        interval_of(&out[f], s->column, s->g->n, of_figure[f]);
    }
}

static void fill(lab_figures *f, const sample *s, const lab_figure v[N_FIGURES])
{
    const double n = (double)(s->g->n * s->n_points);
    *f = (lab_figures){ .tokens = s->g->n * s->n_points, .chunks = s->g->n, .kl_mean = v[0], .top1 = v[1], .top5 = v[2],
                        .change_mean = v[3], .change_rms = v[4], .kl_p999 = v[5], .kl_p99 = v[6], .kl_p90 = v[7],
                        .kl_median = v[8], .change_p99 = v[9], .kl_max = { s->kl[0].v, NAN, NAN } };
    for (int64_t c = 0; c < s->g->n; c++) {
        const lab_point *x = points_of(s->g, c);
        for (int64_t i = s->g->first; i < s->g->end; i++) {
            f->nll_base -= x[i].base_logprob / n;
            f->nll -= x[i].logprob / n;
        }
    }
}

static bool sample_alloc(sample *s, err *e)
{
    const size_t n = (size_t)(s->g->n * s->n_points), chunks = (size_t)s->g->n;
    s->of = calloc(chunks, sizeof *s->of);
    s->draw = calloc(chunks, sizeof *s->draw);
    s->kl = malloc(n * sizeof *s->kl);
    s->change = malloc(n * sizeof *s->change);
    s->drawn = malloc(LAB_RESAMPLES * sizeof *s->drawn);
    s->column = malloc(LAB_RESAMPLES * sizeof *s->column);
    const bool ok = s->of && s->draw && s->kl && s->change && s->drawn && s->column;
    return ok || err_nomem(e, "a sample", n * sizeof *s->kl);
}

static void sample_free(sample *s)
{
    free(s->of);
    free(s->draw);
    free(s->kl);
    free(s->change);
    free(s->drawn);
    free(s->column);
}

bool lab_figures_of(lab_figures *f, const lab_group *g, err *e)
{
    sample     s = { .g = g, .n_points = g->end - g->first };
    double     plain[N_FIGURES];
    lab_figure v[N_FIGURES];
    const bool ok = sample_alloc(&s, e);
    if (ok) {
        collect(&s);
        for (int64_t c = 0; c < g->n; c++) s.draw[c] = 1;
        figures_of_draw(plain, &s);
        for (int i = 0; i < N_FIGURES; i++) v[i] = (lab_figure){ plain[i], NAN, NAN };
        if (g->n > 1) resample(&s, v);
        fill(f, &s, v);
    }
    sample_free(&s);
    return ok;
}

// ---- weights and caches ---------------------------------------------------------------------------------------------

static double kl_sum(const lab_cells *c, int64_t chunk, int candidate)
{
    const lab_point *x = lab_cell_at(c, chunk, candidate)->points;
    double sum = 0;
    for (int64_t i = 0; i < c->n_points; i++) sum += x[i].kl;
    return sum;
}

static double share_of_draw(const double (*kl)[3], const int32_t *draw, int64_t n)
{
    double sum[3] = { 0 };
    for (int64_t c = 0; c < n; c++)
        for (int i = 0; i < 3; i++) sum[i] += draw[c] * kl[c][i];
    return sum[2] / (sum[0] + sum[1]);
}

bool lab_share_of(lab_figure *f, const lab_cells *c, int weights, int cache, int both, err *e)
{
    const size_t n = (size_t)c->n_chunks;
    double (*kl)[3] = malloc(n * sizeof *kl), *column = malloc(LAB_RESAMPLES * sizeof *column);
    int32_t *draw = malloc(n * sizeof *draw);
    const bool ok = kl && column && draw;
    uint64_t state = 0;
    for (int64_t i = 0; ok && i < c->n_chunks; i++) {
        kl[i][0] = kl_sum(c, i, weights);
        kl[i][1] = kl_sum(c, i, cache);
        kl[i][2] = kl_sum(c, i, both);
        draw[i] = 1;
    }
    if (ok) *f = (lab_figure){ share_of_draw(kl, draw, c->n_chunks), NAN, NAN };
    for (int r = 0; ok && r < LAB_RESAMPLES; r++) {
        draw_chunks(draw, c->n_chunks, &state);
        column[r] = share_of_draw(kl, draw, c->n_chunks);
    }
    if (ok && c->n_chunks > 1 && isfinite(f->v)) interval_of(f, column, c->n_chunks, (bounds)KL);
    free(kl);
    free(column);
    free(draw);
    return ok || err_nomem(e, "a sample", n * sizeof *kl);
}
