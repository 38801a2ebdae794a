// Proves what a decode step launches and the table of operations does not name: attention whose position is on the
// device (a recorded step), over one span of keys and several; and the kernels that stand for several operations. Each
// against the CPU's separate operations, bit for bit. Sizes are odd on purpose; what nothing was written to is
// poisoned.
#include "cuda_both.h"

static gpu_ctx *ctx(void) { return &((cuda_backend *)on[GPU])->ctx; }

// From now on kernels find the position on the device.
static void step_at(int64_t pos)
{
    const gpu_step s = { .pos = pos, .bad_kv = ~0ull };
    must(on[GPU]->ops->upload(on[GPU], ctx()->state, &s, sizeof s, &e));
    ctx()->step = ctx()->state;
}

static void step_over(void) { ctx()->step = NULL; }

enum { WRONG_POS = 1 };         // passed beside a step, which makes it meaningless

static kv_layer new_cache(int i, dtype type, int n_kv_head, int head_dim, int64_t capacity, int64_t *n_bytes)
{
    kv_layer kv = kv_case(type, type, n_kv_head, head_dim, capacity);
    *n_bytes = kv_part_bytes(&kv.k);
    kv.k.data = put(i, NULL, (*n_bytes + 3) / 4);
    kv.v.data = put(i, NULL, (*n_bytes + 3) / 4);
    return kv;
}

static gpu_kv on_device(const kv_layer *kv)
{
    gpu_kv on_gpu;
    must(cuda_kv_of(kv, &on_gpu, &e));
    return on_gpu;
}

static void same_caches(kv_layer kv[N_BACKENDS], int64_t n_bytes, const char *what)
{
    uint8_t *bytes[N_BACKENDS];
    for (int i = 0; i < N_BACKENDS; i++) {
        bytes[i] = malloc((size_t)(2 * n_bytes));
        must(on[i]->ops->download(on[i], bytes[i], kv[i].k.data, n_bytes, &e));
        must(on[i]->ops->download(on[i], bytes[i] + n_bytes, kv[i].v.data, n_bytes, &e));
        kv_case_close(on[i], &kv[i]);
    }
    ck_assert_msg(memcmp(bytes[CPU], bytes[GPU], (size_t)(2 * n_bytes)) == 0, "%s: bytes of the cache differ", what);
    free(bytes[CPU]);
    free(bytes[GPU]);
}

// ---- attention of a recorded step -----------------------------------------------------------------------------------

enum { MAX_AT = 6 };
typedef struct {
    dtype type;
    int n_head, n_kv_head, head_dim;
    int64_t capacity, window;
    float scale, softcap;
    int64_t at[MAX_AT];
} step_case;

static const step_case step_cases[] = {
    // two spans, where a block makes its softmax for itself: the last key of a span and the first of the next; the ring
    // goes round
    { DT_F32,  2, 1, 40, 1100, 0,    0.3f, 0.0f,  { 0, 7, 1022, 1023, 1024, 1099 } },
    { DT_BF16, 2, 1, 64, 1060, 1050, 0.3f, 0.0f,  { 3, 1030, 1049, 1050, 1500, 2300 } },
    { DT_Q4_0, 2, 2, 32, 1090, 0,    1.0f, 30.0f, { 0, 900, 1023, 1024, 1060, 1089 } },
    // five spans, and the softmax is a launch of its own
    { DT_F16,  2, 1, 33, 4200, 0,    0.4f, 0.0f,  { 0, 5, 1024, 2050, 4096, 4199 } },
    { DT_Q8_0, 1, 1, 32, 4300, 4150, 0.5f, 20.0f, { 2, 1500, 4095, 4149, 4150, 8500 } },
};

