// codec_avx2: the encoders in lanes, 8 super-blocks at once; see lanes_codec.inc. The build compiles this file for
// AVX2, without FMA: a product is rounded before it is added.
#if defined(__x86_64__)
#define LANES 8
#define LEVEL(name) name##_avx2
#include "lanes_codec.inc"
#endif
