// async_on_host: see async_on_host.h.
#include "async_on_host.h"
#include "on_host.h"
#include <deque>
#include <stdio.h>
#include <stdlib.h>

namespace {

enum { MAX_THREADS = 1024, COPY_BYTES = 16 };

struct pending { void *dst; const void *src; unsigned group; };
struct copies {                             // of one thread
    std::deque<pending> under_way;
    unsigned            group = 0;          // the one that is not committed yet
    unsigned            started = 0;
} all[2][MAX_THREADS];                     // of the two blocks that may be under way, see grid.h

unsigned thread() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
copies  &mine() { return all[host_machine()][thread()]; }

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "kernel on the host: block (%u, %u, %u), thread %u: %s\n",
            blockIdx.x, blockIdx.y, blockIdx.z, thread(), what);
    abort();
}

}  // namespace

void host_copy_async(void *dst, const void *src)
{
    copies &c = mine();
    if ((uintptr_t)dst % COPY_BYTES || (uintptr_t)src % COPY_BYTES)
        die("an asynchronous copy that is not aligned to 16 bytes");
    if ((c.started++ + thread()) % 2) memcpy(dst, src, COPY_BYTES);
    else                              c.under_way.push_back({ dst, src, c.group });
}

void host_copies_commit() { mine().group++; }

void host_copies_wait(int n)
{
    copies &c = mine();
    while (!c.under_way.empty() && c.group - c.under_way.front().group > (unsigned)n) {
        memcpy(c.under_way.front().dst, c.under_way.front().src, COPY_BYTES);
        c.under_way.pop_front();
    }
}

void host_copies_end()
{
    copies &c = mine();
    if (!c.under_way.empty()) die("it returns, and copies that it started were never waited for");
    c.group = c.started = 0;
}
