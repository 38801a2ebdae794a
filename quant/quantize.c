#define _GNU_SOURCE
#include "quantize.h"
#include "../arch/keys.h"
#include "../arch/tokens.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "choice.h"
#include "finish.h"
#include "imatrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 };      // general.quantization_version: of the block layouts; ggml's GGML_QNT_VERSION

typedef struct {        // one run, from reading to renaming
    const char           *out_path;
    const quantize_opts  *o;
    const file_type_info *type;
    gguf                 *in;
    imatrix              *im;               // NULL: none
    gguf_plan            *plan;
    int64_t               n;
    policy_model          model;
    char                 *arch;
    imatrix_reach         reach;
    policy_tensor        *tensors;          // [n], as they come
    dtype                *types;            // [n], as they go
    dtype                *wanted;           // [n], as they would if every block fitted
    tensor_source        *sources;          // [n]
    bool                  encodes;          // a tensor becomes blocks
    char                **where;            // [n], for messages
    char                (*digests)[SHA256_HEX + 1];
} job;

// ---- what the input says -----------------------------------------------------------------------------------------

static bool read_model(job *j, err *e)
{
    policy_model *m = &j->model;
    arch_facts f;
    int64_t splits;
    if (!gguf_get_cstr(j->in, "general.architecture", &j->arch, e)) return false;
    if (!gguf_get_i64_or(j->in, "split.count", 1, &splits, e)) return false;
    if (splits > 1)
        return err_set(e, ERR_INPUT, "%s: key 'split.count': found one part of %lld, expected a whole model",
                       gguf_path(j->in), (long long)splits);
    m->arch        = j->arch;
    m->has_output  = gguf_find_tensor(j->in, "output.weight") != NULL;
    m->has_imatrix = j->im != NULL;
    m->overrides   = j->o->overrides;
    if (!arch_facts_read(&f, j->in, e)) return false;
    m->n_layer   = f.n_layer;
    m->n_head    = f.n_head;
    m->n_head_kv = f.n_head_kv;
    m->n_expert  = f.n_expert;
    j->reach = (imatrix_reach){ f.first_shared, f.first_mtp };
    return true;
}

// A block-quantized tensor may stay as it is beside others that are quantized; it may not become another type.
static bool refuse_requantizing(const job *j, int64_t i, err *e)
{
    const gguf_tensor *t = gguf_tensor_at(j->in, i);
    const dtype_info *from = dtype_find(t->type);
    if (t->type == j->types[i] || (from && from->block_weights == 1)) return true;
    return err_set(e, ERR_INPUT,
                   "%s: tensor '%s': found %s, expected F32, F16 or BF16: what quantization lost cannot come back as "
                   "%s",
                   gguf_path(j->in), t->name, dtype_name(t->type), dtype_name(j->types[i]));
}

static bool choose_types(job *j, err *e)
{
    for (int64_t i = 0; i < j->n; i++) {
        const gguf_tensor *t = gguf_tensor_at(j->in, i);
        policy_tensor *p = &j->tensors[i];
        *p = (policy_tensor){ .name = t->name, .type = t->type, .n_dims = t->n_dims };
        memcpy(p->shape, t->shape, sizeof p->shape);
    }
    err why = { 0 };
    const choice_opts c = {
        .type = j->o->type, .strict = j->o->strict_types, .log = j->o->progress, .model = &j->model
    };
    if (j->o->types) {
        memcpy(j->types, j->o->types, (size_t)j->n * sizeof *j->types);
        memcpy(j->wanted, j->types, (size_t)j->n * sizeof *j->types);
    } else if (!choice_make(&c, j->tensors, j->n, j->types, j->wanted, &why)) {
        return err_set(e, why.kind, "%s: %s", gguf_path(j->in), why.msg);
    }
    for (int64_t i = 0; i < j->n; i++)
        if (!refuse_requantizing(j, i, e)) return false;
    return true;
}

