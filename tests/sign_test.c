// Proves formats/signing_key.h, dsse.h, folder_digest.h and release/model_statement.h, provenance.h, release_sign.h,
// check_signature.h: what was signed is accepted on each curve, and each forgery is refused by its name.
#include "bytes.h"
#include "formats/dsse.h"
#include "formats/file_map.h"
#include "formats/folder_digest.h"
#include "formats/json.h"
#include "formats/text.h"
#include "keys.h"
#include "release/check_signature.h"
#include "release/model_statement.h"
#include "release/provenance.h"
#include "release/release_sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const CURVES[] = { "P-256", "P-384", "P-521" };
static char *dir;

static const char *at(const char *name) { return in_dir(dir, name); }
static void write_text(const char *path, const char *text) { write_file(path, text, (int64_t)strlen(text)); }

static char *get(const char *path)
{
    char   *text;
    int64_t n;
    err     e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 24, &e), "%s", e.msg);
    return text;
}

static void refused(const err *e, err_kind kind, const char *said) { check_refused(e, kind, NULL, said); }

static void key_pair(const char *kind, const char *stem)
{
    char private[64], public[64];
    EVP_PKEY *k = key_new(kind);
    ck_assert_ptr_nonnull(k);
    snprintf(private, sizeof private, "%s.pem", stem);
    snprintf(public, sizeof public, "%s.pub", stem);
    ck_assert(key_write_private(k, at(private), NULL) && key_write_public(k, at(public)));
    chmod(at(private), 0600);
    EVP_PKEY_free(k);
}

static signing_key *opened(const char *name, key_half half)
{
    err e = { 0 };
    signing_key *k = signing_key_read(at(name), half, &e);
    ck_assert_msg(k != NULL, "%s", e.msg);
    return k;
}

static void begin(void)
{
    dir = new_dir();
    key_pair("P-256", "a");
    key_pair("P-256", "b");
    key_pair("P-384", "c");
}
static void end(void) { drop_dir(dir); }

// ---- keys ----------------------------------------------------------------------------------------------------------

START_TEST(each_curve_signs_what_its_public_half_accepts)
{
    key_pair(CURVES[_i], "k");
    signing_key *private = opened("k.pem", KEY_PRIVATE), *public = opened("k.pub", KEY_PUBLIC);
    signing_key *other = opened("b.pub", KEY_PUBLIC);
    uint8_t *sig;
    int64_t  n;
    err      e = { 0 };
    ck_assert_str_eq(signing_key_curve(private), CURVES[_i]);
    ck_assert_str_eq(signing_key_hint(private), signing_key_hint(public));
    char hex[SHA256_HEX + 1];
    ck_assert(sha256_file(at("k.pub"), hex, &e));
    ck_assert_str_eq(signing_key_hint(public), hex);            // libcrypto writes the same PEM
    ck_assert_msg(signing_key_sign(private, "text", 4, &sig, &n, &e), "%s", e.msg);
    ck_assert(signing_key_holds(public, "text", 4, sig, n));
    ck_assert(!signing_key_holds(public, "texT", 4, sig, n));
    ck_assert(!signing_key_holds(public, "text", 3, sig, n));
    ck_assert(!signing_key_holds(other, "text", 4, sig, n));
    ck_assert(!signing_key_holds(public, "text", 4, sig, n - 1));
    for (int64_t i = 0; i < n; i++) {
        sig[i] ^= 1;
        ck_assert(!signing_key_holds(public, "text", 4, sig, n));
        sig[i] ^= 1;
    }
    free(sig);
    signing_key_free(private);
    signing_key_free(public);
    signing_key_free(other);
}
END_TEST

// No message shows what a key file holds: the first line of its base64 is looked for.
static void tells_no_secret(const char *name, const char *msg)
{
    char line[80] = "";
    FILE *f = fopen(at(name), "rb");
    if (!f) return;
    for (int i = 0; i < 2; i++)
        if (!fgets(line, sizeof line, f)) line[0] = '\0';
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    if (strlen(line) > 20) ck_assert_msg(strstr(msg, line) == NULL, "it tells the key: %s", msg);
}

static void key_refused(const char *name, key_half half, const char *said)
{
    err e = { 0 };
    struct stat st;
    ck_assert_ptr_null(signing_key_read(at(name), half, &e));
    check_refused(&e, ERR_INPUT, name, said);
    if (stat(at(name), &st) == 0 && S_ISREG(st.st_mode)) tells_no_secret(name, e.msg);
}

// The first n bytes of a file, as another.
static void write_head(const char *from, const char *to, size_t n)
{
    char *text = get(at(from));
    ck_assert(strlen(text) > n);
    text[n] = '\0';
    write_text(at(to), text);
    free(text);
}

// A key of a's private half and b's public one.
static void mixed_pair(void)
{
    BIGNUM  *d = NULL;
    uint8_t  pub[200];
    size_t   n = 0;
    FILE *f = fopen(at("a.pem"), "rb"), *g = fopen(at("b.pub"), "rb");
    EVP_PKEY *a = PEM_read_PrivateKey(f, NULL, NULL, NULL), *b = PEM_read_PUBKEY(g, NULL, NULL, NULL), *mixed = NULL;
    fclose(f);
    fclose(g);
    ck_assert(EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1);
    ck_assert(EVP_PKEY_get_octet_string_param(b, OSSL_PKEY_PARAM_PUB_KEY, pub, sizeof pub, &n) == 1);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d);
    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub, n);
    OSSL_PARAM   *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    ck_assert(EVP_PKEY_fromdata_init(c) == 1 && EVP_PKEY_fromdata(c, &mixed, EVP_PKEY_KEYPAIR, params) == 1);
    ck_assert(key_write_private(mixed, at("mixed.pem"), NULL));
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(d);
    EVP_PKEY_free(mixed);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

