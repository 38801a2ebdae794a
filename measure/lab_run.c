// lab_run: the walk over chunks, base and candidates in lockstep. See lab.h.
#include "lab.h"
#include "../formats/checked.h"
#include "../runtime/session.h"
#include "lab_places.h"
#include "lab_state.h"
#include "texts.h"
#include <stdlib.h>
#include <string.h>

// Candidates whose caches are in memory at a time; the base is run once for each such group.
enum { GROUP = 64 };

typedef struct {
    const lab_plan     *p;
    const lab_run_opts *o;
    lab_cells          *out;
    session            *base, **of;         // of: [n_candidates]; NULL: of another group
    int                 first, end;         // candidates of the group in hand
    bool               *pending;            // [n_candidates], of the chunk in hand
    int                 batch, rows;        // tokens of a step; positions whose logits are held at a time
    row_stats          *base_stats, *stats; // [rows]
    double             *kl;                 // [rows]
    int32_t            *base_top, *top;     // [rows][LAB_TOP]
    float              *top_logits;         // [rows][LAB_TOP]
} lab_runner;

// ---- opening --------------------------------------------------------------------------------------------------------

static session_opts base_opts(const lab_runner *r)
{
    return (session_opts){ .device = r->o->device, .kv = r->p->base_kv, .arith = r->p->arith,
                           .n_threads = r->o->n_threads,
                           .n_ctx = r->p->chunk, .n_batch = r->o->n_batch, .simd = r->o->simd, .reproducible = true };
}

// A session that has this file's weights, among the base and the candidates before k; NULL: none.
static const session *weights_of(const lab_runner *r, int k)
{
    const int artifact = r->p->candidates[k].artifact;
    if (artifact == 0) return r->base;
    for (int i = r->first; i < k; i++)
        if (r->p->candidates[i].artifact == artifact) return r->of[i];
    return NULL;
}

// The base's activations serve all; candidates have one place for their logits, which are looked at in turn.
static bool open_candidates(lab_runner *r, err *e)
{
    for (int k = r->first; k < r->end; k++) {
        session_opts so = base_opts(r);
        so.kv = r->p->candidates[k].kv;
        so.weights_of = weights_of(r, k);
        so.scratch_of = k == r->first ? r->base : r->of[r->first];
        so.logits_too = k > r->first;
        r->of[k] = session_new(r->p->artifacts[r->p->candidates[k].artifact].m, &so, e);
        if (!r->of[k]) return false;
        if (strcmp(session_kv(r->of[k]), r->p->candidates[k].kv) != 0)
            return err_set(e, ERR_SYSTEM, "KV cache: found '%s', expected '%s'", session_kv(r->of[k]),
                           r->p->candidates[k].kv);
    }
    return true;
}

static bool open_rows(lab_runner *r, err *e)
{
    r->batch = session_batch(r->base);
    r->rows = session_hold_rows(r->base);
    for (int k = r->first; k < r->end; k++) {
        r->batch = (int)min_i64(r->batch, session_batch(r->of[k]));
        r->rows = (int)min_i64(r->rows, session_hold_rows(r->of[k]));
    }
    const size_t n = (size_t)r->rows;
    r->base_stats = malloc(n * sizeof *r->base_stats);
    r->stats = malloc(n * sizeof *r->stats);
    r->kl = malloc(n * sizeof *r->kl);
    r->base_top = malloc(n * LAB_TOP * sizeof *r->base_top);
    r->top = malloc(n * LAB_TOP * sizeof *r->top);
    r->top_logits = malloc(n * LAB_TOP * sizeof *r->top_logits);
    const bool ok = r->base_stats && r->stats && r->kl && r->base_top && r->top && r->top_logits;
    return ok || err_nomem(e, "figures", n * sizeof *r->stats);
}

static bool open_group(lab_runner *r, err *e)
{
    const session_opts so = base_opts(r);
    r->base = session_new(r->p->artifacts[0].m, &so, e);
    return r->base && open_candidates(r, e) && open_rows(r, e);
}

