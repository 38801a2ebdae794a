#include "convert.h"

#include "../arch/keys.h"
#include "../formats/checkpoint.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/safetensors.h"
#include "../formats/source.h"
#include "../quant/choice.h"
#include "../quant/finish.h"
#include "../quant/imatrix.h"
#include "chat_template.h"
#include "config_keys.h"
#include "config_plan.h"
#include "family.h"
#include "general_meta.h"
#include "tensor_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 };      // general.quantization_version: of the block layouts; ggml's GGML_QNT_VERSION

typedef struct {        // one conversion, from opening the folder to renaming the file
    const char           *dir, *out_path;
    const convert_opts   *o;
    const file_type_info *type;
    // read
    cJSON *config_json, *generation_json, *tokenizer_config_json, *added_tokens_json, *special_tokens_json;
    hf_config             config;
    st                   *checkpoint;
    source_files         *files;                    // what its digest covers
    imatrix              *im;                       // NULL: none
    // planned
    tensor_map            map;
    gguf_plan            *plan;
    policy_tensor        *tensors;                  // [map.n]
    dtype                *types;                    // [map.n]
    dtype                *wanted;                   // [map.n], what they would be if every block fitted
    tensor_source        *sources;                  // [map.n]
    bool                  encodes;                  // a tensor becomes blocks
    // filled in at the end
    char                (*digests)[SHA256_HEX + 1]; // [map.n]
} job;

// ---- what is in the folder -----------------------------------------------------------------------------------------

// *v stays NULL where an optional file does not exist.
static bool read_json(cJSON **v, const char *dir, const char *name, bool required, err *e)
{
    char *path = path_join(dir, name);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    bool ok = true;
    if (required || file_exists(path)) ok = (*v = json_parse_file(path, e)) != NULL;
    free(path);
    return ok;
}

// Transformers with peft applies an adapter that lies beside weights, and takes its base model's weights for it.
static void note_adapter(const job *j)
{
    char *path = path_join(j->dir, "adapter_config.json");
    if (path && file_exists(path))
        progress_log(j->o->progress, "adapter_config.json: an adapter lies beside the weights; it is not applied to "
                                     "them");
    free(path);
}

// A window of Llama's and Qwen's architectures stands in the file, where llama.cpp does not look for it.
static void note_window(const hf_config *c, progress *log)
{
    const int64_t n = c->kind[KIND_SLIDING].n_layers;
    if (hf_is_gemma(c) || n == 0) return;
    progress_logf(log, "%lld of %lld layers see a window of %lld tokens, as in Transformers; llama.cpp does not look "
                  "at it: longer texts go on otherwise there", (long long)n, (long long)c->n_layer,
                  (long long)c->window);
}

// The one key by which a config can ask for the index where model.safetensors would be read.
static bool open_weights(job *j, const char *where, err *e)
{
    const char *named = cJSON_GetStringValue(json_get(j->config_json, "transformers_weights"));
    if (!(j->checkpoint = st_open_dir(j->dir, e))) return false;
    if (!named || !st_index_unread(j->checkpoint) || strcmp(named, "model.safetensors") == 0) return true;
    return err_set(e, ERR_INPUT,
                   "%s: transformers_weights: found '%.80s' beside a model.safetensors, expected one of them",
                   where, named);
}

static bool open_folder(job *j, err *e)
{
    char where[1100];
    if (!checkpoint_expect(j->dir, true, e) || !(j->files = source_files_list(j->dir, e))) return false;
    note_adapter(j);
    snprintf(where, sizeof where, "%s/config.json", j->dir);
    if (!read_json(&j->config_json, j->dir, "config.json", true, e)) return false;
    if (!hf_config_read(&j->config, j->config_json, where, e)) return false;
    config_keys_log(&j->config, j->config_json, where, j->o->progress);
    note_window(&j->config, j->o->progress);
    if (!read_json(&j->generation_json, j->dir, "generation_config.json", false, e)) return false;
    if (!read_json(&j->tokenizer_config_json, j->dir, "tokenizer_config.json", false, e)) return false;
    if (!read_json(&j->added_tokens_json, j->dir, "added_tokens.json", false, e)) return false;
    if (!read_json(&j->special_tokens_json, j->dir, "special_tokens_map.json", false, e)) return false;
    if (!open_weights(j, where, e)) return false;
    if (!tensor_map_settle_mtp(&j->config, j->checkpoint, j->o->no_mtp, j->o->progress, e)) return false;
    return !j->o->imatrix || (j->im = imatrix_open(j->o->imatrix, e)) != NULL;
}

