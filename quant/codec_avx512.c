// codec_avx512: the encoders in lanes, 16 super-blocks at once; see lanes_codec.inc. The build compiles this file for
// AVX-512, without FMA: a product is rounded before it is added.
#if defined(__x86_64__)
#define LANES 16
#define LEVEL(name) name##_avx512
#include "lanes_codec.inc"
#endif