static void close_group(lab_runner *r)
{
    for (int k = r->end - 1; k >= r->first; k--) {
        session_free(r->of[k]);
        r->of[k] = NULL;
    }
    session_free(r->base);
    free(r->base_stats);
    free(r->stats);
    free(r->kl);
    free(r->base_top);
    free(r->top);
    free(r->top_logits);
    r->base = NULL;
    r->base_stats = r->stats = NULL;
    r->kl = NULL;
    r->base_top = r->top = NULL;
    r->top_logits = NULL;
}

// ---- one chunk ------------------------------------------------------------------------------------------------------

typedef struct { const int32_t *ids; int64_t chunk, at; int n; } lab_step;     // tokens at .. at + n - 1 of a chunk

static const char *file_of(const lab_runner *r, int k)      // -1: the base
{
    return gguf_path(model_gguf(r->p->artifacts[k < 0 ? 0 : r->p->candidates[k].artifact].m));
}

static const char *kv_of(const lab_runner *r, int k) { return k < 0 ? r->p->base_kv : r->p->candidates[k].kv; }

// Holds n positions from `at` of the chunk on, and takes their figures and best ids.
static bool hold(const lab_runner *r, int k, const lab_step *s, int64_t at, int n, row_stats *stats, int32_t *top,
                 err *e)
{
    session *run = k < 0 ? r->base : r->of[k];
    if (!session_hold(run, (int)(at - s->at), n, e)) return false;
    if (!session_held_stats(run, s->ids + at + 1, stats, e)) return false;
    if (!texts_all_finite(stats, n, file_of(r, k), kv_of(r, k), s->chunk, at, e)) return false;
    return session_held_top(run, min_i64(LAB_TOP, r->p->n_vocab), top, r->top_logits, e);
}

// How many of two ascending lists of ids are in both.
static int in_both(const int32_t *a, const int32_t *b, int n)
{
    int both = 0;
    for (int i = 0, j = 0; i < n && j < n;) {
        const int32_t x = a[i], y = b[j];
        both += x == y;
        i += x <= y;
        j += y <= x;
    }
    return both;
}

static bool measure_rows(lab_runner *r, int k, const lab_step *s, int64_t at, int n, err *e)
{
    const int best = (int)min_i64(LAB_TOP, r->p->n_vocab);
    lab_point *to = lab_cell_at(r->out, s->chunk, k)->points + (at - r->p->skip);
    if (!hold(r, k, s, at, n, r->stats, r->top, e)) return false;
    if (!session_held_kl_from(r->of[k], r->stats, r->base, r->base_stats, r->kl, e)) return false;
    if (!texts_all_numbers(r->kl, n, file_of(r, k), s->chunk, at, e)) return false;
    for (int i = 0; i < n; i++) {
        const row_stats *b = &r->base_stats[i], *c = &r->stats[i];
        to[i] = (lab_point){ .kl = r->kl[i], .base_logprob = (double)b->next - b->lse,
                             .logprob = (double)c->next - c->lse, .base_top = b->top, .top = c->top,
                             .shared = in_both(r->base_top + i * best, r->top + i * best, best) };
    }
    return true;
}

static bool run_step(lab_runner *r, const lab_step *s, err *e)
{
    const lab_plan *p = r->p;
    const int64_t first = max_i64(s->at, p->skip), end = min_i64(s->at + s->n, p->chunk - 1);
    const bool begins = s->at == 0;
    if (!texts_step(r->base, s->ids + s->at, s->n, begins, p->bos, e)) return false;
    for (int k = r->first; k < r->end; k++)
        if (r->pending[k] && !texts_step(r->of[k], s->ids + s->at, s->n, begins, p->bos, e)) return false;
    for (int64_t at = first, n; at < end; at += n) {
        n = min_i64(r->rows, end - at);
        if (!hold(r, -1, s, at, (int)n, r->base_stats, r->base_top, e)) return false;
        for (int k = r->first; k < r->end; k++)
            if (r->pending[k] && !measure_rows(r, k, s, at, (int)n, e)) return false;
    }
    return true;
}

static bool alloc_cell(const lab_runner *r, lab_cell *c, err *e)
{
    c->points = calloc((size_t)lab_points(r->p), sizeof *c->points);
    return c->points || err_nomem(e, "figures", (size_t)lab_points(r->p) * sizeof *c->points);
}

