#include "tensor_writer.h"
#include "../formats/checked.h"
#include "../formats/threads.h"
#include "tensor_piece.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    // one write: from about 1 MB on, Linux takes far longer for each byte (ext4, large folios)
    WRITE_BYTES      = 1 << 18,
    BUFS_PER_THREAD  = 3,    // encoded pieces: one being filled, one waiting for its turn to be hashed, one to spare
    // pieces between the first that is not hashed and the last that is begun: several tensors', so that two of them are
    // hashed side by side. Copied ones need no memory
    SLOTS            = 128,
};

// ---- the pieces under way ------------------------------------------------------------------------------------------

typedef struct {
    tensor_job t;
    int64_t    first_piece;     // of all the file's
    int64_t    hashed;          // pieces added to the digest so far
    bool       hash_busy;       // a thread is adding one
    sha256    *digest;          // NULL until the first piece
    piece_bad  bad;             // what is no number and goes into the file all the same
} job;

typedef enum { SLOT_FREE, SLOT_FILLING, SLOT_WRITTEN, SLOT_HASHING } slot_state;
typedef struct {
    slot_state     state;
    int64_t        job, piece;          // piece within its tensor
    uint8_t       *buf;                 // owned; NULL where nothing is encoded
    const uint8_t *bytes;               // what to hash: buf, or the source's mapping
    int64_t        n_bytes;
    piece_bad      bad;
} slot;

typedef struct {
    const gguf_plan *plan;
    outfile         *out;
    const gguf      *art;               // instead of plan and out: compare with this file, write and hash nothing
    job             *jobs;
    int64_t          n_jobs, n_pieces, buf_bytes;
    slot            *ring;              // pieces [oldest, next_piece) live in slots by piece % n_slots
    int64_t          n_slots;
    char           (*digests)[SHA256_HEX + 1];
    digest_queue    *aside;             // digests of other files, or NULL
    progress        *pr;
    // Below: under lock.
    pthread_mutex_t  lock;
    pthread_cond_t   changed;
    int64_t          next_piece, next_job, oldest;
    bool             copying;           // a thread is copying a piece into the file
    uint8_t        **spare;             // buffers that no slot has: n_spare, and n_bufs - n_spare are in slots
    int64_t          n_spare, n_bufs, max_bufs;
    int64_t          failed_piece;      // n_pieces: none. Of several failures the one earliest in the file is reported,
    err              failure;           // so that the message does not depend on the threads
} writer;

static bool write_bytes(outfile *f, int64_t at, const uint8_t *bytes, int64_t n, err *e)
{
    for (int64_t i = 0; i < n; i += WRITE_BYTES)
        if (!outfile_write_at(f, at + i, bytes + i, n - i < WRITE_BYTES ? n - i : WRITE_BYTES, e)) return false;
    return true;
}

// Puts n weights from `first` on, whose bytes these are, to their place in the file.
static bool put_bytes(writer *w, const tensor_job *t, int64_t first, int64_t n, const uint8_t *bytes, err *e)
{
    const int64_t off = piece_bytes(t->dst->type, first), at = t->dst->off + off;
    const int64_t n_bytes = piece_bytes(t->dst->type, n);
    if (!t->copied || t->src->fd < 0) return write_bytes(w->out, at, bytes, n_bytes, e);
    return outfile_copy_at(w->out, at, t->src->fd, t->src->off + off, n_bytes, e);
}

// Puts and checks the slot's piece, step by step: the check then reads from the nearest cache what was just copied.
static bool put_piece(writer *w, const tensor_job *t, slot *s, int64_t first, int64_t n, piece_scratch *scr, err *e)
{
    const dtype_info *d = dtype_find(t->dst->type);
    const int64_t most = WRITE_BYTES / d->block_bytes * d->block_weights;
    for (int64_t step, i = 0; i < n; i += step) {
        const uint8_t *bytes = s->bytes + piece_bytes(t->dst->type, i);
        step = n - i < most ? n - i : most;
        if (!put_bytes(w, t, first + i, step, bytes, e)) return false;
        if (!piece_check(t, first + i, step, bytes, scr, &s->bad, e)) return false;
    }
    return true;
}

