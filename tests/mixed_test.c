// Proves experts and delta nets (runtime/op.h, net.h, session.h) on the CPU: each operation gives the bits of plain
// code that follows op.h's words, at every SIMD level; whole models the same bits for any batch, number of threads and
// level; a state begins anew at position 0, and is put back where replayed steps went past an end of text; observers
// see the rows of each expert; blocks that predict further tokens change nothing; keys that do not fit are refused by
// name.
#include "mixed_nets.h"
#include "one_op.h"
#include "quant/exp_log.h"
#include "runtime/session_internal.h"

static const char *const LEVELS[] = { "portable", "avx2", "avx512" };
static const arith ARITHS[] = { ARITH_F32, ARITH_BF16 };

// NULL where this processor lacks the level.
static backend *open_level(arith a, int n_threads, const char *level)
{
    err e = { 0 };
    backend *b = backend_cpu(a, n_threads, level, &e);
    if (!b) fprintf(stderr, "SKIP %s: %s\n", level, e.msg);
    return b;
}

static float rounded(float x, bool round) { return round ? f32_from_bf16(bf16_from_f32(x)) : x; }

static void fill(float *x, int64_t n, float size)
{
    for (int64_t i = 0; i < n; i++) x[i] = size * mixed_random();
}

// Sixteen partial sums of n products by the tree of backend.h.
static float sum16(const float *a, int64_t a_stride, const float *b, int n)
{
    float part[16] = { 0 };
    for (int i = 0; i < n; i++) part[i % 16] = fmaf(a[i * a_stride], b[i], part[i % 16]);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) part[i] = part[i] + part[i + half];
    return part[0];
}

// ---- operations against plain code ----------------------------------------------------------------------------------

enum { N = 5, KEYS = 20, HEADS = 6, KEY_HEADS = 2, DIM = 24, CHANNELS = 2 * KEY_HEADS * KEYS + HEADS * DIM, TAPS = 4 };

typedef struct { float *in[3], *out[2], *want[2]; state_layer state, expected; weight w[2]; } operands;

static void *room(int64_t floats) { return calloc((size_t)floats + 16, sizeof(float)); }

static void delta_twin(const operands *x, bool anew, bool grouped, bool round, float scale)
{
    for (int h = 0; h < HEADS; h++)
        for (int j = 0; j < DIM; j++) {
            float *s = x->expected.s + (h * KEYS) * DIM + j, q[KEYS];
            const int from = grouped ? h / (HEADS / KEY_HEADS) : h % KEY_HEADS;
            for (int i = 0; anew && i < KEYS; i++) s[i * DIM] = 0.0f;
            for (int t = 0; t < N; t++) {
                const float *in = x->in[0] + t * CHANNELS, *k = in + (KEY_HEADS + from) * KEYS;
                for (int i = 0; i < KEYS; i++) s[i * DIM] = s[i * DIM] * x->in[2][t * HEADS + h];
                const float m = sum16(s, DIM, k, KEYS), v = in[2 * KEY_HEADS * KEYS + h * DIM + j];
                const float d = (v - m) * x->in[1][t * HEADS + h];
                for (int i = 0; i < KEYS; i++) s[i * DIM] = fmaf(k[i], d, s[i * DIM]);
                for (int i = 0; i < KEYS; i++) q[i] = in[from * KEYS + i] * scale;
                x->want[0][(t * HEADS + h) * DIM + j] = rounded(sum16(s, DIM, q, KEYS), round);
            }
        }
}

static void check_delta(backend *b, bool anew, bool grouped)
{
    const int64_t n_state = HEADS * KEYS * DIM, n_out = N * HEADS * DIM;
    operands x = { .in = { room(N * CHANNELS), room(N * HEADS), room(N * HEADS) }, .out = { room(n_out) },
                   .want = { room(n_out) },
                   .state.s = room(n_state), .expected.s = room(n_state) };
    mixed_seed = 7;
    fill(x.in[0], N * CHANNELS, 1.0f);
    for (int i = 0; i < N * HEADS; i++) x.in[1][i] = 0.5f + 0.4f * mixed_random();
    for (int i = 0; i < N * HEADS; i++) x.in[2][i] = 0.8f + 0.15f * mixed_random();
    fill(x.state.s, n_state, 1.0f);
    memcpy(x.expected.s, x.state.s, (size_t)n_state * sizeof(float));
    op o = op_new(OP_DELTA, 0);
    for (int i = 0; i < 3; i++) o.in[i] = (view){ .buf = i, .row = i ? HEADS : CHANNELS };
    o.out[0] = (view){ .buf = 3, .row = HEADS * DIM };
    o.rows = HEADS;
    o.dim = DIM;
    o.kv_rows = KEY_HEADS;
    o.key_dim = KEYS;
    o.scale = 0.25f;
    o.grouped = grouped;
    o.state = 0;
    float *buffers[] = { x.in[0], x.in[1], x.in[2], x.out[0] };
    const op_memory m = { .buffers = buffers, .states = &x.state };
    const op_args a = { .n = N, .pos0 = anew ? 0 : 3 };
    mixed_must(b->ops->run(b, &o, 1, &m, &a, &mixed_err));
    delta_twin(&x, anew, grouped, b->arith == ARITH_BF16, 0.25f);
    ck_assert(memcmp(x.out[0], x.want[0], (size_t)n_out * sizeof(float)) == 0);
    ck_assert(memcmp(x.state.s, x.expected.s, (size_t)n_state * sizeof(float)) == 0);
    float *all[] = { x.in[0], x.in[1], x.in[2], x.out[0], x.want[0], x.state.s, x.expected.s };
    for (int i = 0; i < 7; i++) free(all[i]);
}

