// gpu: see gpu.h.
#include "gpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {          // one allocation on the device
    struct piece *next;
    void         *p;
    int64_t       n_bytes;
} piece;

enum { N_PINNED = 4 };    // one is filled, one travels; the others keep both at work where their times vary
// large enough for full speed over PCIe, small enough to fill while others travel
#define PINNED_BYTES ((size_t)16 << 20)
#define SLICE_BYTES ((size_t)512 << 10)     // what one thread copies at a time

struct gpu {
    const cuda_calls *c;
    gpu_props         props;
    void             *stream;
    piece            *pieces;
    int64_t           allocated;
    bool              recording;
    bool              overlap;    // kernels are launched while the one before them runs, if they are compiled for that
    int               compiled_for; // 10 * major + minor of the kernels' instructions; 0: not asked yet
    // Buffers for large uploads, in turn; for each an event (its last copy is done), and whether it was ever recorded.
    void             *pinned[N_PINNED], *arrived[N_PINNED];
    bool              travelled[N_PINNED];
    int               turn;
};

struct gpu_graph { void *exec; };

// ---- messages -------------------------------------------------------------------------------------------------------

static bool failed(const gpu *g, int status, const char *what, err *e)
{
    g->c->last_error();                     // a launch error is sticky until it is read
    return err_set(e, ERR_SYSTEM, "device cuda (%s): %s: %s", g->props.name[0] ? g->props.name : "not open", what,
                   g->c->error_text(status));
}

#define TRY(call, what)                                                                                                \
    do {                                                                                                               \
        const int status_ = (call);                                                                                    \
        if (status_ != 0) return failed(g, status_, what, e);                                                          \
    } while (0)

// ---- opening --------------------------------------------------------------------------------------------------------

// HALLMARK_CUDA_OVERLAP: "on" (and unset): launches overlap where they can. "off": to see what that gains, or whether
// it is to blame.
static bool overlap_from_environment(bool *on, err *e)
{
    const char *v = getenv("HALLMARK_CUDA_OVERLAP");
    *on = !v || !*v || strcmp(v, "on") == 0;
    return *on || strcmp(v, "off") == 0
        || err_set(e, ERR_USAGE, "HALLMARK_CUDA_OVERLAP: found '%s', expected on or off", v);
}

static const char NO_DRIVER[] = "device cuda: no NVIDIA driver is installed";
static const char NO_DEVICE[] = "device cuda: no device found";
enum { STATUS_NO_DEVICE = 100 };        // cudaErrorNoDevice

bool gpu_absent(const err *why)
{
    char none[sizeof why->msg];
    snprintf(none, sizeof none, "%s: %s", NO_DEVICE, cuda_calls_default()->error_text(STATUS_NO_DEVICE));
    return strcmp(why->msg, NO_DRIVER) == 0 || strcmp(why->msg, NO_DEVICE) == 0 || strcmp(why->msg, none) == 0;
}

