#include "general_meta.h"

#include "../formats/file_map.h"
#include "../formats/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- name -------------------------------------------------------------------------------------------------------------

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

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

// A word that gets capitals: some lower-case letter, no upper-case one, and neither a number nor a version ("v1.2").
static bool wants_title(const char *w, size_t n)
{
    bool lower = false, version = n > 1 && w[0] == 'v';
    if (n == 0 || is_digit(w[0])) return false;
    for (size_t i = 0; i < n; i++) {
        if (is_upper(w[i])) return false;
        lower = lower || is_lower(w[i]);
        if (i > 0 && !is_digit(w[i]) && w[i] != '.') version = false;
    }
    return lower && !version;
}

void general_meta_title(const char *id, char *out)
{
    size_t n_out = 0;
    for (const char *w = id; *w; ) {
        size_t n = strcspn(w, "- ");
        bool   title = wants_title(w, n);
        if (n && n_out) out[n_out++] = ' ';
        for (size_t i = 0; i < n; i++) {
            bool first = i == 0 || !(is_lower(w[i - 1]) || is_upper(w[i - 1]));
            out[n_out++] = title && first && is_lower(w[i]) ? (char)(w[i] - 'a' + 'A') : w[i];
        }
        w += n + (w[n] != 0);
    }
    out[n_out] = 0;
}

void general_meta_size_label(int64_t n_params, char out[16])
{
    static const struct { double above; double unit; const char *suffix; } rows[] = {
        { 1e12, 1e-12, "T" }, { 1e9, 1e-9, "B" }, { 1e6, 1e-6, "M" }, { 0, 1e-3, "K" },
    };
    int i = 0;
    while (rows[i].above > 0 && !((double)n_params > rows[i].above)) i++;
    double v = (double)n_params * rows[i].unit;
    char whole[32];
    snprintf(whole, sizeof whole, "%.0f", v);
    int digits = whole[0] == '0' ? 0 : (int)strlen(whole);
    snprintf(out, 16, "%.*f%s", digits < 2 ? 2 - digits : 0, v, rows[i].suffix);
}

// ---- license ------------------------------------------------------------------------------------------------------------

// A plain "key: value" line of the front matter of README.md (YAML between two lines "---"), copied to out; false if there is none.
// Only what needs no YAML parser is taken: nothing quoted, nested or listed.
static bool front_matter(const char *text, const char *key, char *out, size_t n_out)
{
    size_t n_key = strlen(key);
    if (strncmp(text, "---\n", 4) != 0) return false;
    for (const char *line = text + 4; *line && strncmp(line, "---", 3) != 0; ) {
        size_t n = strcspn(line, "\n");
        if (n > n_key + 2 && n - n_key - 2 < n_out && strncmp(line, key, n_key) == 0 && strncmp(line + n_key, ": ", 2) == 0) {
            const char *v = line + n_key + 2, *end = line + n;
            while (end > v && (end[-1] == ' ' || end[-1] == '\r')) end--;
            snprintf(out, n_out, "%.*s", (int)(end - v), v);
            return *out && !strpbrk(out, "\"'[]{}#&*!|>%@`");
        }
        line += n + (line[n] != 0);
    }
    return false;
}

static bool plan_license(gguf_plan *p, const char *hf_dir, err *e)
{
    static const struct { const char *yaml, *key; } rows[] = {
        { "license", "general.license" }, { "license_name", "general.license.name" }, { "license_link", "general.license.link" },
    };
    bool    ok = true;
    char   *text = NULL, *path = path_join(hf_dir, "README.md"), value[512];
    int64_t n;
    if (!path) return err_nomem(e, "a path", strlen(hf_dir));
    if (file_exists(path)) ok = file_read_text(&text, &n, path, (int64_t)16 << 20, e);
    for (int i = 0; ok && text && i < 3; i++)
        if (front_matter(text, rows[i].yaml, value, sizeof value)) ok = gguf_plan_str(p, rows[i].key, value, e);
    free(text);
    free(path);
    return ok;
}

// ---- sampling -------------------------------------------------------------------------------------------------------------

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
        if (rows[i].is_int && !json_i64(g, rows[i].name, INT32_MIN, INT32_MAX, &n, "generation_config.json", e)) return false;
        if (!(rows[i].is_int ? gguf_plan_i32(p, rows[i].key, (int32_t)n, e) : gguf_plan_f32(p, rows[i].key, (float)v->valuedouble, e)))
            return false;
    }
    return true;
}

bool general_meta_plan(gguf_plan *p, const char *arch, const char *hf_dir, const cJSON *generation_config, int64_t n_params, err *e)
{
    char id[PATH_MAX], title[PATH_MAX], label[16];
    if (!general_meta_model_id(hf_dir, id, sizeof id, e)) return false;
    general_meta_title(id, title);
    general_meta_size_label(n_params, label);
    return gguf_plan_str(p, "general.architecture", arch, e)
        && gguf_plan_str(p, "general.type", "model", e)
        && plan_sampling(p, generation_config, e)
        && gguf_plan_str(p, "general.name", title, e)
        && gguf_plan_str(p, "general.size_label", label, e)
        && plan_license(p, hf_dir, e);
}