// Encodes or copies one piece to its place in the file, and leaves in the slot what is to be hashed.
static bool fill_slot(writer *w, slot *s, piece_scratch *scr, err *e)
{
    const tensor_job *t = &w->jobs[s->job].t;
    int64_t first;
    const int64_t n = tensor_job_piece(t, s->piece, &first);
    s->n_bytes = piece_bytes(t->dst->type, n);
    s->bytes   = t->copied ? t->src->data + piece_bytes(t->dst->type, first) : s->buf;
    if (!s->bytes) return err_nomem(e, "a tensor's bytes", (size_t)w->buf_bytes);
    if (!t->copied && !piece_encode(t, first, n, s->buf, scr, e)) return false;
    if (w->art) return piece_compare(t, gguf_path(w->art), first, s->bytes, s->n_bytes, e);
    return put_piece(w, t, s, first, n, scr, e);
}

// The running digest of the slot's tensor.
static bool begin_digest(writer *w, const slot *s, err *e)
{
    job *j = &w->jobs[s->job];
    return j->digest || (j->digest = sha256_new(e)) != NULL;
}

static bool end_digest(writer *w, const slot *s, err *e)
{
    job *j = &w->jobs[s->job];
    if (s->piece + 1 < j->t.n_pieces) return true;
    sha256 *d = j->digest;
    j->digest = NULL;                                           // sha256_end frees it
    return sha256_end(d, w->digests[s->job], e);
}

// Or beside what waits aside.
static bool hash_alone(writer *w, sha256 *d, const uint8_t *bytes, int64_t n, err *e)
{
    return w->aside ? digest_queue_beside(w->aside, d, bytes, n, e) : sha256_add(d, bytes, n, e);
}

// Adds one piece to its tensor's digest; beside it another tensor's (may be NULL).
static bool hash_slots(writer *w, const slot *a, const slot *b, err *e)
{
    if (w->art) return true;
    if (!begin_digest(w, a, e) || (b && !begin_digest(w, b, e))) return false;
    sha256 *d = w->jobs[a->job].digest;
    bool ok;
    if (b) {        // the longer one's rest alone
        sha256 *o = w->jobs[b->job].digest;
        const int64_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
        ok = sha256_add_two(d, a->bytes, n, o, b->bytes, n, e) && hash_alone(w, d, a->bytes + n, a->n_bytes - n, e) &&
             hash_alone(w, o, b->bytes + n, b->n_bytes - n, e);
    } else {
        ok = hash_alone(w, d, a->bytes, a->n_bytes, e);
    }
    return ok && end_digest(w, a, e) && (!b || end_digest(w, b, e));
}

// ---- the threads ---------------------------------------------------------------------------------------------------

static slot *slot_at(writer *w, int64_t piece) { return &w->ring[piece % w->n_slots]; }

// The first written piece that is next in its tensor's digest, or NULL.
static slot *next_to_hash(writer *w)
{
    for (int64_t k = w->oldest; k < w->next_piece; k++) {
        slot *s = slot_at(w, k);
        const job *j = &w->jobs[s->job];
        if (s->state == SLOT_WRITTEN && !j->hash_busy && j->hashed == s->piece) return s;
    }
    return NULL;
}

