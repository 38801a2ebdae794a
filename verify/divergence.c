// divergence: see divergence.h.
#include "divergence.h"
#include "../formats/checked.h"
#include "../formats/threads.h"
#include "texts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Logits of STEP tokens are in memory at a time: a session's batch, so that weights are read once for them.
enum { DEFAULT_CHUNK = 256, STEP = 128, MIN_KEPT = 16 };
#define DEFAULT_KEPT_BYTES ((int64_t)1 << 30)

typedef struct {        // what is compared: chunks of a text
    const int32_t *ids;
    int64_t n_ids, chunk, skip, n_vocab;
    int32_t bos;        // -1: none
} text;

typedef struct { double kl, nll_ref, nll; bool same_top, finite; } point;

// ---- one position ------------------------------------------------------------------------------------------------------

typedef struct { double max, lse; int32_t top; bool finite; } norm;

static norm norm_of(const float *l, int64_t n)
{
    norm s = { .max = -INFINITY, .top = argmax_f32(l, n), .finite = true };
    for (int64_t i = 0; i < n; i++) if (!isfinite(l[i])) s.finite = false;
    if (!s.finite || s.top < 0) { s.finite = false; return s; }
    double sum = 0;
    s.max = l[s.top];
    for (int64_t i = 0; i < n; i++) sum += exp((double)l[i] - s.max);
    s.lse = s.max + log(sum);
    return s;
}

// The reference at one position: `kept` logits, of ids[i], or of all ids where ids is NULL; lse and top are those of all its logits.
typedef struct { const float *logits; const int32_t *ids; int64_t kept; double lse; int32_t top; double next_logit; } reference;

static point compare(const reference *r, const float *logits, int64_t n_vocab, int32_t next)
{
    const norm q = norm_of(logits, n_vocab);
    point p = { .finite = q.finite, .same_top = q.top == r->top };
    if (!q.finite) return p;
    double p_kept = 0, q_kept = 0;
    for (int64_t i = 0; i < r->kept; i++) {
        const double lp = (double)r->logits[i] - r->lse, lq = (double)logits[r->ids ? r->ids[i] : i] - q.lse, pi = exp(lp);
        p.kl += pi * (lp - lq);
        if (!r->ids) continue;
        p_kept += pi;
        q_kept += exp(lq);
    }
    if (r->ids && p_kept < 1) {         // the bucket of all others
        const double rest = 1 - p_kept, q_rest = q_kept < 1 ? 1 - q_kept : 1e-300;
        p.kl += rest * log(rest / q_rest);
    }
    if (p.kl < 0) p.kl = 0;             // by rounding alone
    p.nll_ref = r->lse - r->next_logit;
    p.nll = q.lse - (double)logits[next];
    return p;
}

// ---- the walk over chunks ----------------------------------------------------------------------------------------------

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static bool text_init(text *t, const model *ref, const int32_t *ids, int64_t n_ids, const divergence_opts *o, err *e)
{
    *t = (text){ .ids = ids, .n_ids = n_ids, .chunk = o->chunk > 0 ? o->chunk : DEFAULT_CHUNK, .skip = o->skip,
                 .n_vocab = model_hparams(ref)->n_vocab, .bos = texts_bos(ref) };
    if (t->chunk < 2 || o->skip < 0 || o->skip >= t->chunk - 1)
        return err_set(e, ERR_USAGE, "chunks of %lld tokens, %lld of them skipped: nothing to compare", (long long)t->chunk, (long long)o->skip);
    if (n_ids < t->skip + 2) return err_set(e, ERR_INPUT, "a text of %lld tokens: nothing to compare", (long long)n_ids);
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= t->n_vocab)
            return err_set(e, ERR_INPUT, "token %lld: id %d is outside the vocabulary of %lld", (long long)i, ids[i], (long long)t->n_vocab);
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
        err_set(e, ERR_INPUT, "%s: a vocabulary of %lld, expected the reference's %lld", gguf_path(model_gguf(m)), (long long)model_hparams(m)->n_vocab,
                (long long)t->n_vocab);
        return NULL;
    }
    if (!so.arith) so.arith = "f32";
    so.n_ctx = t->chunk;
    return session_new(m, &so, e);
}

