// Proves runtime/cpu/kernels.h: every SIMD level gives the portable level's bits, and the portable level is right by
// sums in double and by the plain decoders of quant/.
#include "quant/codec.h"
#include "runtime/cpu/kernels.h"
#include "kv_case.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;
static double uniform(void)     // xorshift64*, [-1, 1)
{
    seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
    return (double)((seed * 2685821657736338717ull) >> 11) / 4503599627370496.0 - 1.0;
}

static void fill(float *x, int64_t n, float size) { for (int64_t i = 0; i < n; i++) x[i] = size * (float)uniform(); }

static const char *level_names[] = { "portable", "avx2", "avx512" };

// The levels this processor has beside the portable one; says which it lacks.
static int other_levels(const cpu_kernels *k[2])
{
    int n = 0;
    for (int i = 1; i < 3; i++) {
        err e = { 0 };
        const cpu_kernels *l = cpu_kernels_pick(level_names[i], &e);
        if (l) k[n++] = l; else fprintf(stderr, "SKIP %s: %s\n", level_names[i], e.msg);
    }
    return n;
}

static const dtype all_types[] = { DT_F32,  DT_F16,  DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q5_0,
                                   DT_Q5_1, DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K };
enum { N_TYPES = sizeof all_types / sizeof *all_types };

static void *encoded(dtype t, int64_t rows, int64_t cols, int64_t *row_bytes)
{
    ck_assert(dtype_row_bytes(t, cols, row_bytes));
    float *src = malloc((size_t)cols * sizeof *src);
    uint8_t *w = malloc((size_t)(rows * *row_bytes));
    for (int64_t r = 0; r < rows; r++) {
        err e = { 0 };
        fill(src, cols, 0.1f);
        ck_assert_msg(codec_find(t)->encode_row(w + r * *row_bytes, src, cols, NULL, &e), "%s", e.msg);
    }
    free(src);
    return w;
}

START_TEST(decoders_give_the_plain_decoders_bits)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    seed = 88172645463325252ull;
    for (int t = 0; t < N_TYPES; t++) {
        int64_t row_bytes;
        uint8_t *w = encoded(all_types[t], 4, 768, &row_bytes);
        float want[768], got[768];
        for (int64_t r = 0; r < 4; r++) {
            codec_find(all_types[t])->decode_row(want, w + r * row_bytes, 768);
            for (int l = 0; l < n; l++) {
                memset(got, 0xff, sizeof got);
                k[l]->decode_row(got, w + r * row_bytes, 768, all_types[t]);
                ck_assert_msg(memcmp(got, want, sizeof got) == 0, "%s at %s", dtype_name(all_types[t]), k[l]->name);
            }
        }
        free(w);
    }
}
END_TEST

// Random bytes are blocks no encoder makes: extreme scales, all codes. NaN scales are compared as NaN.
START_TEST(decoders_agree_on_arbitrary_bytes)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    seed = 1234567;
    for (int t = 3; t < N_TYPES; t++) {
        int64_t row_bytes;
        ck_assert(dtype_row_bytes(all_types[t], 256, &row_bytes));
        uint8_t w[1024];
        float want[256], got[256];
        for (int round = 0; round < 500; round++) {
            for (int64_t i = 0; i < row_bytes; i++) w[i] = (uint8_t)(128 + 128 * uniform());
            codec_find(all_types[t])->decode_row(want, w, 256);
            for (int l = 0; l < n; l++) {
                k[l]->decode_row(got, w, 256, all_types[t]);
                for (int i = 0; i < 256; i++)
                    ck_assert_msg(memcmp(&got[i], &want[i], 4) == 0 || (isnan(got[i]) && isnan(want[i])),
                                  "%s at %s, weight %d: %a, expected %a", dtype_name(all_types[t]), k[l]->name, i,
                                  (double)got[i], (double)want[i]);
            }
        }
    }
}
END_TEST

// The order of backend.h, word for word: sixteen sums a span, added to those of the spans before, joined by the tree.
static float product_by_definition(const float *w, const float *x, int64_t cols)
{
    float total[REDUCE_LANES] = { 0 };
    for (int64_t from = 0; from < cols; from += COLUMN_SPAN) {
        float sum[REDUCE_LANES] = { 0 };
        for (int64_t c = from; c < cols && c < from + COLUMN_SPAN; c++)
            sum[c % REDUCE_LANES] = fmaf(w[c], x[c], sum[c % REDUCE_LANES]);
        for (int i = 0; i < REDUCE_LANES; i++) total[i] = total[i] + sum[i];
    }
    for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) total[i] = total[i] + total[i + half];
    return total[0];
}