// The next piece of the file if the ring has room, or NULL. Takes it. One copy at a time: the kernel lets only one
// thread write to a file, and another would wait for it spinning, on a core that could be taking digests.
static slot *take_piece(writer *w)
{
    if (w->next_piece >= w->n_pieces || w->next_piece >= w->oldest + w->n_slots) return NULL;
    while (w->next_piece >= w->jobs[w->next_job].first_piece + w->jobs[w->next_job].t.n_pieces) w->next_job++;
    const bool copied = w->jobs[w->next_job].t.copied, copy = copied && !w->art;
    if ((copy && w->copying) || (!copied && w->n_spare == 0 && w->n_bufs == w->max_bufs)) return NULL;
    w->copying |= copy;
    slot *s  = slot_at(w, w->next_piece);
    if (!copied && w->n_spare > 0) {
        s->buf = w->spare[--w->n_spare];
    } else if (!copied) {
        s->buf = malloc((size_t)w->buf_bytes);      // fill_slot says if there is none
        if (s->buf) w->n_bufs++;
    }
    s->state = SLOT_FILLING;
    s->job   = w->next_job;
    s->piece = w->next_piece - w->jobs[w->next_job].first_piece;
    w->next_piece++;
    return s;
}

static void record_failure(writer *w, const slot *s, const err *e)
{
    const int64_t piece = w->jobs[s->job].first_piece + s->piece;
    if (piece >= w->failed_piece) return;
    w->failed_piece = piece;
    w->failure      = *e;
}

static void hash_begins(writer *w, slot *s)
{
    w->jobs[s->job].hash_busy = true;
    s->state = SLOT_HASHING;
}

static void hash_ends(writer *w, slot *s, bool ok, const err *e)
{
    job *j = &w->jobs[s->job];
    j->hash_busy = false;
    j->hashed++;
    s->state = SLOT_FREE;
    if (s->buf) w->spare[w->n_spare++] = s->buf;
    s->buf = NULL;
    if (!ok) record_failure(w, s, e);
}

// Other files' digests keep pace with the pieces: at the end their serial rest would hold everybody up.
static bool aside_is_behind(writer *w, double by)
{
    return w->aside && digest_queue_waits(w->aside) &&
           (digest_queue_share(w->aside) + by) * (double)w->n_pieces < (double)w->oldest;
}

// Called and returns with the lock held.
static void do_hash(writer *w, slot *s)
{
    err e = { 0 };
    hash_begins(w, s);
    slot *other = w->art || aside_is_behind(w, 0) ? NULL : next_to_hash(w);
    if (other) hash_begins(w, other);
    pthread_mutex_unlock(&w->lock);
    const bool ok = hash_slots(w, s, other, &e);
    if (ok) progress_add(w->pr, w->jobs[s->job].t.dst->name, s->n_bytes);
    if (ok && other) progress_add(w->pr, w->jobs[other->job].t.dst->name, other->n_bytes);
    pthread_mutex_lock(&w->lock);
    hash_ends(w, s, ok, &e);
    if (other) hash_ends(w, other, ok, &e);
    while (w->oldest < w->next_piece && slot_at(w, w->oldest)->state == SLOT_FREE) w->oldest++;
}

static void do_fill(writer *w, slot *s, piece_scratch *scr)
{
    err e = { 0 };
    s->bad = (piece_bad){ 0 };
    pthread_mutex_unlock(&w->lock);
    const bool ok = fill_slot(w, s, scr, &e);
    pthread_mutex_lock(&w->lock);
    if (w->jobs[s->job].t.copied) w->copying = false;
    piece_bad_add(&w->jobs[s->job].bad, &s->bad);
    s->state = SLOT_WRITTEN;
    if (!ok) record_failure(w, s, &e);
}

// Called and returns with the lock held; true: it was not held meanwhile, so whoever has looked for work must look
// again before waiting.
static bool step_aside(writer *w)
{
    if (!w->aside || !digest_queue_waits(w->aside)) return false;
    pthread_mutex_unlock(&w->lock);
    digest_queue_step(w->aside);
    pthread_mutex_lock(&w->lock);
    return true;
}

