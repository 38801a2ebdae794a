// Proves quant/kivi.h, and of runtime/kv_layer.h which positions a query sees whole, against a reference in NumPy that
// was written from KIVI's paper (tests/tools/kivi_reference.py made tests/golden/kivi.bin): scales, zeros, codes and
// values exactly, however positions come in batches. And that mistakes people make with such a cache are told from it.
// The runtime here is the one with faults.
#include "formats/file_map.h"
#include "kv_case.h"
#include "one_op.h"
#include "quant/kivi.h"
#include "runtime/cpu/kernels.h"
#include "suite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

// ---- the reference --------------------------------------------------------------------------------------------------

typedef struct {                        // keys or values, of so many bits
    const uint16_t *scale, *zero;
    const uint8_t  *code;
    const float    *value;
} coded;

typedef struct {
    file_map       file;
    int            T, H, D, g, r;
    const float   *x[2];                // keys, values: [T][H][D]
    coded          of[2][2];            // [2 or 4 bits][keys, values]
    const uint8_t *whole[2];            // [T][T]
} reference;

static const void *take(const uint8_t **at, int64_t n)
{
    const void *p = *at;
    *at += n;
    return p;
}

static coded take_coded(const uint8_t **at, int64_t n_scales, int64_t n_values)
{
    coded c;
    c.scale = take(at, 2 * n_scales);
    c.zero = take(at, 2 * n_scales);
    c.code = take(at, n_values);
    c.value = take(at, 4 * n_values);
    return c;
}

// Mapped once, for as long as the program runs.
static reference open_reference(void)
{
    static reference r;
    int32_t head[5];
    if (r.file.data) return r;
    must(file_map_open(&r.file, SOURCE_DIR "/tests/golden/kivi.bin", &e));
    const uint8_t *at = r.file.data;
    memcpy(head, take(&at, sizeof head), sizeof head);
    r.T = head[0], r.H = head[1], r.D = head[2], r.g = head[3], r.r = head[4];
    const int64_t row = (int64_t)r.H * r.D, all = r.T * row;
    const int n_groups = r.T / r.g;
    for (int side = 0; side < 2; side++) r.x[side] = take(&at, 4 * all);
    for (int i = 0; i < 2; i++) {
        r.of[i][0] = take_coded(&at, n_groups * row, n_groups * r.g * row);
        r.of[i][1] = take_coded(&at, all / r.g, all);
    }
    for (int side = 0; side < 2; side++) r.whole[side] = take(&at, (int64_t)r.T * r.T);
    ck_assert_int_eq(at - r.file.data, r.file.size);
    return r;
}

// ---- a cache with the reference's keys and values -------------------------------------------------------------------

typedef struct {
    backend        *b;
    const reference *ref;
    kv_layer        kv;
} cache;

static cache open_cache(backend *b, const reference *ref, int bits, int n_batch, int window, int sink)
{
    cache c = { .b = b, .ref = ref };
    const kv_side side = { .type = bits == 2 ? KV_KIVI2 : KV_KIVI4, .group = ref->g, .residual = ref->r };
    const kv_choice choice = { .k = side, .v = side, .sink = sink };
    const kv_room room = kv_case_room(ref->T, window, n_batch, false);
    must(kv_layer_plan(&c.kv, &choice, ref->H, ref->D, &room, 0, &e));
    kv_case_open(b, &c.kv);
    return c;
}

static void close_cache(cache *c) { kv_case_close(c->b, &c->kv); }

static void store(cache *c, int pos, int n)
{
    const int64_t at = (int64_t)pos * c->ref->H * c->ref->D;
    must(one_store(c->b, &c->kv, c->ref->x[0] + at, c->ref->x[1] + at, n, pos, &e));
}

static const kv_part *side_of(const cache *c, int side) { return side == 0 ? &c->kv.k : &c->kv.v; }

// What a query at p sees of position j, F32 [D].
static const float *seen(const cache *c, int side, int head, int j, int p, float *row, fault f)
{
    return cpu_kernels_pick(NULL, &e)->cache_row(&c->kv, side_of(c, side), head, j, p, row, f);
}

// ---- codes ----------------------------------------------------------------------------------------------------------

// The head of position p's unit: scales [n], zeros [n], codes.
static const uint8_t *head_of(const cache *c, int side, int p, int head)
{
    const kv_part *part = side_of(c, side);
    const int64_t unit = part->by_tokens ? p / c->ref->g : p;
    return (const uint8_t *)part->data + unit % part->units * part->unit + head * (part->unit / c->ref->H);
}

