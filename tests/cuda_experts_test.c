// Proves runtime/cuda/experts.cu, delta.cu and what elementwise.cu and cache.cu have for them: every operation of
// experts and delta nets gives the CPU's bits, for one token and for many, in a plain run and in a recorded step; what
// lies beside its operands stays as it was. Sizes are odd on purpose.
#include "op_case.h"

// ---- the choice -----------------------------------------------------------------------------------------------------

typedef struct { int experts, slots, n; bool renorm, ties_high, round_weights, scaled; } route_case;

static void fill_scores(float *x, const route_case *k)
{
    for (int64_t i = 0; i < (int64_t)k->n * k->experts; i++) x[i] = random_float();
    for (int i = 0; i < k->experts; i += 3) x[i] = 0.5f;                       // ties in the first token
    if (k->n > 1)
        for (int i = 0; i < k->experts; i++)
            x[k->experts + i] = i % 4 == 1 ? NAN : i % 4 == 2 ? -INFINITY : x[k->experts + i];
    if (k->n > 2) for (int i = 0; i < k->experts; i++) x[2 * k->experts + i] = NAN;
    if (k->n > 3) for (int i = 0; i < k->experts; i++) x[3 * k->experts + i] = -INFINITY;
}

static void check_route(const route_case *k)
{
    op_case c = { 0 };
    float *x = malloc((size_t)k->n * (size_t)k->experts * sizeof *x), *scale = random_floats(k->experts);
    fill_scores(x, k);
    op *o = case_op(&c, OP_ROUTE);
    o->in[0] = case_buffer(&c, x, (int64_t)k->n * k->experts, k->experts);
    o->out[0] = case_buffer(&c, NULL, (int64_t)k->n * (k->slots + 3), k->slots + 3);
    o->out[1] = case_buffer(&c, NULL, (int64_t)k->n * (k->slots + 1), k->slots + 1);
    if (k->scaled) o->w[0] = case_floats(&c, scale, 1, k->experts);
    o->experts = k->experts;
    o->slots = k->slots;
    o->renorm = k->renorm;
    o->ties_high = k->ties_high;
    o->round_weights = k->round_weights;
    case_run(&c, k->n, 0, false);
    char what[96];
    snprintf(what, sizeof what, "route: %d of %d, %d tokens%s%s", k->slots, k->experts, k->n,
             k->renorm ? ", renormalised" : "", k->ties_high ? ", ties high" : "");
    case_same(&c, what);
    case_end(&c);
    free(x);
    free(scale);
}

START_TEST(choices_of_experts)
{
    static const route_case cases[] = {
        { 1, 1, 1, true, false, false, true },    { 2, 1, 4, false, false, true, false },
        { 5, 5, 4, true, true, true, true },      { 37, 4, 3, true, false, true, false },
        { 128, 8, 4, true, false, false, true },  { 256, 8, 4, true, true, true, false },
        { 300, 64, 4, false, true, false, true }, { 1100, 9, 4, true, false, true, true },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) check_route(&cases[k]);
    close_backends();
}
END_TEST

// ---- products of experts --------------------------------------------------------------------------------------------

// apart: floats between what two slots see (0: they see the same), and beyond a row of the answer.
typedef struct { dtype type; int experts, slots, n; int64_t rows, cols; int apart, behind; bool two; } experts_case;

static gguf_tensor experts_tensor(const experts_case *k, uint8_t **bytes)
{
    gguf_tensor t = random_tensor(k->type, k->experts * k->rows, k->cols, bytes);
    t.n_dims = 3;
    t.shape[0] = k->experts;
    t.shape[1] = k->rows;
    t.shape[2] = k->cols;
    return t;
}

// Slots of a token differ and ascend; one expert in three is seldom chosen.
static void choose_ids(float *ids, const experts_case *k)
{
    for (int t = 0; t < k->n; t++)
        for (int s = 0, id = 0; s < k->slots; s++, id++) {
            seed = seed * 1664525u + 1013904223u;
            const int room = k->experts - (k->slots - s) - id;
            id += room > 0 && (seed >> 20) % 3 ? (int)((seed >> 8) % (uint32_t)(room + 1)) : 0;
            ids[t * k->slots + s] = (float)id;
        }
}

static void product_of(op_case *c, const experts_case *k, view in, view ids, const gguf_tensor *t)
{
    const int64_t out_head = k->rows + k->behind;
    op *o = case_op(c, OP_LINEAR_ID);
    o->in[0] = in;
    o->in[1] = ids;
    for (int i = 0; i < (k->two ? 2 : 1); i++) {
        o->w[i] = case_weight(c, &t[i]);
        o->out[i] = case_buffer(c, NULL, k->n * k->slots * out_head, k->slots * out_head);
        o->out[i].head = k->behind ? (int32_t)out_head : 0;
    }
    o->experts = k->experts;
    o->slots = k->slots;
}