static void work(writer *w)
{
    piece_scratch scr = { 0 };
    pthread_mutex_lock(&w->lock);
    while (w->oldest < w->n_pieces && w->failed_piece == w->n_pieces) {
        slot *s;
        if (aside_is_behind(w, 0.01) && step_aside(w)) continue;
        if ((s = next_to_hash(w)))    do_hash(w, s);
        else if ((s = take_piece(w))) do_fill(w, s, &scr);
        else if (step_aside(w)) continue;
        else { pthread_cond_wait(&w->changed, &w->lock); continue; }
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    piece_scratch_free(&scr);
}

static bool plan_work(writer *w, const tensor_source *src, err *e)
{
    w->n_jobs = w->art ? gguf_n_tensors(w->art) : gguf_plan_n_tensors(w->plan);
    w->jobs   = calloc((size_t)(w->n_jobs > 0 ? w->n_jobs : 1), sizeof *w->jobs);
    if (!w->jobs) return err_nomem(e, "the list of tensors", (size_t)w->n_jobs * sizeof *w->jobs);
    for (int64_t i = 0; i < w->n_jobs; i++) {
        job *j = &w->jobs[i];
        const gguf_tensor *dst = w->art ? gguf_tensor_at(w->art, i) : gguf_plan_tensor_at(w->plan, i);
        if (!tensor_job_init(&j->t, dst, &src[i], e)) return false;
        j->first_piece = w->n_pieces;
        if (!add_i64(w->n_pieces, j->t.n_pieces, &w->n_pieces))
            return err_set(e, ERR_INPUT, "%s: too large", src[i].where);
        const int64_t need = j->t.copied ? 0 : piece_bytes(dst->type, j->t.piece_weights);
        if (need > w->buf_bytes) w->buf_bytes = need;
    }
    w->failed_piece = w->n_pieces;
    return true;
}

// What is no number and was written all the same, tensor by tensor.
static void log_bad(const writer *w)
{
    for (int64_t i = 0; i < w->n_jobs; i++) {
        const job *j = &w->jobs[i];
        if (j->bad.n == 0) continue;
        progress_logf(w->pr,
                      "warning: %s: NaN or infinite values in the new file: %lld, the first in row %lld, column %lld",
                      j->t.src->where, (long long)j->bad.n, (long long)(j->bad.first / j->t.cols),
                      (long long)(j->bad.first % j->t.cols));
    }
}

// Runs the work of a writer whose ends are set.
static bool run_writer(writer *w, const tensor_source *src, int n_threads, err *e)
{
    const int threads = threads_or_cores(n_threads);
    bool ok = false;
    w->max_bufs = (int64_t)threads * BUFS_PER_THREAD;
    w->n_slots  = w->max_bufs > SLOTS ? w->max_bufs : SLOTS;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->ring  = calloc((size_t)w->n_slots, sizeof *w->ring);
    w->spare = calloc((size_t)w->max_bufs, sizeof *w->spare);
    if (!w->ring || !w->spare) { err_nomem(e, "the writer's slots", (size_t)w->n_slots * sizeof *w->ring); goto out; }
    if (!plan_work(w, src, e)) goto out;
#pragma omp parallel num_threads(threads)
    work(w);
    ok = w->failed_piece == w->n_pieces || err_set(e, w->failure.kind, "%s", w->failure.msg);
    if (ok) log_bad(w);
out:
    for (int64_t i = 0; w->jobs && i < w->n_jobs; i++) sha256_free(w->jobs[i].digest);
    for (int64_t i = 0; w->ring && i < w->n_slots; i++) free(w->ring[i].buf);
    for (int64_t i = 0; i < w->n_spare; i++) free(w->spare[i]);
    free(w->spare);
    free(w->ring);
    free(w->jobs);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return ok;
}

bool write_tensors(const gguf_plan *p, outfile *f, const tensor_source *src, int n_threads,
                   char (*digests)[SHA256_HEX + 1], digest_queue *aside, progress *pr, err *e)
{
    writer w = { .plan = p, .out = f, .digests = digests, .aside = aside, .pr = pr };
    return run_writer(&w, src, n_threads, e);
}

bool compare_tensors(const gguf *art, const tensor_source *src, int n_threads, progress *pr, err *e)
{
    writer w = { .art = art, .pr = pr };
    return run_writer(&w, src, n_threads, e);
}