// The sum alone; silu is the kernel's own, whose bits kernels_test.c compares.
static void check_conv(backend *b, bool anew, bool late)
{
    const bool round = b->arith == ARITH_BF16;
    float *x = room(N * CHANNELS), *y = room(N * CHANNELS), *want = room(N * CHANNELS), *w = room(CHANNELS * TAPS);
    float *state = room((TAPS - 1) * CHANNELS), *all = room((N + TAPS) * CHANNELS);
    mixed_seed = 11;
    fill(x, N * CHANNELS, 1.0f);
    fill(w, CHANNELS * TAPS, 0.5f);
    fill(state, (TAPS - 1) * CHANNELS, 1.0f);
    if (!anew) memcpy(all, state, (TAPS - 1) * CHANNELS * sizeof(float));
    memcpy(all + (TAPS - 1) * CHANNELS, x, N * CHANNELS * sizeof(float));
    for (int i = 0; i < N * CHANNELS; i++) {
        const int t = i / CHANNELS, c = i % CHANNELS;
        float sum = 0.0f;
        for (int j = late; j < TAPS; j++) sum = fmaf(w[c * TAPS + j], all[(t + j - late) * CHANNELS + c], sum);
        want[i] = rounded(sum, round);
    }
    mixed_must(one_act(b, ACT_SILU, want, NULL, N * CHANNELS, &mixed_err));
    op o = op_new(OP_CONV, 0);
    o.in[0] = (view){ .buf = 0, .row = CHANNELS };
    o.out[0] = (view){ .buf = 1, .row = CHANNELS };
    o.w[0] = 0; o.state = 0; o.dim = CHANNELS; o.late = late;
    float *buffers[] = { x, y };
    weight taps = { .type = DT_F32, .rows = CHANNELS, .cols = TAPS, .data = w, .name = "taps" };
    state_layer s = { .conv = state };
    const op_memory m = { .buffers = buffers, .weights = &taps, .states = &s };
    mixed_must(b->ops->run(b, &o, 1, &m, &(op_args){ .n = N, .pos0 = anew ? 0 : 9 }, &mixed_err));
    ck_assert(memcmp(y, want, N * CHANNELS * sizeof(float)) == 0);
    ck_assert(memcmp(state, all + N * CHANNELS, (TAPS - 1) * CHANNELS * sizeof(float)) == 0);
    float *mine[] = { x, y, want, w, state, all };
    for (int i = 0; i < 6; i++) free(mine[i]);
}

START_TEST(delta_and_conv_follow_their_words)
{
    for (int l = 0; l < 3; l++)
        for (int a = 0; a < 2; a++) {
            backend *b = open_level(ARITHS[a], 2, LEVELS[l]);
            if (!b) continue;
            for (int i = 0; i < 4; i++) {
                check_delta(b, i & 1, i & 2);
                check_conv(b, i & 1, i & 2);
            }
            b->ops->close(b);
        }
}
END_TEST

enum { EXPERTS = 7, SLOTS = 3, ROWS = 21, COLS = 40 };

// Scores with ties on purpose: which of equal ones are chosen is said, and so are the order and the weights.
START_TEST(a_route_is_what_its_words_say)
{
    static const float scores[4][EXPERTS] = {
        { 1, 3, 2, 3, 0, 3, 3 }, { 0, 0, 0, 0, 0, 0, 0 }, { 5, -1, 4, 3.5f, 3.75f, 2, 1 }, { 1, NAN, 0, 2, 3, 4, 5 } };
    static const int low[3][SLOTS] = { { 1, 3, 5 }, { 0, 1, 2 }, { 0, 2, 4 } },
        high[3][SLOTS] = { { 3, 5, 6 }, { 4, 5, 6 }, { 0, 2, 4 } };
    static const float per_expert[EXPERTS] = { 1, 2, 0.5f, 1, 1.5f, 1, 1 };
    for (int l = 0; l < 3; l++) {
        backend *b = open_level(ARITH_BF16, 1, LEVELS[l]);
        if (!b) continue;
        for (int k = 0; k < 8; k++) {
            const bool renorm = k & 1, ties_high = k & 2, scaled = k & 4;
            float ids[4][SLOTS], weights[4][SLOTS];
            op o = op_new(OP_ROUTE, 0);
            o.in[0] = (view){ .buf = 0, .row = EXPERTS };
            o.out[0] = (view){ .buf = 1, .row = SLOTS };
            o.out[1] = (view){ .buf = 2, .row = SLOTS };
            o.experts = EXPERTS; o.slots = SLOTS; o.renorm = renorm; o.ties_high = ties_high; o.round_weights = !scaled;
            if (scaled) o.w[0] = 0;
            float *buffers[] = { (float *)(uintptr_t)scores, weights[0], ids[0] };
            weight w = { .type = DT_F32, .rows = 1, .cols = EXPERTS, .data = per_expert, .name = "scale" };
            const op_memory m = { .buffers = buffers, .weights = &w };
            mixed_must(b->ops->run(b, &o, 1, &m, &(op_args){ .n = 4 }, &mixed_err));
            for (int t = 0; t < 3; t++) {
                double e[EXPERTS], all = 0, chosen = 0;
                for (int i = 0; i < EXPERTS; i++) all += e[i] = exp((double)scores[t][i]);
                const int *want = ties_high ? high[t] : low[t];
                for (int s = 0; s < SLOTS; s++) chosen += e[want[s]] / all;
                for (int s = 0; s < SLOTS; s++) {
                    const double p = e[want[s]] / all / (renorm ? chosen : 1) * (scaled ? (double)per_expert[want[s]]
                                                                                 : 1);
                    ck_assert_msg(ids[t][s] == (float)want[s], "token %d, slot %d: expert %g", t, s, (double)ids[t][s]);
                    ck_assert_msg(fabs((double)weights[t][s] / p - 1) < (scaled ? 1e-6 : 1.0 / 256), "%g for %g",
                                  (double)weights[t][s], p);
                    if (!scaled) ck_assert(weights[t][s] == rounded(weights[t][s], true));
                }
            }
            for (int s = 0; s < SLOTS; s++)
                ck_assert(ids[3][s] >= 0 && ids[3][s] < EXPERTS && (s == 0 || ids[3][s] > ids[3][s - 1]));
        }
        b->ops->close(b);
    }
}
END_TEST