// ---- metadata ------------------------------------------------------------------------------------------------------

static bool read_text(char **text, int64_t *n, const char *dir, const char *name, err *e)
{
    char *path = path_join(dir, name);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    bool ok = file_read_text(text, n, path, LIMIT_JSON_BYTES, e);
    free(path);
    return ok;
}

static bool plan_tokenizer(job *j, err *e)
{
    char   *text = NULL;
    int64_t n_text = 0;
    bool ok = read_text(&text, &n_text, j->dir, "tokenizer.json", e);
    if (ok) {
        tokenizer_source s = {
            .kind = j->config.arch->family->tokenizer, .model_type = j->config.arch->model_type,
            .text = text, .n_text = n_text, .tokenizer_config = j->tokenizer_config_json,
            .generation_config = j->generation_json, .config = j->config_json,
            .added_tokens = j->added_tokens_json, .special_tokens_map = j->special_tokens_json,
            .n_vocab = j->config.n_vocab, .suppress = j->config.arch->class == CLASS_GEMMA4_UNIFIED,
            .dir = j->dir, .log = j->o->progress,
        };
        ok = tokenizer_meta_plan(j->plan, &s, e);
    }
    free(text);
    return ok && chat_template_plan(j->plan, j->dir, j->tokenizer_config_json, j->o->progress, e);
}

static bool plan_metadata(job *j, err *e)
{
    const general_size size = { j->map.n_params, j->config.n_expert, j->map.n_expert_params };
    if (j->im && !j->encodes) progress_log(j->o->progress, IMATRIX_IDLE);
    if (j->im) imatrix_tell_experts(j->im, j->tensors, j->types, j->map.n, j->o->progress);
    return general_meta_plan(j->plan, j->config.arch->family->arch, j->dir, j->generation_json, &size, j->o->progress,
                             e)
        && config_plan_hparams(&j->config, j->plan, e)
        && gguf_plan_u32(j->plan, "general.file_type", (uint32_t)j->type->id, e)
        && gguf_plan_u32(j->plan, "general.quantization_version", QUANTIZATION_VERSION, e)
        && plan_tokenizer(j, e)
        && (!j->im || !j->encodes || imatrix_plan_keys(j->im, j->plan, e))
        && effort_plan_keys(j->plan, &j->o->effort, e);
}

// ---- tensors -------------------------------------------------------------------------------------------------------

// The policy speaks of the file that a quantizer would be given, and leaves some tensors as they are in it. That file
// is llama.cpp's converter's: F32 for vectors, norms, routers and convolutions, and else the type of the checkpoint, or
// the one that was asked for if that is a plain one.
static dtype type_before_policy(const job *j, const mapped_tensor *t)
{
    bool plain = j->type->base == DT_F32 || j->type->base == DT_F16 || j->type->base == DT_BF16;
    if (t->n_dims <= 1 || tensor_role_is_f32(t->role)) return DT_F32;
    if (plain) return j->type->base;
    // GGUF's readers know three plain types: what has another takes the narrowest of these that holds it, or F32.
    return t->src.type == DT_F64                                    ? DT_F32
           : t->src.type == DT_F8_E4M3 || t->src.type == DT_F8_E5M2 ? DT_BF16
                                                                    : t->src.type;
}

static bool choose_types(job *j, err *e)
{
    const hf_config *c = &j->config;
    policy_model m = {
        .arch = c->arch->family->arch, .n_layer = hf_n_blocks(c), .n_head = c->n_head, .n_head_kv = c->layer_kv[0],
        .n_expert = c->n_expert,
        .has_output = j->map.has_output, .has_imatrix = j->im != NULL,
        .overrides = j->o->overrides,
    };
    for (int64_t i = 0; i < j->map.n; i++) {
        const mapped_tensor *t = &j->map.t[i];
        policy_tensor *p = &j->tensors[i];
        *p = (policy_tensor){ .name = t->name, .type = type_before_policy(j, t), .n_dims = t->n_dims };
        for (int d = 0; d < LIMIT_DIMS; d++) p->shape[d] = d < t->n_dims ? t->shape[d] : 1;
    }
    const choice_opts o = { .type = j->o->type, .strict = j->o->strict_types, .log = j->o->progress, .model = &m };
    err why = { 0 };
    return choice_make(&o, j->tensors, j->map.n, j->types, j->wanted, &why) ||
           err_set(e, why.kind, "%s: %s", j->dir, why.msg);
}

static imatrix_reach reach_of(const hf_config *c)
{
    return (imatrix_reach){ .first_shared_kv = c->n_shared > 0 ? c->n_layer - c->n_shared : hf_n_blocks(c),
                            .first_mtp = c->n_layer };
}

