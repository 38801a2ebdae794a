// Proves runtime/cuda/delta.cu and what elementwise.cu and cache.cu have for delta nets and their neighbours: rows that
// lie apart, heads that rotate in part, layers with a state: the CPU's bits, for one token and for several, in a plain
// run and in a recorded step; what lies beside their operands stays as it was. Sizes are odd on purpose.
#include "op_case.h"

// ---- rows that lie apart --------------------------------------------------------------------------------------------

enum { N_TOKENS = 3, N_ROWS = 5, ROW_DIM = 290, ROW_HEAD = 310, TOKEN_ROW = N_ROWS * ROW_HEAD + 7 };

static view apart(op_case *c, bool filled)
{
    const int64_t n = N_TOKENS * TOKEN_ROW;
    view v = filled ? case_random(c, n, TOKEN_ROW) : case_buffer(c, NULL, n, TOKEN_ROW);
    v.head = ROW_HEAD;
    return v;
}

static view together(op_case *c, bool filled)
{
    const int64_t row = (int64_t)N_ROWS * ROW_DIM;
    return filled ? case_random(c, N_TOKENS * row, row) : case_buffer(c, NULL, N_TOKENS * row, row);
}

static op *rows_op(op_case *c, op_kind kind)
{
    op *o = case_op(c, kind);
    o->rows = N_ROWS;
    o->dim = ROW_DIM;
    o->eps = 1e-6f;
    return o;
}

static void rows_done(op_case *c, const char *what)
{
    case_run(c, N_TOKENS, 0, false);
    case_same(c, what);
    case_end(c);
}

static void check_norms(op_kind kind, bool in_apart, bool out_apart, bool weighted)
{
    op_case c = { 0 };
    float *w = random_floats(ROW_DIM);
    op *o = rows_op(&c, kind);
    o->in[0] = in_apart ? apart(&c, true) : together(&c, true);
    o->out[0] = out_apart ? apart(&c, false) : together(&c, false);
    if (weighted) o->w[0] = case_floats(&c, w, 1, ROW_DIM);
    o->round_first = weighted;
    rows_done(&c, kind == OP_NORM ? "norm" : "l2norm");
    free(w);
}

static void check_gate(bool one, bool strided, bool in_place)
{
    op_case c = { 0 };
    op *o = rows_op(&c, OP_GATE);
    o->in[0] = strided ? apart(&c, true) : together(&c, true);
    o->in[1] = one ? case_random(&c, N_TOKENS * (N_ROWS + 2), N_ROWS + 2) : apart(&c, true);
    o->in[1].one = one;
    o->out[0] = in_place ? o->in[0] : together(&c, false);
    rows_done(&c, one ? "gate of one" : "gate");
}

static void check_act_mul(activation act, bool whole, bool strided)
{
    op_case c = { 0 };
    op *o = rows_op(&c, OP_ACT_MUL);
    o->out[0] = strided ? apart(&c, true) : together(&c, true);
    o->in[0] = together(&c, true);
    o->act = act;
    o->whole = whole;
    rows_done(&c, whole ? "whole act_mul" : "act_mul");
}

// A row of weights for every token; the sigmoid.
static void check_mul_and_sigmoid(void)
{
    op_case c = { 0 };
    float *w = random_floats(ROW_DIM);
    op *o = case_op(&c, OP_MUL);
    o->in[0] = case_random(&c, N_TOKENS * ROW_DIM, ROW_DIM);
    o->out[0] = case_buffer(&c, NULL, N_TOKENS * ROW_DIM, ROW_DIM);
    o->w[0] = case_floats(&c, w, 1, ROW_DIM);
    o->dim = ROW_DIM;
    o = case_op(&c, OP_ACT);
    o->out[0] = c.list[0].in[0];
    o->act = ACT_SIGMOID;
    o->dim = ROW_DIM;
    rows_done(&c, "mul by a weight, sigmoid");
    free(w);
}

START_TEST(rows_apart)
{
    begin(_i);
    for (int form = 0; form < 4; form++) {
        check_norms(OP_NORM, form & 1, form & 2, true);
        check_norms(OP_L2NORM, form & 1, form & 2, false);
        check_gate(form & 1, form & 2, false);
        check_gate(form & 1, form & 2, true);
    }
    check_norms(OP_NORM, true, false, false);
    for (int strided = 0; strided < 2; strided++) {
        check_act_mul(ACT_SILU, true, strided);
        check_act_mul(ACT_SILU, false, strided);
        check_act_mul(ACT_GELU_TANH, false, strided);
    }
    check_mul_and_sigmoid();
    close_backends();
}
END_TEST

