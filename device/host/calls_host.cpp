// calls_host: cuda_calls.h filled with a device that is the processor itself: memory is malloc'd (and poisoned), copies
// happen at once, launches overlap by one (grid.cpp), a recorded graph is a list of launches.
extern "C" {
#include "../cuda_calls.h"
}
#include "calls_host.h"
#include "grid.h"
#include <stdio.h>
#include <stdlib.h>
#include <vector>

namespace {

enum status { OK = 0, INVALID = 1, NO_MEMORY = 2, WRONG_STATE = 3 };
enum { MAX_SHARED = 227 << 10 };         // of a block, as on compute capability 9.0

struct host_stream { bool recording = false; std::vector<host_launch> log; };
struct host_graph  { std::vector<host_launch> log; };

int64_t live_allocations, memory_in_use;

int driver_version(int *v)   { *v = 13000; return OK; }
int runtime_version(int *v)  { *v = 13000; return OK; }
int device_count(int *n)     { *n = 1; return OK; }
int set_device(int device)   { return device == 0 ? OK : INVALID; }

int properties(int, gpu_props *p)
{
    *p = {};
    snprintf(p->name, sizeof p->name, "kernels on the host");
    p->major = 9;
    p->n_sm = 4;
    p->max_shared_bytes = MAX_SHARED;
    p->memory_bytes = HOST_DEVICE_BYTES;
    return OK;
}

int memory(size_t *free_bytes, size_t *total)
{
    *total = HOST_DEVICE_BYTES;
    *free_bytes = (size_t)(HOST_DEVICE_BYTES - memory_in_use);
    return OK;
}

// 64 bytes before the block keep its size.
int alloc(void **p, size_t n)
{
    if ((int64_t)n > HOST_DEVICE_BYTES - memory_in_use) return NO_MEMORY;
    uint8_t *raw = (uint8_t *)aligned_alloc(256, (n + 256 + 255) / 256 * 256);
    if (!raw) return NO_MEMORY;
    memset(raw, 0xff, n + 256);
    memcpy(raw, &n, sizeof n);
    *p = raw + 256;
    live_allocations++;
    memory_in_use += (int64_t)n;
    return OK;
}

int release(void *p)
{
    size_t n;
    host_drain();                       // as the toolkit's: what runs may still use it
    memcpy(&n, (uint8_t *)p - 256, sizeof n);
    live_allocations--;
    memory_in_use -= (int64_t)n;
    free((uint8_t *)p - 256);
    return OK;
}

int alloc_pinned(void **p, size_t n)
{
    *p = malloc(n);
    live_allocations += *p != nullptr;
    return *p ? OK : NO_MEMORY;
}

int release_pinned(void *p) { live_allocations--; free(p); return OK; }

int copy(void *dst, const void *src, size_t n, int, void *stream)
{
    if (((host_stream *)stream)->recording) return WRONG_STATE;
    host_drain();
    if (n) memcpy(dst, src, n);
    return OK;
}

int fill(void *dst, int byte, size_t n, void *stream)
{
    if (((host_stream *)stream)->recording) return WRONG_STATE;
    host_drain();
    memset(dst, byte, n);
    return OK;
}

int stream_open(void **stream)  { *stream = new host_stream; live_allocations++; return OK; }

int stream_close(void *stream)
{
    host_drain();
    delete (host_stream *)stream;
    live_allocations--;
    return OK;
}

int stream_sync(void *stream)
{
    if (((host_stream *)stream)->recording) return WRONG_STATE;
    host_drain();
    return OK;
}

int launch(const void *kernel, gpu_dim grid, gpu_dim block, void **args, size_t shared_bytes, bool overlap,
           void *stream)
{
    const host_kernel *k = (const host_kernel *)kernel;
    host_stream *s = (host_stream *)stream;
    const dim3 g = { grid.x, grid.y, grid.z }, b = { block.x, block.y, block.z };
    if (g.x == 0 || g.y == 0 || g.z == 0 || g.y > 65535 || g.z > 65535) return INVALID;
    if (b.x * b.y * b.z == 0 || b.x * b.y * b.z > 1024) return INVALID;
    host_launch l = { k, g, b, shared_bytes, overlap, {} };
    for (int i = 0; i < k->n_args; i++) l.args.emplace_back((uint8_t *)args[i], (uint8_t *)args[i] + k->arg_bytes[i]);
    if (s->recording) s->log.push_back(std::move(l));
    else              host_enqueue(std::move(l));
    return OK;
}

int allow_shared(const void *, int bytes)   { return bytes <= MAX_SHARED ? OK : INVALID; }

int compiled_for(const void *, int *capability) { *capability = 90; return OK; }

int capture_begin(void *stream)
{
    ((host_stream *)stream)->recording = true;
    return OK;
}

int capture_end(void *stream, void **graph)
{
    host_stream *s = (host_stream *)stream;
    if (!s->recording) return WRONG_STATE;
    s->recording = false;
    *graph = new host_graph { std::move(s->log) };
    s->log.clear();
    live_allocations++;
    return OK;
}

// Kernels of a graph overlap with each other, not with what is before and behind it.
int graph_launch(void *graph, void *)
{
    host_drain();
    for (const host_launch &l : ((host_graph *)graph)->log) host_enqueue(l);
    host_drain();
    return OK;
}

int graph_free(void *graph)             { delete (host_graph *)graph; live_allocations--; return OK; }
int event_open(void **event)            { *event = new int(0); live_allocations++; return OK; }
int event_close(void *event)            { delete (int *)event; live_allocations--; return OK; }
int event_record(void *, void *)        { host_drain(); return OK; }
int event_sync(void *)                  { return OK; }
int event_ms(float *ms, void *, void *) { *ms = 1.0f; return OK; }
int last_error(void)                    { return OK; }

const char *error_text(int status)
{
    static const char *const text[] = {
        "no error", "invalid argument", "out of memory", "not allowed while recording",
    };
    return status >= 0 && status < 4 ? text[status] : "failure made by a test";
}

const cuda_calls on_host = {
    driver_version, runtime_version, device_count, set_device, properties, memory,
    alloc, release, alloc_pinned, release_pinned, copy, fill,
    stream_open, stream_close, stream_sync, launch, allow_shared, compiled_for,
    capture_begin, capture_end, graph_launch, graph_free,
    event_open, event_close, event_record, event_sync, event_ms, last_error, error_text, NO_MEMORY,
};

const cuda_calls *chosen = &on_host;

}  // namespace

extern "C" {
const cuda_calls *cuda_calls_default(void)      { return chosen; }
void    host_calls_use(const cuda_calls *c)     { chosen = c ? c : &on_host; }
const cuda_calls *host_calls(void)              { return &on_host; }
int64_t host_calls_live(void)                   { return live_allocations; }
void    host_calls_order(unsigned order)        { host_set_order(order); }
int64_t host_calls_overlapped(void)             { return host_overlapped(); }
}
