// hf_arg: a command's HF argument: a folder, or the id of a model in the local Hub cache.
#define _GNU_SOURCE
#include "cli.h"
#include "../formats/checkpoint.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/hub_cache.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// A page's address is no id, but it holds one.
static bool is_address(const char *arg, err *e)
{
    static const char *const HOSTS[] = {
        "https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "hf://", "huggingface.co/",
    };
    for (size_t i = 0; i < sizeof HOSTS / sizeof HOSTS[0]; i++) {
        const size_t n = strlen(HOSTS[i]);
        if (strncmp(arg, HOSTS[i], n) != 0) continue;
        const char *id = arg + n, *slash = strchr(id, '/');
        const char *end = slash ? slash + 1 + strcspn(slash + 1, "/?#") : id + strlen(id);
        err_set(e, ERR_INPUT, "%s: found an address, expected a folder or the id of a model: give %.*s", arg,
                (int)(end - id), id);
        return true;
    }
    return false;
}

// A file that is not there is no model that is not there.
static bool looks_like_a_file(const char *arg)
{
    static const char *const SUFFIXES[] = { ".gguf", ".safetensors", ".json", ".gz", ".bin", ".pth", ".pt", ".zip" };
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof SUFFIXES[0]; i++)
        if (text_ends_with(arg, SUFFIXES[i])) return true;
    return false;
}

static char *local(const command *c, const char *arg, const char *revision, err *e)
{
    char *path = NULL;
    if (revision)
        err_set(e, ERR_USAGE, "option --revision: found the folder %s, expected the id of a model in the Hub cache",
                arg);
    else if (!(path = strdup(arg)))
        err_nomem(e, "a path", strlen(arg));
    else if (hub_is_id(arg) && strchr(arg, '/') && hub_has(arg))
        cli_note(c, "%s is here; the model of this id in the Hub cache is not looked at", arg);
    return path;
}

char *hf_path(const command *c, const char *arg, const char *revision, err *e)
{
    struct stat st;
    char *path = NULL;
    if (lstat(arg, &st) == 0) return local(c, arg, revision, e);
    if (errno != ENOENT && errno != ENOTDIR) {
        err_errno(e, true, arg, "open");
    } else if (hub_is_id(arg) && !looks_like_a_file(arg)) {
        path = hub_find(arg, revision, e);
        if (path) cli_note(c, "%s is %s", arg, path);
    } else if (!is_address(arg, e)) {
        err_set(e, ERR_INPUT, "%s: found no file or folder of this name", arg);
    }
    return path;
}

char *hf_folder(const command *c, const char *arg, const char *revision, bool with_weights, err *e)
{
    char *path = hf_path(c, arg, revision, e);
    if (!path || checkpoint_expect(path, with_weights, e)) return path;
    free(path);
    return NULL;
}

char *hf_source(const command *c, const char *arg, const char *revision, err *e)
{
    if (!file_exists(arg) || revision) return hf_folder(c, arg, revision, true, e);
    char *path = strdup(arg);
    if (!path) err_nomem(e, "a path", strlen(arg));
    return path;
}
