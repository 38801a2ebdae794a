// codec_inputs: rows of weights and importances for the golden codec vectors, from integers and correctly rounded float
// arithmetic alone, so that the program that asked ggml (make_codec_golden.c) and the test make the very same rows anywhere.
#ifndef HALLMARK_TESTS_CODEC_INPUTS_H
#define HALLMARK_TESTS_CODEC_INPUTS_H

#include <stdint.h>
#include <string.h>

enum {
    GOLDEN_COLS = 512, GOLDEN_KINDS = 16,           // one row of each kind, kept byte for byte
    GOLDEN_BATCH_COLS = 2048, GOLDEN_BATCH_ROWS = 480,  // and many rows, of which the digest is kept
};

typedef struct { uint64_t s; } input_rng;

static inline uint32_t input_next(input_rng *r)     // splitmix64, upper half
{
    uint64_t z = r->s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static inline float input_uniform(input_rng *r) { return (float)(input_next(r) >> 8) * 0x1p-24f; }

static inline float input_normal(input_rng *r)      // twelve uniforms less six: near enough, and exact everywhere
{
    float sum = -6;
    for (int i = 0; i < 12; i++) sum += input_uniform(r);
    return sum;
}

static inline float input_power_of_two(int exponent)    // -126 .. 127
{
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline float input_as_bf16(float v)          // truncated, as weights that were stored in BF16 look
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= 0xffff0000u;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// One row of n weights of the given kind. No kind overflows an F16 scale in any type.
static inline void input_row(float *x, int n, int kind, uint64_t seed)
{
    input_rng r = { seed * 1000003u + (uint64_t)kind };
    const float constant = input_normal(&r) * 0.05f;
    int exponent = 0;
    for (int i = 0; i < n; i++) {
        const float v = input_normal(&r), u = input_uniform(&r);
        if (i % 32 == 0) exponent = (int)(input_next(&r) % 24) - 20;
        switch (kind) {
        case 0:  x[i] = v * 0.02f; break;                                           // like trained weights
        case 1:  x[i] = v * 0.02f / (0.01f + u); break;                             // heavy tails
        case 2:  x[i] = u < 0.9f ? 0 : v; break;                                    // sparse
        case 3:  x[i] = constant; break;                                            // constant
        case 4:  x[i] = i / 16 % 2 ? constant : -constant; break;                   // constant by sub-block
        case 5:  x[i] = i % 3 == 0 ? -0.0f : 0.0f; break;                           // zeros
        case 6:  x[i] = v * 0x1p-130f; break;                                       // denormals
        case 7:  x[i] = v * 0x1p-120f * (float)(1 + i / 64); break;                 // scales that become denormal
        case 8:  x[i] = v * 9000.f; break;                                          // huge
        case 9:  x[i] = v * 0x1p-49f; break;                                        // about the size that counts as zero
        case 10: x[i] = input_as_bf16(v * 0.03f); break;                            // from BF16
        case 11: x[i] = (v < 0 ? -v : v) * 0.1f + 0.01f; break;                     // all positive
        case 12: x[i] = v * 0.01f - 0.3f; break;                                    // far from zero
        case 13: x[i] = v * input_power_of_two(exponent); break;                    // magnitudes by block
        case 14: x[i] = (float)((int)(input_next(&r) % 65) - 32) * 0.125f; break;   // many ties in rounding
        default: x[i] = i % 32 == (int)(seed % 32) ? v * 8 : v * 0.004f; break;     // one outlier a block
        }
    }
}

// Rows of one kind, or of all kinds in turn (kind == GOLDEN_KINDS), so that neighbours differ.
static inline void input_rows(float *x, int rows, int cols, int kind, uint64_t seed)
{
    for (int r = 0; r < rows; r++) input_row(x + r * cols, cols, kind == GOLDEN_KINDS ? r % kind : kind, (uint64_t)(100 * r) + seed);
}

// n weights whose magnitude changes every 16, so that sub-blocks vanish beside their neighbours.
static inline void input_mixed_magnitudes(float *x, int n, uint64_t seed)
{
    input_rng r = { seed };
    int exponent = 0;
    for (int i = 0; i < n; i++) {
        if (i % 16 == 0) exponent = (int)(input_next(&r) % 60) - 50;
        x[i] = input_normal(&r) * input_power_of_two(exponent);
    }
}

// Importances to go with it: like sums of squares, some of them 0, or wildly uneven, or all 0.
static inline void input_importance(float *w, int n, int kind, uint64_t seed)
{
    input_rng r = { seed * 7919u + 17u + (uint64_t)kind };
    for (int i = 0; i < n; i++) {
        const float v = input_normal(&r), u = input_uniform(&r);
        switch ((seed + (uint64_t)kind) % 5) {
        case 0:  w[i] = v * v; break;
        case 1:  w[i] = u < 0.3f ? 0 : v * v * 10; break;
        case 2:  w[i] = input_power_of_two((int)(input_next(&r) % 30) - 15) * u; break;
        case 3:  w[i] = i < n / 2 ? 0 : 1; break;
        default: w[i] = u; break;
        }
    }
}

#endif
