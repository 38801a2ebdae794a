#define _GNU_SOURCE
#include "dir_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool text_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool dir_list_add(dir_list *l, const char *name, err *e)
{
    const bool full = l->n == 0 || (l->n >= 16 && (l->n & (l->n - 1)) == 0);    // room is 16, then each power of two
    if (full) {
        const int room = l->n < 16 ? 16 : l->n * 2;
        char **v = realloc(l->v, (size_t)room * sizeof *v);
        if (!v) return err_nomem(e, "the names in a folder", (size_t)room * sizeof *v);
        l->v = v;
    }
    l->v[l->n] = strdup(name);
    if (!l->v[l->n]) return err_nomem(e, "a name", strlen(name) + 1);
    l->n++;
    return true;
}

DIR *dir_entries(int fd)
{
    // Not a duplicate: that would share its position.
    const int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = list >= 0 ? fdopendir(list) : NULL;
    if (!d && list >= 0) close(list);
    return d;
}

bool dir_is_entry(const char *name) { return strcmp(name, ".") != 0 && strcmp(name, "..") != 0; }

static bool is_wanted(const char *name, const char *suffix)
{
    return dir_is_entry(name) && (!suffix || text_ends_with(name, suffix));
}

bool dir_list_read(dir_list *l, const char *dir, const char *suffix, bool optional, err *e)
{
    bool ok = true;
    *l = (dir_list){ 0 };
    DIR *d = opendir(dir);
    if (!d && optional && (errno == ENOENT || errno == ENOTDIR)) return true;
    if (!d) return err_errno(e, true, dir, "open the folder");
    for (struct dirent *ent; ok && (errno = 0, ent = readdir(d));)
        if (is_wanted(ent->d_name, suffix)) ok = dir_list_add(l, ent->d_name, e);
    if (ok && errno != 0) ok = err_errno(e, true, dir, "read the folder");
    closedir(d);
    if (l->n > 1) qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return ok;
}

void dir_list_free(dir_list *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
    *l = (dir_list){ 0 };
}

bool dir_list_has(const dir_list *l, const char *name)
{
    return l->n > 0 && bsearch(&name, l->v, (size_t)l->n, sizeof *l->v, by_name) != NULL;
}
