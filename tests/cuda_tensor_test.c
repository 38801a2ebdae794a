// Proves runtime/cuda/tensor.cu, pieces.cu and products.c: products of many tokens in BF16 pieces. Every form and tile
// is held against the exact product within 2^-21 of the sum of magnitudes, on tensor cores that cut where they add
// (mma.cuh); the pieces against what they are pieces of.
#include "cuda_both.h"
#include "runtime/cuda/products.h"
#ifndef ON_GPU
#include "cuda_failing.h"
#include "runtime/cuda/host/cublas_host.h"
#endif

static cuda_backend *cuda(void) { return (cuda_backend *)on[GPU]; }

static void begin_tensor(int run)
{
    setenv("HALLMARK_CUDA_PRODUCTS", "tensor", 1);
    begin(run);
    exact_products();
    ck_assert_int_eq(cuda()->products.mode, PRODUCTS_TENSOR);
}

// ---- operands -------------------------------------------------------------------------------------------------------

typedef struct {
    gguf_tensor t;
    uint8_t    *bytes;
    float      *decoded, *x;        // [rows][cols], [n][cols]
    int64_t     rows, cols, n;
    weight      w;
} product;

static product make_product(dtype type, int64_t rows, int64_t cols, int64_t n)
{
    product p = { .rows = rows, .cols = cols, .n = n };
    int64_t row_bytes;
    p.t = random_tensor(type, rows, cols, &p.bytes);
    p.x = random_floats(n * cols);
    p.decoded = malloc((size_t)(rows * cols) * sizeof *p.decoded);
    must(dtype_row_bytes(type, cols, &row_bytes));
    for (int64_t r = 0; r < rows; r++)
        codec_find(type)->decode_row(p.decoded + r * cols, p.bytes + r * row_bytes, cols);
    // as activations are there
    for (int64_t i = 0; on[GPU]->arith == ARITH_BF16 && i < n * cols; i++)
        p.x[i] = f32_from_bf16(bf16_from_f32(p.x[i]));
    must(on[GPU]->ops->load_weight(on[GPU], &p.t, &p.w, &e));
    return p;
}

static void free_product(product *p)
{
    on[GPU]->ops->free_weight(on[GPU], &p->w);
    free(p->bytes);
    free(p->decoded);
    free(p->x);
}

static gpu_matrix matrix(const product *p)
{
    return (gpu_matrix){ .type = p->w.type, .data = p->w.data, .rows = p->rows, .cols = p->cols };
}

// From now on that tile whatever the shape; -1: the one that suits. false: this device has not the shared memory for it
// (the processor has).
static bool use_tile(const product *p, int tile)
{
    const gpu_matrix w = matrix(p);
    cuda()->products.tile = tile;
    ck_assert_msg(cuda_tensor_can(&cuda()->ctx, &w, (int)p->n), "these products are not for the tensor cores");
    return tile < 0 || cuda_tensor_fits(&cuda()->ctx, &w);
}

// The device's result for tokens from .. from + n - 1, into poisoned memory that is longer: what lies behind must stay.
static float *run_tokens(product *p, int64_t from, int64_t n)
{
    enum { BEHIND = 300 };
    float *dx = put(GPU, p->x + from * p->cols, n * p->cols), *dy = put(GPU, NULL, n * p->rows + BEHIND);
    must(one_matmul(on[GPU], dy, &p->w, dx, (int)n, &e));
    float *y = take(GPU, dy, n * p->rows + BEHIND);
    on[GPU]->ops->release(on[GPU], dx);
    for (int64_t i = n * p->rows; i < n * p->rows + BEHIND; i++) {
        uint32_t u;
        memcpy(&u, &y[i], sizeof u);
        ck_assert_msg(u == 0x7b7b7b7bu, "float %lld behind the result was written", (long long)(i - n * p->rows));
    }
    return y;
}

// How many results have other bits than the exact kernel's.
static int64_t unlike_exact(product *p, const float *y)
{
    const gpu_products_mode mode = cuda()->products.mode;
    int64_t n = 0;
    cuda()->products.mode = PRODUCTS_EXACT;
    float *exact = run_tokens(p, 0, p->n);
    cuda()->products.mode = mode;
    for (int64_t i = 0; i < p->n * p->rows; i++) n += memcmp(&y[i], &exact[i], sizeof *y) != 0;
    free(exact);
    return n;
}

