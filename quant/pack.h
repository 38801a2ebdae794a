// pack: codes and small scales into the bytes of their block; layouts in blocks.h. Shared by the plain codecs, those in
// lanes, and the GPU.
#ifndef HALLMARK_QUANT_PACK_H
#define HALLMARK_QUANT_PACK_H

#include "blocks.h"

// Q4_0 .. Q5_1: the low four bits.
QUANT_INLINE void pack_nibbles(uint8_t q[QUANT_BLOCK / 2], const uint8_t code[QUANT_BLOCK])
{
    for (int i = 0; i < QUANT_BLOCK / 2; i++) q[i] = (uint8_t)((code[i] & 15) | (code[i + QUANT_BLOCK / 2] & 15) << 4);
}

// Q5_0, Q5_1: bit i of a little-endian word.
QUANT_INLINE void pack_fifth_bits(uint8_t high[4], const uint8_t code[QUANT_BLOCK])
{
    uint32_t bits = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) bits |= (uint32_t)(code[i] >> 4 & 1) << i;
    for (int b = 0; b < 4; b++) high[b] = (uint8_t)(bits >> 8 * b);
}

// Q4_K, Q5_K: eight 6-bit scales and mins. Not masked: where a weighted search of Q4_K left a byte over 63, the
// reference too lets its upper bits run over into the neighbour.
QUANT_INLINE void k4_pack_scales(uint8_t out[12], const uint8_t s[8], const uint8_t m[8])
{
    for (int j = 0; j < 4; j++) {
        out[j]     = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(m[j] | m[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
}

// Q4_K, Q5_K: the low four bits.
QUANT_INLINE void k4_pack_nibbles(uint8_t q[QUANT_SUPER / 2], const uint8_t code[QUANT_SUPER])
{
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 32; i++)
            q[32 * p + i] = (uint8_t)((code[64 * p + i] & 15) | (code[64 * p + 32 + i] & 15) << 4);
}

// Bit `bit` of weight 32*j + i becomes bit j of byte i: the fifth bits of Q5_K (4), the third ones of Q3_K (2).
QUANT_INLINE void pack_high_bits(uint8_t high[QUANT_SUPER / 8], const uint8_t code[QUANT_SUPER], int bit)
{
    for (int i = 0; i < 32; i++) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++) bits |= (code[32 * j + i] >> bit & 1u) << j;
        high[i] = (uint8_t)bits;
    }
}

// Q2_K, Q3_K: the low two bits.
QUANT_INLINE void pack_two_bits(uint8_t q[QUANT_SUPER / 4], const uint8_t code[QUANT_SUPER])
{
    for (int h = 0; h < 2; h++) {
        const uint8_t *c = code + 128 * h;
        for (int i = 0; i < 32; i++)
            q[32 * h + i] = (uint8_t)((c[i] & 3) | (c[i + 32] & 3) << 2 | (c[i + 64] & 3) << 4 | (c[i + 96] & 3) << 6);
    }
}

// Q3_K: sixteen 6-bit scales.
QUANT_INLINE void q3_k_pack_scales(uint8_t out[12], const uint8_t s[16])
{
    for (int j = 0; j < 8; j++) out[j] = (uint8_t)((s[j] & 15) | (s[j + 8] & 15) << 4);
    for (int j = 0; j < 4; j++)
        out[8 + j] = (uint8_t)((s[j] >> 4) | (s[j + 4] >> 4) << 2 | (s[j + 8] >> 4) << 4 | (s[j + 12] >> 4) << 6);
}

// Q6_K: four bits and two.
QUANT_INLINE void q6_k_pack(q6_k_block *b, const uint8_t code[QUANT_SUPER])
{
    for (int h = 0; h < 2; h++) {
        const uint8_t *c = code + 128 * h;
        for (int i = 0; i < 64; i++) b->low[64 * h + i] = (uint8_t)((c[i] & 15) | (c[i + 64] & 15) << 4);
        for (int i = 0; i < 32; i++)
            b->high[32 * h + i] = (uint8_t)(c[i] >> 4 | c[i + 32] >> 4 << 2 | c[i + 64] >> 4 << 4 |
                                            c[i + 96] >> 4 << 6);
    }
}

#endif
