// cuda_failing: the table of calls to the CUDA runtime with one that fails when it is used for the n-th time. What each
// call is, is in device/cuda_calls.h. For tests on the processor only.
#ifndef HALLMARK_TESTS_CUDA_FAILING_H
#define HALLMARK_TESTS_CUDA_FAILING_H

#include "device/host/calls_host.h"
#include <stdbool.h>
#include <string.h>

static struct { const char *call; int left, status; bool once; } fail;
static cuda_calls failing;
static int calls_seen;          // of the call that is to fail

static inline int fails(const char *call)
{
    if (!fail.call || strcmp(call, fail.call) != 0) return 0;
    calls_seen++;
    fail.left--;
    return fail.left == -1 || (fail.left < -1 && !fail.once) ? fail.status : 0;
}

static inline int failing_alloc(void **p, size_t n)
{
    const int f = fails("alloc");
    return f ? f : host_calls()->alloc(p, n);
}
static inline int failing_pinned(void **p, size_t n)
{
    const int f = fails("alloc_pinned");
    return f ? f : host_calls()->alloc_pinned(p, n);
}
static inline int failing_stream(void **s)
{
    const int f = fails("stream_open");
    return f ? f : host_calls()->stream_open(s);
}
static inline int failing_sync(void *s)
{
    const int f = fails("stream_sync");
    return f ? f : host_calls()->stream_sync(s);
}
static inline int failing_capture(void *s)
{
    const int f = fails("capture_begin");
    return f ? f : host_calls()->capture_begin(s);
}
static inline int failing_fill(void *d, int b, size_t n, void *s)
{
    const int f = fails("fill");
    return f ? f : host_calls()->fill(d, b, n, s);
}
static inline int failing_memory(size_t *a, size_t *b)
{
    const int f = fails("memory");
    return f ? f : host_calls()->memory(a, b);
}
static inline int failing_event(void **ev)
{
    const int f = fails("event_open");
    return f ? f : host_calls()->event_open(ev);
}
static inline int failing_note(void *ev, void *s)
{
    const int f = fails("event_record");
    return f ? f : host_calls()->event_record(ev, s);
}
static inline int failing_props(int d, gpu_props *p)
{
    const int f = fails("properties");
    return f ? f : host_calls()->properties(d, p);
}
static inline int failing_device(int d)
{
    const int f = fails("set_device");
    return f ? f : host_calls()->set_device(d);
}
static inline int failing_compiled(const void *k, int *c)
{
    const int f = fails("compiled_for");
    return f ? f : host_calls()->compiled_for(k, c);
}
static inline int failing_graph(void *g, void *s)
{
    const int f = fails("graph_launch");
    return f ? f : host_calls()->graph_launch(g, s);
}
static inline int failing_copy(void *d, const void *s, size_t n, int to, void *st)
{
    const int f = fails("copy");
    return f ? f : host_calls()->copy(d, s, n, to, st);
}
static inline int failing_launch(const void *k, gpu_dim g, gpu_dim b, void **a, size_t sh, bool over, void *s)
{
    const int f = fails("launch");
    return f ? f : host_calls()->launch(k, g, b, a, sh, over, s);
}

static inline int failing_end(void *s, void **graph)
{
    const int f = fails("capture_end");
    if (!f) return host_calls()->capture_end(s, graph);
    host_calls()->capture_end(s, graph);
    host_calls()->graph_free(*graph);
    *graph = NULL;
    return f;
}

// From now on `call` works nth times, and then fails with that status: once, or from then on. Counts its uses in
// calls_seen.
static inline void plant_failure(const char *call, int nth, int status, bool once)
{
    failing = *host_calls();
    fail.call = call;
    fail.left = nth;
    fail.status = status;
    fail.once = once;
    calls_seen = 0;
    failing.fill = failing_fill;
    failing.memory = failing_memory;
    failing.event_open = failing_event;
    failing.event_record = failing_note;
    failing.properties = failing_props;
    failing.set_device = failing_device;
    failing.compiled_for = failing_compiled;
    failing.alloc = failing_alloc;
    failing.alloc_pinned = failing_pinned;
    failing.stream_open = failing_stream;
    failing.stream_sync = failing_sync;
    failing.capture_begin = failing_capture;
    failing.capture_end = failing_end;
    failing.graph_launch = failing_graph;
    failing.copy = failing_copy;
    failing.launch = failing_launch;
    host_calls_use(&failing);
}

static inline void plant(const char *call, int nth, int status) { plant_failure(call, nth, status, false); }
static inline void unplant(void) { host_calls_use(NULL); fail.call = NULL; }

#endif
