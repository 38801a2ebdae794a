#include "tensor_writer.h"
#include "../formats/checked.h"
#include "../formats/threads.h"
#include "codec.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_WEIGHTS    = 1 << 18,         // of a tensor that is encoded: 1 MB of F32; a multiple of every block
    PIECE_COPY_BYTES = 1 << 20,         // of a tensor that is copied: no buffer, so larger
    WRITE_BYTES      = 1 << 18,         // one write: from about 1 MB on, Linux takes far longer for each byte (ext4, large folios)
    ROWS_AT_ONCE     = 16,              // in effort's widest lanes
    BUFS_PER_THREAD  = 3,               // encoded pieces: one being filled, one waiting for its turn to be hashed, one to spare
    SLOTS            = 128,             // pieces between the first that is not hashed and the last that is begun: several tensors', so that
                                        // two of them are hashed side by side. Copied ones need no memory
};

// ---- the work: tensors cut into pieces, in file order --------------------------------------------------------------------

typedef struct {
    const gguf_tensor   *dst;
    const tensor_source *src;
    const codec         *to, *from;
    bool                 copied;        // bytes stay as they are
    int64_t              cols, rows_per_matrix;
    int64_t              first_piece, n_pieces;
    int64_t              piece_weights; // whole rows, or where a row is longer than a piece, a part of one row
    int64_t              pieces_per_row;// 1 where pieces are whole rows
    int64_t              hashed;        // pieces added to the digest so far
    bool                 hash_busy;     // a thread is adding one
    sha256              *digest;        // NULL until the first piece
} job;

