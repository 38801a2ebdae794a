#define _GNU_SOURCE
#include "file_map.h"
#include "file_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// A text that git-lfs left in place of the file is no content of anybody's, whatever was to be read from it.
static bool was_fetched(int fd, int64_t size, const char *path, err *e)
{
    uint8_t head[FILE_KIND_HEAD];
    ssize_t n = size < FILE_POINTER_BYTES ? pread(fd, head, sizeof head, 0) : 0;
    return n <= 0 || file_is_no_pointer(path, head, n, e);
}

// Opens a regular file for reading; -1 with e set otherwise.
static int open_regular(const char *path, int64_t *size, err *e)
{
    // O_NONBLOCK: opening a pipe that nobody writes must fail below, not wait.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) { err_errno(e, true, path, "open"); return -1; }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        err_errno(e, true, path, "stat");
    } else if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_INPUT, "%s: found %s, expected a regular file", path, file_kind_of_mode(st.st_mode));
    } else if (was_fetched(fd, st.st_size, path, e)) {
        *size = st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

bool file_map_open(file_map *m, const char *path, err *e)
{
    *m = (file_map){ .fd = -1 };
    m->fd = open_regular(path, &m->size, e);
    if (m->fd < 0) { *m = (file_map){ 0 }; return false; }
    m->path = strdup(path);
    if (!m->path) { err_nomem(e, "a path", strlen(path) + 1); goto fail; }
    if (m->size > 0) {
        void *p = mmap(NULL, (size_t)m->size, PROT_READ, MAP_SHARED, m->fd, 0);
        if (p == MAP_FAILED) { err_errno(e, true, path, "map"); goto fail; }
        m->data = p;
    }
    return true;
fail:
    file_map_close(m);
    return false;
}

void file_map_close(file_map *m)
{
    if (!m->path && m->fd <= 0) return;         // a zeroed one
    if (m->data) munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    if (m->fd >= 0) close(m->fd);
    free(m->path);
    *m = (file_map){ 0 };
}

// n bytes of an open file, fewer where it has become shorter, and a NUL; the descriptor is closed.
static bool read_bytes(int fd, int64_t n_wanted, char **text, int64_t *n_bytes, const char *path, err *e)
{
    int64_t got = 0;
    bool    ok  = true;
    char   *buf = malloc((size_t)n_wanted + 1);
    if (!buf) ok = err_nomem(e, path, (size_t)n_wanted + 1);
    while (ok && got < n_wanted) {
        ssize_t n = read(fd, buf + got, (size_t)(n_wanted - got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) ok = err_errno(e, true, path, "read");
        if (n <= 0) break;      // it shrank meanwhile: what is left is what there is
        got += n;
    }
    close(fd);
    if (!ok) {
        free(buf);
        return false;
    }
    buf[got] = '\0';
    *text    = buf;
    *n_bytes = got;
    return true;
}

bool file_read_text(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e)
{
    int64_t size = 0;
    int     fd   = open_regular(path, &size, e);
    if (fd < 0) return false;
    if (size <= max_bytes) return read_bytes(fd, size, text, n_bytes, path, e);
    close(fd);
    return err_set(e, ERR_INPUT, "%s: found %lld bytes, expected at most %lld", path, (long long)size,
                   (long long)max_bytes);
}

bool file_read_head(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e)
{
    int64_t size = 0;
    int     fd   = open_regular(path, &size, e);
    return fd >= 0 && read_bytes(fd, size < max_bytes ? size : max_bytes, text, n_bytes, path, e);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool file_exists_in(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    const bool there = path && file_exists(path);
    free(path);
    return there;
}

bool dir_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

// Without links as far as it is there, then as it is written. malloc'd; NULL when out of memory.
static char *path_real(const char *path)
{
    size_t n = strlen(path);
    char *real = realpath(path, NULL);
    if (real) return real;
    while (n > 1 && path[n - 1] == '/') n--;
    char *bare = strndup(path, n);
    if (!bare || strcmp(bare, "/") == 0 || strcmp(bare, ".") == 0 || !bare[0]) return bare;
    char *above = path_dir(bare), *above_real = above ? path_real(above) : NULL;
    const char *name = path_base(bare);
    const bool same = strcmp(name, ".") == 0;
    real = !above_real ? NULL : same ? strdup(above_real) : path_join(above_real, name);
    free(above_real);
    free(above);
    free(bare);
    return real;
}

bool path_lies_in(bool *lies, const char *path, const char *folder, err *e)
{
    char *at = path_real(path), *in = path_real(folder);
    const bool ok = (at && in) || err_nomem(e, "a path", strlen(path));
    *lies = false;
    while (ok && !(*lies = strcmp(at, in) == 0 || same_file(at, in))) {
        char *slash = strrchr(at, '/');
        if (!slash || !slash[1]) break;                         // the root holds all
        slash[slash == at ? 1 : 0] = '\0';
    }
    free(at);
    free(in);
    return ok;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    char  *out = NULL;
    if (asprintf(&out, "%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name) < 0) return NULL;
    return out;
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