static void attend(const step_case *k, kv_layer kv[N_BACKENDS], const float *q, int64_t pos)
{
    const int64_t q_dim = (int64_t)k->n_head * k->head_dim,
                  n_scratch = cuda_attention_scratch(&(gpu_kv){ .capacity = k->capacity, .head_dim = k->head_dim },
                                                     k->n_head, k->window);
    float *y[N_BACKENDS], *scratch = put(GPU, NULL, n_scratch), *dq = put(GPU, q, q_dim);
    for (int i = 0; i < N_BACKENDS; i++) y[i] = put(i, NULL, q_dim);
    const attention_args want = { .q = q,
                                  .out = y[CPU],
                                  .kv = &kv[CPU],
                                  .n = 1,
                                  .n_head = k->n_head,
                                  .pos0 = pos,
                                  .window = k->window,
                                  .scale = k->scale,
                                  .softcap = k->softcap };
    must(one_attend(on[CPU], &want, &e));
    const gpu_attention a = { .q = dq,
                              .out = y[GPU],
                              .scores = scratch,
                              .kv = on_device(&kv[GPU]),
                              .n = 1,
                              .n_head = k->n_head,
                              .pos0 = WRONG_POS,
                              .window = k->window,
                              .scale = k->scale,
                              .softcap = k->softcap };
    step_at(pos);
    must(cuda_attention(ctx(), &a, &e) && on[GPU]->ops->sync(on[GPU], &e));
    step_over();
    char what[96];
    snprintf(what, sizeof what, "step %lld, cache %s of %lld, window %lld", (long long)pos, dtype_name(k->type),
             (long long)k->capacity, (long long)k->window);
    same_on_both(y, q_dim, what);
    on[GPU]->ops->release(on[GPU], scratch);
    on[GPU]->ops->release(on[GPU], dq);
}

// The cache fills position by position; slots ahead of the step's own are poison.
START_TEST(attention_of_a_step)
{
    begin(_i);
    for (size_t c = 0; c < sizeof step_cases / sizeof *step_cases; c++) {
        const step_case *k = &step_cases[c];
        enum { CHUNK = 500 };
        const int64_t kv_dim = (int64_t)k->n_kv_head * k->head_dim;
        float *x = random_floats(3 * CHUNK * kv_dim), *q = random_floats((int64_t)k->n_head * k->head_dim),
              *dx = put(GPU, x, 3 * CHUNK * kv_dim);
        kv_layer kv[N_BACKENDS];
        int64_t stored = 0, n_bytes = 0;
        for (int i = 0; i < N_BACKENDS; i++)
            kv[i] = new_cache(i, k->type, k->n_kv_head, k->head_dim, k->capacity, &n_bytes);
        for (int j = 0; j < MAX_AT; j++) {
            while (stored <= k->at[j]) {
                const int n = k->at[j] + 1 - stored < CHUNK ? (int)(k->at[j] + 1 - stored) : CHUNK;
                const int64_t off = stored % CHUNK * kv_dim;        // other values for other positions
                must(one_store(on[CPU], &kv[CPU], x + off, x + off + n * kv_dim, n, stored, &e));
                must(one_store(on[GPU], &kv[GPU], dx + off, dx + off + n * kv_dim, n, stored, &e));
                stored += n;
            }
            attend(k, kv, q, k->at[j]);
        }
        same_caches(kv, n_bytes, "attention of a step");
        on[GPU]->ops->release(on[GPU], dx);
        free(x);
        free(q);
    }
    close_backends();
}
END_TEST

// ---- several products, products with a gate -------------------------------------------------------------------------

typedef struct { weight w[N_BACKENDS]; uint8_t *bytes; } both_weights;

static both_weights load_both(dtype t, int64_t rows, int64_t cols)
{
    both_weights b = { 0 };
    const gguf_tensor g = random_tensor(t, rows, cols, &b.bytes);
    for (int i = 0; i < N_BACKENDS; i++) must(on[i]->ops->load_weight(on[i], &g, &b.w[i], &e));
    return b;
}

static void free_both(both_weights *b)
{
    for (int i = 0; i < N_BACKENDS; i++) on[i]->ops->free_weight(on[i], &b->w[i]);
    free(b->bytes);
}