// Nothing to do but to copy blocks: a new file would only lose what the old one says of how they were made.
static bool refuse_finished(const job *j, err *e)
{
    if (j->encodes) return true;
    for (int64_t i = 0; i < j->n; i++)
        if (dtype_find(j->tensors[i].type)->block_weights > 1)
            return err_set(e, ERR_INPUT,
                           "%s: tensor '%s': found %s, expected F32, F16 or BF16: the file is quantized, and %s would "
                           "change nothing in it",
                           gguf_path(j->in), j->tensors[i].name, dtype_name(j->tensors[i].type), j->type->label);
    return true;
}

bool quantize_encodes(dtype from, dtype to) { return from != to && dtype_find(to)->block_weights > 1; }

static bool choose_sources(job *j, err *e)
{
    for (int64_t i = 0; i < j->n; i++) {
        const gguf_tensor *t = gguf_tensor_at(j->in, i);
        tensor_source *s = &j->sources[i];
        j->encodes |= quantize_encodes(t->type, j->types[i]);
        if (asprintf(&j->where[i], "%s: tensor '%s'", gguf_path(j->in), t->name) < 0) {
            j->where[i] = NULL;
            return err_nomem(e, "a name", strlen(t->name));
        }
        *s = (tensor_source){ .where = j->where[i],
                              .type = t->type,
                              .data = t->data,
                              .fd = gguf_fd(j->in),
                              .off = t->off,
                              .encoder = j->o->encoder,
                              .allow_nonfinite = j->o->allow_nonfinite };
        if (!effort_for_tensor(&j->o->effort, t->name, t->n_dims, t->shape, s, e)) return false;
        if (j->im && !imatrix_for_tensor(j->im, &j->tensors[i], j->types[i], j->reach, &s->importance, e)) return false;
    }
    return true;
}

// ---- what the output says ----------------------------------------------------------------------------------------

typedef struct { char *digest, *digest_v1, *revision; int64_t version; } kept_source;     // texts owned

// A claim that cannot be read does not hold; the file may be sound.
static bool keep_text(const gguf *g, const char *key, char **text, err *e)
{
    err why = { 0 };
    if (!gguf_find_kv(g, key) || gguf_get_cstr(g, key, text, &why)) return true;
    return err_set(e, why.kind == ERR_INPUT ? ERR_VERDICT : why.kind, "%s", why.msg);
}

// Bytes that are not those the file's own digests name are nobody's. Source keys stay true of a file that was not
// quantized before; its digest is one by the list of its own version.
static bool keep_source_claims(const job *j, kept_source *k, err *e)
{
    if (!gguf_find_kv(j->in, KEY_HM_TENSOR_SHA)) return true;
    if (!claims_check_tensors(j->in, j->o->n_threads, j->o->progress, e)) return false;
    for (int64_t i = 0; i < j->n; i++)
        if (dtype_find(j->tensors[i].type)->block_weights > 1) return true;
    if (!gguf_find_kv(j->in, KEY_HM_SOURCE_DIGEST)) return true;
    err why = { 0 };
    if (!gguf_get_i64_or(j->in, KEY_HM_VERSION, 1, &k->version, &why)) return err_set(e, ERR_VERDICT, "%s", why.msg);
    if (k->version < 1 || k->version > CLAIMS_VERSION)
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %lld, expected 1 to %d", gguf_path(j->in), KEY_HM_VERSION,
                       (long long)k->version, CLAIMS_VERSION);
    return keep_text(j->in, KEY_HM_SOURCE_DIGEST, &k->digest, e) &&
           keep_text(j->in, KEY_HM_SOURCE_V1, &k->digest_v1, e) && keep_text(j->in, KEY_HM_SOURCE_REV, &k->revision, e);
}

