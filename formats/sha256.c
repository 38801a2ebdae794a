// The functions that keep their state in the open: two digests are joined at whole blocks, which EVP's cannot be.
#define OPENSSL_API_COMPAT 10101
#include "sha256.h"
#include "digest_queue.h"
#include "sha256_two.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = SHA256_CBLOCK };

struct sha256 { SHA256_CTX c; };

static bool crypto_failed(err *e)
{
    return err_set(e, ERR_SYSTEM, "libcrypto failed to compute a SHA-256 digest");
}

sha256 *sha256_new(err *e)
{
    sha256 *s = calloc(1, sizeof *s);
    if (!s) { err_nomem(e, "a digest", sizeof *s); return NULL; }
    if (SHA256_Init(&s->c) == 1) return s;
    crypto_failed(e);
    free(s);
    return NULL;
}

bool sha256_add(sha256 *s, const void *src, int64_t n, err *e)
{
    return n == 0 || SHA256_Update(&s->c, src, (size_t)n) == 1 || crypto_failed(e);
}

// Bytes up to the next whole block, at most n.
static int64_t to_block_end(const sha256 *s, int64_t n)
{
    const int64_t lacks = (BLOCK - (int64_t)s->c.num) % BLOCK;
    return lacks < n ? lacks : n;
}

// What SHA256_Update does with its count of bits.
static void count_blocks(sha256 *s, int64_t n_blocks)
{
    const uint64_t bits = ((uint64_t)s->c.Nh << 32 | s->c.Nl) + (uint64_t)n_blocks * BLOCK * 8;
    s->c.Nl = (SHA_LONG)bits;
    s->c.Nh = (SHA_LONG)(bits >> 32);
}

bool sha256_add_two(sha256 *a, const void *x, int64_t nx, sha256 *b, const void *y, int64_t ny, err *e)
{
    _Static_assert(sizeof a->c.h[0] == sizeof(uint32_t), "libcrypto's words of state are those of sha256_two");
    const uint8_t *p = x, *q = y;
    sha256_two_blocks *two = sha256_two_find();
    if (two) {
        const int64_t da = to_block_end(a, nx), db = to_block_end(b, ny);
        if (!sha256_add(a, p, da, e) || !sha256_add(b, q, db, e)) return false;
        const int64_t na = (nx - da) / BLOCK, nb = (ny - db) / BLOCK, n = na < nb ? na : nb;
        if (n > 0) two(a->c.h, p + da, b->c.h, q + db, n);
        count_blocks(a, n);
        count_blocks(b, n);
        p += da + n * BLOCK, nx -= da + n * BLOCK;
        q += db + n * BLOCK, ny -= db + n * BLOCK;
    }
    return sha256_add(a, p, nx, e) && sha256_add(b, q, ny, e);
}

bool sha256_end(sha256 *s, char hex[SHA256_HEX + 1], err *e)
{
    unsigned char md[SHA256_HEX / 2];
    const bool ok = SHA256_Final(md, &s->c) == 1;
    sha256_free(s);
    if (!ok) return crypto_failed(e);
    for (size_t i = 0; i < sizeof md; i++) {
        hex[2 * i]     = "0123456789abcdef"[md[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    hex[SHA256_HEX] = '\0';
    return true;
}

bool sha256_end_if(sha256 *s, bool ok, char hex[SHA256_HEX + 1], err *e)
{
    if (ok) return sha256_end(s, hex, e);
    sha256_free(s);
    return false;
}

void sha256_free(sha256 *s) { free(s); }

bool sha256_is_hex(const char *s)
{
    return strlen(s) == SHA256_HEX && strspn(s, "0123456789abcdef") == SHA256_HEX;
}

bool sha256_bytes(const void *src, int64_t n, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *s = sha256_new(e);
    return s && sha256_end_if(s, sha256_add(s, src, n, e), hex, e);
}

bool sha256_file(const char *path, char hex[SHA256_HEX + 1], err *e)
{
    digest_queue *q = digest_queue_new(1, NULL, e);
    bool ok = q != NULL;
    if (ok) {
        digest_queue_add_file(q, path, path);
        digest_queue_run(q, 1);
        ok = digest_queue_get(q, 0, hex, e);
    }
    digest_queue_free(q);
    return ok;
}
