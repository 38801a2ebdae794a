// plan: see plan.h.
#include "plan.h"

#include "../convert/convert.h"
#include "../convert/sizes.h"
#include "../formats/checkpoint.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../runtime/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the tensors of a config ---------------------------------------------------------------------------------------

static bool list_of_config(model_plan *p, const hf_config *c, err *e)
{
    model_sizes  m;
    block_sizes *block = calloc((size_t)hf_n_blocks(c) + 1, sizeof *block);
    if (!block) return err_nomem(e, "the list of layers", (size_t)hf_n_blocks(c) * sizeof *block);
    sizes_of_config(&m, block, c);
    bool ok = tensors_list(&m, &p->entries, &p->n, e) && tensors_count(&m, p->entries, p->n, &p->counts, e);
    p->policy.n_layer    = m.n_block;
    p->policy.n_head     = c->n_head;
    p->policy.n_head_kv  = c->layer_kv[0];
    p->policy.n_expert   = c->n_expert;
    p->policy.has_output = !c->tied;
    if (!(p->arch = strdup(m.arch))) ok = err_nomem(e, "a name", strlen(m.arch));
    free(block);
    return ok;
}

// Metadata as convert would write it, in memory, for the reader of hyperparameters.
static bool hparams_of_config(model_plan *p, const cJSON *config, const char *where, err *e)
{
    gguf      *g = NULL;
    uint8_t   *bytes = NULL;
    gguf_plan *plan = convert_plan_of_config(config, where, e);
    bool ok = plan != NULL;
    if (ok && !gguf_plan_find(plan, "general.file_type")) ok = gguf_plan_u32(plan, "general.file_type", FT_BF16, e);
    ok = ok && (g = gguf_plan_open(plan, &bytes, where, e)) != NULL && hparams_read(&p->h, g, e);
    p->h.rope_freq_factors = NULL;          // of the mapping that is closed here
    gguf_plan_free(plan);
    gguf_close(g);
    free(bytes);
    return ok;
}

static bool open_config(model_plan *p, const char *path, err *e)
{
    hf_config *c = calloc(1, sizeof *c);
    cJSON     *config = json_parse_file(path, e);
    bool ok = config && (c || err_nomem(e, "a config", sizeof *c));
    ok = ok && hf_config_read(c, config, path, e);
    ok = ok && list_of_config(p, c, e) && hparams_of_config(p, config, path, e);
    cJSON_Delete(config);
    free(c);
    return ok;
}

// ---- the tensors of a file -----------------------------------------------------------------------------------------

// What counting looks at, of a file.
static bool sizes_of_file(const model_plan *p, const arch_facts *f, model_sizes *m, err *e)
{
    block_sizes *block = calloc((size_t)f->n_layer + 1, sizeof *block);
    if (!block) return err_nomem(e, "the list of layers", (size_t)f->n_layer * sizeof *block);
    for (int64_t i = f->first_mtp; i < f->n_layer; i++) block[i].mtp = true;
    *m = (model_sizes){ .arch = p->arch, .n_block = f->n_layer, .n_expert = p->h.n_expert,
                        .n_expert_used = p->h.n_expert_used, .tied = !p->policy.has_output, .block = block };
    return true;
}

static bool entry_of_tensor(tensor_entry *x, const gguf_tensor *t, const tensor_table *table, const arch_facts *f,
                            const char *path, err *e)
{
    *x = (tensor_entry){ .n_dims = t->n_dims, .n_elems = t->n_elems };
    snprintf(x->name, sizeof x->name, "%s", t->name);
    memcpy(x->shape, t->shape, sizeof x->shape);
    x->row = tensor_row_find(table, t->name, &x->block);
    if (x->row && x->block < f->n_layer) return true;
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found a name that architecture '%s' does not have", path, t->name,
                   table->arch);
}

static bool list_of_file(model_plan *p, const gguf *g, const arch_facts *f, err *e)
{
    const tensor_table *table = tensor_table_of(p->arch);
    model_sizes m;
    if (!table) return err_set(e, ERR_INPUT, "%s: architecture '%s': its tensors are not known", p->path, p->arch);
    p->n = gguf_n_tensors(g);
    p->entries = calloc((size_t)p->n + 1, sizeof *p->entries);
    if (!p->entries) return err_nomem(e, "the list of tensors", (size_t)p->n * sizeof *p->entries);
    if (!sizes_of_file(p, f, &m, e)) return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < p->n; i++)
        ok = entry_of_tensor(&p->entries[i], gguf_tensor_at(g, i), table, f, p->path, e);
    ok = ok && tensors_count(&m, p->entries, p->n, &p->counts, e);
    free((block_sizes *)(uintptr_t)m.block);
    return ok;
}

static bool open_file(model_plan *p, const char *path, err *e)
{
    arch_facts f;
    gguf *g = gguf_open(path, e);
    bool ok = g && gguf_get_cstr(g, "general.architecture", &p->arch, e) && arch_facts_read(&f, g, e) &&
              hparams_read(&p->h, g, e);
    p->from_file = true;
    if (ok) {
        p->h.rope_freq_factors = NULL;
        p->header_bytes = gguf_data_off(g);
        p->policy = (policy_model){ .n_layer = f.n_layer, .n_head = f.n_head, .n_head_kv = f.n_head_kv,
                                    .n_expert = f.n_expert,
                                    .has_output = gguf_find_tensor(g, "output.weight") != NULL };
        ok = gguf_n_tensors(g) > 0 || err_set(e, ERR_INPUT, "%s: found no tensors, expected a whole model", path);
    }
    ok = ok && list_of_file(p, g, &f, e);
    if (ok && !(p->tensors = calloc((size_t)p->n + 1, sizeof *p->tensors))) ok = err_nomem(e, "the list of tensors", 0);
    for (int64_t i = 0; ok && i < p->n; i++) {
        p->tensors[i].type = gguf_tensor_at(g, i)->type;
        p->quantized |= dtype_find(p->tensors[i].type)->block_weights > 1;
    }
    gguf_close(g);
    return ok;
}