static bool run_step(session *s, const text *t, int64_t at, int64_t n, float *logits, err *e)
{
    return texts_run(s, t->ids + at, n, at % t->chunk == 0, t->bos, logits, e);
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

static bool not_finite(const text *t, int64_t at, const char *who, err *e)
{
    return err_set(e, ERR_INPUT, "%s: chunk %lld, position %lld: logits are not finite", who, (long long)(at / t->chunk), (long long)(at % t->chunk));
}

// ---- side by side ------------------------------------------------------------------------------------------------------

typedef struct {
    text     t;
    session *ref, **arts;
    float   *ref_logits, *logits;           // [STEP][n_vocab]
    point  **points;                        // [n][n_points]
    int      n, threads;
} lockstep;

static bool compare_step(lockstep *l, const model *const *arts, const model *ref, int64_t at, int64_t n, int64_t first_point, err *e)
{
    const text *t = &l->t;
    norm r[STEP];
    int64_t index[STEP], next = first_point;
    if (!run_step(l->ref, t, at, n, l->ref_logits, e)) return false;
    for (int64_t i = 0; i < n; i++) index[i] = counts(t, at + i) ? next++ : -1;
#pragma omp parallel for num_threads(l->threads) schedule(dynamic)
    for (int64_t i = 0; i < n; i++)
        if (index[i] >= 0) r[i] = norm_of(l->ref_logits + i * t->n_vocab, t->n_vocab);
    for (int64_t i = 0; i < n; i++)
        if (index[i] >= 0 && !r[i].finite) return not_finite(t, at + i, gguf_path(model_gguf(ref)), e);
    for (int a = 0; a < l->n; a++) {
        if (!run_step(l->arts[a], t, at, n, l->logits, e)) return false;
#pragma omp parallel for num_threads(l->threads) schedule(dynamic)
        for (int64_t i = 0; i < n; i++) {
            if (index[i] < 0) continue;
            const float *row = l->ref_logits + i * t->n_vocab;
            const int32_t following = t->ids[at + i + 1];
            const reference to = { .logits = row, .kept = t->n_vocab, .lse = r[i].lse, .top = r[i].top, .next_logit = row[following] };
            l->points[a][index[i]] = compare(&to, l->logits + i * t->n_vocab, t->n_vocab, following);
        }
        for (int64_t i = 0; i < n; i++)
            if (index[i] >= 0 && !l->points[a][index[i]].finite) return not_finite(t, at + i, gguf_path(model_gguf(arts[a])), e);
    }
    return true;
}

// Every step of every chunk: fn gets where it begins, its length, and how many points came before.
static int64_t step_length(const text *t, int64_t at)
{
    return min_i64(min_i64(STEP, t->chunk - at % t->chunk), t->n_ids - at);
}

static int64_t points_in(const text *t, int64_t at, int64_t n)
{
    int64_t c = 0;
    for (int64_t i = 0; i < n; i++) c += counts(t, at + i);
    return c;
}

bool divergence_measure_many(divergence *out, const model *ref, const model *const *arts, int n, const int32_t *ids, int64_t n_ids,
                             const divergence_opts *o, err *e)
{
    lockstep l = { .n = n, .threads = threads_or_cores(o->run.n_threads) };
    int64_t floats = 0;
    if (!text_init(&l.t, ref, ids, n_ids, o, e)) return false;
    const int64_t count = n_points(&l.t);
    bool ok = mul_i64(l.t.n_vocab, STEP * (int64_t)sizeof(float), &floats) || err_set(e, ERR_INPUT, "a vocabulary of %lld is too large", (long long)l.t.n_vocab);
    if (ok) {
        l.ref_logits = malloc((size_t)floats);
        l.logits     = malloc((size_t)floats);
        l.arts       = calloc((size_t)n + 1, sizeof *l.arts);
        l.points     = calloc((size_t)n + 1, sizeof *l.points);
        ok = (l.ref_logits && l.logits && l.arts && l.points) || err_nomem(e, "logits", (size_t)floats);
    }
    ok = ok && (l.ref = open_session(ref, &l.t, &o->run, e)) != NULL;
    for (int a = 0; ok && a < n; a++) {
        l.points[a] = malloc((size_t)count * sizeof **l.points);
        ok = (l.points[a] || err_nomem(e, "divergences", (size_t)count * sizeof **l.points)) && (l.arts[a] = open_session(arts[a], &l.t, &o->run, e)) != NULL;
    }
    int64_t done = 0;
    for (int64_t at = 0; ok && at < n_ids;) {
        const int64_t step = step_length(&l.t, at);
        ok = compare_step(&l, arts, ref, at, step, done, e);
        done += points_in(&l.t, at, step);
        at += step;
    }
    for (int a = 0; ok && a < n; a++) ok = summarize(&out[a], l.points[a], count, e);
    for (int a = 0; a < n; a++) {
        if (l.arts)   session_free(l.arts[a]);
        if (l.points) free(l.points[a]);
    }
    session_free(l.ref);
    free(l.arts);
    free(l.points);
    free(l.ref_logits);
    free(l.logits);
    return ok;
}

bool divergence_measure(divergence *out, const model *ref, const model *art, const int32_t *ids, int64_t n_ids, const divergence_opts *o, err *e)
{
    return divergence_measure_many(out, ref, &art, 1, ids, n_ids, o, e);
}

// ---- against what was kept ---------------------------------------------------------------------------------------------

struct divergence_ref {
    text         t;
    session_opts run;
    int32_t     *ids;               // t.ids
    int64_t      kept, count;
    float       *logits;            // [count][kept]
    int32_t     *kept_ids;          // [count][kept], ascending; NULL when all are kept
    double      *lse, *next_logit;  // [count]
    int32_t     *top;               // [count]
};

int64_t divergence_ref_kept(const divergence_ref *r) { return r->kept; }

void divergence_ref_free(divergence_ref *r)
{
    if (!r) return;
    free(r->ids);
    free(r->logits);
    free(r->kept_ids);
    free(r->lse);
    free(r->next_logit);
    free(r->top);
    free(r);
}

// The k largest of l, by value and then by id, in ascending order of ids. heap: [k] ids, written.
static bool ranks_below(const float *l, int32_t a, int32_t b) { return l[a] < l[b] || (l[a] == l[b] && a > b); }

static void sift(const float *l, int32_t *heap, int64_t k, int64_t i)
{
    for (int64_t c; (c = 2 * i + 1) < k; i = c) {       // the lowest rank is at the root
        if (c + 1 < k && ranks_below(l, heap[c + 1], heap[c])) c++;
        if (!ranks_below(l, heap[c], heap[i])) return;
        const int32_t swap = heap[i];
        heap[i] = heap[c];
        heap[c] = swap;
    }
}

static int by_id(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static void largest(const float *l, int64_t n, int64_t k, int32_t *heap)
{
    for (int64_t i = 0; i < k; i++) heap[i] = (int32_t)i;
    for (int64_t i = k / 2; i-- > 0;) sift(l, heap, k, i);
    for (int64_t i = k; i < n; i++)
        if (ranks_below(l, heap[0], (int32_t)i)) {
            heap[0] = (int32_t)i;
            sift(l, heap, k, 0);
        }
    qsort(heap, (size_t)k, sizeof *heap, by_id);
}

// False: not finite.
static bool keep(divergence_ref *r, int64_t i, const float *row, int32_t following)
{
    const norm s = norm_of(row, r->t.n_vocab);
    if (!s.finite) return false;
    r->lse[i] = s.lse;
    r->top[i] = s.top;
    r->next_logit[i] = row[following];
    float *to = r->logits + i * r->kept;
    if (!r->kept_ids) {
        memcpy(to, row, (size_t)r->kept * sizeof *to);
        return true;
    }
    int32_t *ids = r->kept_ids + i * r->kept;
    largest(row, r->t.n_vocab, r->kept, ids);
    for (int64_t j = 0; j < r->kept; j++) to[j] = row[ids[j]];
    return true;
}

static bool run_reference(divergence_ref *r, const model *ref, float *logits, session *run, err *e)
{
    const text *t = &r->t;
    for (int64_t at = 0, done = 0; at < t->n_ids;) {
        const int64_t n = step_length(t, at);
        int64_t index[STEP];
        bool fine[STEP];
        if (!run_step(run, t, at, n, logits, e)) return false;
        for (int64_t i = 0; i < n; i++) index[i] = counts(t, at + i) ? done++ : -1;
#pragma omp parallel for num_threads(threads_or_cores(r->run.n_threads)) schedule(dynamic)
        for (int64_t i = 0; i < n; i++) fine[i] = index[i] < 0 || keep(r, index[i], logits + i * t->n_vocab, t->ids[at + i + 1]);
        for (int64_t i = 0; i < n; i++)
            if (!fine[i]) return not_finite(t, at + i, gguf_path(model_gguf(ref)), e);
        at += n;
    }
    return true;
}

// How many logits of each position fit.
static bool allocate_kept(divergence_ref *r, int64_t max_bytes, err *e)
{
    const int64_t v = r->t.n_vocab, room = (max_bytes > 0 ? max_bytes : DEFAULT_KEPT_BYTES) / r->count;
    r->kept = room / 4 >= v ? v : min_i64(room / 8, v - 1);
    if (r->kept < min_i64(v, MIN_KEPT)) return err_set(e, ERR_USAGE, "%lld bytes cannot keep the reference's logits of %lld positions", (long long)max_bytes, (long long)r->count);
    const size_t n = (size_t)r->count, cells = n * (size_t)r->kept;     // within max_bytes
    r->logits     = malloc(cells * sizeof *r->logits);
    r->kept_ids   = r->kept < v ? malloc(cells * sizeof *r->kept_ids) : NULL;
    r->lse        = malloc(n * sizeof *r->lse);
    r->next_logit = malloc(n * sizeof *r->next_logit);
    r->top        = malloc(n * sizeof *r->top);
    return (r->logits && (r->kept_ids || r->kept == v) && r->lse && r->next_logit && r->top) || err_nomem(e, "the reference's logits", cells * sizeof *r->logits);
}

divergence_ref *divergence_ref_new(const model *ref, const int32_t *ids, int64_t n_ids, const divergence_opts *o, int64_t max_bytes, err *e)
{
    divergence_ref *r = calloc(1, sizeof *r);
    session *run = NULL;
    float *logits = NULL;
    bool ok = r || err_nomem(e, "the reference's logits", sizeof *r);
    ok = ok && text_init(&r->t, ref, ids, n_ids, o, e);
    if (ok) {
        r->run   = o->run;
        r->count = n_points(&r->t);
        r->ids   = malloc((size_t)n_ids * sizeof *r->ids);
        logits   = malloc((size_t)r->t.n_vocab * STEP * sizeof *logits);
        ok = (r->ids && logits) || err_nomem(e, "logits", (size_t)r->t.n_vocab * STEP * sizeof *logits);
    }
    if (ok) {
        memcpy(r->ids, ids, (size_t)n_ids * sizeof *ids);
        r->t.ids = r->ids;
    }
    ok = ok && allocate_kept(r, max_bytes, e) && (run = open_session(ref, &r->t, &o->run, e)) != NULL && run_reference(r, ref, logits, run, e);
    session_free(run);
    free(logits);
    if (ok) return r;
    divergence_ref_free(r);
    return NULL;
}

bool divergence_of_session(divergence *out, const divergence_ref *r, session *run, int64_t n_vocab, err *e)
{
    const text *t = &r->t;
    if (n_vocab != t->n_vocab)
        return err_set(e, ERR_INPUT, "a vocabulary of %lld, expected the reference's %lld", (long long)n_vocab, (long long)t->n_vocab);
    float *logits = malloc((size_t)n_vocab * STEP * sizeof *logits);
    point *points = malloc((size_t)r->count * sizeof *points);
    bool ok = (logits && points) || err_nomem(e, "logits", (size_t)n_vocab * STEP * sizeof *logits);
    for (int64_t at = 0, done = 0; ok && at < t->n_ids;) {
        const int64_t n = step_length(t, at);
        int64_t index[STEP];
        ok = run_step(run, t, at, n, logits, e);
        for (int64_t i = 0; ok && i < n; i++) index[i] = counts(t, at + i) ? done++ : -1;
#pragma omp parallel for num_threads(threads_or_cores(r->run.n_threads)) schedule(dynamic) if (ok)
        for (int64_t i = 0; i < (ok ? n : 0); i++) {
            const int64_t j = index[i];
            if (j < 0) continue;
            const reference to = { .logits = r->logits + j * r->kept, .ids = r->kept_ids ? r->kept_ids + j * r->kept : NULL, .kept = r->kept,
                                   .lse = r->lse[j], .top = r->top[j], .next_logit = r->next_logit[j] };
            points[j] = compare(&to, logits + i * n_vocab, n_vocab, t->ids[at + i + 1]);
        }
        for (int64_t i = 0; ok && i < n; i++)
            if (index[i] >= 0 && !points[index[i]].finite) ok = not_finite(t, at + i, "the artifact", e);
        at += n;
    }
    ok = ok && summarize(out, points, r->count, e);
    free(logits);
    free(points);
    return ok;
}

bool divergence_of(divergence *out, const divergence_ref *r, const model *art, err *e)
{
    session *run = open_session(art, &r->t, &r->run, e);
    const bool ok = run && divergence_of_session(out, r, run, model_hparams(art)->n_vocab, e);
    session_free(run);
    return ok;
}