static bool check_versions(gpu *g, err *e)
{
    int driver = 0, runtime = 0, status = g->c->driver_version(&driver);
    if (status != 0 || driver == 0)
        return err_set(e, ERR_SYSTEM, "%s%s%s", NO_DRIVER, status ? ": " : "",
                       status ? g->c->error_text(status) : "");
    TRY(g->c->runtime_version(&runtime), "reading the toolkit's version");
    enum { PROGRAMMATIC_EDGES = 12030 };        // before 12.3 a recorded graph cannot hold launches that overlap
    g->overlap = g->overlap && driver >= PROGRAMMATIC_EDGES && runtime >= PROGRAMMATIC_EDGES;
    // Minor versions of one major release run on each other's drivers.
    if (driver / 1000 < runtime / 1000)
        return err_set(e, ERR_SYSTEM,
                       "device cuda: the driver supports CUDA %d.%d, this program needs %d.%d: the driver must be "
                       "updated",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return true;
}

static bool open_device(gpu *g, err *e)
{
    int n = 0, status = g->c->device_count(&n);
    if (!(status == 0 && n > 0)) {
        g->c->last_error();
        return err_set(e, ERR_SYSTEM, "%s%s%s", NO_DEVICE, status ? ": " : "",
                       status ? g->c->error_text(status) : "");
    }
    TRY(g->c->properties(0, &g->props), "reading the device's properties");
    if (g->props.major * 10 + g->props.minor < 75)
        return err_set(e, ERR_SYSTEM, "device cuda (%s): compute capability %d.%d, expected 7.5 or later",
                       g->props.name, g->props.major, g->props.minor);
    g->overlap = g->overlap && g->props.major >= 9;
    TRY(g->c->set_device(0), "opening the device");
    TRY(g->c->stream_open(&g->stream), "opening a stream");
    return true;
}

gpu *gpu_open(const cuda_calls *calls, err *e)
{
    gpu *g = calloc(1, sizeof *g);
    if (!g) { err_nomem(e, "device", sizeof *g); return NULL; }
    g->c = calls ? calls : cuda_calls_default();
    if (!overlap_from_environment(&g->overlap, e) || !check_versions(g, e) || !open_device(g, e)) {
        gpu_close(g);
        return NULL;
    }
    return g;
}

void gpu_close(gpu *g)
{
    if (!g) return;
    if (g->recording) gpu_record_end(g, NULL, &(err){ 0 });
    if (g->stream) g->c->stream_sync(g->stream);
    for (piece *b = g->pieces, *next; b; b = next) {
        next = b->next;
        g->c->release(b->p);
        free(b);
    }
    for (int i = 0; i < N_PINNED; i++) {
        if (g->pinned[i]) g->c->release_pinned(g->pinned[i]);
        if (g->arrived[i]) g->c->event_close(g->arrived[i]);
    }
    if (g->stream) g->c->stream_close(g->stream);
    free(g);
}

const gpu_props *gpu_properties(const gpu *g) { return &g->props; }
void *gpu_stream(const gpu *g)                { return g->stream; }
int  gpu_compiled_for(const gpu *g)           { return g->compiled_for; }
int64_t gpu_allocated(const gpu *g)           { return g->allocated; }
bool gpu_recording(const gpu *g)              { return g->recording; }

bool gpu_free_memory(gpu *g, int64_t *bytes, err *e)
{
    size_t free_bytes = 0, total = 0;
    TRY(g->c->memory(&free_bytes, &total), "reading free memory");
    *bytes = (int64_t)free_bytes;
    return true;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static bool out_of_memory(gpu *g, int status, int64_t n_bytes, const char *what, err *e)
{
    size_t free_bytes = 0, total = 0;
    g->c->last_error();
    if (status != g->c->out_of_memory || g->c->memory(&free_bytes, &total) != 0) return failed(g, status, what, e);
    return err_set(e, ERR_SYSTEM,
                   "device cuda (%s): out of memory for %s: %.1f MiB asked for, %.1f of %.1f MiB free, %.1f MiB held "
                   "by this program",
                   g->props.name, what, (double)n_bytes / 1048576, (double)free_bytes / 1048576,
                   (double)total / 1048576, (double)g->allocated / 1048576);
}

bool gpu_alloc(gpu *g, void **p, int64_t n_bytes, const char *what, err *e)
{
    if (n_bytes < 0) return err_set(e, ERR_SYSTEM, "%s: impossible size", what);
    if (g->recording) return err_set(e, ERR_SYSTEM, "%s: device memory cannot be had while a graph is recorded", what);
    piece *b = malloc(sizeof *b);
    if (!b) return err_nomem(e, what, sizeof *b);
    void *m = NULL;
    const size_t n = n_bytes > 0 ? (size_t)n_bytes : 1;
    const int status = g->c->alloc(&m, n);
    if (status != 0) {
        free(b);
        return out_of_memory(g, status, n_bytes, what, e);
    }
    *b = (piece){ .next = g->pieces, .p = m, .n_bytes = n_bytes };
    g->pieces = b;
    g->allocated += n_bytes;
    *p = m;
    TRY(g->c->fill(m, 0, n, g->stream), what);
    return true;
}

void gpu_release(gpu *g, void *p)
{
    if (!p) return;
    for (piece **at = &g->pieces; *at; at = &(*at)->next)
        if ((*at)->p == p) {
            piece *b = *at;
            *at = b->next;
            g->allocated -= b->n_bytes;
            g->c->release(p);
            free(b);
            return;
        }
}

bool gpu_upload(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e)
{
    TRY(g->c->copy(dst, src, (size_t)n_bytes, GPU_TO_DEVICE, g->stream), "copying to the device");
    return gpu_sync(g, e);
}

static bool need_pinned(gpu *g, err *e)
{
    for (int i = 0; i < N_PINNED; i++) {
        if (!g->pinned[i]) TRY(g->c->alloc_pinned(&g->pinned[i], PINNED_BYTES), "pinned memory for copies");
        if (!g->arrived[i]) TRY(g->c->event_open(&g->arrived[i]), "an event for copies");
    }
    return true;
}

// All cores copy: where src is a file's mapping each page must first be taken in, which one core does more slowly than
// PCIe carries. A file that has become shorter raises SIGBUS in whichever thread meets its end; the program's handler
// is every thread's.
static void fill_pinned(uint8_t *dst, const uint8_t *src, size_t n)
{
    const int64_t slices = (int64_t)((n + SLICE_BYTES - 1) / SLICE_BYTES);
#pragma omp parallel for schedule(dynamic) if (slices > 1)
    for (int64_t i = 0; i < slices; i++) {
        const size_t at = (size_t)i * SLICE_BYTES, left = n - at;
        memcpy(dst + at, src + at, left < SLICE_BYTES ? left : SLICE_BYTES);
    }
}

bool gpu_upload_large(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e)
{
    if (!need_pinned(g, e)) return false;
    for (int64_t at = 0; at < n_bytes;) {
        const int b = g->turn;
        const size_t left = (size_t)(n_bytes - at), n = left < PINNED_BYTES ? left : PINNED_BYTES;
        if (g->travelled[b]) TRY(g->c->event_sync(g->arrived[b]), "copying to the device");
        fill_pinned(g->pinned[b], (const uint8_t *)src + at, n);
        TRY(g->c->copy((uint8_t *)dst + at, g->pinned[b], n, GPU_TO_DEVICE, g->stream), "copying to the device");
        TRY(g->c->event_record(g->arrived[b], g->stream), "copying to the device");
        g->travelled[b] = true;
        g->turn = (b + 1) % N_PINNED;
        at += (int64_t)n;
    }
    return true;
}

bool gpu_download(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e)
{
    TRY(g->c->copy(dst, src, (size_t)n_bytes, GPU_TO_HOST, g->stream), "copying from the device");
    return gpu_sync(g, e);
}

bool gpu_copy(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e)
{
    TRY(g->c->copy(dst, src, (size_t)n_bytes, GPU_ON_DEVICE, g->stream), "copying on the device");
    return true;
}

bool gpu_zero(gpu *g, void *dst, int64_t n_bytes, err *e)
{
    TRY(g->c->fill(dst, 0, (size_t)n_bytes, g->stream), "clearing device memory");
    return true;
}

bool gpu_sync(gpu *g, err *e)
{
    TRY(g->c->stream_sync(g->stream), "waiting for the device");
    return true;
}

// ---- kernels and graphs ---------------------------------------------------------------------------------------------

// Kernels wait by themselves only where they are compiled for that. One that the driver translates from older
// instructions does not, whatever device it runs on; all kernels of a program are compiled for the same devices, so the
// first one tells.
bool gpu_know_kernels(gpu *g, const void *kernel, err *e)
{
    if (g->compiled_for > 0) return true;
    const int status = g->c->compiled_for(kernel, &g->compiled_for);
    if (status != 0) {
        g->compiled_for = 0;
        g->c->last_error();
        return err_set(e, ERR_SYSTEM, "device cuda (%s): this program has no kernels for compute capability %d.%d: %s",
                       g->props.name, g->props.major, g->props.minor, g->c->error_text(status));
    }
    g->overlap = g->overlap && g->compiled_for >= 90;
    return true;
}

bool gpu_launch(gpu *g, const char *name, const void *kernel, gpu_dim grid, gpu_dim block, void **args,
                size_t shared_bytes, err *e)
{
    enum { PLAIN_SHARED = 48 << 10 };       // what a block may have without asking
    if (shared_bytes > PLAIN_SHARED) {
        if (shared_bytes > (size_t)g->props.max_shared_bytes)
            return err_set(e, ERR_SYSTEM,
                           "device cuda (%s): kernel %s needs %zu bytes of shared memory, the device has %d",
                           g->props.name, name, shared_bytes, g->props.max_shared_bytes);
        TRY(g->c->allow_shared(kernel, (int)shared_bytes), name);
    }
    if (!gpu_know_kernels(g, kernel, e)) return false;
    const int status = g->c->launch(kernel, grid, block, args, shared_bytes, g->overlap, g->stream);
    if (status == 0) return true;
    g->c->last_error();
    return err_set(e, ERR_SYSTEM, "device cuda (%s): kernel %s could not be launched: %s", g->props.name, name,
                   g->c->error_text(status));
}

bool gpu_record_begin(gpu *g, err *e)
{
    TRY(g->c->capture_begin(g->stream), "recording a graph");
    g->recording = true;
    return true;
}

bool gpu_record_end(gpu *g, gpu_graph **out, err *e)
{
    void *exec = NULL;
    g->recording = false;
    TRY(g->c->capture_end(g->stream, &exec), "ending a recorded graph");
    gpu_graph *graph = out ? malloc(sizeof *graph) : NULL;
    if (!graph) {
        g->c->graph_free(exec);
        return out ? err_nomem(e, "graph", sizeof *graph) : true;
    }
    graph->exec = exec;
    *out = graph;
    return true;
}

bool gpu_graph_run(gpu *g, gpu_graph *graph, err *e)
{
    TRY(g->c->graph_launch(graph->exec, g->stream), "launching the decode graph");
    return true;
}

void gpu_graph_release(gpu *g, gpu_graph *graph)
{
    if (!graph) return;
    g->c->graph_free(graph->exec);
    free(graph);
}

// ---- the limit ------------------------------------------------------------------------------------------------------

static bool time_copies(gpu *g, void *a, void *b, int64_t n, void *from, void *to, double *best, err *e)
{
    enum { PASSES = 5, COPIES = 8 };
    for (int pass = 0; pass <= PASSES; pass++) {        // pass 0 warms up
        float ms = 0;
        TRY(g->c->event_record(from, g->stream), "timing copies");
        for (int i = 0; i < COPIES; i++)
            TRY(g->c->copy(i % 2 ? a : b, i % 2 ? b : a, (size_t)n, GPU_ON_DEVICE, g->stream), "timing copies");
        TRY(g->c->event_record(to, g->stream), "timing copies");
        TRY(g->c->event_sync(to), "timing copies");
        TRY(g->c->event_ms(&ms, from, to), "timing copies");
        const double rate = ms > 0 ? 2.0 * (double)n * COPIES / ((double)ms * 1e-3) : 0;
        if (pass > 0 && rate > *best) *best = rate;
    }
    return true;
}

bool gpu_copy_rate(gpu *g, double *bytes_per_s, err *e)
{
    int64_t free_bytes = 0, n = (int64_t)256 << 20;     // several times any L2 cache
    void *a = NULL, *b = NULL, *from = NULL, *to = NULL;
    if (!gpu_free_memory(g, &free_bytes, e)) return false;
    if (n > free_bytes / 4) n = free_bytes / 4 / 256 * 256;
    *bytes_per_s = 0;
    bool ok = n > 0 || err_set(e, ERR_SYSTEM, "device cuda (%s): no memory left to time copies in", g->props.name);
    ok = ok && gpu_alloc(g, &a, n, "buffers to time copies in", e)
        && gpu_alloc(g, &b, n, "buffers to time copies in", e);
    if (ok && (g->c->event_open(&from) != 0 || g->c->event_open(&to) != 0))
        ok = err_set(e, ERR_SYSTEM, "device cuda (%s): no events to time with", g->props.name);
    ok = ok && time_copies(g, a, b, n, from, to, bytes_per_s, e);
    if (from) g->c->event_close(from);
    if (to) g->c->event_close(to);
    gpu_release(g, a);
    gpu_release(g, b);
    return ok;
}