// Against the exact sums, in sums of magnitudes.
static void check_result(const product *p, const float *y, const char *what)
{
    const bool bf16 = on[GPU]->arith == ARITH_BF16;
    for (int64_t i = 0; i < p->n * p->rows; i++) {
        const float *w = p->decoded + i % p->rows * p->cols, *x = p->x + i / p->rows * p->cols;
        double sum = 0, size = 0;
        for (int64_t c = 0; c < p->cols; c++) {
            sum += (double)w[c] * (double)x[c];
            size += fabs((double)w[c] * (double)x[c]);
        }
        const double allowed = size * 0x1p-21 + (bf16 ? fabs(sum) * 0x1p-8 : 0), off = fabs((double)y[i] - sum);
        ck_assert_msg(off <= allowed, "%s: element %lld: found %.9g, expected %.9g within %.3g", what, (long long)i,
                      (double)y[i], sum, allowed);
    }
}

// ---- every form, every tile -----------------------------------------------------------------------------------------

static const struct { dtype type; int64_t rows, cols; int n; } shapes[] = {
    // one row; a row and two tokens more than the largest tile
    { DT_BF16, 1, 32, 16 },     { DT_BF16, 193, 96, 17 },   { DT_BF16, 70, 160, 130 },
    { DT_BF16, 5, 1056, 33 },   { DT_F32, 7, 64, 20 },      { DT_F16, 3, 96, 16 },    // spans of 9 stages and less
    { DT_Q4_K, 65, 256, 16 },   { DT_Q6_K, 20, 512, 65 },   { DT_Q8_0, 9, 160, 18 },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(every_form_and_tile)
{
    begin_tensor(_i);
    int64_t unlike = 0;
    for (int k = 0; k < N_SHAPES; k++)
        for (int tile = 0; tile < CUDA_TENSOR_TILES; tile++) {
            char what[96];
            product p = make_product(shapes[k].type, shapes[k].rows, shapes[k].cols, shapes[k].n);
            if (!use_tile(&p, tile)) { free_product(&p); continue; }
            float *y = run_tokens(&p, 0, p.n);
            snprintf(what, sizeof what, "%s [%lld][%lld] x %d, tile %d", dtype_name(shapes[k].type), (long long)p.rows,
                     (long long)p.cols, shapes[k].n, tile);
            check_result(&p, y, what);
            unlike += unlike_exact(&p, y);
            free(y);
            free_product(&p);
        }
    ck_assert_msg(unlike > 0, "no result differs from the exact kernel's: this was not the tensor cores");
    close_backends();
}
END_TEST

// ---- the same bits --------------------------------------------------------------------------------------------------

// spans of columns: 4 and 2
static const struct { dtype type; int64_t rows, cols; } few[] = { { DT_BF16, 40, 1088 }, { DT_Q8_0, 33, 608 } };
enum { N_TOKENS = 70, N_FEW = sizeof few / sizeof *few };

static void same_tokens(const product *p, const float *want, int64_t from, int64_t n, const float *got,
                        const char *what)
{
    ck_assert_msg(memcmp(want + from * p->rows, got, (size_t)(n * p->rows) * sizeof *got) == 0,
                  "%s: tokens %lld to %lld have other bits", what, (long long)from, (long long)(from + n - 1));
}

START_TEST(bits_depend_neither_on_the_batch_nor_on_tile_or_order)
{
    static const struct { int64_t from, n; int tile; unsigned order; const char *what; } runs_of[] = {
        { 0, 70, 1, 0, "another tile" },
        { 0, 70, 0, 1, "another tile, threads descending" },
        { 0, 70, 2, 7, "another tile, threads shuffled" },
        { 0, 16, -1, 7, "the first of the batch" },
        { 13, 40, -1, 3, "the middle of the batch" },
        { 54, 16, -1, 0, "the last of the batch" },
    };
    begin_tensor(_i);
    for (int k = 0; k < N_FEW; k++) {
        product p = make_product(few[k].type, few[k].rows, few[k].cols, N_TOKENS);
        cuda()->products.tile = -1;
        float *want = run_tokens(&p, 0, N_TOKENS);
        check_result(&p, want, "several spans");
        for (size_t r = 0; r < sizeof runs_of / sizeof *runs_of; r++) {
            if (!use_tile(&p, runs_of[r].tile)) continue;
            host_calls_order(runs_of[r].order);
            float *got = run_tokens(&p, runs_of[r].from, runs_of[r].n);
            same_tokens(&p, want, runs_of[r].from, runs_of[r].n, got, runs_of[r].what);
            free(got);
        }
        free(want);
        free_product(&p);
    }
    close_backends();
}
END_TEST

// With scratch for a part of the product only: the same bits. Rows in slices of one and of whole tiles, tokens in
// slices.
START_TEST(slices_have_the_same_bits)
{
    begin_tensor(_i);
    gpu_products *all = &cuda()->products;
    product p = make_product(DT_Q8_0, 200, 608, N_TOKENS);
    all->tile = CUDA_TENSOR_TILES - 1;
    float *want = run_tokens(&p, 0, N_TOKENS);
    const struct {
        int64_t w_rows, x_tokens, span_tokens;
    } less[] = { { 199, 70, 70 }, { 200, 33, 70 }, { 200, 70, 31 }, { 195, 40, 39 } };
    float *dx = put(GPU, p.x, N_TOKENS * p.cols);
    for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
        gpu_products small = *all;
        gpu_ctx ctx = cuda()->ctx;
        const gpu_matrix w = matrix(&p);
        float *dy = put(GPU, NULL, N_TOKENS * p.rows);
        ctx.products = &small;
        small.cut = NULL;
        small.w_bytes = less[i].w_rows * PRODUCT_PIECES * 2 * p.cols;
        small.x_bytes = less[i].x_tokens * small.x_pieces * 2 * p.cols;
        small.span_bytes = less[i].span_tokens * 2 * p.rows * (int64_t)sizeof(float);
        must(cuda_tensor_matmul(&ctx, dy, &w, dx, N_TOKENS, &e));
        float *got = take(GPU, dy, N_TOKENS * p.rows);
        same_tokens(&p, want, 0, N_TOKENS, got, "slices");
        free(got);
    }
    gpu_products none = *all;
    gpu_ctx ctx = cuda()->ctx;
    const gpu_matrix w = matrix(&p);
    err why = { 0 };
    ctx.products = &none;
    none.w_bytes = 2 * p.cols;
    ck_assert(!cuda_tensor_matmul(&ctx, dx, &w, dx, N_TOKENS, &why) && strstr(why.msg, "no room for its pieces"));
    on[GPU]->ops->release(on[GPU], dx);
    free(want);
    free_product(&p);
    close_backends();
}
END_TEST