// Products of the chosen against those of each expert's matrix by itself; their sum in the order of slots, each step
// rounded.
static void check_experts(backend *b, bool each_slot)
{
    const bool round = b->arith == ARITH_BF16;
    enum { IN = SLOTS * COLS };
    float *w = room(EXPERTS * ROWS * COLS), *x = room(N * IN), *y = room(N * SLOTS * ROWS), *sum = room(N * ROWS),
        one[ROWS], joined[ROWS];
    float ids[N][SLOTS], weights[N][SLOTS];
    mixed_seed = 5;
    fill(w, EXPERTS * ROWS * COLS, 0.5f);
    fill(x, N * IN, 1.0f);
    fill(weights[0], N * SLOTS, 1.0f);
    for (int t = 0; t < N; t++)
        for (int s = 0; s < SLOTS; s++) ids[t][s] = (float)(t == 1 ? 2 * s : s + t % 4);
    op product = op_new(OP_LINEAR_ID, 0), join = op_new(OP_JOIN, 0);
    product.in[0] = (view){ .buf = 0, .row = IN, .head = each_slot ? COLS : 0 };
    product.in[1] = (view){ .buf = 1, .row = SLOTS };
    product.out[0] = join.in[0] = (view){ .buf = 2, .row = SLOTS * ROWS };
    product.w[0] = 0; product.experts = EXPERTS; product.slots = join.slots = SLOTS;
    join.in[1] = (view){ .buf = 3, .row = SLOTS };
    join.out[0] = (view){ .buf = 4, .row = ROWS };
    join.dim = ROWS;
    float *buffers[] = { x, ids[0], y, weights[0], sum };
    weight all = { .type = DT_F32, .rows = EXPERTS * ROWS, .cols = COLS, .data = w, .name = "experts" };
    const op list[] = { product, join };
    mixed_must(b->ops->run(b, list, 2, &(op_memory){ .buffers = buffers, .weights = &all }, &(op_args){ .n = N },
                           &mixed_err));
    for (int t = 0; t < N; t++) {
        memset(joined, 0, sizeof joined);
        for (int s = 0; s < SLOTS; s++) {
            const weight mine = { .type = DT_F32, .rows = ROWS, .cols = COLS, .data = w + (int)ids[t][s] * ROWS * COLS,
                                  .name = "one" };
            mixed_must(one_matmul(b, one, &mine, x + t * IN + (each_slot ? s * COLS : 0), 1, &mixed_err));
            ck_assert(memcmp(one, y + (t * SLOTS + s) * ROWS, sizeof one) == 0);
            for (int i = 0; i < ROWS; i++)
                joined[i] = rounded(joined[i] + rounded(weights[t][s] * one[i], round), round);
        }
        ck_assert(memcmp(joined, sum + t * ROWS, sizeof joined) == 0);
    }
    float *mine[] = { w, x, y, sum };
    for (int i = 0; i < 4; i++) free(mine[i]);
}

START_TEST(products_of_experts_and_their_sum)
{
    for (int l = 0; l < 3; l++)
        for (int a = 0; a < 2; a++) {
            backend *b = open_level(ARITHS[a], 2, LEVELS[l]);
            if (!b) continue;
            // Scratch is sized where weights are loaded.
            weight w;
            const gguf_tensor t = { .name = "w", .type = DT_F32, .n_dims = 1, .shape = { COLS }, .n_elems = COLS,
                                    .data = (const uint8_t *)&w };
            mixed_must(b->ops->load_weight(b, &t, &w, &mixed_err));
            check_experts(b, false);
            check_experts(b, true);
            b->ops->close(b);
        }
}
END_TEST

// What is no number in any of the three is none in the answer: softplus and e^x do not hide it.
static void check_decay_of_nan(backend *b, const op *decay)
{
    for (int spoilt = 0; spoilt < 3; spoilt++) {
        float x = 1, a = -1, bias = 1, y = 0, *const values[] = { &x, &a, &bias }, *buffers[] = { &x, &y };
        *values[spoilt] = NAN;
        const weight w[] = { { .type = DT_F32, .rows = 1, .cols = 1, .data = &a, .name = "a" },
                             { .type = DT_F32, .rows = 1, .cols = 1, .data = &bias, .name = "b" } };
        const op_memory m = { .buffers = buffers, .weights = (weight *)(uintptr_t)w };
        op one = *decay;
        one.dim = one.in[0].row = one.out[0].row = 1;
        mixed_must(b->ops->run(b, &one, 1, &m, &(op_args){ .n = 1 }, &mixed_err));
        ck_assert(isnan(y));
    }
}

