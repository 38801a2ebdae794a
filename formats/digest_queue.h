// digest_queue: SHA-256 of many files and ranges, two at a time on each core (sha256_two.h), alone or beside other work
// that takes digests.
// A digest is serial; what is parallel is that there are many. Each is read 256 KB at a time, in order, by whichever
// thread is free.
// Files are read through a buffer: a mapping would count as resident memory, and reading where a file has become
// shorter raises SIGBUS. Who has one mapped all the same gives its bytes.
// Proved by tests/digest_test.c.
#ifndef HALLMARK_FORMATS_DIGEST_QUEUE_H
#define HALLMARK_FORMATS_DIGEST_QUEUE_H

#include "progress.h"
#include "sha256.h"

typedef struct digest_queue digest_queue;

// Room for n digests, which are then added in the order in which they are asked for below. pr (may be NULL) counts
// their bytes.
digest_queue *digest_queue_new(int64_t n, progress *pr, err *e);
void          digest_queue_free(digest_queue *q);       // NULL is allowed

// Strings and bytes are borrowed until the end. `item` is what progress names, `where` stands for the path in messages.
void digest_queue_add_file(digest_queue *q, const char *path, const char *item);    // to its end
// fd stays the caller's
void digest_queue_add_range(digest_queue *q, int fd, int64_t off, int64_t n, const char *item, const char *where);
void digest_queue_add_bytes(digest_queue *q, const void *src, int64_t n, const char *item);

// of all that was added, as far as their sizes are known before they are read
int64_t digest_queue_bytes(const digest_queue *q);

// Any number of threads may call these four at the same time, once all is added.
// Adds n bytes to s and, beside them, about as many of what waits in the queue.
bool   digest_queue_beside(digest_queue *q, sha256 *s, const void *src, int64_t n, err *e);
// reads a chunk of two that wait; false: none waits (others may be at work on some)
bool   digest_queue_step(digest_queue *q);
bool   digest_queue_waits(digest_queue *q);             // does one wait?
double digest_queue_share(digest_queue *q);    // of all bytes, those that are done: 0 to 1; 1 where there are none

// All that is left, on n_threads threads (0: all cores).
void digest_queue_run(digest_queue *q, int n_threads);

// After digest_queue_run: digest i, or what was wrong with it: ERR_INPUT naming `where` if it cannot be read, is no
// regular file or ends early.
bool digest_queue_get(const digest_queue *q, int64_t i, char hex[SHA256_HEX + 1], err *e);

#endif