// Few tokens, or columns that 32 does not divide: the exact kernels, and with them the CPU's bits.
START_TEST(other_shapes_stay_exact)
{
    static const struct {
        dtype type;
        int64_t rows, cols;
        int n;
    } exact[] = { { DT_BF16, 40, 64, 15 }, { DT_BF16, 40, 80, 20 }, { DT_F32, 33, 37, 17 } };
    begin_tensor(_i);
    for (size_t k = 0; k < sizeof exact / sizeof *exact; k++) {
        product p = make_product(exact[k].type, exact[k].rows, exact[k].cols, exact[k].n);
        weight on_cpu = { 0 };
        float *y = run_tokens(&p, 0, p.n), *want = put(CPU, NULL, p.n * p.rows), *x = put(CPU, p.x, p.n * p.cols);
        must(on[CPU]->ops->load_weight(on[CPU], &p.t, &on_cpu, &e) &&
             one_matmul(on[CPU], want, &on_cpu, x, (int)p.n, &e));
        float *bits = take(CPU, want, p.n * p.rows);
        same(bits, y, p.n * p.rows, "a product that is not for the tensor cores");
        on[CPU]->ops->release(on[CPU], x);
        on[CPU]->ops->free_weight(on[CPU], &on_cpu);
        free(bits);
        free(y);
        free_product(&p);
    }
    close_backends();
}
END_TEST

// ---- pieces ---------------------------------------------------------------------------------------------------------

// What the pieces of x add up to, smallest first, every partial sum exact.
static float sum_of_pieces(const uint16_t *planes, int pieces, int64_t n, int64_t i)
{
    float sum = 0.0f;
    for (int p = pieces - 1; p >= 0; p--) sum += f32_from_bf16(planes[p * n + i]);
    return sum;
}

