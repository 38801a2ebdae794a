#include "signing_key.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_KEY_BYTES = 1 << 16 };

typedef struct { const char *name, *group; const EVP_MD *(*digest)(void); } curve;
static const curve CURVES[] = {
    { "P-256", "prime256v1", EVP_sha256 },
    { "P-384", "secp384r1", EVP_sha384 },
    { "P-521", "secp521r1", EVP_sha512 },
};

struct signing_key {
    EVP_PKEY    *pkey;
    const curve *curve;
    bool         shared;
    char         hint[SHA256_HEX + 1];
};

// ---- reading -------------------------------------------------------------------------------------------------------

typedef struct { char *s; size_t n; bool shared; } key_text;

static void key_text_drop(key_text *t)
{
    if (t->s) OPENSSL_cleanse(t->s, t->n);
    free(t->s);
    *t = (key_text){ 0 };
}

// Through one descriptor, and into one block, so that no copy of the bytes stays anywhere.
static bool key_text_fill(key_text *t, int fd, const char *path, err *e)
{
    struct stat st;
    size_t got = 0;
    if (fstat(fd, &st) != 0) return err_errno(e, true, path, "look at");
    if (!S_ISREG(st.st_mode)) return err_set(e, ERR_INPUT, "%s: not a regular file; expected a key in PEM", path);
    if (st.st_size > MOST_KEY_BYTES)
        return err_set(e, ERR_INPUT, "%s: found %lld bytes, expected a key in PEM, which has some hundred", path,
                       (long long)st.st_size);
    t->shared = (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
    t->n = (size_t)st.st_size;
    t->s = malloc(t->n + 1);
    if (!t->s) return err_nomem(e, "a key", t->n + 1);
    while (got < t->n) {
        const ssize_t r = read(fd, t->s + got, t->n - got);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return err_set(e, ERR_INPUT, "%s: cannot be read to its end", path);
        got += (size_t)r;
    }
    t->s[t->n] = '\0';
    return true;
}

static bool key_text_read(key_text *t, const char *path, err *e)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return err_errno(e, true, path, "open the key");
    const bool ok = key_text_fill(t, fd, path, e);
    close(fd);
    if (!ok) key_text_drop(t);
    return ok;
}

// libcrypto asks this for a password; there is none, and the terminal is not asked.
static int no_password(char *buf, int size, int writing, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static bool refuse(const key_text *t, const char *path, key_half half, bool asked, err *e)
{
    if (asked || strstr(t->s, "ENCRYPTED"))
        return err_set(e, ERR_INPUT, "%s: the key is encrypted; expected one without a password", path);
    const bool private_there = strstr(t->s, "PRIVATE KEY-----") != NULL;
    const bool public_there  = strstr(t->s, "PUBLIC KEY-----") != NULL;
    if (half == KEY_PUBLIC && private_there)
        return err_set(e, ERR_INPUT, "%s: found a private key, expected a public one in PEM", path);
    if (half == KEY_PRIVATE && public_there)
        return err_set(e, ERR_INPUT, "%s: found a public key, expected a private one in PEM", path);
    return err_set(e, ERR_INPUT, private_there || public_there ? "%s: the key cannot be decoded"
                   : "%s: holds no key in PEM (\"-----BEGIN ... KEY-----\")", path);
}

static EVP_PKEY *decode(const key_text *t, const char *path, key_half half, err *e)
{
    bool asked = false;
    BIO *bio = BIO_new_mem_buf(t->s, (int)t->n);
    EVP_PKEY *p = NULL;
    if (!bio) { err_nomem(e, "a key", t->n); return NULL; }
    p = half == KEY_PRIVATE ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked)
                            : PEM_read_bio_PUBKEY(bio, NULL, no_password, &asked);
    BIO_free(bio);
    ERR_clear_error();
    if (!p) refuse(t, path, half, asked, e);
    return p;
}