static bool is_recomputed(const char *key)
{
    static const char *const prefixes[] = { "hallmark.", "quantize.imatrix.", "split.", "general.alignment" };
    if (strcmp(key, KEY_HM_EOS_IDS) == 0 || strcmp(key, KEY_HM_BEYOND) == 0) return false;
    if (strncmp(key, KEYS_HM_TOKENIZER, strlen(KEYS_HM_TOKENIZER)) == 0) return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static bool plan_keys(job *j, err *e)
{
    bool ok = false;
    kept_source k = { 0 };
    for (int64_t i = 0; i < gguf_n_kv(j->in); i++)
        if (!is_recomputed(gguf_kv_at(j->in, i)->key) && !gguf_plan_copy_kv(j->plan, gguf_kv_at(j->in, i), e))
            return false;
    if (!gguf_plan_u32(j->plan, "general.quantization_version", QUANTIZATION_VERSION, e) ||
        !gguf_plan_u32(j->plan, "general.file_type", (uint32_t)j->type->id, e))
        return false;
    if (j->im && !j->encodes) progress_log(j->o->progress, IMATRIX_IDLE);
    if (j->im) imatrix_tell_experts(j->im, j->tensors, j->types, j->n, j->o->progress);
    if (j->im && j->encodes && !imatrix_plan_keys(j->im, j->plan, e)) return false;
    if (!effort_plan_keys(j->plan, &j->o->effort, e)) return false;
    if (j->o->mix && !gguf_plan_str(j->plan, KEY_HM_QUANTIZE_MIX, j->o->mix, e)) return false;
    ok = keep_source_claims(j, &k, e);
    ok = ok &&
         claims_plan(j->plan, j->type->label, &(claims_source){ k.version, k.digest, k.digest_v1, k.revision }, e);
    free(k.digest);
    free(k.digest_v1);
    free(k.revision);
    return ok;
}

static bool plan_output(job *j, err *e)
{
    if (!(j->plan = gguf_plan_new(gguf_alignment(j->in), e))) return false;
    for (int64_t i = 0; i < j->n; i++) {
        const policy_tensor *t = &j->tensors[i];
        err why = { 0 };
        if (!gguf_plan_tensor(j->plan, t->name, j->types[i], t->n_dims, t->shape, &why))
            return err_set(e, why.kind, "%s: %s", gguf_path(j->in), why.msg);
    }
    return plan_keys(j, e);
}

static bool write_output(job *j, err *e)
{
    int64_t header_bytes, file_bytes;
    if (!gguf_plan_layout(j->plan, &header_bytes, &file_bytes, e)) return false;
    outfile *f = outfile_open(j->out_path, file_bytes, e);
    if (!f) return false;
    progress_stage(j->o->progress, "quantize", file_bytes - header_bytes);
    if (!write_tensors(j->plan, f, j->sources, j->o->n_threads, j->digests, NULL, j->o->progress, e) ||
        !claims_set_digests(j->plan, (const char (*)[SHA256_HEX + 1])j->digests, e)) {
        outfile_abort(f);
        return false;
    }
    return finish_gguf(j->plan, f, j->o->judge, gguf_path(j->in), e);
}

static bool allocate(job *j, err *e)
{
    const size_t n = (size_t)(j->n > 0 ? j->n : 1);
    j->tensors = calloc(n, sizeof *j->tensors);
    j->types   = calloc(n, sizeof *j->types);
    j->wanted  = calloc(n, sizeof *j->wanted);
    j->sources = calloc(n, sizeof *j->sources);
    j->where   = calloc(n, sizeof *j->where);
    j->digests = calloc(n, sizeof *j->digests);
    return (j->tensors && j->types && j->wanted && j->sources && j->where && j->digests) ||
           err_nomem(e, "the list of tensors", n * sizeof *j->where);
}

static void close_job(job *j)
{
    gguf_plan_free(j->plan);
    imatrix_close(j->im);
    gguf_close(j->in);
    free(j->arch);
    free(j->tensors);
    free(j->types);
    free(j->wanted);
    free(j->sources);
    for (int64_t i = 0; j->where && i < j->n; i++) free(j->where[i]);
    free(j->where);
    free(j->digests);
}

// Everything up to the choice of types and sources.
static bool open_job(job *j, const char *in_path, err *e)
{
    if (!j->type) return err_set(e, ERR_USAGE, "unknown file type %d", (int)j->o->type);
    if (!(j->in = gguf_open(in_path, e))) return false;
    if (j->o->judge && !j->o->judge(j->in, e)) return false;
    if (j->o->imatrix && !(j->im = imatrix_open(j->o->imatrix, e))) return false;
    j->n = gguf_n_tensors(j->in);
    return allocate(j, e) && read_model(j, e) && choose_types(j, e) && choose_sources(j, e) &&
           effort_check(&j->o->effort, j->encodes, e) && refuse_finished(j, e);
}

bool quantize_file(const char *in_path, const char *out_path, const quantize_opts *o, err *e)
{
    job  j  = { .out_path = out_path, .o = o, .type = file_type_of(o->type) };
    // The rename would put what was rounded in the place of what it was rounded from.
    if (same_file(in_path, out_path)) return err_set(e, ERR_USAGE, "%s: the output is the input", out_path);
    bool ok = open_job(&j, in_path, e) && plan_output(&j, e) && write_output(&j, e);
    close_job(&j);
    return ok;
}

bool quantize_check_room(const char *out_path, int64_t bytes, err *e)
{
    outfile *f = outfile_open(out_path, bytes, e);
    if (f) outfile_abort(f);
    return f != NULL;
}

bool quantize_check(const char *in_path, const char *out_path, const quantize_opts *o, err *e)
{
    quantize_preview v;
    if (same_file(in_path, out_path)) return err_set(e, ERR_USAGE, "%s: the output is the input", out_path);
    if (!quantize_preview_file(&v, in_path, o, e)) return false;
    const int64_t bytes = v.to_bytes;
    quantize_preview_free(&v);
    return quantize_check_room(out_path, bytes, e);
}

// ---- preview -----------------------------------------------------------------------------------------------------

bool quantize_preview_add(quantize_preview *v, const char *name, dtype from, dtype to, dtype wanted, int n_dims,
                          const int64_t *shape, err *e)
{
    quantize_row r = { .from = from, .to = to, .wanted = wanted, .n_dims = n_dims, .n_elems = 1 };
    if (v->n == v->cap) {
        const int64_t cap = v->cap ? 2 * v->cap : 256;
        quantize_row *rows = realloc(v->rows, (size_t)cap * sizeof *rows);
        if (!rows) return err_nomem(e, "the list of tensors", (size_t)cap * sizeof *rows);
        v->rows = rows;
        v->cap  = cap;
    }
    if (!(r.name = strdup(name))) return err_nomem(e, "a name", strlen(name));
    for (int d = 0; d < n_dims; d++) r.n_elems *= r.shape[d] = shape[d];       // both readers have checked the product
    if (!dtype_bytes(from, n_dims, shape, &r.from_bytes) || !dtype_bytes(to, n_dims, shape, &r.to_bytes)) {
        free(r.name);
        return err_set(e, ERR_INPUT, "tensor '%s': its size as %s does not fit 63 bits", name, dtype_name(to));
    }
    v->rows[v->n++] = r;
    v->n_elems    += r.n_elems;
    v->from_bytes += r.from_bytes;
    v->to_bytes   += r.to_bytes;
    v->bits_per_weight = v->n_elems > 0 ? 8.0 * (double)v->to_bytes / (double)v->n_elems : 0;
    return true;
}

bool quantize_preview_file(quantize_preview *v, const char *in_path, const quantize_opts *o, err *e)
{
    job  j  = { .o = o, .type = file_type_of(o->type) };
    bool ok = open_job(&j, in_path, e);
    *v = (quantize_preview){ 0 };
    for (int64_t i = 0; ok && i < j.n; i++) {
        const gguf_tensor *t = gguf_tensor_at(j.in, i);
        ok = quantize_preview_add(v, t->name, t->type, j.types[i], j.wanted[i], t->n_dims, t->shape, e);
    }
    close_job(&j);
    if (!ok) quantize_preview_free(v);
    return ok;
}

void quantize_preview_free(quantize_preview *v)
{
    for (int64_t i = 0; i < v->n; i++) free(v->rows[i].name);
    free(v->rows);
    *v = (quantize_preview){ 0 };
}
