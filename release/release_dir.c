#define _GNU_SOURCE
#include "release_dir.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

// ---- what is at the destination -------------------------------------------------------------------------------------

typedef struct {
    bool        there;
    int         entries;
    struct stat st;
} occupant;

static bool compare_with_its_report(const place *to, int fd, occupant *o, err *e)
{
    release_list l;
    char other[256];
    if (!release_list_read(&l, fd, e)) return false;
    const bool report = l.report;
    bool ok = release_list_compare(&l, fd, to->path, &o->entries, other, e);
    release_list_free(&l);
    if (!ok || o->entries == 0) return ok;
    if (!report)
        return err_set(e, ERR_USAGE, "%s: is not empty ('%s') and holds no release's %s; choose another folder",
                       to->path, other, RELEASE_JSON);
    return !other[0] || err_set(e, ERR_USAGE, "%s: holds '%s', which the release there did not write; choose another folder", to->path, other);
}

// Absent, empty, or a release that holds nothing else. to->path and to->name: the destination, to->fd: its folder.
static bool look_at(const place *to, occupant *o, err *e)
{
    *o = (occupant){ .there = false };
    if (fstatat(to->fd, to->name, &o->st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_errno(e, false, to->path, "look at");
    if (!S_ISDIR(o->st.st_mode))
        return err_set(e, ERR_USAGE, "%s: is there already and is not a folder%s", to->path,
                       S_ISLNK(o->st.st_mode) ? ", but a link" : "");
    const int fd = openat(to->fd, to->name, FOLDER);
    if (fd < 0) return err_errno(e, false, to->path, "open the folder");
    o->there = true;
    bool ok = fstat(fd, &o->st) == 0 || err_errno(e, false, to->path, "look at");
    ok = ok && compare_with_its_report(to, fd, o, e) && place_replaceable(to, &o->st, e);
    if (ok && o->entries > 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        ok = err_errno(e, false, to->path, "replace");
    close(fd);
    return ok;
}

bool release_dir_free_to_use(const char *dest, err *e)
{
    place    to;
    occupant o;
    if (!place_open(&to, dest, e)) return false;
    bool ok = look_at(&to, &o, e);
    place_close(&to);
    return ok;
}

// ---- removing -------------------------------------------------------------------------------------------------------

// Removes what the folder's report lists, and the folder when nothing else is in it.
static bool remove_release(int parent, const char *name, int fd)
{
    release_list l;
    err ignored = { 0 };
    if (!release_list_read(&l, fd, &ignored)) return false;
    release_list_remove(&l, fd);
    release_list_free(&l);
    return is_still(parent, name, fd) && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

// A folder of ours, on this file system.
static bool is_ours(const struct stat *st, const struct stat *parent)
{
    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && st->st_dev == parent->st_dev;
}

static void remove_leftover(const place *at, const char *name, const struct stat *parent)
{
    struct stat st;
    const int fd = openat(at->fd, name, FOLDER | O_NONBLOCK);
    if (fd < 0) return;                             // a link, a file, or not for us
    const bool dead = fstat(fd, &st) == 0 && is_ours(&st, parent) && lock_try(fd) == LOCK_MINE
        && is_still(at->fd, name, fd);
    if (dead) remove_release(at->fd, name, fd);
    close(fd);
}

static void remove_leftovers(const place *at)
{
    struct stat parent;
    DIR *d = dir_entries(at->fd);
    const bool known = fstat(at->fd, &parent) == 0;
    for (struct dirent *x; known && d && (x = readdir(d)) != NULL;)
        if (is_partial_of(x->d_name, at->name)) remove_leftover(at, x->d_name, &parent);
    if (d) closedir(d);
}

// ---- the staging folder ---------------------------------------------------------------------------------------------

// The folder just made becomes ours alone, and locked. false: another took its name, or put something in it, in the
// meantime.
static bool take(release_dir *d)
{
    struct stat st, parent;
    release_list none = { 0 };
    int  n;
    char other[256];
    err  ignored = { 0 };
    d->fd = openat(d->at.fd, d->name, FOLDER);
    if (d->fd < 0 || fstat(d->fd, &st) != 0 || fstat(d->at.fd, &parent) != 0) return false;
    if (st.st_uid != geteuid() && st.st_uid != parent.st_uid) return false;     // the second: file systems where one user owns everything
    d->mode = st.st_mode & 07777;
    if (fchmod(d->fd, 0700 | (d->mode & S_ISGID)) != 0 && st.st_uid == geteuid()) return false;
    if (lock_try(d->fd) == LOCK_OTHERS || !release_list_compare(&none, d->fd, d->path, &n, other, &ignored) || n > 0)
        return false;
    return fstat(d->fd, &st) == 0 && st.st_nlink > 0;
}

static void forget(release_dir *d)
{
    unfinished_lock();
    unfinished_drop(&d->listed);
    unfinished_unlock();
    if (d->fd >= 0) close(d->fd);
    free(d->path);
    free(d->name);
    d->path = d->name = NULL;
    d->fd = -1;
}

// One attempt under d's name; *made: it is there, ours and listed. false: the folder cannot be made at all.
static bool make_one(release_dir *d, bool *made, err *e)
{
    *made = false;
    if (mkdirat(d->at.fd, d->name, 0777) != 0) return errno == EEXIST || err_errno(e, false, d->path, "make the folder");
    *made = take(d);
    d->listed = (unfinished){ .dir_fd = d->at.fd, .name = d->name, .fd = d->fd, .path = d->at.path, .folder = true };
    if (*made) unfinished_add(&d->listed);
    return true;
}

static bool make(release_dir *d, err *e)
{
    for (int attempt = 0; attempt < PLACE_ATTEMPTS; attempt++) {
        bool made;
        if (!place_partial(&d->at, attempt, &d->name, &d->path)) return err_nomem(e, "a path", strlen(d->at.path) + 32);
        unfinished_lock();
        const bool ok = make_one(d, &made, e);
        unfinished_unlock();
        if (!ok || made) return ok;
        if (d->fd >= 0 && is_still(d->at.fd, d->name, d->fd)) unlinkat(d->at.fd, d->name, AT_REMOVEDIR);      // if it is empty
        forget(d);
    }
    return err_set(e, ERR_SYSTEM, "%s: cannot make a folder to work in: every name beside it is taken", d->at.path);
}

static bool write_unfinished(const release_dir *d, const release_names *x, err *e)
{
    char *text = release_list_unfinished(x->artifacts, x->n_artifacts, x->files, x->n_files);
    const bool ok = outfile_write_text(d->path, RELEASE_JSON, text, e);
    free(text);
    return ok;
}

static void close_dir(release_dir *d)
{
    forget(d);
    place_close(&d->at);
}

bool release_dir_begin(release_dir *d, const char *dest, const release_names *names, err *e)
{
    *d = (release_dir){ .fd = -1, .at = { .fd = -1 } };
    if (!place_open(&d->at, dest, e)) return false;
    remove_leftovers(&d->at);
    if (!make(d, e)) { close_dir(d); return false; }
    if (write_unfinished(d, names, e)) return true;
    release_dir_abort(d);
    return false;
}

void release_dir_abort(release_dir *d)
{
    if (d->path) remove_release(d->at.fd, d->name, d->fd);
    close_dir(d);
}

// ---- publishing -----------------------------------------------------------------------------------------------------

typedef enum { MOVED, MOVED_OVER, CHANGED, FAILED } moved;     // MOVED_OVER: what was there has the name *aside now. CHANGED: look again

// Where names cannot be exchanged the old folder steps aside first.
static moved step_aside(const release_dir *d, const char *name, char **aside)
{
    if (asprintf(aside, "%s-old", d->name) < 0) { *aside = NULL; errno = ENOMEM; return FAILED; }
    if (renameat(d->at.fd, name, d->at.fd, *aside) != 0) return FAILED;
    if (renameat(d->at.fd, d->name, d->at.fd, name) == 0) return MOVED_OVER;
    const int why = errno;
    renameat(d->at.fd, *aside, d->at.fd, name);     // back to where it was
    errno = why;
    return FAILED;
}

// errno where FAILED.
static moved move(const release_dir *d, const char *name, const occupant *o, char **aside)
{
    const int fd = d->at.fd;
    if (o->entries == 0) {                          // takes the place of nothing, or of an empty folder
        if (renameat(fd, d->name, fd, name) == 0) return MOVED;
        return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? CHANGED : FAILED;
    }
    if (renameat2(fd, d->name, fd, name, RENAME_EXCHANGE) == 0) return (*aside = strdup(d->name)) ? MOVED_OVER : MOVED;
    if (errno == ENOENT) return CHANGED;
    return errno == EINVAL || errno == ENOSYS ? step_aside(d, name, aside) : FAILED;
}

// What was replaced may, since it was looked at, have got a file that is not the release's: then all of it stays.
static char *remove_old(const release_dir *d, const char *aside)
{
    release_list l;
    int   n;
    char  other[256], *path = NULL;
    err   ignored = { 0 };
    const int fd = openat(d->at.fd, aside, FOLDER);
    bool  gone = false;
    if (fd >= 0 && release_list_read(&l, fd, &ignored)) {
        const bool all = l.report && release_list_compare(&l, fd, aside, &n, other, &ignored) && !other[0];
        release_list_free(&l);
        gone = all && remove_release(d->at.fd, aside, fd);
    }
    if (fd >= 0) close(fd);
    return gone ? NULL : (path = path_join(d->at.dir, aside)) ? path : strdup(aside);
}

static bool put(release_dir *d, const place *to, release_before *before, char **aside, err *e)
{
    enum { MOST_LOOKS = 8 };
    for (int i = 0; i < MOST_LOOKS; i++) {
        occupant o;
        if (!is_still(d->at.fd, d->name, d->fd))
            return err_set(e, ERR_SYSTEM, "%s: is no longer the folder that was made", d->path);
        if (!look_at(to, &o, e)) return false;
        if (o.there) keep_mode(d->fd, &o.st, &d->at);
        else         (void)!fchmod(d->fd, d->mode);         // where that fails there are no permissions
        if (fsync(d->fd) != 0 && errno != EINVAL) return err_errno(e, false, d->path, "flush the folder");      // EINVAL: no need of it here
        const moved how = move(d, to->name, &o, aside);
        if (how == FAILED) return err_errno(e, false, to->path, o.entries > 0 ? "replace" : "rename to");
        before->replaced = how == MOVED_OVER || (how == MOVED && o.entries > 0);
        if (how != CHANGED) return true;
    }
    return err_set(e, ERR_SYSTEM, "%s: cannot rename to: others keep changing it", to->path);
}

bool release_dir_publish(release_dir *d, const char *dest, release_before *before, err *e)
{
    place to = { .path = strdup(dest), .name = strdup(path_base(dest)), .fd = d->at.fd };       // fd stays d's
    char *aside = NULL;
    err   bad = { 0 };
    *before = (release_before){ .replaced = false };
    unfinished_lock();                              // one piece: the new name, and the end of what had it
    bool ok = to.path && to.name ? put(d, &to, before, &aside, &bad) : err_nomem(&bad, "a path", strlen(dest) + 1);
    if (!ok) err_set(e, bad.kind, "%s; what was made is in %s, until the next release to this place", bad.msg, d->path);
    ok = ok && place_flush(&d->at, e);              // on disk, before anything old is removed
    if (ok && aside) before->left = remove_old(d, aside);
    unfinished_drop(&d->listed);
    unfinished_unlock();
    free(aside);
    free(to.path);
    free(to.name);
    close_dir(d);
    return ok;
}
