// kernels at the avx2 level; see kernels.inc.
#define VEC_LEVEL 1
#define KERNELS_NAME "avx2"
#define KERNELS_SYMBOL cpu_kernels_avx2
#include "kernels.inc"
