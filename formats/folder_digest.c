#define _GNU_SOURCE
#include "folder_digest.h"
#include "digest_queue.h"
#include "dir_list.h"
#include "file_kind.h"
#include "file_map.h"
#include "text_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FILES = 1 << 16, MOST_DEPTH = 16, OPEN_AT_ONCE = 128 };
enum { FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

static const char REGULAR[] = "a regular file";

const char *const FOLDER_IGNORED[FOLDER_N_IGNORED] = { ".git", ".gitattributes", ".github", ".gitignore" };

// ---- listing -------------------------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp(((const folder_file *)a)->name, ((const folder_file *)b)->name);
}

static bool add_file(folder_digest *f, const char *name, const struct stat *st, err *e)
{
    folder_file *grown = f->n & (f->n - 1) ? f->v : realloc(f->v, (f->n ? 2 * (size_t)f->n : 1) * sizeof *grown);
    char *copy = grown ? strdup(name) : NULL;
    if (grown) f->v = grown;
    if (!copy) return err_nomem(e, "names of files", strlen(name) + 1);
    f->v[f->n] = (folder_file){ .name = copy, .st = *st };
    f->n++;
    return true;
}

static int at_ignored(const char *name)
{
    for (int i = 0; i < FOLDER_N_IGNORED; i++)
        if (strcmp(name, FOLDER_IGNORED[i]) == 0) return i;
    return -1;
}

bool folder_digest_ignores(const char *name) { return at_ignored(name) >= 0; }

static bool is_left_out(folder_digest *f, const char *name)
{
    const int at = at_ignored(name);
    if (at >= 0) f->ignored[at] = true;
    return at >= 0 || (f->skip && strcmp(name, f->skip) == 0);
}

static bool refuse(const folder_digest *f, const char *name, const struct stat *st, const char *expected, err *e)
{
    return err_set(e, ERR_VERDICT, "%s/%s: found %s, expected %s", f->dir, name, file_kind_of_mode(st->st_mode),
                   expected);
}

static bool add_within_limit(folder_digest *f, const char *name, const struct stat *st, err *e)
{
    if (f->n < MOST_FILES) return add_file(f, name, st, e);
    return f->mode == FOLDER_ANY || err_set(e, ERR_VERDICT, "%s: holds more than %d files", f->dir, MOST_FILES);
}

static bool list_folder(folder_digest *f, int fd, const char *below, int depth, err *e);

static bool enter(folder_digest *f, int fd, const char *entry, const char *name, int depth, err *e)
{
    if (f->mode == FOLDER_ANY) return true;
    if (depth == MOST_DEPTH)
        return err_set(e, ERR_VERDICT, "%s/%s: folders deeper than %d", f->dir, name, MOST_DEPTH);
    const int sub = openat(fd, entry, FOLDER | O_NOFOLLOW);
    if (sub < 0) return err_errno(e, true, name, "open the folder");
    const bool ok = list_folder(f, sub, name, depth + 1, e);
    close(sub);
    return ok;
}

// name: the entry's below the folder.
static bool list_named(folder_digest *f, int fd, const char *entry, const char *name, int depth, err *e)
{
    struct stat   st;
    const bool    any = f->mode == FOLDER_ANY;
    const int64_t n = (int64_t)strlen(name);
    if (is_left_out(f, name)) return true;
    if (!any && utf8_valid_bytes(name, n) != n)
        return err_set(e, ERR_VERDICT, "%s/%s: the name is no UTF-8", f->dir, name);
    if (fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) != 0) return err_errno(e, true, name, "look at");
    if (any && S_ISLNK(st.st_mode) && fstatat(fd, entry, &st, 0) != 0) st.st_mode = S_IFLNK;
    if (S_ISDIR(st.st_mode)) return enter(f, fd, entry, name, depth, e);
    if (S_ISREG(st.st_mode)) return add_within_limit(f, name, &st, e);
    return any || refuse(f, name, &st, REGULAR, e);
}

static bool list_entry(folder_digest *f, int fd, const char *below, const char *entry, int depth, err *e)
{
    char *name = NULL;
    if (asprintf(&name, "%s%s%s", below, below[0] ? "/" : "", entry) < 0) return err_nomem(e, "a name", strlen(below));
    const bool ok = list_named(f, fd, entry, name, depth, e);
    free(name);
    return ok;
}

static bool list_folder(folder_digest *f, int fd, const char *below, int depth, err *e)
{
    DIR *d = dir_entries(fd);
    bool ok = true;
    if (!d) return err_errno(e, true, f->dir, "list the folder");
    for (struct dirent *x; ok && (errno = 0, x = readdir(d)) != NULL;)
        if (dir_is_entry(x->d_name)) ok = list_entry(f, fd, below, x->d_name, depth, e);
    if (ok && errno != 0) ok = err_errno(e, true, f->dir, "list the folder");
    closedir(d);
    return ok;
}