typedef enum { SLOT_FREE, SLOT_FILLING, SLOT_WRITTEN, SLOT_HASHING } slot_state;
typedef struct {
    slot_state     state;
    int64_t        job, piece;          // piece within its tensor
    uint8_t       *buf;                 // owned; NULL where nothing is encoded
    const uint8_t *bytes;               // what to hash: buf, or the source's mapping
    int64_t        n_bytes;
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

// Source type and shape of tensor i; how it is cut.
static bool job_init(job *j, const gguf_tensor *dst, const tensor_source *src, err *e)
{
    const dtype_info *to = dtype_find(dst->type);
    j->dst  = dst;
    j->src  = src;
    j->to   = codec_find(dst->type);
    j->from = codec_find(src->type);
    j->cols = dst->n_dims > 0 ? dst->shape[dst->n_dims - 1] : 1;
    j->rows_per_matrix = dst->n_dims > 1 ? dst->shape[dst->n_dims - 2] : 1;
    j->copied = src->type == dst->type && src->add == 0;
    if (!to || (!j->copied && (!j->to || !j->from)))
        return err_set(e, ERR_INPUT, "%s: found type %s, which cannot become %s", src->where, dtype_name(src->type), dtype_name(dst->type));
    if (!j->copied && j->cols % dtype_find(src->type)->block_weights != 0)
        return err_set(e, ERR_INPUT, "%s: found rows of %lld, expected a multiple of %d", src->where, (long long)j->cols,
                       dtype_find(src->type)->block_weights);
    const int64_t most = j->copied ? PIECE_COPY_BYTES / to->block_bytes * to->block_weights : PIECE_WEIGHTS;
    if (j->copied || to->block_weights == 1) {     // rows do not matter: the tensor is one long row
        j->piece_weights = most;
        j->pieces_per_row = 1;
        j->n_pieces = dst->n_elems / most + (dst->n_elems % most != 0);
    } else if (j->cols <= most || src->importance || src->feedback) {      // an importance search and feedback look at the whole row
        const bool lanes = src->effort > 0 || src->feedback;               // whole groups of rows, so that no lane idles
        const int64_t n_rows = dst->n_elems / j->cols;
        int64_t rows = j->cols <= most ? most / j->cols : 1;
        if (lanes) rows = rows < ROWS_AT_ONCE ? ROWS_AT_ONCE : rows / ROWS_AT_ONCE * ROWS_AT_ONCE;
        j->piece_weights = rows * j->cols;
        j->pieces_per_row = 1;
        j->n_pieces = n_rows / rows + (n_rows % rows != 0);
    } else {
        j->piece_weights = most;
        j->pieces_per_row = j->cols / most + (j->cols % most != 0);
        j->n_pieces = dst->n_elems / j->cols * j->pieces_per_row;
    }
    return true;
}

// The weights of piece k: [*first, *first + result).
static int64_t piece_range(const job *j, int64_t k, int64_t *first)
{
    int64_t end = j->dst->n_elems;
    if (j->pieces_per_row > 1) {
        const int64_t row = k / j->pieces_per_row;
        *first = row * j->cols + k % j->pieces_per_row * j->piece_weights;
        end    = (row + 1) * j->cols;
    } else {
        *first = k * j->piece_weights;
    }
    return end - *first < j->piece_weights ? end - *first : j->piece_weights;
}

static int64_t bytes_of(dtype t, int64_t weights)
{
    const dtype_info *i = dtype_find(t);
    return weights / i->block_weights * i->block_bytes;
}

// ---- one piece -----------------------------------------------------------------------------------------------------------

typedef struct { float *f32; uint8_t *aligned; int64_t weights; } scratch;      // of one thread

// What the element type wants: structs of uint16_t and uint8_t, or floats.
static bool is_aligned(const void *p, dtype t) { return (uintptr_t)p % (t == DT_F32 ? sizeof(float) : sizeof(uint16_t)) == 0; }

static bool scratch_fit(scratch *s, int64_t weights, err *e)
{
    if (s->weights >= weights) return true;
    free(s->f32);
    free(s->aligned);
    const size_t n = (size_t)weights * sizeof(float);           // no type takes more bytes a weight than F32
    s->f32     = malloc(n);
    s->aligned = malloc(n);
    s->weights = s->f32 && s->aligned ? weights : 0;
    return s->weights ? true : err_nomem(e, "conversion buffers", 2 * n);
}

// n weights of the source from weight `first` on, as F32: in the scratch, or where they lie.
static const float *source_f32(const job *j, int64_t first, int64_t n, scratch *s)
{
    const uint8_t *from = j->src->data + bytes_of(j->src->type, first);
    if (!is_aligned(from, j->src->type)) {
        memcpy(s->aligned, from, (size_t)bytes_of(j->src->type, n));
        from = s->aligned;
    }
    if (j->src->type == DT_F32 && j->src->add == 0) return (const float *)(const void *)from;
    j->from->decode_row(s->f32, from, n);
    if (j->src->add != 0)
        for (int64_t i = 0; i < n; i++) s->f32[i] += j->src->add;
    return s->f32;
}

// The importance of row `row`, and up to which row it stays the same.
static const float *importance_of(const job *j, int64_t row, int64_t *end)
{
    const bool experts = j->src->importance && j->dst->n_dims > 2;
    const int64_t matrix = experts ? row / j->rows_per_matrix : 0;
    *end = experts ? (matrix + 1) * j->rows_per_matrix : INT64_MAX;
    return j->src->importance ? j->src->importance + matrix * j->cols : NULL;
}

// By the device where there is one that can, else as effort_encode_rows.
static bool encode_blocks(const job *j, uint8_t *dst, const float *x, int64_t n_rows, int64_t n_cols, const float *importance, int64_t *bad, err *e)
{
    const tensor_source *s = j->src;
    if (s->encoder && s->effort == 0 && !s->feedback) {
        const encoder_answer a = s->encoder->encode_rows(s->encoder, j->dst->type, dst, x, n_rows, n_cols, importance, e);
        *bad = 0;
        if (a != ENCODER_NOT_HERE) return a == ENCODER_DONE;
    }
    return effort_encode_rows(j->dst->type, s->effort, dst, x, n_rows, n_cols, importance, s->feedback, bad, e);
}

// Whole rows, n_rows of them from `row` on.
static bool encode_rows(const job *j, int64_t row, int64_t n_rows, const float *x, uint8_t *dst, err *e)
{
    err why = { 0 };
    for (int64_t end, bad, n, done = 0; done < n_rows; done += n) {
        const float *importance = importance_of(j, row + done, &end);
        n = end - (row + done) < n_rows - done ? end - (row + done) : n_rows - done;
        if (encode_blocks(j, dst + bytes_of(j->dst->type, done * j->cols), x + done * j->cols, n, j->cols, importance, &bad, &why)) continue;
        if (why.kind == ERR_SYSTEM) return err_set(e, why.kind, "%s: %s", j->src->where, why.msg);       // no fault of the row
        return err_set(e, why.kind, "%s: row %lld: %s", j->src->where, (long long)(row + done + bad), why.msg);
    }
    return true;
}

// A piece of a plain type need not begin at a row's beginning. It is encoded at once, and only after a failure row by row, to name the place.
static bool encode_plain(const job *j, int64_t first, int64_t n, const float *x, uint8_t *dst, err *e)
{
    err why = { 0 };
    int64_t bad;
    if (codec_encode_rows(j->to, dst, x, 1, n, NULL, &bad, &why)) return true;
    for (int64_t step, i = 0; i < n; i += step) {
        const int64_t row = (first + i) / j->cols, col = (first + i) % j->cols;
        err here = { 0 };
        step = n - i < j->cols - col ? n - i : j->cols - col;
        if (codec_encode_rows(j->to, dst, x + i, 1, step, NULL, &bad, &here)) continue;
        if (col == 0) return err_set(e, here.kind, "%s: row %lld: %s", j->src->where, (long long)row, here.msg);
        return err_set(e, here.kind, "%s: row %lld: from column %lld on: %s", j->src->where, (long long)row, (long long)col, here.msg);
    }
    return err_set(e, why.kind, "%s: %s", j->src->where, why.msg);
}

static bool encode_piece(const job *j, int64_t first, int64_t n, uint8_t *dst, scratch *s, err *e)
{
    err why = { 0 };
    int64_t bad;
    if (!scratch_fit(s, n, e)) return false;
    const float *x = source_f32(j, first, n, s);
    if (dtype_find(j->dst->type)->block_weights == 1) return encode_plain(j, first, n, x, dst, e);
    if (j->pieces_per_row == 1) return encode_rows(j, first / j->cols, n / j->cols, x, dst, e);
    if (encode_blocks(j, dst, x, 1, n, NULL, &bad, &why)) return true;
    if (why.kind == ERR_SYSTEM) return err_set(e, why.kind, "%s: %s", j->src->where, why.msg);
    return err_set(e, why.kind, "%s: row %lld: from column %lld on: %s", j->src->where, (long long)(first / j->cols),
                   (long long)(first % j->cols), why.msg);
}

static bool write_bytes(outfile *f, int64_t at, const uint8_t *bytes, int64_t n, err *e)
{
    for (int64_t i = 0; i < n; i += WRITE_BYTES)
        if (!outfile_write_at(f, at + i, bytes + i, n - i < WRITE_BYTES ? n - i : WRITE_BYTES, e)) return false;
    return true;
}

// ERR_VERDICT naming the first block that is not the artifact's.
static bool compare_piece(const job *j, const char *path, int64_t first, const uint8_t *bytes, int64_t n, err *e)
{
    const dtype_info *t = dtype_find(j->dst->type);
    const uint8_t *found = j->dst->data + bytes_of(j->dst->type, first);
    if (memcmp(found, bytes, (size_t)n) == 0) return true;
    int64_t at = 0;
    while (found[at] == bytes[at]) at++;
    const int64_t weight = first + at / t->block_bytes * t->block_weights;
    return err_set(e, ERR_VERDICT, "%s: tensor '%s': row %lld, block %lld (%s): not what %s gives", path, j->dst->name,
                   (long long)(weight / j->cols), (long long)(weight % j->cols / t->block_weights), t->name, j->src->where);
}

// Encodes or copies one piece to its place in the file, and leaves in the slot what is to be hashed.
static bool fill_slot(writer *w, slot *s, scratch *scr, err *e)
{
    const job *j = &w->jobs[s->job];
    int64_t first;
    const int64_t n = piece_range(j, s->piece, &first);
    const int64_t at = j->dst->off + bytes_of(j->dst->type, first);
    s->n_bytes = bytes_of(j->dst->type, n);
    if (j->copied) {
        const int64_t from = bytes_of(j->dst->type, first);
        s->bytes = j->src->data + from;
        if (w->art) return compare_piece(j, gguf_path(w->art), first, s->bytes, s->n_bytes, e);
        if (j->src->fd < 0) return write_bytes(w->out, at, s->bytes, s->n_bytes, e);
        return outfile_copy_at(w->out, at, j->src->fd, j->src->off + from, s->n_bytes, e);
    }
    if (!s->buf) return err_nomem(e, "a tensor's bytes", (size_t)w->buf_bytes);
    s->bytes = s->buf;
    if (!encode_piece(j, first, n, s->buf, scr, e)) return false;
    if (w->art) return compare_piece(j, gguf_path(w->art), first, s->buf, s->n_bytes, e);
    return write_bytes(w->out, at, s->buf, s->n_bytes, e);
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
    if (s->piece + 1 < j->n_pieces) return true;
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

// ---- the threads ---------------------------------------------------------------------------------------------------------

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

// The next piece of the file if the ring has room, or NULL. Takes it. One copy at a time: the kernel lets only one thread write to
// a file, and another would wait for it spinning, on a core that could be taking digests.
static slot *take_piece(writer *w)
{
    if (w->next_piece >= w->n_pieces || w->next_piece >= w->oldest + w->n_slots) return NULL;
    while (w->next_piece >= w->jobs[w->next_job].first_piece + w->jobs[w->next_job].n_pieces) w->next_job++;
    const bool copied = w->jobs[w->next_job].copied, copy = copied && !w->art;
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
    return w->aside && digest_queue_waits(w->aside) && (digest_queue_share(w->aside) + by) * (double)w->n_pieces < (double)w->oldest;
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
    if (ok) progress_add(w->pr, w->jobs[s->job].dst->name, s->n_bytes);
    if (ok && other) progress_add(w->pr, w->jobs[other->job].dst->name, other->n_bytes);
    pthread_mutex_lock(&w->lock);
    hash_ends(w, s, ok, &e);
    if (other) hash_ends(w, other, ok, &e);
    while (w->oldest < w->next_piece && slot_at(w, w->oldest)->state == SLOT_FREE) w->oldest++;
}

static void do_fill(writer *w, slot *s, scratch *scr)
{
    err e = { 0 };
    pthread_mutex_unlock(&w->lock);
    const bool ok = fill_slot(w, s, scr, &e);
    pthread_mutex_lock(&w->lock);
    if (w->jobs[s->job].copied) w->copying = false;
    s->state = SLOT_WRITTEN;
    if (!ok) record_failure(w, s, &e);
}

// Called and returns with the lock held; true: it was not held meanwhile, so whoever has looked for work must look again before waiting.
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
    scratch scr = { 0 };
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
    free(scr.f32);
    free(scr.aligned);
}

static bool plan_work(writer *w, const tensor_source *src, err *e)
{
    w->n_jobs = w->art ? gguf_n_tensors(w->art) : gguf_plan_n_tensors(w->plan);
    w->jobs   = calloc((size_t)(w->n_jobs > 0 ? w->n_jobs : 1), sizeof *w->jobs);
    if (!w->jobs) return err_nomem(e, "the list of tensors", (size_t)w->n_jobs * sizeof *w->jobs);
    for (int64_t i = 0; i < w->n_jobs; i++) {
        job *j = &w->jobs[i];
        const gguf_tensor *dst = w->art ? gguf_tensor_at(w->art, i) : gguf_plan_tensor_at(w->plan, i);
        if (!job_init(j, dst, &src[i], e)) return false;
        j->first_piece = w->n_pieces;
        if (!add_i64(w->n_pieces, j->n_pieces, &w->n_pieces)) return err_set(e, ERR_INPUT, "%s: too large", src[i].where);
        const int64_t need = j->copied ? 0 : bytes_of(j->dst->type, j->piece_weights);
        if (need > w->buf_bytes) w->buf_bytes = need;
    }
    w->failed_piece = w->n_pieces;
    return true;
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
