#define _GNU_SOURCE
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checked.h"
#include "dir_list.h"
#include "file_kind.h"
#include "file_map.h"
#include "place.h"
#include "unfinished.h"

struct outfile {
    place       at;             // destination, links resolved
    char       *tmp, *tmp_path; // "<name>.partial-<number>" beside it
    int         fd;             // open and locked (flock) for as long as it is being written
    int64_t     size;           // reserved bytes; 0: unknown
    int64_t     limit;          // RLIMIT_FSIZE: writing past it would be answered with a deadly signal
    int64_t     appended;
    atomic_bool no_kernel_copy; // copy_file_range was refused once: do not ask again
    _Atomic int64_t unflushed;  // bytes written since the disk was last asked to begin with them
    unfinished  listed;
};

static void outfile_free(outfile *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    place_close(&f->at);
    free(f->tmp);
    free(f->tmp_path);
    free(f);
}

// ---- names ---------------------------------------------------------------------------------------------------------

// Where the link at p leads, as a path that is the caller's to free. In a folder that others can write to, a link of
// theirs could lead to any file of ours: followed are our own, root's, and those of the folder's owner (as with Linux's
// fs.protected_symlinks).
static char *follow(const place *p, const struct stat *link, err *e)
{
    struct stat dir;
    char target[4097], *next = NULL;
    if (fstat(p->fd, &dir) != 0 || (link->st_uid != geteuid() && link->st_uid != 0 && link->st_uid != dir.st_uid)) {
        err_set(e, ERR_SYSTEM, "%s: cannot write: it is a link that belongs to another user", p->path);
        return NULL;
    }
    const ssize_t n = readlinkat(p->fd, p->name, target, sizeof target - 1);
    if (n <= 0) { place_cannot_create(p->path, n == 0 ? ENOENT : errno, e); return NULL; }
    target[n] = '\0';
    if (asprintf(&next, "%s%s%s", target[0] == '/' ? "" : p->dir, target[0] == '/' ? "" : "/", target) < 0) {
        err_nomem(e, "a path", strlen(target));
        return NULL;
    }
    return next;
}

