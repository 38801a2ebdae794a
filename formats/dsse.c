#define _GNU_SOURCE
#include "dsse.h"
#include "json.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BUNDLE_VALUES = 4096, MOST_SIGNATURE_BYTES = 256 };

// ---- base64 --------------------------------------------------------------------------------------------------------

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Four characters, of which `used` are not padding, to three bytes. false: another character, or bits that no byte has.
static bool quantum(const char *s, int used, uint8_t out[3])
{
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) {
        const int v = i < used ? sextet(s[i]) : 0;
        if (v < 0) return false;
        bits = bits << 6 | (uint32_t)v;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return used == 4 || (used == 3 ? out[2] == 0 : out[1] == 0 && out[2] == 0);
}

// RFC 4648, section 4, with padding, and in no other spelling. malloc'd with a NUL behind; NULL: it is none, or memory
// ran out (*failed).
static uint8_t *base64_decode(const char *s, int64_t *n_bytes, bool *failed)
{
    const size_t n = strlen(s);
    const size_t pad = n > 0 && s[n - 1] == '=' ? (n > 1 && s[n - 2] == '=' ? 2 : 1) : 0;
    if (n % 4 != 0) return NULL;
    uint8_t *out = malloc(n / 4 * 3 + 1);
    *failed = out == NULL;
    for (size_t i = 0; out && i < n; i += 4)
        if (!quantum(s + i, i + 4 == n ? (int)(4 - pad) : 4, out + i / 4 * 3)) {
            free(out);
            return NULL;
        }
    *n_bytes = (int64_t)(n / 4 * 3 - pad);
    if (out) out[*n_bytes] = '\0';
    return out;
}

// malloc'd; NULL when out of memory.
static char *base64_encode(const void *src, int64_t n)
{
    char *out = malloc((size_t)(n + 2) / 3 * 4 + 1);
    if (out) EVP_EncodeBlock((unsigned char *)out, src, (int)n);
    return out;
}

// ---- what is signed ------------------------------------------------------------------------------------------------

// malloc'd; NULL when out of memory.
static char *pre_authentication(const char *payload, int64_t n, int64_t *n_out)
{
    char head[96];
    const int len = snprintf(head, sizeof head, "DSSEv1 %zu %s %lld ", strlen(DSSE_IN_TOTO), DSSE_IN_TOTO,
                             (long long)n);
    char *out = malloc((size_t)len + (size_t)n);
    if (!out) return NULL;
    memcpy(out, head, (size_t)len);
    memcpy(out + len, payload, (size_t)n);
    *n_out = len + n;
    return out;
}

bool dsse_check(const dsse *d, const signing_key *k, const char *where, err *e)
{
    int64_t n = 0;
    if (d->certified)
        return err_set(e, ERR_INPUT, "%s: key 'verificationMaterial': found a certificate, expected a public key",
                       where);
    if (d->hint[0] && strcmp(d->hint, signing_key_hint(k)) != 0)
        return err_set(e, ERR_VERDICT, "%s: signed with another key: found %.16s..., expected %.16s...", where, d->hint,
                       signing_key_hint(k));
    char *msg = pre_authentication(d->payload, d->n_payload, &n);
    if (!msg) return err_nomem(e, "what is signed", (size_t)d->n_payload);
    const bool holds = signing_key_holds(k, msg, n, d->sig, d->n_sig);
    free(msg);
    return holds || err_set(e, ERR_VERDICT, "%s: the signature does not hold for this key (%s, %.16s...)", where,
                            signing_key_curve(k), signing_key_hint(k));
}

// ---- reading -------------------------------------------------------------------------------------------------------

static bool decode(const cJSON *obj, const char *key, uint8_t **out, int64_t *n, const char *where, err *e)
{
    const char *s;
    bool failed = false;
    if (!json_str(obj, key, &s, where, e)) return false;
    *out = base64_decode(s, n, &failed);
    if (failed) return err_nomem(e, key, strlen(s));
    return *out != NULL || err_set(e, ERR_INPUT, "%s: key '%s': found no base64", where, key);
}