static void same_key(const cache *c, const coded *want, int bits, int p, int head)
{
    const reference *r = c->ref;
    const uint8_t *unit = head_of(c, 0, p, head), *codes = unit + 4 * r->D;
    const int64_t of_group = ((int64_t)(p / r->g) * r->H + head) * r->D, of_key = ((int64_t)p * r->H + head) * r->D;
    ck_assert_msg(memcmp(unit, want->scale + of_group, 2 * (size_t)r->D) == 0, "scales of keys, group of %d", p);
    ck_assert_msg(memcmp(unit + 2 * r->D, want->zero + of_group, 2 * (size_t)r->D) == 0, "zeros of keys, group of %d",
                  p);
    for (int i = 0; i < r->D; i++)
        ck_assert_msg(kivi_code_at(codes, (int64_t)(p % r->g) * r->D + i, bits) == want->code[of_key + i],
                      "key %d, channel %d", p, i);
}

static void same_value(const cache *c, const coded *want, int bits, int p, int head)
{
    const reference *r = c->ref;
    const int n_groups = r->D / r->g;
    const uint8_t *unit = head_of(c, 1, p, head), *codes = unit + 4 * n_groups;
    const int64_t of_groups = ((int64_t)p * r->H + head) * n_groups, of_value = ((int64_t)p * r->H + head) * r->D;
    ck_assert_msg(memcmp(unit, want->scale + of_groups, 2 * (size_t)n_groups) == 0, "scales of value %d", p);
    ck_assert_msg(memcmp(unit + 2 * n_groups, want->zero + of_groups, 2 * (size_t)n_groups) == 0, "zeros of value %d",
                  p);
    for (int i = 0; i < r->D; i++)
        ck_assert_msg(kivi_code_at(codes, i, bits) == want->code[of_value + i], "value %d, channel %d", p, i);
}

static const int BATCHES[] = { 1, 5, 16, 37 };
enum { N_BATCHES = sizeof BATCHES / sizeof *BATCHES };

START_TEST(codes_are_the_references)
{
    const int bits = _i % 2 ? 4 : 2, batch = BATCHES[_i / 2];
    const reference ref = open_reference();
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &e);
    cache c = open_cache(b, &ref, bits, batch, 0, 0);
    for (int p = 0; p < ref.T; p += batch) store(&c, p, ref.T - p < batch ? ref.T - p : batch);
    for (int p = 0; p < ref.T; p++)
        for (int h = 0; h < ref.H; h++) {
            if (p / ref.g < ref.T / ref.g) same_key(&c, &ref.of[_i % 2][0], bits, p, h);
            same_value(&c, &ref.of[_i % 2][1], bits, p, h);
        }
    close_cache(&c);
    b->ops->close(b);
}
END_TEST

// ---- what queries see -----------------------------------------------------------------------------------------------

// The bits that a query at p should see of position j.
static const float *expected(const reference *r, int bits, int side, int head, int j, int p, int sink)
{
    const int64_t at = ((int64_t)j * r->H + head) * r->D;
    const bool whole = j < sink || r->whole[side][p * r->T + j];
    return whole ? r->x[side] + at : r->of[bits / 4][side].value + at;
}

static bool sees(const cache *c, int bits, int side, int j, int p, int sink, fault f)
{
    float row[512];
    bool same = true;
    for (int h = 0; h < c->ref->H; h++)
        same = same && memcmp(seen(c, side, h, j, p, row, f), expected(c->ref, bits, side, h, j, p, sink),
                              (size_t)c->ref->D * sizeof *row) == 0;
    return same;
}

// Stores all in batches; how many pairs of query and position are not as the reference has them, on the side.
static int wrong_pairs(cache *c, int bits, int batch, int window, int sink, int side, fault f)
{
    int wrong = 0;
    for (int pos = 0; pos < c->ref->T; pos += batch) {
        const int n = c->ref->T - pos < batch ? c->ref->T - pos : batch;
        store(c, pos, n);
        for (int p = pos; p < pos + n; p++)
            for (int j = window > 0 && p >= window ? p - window + 1 : 0; j <= p; j++)
                wrong += !sees(c, bits, side, j, p, sink, f);
    }
    return wrong;
}

static int wrong_in(int bits, int batch, int window, int sink, int side, arith a, fault f)
{
    const reference ref = open_reference();
    backend *b = backend_cpu(a, 1, NULL, &e);
    b->fault = f;
    cache c = open_cache(b, &ref, bits, batch, window, sink);
    const int wrong = wrong_pairs(&c, bits, batch, window, sink, side, f);
    close_cache(&c);
    b->ops->close(b);
    return wrong;
}

START_TEST(each_query_sees_what_the_paper_says)
{
    static const int windows[] = { 0, 5, 20, 33 }, sinks[] = { 0, 3, 11 };
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
        for (size_t s = 0; s < sizeof sinks / sizeof *sinks; s++)
            for (int side = 0; side < 2; side++) {
                const int bits = _i % 2 ? 4 : 2, batch = BATCHES[_i / 2];
                ck_assert_msg(wrong_in(bits, batch, windows[w], sinks[s], side, ARITH_F32, FAULT_NONE) == 0,
                              "%s of %d bits, batches of %d, window %d, %d sinks",
                              side == 0 ? "keys" : "values", bits, batch, windows[w], sinks[s]);
            }
}
END_TEST

