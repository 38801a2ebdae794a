#define _GNU_SOURCE
#include "digest_queue.h"
#include "checked.h"
#include "file_kind.h"
#include "threads.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 };      // two of them stay in a core's own cache between the copy from the kernel and the digest

typedef struct stream stream;
struct stream {
    const char    *item, *where;
    const char    *path;                // of a file that is opened when its turn comes
    const uint8_t *bytes;               // or NULL: fd
    int            fd;
    int64_t        off, n, done;        // n < 0: to the end of the file
    int64_t        expected;            // bytes, for the order and the share; a file may turn out otherwise
    sha256        *digest;              // owned, as is buf: from the first chunk to the last
    uint8_t       *buf;
    stream        *next;                // of those that wait
    char           hex[SHA256_HEX + 1];
    err           *failed;              // owned; NULL while nothing is wrong
    bool           no_memory;           // not even for `failed`
};

struct digest_queue {
    stream         *v;
    int64_t         n, cap;
    progress       *pr;
    int64_t         expected;
    pthread_mutex_t lock;
    // Below: under lock.
    bool            started;
    // the largest first, so that the last to be finished is small; those that are begun before others
    stream         *waiting;
    int64_t         done;
};

digest_queue *digest_queue_new(int64_t n, progress *pr, err *e)
{
    digest_queue *q = calloc(1, sizeof *q);
    if (q) q->v = calloc((size_t)(n > 0 ? n : 1), sizeof *q->v);
    if (!q || !q->v) {
        err_nomem(e, "the list of digests", (size_t)n * sizeof *q->v);
        free(q);
        return NULL;
    }
    q->cap = n;
    q->pr  = pr;
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

static void close_stream(stream *s)
{
    sha256_free(s->digest);
    free(s->buf);
    if (s->path && s->fd >= 0) close(s->fd);
    s->digest = NULL;
    s->buf    = NULL;
    if (s->path) s->fd = -1;
}

void digest_queue_free(digest_queue *q)
{
    if (!q) return;
    for (int64_t i = 0; i < q->n; i++) {
        close_stream(&q->v[i]);
        free(q->v[i].failed);
    }
    pthread_mutex_destroy(&q->lock);
    free(q->v);
    free(q);
}

static void add(digest_queue *q, stream s)
{
    assert(q->n < q->cap);      // no more than were asked for
    q->v[q->n++] = s;
    // of sparse files on a disk of that size
    if (!add_i64(q->expected, s.expected, &q->expected)) q->expected = INT64_MAX;
}

void digest_queue_add_file(digest_queue *q, const char *path, const char *item)
{
    struct stat st;     // reading will say what is wrong with it
    add(q, (stream){ .item = item,
                     .where = path,
                     .path = path,
                     .fd = -1,
                     .n = -1,
                     .expected = stat(path, &st) == 0 ? st.st_size : 0 });
}

void digest_queue_add_range(digest_queue *q, int fd, int64_t off, int64_t n, const char *item, const char *where)
{
    add(q, (stream){ .item = item, .where = where, .fd = fd, .off = off, .n = n, .expected = n });
}

void digest_queue_add_bytes(digest_queue *q, const void *src, int64_t n, const char *item)
{
    add(q, (stream){ .item = item, .where = item, .bytes = src, .fd = -1, .n = n, .expected = n });
}

// ---- one stream, by the thread that took it -------------------------------------------------------------------------

static bool open_file(stream *s, err *e)
{
    // O_NONBLOCK: opening a pipe that nobody writes must fail below, not wait.
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0) return err_errno(e, true, s->where, "open");
    struct stat st;
    if (fstat(s->fd, &st) != 0) return err_errno(e, true, s->where, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "%s: found %s, expected a regular file", s->where,
                       file_kind_of_mode(st.st_mode));
    posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return true;
}

static bool begin(stream *s, err *e)
{
    if (s->path && !open_file(s, e)) return false;
    if (!s->bytes) {
        const size_t n = s->n > 0 && s->n < CHUNK ? (size_t)s->n : CHUNK;
        s->buf = malloc(n);
        if (!s->buf) return err_nomem(e, "a read buffer", n);
    }
    return (s->digest = sha256_new(e)) != NULL;
}

// Its next bytes, at most `most`: *n of them at *at, 0 at the end.
static bool next_bytes(stream *s, int64_t most, const uint8_t **at, int64_t *n, err *e)
{
    if (!s->digest && !begin(s, e)) return false;
    if (s->n >= 0 && s->n - s->done < most) most = s->n - s->done;
    *at = s->bytes ? s->bytes + s->done : s->buf;
    *n  = most;
    if (s->bytes || most == 0) return true;
    ssize_t got;
    do got = pread(s->fd, s->buf, (size_t)most, s->off + s->done); while (got < 0 && errno == EINTR);
    if (got < 0) return err_errno(e, true, s->where, "read");
    if (got == 0 && s->n >= 0)
        return err_set(e, ERR_INPUT, "%s: offset %lld: found the end, expected %lld more bytes", s->where,
                       (long long)(s->off + s->done), (long long)(s->n - s->done));
    *n = got;
    return true;
}

static void fail(stream *s, const err *e)
{
    s->failed = malloc(sizeof *e);
    if (s->failed) *s->failed = *e;
    s->no_memory = !s->failed;
}

// ---- whose turn it is -----------------------------------------------------------------------------------------------