static void check_matmul(dtype t, int64_t rows, int64_t cols, int n, const cpu_kernels *const *k, int n_levels)
{
    int64_t row_bytes;
    uint8_t *data = encoded(t, rows, cols, &row_bytes);
    weight w = { .type = t, .rows = rows, .cols = cols, .data = data, .name = "w" };
    float *x = malloc((size_t)(n * cols) * sizeof *x), *row = malloc((size_t)cols * sizeof *row);
    float *want = malloc((size_t)(n * rows) * sizeof *want), *got = malloc((size_t)(n * rows) * sizeof *got);
    float *scratch = malloc((size_t)(KERNEL_TILE_ROWS * matmul_stride(cols)) * sizeof *scratch);
    fill(x, n * cols, 1.0f);
    cpu_kernels_portable.matmul(want, rows, &w, 0, rows, x, n, false, scratch);
    for (int64_t r = 0; r < rows; r++) {
        codec_find(t)->decode_row(row, data + r * row_bytes, cols);
        for (int i = 0; i < n; i++) {
            double sum = 0, size = 0;
            ck_assert(want[i * rows + r] == product_by_definition(row, x + i * cols, cols));
            for (int64_t c = 0; c < cols; c++) {
                sum += (double)row[c] * x[i * cols + c];
                size += fabs((double)row[c] * x[i * cols + c]);
            }
            // A sum of cols terms in sixteen parts: each addition may be off by half an ulp of the partial sum.
            ck_assert(fabs(want[i * rows + r] - sum) <= size * (double)(cols / 16 + 6) * 0x1p-24);
        }
    }
    for (int l = 0; l < n_levels; l++) {
        memset(got, 0xff, (size_t)(n * rows) * sizeof *got);
        // In two calls and token by token: the split may not matter.
        k[l]->matmul(got, rows, &w, 0, rows / 2, x, n, false, scratch);
        for (int i = 0; i < n; i++)
            k[l]->matmul(got + i * rows, rows, &w, rows / 2, rows, x + i * cols, 1, false, scratch);
        ck_assert_msg(memcmp(got, want, (size_t)(n * rows) * sizeof *got) == 0, "%s %lld x %lld, %d tokens at %s",
                      dtype_name(t), (long long)rows, (long long)cols, n, k[l]->name);
    }
    free(data); free(x); free(row); free(want); free(got); free(scratch);
}

START_TEST(products_are_the_same_at_every_level_and_split)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    seed = 42;
    for (int t = 0; t < N_TYPES; t++) {
        const int64_t cols = t < 3 ? 37 : 512;      // plain types take any width
        check_matmul(all_types[t], 11, cols, 1, k, n);
        check_matmul(all_types[t], 7, cols, 9, k, n);
        check_matmul(all_types[t], 1, t < 3 ? 5 : 256, 3, k, n);
        // several spans
        check_matmul(all_types[t], 13, t < 3 ? 2 * COLUMN_SPAN + 21 : 2 * COLUMN_SPAN + 256, 1, k, n);
        // and more tokens than a tile keeps
        check_matmul(all_types[t], 8, t < 3 ? COLUMN_SPAN + 16 : 3 * COLUMN_SPAN, 41, k, n);
    }
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sys/wait.h>
#include <unistd.h>

// What AddressSanitizer calls before it prints a report: those that are wanted here take seconds to print.
static bool report_is_wanted;
void __asan_on_error(void)
{
    if (report_is_wanted) _exit(1);
}

