// effort_avx512: the search of effort.h, 16 rows at once; see effort_rows.inc.
// The build compiles this file for its instruction set, without FMA: a product is rounded before it is added.
#if defined(__x86_64__)
#define LANES 16
#define LEVEL(name) name##_avx512
#include "effort_rows.inc"
#include "moments.inc"
#endif
