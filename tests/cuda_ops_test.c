// Proves runtime/cuda/: every operation of the CUDA backend gives the CPU's bits. The kernels are the ones that nvcc
// compiles, compiled here for the processor (device/host): threads as coroutines, shared memory and outputs poisoned,
// threads and blocks in several orders. Sizes are odd on purpose; types are all that the project writes; both
// arithmetics.
#include "cuda_both.h"

static void check_matmul(const gguf_tensor *t, int n)
{
    float *x = random_floats(n * t->shape[1]), *y[N_BACKENDS], *dx;
    char what[96];
    for (int i = 0; i < N_BACKENDS; i++) {
        weight w = { 0 };
        must(on[i]->ops->load_weight(on[i], t, &w, &e));
        dx = put(i, x, n * t->shape[1]);
        y[i] = put(i, NULL, n * t->shape[0]);
        must(one_matmul(on[i], y[i], &w, dx, n, &e) && on[i]->ops->sync(on[i], &e));
        on[i]->ops->release(on[i], dx);
        on[i]->ops->free_weight(on[i], &w);
    }
    snprintf(what, sizeof what, "matmul %s [%lld][%lld] x %d", dtype_name(t->type), (long long)t->shape[0],
             (long long)t->shape[1], n);
    same_on_both(y, n * t->shape[0], what);
    free(x);
}

START_TEST(products_of_every_type)
{
    int n_types;
    const codec *types = codec_table(&n_types);
    begin(_i);
    for (int i = 0; i < n_types; i++) {
        const int64_t block = block_of(types[i].type);
        // columns: one block and less, several, several spans; more spans than a block of threads has warps, the last a
        // part; for the plain types also lengths that are no multiple of 16
        const int64_t cols[] = { block * (block == 1 ? 16 : 1),
                                 block == 1    ? 300
                                 : block == 32 ? 352
                                               : 512,
                                 block == 256 ? 1280 : 1056, block == 1 ? 37 : 0,
                                 9 * COLUMN_SPAN + (block == 1    ? 91
                                                    : block == 32 ? 96
                                                                  : 256) };
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
            uint8_t *bytes;
            if (cols[c] == 0) continue;
            const int64_t rows = c == 0 ? 1 : c == 1 ? 35 : 6;
            gguf_tensor t = random_tensor(types[i].type, rows, cols[c], &bytes);
            check_matmul(&t, 1);
            check_matmul(&t, c == 1 ? 33 : 3);
            free(bytes);
        }
    }
    close_backends();
}
END_TEST

// Blocks that no encoder makes: any code, any scale that is finite, of either sign.
static void make_wild(gguf_tensor *t, uint8_t *bytes)
{
    const int64_t block = block_of(t->type), n = t->n_elems / block, size = t->n_bytes / n;
    float w[256];
    for (int64_t b = 0; b < n; b++) {
        bool finite = false;
        while (!finite) {
            for (int64_t i = 0; i < size; i++) {
                seed = seed * 1664525u + 1013904223u;
                bytes[b * size + i] = (uint8_t)(seed >> 24);
            }
            codec_find(t->type)->decode_row(w, bytes + b * size, block);
            finite = true;
            for (int64_t i = 0; i < block; i++) finite = finite && isfinite(w[i]);
        }
    }
}

START_TEST(products_of_wild_blocks)
{
    int n_types;
    const codec *types = codec_table(&n_types);
    begin(_i);
    for (int i = 0; i < n_types; i++) {
        uint8_t *bytes;
        gguf_tensor t = random_tensor(types[i].type, 11, block_of(types[i].type) == 256 ? 1280 : 1056, &bytes);
        make_wild(&t, bytes);
        check_matmul(&t, 1);
        check_matmul(&t, 3);
        free(bytes);
    }
    close_backends();
}
END_TEST

START_TEST(embeddings_of_every_type)
{
    int n_types;
    const codec *types = codec_table(&n_types);
    const int32_t ids[] = { 6, 0, 3, 3, 6 };
    begin(_i);
    for (int i = 0; i < n_types; i++) {
        const int64_t cols = block_of(types[i].type) == 1 ? 37 : 512;
        uint8_t *bytes;
        gguf_tensor t = random_tensor(types[i].type, 7, cols, &bytes);
        float *y[N_BACKENDS];
        for (int k = 0; k < N_BACKENDS; k++) {
            weight w = { 0 };
            must(on[k]->ops->load_weight(on[k], &t, &w, &e));
            y[k] = put(k, NULL, 5 * cols);
            must(one_embed(on[k], y[k], &w, ids, 5, 55.4256f, &e) && on[k]->ops->sync(on[k], &e));
            on[k]->ops->free_weight(on[k], &w);
        }
        same_on_both(y, 5 * cols, dtype_name(types[i].type));
        free(bytes);
    }
    close_backends();
}
END_TEST

