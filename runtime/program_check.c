// program_check: a file's tensors against those that a program names: see program.h.
#include "program.h"
#include "../quant/codec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "[2][3]", dimensions in Hugging Face order.
static const char *shape_text(char out[96], int n_dims, const int64_t *shape)
{
    size_t n = 0;
    out[0] = 0;
    for (int d = 0; d < n_dims; d++) n += (size_t)snprintf(out + n, 96 - n, "[%lld]", (long long)shape[d]);
    return out;
}

static bool wrong_shape(const gguf *g, const gguf_tensor *t, const program_weight *want, err *e)
{
    const int64_t matrices = want->experts ? want->experts : 1,
        shape[] = { matrices, want->rows / matrices, want->cols };
    const int n_dims = want->vector ? 1 : want->experts ? 3 : 2;
    char found[96], expected[96];
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found shape %s, expected %s", gguf_path(g), t->name,
                   shape_text(found, t->n_dims, t->shape), shape_text(expected, n_dims, shape + 3 - n_dims));
}

static bool has_shape(const gguf_tensor *t, const program_weight *want)
{
    if (want->experts ? t->n_dims != 3 || t->shape[0] != want->experts : t->n_dims > 2) return false;
    return gguf_tensor_rows(t) == want->rows && gguf_tensor_cols(t) == want->cols;
}

bool program_find_tensor(const gguf *g, const program_weight *want, const gguf_tensor **found, err *e)
{
    const gguf_tensor *t = *found = gguf_find_tensor(g, want->name);
    if (!t && !want->optional) return err_set(e, ERR_INPUT, "%s: tensor '%s': missing", gguf_path(g), want->name);
    if (!t) return true;
    if (!has_shape(t, want)) return wrong_shape(g, t, want, e);
    if ((want->vector || want->plain) && t->type != DT_F32)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected F32", gguf_path(g), t->name,
                       dtype_name(t->type));
    if (!codec_find(t->type))
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected a type that can be decoded", gguf_path(g),
                       t->name, dtype_name(t->type));
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const program_weight *)a)->name, ((const program_weight *)b)->name);
}

// There is at least one more than the program knows; the first is named. Sorts the program's weights, which nobody runs
// any more.
static bool name_unknown(program *p, const hparams *h, const gguf *g, err *e)
{
    qsort(p->weights, (size_t)p->n_weights, sizeof *p->weights, by_name);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        program_weight key;
        const gguf_tensor *t = gguf_tensor_at(g, i);
        snprintf(key.name, sizeof key.name, "%s", t->name);
        if (bsearch(&key, p->weights, (size_t)p->n_weights, sizeof *p->weights, by_name)) continue;
        return err_set(e, ERR_INPUT,
                       "%s: tensor '%s': found one that no %s model of %d layers has: what it is for is not computed",
                       gguf_path(g), t->name, h->arch, h->n_layer);
    }
    return true;
}

bool program_check_tensors(const hparams *h, const gguf *g, err *e)
{
    program p;
    int64_t n_known = 0;
    bool ok = program_build(&p, h, e);
    for (int i = 0; ok && i < p.n_weights; i++) {
        const gguf_tensor *found = NULL;
        ok = program_find_tensor(g, &p.weights[i], &found, e);
        if (found) n_known++;
    }
    if (ok && n_known != gguf_n_tensors(g)) ok = name_unknown(&p, h, g, e);
    program_free(&p);
    return ok;
}
