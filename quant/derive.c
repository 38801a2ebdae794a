#define _GNU_SOURCE
#include "derive.h"
#include "../arch/keys.h"
#include "../formats/claims.h"
#include "encode.h"
#include "quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const derive_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const derive_tensor *find(const derive_tensor *const *sorted, int64_t n, const char *name)
{
    const derive_tensor key = { .name = name }, *const p = &key;
    const derive_tensor *const *found = bsearch(&p, sorted, (size_t)n, sizeof *sorted, by_name);
    return found ? *found : NULL;
}

static bool same_shape(const gguf_tensor *a, const derive_tensor *s)
{
    int64_t shape[LIMIT_DIMS];
    return a->n_dims == gguf_count_dims(s->n_dims, s->shape, shape) && memcmp(a->shape, shape, sizeof shape) == 0;
}

// The source of one tensor of the artifact, with its importance.
static bool match(tensor_source *src, const gguf *art, const gguf_tensor *a, const derive_tensor *s, const imatrix *im,
                  imatrix_reach reach, const effort_opts *effort, err *e)
{
    if (!s)
        return err_set(e, ERR_VERDICT, "%s: tensor '%s': the source has none of that name", gguf_path(art), a->name);
    if (!same_shape(a, s))
        return err_set(e, ERR_VERDICT, "%s: tensor '%s': its shape is not that of %s", gguf_path(art), a->name,
                       s->src.where);
    *src = s->src;
    if (!effort_for_tensor(effort, a->name, a->n_dims, a->shape, src, e)) return false;
    if (!im) return true;
    policy_tensor p = { .name = a->name, .type = s->src.type, .n_dims = a->n_dims };
    memcpy(p.shape, a->shape, sizeof p.shape);
    return imatrix_for_tensor(im, &p, a->type, reach, &src->importance, e);
}

// ---- how near blocks come -------------------------------------------------------------------------------------------

// About twice the most that was measured, on the tiny checkpoint and on matrices of ten distributions (Laplace,
// Student's t with 2 degrees of freedom, log-normal, sparse, outlying rows and columns ...): 0.013 for Q8_0, 0.030 for
// Q6_K, 0.054, 0.071 and 0.078 for those of five bits, 0.10, 0.13 and 0.14 for those of four, 0.20 for Q3_K and 0.40
// for Q2_K. A tensor of zeros gives 1, one that is doubled likewise, another tensor 1.4; and weights of 1e-6, for which
// F16 has no scales, give 1 to 3.
static const struct { dtype type; double most; } ERROR_LIMITS[] = {
    { DT_Q8_0, 0.025 }, { DT_Q6_K, 0.06 }, { DT_Q5_K, 0.12 }, { DT_Q5_1, 0.15 }, { DT_Q5_0, 0.16 },
    { DT_Q4_K, 0.2 }, { DT_Q4_1, 0.26 }, { DT_Q4_0, 0.28 }, { DT_Q3_K, 0.4 }, { DT_Q2_K, 0.75 },
};

double derive_error_limit(dtype t)
{
    for (size_t i = 0; i < sizeof ERROR_LIMITS / sizeof *ERROR_LIMITS; i++)
        if (ERROR_LIMITS[i].type == t) return ERROR_LIMITS[i].most;
    return 0;
}

static bool check_error(derive_found *found, const gguf *art, const gguf_tensor *a, const tensor_source *s,
                        int n_threads, err *e)
{
    const double most = derive_error_limit(a->type);
    double error;
    if (!encode_relative_error(&error, a, s, n_threads, e)) return false;
    found->encoded++;
    if (!found->error_tensor[0] || error > found->error_max) {
        found->error_max = error;
        snprintf(found->error_tensor, sizeof found->error_tensor, "%s", a->name);
    }
    return error <= most || err_set(e, ERR_VERDICT,
                                    "%s: tensor '%s': %s: what it decodes to is off by %.3g of the source's length, "
                                    "expected at "
                                    "most %.3g",
                                    gguf_path(art), a->name, dtype_name(a->type), error, most);
}

// src: [tensors of art].
static bool check_errors(const gguf *art, const tensor_source *src, const derive_opts *o, err *e)
{
    derive_found found = { .tensors = gguf_n_tensors(art) };
    bool ok = true;
    for (int64_t i = 0; ok && i < found.tensors; i++) {
        const gguf_tensor *a = gguf_tensor_at(art, i);
        if (quantize_encodes(src[i].type, a->type)) ok = check_error(&found, art, a, &src[i], o->n_threads, e);
    }
    if (ok && o->found) *o->found = found;
    return ok;
}

