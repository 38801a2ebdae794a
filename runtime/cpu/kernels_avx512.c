// kernels at the avx512 level; see kernels.inc.
#define VEC_LEVEL 2
#define KERNELS_NAME "avx512"
#define KERNELS_SYMBOL cpu_kernels_avx512
#include "kernels.inc"
