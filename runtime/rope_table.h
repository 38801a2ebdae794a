// rope_table: one position of a rotary table, the same on every backend.
#ifndef HALLMARK_RUNTIME_ROPE_TABLE_H
#define HALLMARK_RUNTIME_ROPE_TABLE_H

#include "backend.h"
#include <math.h>

// dst: [2][head_dim / 2], cosines then sines of position p. The angle is a product in F32, as the reference forms it;
// the cosine of that angle is taken in double, so that every machine rounds it alike. round: to BF16.
static inline void rope_table_row(float *dst, const rope *r, int64_t p, bool round)
{
    const int half = r->head_dim / 2;
    float *c = dst, *s = dst + half;
    for (int i = 0; i < half; i++) {
        const double angle = (double)((float)p * r->inv_freq[i]);
        c[i] = (float)cos(angle);
        s[i] = (float)sin(angle);
        if (round) { c[i] = f32_from_bf16(bf16_from_f32(c[i])); s[i] = f32_from_bf16(bf16_from_f32(s[i])); }
    }
}

#endif
