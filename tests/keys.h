// keys: key files for tests of signatures, made by libcrypto.
#ifndef HALLMARK_TESTS_KEYS_H
#define HALLMARK_TESTS_KEYS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

// "Ed25519", "RSA" of 2048 bits, or a curve: "P-256", "secp256k1". NULL where libcrypto does not know it.
static inline EVP_PKEY *key_new(const char *kind)
{
    if (strcmp(kind, "RSA") == 0) return EVP_PKEY_Q_keygen(NULL, NULL, kind, (size_t)2048);
    return strcmp(kind, "Ed25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, kind) : EVP_EC_gen(kind);
}

// password NULL: not encrypted.
static inline bool key_write_private(EVP_PKEY *k, const char *path, const char *password)
{
    FILE *f = fopen(path, "wb");
    const bool ok = f && PEM_write_PKCS8PrivateKey(f, k, password ? EVP_aes_256_cbc() : NULL, password,
                                                   password ? (int)strlen(password) : 0, NULL, NULL) == 1;
    return f && fclose(f) == 0 && ok;
}

static inline bool key_write_public(EVP_PKEY *k, const char *path)
{
    FILE *f = fopen(path, "wb");
    const bool ok = f && PEM_write_PUBKEY(f, k) == 1;
    return f && fclose(f) == 0 && ok;
}

#endif