static bool plan_tensors(job *j, err *e)
{
    const imatrix_reach reach = reach_of(&j->config);
    for (int64_t i = 0; i < j->map.n; i++) {
        const mapped_tensor *t = &j->map.t[i];
        j->sources[i] = t->src;
        j->sources[i].encoder = j->o->encoder;
        j->sources[i].allow_nonfinite = j->o->allow_nonfinite;
        j->encodes |= quantize_encodes(t->src.type, j->types[i]);
        if (!effort_for_tensor(&j->o->effort, t->name, t->n_dims, t->shape, &j->sources[i], e)) return false;
        err why = { 0 };
        if (!gguf_plan_tensor(j->plan, t->name, j->types[i], t->n_dims, t->shape, &why))
            return err_set(e, why.kind, "%s: %s", j->dir, why.msg);
        if (j->im && !imatrix_for_tensor(j->im, &j->tensors[i], j->types[i], reach, &j->sources[i].importance, e))
            return false;
    }
    return true;
}

static bool allocate(job *j, err *e)
{
    size_t n = (size_t)j->map.n;
    j->tensors = calloc(n, sizeof *j->tensors);
    j->types   = calloc(n, sizeof *j->types);
    j->wanted  = calloc(n, sizeof *j->wanted);
    j->sources = calloc(n, sizeof *j->sources);
    j->digests = calloc(n, sizeof *j->digests);
    return (j->tensors && j->types && j->wanted && j->sources && j->digests) ||
           err_nomem(e, "the list of tensors", n * sizeof *j->sources);
}

// ---- writing -------------------------------------------------------------------------------------------------------

// The digest of the source is taken while tensors are written: both read the same pages, through the same mapping.
static bool write_data(job *j, outfile *f, source_id *id, err *e)
{
    for (int i = 0; i < st_n_files(j->checkpoint); i++) source_files_mapped(j->files, st_file(j->checkpoint, i));
    digest_queue *q = source_files_queue(j->files, NULL, e);
    return q && write_tensors(j->plan, f, j->sources, j->o->n_threads, j->digests, q, j->o->progress, e)
        && source_files_digest(j->files, j->o->n_threads, id, e);
}

static bool set_source(job *j, const source_id *id, err *e)
{
    if (!gguf_plan_str(j->plan, KEY_HM_SOURCE_DIGEST, id->v2, e)) return false;
    return !source_files_differ(j->files) || gguf_plan_str(j->plan, KEY_HM_SOURCE_V1, id->v1, e);
}

static bool write_output(job *j, err *e)
{
    source_id id;
    int64_t header_bytes, file_bytes;
    if (!gguf_plan_layout(j->plan, &header_bytes, &file_bytes, e)) return false;
    outfile *f = outfile_open(j->out_path, file_bytes, e);
    if (!f) return false;
    progress_stage(j->o->progress, "convert", file_bytes - header_bytes);
    if (!write_data(j, f, &id, e) || !set_source(j, &id, e)
        || !claims_set_digests(j->plan, (const char (*)[SHA256_HEX + 1])j->digests, e)) {
        outfile_abort(f);
        return false;
    }
    progress_stage(j->o->progress, "flush", 0);
    return finish_gguf(j->plan, f, j->o->judge, j->dir, e);
}

// Digests are known at the end; until then text of the same size holds their place.
static bool plan_claims(job *j, err *e)
{
    char placeholder[SHA256_HEX + 1], revision[41];
    memset(placeholder, '0', SHA256_HEX);
    placeholder[SHA256_HEX] = 0;
    source_revision(j->dir, revision);
    const claims_source src = { .digest = placeholder,
                                .digest_v1 = source_files_differ(j->files) ? placeholder : NULL,
                                .revision = revision };
    return claims_plan(j->plan, j->type->label, &src, e);
}

static void close_job(job *j)
{
    gguf_plan_free(j->plan);
    tensor_map_free(&j->map);
    source_files_free(j->files);        // before what it has mapped
    st_close(j->checkpoint);
    imatrix_close(j->im);
    cJSON_Delete(j->config_json);
    cJSON_Delete(j->generation_json);
    cJSON_Delete(j->tokenizer_config_json);
    cJSON_Delete(j->added_tokens_json);
    cJSON_Delete(j->special_tokens_json);
    free(j->tensors);
    free(j->types);
    free(j->wanted);
    free(j->sources);
    free(j->digests);
}