// ---- part of a head rotates -----------------------------------------------------------------------------------------

static void check_rotation(int n, bool heads, bool neighbours, bool normed, bool step)
{
    enum { HD = 70, ROT = 22, HEADS = 3, KV = 2, CTX = 20, POS = 9 };
    op_case c = { 0 };
    float inv[ROT / 2], *qn = random_floats(HD), *kn = random_floats(HD);
    for (int i = 0; i < ROT / 2; i++) inv[i] = 1.0f / powf(10000.0f, 2.0f * (float)i / ROT);
    case_rope(&c, ROT, inv, CTX);
    op *o = case_op(&c, heads ? OP_HEADS : OP_ROTATE);
    o->rope = 0;
    o->rows = HEADS;
    o->dim = HD;
    o->neighbours = neighbours;
    o->eps = 1e-6f;
    o->out[0] = case_random(&c, n * HEADS * HD, HEADS * HD);
    if (heads) {
        o->kv_rows = KV;
        o->out[1] = case_random(&c, n * KV * HD, KV * HD);
        o->out[2] = o->in[0] = case_random(&c, n * KV * HD, KV * HD);
        o->cache = 0;
        if (normed) o->w[0] = case_floats(&c, qn, 1, HD);
        if (normed) o->w[1] = case_floats(&c, kn, 1, HD);
        for (int i = 0; i < N_BACKENDS; i++) {
            c.cache[i] = kv_case(DT_F32, DT_F32, KV, HD, CTX);
            c.cache[i].k.data = put(i, NULL, CTX * KV * HD);
            c.cache[i].v.data = put(i, NULL, CTX * KV * HD);
        }
    }
    case_run(&c, n, POS, step);
    case_same(&c, heads ? "heads that rotate in part" : "rotation in part");
    if (heads)
        case_compare((float *const[]){ c.cache[CPU].k.data, c.cache[GPU].k.data }, CTX * KV * HD,
                     "keys that rotated in part");
    if (heads) case_compare((float *const[]){ c.cache[CPU].v.data, c.cache[GPU].v.data }, CTX * KV * HD, "values");
    case_end(&c);
    free(qn);
    free(kn);
}

START_TEST(part_of_a_head_rotates)
{
    begin(_i);
    for (int form = 0; form < 16; form++)
        check_rotation(form & 8 ? 4 : 1, form & 1, form & 2, form & 4, !(form & 8) && form & 1);
    close_backends();
}
END_TEST

// ---- layers with a state --------------------------------------------------------------------------------------------

enum { N_BATCHES = 5 };
static const struct { int n, at; bool step; } batches[N_BATCHES] = {
    { 5, 0, false }, { 1, 5, false }, { 1, 6, true }, { 1, 0, true }, { 2, 1, false },
};

static void check_conv(int taps, int channels, bool late, bool keeps, bool in_place)
{
    enum { MOST = 5, BEHIND = 3 };
    op_case c = { 0 };
    float *w = random_floats((int64_t)channels * taps);
    op *o = case_op(&c, OP_CONV);
    o->in[0] = case_random(&c, MOST * (channels + BEHIND), channels + BEHIND);
    o->out[0] = in_place ? o->in[0] : case_buffer(&c, NULL, MOST * channels, channels);
    o->w[0] = case_floats(&c, w, channels, taps);
    o->state = 0;
    o->dim = channels;
    o->late = late;
    o->keeps_state = keeps;
    case_state(&c, (int64_t)(taps - 1) * channels, 0);
    for (int b = 0; b < N_BATCHES; b++) {
        char what[96];
        snprintf(what, sizeof what, "conv of %d taps, %d channels%s%s, batch %d", taps, channels, late ? ", late" : "",
                 keeps ? ", kept" : "", b);
        case_run(&c, batches[b].n, batches[b].at, batches[b].step);
        case_same(&c, what);
    }
    case_end(&c);
    free(w);
}

START_TEST(convolutions_with_a_state)
{
    begin(_i);
    for (int form = 0; form < 8; form++) check_conv(4, 300, form & 1, form & 2, form & 4);
    check_conv(2, 1, false, false, false);
    check_conv(3, 130, true, false, false);
    check_conv(16, 37, false, false, true);
    close_backends();
}
END_TEST

