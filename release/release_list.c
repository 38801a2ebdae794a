#define _GNU_SOURCE
#include "release_list.h"
#include "release_sign.h"
#include "../verify/record.h"
#include "../formats/dir_list.h"
#include "../formats/json.h"
#include "../formats/place.h"
#include "../formats/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_REPORT_BYTES = 16 << 20 };

const char *const RELEASE_REPORTS[RELEASE_N_REPORTS] = { RELEASE_JSON, RELEASE_MD, RELEASE_HTML, RELEASE_JUNIT };

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// ---- reading -------------------------------------------------------------------------------------------------------

// The text of the report, NUL-terminated and freed by the caller; NULL where there is none that could be one.
static char *report_text(int dir_fd, int64_t *n)
{
    struct stat st;
    char *text = NULL;
    const int fd = openat(dir_fd, RELEASE_JSON, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return NULL;
    *n = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MOST_REPORT_BYTES)
        text = malloc((size_t)st.st_size + 1);
    while (text && *n < st.st_size) {
        const ssize_t got = read(fd, text + *n, (size_t)(st.st_size - *n));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        *n += got;
    }
    close(fd);
    if (text) text[*n] = '\0';
    return text;
}

static bool is_artifact(const cJSON *name)
{
    const size_t n = cJSON_IsString(name) ? strlen(name->valuestring) : 0;
    return n > 5 && strcmp(name->valuestring + n - 5, ".gguf") == 0;
}

static bool add_name(release_list *l, const char *name, err *e)
{
    if (!(l->v[l->n] = strdup(name))) return err_nomem(e, "names of artifacts", strlen(name) + 1);
    l->n++;
    return true;
}

// Has the file of this name in the folder the digest? One that is not there may have any.
static bool has_digest(int dir_fd, const char *name, const char *expected)
{
    enum { CHUNK = 1 << 16 };
    char    hex[SHA256_HEX + 1] = "", buf[CHUNK];
    ssize_t got = 0;
    err     bad = { 0 };
    struct stat st;
    const int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    sha256 *s = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? sha256_new(&bad) : NULL;
    bool ok = s != NULL;
    while (ok && ((got = read(fd, buf, sizeof buf)) > 0 || (got < 0 && errno == EINTR)))
        if (got > 0) ok = sha256_add(s, buf, got, &bad);
    if (s) ok = sha256_end_if(s, ok && got == 0, hex, &bad);
    close(fd);
    return ok && strcmp(hex, expected) == 0;
}

// What somebody changed since is no longer the release's, nor is what it left as it found it.
static bool is_file_of_release(int dir_fd, const cJSON *file)
{
    const cJSON *name = json_get(file, "name"), *digest = json_get(file, "sha256");
    if (!cJSON_IsString(name) || !record_file_is(name->valuestring)) return false;
    if (cJSON_IsTrue(json_get(file, "kept"))) return false;
    return !cJSON_IsString(digest) || has_digest(dir_fd, name->valuestring, digest->valuestring);
}

static bool add_names(release_list *l, const cJSON *report, int fd, err *e)
{
    const cJSON *list = json_get(report, "artifacts"), *files = json_get(report, "files"), *a;
    l->v = calloc((size_t)cJSON_GetArraySize(list) + (size_t)cJSON_GetArraySize(files) + 1, sizeof *l->v);
    if (!l->v) return err_nomem(e, "names of artifacts", 0);
    cJSON_ArrayForEach(a, list) {
        const cJSON *s = json_get(a, "artifact");
        if (is_artifact(s) && !add_name(l, s->valuestring, e)) return false;
    }
    cJSON_ArrayForEach(a, files) {
        if (!is_file_of_release(fd, a)) continue;
        if (!add_name(l, json_get(a, "name")->valuestring, e)) return false;
    }
    qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return true;
}

