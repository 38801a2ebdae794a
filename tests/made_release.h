// made_release: releases of a copy of the committed checkpoint, with short fixtures, for the suites that add to them,
// sign them and say what they will be.
#ifndef HALLMARK_TESTS_MADE_RELEASE_H
#define HALLMARK_TESTS_MADE_RELEASE_H

#include "keys.h"
#include "texts.h"
#include "verify_files.h"
#include "release/release.h"

static const file_type BF16[] = { FT_BF16 }, F32[] = { FT_F32 }, BOTH[] = { FT_BF16, FT_F32 };
static char source[256], gate_path[SCRATCH_PATH];

static inline release_opts options(const file_type *types, int n)
{
    return (release_opts){ .name = "tiny", .types = types, .n_types = n, .tokens = 4, .device = "cpu",
                           .gate_path = gate_path };
}

static inline release_result released(const char *out, const release_opts *o)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(release_checkpoint(&r, source, out, o, &e), "%s", e.msg);
    return r;
}

static inline void publish(const char *out, const file_type *types, int n)
{
    const release_opts o = options(types, n);
    release_result r = released(out, &o);
    ck_assert(r.published);
    release_result_free(&r);
}

static inline void holds(const char *dir)
{
    err e = { 0 };
    const check_opts o = { .device = "cpu" };
    ck_assert_msg(check_artifact(dir, &o, &e), "%s", e.msg);
}

static inline void refused(const char *out, const release_opts *o, err_kind kind, const char *says)
{
    release_result r;
    err e = { 0 };
    ck_assert_msg(!release_checkpoint(&r, source, out, o, &e), "expected: %s", says);
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d: %s", e.kind, e.msg);
}

static inline void digest_of(const char *dir, const char *name, char hex[SHA256_HEX + 1])
{
    err   e = { 0 };
    char *path = path_join(dir, name);
    ck_assert_msg(sha256_file(path, hex, &e), "%s", e.msg);
    free(path);
}

static inline void put(const char *dir, const char *name, const char *text)
{
    err e = { 0 };
    ck_assert_msg(outfile_write_text(dir, name, text, &e), "%s", e.msg);
}

static inline bool is_there(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    const bool yes = access(path, F_OK) == 0;
    free(path);
    return yes;
}

static inline void setup(void)
{
    static const char *const NAMES[] = { "bfloat16", "float32", "q4_k_m" };
    char path[400];
    files_begin("releases");
    snprintf(source, sizeof source, "%s", copy_checkpoint("hf"));
    snprintf(path, sizeof path, "%s/fixtures", source);
    ck_assert(mkdir(path, 0777) == 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/fixtures/%s.json.gz", source, NAMES[i]);
        shorten_fixture(fixture_path(NAMES[i]), path, 2);
    }
    scratch_path(gate_path, "gate.json");
    gate_for_cases(gate_path, 2);
}

// Puts one digest in the place of another, wherever the file has it.
static inline void paste(const char *path, const char *from, const char *to)
{
    err e = { 0 };
    file_map m = { 0 };
    int pasted = 0;
    ck_assert_msg(file_map_open(&m, path, &e), "%s", e.msg);
    char *all = malloc((size_t)m.size);
    memcpy(all, m.data, (size_t)m.size);
    for (int64_t i = 0; i + SHA256_HEX <= m.size; i++)
        if (memcmp(all + i, from, SHA256_HEX) == 0) { patch(path, i, to, SHA256_HEX); pasted++; }
    ck_assert_int_gt(pasted, 0);
    free(all);
    file_map_close(&m);
}

static inline void write_key(const char *path)
{
    EVP_PKEY *k = key_new("P-256");
    ck_assert(k && key_write_private(k, path, NULL));
    chmod(path, 0600);
    EVP_PKEY_free(k);
}

#endif