// One product in a process of its own, of rows or an input that end `short_by` values early; whether that ended it.
enum { READ_ROWS = 5, READ_COLS = 64, READ_TOKENS = 3 };
static bool ends_the_program(const cpu_kernels *k, dtype t, int n_tokens, int64_t rows_short_by, int64_t input_short_by)
{
    fflush(NULL);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        const size_t size = t == DT_F32 ? sizeof(float) : sizeof(uint16_t);
        const int64_t n_w = READ_ROWS * READ_COLS - rows_short_by, n_x = n_tokens * READ_COLS - input_short_by;
        void *data = calloc((size_t)n_w, size);
        float *x = calloc((size_t)n_x, sizeof *x);
        float dst[READ_TOKENS * READ_ROWS], scratch[KERNEL_TILE_ROWS * (READ_COLS + 32)];
        const weight w = { .type = t, .rows = READ_ROWS, .cols = READ_COLS, .data = data, .name = "w" };
        report_is_wanted = true;
        k->matmul(dst, READ_ROWS, &w, 0, READ_ROWS, x, n_tokens, false, scratch);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

// The innermost loop of many tokens runs without checks of each element: what it reads was checked before
// (kernels.inc).
START_TEST(a_product_reads_nothing_beyond_its_operands)
{
    static const dtype types[] = { DT_F32, DT_BF16, DT_F16 };
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    for (int i = 0; i < 3 * n; i++)
        for (int tokens = 1; tokens <= READ_TOKENS; tokens += READ_TOKENS - 1) {
            const cpu_kernels *level = k[i / 3];
            const dtype t = types[i % 3];
            ck_assert(!ends_the_program(level, t, tokens, 0, 0));
            ck_assert_msg(ends_the_program(level, t, tokens, 1, 0), "%s, %s, %d tokens: rows that end early are read",
                          level->name, dtype_name(t), tokens);
            ck_assert_msg(ends_the_program(level, t, tokens, 0, 1),
                          "%s, %s, %d tokens: an input that ends early is read", level->name, dtype_name(t), tokens);
        }
}
END_TEST
#endif

START_TEST(exp_and_tanh_are_close_everywhere)
{
    // Through the operations that use them: softcap(x, 1) is tanh, gelu at large x is x.
    for (double x = -12; x < 12; x += 1.0 / 257) {
        float v = (float)x;
        cpu_kernels_portable.softcap(&v, 1.0f, 1, false);
        const double want = tanh((double)(float)x);
        ck_assert_msg(fabs(v - want) <= 1.5e-7 * fabs(want) + 1e-30, "tanh(%g): %.9g, expected %.9g", x, v, want);
        v = (float)x;
        cpu_kernels_portable.gelu(&v, 1, false);
        const double y = (double)(float)x, g = 0.5 * y * (1 + tanh(0.7978845608028654 * (y + 0.044715 * y * y * y)));
        ck_assert_msg(fabs(v - g) <= 2.5e-7 * fabs(y), "gelu(%g): %.9g, expected %.9g", x, v, g);
    }
    float bad[] = { NAN, INFINITY, -INFINITY };
    cpu_kernels_portable.softcap(bad, 30.0f, 3, false);
    ck_assert(isnan(bad[0]) && bad[1] == 30.0f && bad[2] == -30.0f);
}
END_TEST

START_TEST(elementwise_operations_agree_between_levels)
{
    const cpu_kernels *k[2];
    const int n = other_levels(k);
    enum { N = 1003 };
    static float a[N], b[N], want[8][N], got[N];
    seed = 7;
    fill(a, N, 8.0f);
    fill(b, N, 2.0f);
    a[17] = NAN; a[1001] = INFINITY; a[1002] = -INFINITY; a[3] = 0.0f; a[4] = -0.0f; a[5] = 1e-40f;
    for (int round = 0; round < 2; round++)
        for (int l = -1; l < n; l++) {
            const cpu_kernels *c = l < 0 ? &cpu_kernels_portable : k[l];
            for (int f = 0; f < 8; f++) {
                memcpy(got, a, sizeof got);
                if (f == 0) c->add(got, a, b, N, round);
                if (f == 1) c->mul(got, a, b, N, round);
                if (f == 2) c->scale(got, 0.3f, N, round);
                if (f == 3) c->gelu(got, N, round);
                if (f == 4) c->geglu(got, b, N, round);
                if (f == 6) c->silu(got, N, round);
                if (f == 7) c->swiglu(got, b, N, round);
                if (f == 5) c->softcap(got, 30.0f, N, round);
                if (l < 0) { memcpy(want[f], got, sizeof got); continue; }
                for (int i = 0; i < N; i++)
                    ck_assert_msg(memcmp(&got[i], &want[f][i], 4) == 0 || (isnan(got[i]) && isnan(want[f][i])),
                                  "operation %d at %s, element %d", f, c->name, i);
            }
        }
}
END_TEST

START_TEST(norm_rotation_and_rounding)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    enum { D = 70 };
    float x[D], w[D], y[D], first[D], c[D / 2], s[D / 2];
    seed = 99;
    for (int round = 0; round < 2; round++) {
        fill(x, D, 3.0f);
        fill(w, D, 1.0f);
        for (int i = 0; i < D / 2; i++) { const double t = uniform(); c[i] = (float)cos(t); s[i] = (float)sin(t); }
        if (round) for (int i = 0; i < D; i++) x[i] = f32_from_bf16(bf16_from_f32(x[i]));
        for (int l = 0; l < n; l++) {
            k[l]->rms_norm(y, x, w, D, 1e-6f, round, false);
            double ms = 0;
            for (int i = 0; i < D; i++) ms += (double)x[i] * x[i];
            const double inv = 1 / sqrt(ms / D + 1e-6);
            for (int i = 0; i < D; i++)
                ck_assert(fabs(y[i] - x[i] * inv * w[i]) <= (round ? 0x1p-8 : 1e-6) * fabs(x[i] * inv * w[i]) + 1e-12);
            if (round) for (int i = 0; i < D; i++) ck_assert(y[i] == f32_from_bf16(bf16_from_f32(y[i])));
            k[l]->rotate(y, c, s, D, round);
            if (l == 0) memcpy(first, y, sizeof y);
            ck_assert_msg(memcmp(first, y, sizeof y) == 0, "at %s", k[l]->name);
        }
    }
    k[0]->rms_norm(y, x, NULL, D, 1e-6f, false, false);
    float copy[D];
    memcpy(copy, y, sizeof y);
    k[0]->rotate(y, c, s, D, false);
    for (int i = 0; i < D / 2; i++) {
        ck_assert(y[i] == copy[i] * c[i] - copy[D / 2 + i] * s[i]);
        ck_assert(y[D / 2 + i] == copy[D / 2 + i] * c[i] + copy[i] * s[i]);
    }
}
END_TEST

