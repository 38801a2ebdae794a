// cuda_both: for tests that hold the CUDA backend against the CPU's: random operands, memory on either backend, results
// compared.
#ifndef HALLMARK_TESTS_CUDA_BOTH_H
#define HALLMARK_TESTS_CUDA_BOTH_H

#include "quant/codec.h"
#include "cuda_where.h"
#include "kv_case.h"
#include "one_op.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err e;
static uint32_t seed;

static inline void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static float random_float(void)     // mostly around 1, some tiny, some large, some zero
{
    seed = seed * 1664525u + 1013904223u;
    const float u = (float)(seed >> 8) / 16777216.0f - 0.5f;
    switch (seed >> 3 & 31) {
    case 0: return 0.0f;
    case 1: return u * 1e-20f;
    case 2: return u * 40.0f;
    default: return u * 3.0f;
    }
}

static inline float *random_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++) x[i] = random_float();
    return x;
}

// ---- the same operation on both backends ----------------------------------------------------------------------------

enum { CPU, GPU, N_BACKENDS };
static backend *on[N_BACKENDS];

static inline void open_backends(arith a)
{
    on[CPU] = backend_cpu(a, 1, NULL, &e);
    on[GPU] = backend_cuda(a, false, &e);
    must(on[CPU] && on[GPU]);
}

static inline void close_backends(void)
{
    for (int i = 0; i < N_BACKENDS; i++) on[i]->ops->close(on[i]);
    ck_assert_int_eq(host_calls_live(), 0);
}

// Memory of a backend filled from the host (NULL: with what no result is).
static inline float *put(int i, const float *x, int64_t n)
{
    void *p = NULL;
    must(on[i]->ops->alloc(on[i], &p, n * (int64_t)sizeof(float), "test", &e));
    float *poison = malloc((size_t)n * sizeof(float) + 1);
    memset(poison, 0x7b, (size_t)n * sizeof(float));
    must(on[i]->ops->upload(on[i], p, x ? x : poison, n * (int64_t)sizeof(float), &e));
    free(poison);
    return p;
}

static inline float *take(int i, float *p, int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    must(on[i]->ops->download(on[i], x, p, n * (int64_t)sizeof(float), &e));
    on[i]->ops->release(on[i], p);
    return x;
}

// Bits, so that the sign of zero counts. A NaN equals any NaN: its sign and payload are the processor's business (x86
// makes an operand quiet and keeps the rest, or makes ffc00000; an NVIDIA device gives 7fffffff), and nothing that this
// project does reads them.
static inline void same(const float *want, const float *got, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&want[i], &got[i], sizeof *want) != 0 && !(isnan(want[i]) && isnan(got[i]))) {
            uint32_t w, g;
            memcpy(&w, &want[i], 4);
            memcpy(&g, &got[i], 4);
            ck_abort_msg("%s: element %lld of %lld: the CPU gives %.9g (%08x), the kernel %.9g (%08x)", what,
                         (long long)i, (long long)n, (double)want[i], w, (double)got[i], g);
        }
}

// Brings the results of both backends home, compares and frees them.
static inline void same_on_both(float *p[N_BACKENDS], int64_t n, const char *what)
{
    float *want = take(CPU, p[CPU], n), *got = take(GPU, p[GPU], n);
    same(want, got, n, what);
    free(want);
    free(got);
}

static inline gguf_tensor random_tensor(dtype t, int64_t rows, int64_t cols, uint8_t **bytes)
{
    int64_t row_bytes;
    must(dtype_row_bytes(t, cols, &row_bytes));
    *bytes = aligned_alloc(64, (size_t)(rows * row_bytes + 63) / 64 * 64 + 64);
    float *x = random_floats(cols);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) x[c] = random_float();
        must(codec_find(t)->encode_row(*bytes + r * row_bytes, x, cols, NULL, &e));
    }
    free(x);
    return (gguf_tensor){ .name = "test.weight",
                          .type = t,
                          .n_dims = 2,
                          .shape = { rows, cols, 1, 1 },
                          .n_elems = rows * cols,
                          .n_bytes = rows * row_bytes,
                          .data = *bytes };
}

static inline int64_t block_of(dtype t) { return dtype_find(t)->block_weights; }

// ---- runs -----------------------------------------------------------------------------------------------------------

static const struct { arith a; unsigned order; } runs[] = { { ARITH_F32, 0 }, { ARITH_BF16, 1 }, { ARITH_F32, 7 } };
enum { N_RUNS = sizeof runs / sizeof *runs };

// How many of them: under a sanitizer, of the processor or (HALLMARK_TEST_RUNS=1) of the device, one says as much as
// three.
static inline int runs_asked(void)
{
#ifdef __SANITIZE_ADDRESS__
    static bool said;
    if (!said) printf("SMALLER under sanitizers: one arithmetic and order of threads of %d\n", (int)N_RUNS);
    said = true;
    return 1;
#else
    const char *v = getenv("HALLMARK_TEST_RUNS");
    const int n = v ? atoi(v) : N_RUNS;
    return n < 1 || n > N_RUNS ? N_RUNS : n;
#endif
}

static inline void begin(int run)
{
    host_calls_order(runs[run].order);
    seed = 12345u + (uint32_t)run;
    open_backends(runs[run].a);
}

#endif