// A destination that is one of the files the checkpoint consists of would replace what is being read.
static bool not_a_source(const job *j, err *e)
{
    const char *path;
    for (int64_t i = 0; (path = source_files_path(j->files, i)); i++)
        if (same_file(path, j->out_path))
            return err_set(e, ERR_USAGE, "%s: the output is a file of the checkpoint", j->out_path);
    return true;
}

static bool plan_all(job *j, err *e)
{
    if (j->o->no_mtp && !tensor_map_has_mtp(&j->config, j->checkpoint))
        progress_log(j->o->progress, "--no-mtp does nothing: no block of the checkpoint guesses the token after the "
                                     "next");
    return tensor_map_build(&j->map, j->checkpoint, &j->config, j->o->progress, e)
        && allocate(j, e)
        && (j->plan = gguf_plan_new(32, e)) != NULL
        && choose_types(j, e)
        && plan_tensors(j, e)
        && effort_check(&j->o->effort, j->encodes, e)
        && plan_metadata(j, e);
}

bool convert_checkpoint(const char *hf_dir, const char *out_path, const convert_opts *o, err *e)
{
    job j = { .dir = hf_dir, .out_path = out_path, .o = o, .type = file_type_of(o->type) };
    if (!j.type) return err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    bool ok = open_folder(&j, e) && not_a_source(&j, e) && plan_all(&j, e) && plan_claims(&j, e) && write_output(&j, e);
    close_job(&j);
    return ok;
}

bool convert_check(const char *hf_dir, const char *out_path, const convert_opts *o, err *e)
{
    job j = { .dir = hf_dir, .out_path = out_path, .o = o, .type = file_type_of(o->type) };
    int64_t header_bytes, file_bytes;
    if (!j.type) return err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    const bool ok = open_folder(&j, e) && not_a_source(&j, e) && plan_all(&j, e) &&
                    gguf_plan_layout(j.plan, &header_bytes, &file_bytes, e) &&
                    quantize_check_room(out_path, file_bytes, e);
    close_job(&j);
    return ok;
}

bool convert_preview(quantize_preview *v, const char *hf_dir, const convert_opts *o, err *e)
{
    job j = { .dir = hf_dir, .o = o, .type = file_type_of(o->type) };
    *v = (quantize_preview){ 0 };
    if (!j.type) return err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    bool ok = open_folder(&j, e) && plan_all(&j, e);
    for (int64_t i = 0; ok && i < j.map.n; i++) {
        const mapped_tensor *t = &j.map.t[i];
        ok = quantize_preview_add(v, t->name, t->src.type, j.types[i], j.wanted[i], t->n_dims, t->shape, e);
    }
    close_job(&j);
    if (!ok) quantize_preview_free(v);
    return ok;
}

bool convert_exact_type(file_type *t, const char *hf_dir, int n_threads, err *e)
{
    quantize_preview v;
    if (!convert_preview(&v, hf_dir, &(convert_opts){ .type = FT_BF16, .n_threads = n_threads }, e)) return false;
    *t = FT_BF16;
    for (int64_t i = 0; i < v.n; i++)
        if (v.rows[i].to == DT_BF16 && v.rows[i].from != DT_BF16) *t = FT_F32;
    quantize_preview_free(&v);
    return true;
}

// ---- the same checkpoint, and a file that may have been made from it -----------------------------------------------

// A tensor that is missing is derive_compare's to name.
static bool has_chosen_types(const job *j, const gguf *art, err *e)
{
    for (int64_t i = 0; i < j->map.n; i++) {
        const gguf_tensor *t = gguf_find_tensor(art, j->map.t[i].name);
        if (t && t->type != j->types[i])
            return err_set(e, ERR_VERDICT, "%s: tensor '%s': found type %s, expected %s, which is what %s makes of it",
                           gguf_path(art), t->name, dtype_name(t->type), dtype_name(j->types[i]), j->type->label);
    }
    return true;
}

// j is open, its tensors are mapped.
static bool derive_job(const job *j, const gguf *art, const derive_opts *o, err *e)
{
    derive_tensor *t = calloc((size_t)j->map.n + 1, sizeof *t);
    if (!t) return err_nomem(e, "the list of tensors", (size_t)j->map.n * sizeof *t);
    for (int64_t i = 0; i < j->map.n; i++) {
        const mapped_tensor *m = &j->map.t[i];
        t[i] = (derive_tensor){ .name = m->name, .n_dims = m->n_dims, .src = m->src };
        memcpy(t[i].shape, m->shape, sizeof t[i].shape);
    }
    const bool ok = derive_compare(art, t, j->map.n, j->im, reach_of(&j->config), o, e);
    free(t);
    return ok;
}