// Attention against sums in double, over a ring buffer that has wrapped, for each cache dtype and level.
START_TEST(attention_over_a_wrapped_ring)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    static const dtype types[] = { DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q5_1, DT_Q5_0, DT_Q4_1, DT_Q4_0, DT_IQ4_NL };
    enum { HD = 64, KVH = 2, CAP = 23, LAST = 57, WINDOW = 20 };
    seed = 5;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        kv_layer kv = kv_case(types[t], types[t], KVH, HD, CAP);
        const int64_t unit = kv.k.unit;
        kv.k.data = calloc(CAP, (size_t)unit);
        kv.v.data = calloc(CAP, (size_t)unit);
        static float keys[LAST + 1][KVH * HD], values[LAST + 1][KVH * HD];
        for (int p = 0; p <= LAST; p++) {
            err e = { 0 };
            fill(keys[p], KVH * HD, 0.5f);
            fill(values[p], KVH * HD, 1.0f);
            uint8_t *ks = (uint8_t *)kv.k.data + (p % CAP) * unit, *vs = (uint8_t *)kv.v.data + (p % CAP) * unit;
            ck_assert(codec_of_cache(types[t])->encode_row(ks, keys[p], KVH * HD, NULL, &e) &&
                      codec_of_cache(types[t])->encode_row(vs, values[p], KVH * HD, NULL, &e));
            codec_of_cache(types[t])->decode_row(keys[p], ks, KVH * HD);        // what the cache holds
            codec_of_cache(types[t])->decode_row(values[p], vs, KVH * HD);
        }
        float q[HD], out[HD], first[HD], scores[WINDOW + 16], row[(1 + REDUCE_LANES) * HD];
        fill(q, HD, 1.0f);
        attention_args a = { .kv = &kv, .n = 1, .n_head = 4, .pos0 = LAST, .window = WINDOW, .scale = 0.7f };
        const int64_t lo = LAST - WINDOW + 1;
        double want[HD] = { 0 }, sum = 0;
        for (int64_t p = lo; p <= LAST; p++) {
            double dot = 0;
            for (int i = 0; i < HD; i++) dot += (double)q[i] * keys[p][HD + i];
            sum += exp(0.7 * dot);
            for (int i = 0; i < HD; i++) want[i] += exp(0.7 * dot) * values[p][HD + i];
        }
        for (int l = 0; l < n; l++) {
            memset(out, 0xff, sizeof out);
            k[l]->attend(out, q, &a, 1, lo, LAST, false, scores, row, FAULT_NONE);
            for (int i = 0; i < HD; i++)
                ck_assert_msg(fabs(out[i] - want[i] / sum) <= 2e-6, "%s at %s: %g, expected %g", dtype_name(types[t]),
                              k[l]->name, out[i], want[i] / sum);
            if (l == 0) memcpy(first, out, sizeof out);
            ck_assert_msg(memcmp(first, out, sizeof out) == 0, "%s at %s", dtype_name(types[t]), k[l]->name);
        }
        free(kv.k.data);
        free(kv.v.data);
    }
}
END_TEST