// Rows at every level of instructions.
START_TEST(every_level_decodes_alike)
{
    static const char *const levels[] = { "portable", "avx2", "avx512" };
    const reference ref = open_reference();
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &e);
    for (int l = 0; l < 3; l++) {
        err has = { 0 };
        const cpu_kernels *k = cpu_kernels_pick(levels[l], &has);
        if (!k) { printf("SKIP %s: %s\n", levels[l], has.msg); continue; }
        for (int i = 0; i < 4; i++) {
            float row[64];
            cache c = open_cache(b, &ref, i % 2 ? 4 : 2, ref.T, 0, 0);
            store(&c, 0, ref.T);
            for (int j = 0; j < ref.T / ref.g * ref.g; j++) {       // as the last query sees them, were nothing whole
                kv_part part = *side_of(&c, i / 2);
                part.newest = 0;
                part.in_steps = false;
                const float *want = ref.of[i % 2][i / 2].value + ((int64_t)j * ref.H + 1) * ref.D;
                ck_assert_msg(memcmp(k->cache_row(&c.kv, &part, 1, j, ref.T - 1, row, FAULT_NONE), want,
                                     (size_t)ref.D * 4) == 0, "%s, position %d", levels[l], j);
            }
            close_cache(&c);
        }
    }
    b->ops->close(b);
}
END_TEST

// ---- mistakes -------------------------------------------------------------------------------------------------------

START_TEST(a_scale_of_all_heads_is_told)
{
    ck_assert_int_gt(wrong_in(2, 5, 0, 0, 0, ARITH_F32, FAULT_GROUP_OF_ALL_HEADS), 0);
    ck_assert_int_eq(wrong_in(2, 5, 0, 0, 1, ARITH_F32, FAULT_GROUP_OF_ALL_HEADS), 0);
}
END_TEST

START_TEST(a_residual_off_by_one_is_told)
{
    for (int side = 0; side < 2; side++)
        ck_assert_int_gt(wrong_in(4, 1, 0, 0, side, ARITH_F32, FAULT_WHOLE_OFF_BY_ONE), 0);
}
END_TEST

START_TEST(a_forgotten_sink_is_told)
{
    for (int side = 0; side < 2; side++)
        ck_assert_int_gt(wrong_in(4, 5, 0, 3, side, ARITH_F32, FAULT_SINK_FORGOTTEN), 0);
}
END_TEST

// ---- what does not fit ----------------------------------------------------------------------------------------------

// A key beyond F16 is found when its group ends, a value at once.
START_TEST(what_has_no_scale_is_refused_by_its_position)
{
    static const struct { int side; float x; int at; const char *says; } rows[] = {
        { 0, 70000.0f, 10, "position 15 does not fit kivi2" }, { 0, INFINITY, 3, "position 7 does not fit kivi2" },
        { 0, NAN, 8, "position 15 does not fit kivi2" },
        { 1, -70000.0f, 10, "position 10 does not fit kivi2" }, { 1, NAN, 3, "position 3 does not fit kivi2" },
    };
    const reference ref = open_reference();
    const int64_t row = (int64_t)ref.H * ref.D, n = ref.T * row;
    float *x[2] = { malloc((size_t)n * 4), malloc((size_t)n * 4) };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err has = { 0 };
        backend *b = backend_cpu(ARITH_F32, 1, NULL, &e);
        cache c = open_cache(b, &ref, 2, ref.T, 0, 0);
        for (int side = 0; side < 2; side++) memcpy(x[side], ref.x[side], (size_t)n * 4);
        // None of the group fits: of one, the group's scale would.
        for (int k = 0; k < ref.g && rows[i].x == 70000.0f; k++) x[0][(8 + k) * row + 4] = rows[i].x;
        x[rows[i].side][rows[i].at * row + 4] = rows[i].x;
        ck_assert(!one_store(b, &c.kv, x[0], x[1], ref.T, 0, &has));
        ck_assert_int_eq(has.kind, ERR_SYSTEM);
        ck_assert_msg(strstr(has.msg, rows[i].says) != NULL, "%s", has.msg);
        close_cache(&c);
        b->ops->close(b);
    }
    free(x[0]);
    free(x[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kivi");
    TCase *t = tcase_create("kivi");
    tcase_add_loop_test(t, codes_are_the_references, 0, 2 * N_BATCHES);
    tcase_add_loop_test(t, each_query_sees_what_the_paper_says, 0, 2 * N_BATCHES);
    tcase_add_test(t, every_level_decodes_alike);
    tcase_add_test(t, a_scale_of_all_heads_is_told);
    tcase_add_test(t, a_residual_off_by_one_is_told);
    tcase_add_test(t, a_forgotten_sink_is_told);
    tcase_add_test(t, what_has_no_scale_is_refused_by_its_position);
    suite_add_tcase(s, t);
    return run_suite(s);
}