// Gates, L2 norms and decays; strides on purpose.
static void check_small(backend *b)
{
    const bool round = b->arith == ARITH_BF16;
    enum { ROW = 64, D = 19, AT = 7, HEAD = 23 };
    float x[N][ROW], y[N][ROW], want[N][ROW], a[ROW], bias[ROW];
    mixed_seed = 3;
    fill(x[0], N * ROW, 12.0f);
    fill(a, ROW, 2.0f);
    fill(bias, ROW, 12.0f);
    memset(y, 0, sizeof y);
    memset(want, 0, sizeof want);
    float *buffers[] = { x[0], y[0] };
    const weight w[] = { { .type = DT_F32, .rows = 1, .cols = ROW, .data = a, .name = "a" },
                         { .type = DT_F32, .rows = 1, .cols = ROW, .data = bias, .name = "b" } };
    const op_memory m = { .buffers = buffers, .weights = (weight *)(uintptr_t)w };
    op norm = op_new(OP_L2NORM, 0);
    norm.in[0] = (view){ .buf = 0, .row = ROW, .off = AT, .head = HEAD };
    norm.out[0] = (view){ .buf = 1, .row = ROW, .head = D + 1 };
    norm.rows = 2; norm.dim = D; norm.eps = 1e-6f;
    mixed_must(b->ops->run(b, &norm, 1, &m, &(op_args){ .n = N }, &mixed_err));
    for (int i = 0; i < N * 2 * D; i++) {
        const int t = i / (2 * D), r = i / D % 2, c = i % D;
        const float *row = x[t] + AT + r * HEAD;
        want[t][r * (D + 1) + c] = row[c] * (1.0f / sqrtf(sum16(row, 1, row, D) + 1e-6f));
    }
    ck_assert(memcmp(y, want, sizeof y) == 0);
    op decay = op_new(OP_DECAY, 0);
    decay.in[0] = (view){ .buf = 0, .row = ROW };
    decay.out[0] = (view){ .buf = 1, .row = ROW };
    decay.w[0] = 0; decay.w[1] = 1; decay.dim = ROW;
    mixed_must(b->ops->run(b, &decay, 1, &m, &(op_args){ .n = N }, &mixed_err));
    for (int i = 0; i < N * ROW; i++) {
        const int   t = i / ROW, c = i % ROW;
        const float v = x[t][c] + bias[c], soft = v > 20.0f ? v : (float)log_f64(1.0 + exp_f64((double)v));
        ck_assert(y[t][c] == (float)exp_f64((double)(a[c] * soft)));
        ck_assert(fabs((double)y[t][c] / exp((double)a[c] * log1p(exp((double)v))) - 1) < 1e-5);
    }
    check_decay_of_nan(b, &decay);
    for (int single = 0; single < 2; single++) {
        op gate = op_new(OP_GATE, 0);
        gate.in[0] = gate.out[0] = (view){ .buf = 1, .row = ROW };
        gate.in[1] = (view){ .buf = 0, .row = ROW, .off = AT, .head = HEAD, .one = single };
        gate.rows = 2; gate.dim = D;
        fill(y[0], N * ROW, 3.0f);
        memcpy(want, y, sizeof y);
        mixed_must(b->ops->run(b, &gate, 1, &m, &(op_args){ .n = N }, &mixed_err));
        for (int i = 0; i < N * 2 * D; i++) {
            const int t = i / (2 * D), r = i / D % 2, c = i % D;
            float s = x[t][AT + (single ? r : r * HEAD + c)];
            mixed_must(one_act(b, ACT_SIGMOID, &s, NULL, 1, &mixed_err));
            want[t][r * D + c] = rounded(want[t][r * D + c] * s, round);
        }
        ck_assert(memcmp(y, want, sizeof y) == 0);
    }
}

START_TEST(gates_norms_and_decays)
{
    for (int l = 0; l < 3; l++)
        for (int a = 0; a < 2; a++) {
            backend *b = open_level(ARITHS[a], 2, LEVELS[l]);
            if (!b) continue;
            check_small(b);
            b->ops->close(b);
        }
}
END_TEST

// ---- whole models ---------------------------------------------------------------------------------------------------

enum { N_IDS = 80, N_FLOATS = N_IDS * MIXED_VOCAB };

START_TEST(the_same_bits_for_any_batch_threads_and_level)
{
    static const struct { const char *level; int batch, threads; } runs[] = { { "portable", 1, 1 }, { "avx2", 7, 2 },
                                                                              { "avx512", 64, 3 }, { NULL, 512, 2 } };
    static float logits[2][N_FLOATS];
    mixed m = mixed_make((mixed_kind)_i);
    for (int a = 0; a < 2; a++)
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            backend *b = open_level(ARITHS[a], runs[r].threads, runs[r].level);
            if (!b) continue;
            net *n = mixed_net(b, &m, N_IDS, runs[r].batch < N_IDS ? runs[r].batch : N_IDS);
            mixed_run(n, N_IDS, runs[r].batch, 0, logits[r > 0]);
            for (int i = 0; i < N_FLOATS; i++) ck_assert_msg(isfinite(logits[r > 0][i]), "logit %d", i);
            if (r > 0)
                ck_assert_msg(memcmp(logits[0], logits[1], sizeof logits[0]) == 0, "%s, run %d", mixed_archs[_i],
                              (int)r);
            net_close(n);
            b->ops->close(b);
        }
    mixed_free(&m);
}
END_TEST

