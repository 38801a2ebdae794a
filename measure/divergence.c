// divergence: see divergence.h. Logits stay where the sessions compute them (runtime/score.h); what is here are the
// walk over the text and the figures.
#include "divergence.h"
#include "../formats/checked.h"
#include "texts.h"
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CHUNK = 256, MIN_KEPT = 16 };
#define DEFAULT_KEPT_BYTES ((int64_t)1 << 30)

typedef struct {        // what is compared: chunks of a text
    const int32_t *ids;
    int64_t n_ids, chunk, skip, n_vocab;
    int32_t bos;        // -1: none
} text;

typedef struct { double kl, nll_ref, nll; bool same_top; } point;

static point point_of(double kl, const row_stats *ref, const row_stats *art)
{
    return (point){ .kl = kl, .nll_ref = ref->lse - (double)ref->next, .nll = art->lse - (double)art->next,
                    .same_top = ref->top == art->top };
}

// ---- the walk over chunks -------------------------------------------------------------------------------------------

static bool text_init(text *t, const model *ref, const int32_t *ids, int64_t n_ids, const divergence_opts *o, err *e)
{
    *t = (text){ .ids = ids, .n_ids = n_ids, .chunk = o->chunk > 0 ? o->chunk : DEFAULT_CHUNK, .skip = o->skip,
                 .n_vocab = model_hparams(ref)->n_vocab, .bos = texts_bos(ref) };
    if (t->chunk < 2 || o->skip < 0 || o->skip >= t->chunk - 1)
        return err_set(e, ERR_USAGE, "chunks of %lld tokens, %lld of them skipped: nothing to compare",
                       (long long)t->chunk, (long long)o->skip);
    if (n_ids < t->skip + 2)
        return err_set(e, ERR_INPUT, "a text of %lld tokens: nothing to compare", (long long)n_ids);
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= t->n_vocab)
            return err_set(e, ERR_INPUT, "token %lld: id %d is outside the vocabulary of %lld", (long long)i, ids[i],
                           (long long)t->n_vocab);
    return true;
}

// Whether the position is compared: not skipped, and the token that follows is in the same chunk.
static bool counts(const text *t, int64_t at)
{
    return at % t->chunk >= t->skip && (at + 1) % t->chunk != 0 && at + 1 < t->n_ids;
}

static int64_t n_points(const text *t)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->n_ids; i++) n += counts(t, i);
    return n;
}

static session *open_session(const model *m, const text *t, const session_opts *given, err *e)
{
    session_opts so = *given;
    if (model_hparams(m)->n_vocab != t->n_vocab) {
        err_set(e, ERR_INPUT, "%s: a vocabulary of %lld, expected the reference's %lld", gguf_path(model_gguf(m)),
                (long long)model_hparams(m)->n_vocab, (long long)t->n_vocab);
        return NULL;
    }
    if (!so.arith) so.arith = "f32";
    so.n_ctx = t->chunk;
    return session_new(m, &so, e);
}

// One run of all sessions: so many of a chunk's tokens, of which those that are compared are a run too.
typedef struct { int64_t at; int n, first, count; } run_of;

static run_of next_run(const text *t, int64_t at, int64_t most)
{
    run_of r = { .at = at, .n = (int)min_i64(min_i64(most, t->chunk - at % t->chunk), t->n_ids - at) };
    while (r.first < r.n && !counts(t, at + r.first)) r.first++;
    while (r.first + r.count < r.n && counts(t, at + r.first + r.count)) r.count++;
    return r;
}

static bool run_step(session *s, const text *t, const run_of *r, err *e)
{
    return texts_step(s, t->ids + r->at, r->n, r->at % t->chunk == 0, t->bos, e);
}