START_TEST(pieces_add_up_to_what_they_are_pieces_of)
{
    enum { N = 16, COLS = 64, ALL = N * COLS };
    static const float odd[] = { 0.0f,
                                 -0.0f,
                                 1.0f,
                                 -1.0f,
                                 0x1.fffffep0f,
                                 0x1.fffffep127f,
                                 -0x1.fffffep127f,
                                 0x1.ff8p127f,
                                 0x1.ffp127f,
                                 0x1.000002p0f,
                                 0x1.010101p-20f,
                                 0x1p-126f,
                                 0x1.234568p-109f,
                                 0x1p-133f,
                                 INFINITY,
                                 -INFINITY,
                                 NAN };
    enum { N_ODD = sizeof odd / sizeof *odd };
    begin_tensor(_i);
    product p = make_product(DT_BF16, 8, COLS, N);
    uint16_t *planes = malloc(PRODUCT_PIECES * ALL * sizeof *planes);
    if (on[GPU]->arith == ARITH_F32) {
        memcpy(p.x, odd, sizeof odd);
        p.x[N_ODD] = 0x1p-149f;                                 // too small for any piece
        p.x[N_ODD + 1] = 0x1.8p-134f;                           // the last bit that a piece can have is 2^-133
        for (int i = N_ODD + 2; i < ALL / 2; i++) {             // every bit of 24, large and small
            seed = seed * 1664525u + 1013904223u;
            const uint32_t u = (seed & 0x807fffffu) | ((20u + (seed >> 5) % 230u) << 23);
            memcpy(&p.x[i], &u, sizeof u);
        }
    }
    free(run_tokens(&p, 0, N));
    const int pieces = cuda()->products.x_pieces;
    must(on[GPU]->ops->download(on[GPU], planes, cuda()->products.x, pieces * ALL * (int64_t)sizeof *planes, &e));
    for (int i = 0; i < ALL; i++) {
        const float x = p.x[i], sum = sum_of_pieces(planes, pieces, ALL, i);
        if (isnan(x))                   ck_assert(isnan(sum));
        else if (fabsf(x) < 0x1p-109f)
            ck_assert_msg(fabs((double)sum - (double)x) <= 0x1p-134, "%a becomes %a", (double)x, (double)sum);
        else                            ck_assert_msg(sum == x, "%a becomes %a", (double)x, (double)sum);
    }
    ck_assert_int_eq(pieces, on[GPU]->arith == ARITH_F32 ? PRODUCT_PIECES : 1);
    free(planes);
    free_product(&p);
    close_backends();
}
END_TEST

#ifndef ON_GPU
// ---- launches, memory, failures -------------------------------------------------------------------------------------

static int launches_since(void)
{
    const int n = calls_seen;
    calls_seen = 0;
    return n;
}

enum { X, Y, Z, N_SQUARE };      // buffers of one square product's list

static op times_w(int to, int from)
{
    op o = op_new(OP_LINEAR, 0);
    o.w[0] = 0;
    o.out[0] = (view){ .buf = to, .row = 64 };
    o.in[0] = (view){ .buf = from, .row = 64 };
    return o;
}

// `dim` floats a token from `off` on, in all n tokens.
static op sum_into(int to, int other, int off, int dim)
{
    op o = op_new(OP_ADD, 0);
    o.out[0] = o.in[0] = (view){ .buf = to, .row = 64, .off = off };
    o.in[1] = (view){ .buf = other, .row = 64 };
    o.dim = dim;
    return o;
}

// Runs the list and gives its launches.
static int launches_of(const op *list, int n_ops, float *buffers[N_SQUARE], product *p)
{
    const op_memory m = { .buffers = buffers, .weights = &p->w };
    launches_since();
    must(on[GPU]->ops->run(on[GPU], list, n_ops, &m, &(op_args){ .n = (int)p->n }, &e) &&
         on[GPU]->ops->sync(on[GPU], &e));
    return launches_since();
}