// A product with a bias, of one token and of several; of matrices of every kind that products have.
START_TEST(products_with_a_bias)
{
    static const dtype types[] = { DT_BF16, DT_F32, DT_Q8_0, DT_Q4_K };
    enum { ROWS = 37, COLS = 512, N = 5 };
    begin(_i);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int n = 1; n <= N; n += N - 1) {
            uint8_t *bytes;
            float *x = random_floats(n * COLS), *bias = random_floats(ROWS), *y[N_BACKENDS];
            gguf_tensor t = random_tensor(types[k], ROWS, COLS, &bytes);
            gguf_tensor tb = { .name = "test.bias",
                               .type = DT_F32,
                               .n_dims = 1,
                               .shape = { ROWS, 1, 1, 1 },
                               .n_elems = ROWS,
                               .n_bytes = ROWS * 4,
                               .data = (const uint8_t *)bias };
            for (int i = 0; i < N_BACKENDS; i++) {
                weight w = { 0 }, b = { 0 };
                must(on[i]->ops->load_weight(on[i], &t, &w, &e) && on[i]->ops->load_weight(on[i], &tb, &b, &e));
                float *dx = put(i, x, n * COLS);
                y[i] = put(i, NULL, n * ROWS);
                must(one_biased(on[i], y[i], &w, &b, dx, n, &e) && on[i]->ops->sync(on[i], &e));
                on[i]->ops->release(on[i], dx);
                on[i]->ops->free_weight(on[i], &w);
                on[i]->ops->free_weight(on[i], &b);
            }
            same_on_both(y, n * ROWS, dtype_name(types[k]));
            free(bytes);
            free(bias);
            free(x);
        }
    close_backends();
}
END_TEST

static void check_run(int which, const float *a, const float *b, int64_t n)
{
    static const char *names[] = { "add", "scale", "gelu", "geglu", "softcap", "silu", "swiglu" };
    float *y[N_BACKENDS];
    for (int i = 0; i < N_BACKENDS; i++) {
        const backend_ops *o = on[i]->ops;
        float *db = put(i, b, n);
        y[i] = put(i, a, n);
        bool ok = false;
        switch (which) {
        case 0: ok = one_each(on[i], OP_ADD, y[i], y[i], db, 0, n, &e); break;
        case 1: ok = one_each(on[i], OP_SCALE, y[i], NULL, NULL, 0.7071f, n, &e); break;
        case 2: ok = one_act(on[i], ACT_GELU_TANH, y[i], NULL, n, &e); break;
        case 3: ok = one_act(on[i], ACT_GELU_TANH, y[i], db, n, &e); break;
        case 5: ok = one_act(on[i], ACT_SILU, y[i], NULL, n, &e); break;
        case 6: ok = one_act(on[i], ACT_SILU, y[i], db, n, &e); break;
        case 4: ok = one_each(on[i], OP_SOFTCAP, y[i], NULL, NULL, 30.0f, n, &e); break;
        }
        must(ok && o->sync(on[i], &e));
        o->release(on[i], db);
    }
    same_on_both(y, n, names[which]);
}

START_TEST(runs_of_floats)
{
    static const int64_t lengths[] = { 1, 255, 256, 1000 };
    begin(_i);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const int64_t n = lengths[l];
        float *a = random_floats(n), *b = random_floats(n);
        if (n == 1000) {        // the corners of every function
            const float odd[] = { NAN,     INFINITY, -INFINITY, -0.0f,     1e-40f, -1e-40f, 88.7f,
                                  -103.9f, 200.0f,   -200.0f,   0.624999f, 0.625f, 3e38f };
            memcpy(a + 17, odd, sizeof odd);
            for (int i = 0; i < 500; i++) a[100 + i] = -20.0f + 0.08f * (float)i;
        }
        for (int which = 0; which < 7; which++) check_run(which, a, b, n);
        free(a);
        free(b);
    }
    close_backends();
}
END_TEST