// /dev/stdout, /dev/fd/3, /proc/self/fd/1: what is open there may even be a file; it would be replaced, and who holds
// it open would go on with the old one.
static bool is_open_stream(const place *p)
{
    struct statfs fs;
    return fstatfs(p->fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static bool refuse_stream(const char *path, const struct stat *there, err *e)
{
    const char *kind = there && !S_ISREG(there->st_mode) ? file_kind_of_mode(there->st_mode) : "an open stream";
    return err_set(e, ERR_USAGE, "%s: cannot write: it is not a regular file, but %s, and the output is not written in "
                   "order", path, kind);
}

// The destination with links resolved, so that a link to another disk keeps pointing there; its folder is held open.
// *old: what is there.
static bool resolve(place *at, const char *path, struct stat *old, bool *exists, err *e)
{
    enum { MOST_LINKS = 40 };                       // as the kernel
    char *next = strdup(path);
    *exists = false;
    for (int hops = 0; next && hops <= MOST_LINKS; hops++) {
        err why = { 0 };
        const size_t n = strlen(next);
        if (n > 0 && next[n - 1] == '/') {
            err_set(e, ERR_USAGE, "%s: cannot write: the name of a folder", path);
            break;
        }
        bool ok = place_open(at, next, &why);
        if (!ok && (hops == 0 || why.kind != ERR_USAGE)) { err_set(e, why.kind, "%s", why.msg); break; }
        if (ok && is_open_stream(at)) { refuse_stream(path, stat(path, old) == 0 ? old : NULL, e); break; }
        *exists = ok && fstatat(at->fd, at->name, old, AT_SYMLINK_NOFOLLOW) == 0;
        if (!*exists && hops > 0) {
            err_set(e, ERR_USAGE, "%s: cannot create: No such file or directory: %s, where the link leads", path, next);
            break;
        }
        if (!*exists || !S_ISLNK(old->st_mode)) { free(next); return true; }
        char *further = follow(at, old, e);
        free(next);
        next = further;
        place_close(at);
    }
    if (next) place_cannot_create(path, ELOOP, e);  // unless something else was said before
    else      err_nomem(e, "a path", strlen(path) + 1);
    free(next);
    place_close(at);
    return false;
}

// resolve, and whether what is there may be replaced.
static bool resolve_destination(place *at, const char *path, struct stat *old, bool *exists, err *e)
{
    if (path[0] == '\0') return err_set(e, ERR_USAGE, "the output path is empty");
    if (stat(path, old) == 0 && S_ISDIR(old->st_mode))
        return err_set(e, ERR_USAGE, "%s: cannot write: it is a folder", path);
    if (!resolve(at, path, old, exists, e)) return false;
    bool ok = !*exists || S_ISREG(old->st_mode) || refuse_stream(path, old, e);
    ok = ok && place_writable(at, e);
    if (ok && *exists && faccessat(at->fd, at->name, W_OK, AT_EACCESS) != 0 && errno == EACCES)
        ok = err_set(e, ERR_SYSTEM, "%s: cannot replace: the file there may not be written to (permissions %03o)", path,
                     (unsigned)old->st_mode & 0777);
    ok = ok && (!*exists || place_replaceable(at, old, e));
    if (!ok) place_close(at);
    return ok;
}

bool outfile_check(const char *path, err *e)
{
    place at = { .fd = -1 };
    struct stat old;
    bool exists;
    bool ok = resolve_destination(&at, path, &old, &exists, e);
    place_close(&at);
    return ok;
}

bool outfile_check_folder(const char *path, err *e)
{
    struct stat there;
    place  at = { .fd = -1 };
    char  *name = strdup(path);
    size_t n = strlen(path);
    if (!name) return err_nomem(e, "a path", n + 1);
    while (n > 1 && name[n - 1] == '/') name[--n] = '\0';
    bool ok = n > 0 || err_set(e, ERR_USAGE, "the output path is empty");
    if (ok && lstat(name, &there) == 0) {
        if (S_ISLNK(there.st_mode))       ok = err_set(e, ERR_USAGE, "%s: is a link; name the folder itself", path);
        else if (!S_ISDIR(there.st_mode)) ok = err_set(e, ERR_USAGE, "%s: is there already and is not a folder", path);
    }
    ok = ok && place_open(&at, name, e) && place_writable(&at, e);
    ok = ok && (fstatat(at.fd, at.name, &there, AT_SYMLINK_NOFOLLOW) != 0 || place_replaceable(&at, &there, e));
    place_close(&at);
    free(name);
    return ok;
}

// ---- the temporary file --------------------------------------------------------------------------------------------

static int open_leftover(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    return fd < 0 && errno == EACCES ? openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : fd;
}

// A file of ours under no other name: only such a one was made here. Anybody can put a link or a pipe under such a
// name.
static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1;
}

// Removes temporary files whose writer is gone. A living writer holds a lock on its file, which says so more reliably
// than a process number, which is reused, and which is often the same in every container.
static void remove_leftovers(const place *at)
{
    struct stat st;
    DIR *d = dir_entries(at->fd);
    for (struct dirent *ent; d && (ent = readdir(d));) {
        if (!is_partial_of(ent->d_name, at->name) || fstatat(at->fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0
            || !is_ours(&st)) continue;
        int fd = open_leftover(at->fd, ent->d_name);
        if (fd < 0) continue;
        const bool dead = fstat(fd, &st) == 0 && is_ours(&st) && lock_try(fd) == LOCK_MINE
            && is_still(at->fd, ent->d_name, fd);
        if (dead) unlinkat(at->fd, ent->d_name, 0);
        close(fd);
    }
    if (d) closedir(d);
}

// It exists from here on, and whoever ends the process knows of it.
static void list(outfile *f)
{
    f->listed = (unfinished){ .dir_fd = f->at.fd, .name = f->tmp, .fd = f->fd, .path = f->at.path };
    unfinished_add(&f->listed);
}

static bool create_one(outfile *f, mode_t mode, bool *taken, err *e)
{
    struct stat st;
    *taken = false;
    f->fd = openat(f->at.fd, f->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (f->fd < 0) return errno == EEXIST || place_cannot_create(f->at.path, errno, e);
    *taken = lock_try(f->fd) != LOCK_OTHERS && fstat(f->fd, &st) == 0 && st.st_nlink > 0;
    if (*taken) list(f);
    return true;
}

// Creates the temporary file and locks it. Whatever has its name already, a link perhaps, is left alone: another is
// taken. Between creating and locking, another process may take it for a leftover: then again.
static bool create_locked(outfile *f, mode_t mode, err *e)
{
    for (int attempt = 0; attempt < PLACE_ATTEMPTS; attempt++) {
        bool taken;
        if (!place_partial(&f->at, attempt, &f->tmp, &f->tmp_path))
            return err_nomem(e, "a path", strlen(f->at.path) + 32);
        unfinished_lock();
        const bool ok = create_one(f, mode, &taken, e);
        unfinished_unlock();
        if (!ok || taken) return ok;
        if (f->fd >= 0) close(f->fd);
        f->fd = -1;
        free(f->tmp);
        free(f->tmp_path);
        f->tmp = f->tmp_path = NULL;
    }
    return err_set(e, ERR_SYSTEM, "%s: cannot create: every temporary name beside it is taken", f->at.path);
}

// ---- space ---------------------------------------------------------------------------------------------------------

static bool no_space(const outfile *f, int64_t size, int code, err *e)
{
    char buf[128];
    return err_set(e, ERR_SYSTEM, "%s: cannot reserve %lld bytes: %s", f->at.path, (long long)size,
                   strerror_r(code, buf, sizeof buf));
}

// Not posix_fallocate: where the file system cannot reserve, glibc's writes into every block instead, which doubles the
// work.
static bool reserve(outfile *f, int64_t size, err *e)
{
    if (size > f->limit) return no_space(f, size, EFBIG, e);
    int rc;
    while ((rc = fallocate(f->fd, 0, 0, size)) != 0 && errno == EINTR) { }
    if (rc == 0) return true;
    if (errno != EOPNOTSUPP && errno != ENOSYS) return no_space(f, size, errno, e);
    struct statvfs vfs;     // the second best: a full disk is still told before the work
    if (fstatvfs(f->fd, &vfs) == 0 && vfs.f_frsize > 0 && (uint64_t)size / vfs.f_frsize > vfs.f_bavail)
        return no_space(f, size, ENOSPC, e);
    if (ftruncate(f->fd, size) != 0) return no_space(f, size, errno, e);
    return true;
}

outfile *outfile_open(const char *path, int64_t size, err *e)
{
    outfile *f = calloc(1, sizeof *f);
    if (!f) { err_nomem(e, "an output file", sizeof *f); return NULL; }
    f->fd   = f->at.fd = -1;
    f->size = size;
    struct rlimit rl;
    f->limit = getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < INT64_MAX ? (int64_t)rl.rlim_cur : INT64_MAX;
    if (size < 0) { err_set(e, ERR_SYSTEM, "%s: negative size %lld", path, (long long)size); goto fail; }
    struct stat old;
    bool replaces = false;
    if (!resolve_destination(&f->at, path, &old, &replaces, e)) goto fail;
    remove_leftovers(&f->at);
    if (!create_locked(f, replaces ? mode_to_keep(&old, &f->at) : 0666, e)) goto fail;
    if (replaces) keep_mode(f->fd, &old, &f->at);
    if (size > 0 && !reserve(f, size, e)) goto fail;
    return f;
fail:
    outfile_abort(f);
    return NULL;
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool range_ok(const outfile *f, int64_t off, int64_t n, err *e)
{
    int64_t end;
    if (!add_i64(off, n, &end) || (f->size > 0 && end > f->size))
        return err_set(e, ERR_SYSTEM, "%s: offset %lld: cannot write %lld bytes: the file was planned with %lld",
                       f->at.path, (long long)off, (long long)n, (long long)f->size);
    if (end > f->limit) {
        errno = EFBIG;
        return err_errno(e, false, f->at.path, "write");
    }
    return true;
}

// To the disk while the work goes on: else the last flush would wait for most of a large file, and so would who ends
// the process. Only a hint.
static void flush_behind(outfile *f, int64_t n)
{
    enum { STEP = 16 << 20 };
    if (atomic_fetch_add(&f->unflushed, n) + n < STEP) return;
    atomic_store(&f->unflushed, 0);
    (void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static bool write_all(outfile *f, int64_t off, const uint8_t *src, int64_t n, err *e)
{
    while (n > 0) {
        ssize_t w = pwrite(f->fd, src, (size_t)(n < (1 << 30) ? n : 1 << 30), off);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            if (w == 0) errno = ENOSPC;
            return err_errno(e, false, f->at.path, "write");
        }
        flush_behind(f, w);
        src += w;
        off += w;
        n   -= w;
    }
    return true;
}

bool outfile_write_at(outfile *f, int64_t off, const void *src, int64_t n, err *e)
{
    return range_ok(f, off, n, e) && write_all(f, off, src, n, e);
}

// Copies what it can inside the kernel; *done bytes. False only on an error that a plain copy would meet too.
static bool copy_in_kernel(outfile *f, int64_t off, int src_fd, int64_t src_off, int64_t n, int64_t *done, err *e)
{
    *done = 0;
    while (*done < n && !atomic_load(&f->no_kernel_copy)) {
        off_t   in = src_off + *done, out = off + *done;
        size_t  chunk = (size_t)(n - *done < (1 << 30) ? n - *done : 1 << 30);
        ssize_t w = copy_file_range(src_fd, &in, f->fd, &out, chunk, 0);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT))
            return err_errno(e, false, f->at.path, "write");
        if (w < 0) atomic_store(&f->no_kernel_copy, true);      // another file system, an old kernel, a seal
        if (w <= 0) break;                                      // 0: some file systems say so though there is more
        // To the disk already now, while the caller takes digests: else commit would wait for most of a large file.
        // Only a hint.
        (void)sync_file_range(f->fd, off + *done, w, SYNC_FILE_RANGE_WRITE);
        *done += w;
    }
    return true;
}

bool outfile_copy_at(outfile *f, int64_t off, int src_fd, int64_t src_off, int64_t n, err *e)
{
    enum { CHUNK = 1 << 20 };
    int64_t done;
    if (!range_ok(f, off, n, e) || !copy_in_kernel(f, off, src_fd, src_off, n, &done, e)) return false;
    if (done == n) return true;
    uint8_t *buf = malloc(CHUNK);
    if (!buf) return err_nomem(e, "a copy buffer", CHUNK);
    bool ok = true;
    while (ok && done < n) {
        ssize_t r = pread(src_fd, buf, (size_t)(n - done < CHUNK ? n - done : CHUNK), src_off + done);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) { ok = err_errno(e, true, f->at.path, "read the source"); break; }
        if (r == 0) {
            ok = err_set(e, ERR_INPUT, "%s: the source ends %lld bytes early", f->at.path, (long long)(n - done));
            break;
        }
        ok = write_all(f, off + done, buf, r, e);
        done += r;
    }
    free(buf);
    return ok;
}

bool outfile_append(outfile *f, const void *src, int64_t n, err *e)
{
    if (!outfile_write_at(f, f->appended, src, n, e)) return false;
    f->appended += n;
    return true;
}

const char *outfile_tmp_path(const outfile *f) { return f->tmp_path; }
const char *outfile_path(const outfile *f)     { return f->at.path; }

// ---- the end -------------------------------------------------------------------------------------------------------

// The temporary name becomes the final one, in one piece for who ends the process: it is this file or none.
static bool give_its_name(outfile *f, err *e)
{
    if (!is_still(f->at.fd, f->tmp, f->fd))
        return err_set(e, ERR_SYSTEM, "%s: cannot rename: %s is no longer what was written there", f->at.path,
                       f->tmp_path);
    if (renameat(f->at.fd, f->tmp, f->at.fd, f->at.name) != 0)
        return err_errno(e, false, f->at.path, "rename to");
    unfinished_drop(&f->listed);
    return true;
}

bool outfile_commit(outfile *f, err *e)
{
    atomic_store(&f->listed.flushing, true);
    bool ok = fsync(f->fd) == 0 || err_errno(e, false, f->at.path, "flush");
    unfinished_lock();
    ok = ok && give_its_name(f, e);
    unfinished_unlock();
    if (!ok) {
        outfile_abort(f);
        return false;
    }
    ok = place_flush(&f->at, e);                    // the name is on disk only when the folder is
    outfile_free(f);
    return ok;
}

void outfile_abort(outfile *f)
{
    if (!f) return;
    unfinished_lock();
    if (f->fd >= 0 && is_still(f->at.fd, f->tmp, f->fd)) unlinkat(f->at.fd, f->tmp, 0);
    unfinished_drop(&f->listed);
    unfinished_unlock();
    outfile_free(f);
}

bool outfile_write_whole(const char *path, const void *src, int64_t n, err *e)
{
    outfile *f = outfile_open(path, n, e);
    if (!f) return false;
    if (!outfile_write_at(f, 0, src, n, e)) { outfile_abort(f); return false; }
    return outfile_commit(f, e);
}

bool outfile_write_text(const char *dir, const char *name, const char *text, err *e)
{
    char *path = text ? path_join(dir, name) : NULL;
    const bool ok = path ? outfile_write_whole(path, text, (int64_t)strlen(text), e) : err_nomem(e, name, 0);
    free(path);
    return ok;
}
