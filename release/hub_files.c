#include "hub_files.h"
#include "../formats/digest_queue.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include "../verify/record.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

// ---- licenses ------------------------------------------------------------------------------------------------------

bool hub_is_license(const char *name)
{
    static const char *const BEGINNINGS[] = { "LICENSE", "LICENCE", "NOTICE", "USE_POLICY" };
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof BEGINNINGS[0]; i++) {
        const size_t n = strlen(BEGINNINGS[i]);
        if (strncasecmp(name, BEGINNINGS[i], n) == 0 && !text_ends_with(name, ".gguf")) return true;
    }
    return false;
}

static bool check_license(const char *path, const char *name, err *e)
{
    struct stat st;
    if (stat(path, &st) != 0) return err_errno(e, true, path, "look at");
    if (st.st_size > HUB_LICENSE_BYTES)
        return err_set(e, ERR_INPUT, "%s: found %lld bytes, expected at most %d of a license", path,
                       (long long)st.st_size, (int)HUB_LICENSE_BYTES);
    return record_file_is(name)
        || err_set(e, ERR_INPUT, "%s: found a license of this name, which a release cannot list: it is not on one line",
                   path);
}

// Keeps name where it is a license, and a file; frees it otherwise.
static bool keep(dir_list *l, int *n, const char *hf_dir, char *name, err *e)
{
    char *path = hub_is_license(name) ? path_join(hf_dir, name) : NULL;
    const bool there = path && file_exists(path);
    const bool ok = !there || check_license(path, name, e);
    free(path);
    if (there && ok) l->v[(*n)++] = name;
    else             free(name);
    return ok;
}

bool hub_licenses(dir_list *l, const char *hf_dir, err *e)
{
    int  n  = 0;
    bool ok = dir_list_read(l, hf_dir, NULL, false, e);
    for (int i = 0; i < l->n; i++) {
        char *name = l->v[i];
        if (ok) ok = keep(l, &n, hf_dir, name, e);
        else    free(name);
    }
    l->n = n;
    return ok && (n <= HUB_MOST_LICENSES
                  || err_set(e, ERR_INPUT, "%s: found %d licenses, expected at most %d", hf_dir, n,
                             (int)HUB_MOST_LICENSES));
}

bool hub_license_copy(const char *hf_dir, const char *dir, const char *name, err *e)
{
    char   *from = path_join(hf_dir, name), *to = path_join(dir, name), *text = NULL;
    int64_t n;
    bool    ok = (from && to) || err_nomem(e, "a path", strlen(dir));
    ok = ok && file_read_text(&text, &n, from, HUB_LICENSE_BYTES, e) && outfile_write_whole(to, text, n, e);
    free(text);
    free(to);
    free(from);
    return ok;
}

// ---- git -----------------------------------------------------------------------------------------------------------

// The kinds that the Hub's own file names, in its order, and behind them those that only a release has.
static const char *const LFS[] = {
    "*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib", "*.lfs.*", "*.mlmodel",
    "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot", "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt",
    "*.pth", "*.rar", "*.safetensors", "saved_model/**/*", "*.tar.*", "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz",
    "*.zip", "*.zst", "*tfevents*", "*.gguf", "*.dat", "*.imatrix",
};

char *hub_attributes(void)
{
    text_buf t = { 0 };
    for (size_t i = 0; i < sizeof LFS / sizeof LFS[0]; i++)
        text_printf(&t, "%s filter=lfs diff=lfs merge=lfs -text\n", LFS[i]);
    return text_take(&t);
}

// ---- digests -------------------------------------------------------------------------------------------------------

// As sha256sum writes it: where a name holds a backslash the line begins with one, and it is doubled.
static void put_sum(text_buf *t, const char *hex, const char *name)
{
    text_printf(t, "%s%s  ", strchr(name, '\\') ? "\\" : "", hex);
    for (const char *c = name; *c; c++) {
        if (*c == '\\') text_words(t, "\\");
        text_raw(t, c, 1);
    }
    text_words(t, "\n");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const hub_sum *)a)->name, ((const hub_sum *)b)->name);
}

// Adds the files whose digests are not known. paths: [n], theirs, which the queue borrows and the caller frees.
static bool queue_unknown(digest_queue *q, char **paths, const char *dir, const hub_sum *files, int n, err *e)
{
    for (int i = 0; i < n; i++) {
        if (files[i].sha256[0]) continue;
        if (!(paths[i] = path_join(dir, files[i].name))) return err_nomem(e, "a path", strlen(dir));
        digest_queue_add_file(q, paths[i], files[i].name);
    }
    return true;
}

static bool digest_unknown(const char *dir, hub_sum *files, int n, int n_threads, progress *p, err *e)
{
    char **paths = calloc((size_t)n + 1, sizeof *paths);
    digest_queue *q = paths ? digest_queue_new(n, p, e) : NULL;
    bool ok = q || err_nomem(e, HUB_SUMS, (size_t)n * sizeof *paths);
    ok = ok && queue_unknown(q, paths, dir, files, n, e);
    if (ok) digest_queue_run(q, n_threads);
    for (int i = 0, k = 0; ok && i < n; i++)
        if (paths[i]) ok = digest_queue_get(q, k++, files[i].sha256, e);
    digest_queue_free(q);
    for (int i = 0; paths && i < n; i++) free(paths[i]);
    free(paths);
    return ok;
}

char *hub_sums(const char *dir, hub_sum *files, int n, int n_threads, progress *p, err *e)
{
    text_buf t = { 0 };
    qsort(files, (size_t)n, sizeof *files, by_name);
    if (!digest_unknown(dir, files, n, n_threads, p, e)) return NULL;
    for (int i = 0; i < n; i++) put_sum(&t, files[i].sha256, files[i].name);
    char *text = text_take(&t);
    if (!text) err_nomem(e, HUB_SUMS, 0);
    return text;
}
