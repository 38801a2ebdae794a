#define _GNU_SOURCE
#include "checkpoint.h"
#include "dir_list.h"
#include "file_kind.h"
#include "file_map.h"
#include "hub_cache.h"
#include "json.h"
#include "source.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX  "model.safetensors.index.json"
#define ONE    "model.safetensors"
#define WANTED "expected config.json and " ONE " or " INDEX

typedef struct {
    const char *path;       // as it was given
    dir_list    names;      // in the folder
    bool        config, weights;
    const char *missing;    // "config.json", or the weights
} folder;

// What a folder turns out to be: true where it is that, with e set.
typedef bool (*diagnosis)(const folder *f, err *e);

static const char *first_with(const folder *f, const char *const *suffixes)
{
    for (int i = 0; i < f->names.n; i++)
        for (int k = 0; suffixes[k]; k++)
            if (text_ends_with(f->names.v[i], suffixes[k])) return f->names.v[i];
    return NULL;
}

static int count_with(const folder *f, const char *suffix)
{
    int n = 0;
    for (int i = 0; i < f->names.n; i++) n += text_ends_with(f->names.v[i], suffix);
    return n;
}

// One word of a command; malloc'd.
static char *shell_word(const char *s)
{
    text_buf t = { 0 };
    text_puts(&t, TEXT_SHELL, s);
    return text_take(&t);
}

// ---- a Hub cache ----------------------------------------------------------------------------------------------------

static bool is_repository(const folder *f, err *e)
{
    char *up = path_join(f->path, ".."), *real = realpath(f->path, NULL);
    const char *base = real && strrchr(real, '/') ? strrchr(real, '/') + 1 : "";
    const bool  here  = dir_list_has(&f->names, "snapshots") || strncmp(base, "models--", 8) == 0;
    const bool  below = !f->config && strcmp(base, "snapshots") == 0;
    char *snapshot = here ? hub_choose_snapshot(f->path) : below && up ? hub_choose_snapshot(up) : NULL;
    char *hint = hub_download_hint(f->path);
    if (snapshot)
        err_set(e, ERR_INPUT, "%s: found a model's folder of a Hub cache, expected one of its snapshots: give %s",
                f->path, snapshot);
    else if ((here || below) && hint)
        err_set(e, ERR_INPUT, "%s: found a model's folder of a Hub cache, without a snapshot%s", f->path, hint);
    free(up);
    free(real);
    free(snapshot);
    free(hint);
    return here || below;
}

static bool is_cache(const folder *f, err *e)
{
    for (int i = 0; i < f->names.n; i++) {
        char *id = strncmp(f->names.v[i], "models--", 8) == 0 ? hub_id_of(f->names.v[i]) : NULL;
        if (!id) continue;
        err_set(e, ERR_INPUT, "%s: found a Hub cache, expected one model: give its id, such as '%s'", f->path, id);
        free(id);
        return true;
    }
    return false;
}

// ---- other things ---------------------------------------------------------------------------------------------------

static bool is_empty(const folder *f, err *e)
{
    return f->names.n == 0 && !err_set(e, ERR_INPUT, "%s: found an empty folder, " WANTED, f->path);
}

static bool is_adapter(const folder *f, err *e)
{
    err         unread = { 0 };
    const char *base   = NULL;
    const bool has_config = dir_list_has(&f->names, "adapter_config.json");
    if (!has_config && !dir_list_has(&f->names, "adapter_model.safetensors")) return false;
    char  *path   = path_join(f->path, "adapter_config.json");
    cJSON *config = path && file_exists(path) ? json_parse_file(path, &unread) : NULL;
    const cJSON *name = json_get(config, "base_model_name_or_path");
    if (cJSON_IsString(name)) base = name->valuestring;
    err_set(e, ERR_INPUT, "%s: found an adapter (LoRA), which is no model of its own, " WANTED "; "
            "merge it into its base model%s%s first: peft's merge_and_unload(), then save_pretrained() of model and "
            "tokenizer", f->path, base ? " " : "", base ? base : "");
    cJSON_Delete(config);
    free(path);
    return true;
}