static gpu_matrix matrix(const both_weights *b)
{
    const weight *w = &b->w[GPU];
    return (gpu_matrix){ .type = w->type, .data = w->data, .rows = w->rows, .cols = w->cols };
}

// one span, or three
static int64_t some_cols(dtype t) { return block_of(t) == 1 ? 300 : block_of(t) == 32 ? 352 : 1280; }

static void check_segments(dtype t, int n_seg, const int64_t rows[])
{
    const int64_t cols = some_cols(t);
    float *x = random_floats(cols), *dx = put(GPU, x, cols), *y[GPU_SEGMENTS][N_BACKENDS], *dst[GPU_SEGMENTS];
    both_weights b[GPU_SEGMENTS];
    gpu_matrix w[GPU_SEGMENTS];
    for (int s = 0; s < n_seg; s++) {
        b[s] = load_both(t, rows[s], cols);
        w[s] = matrix(&b[s]);
        for (int i = 0; i < N_BACKENDS; i++) y[s][i] = put(i, NULL, rows[s] + 1);       // one behind: it stays poison
        must(one_matmul(on[CPU], y[s][CPU], &b[s].w[CPU], x, 1, &e));
        dst[s] = y[s][GPU];
    }
    must(cuda_gemv_many(ctx(), n_seg, dst, w, dx, &e));
    for (int s = 0; s < n_seg; s++) {
        char what[96];
        snprintf(what, sizeof what, "%s, matrix %d of %d, %lld rows", dtype_name(t), s, n_seg, (long long)rows[s]);
        same_on_both(y[s], rows[s] + 1, what);
        free_both(&b[s]);
    }
    on[GPU]->ops->release(on[GPU], dx);
    free(x);
}