static bool find_curve(signing_key *k, const char *path, err *e)
{
    char   group[64];
    size_t n;
    if (!EVP_PKEY_is_a(k->pkey, "EC")) {
        const char *kind = EVP_PKEY_get0_type_name(k->pkey);
        return err_set(e, ERR_INPUT,
                       "%s: found a key of the kind %s, expected an elliptic-curve key (P-256, P-384, P-521)",
                       path, kind ? kind : "?");
    }
    if (EVP_PKEY_get_group_name(k->pkey, group, sizeof group, &n) != 1) strcpy(group, "without a name");
    for (size_t i = 0; i < sizeof CURVES / sizeof *CURVES; i++)
        if (strcmp(group, CURVES[i].group) == 0) k->curve = &CURVES[i];
    return k->curve != NULL
        || err_set(e, ERR_INPUT, "%s: found a key on the curve %s, expected P-256, P-384 or P-521", path, group);
}

static bool find_hint(signing_key *k, err *e)
{
    char *text;
    BIO  *bio = BIO_new(BIO_s_mem());
    bool  ok = bio && PEM_write_bio_PUBKEY(bio, k->pkey) == 1;
    const long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    ok = ok ? sha256_bytes(text, n, k->hint, e) : err_nomem(e, "a public key", 0);
    BIO_free(bio);
    return ok;
}

signing_key *signing_key_read(const char *path, key_half half, err *e)
{
    key_text t = { 0 };
    signing_key *k = calloc(1, sizeof *k);
    if (!k) { err_nomem(e, "a key", sizeof *k); return NULL; }
    bool ok = key_text_read(&t, path, e);
    k->shared = t.shared;
    ok = ok && (k->pkey = decode(&t, path, half, e)) != NULL;
    ok = ok && find_curve(k, path, e) && find_hint(k, e);
    key_text_drop(&t);
    ERR_clear_error();
    if (ok) return k;
    signing_key_free(k);
    return NULL;
}

void signing_key_free(signing_key *k)
{
    if (k) EVP_PKEY_free(k->pkey);      // wipes what is private
    free(k);
}

bool        signing_key_is_shared(const signing_key *k) { return k->shared; }
const char *signing_key_curve(const signing_key *k)     { return k->curve->name; }
const char *signing_key_hint(const signing_key *k)      { return k->hint; }

// ---- ECDSA ---------------------------------------------------------------------------------------------------------

static bool sign(EVP_MD_CTX *c, const signing_key *k, const void *msg, int64_t n, uint8_t **sig, size_t *n_sig)
{
    if (EVP_DigestSignInit(c, NULL, k->curve->digest(), NULL, k->pkey) != 1) return false;
    if (EVP_DigestSign(c, NULL, n_sig, msg, (size_t)n) != 1) return false;
    *sig = malloc(*n_sig);
    return *sig && EVP_DigestSign(c, *sig, n_sig, msg, (size_t)n) == 1;
}

bool signing_key_sign(const signing_key *k, const void *msg, int64_t n, uint8_t **sig, int64_t *n_sig, err *e)
{
    size_t len = 0;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    *sig = NULL;
    bool ok = c && sign(c, k, msg, n, sig, &len);
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    if (!ok) err_set(e, ERR_SYSTEM, "libcrypto failed to sign");
    *n_sig = (int64_t)len;
    // A file may hold a public half that is another key's: what it signs would hold for nobody.
    if (ok && !signing_key_holds(k, msg, n, *sig, *n_sig))
        ok = err_set(e, ERR_INPUT, "the signing key's public half is not that of its private half");
    if (!ok) { free(*sig); *sig = NULL; }
    return ok;
}

bool signing_key_holds(const signing_key *k, const void *msg, int64_t n, const uint8_t *sig, int64_t n_sig)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    const bool holds = c && EVP_DigestVerifyInit(c, NULL, k->curve->digest(), NULL, k->pkey) == 1
        && EVP_DigestVerify(c, sig, (size_t)n_sig, msg, (size_t)n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return holds;
}