START_TEST(decays)
{
    enum { N = 3, DIM = 150 };
    begin(_i);
    op_case c = { 0 };
    float *x = random_floats(N * DIM), *a = random_floats(DIM), *bias = random_floats(DIM);
    const float odd[] = { 19.9f, 20.0f, 20.1f, 300.0f, -300.0f, INFINITY, -INFINITY, NAN, -0.0f, 1e-30f, -745.0f,
                          88.0f };
    memcpy(x + 9, odd, sizeof odd);
    for (int i = 0; i < 30; i++) bias[i] = 0.0f;
    op *o = case_op(&c, OP_DECAY);
    o->in[0] = case_buffer(&c, x, N * DIM, DIM);
    o->out[0] = case_buffer(&c, NULL, N * (DIM + 1), DIM + 1);
    o->w[0] = case_floats(&c, a, 1, DIM);
    o->w[1] = case_floats(&c, bias, 1, DIM);
    o->dim = DIM;
    for (int sign = 1; sign >= -1; sign -= 2) {
        c.list[0].scale = (float)sign;
        case_run(&c, N, 0, false);
        case_same(&c, "decay");
    }
    case_end(&c);
    free(x);
    free(a);
    free(bias);
    close_backends();
}
END_TEST

typedef struct { int heads, dim, key_heads, key_dim; bool grouped, keeps; } delta_case;

static void check_delta(const delta_case *k)
{
    enum { MOST = 5, BEHIND = 2 };
    op_case c = { 0 };
    const int64_t out_row = (int64_t)k->heads * k->dim + BEHIND,
                  in_row = 2 * (int64_t)k->key_heads * k->key_dim + out_row;
    op *o = case_op(&c, OP_DELTA);
    o->in[0] = case_random(&c, MOST * in_row, in_row);
    o->in[1] = case_random(&c, MOST * (k->heads + 1), k->heads + 1);
    o->in[2] = case_random(&c, MOST * k->heads, k->heads);
    o->out[0] = case_buffer(&c, NULL, MOST * out_row, out_row);
    o->state = 0;
    o->rows = k->heads;
    o->dim = k->dim;
    o->kv_rows = k->key_heads;
    o->key_dim = k->key_dim;
    o->scale = 0.0883883476f;
    o->grouped = k->grouped;
    o->keeps_state = k->keeps;
    case_state(&c, 0, (int64_t)k->heads * k->key_dim * k->dim);
    for (int b = 0; b < N_BATCHES; b++) {
        char what[96];
        snprintf(what, sizeof what, "delta: %d heads of %d over %d of %d%s, batch %d", k->heads, k->dim, k->key_heads,
                 k->key_dim, k->grouped ? ", grouped" : "", b);
        case_run(&c, batches[b].n, batches[b].at, batches[b].step);
        case_same(&c, what);
    }
    case_end(&c);
}

START_TEST(the_delta_rule)
{
    static const delta_case cases[] = {
        { 4, 128, 2, 128, false, false }, { 6, 36, 3, 128, true, true }, { 2, 5, 1, 37, false, false },
        { 3, 33, 3, 16, false, true },
        { 2, 34, 2, 256, true, false },   { 1, 1, 1, 1, false, false },  { 4, 64, 2, 64, true, false },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) check_delta(&cases[k]);
    close_backends();
}
END_TEST

// What a session keeps of a state before it replays steps that it may have to take back.
START_TEST(copies_on_the_device)
{
    enum { N = 1000 };
    begin(0);
    float *x = random_floats(N), *from = put(GPU, x, N), *to = put(GPU, NULL, N), *got = malloc(N * sizeof *got);
    must(on[GPU]->ops->copy != NULL);
    must(on[GPU]->ops->copy(on[GPU], to + 3, from + 1, (N - 10) * (int64_t)sizeof *x, &e)
         && on[GPU]->ops->download(on[GPU], got, to, N * sizeof *got, &e));
    ck_assert(memcmp(got + 3, x + 1, (N - 10) * sizeof *x) == 0);
    for (int i = 0; i < N; i++)
        if (i < 3 || i >= N - 7) ck_assert_msg(memcmp(&got[i], "\x7b\x7b\x7b\x7b", 4) == 0, "float %d was written", i);
    on[GPU]->ops->release(on[GPU], from);
    on[GPU]->ops->release(on[GPU], to);
    free(x);
    free(got);
    close_backends();
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_delta");
    TCase *t = tcase_create("delta");
    tcase_add_loop_test(t, rows_apart, 0, runs_asked());
    tcase_add_loop_test(t, part_of_a_head_rotates, 0, runs_asked());
    tcase_add_loop_test(t, convolutions_with_a_state, 0, runs_asked());
    tcase_add_loop_test(t, decays, 0, runs_asked());
    tcase_add_loop_test(t, the_delta_rule, 0, runs_asked());
    tcase_add_test(t, copies_on_the_device);
    suite_add_tcase(s, t);
    return run_suite(s);
}
