// blocks: how quantized weights lie in memory and in a GGUF file, one struct for each type with a codec.
//
// A tensor is rows of weights; a row is cut into blocks, and blocks are stored one after another without padding. The
// small family (Q4_0 .. Q8_0) has 32 weights a block and one scale; the K family has super-blocks of 256 weights, in
// sub-blocks of 16 or 32 with small integer scales of their own. All scales are F16 bits, little-endian. Kernels that
// compute on the blocks themselves read these structs; the codecs that fill them are in codec_legacy.c and codec_k*.c.
// The layouts are ggml's (ggml-common.h); sizes here and in formats/dtype.c are compared by
// tests/codec_golden_test.c.
#ifndef HALLMARK_QUANT_BLOCKS_H
#define HALLMARK_QUANT_BLOCKS_H

#include "scalar.h"

#include <assert.h>
#include <stdint.h>

enum { QUANT_BLOCK = 32, QUANT_SUPER = 256 };   // weights per block, per super-block

// Q4_0: w = scale * (q - 8)
//   byte   0        1        2 ........................ 17
//        | scale (F16)     | q[16..31] high | q[0..15] low nibbles |     byte 2+i: weight i low, weight i+16 high
typedef struct {
    uint16_t scale;
    uint8_t  q[QUANT_BLOCK / 2];
} q4_0_block;
static_assert(sizeof(q4_0_block) == 18, "this is the file layout");

// Q4_1: w = scale * q + min; nibbles as in Q4_0
typedef struct {
    uint16_t scale, min;
    uint8_t  q[QUANT_BLOCK / 2];
} q4_1_block;
static_assert(sizeof(q4_1_block) == 20, "this is the file layout");

// Q5_0: w = scale * (q - 16); q = nibble as in Q4_0 | bit i of `high` << 4
//   high is a little-endian 32-bit word: bit i is the fifth bit of weight i.
typedef struct {
    uint16_t scale;
    uint8_t  high[4];
    uint8_t  q[QUANT_BLOCK / 2];
} q5_0_block;
static_assert(sizeof(q5_0_block) == 22, "this is the file layout");

// Q5_1: w = scale * q + min; q as in Q5_0
typedef struct {
    uint16_t scale, min;
    uint8_t  high[4];
    uint8_t  q[QUANT_BLOCK / 2];
} q5_1_block;
static_assert(sizeof(q5_1_block) == 24, "this is the file layout");

// IQ4_NL: w = scale * value of code q (iq4_nl_values); nibbles as in Q4_0
typedef struct {
    uint16_t scale;
    uint8_t  q[QUANT_BLOCK / 2];
} iq4_nl_block;
static_assert(sizeof(iq4_nl_block) == 18, "this is the file layout");

// Q8_0: w = scale * q
typedef struct {
    uint16_t scale;
    int8_t   q[QUANT_BLOCK];
} q8_0_block;
static_assert(sizeof(q8_0_block) == 34, "this is the file layout");

// Q2_K: 16 sub-blocks of 16; w = scale * s * q - min * m, s and m the low and high nibble of the sub-block's byte in
// `scales`
//   q: byte 32*h + i holds, two bits each from the low end, weights 128*h + i + {0, 32, 64, 96}      (h = 0, 1; i =
//   0..31)
typedef struct {
    uint8_t  scales[QUANT_SUPER / 16];
    uint8_t  q[QUANT_SUPER / 4];
    uint16_t scale, min;
} q2_k_block;
static_assert(sizeof(q2_k_block) == 84, "this is the file layout");

// Q3_K: 16 sub-blocks of 16; w = scale * (s - 32) * (q - 4), s of 6 bits, q of 3 (low two in `q` as in Q2_K, third in
// `high`)
//   high:   byte i, bit b is the third bit of weight 32*b + i
//   scales: s of sub-block j: low nibble in byte j%8 (its low half for j < 8, its high half else),
//           upper two bits in byte 8 + j%4, at bit 2*(j/4)
typedef struct {
    uint8_t  high[QUANT_SUPER / 8];
    uint8_t  q[QUANT_SUPER / 4];
    uint8_t  scales[12];
    uint16_t scale;
} q3_k_block;
static_assert(sizeof(q3_k_block) == 110, "this is the file layout");

// Q4_K: 8 sub-blocks of 32; w = scale * s * q - min * m, s and m of 6 bits each, see k4_scale_min
//   q: byte 32*p + i holds weight 64*p + i in its low nibble and weight 64*p + 32 + i in its high one   (p = 0..3; i =
//   0..31)
typedef struct {
    uint16_t scale, min;
    uint8_t  scales[12];
    uint8_t  q[QUANT_SUPER / 2];
} q4_k_block;
static_assert(sizeof(q4_k_block) == 144, "this is the file layout");

// Q5_K: as Q4_K with a fifth bit: byte i of `high`, bit j belongs to weight 32*j + i
typedef struct {
    uint16_t scale, min;
    uint8_t  scales[12];
    uint8_t  high[QUANT_SUPER / 8];
    uint8_t  q[QUANT_SUPER / 2];
} q5_k_block;
static_assert(sizeof(q5_k_block) == 176, "this is the file layout");

// Q6_K: 16 sub-blocks of 16; w = scale * s * (q - 32), s a signed byte, q of 6 bits
//   low:  for half h (128 weights): byte 64*h + i (i = 0..63) holds the low nibbles of weight 128*h + i and, in its
//   high half,
//         of weight 128*h + 64 + i
//   high: byte 32*h + i (i = 0..31) holds the upper two bits of weights 128*h + i + {0, 32, 64, 96}, from the low end
typedef struct {
    uint8_t  low[QUANT_SUPER / 2];
    uint8_t  high[QUANT_SUPER / 4];
    int8_t   scales[QUANT_SUPER / 16];
    uint16_t scale;
} q6_k_block;
static_assert(sizeof(q6_k_block) == 210, "this is the file layout");

// The 6-bit scale and min of sub-block j of a Q4_K or Q5_K block, from its 12 bytes:
//   byte   0..3                4..7                8..11
//        | s[j+4]>>4 | s[j] | m[j+4]>>4 | m[j] | m[j+4]&15 | s[j+4]&15 |      bits 7-6 | 5-0, bits 7-6 | 5-0, bits 7-4
//        | 3-0
QUANT_INLINE void k4_scale_min(int j, const uint8_t scales[12], uint8_t *s, uint8_t *m)
{
    if (j < 4) {
        *s = scales[j] & 63;
        *m = scales[j + 4] & 63;
    } else {
        *s = (uint8_t)((scales[j + 4] & 15) | (scales[j - 4] >> 6 << 4));
        *m = (uint8_t)((scales[j + 4] >> 4) | (scales[j] >> 6 << 4));
    }
}

// The 6-bit scale (0..63, to be taken minus 32) of sub-block j of a Q3_K block.
QUANT_INLINE int k3_scale(int j, const uint8_t scales[12])
{
    const int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    return low | (scales[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
}

#endif