// Products of the same activations cut them once, whatever runs in between, as long as it does not write them.
START_TEST(activations_are_cut_once)
{
    enum { PLANES = 1, TENSOR = 1, SUM = 1 };
    plant("launch", 1 << 30, 77);
    begin_tensor(0);
    product p = make_product(DT_BF16, 64, 64, 32);
    float *b[N_SQUARE] = { put(GPU, p.x, p.n * p.cols), put(GPU, NULL, p.n * p.rows), put(GPU, NULL, p.n * p.rows) },
          *y, *z;
    const op twice[] = { times_w(Y, X), times_w(Z, X) };
    ck_assert_int_eq(launches_of(twice, 2, b, &p), PLANES + 2 * TENSOR);
    const op around[] = { times_w(Y, X), sum_into(Y, X, 0, 64), times_w(Z, X) };
    ck_assert_int_eq(launches_of(around, 3, b, &p), PLANES + 2 * TENSOR + SUM);
    const op written[] = { times_w(Y, X), sum_into(X, Y, 5, 9), times_w(Z, X) };
    ck_assert_int_eq(launches_of(written, 3, b, &p), 2 * (PLANES + TENSOR) + SUM);
    // A product that overwrites activations of an earlier one: x W^T into x, and that once more.
    const op overwritten[] = { times_w(Y, X), times_w(X, Y), times_w(Z, X) };
    ck_assert_int_eq(launches_of(overwritten, 3, b, &p), 3 * (PLANES + TENSOR));
    launches_of(twice, 1, b, &p);
    y = take(GPU, b[Y], p.n * p.rows);
    z = take(GPU, b[Z], p.n * p.rows);
    ck_assert(memcmp(y, z, (size_t)(p.n * p.rows) * sizeof *y) == 0);
    free(y);
    free(z);
    on[GPU]->ops->release(on[GPU], b[X]);
    free_product(&p);
    close_backends();
    unplant();
}
END_TEST

// What products may still ask for is not offered as room; what they have is counted as allocated.
START_TEST(scratch_is_counted)
{
    int64_t exact = 0, before = 0, after = 0;
    begin(0);
    must(on[GPU]->ops->room(on[GPU], &exact, &e));
    close_backends();
    begin_tensor(0);
    const int64_t at_first = on[GPU]->ops->memory_bytes(on[GPU]);
    must(on[GPU]->ops->room(on[GPU], &before, &e));
    ck_assert_int_eq(exact - before, PRODUCT_W_BYTES + PRODUCT_X_BYTES + PRODUCT_SPAN_BYTES);
    product p = make_product(DT_Q8_0, 40, 608, 20);
    const int64_t weights = on[GPU]->ops->memory_bytes(on[GPU]) - at_first;
    free(run_tokens(&p, 0, p.n));
    const int64_t wanted = 40 * 608 * 6 + 20 * 608 * 6 + 20 * 40 * 2 * 4;    // pieces of W and of x, sums of two spans
    ck_assert_int_eq(on[GPU]->ops->memory_bytes(on[GPU]) - at_first, weights + wanted);
    must(on[GPU]->ops->room(on[GPU], &after, &e));
    ck_assert_int_eq(before - after, weights);
    free_product(&p);
    close_backends();
}
END_TEST

START_TEST(failures_of_a_product_end_in_one_message_and_freed_memory)
{
    static const struct {
        const char *call, *says;
        int most;
    } calls[] = { { "alloc", "", 3 }, { "launch", "could not be launched", 4 } };
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
        for (int nth = 0; nth <= calls[k].most; nth++) {
            err why = { 0 };
            plant("none", 0, 77);
            begin_tensor(0);
            product p = make_product(DT_Q8_0, 40, 608, 20);
            float *dx = put(GPU, p.x, p.n * p.cols), *dy = put(GPU, NULL, p.n * p.rows);
            fail.call = calls[k].call;
            fail.left = nth;
            const bool ok = one_matmul(on[GPU], dy, &p.w, dx, (int)p.n, &why) && on[GPU]->ops->sync(on[GPU], &why);
            ck_assert_msg(ok == (nth == calls[k].most), "%s %d: %s", calls[k].call, nth, ok ? "not noticed" : why.msg);
            ck_assert_msg(ok || (why.kind == ERR_SYSTEM && strstr(why.msg, calls[k].says)), "%s %d: %s", calls[k].call,
                          nth, why.msg);
            unplant();
            free_product(&p);
            close_backends();
        }
}
END_TEST

// ---- auto -----------------------------------------------------------------------------------------------------------

static int skipping_launch(const void *k, gpu_dim g, gpu_dim b, void **a, size_t sh, bool overlap, void *s)
{
    return fails("launch") ? 0 : host_calls()->launch(k, g, b, a, sh, overlap, s);       // says that it ran
}

static int narrow_launch(const void *k, gpu_dim g, gpu_dim b, void **a, size_t sh, bool overlap, void *s)
{
    if (g.y > 1 && sh > 40 << 10) g.y--;    // a grid of the tensor kernel, and not all of it
    return host_calls()->launch(k, g, b, a, sh, overlap, s);
}

