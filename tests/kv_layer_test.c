// Proves runtime/kv_layer.h: bytes of every type, which positions are whole, what a query reads; sinks and recent
// positions beside a store, as the CPU keeps them; and OP_HADAMARD, which rotates what is stored.
#include "kv_case.h"
#include "one_op.h"
#include "quant/codec.h"
#include "runtime/cpu/kernels.h"
#include "suite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static kv_layer planned(kv_choice c, int heads, int dim, kv_room room)
{
    kv_layer kv;
    must(kv_layer_plan(&kv, &c, heads, dim, &room, 0, &e));
    return kv;
}

static kv_choice both(kv_side s, int sink, int recent)
{
    return (kv_choice){ .k = s, .v = s, .sink = sink, .recent = recent };
}

static const kv_side KIVI2 = { .type = KV_KIVI2, .group = 32, .residual = 128 }, Q4_0 = { .type = KV_Q4_0 };

// ---- bytes ----------------------------------------------------------------------------------------------------------

// Two heads of 64; 1000 positions. KIVI's keys: 64 scales and zeros of 2 bytes a group, 16 or 32 bytes of codes a
// position; values: 2 scales and zeros a position.
START_TEST(bytes_of_every_type)
{
    static const struct { kv_type type; int64_t k_unit, k_units, v_unit; } rows[] = {
        { KV_F32, 512, 1000, 512 },  { KV_BF16, 256, 1000, 256 }, { KV_F16, 256, 1000, 256 },
        { KV_Q8_0, 136, 1000, 136 },
        { KV_Q5_1, 96, 1000, 96 },   { KV_Q5_0, 88, 1000, 88 },   { KV_Q4_1, 80, 1000, 80 },  { KV_Q4_0, 72, 1000, 72 },
        { KV_IQ4_NL, 72, 1000, 72 },
        { KV_KIVI2, 2 * (256 + 32 * 16), 32, 2 * (8 + 16) }, { KV_KIVI4, 2 * (256 + 32 * 32), 32, 2 * (8 + 32) },
    };
    ck_assert_int_eq(sizeof rows / sizeof *rows, N_KV_TYPES);
    for (int i = 0; i < N_KV_TYPES; i++) {
        const bool kivi = kv_trait_of(rows[i].type)->bits > 0;
        const kv_side s = { .type = rows[i].type, .group = kivi ? 32 : 0, .residual = kivi ? 128 : 0 };
        const kv_layer kv = planned(both(s, 0, 0), 2, 64, (kv_room){ .n_ctx = 1000, .capacity = 1000, .n_batch = 16 });
        const int64_t ring = kivi ? 144 * 512 : 0;
        ck_assert_int_eq(kv.k.unit, rows[i].k_unit);
        ck_assert_int_eq(kv.k.units, rows[i].k_units);
        ck_assert_int_eq(kv.v.unit, rows[i].v_unit);
        ck_assert_int_eq(kv.v.units, 1000);
        ck_assert_int_eq(kv_layer_bytes(&kv), rows[i].k_unit * rows[i].k_units + rows[i].v_unit * 1000 + 2 * ring);
    }
}
END_TEST