static void check_experts(const experts_case *k)
{
    op_case c = { 0 };
    uint8_t *bytes[2] = { NULL, NULL };
    float *ids = malloc((size_t)k->n * (size_t)k->slots * sizeof *ids);
    const int64_t in_row = k->apart ? k->slots * (k->cols + k->apart) : k->cols;
    choose_ids(ids, k);
    gguf_tensor t[2] = { experts_tensor(k, &bytes[0]), { 0 } };
    if (k->two) t[1] = experts_tensor(k, &bytes[1]);
    view in = case_random(&c, k->n * in_row, in_row);
    if (k->apart) in.head = (int32_t)(k->cols + k->apart);
    product_of(&c, k, in, case_buffer(&c, ids, k->n * k->slots, k->slots), t);
    const op_memory m = { .weights = c.weights[GPU] };
    ck_assert_int_eq(on[GPU]->ops->has(on[GPU], &c.list[0], &m, k->n == 1), !k->two || k->n == 1);
    case_run(&c, k->n, 0, false);
    char what[96];
    snprintf(what, sizeof what, "experts %s: %d of %d [%lld][%lld] x %d", dtype_name(k->type), k->slots, k->experts,
             (long long)k->rows, (long long)k->cols, k->n);
    case_same(&c, what);
    case_end(&c);
    free(ids);
    free(bytes[0]);
    free(bytes[1]);
}

START_TEST(products_of_experts_of_every_type)
{
    int n_types;
    const codec *types = codec_table(&n_types);
    begin(_i);
    for (int i = 0; i < n_types; i++) {
        const dtype t = types[i].type;
        const int64_t block = block_of(t), cols = block == 1 ? 300 : block == 32 ? 352 : 512;
        const int64_t long_cols = block == 1 ? 1091 : block == 32 ? 1120 : 1280;
        const experts_case cases[] = {
            { t, 5, 2, 1, 35, cols, 4, 0, false }, { t, 3, 2, 1, 9, long_cols, 0, 3, true },
            { t, 3, 2, 3, 7, cols, 0, 0, false },  { t, 7, 3, 19, 35, cols, block == 1 ? 3 : 4, 5, false },
        };
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) check_experts(&cases[k]);
    }
    close_backends();
}
END_TEST

START_TEST(products_of_many_tokens)
{
    // Experts that all tokens see, more than 32 pairs; that none sees; more experts than pairs.
    static const experts_case cases[] = {
        { DT_BF16, 3, 3, 40, 5, 64, 0, 0, false },  { DT_F32, 1, 1, 70, 33, 37, 0, 0, true },
        { DT_F32, 70, 2, 17, 6, 40, 1, 0, false },
        { DT_Q8_0, 37, 1, 16, 34, 64, 0, 2, true }, { DT_F32, 300, 3, 20, 3, 16, 0, 0, false },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) check_experts(&cases[k]);
    close_backends();
}
END_TEST

// Two products with the same ids, then other ids in the same place, then a product with those: the order of the first
// is not the last one's.
START_TEST(an_order_is_shared_until_its_ids_change)
{
    static const experts_case k = { DT_F32, 9, 2, 18, 5, 24, 0, 0, false };
    begin(_i);
    op_case c = { 0 };
    uint8_t *bytes[2];
    float *ids = malloc((size_t)k.n * (size_t)k.slots * sizeof *ids);
    gguf_tensor t[2] = { experts_tensor(&k, &bytes[0]), experts_tensor(&k, &bytes[1]) };
    choose_ids(ids, &k);
    const view in = case_random(&c, k.n * k.cols, (int)k.cols), at = case_buffer(&c, ids, k.n * k.slots, k.slots);
    const view scores = case_random(&c, (int64_t)k.n * k.experts, k.experts);
    const view weights = case_buffer(&c, NULL, k.n * k.slots, k.slots);
    product_of(&c, &k, in, at, t);
    product_of(&c, &k, in, at, t + 1);
    op *o = case_op(&c, OP_ROUTE);
    o->in[0] = scores;
    o->out[0] = weights;
    o->out[1] = at;
    o->experts = k.experts;
    o->slots = k.slots;
    product_of(&c, &k, in, at, t);
    case_run(&c, k.n, 0, false);
    case_same(&c, "shared order");
    case_run(&c, k.n, 0, false);            // from the start, with the route's ids
    case_same(&c, "order of the second run");
    case_end(&c);
    free(ids);
    free(bytes[0]);
    free(bytes[1]);
    close_backends();
}
END_TEST