bool convert_derives(const gguf *art, const char *hf_dir, const derive_opts *o, err *e)
{
    const convert_opts c = { .imatrix = o->imatrix, .progress = o->progress, .no_mtp = config_mtp_of(art) == 0 };
    job j = { .dir = hf_dir, .o = &c };
    const bool ok = open_folder(&j, e) && tensor_map_build(&j.map, j.checkpoint, &j.config, o->progress, e) &&
                    derive_job(&j, art, o, e);
    close_job(&j);
    return ok;
}

bool convert_proves(const gguf *art, const char *hf_dir, const convert_opts *o, derive_found *found, err *e)
{
    const derive_opts d = { .effort = o->effort, .n_threads = o->n_threads, .progress = o->progress, .found = found };
    convert_opts quiet = *o;                // what the plan has to say was said when the file was made
    quiet.progress = NULL;
    quiet.no_mtp = config_mtp_of(art) == 0;
    job j = { .dir = hf_dir, .o = &quiet, .type = file_type_of(o->type) };
    if (!j.type) return err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    bool ok = open_folder(&j, e) && tensor_map_build(&j.map, j.checkpoint, &j.config, NULL, e) && allocate(&j, e);
    ok = ok && choose_types(&j, e) && has_chosen_types(&j, art, e) && derive_job(&j, art, &d, e);
    close_job(&j);
    return ok;
}

// ---- metadata alone -------------------------------------------------------------------------------------------------

const char *convert_architecture_of(const cJSON *config)
{
    hf_config *c = malloc(sizeof *c);
    err other = { 0 };
    const char *arch = c && hf_config_read(c, config, "a config", &other) ? c->arch->family->arch : NULL;
    free(c);
    return arch;
}

// The plan of a job, which is then the caller's; NULL where there is none.
static gguf_plan *take_plan(job *j, bool ok)
{
    gguf_plan *p = ok ? j->plan : NULL;
    if (ok) j->plan = NULL;
    close_job(j);
    return p;
}

gguf_plan *convert_plan_of_folder(const char *hf_dir, const convert_opts *o, err *e)
{
    convert_opts quiet = *o;                // what the plan has to say is said when the file is made
    quiet.progress = NULL;
    job j = { .dir = hf_dir, .o = &quiet, .type = file_type_of(o->type) };
    bool ok = j.type || err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    ok = ok && open_folder(&j, e) && tensor_map_build(&j.map, j.checkpoint, &j.config, NULL, e);
    ok = ok && (j.plan = gguf_plan_new(32, e)) != NULL && plan_metadata(&j, e);
    return take_plan(&j, ok);
}

// The artifact's own tensors, in its order: what the claims on types and caches follow from.
static bool plan_art_tensors(job *j, const gguf *art, err *e)
{
    for (int64_t i = 0; i < gguf_n_tensors(art); i++) {
        const gguf_tensor *t = gguf_tensor_at(art, i);
        j->encodes |= dtype_find(t->type)->block_weights > 1;       // a checkpoint holds no blocks
        if (!gguf_plan_tensor(j->plan, t->name, t->type, t->n_dims, t->shape, e)) return false;
    }
    return true;
}

// j's types are chosen.
static void find_other_types(convert_other_types *other, const job *j, const gguf *art)
{
    *other = (convert_other_types){ 0 };
    for (int64_t i = 0; i < j->map.n; i++) {
        const gguf_tensor *t = gguf_find_tensor(art, j->map.t[i].name);
        if (!t || t->type == j->types[i]) continue;
        if (other->n++ == 0) snprintf(other->first, sizeof other->first, "%s", t->name);
    }
}

gguf_plan *convert_plan_of_artifact(const gguf *art, const char *hf_dir, const convert_opts *o,
                                    const claims_source *source, convert_other_types *other, err *e)
{
    convert_opts quiet = *o;
    quiet.progress = NULL;
    quiet.no_mtp = config_mtp_of(art) == 0;
    job j = { .dir = hf_dir, .o = &quiet, .type = file_type_of(o->type) };
    bool ok = j.type || err_set(e, ERR_USAGE, "unknown file type %d", (int)o->type);
    ok = ok && open_folder(&j, e) && tensor_map_build(&j.map, j.checkpoint, &j.config, NULL, e) && allocate(&j, e);
    ok = ok && (j.plan = gguf_plan_new(32, e)) != NULL && plan_art_tensors(&j, art, e) && choose_types(&j, e);
    if (ok) find_other_types(other, &j, art);
    ok = ok && plan_metadata(&j, e) && claims_plan(j.plan, j.type->label, source, e);
    return take_plan(&j, ok);
}
