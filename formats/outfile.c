#define _GNU_SOURCE
#include "outfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checked.h"

static const char INFIX[] = ".partial-";

struct outfile {
    char       *path;           // destination, links resolved
    char       *dir;            // its folder
    char       *tmp;            // dir/base.partial-<pid>
    int         fd;             // open and locked (flock) for as long as it is being written
    int64_t     size;           // reserved bytes; 0: unknown
    int64_t     limit;          // RLIMIT_FSIZE: writing past it would be answered with a deadly signal
    int64_t     appended;
    atomic_bool no_kernel_copy; // copy_file_range was refused once: do not ask again
};

static void outfile_free(outfile *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    free(f->path);
    free(f->dir);
    free(f->tmp);
    free(f);
}

// ---- names ---------------------------------------------------------------------------------------------------------

// A place that the caller cannot have meant is ERR_USAGE; one that is right and refuses is ERR_SYSTEM.
static bool cannot_create(const char *path, int code, err *e)
{
    char buf[128];
    bool wrong = code == ENOENT || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG;
    return err_set(e, wrong ? ERR_USAGE : ERR_SYSTEM, "%s: cannot create: %s", path, strerror_r(code, buf, sizeof buf));
}

// The folder that holds path (which does not end in '/'), freed by the caller; NULL when out of memory.
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

// dir is a folder, and path's name fits into it with room for the temporary infix; path is what messages name.
static bool check_folder_of(const char *path, const char *dir, err *e)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (stat(dir, &st) != 0)
        return errno == ENOENT ? err_set(e, ERR_USAGE, "%s: cannot create: there is no folder %s", path, dir) : cannot_create(path, errno, e);
    if (!S_ISDIR(st.st_mode)) return err_set(e, ERR_USAGE, "%s: cannot create: %s is not a folder", path, dir);
    const long most = pathconf(dir, _PC_NAME_MAX);
    const size_t n = strlen(slash ? slash + 1 : path) + sizeof INFIX + 10;      // 10: digits of a process number, and a few
    if (most > 0 && n > (size_t)most)
        return err_set(e, ERR_USAGE, "%s: cannot create: the name is %zu bytes too long for its folder", path, n - (size_t)most);
    return true;
}

// The destination with links resolved, so that a link to another disk keeps pointing there; its folder must exist.
static bool resolve_destination(outfile *f, const char *path, err *e)
{
    struct stat st;
    if (path[0] == '\0') return err_set(e, ERR_USAGE, "the output path is empty");
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        f->path = realpath(path, NULL);
        if (!f->path) return cannot_create(path, errno, e);
    } else {
        f->path = strdup(path);
        if (!f->path) return err_nomem(e, "a path", strlen(path) + 1);
    }
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, ERR_USAGE, "%s: cannot write: it is %s", path, S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    const char *slash = strrchr(f->path, '/');
    if (slash && slash[1] == '\0') return err_set(e, ERR_USAGE, "%s: cannot write: the name of a folder", path);
    f->dir = folder_of(f->path);
    if (!f->dir || asprintf(&f->tmp, "%s%s%ld", f->path, INFIX, (long)getpid()) < 0) {
        f->tmp = NULL;      // asprintf leaves it undefined
        return err_nomem(e, "a path", strlen(f->path) + 32);
    }
    return check_folder_of(f->path, f->dir, e);
}

bool outfile_check(const char *path, err *e)
{
    outfile f = { .fd = -1 };
    bool ok = resolve_destination(&f, path, e);
    if (ok && faccessat(AT_FDCWD, f.dir, W_OK | X_OK, AT_EACCESS) != 0) ok = cannot_create(path, errno, e);
    free(f.path);
    free(f.dir);
    free(f.tmp);
    return ok;
}

bool outfile_check_folder(const char *path, err *e)
{
    struct stat st;
    char  *name = strdup(path), *dir = NULL;
    size_t n = strlen(path);
    if (!name) return err_nomem(e, "a path", n + 1);
    while (n > 1 && name[n - 1] == '/') name[--n] = '\0';
    bool ok = n > 0 || err_set(e, ERR_USAGE, "the output path is empty");
    if (ok && stat(name, &st) == 0 && !S_ISDIR(st.st_mode)) ok = err_set(e, ERR_USAGE, "%s: is there already and is not a folder", path);
    if (ok && !(dir = folder_of(name))) ok = err_nomem(e, "a path", n + 1);
    ok = ok && check_folder_of(name, dir, e);
    if (ok && faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0) ok = cannot_create(path, errno, e);
    free(dir);
    free(name);
    return ok;
}

static bool is_leftover_name(const char *name, const char *base)
{
    size_t n = strlen(base), m = sizeof INFIX - 1;
    if (strncmp(name, base, n) != 0 || strncmp(name + n, INFIX, m) != 0) return false;
    const char *p = name + n + m;
    if (!*p) return false;
    for (; *p; p++)
        if (!isdigit((unsigned char)*p)) return false;
    return true;
}