// One head of 64; whole positions in BF16 where nothing is rotated.
START_TEST(bytes_of_whole_positions)
{
    const kv_side rotated = { .type = KV_Q4_0, .rot = KV_ROT };
    static const struct { int64_t n_ctx, capacity; int sink, recent; int64_t ring, sinks; } rows[] = {
        { 1000, 1000, 4, 64, 80, 4 }, { 1000, 1000, 0, 64, 80, 0 }, { 1000, 1000, 4, 0, 0, 4 },
        { 1000, 47, 4, 64, 47, 4 },
        { 70, 70, 100, 64, 70, 70 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            for (int rot = 0; rot < 2; rot++) {
                const kv_room room = { .n_ctx = rows[i].n_ctx, .capacity = rows[i].capacity, .n_batch = 16,
                                       .bf16 = bf16 };
                const kv_layer kv = planned(both(rot ? rotated : Q4_0, rows[i].sink, rows[i].recent), 1, 64, room);
                const int64_t row = bf16 && !rot ? 128 : 256;
                ck_assert_int_eq(kv.k.ring, rows[i].ring);
                ck_assert_int_eq(kv.k.sinks, rows[i].sinks);
                ck_assert_int_eq(kv_part_bytes(&kv.v), 36 * rows[i].capacity + row * (rows[i].ring + rows[i].sinks));
            }
}
END_TEST

// A window of 20 and batches of 8 touch 27 positions: at most five groups of 8 (7 + 8 + 8 + 4, or 1 + 8 + 8 + 8 + 2).
START_TEST(groups_that_a_window_touches)
{
    const kv_side s = { .type = KV_KIVI4, .group = 8, .residual = 16 };
    const kv_layer kv = planned(both(s, 0, 0), 1, 64, (kv_room){ .n_ctx = 4000, .capacity = 27, .n_batch = 8 });
    int64_t most = 0;
    for (int64_t lo = 0; lo < 64; lo++) {
        const int64_t touched = (lo + 26) / 8 - lo / 8 + 1;
        most = touched > most ? touched : most;
    }
    ck_assert_int_eq(kv.k.units, most);
    ck_assert_int_eq(kv.v.units, 27);
    ck_assert_int_eq(kv.k.ring, 24);
}
END_TEST

START_TEST(rotations_as_llama_cpp_chooses_them)
{
    static const struct { int dim, k; } rows[] = { { 64, 64 }, { 128, 128 }, { 192, 64 }, { 256, 256 }, { 320, 64 },
                                                   { 384, 128 }, { 512, 512 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int rot = KV_ROT_NONE; rot <= KV_ROT_64; rot++) {
            const kv_side s = { .type = KV_Q8_0, .rot = (kv_rotation)rot };
            const kv_layer kv = planned(both(s, 0, 0), 1, rows[i].dim,
                                        (kv_room){ .n_ctx = 8, .capacity = 8, .n_batch = 1 });
            ck_assert_int_eq(kv.k.rot_block, rot == KV_ROT_NONE ? 0 : rot == KV_ROT ? rows[i].k : 64);
            ck_assert_int_eq(kv.v.rot_block, rot == KV_ROT_NONE ? 0 : 64);
        }
}
END_TEST

START_TEST(heads_that_do_not_fit_are_refused)
{
    static const struct { kv_side k, v; int dim; const char *says; } rows[] = {
        { { .type = KV_Q8_0 }, { .type = KV_F32 }, 48, "its blocks do not divide a head of 48 (layer 7)" },
        { { .type = KV_F16, .rot = KV_ROT }, { .type = KV_F32 }, 96,
          "f16:rot: 64 does not divide a head of 96 (layer 7)" },
        { { .type = KV_F32 }, { .type = KV_F32, .rot = KV_ROT_64 }, 32, "64 does not divide a head of 32" },
        { { .type = KV_F32 }, { .type = KV_KIVI2, .group = 32, .residual = 32 }, 80,
          "kivi2: groups of 32 do not divide a head of 80" },
        { { .type = KV_F32 }, { .type = KV_KIVI2, .group = 10, .residual = 10 }, 80,
          "kivi2: groups of 10 do not divide" },
        { { .type = KV_KIVI2, .group = 32, .residual = 32 }, { .type = KV_F32 }, 18,
          "kivi2: its bytes do not divide a head of 18" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err has = { 0 };
        kv_layer kv;
        const kv_choice c = { .k = rows[i].k, .v = rows[i].v };
        ck_assert(!kv_layer_plan(&kv, &c, 1, rows[i].dim, &(kv_room){ .n_ctx = 8, .capacity = 8, .n_batch = 1 }, 7,
                                 &has));
        ck_assert_int_eq(has.kind, ERR_USAGE);
        ck_assert_msg(strstr(has.msg, rows[i].says) != NULL, "%s", has.msg);
    }
}
END_TEST

// ---- which are whole ------------------------------------------------------------------------------------------------

START_TEST(whole_is_a_function_of_two_positions)
{
    const kv_layer plain = planned(both(Q4_0, 0, 0), 1, 64, (kv_room){ .n_ctx = 999, .capacity = 999, .n_batch = 1 });
    const kv_layer recent = planned(both(Q4_0, 2, 5), 1, 64, (kv_room){ .n_ctx = 999, .capacity = 999, .n_batch = 1 });
    const kv_layer kivi = planned(both(KIVI2, 0, 0), 1, 64, (kv_room){ .n_ctx = 999, .capacity = 999, .n_batch = 1 });
    ck_assert_int_eq(kv_whole_from(&plain.k, 40), 41);          // none
    ck_assert_int_eq(kv_whole_from(&recent.k, 40), 36);         // 36 .. 40
    ck_assert_int_eq(kv_whole_from(&recent.v, 40), 36);
    ck_assert_int_eq(kv_whole_from(&kivi.k, 126), 0);
    ck_assert_int_eq(kv_whole_from(&kivi.k, 127), 128);         // 128 keys: all are encoded
    ck_assert_int_eq(kv_whole_from(&kivi.k, 128), 128);
    ck_assert_int_eq(kv_whole_from(&kivi.v, 127), 0);
    ck_assert_int_eq(kv_whole_from(&kivi.v, 128), 1);
}
END_TEST

// What a query reads, counted position by position.
static int64_t counted(const kv_part *part, int64_t lo, int64_t p)
{
    int64_t bytes = 0, last_unit = -1;
    for (int64_t j = lo; j <= p; j++) {
        const int64_t unit = part->by_tokens ? j / part->how.group : j;
        if (j >= kv_whole_from(part, p) || j < part->sinks) bytes += part->whole_row;
        else if (unit != last_unit) bytes += part->unit;
        if (j < kv_whole_from(part, p) && j >= part->sinks) last_unit = unit;
    }
    return bytes;
}

START_TEST(what_a_query_reads)
{
    const kv_side small = { .type = KV_KIVI4, .group = 8, .residual = 16 };
    const kv_choice choices[] = { both(Q4_0, 0, 0), both(Q4_0, 3, 0), both(Q4_0, 3, 20), both(small, 0, 0),
                                  both(small, 11, 0) };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const kv_layer kv = planned(choices[i], 2, 64, (kv_room){ .n_ctx = 100, .capacity = 100, .n_batch = 4 });
        for (int64_t p = 0; p < 100; p++)
            for (int64_t lo = 0; lo <= p; lo += 1 + p / 9) {
                ck_assert_int_eq(kv_part_read(&kv.k, lo, p), counted(&kv.k, lo, p));
                ck_assert_int_eq(kv_part_read(&kv.v, lo, p), counted(&kv.v, lo, p));
            }
    }
}
END_TEST

// ---- whole positions beside blocks ----------------------------------------------------------------------------------

enum { HEADS = 2, DIM = 64, N = 61, ROW = HEADS * DIM };

static void fill(float *x, int64_t n, bool bf16, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)(seed >> 8) / 8388608.0f - 1.0f;
        if (bf16) x[i] = f32_from_bf16(bf16_from_f32(x[i]));
    }
}

// The head of a position as a store has it.
static void stored(float *to, const float *x, kv_type type)
{
    uint8_t bytes[DIM * 4];
    const codec *c = codec_of_cache(kv_trait_of(type)->type);
    must(c->encode_row(bytes, x, DIM, NULL, &e));
    c->decode_row(to, bytes, DIM);
}

typedef struct { int sink, recent, window, batch; bool bf16; } whole_case;
static const whole_case CASES[] = {
    { 0, 0, 0, 7, false }, { 4, 0, 0, 7, false }, { 0, 9, 0, 1, false }, { 4, 9, 0, 61, false }, { 4, 9, 0, 7, true },
    { 3, 30, 20, 7, false },
    { 3, 6, 20, 13, true }, { 40, 9, 25, 7, false },
};

static int wrong_seen(const whole_case *w, kv_type type, fault f)
{
    static float x[N * ROW], y[N * ROW], row[DIM], want[DIM];
    kv_layer kv = planned(both((kv_side){ .type = type }, w->sink, w->recent), HEADS, DIM,
                          kv_case_room(N, w->window, w->batch, w->bf16));
    backend *b = backend_cpu(w->bf16 ? ARITH_BF16 : ARITH_F32, 1, NULL, &e);
    const cpu_kernels *k = cpu_kernels_pick(NULL, &e);
    int wrong = 0;
    kv_case_open(b, &kv);
    fill(x, N * ROW, w->bf16, 1);
    fill(y, N * ROW, w->bf16, 2);
    for (int pos = 0; pos < N; pos += w->batch) {
        const int n = N - pos < w->batch ? N - pos : w->batch;
        must(one_store(b, &kv, x + pos * ROW, y + pos * ROW, n, pos, &e));
        for (int p = pos; p < pos + n; p++)
            for (int j = w->window && p >= w->window ? p - w->window + 1 : 0; j <= p; j++)
                for (int i = 0; i < 2 * HEADS; i++) {
                    const float *whole = (i % 2 ? y : x) + j * ROW + i / 2 * DIM;
                    if (j >= w->sink && j <= p - w->recent) stored(want, whole, type);
                    else                                     memcpy(want, whole, sizeof want);
                    const float *got = k->cache_row(&kv, i % 2 ? &kv.v : &kv.k, i / 2, j, p, row, f);
                    wrong += memcmp(got, want, sizeof want) != 0;
                }
    }
    kv_case_close(b, &kv);
    b->ops->close(b);
    return wrong;
}

START_TEST(sinks_and_recent_positions_are_whole)
{
    static const kv_type types[] = { KV_Q4_0, KV_Q8_0, KV_F16, KV_IQ4_NL };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        ck_assert_msg(wrong_seen(&CASES[_i], types[t], FAULT_NONE) == 0, "%s, case %d", kv_trait_of(types[t])->name,
                      _i);
}
END_TEST

START_TEST(mistakes_with_whole_positions_are_told)
{
    ck_assert_int_gt(wrong_seen(&CASES[1], KV_Q4_0, FAULT_SINK_FORGOTTEN), 0);
    ck_assert_int_gt(wrong_seen(&CASES[2], KV_Q4_0, FAULT_WHOLE_OFF_BY_ONE), 0);
}
END_TEST

// ---- rotation -------------------------------------------------------------------------------------------------------

enum { TOKENS = 3, ROWS = 2, MOST = TOKENS * ROWS * 512 };

// y = x rotated, not rounded: the same at every level of instructions.
static void rotate_at_every_level(float *y, const float *x, int dim, int block)
{
    static const char *const levels[] = { "portable", "avx2", "avx512" };
    static float other[MOST];
    const size_t bytes = (size_t)(TOKENS * ROWS * dim) * sizeof *y;
    for (int l = 0; l < 3; l++) {
        err has = { 0 };
        float *to = l == 0 ? y : other;
        backend *b = backend_cpu(ARITH_BF16, 2, levels[l], &has);
        if (!b) { printf("SKIP %s: %s\n", levels[l], has.msg); continue; }
        memcpy(to, x, bytes);
        must(one_hadamard(b, to, TOKENS, ROWS, dim, block, true, &e));
        ck_assert_msg(memcmp(to, y, bytes) == 0, "%s", levels[l]);
        b->ops->close(b);
    }
}

// Sylvester's matrix: an entry is -1 where its row and column have an odd number of bits in common.
static double by_matrix(const float *x, int i, int block)
{
    double sum = 0;
    for (int j = 0; j < block; j++) {
        const bool odd = __builtin_popcount((unsigned)(i % block & j)) % 2;
        sum += (odd ? -1.0 : 1.0) * (double)x[i - i % block + j];
    }
    return sum / sqrt(block);
}

START_TEST(rotation_is_walsh_hadamards)
{
    static const struct { int dim, block; } sizes[] = { { 64, 64 }, { 192, 64 }, { 256, 256 }, { 512, 512 },
                                                        { 128, 64 } };
    static float x[MOST], y[MOST], back[MOST];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int dim = sizes[s].dim, block = sizes[s].block, n = TOKENS * ROWS * dim;
        fill(x, n, false, 9);
        rotate_at_every_level(y, x, dim, block);
        for (int i = 0; i < n; i++) ck_assert(fabs((double)y[i] - by_matrix(x, i, block)) <= 4e-6);
        backend *b = backend_cpu(ARITH_BF16, 1, NULL, &e);
        memcpy(back, y, (size_t)n * sizeof *y);
        must(one_hadamard(b, back, TOKENS, ROWS, dim, block, true, &e));
        must(one_hadamard(b, y, TOKENS, ROWS, dim, block, false, &e));
        for (int i = 0; i < n; i++) {
            ck_assert(fabs((double)back[i] - (double)x[i]) <= 1e-6);        // its own inverse
            ck_assert(y[i] == f32_from_bf16(bf16_from_f32(back[i])));       // rounded once, at the end
        }
        b->ops->close(b);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kv_layer");
    TCase *t = tcase_create("kv_layer");
    tcase_add_test(t, bytes_of_every_type);
    tcase_add_test(t, bytes_of_whole_positions);
    tcase_add_test(t, groups_that_a_window_touches);
    tcase_add_test(t, rotations_as_llama_cpp_chooses_them);
    tcase_add_test(t, heads_that_do_not_fit_are_refused);
    tcase_add_test(t, whole_is_a_function_of_two_positions);
    tcase_add_test(t, what_a_query_reads);
    tcase_add_loop_test(t, sinks_and_recent_positions_are_whole, 0, sizeof CASES / sizeof *CASES);
    tcase_add_test(t, mistakes_with_whole_positions_are_told);
    tcase_add_test(t, rotation_is_walsh_hadamards);
    suite_add_tcase(s, t);
    return run_suite(s);
}