bool folder_digest_open(folder_digest *f, const char *dir, const char *skip, folder_mode mode, err *e)
{
    *f = (folder_digest){ .fd = open(dir, FOLDER), .mode = mode };
    bool ok = f->fd >= 0 || err_errno(e, true, dir, "open the folder");
    f->dir  = strdup(dir);
    f->skip = skip ? strdup(skip) : NULL;
    ok = ok && ((f->dir && (f->skip || !skip)) || err_nomem(e, "a path", strlen(dir)));
    ok = ok && (mode == FOLDER_NAMED || list_folder(f, f->fd, "", 0, e));
    if (!ok) { folder_digest_free(f); return false; }
    if (f->n > 1) qsort(f->v, (size_t)f->n, sizeof *f->v, by_name);
    return true;
}

void folder_digest_free(folder_digest *f)
{
    for (int i = 0; i < f->n; i++) free(f->v[i].name);
    if (f->fd >= 0) close(f->fd);
    free(f->v);
    free(f->dir);
    free(f->skip);
    *f = (folder_digest){ .fd = -1 };
}

const folder_file *folder_digest_find(const folder_digest *f, const char *name)
{
    const folder_file key = { .name = (char *)name };
    return f->n ? bsearch(&key, f->v, (size_t)f->n, sizeof *f->v, by_name) : NULL;
}

// ---- names ---------------------------------------------------------------------------------------------------------

// Each folder on the way must be one itself: what a link leads to could be named again and again.
static bool look_below(const folder_digest *f, const char *name, struct stat *st, bool *there, err *e)
{
    char *part = strdup(name);
    bool  ok = part || err_nomem(e, "a name", strlen(name)), last = false;
    *there = true;
    int   depth = 0;
    for (size_t n = 0; ok && *there && !last; n++, depth++) {
        // Each folder on the way is looked at from the first one: a name is as deep as a folder that is listed may be.
        if (depth > MOST_DEPTH) {
            ok = err_set(e, ERR_VERDICT, "%s/%.200s: folders deeper than %d", f->dir, name, MOST_DEPTH);
            break;
        }
        n += strcspn(name + n, "/");
        last = !name[n];
        part[n] = '\0';
        *there = fstatat(f->fd, part, st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!*there)   ok = errno == ENOENT || errno == ENAMETOOLONG || err_errno(e, true, part, "look at");
        else if (last) ok = S_ISREG(st->st_mode) || refuse(f, part, st, REGULAR, e);
        else           ok = S_ISDIR(st->st_mode) || refuse(f, part, st, "a folder", e);
        if (!last) part[n] = '/';
    }
    free(part);
    return ok;
}

bool folder_digest_add(folder_digest *f, const char *name, const char *by, err *e)
{
    struct stat st;
    bool there;
    if (!look_below(f, name, &st, &there, e)) return false;
    if (there) return add_within_limit(f, name, &st, e);
    return err_set(e, ERR_VERDICT, "%s/%s: %s names it, and it is not there", f->dir, name, by);
}

// ---- digests -------------------------------------------------------------------------------------------------------

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
        && same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

static bool changed(const folder_digest *f, const char *name, const char *how, err *e)
{
    return err_set(e, ERR_VERDICT, "%s/%s: the folder changed while it was read: this %s", f->dir, name, how);
}

static int open_listed(const folder_digest *f, const folder_file *x, err *e)
{
    struct stat st;
    const int fd = openat(f->fd, x->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) { err_errno(e, true, x->name, "open"); return -1; }
    if (fstat(fd, &st) == 0 && same_state(&st, &x->st)) return fd;
    close(fd);
    changed(f, x->name, "is another file now", e);
    return -1;
}

// Some of the files, so that a folder of thousands does not take as many descriptors.
static bool take_some(folder_digest *f, folder_file *const *v, int n, int n_threads, progress *p, err *e)
{
    int fds[OPEN_AT_ONCE], n_open = 0;
    digest_queue *q = digest_queue_new(n, p, e);
    bool ok = q != NULL;
    for (int i = 0; ok && i < n; i++) {
        ok = (fds[i] = open_listed(f, v[i], e)) >= 0;
        if (!ok) break;
        n_open++;
        digest_queue_add_range(q, fds[i], 0, v[i]->st.st_size, v[i]->name, v[i]->name);
    }
    if (ok) digest_queue_run(q, n_threads);
    for (int i = 0; ok && i < n; i++) ok = digest_queue_get(q, i, v[i]->sha256, e);
    for (int i = 0; i < n_open; i++) close(fds[i]);
    digest_queue_free(q);
    return ok;
}