// What ran before leaves no trace; the fault that keeps it does.
START_TEST(a_state_begins_anew_at_position_0)
{
    static float logits[3][N_FLOATS];
    mixed m = mixed_make(MIXED_QWEN35);
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &mixed_err);
    net *fresh = mixed_net(b, &m, N_IDS, 9), *used = mixed_net(b, &m, N_IDS, 9);
    mixed_run(fresh, 20, 9, 100, logits[0]);
    mixed_run(used, N_IDS, 9, 0, logits[1]);
    mixed_run(used, 20, 9, 100, logits[1]);
    ck_assert(memcmp(logits[0], logits[1], 20 * MIXED_VOCAB * sizeof(float)) == 0);
    for (int i = 0; i < used->many.n; i++) used->many.ops[i].keeps_state = true;
    mixed_run(used, 20, 9, 100, logits[2]);
    ck_assert(memcmp(logits[0], logits[2], 20 * MIXED_VOCAB * sizeof(float)) != 0);
    net_close(fresh);
    net_close(used);
    b->ops->close(b);
    mixed_free(&m);
}
END_TEST

// A block behind the layers is known, promised or not, there or not, and never run.
START_TEST(blocks_behind_the_layers_change_nothing)
{
    static float logits[3][N_FLOATS];
    for (int k = 0; k < 3; k++) {
        mixed m = mixed_make_with((mixed_kind)_i, (mixed_nextn)k);
        ck_assert(m.h.n_layer == 4 && m.h.n_nextn == (k > 0));
        ck_assert((gguf_find_tensor(m.g, "blk.4.nextn.eh_proj.weight") != NULL) == (k == NEXTN_THERE));
        backend *b = backend_cpu(ARITH_F32, 1, NULL, &mixed_err);
        net *n = mixed_net(b, &m, 16, 16);
        mixed_run(n, 16, 16, 0, logits[k]);
        ck_assert(memcmp(logits[0], logits[k], sizeof logits[0]) == 0);
        net_close(n);
        b->ops->close(b);
        mixed_free(&m);
    }
}
END_TEST

// Each of them by name, shape and type: what the table of arch/tensors.h means of sizes that a file has.
START_TEST(tensors_that_nothing_reads_have_shapes)
{
    enum { ANY = 1 << MIXED_QWEN35MOE | 1 << MIXED_QWEN35, MOE = 1 << MIXED_QWEN35MOE, DENSE = 1 << MIXED_QWEN35 };
    static const struct { const char *name; int experts; int64_t rows, cols; bool vector; unsigned kinds; } rows[] = {
        { "attn_norm", 0, 1, 64, true, ANY }, { "post_attention_norm", 0, 1, 64, true, ANY },
        { "nextn.enorm", 0, 1, 64, true, ANY }, { "nextn.hnorm", 0, 1, 64, true, ANY },
        { "nextn.shared_head_norm", 0, 1, 64, true, ANY },
        { "attn_q", 0, 2 * 4 * 24, 64, false, ANY }, { "attn_k", 0, 2 * 24, 64, false, ANY },
        { "attn_v", 0, 2 * 24, 64, false, ANY }, { "attn_output", 0, 64, 4 * 24, false, ANY },
        { "attn_q_norm", 0, 1, 24, true, ANY }, { "attn_k_norm", 0, 1, 24, true, ANY },
        { "nextn.eh_proj", 0, 64, 2 * 64, false, ANY }, { "nextn.embed_tokens", 0, MIXED_VOCAB, 64, false, ANY },
        { "nextn.shared_head_head", 0, MIXED_VOCAB, 64, false, ANY },
        { "ffn_gate", 0, 96, 64, false, DENSE }, { "ffn_up", 0, 96, 64, false, DENSE },
        { "ffn_down", 0, 64, 96, false, DENSE },
        { "ffn_gate_shexp", 0, 32, 64, false, MOE }, { "ffn_up_shexp", 0, 32, 64, false, MOE },
        { "ffn_down_shexp", 0, 64, 32, false, MOE },
        { "ffn_gate_exps", 7, 7 * 40, 64, false, MOE }, { "ffn_up_exps", 7, 7 * 40, 64, false, MOE },
        { "ffn_gate_up_exps", 7, 7 * 80, 64, false, MOE }, { "ffn_down_exps", 7, 7 * 64, 40, false, MOE },
        { "ffn_gate_inp", 0, 7, 64, false, MOE }, { "ffn_gate_inp_shexp", 0, 1, 64, true, MOE },
    };
    program p;
    mixed   m = mixed_make_with((mixed_kind)_i, NEXTN_THERE);
    int     n_found = 0, n_there = 0;
    mixed_must(program_build(&p, &m.h, &mixed_err));
    for (int i = 0; i < p.n_weights; i++) n_there += strncmp(p.weights[i].name, "blk.4.", 6) == 0;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        char name[64];
        snprintf(name, sizeof name, "blk.4.%s.weight", rows[k].name);
        const program_weight *w = NULL;
        for (int i = 0; i < p.n_weights; i++)
            if (strcmp(p.weights[i].name, name) == 0) w = &p.weights[i];
        ck_assert_msg((w != NULL) == (rows[k].kinds >> _i & 1u), "%s", name);
        if (!w) continue;
        n_found++;
        ck_assert_msg(w->rows == rows[k].rows && w->cols == rows[k].cols && w->experts == rows[k].experts, "%s", name);
        ck_assert_msg(w->vector == rows[k].vector && !w->plain && w->unread && w->optional, "%s", name);
        ck_assert_msg(w->used == (w->experts ? 3 : 0) && w->instead == -1, "%s", name);
    }
    ck_assert_int_eq(n_found, n_there);
    program_free(&p);
    mixed_free(&m);
}
END_TEST