START_TEST(norms)
{
    static const struct {
        int64_t rows;
        int dim;
        bool weighted;
    } cases[] = { { 1, 1536, true }, { 3, 37, true },   { 5, 256, false },
                  { 2, 1, true },    { 1, 512, false }, { 2, 2605, true } };
    begin(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int64_t n = cases[k].rows * cases[k].dim;
        float *x = random_floats(n), *w = random_floats(cases[k].dim), *y[N_BACKENDS];
        gguf_tensor t = { .name = "test.norm",
                          .type = DT_F32,
                          .n_dims = 1,
                          .shape = { cases[k].dim, 1, 1, 1 },
                          .n_elems = cases[k].dim,
                          .n_bytes = cases[k].dim * 4,
                          .data = (const uint8_t *)w };
        for (int i = 0; i < N_BACKENDS; i++) {
            weight dw = { 0 };
            must(on[i]->ops->load_weight(on[i], &t, &dw, &e));
            y[i] = put(i, x, n);
            must(one_norm(on[i], y[i], y[i], cases[k].weighted ? &dw : NULL, cases[k].rows, cases[k].dim, 1e-6f, &e) &&
                 on[i]->ops->sync(on[i], &e));
            on[i]->ops->free_weight(on[i], &dw);
        }
        same_on_both(y, n, "rms_norm");
        free(x);
        free(w);
    }
    close_backends();
}
END_TEST

START_TEST(rows_and_rotations)
{
    begin(_i);
    enum { N = 3, DIM = 37, STRIDE = 50, HEADS = 3, HD = 66, CTX = 20 };
    float *a = random_floats(N * DIM), *c = random_floats(N * STRIDE), *y[N_BACKENDS], *z[N_BACKENDS],
          *x = random_floats(N * HEADS * HD);
    float inv[HD / 2];
    for (int i = 0; i < HD / 2; i++) inv[i] = i % 5 == 4 ? 0.0f : 1.0f / powf(10000.0f, 2.0f * (float)i / HD);
    for (int i = 0; i < N_BACKENDS; i++) {
        rope r = { .head_dim = HD, .inv_freq = inv };
        float *dc = put(i, c, N * STRIDE);
        must(on[i]->ops->load_rope(on[i], &r, CTX, &e));
        y[i] = put(i, a, N * DIM);
        z[i] = put(i, x, N * HEADS * HD);
        must(one_mul(on[i], y[i], y[i], dc, STRIDE, N, DIM, &e) &&
             one_rotate(on[i], z[i], &r, N, HEADS, _i % 2 == 1, CTX - N, &e) && on[i]->ops->sync(on[i], &e));
        on[i]->ops->release(on[i], dc);
        on[i]->ops->free_rope(on[i], &r);
    }
    same_on_both(y, N * DIM, "mul_rows");
    same_on_both(z, N * HEADS * HD, "rotate");
    free(a);
    free(c);
    free(x);
    close_backends();
}
END_TEST

START_TEST(greedy_choice)
{
    begin(_i);
    enum { MOST = 300000 };        // more than the threads of the launch take at once
    float *x = random_floats(MOST);
    static const struct {
        int64_t n;
        int64_t at[2];
    } cases[] = { { 1, { 0, 0 } },
                  { 999, { 998, 500 } },
                  { 100000, { 77777, 33333 } },
                  { 100000, { 99999, 0 } },
                  { MOST, { 299999, 270000 } } };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int32_t id[N_BACKENDS];
        for (int64_t i = 0; i < cases[k].n; i++) x[i] = i % 3 == 0 ? NAN : -5.0f - fabsf(random_float());
        for (int j = 0; j < 2; j++) x[cases[k].at[j]] = -1.0f;          // twice the largest: the lower index wins
        if (k == 0) x[0] = NAN;
        for (int i = 0; i < N_BACKENDS; i++) {
            float *dx = put(i, x, cases[k].n);
            id[i] = 12345;
            must(one_argmax(on[i], &id[i], dx, cases[k].n, &e));
            on[i]->ops->release(on[i], dx);
        }
        ck_assert_int_eq(id[CPU], id[GPU]);
        ck_assert_int_eq(id[GPU], k == 0 ? -1 : (cases[k].at[0] < cases[k].at[1] ? cases[k].at[0] : cases[k].at[1]));
    }
    free(x);
    close_backends();
}
END_TEST

typedef struct {
    dtype type;
    int n_head, n_kv_head, head_dim;
    int64_t capacity, window;
    int n;
    float scale, softcap;
    int64_t stored;
} attention_case;

