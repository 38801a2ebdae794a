// Products of the CPU's kernels on one core, in GFLOP/s, and as a share of what the core's multipliers can do, measured
// in the same run: independent fused multiply-adds in registers.
//
//     product_bench [tokens [avx2|avx512]]
#include "quant/codec.h"
#include "runtime/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 5, CHAINS = 12, TIMES = 4000000 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- the limit ------------------------------------------------------------------------------------------------------

#if defined(__x86_64__)
#define CHAINS_OF(name, target_, vec, set1, fma)                                                        \
    __attribute__((target(target_))) static float name(void)                                           \
    {                                                                                                   \
        vec acc[CHAINS];                                                                                \
        const vec x = set1(0.999f), y = set1(0.001f);                                                   \
        float first;                                                                                    \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = set1((float)i);              \
        for (int n = 0; n < TIMES; n++)                                                                 \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = fma(acc[i], x, y);       \
        _Pragma("GCC unroll 12") for (int i = 1; i < CHAINS; i++) acc[0] = fma(acc[i], x, acc[0]);      \
        memcpy(&first, &acc[0], sizeof first);                                                          \
        return first;                                                                                   \
    }
CHAINS_OF(chains_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps)
CHAINS_OF(chains_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps)

static double limit(const char *level)
{
    const bool wide = strcmp(level, "avx512") == 0;
    double best = 0;
    volatile float kept = 0;
    if (!wide && strcmp(level, "avx2") != 0) return 0;
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = seconds();
        kept = kept + (wide ? chains_avx512() : chains_avx2());
        const double rate = 2.0 * CHAINS * (wide ? 16 : 8) * TIMES / (seconds() - begin) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}
#else
static double limit(const char *level) { (void)level; return 0; }
#endif

// ---- products -------------------------------------------------------------------------------------------------------

static void *room(int64_t n_bytes)
{
    void *p = aligned_alloc(64, ((size_t)n_bytes + 63) / 64 * 64);
    if (!p) { fprintf(stderr, "out of memory\n"); exit(1); }
    return p;
}

static void fill(float *x, int64_t n)
{
    uint32_t seed = 1;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 24) - 0.5f;
    }
}

static uint8_t *encoded(dtype type, int64_t rows, int64_t cols, int64_t row_bytes)
{
    err e = { 0 };
    uint8_t *w = room(rows * row_bytes);
    float *x = room(cols * (int64_t)sizeof *x);
    fill(x, cols);
    for (int64_t r = 0; r < rows; r++)
        if (!codec_find(type)->encode_row(w + r * row_bytes, x, cols, NULL, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            exit(1);
        }
    free(x);
    return w;
}

static double rate(const cpu_kernels *k, dtype type, int64_t cols, int64_t rows, int n)
{
    int64_t row_bytes;
    double best = 0;
    if (!dtype_row_bytes(type, cols, &row_bytes)) return 0;
    uint8_t *data = encoded(type, rows, cols, row_bytes);
    const weight w = { .type = type, .rows = rows, .cols = cols, .data = data };
    float *x = room(n * cols * (int64_t)sizeof *x), *y = room(n * rows * (int64_t)sizeof *y);
    float *scratch = room(KERNEL_TILE_ROWS * matmul_stride(cols) * (int64_t)sizeof *scratch);
    fill(x, n * cols);
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = seconds();
        k->matmul(y, rows, &w, 0, rows, x, n, false, scratch);
        const double found = 2.0 * (double)(rows * cols * n) / (seconds() - begin) / 1e9;
        if (found > best) best = found;
    }
    void *mine[] = { data, x, y, scratch };
    for (int i = 0; i < 4; i++) free(mine[i]);
    return best;
}

int main(int argc, char **argv)
{
    // In and out of feed-forward blocks: SmolLM2 135M, Gemma 3 270M, Gemma 4 E4B and 31B.
    static const int shapes[][2] = { { 576, 1536 }, { 1536, 576 }, { 640, 2048 }, { 2048, 640 }, { 2560, 4096 },
                                     { 5376, 2048 } };
    static const dtype types[] = { DT_F32, DT_BF16, DT_Q8_0, DT_Q4_K };
    const int n = argc > 1 ? atoi(argv[1]) : 128;
    err e = { 0 };
    const cpu_kernels *k = cpu_kernels_pick(argc > 2 ? argv[2] : "auto", &e);
    if (!k || n < 1) { fprintf(stderr, "product_bench: %s\n", k ? "tokens: expected 1 or more" : e.msg); return 2; }
    const double most = limit(k->name);
    printf("%s, %d tokens; limit of the core %.1f GFLOP/s\n", k->name, n, most);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        printf("%5d columns, %5d rows:", shapes[s][0], shapes[s][1]);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            const double found = rate(k, types[t], shapes[s][0], shapes[s][1], n);
            if (found > 0 && most > 0) printf("  %s %.1f (%.2f)", dtype_name(types[t]), found, found / most);
            else if (found > 0)        printf("  %s %.1f", dtype_name(types[t]), found);
        }
        printf("\n");
    }
    return 0;
}