// Activations in one piece of three: numbers that are nearly right.
static int blunt_launch(const void *k, gpu_dim g, gpu_dim b, void **a, size_t sh, bool overlap, void *s)
{
    const int status = host_calls()->launch(k, g, b, a, sh, overlap, s);
    if (g.y > 1 || sh > 0 || g.x != 4) return status;                           // planes_kernel: planes, x, n
    host_calls()->stream_sync(s);
    uint16_t *planes = *(uint16_t **)a[0];
    const int64_t n = *(const int64_t *)a[2];
    memset(planes + n, 0, (size_t)(2 * n) * sizeof *planes);
    return status;
}

static int old_device(int d, gpu_props *p)
{
    const int status = host_calls()->properties(d, p);
    p->major = 7;
    p->minor = 5;
    return status;
}

static int small_device(int d, gpu_props *p)
{
    const int status = host_calls()->properties(d, p);
    p->major = 8;
    p->minor = 6;
    p->max_shared_bytes = 99 << 10;
    return status;
}

static backend *open_auto(arith a)
{
    unsetenv("HALLMARK_CUDA_PRODUCTS");
    backend *b = backend_cuda(a, false, &e);
    exact_products();
    must(b != NULL);
    return b;
}

static void close_auto(backend *b)
{
    unplant();
    b->ops->close(b);
    ck_assert_int_eq(host_calls_live(), 0);
}

static void expect_exact(backend *b, const char *says)
{
    ck_assert_int_eq(((cuda_backend *)b)->products.mode, PRODUCTS_EXACT);
    ck_assert_msg(b->note && strstr(b->note, "formed exactly") && strstr(b->note, says),
                  "found '%s', expected '%s' in it", b->note, says);
}

START_TEST(auto_takes_the_tensor_cores_where_they_pass)
{
    int (*const devices[])(int d, gpu_props *p) = { NULL, small_device };
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        for (int a = 0; a < 2; a++) {
            plant("launch", 1 << 30, 77);
            if (devices[i]) failing.properties = devices[i];
            backend *b = open_auto(a ? ARITH_BF16 : ARITH_F32);
            ck_assert_int_eq(((cuda_backend *)b)->products.mode, PRODUCTS_TENSOR);
            ck_assert_msg(b->note && strstr(b->note, "another order than the CPU"), "%s", b->note);
            close_auto(b);
        }
}
END_TEST

// Tensor cores that give something else, fail, or are not there: found when the backend opens, and exact products in
// their place.
START_TEST(auto_finds_tensor_cores_that_are_wrong)
{
    plant("launch", 1 << 30, 77);
    close_auto(open_auto(ARITH_F32));
    const int n_launches = calls_seen;
    ck_assert_int_gt(n_launches, 2 * (1 + CUDA_TENSOR_TILES));
    for (int nth = 0; nth < n_launches; nth++) {
        plant("launch", nth, 77);
        failing.launch = skipping_launch;
        backend *b = open_auto(ARITH_F32);
        expect_exact(b, "expected");
        close_auto(b);
    }
    plant("none", 0, 77);
    failing.launch = narrow_launch;
    backend *b = open_auto(ARITH_F32);
    expect_exact(b, "tile 2");
    close_auto(b);
    plant("none", 0, 77);
    failing.launch = blunt_launch;
    b = open_auto(ARITH_F32);
    expect_exact(b, "BF16, tile 0");
    close_auto(b);
    static const struct {
        const char *call;
        int nth;
        const char *says;
    } failures[] = { { "launch", 4, "could not be launched" }, { "alloc", 3, "" }, { "copy", 4, "" } };
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        plant_failure(failures[i].call, failures[i].nth, 77, true);
        b = open_auto(ARITH_BF16);
        expect_exact(b, failures[i].says);
        close_auto(b);
    }
}
END_TEST

// Kernels that the driver translates from instructions older than the tensor cores would write nothing.
static int older_kernels(const void *kernel, int *capability)
{
    *capability = 75;
    return 0;
}

