// Proves the attention of the CPU backend (runtime/cpu/attend_panel.inc) against its plain twin: what panels of queries
// give is, bit for bit, what one query at a time gives, for every cache, batch, group of heads, window, thread count
// and SIMD level.
#include "runtime/cpu/backend_cpu.h"
#include "runtime/kv_spec.h"
#include "kv_case.h"
#include "one_op.h"
#include "suite.h"
#include <stdio.h>
#include <stdlib.h>

static err e;
static uint32_t seed;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static float *random_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
    }
    return x;
}

enum { MOST_BATCHES = 5 };
typedef struct {
    const char *kv;
    int         n_head, n_kv_head, head_dim;
    int64_t     window;
    int         batches[MOST_BATCHES];
    float       scale, softcap;
} attend_case;

static int positions(const attend_case *c)
{
    int n = 0;
    for (int i = 0; i < MOST_BATCHES; i++) n += c->batches[i];
    return n;
}

static int largest(const attend_case *c)
{
    int most = 1;
    for (int i = 0; i < MOST_BATCHES; i++) most = c->batches[i] > most ? c->batches[i] : most;
    return most;
}

static void plan(kv_layer *kv, const attend_case *c, bool bf16)
{
    kv_spec s;
    must(kv_spec_parse(&s, c->kv, &e));
    const kv_room room = kv_case_room(positions(c), c->window, largest(c), bf16);
    must(kv_layer_plan(kv, &s.rules[0].choice, c->n_kv_head, c->head_dim, &room, 0, &e));
}

// The batch's queries by the plain version of the portable kernels; of many the last ones.
enum { MOST_CHECKED = 400 };
static void same_as_plain(const attention_args *a, bool round, const char *what)
{
    const int hd = a->kv->head_dim, group = a->n_head / a->kv->n_kv_head;
    float *scores = malloc((size_t)(a->pos0 + a->n + 16) * sizeof *scores);
    float *row = malloc((size_t)(1 + REDUCE_LANES) * (size_t)hd * sizeof *row);
    float *want = malloc((size_t)hd * sizeof *want);
    const int n = a->n * a->n_head;
    for (int i = n > MOST_CHECKED ? n - MOST_CHECKED : 0; i < n; i++) {
        const int64_t hi = a->pos0 + i / a->n_head;
        const int64_t lo = a->window > 0 && hi - a->window + 1 > 0 ? hi - a->window + 1 : 0;
        const float *got = a->out + (int64_t)i * hd;
        cpu_kernels_portable.attend(want, a->q + (int64_t)i * hd, a, i % a->n_head / group, lo, hi, round, scores, row,
                                    FAULT_NONE);
        for (int j = 0; j < hd; j++)
            ck_assert_msg(memcmp(&got[j], &want[j], sizeof *want) == 0,
                          "%s: token %d, head %d, element %d: %.9g, expected %.9g", what, i / a->n_head,
                          i % a->n_head, j, got[j], want[j]);
    }
    free(scores);
    free(row);
    free(want);
}

static void check_batch(backend *b, const attend_case *c, kv_layer *kv, int n, int64_t pos, const char *what)
{
    const int64_t kv_dim = (int64_t)c->n_kv_head * c->head_dim, floats = (int64_t)n * c->n_head * c->head_dim;
    float *k = random_floats(n * kv_dim), *v = random_floats(n * kv_dim), *q = random_floats(floats);
    float *out = random_floats(floats);
    const attention_args a = { .q = q, .out = out, .kv = kv, .n = n, .n_head = c->n_head, .pos0 = pos,
                               .window = c->window, .scale = c->scale, .softcap = c->softcap, .unrounded = pos % 2 };
    must(one_store(b, kv, k, v, n, pos, &e));
    must(one_attend(b, &a, &e));
    same_as_plain(&a, b->arith == ARITH_BF16, what);
    float *mine[] = { k, v, q, out };
    for (int i = 0; i < 4; i++) free(mine[i]);
}