// Which key, where it is one.
static bool read_material(dsse *d, const cJSON *bundle, const char *where, err *e)
{
    const cJSON *m = json_get(bundle, "verificationMaterial"), *key = json_get(m, "publicKey");
    const char  *hint;
    if (!cJSON_IsObject(m))
        return err_set(e, ERR_INPUT, "%s: key 'verificationMaterial': found %s, expected an object", where,
                       json_kind(m));
    d->certified = json_get(m, "certificate") || json_get(m, "x509CertificateChain");
    if (d->certified) return true;
    if (!cJSON_IsObject(key))
        return err_set(e, ERR_INPUT, "%s: key 'publicKey': found %s, expected an object", where, json_kind(key));
    if (!json_str_or(key, "hint", "", &hint, where, e)) return false;
    if (hint[0] && strlen(hint) != SHA256_HEX)
        return err_set(e, ERR_INPUT, "%s: key 'hint': found '%.100s', expected a SHA-256 in hex", where, hint);
    strcpy(d->hint, hint);
    return true;
}

static bool read_signature(dsse *d, const cJSON *envelope, const char *where, err *e)
{
    const cJSON *list = json_get(envelope, "signatures");
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1)
        return err_set(e, ERR_INPUT, "%s: key 'signatures': found %s%d, expected an array of one", where,
                       cJSON_IsArray(list) ? "an array of " : "something else, of ", cJSON_GetArraySize(list));
    if (!decode(cJSON_GetArrayItem(list, 0), "sig", &d->sig, &d->n_sig, where, e)) return false;
    return (d->n_sig > 0 && d->n_sig <= MOST_SIGNATURE_BYTES)
        || err_set(e, ERR_INPUT, "%s: key 'sig': found %lld bytes, expected an ECDSA signature", where,
                   (long long)d->n_sig);
}

static bool read_bundle(dsse *d, const cJSON *bundle, const char *where, err *e)
{
    const cJSON *envelope = json_get(bundle, "dsseEnvelope");
    uint8_t *payload = NULL;
    if (!cJSON_IsObject(bundle))
        return err_set(e, ERR_INPUT, "%s: found %s, expected an object", where, json_kind(bundle));
    if (!json_str_is(bundle, "mediaType", BUNDLE_MEDIA_TYPE, where, e)) return false;
    if (!read_material(d, bundle, where, e)) return false;
    if (!cJSON_IsObject(envelope))
        return err_set(e, ERR_INPUT, "%s: key 'dsseEnvelope': found %s, expected an object", where,
                       json_kind(envelope));
    if (!json_str_is(envelope, "payloadType", DSSE_IN_TOTO, where, e)) return false;
    if (!read_signature(d, envelope, where, e)) return false;
    const bool ok = decode(envelope, "payload", &payload, &d->n_payload, where, e);
    d->payload = (char *)payload;
    return ok;
}

bool dsse_read(dsse *d, const char *text, int64_t n, const char *where, err *e)
{
    *d = (dsse){ 0 };
    cJSON *bundle = json_parse_limited(text, n, MOST_BUNDLE_VALUES, where, e);
    const bool ok = bundle && read_bundle(d, bundle, where, e);
    cJSON_Delete(bundle);
    if (!ok) dsse_free(d);
    return ok;
}

void dsse_free(dsse *d)
{
    free(d->payload);
    free(d->sig);
    *d = (dsse){ 0 };
}

// ---- writing -------------------------------------------------------------------------------------------------------

// Hex, base64 and constants: nothing here needs escaping.
static char *bundle_text(const char *hint, const char *payload, const char *sig)
{
    char *text = NULL;
    const int n = asprintf(&text, "{\"mediaType\":\"%s\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"%s\"},"
                           "\"tlogEntries\":[]},\"dsseEnvelope\":{\"payload\":\"%s\",\"payloadType\":\"%s\","
                           "\"signatures\":[{\"sig\":\"%s\",\"keyid\":\"\"}]}}", BUNDLE_MEDIA_TYPE, hint, payload,
                           DSSE_IN_TOTO, sig);
    return n < 0 ? NULL : text;
}

char *dsse_sign(const signing_key *k, const char *payload, int64_t n, err *e)
{
    int64_t  n_msg = 0, n_sig = 0;
    uint8_t *sig = NULL;
    char    *msg = pre_authentication(payload, n, &n_msg), *text = NULL;
    if (!msg) { err_nomem(e, "what is signed", (size_t)n); return NULL; }
    if (signing_key_sign(k, msg, n_msg, &sig, &n_sig, e)) {
        char *payload64 = base64_encode(payload, n), *sig64 = base64_encode(sig, n_sig);
        if (payload64 && sig64) text = bundle_text(signing_key_hint(k), payload64, sig64);
        if (!text) err_nomem(e, "a bundle", (size_t)n * 4 / 3);
        free(payload64);
        free(sig64);
    }
    free(sig);
    free(msg);
    return text;
}
