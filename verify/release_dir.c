#define _GNU_SOURCE
#include "release_dir.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char INFIX[] = ".partial-";

// ---- what may be in such a folder ----------------------------------------------------------------------------------

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

// Published names, and the temporary ones that outfile makes of them.
static bool release_writes(const char *name)
{
    return ends_with(name, ".gguf") || strcmp(name, RELEASE_JSON) == 0 || strcmp(name, RELEASE_MD) == 0 || strstr(name, INFIX) != NULL;
}

// Calls for each entry but . and ..; stops with *strange (owned by the caller) at one that a release does not write. *n counts them.
static bool scan(const char *dir, int *n, char strange[256], err *e)
{
    DIR *d = opendir(dir);
    *n = 0;
    strange[0] = '\0';
    if (!d) return err_errno(e, false, dir, "open the folder");
    for (struct dirent *x; !strange[0] && (x = readdir(d)) != NULL;) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0) continue;
        (*n)++;
        if (!release_writes(x->d_name)) snprintf(strange, 256, "%s", x->d_name);
    }
    closedir(d);
    return true;
}

// dir's report.json if it is that of a release; NULL otherwise. The caller deletes it.
static cJSON *release_report(const char *dir)
{
    err    ignored = { 0 };
    char  *path = path_join(dir, RELEASE_JSON);
    cJSON *j = path && file_exists(path) ? json_parse_file(path, &ignored) : NULL;
    if (j && !cJSON_IsNumber(json_get(j, "hallmark_release"))) { cJSON_Delete(j); j = NULL; }
    free(path);
    return j;
}

// Is name one that this report speaks of: an artifact, a report, or the temporary file of one ("<name>.partial-<digits>")?
static bool is_listed(const cJSON *report, const char *name)
{
    const char  *infix = strstr(name, INFIX);
    const size_t n = infix ? (size_t)(infix - name) : strlen(name);
    const char  *pid = infix ? infix + strlen(INFIX) : "0";
    const cJSON *a;
    if (!*pid || pid[strspn(pid, "0123456789")]) return false;
    if ((n == strlen(RELEASE_JSON) && strncmp(name, RELEASE_JSON, n) == 0) || (n == strlen(RELEASE_MD) && strncmp(name, RELEASE_MD, n) == 0)) return true;
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const cJSON *s = json_get(a, "artifact");
        if (cJSON_IsString(s) && strlen(s->valuestring) == n && strncmp(name, s->valuestring, n) == 0) return true;
    }
    return false;
}

// A user's own file beside a release, an mmproj-*.gguf say, must not go when the release is replaced. *strange: the first such name.
static bool find_unlisted(const char *dir, const cJSON *report, char strange[256], err *e)
{
    DIR *d = opendir(dir);
    if (!d) return err_errno(e, false, dir, "open the folder");
    for (struct dirent *x; !strange[0] && (x = readdir(d)) != NULL;) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0 || is_listed(report, x->d_name)) continue;
        snprintf(strange, 256, "%s", x->d_name);
    }
    closedir(d);
    return true;
}

bool release_dir_free_to_use(const char *dest, err *e)
{
    struct stat st;
    char strange[256];
    int  n;
    if (lstat(dest, &st) != 0) return errno == ENOENT ? true : err_errno(e, false, dest, "look at");
    if (!S_ISDIR(st.st_mode)) return err_set(e, ERR_USAGE, "%s: is there already and is not a folder", dest);
    if (!scan(dest, &n, strange, e)) return false;
    if (n == 0) return true;
    if (strange[0]) return err_set(e, ERR_USAGE, "%s: holds '%s', which no release wrote; choose another folder", dest, strange);
    cJSON *report = release_report(dest);
    if (!report) return err_set(e, ERR_USAGE, "%s: is not empty and holds no release's %s; choose another folder", dest, RELEASE_JSON);
    bool ok = find_unlisted(dest, report, strange, e);
    cJSON_Delete(report);
    if (ok && strange[0]) return err_set(e, ERR_USAGE, "%s: holds '%s', which the release there did not write; choose another folder", dest, strange);
    return ok;
}

// ---- removing ------------------------------------------------------------------------------------------------------

// Removes a folder of a release: only what a release writes, so that anything else keeps the folder alive.
static void remove_release(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *x; (x = readdir(d)) != NULL;)
        if (release_writes(x->d_name)) unlinkat(dirfd(d), x->d_name, 0);
    closedir(d);
    rmdir(dir);
}

static int lock_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) { close(fd); fd = -1; }
    return fd;
}

