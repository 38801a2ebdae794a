// bandwidth: what the memory can deliver, measured: the ceiling of a decode step on the CPU.
#ifndef HALLMARK_CLI_BANDWIDTH_H
#define HALLMARK_CLI_BANDWIDTH_H

#include "../formats/err.h"

// Bytes per second that n_threads (0: all cores) read from a buffer that no cache holds, best of several passes.
// ERR_SYSTEM when the buffer cannot be had.
bool memory_read_bandwidth(int n_threads, double *bytes_per_s, err *e);

#endif
