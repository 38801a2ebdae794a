// codec_portable: the encoders in lanes, 4 super-blocks at once; see lanes_codec.inc.
#define LANES 4
#define LEVEL(name) name##_portable
#include "lanes_codec.inc"