static int by_inode(const void *a, const void *b)
{
    const folder_file *x = *(folder_file *const *)a, *y = *(folder_file *const *)b;
    if (x->st.st_dev != y->st.st_dev) return x->st.st_dev < y->st.st_dev ? -1 : 1;
    if (x->st.st_ino != y->st.st_ino) return x->st.st_ino < y->st.st_ino ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void share(const folder_file *from, folder_file *to)
{
    if (!to->sha256[0] && same_state(&from->st, &to->st)) strcpy(to->sha256, from->sha256);
}

// What one name of a file has, its others have, too. v: by inode.
static void share_all(folder_file *const *v, int n)
{
    for (int i = 1; i < n; i++) share(v[i - 1], v[i]);
    for (int i = n - 1; i > 0; i--) share(v[i], v[i - 1]);
}

// To be read: without a digest, and the first name of its file. v: by inode, shared.
static bool is_wanted(folder_file *const *v, int i)
{
    return !v[i]->sha256[0] && (i == 0 || v[i - 1]->sha256[0] || !same_state(&v[i - 1]->st, &v[i]->st));
}

bool folder_digest_take(folder_digest *f, int n_threads, progress *p, err *e)
{
    folder_file **v = calloc(2 * (size_t)f->n + 1, sizeof *v);
    int64_t bytes = 0;
    int     n = 0;
    if (!v) return err_nomem(e, "names of files", 0);
    folder_file **wanted = v + f->n;
    for (int i = 0; i < f->n; i++) v[i] = &f->v[i];
    if (f->n > 1) qsort(v, (size_t)f->n, sizeof *v, by_inode);
    share_all(v, f->n);
    for (int i = 0; i < f->n; i++) {
        if (!is_wanted(v, i)) continue;
        wanted[n++] = v[i];
        bytes += v[i]->st.st_size;
    }
    progress_stage(p, "digest", bytes);
    bool ok = true;
    for (int i = 0; ok && i < n; i += OPEN_AT_ONCE)
        ok = take_some(f, wanted + i, n - i < OPEN_AT_ONCE ? n - i : OPEN_AT_ONCE, n_threads, p, e);
    if (ok) share_all(v, f->n);
    free(v);
    return ok;
}

static bool is_digested(const folder_file *x, const char *text, int64_t n, const char *path, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!sha256_bytes(text, n, hex, e)) return false;
    return strcmp(hex, x->sha256) == 0 || err_set(e, ERR_VERDICT, "%s: changed while it was read", path);
}

bool folder_digest_text(char **text, int64_t *n, const folder_digest *f, const char *name, int64_t max_bytes, err *e)
{
    const folder_file *x = folder_digest_find(f, name);
    char *path = path_join(f->dir, name);
    *text = NULL;
    bool ok = path != NULL || err_nomem(e, "a path", strlen(name));
    if (ok && !x) ok = err_set(e, ERR_VERDICT, "%s: is not there, or is no file of the folder", path);
    ok = ok && file_read_text(text, n, path, max_bytes, e) && is_digested(x, *text, *n, path, e);
    if (!ok) { free(*text); *text = NULL; }
    free(path);
    return ok;
}

// ---- again ---------------------------------------------------------------------------------------------------------

void folder_digest_know(folder_digest *f, const folder_digest *of)
{
    for (int i = 0; i < f->n; i++) {
        const folder_file *before = folder_digest_find(of, f->v[i].name);
        if (before) share(before, &f->v[i]);
    }
}

bool folder_digest_renew(folder_digest *f, err *e)
{
    folder_digest now;
    if (!folder_digest_open(&now, f->dir, f->skip, f->mode, e)) return false;
    folder_digest_know(&now, f);
    folder_digest_free(f);
    *f = now;
    return true;
}

static bool compare(const folder_digest *f, const folder_digest *now, err *e)
{
    for (int i = 0; i < f->n || i < now->n; i++) {
        const char *before = i < f->n ? f->v[i].name : NULL, *after = i < now->n ? now->v[i].name : NULL;
        const int order = !before ? 1 : !after ? -1 : strcmp(before, after);
        if (order > 0) return changed(f, after, "file is new", e);
        if (order < 0) return changed(f, before, "file is gone", e);
        if (!same_state(&f->v[i].st, &now->v[i].st)) return changed(f, before, "is another file now", e);
    }
    return true;
}

static bool same_named(const folder_digest *f, err *e)
{
    struct stat now;
    bool there, ok = true;
    for (int i = 0; ok && i < f->n; i++) {
        const folder_file *x = &f->v[i];
        ok = look_below(f, x->name, &now, &there, e) && (there || changed(f, x->name, "file is gone", e))
            && (same_state(&x->st, &now) || changed(f, x->name, "is another file now", e));
    }
    return ok;
}

bool folder_digest_same(const folder_digest *f, err *e)
{
    folder_digest now;
    if (f->mode == FOLDER_NAMED) return same_named(f, e);
    if (!folder_digest_open(&now, f->dir, f->skip, f->mode, e)) return false;
    const bool ok = compare(f, &now, e);
    folder_digest_free(&now);
    return ok;
}