// More keys than one span: the spans' sums are joined into the whole, at every level alike.
START_TEST(attention_over_several_spans)
{
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    enum { HD = 20, KEYS = 2 * KEY_SPAN + 37 };
    static float keys[KEYS][HD], values[KEYS][HD], scores[KEYS + 16];
    float q[HD], out[HD], first[HD], row[(1 + REDUCE_LANES) * HD];
    double want[HD] = { 0 }, sum = 0;
    seed = 6;
    fill(keys[0], KEYS * HD, 0.3f);
    fill(values[0], KEYS * HD, 1.0f);
    fill(q, HD, 1.0f);
    kv_layer kv = kv_case(DT_F32, DT_F32, 1, HD, KEYS);
    kv.k.data = keys;
    kv.v.data = values;
    attention_args a = { .kv = &kv, .n = 1, .n_head = 1, .pos0 = KEYS - 1, .scale = 1.0f };
    for (int p = 0; p < KEYS; p++) {
        double dot = 0;
        for (int i = 0; i < HD; i++) dot += (double)q[i] * keys[p][i];
        sum += exp(dot);
        for (int i = 0; i < HD; i++) want[i] += exp(dot) * values[p][i];
    }
    for (int l = 0; l < n; l++) {
        k[l]->attend(out, q, &a, 0, 0, KEYS - 1, false, scores, row, FAULT_NONE);
        for (int i = 0; i < HD; i++)
            ck_assert_msg(fabs(out[i] - want[i] / sum) <= 2e-6, "%s: %g, expected %g", k[l]->name, out[i],
                          want[i] / sum);
        if (l == 0) memcpy(first, out, sizeof out);
        ck_assert_msg(memcmp(first, out, sizeof out) == 0, "%s", k[l]->name);
    }
}
END_TEST

// Terms too small for F32 leave -0 in a sum of products, and 0 where that is added to 0: alone or in a batch, alike.
START_TEST(a_product_that_vanishes_is_zero_in_any_batch)
{
    enum { COLS = 32, TOKENS = 5 };
    const cpu_kernels *k[3] = { &cpu_kernels_portable };
    const int n = 1 + other_levels(k + 1);
    uint16_t rows[COLS];
    float x[TOKENS * COLS], dst[TOKENS], scratch[KERNEL_TILE_ROWS * (COLS + 32)];
    for (int i = 0; i < COLS; i++) rows[i] = bf16_from_f32(-2e-30f);
    for (int i = 0; i < TOKENS * COLS; i++) x[i] = 1e-30f;
    const weight w = { .type = DT_BF16, .rows = 1, .cols = COLS, .data = rows, .name = "w" };
    for (int l = 0; l < n; l++)
        for (int tokens = 1; tokens <= TOKENS; tokens++) {
            k[l]->matmul(dst, 1, &w, 0, 1, x, tokens, false, scratch);
            for (int t = 0; t < tokens; t++)
                ck_assert_msg(dst[t] == 0 && !signbit(dst[t]), "%s: token %d of %d: %g", k[l]->name, t, tokens, dst[t]);
        }
}
END_TEST

START_TEST(levels_are_picked_by_name)
{
    err e = { 0 };
    ck_assert_ptr_eq(cpu_kernels_pick("portable", &e), &cpu_kernels_portable);
    ck_assert_ptr_nonnull(cpu_kernels_pick(NULL, &e));
    ck_assert_int_eq(e.kind, ERR_NONE);
    ck_assert_ptr_null(cpu_kernels_pick("sse9", &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("cpu");
    tcase_add_test(t, decoders_give_the_plain_decoders_bits);
    tcase_add_test(t, decoders_agree_on_arbitrary_bytes);
    tcase_add_test(t, products_are_the_same_at_every_level_and_split);
#if defined(__SANITIZE_ADDRESS__)
    tcase_add_test(t, a_product_reads_nothing_beyond_its_operands);
#endif
    tcase_add_test(t, exp_and_tanh_are_close_everywhere);
    tcase_add_test(t, elementwise_operations_agree_between_levels);
    tcase_add_test(t, norm_rotation_and_rounding);
    tcase_add_test(t, attention_over_a_wrapped_ring);
    tcase_add_test(t, attention_over_several_spans);
    tcase_add_test(t, a_product_that_vanishes_is_zero_in_any_batch);
    tcase_add_test(t, levels_are_picked_by_name);
    suite_add_tcase(s, t);
    return run_suite(s);
}