// ---- observers ------------------------------------------------------------------------------------------------------

typedef struct { int rows, last, experts_seen; char tensor[64]; bool checked; } watched;

static void watch(void *ctx, const product_input *in)
{
    watched *w = ctx;
    if (in->experts == 0) {
        ck_assert_int_eq(in->n, 11);
        return;
    }
    ck_assert(in->experts == 7 && in->expert >= 0 && in->expert < 7 && in->n > 0);
    if (strcmp(w->tensor, in->tensor) != 0) {
        if (w->tensor[0]) ck_assert_int_eq(w->rows, 11 * 3);        // each token went to three
        w->rows = 0;
        w->last = -1;
        snprintf(w->tensor, sizeof w->tensor, "%s", in->tensor);
    }
    ck_assert_int_gt(in->expert, w->last);
    w->last = in->expert;
    w->rows += in->n;
    w->experts_seen++;
    for (int64_t i = 0; i < in->n * in->cols; i++) ck_assert(isfinite(in->x[i]));
    // Rows of different tokens differ: none was taken twice.
    for (int t = 1; t < in->n; t++)
        ck_assert(memcmp(in->x, in->x + t * in->cols, (size_t)in->cols * sizeof(float)) != 0);
}

START_TEST(observers_see_the_rows_of_each_expert)
{
    static float logits[2][11 * MIXED_VOCAB];
    mixed m = mixed_make((mixed_kind)_i);
    watched w = { 0 };
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &mixed_err);
    net *n = mixed_net(b, &m, 16, 16);
    mixed_run(n, 11, 16, 0, logits[0]);
    mixed_must(net_observe(n, watch, &w, &mixed_err));
    mixed_run(n, 11, 16, 0, logits[1]);
    ck_assert_int_eq(w.rows, 11 * 3);
    ck_assert_int_gt(w.experts_seen, 4 * 2);
    ck_assert(memcmp(logits[0], logits[1], sizeof logits[0]) == 0);
    net_close(n);
    b->ops->close(b);
    mixed_free(&m);
}
END_TEST

// ---- generation that replays ----------------------------------------------------------------------------------------

// A CPU that records and replays as a GPU does: eight steps at once, whatever they choose.
static backend_ops replaying;
static net        *replayed;
static bool        recording, recorded;
static int         copies, end_id = -1;
static bool (*plain_run)(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e);

static bool run_unless_recording(backend *b, const op *list, int n_ops, const op_memory *m, const op_args *a, err *e)
{
    return recording || plain_run(b, list, n_ops, m, a, e);
}

static bool record_begin(backend *b, err *e) { return recording = true; }
static bool is_recorded(const backend *b)    { return recorded; }

static bool record_end(backend *b, bool keep, err *e)
{
    recording = false;
    recorded = keep;
    return true;
}

static bool replay(backend *b, int32_t id, int64_t pos, int n, int32_t *ids, err *e)
{
    for (int i = 0; i < n; i++) {
        if (!net_forward(replayed, &id, 1, pos + i, NULL, e) || !net_argmax(replayed, 0, &id, e)) return false;
        ids[i] = id;
    }
    return true;
}

static bool copy_counted(backend *b, void *dst, const void *src, int64_t n_bytes, err *e)
{
    copies++;
    memcpy(dst, src, (size_t)n_bytes);
    return true;
}

// These models have no tokenizer: an end of text is what the test says (linked with --wrap).
bool __wrap_tokenizer_is_end(const tokenizer *t, int32_t id);
bool __wrap_tokenizer_is_end(const tokenizer *t, int32_t id) { return id == end_id; }
static const mixed *being_run;
const hparams   *__wrap_model_hparams(const model *m);
const hparams   *__wrap_model_hparams(const model *m)   { return &being_run->h; }
const tokenizer *__wrap_model_tokenizer(const model *m);
const tokenizer *__wrap_model_tokenizer(const model *m) { return NULL; }

static session *replaying_session(const mixed *m)
{
    session *s = calloc(1, sizeof *s);
    being_run = m;
    s->b = backend_cpu(ARITH_F32, 1, NULL, &mixed_err);
    replaying = *s->b->ops;
    plain_run = replaying.run;
    replaying.run = run_unless_recording;
    replaying.record_begin = record_begin;
    replaying.record_end = record_end;
    replaying.recorded = is_recorded;
    replaying.replay = replay;
    replaying.copy = copy_counted;
    s->b->ops = &replaying;
    s->n_ctx = 64;
    s->n_batch = 16;
    recorded = false;
    s->net = replayed = mixed_net(s->b, m, 64, 16);
    return s;
}