// ---- comparing ------------------------------------------------------------------------------------------------------

bool derive_compare(const gguf *art, const derive_tensor *t, int64_t n, const imatrix *im, imatrix_reach reach,
                    const derive_opts *o, err *e)
{
    const int64_t n_art = gguf_n_tensors(art);
    const derive_tensor **sorted = calloc((size_t)n + 1, sizeof *sorted);
    tensor_source *src = calloc((size_t)n_art + 1, sizeof *src);
    effort_opts effort;
    bool ok = (sorted && src) || err_nomem(e, "the list of tensors", (size_t)n * sizeof *src);
    const tensor_source *finished = NULL;       // one that is quantized already
    bool encodes = false;
    ok = ok && effort_of_artifact(&effort, art, &o->effort, e);
    for (int64_t i = 0; ok && i < n; i++) sorted[i] = &t[i];
    if (ok) qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int64_t i = 0; ok && i < n_art; i++) {
        const gguf_tensor *a = gguf_tensor_at(art, i);
        ok = match(&src[i], art, a, find(sorted, n, a->name), im, reach, &effort, e);
        encodes |= ok && quantize_encodes(src[i].type, a->type);
        if (ok && !finished && dtype_of(src[i].type)->block_weights > 1) finished = &src[i];
    }
    if (ok && !encodes && (effort.level > 0 || effort.calibration))
        ok = err_set(e, ERR_VERDICT, "%s: key '%s': found %d, but no tensor was encoded to a block type",
                     gguf_path(art), KEY_HM_EFFORT, effort.level);
    if (ok && !encodes && finished)      // that a copy is a copy proves nothing of how the blocks were made
        ok = err_set(e, ERR_INPUT, "%s: found %s, expected F32, F16 or BF16: what is quantized already is no source",
                     finished->where, dtype_name(finished->type));
    for (int64_t i = 0; ok && i < n; i++)
        if (!gguf_find_tensor(art, sorted[i]->name))
            ok = err_set(e, ERR_VERDICT, "%s: tensor '%s' is missing: %s has it", gguf_path(art), sorted[i]->name,
                         sorted[i]->src.where);
    if (ok) {
        progress_stage(o->progress, "derive", gguf_file_bytes(art) - gguf_data_off(art));
        ok = compare_tensors(art, src, o->n_threads, o->progress, e) && check_errors(art, src, o, e);
    }
    free(sorted);
    free(src);
    return ok;
}

// ---- a GGUF source -------------------------------------------------------------------------------------------------

static bool read_reach(const gguf *g, imatrix_reach *reach, err *e)
{
    arch_facts f;
    if (!arch_facts_read(&f, g, e)) return false;
    *reach = (imatrix_reach){ f.first_shared, f.first_mtp };
    return true;
}

static bool take_tensors(const gguf *g, derive_tensor *t, char **where, err *e)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *s = gguf_tensor_at(g, i);
        if (asprintf(&where[i], "%s: tensor '%s'", gguf_path(g), s->name) < 0) {
            where[i] = NULL;
            return err_nomem(e, "a name", strlen(s->name));
        }
        t[i] = (derive_tensor){ .name = s->name, .n_dims = s->n_dims,
                                .src = { .where = where[i], .type = s->type, .data = s->data, .fd = -1 } };
        memcpy(t[i].shape, s->shape, sizeof t[i].shape);
    }
    return true;
}

bool derive_from_gguf(const char *art_path, const char *source_path, const derive_opts *o, err *e)
{
    imatrix_reach reach = { 0 };
    int64_t n = 0;
    gguf *source = NULL, *art = gguf_open(art_path, e);
    imatrix *im = NULL;
    derive_tensor *t = NULL;
    char **where = NULL;
    bool ok = art && (source = gguf_open(source_path, e)) && (!o->imatrix || (im = imatrix_open(o->imatrix, e))) &&
              read_reach(source, &reach, e);
    if (ok) {
        n     = gguf_n_tensors(source);
        t     = calloc((size_t)n + 1, sizeof *t);
        where = calloc((size_t)n + 1, sizeof *where);
        ok    = (t && where) || err_nomem(e, "the list of tensors", (size_t)n * sizeof *t);
    }
    ok = ok && take_tensors(source, t, where, e) && derive_compare(art, t, n, im, reach, o, e);
    for (int64_t i = 0; where && i < n; i++) free(where[i]);
    free(where);
    free(t);
    imatrix_close(im);
    gguf_close(source);
    gguf_close(art);
    return ok;
}