// Stores positions 0 .. stored - 1 in steps, then attends from the last n of them; cache bytes and results of both
// backends.
static void check_attention(const attention_case *k, dtype v_type, fault f)
{
    const int64_t kv_dim = (int64_t)k->n_kv_head * k->head_dim, q_dim = (int64_t)k->n_head * k->head_dim,
                  out_n = k->n * q_dim;
    float *keys = random_floats(k->stored * kv_dim), *values = random_floats(k->stored * kv_dim),
          *q = random_floats(out_n), *y[N_BACKENDS];
    uint8_t *cache[N_BACKENDS];
    const kv_layer plan = kv_case(k->type, v_type, k->n_kv_head, k->head_dim, k->capacity);
    const int64_t k_bytes = kv_part_bytes(&plan.k), v_bytes = kv_part_bytes(&plan.v);
    for (int i = 0; i < N_BACKENDS; i++) {
        const backend_ops *o = on[i]->ops;
        kv_layer kv = plan;
        kv_case_open(on[i], &kv);
        float *dk = put(i, keys, k->stored * kv_dim), *dv = put(i, values, k->stored * kv_dim), *dq = put(i, q, out_n);
        for (int64_t at = 0, n; at < k->stored; at += n) {
            n = k->stored - at < 5 ? k->stored - at : 5;
            must(one_store(on[i], &kv, dk + at * kv_dim, dv + at * kv_dim, (int)n, at, &e));
        }
        y[i] = put(i, NULL, out_n);
        attention_args a = { .q = dq,
                             .out = y[i],
                             .kv = &kv,
                             .n = k->n,
                             .n_head = k->n_head,
                             .pos0 = k->stored - k->n,
                             .window = k->window,
                             .scale = k->scale,
                             .softcap = k->softcap };
        on[i]->fault = f;
        must(one_attend(on[i], &a, &e) && o->sync(on[i], &e));
        on[i]->fault = FAULT_NONE;
        cache[i] = malloc((size_t)(k_bytes + v_bytes));
        must(o->download(on[i], cache[i], kv.k.data, k_bytes, &e));
        must(o->download(on[i], cache[i] + k_bytes, kv.v.data, v_bytes, &e));
        kv_case_close(on[i], &kv);
        void *mine[] = { dk, dv, dq };
        for (int j = 0; j < 3; j++) o->release(on[i], mine[j]);
    }
    ck_assert_msg(memcmp(cache[CPU], cache[GPU], (size_t)(k_bytes + v_bytes)) == 0,
                  "KV cache of %s and %s: bytes differ", dtype_name(k->type), dtype_name(v_type));
    char what[96];
    snprintf(what, sizeof what, "attention %s %s, %d heads of %d over %d, window %lld, %d of %lld", dtype_name(k->type),
             dtype_name(v_type), k->n_head, k->head_dim, k->n_kv_head, (long long)k->window, k->n,
             (long long)k->stored);
    same_on_both(y, out_n, what);
    for (int i = 0; i < N_BACKENDS; i++) free(cache[i]);
    free(keys);
    free(values);
    free(q);
}

static const attention_case attention_cases[] = {
    { DT_F32,  2, 1, 64,  40, 0,  3, 1.0f,    0.0f,  20 }, { DT_BF16, 8, 1, 256, 60, 0,  1, 0.0625f, 0.0f,  57 },
    { DT_F16,  4, 2, 128, 23, 16, 7, 0.1f,    50.0f, 50 }, { DT_Q8_0, 2, 2, 96,  19, 16, 4, 1.0f,    0.0f,  44 },
    { DT_Q4_0, 4, 1, 512, 30, 0,  2, 1.0f,    30.0f, 25 }, { DT_F32,  1, 1, 512, 9,  8,  1, 1.0f,    0.0f,  33 },
    { DT_BF16, 3, 3, 66,  12, 5,  1, 0.3f,    0.0f,  12 }, { DT_F32,  2, 1, 80,  300, 0, 2, 0.2f,    0.0f,  290 },
    // one key; the last of a span and the first of the next; two spans of one token, three of several; more than one
    // block's softmax holds
    { DT_F32,  1, 1, 33,  9,  0,  1, 1.0f,    0.0f,  1 },  { DT_BF16, 2, 1, 64,  1030, 0, 2, 0.5f,   0.0f,  1025 },
    { DT_F16,  2, 1, 96,  1500, 0, 1, 0.2f,   20.0f, 1431 }, { DT_F32, 1, 1, 40, 2300, 2200, 3, 0.3f, 0.0f, 2600 },
    { DT_Q8_0, 1, 1, 32,  4300, 0, 1, 0.2f,   0.0f,  4250 },
};