START_TEST(products_in_one_launch)
{
    static const struct {
        int n;
        int64_t rows[GPU_SEGMENTS];
    } cases[] = { { 2, { 1, 1 } }, { 2, { 7, 34 } }, { 3, { 1, 1, 1 } }, { 3, { 5, 1, 8 } }, { 3, { 16, 3, 21 } } };
    int n_types;
    const codec *types = codec_table(&n_types);
    begin(_i);
    for (int t = 0; t < n_types; t++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            check_segments(types[t].type, cases[k].n, cases[k].rows);
    close_backends();
}
END_TEST

// gate = act(W_gate x) * up beside up = W_up x; dst = gelu(W x) * by.
static void check_gates(dtype t, int64_t rows, activation act)
{
    const int64_t cols = some_cols(t);
    float *x = random_floats(cols), *by = random_floats(rows), *dx = put(GPU, x, cols), *dby = put(GPU, by, rows);
    float *gate[N_BACKENDS], *up[N_BACKENDS], *dst[N_BACKENDS];
    both_weights g = load_both(t, rows, cols), u = load_both(t, rows, cols);
    for (int i = 0; i < N_BACKENDS; i++) {
        gate[i] = put(i, NULL, rows + 1);
        up[i] = put(i, NULL, rows + 1);
        dst[i] = put(i, NULL, rows + 1);
    }
    must(one_matmul(on[CPU], gate[CPU], &g.w[CPU], x, 1, &e) && one_matmul(on[CPU], up[CPU], &u.w[CPU], x, 1, &e) &&
         one_act(on[CPU], act, gate[CPU], up[CPU], rows, &e));
    must(one_matmul(on[CPU], dst[CPU], &g.w[CPU], x, 1, &e) &&
         one_act(on[CPU], ACT_GELU_TANH, dst[CPU], NULL, rows, &e) &&
         one_mul(on[CPU], dst[CPU], dst[CPU], by, rows, 1, (int)rows, &e));
    const gpu_matrix wg = matrix(&g), wu = matrix(&u);
    must(cuda_gemv_glu(ctx(), gate[GPU], up[GPU], &wg, &wu, dx, act == ACT_SILU, &e) &&
         cuda_gemv_gelu_mul(ctx(), dst[GPU], &wg, dx, dby, &e));
    char what[96];
    snprintf(what, sizeof what, "%s, %lld rows, gate", dtype_name(t), (long long)rows);
    same_on_both(gate, rows + 1, what);
    same_on_both(up, rows + 1, "up");
    same_on_both(dst, rows + 1, "gelu, then product with a row");
    on[GPU]->ops->release(on[GPU], dx);
    on[GPU]->ops->release(on[GPU], dby);
    free_both(&g);
    free_both(&u);
    free(x);
    free(by);
}

START_TEST(products_with_a_gate)
{
    static const int64_t rows[] = { 1, 2, 37 };
    int n_types;
    const codec *types = codec_table(&n_types);
    begin(_i);
    for (int t = 0; t < n_types; t++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            check_gates(types[t].type, rows[k], k == 2 || t % 3 == 0 ? ACT_SILU : ACT_GELU_TANH);
    close_backends();
}
END_TEST

// ---- norms between products -----------------------------------------------------------------------------------------

typedef struct { weight w; float *host, *device; } norm_weight;

static norm_weight new_norm(int dim)
{
    norm_weight n = { .host = random_floats(dim) };
    n.w = (weight){ .type = DT_F32, .rows = 1, .cols = dim, .data = n.host, .name = "test.norm" };
    n.device = put(GPU, n.host, dim);
    return n;
}

static void free_norm(norm_weight *n)
{
    on[GPU]->ops->release(on[GPU], n->device);
    free(n->host);
}

static void check_norm_add(int64_t rows, int dim, bool first, bool next, float out_scale, bool round_first)
{
    const int64_t n = rows * dim;
    float *hx = random_floats(n), *ht = random_floats(n), *x[N_BACKENDS], *t[N_BACKENDS];
    norm_weight w = new_norm(dim), w_next = new_norm(dim);
    for (int i = 0; i < N_BACKENDS; i++) {
        x[i] = put(i, hx, n);
        t[i] = put(i, ht, n);
    }
    if (first) must(one_norm_rounded(on[CPU], t[CPU], t[CPU], &w.w, rows, dim, 1e-6f, round_first, &e));
    must(one_each(on[CPU], OP_ADD, x[CPU], x[CPU], t[CPU], 0, n, &e));
    if (out_scale != 1.0f) must(one_each(on[CPU], OP_SCALE, x[CPU], NULL, NULL, out_scale, n, &e));
    if (next) must(one_norm_rounded(on[CPU], t[CPU], x[CPU], &w_next.w, rows, dim, 1e-6f, round_first, &e));
    must(cuda_norm_add_norm(ctx(), x[GPU], t[GPU], first ? w.device : NULL, next ? w_next.device : NULL, out_scale,
                            rows, dim, 1e-6f, round_first, &e));
    char what[96];
    snprintf(what, sizeof what, "%ssum%s%s, %lld rows of %d", first ? "norm, " : "", out_scale != 1.0f ? ", scale" : "",
             next ? ", norm" : "", (long long)rows, dim);
    same_on_both(x, n, what);
    same_on_both(t, n, what);
    free_norm(&w);
    free_norm(&w_next);
    free(hx);
    free(ht);
}

START_TEST(norms_between_products)
{
    static const struct {
        int64_t rows;
        int dim;
    } cases[] = { { 1, 1 }, { 1, 37 }, { 1, 1536 }, { 5, 300 }, { 17, 65 }, { 2, 2605 }, { 1, 5376 } };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int form = 0; form < 16; form++)
            check_norm_add(cases[k].rows, cases[k].dim, !(form & 4), form & 1, form & 2 ? 0.7071f : 1.0f, form & 8);
    close_backends();
}
END_TEST

// ---- norm, rotation and storing of heads ----------------------------------------------------------------------------

// form: what becomes of V
enum { Q_ALONE, V_STORED, V_NORMED, V_FROM_K, N_FORMS };
typedef struct { dtype type; int n_head, n_kv_head, head_dim, n; int64_t capacity, pos; } heads_case;

// normed: heads of Q and K have norms; neighbours: which elements are pairs
static void check_heads(const heads_case *k, int form, bool normed, bool neighbours, bool round_first, bool step)
{
    enum { CTX = 50 };
    const int hd = k->head_dim;
    const int64_t n_q = (int64_t)k->n * k->n_head * hd, n_kv = (int64_t)k->n * k->n_kv_head * hd;
    float *hq = random_floats(n_q), *hk = random_floats(n_kv), *hv = random_floats(n_kv),
          *inv = malloc((size_t)(hd / 2) * sizeof *inv);
    float *q[N_BACKENDS], *kk[N_BACKENDS], *v[N_BACKENDS];
    norm_weight qn = new_norm(hd), kn = new_norm(hd);
    rope r[N_BACKENDS];
    kv_layer kv[N_BACKENDS];
    int64_t n_bytes = 0;
    for (int i = 0; i < hd / 2; i++) inv[i] = i % 5 == 4 ? 0.0f : 1.0f / powf(10000.0f, 2.0f * (float)i / (float)hd);
    for (int i = 0; i < N_BACKENDS; i++) {
        r[i] = (rope){ .head_dim = hd, .inv_freq = inv };
        must(on[i]->ops->load_rope(on[i], &r[i], CTX, &e));
        q[i] = put(i, hq, n_q);
        kk[i] = put(i, hk, n_kv);
        v[i] = put(i, form == V_FROM_K ? NULL : hv, n_kv);
        kv[i] = new_cache(i, k->type, k->n_kv_head, hd, k->capacity, &n_bytes);
    }
    if (normed)
        must(one_norm_rounded(on[CPU], q[CPU], q[CPU], &qn.w, (int64_t)k->n * k->n_head, hd, 1e-6f, round_first, &e));
    must(one_rotate(on[CPU], q[CPU], &r[CPU], k->n, k->n_head, neighbours, k->pos, &e));
    if (form == V_NORMED || form == V_FROM_K)
        must(one_norm(on[CPU], v[CPU], form == V_FROM_K ? kk[CPU] : v[CPU], NULL, (int64_t)k->n * k->n_kv_head, hd,
                      1e-6f, &e));
    if (form != Q_ALONE && normed)
        must(one_norm_rounded(on[CPU], kk[CPU], kk[CPU], &kn.w, (int64_t)k->n * k->n_kv_head, hd, 1e-6f, round_first,
                              &e));
    if (form != Q_ALONE)
        must(one_rotate(on[CPU], kk[CPU], &r[CPU], k->n, k->n_kv_head, neighbours, k->pos, &e) &&
             one_store(on[CPU], &kv[CPU], kk[CPU], v[CPU], k->n, k->pos, &e));
    gpu_heads h = { .q = q[GPU], .q_norm = normed ? qn.device : NULL, .table = r[GPU].dev, .n_head = k->n_head,
                    .head_dim = hd, .rot = hd, .eps = 1e-6f, .neighbours = neighbours, .round_first = round_first };
    if (form != Q_ALONE) {
        h.k = kk[GPU];
        h.v = v[GPU];
        h.v_from = form == V_FROM_K ? kk[GPU] : v[GPU];
        h.v_norm = form != V_STORED;
        h.k_norm = normed ? kn.device : NULL;
        h.kv = on_device(&kv[GPU]);
    }
    if (step) step_at(k->pos);
    must(cuda_heads(ctx(), &h, k->n, step ? WRONG_POS : k->pos, &e));
    step_over();
    char what[96];
    snprintf(what, sizeof what, "%s: %d and %d heads of %d, %d tokens, form %d%s%s%s", dtype_name(k->type), k->n_head,
             k->n_kv_head, hd, k->n, form, normed ? "" : ", not normed", neighbours ? ", neighbours" : "",
             step ? ", step" : "");
    same_on_both(q, n_q, what);
    same_on_both(kk, n_kv, what);
    same_on_both(v, n_kv, what);
    same_caches(kv, n_bytes, what);
    for (int i = 0; i < N_BACKENDS; i++) on[i]->ops->free_rope(on[i], &r[i]);
    free_norm(&qn);
    free_norm(&kn);
    free(hq);
    free(hk);
    free(hv);
    free(inv);
}

START_TEST(heads_in_one_launch)
{
    static const heads_case cases[] = {
        // the last two: a ring that goes round; the second: more pairs than threads
        { DT_F32, 1, 1, 2, 1, 3, 0 },      { DT_BF16, 1, 1, 1030, 2, 9, 6 }, { DT_F32, 3, 1, 34, 5, 20, 4 },
        { DT_BF16, 4, 2, 66, 1, 40, 33 },  { DT_F16, 2, 2, 130, 3, 9, 2 },   { DT_Q8_0, 4, 1, 512, 1, 12, 11 },
        { DT_Q8_0, 2, 2, 96, 4, 30, 7 },   { DT_Q4_0, 6, 3, 64, 7, 9, 40 },  { DT_Q4_0, 1, 1, 256, 1, 8, 33 },
        { DT_Q5_1, 2, 1, 64, 2, 9, 3 },    { DT_Q5_0, 1, 1, 96, 1, 9, 5 },   { DT_Q4_1, 3, 1, 32, 3, 9, 8 },
        { DT_IQ4_NL, 2, 2, 64, 2, 9, 12 },
    };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int form = 0; form < N_FORMS; form++)
            for (int step = 0; step < 2; step++) {
                check_heads(&cases[k], form, true, false, false, step);
                check_heads(&cases[k], form, form % 2 == 0, true, false, step);
                if (form == V_STORED) check_heads(&cases[k], form, false, false, false, step);
                if (form == V_STORED) check_heads(&cases[k], form, true, false, true, step);    // Qwen 3
            }
    close_backends();
}
END_TEST

