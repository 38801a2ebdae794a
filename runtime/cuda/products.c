// products: see products.h.
#include "products.h"
#include "cublas.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- scratch --------------------------------------------------------------------------------------------------------

typedef struct { void **p; int64_t *have, want; const char *what; } scratch;

static bool grow(cuda_backend *c, const scratch *s, err *e)
{
    if (s->want <= *s->have) return true;
    gpu_release(c->g, *s->p);
    *s->p = NULL;
    *s->have = 0;
    if (!gpu_alloc(c->g, s->p, s->want, s->what, e)) return false;
    *s->have = s->want;
    return true;
}

bool products_reserve(cuda_backend *c, const gpu_matrix *w, int n, err *e)
{
    gpu_products *p = &c->products;
    gpu_products_need need = { 0 };
    if (cuda_tensor_can(&c->ctx, w, n)) need = cuda_tensor_need(&c->ctx, w, n);
    void *pw = p->w, *px = p->x, *spans = p->spans;
    const scratch all[] = { { &pw, &p->w_bytes, need.w, "pieces of weights" },
                            { &px, &p->x_bytes, need.x, "pieces of activations" },
                            { &spans, &p->span_bytes, need.spans, "sums of a product's spans" } };
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof all / sizeof *all; i++) ok = grow(c, &all[i], e);
    p->w = pw;
    p->x = px;
    p->spans = spans;
    return ok;
}

int64_t products_later(const cuda_backend *c)
{
    const gpu_products *p = &c->products;
    const int64_t left[] = { PRODUCT_W_BYTES - p->w_bytes, PRODUCT_X_BYTES - p->x_bytes,
                             PRODUCT_SPAN_BYTES - p->span_bytes };
    int64_t sum = 0;
    for (size_t i = 0; p->mode != PRODUCTS_EXACT && i < sizeof left / sizeof *left; i++)
        sum += left[i] > 0 ? left[i] : 0;
    return sum;
}

// ---- which ----------------------------------------------------------------------------------------------------------

#define ANOTHER_ORDER "which adds in another order than the CPU (HALLMARK_CUDA_PRODUCTS=exact: the CPU's)"

static bool has_tensor_cores(const cuda_backend *c, err *e)
{
    const gpu_props *d = gpu_properties(c->g);
    const int compiled_for = gpu_compiled_for(c->g);
    if (d->major < 8)
        return err_set(e, ERR_SYSTEM,
                       "device cuda (%s): compute capability %d.%d has no tensor cores for BF16, 8.0 has", d->name,
                       d->major, d->minor);
    // What the driver translates from older instructions has none of them in it.
    return compiled_for >= 80 || err_set(e, ERR_SYSTEM,
                                         "device cuda (%s): this program's kernels are compiled for compute capability "
                                         "%d.%d, those for the tensor cores need 8.0",
                                         d->name, compiled_for / 10, compiled_for % 10);
}

static void use_tensor_cores(cuda_backend *c)
{
    c->products.mode = PRODUCTS_TENSOR;
    snprintf(c->note, sizeof c->note, "products of %d tokens and more are formed on the tensor cores, " ANOTHER_ORDER,
             CUDA_TENSOR_TOKENS);
}

static bool choose_auto(cuda_backend *c, err *e)
{
    err why = { 0 };
    if (has_tensor_cores(c, &why) && products_check(c, &why)) use_tensor_cores(c);
    else
        snprintf(c->note, sizeof c->note, "products of many tokens are formed exactly, which is slow: %.180s", why.msg);
    return true;
}

static bool choose_exact(cuda_backend *c, err *e)   { return true; }

static bool choose_tensor(cuda_backend *c, err *e)
{
    if (!has_tensor_cores(c, e)) return false;
    use_tensor_cores(c);
    return true;
}

static bool choose_cublas(cuda_backend *c, err *e)
{
    if (!has_tensor_cores(c, e)) return false;
    c->products.blas = cublas_open(c->g, e);
    if (!c->products.blas) return false;
    c->products.mode = PRODUCTS_CUBLAS;
    snprintf(c->note, sizeof c->note, "products of %d tokens and more are formed by cuBLAS, " ANOTHER_ORDER,
             CUDA_TENSOR_TOKENS);
    return true;
}

static const struct { const char *name; bool (*choose)(cuda_backend *c, err *e); } modes[] = {
    { "auto", choose_auto }, { "exact", choose_exact }, { "tensor", choose_tensor }, { "cublas", choose_cublas },
};

static const char *asked_for(void)
{
    const char *v = getenv("HALLMARK_CUDA_PRODUCTS");
    return v && *v ? v : NULL;
}

bool products_known(err *e)
{
    const char *v = asked_for();
    for (size_t i = 0; v && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(v, modes[i].name) == 0) return true;
    return !v || err_set(e, ERR_USAGE, "HALLMARK_CUDA_PRODUCTS: found '%s', expected auto, exact, tensor or cublas", v);
}

bool products_open(cuda_backend *c, bool reproducible, err *e)
{
    const char *v = asked_for();
    c->products = (gpu_products){ .mode = PRODUCTS_EXACT, .x_pieces = c->ctx.round ? 1 : PRODUCT_PIECES, .tile = -1 };
    c->ctx.products = &c->products;
    if (!v) v = reproducible ? "exact" : "auto";
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(v, modes[i].name) != 0) continue;
        if (!modes[i].choose(c, e)) return false;
        c->base.note = c->note[0] ? c->note : NULL;
        return true;
    }
    return products_known(e);
}

void products_close(cuda_backend *c)
{
    cublas_close(c->products.blas);
    c->products.blas = NULL;
}