static int largest_first(const void *a, const void *b)
{
    const stream *const *x = a, *const *y = b;
    if ((*x)->expected != (*y)->expected) return (*x)->expected > (*y)->expected ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

// In the order of the list where there is no memory for a better one.
static void start(digest_queue *q)
{
    if (q->started) return;
    q->started = true;
    stream **order = malloc((size_t)(q->n > 0 ? q->n : 1) * sizeof *order);
    for (int64_t i = 0; order && i < q->n; i++) order[i] = &q->v[i];
    if (order) qsort(order, (size_t)q->n, sizeof *order, largest_first);
    for (int64_t i = q->n; i-- > 0;) {
        stream *s  = order ? order[i] : &q->v[i];
        s->next    = q->waiting;
        q->waiting = s;
    }
    free(order);
}

static stream *take(digest_queue *q)
{
    pthread_mutex_lock(&q->lock);
    start(q);
    stream *s = q->waiting;
    if (s) q->waiting = s->next;
    pthread_mutex_unlock(&q->lock);
    return s;
}

typedef struct { stream *s; const uint8_t *at; int64_t n; } chunk;     // n bytes of s to be added; s NULL: none

// The next chunk of a stream that waits. Streams that are at their end, or fail, are finished on the way.
static chunk take_chunk(digest_queue *q, int64_t most)
{
    chunk c;
    while ((c.s = take(q))) {
        err e = { 0 };
        bool ok = next_bytes(c.s, most, &c.at, &c.n, &e);
        if (ok && c.n > 0) return c;
        if (ok) {
            sha256 *d = c.s->digest;
            c.s->digest = NULL;         // sha256_end frees it
            ok = sha256_end(d, c.s->hex, &e);
        }
        if (!ok) fail(c.s, &e);
        close_stream(c.s);
    }
    return (chunk){ 0 };
}

// Its bytes are in its digest, or cannot be.
static void put_back(digest_queue *q, const chunk *c, bool ok, const err *e)
{
    if (ok) {
        c->s->done += c->n;
        progress_add(q->pr, c->s->item, c->n);
    } else {
        fail(c->s, e);
        close_stream(c->s);
    }
    pthread_mutex_lock(&q->lock);
    q->done += c->n;
    if (ok) {
        c->s->next = q->waiting;
        q->waiting = c->s;
    }
    pthread_mutex_unlock(&q->lock);
}

// Will s still be at work when `others` cores have done all the rest, two at a time? Then it should not share its core:
// beside another it is about a tenth slower.
static bool outlasts(digest_queue *q, const stream *s, int others)
{
    pthread_mutex_lock(&q->lock);
    const int64_t left = q->expected - q->done;
    pthread_mutex_unlock(&q->lock);
    const int64_t own = s->expected - s->done;
    return (double)(left - own) < (double)own * 2 * others;
}

// others: cores that are at work on the queue and nothing else.
static bool step(digest_queue *q, int others)
{
    err e = { 0 };
    const chunk a = take_chunk(q, CHUNK);
    if (!a.s) return false;
    const chunk b = others > 0 && outlasts(q, a.s, others) ? (chunk){ 0 } : take_chunk(q, CHUNK);
    const bool ok = b.s ? sha256_add_two(a.s->digest, a.at, a.n, b.s->digest, b.at, b.n, &e)
        : sha256_add(a.s->digest, a.at, a.n, &e);
    if (b.s) put_back(q, &b, ok, &e);
    put_back(q, &a, ok, &e);            // last, to be the next that is taken
    return true;
}

bool digest_queue_step(digest_queue *q) { return step(q, 0); }

bool digest_queue_beside(digest_queue *q, sha256 *s, const void *src, int64_t n, err *e)
{
    const uint8_t *p = src;
    while (n > 0) {
        const chunk c = take_chunk(q, n < CHUNK ? n : CHUNK);
        if (!c.s) return sha256_add(s, p, n, e);
        const bool ok = sha256_add_two(s, p, c.n, c.s->digest, c.at, c.n, e);
        put_back(q, &c, ok, e);
        if (!ok) return false;
        p += c.n;
        n -= c.n;
    }
    return true;
}

bool digest_queue_waits(digest_queue *q)
{
    pthread_mutex_lock(&q->lock);
    start(q);
    const bool waits = q->waiting != NULL;
    pthread_mutex_unlock(&q->lock);
    return waits;
}

int64_t digest_queue_bytes(const digest_queue *q) { return q->expected; }

double digest_queue_share(digest_queue *q)
{
    pthread_mutex_lock(&q->lock);
    const int64_t done = q->done;
    pthread_mutex_unlock(&q->lock);
    return done < q->expected ? (double)done / (double)q->expected : 1;
}

void digest_queue_run(digest_queue *q, int n_threads)
{
    // A thread that finds none has no more to do: there will never be more than now, and those who have them keep them.
    const int threads = threads_or_cores(n_threads), cores = threads < omp_get_num_procs() ? threads
        : omp_get_num_procs();
#pragma omp parallel num_threads(threads)
    while (step(q, cores - 1)) { }
}

bool digest_queue_get(const digest_queue *q, int64_t i, char hex[SHA256_HEX + 1], err *e)
{
    const stream *s = &q->v[i];
    if (s->failed) return err_set(e, s->failed->kind, "%s", s->failed->msg);
    if (s->no_memory) return err_nomem(e, "a digest", sizeof(err));
    for (int k = 0; k <= SHA256_HEX; k++) hex[k] = s->hex[k];
    return true;
}
