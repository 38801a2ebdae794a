// Proves runtime/cuda/experts.cu: every operation of experts gives the CPU's bits, for one token and for many; what
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

// Choice, products and answer in one list: each kernel starts before the one before it has ended, and reads what that
// writes.
static void check_list(int n)
{
    enum { DIM = 64, FF = 40 };
    const experts_case up = { DT_BF16, 11, 3, n, FF, DIM, 0, 0, true },
                       down = { DT_Q8_0, 11, 3, n, 34, 64, 0, 0, false };
    op_case c = { 0 };
    uint8_t *bytes[3];
    const gguf_tensor t[3] = { experts_tensor(&up, &bytes[0]), experts_tensor(&up, &bytes[1]),
                               experts_tensor(&down, &bytes[2]) };
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
    suite_add_tcase(s, t);
    return run_suite(s);
}
