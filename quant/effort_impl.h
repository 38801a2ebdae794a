// effort_impl: what the files of effort share. Private to quant/.
#ifndef HALLMARK_QUANT_EFFORT_IMPL_H
#define HALLMARK_QUANT_EFFORT_IMPL_H

#include "blocks.h"
#include "effort.h"

// w = d * s * q - dmin * m in sub-block j with its small integers s and m; one scale of its own and no integers: subs
// is 1 and s = m = 1.
typedef struct {
    dtype type;
    int   n, subs;          // weights of a sub-block, sub-blocks of a block
    int   q_lo, q_hi;       // codes
    bool  affine;           // has mins
    bool  any_min;          // of either sign
    int   s_lo, s_hi, m_hi; // small integers; 0: none
    float narrowest;        // the least part of a sub-block's range that the search spans with its codes
} effort_kind;

typedef struct {            // a block before it is packed
    float  d, dmin;         // F16 values
    int8_t s[16], m[16], q[QUANT_SUPER];
} effort_block;

void effort_pack(const effort_kind *k, uint8_t *dst, const effort_block *b);

// n_rows rows, without looking at the reference. False: no memory.
#define EFFORT_ROWS(level)                                                                                       \
    bool effort_rows_##level(const effort_kind *k, uint8_t *dst, const float *src, int64_t n_rows, int64_t n_cols, \
                             const float *importance, const feedback *f);
EFFORT_ROWS(portable)
EFFORT_ROWS(avx2)
EFFORT_ROWS(avx512)
#undef EFFORT_ROWS

enum { MOMENT_ROWS = 8 };
#define MOMENTS(level) \
    void moment_rows_##level(float *h, int64_t width, const float *x, int64_t stride, int n, int64_t first);
MOMENTS(portable)
MOMENTS(avx2)
MOMENTS(avx512)
#undef MOMENTS

#endif
