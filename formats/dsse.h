// dsse: a payload and the signature over it, as a Sigstore bundle of version 0.3 in JSON holds them:
//   {"mediaType":BUNDLE_MEDIA_TYPE,"verificationMaterial":{"publicKey":{"hint":hex},"tlogEntries":[]},
//    "dsseEnvelope":{"payload":base64,"payloadType":DSSE_IN_TOTO,"signatures":[{"sig":base64,"keyid":""}]}}
// Signed is the pre-authentication encoding of DSSE v1: "DSSEv1 <bytes of type> <type> <bytes of payload> <payload>".
// Sources: secure-systems-lab/dsse protocol.md v1.0.0; sigstore/protobuf-specs bundle v0.3.
// Proved by tests/bundle_test.c and tests/fuzz/bundle_fuzz.c; against PyPI's model-signing by
// tests/peers/model_signing.sh.
#ifndef HALLMARK_FORMATS_DSSE_H
#define HALLMARK_FORMATS_DSSE_H

#include "signing_key.h"

#define DSSE_IN_TOTO      "application/vnd.in-toto+json"
#define BUNDLE_MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
enum { BUNDLE_MOST_BYTES = 16 << 20 };      // of a bundle's text: 60 thousand files

typedef struct {
    char    *payload;               // n_payload bytes and a NUL
    int64_t  n_payload;
    uint8_t *sig;                   // n_sig bytes, DER
    int64_t  n_sig;
    char     hint[SHA256_HEX + 1];  // which key; "" where the bundle does not say
    bool     certified;             // by a certificate, which is nobody's key that could be compared with one at hand
} dsse;                             // owned; dsse_free

// Takes a bundle's text apart; nothing of it is judged yet. ERR_INPUT: no JSON, another media or payload type, no DSSE
// envelope, not one signature, no base64.
bool dsse_read(dsse *d, const char *text, int64_t n, const char *where, err *e);
void dsse_free(dsse *d);

// ERR_VERDICT: it names another key, or the signature does not hold for this one. ERR_INPUT: it was signed with a
// certificate.
bool dsse_check(const dsse *d, const signing_key *k, const char *where, err *e);

// The bundle's text, without a newline at its end; freed by the caller. NULL with the errors of signing_key_sign.
char *dsse_sign(const signing_key *k, const char *payload, int64_t n, err *e);

#endif
