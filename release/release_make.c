// One artifact of a release made by its recipe, and proved against the source: see release_job.h.
#define _GNU_SOURCE
#include "release_job.h"
#include "release_take.h"
#include "../convert/convert.h"
#include "../formats/file_map.h"
#include "../measure/mix.h"
#include "../runtime/model.h"
#include "../verify/derivation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- by a type -----------------------------------------------------------------------------------------------------

static bool same_texts(const recipe *a, const recipe *b)
{
    if (!a || a->calibrate.n != b->calibrate.n) return false;
    for (int i = 0; i < a->calibrate.n; i++)
        if (strcmp(a->calibrate.v[i], b->calibrate.v[i]) != 0) return false;
    return true;
}

// The last calibration is kept: several types are often calibrated on the same texts.
static bool calibrate(release_job *x, const recipe *r, err *e)
{
    const calibration_opts c = { .texts = (const char *const *)r->calibrate.v, .n_texts = r->calibrate.n,
                                 .n_threads = x->o->n_threads, .progress = x->o->progress };
    if (same_texts(x->cal_of, r)) return true;
    calibration_free(x->cal);
    x->cal_of = NULL;
    x->cal = calibration_compute_hf(x->hf_dir, &c, e);
    if (x->cal) x->cal_of = r;
    return x->cal != NULL;
}

static convert_opts options_of(const release_job *x, const recipe *r, const policy_overrides *over)
{
    const int level = r->calibrate.n && !r->has_effort ? 1 : (int)r->effort;
    return (convert_opts){ .type = r->type, .imatrix = r->imatrix, .n_threads = x->o->n_threads,
                           .progress = x->o->progress, .effort = { .level = level }, .overrides = over,
                           .strict_types = x->o->strict_types, .no_mtp = x->o->no_mtp, .judge = model_check };
}

static bool make_type(release_job *x, const recipe *r, const char *path, verify_derivation *d, err *e)
{
    policy_overrides over;
    type_rule *rules = NULL;
    bool ok = recipe_overrides(r, &over, &rules, e) && (r->calibrate.n == 0 || calibrate(x, r, e));
    if (ok) {
        convert_opts co = options_of(x, r, recipe_is_plain(r) ? NULL : &over);
        if (r->calibrate.n) co.effort = calibration_effort(x->cal, co.effort.level);
        ok = convert_checkpoint(x->hf_dir, path, &co, e) && derivation_of_converted(d, path, x->hf_dir, &co, e);
    }
    recipe_rules_free(rules, r->tensor_types.n);
    return ok;
}

// ---- a mix to order ------------------------------------------------------------------------------------------------

// A search reads a GGUF file: one that holds every tensor exactly is made once, and removed at the end.
static bool make_base(release_job *x, err *e)
{
    convert_opts co = { .n_threads = x->o->n_threads, .no_mtp = x->o->no_mtp, .progress = x->o->progress,
                        .judge = model_check };
    if (x->base) return true;
    char *path = path_join(x->dir.path, RELEASE_BASE);
    if (!path) return err_nomem(e, "a path", strlen(x->dir.path));
    const bool ok = convert_exact_type(&co.type, x->hf_dir, x->o->n_threads, e)
        && convert_checkpoint(x->hf_dir, path, &co, e);
    if (ok) x->base = path;
    else    free(path);
    return ok;
}

void release_make_end(release_job *x)
{
    if (x->base) unlink(x->base);
    free(x->base);
    x->base = NULL;
    calibration_free(x->cal);
    x->cal = NULL;
    x->cal_of = NULL;
}

static bool find_target(mix_target *t, const recipe *r, err *e)
{
    return r->budget ? mix_parse_budget(t, r->budget, e) : mix_parse_kl(t, r->max_kl, e);
}