START_TEST(a_key_that_cannot_be_used_is_refused_by_name)
{
    EVP_PKEY *k = key_new("P-256");
    ck_assert(key_write_private(k, at("locked.pem"), "secret"));
    EVP_PKEY_free(k);
    key_pair("Ed25519", "ed");
    key_pair("RSA", "rsa");
    write_head("a.pem", "half.pem", 120);
    write_head("a.pub", "half.pub", 80);
    ck_assert(symlink("loop.pem", at("loop.pem")) == 0);
    write_text(at("certificate.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    key_pair("secp256k1", "koblitz");
    write_text(at("text.pem"), "no key\n");
    write_text(at("empty.pem"), "");
    write_text(at("cut.pem"), "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n");
    write_text(at("old.pem"),
               "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
               "DEK-Info: AES-256-CBC,00000000000000000000000000000000\n\n"
                       "AAAA\n-----END EC PRIVATE KEY-----\n");
    mkdir(at("folder.pem"), 0700);
    mkfifo(at("pipe.pem"), 0600);
    write_text(at("large.pem"), "x");
    ck_assert(truncate(at("large.pem"), 1 << 20) == 0);
    key_refused("locked.pem", KEY_PRIVATE, "is encrypted");
    key_refused("old.pem", KEY_PRIVATE, "is encrypted");
    key_refused("ed.pem", KEY_PRIVATE, "kind ED25519");
    key_refused("ed.pub", KEY_PUBLIC, "kind ED25519");
    key_refused("rsa.pem", KEY_PRIVATE, "kind RSA");
    key_refused("rsa.pub", KEY_PUBLIC, "kind RSA");
    key_refused("half.pem", KEY_PRIVATE, "cannot be decoded");
    key_refused("half.pub", KEY_PUBLIC, "cannot be decoded");
    key_refused("loop.pem", KEY_PRIVATE, "cannot open the key");
    key_refused("certificate.pem", KEY_PUBLIC, "holds no key");
    key_refused("koblitz.pem", KEY_PRIVATE, "curve secp256k1");
    key_refused("a.pub", KEY_PRIVATE, "found a public key");
    key_refused("a.pem", KEY_PUBLIC, "found a private key");
    key_refused("text.pem", KEY_PRIVATE, "holds no key");
    key_refused("empty.pem", KEY_PUBLIC, "holds no key");
    key_refused("cut.pem", KEY_PRIVATE, "cannot be decoded");
    key_refused("folder.pem", KEY_PRIVATE, "not a regular file");
    key_refused("pipe.pem", KEY_PRIVATE, "not a regular file");
    key_refused("large.pem", KEY_PRIVATE, "found 1048576 bytes");
    key_refused("absent.pem", KEY_PRIVATE, "cannot open the key");
}
END_TEST

START_TEST(halves_of_two_keys_sign_nothing)
{
    uint8_t *sig;
    int64_t  n;
    err      e = { 0 };
    mixed_pair();
    signing_key *k = opened("mixed.pem", KEY_PRIVATE);
    ck_assert(!signing_key_sign(k, "text", 4, &sig, &n, &e));
    refused(&e, ERR_INPUT, "public half");
    ck_assert_ptr_null(sig);
    signing_key_free(k);
}
END_TEST

START_TEST(a_private_key_that_others_may_read_is_noticed)
{
    static const struct { mode_t mode; bool shared; } rows[] = { { 0600, false }, { 0400, false }, { 0640, true },
                                                                { 0604, true } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert(chmod(at("a.pem"), rows[i].mode) == 0);
        signing_key *k = opened("a.pem", KEY_PRIVATE);
        ck_assert_int_eq(signing_key_is_shared(k), rows[i].shared);
        signing_key_free(k);
    }
}
END_TEST

// ---- the bundle ----------------------------------------------------------------------------------------------------

static char *signed_text(const char *payload)
{
    err e = { 0 };
    signing_key *k = opened("a.pem", KEY_PRIVATE);
    char *text = dsse_sign(k, payload, (int64_t)strlen(payload), &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    signing_key_free(k);
    return text;
}

// true: the bundle is one, and a's signature holds.
static bool accepted(const char *text, size_t n, char **payload, err *e)
{
    dsse d;
    *e = (err){ 0 };
    if (!dsse_read(&d, text, (int64_t)n, "model.sig", e)) return false;
    signing_key *k = opened("a.pub", KEY_PUBLIC);
    const bool ok = dsse_check(&d, k, "model.sig", e);
    if (ok && payload) *payload = strdup(d.payload);
    signing_key_free(k);
    dsse_free(&d);
    return ok;
}

START_TEST(signed_is_the_pre_authentication_encoding)
{
    static const char pae[] = "DSSEv1 28 application/vnd.in-toto+json 7 {\"a\":1}";
    char *text = signed_text("{\"a\":1}");
    dsse  d;
    err   e = { 0 };
    ck_assert_msg(dsse_read(&d, text, (int64_t)strlen(text), "model.sig", &e), "%s", e.msg);
    signing_key *k = opened("a.pub", KEY_PUBLIC);
    ck_assert_str_eq(d.payload, "{\"a\":1}");
    ck_assert_str_eq(d.hint, signing_key_hint(k));
    ck_assert(signing_key_holds(k, pae, sizeof pae - 1, d.sig, d.n_sig));
    signing_key_free(k);
    dsse_free(&d);
    free(text);
}
END_TEST

// text with the first `from` replaced; malloc'd.
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *hit = strstr(text, from);
    ck_assert_msg(hit != NULL, "'%s' is not in %s", from, text);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    sprintf(out, "%.*s%s%s", (int)(hit - text), text, to, hit + strlen(from));
    return out;
}

static void bundle_refused(const char *text, const char *from, const char *to, err_kind kind, const char *said)
{
    err   e;
    char *forged = replaced(text, from, to);
    ck_assert_msg(!accepted(forged, strlen(forged), NULL, &e), "accepted: %s", forged);
    refused(&e, kind, said);
    free(forged);
}

START_TEST(each_forged_bundle_is_refused_by_name)
{
    char *text = signed_text("{\"a\":1}"), *other = signed_text("{\"a\":2}");
    err   e;
    ck_assert_msg(accepted(text, strlen(text), NULL, &e), "%s", e.msg);
    bundle_refused(text, "bundle.v0.3", "bundle.v0.2", ERR_INPUT, "key 'mediaType'");
    bundle_refused(text, "vnd.in-toto+json", "vnd.other+json", ERR_INPUT, "key 'payloadType'");
    bundle_refused(text, "\"publicKey\":{", "\"certificate\":{\"rawBytes\":\"\"},\"publicKey\":{", ERR_INPUT,
                   "found a certificate");
    bundle_refused(text, "\"publicKey\":{", "\"other\":{", ERR_INPUT, "key 'publicKey'");
    bundle_refused(text, "\"verificationMaterial\"", "\"other\"", ERR_INPUT, "key 'verificationMaterial'");
    bundle_refused(text, "\"dsseEnvelope\"", "\"messageSignature\"", ERR_INPUT, "key 'dsseEnvelope'");
    bundle_refused(text, "\"signatures\":[{", "\"signatures\":[{\"sig\":\"AAAA\"},{", ERR_INPUT,
                   "expected an array of one");
    bundle_refused(text, "\"signatures\":[", "\"signatures\":[],\"o\":[", ERR_INPUT, "expected an array of one");
    bundle_refused(text, "\"sig\":\"", "\"sig\":\"*", ERR_INPUT, "no base64");
    bundle_refused(text, "\"sig\":\"", "\"sig\":\"\",\"o\":\"", ERR_INPUT, "found 0 bytes");
    bundle_refused(text, "\"payload\":", "\"other\":", ERR_INPUT, "key 'payload'");
    bundle_refused(text, "\"payload\":\"eyJhIjoxfQ==\"", "\"payload\":null", ERR_INPUT, "key 'payload'");
    bundle_refused(text, "eyJhIjoxfQ==", "", ERR_VERDICT, "does not hold");
    bundle_refused(text, "eyJhIjoxfQ==", "eyJhIjoxfQ", ERR_INPUT, "no base64");
    bundle_refused(text, "eyJhIjoxfQ==", "eyJhIjoxfR==", ERR_INPUT, "no base64");     // bits behind the end
    bundle_refused(text, "eyJhIjoxfQ==", "eyJhIjoxfQ= ", ERR_INPUT, "no base64");
    bundle_refused(text, "eyJhIjoxfQ==", "eyJhIjoyfQ==", ERR_VERDICT, "does not hold");
    bundle_refused(text, "{\"hint\":\"", "{\"hint\":\"x", ERR_INPUT, "key 'hint'");
    bundle_refused(text, "}", "", ERR_INPUT, "model.sig");
    char *hit = strstr(text, "\"sig\":\""), *sig = strdup(strstr(other, "\"sig\":\""));
    char *moved = malloc(strlen(text) + strlen(sig) + 1);
    sprintf(moved, "%.*s%s", (int)(hit - text), text, sig);     // another payload's signature by the same key
    ck_assert(!accepted(moved, strlen(moved), NULL, &e));
    refused(&e, ERR_VERDICT, "does not hold");
    free(moved);
    free(sig);
    free(text);
    free(other);
}
END_TEST

START_TEST(another_key_is_refused_with_and_without_a_hint)
{
    char *text = signed_text("{}"), *bare = replaced(text, "\"hint\":", "\"other\":");
    dsse  d;
    err   e = { 0 };
    signing_key *a = opened("a.pub", KEY_PUBLIC), *b = opened("b.pub", KEY_PUBLIC);
    ck_assert(dsse_read(&d, text, (int64_t)strlen(text), "model.sig", &e));
    ck_assert(!dsse_check(&d, b, "model.sig", &e));
    refused(&e, ERR_VERDICT, "signed with another key");
    dsse_free(&d);
    e = (err){ 0 };
    ck_assert(dsse_read(&d, bare, (int64_t)strlen(bare), "model.sig", &e));
    ck_assert(dsse_check(&d, a, "model.sig", &e));
    ck_assert(!dsse_check(&d, b, "model.sig", &e));
    refused(&e, ERR_VERDICT, "does not hold");
    dsse_free(&d);
    signing_key_free(a);
    signing_key_free(b);
    free(text);
    free(bare);
}
END_TEST

START_TEST(no_byte_can_be_changed_so_that_another_payload_is_accepted)
{
    char *text = signed_text("{\"a\":1}");
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char *payload = NULL;
        err   e;
        text[i] ^= 1;
        if (accepted(text, n, &payload, &e)) ck_assert_str_eq(payload, "{\"a\":1}");
        free(payload);
        text[i] ^= 1;
        ck_assert(!accepted(text, i, NULL, &e));
    }
    free(text);
}
END_TEST

// ---- the statement -------------------------------------------------------------------------------------------------

// Two files, one in a folder below, and what is left out.
static void make_model(const char *name)
{
    char path[64];
    mkdir(at(name), 0700);
    snprintf(path, sizeof path, "%s/sub", name);
    mkdir(at(path), 0700);
    snprintf(path, sizeof path, "%s/one.txt", name);
    write_text(at(path), "one\n");
    snprintf(path, sizeof path, "%s/sub/two.txt", name);
    write_text(at(path), "two\n");
    snprintf(path, sizeof path, "%s/.gitattributes", name);
    write_text(at(path), "*.gguf filter=lfs\n");
}

static char *statement_of(const char *name)
{
    folder_digest f;
    err e = { 0 };
    ck_assert_msg(folder_digest_open(&f, at(name), SIGNATURE_NAME, FOLDER_STRICT, &e), "%s", e.msg);
    ck_assert_msg(folder_digest_take(&f, 2, NULL, &e), "%s", e.msg);
    char *text = model_statement_text(&f, name, SIGNATURE_NAME);
    folder_digest_free(&f);
    ck_assert_ptr_nonnull(text);
    return text;
}

START_TEST(a_statement_names_every_file_by_its_digest)
{
    static const char one[] = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
                      two[] = "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a";
    model_statement s;
    err e = { 0 };
    make_model("m");
    char *text = statement_of("m");
    ck_assert_msg(model_statement_read(&s, text, (int64_t)strlen(text), "model.sig", &e), "%s", e.msg);
    ck_assert_int_eq(s.n, 2);
    ck_assert_str_eq(s.subject, "m");
    ck_assert_str_eq(s.v[0].name, "one.txt");
    ck_assert_str_eq(s.v[0].sha256, one);
    ck_assert_str_eq(s.v[1].name, "sub/two.txt");
    ck_assert_str_eq(s.v[1].sha256, two);
    // sha256 over the 64 bytes of both digests.
    ck_assert_ptr_nonnull(strstr(text, "b3e00007a221fb65fa01a1d9b968f4b3f290fe1f8a53061187adb40118314e5f"));
    model_statement_free(&s);
    free(text);
}
END_TEST

static void statement_refused(const char *text, const char *from, const char *to, const char *said)
{
    model_statement s;
    err   e = { 0 };
    char *forged = replaced(text, from, to);
    ck_assert_msg(!model_statement_read(&s, forged, (int64_t)strlen(forged), "model.sig", &e), "accepted: %s", forged);
    refused(&e, ERR_INPUT, said);
    free(forged);
}

START_TEST(each_other_statement_is_refused_by_name)
{
    make_model("m");
    char *text = statement_of("m");
    statement_refused(text, "Statement/v1", "Statement/v2", "key '_type'");
    statement_refused(text, "signature/v1.0", "signature/v2.0", "key 'predicateType'");
    statement_refused(text, "\"files\"", "\"shards\"", "key 'method'");
    statement_refused(text, "\"hash_type\":\t\"sha256\"", "\"hash_type\":\t\"blake3\"", "key 'hash_type'");
    statement_refused(text, "\"algorithm\":\t\"sha256\"", "\"algorithm\":\t\"blake2\"", "key 'algorithm'");
    statement_refused(text, "\"one.txt\"", "\"../one.txt\"", "leads out of the folder");
    statement_refused(text, "\"one.txt\"", "\"/one.txt\"", "leads out of the folder");
    statement_refused(text, "\"one.txt\"", "\"a/./b\"", "leads out of the folder");
    statement_refused(text, "\"one.txt\"", "\"a/\"", "leads out of the folder");
    statement_refused(text, "\"one.txt\"", "\"\"", "leads out of the folder");
    statement_refused(text, "\"one.txt\"", "\"sub/two.txt\"", "is named twice");
    statement_refused(text, "2c8b08da", "2C8B08DA", "expected a SHA-256 in hex");
    statement_refused(text, "2c8b08da", "2c8b08d", "expected a SHA-256 in hex");
    statement_refused(text, "2c8b08da", "00000000", "that of its resources");
    statement_refused(text, "\"resources\"", "\"other\"", "key 'resources'");
    statement_refused(text, "\"resources\":\t[{", "\"resources\":\t[],\"o\":[{", "key 'resources'");
    statement_refused(text, "\"subject\":\t[", "\"subject\":\t[{},", "expected an array of one");
    statement_refused(text, "\"ignore_paths\":\t[", "\"ignore_paths\":\t[1, ", "key 'ignore_paths'");
    statement_refused(text, "\"ignore_paths\":\t[", "\"ignore_paths\":\t{},\"o\":[", "key 'ignore_paths'");
    statement_refused(text, "{", "", "model.sig");
    free(text);
}
END_TEST

// A statement of n files, as a maker would write it who means to fill a memory.
static char *large_statement(int n)
{
    text_buf t = { 0 };
    text_printf(&t, "{\"_type\":\"%s\",\"subject\":[{\"name\":\"m\",\"digest\":{\"sha256\":\"%064d\"}}],"
                "\"predicateType\":\"%s\",\"predicate\":{\"serialization\":{\"method\":\"files\","
                "\"hash_type\":\"sha256\"},\"resources\":[", STATEMENT_TYPE, 0, MODEL_PREDICATE);
    for (int i = 0; i < n; i++)
        text_printf(&t, "%s{\"name\":\"%d\",\"algorithm\":\"sha256\",\"digest\":\"%064d\"}", i ? "," : "", i, i);
    text_words(&t, "]}}");
    return text_take(&t);
}

START_TEST(a_million_files_are_refused_before_they_take_memory)
{
    model_statement s;
    err   e = { 0 };
    char *text = large_statement(1000 * 1000);
    ck_assert_ptr_nonnull(text);
    ck_assert(!model_statement_read(&s, text, (int64_t)strlen(text), "model.sig", &e));
    refused(&e, ERR_INPUT, "values");
    free(text);
    e = (err){ 0 };
    text = large_statement(1000);               // these are read; their sum is another
    ck_assert(!model_statement_read(&s, text, (int64_t)strlen(text), "model.sig", &e));
    refused(&e, ERR_INPUT, "that of its resources");
    free(text);
}
END_TEST

// ---- a folder ------------------------------------------------------------------------------------------------------

// A folder with a report, signed by a as release signs it.
static void make_release(const char *name)
{
    char report[64], lab[64];
    err  e = { 0 };
    make_model(name);
    snprintf(report, sizeof report, "%s/report.json", name);
    snprintf(lab, sizeof lab, "%s/one-lab.json", name);
    write_text(at(lab), "{\"texts\":[{\"name\":\"t.txt\",\"sha256\":\"bead\"}]}");
    write_text(at(report),
               "{\"hallmark_release\":1,\"name\":\"tiny\",\"source_digest\":\"0123\",\"source_revision\":\"4567\","
               "\"source_repository\":\"org/tiny\","
               "\"gate\":\"mine.json\",\"verdict\":\"pass\",\"signed\":true,\"files\":[{\"name\":\"one-lab.json\"}],"
               "\"artifacts\":["
               "{\"artifact\":\"one.txt\",\"hallmark\":{\"version\":\"0.0.1\",\"commit\":\"c0de\"},\"gate\":\"89ab\",\"verdict\":\"pass\","
        "\"derivation\":{\"tensors\":7,\"verdict\":\"pass\"},"
        "\"fixtures\":[{\"name\":\"f.json.gz\",\"sha256\":\"cdef\",\"check\":\"exact\",\"verdict\":\"pass\"}]},"
        "{\"artifact\":\"sub/two.txt\",\"gate\":\"built-in\",\"judged_by\":{\"name\":\"built-in\",\"sha256\":\"fade\"},\"verdict\":\"pass\","
        "\"derivation\":{\"tensors\":9,\"verdict\":\"pass\"},"
        "\"fixtures\":[{\"name\":\"g.json.gz\",\"sha256\":\"dada\",\"check\":\"exact\",\"verdict\":\"pass\","
        "\"reference\":{\"model\":\"org/tiny\",\"transformers\":\"5.24.0\"}}]}]}");
    signing_key *k = opened("a.pem", KEY_PRIVATE);
    static const char *const command[] = { "hallmark", "release", "HF" }, *const kept[] = { "one.txt" };
    const release_sign_opts o = { .key = k, .subject = name, .n_threads = 1,
                                  .run = { .command = command, .n_command = 3, .kept = kept, .n_kept = 1 } };
    ck_assert_msg(release_sign(at(name), &o, &e), "%s", e.msg);
    signing_key_free(k);
}

static bool check_with(const char *path, const char *key, const char *sig, check_proof *proof, err *e)
{
    check_watch w;
    *e = (err){ 0 };
    *proof = (check_proof){ 0 };
    const check_opts o = { .n_threads = 1, .key_path = key, .sig_path = sig, .proof = proof };
    const bool ok = check_watch_begin(&w, path, &o, e);
    return check_watch_end(&w, ok, e);
}

static void holds(const char *name)
{
    check_proof proof;
    err e;
    ck_assert_msg(check_with(at(name), at("a.pub"), NULL, &proof, &e), "%s", e.msg);
}

static void does_not_hold(const char *name, err_kind kind, const char *said)
{
    check_proof proof;
    err e;
    ck_assert_msg(!check_with(at(name), at("a.pub"), NULL, &proof, &e), "it holds, without '%s'", said);
    refused(&e, kind, said);
    ck_assert_str_eq(proof.held_key, "");
}

START_TEST(a_signed_folder_holds_and_says_what_was_proved)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert_msg(check_with(at("m"), at("a.pub"), NULL, &proof, &e), "%s", e.msg);
    signing_key *k = opened("a.pub", KEY_PUBLIC);
    ck_assert_str_eq(proof.held_key, signing_key_hint(k));
    ck_assert_str_eq(proof.curve, "P-256");
    ck_assert_int_eq(proof.n_signed, 5);
    ck_assert(proof.folder && proof.provenance && proof.signature_there);
    for (int i = 0; i < FOLDER_N_IGNORED; i++)
        ck_assert_int_eq(proof.ignored[i], strcmp(FOLDER_IGNORED[i], ".gitattributes") == 0);
    signing_key_free(k);
    ck_assert(check_with(at("m"), NULL, NULL, &proof, &e));     // without a key nothing is said of it
    ck_assert(proof.signature_there && proof.provenance_there && !proof.held_key[0] && !proof.provenance);
    ck_assert(!check_with(at("m"), at("b.pub"), NULL, &proof, &e));
    refused(&e, ERR_VERDICT, "signed with another key");
}
END_TEST