static bool keep_cell(const lab_runner *r, int64_t chunk, int k, err *e)
{
    lab_cell *c = lab_cell_at(r->out, chunk, k);
    if (!lab_places_find(c, r->p, chunk, e)) return false;
    return !r->o->state || lab_state_write(r->o->state, r->p, chunk, k, c, e);
}

static bool run_chunk(lab_runner *r, int64_t chunk, int n_pending, err *e)
{
    const lab_chunk *c = &r->p->chunks[chunk];
    const lab_text  *t = &r->p->texts[c->text];
    for (int k = r->first; k < r->end; k++)
        if (r->pending[k] && !alloc_cell(r, lab_cell_at(r->out, chunk, k), e)) return false;
    for (int64_t at = 0; at < r->p->chunk; at += r->batch) {
        const lab_step s = { .ids = t->ids + c->first, .chunk = chunk, .at = at,
                             .n = (int)min_i64(r->batch, r->p->chunk - at) };
        if (!run_step(r, &s, e)) return false;
        progress_add(r->o->progress, t->category, (int64_t)s.n * (n_pending + 1));
    }
    for (int k = r->first; k < r->end; k++)
        if (r->pending[k] && !keep_cell(r, chunk, k, e)) return false;
    return true;
}

// ---- all chunks -----------------------------------------------------------------------------------------------------

static bool is_mine(const lab_run_opts *o, int64_t chunk) { return o->parts < 2 || chunk % o->parts == o->part - 1; }

// What the folder has of this part's chunks.
static bool read_state(lab_runner *r, err *e)
{
    bool found;
    if (!r->o->state) return true;
    if (!lab_state_open(r->o->state, r->p, e)) return false;
    for (int64_t c = 0; c < r->p->n_chunks; c++)
        for (int k = 0; is_mine(r->o, c) && k < r->p->n_candidates; k++)
            if (!lab_state_read(r->o->state, r->p, c, k, lab_cell_at(r->out, c, k), &found, e)) return false;
    return true;
}

// Which candidates of the group in hand have no cell of that chunk.
static int find_pending(lab_runner *r, int64_t chunk)
{
    int n = 0;
    for (int k = r->first; k < r->end; k++) {
        r->pending[k] = is_mine(r->o, chunk) && !lab_cell_at(r->out, chunk, k)->points;
        n += r->pending[k];
    }
    return n;
}

static bool next_group(lab_runner *r)
{
    r->first = r->end;
    r->end = (int)min_i64(r->first + GROUP, r->p->n_candidates);
    return r->first < r->end;
}

static int64_t group_tokens(lab_runner *r)
{
    int64_t n = 0;
    for (int64_t c = 0; c < r->p->n_chunks; c++) {
        const int pending = find_pending(r, c);
        if (pending) n += r->p->chunk * (pending + 1);
    }
    return n;
}

static bool run_group(lab_runner *r, err *e)
{
    bool ok = open_group(r, e);
    for (int64_t c = 0; ok && c < r->p->n_chunks; c++) {
        const int pending = find_pending(r, c);
        ok = pending == 0 || run_chunk(r, c, pending, e);
    }
    close_group(r);
    return ok;
}

static bool run_all(lab_runner *r, err *e)
{
    int64_t total = 0;
    while (next_group(r)) total += group_tokens(r);
    if (total == 0) return true;
    progress_stage_of(r->o->progress, "lab", total, "tokens");
    r->first = r->end = 0;
    while (next_group(r))
        if (group_tokens(r) > 0 && !run_group(r, e)) return false;
    return true;
}

bool lab_run(lab_cells *out, const lab_plan *p, const lab_run_opts *o, err *e)
{
    lab_runner r = { .p = p, .o = o, .out = out };
    if (!lab_cells_new(out, p, e)) return false;
    if (o->parts > 1 && !o->state) return err_set(e, ERR_USAGE, "a part of a run needs a folder for its state");
    r.of = calloc((size_t)p->n_candidates, sizeof *r.of);
    r.pending = calloc((size_t)p->n_candidates, sizeof *r.pending);
    bool ok = (r.of && r.pending) || err_nomem(e, "sessions", (size_t)p->n_candidates * sizeof *r.of);
    ok = ok && read_state(&r, e) && run_all(&r, e);
    free(r.of);
    free(r.pending);
    return ok;
}