// Searched on the CPU where no device is named: a GPU sums in another order, and the types may be others.
static bool make_mix(release_job *x, const recipe *r, const char *path, verify_derivation *d, err *e)
{
    mix_target target;
    mix_result found = { 0 };
    const sensitivity_opts s = { .texts = (const char *const *)r->texts.v, .n_texts = r->texts.n, .chunk = r->chunk,
                                 .samples = r->samples, .exact = r->exact, .imatrix = r->imatrix,
                                 .state = x->o->state, .many_states = true,
                                 .run = { .device = x->o->device ? x->o->device : "cpu",
                                          .n_threads = x->o->n_threads },
                                 .progress = x->o->progress };
    const derivation_opts from = { .from = x->hf_dir, .imatrix = r->imatrix, .n_threads = x->o->n_threads,
                                   .progress = x->o->progress };
    if (!find_target(&target, r, e) || !make_base(x, e)) return false;
    bool ok = mix_find(&found, x->base, &target, &s, e);
    if (ok) {
        const quantize_opts q = { .type = found.type, .imatrix = r->imatrix, .n_threads = x->o->n_threads,
                                  .progress = x->o->progress, .types = found.types, .mix = found.record,
                                  .judge = model_check };
        ok = quantize_file(x->base, path, &q, e) && derivation_of(d, path, &from, e);
    }
    mix_free(&found);
    return ok;
}

// ---- a finished file -----------------------------------------------------------------------------------------------

static bool take_file(release_job *x, const recipe *r, const char *path, verify_derivation *d, err *e)
{
    const release_take_opts o = { .hf_dir = x->hf_dir, .source = &x->source, .revision = x->revision,
                                  .imatrix = r->imatrix, .n_threads = x->o->n_threads, .progress = x->o->progress };
    const derivation_opts from = { .from = x->hf_dir, .imatrix = r->imatrix,
                                   .calibrate = (const char *const *)r->calibrate.v, .n_calibrate = r->calibrate.n,
                                   .n_threads = x->o->n_threads, .progress = x->o->progress };
    return release_take(r->artifact, path, &o, e) && derivation_of(d, path, &from, e);
}

bool release_make(release_job *x, int i, const char *path, verify_derivation *d, err *e)
{
    const recipe *r = x->items[i].r;
    switch (r->kind) {
    case RECIPE_TYPE: return make_type(x, r, path, d, e);
    case RECIPE_MIX:  return make_mix(x, r, path, d, e);
    default:          return take_file(x, r, path, d, e);
    }
}

// ---- sizes ---------------------------------------------------------------------------------------------------------

bool release_has_mix(const release_job *x)
{
    for (int i = 0; i < x->n_items; i++)
        if (x->items[i].r->kind == RECIPE_MIX) return true;
    return false;
}

static bool preview(quantize_preview *v, const release_job *x, const recipe *r, file_type type, err *e)
{
    policy_overrides over;
    type_rule *rules = NULL;
    bool ok = recipe_overrides(r, &over, &rules, e);
    if (ok) {
        convert_opts co = options_of(x, r, recipe_is_plain(r) ? NULL : &over);
        co.type = type;
        co.progress = NULL;             // what there is to say is said when the file is made
        ok = convert_preview(v, x->hf_dir, &co, e);
    }
    recipe_rules_free(rules, r->tensor_types.n);
    return ok;
}

static bool mix_bytes(const release_job *x, const recipe *r, int64_t *bytes, err *e)
{
    mix_target t;
    quantize_preview v;
    if (!find_target(&t, r, e)) return false;
    *bytes = t.bytes;
    if (t.bits <= 0 && t.like == FT_INVALID) return true;
    if (!preview(&v, x, r, t.like == FT_INVALID ? FT_Q8_0 : t.like, e)) return false;
    *bytes = t.bits > 0 ? (int64_t)(t.bits * (double)v.n_elems / 8) : v.to_bytes;
    quantize_preview_free(&v);
    return true;
}

static bool artifact_bytes(const recipe *r, int64_t *bytes, err *e)
{
    gguf *g = gguf_open(r->artifact, e);
    if (g) *bytes = gguf_file_bytes(g);
    gguf_close(g);
    return g != NULL;
}

bool release_make_weights(const release_job *x, int64_t *n, err *e)
{
    quantize_preview v;
    const recipe plain = { .type = FT_F32 };
    if (!preview(&v, x, &plain, FT_F32, e)) return false;
    *n = v.n_elems;
    quantize_preview_free(&v);
    return true;
}

bool release_make_bytes(const release_job *x, int i, int64_t *bytes, err *e)
{
    const recipe *r = x->items[i].r;
    quantize_preview v;
    *bytes = 0;
    if (r->kind == RECIPE_MIX) return mix_bytes(x, r, bytes, e);
    if (r->kind == RECIPE_ARTIFACT) return artifact_bytes(r, bytes, e);
    if (!preview(&v, x, r, r->type, e)) return false;
    *bytes = v.to_bytes;
    quantize_preview_free(&v);
    return true;
}
