// kernels at the portable level; see kernels.inc.
#define VEC_LEVEL 0
#define KERNELS_NAME "portable"
#define KERNELS_SYMBOL cpu_kernels_portable
#include "kernels.inc"