// Where dest lies, and its own name there. dir is owned by the caller, base borrowed from dest.
static bool split(const char *dest, char **dir, const char **base, err *e)
{
    const char *slash = strrchr(dest, '/');
    *base = slash ? slash + 1 : dest;
    *dir  = !slash ? strdup(".") : slash == dest ? strdup("/") : strndup(dest, (size_t)(slash - dest));
    return *dir || err_nomem(e, "a path", strlen(dest) + 1);
}

static bool remove_leftovers(const char *dest, err *e)
{
    char       *dir;
    const char *base;
    if (!split(dest, &dir, &base, e)) return false;
    DIR  *d = opendir(dir);
    bool  ok = d || err_errno(e, false, dir, "open the folder");
    size_t n = strlen(base), m = sizeof INFIX - 1;
    for (struct dirent *x; ok && (x = readdir(d)) != NULL;) {
        const char *name = x->d_name;
        if (strncmp(name, base, n) != 0 || strncmp(name + n, INFIX, m) != 0 || strspn(name + n + m, "0123456789") != strlen(name + n + m)) continue;
        char *path = path_join(dir, name);
        int   fd = path ? lock_folder(path) : -1;
        if (fd >= 0) {                              // nobody is writing it any more
            remove_release(path);
            close(fd);
        }
        free(path);
    }
    if (d) closedir(d);
    free(dir);
    return ok;
}

// ---- the staging folder --------------------------------------------------------------------------------------------

bool release_dir_begin(release_dir *d, const char *dest, err *e)
{
    *d = (release_dir){ .fd = -1 };
    if (!remove_leftovers(dest, e)) return false;
    if (asprintf(&d->path, "%s%s%ld", dest, INFIX, (long)getpid()) < 0) {
        d->path = NULL;
        return err_nomem(e, "a path", strlen(dest) + 32);
    }
    if (mkdir(d->path, 0777) != 0) {
        err_errno(e, false, d->path, "make the folder");
        free(d->path);
        d->path = NULL;
        return false;
    }
    d->fd = lock_folder(d->path);
    if (d->fd >= 0) return true;
    err_errno(e, false, d->path, "lock the folder");
    release_dir_abort(d);
    return false;
}

static void close_dir(release_dir *d)
{
    if (d->fd >= 0) close(d->fd);
    free(d->path);
    *d = (release_dir){ .fd = -1 };
}

void release_dir_abort(release_dir *d)
{
    if (!d->path) return;
    remove_release(d->path);
    close_dir(d);
}

static bool flush_folder(const char *dir, err *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(e, false, dir, "open the folder");
    bool ok = fsync(fd) == 0 || errno == EINVAL || err_errno(e, false, dir, "flush the folder");    // EINVAL: this file system has no need of it
    close(fd);
    return ok;
}

// Puts the new folder in the place of an old release: in one step where names can be exchanged; else the old one steps aside first.
static bool replace(const char *staged, const char *dest, err *e)
{
    if (renameat2(AT_FDCWD, staged, AT_FDCWD, dest, RENAME_EXCHANGE) == 0) {
        remove_release(staged);                     // the old release, under the staging name now
        return true;
    }
    if (errno != EINVAL && errno != ENOSYS) return err_errno(e, false, dest, "replace");
    char *aside;
    if (asprintf(&aside, "%s-old", staged) < 0) return err_nomem(e, "a path", strlen(staged) + 8);
    bool ok = (rename(dest, aside) == 0 && rename(staged, dest) == 0) || err_errno(e, false, dest, "replace");
    if (ok) remove_release(aside);
    else    rename(aside, dest);                    // put it back if it had moved
    free(aside);
    return ok;
}

bool release_dir_publish(release_dir *d, const char *dest, bool *replaced, err *e)
{
    char       *dir = NULL;
    const char *base;
    err  bad = { 0 };
    *replaced = false;
    bool ok = split(dest, &dir, &base, &bad) && flush_folder(d->path, &bad) && release_dir_free_to_use(dest, &bad);
    if (ok && rename(d->path, dest) != 0) {         // takes the place of nothing, or of an empty folder
        if (errno == ENOTEMPTY || errno == EEXIST) ok = *replaced = replace(d->path, dest, &bad);
        else                                       ok = err_errno(&bad, false, dest, "rename to");
    }
    if (!ok) err_set(e, bad.kind, "%s; what was made is in %s, until the next release to this place", bad.msg, d->path);
    ok = ok && flush_folder(dir, e);
    free(dir);
    close_dir(d);
    return ok;
}
