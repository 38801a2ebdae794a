// quant_bench: how fast one core encodes, for each type and SIMD level, on rows like trained weights.
//
//     quant_bench [--ggml libggml-base.so] [TYPE...]
//
// Columns: type; importance or not; million weights a second by the plain codec, by each level in lanes, GB/s of F32
// read at the best; how many times the plain codec; with --ggml, how many times ggml_quantize_chunk of that library,
// run here on the same rows (and whether the bytes are the same); and for the types with a search, the share of the
// bound: what this core could do if its vector units did nothing but the additions and multiplications that the search
// is defined by, at the rate measured here. Time is processor time of this thread.
#define _GNU_SOURCE
#include "quant/codec.h"

#include "../golden/codec_inputs.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 512, COLS = 2560 };
typedef size_t (*quantize_chunk)(int type, const float *src, void *dst, int64_t start, int64_t n_rows, int64_t n_cols,
                                 const float *importance);

// Additions and multiplications a weight without and with importance: attempts x (those of a fit and of its error),
// from search.c.
static const struct { dtype type; double plain, weighted; } operations[] = {
    { DT_Q4_K, 21 * 15 + 9, 37 * 15 + 9 }, { DT_Q5_K, 16 * 15 + 9, 37 * 15 + 9 }, { DT_Q2_K, 16 * 14 + 8, 37 * 15 + 9 },
    { DT_Q6_K, 19 * 8, 19 * 8 }, { DT_Q3_K, 0, 19 * 8 },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Best of several runs of at least 0.1 s, in weights a second.
static double measure(const codec *c, quantize_chunk ggml, uint8_t *dst, const float *x, const float *w)
{
    double best = 0;
    for (int run = 0; run < 3; run++) {
        const double from = now();
        double weights = 0, seconds;
        do {
            int64_t bad;
            err e = { 0 };
            const int rows = c && c->encode_rows ? ROWS : ROWS / 16;
            if (ggml) ggml((int)c->type, x, dst, 0, rows, COLS, w);
            else if (!codec_encode_rows(c, dst, x, rows, COLS, w, &bad, &e)) {
                fprintf(stderr, "%s\n", e.msg);
                exit(4);
            }
            weights += (double)rows * COLS;
            seconds = now() - from;
        } while (seconds < 0.1);
        if (weights / seconds > best) best = weights / seconds;
    }
    return best;
}

// Vector additions and multiplications, half of each, that depend on nothing nearby: operations a second on floats.
#if defined(__x86_64__)
typedef float v16 __attribute__((vector_size(64)));
__attribute__((target("avx512f"))) static double peak_avx512(void)
{
    // by name: an array stays in memory
    v16 a = { 0 }, b = a, c = a, d = a, f = a, g = a, m = a + 1.0f, n = m, o = m, p = m, q = m, r = m;
    const int64_t rounds = 50000000;
    const v16 factor = (v16){ 0 } + 1.0000001f;
    const double from = now();
    for (int64_t k = 0; k < rounds; k++) {
        a += 1.0f; b += 1.0f; c += 1.0f; d += 1.0f; f += 1.0f; g += 1.0f;
        m *= factor; n *= factor; o *= factor; p *= factor; q *= factor; r *= factor;
        __asm__ volatile(""
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(f), "+v"(g), "+v"(m), "+v"(n), "+v"(o), "+v"(p),
                           "+v"(q), "+v"(r));
    }
    return 12.0 * 16 * (double)rounds / (now() - from);
}
#endif

static double peak_operations(void)
{
#if defined(__x86_64__)
    if (simd_best() == SIMD_AVX512) return peak_avx512();
#endif
    return 0;               // not measured at the other levels
}

static double bound_of(dtype t, bool weighted, double peak)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        const double n = weighted ? operations[i].weighted : operations[i].plain;
        if (operations[i].type == t && n > 0) return peak / n;
    }
    return 0;
}

typedef struct { uint8_t *dst, *other; float *x, *w; quantize_chunk ggml; double peak; } bench;

static void print_ggml(const bench *b, dtype t, const float *w, double best)
{
    int64_t n, bad;
    err e = { 0 };
    if (!b->ggml) { printf("  %8s  %5s", "-", "-"); return; }
    b->ggml((int)t, b->x, b->other, 0, ROWS, COLS, w);
    const bool same = dtype_row_bytes(t, COLS, &n) &&
                      codec_encode_rows(codec_find(t), b->dst, b->x, ROWS, COLS, w, &bad, &e) &&
                      memcmp(b->dst, b->other, (size_t)(n * ROWS)) == 0;
    printf("  %7.1fx  %5s", best / measure(codec_at(t, SIMD_PLAIN), b->ggml, b->other, b->x, w),
           same ? "same" : "DIFFER");
}

static void bench_type(const bench *b, dtype t, bool weighted)
{
    const float *w = weighted ? b->w : NULL;
    const double plain = measure(codec_at(t, SIMD_PLAIN), NULL, b->dst, b->x, w);
    double best = plain;
    printf("%-5s %-10s %9.1f", dtype_name(t), weighted ? "importance" : "", plain / 1e6);
    for (simd_level l = SIMD_PORTABLE; l <= SIMD_AVX512; l++) {
        if (l > simd_best() || !codec_at(t, l)->encode_rows) { printf(" %9s", "-"); continue; }
        const double rate = measure(codec_at(t, l), NULL, b->dst, b->x, w);
        printf(" %9.1f", rate / 1e6);
        if (rate > best) best = rate;
    }
    printf("  %6.2f  %7.1fx", best * 4 / 1e9, best / plain);
    print_ggml(b, t, w, best);
    const double bound = bound_of(t, weighted, b->peak);
    if (bound > 0) printf("  %5.0f %%\n", 100 * best / bound);
    else           printf("  %7s\n", "-");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    bench b = { .dst = malloc(4 * ROWS * COLS),
                .other = malloc(4 * ROWS * COLS),
                .x = malloc(4 * ROWS * COLS),
                .w = malloc(4 * COLS) };
    int n, first = 1;
    const codec *c = codec_table(&n);
    if (!b.dst || !b.other || !b.x || !b.w) return 4;
    if (argc > 2 && strcmp(argv[1], "--ggml") == 0) {
        void *library = dlopen(argv[2], RTLD_NOW);
        void *symbol  = library ? dlsym(library, "ggml_quantize_chunk") : NULL;
        if (!symbol) { fprintf(stderr, "%s: %s\n", argv[2], dlerror()); return 3; }
        memcpy(&b.ggml, &symbol, sizeof symbol);
        first = 3;
    }
    b.peak = peak_operations();
    for (int r = 0; r < ROWS; r++) input_row(b.x + r * COLS, COLS, 10, (uint64_t)r);
    input_importance(b.w, COLS, 0, 0);
    if (b.peak > 0) printf("peak: %.0f thousand million additions and multiplications a second\n", b.peak / 1e9);
    printf("%-5s %-10s %9s %9s %9s %9s  %6s  %8s  %8s  %5s  %7s\n", "type", "", "plain M/s", "portable", "avx2",
           "avx512", "GB/s", "to plain", "to ggml", "bytes", "of bound");
    for (int i = 0; i < n; i++) {
        bool wanted = first == argc;
        for (int k = first; k < argc; k++)
            wanted |= dtype_find_name(argv[k]) && dtype_find_name(argv[k])->id == c[i].type;
        if (!wanted || c[i].type == DT_F32) continue;
        bench_type(&b, c[i].type, false);
        if (dtype_find(c[i].type)->block_weights > 1 && c[i].type != DT_Q8_0) bench_type(&b, c[i].type, true);
    }
    return 0;
}