// Ends at step n: what is kept is what a run up to there leaves, and what is said next is what it says after that.
static void check_end_at(const mixed *m, const int32_t *prompt, const int32_t *whole, int n)
{
    int32_t got[24], next[2][6];
    float *states[2];
    const state_layer *last;
    for (int k = 0; k < 2; k++) {
        session *s = replaying_session(m);
        end_id = k ? -1 : whole[n];
        copies = 0;
        const int64_t count = session_generate(s, prompt, 5, got, k ? n + 1 : 24, k, NULL, NULL, &mixed_err);
        ck_assert_msg(count == n + 1 && memcmp(got, whole, (size_t)count * 4) == 0, "ends at %d: %lld ids: %s", n,
                      (long long)count, mixed_err.msg);
        ck_assert_int_eq(session_pos(s), 5 + n);
        if (k) ck_assert_int_eq(copies, 0);         // nothing can be taken back where no end is looked for
        last = &s->net->mem.states[s->net->p.n_states - 1];
        states[k] = room(last->s_floats);
        memcpy(states[k], last->s, (size_t)last->s_floats * sizeof(float));
        end_id = -1;
        ck_assert_int_eq(session_generate(s, &whole[n], 1, next[k], 6, true, NULL, NULL, &mixed_err), 6);
        const int64_t floats = last->s_floats;
        session_free(s);
        if (k) ck_assert(memcmp(states[0], states[1], (size_t)floats * sizeof(float)) == 0);
    }
    ck_assert(memcmp(next[0], next[1], sizeof next[0]) == 0);
    free(states[0]);
    free(states[1]);
}

// Ends at each id that comes for the first time: within the first replay, at its end, in a later one. How many there
// are.
static int check_ends(const mixed *m, int first_id)
{
    int32_t prompt[5], whole[24];
    int checked = 0;
    for (int i = 0; i < 5; i++) prompt[i] = mixed_id(first_id + i);
    session *s = replaying_session(m);
    end_id = -1;
    ck_assert_int_eq(session_generate(s, prompt, 5, whole, 24, true, NULL, NULL, &mixed_err), 24);
    session_free(s);
    for (int n = 2; n < 20; n++) {
        bool before = false;
        for (int i = 0; i < n; i++) before = before || whole[i] == whole[n];
        if (before) continue;
        check_end_at(m, prompt, whole, n);
        checked++;
    }
    return checked;
}

START_TEST(an_end_within_replayed_steps_is_taken_back_to)
{
    mixed m = mixed_make((mixed_kind)_i);
    int checked = 0;
    for (int k = 0; k < 8 && checked < 4; k++) checked += check_ends(&m, 10 * k);
    ck_assert_int_ge(checked, 4);
    mixed_free(&m);
}
END_TEST

// ---- what is refused ------------------------------------------------------------------------------------------------

