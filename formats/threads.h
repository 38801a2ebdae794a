// threads: what a number of threads that an option gives means.
#ifndef HALLMARK_FORMATS_THREADS_H
#define HALLMARK_FORMATS_THREADS_H

#include <omp.h>

// n, or every core of the machine where n is 0: OMP_NUM_THREADS does not limit that.
static inline int threads_or_cores(int n) { return n > 0 ? n : omp_get_num_procs(); }

#endif
