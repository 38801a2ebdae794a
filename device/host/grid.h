// grid: launches on the processor, for calls_host.cpp. One at a time for the whole program, whatever streams there are.
#ifndef HALLMARK_DEVICE_HOST_GRID_H
#define HALLMARK_DEVICE_HOST_GRID_H

#include "on_host.h"
#include <vector>

struct host_launch {
    const host_kernel *kernel;
    dim3               grid, block;
    size_t             shared_bytes;
    bool               overlap;                 // may start before the launch before it has ended
    std::vector<std::vector<uint8_t>> args;     // copies
};

// Starts a launch; the one before it has ended when this returns, this one may not have. With overlap its first block
// has run up to after_previous before the one before ran at all.
void host_enqueue(host_launch l);
// Returns when all launches have ended. Before anything but a launch looks at device memory.
void host_drain();
// Launches so far that started before the one before them.
int64_t host_overlapped();
// In which order threads take turns and blocks follow each other: 0 ascending, 1 descending, other numbers: shuffled by
// it.
void host_set_order(unsigned order);

#endif