// Holds n positions from `at` on, of run r, and says of each what its logits are. stats: [n]. who: for the message.
static bool hold_stats(session *s, const text *t, const run_of *r, int64_t at, int n, row_stats *stats, const char *who,
                       err *e)
{
    if (!session_hold(s, (int)(at - r->at), n, e) || !session_held_stats(s, t->ids + at + 1, stats, e)) return false;
    return texts_all_finite(stats, n, who, NULL, at / t->chunk, at % t->chunk, e);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// points: [n]. Sorts what it copies. False: no memory.
static bool summarize(divergence *d, const point *p, int64_t n, err *e)
{
    double *kl = malloc((size_t)n * sizeof *kl);
    if (!kl) return err_nomem(e, "divergences", (size_t)n * sizeof *kl);
    *d = (divergence){ .tokens = n };
    for (int64_t i = 0; i < n; i++) {
        kl[i] = p[i].kl;
        d->kl_mean += p[i].kl / (double)n;
        d->nll_ref += p[i].nll_ref / (double)n;
        d->nll     += p[i].nll / (double)n;
        d->top1_equal += p[i].same_top;
    }
    qsort(kl, (size_t)n, sizeof *kl, by_value);
    d->kl_max    = kl[n - 1];
    d->kl_median = n % 2 ? kl[n / 2] : (kl[n / 2 - 1] + kl[n / 2]) / 2;
    free(kl);
    return true;
}

// ---- side by side ---------------------------------------------------------------------------------------------------

typedef struct {
    text       t;
    session   *ref, **arts;
    row_stats *of_ref, *of_art;             // [rows]
    double    *kl;                          // [rows]
    point    **points;                      // [n][n_points]
    int        n, rows;                     // rows: positions whose logits all sessions hold at a time
} lockstep;

// Positions at .. at + n - 1 of a run that all sessions have done; their points begin at first_point.
static bool compare_rows(lockstep *l, const model *const *arts, const model *ref, const run_of *r, int64_t at, int n,
                         int64_t first_point, err *e)
{
    if (!hold_stats(l->ref, &l->t, r, at, n, l->of_ref, gguf_path(model_gguf(ref)), e)) return false;
    for (int a = 0; a < l->n; a++) {
        if (!hold_stats(l->arts[a], &l->t, r, at, n, l->of_art, gguf_path(model_gguf(arts[a])), e) ||
            !session_held_kl_from(l->arts[a], l->of_art, l->ref, l->of_ref, l->kl, e) ||
            !texts_all_numbers(l->kl, n, gguf_path(model_gguf(arts[a])), at / l->t.chunk, at % l->t.chunk, e))
            return false;
        for (int i = 0; i < n; i++) l->points[a][first_point + i] = point_of(l->kl[i], &l->of_ref[i], &l->of_art[i]);
    }
    return true;
}

static bool compare_run(lockstep *l, const model *const *arts, const model *ref, const run_of *r, int64_t first_point,
                        err *e)
{
    bool ok = run_step(l->ref, &l->t, r, e);
    for (int a = 0; ok && a < l->n; a++) ok = run_step(l->arts[a], &l->t, r, e);
    for (int i = 0, n; ok && i < r->count; i += n) {
        n = (int)min_i64(l->rows, r->count - i);
        ok = compare_rows(l, arts, ref, r, r->at + r->first + i, n, first_point + i, e);
    }
    return ok;
}

// Sessions, the batch that suits all, and memory for count points of each artifact.
static bool open_all(lockstep *l, const model *ref, const model *const *arts, const divergence_opts *o, int64_t count,
                     int *batch, err *e)
{
    l->arts   = calloc((size_t)l->n + 1, sizeof *l->arts);
    l->points = calloc((size_t)l->n + 1, sizeof *l->points);
    if (!l->arts || !l->points) return err_nomem(e, "divergences", (size_t)l->n * sizeof *l->points);
    if (!(l->ref = open_session(ref, &l->t, &o->run, e))) return false;
    *batch = session_batch(l->ref);
    l->rows = session_hold_rows(l->ref);
    for (int a = 0; a < l->n; a++) {
        l->points[a] = malloc((size_t)count * sizeof **l->points);
        if (!l->points[a]) return err_nomem(e, "divergences", (size_t)count * sizeof **l->points);
        if (!(l->arts[a] = open_session(arts[a], &l->t, &o->run, e))) return false;
        *batch = (int)min_i64(*batch, session_batch(l->arts[a]));
        l->rows = (int)min_i64(l->rows, session_hold_rows(l->arts[a]));
    }
    l->of_ref = malloc((size_t)l->rows * sizeof *l->of_ref);
    l->of_art = malloc((size_t)l->rows * sizeof *l->of_art);
    l->kl     = malloc((size_t)l->rows * sizeof *l->kl);
    return (l->of_ref && l->of_art && l->kl) || err_nomem(e, "divergences", (size_t)l->rows * sizeof *l->of_ref);
}

static void close_all(lockstep *l)
{
    for (int a = 0; a < l->n; a++) {
        if (l->arts)   session_free(l->arts[a]);
        if (l->points) free(l->points[a]);
    }
    session_free(l->ref);
    free(l->arts);
    free(l->points);
    free(l->of_ref);
    free(l->of_art);
    free(l->kl);
}

bool divergence_measure_many(divergence *out, const model *ref, const model *const *arts, int n, const int32_t *ids,
                             int64_t n_ids, const divergence_opts *o, err *e)
{
    lockstep l = { .n = n };
    int batch = 0;
    if (!text_init(&l.t, ref, ids, n_ids, o, e)) return false;
    const int64_t count = n_points(&l.t);
    bool ok = open_all(&l, ref, arts, o, count, &batch, e);
    for (int64_t at = 0, done = 0; ok && at < n_ids;) {
        const run_of r = next_run(&l.t, at, batch);
        ok = compare_run(&l, arts, ref, &r, done, e);
        done += r.count;
        at += r.n;
    }
    for (int a = 0; ok && a < n; a++) ok = summarize(&out[a], l.points[a], count, e);
    close_all(&l);
    return ok;
}

bool divergence_measure(divergence *out, const model *ref, const model *art, const int32_t *ids, int64_t n_ids,
                        const divergence_opts *o, err *e)
{
    return divergence_measure_many(out, ref, &art, 1, ids, n_ids, o, e);
}

// ---- against what was kept ------------------------------------------------------------------------------------------

struct divergence_ref {
    text         t;
    session_opts run;
    int32_t     *ids;               // t.ids
    int64_t      kept, count;
    float       *logits;            // [count][kept]
    int32_t     *kept_ids;          // [count][kept], ascending; NULL when all are kept
    row_stats   *stats;             // [count]
};

int64_t divergence_ref_kept(const divergence_ref *r) { return r->kept; }

void divergence_ref_free(divergence_ref *r)
{
    if (!r) return;
    free(r->ids);
    free(r->logits);
    free(r->kept_ids);
    free(r->stats);
    free(r);
}

static bool run_reference(divergence_ref *r, const model *ref, session *run, err *e)
{
    const text *t = &r->t;
    for (int64_t at = 0, done = 0; at < t->n_ids;) {
        const run_of step = next_run(t, at, session_batch(run));
        if (!run_step(run, t, &step, e)) return false;
        for (int i = 0, n; i < step.count; i += n, done += n) {
            n = (int)min_i64(session_hold_rows(run), step.count - i);
            if (!hold_stats(run, t, &step, at + step.first + i, n, r->stats + done, gguf_path(model_gguf(ref)), e))
                return false;
            float *to = r->logits + done * r->kept;
            if (!(r->kept_ids ? session_held_top(run, r->kept, r->kept_ids + done * r->kept, to,
                                                 e) : session_held_logits(run, to, e))) return false;
        }
        at += step.n;
    }
    return true;
}

// How many logits of each position fit.
static bool allocate_kept(divergence_ref *r, int64_t max_bytes, err *e)
{
    const int64_t v = r->t.n_vocab, room = (max_bytes > 0 ? max_bytes : DEFAULT_KEPT_BYTES) / r->count;
    r->kept = room / 4 >= v ? v : min_i64(room / 8, v - 1);
    if (r->kept < min_i64(v, MIN_KEPT))
        return err_set(e, ERR_USAGE, "%lld bytes cannot keep the reference's logits of %lld positions",
                       (long long)max_bytes, (long long)r->count);
    const size_t n = (size_t)r->count, cells = n * (size_t)r->kept;     // within max_bytes
    r->logits   = malloc(cells * sizeof *r->logits);
    r->kept_ids = r->kept < v ? malloc(cells * sizeof *r->kept_ids) : NULL;
    r->stats    = malloc(n * sizeof *r->stats);
    return (r->logits && (r->kept_ids || r->kept == v) && r->stats)
        || err_nomem(e, "the reference's logits", cells * sizeof *r->logits);
}

divergence_ref *divergence_ref_new(const model *ref, const int32_t *ids, int64_t n_ids, const divergence_opts *o,
                                   int64_t max_bytes, err *e)
{
    divergence_ref *r = calloc(1, sizeof *r);
    session *run = NULL;
    bool ok = r || err_nomem(e, "the reference's logits", sizeof *r);
    ok = ok && text_init(&r->t, ref, ids, n_ids, o, e);
    if (ok) {
        r->run   = o->run;
        r->count = n_points(&r->t);
        r->ids   = malloc((size_t)n_ids * sizeof *r->ids);
        ok = r->ids || err_nomem(e, "tokens", (size_t)n_ids * sizeof *r->ids);
    }
    if (ok) {
        memcpy(r->ids, ids, (size_t)n_ids * sizeof *ids);
        r->t.ids = r->ids;
    }
    ok = ok && allocate_kept(r, max_bytes, e) && (run = open_session(ref, &r->t, &o->run, e)) != NULL
        && run_reference(r, ref, run, e);
    session_free(run);
    if (ok) return r;
    divergence_ref_free(r);
    return NULL;
}

// n positions from `at` on against what was kept of them, from point `first` on. stats, kl: [n], scratch.
static bool compare_kept(const divergence_ref *r, session *run, const run_of *step, int64_t at, int n, int64_t first,
                         row_stats *stats, double *kl, point *points, err *e)
{
    const row_reference ref = { .logits = r->logits + first * r->kept,
                                .ids = r->kept_ids ? r->kept_ids + first * r->kept
                                    : NULL, .kept = r->kept, .stats = r->stats + first };
    if (!hold_stats(run, &r->t, step, at, n, stats, "the artifact", e) || !session_held_kl(run, stats, &ref, kl, e) ||
        !texts_all_numbers(kl, n, "the artifact", at / r->t.chunk, at % r->t.chunk, e))
        return false;
    for (int i = 0; i < n; i++) points[first + i] = point_of(kl[i], &ref.stats[i], &stats[i]);
    return true;
}

bool divergence_of_session(divergence *out, const divergence_ref *r, session *run, int64_t n_vocab, err *e)
{
    const text *t = &r->t;
    if (n_vocab != t->n_vocab)
        return err_set(e, ERR_INPUT, "a vocabulary of %lld, expected the reference's %lld", (long long)n_vocab,
                       (long long)t->n_vocab);
    const int rows = session_hold_rows(run);
    point *points = malloc((size_t)r->count * sizeof *points);
    row_stats *stats = malloc((size_t)rows * sizeof *stats);
    double *kl = malloc((size_t)rows * sizeof *kl);
    bool ok = (points && stats && kl) || err_nomem(e, "divergences", (size_t)r->count * sizeof *points);
    for (int64_t at = 0, done = 0; ok && at < t->n_ids;) {
        const run_of step = next_run(t, at, session_batch(run));
        ok = run_step(run, t, &step, e);
        for (int i = 0, n; ok && i < step.count; i += n, done += n) {
            n = (int)min_i64(rows, step.count - i);
            ok = compare_kept(r, run, &step, at + step.first + i, n, done, stats, kl, points, e);
        }
        at += step.n;
    }
    ok = ok && summarize(out, points, r->count, e);
    free(points);
    free(stats);
    free(kl);
    return ok;
}

bool divergence_of(divergence *out, const divergence_ref *r, const model *art, err *e)
{
    session *run = open_session(art, &r->t, &r->run, e);
    const bool ok = run && divergence_of_session(out, r, run, model_hparams(art)->n_vocab, e);
    session_free(run);
    return ok;
}
