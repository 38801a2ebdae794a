// cuda_calls: every call that this program makes to the CUDA runtime, as a table of functions in plain C types.
//
// gpu.c calls through the table only. cuda_calls.c fills it from the toolkit; host/calls_host.cpp fills it with a
// machine that runs kernels on the processor; a test puts a failing function in place of any of them. Each returns the
// toolkit's status:
// 0 is success, anything else is an error that error_text explains.
#ifndef HALLMARK_DEVICE_CALLS_H
#define HALLMARK_DEVICE_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { unsigned x, y, z; } gpu_dim;

typedef struct {
    char    name[256];
    int     major, minor;           // compute capability
    int     n_sm;                   // multiprocessors
    int     max_shared_bytes;       // shared memory that a block may ask for
    int64_t memory_bytes;
} gpu_props;

enum { GPU_TO_DEVICE = 1, GPU_TO_HOST = 2, GPU_ON_DEVICE = 3 };    // direction of a copy, as cudaMemcpyKind counts them

typedef struct {
    int (*driver_version)(int *v);                                  // 1000 * major + 10 * minor; 0: no driver
    int (*runtime_version)(int *v);
    int (*device_count)(int *n);
    int (*set_device)(int device);
    int (*properties)(int device, gpu_props *p);
    int (*memory)(size_t *free_bytes, size_t *total_bytes);
    int (*alloc)(void **p, size_t n);
    int (*release)(void *p);
    int (*alloc_pinned)(void **p, size_t n);
    int (*release_pinned)(void *p);
    int (*copy)(void *dst, const void *src, size_t n, int direction, void *stream);     // asynchronous
    int (*fill)(void *dst, int byte, size_t n, void *stream);                           // asynchronous
    int (*stream_open)(void **stream);
    int (*stream_close)(void *stream);
    int (*stream_sync)(void *stream);
    // overlap: the kernel may start while the kernel before it on the stream runs, and waits for it by itself
    // (after_previous in device.cuh).
    int (*launch)(const void *kernel, gpu_dim grid, gpu_dim block, void **args, size_t shared_bytes, bool overlap,
                  void *stream);
    int (*allow_shared)(const void *kernel, int bytes);             // lets a kernel ask for more than 48 KB
    // 10 * major + minor of the instructions it is written in
    int (*compiled_for)(const void *kernel, int *capability);
    int (*capture_begin)(void *stream);
    int (*capture_end)(void *stream, void **graph);                 // *graph: ready to launch
    int (*graph_launch)(void *graph, void *stream);
    int (*graph_free)(void *graph);
    int (*event_open)(void **event);
    int (*event_close)(void *event);
    int (*event_record)(void *event, void *stream);
    int (*event_sync)(void *event);
    int (*event_ms)(float *ms, void *from, void *to);
    int (*last_error)(void);                                        // and clears it
    const char *(*error_text)(int status);
    int out_of_memory;                                              // the status that says so
} cuda_calls;

// The table of this build: the toolkit's, or the host's.
const cuda_calls *cuda_calls_default(void);

#endif
