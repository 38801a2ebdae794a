// products_check: whether this device's tensor cores give what the exact kernel gives; see products.h.
#include "products.h"
#include <math.h>
#include <stdlib.h>

// More than half of the largest tile in no direction, and more stages than are ever in flight.
enum { ROWS = 70, COLS = 160, TOKENS = 20, N_W = ROWS * COLS, N_X = TOKENS * COLS, N_Y = TOKENS * ROWS };

typedef struct {
    float    w[N_W], x[N_X], exact[N_Y], found[N_Y], nothing[N_Y];
    uint16_t w_bf16[N_W];
} check_host;

static float next_value(uint32_t *seed, bool bf16)
{
    *seed = *seed * 1664525u + 1013904223u;
    const float v = ((float)(*seed >> 8) / 8388608.0f - 1.0f) * ((*seed >> 3 & 7) == 0 ? 16.0f : 1.0f);
    return bf16 ? f32_from_bf16(bf16_from_f32(v)) : v;
}

// Every value of `found` near that of `exact`: both are sums of the same products.
static bool near(const check_host *h, const char *type, int tile, err *why)
{
    for (int i = 0; i < N_Y; i++) {
        const float *w = h->w + i % ROWS * COLS, *x = h->x + i / ROWS * COLS;
        double size = 0;
        for (int c = 0; c < COLS; c++) size += fabs((double)w[c] * (double)x[c]);
        if (!(fabs((double)h->found[i] - (double)h->exact[i]) <= size * 0x1p-21))
            return err_set(why, ERR_SYSTEM,
                           "the tensor cores were tried: of weights in %s, tile %d, element %d, they made %.9g, "
                           "expected %.9g within %.2g",
                           type, tile, i, (double)h->found[i], (double)h->exact[i], size * 0x1p-21);
    }
    return true;
}

typedef struct { void *w, *x, *y; } check_device;

static bool product(cuda_backend *c, const gpu_matrix *w, const check_host *h, const check_device *d, float *y,
                    err *why)
{
    gpu_ctx plain = c->ctx;             // results not rounded: the bound is that of the sums
    plain.round = false;
    return gpu_upload(c->g, d->y, h->nothing, sizeof h->nothing, why) &&
           cuda_matmul(&plain, d->y, w, d->x, TOKENS, why) && gpu_download(c->g, y, d->y, N_Y * sizeof(float), why);
}

static bool check_type(cuda_backend *c, dtype type, check_host *h, const check_device *d, err *why)
{
    gpu_products *p = &c->products;
    const bool bf16 = type == DT_BF16;
    uint32_t seed = 12345u + (uint32_t)type;
    for (int i = 0; i < N_W; i++) h->w[i] = next_value(&seed, bf16);
    for (int i = 0; i < N_W; i++) h->w_bf16[i] = bf16_from_f32(h->w[i]);
    for (int i = 0; i < N_Y; i++) h->nothing[i] = NAN;
    for (int i = 0; i < N_X; i++) h->x[i] = next_value(&seed, p->x_pieces == 1);
    const gpu_matrix w = { .type = type, .data = d->w, .rows = ROWS, .cols = COLS };
    if (!gpu_upload(c->g, d->w, bf16 ? (void *)h->w_bf16 : h->w,
                    bf16 ? (int64_t)sizeof h->w_bf16 : (int64_t)sizeof h->w, why) ||
        !gpu_upload(c->g, d->x, h->x, sizeof h->x, why) || !product(c, &w, h, d, h->exact, why))
        return false;
    p->mode = PRODUCTS_TENSOR;
    p->cut = NULL;
    bool ok = products_reserve(c, &w, TOKENS, why);
    for (p->tile = 0; ok && p->tile < CUDA_TENSOR_TILES; p->tile++)
        ok = !cuda_tensor_fits(&c->ctx, &w) ||
             (product(c, &w, h, d, h->found, why) && near(h, dtype_name(type), p->tile, why));
    p->mode = PRODUCTS_EXACT;
    p->tile = -1;
    p->cut = NULL;
    return ok;
}

bool products_check(cuda_backend *c, err *why)
{
    check_device d = { 0 };
    check_host *h = malloc(sizeof *h);
    if (!h) return err_nomem(why, "check of the tensor cores", sizeof *h);
    const bool ok = gpu_alloc(c->g, &d.w, sizeof h->w + WEIGHT_PADDING, "check of the tensor cores", why) &&
                    gpu_alloc(c->g, &d.x, sizeof h->x, "check of the tensor cores", why) &&
                    gpu_alloc(c->g, &d.y, sizeof h->exact, "check of the tensor cores", why) &&
                    check_type(c, DT_BF16, h, &d, why) && check_type(c, DT_F32, h, &d, why);
    gpu_release(c->g, d.w);
    gpu_release(c->g, d.x);
    gpu_release(c->g, d.y);
    free(h);
    return ok;
}
