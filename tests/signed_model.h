// signed_model: keys in a folder of the test's own, a small model there, its statement, and what signs it: for tests of
// signatures.
#ifndef HALLMARK_TESTS_SIGNED_MODEL_H
#define HALLMARK_TESTS_SIGNED_MODEL_H

#include "bytes.h"
#include "formats/dsse.h"
#include "formats/folder_digest.h"
#include "formats/signing_key.h"
#include "keys.h"
#include "release/model_statement.h"
#include "release/release_sign.h"
#include "texts.h"
#include <sys/stat.h>

static char *dir;

static inline const char *at(const char *name) { return in_dir(dir, name); }

static inline void refused(const err *e, err_kind kind, const char *said) { check_refused(e, kind, NULL, said); }

static inline void key_pair(const char *kind, const char *stem)
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

static inline signing_key *opened(const char *name, key_half half)
{
    err e = { 0 };
    signing_key *k = signing_key_read(at(name), half, &e);
    ck_assert_msg(k != NULL, "%s", e.msg);
    return k;
}

static inline void begin(void)
{
    dir = new_dir();
    key_pair("P-256", "a");
    key_pair("P-256", "b");
    key_pair("P-384", "c");
}
static inline void end(void) { drop_dir(dir); }

static inline char *signed_text(const char *payload)
{
    err e = { 0 };
    signing_key *k = opened("a.pem", KEY_PRIVATE);
    char *text = dsse_sign(k, payload, (int64_t)strlen(payload), &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    signing_key_free(k);
    return text;
}

// Two files, one in a folder below, and what is left out.
static inline void make_model(const char *name)
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

static inline char *statement_of(const char *name)
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

#endif
