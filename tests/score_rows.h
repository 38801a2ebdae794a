// score_rows: rows of logits of every kind that scoring can meet, and all that a backend says of them. For score_test.c
// and cuda_score_test.c.
#ifndef HALLMARK_TESTS_SCORE_ROWS_H
#define HALLMARK_TESTS_SCORE_ROWS_H

#include "runtime/backend.h"
#include "suite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int64_t n; int rows; int64_t k; } score_case;

// Less than a span, whole spans, one more; a vocabulary that is a multiple of nothing; every k from 1 to all.
static const score_case score_cases[] = {
    { 1, 13, 1 },     { 2, 13, 1 },     { 37, 13, 37 },   { 255, 2, 100 },   { 256, 1, 255 },     { 257, 13, 16 },
    { 1519, 26, 33 }, { 4096, 3, 700 }, { 4097, 13, 1 },  { 9001, 26, 4100 }, { 12288, 13, 12288 }, { 70001, 1, 5000 },
};
enum { N_SCORE_CASES = sizeof score_cases / sizeof *score_cases };

static uint32_t score_seed;
static inline float score_uniform(void)     // [-0.5, 0.5)
{
    score_seed = score_seed * 1664525u + 1013904223u;
    return (float)(score_seed >> 8) / 16777216.0f - 0.5f;
}

enum {
    PLAIN,
    STEEP,
    FEW_VALUES,
    ALL_EQUAL,
    ALL_ZERO,
    ZEROS_OF_BOTH_SIGNS,
    TOP_TWICE,
    HUGE_RANGE,
    ONE_NAN,
    ONE_INF,
    ONE_NEG_INF,
    ALL_NAN,
    PLAIN_AGAIN,
    N_ROW_KINDS
};

static inline float score_value(int kind, int64_t i)
{
    const float u = score_uniform();
    switch (kind) {
    case STEEP:               return u * 2000.0f;
    case FEW_VALUES:          return floorf(u * 6.0f);
    case ALL_EQUAL:           return -7.25f;
    case ALL_ZERO:            return i % 3 ? 0.0f : -0.0f;
    case ZEROS_OF_BOTH_SIGNS: return u < 0.2f ? (u < 0.0f ? -0.0f : 0.0f) : -u;
    case HUGE_RANGE:          return u * 3.2e38f;
    case ALL_NAN:             return NAN;
    default:                  return u * 30.0f;
    }
}

// x [rows][n], row r of kind r % N_ROW_KINDS.
static inline float *score_rows(const score_case *c, uint32_t from)
{
    float *x = malloc((size_t)(c->rows * c->n) * sizeof *x);
    score_seed = from;
    for (int r = 0; r < c->rows; r++) {
        float *row = x + r * c->n;
        const int kind = r % N_ROW_KINDS;
        for (int64_t i = 0; i < c->n; i++) row[i] = score_value(kind, i);
        const int64_t at = c->n * 2 / 3;
        if (kind == TOP_TWICE)   row[c->n / 3] = row[c->n - 1] = 90.0f;
        if (kind == ONE_NAN)     row[at] = NAN;
        if (kind == ONE_INF)     row[at] = INFINITY;
        if (kind == ONE_NEG_INF) row[at] = -INFINITY;
    }
    return x;
}

typedef struct {            // all figures of a case's rows; poisoned before they are asked for
    row_stats *stats, *ref_stats;       // [rows]
    // [rows]: against a reference on the backend, one in host memory, and its k largest
    double    *kl, *kl_host, *kl_kept;
    int32_t   *ids;                     // [rows][k]
    float     *logits;
} scores;

static inline void *score_poison(size_t n_bytes)
{
    void *p = malloc(n_bytes + 1);
    return memset(p, 0x7b, n_bytes + 1);
}

