// signing_key: an elliptic-curve key of a PEM file, and ECDSA with it, by libcrypto.
//
// Curves and digests as the OpenSSF Model Signing format pairs them: P-256 with SHA-256, P-384 with SHA-384, P-521 with
// SHA-512. A private key's bytes are wiped when they were read; nothing of it stands in a message.
// Signatures are DER (SEQUENCE of r and s), made with a random nonce: libcrypto 3.0 has no nonces of RFC 6979, so two
// signatures of the same bytes differ.
// Proved by tests/bundle_test.c.
#ifndef HALLMARK_FORMATS_SIGNING_KEY_H
#define HALLMARK_FORMATS_SIGNING_KEY_H

#include "sha256.h"

typedef struct signing_key signing_key;     // owned; signing_key_free
typedef enum { KEY_PRIVATE, KEY_PUBLIC } key_half;

// ERR_INPUT: the file cannot be read, is no PEM key of that half, is encrypted, is of another kind (RSA, Ed25519) or of
// another curve. NULL then.
signing_key *signing_key_read(const char *path, key_half half, err *e);
void         signing_key_free(signing_key *k);              // NULL is allowed

bool        signing_key_is_shared(const signing_key *k);    // others than its owner may read the file
const char *signing_key_curve(const signing_key *k);        // "P-256"
// What a bundle calls its key: SHA-256 in hex of the public key's PEM text (SubjectPublicKeyInfo).
const char *signing_key_hint(const signing_key *k);

// *sig: malloc'd, *n_sig bytes. ERR_SYSTEM; ERR_INPUT where the file's public half is not that of its private one.
bool signing_key_sign(const signing_key *k, const void *msg, int64_t n, uint8_t **sig, int64_t *n_sig, err *e);
// Did this key sign these bytes? Whatever goes wrong is a no.
bool signing_key_holds(const signing_key *k, const void *msg, int64_t n, const uint8_t *sig, int64_t n_sig);

#endif
