// score_ops: the operations of scoring: what they need on the device, kernels, and their results back. See backend.h.
#include "backend_cuda.h"
#include "score.h"
#include <assert.h>
#include <stdlib.h>

// Device memory of at least n_bytes in *p, which holds *room now.
static bool need_room(cuda_backend *c, void **p, int64_t *room, int64_t n_bytes, const char *what, err *e)
{
    if (n_bytes <= *room) return true;
    gpu_release(c->g, *p);
    *p = NULL;
    *room = 0;
    if (!gpu_alloc(c->g, p, n_bytes, what, e)) return false;
    *room = n_bytes;
    return true;
}

typedef struct { char *in, *out, *parts; } score_memory;       // on the device; in and out: ROW_BYTES a row

enum { ROW_BYTES = 32 };
static_assert(sizeof(row_stats) <= ROW_BYTES && sizeof(kl_row) <= ROW_BYTES, "what a row needs");

static bool need_score(cuda_backend *c, int n_rows, int64_t part_bytes, score_memory *m, err *e)
{
    const int64_t rows = (int64_t)n_rows * ROW_BYTES;
    if (!need_room(c, &c->score, &c->room_score, 2 * rows + n_rows * part_bytes, "sums of logits", e)) return false;
    *m = (score_memory){ .in = c->score, .out = (char *)c->score + rows, .parts = (char *)c->score + 2 * rows };
    return true;
}

bool op_row_stats(backend *b, row_stats *out, const float *x, int n_rows, int64_t n, const int32_t *next, err *e)
{
    cuda_backend *c = (cuda_backend *)b;
    score_memory m;
    return need_score(c, n_rows, spans_of_row(n) * (int64_t)sizeof(span_stats), &m, e) &&
           gpu_upload(c->g, m.in, next, n_rows * (int64_t)sizeof *next, e) &&
           cuda_row_stats(&c->ctx, (row_stats *)(void *)m.out, (span_stats *)(void *)m.parts, x, n_rows, n,
                          (const int32_t *)(void *)m.in, e) &&
           b->ops->download(b, out, m.out, n_rows * (int64_t)sizeof *out, e);
}

// How many rows of row_bytes are on the device at a time.
static bool need_kept(cuda_backend *c, int n_rows, int64_t row_bytes, int *rows, err *e)
{
    const int64_t fit = KEPT_BYTES / row_bytes;
    *rows = fit < 1 ? 1 : fit < n_rows ? (int)fit : n_rows;
    return need_room(c, &c->kept, &c->room_kept, *rows * row_bytes, "kept logits", e);
}

// The reference in host memory, some rows at a time.
static bool kl_of_kept(cuda_backend *c, const score_memory *m, const float *x, int n_rows, int64_t n,
                       const row_reference *ref, err *e)
{
    const int64_t each = (int64_t)sizeof(float) + (ref->ids ? (int64_t)sizeof(int32_t) : 0);
    int rows = 0;
    if (!need_kept(c, n_rows, ref->kept * each, &rows, e)) return false;
    for (int r = 0; r < n_rows; r += rows) {
        const int here = n_rows - r < rows ? n_rows - r : rows;
        const int64_t cells = here * ref->kept, at = r * ref->kept;
        float *logits = c->kept;
        int32_t *ids = ref->ids ? (int32_t *)(void *)(logits + cells) : NULL;
        if (!gpu_upload_large(c->g, logits, ref->logits + at, cells * (int64_t)sizeof *logits, e) ||
            (ids && !gpu_upload_large(c->g, ids, ref->ids + at, cells * (int64_t)sizeof *ids, e)) ||
            !cuda_row_kl(&c->ctx, (double *)(void *)m->out + r,
                         (span_kl *)(void *)m->parts + r * spans_of_row(ref->kept), x + r * n,
                         (const kl_row *)(void *)m->in + r, here, n, logits, ids, ref->kept, e))
            return false;
    }
    return true;
}

bool op_row_kl(backend *b, double *kl, const float *x, const row_stats *stats, int n_rows, int64_t n,
               const row_reference *ref, err *e)
{
    cuda_backend *c = (cuda_backend *)b;
    score_memory m;
    kl_row *rows = calloc((size_t)n_rows + 1, sizeof *rows);
    bool ok = (rows || err_nomem(e, "sums of logits", (size_t)n_rows * sizeof *rows)) &&
              need_score(c, n_rows, spans_of_row(ref->kept) * (int64_t)sizeof(span_kl), &m, e);
    for (int r = 0; ok && r < n_rows; r++)
        rows[r] = (kl_row){ .lse_ref = ref->stats[r].lse,
                            .lse = stats[r].lse,
                            .live = ref->stats[r].finite && stats[r].finite };
    ok = ok && gpu_upload(c->g, m.in, rows, n_rows * (int64_t)sizeof *rows, e);
    if (ok && ref->on_backend)
        ok = cuda_row_kl(&c->ctx, (double *)(void *)m.out, (span_kl *)(void *)m.parts, x, (const kl_row *)(void *)m.in,
                         n_rows, n, ref->logits, NULL, n, e);
    else if (ok)
        ok = kl_of_kept(c, &m, x, n_rows, n, ref, e);
    free(rows);
    return ok && b->ops->download(b, kl, m.out, n_rows * (int64_t)sizeof *kl, e);
}

bool op_row_top(backend *b, int32_t *ids, float *logits, const float *x, int n_rows, int64_t n, int64_t k, err *e)
{
    cuda_backend *c = (cuda_backend *)b;
    int rows = 0;
    if (!need_kept(c, n_rows, k * (int64_t)(sizeof *logits + sizeof *ids), &rows, e)) return false;
    for (int r = 0; r < n_rows; r += rows) {
        const int here = n_rows - r < rows ? n_rows - r : rows;
        float *some = c->kept;
        int32_t *whose = (int32_t *)(void *)(some + here * k);
        if (!cuda_row_top(&c->ctx, whose, some, x + r * n, here, n, k, e) ||
            !b->ops->download(b, logits + r * k, some, here * k * (int64_t)sizeof *some, e) ||
            !b->ops->download(b, ids + r * k, whose, here * k * (int64_t)sizeof *whose, e))
            return false;
    }
    return true;
}