// ---- opening -------------------------------------------------------------------------------------------------------

// By content, as inspect does.
static bool is_gguf(const char *path, bool *yes, err *e)
{
    file_map m = { 0 };
    if (!file_map_open(&m, path, e)) return false;
    *yes = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    file_map_close(&m);
    return true;
}

static bool open_path(model_plan *p, const char *path, err *e)
{
    bool file;
    if (dir_exists(path)) {
        char *config = path_join(path, "config.json");
        if (!config) return err_nomem(e, "a path", strlen(path));
        const bool ok = open_config(p, config, e);
        free(config);
        return ok;
    }
    if (!is_gguf(path, &file, e)) return false;
    return file ? open_file(p, path, e) : open_config(p, path, e);
}

// Types that a file of BF16 has, where there is no file.
static dtype plain_type(const tensor_entry *x)
{
    return x->n_dims < 2 || tensor_role_is_f32(x->row->role) ? DT_F32 : DT_BF16;
}

static bool fill_tensors(model_plan *p, err *e)
{
    if (!p->tensors) p->tensors = calloc((size_t)p->n + 1, sizeof *p->tensors);
    p->types = calloc((size_t)p->n + 1, sizeof *p->types);
    if (!p->tensors || !p->types) return err_nomem(e, "the list of tensors", (size_t)p->n * sizeof *p->tensors);
    for (int64_t i = 0; i < p->n; i++) {
        const tensor_entry *x = &p->entries[i];
        policy_tensor      *t = &p->tensors[i];
        if (!p->from_file) t->type = plain_type(x);
        t->name   = x->name;
        t->n_dims = x->n_dims;
        memcpy(t->shape, x->shape, sizeof t->shape);
    }
    p->policy.arch = p->arch;
    return true;
}

bool plan_open(model_plan *p, const char *path, err *e)
{
    memset(p, 0, sizeof *p);
    if (!(p->path = strdup(path))) return err_nomem(e, "a name", strlen(path));
    return open_path(p, path, e) && fill_tensors(p, e);
}

void plan_close(model_plan *p)
{
    hparams_free(&p->h);
    free(p->path);
    free(p->arch);
    free(p->entries);
    free(p->tensors);
    free(p->types);
    memset(p, 0, sizeof *p);
}

// ---- weights -------------------------------------------------------------------------------------------------------

static bool choose(const model_plan *p, file_type ft, err *e)
{
    err why = { 0 };
    if (p->quantized || policy_choose(ft, &p->policy, p->tensors, p->n, p->types, &why)) return true;
    return err_set(e, why.kind, "%s: %s", p->path, why.msg);
}

static dtype chosen(const model_plan *p, int64_t i) { return p->quantized ? p->tensors[i].type : p->types[i]; }

bool plan_weights(const model_plan *p, file_type ft, int64_t *bytes, err *e)
{
    *bytes = 0;
    if (!choose(p, ft, e)) return false;
    for (int64_t i = 0; i < p->n; i++) {
        const policy_tensor *t = &p->tensors[i];
        int64_t n, end;
        const bool fits = dtype_bytes(chosen(p, i), t->n_dims, t->shape, &n) &&
                          add_i64(*bytes, n, &end) && add_i64(end, 31, &end);
        if (!fits) return err_set(e, ERR_INPUT, "%s: tensor '%s': its size does not fit 63 bits", p->path, t->name);
        *bytes = end / 32 * 32;
    }
    return true;
}

// ---- another reader -------------------------------------------------------------------------------------------------

// Transformers 5.24, integrations/gguf/dequant.py: it has an own table of types for these architectures, and reads all
// others by gguf-py, which knows every type of file_type_table.
bool plan_judges_reader(const model_plan *p)
{
    return strcmp(p->arch, "qwen35") == 0 || strcmp(p->arch, "qwen35moe") == 0;
}

bool plan_refused(const model_plan *p, file_type ft, plan_refusals *r, err *e)
{
    static const dtype lacking[PLAN_REFUSED] = { DT_Q5_0, DT_Q5_1 };
    *r = (plan_refusals){ 0 };
    if (!plan_judges_reader(p)) return true;
    if (!choose(p, ft, e)) return false;
    for (int k = 0; k < PLAN_REFUSED; k++) {
        int64_t i = 0;
        while (i < p->n && chosen(p, i) != lacking[k]) i++;
        if (i < p->n) r->types[r->n++] = lacking[k];
    }
    return true;
}

// ---- caches and states ---------------------------------------------------------------------------------------------

bool plan_cache_of(const model_plan *p, const kv_spec *kv, int64_t n_ctx, memory_plan *c, err *e)
{
    return memory_plan_of(c, &p->h, kv, kv_arith_of(&p->h), n_ctx, PLAN_BATCH, e);
}

bool plan_longest(const model_plan *p, const kv_spec *kv, int64_t weights, int64_t memory, int64_t *n_ctx, err *e)
{
    int64_t lo = 0, hi = p->h.n_ctx_train;          // lo fits, or is 0; above hi nothing does
    while (lo < hi) {
        const int64_t mid = hi - (hi - lo) / 2;
        memory_plan c;
        if (!plan_cache_of(p, kv, mid, &c, e)) return false;
        const int64_t room = memory - weights;
        if (room >= 0 && c.kv_bytes <= room && c.state_bytes <= room - c.kv_bytes) lo = mid;
        else hi = mid - 1;
    }
    *n_ctx = lo;
    return true;
}
