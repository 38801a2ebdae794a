// Proves formats/signing_key.h, dsse.h and release/model_statement.h: what was signed is accepted on each curve, and
// each key that cannot be used, each forged bundle and each other statement is refused by its name.
#include "formats/text.h"
#include "signed_model.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <unistd.h>

static const char *const CURVES[] = { "P-256", "P-384", "P-521" };

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
    char *text = read_text(at(from));
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
    ck_assert_str_eq(s.not_ours, "");
    free(forged);
}

// The format allows it, and it is not computed here: refused likewise, and told apart.
static void statement_not_ours(const char *text, const char *from, const char *to, const char *key, const char *said)
{
    model_statement s;
    err   e = { 0 };
    char *forged = replaced(text, from, to);
    ck_assert_msg(!model_statement_read(&s, forged, (int64_t)strlen(forged), "model.sig", &e), "accepted: %s", forged);
    ck_assert_str_eq(s.not_ours, said);
    ck_assert(s.n == 0 && !s.v && !s.subject);
    refused(&e, ERR_INPUT, key);
    free(forged);
}

START_TEST(each_other_statement_is_refused_by_name)
{
    make_model("m");
    char *text = statement_of("m");
    statement_refused(text, "Statement/v1", "Statement/v2", "key '_type'");
    statement_refused(text, "signature/v1.0", "signature/v2.0", "key 'predicateType'");
    statement_not_ours(text, "\"files\"", "\"shards\"", "key 'method': found", "key 'method': 'shards'");
    statement_not_ours(text, "\"hash_type\":\t\"sha256\"", "\"hash_type\":\t\"blake2b\"", "key 'hash_type': found",
                       "key 'hash_type': 'blake2b'");
    statement_not_ours(text, "\"algorithm\":\t\"sha256\"", "\"algorithm\":\t\"blake2b\"", "key 'algorithm': found",
                       "key 'algorithm': 'blake2b'");
    statement_refused(text, "\"files\"", "7", "key 'method'");
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

int main(void)
{
    Suite *s = suite_create("bundle");
    TCase *t = tcase_create("bundle");
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
    suite_add_tcase(s, t);
    return run_suite(s);
}
