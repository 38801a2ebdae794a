// mma: what a product on the tensor cores is made of (compute capability 8.0 on): fragments out of shared memory, the
// product of two fragments. On the processor each is its definition, see device/host. Copies into shared memory:
// async.cuh.
#ifndef HALLMARK_RUNTIME_CUDA_MMA_CUH
#define HALLMARK_RUNTIME_CUDA_MMA_CUH

#include "async.cuh"

// An older device gets these kernels too, and never launches them: there the instructions are left out.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define HAS_TENSOR_CORES 1
#endif

// ---- fragments ------------------------------------------------------------------------------------------------------

// Four matrices of 8 x 8 16-bit numbers, one instruction of a warp: row i of matrix j is the 16 bytes at the address of
// lane 8 j + i. Lane l gets, as r[j], elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4 of matrix j.
DEV void load_matrices(uint32_t r[4], shared_address at)
{
#ifndef __CUDACC__
    const uint64_t *all = host_warp_exchange(HOST_LOAD_MATRICES, ALL_LANES, (uint64_t)(uintptr_t)at);
    const int lane = host_lane();
    for (int j = 0; j < 4; j++) memcpy(&r[j], (const uint8_t *)(uintptr_t)all[8 * j + lane / 4] + 4 * (lane % 4), 4);
#elif defined(HAS_TENSOR_CORES)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#endif
}

// ---- the product ----------------------------------------------------------------------------------------------------

#ifndef __CUDACC__
// c + sum of a[k] b[k] as a careless tensor core would add it: every term cut (not rounded) at 2^-24 of the largest,
// the sum cut to F32. A model that is meant to lose as much as any device that has the instruction, not a description
// of one.
static inline float host_truncated_sum(float c, const float a[16], const float b[16])
{
    enum { KEPT = 24 };
    double term[17], sum = c, largest = fabs((double)c);
    term[16] = c;
    for (int k = 0; k < 16; k++) {
        term[k] = (double)a[k] * (double)b[k];              // exact
        if (fabs(term[k]) > largest) largest = fabs(term[k]);
        sum += term[k];
    }
    if (!(fabs(sum) < (double)INFINITY)) return (float)sum;     // a term is not finite
    if (largest == 0) return 0.0f;
    uint64_t bits;
    memcpy(&bits, &largest, sizeof bits);
    const int64_t exponent = (int64_t)(bits >> 52) - 1023;  // of F32 numbers' products: never subnormal as a double
    const uint64_t up_bits = (uint64_t)(KEPT - exponent + 1023) << 52, down_bits = (uint64_t)(exponent - KEPT + 1023)
                                                                                   << 52;
    double up, down;
    memcpy(&up, &up_bits, sizeof up);
    memcpy(&down, &down_bits, sizeof down);
    int64_t whole = 0;
    for (int k = 0; k < 17; k++) whole += (int64_t)(term[k] * up);
    const double exact = (double)whole * down;
    const float nearest = (float)exact;
    return fabs((double)nearest) > fabs(exact) ? nextafterf(nearest, 0.0f) : nearest;
}

struct host_operands { const uint32_t *a, *b; };

static inline void host_mma(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    const host_operands mine = { a, b };
    const uint64_t *all = host_warp_exchange(HOST_MMA, ALL_LANES, (uint64_t)(uintptr_t)&mine);
    const int lane = host_lane(), g = lane / 4, t = lane % 4;
    float row[2][16], column[2][16];
    for (int k = 0; k < 16; k++) {
        const int from = k % 8 / 2, shift = 16 * (k % 2);
        const uint32_t *from_a = ((const host_operands *)(uintptr_t)all[4 * g + from])->a;
        for (int i = 0; i < 2; i++) {
            const uint32_t *from_b = ((const host_operands *)(uintptr_t)all[4 * (2 * t + i) + from])->b;
            row[i][k] = f32_of_bf16(from_a[i + 2 * (k / 8)] >> shift & 0xffff);
            column[i][k] = f32_of_bf16(from_b[k / 8] >> shift & 0xffff);
        }
    }
    for (int i = 0; i < 4; i++) c[i] = host_truncated_sum(c[i], row[i / 2], column[i % 2]);
    __syncwarp();                               // nobody's operands go before all have read them
}
#endif

// c += A B, one instruction of a warp: A 16 x 16 BF16 (rows of W), B 16 x 8 BF16 (tokens), c 16 x 8 F32. With g = lane
// / 4, t = lane % 4:
//   a[0], a[2]: row g, columns 2t, 2t + 1 (+ 8)     a[1], a[3]: row g + 8, the same     b[0], b[1]: column g, rows 2t,
//   2t + 1 (+ 8) c[0], c[1]: row g, columns 2t, 2t + 1           c[2], c[3]: row g + 8, the same
DEV void mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
#ifndef __CUDACC__
    host_mma(c, a, b);
#elif defined(HAS_TENSOR_CORES)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#endif