static bool is_other_framework(const folder *f, err *e)
{
    static const char *const SUFFIXES[] = {
        ".bin", ".bin.index.json", ".pth", ".pt", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz", NULL,
    };
    const char *name = first_with(f, SUFFIXES);
    if (!name) return false;
    char *word = shell_word(f->path);
    if (word)
        err_set(e, ERR_INPUT, "%s: found %s and no safetensors, " WANTED "; Transformers writes them: "
                "python3 -c \"import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
                "[c.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2]) for c in (M, T)]\" %s NEW_DIR",
                f->path, name, word);
    else err_nomem(e, "a message", 0);
    free(word);
    return true;
}

static bool is_gguf_folder(const folder *f, err *e)
{
    static const char *const SUFFIXES[] = { ".gguf", NULL };
    const char *name = first_with(f, SUFFIXES);
    const int   n    = count_with(f, ".gguf");
    return name && !err_set(e, ERR_INPUT, "%s: found %d GGUF file%s (%s), expected a Hugging Face checkpoint; "
                            "'hallmark quantize' makes another type of a GGUF file", f->path, n, n == 1 ? "" : "s",
                            name);
}

static bool is_unfinished(const folder *f, err *e)
{
    static const char *const SUFFIXES[] = {
        ".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download", NULL,
    };
    const char *name = first_with(f, SUFFIXES);
    if (!name) return false;
    char *hint = hub_download_hint(f->path);
    if (hint)
        err_set(e, ERR_INPUT, "%s: found '%s', a download that did not end, and no %s%s", f->path, name, f->missing,
                hint);
    free(hint);
    return true;
}

static bool is_misnamed(const folder *f, err *e)
{
    static const char *const SUFFIXES[] = { ".safetensors", NULL };
    const char *name = first_with(f, SUFFIXES);
    if (!name || f->weights) return false;
    if (strstr(name, "-of-"))
        return !err_set(e, ERR_INPUT, "%s: found '%s' and no " INDEX ", which says what is in which file: fetch it "
                        "from where they come from", f->path, name);
    return !err_set(e, ERR_INPUT, "%s: found '%s', expected " ONE " or " INDEX, f->path, name);
}

static bool is_above(const folder *f, err *e)
{
    bool found = false;
    for (int i = 0; i < f->names.n && !found && !f->config; i++) {
        char *sub = path_join(f->path, f->names.v[i]), *config = sub ? path_join(sub, "config.json") : NULL;
        found = config && dir_exists(sub) && file_exists(config);
        if (found)
            err_set(e, ERR_INPUT, "%s: found no %s, but a checkpoint in a folder below: give %s", f->path, f->missing,
                    sub);
        free(sub);
        free(config);
    }
    return found;
}

static bool is_without(const folder *f, err *e)
{
    char *hint = hub_download_hint(f->path);
    if (!hint) return err_nomem(e, "a message", 0);
    if (f->config)
        err_set(e, ERR_INPUT, "%s: found config.json and no weights, expected " ONE " or " INDEX "%s", f->path, hint);
    else if (f->weights)
        err_set(e, ERR_INPUT, "%s: found weights and no config.json, which says what they are%s", f->path, hint);
    else
        err_set(e, ERR_INPUT, "%s: found none of a checkpoint's files, " WANTED "%s", f->path, hint);
    free(hint);
    return true;
}

static bool diagnose(const folder *f, err *e)
{
    static const diagnosis EACH[] = {
        is_empty, is_repository, is_cache, is_adapter, is_misnamed, is_other_framework, is_gguf_folder, is_unfinished,
        is_above, is_without,
    };
    for (size_t i = 0; i < sizeof EACH / sizeof EACH[0]; i++)
        if (EACH[i](f, e)) break;
    return false;
}

// ---- no folder ------------------------------------------------------------------------------------------------------