// Removes temporary files whose writer is gone. A living writer holds a lock on its file, which says so more reliably than
// a process number, which is reused, and which is often the same in every container.
static void remove_leftovers(const outfile *f)
{
    const char *slash = strrchr(f->path, '/'), *base = slash ? slash + 1 : f->path;
    DIR        *d = opendir(f->dir);
    if (!d) return;     // creating the file will say why
    for (struct dirent *ent; (ent = readdir(d));) {
        if (!is_leftover_name(ent->d_name, base)) continue;
        int fd = openat(dirfd(d), ent->d_name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(d), ent->d_name, 0);
        close(fd);
    }
    closedir(d);
}

// Creates the temporary file and locks it. Between the two another process may take it for a leftover: then try again.
static bool create_locked(outfile *f, err *e)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        f->fd = open(f->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno == EEXIST)
            return err_set(e, ERR_SYSTEM, "%s: cannot create: another writer of this process is at it", f->path);
        if (f->fd < 0) return cannot_create(f->path, errno, e);
        struct stat st;
        if (flock(f->fd, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK || errno == EOPNOTSUPP)
            if (fstat(f->fd, &st) == 0 && st.st_nlink > 0) return true;
        close(f->fd);
        f->fd = -1;
    }
    return err_set(e, ERR_SYSTEM, "%s: cannot create: other processes keep removing it", f->path);
}

// ---- space ---------------------------------------------------------------------------------------------------------

static bool no_space(const outfile *f, int64_t size, int code, err *e)
{
    char buf[128];
    return err_set(e, ERR_SYSTEM, "%s: cannot reserve %lld bytes: %s", f->path, (long long)size, strerror_r(code, buf, sizeof buf));
}

// Not posix_fallocate: where the file system cannot reserve, glibc's writes into every block instead, which doubles the work.
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
    f->fd   = -1;
    f->size = size;
    struct rlimit rl;
    f->limit = getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < INT64_MAX ? (int64_t)rl.rlim_cur : INT64_MAX;
    if (size < 0) { err_set(e, ERR_SYSTEM, "%s: negative size %lld", path, (long long)size); goto fail; }
    if (!resolve_destination(f, path, e)) goto fail;
    remove_leftovers(f);
    if (!create_locked(f, e)) goto fail;
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
        return err_set(e, ERR_SYSTEM, "%s: offset %lld: cannot write %lld bytes: the file was planned with %lld", f->path,
                       (long long)off, (long long)n, (long long)f->size);
    if (end > f->limit) {
        errno = EFBIG;
        return err_errno(e, false, f->path, "write");
    }
    return true;
}

static bool write_all(outfile *f, int64_t off, const uint8_t *src, int64_t n, err *e)
{
    while (n > 0) {
        ssize_t w = pwrite(f->fd, src, (size_t)(n < (1 << 30) ? n : 1 << 30), off);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            if (w == 0) errno = ENOSPC;
            return err_errno(e, false, f->path, "write");
        }
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
        if (w < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT)) return err_errno(e, false, f->path, "write");
        if (w < 0) atomic_store(&f->no_kernel_copy, true);      // another file system, an old kernel, a seal
        if (w <= 0) break;                                      // 0: some file systems say so though there is more
        // To the disk already now, while the caller takes digests: else commit would wait for most of a large file. Only a hint.
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
        if (r < 0) { ok = err_errno(e, true, f->path, "read the source"); break; }
        if (r == 0) {
            ok = err_set(e, ERR_INPUT, "%s: the source ends %lld bytes early", f->path, (long long)(n - done));
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

const char *outfile_tmp_path(const outfile *f) { return f->tmp; }
const char *outfile_path(const outfile *f)     { return f->path; }

// ---- the end -------------------------------------------------------------------------------------------------------

// The name is on disk only when the folder is. Some file systems cannot flush a folder; the data is safe there all the same.
static bool flush_folder(const outfile *f, err *e)
{
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == EACCES || err_errno(e, false, f->dir, "open the folder to flush it");
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    if (!ok) err_errno(e, false, f->dir, "flush the folder");
    close(fd);
    return ok;
}

bool outfile_commit(outfile *f, err *e)
{
    if (fsync(f->fd) != 0) { err_errno(e, false, f->path, "flush"); goto fail; }
    if (rename(f->tmp, f->path) != 0) { err_errno(e, false, f->path, "rename to"); goto fail; }
    bool ok = flush_folder(f, e);
    outfile_free(f);
    return ok;
fail:
    outfile_abort(f);
    return false;
}

void outfile_abort(outfile *f)
{
    if (!f) return;
    if (f->tmp && f->fd >= 0) unlink(f->tmp);       // fd < 0: it was never ours
    outfile_free(f);
}

bool outfile_write_whole(const char *path, const void *src, int64_t n, err *e)
{
    outfile *f = outfile_open(path, n, e);
    if (!f) return false;
    if (!outfile_write_at(f, 0, src, n, e)) { outfile_abort(f); return false; }
    return outfile_commit(f, e);
}