START_TEST(keys_that_do_not_fit_are_refused_by_name)
{
    // v -1: left out
    static const struct { mixed_kind kind; const char *name; int64_t v; const char *says; } cases[] = {
        { MIXED_QWEN35MOE, "expert_used_count", 8, "expert_used_count': found 8, expected at most" },
        { MIXED_QWEN35MOE, "expert_used_count", -1, "expert_used_count': missing" },
        { MIXED_QWEN35MOE, "expert_count", 0, "expert_count': found 0" },
        { MIXED_QWEN3MOE, "expert_count", -1, "expert_count': missing" },
        { MIXED_QWEN3MOE, "expert_feed_forward_length", 0, "expert_feed_forward_length': found 0" },
        { MIXED_GEMMA4, "expert_feed_forward_length", -1, "expert_feed_forward_length': missing" },
        { MIXED_QWEN35MOE, "expert_shared_feed_forward_length", -1, "expert_shared_feed_forward_length': missing" },
        { MIXED_QWEN35, "ssm.conv_kernel", 17, "ssm.conv_kernel': found 17" },
        { MIXED_QWEN35, "ssm.time_step_rank", 5, "ssm.time_step_rank': found 5 heads of values" },
        { MIXED_QWEN35, "ssm.inner_size", 145, "ssm.inner_size': found 145" },
        { MIXED_QWEN35, "ssm.state_size", -1, "ssm.state_size': missing" },
        { MIXED_QWEN35, "full_attention_interval", 0, "full_attention_interval': found 0" },
        { MIXED_QWEN35, "nextn_predict_layers", 4, "nextn_predict_layers': found 4, expected less than block_count" },
        { MIXED_QWEN35, "rope.dimension_count", 7, "rope.dimension_count': expected an even number" },
        { MIXED_QWEN35, "rope.dimension_count", 26, "rope.dimension_count': expected an even number" },
        { MIXED_QWEN3MOE, "rope.dimension_count", 8, "rope.dimension_count': only heads that rotate as a whole" },
        { MIXED_QWEN35, "attention.recurrent_layers", 1, NULL },         // all of them: nothing is wrong with that
        { MIXED_QWEN35, "expert_count", 3, "expert_count': models of experts are neither run" },
        { MIXED_QWEN35, "attention.sliding_window", 8, "attention.sliding_window': found a window, which no layer" },
        { MIXED_QWEN35, "attention.sliding_window", 0, NULL },
        { MIXED_QWEN35MOE, "attention.shared_kv_layers", 1, "attention.shared_kv_layers': found layers that share" },
        { MIXED_QWEN3MOE, "attention.shared_kv_layers", 1, "attention.shared_kv_layers': found layers that share" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hparams h;
        err     e = { 0 };
        char    key[128];
        uint8_t *bytes;
        gguf_plan *p = mixed_keys(cases[i].kind);
        snprintf(key, sizeof key, "%s.%s", mixed_archs[cases[i].kind], cases[i].name);
        gguf_plan_remove(p, key);
        if (cases[i].v >= 0) mixed_u32(p, mixed_archs[cases[i].kind], cases[i].name, (uint32_t)cases[i].v);
        gguf *g = mixed_layout(p, &bytes);
        const bool ok = hparams_read(&h, g, &e);
        if (!cases[i].says) ck_assert_msg(ok, "%s", e.msg);
        else                ck_assert_msg(!ok && e.kind == ERR_INPUT && strstr(e.msg, cases[i].says), "%s: %s",
                                          cases[i].name, ok ? "taken" : e.msg);
        hparams_free(&h);
        gguf_close(g);
        gguf_plan_free(p);
        free(bytes);
    }
}
END_TEST

// What a program may do without is not missing among others of its kind.
START_TEST(tensors_that_others_of_their_kind_have_are_missed_by_name)
{
    static const struct { mixed_kind kind; mixed_nextn nextn; const char *name, *instead, *says; } cases[] = {
        { MIXED_QWEN35, NEXTN_THERE, "blk.4.nextn.eh_proj.weight", "blk.4.nextn.eh_prok.weight",
          "tensor 'blk.4.nextn.eh_proj.weight': missing, where 'blk.4." },
        { MIXED_GEMMA4, NO_NEXTN, "blk.3.attn_v.weight", "blk.3.attn_v.weighu",
          "tensor 'blk.3.attn_v.weight': missing, where blk.1 has one" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mixed m = mixed_make_with(cases[i].kind, cases[i].nextn);
        gguf_tensor *t = (gguf_tensor *)(uintptr_t)gguf_find_tensor(m.g, cases[i].name);
        hparams h;
        err     e = { 0 };
        ck_assert_ptr_nonnull(t);
        const char *own = t->name;
        t->name = cases[i].instead;
        ck_assert(!hparams_read(&h, m.g, &e));
        t->name = own;              // the file's, who frees it
        ck_assert_msg(e.kind == ERR_INPUT && strstr(e.msg, cases[i].says), "%s", e.msg);
        mixed_free(&m);
    }
}
END_TEST

// A tensor of experts has three dimensions, in that order.
START_TEST(experts_of_another_shape_are_refused_by_name)
{
    mixed m = mixed_make(MIXED_QWEN3MOE);
    gguf_tensor *t = (gguf_tensor *)(uintptr_t)gguf_find_tensor(m.g, "blk.1.ffn_down_exps.weight");
    err e = { 0 };
    t->shape[0] = 64;
    t->shape[1] = 7;
    ck_assert(!program_check_tensors(&m.h, m.g, &e));
    ck_assert_msg(strstr(e.msg, "'blk.1.ffn_down_exps.weight': found shape [64][7][40], expected [7][64][40]"), "%s",
                  e.msg);
    mixed_free(&m);
}
END_TEST

START_TEST(a_plan_counts_states_beside_caches)
{
    mixed m = mixed_make(MIXED_QWEN35MOE);
    memory_plan p;
    const kv_spec kv = kv_spec_of(KV_F32);
    mixed_must(memory_plan_of(&p, &m.h, &kv, ARITH_F32, 100, 16, &mixed_err));
    ck_assert(p.n_kv_layers == 1 && p.n_state_layers == 3 && p.kv_bytes == 100 * 2 * 2 * 24 * 4);
    ck_assert(p.state_bytes == 3 * (3 * CHANNELS + HEADS * KEYS * DIM) * 4);
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &mixed_err);
    net *n = mixed_net(b, &m, 100, 16);
    ck_assert(net_state_bytes(n) == p.state_bytes);
    // Of seven experts a step reads three, and of the embeddings, which are the output too, all.
    int64_t bytes = 0, experts = 0;
    for (int64_t i = 0; i < gguf_n_tensors(m.g); i++) {
        const gguf_tensor *t = gguf_tensor_at(m.g, i);
        bytes += t->n_bytes;
        if (strstr(t->name, "_exps.")) experts += t->n_bytes;
    }
    const int64_t row = MIXED_VOCAB * 64 * 4 / MIXED_VOCAB;
    ck_assert(net_step_weight_bytes(n) == bytes - experts / 7 * 4 + row);
    net_close(n);
    b->ops->close(b);
    mixed_free(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mixed");
    TCase *t = tcase_create("all");
    tcase_add_test(t, delta_and_conv_follow_their_words);
    tcase_add_test(t, a_route_is_what_its_words_say);
    tcase_add_test(t, products_of_experts_and_their_sum);
    tcase_add_test(t, gates_norms_and_decays);
    tcase_add_loop_test(t, the_same_bits_for_any_batch_threads_and_level, 0, N_MIXED);
    tcase_add_test(t, a_state_begins_anew_at_position_0);
    tcase_add_loop_test(t, blocks_behind_the_layers_change_nothing, 0, MIXED_QWEN35 + 1);
    tcase_add_loop_test(t, tensors_that_nothing_reads_have_shapes, 0, MIXED_QWEN35 + 1);
    tcase_add_loop_test(t, observers_see_the_rows_of_each_expert, MIXED_GEMMA4, N_MIXED);
    tcase_add_loop_test(t, an_end_within_replayed_steps_is_taken_back_to, 0, MIXED_QWEN35 + 1);
    tcase_add_test(t, keys_that_do_not_fit_are_refused_by_name);
    tcase_add_test(t, experts_of_another_shape_are_refused_by_name);
    tcase_add_test(t, tensors_that_others_of_their_kind_have_are_missed_by_name);
    tcase_add_test(t, a_plan_counts_states_beside_caches);
    suite_add_tcase(s, t);
    return run_suite(s);
}
