#define _GNU_SOURCE
#include "release_dir.h"
#include "release_occupant.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// ---- removing -------------------------------------------------------------------------------------------------------

// Is the name in both folders one file?
static bool is_twin(int fd, int other, const char *name)
{
    struct stat a, b;
    if (fstatat(fd, name, &a, AT_SYMLINK_NOFOLLOW) != 0 || fstatat(other, name, &b, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    return S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Removes links to files that the other folder has under the same names (release_dir_link).
static void drop_twins(int fd, int other)
{
    DIR *d = dir_entries(fd);
    for (struct dirent *x; d && (x = readdir(d)) != NULL;)
        if (dir_is_entry(x->d_name) && is_twin(fd, other, x->d_name)) unlinkat(fd, x->d_name, 0);
    if (d) closedir(d);
}

// Removes what is listed, and the folder when nothing else is in it.
static bool remove_listed(const release_list *l, int parent, const char *name, int fd)
{
    release_list_remove(l, fd);
    return is_still(parent, name, fd) && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

// The same of what the folder's own report lists, and of links to files that dest has.
static void remove_release(int parent, const char *name, int fd, const char *dest)
{
    release_list l;
    err ignored = { 0 };
    const int there = openat(parent, dest, FOLDER);
    if (there >= 0) drop_twins(fd, there);
    if (there >= 0) close(there);
    if (!release_list_read(&l, fd, &ignored)) return;
    remove_listed(&l, parent, name, fd);
    release_list_free(&l);
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
    if (dead) remove_release(at->fd, name, fd, at->name);
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

static bool is_empty(int fd)
{
    DIR *d = dir_entries(fd);
    bool empty = d != NULL;
    for (struct dirent *x; empty && (x = readdir(d)) != NULL;) empty = !dir_is_entry(x->d_name);
    if (d) closedir(d);
    return empty;
}

// The folder just made becomes ours alone, and locked. false: another took its name, or put something in it, in the
// meantime.
static bool take(release_dir *d)
{
    struct stat st, parent;
    d->fd = openat(d->at.fd, d->name, FOLDER);
    if (d->fd < 0 || fstat(d->fd, &st) != 0 || fstat(d->at.fd, &parent) != 0) return false;
    // The second: file systems where one user owns everything.
    if (st.st_uid != geteuid() && st.st_uid != parent.st_uid) return false;
    d->mode = st.st_mode & 07777;
    if (fchmod(d->fd, 0700 | (d->mode & S_ISGID)) != 0 && st.st_uid == geteuid()) return false;
    if (lock_try(d->fd) == LOCK_OTHERS || !is_empty(d->fd)) return false;
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
    if (mkdirat(d->at.fd, d->name, 0777) != 0)
        return errno == EEXIST || err_errno(e, false, d->path, "make the folder");
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
        if (d->fd >= 0 && is_still(d->at.fd, d->name, d->fd))
            unlinkat(d->at.fd, d->name, AT_REMOVEDIR);      // if it is empty
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
    if (d->path) remove_release(d->at.fd, d->name, d->fd, d->at.name);
    close_dir(d);
}

// ---- publishing -----------------------------------------------------------------------------------------------------

// MOVED_OVER: what was there has the name *aside now. CHANGED: look again.
typedef enum { MOVED, MOVED_OVER, CHANGED, FAILED } moved;

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

// A file system may not know how to rename where nothing must be replaced: then what is there is looked at first.
static bool move_in(int from, int to, const char *name)
{
    struct stat st;
    if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    return fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT && renameat(from, name, to, name) == 0;
}

// The user's own files, which are in the old folder (fd), are from now on in the new one.
static void hand_over(const release_dir *d, int fd, const dir_list *own)
{
    bool any = false;
    drop_twins(fd, d->fd);
    for (int i = 0; i < own->n; i++) {
        struct stat st;
        if (fstatat(fd, own->v[i], &st, AT_SYMLINK_NOFOLLOW) == 0) any |= move_in(fd, d->fd, own->v[i]);
    }
    if (any) (void)fsync(d->fd);
}

// What is then left in the old folder and not of its release has a name that the new one has, too: it stays there.
static bool clear_old(const release_dir *d, int fd, const char *aside)
{
    release_list l;
    dir_list own = { 0 }, left = { 0 };
    int  n;
    err  ignored = { 0 };
    if (!release_list_read(&l, fd, &ignored)) return false;
    bool ok = release_list_others(&l, fd, aside, &own, &n, &ignored);
    if (ok) hand_over(d, fd, &own);
    ok = ok && release_list_others(&l, fd, aside, &left, &n, &ignored) && left.n == 0
        && remove_listed(&l, d->at.fd, aside, fd);
    release_list_free(&l);
    dir_list_free(&own);
    dir_list_free(&left);
    return ok;
}

// NULL, or where what could not be removed is now.
static char *remove_old(const release_dir *d, const char *aside)
{
    const int fd = openat(d->at.fd, aside, FOLDER);
    const bool gone = fd >= 0 && clear_old(d, fd, aside);
    if (fd >= 0) close(fd);
    char *path = gone ? NULL : path_join(d->at.dir, aside);
    return gone ? NULL : path ? path : strdup(aside);
}

// The digest of the report in dest, open as fd; "" where there is none.
static bool report_there(int fd, const place *to, char hex[SHA256_HEX + 1], err *e)
{
    struct stat st;
    hex[0] = '\0';
    if (fd < 0 || (fstatat(fd, RELEASE_JSON, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)) return true;
    char *path = path_join(to->path, RELEASE_JSON);
    const bool ok = path ? sha256_file(path, hex, e) : err_nomem(e, "a path", strlen(to->path));
    free(path);
    return ok;
}

// Waits a little for another run that is publishing there. A file system without locks is gone on with.
static bool lock_dest(int fd, const place *to, err *e)
{
    enum { MOST_TRIES = 500 };
    const struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };
    for (int i = 0; i < MOST_TRIES; i++) {
        if (lock_try(fd) != LOCK_OTHERS) return true;
        nanosleep(&nap, NULL);
    }
    return err_set(e, ERR_SYSTEM, "%s: another program has it locked", to->path);
}

// *fd: dest, locked until it is closed; -1 where there is none. *other: by now it is another folder: look again.
static bool is_what_was_read(const release_dir *d, const place *to, int *fd, bool *other, err *e)
{
    char hex[SHA256_HEX + 1];
    *other = false;
    *fd = openat(to->fd, to->name, FOLDER);
    if (*fd < 0 && errno != ENOENT) return true;        // no folder: release_occupant_look says what it is
    if (*fd >= 0 && !lock_dest(*fd, to, e)) return false;
    *other = *fd >= 0 && !is_still(to->fd, to->name, *fd);
    if (*other) return true;
    if (!report_there(*fd, to, hex, e)) return false;
    if (strcmp(hex, d->over) == 0) return true;
    return err_set(e, ERR_SYSTEM, d->over[0] ? "%s: is no longer the release that this one began to add to"
                   : "%s: holds a release that was not there when this one began", to->path);
}

static bool try_to_put(release_dir *d, const place *to, release_before *before, char **aside, moved *how, err *e)
{
    occupant o;
    if (!is_still(d->at.fd, d->name, d->fd))
        return err_set(e, ERR_SYSTEM, "%s: is no longer the folder that was made", d->path);
    if (!release_occupant_look(to, &o, e)) return false;
    if (o.there) keep_mode(d->fd, &o.st, &d->at);
    else         (void)!fchmod(d->fd, d->mode);         // where that fails there are no permissions
    if (fsync(d->fd) != 0 && errno != EINVAL)           // EINVAL: no need of it here
        return err_errno(e, false, d->path, "flush the folder");
    *how = move(d, to->name, &o, aside);
    if (*how == FAILED) return err_errno(e, false, to->path, o.entries > 0 ? "replace" : "rename to");
    before->replaced = o.release && o.entries > 0 && (*how == MOVED_OVER || *how == MOVED);
    return true;
}

static bool put(release_dir *d, const place *to, release_before *before, char **aside, err *e)
{
    enum { MOST_LOOKS = 8 };
    for (int i = 0; i < MOST_LOOKS; i++) {
        int   fd = -1;
        bool  other = false;
        moved how = CHANGED;
        const bool ok = (!d->over || is_what_was_read(d, to, &fd, &other, e))
            && (other || try_to_put(d, to, before, aside, &how, e));
        if (fd >= 0) close(fd);
        if (!ok) return false;
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

bool release_dir_link(release_dir *d, const char *dest, const char *name, bool *linked, err *e)
{
    struct stat st;
    const int fd = open(dest, FOLDER);
    *linked = false;
    if (fd < 0) return err_errno(e, false, dest, "open the folder");
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        *linked = linkat(fd, name, d->fd, name, 0) == 0;
    close(fd);
    return true;
}

// ---- what did not pass ----------------------------------------------------------------------------------------------

static int64_t bytes_in(int fd)
{
    int64_t sum = 0;
    struct stat st;
    DIR *d = dir_entries(fd);
    for (struct dirent *x; d && (x = readdir(d)) != NULL;)
        if (fstatat(fd, x->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) sum += st.st_size;
    if (d) closedir(d);
    return sum;
}

// why: of the folder open as fd, what keeps it, or "". l: its list, release_list_free in any case.
static void may_go(release_list *l, int fd, const struct stat *st, const struct stat *parent, const char *name,
                   char why[256])
{
    dir_list others = { 0 };
    int n;
    err bad = { 0 };
    const bool read = release_list_read(l, fd, &bad) && release_list_others(l, fd, "", &others, &n, &bad);
    why[0] = '\0';
    if (!read)                            snprintf(why, 256, "it cannot be read");
    else if (!is_ours(st, parent))        snprintf(why, 256, "it is another user's");
    else if (!l->report || !l->did_not_pass)
        snprintf(why, 256, "it holds no report of a release that did not pass");
    else if (strcmp(l->name, name) != 0)  snprintf(why, 256, "it is of a release of another name");
    else if (others.n > 0)                snprintf(why, 256, "it holds '%.200s', which no release wrote", others.v[0]);
    dir_list_free(&others);
}

stale_end release_dir_discard(const char *dest, const char *name, const char *needed, int64_t *bytes, char why[256])
{
    place to;
    struct stat st, parent;
    err   ignored = { 0 };
    stale_end end = STALE_NONE;
    if (!place_open(&to, dest, &ignored)) return STALE_NONE;
    const int fd = openat(to.fd, to.name, FOLDER);
    if (fd >= 0 && fstat(fd, &st) == 0 && fstat(to.fd, &parent) == 0) {
        *bytes = bytes_in(fd);
        end = STALE_STAYS;
        release_list l = { 0 };
        may_go(&l, fd, &st, &parent, name, why);
        const bool go = why[0] == '\0';
        if (go) snprintf(why, 256, "%s", needed ? needed : "it cannot be removed");
        if (go && !needed && remove_listed(&l, to.fd, to.name, fd)) end = STALE_REMOVED;
        release_list_free(&l);
    }
    if (fd >= 0) close(fd);
    place_close(&to);
    return end;
}