START_TEST(a_signature_elsewhere_is_as_good_and_one_of_another_folder_is_not)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert(rename(at("m/model.sig"), at("kept.sig")) == 0);
    does_not_hold("m", ERR_INPUT, "model.sig");
    ck_assert_msg(check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e), "%s", e.msg);
    ck_assert_int_eq(proof.left_out.n, 0);
    write_text(at("m/model.sig"), "another's");     // the signature leaves that name out, and so it is told
    ck_assert_msg(check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e), "%s", e.msg);
    ck_assert_int_eq(proof.left_out.n, 1);
    ck_assert_str_eq(proof.left_out.v[0], "model.sig");
    check_proof_free(&proof);
    write_text(at("m/model.sig.txt"), "no name that is left out");
    ck_assert(!check_with(at("m"), at("a.pub"), at("kept.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "m/model.sig.txt: is there, and was not signed");
    unlink(at("m/model.sig.txt"));
    mkdir(at("n"), 0700);
    write_text(at("n/other.txt"), "other\n");
    ck_assert(!check_with(at("n"), at("a.pub"), at("kept.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "signature of another folder ('m')");
}
END_TEST

// The same key has signed another thing: what that says is no list of files.
START_TEST(a_signed_statement_of_another_kind_is_no_signature)
{
    check_proof proof;
    err e;
    make_release("m");
    ck_assert(!check_with(at("m"), at("a.pub"), at("m/provenance.intoto.json"), &proof, &e));
    refused(&e, ERR_INPUT, "key 'predicateType'");
    write_text(at("large.sig"), "{");
    ck_assert(truncate(at("large.sig"), BUNDLE_MOST_BYTES + 1) == 0);
    ck_assert(!check_with(at("m"), at("a.pub"), at("large.sig"), &proof, &e));
    refused(&e, ERR_INPUT, "large.sig");
    mkfifo(at("pipe.sig"), 0600);
    ck_assert(!check_with(at("m"), at("a.pub"), at("pipe.sig"), &proof, &e));
    refused(&e, ERR_INPUT, "pipe.sig");
    ck_assert(!check_with(at("m"), at("a.pub"), at("m"), &proof, &e));
    refused(&e, ERR_INPUT, "m:");
}
END_TEST

START_TEST(a_changed_file_is_named)
{
    make_release("m");
    write_text(at("m/one.txt"), "onE\n");
    does_not_hold("m", ERR_VERDICT, "m/one.txt: is not the file that was signed");
    write_text(at("m/one.txt"), "one\n");
    holds("m");
    write_text(at("m/sub/two.txt"), "");
    does_not_hold("m", ERR_VERDICT, "m/sub/two.txt: is not the file that was signed");
}
END_TEST

START_TEST(an_added_a_missing_and_a_renamed_file_are_named)
{
    make_release("m");
    write_text(at("m/sub/new.txt"), "new\n");
    does_not_hold("m", ERR_VERDICT, "m/sub/new.txt: is there, and was not signed");
    unlink(at("m/sub/new.txt"));
    ck_assert(rename(at("m/one.txt"), at("m/won.txt")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/won.txt: was signed under another name, 'one.txt'");
    unlink(at("m/won.txt"));
    does_not_hold("m", ERR_VERDICT, "m/one.txt: was signed, and is not there");
    write_text(at("m/one.txt"), "one\n");
    write_text(at("m/copy.txt"), "one\n");         // the bytes of another are no excuse
    does_not_hold("m", ERR_VERDICT, "m/copy.txt: is there, and was not signed");
    unlink(at("m/copy.txt"));
    ck_assert(mkdir(at("m/.cache"), 0700) == 0 && mkdir(at("m/.cache/huggingface"), 0700) == 0);
    write_text(at("m/.cache/huggingface/.gitignore"), "*\n");
    does_not_hold("m", ERR_VERDICT, "and was not signed: a download left it; remove ");
    unlink(at("m/.cache/huggingface/.gitignore"));
    mkdir(at("m/.git"), 0700);
    write_text(at("m/.git/config"), "x\n");
    write_text(at("m/.gitattributes"), "another\n");
    holds("m");
}
END_TEST

START_TEST(what_is_no_regular_file_is_named)
{
    make_release("m");
    ck_assert(rename(at("m/one.txt"), at("one.txt")) == 0 && symlink("../one.txt", at("m/one.txt")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/one.txt: found a link");
    unlink(at("m/one.txt"));
    mkfifo(at("m/one.txt"), 0600);
    does_not_hold("m", ERR_VERDICT, "m/one.txt: found a pipe");
    unlink(at("m/one.txt"));
    ck_assert(rename(at("one.txt"), at("m/one.txt")) == 0);
    ck_assert(rename(at("m/sub"), at("sub")) == 0 && symlink("../sub", at("m/sub")) == 0);
    does_not_hold("m", ERR_VERDICT, "m/sub: found a link");
    unlink(at("m/sub"));
    ck_assert(rename(at("sub"), at("m/sub")) == 0);
    holds("m");
    write_text(at("m/\xff.txt"), "x");
    does_not_hold("m", ERR_VERDICT, "the name is no UTF-8");
}
END_TEST

START_TEST(one_file_is_looked_up_by_its_digest)
{
    check_proof proof;
    err e;
    make_release("m");
    write_text(at("alone.txt"), "two\n");
    ck_assert_msg(check_with(at("alone.txt"), at("a.pub"), at("m/model.sig"), &proof, &e), "%s", e.msg);
    ck_assert_str_eq(proof.signed_as, "sub/two.txt");
    ck_assert(!proof.folder && !proof.provenance);
    ck_assert_int_eq(proof.n_signed, 5);
    ck_assert_msg(check_with(at("m/one.txt"), at("a.pub"), NULL, &proof, &e), "%s", e.msg);      // beside it
    write_text(at("alone.txt"), "twO\n");
    ck_assert(!check_with(at("alone.txt"), at("a.pub"), at("m/model.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "is none of the 5 files");
}
END_TEST

START_TEST(one_file_under_the_name_of_another_is_named)
{
    check_proof proof;
    err e;
    make_release("m");
    write_text(at("m/sub/one.txt"), "two\n");
    ck_assert(!check_with(at("m/sub/one.txt"), at("a.pub"), at("m/model.sig"), &proof, &e));
    refused(&e, ERR_VERDICT, "this is the signed file 'sub/two.txt' under the name of another signed file: that of "
                             "'one.txt' has");
    ck_assert(!check_with(at("m/absent.txt"), at("a.pub"), NULL, &proof, &e));
    refused(&e, ERR_INPUT, "m/absent.txt");
}
END_TEST

// Who changes a file between two looks cannot hide it: the size stays, and the time of writing is put back.
static void change_unseen(const char *path)
{
    struct stat st;
    const struct timespec tick = { .tv_nsec = 20 * 1000 * 1000 };      // a file system's clock has steps
    nanosleep(&tick, NULL);
    ck_assert(stat(path, &st) == 0);
    const int fd = open(path, O_WRONLY);
    ck_assert(fd >= 0 && pwrite(fd, "X", 1, 0) == 1);
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    ck_assert(futimens(fd, times) == 0);
    close(fd);
}

START_TEST(a_folder_that_changes_while_it_is_checked_is_noticed)
{
    for (int key = 0; key < 2; key++)
        for (int how = 0; how < 4; how++) {
            char name[16];
            snprintf(name, sizeof name, "m%d%d", key, how);
            make_release(name);
            char one[64], two[64];
            snprintf(one, sizeof one, "%s/one.txt", name);
            snprintf(two, sizeof two, "%s/two.txt", name);
            check_watch w;
            check_proof proof = { 0 };
            err e = { 0 };
            const check_opts o = { .n_threads = 1, .key_path = key ? at("a.pub") : NULL, .proof = &proof };
            ck_assert_msg(check_watch_begin(&w, at(name), &o, &e), "%s", e.msg);
            if (how == 0) change_unseen(at(one));
            if (how == 1) write_text(at(two), "new\n");
            if (how == 2) unlink(at(one));
            if (how == 3) {                     // the same bytes, another file
                write_text(at("x"), "one\n");
                ck_assert(rename(at("x"), at(one)) == 0);
            }
            ck_assert(!check_watch_end(&w, true, &e));
            refused(&e, ERR_VERDICT, "changed while it was read");
        }
    check_watch w;
    err e = { 0 };
    write_text(at("file"), "one\n");
    const check_opts o = { .n_threads = 1 };
    ck_assert(check_watch_begin(&w, at("file"), &o, &e));
    change_unseen(at("file"));
    ck_assert(!check_watch_end(&w, true, &e));
    refused(&e, ERR_VERDICT, "changed while it was read");
}
END_TEST

// ---- provenance ----------------------------------------------------------------------------------------------------

// Signs the folder again with provenance changed: what only a's owner can do.
static void sign_with_provenance(const char *name, const char *from, const char *to)
{
    char prov[64], sig[64];
    err  e = { 0 };
    dsse d;
    snprintf(prov, sizeof prov, "%s/%s", name, PROVENANCE_NAME);
    snprintf(sig, sizeof sig, "%s/%s", name, SIGNATURE_NAME);
    char *text = get(at(prov));
    ck_assert(dsse_read(&d, text, (int64_t)strlen(text), prov, &e));
    char *forged = replaced(d.payload, from, to), *bundle = signed_text(forged);
    write_text(at(prov), bundle);
    char *statement = statement_of(name), *over = signed_text(statement);
    write_text(at(sig), over);
    free(over);
    free(statement);
    free(bundle);
    free(forged);
    free(text);
    dsse_free(&d);
}

START_TEST(provenance_says_source_command_fixtures_and_results)
{
    static const char *const parts[] = {
        "\"https://slsa.dev/provenance/v1\"", "\"one.txt\"",
            "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
        "\"hallmarkSource2\":\t\"0123\"", "\"gitCommit\":\t\"4567\"",
            "\"command\":\t[\"hallmark\", \"release\", \"HF\"]", "\"cdef\"", "\"bead\"", "\"role\":\t\"text\"",
        "\"repository\":\t\"org/tiny\"", "\"fade\"", "\"transformers\":\t\"5.24.0\"",
        "kept from the release before", "\"hallmark\":\t\"0.0.1\"", "\"c0de\"",
        "\"89ab\"", "\"tensors\":\t7", "\"check\":\t\"exact\"", "\"hallmark\":\t\"",
    };
    dsse d;
    err  e = { 0 };
    make_release("m");
    char *text = get(at("m/provenance.intoto.json"));
    ck_assert(dsse_read(&d, text, (int64_t)strlen(text), "p", &e));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(d.payload, parts[i]) != NULL, "%s is not in %s", parts[i], d.payload);
    dsse_free(&d);
    free(text);
}
END_TEST

START_TEST(provenance_that_contradicts_the_reports_is_refused)
{
    static const struct { const char *from, *to; err_kind kind; const char *said; } rows[] = {
        { "provenance/v1", "provenance/v2", ERR_INPUT, "key 'predicateType'" },
        { "Statement/v1", "Statement/v0", ERR_INPUT, "key '_type'" },
        { "2c8b08da", "00000000", ERR_VERDICT, "subject" },
        { "\"0123\"", "\"3210\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"4567\"", "\"7654\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"cdef\"", "\"fedc\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"bead\"", "\"deaf\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"fade\"", "\"fada\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"5.24.0\"", "\"5.25.0\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"org/tiny\"", "\"grand/tiny\"", ERR_VERDICT, "resolvedDependencies" },
        { "\"tensors\":\t7", "\"tensors\":\t8", ERR_VERDICT, "hallmark_checks" },
        { "\"0.0.1\"", "\"0.0.2\"", ERR_VERDICT, "kept" },
        { "kept from the release before", "made by this one, too, or not", ERR_VERDICT, "kept" },
        { "\"name\":\t\"one.txt\",\n\t\t\t\t\t\t\"made\"", "\"name\":\t\"two.txt\",\n\t\t\t\t\t\t\"made\"", ERR_VERDICT, "kept" },
        { "\"hallmark_checks\"", "\"other\"", ERR_VERDICT, "hallmark_checks" },
    };
    make_release("m");
    char *prov = get(at("m/provenance.intoto.json"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text(at("m/provenance.intoto.json"), prov);
        sign_with_provenance("m", rows[i].from, rows[i].to);
        does_not_hold("m", rows[i].kind, rows[i].said);
    }
    write_text(at("m/provenance.intoto.json"), prov);
    sign_with_provenance("m", "\"HF\"", "\"XX\"");          // the command is the maker's word alone
    holds("m");
    write_text(at("m/provenance.intoto.json"), prov);
    write_text(at("m/report.json"), "{}");                         // and so is a folder whose report is none
    sign_with_provenance("m", "\"HF\"", "\"HF\"");
    does_not_hold("m", ERR_VERDICT, "subject");
    free(prov);
}
END_TEST

START_TEST(provenance_by_another_key_is_refused)
{
    err e = { 0 };
    make_release("m");
    signing_key *b = opened("b.pem", KEY_PRIVATE);
    char *prov = get(at("m/provenance.intoto.json"));
    dsse  d;
    ck_assert(dsse_read(&d, prov, (int64_t)strlen(prov), "p", &e));
    char *other = dsse_sign(b, d.payload, d.n_payload, &e);
    write_text(at("m/provenance.intoto.json"), other);
    char *statement = statement_of("m"), *over = signed_text(statement);
    write_text(at("m/model.sig"), over);
    does_not_hold("m", ERR_VERDICT, "provenance.intoto.json: signed with another key");
    free(over);
    free(statement);
    free(other);
    free(prov);
    dsse_free(&d);
    signing_key_free(b);
}
END_TEST

START_TEST(a_report_that_says_signed_needs_its_signature)
{
    err e = { 0 };
    make_release("m");
    char  *text = get(at("m/report.json"));
    cJSON *report = json_parse(text, (int64_t)strlen(text), "report.json", &e);
    ck_assert_msg(check_signed_files_there(at("m"), report, &e), "%s", e.msg);
    unlink(at("m/provenance.intoto.json"));
    ck_assert(!check_signed_files_there(at("m"), report, &e));
    refused(&e, ERR_VERDICT, "provenance.intoto.json: is not there; the report says that the folder is signed");
    cJSON_Delete(report);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sign");
    TCase *t = tcase_create("sign");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, each_curve_signs_what_its_public_half_accepts, 0, 3);
    tcase_add_test(t, a_key_that_cannot_be_used_is_refused_by_name);
    tcase_add_test(t, halves_of_two_keys_sign_nothing);
    tcase_add_test(t, a_private_key_that_others_may_read_is_noticed);
    tcase_add_test(t, signed_is_the_pre_authentication_encoding);
    tcase_add_test(t, each_forged_bundle_is_refused_by_name);
    tcase_add_test(t, another_key_is_refused_with_and_without_a_hint);
    tcase_add_test(t, no_byte_can_be_changed_so_that_another_payload_is_accepted);
    tcase_add_test(t, a_statement_names_every_file_by_its_digest);
    tcase_add_test(t, each_other_statement_is_refused_by_name);
    tcase_add_test(t, a_million_files_are_refused_before_they_take_memory);
    tcase_add_test(t, a_signed_folder_holds_and_says_what_was_proved);
    tcase_add_test(t, a_signature_elsewhere_is_as_good_and_one_of_another_folder_is_not);
    tcase_add_test(t, a_signed_statement_of_another_kind_is_no_signature);
    tcase_add_test(t, a_changed_file_is_named);
    tcase_add_test(t, an_added_a_missing_and_a_renamed_file_are_named);
    tcase_add_test(t, what_is_no_regular_file_is_named);
    tcase_add_test(t, one_file_is_looked_up_by_its_digest);
    tcase_add_test(t, one_file_under_the_name_of_another_is_named);
    tcase_add_test(t, a_folder_that_changes_while_it_is_checked_is_noticed);
    tcase_add_test(t, provenance_says_source_command_fixtures_and_results);
    tcase_add_test(t, provenance_that_contradicts_the_reports_is_refused);
    tcase_add_test(t, provenance_by_another_key_is_refused);
    tcase_add_test(t, a_report_that_says_signed_needs_its_signature);
    suite_add_tcase(s, t);
    return run_suite(s);
}