START_TEST(a_program_without_them)
{
    err why = { 0 };
    plant("none", 0, 77);
    failing.compiled_for = older_kernels;
    backend *b = open_auto(ARITH_F32);
    expect_exact(b, "compiled for compute capability 7.5");
    close_auto(b);
    plant("none", 0, 77);
    failing.compiled_for = older_kernels;
    setenv("HALLMARK_CUDA_PRODUCTS", "tensor", 1);
    ck_assert_ptr_null(backend_cuda(ARITH_F32, false, &why));
    exact_products();
    ck_assert_msg(why.kind == ERR_SYSTEM && strstr(why.msg, "the tensor cores need 8.0") != NULL, "%s", why.msg);
    why = (err){ 0 };
    plant("compiled_for", 0, 77);                       // none at all for this device
    ck_assert_ptr_null(backend_cuda(ARITH_F32, false, &why));
    unplant();
    ck_assert_msg(why.kind == ERR_SYSTEM && strstr(why.msg, "no kernels for compute capability 9.0") != NULL, "%s",
                  why.msg);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

START_TEST(a_device_without_them)
{
    err why = { 0 };
    plant("none", 0, 77);
    failing.properties = old_device;
    backend *b = open_auto(ARITH_F32);
    expect_exact(b, "compute capability 7.5");
    close_auto(b);
    plant("none", 0, 77);
    failing.properties = old_device;
    setenv("HALLMARK_CUDA_PRODUCTS", "tensor", 1);
    ck_assert_ptr_null(backend_cuda(ARITH_F32, false, &why));
    exact_products();
    unplant();
    ck_assert_int_eq(why.kind, ERR_SYSTEM);
    ck_assert_msg(strstr(why.msg, "compute capability 7.5 has no tensor cores") != NULL, "%s", why.msg);
    ck_assert_int_eq(host_calls_live(), 0);
}
END_TEST

// ---- cuBLAS ---------------------------------------------------------------------------------------------------------

static struct { const char *call; int left; } blas_fail;
static cublas_calls blas;

static int blas_fails(const char *call) { return strcmp(blas_fail.call, call) == 0 && blas_fail.left-- == 0 ? 13 : 0; }

static int blas_create(void **h)
{
    const int f = blas_fails("create");
    return f ? f : host_cublas()->create(h);
}
static int blas_stream(void *h, void *stream)
{
    const int f = blas_fails("set_stream");
    return f ? f : host_cublas()->set_stream(h, stream);
}
static int blas_workspace(void *h, void *p, size_t n)
{
    const int f = blas_fails("set_workspace");
    return f ? f : host_cublas()->set_workspace(h, p, n);
}
static int blas_gemm(void *h, int aa, int ba, int m, int n, int k, const void *alpha, const void *a, int at, int as,
                     const void *b, int bt, int bs, const void *beta, void *c, int ct, int cs, int sums, int algorithm)
{
    const int f = blas_fails("gemm");
    return f ? f
             : host_cublas()->gemm(h, aa, ba, m, n, k, alpha, a, at, as, b, bt, bs, beta, c, ct, cs, sums, algorithm);
}

static void plant_blas(const char *call, int nth)
{
    blas = *host_cublas();
    blas_fail.call = call;
    blas_fail.left = nth;
    blas.create = blas_create;
    blas.set_stream = blas_stream;
    blas.set_workspace = blas_workspace;
    blas.gemm = blas_gemm;
    host_cublas_use(&blas);
}

// A product from opening the backend on; true when all went well.
static bool life_with_blas(arith a, err *why)
{
    setenv("HALLMARK_CUDA_PRODUCTS", "cublas", 1);
    on[GPU] = backend_cuda(a, false, why);
    exact_products();
    if (!on[GPU]) return false;
    product p = make_product(DT_Q8_0, 9, 64, 17);
    float *dx = put(GPU, p.x, p.n * p.cols), *dy = put(GPU, NULL, p.n * p.rows);
    const bool ok = one_matmul(on[GPU], dy, &p.w, dx, (int)p.n, why) && on[GPU]->ops->sync(on[GPU], why);
    free_product(&p);
    on[GPU]->ops->close(on[GPU]);
    return ok;
}

START_TEST(cublas_gets_the_same_pieces)
{
    setenv("HALLMARK_CUDA_PRODUCTS", "cublas", 1);
    begin(_i);
    exact_products();
    ck_assert_int_eq(cuda()->products.mode, PRODUCTS_CUBLAS);
    ck_assert_msg(strstr(on[GPU]->note, "cuBLAS") && strstr(on[GPU]->note, "another order than the CPU"), "%s",
                  on[GPU]->note);
    for (int k = 0; k < N_SHAPES; k++) {
        product p = make_product(shapes[k].type, shapes[k].rows, shapes[k].cols, shapes[k].n);
        float *y = run_tokens(&p, 0, p.n);
        check_result(&p, y, "cuBLAS");
        free(y);
        free_product(&p);
    }
    close_backends();
    ck_assert_int_eq(host_cublas_live(), 0);
}
END_TEST

START_TEST(failures_of_cublas_end_in_one_message_and_freed_memory)
{
    static const struct { const char *call; int nth; const char *says; } cases[] = {
        { "create", 0, "cuBLAS: opening it" },
        { "set_stream", 0, "cuBLAS: choosing a stream" },
        { "set_workspace", 0, "cuBLAS: giving it a workspace" },
        { "gemm", 0, "cuBLAS: a product" },
        { "gemm", 5, "cuBLAS: a product" },
    };
    err why = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        why = (err){ 0 };
        plant_blas(cases[i].call, cases[i].nth);
        ck_assert_msg(!life_with_blas(ARITH_F32, &why), "%s %d: not noticed", cases[i].call, cases[i].nth);
        ck_assert_msg(why.kind == ERR_SYSTEM && strstr(why.msg, cases[i].says) &&
                          strstr(why.msg, "failure made by a test"),
                      "%s: %s", cases[i].call, why.msg);
        ck_assert_msg(host_calls_live() == 0 && host_cublas_live() == 0, "%s %d: not all is freed", cases[i].call,
                      cases[i].nth);
    }
    plant_blas("gemm", 6);                  // of 3 x 3 pieces the six that count, and no more
    ck_assert(life_with_blas(ARITH_F32, &why));
    ck_assert_int_eq(blas_fail.left, 0);
    // No library; no memory for its workspace. Asked for by name, so nothing else takes its place.
    blas = (cublas_calls){ 0 };
    why = (err){ 0 };
    ck_assert(!life_with_blas(ARITH_BF16, &why) && why.kind == ERR_SYSTEM && strstr(why.msg, "is not found"));
    host_cublas_use(NULL);
    why = (err){ 0 };
    plant("alloc", 2, 2);
    ck_assert(!life_with_blas(ARITH_F32, &why) && why.kind == ERR_SYSTEM && strstr(why.msg, "workspace of cuBLAS"));
    unplant();
    ck_assert(host_calls_live() == 0 && host_cublas_live() == 0);
}
END_TEST
#endif

