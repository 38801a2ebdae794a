// calls_host: the device that runs kernels on the processor, as tests see it.
#ifndef HALLMARK_DEVICE_CALLS_HOST_H
#define HALLMARK_DEVICE_CALLS_HOST_H

#ifdef __cplusplus
extern "C" {
#endif
#include "../cuda_calls.h"

#define HOST_DEVICE_BYTES ((int64_t)1 << 30)        // memory that this device says it has

const cuda_calls *host_calls(void);                 // its table
void    host_calls_use(const cuda_calls *c);        // what cuda_calls_default gives from now on; NULL: host_calls()
int64_t host_calls_live(void);                      // allocations, streams, events and graphs not yet freed
void    host_calls_order(unsigned order);           // of threads and blocks: 0 ascending, 1 descending, others shuffled
int64_t host_calls_overlapped(void);                // kernels so far that started before the one before them

#ifdef __cplusplus
}
#endif
#endif