// Choice, products and answer in one list: each kernel starts before the one before it has ended, and reads what that writes.
static void check_list(int n)
{
    enum { DIM = 64, FF = 40 };
    const experts_case up = { DT_BF16, 11, 3, n, FF, DIM, 0, 0, true }, down = { DT_Q8_0, 11, 3, n, 34, 64, 0, 0, false };
    op_case c = { 0 };
    uint8_t *bytes[3];
    const gguf_tensor t[3] = { experts_tensor(&up, &bytes[0]), experts_tensor(&up, &bytes[1]), experts_tensor(&down, &bytes[2]) };
    const view x = case_random(&c, n * DIM, DIM), ids = case_buffer(&c, NULL, n * up.slots, up.slots);
    op *o = case_op(&c, OP_ROUTE);
    o->in[0] = case_random(&c, n * up.experts, up.experts);
    o->out[0] = case_buffer(&c, NULL, n * up.slots, up.slots);
    o->out[1] = ids;
    o->experts = up.experts;
    o->slots = up.slots;
    o->renorm = true;
    const view weights = o->out[0];
    product_of(&c, &up, x, ids, t);
    product_of(&c, &down, case_random(&c, n * up.slots * down.cols, up.slots * down.cols), ids, t + 2);
    const view answers = c.list[c.n_ops - 1].out[0];
    o = case_op(&c, OP_JOIN);
    o->in[0] = answers;
    o->in[1] = weights;
    o->out[0] = case_buffer(&c, NULL, n * down.rows, down.rows);
    o->slots = up.slots;
    o->dim = (int)down.rows;
    case_run(&c, n, 0, false);
    case_same(&c, "choice, products, answer");
    case_end(&c);
    for (int i = 0; i < 3; i++) free(bytes[i]);
}

START_TEST(one_list_of_all)
{
    begin(_i);
    check_list(1);
    check_list(2);
    check_list(17);
    close_backends();
}
END_TEST

START_TEST(answers_of_experts_joined)
{
    static const struct { int n, slots, dim, apart; } cases[] = {
        { 1, 8, 300, 0 }, { 3, 3, 37, 5 }, { 2, 1, 1, 0 }, { 17, 2, 257, 1 },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        op_case c = { 0 };
        const int n = cases[k].n, slots = cases[k].slots, dim = cases[k].dim, head = dim + cases[k].apart;
        op *o = case_op(&c, OP_JOIN);
        o->in[0] = case_random(&c, (int64_t)n * slots * head, slots * head);
        o->in[0].head = cases[k].apart ? head : 0;
        o->in[1] = case_random(&c, n * (slots + 2), slots + 2);
        o->out[0] = case_buffer(&c, NULL, n * (dim + 4), dim + 4);
        o->slots = slots;
        o->dim = dim;
        case_run(&c, n, 0, false);
        case_same(&c, "join");
        case_end(&c);
    }
    close_backends();
}
END_TEST

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
        for (int i = 0; i < N_BACKENDS; i++)
            c.cache[i] = (kv_layer){ .k_type = DT_F32, .v_type = DT_F32, .n_kv_head = KV, .head_dim = HD,
                                     .capacity = CTX, .k_row = KV * HD * 4, .v_row = KV * HD * 4,
                                     .k = put(i, NULL, CTX * KV * HD), .v = put(i, NULL, CTX * KV * HD) };
    }
    case_run(&c, n, POS, step);
    case_same(&c, heads ? "heads that rotate in part" : "rotation in part");
    if (heads)
        case_compare((float *const[]){ c.cache[CPU].k, c.cache[GPU].k }, CTX * KV * HD, "keys that rotated in part");
    if (heads) case_compare((float *const[]){ c.cache[CPU].v, c.cache[GPU].v }, CTX * KV * HD, "values");
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
    const int64_t out_row = (int64_t)k->heads * k->dim + BEHIND, in_row = 2 * (int64_t)k->key_heads * k->key_dim + out_row;
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
    Suite *s = suite_create("cuda_experts");
    TCase *t = tcase_create("experts");
    tcase_add_loop_test(t, choices_of_experts, 0, runs_asked());
    tcase_add_loop_test(t, products_of_experts_of_every_type, 0, runs_asked());
    tcase_add_loop_test(t, products_of_many_tokens, 0, runs_asked());
    tcase_add_loop_test(t, an_order_is_shared_until_its_ids_change, 0, runs_asked());
    tcase_add_loop_test(t, one_list_of_all, 0, runs_asked());
    tcase_add_loop_test(t, answers_of_experts_joined, 0, runs_asked());
    tcase_add_loop_test(t, rows_apart, 0, runs_asked());
    tcase_add_loop_test(t, part_of_a_head_rotates, 0, runs_asked());
    tcase_add_loop_test(t, convolutions_with_a_state, 0, runs_asked());
    tcase_add_loop_test(t, decays, 0, runs_asked());
    tcase_add_loop_test(t, the_delta_rule, 0, runs_asked());
    tcase_add_test(t, copies_on_the_device);
    suite_add_tcase(s, t);
    return run_suite(s);
}