static inline float *score_put(backend *b, const float *x, int64_t n)
{
    err why = { 0 };
    void *p = NULL;
    ck_assert_msg(b->ops->alloc(b, &p, n * (int64_t)sizeof *x, "test", &why) &&
                      b->ops->upload(b, p, x, n * (int64_t)sizeof *x, &why),
                  "%s", why.msg);
    return p;
}

static inline scores score_on(backend *b, const score_case *c, const float *x, const float *ref)
{
    const backend_ops *o = b->ops;
    const size_t rows = (size_t)c->rows, cells = rows * (size_t)c->k;
    err why = { 0 };
    scores s = { .stats = score_poison(rows * sizeof *s.stats),
                 .ref_stats = score_poison(rows * sizeof *s.stats),
                 .kl = score_poison(rows * sizeof *s.kl),
                 .kl_host = score_poison(rows * sizeof *s.kl),
                 .kl_kept = score_poison(rows * sizeof *s.kl),
                 .ids = score_poison(cells * sizeof *s.ids),
                 .logits = score_poison(cells * sizeof *s.logits) };
    int32_t *next = malloc(rows * sizeof *next);
    for (int r = 0; r < c->rows; r++) next[r] = r % 5 == 4 ? -1 : (int32_t)(r * 7919 % c->n);
    float *dx = score_put(b, x, c->rows * c->n), *dr = score_put(b, ref, c->rows * c->n);
    ck_assert_msg(o->row_stats(b, s.stats, dx, c->rows, c->n, next, &why) &&
                      o->row_stats(b, s.ref_stats, dr, c->rows, c->n, next, &why),
                  "%s", why.msg);
    row_reference there = { .logits = dr, .on_backend = true, .kept = c->n, .stats = s.ref_stats };
    ck_assert_msg(o->row_kl(b, s.kl, dx, s.stats, c->rows, c->n, &there, &why), "%s", why.msg);
    there.logits = ref;
    there.on_backend = false;
    ck_assert_msg(o->row_kl(b, s.kl_host, dx, s.stats, c->rows, c->n, &there, &why), "%s", why.msg);
    ck_assert_msg(o->row_top(b, s.ids, s.logits, dr, c->rows, c->n, c->k, &why), "%s", why.msg);
    const row_reference kept = { .logits = s.logits, .ids = s.ids, .kept = c->k, .stats = s.ref_stats };
    ck_assert_msg(o->row_kl(b, s.kl_kept, dx, s.stats, c->rows, c->n, &kept, &why), "%s", why.msg);
    o->release(b, dx);
    o->release(b, dr);
    free(next);
    return s;
}

static inline void score_free(scores *s)
{
    free(s->stats);
    free(s->ref_stats);
    free(s->kl);
    free(s->kl_host);
    free(s->kl_kept);
    free(s->ids);
    free(s->logits);
}

// To the last bit, doubles too.
static inline void score_same(const scores *want, const scores *got, const score_case *c, const char *what)
{
    static const char *const names[] = {
        "stats", "the reference's stats", "KL", "KL from host memory", "KL from what was kept", "ids", "logits"
    };
    const void *w[] = { want->stats, want->ref_stats, want->kl, want->kl_host, want->kl_kept, want->ids, want->logits };
    const void *g[] = { got->stats, got->ref_stats, got->kl, got->kl_host, got->kl_kept, got->ids, got->logits };
    const size_t of_row[] = { sizeof(row_stats),
                              sizeof(row_stats),
                              sizeof(double),
                              sizeof(double),
                              sizeof(double),
                              (size_t)c->k * sizeof(int32_t),
                              (size_t)c->k * sizeof(float) };
    for (int i = 0; i < 7; i++)
        for (int r = 0; r < c->rows; r++)
            ck_assert_msg(memcmp((const char *)w[i] + (size_t)r * of_row[i], (const char *)g[i] + (size_t)r * of_row[i],
                                 of_row[i]) == 0,
                          "%s: %d rows of %lld, k %lld: row %d: %s differ", what, c->rows, (long long)c->n,
                          (long long)c->k, r, names[i]);
}

#endif
