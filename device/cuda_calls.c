// cuda_calls: see cuda_calls.h; filled from the CUDA runtime, which is linked statically: the program starts where no
// driver is.
#include "cuda_calls.h"
#include <cuda_runtime_api.h>
#include <assert.h>
#include <stdio.h>

static_assert((int)cudaMemcpyHostToDevice == GPU_TO_DEVICE && (int)cudaMemcpyDeviceToHost == GPU_TO_HOST &&
              (int)cudaMemcpyDeviceToDevice == GPU_ON_DEVICE, "the directions are the toolkit's");

static int driver_version(int *v)   { return cudaDriverGetVersion(v); }
static int runtime_version(int *v)  { return cudaRuntimeGetVersion(v); }
static int device_count(int *n)     { return cudaGetDeviceCount(n); }
static int set_device(int device)   { return cudaSetDevice(device); }

static int properties(int device, gpu_props *p)
{
    struct cudaDeviceProp d;
    const int status = cudaGetDeviceProperties(&d, device);
    if (status != cudaSuccess) return status;
    snprintf(p->name, sizeof p->name, "%s", d.name);
    p->major = d.major;
    p->minor = d.minor;
    p->n_sm = d.multiProcessorCount;
    p->max_shared_bytes = (int)d.sharedMemPerBlockOptin;
    p->memory_bytes = (int64_t)d.totalGlobalMem;
    return 0;
}

static int memory(size_t *free_bytes, size_t *total_bytes)  { return cudaMemGetInfo(free_bytes, total_bytes); }
static int alloc(void **p, size_t n)            { return cudaMalloc(p, n); }
static int release(void *p)                     { return cudaFree(p); }
static int alloc_pinned(void **p, size_t n)     { return cudaMallocHost(p, n); }
static int release_pinned(void *p)              { return cudaFreeHost(p); }

static int copy(void *dst, const void *src, size_t n, int direction, void *stream)
{
    return cudaMemcpyAsync(dst, src, n, (enum cudaMemcpyKind)direction, stream);
}

static int fill(void *dst, int byte, size_t n, void *stream)    { return cudaMemsetAsync(dst, byte, n, stream); }
static int stream_open(void **stream)
{
    return cudaStreamCreateWithFlags((cudaStream_t *)stream, cudaStreamNonBlocking);
}
static int stream_close(void *stream)   { return cudaStreamDestroy(stream); }
static int stream_sync(void *stream)    { return cudaStreamSynchronize(stream); }

// While a stream is recorded the attribute becomes a programmatic edge of the graph, from the kernel before to this
// one.
static int launch(const void *kernel, gpu_dim grid, gpu_dim block, void **args, size_t shared_bytes, bool overlap,
                  void *stream)
{
    cudaLaunchAttribute early = { .id = cudaLaunchAttributeProgrammaticStreamSerialization,
                                  .val = { .programmaticStreamSerializationAllowed = 1 } };
    const cudaLaunchConfig_t config = { .gridDim = { grid.x, grid.y, grid.z },
                                        .blockDim = { block.x, block.y, block.z },
                                        .dynamicSmemBytes = shared_bytes, .stream = stream, .attrs = &early,
                                        .numAttrs = overlap ? 1 : 0 };
    return cudaLaunchKernelExC(&config, kernel, args);
}

static int allow_shared(const void *kernel, int bytes)
{
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

static int compiled_for(const void *kernel, int *capability)
{
    struct cudaFuncAttributes a;
    const int status = cudaFuncGetAttributes(&a, kernel);
    if (status == cudaSuccess) *capability = a.ptxVersion;
    return status;
}

// Other threads of the program may call the toolkit meanwhile: only this thread's stream is recorded.
static int capture_begin(void *stream)  { return cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal); }

static int capture_end(void *stream, void **graph)
{
    cudaGraph_t recorded = NULL;
    int status = cudaStreamEndCapture(stream, &recorded);
    if (status == cudaSuccess) status = cudaGraphInstantiate((cudaGraphExec_t *)graph, recorded, 0);
    if (recorded) cudaGraphDestroy(recorded);
    return status;
}

static int graph_launch(void *graph, void *stream)  { return cudaGraphLaunch(graph, stream); }
static int graph_free(void *graph)                  { return cudaGraphExecDestroy(graph); }
static int event_open(void **event)                 { return cudaEventCreate((cudaEvent_t *)event); }
static int event_close(void *event)                 { return cudaEventDestroy(event); }
static int event_record(void *event, void *stream)  { return cudaEventRecord(event, stream); }
static int event_sync(void *event)                  { return cudaEventSynchronize(event); }
static int event_ms(float *ms, void *from, void *to) { return cudaEventElapsedTime(ms, from, to); }
static int last_error(void)                         { return cudaGetLastError(); }
static const char *error_text(int status)           { return cudaGetErrorString((cudaError_t)status); }

static const cuda_calls toolkit = {
    .driver_version = driver_version, .runtime_version = runtime_version, .device_count = device_count,
    .set_device = set_device,
    .properties = properties, .memory = memory, .alloc = alloc, .release = release, .alloc_pinned = alloc_pinned,
    .release_pinned = release_pinned, .copy = copy, .fill = fill, .stream_open = stream_open,
    .stream_close = stream_close,
    .stream_sync = stream_sync, .launch = launch, .allow_shared = allow_shared, .compiled_for = compiled_for,
    .capture_begin = capture_begin,
    .capture_end = capture_end, .graph_launch = graph_launch, .graph_free = graph_free, .event_open = event_open,
    .event_close = event_close, .event_record = event_record, .event_sync = event_sync, .event_ms = event_ms,
    .last_error = last_error, .error_text = error_text, .out_of_memory = cudaErrorMemoryAllocation,
};

const cuda_calls *cuda_calls_default(void) { return &toolkit; }