bool release_list_read(release_list *l, int fd, err *e)
{
    err     unreadable = { 0 };
    int64_t n;
    char   *text = report_text(fd, &n);
    cJSON  *report = text ? json_parse(text, n, RELEASE_JSON, &unreadable) : NULL;
    *l = (release_list){ .report = cJSON_IsNumber(json_get(report, "hallmark_release")),
                         .is_signed = cJSON_IsTrue(json_get(report, "signed")),
                         .lists_files = cJSON_GetArraySize(json_get(report, "files")) > 0 };
    const cJSON *name = json_get(report, "name"), *verdict = json_get(report, "verdict");
    snprintf(l->name, sizeof l->name, "%s", cJSON_IsString(name) ? name->valuestring : "");
    l->did_not_pass = cJSON_IsString(verdict) && strcmp(verdict->valuestring, "pass") != 0;
    bool ok = !l->report || add_names(l, report, fd, e);
    if (!ok) release_list_free(l);
    cJSON_Delete(report);
    free(text);
    return ok;
}

void release_list_free(release_list *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
    *l = (release_list){ 0 };
}

static bool is_report(const char *name)
{
    for (int i = 0; i < RELEASE_N_REPORTS; i++)
        if (strcmp(name, RELEASE_REPORTS[i]) == 0) return true;
    return false;
}

// A release that was killed as it wrote its first report has the report's temporary name, and nothing else.
bool release_list_has(const release_list *l, const char *name)
{
    char  base[256], *key = base;
    const size_t part = partial_base(name), n = part ? part : strlen(name);
    if (n >= sizeof base) return false;
    memcpy(base, name, n);
    base[n] = '\0';
    if (!l->report) return part && strcmp(base, RELEASE_JSON) == 0;
    if (is_report(base)) return true;
    if (strcmp(base, SIGNATURE_NAME) == 0 || strcmp(base, PROVENANCE_NAME) == 0) return l->is_signed;
    if (record_file_is_made(base)) return l->lists_files;
    return l->n > 0 && bsearch(&key, l->v, (size_t)l->n, sizeof *l->v, by_name) != NULL;
}

// ---- the folder ----------------------------------------------------------------------------------------------------

bool release_list_others(const release_list *l, int fd, const char *dir, dir_list *others, int *n, err *e)
{
    dir_list all = { 0 };
    DIR *d = dir_entries(fd);
    bool ok = d || err_errno(e, false, dir, "list the folder");
    *n = 0;
    *others = (dir_list){ 0 };
    for (struct dirent *x; ok && (x = readdir(d)) != NULL;) {
        if (!dir_is_entry(x->d_name)) continue;
        (*n)++;
        if (!release_list_has(l, x->d_name)) ok = dir_list_add(&all, x->d_name, e);
    }
    if (d) closedir(d);
    if (all.n > 1) qsort(all.v, (size_t)all.n, sizeof *all.v, by_name);
    *others = all;
    return ok;
}

void release_list_remove(const release_list *l, int fd)
{
    DIR *d = dir_entries(fd);
    for (struct dirent *x; d && (x = readdir(d)) != NULL;)
        if (dir_is_entry(x->d_name) && strcmp(x->d_name, RELEASE_JSON) != 0 && release_list_has(l, x->d_name))
            unlinkat(fd, x->d_name, 0);
    if (d) closedir(d);
    if (l->report) unlinkat(fd, RELEASE_JSON, 0);
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool add_each(cJSON *list, const char *key, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (!cJSON_AddStringToObject(json_add_object(list), key, names[i])) return false;
    return list != NULL;
}

char *release_list_unfinished(const char *const *artifacts, int n, const char *const *files, int n_files)
{
    cJSON *doc = cJSON_CreateObject();
    const bool ok = doc && cJSON_AddNumberToObject(doc, "hallmark_release", 1)
        && cJSON_AddStringToObject(doc, "verdict", "unfinished")
        && cJSON_AddTrueToObject(doc, "signed")     // or to be: then its files are this folder's too
        && add_each(cJSON_AddArrayToObject(doc, "artifacts"), "artifact", artifacts, n)
        && (n_files == 0 || add_each(cJSON_AddArrayToObject(doc, "files"), "name", files, n_files));
    char *text = ok ? json_print(doc) : NULL;
    cJSON_Delete(doc);
    return text;
}