// V is stored as it comes: of a value that the cache cannot hold the step's position is kept.
START_TEST(heads_say_what_does_not_fit)
{
    enum { HD = 64, POS = 5 };
    begin(0);
    float x[HD], inv[HD / 2] = { 0 };
    for (int i = 0; i < HD; i++) x[i] = random_float();
    rope r = { .head_dim = HD, .inv_freq = inv };
    must(on[GPU]->ops->load_rope(on[GPU], &r, 8, &e));
    norm_weight w = new_norm(HD);
    int64_t n_bytes;
    kv_layer kv = new_cache(GPU, DT_Q8_0, 1, HD, 8, &n_bytes);
    float *q = put(GPU, x, HD), *k = put(GPU, x, HD);
    x[40] = INFINITY;
    float *v = put(GPU, x, HD);
    const gpu_heads h = { .q = q, .k = k, .v = v, .v_from = v, .q_norm = w.device, .k_norm = w.device, .table = r.dev,
                          .n_head = 1, .head_dim = HD, .rot = HD, .eps = 1e-6f, .kv = on_device(&kv) };
    gpu_step s;
    step_at(POS);
    must(cuda_heads(ctx(), &h, 1, WRONG_POS, &e) && on[GPU]->ops->download(on[GPU], &s, ctx()->state, sizeof s, &e));
    step_over();
    ck_assert_uint_eq(s.bad_kv, POS);
    void *mine[] = { kv.k.data, kv.v.data, q, k, v };
    for (int j = 0; j < 5; j++) on[GPU]->ops->release(on[GPU], mine[j]);
    free_norm(&w);
    on[GPU]->ops->free_rope(on[GPU], &r);
    close_backends();
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_step_ops");
    TCase *t = tcase_create("steps");
    tcase_add_loop_test(t, attention_of_a_step, 0, runs_asked());
    tcase_add_loop_test(t, products_in_one_launch, 0, runs_asked());
    tcase_add_loop_test(t, products_with_a_gate, 0, runs_asked());
    tcase_add_loop_test(t, norms_between_products, 0, runs_asked());
    tcase_add_loop_test(t, heads_in_one_launch, 0, runs_asked());
    tcase_add_test(t, heads_say_what_does_not_fit);
    suite_add_tcase(s, t);
    return run_suite(s);
}
