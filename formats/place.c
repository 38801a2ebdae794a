#define _GNU_SOURCE
#include "place.h"
#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

bool place_cannot_create(const char *path, int code, err *e)
{
    char buf[128];
    bool wrong = code == ENOENT || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG;
    return err_set(e, wrong ? ERR_USAGE : ERR_SYSTEM, "%s: cannot create: %s", path, strerror_r(code, buf, sizeof buf));
}

// A folder that may not be listed can still be written to.
static int open_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 && errno == EACCES ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : fd;
}

bool place_open(place *p, const char *path, err *e)
{
    struct stat st;
    *p = (place){ .path = strdup(path), .dir = path_dir(path), .name = strdup(path_base(path)), .fd = -1 };
    if (!p->path || !p->dir || !p->name) { err_nomem(e, "a path", strlen(path) + 1); goto fail; }
    if (!p->name[0] || strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0) {
        err_set(e, ERR_USAGE, "%s: cannot create: this is no name in a folder", path);
        goto fail;
    }
    p->fd = open_folder(p->dir);
    if (p->fd < 0) {
        const int code = errno;
        if (code == ENOENT) err_set(e, ERR_USAGE, "%s: cannot create: there is no folder %s", path, p->dir);
        else if (stat(p->dir, &st) == 0 && !S_ISDIR(st.st_mode))
            err_set(e, ERR_USAGE, "%s: cannot create: %s is not a folder", path, p->dir);
        else place_cannot_create(path, code, e);
        goto fail;
    }
    const long most = fpathconf(p->fd, _PC_NAME_MAX);
    const size_t n = strlen(p->name) + sizeof PARTIAL_INFIX + 10;       // 10: digits of a number, and a few
    if (most <= 0 || n <= (size_t)most) return true;
    err_set(e, ERR_USAGE, "%s: cannot create: the name is %zu bytes too long for its folder", path, n - (size_t)most);
fail:
    place_close(p);
    return false;
}

void place_close(place *p)
{
    if (p->path && p->fd >= 0) close(p->fd);
    free(p->path);
    free(p->dir);
    free(p->name);
    *p = (place){ .fd = -1 };
}

bool place_writable(const place *p, err *e)
{
    return faccessat(p->fd, ".", W_OK | X_OK, AT_EACCESS) == 0 || place_cannot_create(p->path, errno, e);
}

// unlink(2), EPERM: in a folder with the sticky bit only the owners of the file and of the folder may, and root.
bool place_replaceable(const place *p, const struct stat *there, err *e)
{
    struct stat dir;
    if (geteuid() == 0 || fstat(p->fd, &dir) != 0 || !(dir.st_mode & S_ISVTX)) return true;
    if (there->st_uid == geteuid() || dir.st_uid == geteuid()) return true;
    return err_set(e, ERR_SYSTEM, "%s: cannot replace: it belongs to another user", p->path);
}

bool place_flush(const place *p, err *e)
{
    // EBADF: opened without a right to list
    if (fsync(p->fd) == 0 || errno == EINVAL || errno == EBADF || errno == ENOTSUP || errno == EROFS) return true;
    return err_errno(e, false, p->dir, "flush the folder");
}

bool place_partial(const place *p, int attempt, char **name, char **path)
{
    uint32_t number = (uint32_t)getpid();
    if (attempt > 0 && getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
        number = (uint32_t)getpid() + (uint32_t)attempt;
    *name = *path = NULL;
    if (asprintf(name, "%s%s%u", p->name, PARTIAL_INFIX, number) < 0) *name = NULL;
    if (*name && asprintf(path, "%s%s%u", p->path, PARTIAL_INFIX, number) < 0) *path = NULL;
    if (*path) return true;
    free(*name);
    *name = NULL;
    return false;
}

size_t partial_base(const char *name)
{
    const size_t n = strlen(name), m = sizeof PARTIAL_INFIX - 1;
    size_t end = n;
    while (end > 0 && name[end - 1] >= '0' && name[end - 1] <= '9') end--;
    return end < n && end > m && memcmp(name + end - m, PARTIAL_INFIX, m) == 0 ? end - m : 0;
}

bool is_partial_of(const char *name, const char *base)
{
    const size_t n = partial_base(name);
    return n > 0 && n == strlen(base) && memcmp(name, base, n) == 0;
}

bool is_still(int dir_fd, const char *name, int fd)
{
    struct stat there, open_one;
    if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) != 0 || fstat(fd, &open_one) != 0) return false;
    return there.st_dev == open_one.st_dev && there.st_ino == open_one.st_ino;
}

lock_result lock_try(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return LOCK_MINE;
    return errno == EWOULDBLOCK ? LOCK_OTHERS : LOCK_NONE;
}

mode_t mode_to_keep(const struct stat *old, const place *p)
{
    struct stat dir;
    mode_t mode = old->st_mode & 0777;
    const bool everybodys = fstat(p->fd, &dir) != 0 || (dir.st_mode & S_IWOTH);
    return everybodys && old->st_uid != geteuid() ? mode & ~(mode_t)(S_IWGRP | S_IWOTH) : mode;
}

void keep_mode(int fd, const struct stat *old, const place *p)
{
    struct stat now;
    mode_t mode = mode_to_keep(old, p);
    if (fstat(fd, &now) != 0) return;
    if (now.st_gid != old->st_gid && fchown(fd, (uid_t)-1, old->st_gid) != 0)
        mode &= ~(mode_t)070 | ((mode & 07) << 3);              // another group gets no more than everybody
    if (S_ISDIR(now.st_mode)) mode |= (old->st_mode | now.st_mode) & S_ISGID;
    if (fchmod(fd, mode) != 0) return;                          // a file system without permissions
}
