#define _GNU_SOURCE
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct sha256 { EVP_MD_CTX *ctx; };

static bool crypto_failed(err *e)
{
    return err_set(e, ERR_SYSTEM, "libcrypto failed to compute a SHA-256 digest");
}

sha256 *sha256_new(err *e)
{
    sha256 *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "a digest", sizeof *s); return NULL; }
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
        crypto_failed(e);
        sha256_free(s);
        return NULL;
    }
    return s;
}

bool sha256_add(sha256 *s, const void *src, int64_t n, err *e)
{
    return EVP_DigestUpdate(s->ctx, src, (size_t)n) == 1 || crypto_failed(e);
}

bool sha256_end(sha256 *s, char hex[SHA256_HEX + 1], err *e)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned      n  = 0;
    bool          ok = EVP_DigestFinal_ex(s->ctx, md, &n) == 1 && n == SHA256_HEX / 2;
    sha256_free(s);
    if (!ok) return crypto_failed(e);
    for (unsigned i = 0; i < n; i++) {
        hex[2 * i]     = "0123456789abcdef"[md[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    hex[SHA256_HEX] = '\0';
    return true;
}

void sha256_free(sha256 *s)
{
    if (!s) return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

bool sha256_bytes(const void *src, int64_t n, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *s = sha256_new(e);
    if (!s) return false;
    if (!sha256_add(s, src, n, e)) { sha256_free(s); return false; }
    return sha256_end(s, hex, e);
}

enum { CHUNK = 1 << 18 };      // stays in a core's own cache between the copy from the kernel and the digest

// Adds n bytes of fd from offset off (n < 0: to the end of the file), through one buffer: a mapping would count as
// resident memory, and a file that shrinks meanwhile would end the program.
static bool add_range(sha256 *s, int fd, int64_t off, int64_t n, progress *p, const char *item, const char *where, err *e)
{
    uint8_t *buf = malloc(CHUNK);
    if (!buf) return err_nomem(e, "a read buffer", CHUNK);
    bool    ok   = true;
    int64_t done = 0;
    while (ok && done != n) {
        size_t  want = n < 0 || n - done > CHUNK ? CHUNK : (size_t)(n - done);
        ssize_t got  = pread(fd, buf, want, off + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) { ok = err_errno(e, true, where, "read"); break; }
        if (got == 0) {
            if (n >= 0) ok = err_set(e, ERR_INPUT, "%s: offset %lld: found the end, expected %lld more bytes", where,
                                     (long long)(off + done), (long long)(n - done));
            break;
        }
        ok = sha256_add(s, buf, got, e);
        done += got;
        progress_add(p, item, got);
    }
    free(buf);
    return ok;
}

bool sha256_range(int fd, int64_t off, int64_t n, progress *p, const char *item, const char *where, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *s = sha256_new(e);
    if (!s) return false;
    if (!add_range(s, fd, off, n, p, item, where, e)) { sha256_free(s); return false; }
    return sha256_end(s, hex, e);
}

bool sha256_file_progress(const char *path, progress *p, const char *item, char hex[SHA256_HEX + 1], err *e)
{
    // O_NONBLOCK: opening a pipe that nobody writes must fail below, not wait.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(e, true, path, "open");
    struct stat st;
    bool        ok = false;
    if (fstat(fd, &st) != 0) {
        err_errno(e, true, path, "stat");
    } else if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_INPUT, "%s: found %s, expected a regular file", path, S_ISDIR(st.st_mode) ? "a folder" : "a special file");
    } else {
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        ok = sha256_range(fd, 0, -1, p, item, path, hex, e);
    }
    close(fd);
    return ok;
}

bool sha256_file(const char *path, char hex[SHA256_HEX + 1], err *e)
{
    return sha256_file_progress(path, NULL, path, hex, e);
}