static const struct { attention_case k; dtype v;
} apart_cases[] = {
    // keys and values of two types
    { { DT_Q8_0, 4, 2, 64, 30, 0, 3, 0.5f, 0.0f, 28 }, DT_Q4_0 },
    { { DT_F32, 2, 1, 96, 19, 16, 4, 1.0f, 0.0f, 44 }, DT_IQ4_NL },
    { { DT_Q5_1, 2, 2, 32, 12, 8, 2, 1.0f, 20.0f, 30 }, DT_F16 },
    { { DT_BF16, 2, 1, 64, 1030, 0, 1, 0.5f, 0.0f, 1025 }, DT_Q4_1 },
    { { DT_IQ4_NL, 2, 1, 64, 9, 0, 2, 0.5f, 0.0f, 9 }, DT_Q5_0 },
};

START_TEST(caches_and_attention)
{
    begin(_i);
    for (size_t k = 0; k < sizeof attention_cases / sizeof *attention_cases; k++)
        check_attention(&attention_cases[k], attention_cases[k].type, FAULT_NONE);
    for (size_t k = 0; k < sizeof apart_cases / sizeof *apart_cases; k++)
        check_attention(&apart_cases[k].k, apart_cases[k].v, FAULT_NONE);
    close_backends();
}
END_TEST

// Every cache dtype with every head size that has a kernel of its own, and one query head beside many.
START_TEST(every_dtype_and_head_size)
{
    static const dtype types[] = { DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q5_1, DT_Q5_0, DT_Q4_1, DT_Q4_0, DT_IQ4_NL };
    static const int heads[] = { 64, 128, 256, 512 };
    begin(_i);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
            const attention_case k = { types[t],       t % 2 ? 4 : 1, 1,     heads[h], 37,
                                       h % 2 ? 18 : 0, 1 + (int)h,    0.11f, 0.0f,     37 };
            check_attention(&k, types[t], FAULT_NONE);
        }
    close_backends();
}
END_TEST

START_TEST(planted_faults_are_committed_alike)
{
    static const fault faults[] = { FAULT_SCORES_BF16, FAULT_FUSED_SUM_KV_DTYPE, FAULT_HEAD512_ZERO };
    begin(0);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++)
        for (size_t k = 0; k < sizeof attention_cases / sizeof *attention_cases; k++)
            if (attention_cases[k].stored <= 1500)
                check_attention(&attention_cases[k], attention_cases[k].type, faults[f]);
    close_backends();
}
END_TEST

START_TEST(what_the_cache_cannot_hold_is_said)
{
    begin(0);
    kv_layer kv = kv_case(DT_Q8_0, DT_Q8_0, 1, 64, 4);
    float x[64] = { 0 };
    err has = { 0 };
    x[40] = INFINITY;
    kv_case_open(on[GPU], &kv);
    float *dx = put(GPU, x, 64);
    must(one_store(on[GPU], &kv, dx, dx, 1, 9, &e));
    ck_assert(!on[GPU]->ops->sync(on[GPU], &has));
    ck_assert_int_eq(has.kind, ERR_SYSTEM);
    ck_assert_msg(strstr(has.msg, "position 9") != NULL, "%s", has.msg);
    kv_case_close(on[GPU], &kv);
    on[GPU]->ops->release(on[GPU], dx);
    close_backends();
}
END_TEST

int main(void)
{
    if (!cuda_is_there()) return 77;
    Suite *s = suite_create("cuda_ops");
    TCase *t = tcase_create("ops");
    tcase_add_loop_test(t, products_of_every_type, 0, runs_asked());
    tcase_add_loop_test(t, products_of_wild_blocks, 0, runs_asked());
    tcase_add_loop_test(t, embeddings_of_every_type, 0, runs_asked());
    tcase_add_loop_test(t, products_with_a_bias, 0, runs_asked());
    tcase_add_loop_test(t, runs_of_floats, 0, runs_asked());
    tcase_add_loop_test(t, norms, 0, runs_asked());
    tcase_add_loop_test(t, rows_and_rotations, 0, runs_asked());
    tcase_add_loop_test(t, greedy_choice, 0, runs_asked());
    tcase_add_loop_test(t, caches_and_attention, 0, runs_asked());
    tcase_add_loop_test(t, every_dtype_and_head_size, 0, runs_asked());
    tcase_add_test(t, planted_faults_are_committed_alike);
    tcase_add_test(t, what_the_cache_cannot_hold_is_said);
    suite_add_tcase(s, t);
    return run_suite(s);
}
