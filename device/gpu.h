// gpu: one device, one stream: memory, copies, launches, recorded graphs, times. The only caller of cuda_calls.h.
//
// Everything is enqueued in order on the stream; a failure of earlier work surfaces at the latest in gpu_sync or
// gpu_download.
// Every failure not said otherwise is ERR_SYSTEM with one message that says what was being done and what the driver
// answered.
// After a failure the device is no longer used: gpu_close still frees what it can. Proved by tests/cuda_overlap_test.c
// and cuda_upload_test.c.
#ifndef HALLMARK_DEVICE_GPU_H
#define HALLMARK_DEVICE_GPU_H

#include "formats_c.h"
#include "cuda_calls.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpu gpu;
typedef struct gpu_graph gpu_graph;

// The first device. NULL with e set: no driver, a driver older than the toolkit, no device, a device older than compute
// capability 7.5; ERR_USAGE: HALLMARK_CUDA_OVERLAP is neither on nor off. calls: NULL for this build's own.
gpu *gpu_open(const cuda_calls *calls, err *e);
// Was that why: is there no driver, or no device, as on any machine without one? Else one is there that cannot be used.
bool gpu_absent(const err *why);
void gpu_close(gpu *g);             // frees what is still allocated on it

const gpu_props *gpu_properties(const gpu *g);
void   *gpu_stream(const gpu *g);                   // for libraries that enqueue on it
int64_t gpu_allocated(const gpu *g);                // bytes of device memory in use by this gpu
bool    gpu_free_memory(gpu *g, int64_t *bytes, err *e);

// Device memory, zeroed; aligned to 256 bytes. what: for the message.
bool gpu_alloc(gpu *g, void **p, int64_t n_bytes, const char *what, err *e);
void gpu_release(gpu *g, void *p);                  // NULL is allowed
bool gpu_upload(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e);       // returns when src may be reused
// For large pageable memory (a file's mapping): through pinned buffers, all cores filling one while another travels.
// src may be reused when this returns; what was copied last may still travel, so that the next tensor's first bytes
// need not wait for it.
bool gpu_upload_large(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e);
bool gpu_download(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e);     // returns when dst is filled
bool gpu_copy(gpu *g, void *dst, const void *src, int64_t n_bytes, err *e);         // within device memory, no overlap
bool gpu_zero(gpu *g, void *dst, int64_t n_bytes, err *e);
bool gpu_sync(gpu *g, err *e);

// Asks once, with any kernel, what this program's kernels are compiled for: all of them for the same devices.
// ERR_SYSTEM: not for this one.
bool gpu_know_kernels(gpu *g, const void *kernel, err *e);
int  gpu_compiled_for(const gpu *g);                // 10 * major + minor, or 0: not asked yet

// Runs a kernel; see launch.cuh, which makes `kernel` and `args`. name: for the message. From compute capability 9.0 on
// (driver and toolkit 12.3) it may start while the kernel before it runs, unless HALLMARK_CUDA_OVERLAP is off: see
// after_previous in device.cuh.
bool gpu_launch(gpu *g, const char *name, const void *kernel, gpu_dim grid, gpu_dim block, void **args,
                size_t shared_bytes, err *e);

// Between begin and end launches are recorded, not run; nothing may be allocated, copied or synchronized.
bool gpu_record_begin(gpu *g, err *e);
bool gpu_record_end(gpu *g, gpu_graph **out, err *e);       // NULL out: throws the recording away
bool gpu_recording(const gpu *g);
bool gpu_graph_run(gpu *g, gpu_graph *graph, err *e);       // asynchronous
void gpu_graph_release(gpu *g, gpu_graph *graph);

// Bytes per second that a copy inside the device's memory moves, reads and writes counted; the best of several. What a
// decode step can hope for. Takes up to 2 x 256 MiB for the time of the call.
bool gpu_copy_rate(gpu *g, double *bytes_per_s, err *e);

#ifdef __cplusplus
}
#endif
#endif
