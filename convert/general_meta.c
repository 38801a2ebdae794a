#include "general_meta.h"

#include "../formats/json.h"
#include "../formats/text_file.h"
#include "model_card.h"
#include "model_id.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- name -----------------------------------------------------------------------------------------------------------

// <cache>/models--org--name/snapshots/<commit>: the repository's name stands two folders up.
static const char *hub_name(char *path)
{
    char *commit = strrchr(path, '/');
    if (!commit || strlen(commit + 1) != 40) return NULL;
    *commit = 0;
    char *snapshots = strrchr(path, '/');
    bool  found = snapshots && strcmp(snapshots, "/snapshots") == 0;
    if (found) *snapshots = 0;
    char *repo = found ? strrchr(path, '/') : NULL;
    if (repo && strncmp(repo, "/models--", 9) == 0) {
        char *name = strstr(repo + 9, "--");
        return name ? name + 2 : repo + 9;
    }
    if (found) *snapshots = '/';
    *commit = '/';
    return NULL;
}

bool general_meta_model_id(const char *hf_dir, char *out, size_t n_out, err *e)
{
    char *path = realpath(hf_dir, NULL);        // "." and symbolic links have names too
    if (!path) return err_errno(e, true, hf_dir, "open");
    const char *name = hub_name(path), *slash = strrchr(path, '/');
    if (!name) name = slash ? slash + 1 : path;
    snprintf(out, n_out, "%s", name);
    free(path);
    return true;
}

// What the folder is called, as a title: a name is for people, so bytes that are no UTF-8 become U+FFFD.
static bool plan_name(gguf_plan *p, const char *hf_dir, progress *log, err *e)
{
    char    id[PATH_MAX];
    int64_t n_bad;
    if (!general_meta_model_id(hf_dir, id, sizeof id, e)) return false;
    char *text = utf8_mended(id, (int64_t)strlen(id), &n_bad), *title = text ? model_id_title(text) : NULL;
    if (n_bad)
        progress_logf(log, "general.name: bytes of the folder's name that are not UTF-8 (%lld) become U+FFFD",
                      (long long)n_bad);
    bool ok = title ? gguf_plan_str(p, "general.name", title, e) : err_nomem(e, "a name", strlen(id));
    free(text);
    free(title);
    return ok;
}

void general_meta_size_label(const general_size *size, char out[32])
{
    const int64_t one_expert = size->n_expert > 0 ? size->n_expert_params / size->n_expert : 0;
    const int64_t n_params = size->n_params - size->n_expert_params + one_expert;
    static const struct { double above; double unit; const char *suffix; } rows[] = {
        { 1e12, 1e-12, "T" }, { 1e9, 1e-9, "B" }, { 1e6, 1e-6, "M" }, { 0, 1e-3, "K" },
    };
    int i = 0;
    while (rows[i].above > 0 && !((double)n_params > rows[i].above)) i++;
    double v = (double)n_params * rows[i].unit;
    char whole[32];
    snprintf(whole, sizeof whole, "%.0f", v);
    int digits = whole[0] == '0' ? 0 : (int)strlen(whole);
    char many[16] = "";
    if (size->n_expert > 0) snprintf(many, sizeof many, "%dx", (int)size->n_expert);
    snprintf(out, 32, "%s%.*f%s", many, digits < 2 ? 2 - digits : 0, v, rows[i].suffix);
}

// ---- sampling -------------------------------------------------------------------------------------------------------

// What generation_config.json recommends, under the keys of gguf-py's Metadata.
static bool plan_sampling(gguf_plan *p, const cJSON *g, err *e)
{
    static const struct { const char *name, *key; bool is_int; } rows[] = {
        { "top_k", "general.sampling.top_k", true }, { "top_p", "general.sampling.top_p", false },
        { "min_p", "general.sampling.min_p", false }, { "temperature", "general.sampling.temp", false },
        { "repetition_penalty", "general.sampling.penalty_repeat", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const cJSON *v = json_get(g, rows[i].name);
        int64_t n;
        if (!cJSON_IsNumber(v)) continue;
        if (rows[i].is_int && !json_i64(g, rows[i].name, INT32_MIN, INT32_MAX, &n, "generation_config.json", e))
            return false;
        if (!(rows[i].is_int ? gguf_plan_i32(p, rows[i].key, (int32_t)n, e)
                             : gguf_plan_f32(p, rows[i].key, (float)v->valuedouble, e)))
            return false;
    }
    return true;
}

bool general_meta_plan(gguf_plan *p, const char *arch, const char *hf_dir, const cJSON *generation_config,
                       const general_size *size, progress *log, err *e)
{
    char label[32];
    general_meta_size_label(size, label);
    return gguf_plan_str(p, "general.architecture", arch, e)
        && gguf_plan_str(p, "general.type", "model", e)
        && plan_sampling(p, generation_config, e)
        && plan_name(p, hf_dir, log, e)
        && gguf_plan_str(p, "general.size_label", label, e)
        && model_card_plan(p, hf_dir, size->n_params, log, e);
}