static bool not_a_folder(const char *path, err *e)
{
    const char *kind = file_kind_of_path(path), *slash = strrchr(path, '/');
    char       *dir  = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!dir) return err_nomem(e, "a path", strlen(path));
    if (!file_exists(path)) err_set(e, ERR_INPUT, "%s: found no folder of this name", path);
    else if (file_at_is_no_pointer(path, e)) {
        if (kind && strcmp(kind, "a GGUF file") == 0)
            err_set(e, ERR_INPUT, "%s: found a GGUF file, expected a Hugging Face folder; 'hallmark quantize' makes "
                    "another type of a GGUF file", path);
        else if (text_ends_with(path, ".safetensors") || text_ends_with(path, ".json"))
            err_set(e, ERR_INPUT, "%s: found %s, expected the folder that holds it beside the checkpoint's other "
                    "files: give %s", path, kind ? kind : "a file", dir);
        else
            err_set(e, ERR_INPUT, "%s: found %s, expected a Hugging Face folder", path, kind ? kind : "a file");
    }
    free(dir);
    return false;
}

bool checkpoint_expect(const char *path, bool with_weights, err *e)
{
    if (!dir_exists(path)) return not_a_folder(path, e);
    folder f = { .path = path };
    bool   ok = dir_list_read(&f.names, path, NULL, false, e);
    f.config  = dir_list_has(&f.names, "config.json");
    f.weights = dir_list_has(&f.names, ONE) || dir_list_has(&f.names, INDEX);
    f.missing = f.config ? ONE " or " INDEX : "config.json";
    if (ok && !(f.config && (f.weights || !with_weights))) ok = diagnose(&f, e);
    dir_list_free(&f.names);
    return ok;
}

// ---- links ----------------------------------------------------------------------------------------------------------

static bool leads_nowhere(const char *path, err *e)
{
    char    target[512];
    ssize_t n = readlink(path, target, sizeof target - 1);
    char   *hint = hub_download_hint(path);
    target[n < 0 ? 0 : n] = '\0';
    if (hint) err_set(e, ERR_INPUT, "%s: is a link to %s, which is not there%s", path, target, hint);
    else err_nomem(e, "a message", 0);
    free(hint);
    return false;
}

static bool is_below(const char *path, const char *base)
{
    const size_t n = strlen(base);
    return strncmp(path, base, n) == 0 && (path[n] == '/' || n == 1);
}

// base: the folder without links.
static bool check_link(const char *base, const char *dir, const char *name, err *e)
{
    struct stat st;
    char *path = path_join(dir, name), *real = NULL;
    bool  ok   = path || err_nomem(e, "a path", strlen(dir));
    const bool there = ok && lstat(path, &st) == 0;
    if (there) real = realpath(path, NULL);
    if (there && !real) ok = S_ISLNK(st.st_mode) ? leads_nowhere(path, e) : err_errno(e, true, path, "open");
    if (real && !is_below(real, base) && !hub_is_blob_of(real, base))
        ok = err_set(e, ERR_INPUT, "%s: leads to %s, out of the checkpoint's folder, expected a file in it (or in a "
                     "Hub cache's blobs/); copy the file there if it belongs to it", path, real);
    free(path);
    free(real);
    return ok;
}

static bool check_links_of(const char *base, const char *dir, const char *sub, err *e)
{
    dir_list names = { 0 };
    char    *folder_path = sub ? path_join(dir, sub) : strdup(dir);
    bool     ok = folder_path || err_nomem(e, "a path", strlen(dir));
    ok = ok && dir_list_read(&names, folder_path, sub ? ".jinja" : NULL, sub != NULL, e);
    for (int i = 0; ok && i < names.n; i++)
        if (sub || source_lists(names.v[i])) ok = check_link(base, folder_path, names.v[i], e);
    dir_list_free(&names);
    free(folder_path);
    return ok;
}

bool checkpoint_keeps_to_itself(const char *dir, err *e)
{
    char *base = realpath(dir, NULL), *card = path_join(dir, "README.md");
    bool  ok   = base && card ? true : err_errno(e, true, dir, "open the folder");
    ok = ok && check_links_of(base, dir, NULL, e) && check_links_of(base, dir, SOURCE_TEMPLATES, e);
    if (ok && file_exists(card)) ok = check_link(base, dir, "README.md", e);
    free(base);
    free(card);
    return ok;
}