static void check_case(const attend_case *c, const char *simd, int n_threads, arith how)
{
    char what[160];
    kv_layer kv;
    backend *b = backend_cpu(how, n_threads, simd, &e);
    must(b != NULL);
    snprintf(what, sizeof what, "%s, %d heads of %d over %d, window %lld, %s, %d threads", c->kv, c->n_head,
             c->head_dim, c->n_kv_head, (long long)c->window, simd, n_threads);
    plan(&kv, c, how == ARITH_BF16);
    kv_case_open(b, &kv);
    int64_t pos = 0;
    for (int i = 0; i < MOST_BATCHES; i++) {
        if (c->batches[i] > 0) check_batch(b, c, &kv, c->batches[i], pos, what);
        pos += c->batches[i];
    }
    kv_case_close(b, &kv);
    b->ops->close(b);
}

// Groups of one head to more heads than a panel has queries; batches that end in a panel's middle; windows that begin
// inside of a tile; whole positions that end inside of one; odd heads; more keys than one span.
static const attend_case cases[] = {
    { "f32",                      1, 1, 64,  0,   { 1, 70, 1, 9 },      1.0f,  0.0f },
    { "f32",                      9, 3, 64,  0,   { 65, 1, 3 },         0.2f,  0.0f },
    { "bf16",                     4, 1, 256, 20,  { 33, 50, 1, 1 },     0.06f, 0.0f },
    { "f16",                      40, 1, 32, 0,   { 5, 1, 30 },         0.3f,  0.0f },
    { "f16",                      8, 2, 80,  7,   { 3, 90, 2 },         0.2f,  30.0f },
    { "q8_0",                     8, 2, 96,  7,   { 3, 90, 2 },         0.2f,  30.0f },
    { "k=q5_1,v=q4_0",            6, 6, 64,  0,   { 20, 1, 44 },        0.3f,  0.0f },
    { "k=iq4_nl,v=q5_0",          2, 1, 512, 0,   { 17, 2 },            0.1f,  0.0f },
    { "q4_1+sink4+recent6",       4, 2, 32,  0,   { 3, 70, 12, 1, 8 },  0.5f,  0.0f },
    { "q8_0+sink3+recent70",      3, 1, 64,  75,  { 90, 60, 1 },        0.3f,  0.0f },
    { "kivi2:g8:r16",             2, 1, 32,  0,   { 1, 7, 80, 1, 30 },  0.3f,  0.0f },
    { "kivi4:g16:r64+sink5",      6, 2, 48,  40,  { 33, 1, 90 },        0.5f,  20.0f },
    { "k=f32,v=bf16+sink1",       3, 1, 18,  0,   { 5, 1, 20 },         0.4f,  0.0f },
};
enum { N_CASES = sizeof cases / sizeof *cases };

static const char *const levels[] = { "portable", "avx2", "avx512" };

START_TEST(panels_have_the_bits_of_one_query_at_a_time)
{
    err none = { 0 };
    if (!cpu_kernels_pick(levels[_i], &none)) {
        fprintf(stderr, "SKIP %s: %s\n", levels[_i], none.msg);
        return;
    }
    seed = 11;
    for (int i = 0; i < N_CASES; i++)
        for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
            check_case(&cases[i], levels[_i], n_threads, ARITH_F32);
            check_case(&cases[i], levels[_i], n_threads, ARITH_BF16);
        }
}
END_TEST

// Spans of keys begin at another position for each token of a window.
START_TEST(spans_begin_where_each_token_begins)
{
    static const attend_case far_apart[] = {
        { "q8_0",         2, 1, 32, 0,    { KEY_SPAN - 3, 7, KEY_SPAN - 3, 20 }, 0.3f, 0.0f },
        { "f32",          3, 1, 16, 1100, { KEY_SPAN + 90, 40, 1 },              0.3f, 0.0f },
        { "kivi4:g8:r16", 1, 1, 16, 1050, { KEY_SPAN + 60, 9 },                  0.3f, 0.0f },
    };
    seed = 12;
    for (size_t i = 0; i < sizeof far_apart / sizeof *far_apart; i++)
        check_case(&far_apart[i], "auto", 2, ARITH_F32);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attend");
    TCase *t = tcase_create("attend");
    tcase_add_loop_test(t, panels_have_the_bits_of_one_query_at_a_time, 0, sizeof levels / sizeof *levels);
    tcase_add_test(t, spans_begin_where_each_token_begins);
    suite_add_tcase(s, t);
    return run_suite(s);
}