static bool tensor_cores_are_there(void)
{
    err why = { 0 };
    setenv("HALLMARK_CUDA_PRODUCTS", "tensor", 1);
    backend *b = backend_cuda(ARITH_F32, false, &why);
    exact_products();
    if (b) b->ops->close(b);
    else   fprintf(stderr, "SKIP: %s\n", why.msg);
    return b != NULL;
}

int main(void)
{
    if (!cuda_is_there() || !tensor_cores_are_there()) return 77;
    Suite *s = suite_create("cuda_tensor");
    TCase *t = tcase_create("tensor");
    const int both = runs_asked() < 2 ? 1 : 2;      // arithmetics
    tcase_add_loop_test(t, every_form_and_tile, 0, runs_asked());
    tcase_add_loop_test(t, bits_depend_neither_on_the_batch_nor_on_tile_or_order, 0, both);
    tcase_add_loop_test(t, slices_have_the_same_bits, 0, both);
    tcase_add_loop_test(t, other_shapes_stay_exact, 0, both);
    tcase_add_loop_test(t, pieces_add_up_to_what_they_are_pieces_of, 0, both);
#ifndef ON_GPU
    tcase_add_test(t, activations_are_cut_once);
    tcase_add_test(t, scratch_is_counted);
    tcase_add_test(t, failures_of_a_product_end_in_one_message_and_freed_memory);
    tcase_add_test(t, auto_takes_the_tensor_cores_where_they_pass);
    tcase_add_test(t, auto_finds_tensor_cores_that_are_wrong);
    tcase_add_test(t, a_device_without_them);
    tcase_add_test(t, a_program_without_them);
    tcase_add_loop_test(t, cublas_gets_the_same_pieces, 0, both);
    tcase_add_test(t, failures_of_cublas_end_in_one_message_and_freed_memory);
#endif
    suite_add_tcase(s, t);
    return run_suite(s);
}
